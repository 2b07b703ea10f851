//! The caller's side of a spawn, and what makes it sound: who lives how long.
//!
//! [`spawn`] clones the first process, which replays the list of operations; a [`Op::Hop`] in it hands the
//! rest to the next process. The caller returns only when no process runs on its memory any more: each of them sleeps
//! in vfork until the next has exec'd or ended, and a word that the kernel clears tells of those that do
//! not, even if somebody kills the one in between. Until then the caller holds the stacks, the list and
//! all that it borrows, with all signals blocked.

use std::os::fd::{AsFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::process::ExitStatus;
use std::sync::atomic::Ordering::SeqCst;
use std::{io, mem};

use super::child::{Op, Rest, replay_here, start};
use super::clone::{CLONE_CLEAR_SIGHAND, Spec};
use super::shared::{PROCESSES, Shared, SharedPage, state};
use super::signal::{Blocked, Ignored, Signals};
use super::stack::Stack;
use super::syscall::Errno;
use super::{futex, pidfd, process, wait};

/// A program that has exec'd, a function that runs, or a process that has come to [`Op::End`].
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) pidfd: OwnedFd,
    /// As the process that cloned it numbers it: the caller, unless it was cloned in a pid namespace that was entered.
    pub(crate) pid: i32,
    /// What [`Op::OpenNamespace`] has opened.
    pub(crate) opened: Option<OwnedFd>,
    /// The signals that it was found to ignore, if all were looked at.
    pub(crate) ignored: Option<Signals>,
    /// Where an init tells how the program has ended.
    pub(crate) told: Option<SharedPage>,
}

/// Why there is none. Nothing of the spawn is left.
#[derive(Debug)]
pub(crate) enum Failure<E> {
    /// Memory or descriptors for the spawn itself were refused.
    Resources(io::Error),
    /// The first clone was refused.
    Clone(i32),
    /// The operation at this place failed, with this errno.
    Op(usize, i32),
    /// The process died in the middle of the operation at this place.
    Died(usize, Option<ExitStatus>),
    /// What the caller had to do for it.
    Help(E),
}

/// What the caller does while the child waits in [`Op::AwaitMaps`], told the child's pidfd and, if the caller itself
/// cloned it, its id.
pub(crate) type Help<'h, E> = dyn FnMut(BorrowedFd<'_>, Option<i32>) -> Result<(), E> + 'h;

/// Unwinding past running children would take their stacks away.
struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        std::process::abort();
    }
}

