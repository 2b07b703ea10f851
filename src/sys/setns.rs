//! setns(2). The caller's part, and what may run between clone and exec.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use super::syscall::{Errno, syscall};

/// The calling thread enters the namespace, or those of `set` of the process, that `fd` refers to.
pub(crate) fn setns(fd: BorrowedFd<'_>, set: u32) -> io::Result<()> {
    // SAFETY: takes a descriptor and bits; the caller moves, its memory does not.
    if unsafe { libc::setns(fd.as_raw_fd(), set as c_int) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// setns(2) with a pidfd. A process that this caller has just spawned may, at the end of its exec, still count as one that has
/// the caller's memory; which is closed while a user namespace is entered. So a refusal is not taken for the answer at once.
pub(super) fn enter_process(fd: RawFd, set: c_int) -> Result<(), Errno> {
    const TRIES: usize = 2000;
    /// On a busy machine a yield takes milliseconds.
    const MILLISECONDS: libc::c_long = 100;
    let start = monotonic_milliseconds();
    for _ in 0..TRIES {
        // SAFETY: takes a descriptor and bits; the process moves, its memory does not.
        match unsafe { syscall(libc::SYS_setns, [fd as usize, set as usize, 0, 0, 0, 0]) } {
            Err(Errno(libc::EPERM)) => {
                // SAFETY: takes nothing.
                let _ = unsafe { syscall(libc::SYS_sched_yield, [0; 6]) };
            }
            result => return result.map(drop),
        }
        if monotonic_milliseconds().wrapping_sub(start) > MILLISECONDS {
            break;
        }
    }
    Err(Errno(libc::EPERM))
}

/// clock_gettime(2); 0 where it is refused.
fn monotonic_milliseconds() -> libc::c_long {
    let mut now = [0 as libc::c_long; 2];
    let address = now.as_mut_ptr().expose_provenance();
    let args = [libc::CLOCK_MONOTONIC as usize, address, 0, 0, 0, 0];
    // SAFETY: fills the time on this frame.
    match unsafe { syscall(libc::SYS_clock_gettime, args) } {
        Ok(_) => now[0].wrapping_mul(1000).wrapping_add(now[1] / 1_000_000),
        Err(_) => 0,
    }
}
