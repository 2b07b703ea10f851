//! pidfd_open(2), pidfd_getfd(2), pidfd_send_signal(2), and the ioctls of a pidfd.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use super::std_command::pid_of;
use super::syscall::{Errno, syscall};
use super::{poll, process, readlink, wait};
use crate::NamespaceKind;

/// A new descriptor that nobody else owns, from a system call's result.
fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call just made it.
    Ok(unsafe { OwnedFd::from_raw_fd(result as RawFd) })
}

/// The process with this id in the caller's pid namespace. The caller's own is to be had even where a filter refuses the call.
pub(crate) fn open(pid: u32) -> io::Result<OwnedFd> {
    let opened = if super::deadly::kills_for_pidfd_open() {
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    } else {
        // SAFETY: takes numbers.
        owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) })
    };
    match opened {
        Err(error) if is_refusal(&error) && pid == std::process::id() => {
            let refused = Errno(error.raw_os_error().unwrap_or(libc::EPERM));
            own_otherwise(refused).map_err(|Errno(errno)| io::Error::from_raw_os_error(errno))
        }
        opened => opened,
    }
}

/// Whether that is what a filter says, or a kernel without the call.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
}

/// The calling process. May run in a copy of another one, before exec.
pub(super) fn own_in_child() -> Result<OwnedFd, Errno> {
    // SAFETY: takes nothing.
    let own = unsafe { syscall(libc::SYS_getpid, [0; 6]) }?;
    // SAFETY: takes numbers.
    match unsafe { syscall(libc::SYS_pidfd_open, [own, 0, 0, 0, 0, 0]) } {
        // SAFETY: the call just made it.
        Ok(number) => Ok(unsafe { OwnedFd::from_raw_fd(number as RawFd) }),
        Err(refused @ Errno(libc::ENOSYS | libc::EPERM)) => own_otherwise(refused),
        Err(errno) => Err(errno),
    }
}

/// The calling process, where pidfd_open(2) was `refused`: that is the error, unless it is descriptors that the other way lacks.
fn own_otherwise(refused: Errno) -> Result<OwnedFd, Errno> {
    own_by_socket().map_err(|error| match error {
        Errno(libc::EMFILE | libc::ENFILE) => error,
        _ => refused,
    })
}

/// libc has it since 0.2.171.
const SO_PEERPIDFD: c_int =
    if cfg!(any(target_arch = "sparc", target_arch = "sparc64")) { 0x56 } else { 77 };

