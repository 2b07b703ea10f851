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
use super::signal::{Blocked, Ignored};
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

/// Where the shared words are: above the first stack, or on a page that copies share too.
enum Words<'s> {
    Stack(&'s Stack),
    Page(SharedPage),
}

impl Words<'_> {
    fn get(&self) -> &Shared {
        match self {
            Self::Stack(stack) => stack.shared(),
            Self::Page(page) => page,
        }
    }
}

/// Clones `first`, which does `ops`, and waits until the program at the end of the list runs.
///
/// In the list the user's code is behind a hop to a copy, or `first` is one; the caller of this function sees to
/// that, and it is checked.
pub(crate) fn spawn<E>(
    mut first: Spec,
    ops: &mut [Op<'_>],
    mut help: Option<&mut Help<'_, E>>,
) -> Result<Program, Failure<E>> {
    // A process that stays awake meanwhile can help, and hears of a function that has begun.
    let attended = !first.is(libc::CLONE_VFORK);
    let Line { stacks, shares, last } = line_up(&mut first, ops).map_err(Failure::Resources)?;
    let result = {
        let words = match stacks.first() {
            Some(stack) if stacks.len() == last + 1 => Words::Stack(stack),
            _ => Words::Page(SharedPage::map().map_err(Failure::Resources)?),
        };
        let shared = words.get();
        shared.reset();
        let _blocked = Blocked::all();
        let bomb = AbortOnUnwind;
        let mut rest = Rest::all(ops, shared);
        // SAFETY: all signals are blocked until `_blocked` drops. `settle` returns when no process that shares this
        // memory is left, and only after it do the list, the stacks and the words go. User's code is in a copy.
        let outcome = match unsafe { start(&first, &mut rest) } {
            Err(Errno(errno)) => Err(Failure::Clone(errno)),
            Ok(pid) => {
                // Where the kernel could write only one of pidfd and id.
                if let Some(word) = shared.pid(0) {
                    word.store(pid, SeqCst);
                }
                let direct_child = (last == 0).then_some(pid);
                let helped =
                    if attended { attend(shared, &mut help, last, direct_child) } else { Ok(()) };
                let ended_badly = settle(shared, shares, last);
                helped.map(|()| ended_badly)
            }
        };
        mem::forget(bomb);
        finish(shared, ops, outcome, shares[last], last)
    };
    for stack in stacks {
        stack.give_back();
    }
    result
}

/// The processes of a spawn, ready to be cloned.
struct Line {
    /// Of those that share the caller's memory, in their order.
    stacks: Vec<Stack>,
    /// Which of them run on the caller's own memory.
    shares: [bool; PROCESSES],
    /// Which one becomes the program.
    last: usize,
}

/// Gives each process its place, and a stack if it shares the memory.
fn line_up(first: &mut Spec, ops: &mut [Op<'_>]) -> io::Result<Line> {
    let mut specs = vec![first];
    let mut in_copy = !specs[0].is(libc::CLONE_VM);
    for op in ops {
        match op {
            Op::Hop(spec) => {
                in_copy |= !spec.is(libc::CLONE_VM);
                specs.push(spec);
            }
            Op::PreExec(_) | Op::Call(_) => {
                assert!(in_copy, "the user's code in the caller's memory")
            }
            _ => {}
        }
    }
    assert!(specs.len() <= PROCESSES, "more processes than there are words for");
    let last = specs.len() - 1;
    let mut stacks = Vec::with_capacity(specs.len());
    let mut next_is_copy = false;
    for (process, spec) in specs.iter_mut().enumerate().rev() {
        spec.process = process;
        spec.program = process == last;
        let shares = spec.is(libc::CLONE_VM);
        if shares {
            // A copy goes on on the stack of the process it copies, and may run a function that wants room.
            let stack = if next_is_copy { Stack::large()? } else { Stack::take()? };
            spec.stack = stack.top();
            stacks.push(stack);
        }
        next_is_copy = !shares;
    }
    stacks.reverse();
    let mut shares = [false; PROCESSES];
    let shared = specs.iter().take_while(|spec| spec.is(libc::CLONE_VM)).count();
    shares[..shared].fill(true);
    Ok(Line { stacks, shares, last })
}

/// Does what the caller has to do while the processes run, until there is nothing more for it to do.
fn attend<E>(
    shared: &Shared,
    help: &mut Option<&mut Help<'_, E>>,
    last: usize,
    direct_child: Option<i32>,
) -> Result<(), Failure<E>> {
    let mut helped = Ok(());
    if direct_child.is_some() {
        // Its id is known, so it can be helped before it comes to wait for that.
        helped = give_help(shared, help, last, direct_child);
    }
    loop {
        match shared.state().load(SeqCst) {
            state::GONE => return helped,
            state::READY => {
                // The helpers would sleep until the function ends.
                for helper in (0..last).filter_map(|process| shared.pid(process)) {
                    process::kill(helper.load(SeqCst));
                }
                return helped;
            }
            state::WAITING => helped = give_help(shared, help, last, direct_child),
            now => futex::wait(shared.state(), now),
        }
    }
}

/// Helps the child, or kills it if that fails, and lets it go on.
fn give_help<E>(
    shared: &Shared,
    help: &mut Option<&mut Help<'_, E>>,
    last: usize,
    direct_child: Option<i32>,
) -> Result<(), Failure<E>> {
    let (Some(help), Some(number)) = (help, shared.pidfd(last)) else {
        release(shared);
        return Ok(());
    };
    // SAFETY: the kernel put the pidfd there for this spawn, and `finish` takes it only later.
    let pidfd = unsafe { BorrowedFd::borrow_raw(number) };
    let helped = help(pidfd, direct_child);
    if helped.is_err() {
        let _ = pidfd::send_signal(pidfd, libc::SIGKILL);
    }
    release(shared);
    helped.map_err(Failure::Help)
}

/// Ends the wait of [`Op::AwaitMaps`], or saves the child from it.
fn release(shared: &Shared) {
    let release =
        |from| shared.state().compare_exchange(from, state::RELEASED, SeqCst, SeqCst).is_ok();
    if !release(state::RUNNING) && release(state::WAITING) {
        futex::wake(shared.state());
    }
}

/// Waits until no process of the spawn runs on the caller's memory, and reaps the helpers. The first one has
/// exec'd or is gone, or was killed, when this is called. Gives how the first of them ended that did not end well.
fn settle(shared: &Shared, shares: [bool; PROCESSES], last: usize) -> Option<ExitStatus> {
    let mut ended_badly = None;
    for (process, own_memory) in shares.into_iter().enumerate().take(last + 1) {
        let (Some(alive), Some(pid)) = (shared.alive(process), shared.pid(process)) else {
            continue;
        };
        let pid = pid.load(SeqCst);
        let exists = pid != 0 || (process == last && shared.pidfd(last).is_some());
        // Behind a copy none of the caller's memory is used, and the kernel may leave the word as it is.
        if process > 0 && exists && own_memory {
            // Long zero, for the one before sleeps until then; unless somebody has killed that one.
            let mut now = alive.load(SeqCst);
            while now != 0 {
                now = futex::wait_while(alive, now);
            }
        }
        if process < last && pid != 0 {
            let status = wait::wait_pid(pid).ok().flatten();
            ended_badly = ended_badly.or(status.filter(|status| !status.success()));
        }
    }
    ended_badly
}

/// The outcome, when everything has happened.
fn finish<E>(
    shared: &Shared,
    ops: &[Op<'_>],
    outcome: Result<Option<ExitStatus>, Failure<E>>,
    shares: bool,
    last: usize,
) -> Result<Program, Failure<E>> {
    if let Err(Failure::Clone(_)) = outcome {
        return Err(outcome.expect_err("just seen"));
    }
    // SAFETY: a process of this spawn has opened it in this table for the caller; it is taken here alone.
    let opened = || shared.take_opened().map(|number| unsafe { OwnedFd::from_raw_fd(number) });
    let begun = shared.begun().unwrap_or(0);
    let ready = matches!(ops.get(begun), Some(Op::Call(_)));
    let arrived = matches!(ops.get(begun), Some(Op::Exec(_) | Op::Call(_) | Op::End));
    // SAFETY: the kernel put it there for this spawn; it is taken here alone.
    let pidfd = shared.pidfd(last).map(|number| unsafe { pidfd::take(number) });
    let failed = match (shared.failure(), outcome) {
        (Some((place, errno)), _) => Failure::Op(place, errno),
        (None, Err(failure)) => failure,
        (None, Ok(helper)) => match pidfd {
            // Whether a program behind a copy has exec'd is not known if the one before it was killed.
            Some(pidfd) if arrived && (shares || ready || helper.is_none()) => {
                return Ok(Program {
                    pidfd,
                    pid: shared.pid(last).map_or(0, |pid| pid.load(SeqCst)),
                    opened: opened(),
                });
            }
            _ => Failure::Died(begun, helper),
        },
    };
    let Some(pidfd) = pidfd else {
        drop(opened());
        return Err(failed);
    };
    // It has ended, or been killed, by itself; unless it is the helper before it that was killed.
    let _ = pidfd::send_signal(pidfd.as_fd(), libc::SIGKILL);
    let status = wait::wait_pidfd(pidfd.as_fd(), true).ok().flatten();
    drop(opened());
    Err(match failed {
        Failure::Died(place, helper) => Failure::Died(place, helper.or(status)),
        failed => failed,
    })
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
    let Line { stacks, .. } = line_up(&mut spec, ops).map_err(Failure::Resources)?;
    // There are no others in the line, so one that shares the memory stays in the state it begins with.
    spec.program = false;
    let result = {
        let words = match stacks.first() {
            Some(stack) => Words::Stack(stack),
            None => Words::Page(SharedPage::map().map_err(Failure::Resources)?),
        };
        let shared = words.get();
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
    for stack in stacks {
        stack.give_back();
    }
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
                process::kill(helper);
            }
            release(shared);
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
