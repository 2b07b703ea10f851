//! sigprocmask(2), raw: libc's wrapper leaves out the signals that libc uses itself.

use std::marker::PhantomData;

use super::syscall::{Errno, syscall};

/// The kernel's signal set: 64 signals, except on MIPS, which has 128.
#[cfg(not(any(target_arch = "mips", target_arch = "mips64")))]
type Set = [u64; 1];
#[cfg(any(target_arch = "mips", target_arch = "mips64"))]
type Set = [u64; 2];

pub(super) const SET_SIZE: usize = size_of::<Set>();
pub(super) const EMPTY: Set = [0; SET_SIZE / 8];
const ALL: Set = [u64::MAX; SET_SIZE / 8];

/// May run between clone and exec.
pub(super) fn set_mask(set: &Set) -> Result<(), Errno> {
    exchange_mask(set, 0)
}

fn exchange_mask(set: &Set, old: usize) -> Result<(), Errno> {
    let how = libc::SIG_SETMASK as usize;
    // SAFETY: `set` is borrowed for the call; `old` is 0 or the address of a `Set` to fill.
    unsafe {
        syscall(
            libc::SYS_rt_sigprocmask,
            [how, set.as_ptr().expose_provenance(), old, SET_SIZE, 0, 0],
        )
    }
    .map(drop)
}

/// All signals blocked in this thread until it is dropped: a handler that ran in a child that shares this
/// memory would change it.
#[derive(Debug)]
pub(crate) struct Blocked {
    before: Set,
    /// A mask belongs to its thread.
    not_send: PhantomData<*const ()>,
}

impl Blocked {
    pub(crate) fn all() -> Self {
        let mut before = EMPTY;
        let _ = exchange_mask(&ALL, before.as_mut_ptr().expose_provenance());
        Self { before, not_send: PhantomData }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let _ = set_mask(&self.before);
    }
}

/// What every signal does in this process, for a change that may have to be undone: sigaction(2).
pub(crate) struct Dispositions(Box<[[usize; 8]; 64]>);

impl Dispositions {
    pub(crate) fn save() -> Self {
        let mut all = Box::new([[0; 8]; 64]);
        for (action, signal) in all.iter_mut().zip(1usize..) {
            let old = action.as_mut_ptr().expose_provenance();
            // SAFETY: the kernel's `sigaction` is at most 4 words and the mask; it only fills the buffer.
            let _ = unsafe { syscall(libc::SYS_rt_sigaction, [signal, 0, old, SET_SIZE, 0, 0]) };
        }
        Self(all)
    }

    pub(crate) fn restore(&self) {
        for (action, signal) in self.0.iter().zip(1usize..) {
            // SAFETY: puts back what the kernel gave for this very signal of this process.
            let _ = unsafe {
                syscall(
                    libc::SYS_rt_sigaction,
                    [signal, action.as_ptr().expose_provenance(), 0, SET_SIZE, 0, 0],
                )
            };
        }
    }
}
