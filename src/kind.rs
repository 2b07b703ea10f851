//! The eight kinds of namespace, and sets of them.
#![forbid(unsafe_code)]

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result, Step};

bitflags::bitflags! {
    /// A set of namespace kinds: the `CLONE_NEW*` bits of clone(2).
    ///
    /// Sets combine with `|`. `Display` writes the kinds as `/proc/<pid>/ns` names them, in the
    /// order of [`NamespaceKind::ALL`] ("mnt,pid"); `FromStr` reads that in any order, and takes
    /// "mount" for "mnt".
    ///
    /// ```
    /// use linux_namespaces::Namespaces;
    /// let set = Namespaces::PID | Namespaces::NS;
    /// assert_eq!(set.to_string(), "mnt,pid");
    /// assert_eq!("pid,mount".parse::<Namespaces>()?, set);
    /// # Ok::<(), linux_namespaces::Error>(())
    /// ```
    ///
    /// # References
    /// clone(2), namespaces(7)
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
    pub struct Namespaces: u32 {
        /// The cgroup root directory: cgroup_namespaces(7).
        #[doc(alias = "CLONE_NEWCGROUP")]
        const CGROUP = 0x0200_0000;
        /// System V IPC and POSIX message queues: ipc_namespaces(7).
        #[doc(alias = "CLONE_NEWIPC")]
        const IPC = 0x0800_0000;
        /// Mount points: mount_namespaces(7). The kernel calls it [`NS`](Self::NS).
        #[doc(alias = "CLONE_NEWNS")]
        const MOUNT = 0x0002_0000;
        /// Network devices, addresses, ports: network_namespaces(7).
        #[doc(alias = "CLONE_NEWNET")]
        const NET = 0x4000_0000;
        /// Process ids: pid_namespaces(7).
        #[doc(alias = "CLONE_NEWPID")]
        const PID = 0x2000_0000;
        /// The monotonic and boot-time clocks: time_namespaces(7).
        #[doc(alias = "CLONE_NEWTIME")]
        const TIME = 0x80;
        /// User and group ids, capabilities: user_namespaces(7).
        #[doc(alias = "CLONE_NEWUSER")]
        const USER = 0x1000_0000;
        /// Host name and NIS domain name: uts_namespaces(7).
        #[doc(alias = "CLONE_NEWUTS")]
        const UTS = 0x0400_0000;
    }
}

impl Namespaces {
    /// The kernel's own name for [`MOUNT`](Self::MOUNT), as in `CLONE_NEWNS`.
    pub const NS: Self = Self::MOUNT;

    /// The kinds in this set, in the order of [`NamespaceKind::ALL`].
    pub fn kinds(self) -> impl Iterator<Item = NamespaceKind> {
        NamespaceKind::ALL.into_iter().filter(move |kind| self.contains(kind.flag()))
    }

    /// The bits that are not of the eight kinds; `from_bits_retain` lets them in.
    pub(crate) fn unknown_bits(self) -> u32 {
        self.bits() & !Self::all().bits()
    }

    /// Refuses a set with bits that are none of the eight kinds, naming those.
    pub(crate) fn validate(self) -> Result<()> {
        match self.unknown_bits() {
            0 => Ok(()),
            unknown => Err(Error::invalid(format!(
                "the set has bits that name no namespace kind: {unknown:#x} (the kinds are the constants of `Namespaces`)"
            ))),
        }
    }
}

impl fmt::Display for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for kind in self.kinds() {
            write!(f, "{separator}{kind}")?;
            separator = ",";
        }
        match self.unknown_bits() {
            0 => Ok(()),
            unknown => write!(f, "{separator}{unknown:#x}"),
        }
    }
}

impl FromStr for Namespaces {
    type Err = Error;

    /// Reads what `Display` writes: kinds separated by commas, in any order; nothing is the empty set.
    ///
    /// # Errors
    /// [`Step::Parse`] with the word that names no kind.
    fn from_str(text: &str) -> Result<Self> {
        if text.trim().is_empty() {
            return Ok(Self::empty());
        }
        text.split(',').map(|word| word.trim().parse::<NamespaceKind>()).collect()
    }
}

impl From<NamespaceKind> for Namespaces {
    fn from(kind: NamespaceKind) -> Self {
        kind.flag()
    }
}

impl FromIterator<NamespaceKind> for Namespaces {
    fn from_iter<I: IntoIterator<Item = NamespaceKind>>(kinds: I) -> Self {
        let mut set = Self::empty();
        set.extend(kinds);
        set
    }
}

impl Extend<NamespaceKind> for Namespaces {
    fn extend<I: IntoIterator<Item = NamespaceKind>>(&mut self, kinds: I) {
        for kind in kinds {
            *self |= kind.flag();
        }
    }
}

/// The names of the kinds on their own, for `use linux_namespaces::flags::*`.
///
/// ```
/// use linux_namespaces::{flags::*, Namespaces};
/// assert_eq!(PID | NS, Namespaces::PID | Namespaces::MOUNT);
/// ```
pub mod flags {
    use super::Namespaces;

