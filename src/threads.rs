//! Whether this process is the single-threaded one that some system calls demand.
#![forbid(unsafe_code)]

use std::fs;
use std::time::{Duration, Instant};

use crate::{sys, text};

/// The kernel's `PF_EXITING`: a thread on its way out, which runs no code of the process any more.
const EXITING: u64 = 4;

/// Whether the process has one thread. A thread that was joined may still count for the kernel; such a one is waited for, but never one
/// that runs.
pub(crate) fn is_single() -> bool {
    // Without /proc a thread that runs cannot be told from one that ends; so it is not waited for as long.
    wait_until(sys::unshare::single_threaded, Duration::from_secs(1), Duration::from_millis(5))
}

/// As [`is_single`], and no other process shares the memory, as a child does until the end of its exec.
pub(crate) fn is_alone() -> bool {
    is_single()
        && wait_until(
            sys::unshare::memory_is_unshared,
            Duration::from_millis(50),
            Duration::from_millis(50),
        )
}

fn wait_until(done: impl Fn() -> bool, limit: Duration, limit_without_proc: Duration) -> bool {
    let start = Instant::now();
    loop {
        if done() {
            return true;
        }
        let limit = match others_run() {
            Some(true) => return false,
            Some(false) => limit,
            None => limit_without_proc,
        };
        if start.elapsed() > limit {
            return false;
        }
        std::thread::yield_now();
    }
}

/// Whether any other thread of this process is not on its way out. `None`: /proc does not tell.
fn others_run() -> Option<bool> {
    let own = fs::read_link("/proc/thread-self").ok()?;
    let threads = fs::read_dir("/proc/self/task").ok()?;
    let others =
        threads.flatten().filter(|thread| Some(thread.file_name().as_os_str()) != own.file_name());
    let mut runs = others.filter_map(|thread| text::read(thread.path().join("stat")).ok());
    Some(runs.any(|stat| flags(&stat).is_some_and(|flags| flags & EXITING == 0)))
}

/// The ninth field of a `/proc/<pid>/stat`. The second one, the name in brackets, may have anything in it.
pub(crate) fn flags(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(6)?.parse().ok()
}

/// Whether the process of this `/proc/<pid>/stat`, a child, still has the memory that it was cloned with: it has neither got its own by
/// exec, nor ended.
pub(crate) fn has_first_memory(stat: &str) -> bool {
    /// `PF_FORKNOEXEC`
    const NOT_EXECUTED: u64 = 0x40;
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    let ended = matches!(state, Some('Z' | 'X'));
    !ended && flags(stat).is_some_and(|flags| flags & NOT_EXECUTED != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_found_behind_any_name() {
        assert_eq!(flags("7 (a) b ) S 1 7 7 0 -1 4194304 123 0"), Some(4_194_304));
        assert_eq!(flags("7 (a"), None);
    }

    #[test]
    fn a_child_has_its_first_memory_until_exec_or_its_end() {
        assert!(has_first_memory("7 (Z) Z) R 1 7 7 0 -1 4194368 123 0"));
        assert!(!has_first_memory("7 (a) R 1 7 7 0 -1 4194304 123 0"));
        assert!(!has_first_memory("7 (a) Z 1 7 7 0 -1 4194372 123 0"));
        assert!(!has_first_memory(""));
    }

    #[test]
    fn a_thread_that_runs_is_not_waited_for() {
        // Tests run beside the harness's own thread.
        let start = Instant::now();
        assert!(!is_single());
        assert!(start.elapsed() < Duration::from_millis(500));
    }
}
