//! A program that is set up and not yet executed.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::fmt;
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;

use super::child::{Child, Handle, Streams};
use super::dumpable::{self, Held};
use super::hook::Code;
use super::life::Tail;
use super::plan::Materials;
use super::spawn::Start;
use super::supplies::{Prepared, Supplies};
use super::{Command, explain, maps, spawn, stdio, validate};
use crate::error::{At as _, Error, Result, Step};
use crate::sys::child::Op;
use crate::sys::clone::Spec;
use crate::sys::keeper::Keeper;
use crate::sys::spawn::{Failure, Help, Program};
use crate::sys::suspended::{self as sys_suspended, Channel};
use crate::{Namespace, NamespaceKind, Namespaces, PidFd, ProcessNamespaces, diagnose, sys};

/// A program in its namespaces, with everything set up, that waits for [`resume`](Self::resume) before it is executed.
///
/// Meanwhile the caller can do in its world what has to be done from outside: put the end of a veth(4) pair in, write limits, start a
/// helper that enters. It can be kept for as long as it takes, moved to another thread, and its pidfd given away.
///
/// Dropping it kills and reaps the process; and the process ends by itself when the caller dies, or executes another program in its own
/// place. (The latter is noticed only at the caller's death where the process is a copy: see [`Command::spawn_suspended`].)
/// It is not tied to the thread that made it. Signals that are sent to it wait until it is resumed, except SIGKILL, SIGSTOP and SIGCONT.
/// One that is forgotten stays, and its memory with it, for as long as the caller lives.
///
/// # Who may look into it
/// A process that waits shares the caller's memory, or has a copy of it. Where somebody else has power over it, as after a change of ids, in an
/// entered user namespace, or in a new one of a caller with capabilities, it is closed to all who lack CAP_SYS_PTRACE: with EACCES for
/// [`namespace`](Self::namespace), and EPERM for who enters it. If it shares the memory of the caller then, that is closed as well while it waits,
/// and leaves no core dump.
///
/// # Examples
/// ```
/// use linux_namespaces::{Command, NamespaceKind, flags::*};
/// # fn main() -> linux_namespaces::Result<()> {
/// let suspended = Command::new("cat").arg("/proc/self/uid_map").namespaces(USER | NET).spawn_suspended()?;
/// let network = suspended.namespace(NamespaceKind::Net)?;
/// // … put an interface into it …
/// let mut child = suspended.resume()?;
/// assert!(child.wait()?.success());
/// # drop(network);
/// # Ok(())
/// # }
/// ```
///
/// # References
/// clone(2), poll(2), ptrace(2)
#[derive(Debug)]
pub struct Suspended {
    /// `None` once it was resumed, or could not be.
    process: Option<sys_suspended::Suspended>,
    /// Until the process is gone or a program.
    held: Option<Held>,
    keeper: Option<Keeper>,
    pidfd: PidFd,
    pid: u32,
    streams: Streams,
    late: Late,
    created: Namespaces,
    kill_on_drop: bool,
}

/// What it takes to say what can still fail as a spawn says it: the command may be another one by then, or gone.
struct Late {
    /// The place of the first of the operations that are left.
    first: usize,
    /// What they are; `None` for a function.
    tail: Option<Tail>,
    prepared: Arc<Prepared>,
    joined: Namespaces,
    created: Namespaces,
}

impl Command {
    /// Does all of a spawn but the last step, exec: the process then waits.
    ///
    /// `pre_exec` hooks run before it waits; a function of [`from_fn`](Self::from_fn) does not. What the command is made of can be
    /// changed, spawned again or dropped at once.
    ///
    /// The cost does not grow with the caller's memory, which the process shares while it waits. It has a copy where that of
    /// [`spawn`](Self::spawn) has one (hooks, functions, [`init`](Self::init), an entered time namespace); where others have power over it and the
    /// caller lacks the CAP_DAC_OVERRIDE or CAP_SYS_PTRACE to go on with its own memory closed; and on architectures other than x86_64 and aarch64.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn), except of the exec itself.
    ///
    /// # References
    /// clone(2), namespaces(7)
    pub fn spawn_suspended(&mut self) -> Result<Suspended> {
        validate::validate(self)?;
        spawn::with_code(self, suspend)
    }
}

