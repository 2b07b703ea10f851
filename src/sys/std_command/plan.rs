//! What all the calls together ask for, as things are when the program is spawned.

use std::ffi::CStr;
use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

use super::super::child::Op;
use super::super::syscall::{Errno, syscall};
use super::super::{openat, pidfd, stat};
use super::{Call, replay};
use crate::{NamespaceKind, Namespaces};

/// One namespace to enter.
#[derive(Debug)]
enum Target<'a> {
    Given(BorrowedFd<'a>),
    /// Of a process.
    Opened(OwnedFd),
}

#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) created: Namespaces,
    /// One for a kind, in their order. Those that the child is in already are left out.
    targets: [Option<Target<'a>>; KINDS],
    /// The directory, as long as it can be had: another mount namespace may have none.
    proc: Option<OwnedFd>,
}

const KINDS: usize = NamespaceKind::ALL.len();
const NO_DIRECTORY: RawFd = -1;

/// The own entries below /proc, in the order of the kinds: of what children are in, where that may differ.
const OWN: [&CStr; KINDS] = [
    c"thread-self/ns/cgroup",
    c"thread-self/ns/ipc",
    c"thread-self/ns/mnt",
    c"thread-self/ns/net",
    c"thread-self/ns/pid_for_children",
    c"thread-self/ns/time_for_children",
    c"thread-self/ns/user",
    c"thread-self/ns/uts",
];

impl<'a> Plan<'a> {
    pub(super) fn of(calls: &'a [Call]) -> Result<Self, Errno> {
        let created = check(calls)?;
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let proc = openat::in_child(libc::AT_FDCWD, c"/proc", flags).ok();
        let mut plan = Self { created, targets: [const { None }; KINDS], proc };
        for call in calls {
            match call {
                Call::Enter(fd, kind) => plan.add(*kind, Target::Given(fd.as_fd())),
                Call::EnterProcess(process, kinds) => {
                    for kind in kinds.kinds() {
                        match namespace_of(process.as_fd(), kind, plan.proc()) {
                            Ok(fd) => plan.add(kind, Target::Opened(fd)),
                            // A kind that this kernel does not have.
                            Err(Errno(libc::ENOENT)) if plan.lacks(kind) => {}
                            Err(errno) => return Err(errno),
                        }
                    }
                }
                Call::Create(_) | Call::Refused(_) => {}
            }
        }
        Ok(plan)
    }

    fn add(&mut self, kind: NamespaceKind, target: Target<'a>) {
        let own = OWN[kind as usize];
        let here = stat::identity_at(self.proc(), own)
            .is_ok_and(|here| stat::identity(target.as_fd()).is_ok_and(|there| there == here));
        if !here {
            self.targets[kind as usize] = Some(target);
        }
    }

    fn lacks(&self, kind: NamespaceKind) -> bool {
        let own = stat::identity_at(self.proc(), OWN[kind as usize]);
        self.proc.is_some() && own.is_err_and(|error| error.raw_os_error() == Some(libc::ENOENT))
    }

    /// A descriptor of the directory, or a number that is none.
    pub(super) fn proc(&self) -> RawFd {
        self.proc.as_ref().map_or(NO_DIRECTORY, |proc| proc.as_raw_fd())
    }

    pub(super) fn enters(&self, kind: NamespaceKind) -> bool {
        self.targets[kind as usize].is_some()
    }

    /// Whether the program is in another pid namespace than this process.
    pub(super) fn changes_pid(&self) -> bool {
        self.created.contains(Namespaces::PID) || self.enters(NamespaceKind::Pid)
    }

    /// setns(2), if there is one to enter.
    pub(super) fn enter(&self, kind: NamespaceKind) -> Result<(), Errno> {
        let Some(target) = &self.targets[kind as usize] else { return Ok(()) };
        let fd = target.as_fd().as_raw_fd();
        replay(Op::Enter { fd, kind: kind.flag().bits() as i32 })
    }

    /// The same, or true: it takes the rights of the user namespace, which is entered later.
    fn enter_or_wait(&self, kind: NamespaceKind) -> Result<bool, Errno> {
        match self.enter(kind) {
            Err(Errno(libc::EPERM)) if self.enters(NamespaceKind::User) => Ok(true),
            result => result.map(|()| false),
        }
    }

    /// Enters the time namespace, or says that it has to wait for the user namespace.
    pub(super) fn enter_time(&self) -> Result<bool, Errno> {
        self.enter_or_wait(NamespaceKind::Time)
    }

    /// Enters all but the time namespace: what can be entered as who this process is, the user namespace, and what that gives the right to.
    pub(super) fn enter_all(&self) -> Result<(), Errno> {
        let mut wait = Namespaces::empty();
        let at_once = Namespaces::all() - (Namespaces::TIME | Namespaces::USER);
        for kind in at_once.kinds() {
            if self.enter_or_wait(kind)? {
                wait |= kind.flag();
            }
        }
        self.enter(NamespaceKind::User)?;
        wait.kinds().try_for_each(|kind| self.enter(kind))
    }
}

impl Target<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Given(fd) => *fd,
            Self::Opened(fd) => fd.as_fd(),
        }
    }
}

