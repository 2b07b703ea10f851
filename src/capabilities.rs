//! The capabilities of a process: capabilities(7).
#![forbid(unsafe_code)]

use std::fmt;
use std::io::ErrorKind;
use std::str::FromStr;

use crate::error::{Error, Result, Step};

bitflags::bitflags! {
    /// A set of capabilities, the parts that the power of root is divided into: capabilities(7).
    ///
    /// What each allows it allows over what belongs to the user namespace of the process. `Display` writes the kernel's names in the order of
    /// their numbers, "cap_net_admin,cap_sys_admin", and `FromStr` reads them. [`all`](Self::all) is all that this crate knows by name;
    /// an older kernel may lack the last ones.
    ///
    /// ```
    /// use linux_namespaces::Capabilities;
    /// let set: Capabilities = "CAP_SYS_ADMIN,net_admin".parse()?;
    /// assert_eq!(set, Capabilities::NET_ADMIN | Capabilities::SYS_ADMIN);
    /// assert_eq!(set.to_string(), "cap_net_admin,cap_sys_admin");
    /// # Ok::<(), linux_namespaces::Error>(())
    /// ```
    ///
    /// # References
    /// capabilities(7)
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct Capabilities: u64 {
        /// Changes owner and group of any file.
        #[doc(alias = "CAP_CHOWN")]
        const CHOWN = 1 << 0;
        /// Passes over the permissions of files for reading, writing and executing.
        #[doc(alias = "CAP_DAC_OVERRIDE")]
        const DAC_OVERRIDE = 1 << 1;
        /// Reads any file, and reads and searches any directory.
        #[doc(alias = "CAP_DAC_READ_SEARCH")]
        const DAC_READ_SEARCH = 1 << 2;
        /// Does with any file what else only its owner may: modes, times, attributes, deletion from sticky directories.
        #[doc(alias = "CAP_FOWNER")]
        const FOWNER = 1 << 3;
        /// Keeps the set-id bits of files that it changes.
        #[doc(alias = "CAP_FSETID")]
        const FSETID = 1 << 4;
        /// Sends signals to processes of others.
        #[doc(alias = "CAP_KILL")]
        const KILL = 1 << 5;
        /// Becomes any group, sets supplementary groups, writes gid maps.
        #[doc(alias = "CAP_SETGID")]
        const SETGID = 1 << 6;
        /// Becomes any user, writes uid maps.
        #[doc(alias = "CAP_SETUID")]
        const SETUID = 1 << 7;
        /// Takes capabilities out of its bounding set, adds to its inheritable set, sets its securebits.
        #[doc(alias = "CAP_SETPCAP")]
        const SETPCAP = 1 << 8;
        /// Makes files immutable or append-only.
        #[doc(alias = "CAP_LINUX_IMMUTABLE")]
        const LINUX_IMMUTABLE = 1 << 9;
        /// Listens on ports below 1024.
        #[doc(alias = "CAP_NET_BIND_SERVICE")]
        const NET_BIND_SERVICE = 1 << 10;
        /// Broadcasts and listens to multicast. The kernel does not ask for it.
        #[doc(alias = "CAP_NET_BROADCAST")]
        const NET_BROADCAST = 1 << 11;
        /// Configures the network: interfaces, addresses, routes, firewall.
        #[doc(alias = "CAP_NET_ADMIN")]
        const NET_ADMIN = 1 << 12;
        /// Opens raw and packet sockets.
        #[doc(alias = "CAP_NET_RAW")]
        const NET_RAW = 1 << 13;
        /// Locks memory and uses huge pages.
        #[doc(alias = "CAP_IPC_LOCK")]
        const IPC_LOCK = 1 << 14;
        /// Passes over the permissions of System V IPC.
        #[doc(alias = "CAP_IPC_OWNER")]
        const IPC_OWNER = 1 << 15;
        /// Loads and unloads kernel modules.
        #[doc(alias = "CAP_SYS_MODULE")]
        const SYS_MODULE = 1 << 16;
        /// Reaches ports and memory of devices directly.
        #[doc(alias = "CAP_SYS_RAWIO")]
        const SYS_RAWIO = 1 << 17;
        /// Calls chroot(2), and enters mount namespaces.
        #[doc(alias = "CAP_SYS_CHROOT")]
        const SYS_CHROOT = 1 << 18;
        /// Traces any process, and reads its memory.
        #[doc(alias = "CAP_SYS_PTRACE")]
        const SYS_PTRACE = 1 << 19;
        /// Switches process accounting.
        #[doc(alias = "CAP_SYS_PACCT")]
        const SYS_PACCT = 1 << 20;
        /// Mounts, creates and enters namespaces, sets the host name, and much more that has no capability of its own.
        #[doc(alias = "CAP_SYS_ADMIN")]
        const SYS_ADMIN = 1 << 21;
        /// Restarts the machine, or loads another kernel.
        #[doc(alias = "CAP_SYS_BOOT")]
        const SYS_BOOT = 1 << 22;
        /// Raises priorities, and sets scheduling and affinity of any process.
        #[doc(alias = "CAP_SYS_NICE")]
        const SYS_NICE = 1 << 23;
        /// Passes over resource limits and quotas.
        #[doc(alias = "CAP_SYS_RESOURCE")]
        const SYS_RESOURCE = 1 << 24;
        /// Sets the clock.
        #[doc(alias = "CAP_SYS_TIME")]
        const SYS_TIME = 1 << 25;
        /// Configures terminals, and hangs them up.
        #[doc(alias = "CAP_SYS_TTY_CONFIG")]
        const SYS_TTY_CONFIG = 1 << 26;
        /// Makes device files.
        #[doc(alias = "CAP_MKNOD")]
        const MKNOD = 1 << 27;
        /// Takes leases on any file.
        #[doc(alias = "CAP_LEASE")]
        const LEASE = 1 << 28;
        /// Writes to the audit log.
        #[doc(alias = "CAP_AUDIT_WRITE")]
        const AUDIT_WRITE = 1 << 29;
        /// Configures auditing.
        #[doc(alias = "CAP_AUDIT_CONTROL")]
        const AUDIT_CONTROL = 1 << 30;
        /// Gives files capabilities, and maps user 0 into user namespaces.
        #[doc(alias = "CAP_SETFCAP")]
        const SETFCAP = 1 << 31;
        /// Passes over mandatory access control (Smack).
        #[doc(alias = "CAP_MAC_OVERRIDE")]
        const MAC_OVERRIDE = 1 << 32;
        /// Configures mandatory access control (Smack).
        #[doc(alias = "CAP_MAC_ADMIN")]
        const MAC_ADMIN = 1 << 33;
        /// Reads and clears the kernel's log, and sees its addresses.
        #[doc(alias = "CAP_SYSLOG")]
        const SYSLOG = 1 << 34;
        /// Sets timers that wake the machine.
        #[doc(alias = "CAP_WAKE_ALARM")]
        const WAKE_ALARM = 1 << 35;
        /// Keeps the machine from being suspended.
        #[doc(alias = "CAP_BLOCK_SUSPEND")]
        const BLOCK_SUSPEND = 1 << 36;
        /// Reads the audit log. Since Linux 3.16.
        #[doc(alias = "CAP_AUDIT_READ")]
        const AUDIT_READ = 1 << 37;
        /// Monitors performance. Since Linux 5.8.
        #[doc(alias = "CAP_PERFMON")]
        const PERFMON = 1 << 38;
        /// Loads BPF programs and makes their maps. Since Linux 5.8.
        #[doc(alias = "CAP_BPF")]
        const BPF = 1 << 39;
        /// Checkpoints and restores processes, and chooses the number of the next one. Since Linux 5.9.
        #[doc(alias = "CAP_CHECKPOINT_RESTORE")]
        const CHECKPOINT_RESTORE = 1 << 40;
    }
}