/// unix(7), `SO_PEERPIDFD` (Linux 6.5; ENOPROTOOPT before): a pidfd of this process, which is the peer of both ends of a new pair of sockets.
fn own_by_socket() -> Result<OwnedFd, Errno> {
    let mut pair: [RawFd; 2] = [-1; 2];
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    let address = pair.as_mut_ptr().expose_provenance();
    let args = [libc::AF_UNIX as usize, kind as usize, 0, address, 0, 0];
    // SAFETY: room for two descriptors.
    unsafe { syscall(libc::SYS_socketpair, args) }?;
    // SAFETY: the call just made them.
    let [one, _other] = pair.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    let mut number: RawFd = -1;
    let mut length = size_of::<RawFd>() as libc::socklen_t;
    let addresses = [(&raw mut number).expose_provenance(), (&raw mut length).expose_provenance()];
    let (level, option) = (libc::SOL_SOCKET as usize, SO_PEERPIDFD as usize);
    let args = [one.as_raw_fd() as usize, level, option, addresses[0], addresses[1], 0];
    // SAFETY: room for a number, and its length.
    unsafe { syscall(libc::SYS_getsockopt, args) }?;
    // SAFETY: the call just made it, close-on-exec as every pidfd is.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The thread with this id in the caller's pid namespace (Linux 6.9; EINVAL before).
pub(crate) fn open_thread(thread: u32) -> io::Result<OwnedFd> {
    const PIDFD_THREAD: libc::c_int = libc::O_EXCL;
    // SAFETY: takes numbers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, thread as libc::pid_t, PIDFD_THREAD) })
}

/// `pidfd_getfd(2)` (Linux 5.6): a duplicate of the process's descriptor `number`. EPERM without the right to trace it.
pub(crate) fn descriptor(pidfd: BorrowedFd<'_>, number: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) })
}

/// Takes over the pidfd that a clone wrote for the caller.
///
/// # Safety
/// A clone by this spawn put it there, and nobody has taken it yet.
pub(crate) unsafe fn take(number: RawFd) -> OwnedFd {
    // SAFETY: the caller's promise.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Sends a signal; 0 only asks whether the process is there, be it a zombie.
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, signal: c_int) -> io::Result<()> {
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: takes numbers, and a null for "as kill(2)".
    if unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, info, 0) }
        != 0
    {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Kills a child of this process, if it has not ended. A filter may refuse pidfd_send_signal(2), and whoever waits for what was not killed may
/// wait for ever: then it is kill(2), as long as nobody has reaped the child, which keeps its number until that is done. An error: it
/// runs on.
pub(crate) fn kill_child(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    let refused = match send_signal(pidfd, libc::SIGKILL) {
        Err(error) if is_refusal(&error) => error,
        result => return result,
    };
    if poll::is_readable_now(pidfd.as_raw_fd()) == Ok(true) {
        return Ok(());
    }
    match number_of_child(pidfd).filter(|_| wait::is_unreaped_child(pidfd)) {
        Some(number) => process::kill(number),
        None => Err(refused),
    }
}

/// Its id as this process numbers it, from the kernel, or from a /proc that numbers processes as this one does.
fn number_of_child(pidfd: BorrowedFd<'_>) -> Option<i32> {
    let number = pid(pidfd).ok().or_else(|| {
        let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
        let own = readlink::number(c"/proc/self") == Some(std::process::id());
        own.then(|| pid_of(&std::fs::read(path).ok()?)).flatten()
    });
    number.and_then(|number| i32::try_from(number).ok())
}

/// `_IO(0xFF, number)`; MIPS, PowerPC and SPARC write "no direction" with a bit of its own.
const fn io(number: libc::Ioctl) -> libc::Ioctl {
    super::ioctl_nsfs::NO_DIRECTION | (0xff << 8) | number
}

pub(super) const GET_MNT_NAMESPACE: libc::Ioctl = io(3);

/// `PIDFD_GET_<KIND>_NAMESPACE` (Linux 6.11).
pub(super) fn get_namespace(kind: NamespaceKind) -> libc::Ioctl {
    io(match kind {
        NamespaceKind::Cgroup => 1,
        NamespaceKind::Ipc => 2,
        NamespaceKind::Mount => 3,
        NamespaceKind::Net => 4,
        NamespaceKind::Pid => 5,
        NamespaceKind::Time => 7,
        NamespaceKind::User => 9,
        NamespaceKind::Uts => 10,
    })
}

/// `PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE` (Linux 6.11).
pub(super) const GET_TIME_FOR_CHILDREN: libc::Ioctl = io(8);

/// The namespace of this kind that the process is in.
pub(crate) fn namespace(pidfd: BorrowedFd<'_>, kind: NamespaceKind) -> io::Result<OwnedFd> {
    let request = get_namespace(kind);
    // SAFETY: a request without an argument, which gives a new descriptor.
    owned(unsafe { libc::ioctl(pidfd.as_raw_fd(), request, 0) }.into())
}

/// The time namespace that its children will be in.
pub(crate) fn time_for_children(pidfd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: a request without an argument, which gives a new descriptor.
    owned(unsafe { libc::ioctl(pidfd.as_raw_fd(), GET_TIME_FOR_CHILDREN, 0) }.into())
}

/// `struct pidfd_info`, version 1 (Linux 6.13) with the exit code (6.15).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Info {
    mask: u64,
    cgroup: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ids: [u32; 8],
    exit_code: i32,
}
const _: () = assert!(size_of::<Info>() == 64);

const INFO_PID: u64 = 1;
const INFO_EXIT: u64 = 1 << 3;

/// `PIDFD_GET_INFO`. ENOTTY before Linux 6.13, ESRCH for a process that is gone.
fn info(pidfd: BorrowedFd<'_>, mask: u64) -> io::Result<Info> {
    let mut info = Info { mask, ..Info::default() };
    let request = super::ioctl_nsfs::READ_WRITE
        | ((size_of::<Info>() as libc::Ioctl) << 16)
        | (0xff << 8)
        | 11;
    // SAFETY: the request carries the size of what it may fill.
    if unsafe { libc::ioctl(pidfd.as_raw_fd(), request, &raw mut info) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(info)
}

/// Its id as the caller's pid namespace numbers it. ENOTTY before Linux 6.13, ESRCH when it is gone.
pub(crate) fn pid(pidfd: BorrowedFd<'_>) -> io::Result<u32> {
    info(pidfd, INFO_PID).map(|info| info.tgid)
}

/// How it ended, even after somebody else has reaped it (Linux 6.15). `None`: not told.
pub(crate) fn exit_status(pidfd: BorrowedFd<'_>) -> Option<ExitStatus> {
    let info = info(pidfd, INFO_EXIT).ok()?;
    (info.mask & INFO_EXIT != 0).then(|| ExitStatus::from_raw(info.exit_code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_tells_the_own_process() {
        let own = match own_by_socket() {
            // Before Linux 6.5.
            Err(Errno(libc::ENOPROTOOPT)) => return,
            own => own.unwrap(),
        };
        let fdinfo = std::fs::read(format!("/proc/self/fdinfo/{}", own.as_raw_fd())).unwrap();
        assert_eq!(pid_of(&fdinfo), Some(std::process::id()));
        assert_eq!(poll::is_readable_now(own.as_raw_fd()), Ok(false));
    }
}
