//! statfs(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The type of the file system that an open file is on: one of the magic numbers of the manual page.
#[allow(clippy::unnecessary_cast, reason = "the widths differ between architectures")]
pub(crate) fn magic(file: BorrowedFd<'_>) -> io::Result<i64> {
    // SAFETY: plain integers.
    let mut status: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: a `statfs` to fill.
    if unsafe { libc::fstatfs(file.as_raw_fd(), &raw mut status) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(status.f_type as i64)
}
