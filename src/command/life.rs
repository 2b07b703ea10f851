//! Settings about a program's life: what ends with it, and what it ends with.
#![forbid(unsafe_code)]

use std::fmt;
use std::os::fd::RawFd;

use super::plan::Materials;
use super::supplies::Prepared;
use super::{Command, dumpable};
use crate::error::{Error, Result, Step};
use crate::sys::child::Op;
use crate::sys::clone::Spec;
use crate::sys::init::Init;
use crate::{Namespaces, sys};

/// The kernel's highest signal.
const LAST_SIGNAL: i32 = 64;

#[derive(Clone, Copy, Default)]
pub(super) struct Life {
    pub(super) new_session: bool,
    /// 0 for none.
    pub(super) parent_death_signal: i32,
    pub(super) kill_on_drop: bool,
    pub(super) init: bool,
}

impl Command {
    /// Whether the program starts a session of its own, without a controlling terminal: setsid(2). Default: false.
    ///
    /// It then leads the session and a process group with its own id, so [`process_group`](Self::process_group) can only ask for the
    /// same, with 0. Behind [`init`](Self::init), process 1 has a session of its own as well.
    ///
    /// # Errors
    /// At spawn: [`Step::Session`]. For [`exec`](Self::exec) EPERM when the caller leads a process group: a shell's job does.
    ///
    /// # References
    /// setsid(2)
    pub fn new_session(&mut self, on: bool) -> &mut Self {
        self.life.new_session = on;
        self
    }

    /// Sends the program this signal when the calling **process** dies, in whatever way, the program running on. 0 for none.
    ///
    /// It is set after the ids and capabilities have changed, which would clear it. A caller that dies during the spawn takes the child
    /// with it. The kernel clears it when the program executes one that is set-user-id or has file capabilities; what the program forks does
    /// not inherit it. With `PID` the program is process 1, which only SIGKILL is sure to end, and with it all others there;
    /// with [`init`](Self::init) the signal is passed on. A program that handles the signal may get it twice: when a process with several
    /// threads is killed, a child of one that ends first becomes another's, and the kernel sends the signal again at the end of that.
    ///
    /// To the kernel the parent is a thread, not a process. So the program is cloned by a thread of its own, made for it, which sleeps
    /// until the program has ended: the caller has one thread more for as long. That thread ends early, and the signal is sent, also
    /// when the caller executes another program in its own place. A function of [`from_fn`](Self::from_fn), which may not have
    /// a second thread beside it, is a child of the calling thread itself, and gets the signal at the end of that one.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`] for a number other than 0 and 1 to 64; [`Step::ParentDeathSignal`], EAGAIN at the limit of threads; EINVAL when the caller has unshared its pid namespace,
    /// after which it can start no thread. [`exec`](Self::exec) refuses it: the parent of the caller is not the caller.
    ///
    /// # References
    /// `PR_SET_PDEATHSIG(2const)`
    #[doc(alias = "PR_SET_PDEATHSIG")]
    pub fn parent_death_signal(&mut self, signal: i32) -> &mut Self {
        self.life.parent_death_signal = signal;
        self
    }

    /// Whether dropping the [`Child`](super::Child) kills the program with SIGKILL, and waits for its end. Default: false.
    ///
    /// With `PID` all processes in its pid namespace are gone when the drop returns. One that was waited for is not touched;
    /// [`wait_with_output`](super::Child::wait_with_output) drops nothing that runs.
    ///
    /// # References
    /// pidfd_send_signal(2), pid_namespaces(7)
    pub fn kill_on_drop(&mut self, on: bool) -> &mut Self {
        self.life.kill_on_drop = on;
        self
    }

    /// Whether a small process 1 stands in front of the program, which is then process 2. Needs `PID`. Default: false.
    ///
    /// It waits for orphans, so that none stays a zombie, and passes on to the program every signal that is sent to it, so that SIGTERM
    /// means to the program what it means elsewhere. When the program ends, so does process 1, and the kernel kills all that are left.
    /// [`Child::id`](super::Child::id) and [`Child::pidfd`](super::Child::pidfd) are those of process 1, in all the
    /// namespaces of the program. [`Child::wait`](super::Child::wait) gives the exact status of the program, death by a signal
    /// included; whoever looks at process 1 itself sees 128 and the signal as its exit code.
    ///
    /// The program keeps the caller's process group and session, or gets new ones by [`process_group`](Self::process_group) and
    /// [`new_session`](Self::new_session); process 1 has a group of its own, so that nothing is sent to the program twice.
    ///
    /// Process 1 is a copy of the caller that gives up its descriptors, and its memory but for code and constants. Making the copy costs what
    /// fork(2) does, which grows with the caller's memory; keeping it costs next to nothing.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`] without `PID`, created; [`Step::Clone`] when there is no room for a further process.
    ///
    /// # References
    /// pid_namespaces(7)
    pub fn init(&mut self, on: bool) -> &mut Self {
        self.life.init = on;
        self
    }
}

