//! The dumpable flag, which a child that shares the caller's memory shares with it.
//!
//! The kernel clears it when such a child changes its ids, and this crate clears it before such a child
//! enters a user namespace, so that nobody in there can reach the caller's memory through the child. It has
//! to be put back afterwards. And while it is clear an ordinary user's id maps cannot be written, for
//! the files below `/proc/<pid>` are then root's. So the two do not happen at the same time.
#![forbid(unsafe_code)]

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::sys;

struct State {
    /// Spawns that need the flag as it is.
    mapping: usize,
    /// Spawns that clear it.
    clearing: usize,
    /// What it was before the first of those.
    before: Option<u32>,
    /// Spawns that wait for the others to be done.
    waiting: usize,
}

static STATE: Mutex<State> =
    Mutex::new(State { mapping: 0, clearing: 0, before: None, waiting: 0 });
static CHANGED: Condvar = Condvar::new();

/// What a spawn does with the flag; until this is dropped.
pub(super) enum Dumpable {
    /// Needs it.
    Mapping,
    /// Has it cleared, and put back in the end.
    Clearing,
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state, once `others` are none.
fn state_without(others: impl Fn(&State) -> usize) -> MutexGuard<'static, State> {
    let mut state = state();
    state.waiting += 1;
    while others(&state) > 0 {
        state = CHANGED.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    state.waiting -= 1;
    state
}

impl Dumpable {
    pub(super) fn mapping() -> Self {
        state_without(|state| state.clearing).mapping += 1;
        Self::Mapping
    }

    pub(super) fn clearing() -> Self {
        let mut state = state_without(|state| state.mapping);
        if state.clearing == 0 {
            state.before = sys::prctl::dumpable();
        }
        state.clearing += 1;
        Self::Clearing
    }
}

impl Drop for Dumpable {
    fn drop(&mut self) {
        let mut state = state();
        let last = match self {
            Self::Mapping => {
                state.mapping -= 1;
                state.mapping == 0
            }
            Self::Clearing => {
                state.clearing -= 1;
                // 2 cannot be set, and is what the kernel itself clears it to where that is configured.
                if let (0, Some(before @ 0..=1)) = (state.clearing, state.before) {
                    if sys::prctl::dumpable() != Some(before) {
                        sys::prctl::set_dumpable(before);
                    }
                }
                state.clearing == 0
            }
        };
        let awaited = state.waiting > 0;
        drop(state);
        if last && awaited {
            CHANGED.notify_all();
        }
    }
}