/// As `crate::Command` refuses them. Gives what is to be created.
fn check(calls: &[Call]) -> Result<Namespaces, Errno> {
    let (mut created, mut entered) = (Namespaces::empty(), Namespaces::empty());
    for call in calls {
        let (kinds, set) = match call {
            Call::Create(kinds) => (*kinds, &mut created),
            Call::Enter(_, kind) => (kind.flag(), &mut entered),
            Call::EnterProcess(_, kinds) => (*kinds, &mut entered),
            Call::Refused(errno) => return Err(Errno(*errno)),
        };
        let twice = !matches!(call, Call::Create(_)) && set.intersects(kinds);
        if twice || kinds.unknown_bits() != 0 {
            return Err(Errno(libc::EINVAL));
        }
        *set |= kinds;
    }
    if entered.intersects(created - (Namespaces::USER | Namespaces::PID)) {
        return Err(Errno(libc::EINVAL));
    }
    Ok(created)
}

/// The namespace of a process.
fn namespace_of(
    process: BorrowedFd<'_>,
    kind: NamespaceKind,
    proc: RawFd,
) -> Result<OwnedFd, Errno> {
    if let Ok(fd) = pidfd::namespace(process, kind) {
        return Ok(fd);
    }
    // A kernel before 6.11; or a zombie, which still has two namespaces to be had by name.
    let pid = pid_in_proc(process, proc)?;
    let mut path = Path::new();
    let _ = write!(path, "{pid}/ns/{}", kind.proc_name());
    let namespace = openat::in_child(proc, path.as_c_str()?, libc::O_RDONLY);
    // Its number may be another's by now.
    match pidfd::send_signal(process, 0) {
        Ok(()) => namespace,
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Err(Errno(libc::ESRCH)),
        // It is another user's, or a filter refuses the call.
        Err(_) => pid_in_proc(process, proc).and(namespace),
    }
}

/// The number of a process as /proc has it.
fn pid_in_proc(process: BorrowedFd<'_>, proc: RawFd) -> Result<u32, Errno> {
    let mut path = Path::new();
    let _ = write!(path, "self/fdinfo/{}", process.as_raw_fd());
    let file = openat::in_child(proc, path.as_c_str()?, libc::O_RDONLY)?;
    let mut text = [0u8; 512];
    let address = text.as_mut_ptr().expose_provenance();
    let fd = file.as_raw_fd() as usize;
    // SAFETY: a buffer with its length.
    let length = unsafe { syscall(libc::SYS_read, [fd, address, text.len(), 0, 0, 0]) }?;
    let text = text.get(..length).unwrap_or_default();
    pid_of(text).ok_or(Errno(libc::ESRCH))
}

/// The line `Pid` of the fdinfo of a pidfd.
pub(in crate::sys) fn pid_of(fdinfo: &[u8]) -> Option<u32> {
    let line = fdinfo.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Pid:"))?;
    std::str::from_utf8(line.trim_ascii()).ok()?.parse().ok().filter(|pid| *pid > 0)
}

/// A path made without allocation.
struct Path {
    bytes: [u8; 64],
    used: usize,
}

impl Path {
    fn new() -> Self {
        Self { bytes: [0; 64], used: 0 }
    }

    fn as_c_str(&self) -> Result<&CStr, Errno> {
        CStr::from_bytes_until_nul(&self.bytes).map_err(|_| Errno(libc::ENAMETOOLONG))
    }
}

impl std::io::Write for Path {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        let room = self.bytes.get_mut(self.used..).unwrap_or_default();
        let length = text.len().min(room.len());
        room[..length].copy_from_slice(&text[..length]);
        self.used += length;
        Ok(length)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_entries_are_in_the_order_of_the_kinds() {
        for (kind, path) in NamespaceKind::ALL.into_iter().zip(OWN) {
            let name = path.to_str().unwrap().strip_prefix("thread-self/ns/").unwrap();
            assert_eq!(name.strip_suffix("_for_children").unwrap_or(name), kind.proc_name());
        }
    }

    #[test]
    fn a_process_is_found_by_its_number_too() {
        let proc = openat::in_child(libc::AT_FDCWD, c"/proc", libc::O_PATH).unwrap();
        let me = pidfd::open(std::process::id()).unwrap();
        assert_eq!(pid_in_proc(me.as_fd(), proc.as_raw_fd()), Ok(std::process::id()));
        let by_ioctl = namespace_of(me.as_fd(), NamespaceKind::Net, proc.as_raw_fd()).unwrap();
        let own = stat::identity_at(proc.as_raw_fd(), OWN[NamespaceKind::Net as usize]).unwrap();
        assert_eq!(stat::identity(by_ioctl.as_fd()).unwrap(), own);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |calls: &[Call]| check(calls) == Err(Errno(libc::EINVAL));
        let fd = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let enter = |kind| Call::Enter(fd(), kind);
        let (net, user, uts) = (NamespaceKind::Net, NamespaceKind::User, NamespaceKind::Uts);
        assert!(refused(&[Call::Create(Namespaces::from_bits_retain(1))]));
        assert!(refused(&[enter(net), enter(net)]));
        assert!(refused(&[enter(net), Call::EnterProcess(fd(), Namespaces::NET)]));
        assert!(refused(&[Call::Create(Namespaces::NET), enter(net)]));
        assert!(!refused(&[Call::Create(Namespaces::USER | Namespaces::UTS), enter(user)]));
        assert!(!refused(&[enter(uts), enter(net), Call::Create(Namespaces::PID)]));
    }
}
