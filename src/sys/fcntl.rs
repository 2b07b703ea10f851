//! fcntl(2): flags of open files, and duplicates to put back.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// `O_NONBLOCK` on the open file description.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    change_flags(fd, |flags| flags | libc::O_NONBLOCK)
}

/// No `O_NONBLOCK` on the open file description.
#[cfg(feature = "tokio")]
pub(crate) fn set_blocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    change_flags(fd, |flags| flags & !libc::O_NONBLOCK)
}

fn change_flags(fd: BorrowedFd<'_>, change: impl FnOnce(c_int) -> c_int) -> io::Result<()> {
    // SAFETY: reads flags of a descriptor that is borrowed.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: sets flags of the same; that it is a file of the caller's is the caller's affair.
    if unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, change(flags)) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Descriptors under numbers that are about to be taken, to be put back if the taking comes to nothing.
#[derive(Debug)]
pub(crate) struct Saved(Vec<(RawFd, Before)>);

/// What was under a number.
#[derive(Debug)]
enum Before {
    Nothing,
    /// A copy, if there could be one, and the flags.
    Open(Option<OwnedFd>, c_int),
}

impl Saved {
    /// The copies are under none of the numbers in `taken`.
    pub(crate) fn save(numbers: &[RawFd], taken: &[RawFd]) -> Self {
        // All are looked at before the first copy is made, which could be taken for what was there.
        let flags = numbers.iter().map(|number| {
            // SAFETY: reads the flags of whatever is under the number.
            let flags = unsafe { libc::fcntl(*number, libc::F_GETFD) };
            (*number, Some(flags).filter(|flags| *flags >= 0))
        });
        let flags: Vec<_> = flags.collect();
        let save = |(number, flags): (RawFd, Option<c_int>)| {
            (
                number,
                flags.map_or(Before::Nothing, |flags| Before::Open(copy(number, taken), flags)),
            )
        };
        Self(flags.into_iter().map(save).collect())
    }

    /// Puts back what was there, and closes what was put where nothing was.
    pub(crate) fn restore(self) {
        for (number, before) in self.0 {
            match before {
                Before::Open(None, _) => {}
                Before::Open(Some(copy), flags) => {
                    // SAFETY: the number gets back what it had before, which is what its owner expects of it.
                    unsafe { libc::dup2(copy.as_raw_fd(), number) };
                    // SAFETY: as above.
                    unsafe { libc::fcntl(number, libc::F_SETFD, flags) };
                }
                Before::Nothing => {
                    // SAFETY: nothing was there before, so nobody owns what the failed exec put there.
                    unsafe { libc::close(number) };
                }
            }
        }
    }
}

/// A copy under a free number that is none of `taken`. `None`: there is no such number.
fn copy(number: RawFd, taken: &[RawFd]) -> Option<OwnedFd> {
    let mut least = 3;
    loop {
        // SAFETY: duplicates what is under the number.
        let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, least) };
        if copy < 0 {
            return None;
        }
        // SAFETY: new, and nobody else's.
        let owned = unsafe { OwnedFd::from_raw_fd(copy) };
        if !taken.contains(&copy) {
            return Some(owned);
        }
        least = copy + 1;
    }
}

/// The same file as under a number that this process was started with. Close-on-exec.
#[cfg(feature = "test")]
pub(crate) fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    copy(number, &[]).ok_or_else(io::Error::last_os_error)
}

/// Has a number that this process was started with not reach the programs that it starts.
#[cfg(feature = "test")]
pub(crate) fn set_close_on_exec(number: RawFd) -> io::Result<()> {
    // SAFETY: sets a flag of what is under the number, which its owner, if it has one, would have set.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// dup3(2): has `fd` refer to what `to` refers to. Close-on-exec.
pub(super) fn replace(fd: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: `fd` stays open, and its owner, who lends it, wants it so.
    let done = unsafe { libc::dup3(to.as_raw_fd(), fd.as_raw_fd(), libc::O_CLOEXEC) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The same file under a number, from 3 up, that is none of `taken`. Close-on-exec.
pub(crate) fn away_from(fd: OwnedFd, taken: &[RawFd]) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > 2 && !taken.contains(&fd.as_raw_fd()) {
        return Ok(fd);
    }
    copy(fd.as_raw_fd(), taken).ok_or_else(io::Error::last_os_error)
}

/// The descriptors from 3 up that a program would inherit; for an exec that has them closed, and may fail.
#[derive(Debug)]
pub(crate) struct Inheritable(Vec<RawFd>);

impl Inheritable {
    pub(crate) fn now() -> Self {
        let listed = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        let numbers = listed.filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok());
        // SAFETY: reads the flags of whatever is under the number.
        let inheritable = |fd: &RawFd| *fd > 2 && unsafe { libc::fcntl(*fd, libc::F_GETFD) } == 0;
        Self(numbers.filter(inheritable).collect())
    }

    pub(crate) fn restore(self) {
        for fd in self.0 {
            // SAFETY: the flags that this descriptor had.
            unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
        }
    }
}