/// What the kernel's names begin with, and the constants' do not.
const PREFIX: &str = "cap_";

impl Capabilities {
    /// The bits that have no name; `from_bits_retain` lets them in.
    fn unknown_bits(self) -> u64 {
        self.bits() & !Self::all().bits()
    }

    /// Refuses a set with bits that have no name, saying which.
    pub(crate) fn validate(self) -> Result<()> {
        match self.unknown_bits() {
            0 => Ok(()),
            unknown => Err(Error::invalid(format!(
                "the set has bits that name no capability: {unknown:#x} (the capabilities are the constants of `Capabilities`)"
            ))),
        }
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, _) in self.iter_names() {
            write!(f, "{separator}{PREFIX}{}", name.to_ascii_lowercase())?;
            separator = ",";
        }
        match self.unknown_bits() {
            0 => Ok(()),
            unknown => write!(f, "{separator}{unknown:#x}"),
        }
    }
}

impl FromStr for Capabilities {
    type Err = Error;

    /// Reads what `Display` writes: names separated by commas, in any order and in either case, with or without "cap_"; nothing is
    /// the empty set.
    ///
    /// # Errors
    /// [`Step::Parse`] with the word that names no capability.
    fn from_str(text: &str) -> Result<Self> {
        if text.trim().is_empty() {
            return Ok(Self::empty());
        }
        text.split(',').map(|word| named(word.trim())).collect()
    }
}

