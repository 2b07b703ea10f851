//! The processes of one spawn: each one's place and stack, and how it is known that none of them runs on the caller's memory any more.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::process::ExitStatus;
use std::sync::atomic::Ordering::SeqCst;

use super::child::Op;
use super::clone::Spec;
use super::shared::{PROCESSES, Shared, SharedPage, state};
use super::spawn::{Arrival, Failure, Program, Seen};
use super::stack::Stack;
use super::{futex, pidfd, process, wait};

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
    pub(super) fn line_up(first: &mut Spec, ops: &mut [Op<'_>]) -> io::Result<Self> {
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
        let told = self.page.take().filter(|_| self.init);
        self.give_back();
        result.map(|(pidfd, pid)| Program { pidfd, pid, opened, ignored, told })
    }

    /// Gives back the stacks, on which nobody runs any more.
    pub(super) fn give_back(mut self) {
        self.stacks.give_back_first();
        self.stacks.give_back_others();
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
