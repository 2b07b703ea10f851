//! What a command keeps of one spawn for the next: what was made of settings that have not changed since.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::invocation::{Environment, Program};
use super::maps::Maps;
use crate::sys;
use crate::sys::signal::Signals;

/// For the next spawn. The setters of what it is made from forget it.
#[derive(Default)]
pub(super) struct Kept(Mutex<Parts>);

#[derive(Default)]
pub(super) struct Parts {
    /// The texts and the ranges of ids were looked at, and are such as the kernel takes.
    pub(super) are_valid: bool,
    pub(super) program: Option<Arc<Program>>,
    pub(super) environment: Option<Arc<Environment>>,
    /// And whose ids they are.
    pub(super) maps: Option<((u32, u32), Arc<Maps>)>,
    /// And when that was, by a clock that may be late.
    ignored: Option<(u64, Signals)>,
}

/// How long it counts which signals were ignored: 10 ms with what the clock may be late, which is 4 ms, or 10 where it shows only those.
const JUST_NOW: u64 = 5;

impl Kept {
    /// The program, its arguments, its environment or its id maps are others now.
    pub(super) fn forget(&mut self) {
        let parts = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        *parts = Parts { ignored: parts.ignored, ..Parts::default() };
    }

    pub(super) fn parts(&self) -> MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them were asked for.
    pub(super) fn found_ignored(&self, found: Signals) {
        self.parts().ignored = Some((sys::coarse_clock::now(), found));
    }
}

impl Parts {
    /// The signals that the caller may ignore. Each takes a system call to ask, so they were asked for the time before, if that was just now, but
    /// for those that programs switch.
    pub(super) fn ignored(&self) -> Signals {
        // Not so in a copy of the process that is in another time namespace.
        let just_now =
            |when| sys::coarse_clock::now().checked_sub(when).is_some_and(|age| age <= JUST_NOW);
        match self.ignored {
            Some((when, found)) if just_now(when) => found | Signals::SWITCHED,
            _ => Signals::ALL,
        }
    }
}
