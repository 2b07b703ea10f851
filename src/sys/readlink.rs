//! readlink(2).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::syscall::syscall;

/// The number that a link says, if it is one of 32 bits.
pub(crate) fn number(path: &CStr) -> Option<u32> {
    let mut text = [0u8; 16];
    let addresses = [path.as_ptr().expose_provenance(), text.as_mut_ptr().expose_provenance()];
    let args = [libc::AT_FDCWD as usize, addresses[0], addresses[1], text.len(), 0, 0];
    // SAFETY: a path with its NUL, and a buffer with its length.
    let length = unsafe { syscall(libc::SYS_readlinkat, args) }.ok()?;
    let digits = text.get(..length).filter(|digits| !digits.is_empty())?;
    digits.iter().try_fold(0u32, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    #[test]
    fn numbers_are_read_and_nothing_else() {
        assert_eq!(number(c"/proc/self"), Some(std::process::id()));
        let directory = tempfile::tempdir().unwrap();
        for (place, (text, expected)) in [
            ("0", Some(0)),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("12345678901234567890", None),
            ("1x", None),
            ("-1", None),
            ("/", None),
        ]
        .into_iter()
        .enumerate()
        {
            let link = directory.path().join(place.to_string());
            symlink(text, &link).unwrap();
            let link = CString::new(link.as_os_str().as_bytes()).unwrap();
            assert_eq!(number(&link), expected, "{text}");
        }
        assert_eq!(number(c"/proc/no-such-link"), None);
    }
}
