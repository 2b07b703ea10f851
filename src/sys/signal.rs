//! sigprocmask(2), raw: libc's wrapper leaves out the signals that libc uses itself.

use std::ffi::c_int;
use std::marker::PhantomData;
use std::{mem, ptr};

use super::syscall::{Errno, syscall};

/// The kernel's signal set: 64 signals, except on MIPS, which has 128.
#[cfg(not(any(target_arch = "mips", target_arch = "mips64")))]
pub(super) type Set = [u64; 1];
#[cfg(any(target_arch = "mips", target_arch = "mips64"))]
pub(super) type Set = [u64; 2];

pub(super) const SET_SIZE: usize = size_of::<Set>();
pub(super) const EMPTY: Set = [0; SET_SIZE / 8];
pub(super) const ALL: Set = [u64::MAX; SET_SIZE / 8];

/// Some of the signals 1 to 64, one bit each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Signals(pub(crate) u64);

impl Signals {
    pub(crate) const ALL: Self = Self(u64::MAX);
    /// What programs ignore around a spawn, as system(3) does, and stop to ignore after it.
    pub(crate) const SWITCHED: Self = Self(
        bit(libc::SIGHUP)
            | bit(libc::SIGINT)
            | bit(libc::SIGQUIT)
            | bit(libc::SIGPIPE)
            | bit(libc::SIGTERM)
            | bit(libc::SIGCHLD),
    );

    fn each_that_can_be_set(
        self,
        mut f: impl FnMut(c_int) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mut left = self.0 & !(bit(libc::SIGKILL) | bit(libc::SIGSTOP));
        while left != 0 {
            f(left.trailing_zeros() as c_int + 1)?;
            left &= left - 1;
        }
        Ok(())
    }
}

impl std::ops::BitOr for Signals {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

const fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

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

/// sigaction(2), as the kernel has it: room for the largest of the architectures. All zero is the default.
pub(super) type Action = [usize; 8];

/// Where the handler is in it.
#[cfg(not(any(target_arch = "mips", target_arch = "mips64")))]
const HANDLER: usize = 0;
#[cfg(any(target_arch = "mips", target_arch = "mips64"))]
const HANDLER: usize = 1;

/// Has each of these signals taken by default. May run between clone and exec.
pub(super) fn reset(signals: Signals) -> Result<(), Errno> {
    signals.each_that_can_be_set(|signal| set_action(signal, &[0; 8], 0))
}

/// Has every signal taken by default, and gives those that were ignored. May run between clone and exec.
pub(super) fn reset_all() -> Result<Signals, Errno> {
    let mut ignored = 0;
    Signals::ALL.each_that_can_be_set(|signal| {
        let before = exchange_action(signal, &[0; 8])?;
        if before[HANDLER] == libc::SIG_IGN {
            ignored |= bit(signal);
        }
        Ok(())
    })?;
    Ok(Signals(ignored))
}

/// Sets how a signal is taken, and gives how it was. May run between clone and exec.
pub(super) fn exchange_action(signal: c_int, action: &Action) -> Result<Action, Errno> {
    let mut before: Action = [0; 8];
    set_action(signal, action, before.as_mut_ptr().expose_provenance())?;
    Ok(before)
}

/// `before`: the address of an [`Action`] to fill, or 0.
fn set_action(signal: c_int, action: &Action, before: usize) -> Result<(), Errno> {
    let action = action.as_ptr().expose_provenance();
    // SAFETY: an action to read, which is zero, the default, or what the kernel gave; and nothing or one to fill.
    unsafe { syscall(libc::SYS_rt_sigaction, [signal as usize, action, before, SET_SIZE, 0, 0]) }
        .map(drop)
}

/// May run between clone and exec.
pub(super) fn block_all(before: &mut Set) -> Result<(), Errno> {
    exchange_mask(&ALL, before.as_mut_ptr().expose_provenance())
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

/// The signals that this process ignored, until they are restored: exec keeps what is ignored. sigaction(2).
#[derive(Debug)]
pub(crate) struct Ignored(Vec<c_int>);

impl Ignored {
    pub(crate) fn reset() -> Self {
        let ignored = (1..=64).filter(|signal| {
            // SAFETY: plain integers and pointers.
            let mut action: libc::sigaction = unsafe { mem::zeroed() };
            // SAFETY: only asks.
            let asked = unsafe { libc::sigaction(*signal, ptr::null(), &raw mut action) };
            asked == 0 && action.sa_sigaction == libc::SIG_IGN
        });
        let ignored = Self(ignored.collect());
        ignored.set(libc::SIG_DFL);
        ignored
    }

    pub(crate) fn restore(self) {
        self.set(libc::SIG_IGN);
    }

    fn set(&self, disposition: libc::sighandler_t) {
        for signal in &self.0 {
            // SAFETY: the default or ignoring: no handler is installed.
            unsafe { libc::signal(*signal, disposition) };
        }
    }
}
