//! A child that is set up and waits, while the caller goes on: who owns what it runs on.
//!
//! The child may share the caller's memory: it sleeps on a stack in it, and will exec with texts in it. All of that is in
//! [`Suspended`], at addresses that do not change when that is moved: mappings, and what is behind an [`Arc`] or in a `Vec`. Its destructor
//! runs the same course as [`resume`](Suspended::resume): it is over when the kernel has cleared the child's word, for the child has exec'd
//! or is gone. One that is forgotten is never freed, which is as good. What was borrowed for the set-up is used no more.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use super::child::Op;
use super::clone::Spec;
use super::family::Family;
use super::spawn::{Arrival, Failure, Help, Program, Seen, attend, launch};
use super::{fcntl, pidfd, pipe, wait};

/// A pipe. The child has the end to read from, and nobody but the caller the other one, so it ends with the caller.
#[derive(Debug)]
pub(crate) struct Channel {
    /// Open here as well, so that a byte for a child that is gone is no error.
    read: OwnedFd,
    write: OwnedFd,
}

impl Channel {
    /// The child's end is under none of the numbers in `taken`.
    pub(crate) fn open(taken: &[RawFd]) -> io::Result<Self> {
        let (read, write) = pipe::pipe()?;
        Ok(Self { read: fcntl::away_from(read, taken)?, write })
    }

    /// The child's end, and the one that it must not have.
    pub(crate) fn numbers(&self) -> (RawFd, RawFd) {
        (self.read.as_raw_fd(), self.write.as_raw_fd())
    }
}

/// What the child does when it is set up, with all that this refers to.
pub(crate) struct Tail {
    /// Borrowed from `_keep`, whatever the type says. Nobody gets to see them under it.
    ops: Vec<Op<'static>>,
    _keep: Arc<dyn Send + Sync>,
}

// SAFETY: the operations are read by the child alone; here they are only kept. What they refer to is `Send` and `Sync`.
unsafe impl Send for Tail {}
// SAFETY: as above; a shared reference gives out nothing.
unsafe impl Sync for Tail {}

impl Tail {
    /// `list` makes the operations from what is kept. It has to for any lifetime, so they refer to nothing else.
    pub(crate) fn new<K: Send + Sync + 'static>(
        keep: Arc<K>,
        list: impl for<'k> FnOnce(&'k K) -> Vec<Op<'k>>,
    ) -> Self {
        let ops = list(&keep);
        // SAFETY: only a lifetime changes. What is behind the `Arc` neither moves nor goes before `_keep` does, which is
        // after the last use of the operations, and nobody can have a mutable reference to it.
        let ops = unsafe { std::mem::transmute::<Vec<Op<'_>>, Vec<Op<'static>>>(ops) };
        Self { ops, _keep: keep }
    }

    /// Nothing: what follows is in the list itself, in a copy of the memory.
    pub(crate) fn none() -> Self {
        Self { ops: Vec::new(), _keep: Arc::new(()) }
    }
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tail").field("ops", &self.ops.len()).finish()
    }
}

/// A child that waits. Dropping it kills and reaps the child, in the process that it is a child of.
#[derive(Debug)]
pub(crate) struct Suspended {
    /// `None` once the child has been resumed.
    family: Option<Family>,
    tail: Tail,
    /// The place of the first operation of the tail.
    place: usize,
    /// The place of the function, if it is one that waits.
    call: Option<usize>,
    channel: Option<Channel>,
    /// The process that it is a child of: a forked copy of this has no right to the child.
    owner: u32,
}

/// As [`spawn`](super::spawn::spawn), up to the operation [`Op::Suspend`], which is the first in the tail, or in a copy anywhere.
pub(crate) fn suspend<E>(
    first: Spec,
    ops: &mut [Op<'_>],
    mut tail: Tail,
    channel: Channel,
    help: Option<&mut Help<'_, E>>,
) -> Result<Suspended, Failure<E>> {
    let (mut family, seen) = launch(first, ops, &mut tail.ops, help)?;
    if let Seen::Suspended = seen {
        // Helpers would sleep as long as the child. Where that is on the caller's memory its own word tells when it goes; a copy has none,
        // and the helper before it tells instead.
        if family.is_sharing() {
            family.kill_helpers();
            let _ = family.reap_helpers();
        }
        let owner = std::process::id();
        return Ok(Suspended {
            family: Some(family),
            tail,
            place: ops.len(),
            call: ops.iter().position(|op| matches!(op, Op::Call(_))),
            channel: Some(channel),
            owner,
        });
    }
    let ended_badly = family.settle();
    let begun = family.begun();
    match family.finish(Arrival::at(ops.get(begun)), seen, ended_badly) {
        Err(failure) => Err(failure),
        // Without a wait on its way it is none of this function's.
        Ok(program) => {
            let killed = pidfd::kill_child(program.pidfd.as_fd()).is_ok();
            let status = wait::wait_pidfd(program.pidfd.as_fd(), killed).ok().flatten();
            Err(Failure::Died(begun, status))
        }
    }
}

impl Suspended {
    /// Its pidfd, and its id as the process that cloned it numbers it.
    pub(crate) fn process(&self) -> Option<(BorrowedFd<'_>, i32)> {
        self.family.as_ref()?.process()
    }

    /// Lets the child go on, and waits until the program runs. The place of an operation that fails is that in the list.
    pub(crate) fn resume(mut self) -> Result<Program, Failure<Infallible>> {
        let family = self.family.take().expect("it is taken by this alone, and by the destructor");
        family.release();
        if let Some(channel) = &self.channel {
            pipe::write_byte(channel.write.as_fd());
        }
        self.conclude(family)
    }

    /// Waits until no process of the spawn uses the caller's memory any more, and says what has come of it.
    fn conclude(&self, mut family: Family) -> Result<Program, Failure<Infallible>> {
        let seen = attend::<Infallible>(&family, &mut None, None);
        let ended_badly = family.settle();
        let begun = family.begun();
        let arrival = match seen {
            Seen::Ready => Arrival::Ready,
            // It may have ended before it could be seen.
            _ if self.call == Some(begun) => Arrival::Ready,
            _ => Arrival::at(
                begun.checked_sub(self.place).and_then(|place| self.tail.ops.get(place)),
            ),
        };
        family.finish(arrival, seen, ended_badly)
    }
}

impl Drop for Suspended {
    fn drop(&mut self) {
        let Some(family) = self.family.take() else { return };
        if self.owner != std::process::id() {
            // In a forked copy: the memory is another one, and the child is another's.
            drop(family.take_pidfd());
            return;
        }
        family.release();
        // The end of the channel does for a child what no signal may do any more.
        self.channel = None;
        if let Some((number, _)) = family.process() {
            let _ = pidfd::kill_child(number);
        }
        if let Ok(program) = self.conclude(family) {
            let killed = pidfd::kill_child(program.pidfd.as_fd()).is_ok();
            let _ = wait::wait_pidfd(program.pidfd.as_fd(), killed);
        }
    }
}
