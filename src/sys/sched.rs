//! sched_setaffinity(2), for the calling thread.

use std::{io, mem, ptr};

/// The processors that the calling thread may run on, of the first 1024.
pub(crate) fn processors() -> Vec<usize> {
    // SAFETY: plain integers, for which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: fills a set of that size.
    if unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) } != 0 {
        return Vec::new();
    }
    let all = 0..8 * size_of_val(&set);
    // SAFETY: the number is within the set.
    all.filter(|processor| unsafe { libc::CPU_ISSET(*processor, &set) }).collect()
}

/// Has the calling thread run on this one alone, from now on.
pub(crate) fn stay_on(processor: usize) -> io::Result<()> {
    // SAFETY: plain integers, for which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    if processor < 8 * size_of_val(&set) {
        // SAFETY: the number is within the set.
        unsafe { libc::CPU_SET(processor, &mut set) };
    }
    // SAFETY: a set of that size.
    if unsafe { libc::sched_setaffinity(0, size_of_val(&set), ptr::from_ref(&set)) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stays_where_it_is_put() {
        let before = processors();
        let last = *before.last().unwrap();
        let seen = std::thread::spawn(move || {
            stay_on(last).unwrap();
            processors()
        });
        assert_eq!(seen.join().unwrap(), [last]);
        assert_eq!(processors(), before);
        assert!(stay_on(usize::MAX).is_err());
    }
}