fn suspend(command: &Command, code: &mut Code<'_>) -> Result<Suspended> {
    let (supplies, process, held, late, keeper) = spawn::either_way(code, |code, way| {
        let mut supplies = Supplies::get(command, &stdio::Default::INHERIT, true, way, true)?;
        let no_channel = |error: Error| error.on("(a pipe to resume it by)");
        supplies.watch_caller().at(|| Step::Wait).map_err(|error| {
            diagnose::calling(error.on("(a pidfd of the caller, to notice its end by)"))
        })?;
        let channel = Channel::open(&supplies.numbers).at(|| Step::Wait).map_err(no_channel)?;
        let mut materials = supplies.materials(command);
        materials.channel = Some(channel.numbers());
        let start = Suspend { channel, prepared: Arc::clone(&supplies.prepared) };
        let (((process, late), held), keeper) = spawn::as_parent(
            command,
            code,
            &supplies,
            |code| spawn::run(&materials, code, start),
            |((process, _), _)| process.process().map(|(pidfd, _)| pidfd),
        )?;
        Ok((supplies, process, held, late, keeper))
    })?;
    let (pidfd, pid) = process.process().expect("it has not been resumed");
    let pidfd =
        pidfd.try_clone_to_owned().map(PidFd::known).at(|| Step::Clone(command.namespaces))?;
    let pid = spawn::id(&pidfd, pid, &supplies, command);
    Ok(Suspended {
        process: Some(process),
        held,
        keeper,
        pidfd,
        pid,
        streams: Streams::of(supplies.streams),
        late,
        created: command.namespaces,
        kill_on_drop: command.life.kill_on_drop,
    })
}

/// Starts a child that is suspended behind all else.
struct Suspend {
    channel: Channel,
    /// What the rest of its list refers to.
    prepared: Arc<Prepared>,
}

impl Start for Suspend {
    type Begun = (sys_suspended::Suspended, Late);

    fn start<'a>(
        self,
        materials: &Materials<'a>,
        first: Spec,
        ops: &mut Vec<Op<'a>>,
        tail: Option<Tail>,
        help: Option<&mut Help<'_, Error>>,
    ) -> Result<Self::Begun, Failure<Error>> {
        let list = match tail {
            Some(tail) => {
                let keep = Arc::clone(&self.prepared);
                sys_suspended::Tail::new(keep, move |prepared: &Prepared| tail.list(prepared))
            }
            None => sys_suspended::Tail::none(),
        };
        let started = sys_suspended::suspend(first, ops, list, self.channel, help);
        let suspends = |op: &Op<'_>| matches!(op, Op::Suspend { .. });
        let first = ops.iter().position(suspends).unwrap_or(ops.len());
        let process = started.inspect_err(|_| {
            ops.extend(tail.map(|tail| tail.list(materials.prepared)).unwrap_or_default());
        })?;
        let (joined, created) = (materials.joins.kinds, materials.command.namespaces);
        Ok((process, Late { first, tail, prepared: self.prepared, joined, created }))
    }

    fn program(_: &Self::Begun) -> Option<&Program> {
        None
    }
}

impl Suspended {
    /// The process's id, as the caller's pid namespace numbers it: that of the program after [`resume`](Self::resume).
    #[must_use]
    pub fn id(&self) -> u32 {
        self.pid
    }

    /// A descriptor that means this process and never another one.
    #[must_use]
    pub fn pidfd(&self) -> &PidFd {
        &self.pidfd
    }

