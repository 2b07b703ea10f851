//! fcntl(2): flags of open files, and duplicates to put back.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// `O_NONBLOCK` on the open file description.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: reads flags of a descriptor that is borrowed.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: sets flags of the same; that it is a file of the caller's is the caller's affair.
    if unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Descriptors under numbers that are about to be taken, to be put back if the taking comes to nothing.
#[derive(Debug)]
pub(crate) struct Saved(Vec<(RawFd, Option<(OwnedFd, c_int)>)>);

impl Saved {
    pub(crate) fn save(numbers: impl Iterator<Item = RawFd>) -> Self {
        let save = |number: RawFd| {
            // SAFETY: reads the flags of whatever is under the number.
            let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
            // SAFETY: duplicates what is under the number, if anything is.
            let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
            if flags < 0 || copy < 0 {
                return (number, None);
            }
            // SAFETY: new, and nobody else's.
            (number, Some((unsafe { OwnedFd::from_raw_fd(copy) }, flags)))
        };
        Self(numbers.map(save).collect())
    }

    /// Puts back what was there, and closes what was put where nothing was.
    pub(crate) fn restore(self) {
        for (number, saved) in self.0 {
            match saved {
                Some((copy, flags)) => {
                    // SAFETY: the number gets back what it had before, which is what its owner expects of it.
                    unsafe { libc::dup2(copy.as_raw_fd(), number) };
                    // SAFETY: as above.
                    unsafe { libc::fcntl(number, libc::F_SETFD, flags) };
                }
                None => {
                    // SAFETY: nothing was there before, so nobody owns what the failed exec put there.
                    unsafe { libc::close(number) };
                }
            }
        }
    }
}
