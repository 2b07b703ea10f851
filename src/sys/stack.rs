//! Stacks for children that share the caller's memory: mmap(2), with a guard page, kept for the thread's next spawn.

use std::cell::Cell;
use std::io;
use std::ptr::{self, NonNull};

use super::shared::Shared;

/// What a child between clone and exec needs at the most; measured use is below 8 KiB, with mounts, without optimisation.
const SIZE: usize = 64 * 1024;
/// For a child that goes on to run a caller's function on a copy of this stack: as a main thread has.
const LARGE: usize = 8 * 1024 * 1024;
/// Kept free at the top for the words that parent and child share.
const RESERVED: usize = 256;
const _: () = assert!(size_of::<Shared>() <= RESERVED && RESERVED % 16 == 0);

/// A mapping whose lowest page is not accessible, with room for a [`Shared`] above the stack.
///
/// While a child runs on it, whoever holds it must neither use nor drop it.
#[derive(Debug)]
pub(crate) struct Stack {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: it owns a mapping of the process, which belongs to no thread.
unsafe impl Send for Stack {}
// SAFETY: shared references give out only the mapping's bounds and the atomics of `Shared`.
unsafe impl Sync for Stack {}

thread_local! {
    /// Stacks of this thread that no child runs on. A chain of clones uses up to four.
    static POOL: [Cell<Option<Stack>>; 4] = const { [const { Cell::new(None) }; 4] };
}

pub(super) fn page_size() -> usize {
    // SAFETY: asks for a value; no memory is involved.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// For a thread that spawns nothing any more.
pub(super) fn empty_pool() {
    let _ = POOL.try_with(|pool| pool.iter().for_each(|place| drop(place.take())));
}

impl Stack {
    /// One from the thread's pool, or a new one.
    pub(crate) fn take() -> io::Result<Self> {
        // A thread in the midst of its destructors has no pool any more, and goes without.
        let pooled = POOL.try_with(|pool| pool.iter().find_map(Cell::take)).ok().flatten();
        match pooled {
            Some(stack) => Ok(stack),
            None => Self::map(SIZE),
        }
    }

    /// A large one, never pooled.
    pub(crate) fn large() -> io::Result<Self> {
        Self::map(LARGE)
    }

    /// Gives it back for the thread's next spawn, once no child runs on it.
    pub(crate) fn give_back(self) {
        if self.len >= LARGE {
            return;
        }
        let _ = POOL.try_with(|pool| {
            let mut stack = Some(self);
            for place in pool {
                match place.take() {
                    None => {
                        place.set(stack.take());
                        return;
                    }
                    occupied => place.set(occupied),
                }
            }
        });
    }

    /// The lowest and the highest address of the mapping.
    pub(super) fn bounds(&self) -> (usize, usize) {
        let base = self.base.as_ptr().expose_provenance();
        (base, base + self.len)
    }

    /// Where a downward-growing stack begins: 16-byte aligned, below the reserved words.
    pub(super) fn top(&self) -> *mut u8 {
        // SAFETY: `len` is larger than `RESERVED`, so this stays inside the mapping.
        unsafe { self.base.as_ptr().add(self.len - RESERVED) }
    }

    /// The words above the stack. They are shared with a child that shares the caller's memory.
    pub(crate) fn shared(&self) -> &Shared {
        // SAFETY: the reserved bytes are mapped, aligned, zeroed at first (a valid `Shared`), and only ever
        // used as a `Shared`, which is made of atomics; they live as long as the mapping, hence as `self`.
        unsafe { &*self.top().cast::<Shared>() }
    }

    fn map(size: usize) -> io::Result<Self> {
        let page = page_size();
        let len = size + page;
        // SAFETY: a new anonymous mapping, of an address that the kernel chooses, disturbs nothing.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack =
            Self { base: NonNull::new(base.cast()).expect("mmap never maps at 0 unasked"), len };
        // SAFETY: the first page of a mapping that is ours and that nobody uses yet.
        if unsafe { libc::mprotect(base, page, libc::PROT_NONE) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(stack)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and whoever holds a stack drops it only once no child runs on it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_given_back_is_the_next_one_taken() {
        let stack = Stack::take().unwrap();
        let base = stack.base;
        stack.give_back();
        assert_eq!(Stack::take().unwrap().base, base);
    }

    #[test]
    fn the_top_is_aligned_and_the_words_above_it_fit() {
        let stack = Stack::take().unwrap();
        assert_eq!(stack.top().addr() % 16, 0);
        assert!(stack.shared().failure().is_none());
    }
}