    /// [`Namespaces::CGROUP`].
    pub const CGROUP: Namespaces = Namespaces::CGROUP;
    /// [`Namespaces::IPC`].
    pub const IPC: Namespaces = Namespaces::IPC;
    /// [`Namespaces::MOUNT`].
    pub const MOUNT: Namespaces = Namespaces::MOUNT;
    /// [`Namespaces::MOUNT`], by the kernel's name for it.
    pub const NS: Namespaces = Namespaces::MOUNT;
    /// [`Namespaces::NET`].
    pub const NET: Namespaces = Namespaces::NET;
    /// [`Namespaces::PID`].
    pub const PID: Namespaces = Namespaces::PID;
    /// [`Namespaces::TIME`].
    pub const TIME: Namespaces = Namespaces::TIME;
    /// [`Namespaces::USER`].
    pub const USER: Namespaces = Namespaces::USER;
    /// [`Namespaces::UTS`].
    pub const UTS: Namespaces = Namespaces::UTS;
}

/// One kind of namespace: namespaces(7).
///
/// # References
/// namespaces(7)
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum NamespaceKind {
    /// The cgroup root directory: cgroup_namespaces(7).
    Cgroup,
    /// System V IPC and POSIX message queues: ipc_namespaces(7).
    Ipc,
    /// Mount points: mount_namespaces(7).
    Mount,
    /// Network devices, addresses, ports: network_namespaces(7).
    Net,
    /// Process ids: pid_namespaces(7).
    Pid,
    /// The monotonic and boot-time clocks: time_namespaces(7).
    Time,
    /// User and group ids, capabilities: user_namespaces(7).
    User,
    /// Host name and NIS domain name: uts_namespaces(7).
    Uts,
}

impl NamespaceKind {
    /// Every kind, in the order that sets, snapshots and messages use.
    pub const ALL: [Self; 8] = [
        Self::Cgroup,
        Self::Ipc,
        Self::Mount,
        Self::Net,
        Self::Pid,
        Self::Time,
        Self::User,
        Self::Uts,
    ];

    /// Its name in `/proc/<pid>/ns`: "mnt", "pid". `Display` writes the same.
    #[must_use]
    pub const fn proc_name(self) -> &'static str {
        match self {
            Self::Cgroup => "cgroup",
            Self::Ipc => "ipc",
            Self::Mount => "mnt",
            Self::Net => "net",
            Self::Pid => "pid",
            Self::Time => "time",
            Self::User => "user",
            Self::Uts => "uts",
        }
    }

    /// The set of this kind alone.
    #[must_use]
    pub const fn flag(self) -> Namespaces {
        match self {
            Self::Cgroup => Namespaces::CGROUP,
            Self::Ipc => Namespaces::IPC,
            Self::Mount => Namespaces::MOUNT,
            Self::Net => Namespaces::NET,
            Self::Pid => Namespaces::PID,
            Self::Time => Namespaces::TIME,
            Self::User => Namespaces::USER,
            Self::Uts => Namespaces::UTS,
        }
    }

    /// The kind with this `CLONE_NEW*` bit, which is how the kernel names a kind to programs.
    pub(crate) fn from_bits(bits: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.flag().bits() == bits)
    }
}

impl fmt::Display for NamespaceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.proc_name())
    }
}

impl FromStr for NamespaceKind {
    type Err = Error;

    /// Reads what `Display` writes, and "mount" for "mnt".
    ///
    /// # Errors
    /// [`Step::Parse`] with the word that names no kind.
    fn from_str(word: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.proc_name() == word || (*kind == Self::Mount && word == "mount"))
            .ok_or_else(|| {
                Error::new(Step::Parse).kind_of(std::io::ErrorKind::InvalidInput).because(format!(
                    "no namespace kind is called {word:?}: the kinds are cgroup, ipc, mnt (or mount), net, pid, time, user, uts"
                ))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bits_are_the_kernels() {
        for (kind, flag) in [
            (NamespaceKind::Cgroup, libc::CLONE_NEWCGROUP),
            (NamespaceKind::Ipc, libc::CLONE_NEWIPC),
            (NamespaceKind::Mount, libc::CLONE_NEWNS),
            (NamespaceKind::Net, libc::CLONE_NEWNET),
            (NamespaceKind::Pid, libc::CLONE_NEWPID),
            (NamespaceKind::Time, 0x80),
            (NamespaceKind::User, libc::CLONE_NEWUSER),
            (NamespaceKind::Uts, libc::CLONE_NEWUTS),
        ] {
            assert_eq!(kind.flag().bits(), flag as u32);
            assert_eq!(NamespaceKind::from_bits(flag as u32), Some(kind));
        }
        assert_eq!(Namespaces::NS, Namespaces::MOUNT);
    }

    #[test]
    fn an_unknown_word_is_in_the_error() {
        let error = "pid,nett".parse::<Namespaces>().unwrap_err();
        assert_eq!(error.step(), &Step::Parse);
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert_eq!(
            error.to_string(),
            "parse: no namespace kind is called \"nett\": the kinds are cgroup, ipc, mnt (or mount), net, pid, time, user, uts"
        );
    }

    #[test]
    fn unknown_bits_are_shown_and_refused() {
        let set = Namespaces::PID | Namespaces::from_bits_retain(0x400);
        assert_eq!(set.to_string(), "pid,0x400");
        assert!(set.validate().unwrap_err().to_string().contains("0x400"));
    }

    proptest! {
        #![proptest_config(crate::cases::config())]

        #[test]
        fn sets_survive_their_text(bits in any::<u32>()) {
            let set = Namespaces::from_bits_truncate(bits);
            prop_assert_eq!(set.to_string().parse::<Namespaces>().unwrap(), set);
            prop_assert_eq!(set.kinds().collect::<Namespaces>(), set);
        }

        #[test]
        fn parsing_never_panics(text in ".{0,40}") {
            let _ = text.parse::<Namespaces>();
        }
    }
}