impl Life {
    pub(super) fn validate(self, command: &Command) -> Result<()> {
        if self.init && !command.namespaces.contains(Namespaces::PID) {
            return Err(Error::invalid(
                "an init is process 1 of a pid namespace, and none is created: add `Namespaces::PID`",
            ));
        }
        if !(0..=LAST_SIGNAL).contains(&self.parent_death_signal) {
            return Err(Error::invalid(format!(
                "{} is no signal to send at the parent's death: they are 1 to {LAST_SIGNAL}, and 0 for none",
                self.parent_death_signal
            )));
        }
        match command.process_group {
            Some(group) if group != 0 && self.new_session => Err(Error::invalid(format!(
                "a new session has no process group but its own, so the program cannot be in group {group}: leave out `new_session` or `process_group`"
            ))),
            _ => Ok(()),
        }
    }

    /// For [`Command::exec`].
    pub(super) fn validate_exec(self) -> Result<()> {
        if self.parent_death_signal != 0 {
            return Err(Error::invalid(
                "`exec` makes no child, which a parent-death signal is for: use `spawn`, or leave out `parent_death_signal`",
            ));
        }
        Ok(())
    }

    pub(super) fn show(self, mut show: impl FnMut(&str, &dyn fmt::Debug)) {
        for (name, on) in [
            ("new_session", self.new_session),
            ("kill_on_drop", self.kill_on_drop),
            ("init", self.init),
        ] {
            if on {
                show(name, &true);
            }
        }
        if self.parent_death_signal != 0 {
            show("parent_death_signal", &self.parent_death_signal);
        }
    }
}

/// What is left to do for a child that is suspended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    /// The child's end of the channel, and a pidfd of the caller.
    pub(super) channel: RawFd,
    pub(super) caller: RawFd,
    /// Or hooks have run with the signals open, and left the mask as it is to be.
    pub(super) unblock: bool,
    pub(super) own_environment: bool,
}

impl Tail {
    /// The operations.
    pub(super) fn list(self, prepared: &Prepared) -> Vec<Op<'_>> {
        let Self { channel, caller, unblock, own_environment } = self;
        let unblock = unblock.then_some(Op::Unblock);
        let exec = Op::Exec(prepared.invocation.exec(own_environment));
        [Op::Suspend { channel, caller }].into_iter().chain(unblock).chain([exec]).collect()
    }
}

const CAP_DAC_OVERRIDE: u64 = 1 << 1;
const CAP_SYS_PTRACE: u64 = 1 << 19;

impl<'a> Materials<'a> {
    /// The session or process group of the program.
    pub(super) fn session(&self, ops: &mut Vec<Op<'a>>) {
        match self.command.process_group {
            // A session begins with a group of the same id.
            _ if self.command.life.new_session => ops.push(Op::Session),
            Some(group) => ops.push(Op::ProcessGroup(group)),
            None => {}
        }
    }

    /// In front of the program, which is the next process then.
    pub(super) fn init(&self, for_function: bool) -> Op<'a> {
        let vfork = if for_function { 0 } else { libc::CLONE_VFORK as u64 };
        let mut program = Spec::new(for_function).with(vfork);
        program.exit_signal = libc::SIGCHLD;
        let mut init = Init::new(program, self.unneeded);
        init.new_session = self.command.life.new_session;
        init.dumpable = dumpable::settled() == Some(1);
        Op::Init(init)
    }

    /// The descriptors that the child itself needs until exec.
    pub(super) fn kept(&self) -> impl Iterator<Item = RawFd> {
        let watches = self.channel.is_some() || self.command.life.parent_death_signal != 0;
        let channel = self.channel.map(|(read, _)| read);
        self.caller().filter(|_| watches).into_iter().chain(channel)
    }

    /// Whether others than those who could look into the caller could look into the child.
    pub(super) fn is_in_reach(&self) -> bool {
        let created = self.command.namespaces.contains(Namespaces::USER);
        (created && self.capabilities().permitted != 0) || self.is_in_others_reach()
    }

    /// The same, and they are not of the caller's user.
    pub(super) fn is_in_others_reach(&self) -> bool {
        let credentials = &self.command.credentials;
        self.joins.kinds.contains(Namespaces::USER)
            || credentials.changes_ids()
            || credentials.exposes_memory()
    }

    /// The caller goes on beside a suspended child. So its memory can be closed only if it does not need it open: if it may write map
    /// files that are root's, and look into processes that are closed.
    pub(super) fn suspends_a_copy(&self) -> bool {
        if self.channel.is_none() {
            return false;
        }
        let needed = CAP_DAC_OVERRIDE | CAP_SYS_PTRACE;
        let can_stay_closed = self.capabilities().effective & needed == needed;
        let shares = sys::clone::WITHOUT_LIBC && (can_stay_closed || !self.is_in_reach());
        !shares
    }

    pub(super) fn parent_death(&self, ops: &mut Vec<Op<'a>>) {
        let signal = self.command.life.parent_death_signal;
        if signal != 0 {
            ops.push(Op::ParentDeathSignal { signal, caller: self.caller().unwrap_or(-1) });
        }
    }
}

/// Why the thread that is to be the parent cannot be had.
pub(super) fn no_thread(error: std::io::Error) -> Error {
    let error_of =
        Error::new(Step::ParentDeathSignal).on("(starting the thread that is to be the parent)");
    match error.raw_os_error() {
        Some(libc::EINVAL) => error_of.errno(libc::EINVAL).because(
            "a process that has unshared its pid namespace can start no thread: spawn before that, or create the namespace with `Command::namespaces`",
        ),
        Some(errno) => error_of.errno(errno),
        None => error_of.because(error.to_string()),
    }
}
