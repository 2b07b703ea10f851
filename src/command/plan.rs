//! From the settings, and what is prepared for a spawn, to a list of operations.
#![forbid(unsafe_code)]

use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::process;
use std::sync::OnceLock;

use super::descriptors::{gaps, moves};
use super::hook::Code;
use super::join::Joins;
use super::life::{Life, Tail};
use super::stdio::Streams;
use super::supplies::{Prepared, Supplies};
use super::{Command, cgroup, dumpable};
use crate::sys::child::Op;
use crate::sys::clone::{CLONE_CLEAR_SIGHAND, CLONE_NEWTIME, Spec};
use crate::sys::parent_death::Watched;
use crate::sys::signal::Signals;
use crate::sys::thread_word::ThreadWord;
use crate::{Namespaces, sys};

/// Everything that a list of operations is made from.
pub(super) struct Materials<'a> {
    pub(super) command: &'a Command,
    pub(super) prepared: &'a Prepared,
    pub(super) joins: &'a Joins,
    streams: &'a Streams,
    pub(super) numbers: &'a [RawFd],
    caller: &'a OnceLock<Option<OwnedFd>>,
    /// The signals that the caller may ignore.
    pub(super) ignored: Signals,
    /// The caller's, once they were asked for.
    capabilities: OnceLock<sys::Capabilities>,
    pub(super) cgroup: Option<&'a cgroup::Prepared>,
    /// The child's end of its channel, and the caller's, for a child that is to be suspended.
    pub(super) channel: Option<(RawFd, RawFd)>,
    pub(super) unneeded: &'a [(usize, usize)],
}

impl Supplies {
    pub(super) fn materials<'a>(&'a self, command: &'a Command) -> Materials<'a> {
        Materials {
            command,
            prepared: &self.prepared,
            joins: &self.joins,
            streams: &self.streams,
            numbers: &self.numbers,
            caller: &self.caller,
            ignored: Signals::ALL,
            capabilities: OnceLock::new(),
            cgroup: self.cgroup.as_ref(),
            channel: None,
            unneeded: &self.unneeded,
        }
    }
}

/// Where each descriptor that the program gets is now, and the number it gets.
fn passed(command: &Command, streams: &Streams) -> Vec<(RawFd, RawFd)> {
    let of_streams =
        streams.child.iter().zip(0..).filter_map(|(from, to)| from.map(|from| (from, to)));
    let others = command.fds.iter().map(|(to, from)| (from.as_raw_fd(), *to));
    of_streams.chain(others).collect()
}

/// All the numbers in that: where they are, and where they go.
pub(super) fn numbers(command: &Command, streams: &Streams) -> Vec<RawFd> {
    passed(command, streams).into_iter().flat_map(|(from, to)| [from, to]).collect()
}

/// The first process, and what it and the next ones do.
pub(super) struct Plan<'a> {
    pub(super) first: Spec,
    pub(super) ops: Vec<Op<'a>>,
    /// A child that shares the caller's memory has the dumpable flag cleared.
    pub(super) clears_dumpable: bool,
    /// The last process becomes a program, with memory of its own.
    pub(super) executes: bool,
    /// What a child does that is suspended behind all that.
    pub(super) tail: Option<Tail>,
    /// A child that is suspended shares the caller's memory where others have power over it, and so that is to stay closed.
    pub(super) stays_closed: bool,
}

/// Which processes a spawn takes, and what they share.
struct Shape {
    /// A function runs in place of a program.
    function: bool,
    /// None of the user's code runs in the child.
    alone: bool,
    suspended: bool,
    /// The caller does not sleep in vfork.
    awake: bool,
    /// A helper enters what is to be entered, and clones the program's process.
    apart: bool,
    /// The caller's memory is closed to those in the user namespace that is entered, by a flag.
    guarded: bool,
    /// While that flag is clear the maps of a user namespace inside an entered one cannot be written; so those in there get a copy at the most,
    /// and no descriptor that the program does not.
    exposed: bool,
    join_in_copy: bool,
    program_in_copy: bool,
    /// A table of its own without what is to be closed is cheapest made from the caller's own.
    shares_table: bool,
    /// That is made before the wait for the maps.
    opens_table: bool,
    /// A copy would be in its new time namespace from the clone on, and its clocks could not be set any more.
    clocks_in_copy: bool,
}

