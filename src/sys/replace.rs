//! execve(2) in place: a program takes the place of the calling process.

use std::mem;
use std::sync::atomic::Ordering::SeqCst;

use super::child::{Op, Rest, replay_here, start};
use super::clone::Spec;
use super::shared::{Shared, state};
use super::signal::{Blocked, Ignored};
use super::spawn::{AbortOnUnwind, Failure, release};
use super::stack::Stack;
use super::syscall::Errno;
use super::{futex, process, wait};

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
