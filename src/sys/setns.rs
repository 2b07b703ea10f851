//! setns(2).

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The calling thread enters the namespace, or those of `set` of the process, that `fd` refers to.
pub(crate) fn setns(fd: BorrowedFd<'_>, set: u32) -> io::Result<()> {
    // SAFETY: takes a descriptor and bits; the caller moves, its memory does not.
    if unsafe { libc::setns(fd.as_raw_fd(), set as c_int) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
