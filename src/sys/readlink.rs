//! readlink(2).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What the link `path`, below `directory`, says; it is cut where `buffer` ends.
pub(crate) fn readlinkat<'b>(
    directory: BorrowedFd<'_>,
    path: &CStr,
    buffer: &'b mut [u8],
) -> io::Result<&'b [u8]> {
    // SAFETY: a path with its NUL, and a buffer with its length.
    let length = unsafe {
        libc::readlinkat(
            directory.as_raw_fd(),
            path.as_ptr(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
        )
    };
    if length < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(&buffer[..length as usize])
}