/// Clones `first`, which does `ops`, and waits until the program at the end of the list runs.
///
/// In the list the user's code is behind a hop to a copy, or `first` is one; the caller of this function sees to
/// that, and it is checked.
pub(crate) fn spawn<E>(
    first: Spec,
    ops: &mut [Op<'_>],
    help: Option<&mut Help<'_, E>>,
) -> Result<Program, Failure<E>> {
    let (mut family, seen) = launch(first, ops, &mut [], help)?;
    let ended_badly = family.settle();
    let arrival = Arrival::at(ops.get(family.begun()));
    family.finish(arrival, seen, ended_badly)
}

/// Clones the first process, and does what the caller has to do until there is nothing more for it to do. `tail` is done
/// after `ops`.
pub(super) fn launch<E>(
    mut first: Spec,
    ops: &mut [Op<'_>],
    tail: &mut [Op<'static>],
    mut help: Option<&mut Help<'_, E>>,
) -> Result<(Family, Seen<E>), Failure<E>> {
    // A process that stays awake meanwhile can help, and hears of a function that has begun.
    let attended = !first.is(libc::CLONE_VFORK);
    let family = Family::line_up(&mut first, ops).map_err(Failure::Resources)?;
    let shared = family.shared();
    shared.reset();
    let blocked = Blocked::all();
    let bomb = AbortOnUnwind;
    let mut rest = Rest::with_tail(ops, tail, shared);
    // SAFETY: all signals are blocked until `blocked` drops, and what is behind it is not reached by unwinding. A `Family` keeps stacks and
    // words until `settle` has seen that no process that shares this memory is left. The lists stay as long: either the caller
    // of this function settles at once, or the family has been suspended, and uses only the tail from then on,
    // which the caller keeps with it. User's code is in a copy.
    let outcome = match unsafe { start(&first, &mut rest) } {
        Err(Errno(errno)) => Err(Failure::Clone(errno)),
        Ok(pid) => {
            // Where the kernel could write only one of pidfd and id.
            if let Some(word) = shared.pid(0) {
                word.store(pid, SeqCst);
            }
            let direct_child = (family.last == 0).then_some(pid);
            Ok(if attended { attend(&family, &mut help, direct_child) } else { Seen::Gone(Ok(())) })
        }
    };
    mem::forget(bomb);
    drop(blocked);
    outcome.map(|seen| (family, seen))
}

/// What the caller has seen of the processes when it had nothing more to do.
#[derive(Debug)]
pub(super) enum Seen<E> {
    /// The first one has exec'd or is gone. How the help went that was given meanwhile.
    Gone(Result<(), Failure<E>>),
    /// A function has begun, or the program of an init.
    Ready,
    /// All is set up, and the program's process waits to be resumed.
    Suspended,
}

/// How far the program's process has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    Not,
    /// At exec, or at the end without one, which is known to have been done only if the process has left the memory.
    Exec,
    /// At a function, or behind the exec of an init's program.
    Ready,
}

impl Arrival {
    /// By the operation that was begun last.
    pub(super) fn at(begun: Option<&Op<'_>>) -> Self {
        match begun {
            Some(Op::Exec(_) | Op::End) => Self::Exec,
            Some(Op::Call(_)) => Self::Ready,
            _ => Self::Not,
        }
    }
}

/// The processes of a spawn, and what of the caller's memory they run on.
#[derive(Debug)]
pub(super) struct Family {
    /// Of those that share the caller's memory, in their order.
    stacks: Stacks,
    /// The words that they share, if those are not above the first stack: copies share a page.
    page: Option<SharedPage>,
    /// Which of them run on the caller's own memory.
    shares: [bool; PROCESSES],
    /// Which one becomes the program, or stays as the init in front of it.
    pub(super) last: usize,
    /// Whether that one is an init, which tells how the program ends.
    init: bool,
}

/// Most spawns have one.
#[derive(Debug, Default)]
struct Stacks {
    first: Option<Stack>,
    others: Vec<Stack>,
}

impl Stacks {
    fn give_back_first(&mut self) {
        if let Some(stack) = self.first.take() {
            stack.give_back();
        }
    }

    fn give_back_others(&mut self) {
        if !self.others.is_empty() {
            self.give_back_several();
        }
    }

    #[cold]
    #[inline(never)]
    fn give_back_several(&mut self) {
        for stack in self.others.drain(..) {
            stack.give_back();
        }
    }
}

impl Family {
    /// Gives each process its place, and a stack if it shares the memory.
    fn line_up(first: &mut Spec, ops: &mut [Op<'_>]) -> io::Result<Self> {
        let is_plain =
            |op: &Op<'_>| !matches!(op, Op::Hop(_) | Op::Init(_) | Op::PreExec(_) | Op::Call(_));
        if first.is(libc::CLONE_VM) && ops.iter().all(is_plain) {
            return Self::of_one(first);
        }
        Self::of_several(first, ops)
    }

    fn of_one(only: &mut Spec) -> io::Result<Self> {
        let stack = Stack::take()?;
        (only.process, only.program, only.stack) = (0, true, stack.top());
        let stacks = Stacks { first: Some(stack), others: Vec::new() };
        let mut shares = [false; PROCESSES];
        shares[0] = true;
        Ok(Self { stacks, page: None, shares, last: 0, init: false })
    }

    #[cold]
    #[inline(never)]
    fn of_several(first: &mut Spec, ops: &mut [Op<'_>]) -> io::Result<Self> {
        let mut in_copy = !first.is(libc::CLONE_VM);
        let mut code = false;
        let mut specs = vec![first];
        let mut bounds = None;
        for op in ops {
            match op {
                Op::Hop(spec) => {
                    in_copy |= !spec.is(libc::CLONE_VM);
                    specs.push(spec);
                }
                Op::Init(init) => {
                    in_copy |= !init.program.is(libc::CLONE_VM);
                    bounds = Some(&mut init.stack);
                    specs.push(&mut init.program);
                }
                Op::PreExec(_) | Op::Call(_) => {
                    assert!(in_copy, "the user's code in the caller's memory");
                    code = true;
                }
                _ => {}
            }
        }
        let init = bounds.is_some();
        assert!(specs.len() <= PROCESSES, "more processes than there are words for");
        let last = specs.len() - 1 - usize::from(init);
        let mut stacks = Vec::with_capacity(specs.len());
        let mut wants_room = init && code;
        for (process, spec) in specs.iter_mut().enumerate().rev() {
            spec.process = process;
            spec.program = process == last;
            let own_stack = spec.is(libc::CLONE_VM);
            if own_stack {
                // A copy goes on on the stack of the process it copies, and may run a function that wants room.
                let stack = if wants_room { Stack::large()? } else { Stack::take()? };
                spec.stack = stack.top();
                if process < last {
                    // An init is a copy, and runs on the stack of the last one before it.
                    if let Some(bounds) = bounds.take() {
                        *bounds = stack.bounds();
                    }
                }
                stacks.push(stack);
            }
            wants_room = !own_stack;
        }
        let first_stack = stacks.pop();
        stacks.reverse();
        let mut shares = [false; PROCESSES];
        let shared = specs.iter().take_while(|spec| spec.is(libc::CLONE_VM)).count();
        shares[..shared].fill(true);
        // One process before the program that does not share them is enough to need a page for the words.
        let all_share = shared == specs.len();
        let page = if all_share { None } else { Some(SharedPage::map()?) };
        let stacks = Stacks { first: first_stack, others: stacks };
        Ok(Self { stacks, page, shares, last, init })
    }

    pub(super) fn shared(&self) -> &Shared {
        match (&self.page, &self.stacks.first) {
            (Some(page), _) => page,
            (None, Some(stack)) => stack.shared(),
            (None, None) => unreachable!("who has no stack is a copy"),
        }
    }

    /// The place of the operation that was begun last.
    pub(super) fn begun(&self) -> usize {
        self.shared().begun().unwrap_or(0)
    }

    /// Whether the program's process runs on the caller's own memory.
    pub(super) fn is_sharing(&self) -> bool {
        self.shares[self.last]
    }

    /// That the child waits no more: what it does next is told by the same word.
    pub(super) fn release(&self) {
        let word = self.shared().state();
        let _ = word.compare_exchange(state::SUSPENDED, state::RELEASED, SeqCst, SeqCst);
    }

    /// The program's pidfd, and its id as the process that cloned it numbers it.
    pub(super) fn process(&self) -> Option<(BorrowedFd<'_>, i32)> {
        let number = self.shared().pidfd(self.last)?;
        // SAFETY: the kernel put the pidfd there for this spawn, and it is taken only when the family goes.
        Some((unsafe { BorrowedFd::borrow_raw(number) }, self.pid()))
    }

    /// The pidfd, for whoever does away with the family.
    pub(super) fn take_pidfd(&self) -> Option<OwnedFd> {
        let number = self.shared().pidfd(self.last)?;
        // SAFETY: the kernel put it there for this spawn; nobody asks for it again.
        Some(unsafe { pidfd::take(number) })
    }

    /// The process that is to become the program, as the one that cloned it numbers it.
    pub(super) fn pid(&self) -> i32 {
        self.shared().pid(self.last).map_or(0, |pid| pid.load(SeqCst))
    }

    pub(super) fn kill_helpers(&self) {
        for helper in (0..self.last).filter_map(|process| self.shared().pid(process)) {
            match helper.load(SeqCst) {
                // That would be everybody.
                0 => {}
                pid => drop(process::kill(pid)),
            }
        }
    }

    /// Waits until no process of the spawn runs on the caller's memory, and reaps the helpers. The first one has
    /// exec'd or is gone, or was killed, when this is called. Gives how the first of them ended that did not end well.
    pub(super) fn settle(&mut self) -> Option<ExitStatus> {
        if self.last == 0 { None } else { self.settle_several() }
    }

    #[cold]
    #[inline(never)]
    fn settle_several(&mut self) -> Option<ExitStatus> {
        let ended_badly = self.reap_helpers();
        self.await_sharing(self.last);
        if self.page.is_some() {
            self.stacks.give_back_first();
        }
        self.stacks.give_back_others();
        ended_badly
    }

    /// The same for the helpers alone.
    pub(super) fn reap_helpers(&self) -> Option<ExitStatus> {
        let mut ended_badly = None;
        for process in 0..self.last {
            self.await_sharing(process);
            let Some(word) = self.shared().pid(process) else { continue };
            let pid = word.swap(0, SeqCst);
            if pid != 0 {
                let status = wait::wait_pid(pid).ok().flatten();
                ended_badly = ended_badly.or(status.filter(|status| !status.success()));
            }
        }
        ended_badly
    }

    fn await_sharing(&self, process: usize) {
        let shared = self.shared();
        let (Some(alive), Some(pid)) = (shared.alive(process), shared.pid(process)) else {
            return;
        };
        let exists =
            pid.load(SeqCst) != 0 || (process == self.last && shared.pidfd(self.last).is_some());
        // Behind a copy none of the caller's memory is used, and the kernel may leave the word as it is.
        if process > 0 && exists && self.shares[process] {
            // Long zero, for the one before sleeps until then; unless somebody has killed that one.
            let mut now = alive.load(SeqCst);
            while now != 0 {
                now = futex::wait_while(alive, now);
            }
        }
    }

    /// The outcome, when everything has happened.
    pub(super) fn finish<E>(
        mut self,
        arrival: Arrival,
        seen: Seen<E>,
        ended_badly: Option<ExitStatus>,
    ) -> Result<Program, Failure<E>> {
        let goes_well = arrival == Arrival::Exec && matches!(seen, Seen::Gone(Ok(())));
        let result = match self.take_program() {
            Some(program) if goes_well && self.is_sharing() => Ok(program),
            program => self.outcome(program, arrival, seen, ended_badly),
        };
        // Only now nobody opens it any more.
        let opened = self.take_opened();
        let ignored = self.shared().ignored();
        self.stacks.give_back_first();
        self.stacks.give_back_others();
        let told = self.page.filter(|_| self.init);
        result.map(|(pidfd, pid)| Program { pidfd, pid, opened, ignored, told })
    }

    fn take_opened(&self) -> Option<OwnedFd> {
        let number = self.shared().take_opened()?;
        // SAFETY: a process of this spawn has opened it in this table for the caller; it is taken here alone.
        Some(unsafe { OwnedFd::from_raw_fd(number) })
    }

    /// The pidfd and the id of a process that has reported no failure.
    #[inline]
    fn take_program(&self) -> Option<(OwnedFd, i32)> {
        match self.shared().failure() {
            None => Some((self.take_pidfd()?, self.pid())),
            Some(_) => None,
        }
    }

    #[cold]
    #[inline(never)]
    fn outcome<E>(
        &self,
        program: Option<(OwnedFd, i32)>,
        arrival: Arrival,
        seen: Seen<E>,
        ended_badly: Option<ExitStatus>,
    ) -> Result<(OwnedFd, i32), Failure<E>> {
        let shared = self.shared();
        let ready = arrival == Arrival::Ready || matches!(seen, Seen::Ready);
        let arrived = arrival != Arrival::Not;
        let failed = match (shared.failure(), seen) {
            (Some((place, errno)), _) => Failure::Op(place, errno),
            (None, Seen::Gone(Err(failure))) => failure,
            // Whether a program behind a copy has exec'd is not known if the one before it was killed.
            (None, _) if arrived && (self.is_sharing() || ready || ended_badly.is_none()) => {
                match program {
                    Some(program) => return Ok(program),
                    None => Failure::Died(self.begun(), ended_badly),
                }
            }
            (None, _) => Failure::Died(self.begun(), ended_badly),
        };
        let pidfd = program.map(|(pidfd, _)| pidfd).or_else(|| self.take_pidfd());
        let Some(pidfd) = pidfd else { return Err(failed) };
        // It has ended, or been killed, by itself; unless it is the helper before it that was killed.
        let killed = pidfd::kill_child(pidfd.as_fd()).is_ok();
        let ends = killed || self.is_sharing() || ended_badly.is_none();
        let status = wait::wait_pidfd(pidfd.as_fd(), ends).ok().flatten();
        Err(match failed {
            Failure::Died(place, helper) => Failure::Died(place, helper.or(status)),
            failed => failed,
        })
    }
}

/// Does what the caller has to do while the processes run, until there is nothing more for it to do.
pub(super) fn attend<E>(
    family: &Family,
    help: &mut Option<&mut Help<'_, E>>,
    direct_child: Option<i32>,
) -> Seen<E> {
    let (shared, last) = (family.shared(), family.last);
    let mut helped = Ok(());
    if direct_child.is_some() {
        // Its id is known, so it can be helped before it comes to wait for that.
        helped = give_help(shared, help, last, direct_child);
    }
    loop {
        match shared.state().load(SeqCst) {
            state::GONE => return Seen::Gone(helped),
            state::READY => {
                // The helpers would sleep until the function ends.
                family.kill_helpers();
                return Seen::Ready;
            }
            state::SUSPENDED => return Seen::Suspended,
            state::ARMED => answer(shared),
            state::WAITING => helped = give_help(shared, help, last, direct_child),
            now => futex::wait(shared.state(), now),
        }
    }
}

/// Tells the child that this thread, its parent, lives.
fn answer(shared: &Shared) {
    let answered =
        shared.state().compare_exchange(state::ARMED, state::RELEASED, SeqCst, SeqCst).is_ok();
    if answered {
        futex::wake(shared.state());
    }
}

/// Helps the child and lets it go on, or has it end if that fails.
fn give_help<E>(
    shared: &Shared,
    help: &mut Option<&mut Help<'_, E>>,
    last: usize,
    direct_child: Option<i32>,
) -> Result<(), Failure<E>> {
    let (Some(help), Some(number)) = (help, shared.pidfd(last)) else {
        release(shared, state::RELEASED);
        return Ok(());
    };
    // SAFETY: the kernel put the pidfd there for this spawn, and `finish` takes it only later.
    let pidfd = unsafe { BorrowedFd::borrow_raw(number) };
    let helped = help(pidfd, direct_child);
    if helped.is_err() {
        let _ = pidfd::send_signal(pidfd, libc::SIGKILL);
    }
    // Where a filter refuses the signal it is told to end.
    release(shared, if helped.is_ok() { state::RELEASED } else { state::REFUSED });
    helped.map_err(Failure::Help)
}

/// Ends the wait of [`Op::AwaitMaps`], or saves the child from it.
fn release(shared: &Shared, to: u32) {
    let release = |from| shared.state().compare_exchange(from, to, SeqCst, SeqCst).is_ok();
    if !release(state::RUNNING) && release(state::WAITING) {
        futex::wake(shared.state());
    }
}

/// Has a process that shares the caller's memory and descriptors do `ops`, and waits for its end.
pub(crate) fn run_helper(ops: &mut [Op<'_>]) -> Result<(), Failure<()>> {
    run_to_the_end(Spec::new(false).with(libc::CLONE_FILES as u64), ops)
}

/// Has a process with descriptors of its own do `ops`, and waits for its end. It has a copy of the memory where it `enters_time`:
/// the kernel lets nobody else into a time namespace.
pub(crate) fn attempt(ops: &mut [Op<'_>], enters_time: bool) -> Result<(), Failure<()>> {
    run_to_the_end(Spec::new(enters_time), ops)
}

/// A process that ends with the last of `ops`, which never exec.
fn run_to_the_end(spec: Spec, ops: &mut [Op<'_>]) -> Result<(), Failure<()>> {
    let mut spec = spec.with(libc::CLONE_VFORK as u64 | CLONE_CLEAR_SIGHAND);
    let family = Family::line_up(&mut spec, ops).map_err(Failure::Resources)?;
    // There are no others in the line, so one that shares the memory stays in the state it begins with.
    spec.program = false;
    let result = {
        let shared = family.shared();
        shared.reset();
        let _blocked = Blocked::all();
        let mut rest = Rest::all(ops, shared);
        // SAFETY: all signals are blocked, and vfork returns when the child, which never execs, is gone.
        match unsafe { start(&spec, &mut rest) } {
            Err(Errno(errno)) => Err(Failure::Clone(errno)),
            Ok(pid) => {
                let status = wait::wait_pid(pid).ok().flatten();
                match shared.failure() {
                    Some((place, errno)) => Err(Failure::Op(place, errno)),
                    None if status.is_some_and(|status| status.success()) => Ok(()),
                    None => Err(Failure::Died(shared.begun().unwrap_or(0), status)),
                }
            }
        }
    };
    let mut stacks = family.stacks;
    stacks.give_back_first();
    stacks.give_back_others();
    result
}

/// The three parts of a program's taking the place of the calling process.
pub(crate) struct Replacement<'o, 'a> {
    /// Into the namespaces.
    pub(crate) enter: &'o mut [Op<'a>],
    /// Done in between by a process that still is what this one was before.
    pub(crate) map: &'o mut [Op<'a>],
    /// All the rest, exec last.
    pub(crate) rest: &'o mut [Op<'a>],
}

/// Which part failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    Enter,
    Map,
    Rest,
}

/// Runs the parts in turn. Returns only when something has failed, and where. Signals are then as they were.
pub(crate) fn replace_self(replacement: Replacement<'_, '_>) -> (Part, Failure<()>) {
    let Replacement { enter, map, rest } = replacement;
    let _blocked = Blocked::all();
    let failure = if map.is_empty() { replay_self(enter) } else { replay_self_mapped(enter, map) };
    if let Some(failure) = failure {
        return failure;
    }
    // Exec itself resets the handlers, and until then they are needed: the mask is opened a little before it.
    let ignored = Ignored::reset();
    let failure = replay_self(rest).map_or(Failure::Died(0, None), |(_, failure)| failure);
    ignored.restore();
    (Part::Rest, failure)
}

fn replay_self(ops: &mut [Op<'_>]) -> Option<(Part, Failure<()>)> {
    let shared = Shared::default();
    shared.reset();
    // SAFETY: the caller of `exec` gives this process up; on failure it puts back the descriptors that were replaced.
    unsafe { replay_here(ops, &shared) };
    shared.failure().map(|(place, errno)| (Part::Enter, Failure::Op(place, errno)))
}

fn replay_self_mapped(enter: &mut [Op<'_>], map: &mut [Op<'_>]) -> Option<(Part, Failure<()>)> {
    let stack = match Stack::take() {
        Ok(stack) => stack,
        Err(error) => return Some((Part::Map, Failure::Resources(error))),
    };
    let shared = stack.shared();
    shared.reset();
    let mut spec = Spec::new(false).with(libc::CLONE_FILES as u64);
    spec.stack = stack.top();
    let bomb = AbortOnUnwind;
    let mut list = Rest::all(map, shared);
    // SAFETY: all signals are blocked, and everything is held until the helper's word is cleared.
    let started = unsafe { start(&spec, &mut list) };
    let failure = match started {
        Err(Errno(errno)) => Some((Part::Map, Failure::Clone(errno))),
        Ok(helper) => {
            let failure = replay_self(enter);
            if failure.is_some() {
                let _ = process::kill(helper);
            }
            release(shared, state::RELEASED);
            let mut now = shared.state().load(SeqCst);
            while now != state::GONE {
                now = futex::wait_while(shared.state(), now);
            }
            let status = wait::wait_pid(helper).ok().flatten();
            failure.or_else(|| match shared.failure() {
                Some((place, errno)) => Some((Part::Map, Failure::Op(place, errno))),
                None if status.is_some_and(|status| status.success()) => None,
                None => Some((Part::Map, Failure::Died(shared.begun().unwrap_or(0), status))),
            })
        }
    };
    mem::forget(bomb);
    stack.give_back();
    failure
}
