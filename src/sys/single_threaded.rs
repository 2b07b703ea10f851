//! `__libc_single_threaded`: what glibc knows of the number of threads.

use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering::Relaxed};

/// Where libc keeps it, once it was looked for.
static WORD: AtomicPtr<AtomicU8> = AtomicPtr::new((&raw const NOT_SINGLE).cast_mut());
/// In its place until then, with a value of its own, and where libc has none.
static NOT_SINGLE: AtomicU8 = AtomicU8::new(0);
static UNKNOWN: AtomicU8 = AtomicU8::new(0);

/// Whether this process certainly has one thread. `false` says nothing: other C libraries than glibc 2.32 and newer never tell.
pub(crate) fn is_certain() -> bool {
    let mut word = WORD.load(Relaxed);
    if std::ptr::eq(word, &raw const NOT_SINGLE) {
        // SAFETY: looks a name up.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__libc_single_threaded".as_ptr()) };
        word = if found.is_null() { (&raw const UNKNOWN).cast_mut() } else { found.cast() };
        WORD.store(word, Relaxed);
    }
    // SAFETY: one of the two above, or libc's `char`, which lives as long as the process and which libc changes only while there is
    // no other thread, or from the one that is left.
    unsafe { (*word).load(Relaxed) != 0 }
}

#[cfg(test)]
mod tests {
    #[test]
    fn beside_the_harness_it_is_not_certain() {
        // The thread that started this test is waiting for it.
        let beside = std::thread::spawn(super::is_certain);
        assert!(!beside.join().unwrap());
    }
}
