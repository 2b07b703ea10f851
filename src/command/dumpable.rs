//! The dumpable flag, which a child that shares the caller's memory shares with it.
//!
//! The kernel clears it when such a child changes its ids. And this crate clears it before such a child comes where others have
//! power over it that they have not over the caller: in a user namespace, new or entered; lest they reach the
//! caller's memory through it. It has to be put back afterwards. While it is clear an ordinary user's id maps cannot be
//! written, nor the clocks be set, for the files below `/proc/<pid>` are then root's. So the two do not happen at the same time: spawns of the
//! one sort wait for those of the other that came before them.
//!
//! Another thread may change the ids of the process meanwhile, for which the kernel clears the flag, too. Each thread then has other ids than
//! before; so who has the flag cleared looks at its own, and leaves it cleared if these have changed. A thread that comes to
//! change them only after that look has the kernel clear the flag by itself.
//!
//! A caller that has changed its ids, or has closed its memory itself, has the flag clear all the time. Then it is set for as long as
//! it takes to open the files, or for `newuidmap` to write them ([`Dumpable::raised`]), and cleared again.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{process, thread};

use crate::{sys, text, threads};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sort {
    /// Needs the flag as it is.
    Mapping,
    /// Has it cleared, and put back in the end.
    Clearing,
    /// Needs it as it is, and then has it cleared: one at a time, and none of the others beside it.
    Both,
}

struct State {
    /// A copy of the process, as a function runs in, has none of these spawns.
    process: (u32, u32),
    next: u64,
    /// Those that go on or wait, in the order in which they came.
    queue: Vec<(u64, Sort)>,
    /// Of those that go on.
    clearing: usize,
    /// Children that are suspended, for whom it stays cleared; nobody waits for them.
    held: usize,
    /// What the flag was before the first of those, if it is to be so again.
    before: Option<u32>,
    /// How many need it set at the moment, and what it was before the first of those.
    raised: usize,
    lower: Option<u32>,
}

/// The effective ids of the calling thread, as they were. The kernel asks for those for files too; but a thread changes these alone for itself
/// alone, and a filter may kill whoever makes that call.
#[derive(Clone, Copy, Debug)]
struct Ids((u32, u32));

impl Ids {
    fn now() -> Self {
        Self(sys::process::effective_ids())
    }

    fn have_changed(self) -> bool {
        Self::now().0 != self.0
    }
}

impl State {
    const fn new(process: (u32, u32)) -> Self {
        Self {
            process,
            next: 0,
            queue: Vec::new(),
            clearing: 0,
            held: 0,
            before: None,
            raised: 0,
            lower: None,
        }
    }
}

/// Copies between the first process and this one. A copy may have the number of the process that it was copied from, as process
/// 1 of a pid namespace.
static COPIES: AtomicU32 = AtomicU32::new(0);

/// This process is a copy, in which the user's code runs.
pub(super) fn is_a_copy() {
    COPIES.fetch_add(1, SeqCst);
}

/// Who this is, other than any process that it was copied from.
pub(super) fn own() -> (u32, u32) {
    (process::id(), COPIES.load(SeqCst))
}

static STATE: Mutex<State> = Mutex::new(State::new((0, 0)));
static CHANGED: Condvar = Condvar::new();

