//! A process opens the namespace that it was created in. May run between clone and exec.
//!
//! By itself, and not its caller by its pidfd: nobody needs a right to look at himself, while a caller may
//! not look at a child in a new user namespace whose memory, which is the caller's, is closed.

use std::ffi::CStr;
use std::os::fd::RawFd;

use super::pidfd::{GET_TIME_FOR_CHILDREN, get_namespace};
use super::syscall::{Errno, syscall};
use crate::NamespaceKind;

/// A descriptor, in the table that the process has or shares, for the namespace of this kind that the process was cloned
/// into. Of time namespaces that is the one of its children, which it would be in only after exec.
pub(super) fn of_a_child(kind: NamespaceKind) -> Result<RawFd, Errno> {
    // The pidfd needs no /proc.
    by_pidfd(kind).or_else(|_| by_proc(kind))
}

fn by_pidfd(kind: NamespaceKind) -> Result<RawFd, Errno> {
    let request = match kind {
        NamespaceKind::Time => GET_TIME_FOR_CHILDREN,
        kind => get_namespace(kind),
    };
    let pid = call(libc::SYS_getpid, [0; 6])?;
    let pidfd = call(libc::SYS_pidfd_open, [pid, 0, 0, 0, 0, 0])?;
    let opened = call(libc::SYS_ioctl, [pidfd, request as usize, 0, 0, 0, 0]);
    let _ = call(libc::SYS_close, [pidfd, 0, 0, 0, 0, 0]);
    opened.map(|fd| fd as RawFd)
}

fn by_proc(kind: NamespaceKind) -> Result<RawFd, Errno> {
    let path: &CStr = match kind {
        NamespaceKind::Cgroup => c"/proc/self/ns/cgroup",
        NamespaceKind::Ipc => c"/proc/self/ns/ipc",
        NamespaceKind::Mount => c"/proc/self/ns/mnt",
        NamespaceKind::Net => c"/proc/self/ns/net",
        NamespaceKind::Pid => c"/proc/self/ns/pid",
        NamespaceKind::Time => c"/proc/self/ns/time_for_children",
        NamespaceKind::User => c"/proc/self/ns/user",
        NamespaceKind::Uts => c"/proc/self/ns/uts",
    };
    let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as usize;
    let path = path.as_ptr().expose_provenance();
    call(libc::SYS_openat, [libc::AT_FDCWD as usize, path, flags, 0, 0, 0]).map(|fd| fd as RawFd)
}

fn call(number: libc::c_long, args: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: numbers, and a text that is never freed; what is opened or closed is this process's own doing.
    unsafe { syscall(number, args) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd};

    /// Both ways, in this process, which is in its namespaces as a child is.
    #[test]
    fn both_ways_open_the_same_namespace() {
        for kind in NamespaceKind::ALL {
            let identity = |opened: Result<RawFd, Errno>| {
                let number = opened.unwrap_or_else(|errno| panic!("{kind}: {errno:?}"));
                // SAFETY: just opened.
                let fd = unsafe { OwnedFd::from_raw_fd(number) };
                assert_eq!(super::super::ioctl_nsfs::kind(fd.as_fd()).unwrap(), kind.flag().bits());
                super::super::stat::identity(fd.as_fd()).unwrap()
            };
            let by_proc = identity(by_proc(kind));
            assert_eq!(identity(of_a_child(kind)), by_proc, "{kind}");
            // Before Linux 6.11, or where a filter refuses a pidfd, there is only one of the two.
            match by_pidfd(kind) {
                Err(Errno(errno)) => {
                    let refusals = [libc::ENOTTY, libc::EINVAL, libc::ENOSYS, libc::EPERM];
                    assert!(refusals.contains(&errno), "{errno}");
                }
                opened => assert_eq!(identity(opened), by_proc, "{kind}"),
            }
        }
    }
}
