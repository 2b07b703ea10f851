//! fork(2), with bits of clone(2): a copy of the process that goes on where this one does. And whether there was a fork.

use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use super::syscall::{Errno, syscall};

/// In the copy 0, in the caller its id, and its pidfd in `pidfd`. It is waited for with `__WALL`: there is no signal
/// at its end, so that it is not reaped by a kernel that was told to ignore that signal.
///
/// # Safety
/// What the copy does until it execs or ends may be done in a copy of a process that may have had other threads.
pub(super) unsafe fn fork(namespaces: u64, pidfd: &mut i32) -> Result<i32, Errno> {
    let flags = namespaces as usize | libc::CLONE_PIDFD as usize;
    let pidfd = ptr::from_mut(pidfd).expose_provenance();
    // s390x alone has the stack before the flags.
    let first = if cfg!(target_arch = "s390x") { [0, flags] } else { [flags, 0] };
    // SAFETY: without a stack and without `CLONE_VM` the child has a copy of this one and returns here; the kernel writes the
    // pidfd. The rest is the caller's promise.
    unsafe { syscall(libc::SYS_clone, [first[0], first[1], pidfd, 0, 0, 0]) }.map(|id| id as i32)
}

/// A word on a page that the kernel wipes in the copy that fork(2) makes: madvise(2).
struct Mark(NonNull<AtomicU32>);

// SAFETY: a mapping that is never undone, and an atomic.
unsafe impl Send for Mark {}
// SAFETY: as above.
unsafe impl Sync for Mark {}

static MARK: OnceLock<Option<Mark>> = OnceLock::new();

fn map() -> Option<Mark> {
    let length = 4096;
    // SAFETY: a new anonymous mapping, of an address that the kernel chooses, disturbs nothing.
    let page = unsafe {
        libc::mmap(
            ptr::null_mut::<c_void>(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: advice for the page just mapped.
    if unsafe { libc::madvise(page, length, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: nobody knows it yet.
        unsafe { libc::munmap(page, length) };
        return None;
    }
    NonNull::new(page.cast()).map(Mark)
}

fn word() -> Option<&'static AtomicU32> {
    let mark = MARK.get()?.as_ref()?;
    // SAFETY: a page is aligned, its zeros are a valid value, and it stays mapped.
    Some(unsafe { mark.0.as_ref() })
}

/// From now on this process is told from its copies.
pub(crate) fn mark_this_process() {
    MARK.get_or_init(map);
    if let Some(word) = word() {
        word.store(1, SeqCst);
    }
}

/// Whether this is the process that was marked last, and no copy of it. May run between fork and exec. It is not known, and so not said,
/// where the kernel has no such pages (before Linux 4.14).
pub(super) fn is_marked_process() -> bool {
    word().is_some_and(|word| word.load(SeqCst) == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_not_the_marked_process() {
        mark_this_process();
        assert!(is_marked_process());
        let mut pidfd = -1;
        // SAFETY: the copy makes one system call.
        let id = unsafe { fork(0, &mut pidfd) }.unwrap();
        if id == 0 {
            let code = usize::from(is_marked_process());
            // SAFETY: ends the copy.
            let _ = unsafe { syscall(libc::SYS_exit_group, [code, 0, 0, 0, 0, 0]) };
        }
        let status = crate::sys::wait::wait_pid(id).unwrap().unwrap();
        assert_eq!(status.code(), Some(0));
        // SAFETY: `fork` put it there for us.
        drop(unsafe { crate::sys::pidfd::take(pidfd) });
        assert!(is_marked_process());
    }
}
