//! poll(2) and ppoll(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;
use std::time::Duration;

use super::syscall::{Errno, syscall};

/// Whether there is something to read, or an end. May run between clone and exec.
pub(super) fn is_readable_now(fd: RawFd) -> Result<bool, Errno> {
    let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let entry = (&raw mut entry).expose_provenance();
    // SAFETY: one entry and a time, both on this frame.
    let ready = unsafe {
        syscall(libc::SYS_ppoll, [entry, 1, (&raw const now).expose_provenance(), 0, 0, 0])
    }?;
    Ok(ready > 0)
}

/// Waits until one of `fds` can be read or has ended, and says which. May run between clone and exec.
pub(super) fn wait_readable<const N: usize>(fds: [RawFd; N]) -> Result<[bool; N], Errno> {
    let mut entries = fds.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    let address = entries.as_mut_ptr().expose_provenance();
    loop {
        // SAFETY: `N` entries, and null for a time without end and for the signal mask as it is.
        match unsafe { syscall(libc::SYS_ppoll, [address, N, 0, 0, 0, 0]) } {
            Err(Errno(libc::EINTR)) => {}
            result => return result.map(|_| entries.map(|entry| entry.revents != 0)),
        }
    }
}

/// Waits until one of `fds` can be read or has ended, and says which. None means all of them are `None`, or the time is up.
/// `None` for a time without end. EINTR is an error of the caller's to handle.
pub(crate) fn readable<const N: usize>(
    fds: [Option<BorrowedFd<'_>>; N],
    timeout: Option<Duration>,
) -> io::Result<[bool; N]> {
    let mut entries = fds.map(|fd| libc::pollfd {
        // poll(2) passes over negative descriptors.
        fd: fd.map_or(-1, |fd| fd.as_raw_fd()),
        events: libc::POLLIN,
        revents: 0,
    });
    let time = timeout.map(|time| libc::timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: time.subsec_nanos() as _,
    });
    let time = time.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `N` entries and a time or null, all living through the call.
    let ready = unsafe { libc::ppoll(entries.as_mut_ptr(), N as libc::nfds_t, time, ptr::null()) };
    if ready < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(entries.map(|entry| entry.revents != 0))
}
