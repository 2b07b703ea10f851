//! pidfd_open(2), pidfd_getfd(2), pidfd_send_signal(2), and the ioctls of a pidfd.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use super::std_command::pid_of;
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

/// The process with this id in the caller's pid namespace.
pub(crate) fn open(pid: u32) -> io::Result<OwnedFd> {
    if super::deadly::kills_for_pidfd_open() {
        return Err(io::Error::from_raw_os_error(libc::ENOSYS));
    }
    // SAFETY: takes numbers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) })
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
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => error,
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
