//! futex(2), shared between processes. May run between clone and exec.

use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use super::syscall::syscall;

/// Sleeps while `word` is `value`. May also return early: the caller looks again.
pub(crate) fn wait(word: &AtomicU32, value: u32) {
    wait_until(word, value, ptr::null());
}

/// The same, but not for much longer than so many milliseconds, of which there are less than 1000.
pub(super) fn wait_briefly(word: &AtomicU32, value: u32, milliseconds: u32) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: (milliseconds * 1_000_000) as _ };
    wait_until(word, value, &raw const time);
}

fn wait_until(word: &AtomicU32, value: u32, timeout: *const libc::timespec) {
    // SAFETY: the word and the time, if any, outlive the call, which only reads them.
    let _ = unsafe {
        syscall(
            libc::SYS_futex,
            [
                word.as_ptr().expose_provenance(),
                libc::FUTEX_WAIT as usize,
                value as usize,
                timeout.expose_provenance(),
                0,
                0,
            ],
        )
    };
}

/// Wakes whoever sleeps on `word`.
pub(crate) fn wake(word: &AtomicU32) {
    // SAFETY: the address is only a name here; nothing is read or written.
    let _ = unsafe {
        syscall(
            libc::SYS_futex,
            [
                word.as_ptr().expose_provenance(),
                libc::FUTEX_WAKE as usize,
                i32::MAX as usize,
                0,
                0,
                0,
            ],
        )
    };
}

/// Sleeps until `word` is no longer `value`, and gives what it is then.
pub(crate) fn wait_while(word: &AtomicU32, value: u32) -> u32 {
    loop {
        let now = word.load(SeqCst);
        if now != value {
            return now;
        }
        wait(word, value);
    }
}