    /// The identities of the namespaces that it is in. A new time namespace is that of its children: it enters it with the exec.
    ///
    /// # Errors
    /// [`Step::Inspect`]: as [`Child::namespaces`].
    ///
    /// # References
    /// ioctl_nsfs(2), namespaces(7)
    pub fn namespaces(&self) -> Result<ProcessNamespaces> {
        ProcessNamespaces::of_process(&self.pidfd)
    }

    /// A handle for one of the namespaces that the program will be in: to configure it, or to enter it.
    ///
    /// # Errors
    /// [`Step::Inspect`]: as [`Child::namespaces`].
    ///
    /// # References
    /// pidfd_open(2), namespaces(7)
    pub fn namespace(&self, kind: NamespaceKind) -> Result<Namespace> {
        if kind == NamespaceKind::Time && self.created.contains(Namespaces::TIME) {
            if let Some(namespace) = self.pidfd.time_for_children() {
                return namespace;
            }
        }
        self.pidfd.namespace(kind)
    }

    /// Has the program executed.
    ///
    /// # Errors
    /// What [`Command::spawn`] would have said: the same step, operand and cause. [`Step::Wait`], when the process was killed in the meantime;
    /// [`Step::Signal`], when a signal had been sent to it that ends it. Then nothing is left.
    ///
    /// # References
    /// execve(2)
    pub fn resume(mut self) -> Result<Child> {
        let process = self.process.take().expect("this takes it, and `self` with it");
        let resumed = process.resume();
        if self.held.is_some() {
            let child = i32::try_from(self.pid).ok().filter(|pid| *pid > 0);
            let number = || maps::number_in_proc(self.pidfd.as_fd(), None).ok();
            dumpable::wait_for_exec(child, number);
        }
        // Either way nobody is on the caller's memory any more.
        self.held = None;
        let program = resumed.map_err(|failure| self.late.error(failure))?;
        if self.created.contains(Namespaces::TIME) {
            spawn::wait_for_time(&self.pidfd);
        }
        let handle = Handle::new(program, self.pid, self.keeper.take(), self.kill_on_drop);
        Ok(std::mem::take(&mut self.streams).into_child(handle))
    }
}

impl Drop for Suspended {
    fn drop(&mut self) {
        // In this order: it is over for the thread when it is over for the process.
        self.process = None;
        if let Some(keeper) = self.keeper.take() {
            keeper.join();
        }
    }
}

impl Late {
    /// What was being done at this place.
    fn failing(&self, place: usize) -> Error {
        let ops = self.tail.map(|tail| tail.list(&self.prepared)).unwrap_or_default();
        match place.checked_sub(self.first).and_then(|place| ops.get(place)) {
            Some(op) => explain::failing_late(op, self.created, self.prepared.invocation.name()),
            None if self.tail.is_none() && place > self.first => {
                Error::new(Step::Clone(self.created))
            }
            None => Error::new(Step::Wait).on("(to be resumed)"),
        }
    }

    fn error(&self, failure: Failure<Infallible>) -> Error {
        match failure {
            Failure::Op(place, errno) => {
                let error = self.failing(place).errno(errno);
                match error.step() {
                    Step::Exec(_) => self.prepared.not_executed(error, self.joined),
                    _ => error,
                }
            }
            Failure::Died(place, status) => {
                let how = explain::ended(status);
                match status.and_then(|status| status.signal()) {
                    Some(libc::SIGSYS) => explain::killed_by_a_filter(self.failing(place), &how),
                    _ => self.failing(place).because(how),
                }
            }
            Failure::Clone(errno) => self.failing(0).errno(errno),
            Failure::Resources(_) => self.failing(0),
            Failure::Help(never) => match never {},
        }
    }
}

impl fmt::Debug for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Late").field("tail", &self.tail).finish_non_exhaustive()
    }
}

/// What is `Send` and `Sync` is checked where it is declared.
const _: () = {
    const fn sendable<T: Send + Sync>() {}
    sendable::<Suspended>();
    sendable::<sys::suspended::Suspended>();
};