fn named(word: &str) -> Result<Capabilities> {
    let upper = word.to_ascii_uppercase();
    let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
    Capabilities::from_name(name).ok_or_else(|| {
        Error::new(Step::Parse).kind_of(ErrorKind::InvalidInput).because(format!(
            "no capability is called {word:?}: the names are those of capabilities(7), such as cap_net_admin"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// capabilities(7), in the order of the kernel's numbers.
    const NAMES: [&str; 41] = [
        "cap_chown",
        "cap_dac_override",
        "cap_dac_read_search",
        "cap_fowner",
        "cap_fsetid",
        "cap_kill",
        "cap_setgid",
        "cap_setuid",
        "cap_setpcap",
        "cap_linux_immutable",
        "cap_net_bind_service",
        "cap_net_broadcast",
        "cap_net_admin",
        "cap_net_raw",
        "cap_ipc_lock",
        "cap_ipc_owner",
        "cap_sys_module",
        "cap_sys_rawio",
        "cap_sys_chroot",
        "cap_sys_ptrace",
        "cap_sys_pacct",
        "cap_sys_admin",
        "cap_sys_boot",
        "cap_sys_nice",
        "cap_sys_resource",
        "cap_sys_time",
        "cap_sys_tty_config",
        "cap_mknod",
        "cap_lease",
        "cap_audit_write",
        "cap_audit_control",
        "cap_setfcap",
        "cap_mac_override",
        "cap_mac_admin",
        "cap_syslog",
        "cap_wake_alarm",
        "cap_block_suspend",
        "cap_audit_read",
        "cap_perfmon",
        "cap_bpf",
        "cap_checkpoint_restore",
    ];

    #[test]
    fn the_names_are_the_kernels() {
        assert_eq!(Capabilities::all().bits(), (1 << NAMES.len()) - 1);
        for (number, name) in NAMES.into_iter().enumerate() {
            let one = Capabilities::from_bits(1 << number).unwrap();
            assert_eq!(one.to_string(), name);
            let short = name.strip_prefix("cap_").unwrap();
            for text in [name, short, &name.to_uppercase(), &format!(" {short} ")] {
                assert_eq!(text.parse::<Capabilities>().unwrap(), one, "{text:?}");
            }
        }
        assert_eq!(Capabilities::all().to_string(), NAMES.join(","));
        assert_eq!(Capabilities::empty().to_string(), "");
    }

    #[test]
    fn an_unknown_word_is_in_the_error() {
        for (text, word) in [
            ("cap_net_admin,cap_nett", "cap_nett"),
            ("cap_cap_kill", "cap_cap_kill"),
            ("kill,", ""),
            ("cap_", "cap_"),
            ("kill|chown", "kill|chown"),
            ("0x20", "0x20"),
        ] {
            let error = text.parse::<Capabilities>().unwrap_err();
            assert_eq!(error.step(), &Step::Parse);
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(
                error.to_string(),
                format!(
                    "parse: no capability is called {word:?}: the names are those of capabilities(7), such as cap_net_admin"
                )
            );
        }
    }

    #[test]
    fn unknown_bits_are_shown_and_refused() {
        let set = Capabilities::KILL | Capabilities::from_bits_retain(1 << 41);
        assert_eq!(set.to_string(), "cap_kill,0x20000000000");
        let error = set.validate().unwrap_err();
        assert_eq!(error.step(), &Step::Validate);
        assert!(error.to_string().contains("0x20000000000"), "{error}");
        assert!(Capabilities::all().validate().is_ok());
    }

    proptest! {
        #![proptest_config(crate::cases::config())]

        #[test]
        fn sets_survive_their_text(bits in any::<u64>(), upper in any::<bool>(), bare in any::<bool>()) {
            let set = Capabilities::from_bits_truncate(bits);
            let mut text = set.to_string();
            if bare {
                text = text.replace("cap_", "");
            }
            if upper {
                text = text.to_uppercase();
            }
            prop_assert_eq!(text.parse::<Capabilities>().unwrap(), set);
        }

        #[test]
        fn parsing_never_panics(text in ".{0,40}") {
            let _ = text.parse::<Capabilities>();
        }
    }
}
