//! openat(2). What is opened is close-on-exec, and nothing is created.

use std::ffi::{CStr, c_int};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::syscall::{Errno, syscall};

fn openat(directory: BorrowedFd<'_>, path: &CStr, flags: c_int) -> io::Result<OwnedFd> {
    // SAFETY: a path with its NUL; no flag creates, so there is no mode to pass.
    let fd = unsafe { libc::openat(directory.as_raw_fd(), path.as_ptr(), flags | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// For reading, the file `path` below `directory`.
pub(crate) fn read(directory: BorrowedFd<'_>, path: &CStr) -> io::Result<OwnedFd> {
    openat(directory, path, libc::O_RDONLY | libc::O_NOCTTY | libc::O_NONBLOCK)
}

/// For listing.
pub(crate) fn list(directory: BorrowedFd<'_>, path: &CStr) -> io::Result<OwnedFd> {
    openat(directory, path, libc::O_RDONLY | libc::O_DIRECTORY)
}

/// A directory, as a place where paths start.
pub(crate) fn place(directory: BorrowedFd<'_>, path: &CStr) -> io::Result<OwnedFd> {
    openat(directory, path, libc::O_PATH | libc::O_DIRECTORY)
}

/// Any file, only to see which it is: nothing happens to it.
pub(crate) fn glance(directory: BorrowedFd<'_>, path: &CStr) -> io::Result<OwnedFd> {
    openat(directory, path, libc::O_PATH)
}

/// The same with flags of the caller's, for between clone and exec. A number that is no descriptor is refused.
pub(super) fn in_child(directory: RawFd, path: &CStr, flags: c_int) -> Result<OwnedFd, Errno> {
    let path = path.as_ptr().expose_provenance();
    let flags = (flags | libc::O_CLOEXEC) as usize;
    // SAFETY: a path with its NUL, borrowed for the call.
    let fd = unsafe { syscall(libc::SYS_openat, [directory as usize, path, flags, 0, 0, 0]) }?;
    // SAFETY: the call just made it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}
