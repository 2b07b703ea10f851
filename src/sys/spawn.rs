//! The caller's side of a spawn, and what makes it sound: who lives how long.
//!
//! [`spawn`] clones the first process, which replays the list of operations; a [`Op::Hop`] in it hands the
//! rest to the next process. The caller returns only when no process runs on its memory any more: each of them sleeps
//! in vfork until the next has exec'd or ended, and a word that the kernel clears tells of those that do
//! not, even if somebody kills the one in between. Until then the caller holds the stacks, the list and
//! all that it borrows, with all signals blocked.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::process::ExitStatus;
use std::sync::atomic::Ordering::SeqCst;
use std::{io, mem};

use super::child::{Op, Rest, start};
use super::clone::{CLONE_CLEAR_SIGHAND, Spec};
use super::family::Family;
use super::shared::{Shared, SharedPage, state};
use super::signal::{Blocked, Signals};
use super::syscall::Errno;
use super::{futex, pidfd, wait};

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
pub(super) struct AbortOnUnwind;

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
pub(super) fn release(shared: &Shared, to: u32) {
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
    family.give_back();
    result
}