/// A spawn that uses the flag, until this is dropped.
pub(crate) struct Dumpable {
    process: u32,
    ticket: u64,
    /// Of one that clears it.
    ids: Option<Ids>,
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Dumpable {
    /// For a spawn that writes id maps, or sets clocks.
    pub(crate) fn mapping() -> Self {
        Self::mapping_by(own())
    }

    /// The same for a caller that has just found which process it is.
    pub(super) fn mapping_by(process: (u32, u32)) -> Self {
        Self::queue(Sort::Mapping, process, None)
    }

    /// For a spawn in which the flag will be cleared.
    pub(crate) fn clearing() -> Self {
        Self::queue(Sort::Clearing, own(), Some(Ids::now()))
    }

    /// For one that sets clocks, and in which the flag will be cleared after that.
    pub(crate) fn both() -> Self {
        Self::queue(Sort::Both, own(), Some(Ids::now()))
    }

    /// The same as [`clearing`](Self::clearing), and it is cleared at once.
    pub(crate) fn cleared() -> Self {
        Self::cleared_by(own(), sys::process::effective_ids())
    }

    /// The same for a caller that has just found which process it is and which its effective ids are.
    pub(super) fn cleared_by(process: (u32, u32), ids: (u32, u32)) -> Self {
        let clearing = Self::queue(Sort::Clearing, process, Some(Ids(ids)));
        sys::prctl::set_dumpable(0);
        clearing
    }

    /// The process whose flag it is.
    pub(super) fn process(&self) -> u32 {
        self.process
    }

    /// Runs `with` while the flag is set, which takes no more than the moments it is needed.
    pub(super) fn raised<T>(&self, with: impl FnOnce() -> T) -> T {
        let _raised = Raised::new();
        with()
    }

    /// `ids`, for one that clears it, were looked at before the flag: a change in between is found, whichever of the two it comes before.
    fn queue(sort: Sort, process: (u32, u32), ids: Option<Ids>) -> Self {
        let mut state = state();
        if state.process != process {
            *state = State::new(process);
        }
        let ticket = state.next;
        state.next += 1;
        state.queue.push((ticket, sort));
        let others_first = |state: &State| {
            state
                .queue
                .iter()
                .take_while(|(earlier, _)| *earlier != ticket)
                .any(|(_, other)| *other != sort || sort == Sort::Both)
        };
        while others_first(&state) {
            state = CHANGED.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if sort != Sort::Mapping {
            if state.clearing + state.held == 0 {
                state.before = sys::prctl::dumpable();
            }
            state.clearing += 1;
        }
        Self { process: process.0, ticket, ids }
    }
}

/// Waits until a program has memory of its own: exec wakes its caller a moment before, and one that may trace the program could
/// then reach through it what it may not reach in the caller. `child` is its id, if it is known, and `number` that in /proc, where it
/// is looked for if need be. Without /proc nobody can tell, nor reach it that way.
pub(super) fn wait_for_exec(child: Option<i32>, number: impl FnOnce() -> Option<u32>) {
    for _ in 0..3 {
        match child.and_then(sys::setpgid::has_executed) {
            Some(true) => return,
            Some(false) => thread::yield_now(),
            None => break,
        }
    }
    let Some(process) = number() else { return };
    let stat = format!("/proc/{process}/stat");
    let start = Instant::now();
    while text::read(&stat).is_ok_and(|stat| threads::has_first_memory(&stat))
        && start.elapsed() < Duration::from_secs(1)
    {
        thread::yield_now();
    }
}

/// The flag as it is when no spawn is at work on it.
pub(super) fn settled() -> Option<u32> {
    let state = state();
    let own = state.process == self::own();
    match () {
        () if own && state.clearing + state.held > 0 => state.before,
        () if own && state.raised > 0 => state.lower,
        () => sys::prctl::dumpable(),
    }
}

/// The flag is set, until the last of these is dropped.
struct Raised(Ids);

impl Raised {
    fn new() -> Self {
        let mut state = state();
        let ids = Ids::now();
        if state.raised == 0 {
            state.lower = sys::prctl::dumpable();
        }
        state.raised += 1;
        if sys::prctl::dumpable() != Some(1) {
            sys::prctl::set_dumpable(1);
        }
        Self(ids)
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        let mut state = state();
        state.raised -= 1;
        if self.0.have_changed() {
            state.lower = Some(0);
        }
        if state.raised == 0 && state.lower.is_some_and(|before| before != 1) {
            // Where it was 2, which cannot be set, 0 says nearly the same.
            sys::prctl::set_dumpable(0);
        }
    }
}

/// Keeps it cleared, until it is dropped, without being in anybody's way.
#[derive(Debug)]
pub(super) struct Held {
    process: (u32, u32),
    ids: Ids,
}

impl Dumpable {
    /// For a child that is suspended. Only for callers that do not need the flag.
    pub(super) fn hold(self) -> Option<Held> {
        let ids = self.ids?;
        state().held += 1;
        Some(Held { process: own(), ids })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = state();
        if state.process == self.process && own() == self.process {
            state.held -= 1;
            state.put_back(self.ids);
        }
    }
}

/// Whether it is cleared now for a child that is suspended.
pub(super) fn is_closed() -> bool {
    let state = state();
    state.process == self::own() && state.held > 0
}

/// Whether a copy of the memory is born with it clear, while no other spawn is at work on it.
pub(super) fn closes_copies() -> bool {
    is_closed() || settled() != Some(1)
}

impl State {
    /// What it was, when nobody has it cleared any more. `ids` are those of who had.
    fn put_back(&mut self, ids: Ids) {
        if ids.have_changed() {
            // It stays as the kernel and this have made it.
            self.before = None;
        }
        // 2 cannot be set, and is what the kernel itself clears it to where that is configured.
        if let (0, Some(before @ 0..=1)) = (self.clearing + self.held, self.before) {
            sys::prctl::set_dumpable(before);
        }
    }
}

impl Drop for Dumpable {
    fn drop(&mut self) {
        let mut state = state();
        state.queue.retain(|(ticket, _)| *ticket != self.ticket);
        if let Some(ids) = self.ids {
            state.clearing -= 1;
            state.put_back(ids);
        }
        let awaited = !state.queue.is_empty();
        drop(state);
        if awaited {
            CHANGED.notify_all();
        }
    }
}
