//! cgroups(7): a process's way into one of version 2, without `CLONE_INTO_CGROUP`. The caller's part, and what may
//! run between clone and exec.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::syscall::{Errno, syscall};

/// Whether the directory is one of cgroup version 2.
pub(crate) fn is_version_2(directory: BorrowedFd<'_>) -> io::Result<bool> {
    const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;
    Ok(super::statfs::magic(directory)? == CGROUP2_SUPER_MAGIC)
}

/// The file that processes are put in through, with the rights of the caller.
pub(crate) fn processes(directory: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::O_WRONLY | libc::O_CLOEXEC;
    // SAFETY: a text that ends in NUL.
    let fd = unsafe { libc::openat(directory.as_raw_fd(), c"cgroup.procs".as_ptr(), flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Moves this process there.
pub(super) fn enter(processes: RawFd) -> Result<(), Errno> {
    let itself = b"0".as_ptr().expose_provenance();
    // SAFETY: a text that is borrowed for the call.
    unsafe { syscall(libc::SYS_write, [processes as usize, itself, 1, 0, 0, 0]) }.map(drop)
}