pub(super) const CAP_DAC_OVERRIDE: u64 = 1 << 1;
pub(super) const HELPER: u64 = libc::CLONE_FILES as u64 | CLONE_CLEAR_SIGHAND;
const NEXT: u64 = libc::CLONE_PARENT as u64 | libc::CLONE_VFORK as u64;

impl<'a> Materials<'a> {
    /// Who does what:
    ///
    /// * Usually the caller clones the program's process with the new namespaces, sharing its memory, and sleeps in vfork
    ///   until that execs. The process enters what is to be entered by itself.
    /// * A pid namespace takes in only children, and a process that enters one namespace and creates another must enter
    ///   first: then a helper enters, clones the program as a child of the caller's (`CLONE_PARENT`), and goes.
    ///   Should a pid namespace be created inside one that is entered, a second helper is cloned into the
    ///   latter: only from in there can it be done.
    /// * The user's code runs in a copy of the memory, and so does whoever enters a time namespace.
    /// * A caller that has to write id maps, or to hear of a function that has begun, must not sleep in vfork. If the first process would
    ///   be a copy, which cannot wake it, a helper that shares the memory goes in between. So it is with a parent-death signal, whose
    ///   setting the caller confirms, and with a child that is to be suspended.
    /// * An init is a copy, and clones the program itself.
    pub(super) fn plan(&self, code: &'a mut Code<'_>) -> Plan<'a> {
        let shape = self.shape(code);
        let List { first, mut ops, .. } = self.processes(&shape);
        self.enter(&shape, &mut ops);
        self.await_maps(&shape, &mut ops);
        if let Some((_, write)) = self.channel {
            // Or it would wait for an end that it holds open itself.
            ops.push(Op::Close { first: write as u32, last: write as u32, at_exec: false });
        }
        // As with maps: the file is root's while that flag is clear.
        let closed_copy = shape.clocks_in_copy && dumpable::closes_copies();
        ops.extend(closed_copy.then_some(Op::Dumpable(true)));
        ops.extend(self.set_clocks(None, shape.clocks_in_copy));
        ops.extend(closed_copy.then_some(Op::Dumpable(false)));
        self.set_up(&mut ops, self.closing(&shape));
        let guard = !shape.program_in_copy && self.command.credentials.exposes_memory();
        self.credentials(&mut ops, guard);
        self.parent_death(&mut ops);
        ops.push(Op::Dispositions { ignored: self.ignored });
        let Life { init, .. } = self.command.life;
        if init {
            ops.push(self.init(shape.function));
            self.session(&mut ops);
        }
        let tail = self.end(&shape, code, &mut ops);
        let mut first = first.expect("the program's process is one of them");
        if shape.function || init {
            // Exec makes it the exit signal of a program; a process that never execs has to have it from the start.
            first.exit_signal = libc::SIGCHLD;
        }
        let changes_ids = self.command.credentials.changes_ids();
        let clears_dumpable = (shape.guarded && !shape.join_in_copy)
            || (changes_ids && !shape.program_in_copy)
            || guard;
        let stays_closed = shape.suspended && self.is_in_reach() && !shape.program_in_copy;
        let executes = !shape.function && !init;
        Plan { first, ops, clears_dumpable, executes, tail, stays_closed }
    }

    fn shape(&self, code: &Code<'_>) -> Shape {
        let created = self.command.namespaces;
        let joined = self.joins.kinds;
        let (function, alone) = (code.function.is_some(), code.is_empty());
        let Life { init, parent_death_signal, .. } = self.command.life;
        let suspended = self.channel.is_some();
        let has_maps = self.prepared.maps.is_some();
        let awake = has_maps || function || init || suspended || parent_death_signal != 0;
        let apart = !joined.is_empty() && (joined.contains(Namespaces::PID) || !created.is_empty());
        let guarded = joined.contains(Namespaces::USER);
        let exposed = guarded && has_maps;
        let join_in_copy = joined.contains(Namespaces::TIME) || exposed;
        let gives_copy = self.gives_copy();
        let program_in_copy =
            !alone || (join_in_copy && !apart) || gives_copy || init || self.suspends_a_copy();
        Shape {
            function,
            alone,
            suspended,
            awake,
            apart,
            guarded,
            exposed,
            join_in_copy,
            program_in_copy,
            shares_table: !self.command.inherit_fds && alone,
            opens_table: exposed || gives_copy,
            clocks_in_copy: program_in_copy && self.prepared.clocks.is_some(),
        }
    }

    /// All processes, up to the clone of the program's.
    fn processes(&self, shape: &Shape) -> List<'a> {
        let created = self.command.namespaces;
        let joined = self.joins.kinds;
        let mut list = List::new(shape.awake);
        let first_in_copy = if shape.apart { shape.join_in_copy } else { shape.program_in_copy };
        if shape.awake && first_in_copy {
            list.process(Spec::new(false).with(HELPER));
        }
        if shape.apart {
            list.process(Spec::new(shape.join_in_copy).with(HELPER));
            self.join(&mut list.ops, shape.guarded);
            if joined.contains(Namespaces::PID) && created.contains(Namespaces::PID) {
                list.process(Spec::new(false).with(HELPER));
            }
        }
        let table = if shape.shares_table { libc::CLONE_FILES as u64 } else { 0 };
        let mut flags = u64::from(created.bits()) | CLONE_CLEAR_SIGHAND | table;
        if shape.clocks_in_copy {
            flags &= !CLONE_NEWTIME;
        }
        let mut spec = Spec::new(shape.program_in_copy).with(flags);
        spec.cgroup = self.cgroup.map(|cgroup| cgroup.directory);
        list.process(spec);
        list
    }

    /// Into the cgroup and the namespaces that the clone has not put it into.
    fn enter(&self, shape: &Shape, ops: &mut Vec<Op<'a>>) {
        if self.cgroup.is_some() {
            ops.push(self.enter_cgroup(false));
        }
        if !shape.apart {
            self.join(ops, shape.guarded);
        }
        if self.command.namespaces.contains(Namespaces::TIME) && !shape.clocks_in_copy {
            ops.push(Op::UnshareTimeIfLegacy { for_function: shape.function });
        }
    }

    /// The wait for the id maps, and a descriptor table of its own: before the wait if others have power over the process then, or else behind
    /// it, in one step with closing what is not passed.
    fn await_maps(&self, shape: &Shape, ops: &mut Vec<Op<'a>>) {
        let highest = self.highest_needed();
        let has_maps = self.prepared.maps.is_some();
        let watched = has_maps.then(|| self.awaited(shape.program_in_copy || shape.join_in_copy));
        if shape.shares_table && shape.opens_table {
            let awaited = watched.and_then(Watched::descriptor);
            let sources = passed(self.command, self.streams).into_iter().map(|(from, _)| from);
            let cgroup = self.cgroup.iter().flat_map(|it| [it.directory, it.processes()]);
            let kept: Vec<_> = sources.chain(awaited).chain(self.kept()).chain(cgroup).collect();
            let highest = kept.iter().copied().fold(highest, RawFd::max);
            ops.push(Op::OwnDescriptors { first: (highest + 1) as u32 });
            let gaps = gaps(kept).filter(|(first, _)| *first <= highest as u32);
            ops.extend(gaps.map(|(first, last)| Op::Close { first, last, at_exec: false }));
        }
        if let Some(caller) = watched {
            let wait = Op::AwaitMaps { caller };
            // A copy has a flag of its own, and its files are root's while that is clear, as the caller's may be of old.
            let closed_copy = shape.program_in_copy && dumpable::closes_copies();
            match shape.exposed || closed_copy {
                true => ops.extend([Op::Dumpable(true), wait, Op::Dumpable(false)]),
                false => ops.push(wait),
            }
        }
        if shape.shares_table && !shape.opens_table {
            ops.push(Op::OwnDescriptors { first: (highest + 1) as u32 });
        }
    }

    fn closing(&self, shape: &Shape) -> Closing {
        match (self.command.inherit_fds, shape.function, shape.alone) {
            (_, true, _) => Closing::OwnOnly,
            (true, ..) => Closing::Nothing,
            // They are not even copied to the new table.
            (false, _, true) if self.highest_needed() == 2 && !shape.opens_table => {
                Closing::Nothing
            }
            (false, _, true) => Closing::Others,
            (false, _, false) => Closing::OthersAtExec,
        }
    }

    /// From the signal mask to the exec, or up to the wait of a child that is suspended, and what comes behind that.
    fn end(&self, shape: &Shape, code: &'a mut Code<'_>, ops: &mut Vec<Op<'a>>) -> Option<Tail> {
        let unblock = shape.suspended && shape.alone;
        if !unblock {
            // A copy may take signals at once, and what its hooks make of them stays.
            ops.push(Op::Unblock);
        }
        if shape.function && self.command.environment.is_changed() {
            if let Some(addresses) = self.prepared.invocation.addresses() {
                ops.push(Op::Environment(addresses.as_slice().as_ptr()));
            }
        }
        let without_hooks = code.hooks.is_empty();
        for hook in &mut code.hooks {
            ops.push(Op::PreExec(&mut **hook));
        }
        // The function goes on in a copy, which is its own; and a copy that is suspended may be looked at, if none but the caller can.
        let is_looked_at = shape.suspended && shape.program_in_copy && !self.is_in_others_reach();
        let opens = (shape.function && (shape.guarded || dumpable::is_closed())) || is_looked_at;
        if opens && dumpable::settled() == Some(1) {
            ops.push(Op::Dumpable(true));
        }
        let caller = self.caller().unwrap_or(-1);
        match (&mut code.function, self.channel) {
            (Some(function), channel) => {
                ops.extend(channel.map(|(channel, _)| Op::Suspend { channel, caller }));
                let closed = self.kept().map(|fd| fd as u32);
                ops.extend(closed.map(|fd| Op::Close { first: fd, last: fd, at_exec: false }));
                ops.push(Op::Call(&mut **function));
                None
            }
            (None, Some((channel, _))) => {
                let own_environment = self.own_environment(without_hooks);
                Some(Tail { channel, caller, unblock, own_environment })
            }
            (None, None) => {
                ops.push(self.exec(without_hooks));
                None
            }
        }
    }

    /// Of the calling thread, asked for once in a spawn.
    pub(super) fn capabilities(&self) -> sys::Capabilities {
        *self.capabilities.get_or_init(sys::capabilities)
    }

    /// The pidfd of the calling process, where one was opened.
    pub(super) fn caller(&self) -> Option<RawFd> {
        self.caller.get().and_then(Option::as_ref).map(AsRawFd::as_raw_fd)
    }

    /// By what a child that waits for its maps finds that the caller is gone: by the thread's word, unless it has a copy of that.
    pub(super) fn awaited(&self, in_copy: bool) -> Watched {
        match ThreadWord::own(dumpable::own()) {
            Some(word) if !in_copy => Watched::Thread(word),
            _ => {
                self.caller.get_or_init(|| sys::pidfd::open(process::id()).ok());
                Watched::Process(self.caller().unwrap_or(-1))
            }
        }
    }

    /// Whether the caller's memory is closed to others of its user while the child, in a new user namespace, shares it.
    pub(super) fn closes_memory(&self) -> bool {
        self.command.namespaces.contains(Namespaces::USER)
            && self.capabilities().effective & CAP_DAC_OVERRIDE != 0
            // Whose files belong to root then; and its clocks are written by the child itself.
            && (self.prepared.clocks.is_none() || sys::process::effective_ids().0 == 0)
    }

    /// Into the cgroup, if the clone has not put it there, or there is none.
    pub(super) fn enter_cgroup(&self, moves_itself: bool) -> Op<'a> {
        let create_namespace =
            self.command.namespaces.contains(Namespaces::CGROUP) && !moves_itself;
        let processes = self.cgroup.map_or(-1, cgroup::Prepared::processes);
        Op::Cgroup { processes, create_namespace, moves_itself }
    }

    pub(super) fn set_clocks(&self, path: Option<&'a CStr>, in_copy: bool) -> Option<Op<'a>> {
        let text = self.prepared.clocks.as_ref()?.as_bytes();
        Some(Op::ClockOffsets { path, text, in_copy })
    }

    /// Who has power but could not write the maps of a closed process gives it a copy.
    pub(super) fn gives_copy(&self) -> bool {
        let created = self.command.namespaces;
        let has_power = created.contains(Namespaces::USER) && self.capabilities().permitted != 0;
        has_power && !self.closes_memory() && self.joins.kinds.is_empty()
    }

    fn join(&self, ops: &mut Vec<Op<'a>>, undumpable: bool) {
        if undumpable {
            ops.push(Op::Dumpable(false));
        }
        ops.extend(self.joins.ops());
    }

    /// From the namespaces to the working directory.
    pub(super) fn set_up(&self, ops: &mut Vec<Op<'a>>, closing: Closing) {
        let command = self.command;
        let created = command.namespaces;
        if !command.life.init {
            self.session(ops);
        }
        if let Some(name) = &command.hostname {
            ops.push(Op::Hostname(name.as_bytes()));
        }
        if let Some(name) = &command.domainname {
            ops.push(Op::Domainname(name.as_bytes()));
        }
        if command.loopback.unwrap_or(created.contains(Namespaces::NET)) {
            ops.push(Op::Loopback);
        }
        self.prepared.mounts.ops(ops);
        self.descriptors(ops, closing);
        if let Some(directory) = &self.prepared.directory {
            ops.push(Op::Chdir(directory));
            if self.joins.kinds.contains(Namespaces::MOUNT) {
                ops.push(Op::DirectoryIsInside);
            }
        }
    }

    pub(super) fn exec(&self, without_hooks: bool) -> Op<'a> {
        Op::Exec(self.prepared.invocation.exec(self.own_environment(without_hooks)))
    }

    fn own_environment(&self, without_hooks: bool) -> bool {
        without_hooks || self.command.environment.is_changed()
    }

    /// The numbers that the program gets descriptors under.
    pub(super) fn targets(&self) -> Vec<RawFd> {
        passed(self.command, self.streams).into_iter().map(|(_, to)| to).collect()
    }

    /// Of the descriptors that are passed, or needed on the way; 2 if there are none above.
    fn highest_needed(&self) -> RawFd {
        let passed = passed(self.command, self.streams).into_iter().map(|(from, _)| from);
        passed.chain(self.kept()).fold(2, RawFd::max)
    }

    fn descriptors(&self, ops: &mut Vec<Op<'a>>, closing: Closing) {
        let passed = passed(self.command, self.streams);
        let targets = self.targets();
        moves(passed, self.numbers, ops);
        match closing {
            Closing::Nothing => {}
            Closing::OwnOnly => {
                let own = self.streams.opened.iter().map(|end| end.as_raw_fd());
                let given = self.command.fds.iter().map(|(_, fd)| fd.as_raw_fd());
                let own = own
                    .chain(self.streams.ours())
                    .chain(given)
                    .chain(self.joins.fds())
                    .chain(self.caller())
                    .chain(self.cgroup.iter().flat_map(|it| [it.directory, it.processes()]));
                let stays = |fd: RawFd| targets.contains(&fd) || self.kept().any(|kept| kept == fd);
                let unwanted = own.filter(|fd| *fd > 2 && !stays(*fd));
                ops.extend(unwanted.map(|fd| Op::Close {
                    first: fd as u32,
                    last: fd as u32,
                    at_exec: false,
                }));
            }
            Closing::Others | Closing::OthersAtExec => {
                let at_exec = closing == Closing::OthersAtExec;
                let open = targets.into_iter().chain(self.kept()).collect();
                ops.extend(gaps(open).map(|(first, last)| Op::Close { first, last, at_exec }));
            }
        }
    }
}

/// The processes of a spawn, as they are put in line.
pub(super) struct List<'a> {
    pub(super) first: Option<Spec>,
    pub(super) ops: Vec<Op<'a>>,
    awake: bool,
}

/// More operations than most spawns have.
const USUAL: usize = 24;

impl List<'_> {
    pub(super) fn new(awake: bool) -> Self {
        Self { first: None, ops: Vec::with_capacity(USUAL), awake }
    }

    pub(super) fn process(&mut self, spec: Spec) {
        match self.first {
            None if self.awake => self.first = Some(spec),
            None => self.first = Some(spec.with(libc::CLONE_VFORK as u64)),
            Some(_) => self.ops.push(Op::Hop(spec.with(NEXT))),
        }
    }
}

/// What becomes of descriptors that are not passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Closing {
    /// Those that are still there and not close-on-exec are inherited.
    Nothing,
    /// For a function: what it owns stays.
    OwnOnly,
    Others,
    /// Open for hooks.
    OthersAtExec,
}
