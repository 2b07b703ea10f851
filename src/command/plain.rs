//! The short way: what [`plan`](super::plan) and [`spawn`](super::spawn) do, for a command without any of the settings that few have.
//!
//! A program that spawns now and then finds most of the code for that gone from the processor's caches, and waits for each line of it. So
//! here is what most spawns come to, in a fraction of the code; anything else, and whatever is out of the ordinary, goes the long way. That the two
//! come to the same operations is tested below.
#![forbid(unsafe_code)]

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::child::{Child, Handle};
use super::dumpable::{self, Dumpable};
use super::invocation::Invocation;
use super::join::Way;
use super::kept::Parts;
use super::life::Life;
use super::maps::Maps;
use super::stdio::Default;
use super::supplies::Supplies;
use super::{Command, mount, spawn, validate};
use crate::error::{Error, Result};
use crate::sys::child::Op;
use crate::sys::clone::{CLONE_CLEAR_SIGHAND, Spec};
use crate::sys::parent_death::Watched;
use crate::sys::signal::Signals;
use crate::sys::spawn::{Failure, Help, Program};
use crate::sys::thread_word::ThreadWord;
use crate::{Namespaces, sys};

/// All that there is to prepare.
struct Plain<'c> {
    command: &'c Command,
    invocation: Invocation,
    /// For a user namespace: which process the caller is, and its effective ids.
    process: (u32, u32),
    ids: (u32, u32),
    maps: Option<Arc<Maps>>,
    /// By what a child that waits for its maps finds that the caller is gone.
    caller: Option<ThreadWord>,
    ignored: Signals,
    /// The caller's memory is to be closed to others of its user meanwhile.
    closes_memory: bool,
}

/// `None`: it takes the long way. Nothing has been done then.
pub(super) fn spawn(command: &Command, default: &Default) -> Option<Result<Child>> {
    if !is_plain(command, default) {
        return None;
    }
    match Plain::new(command) {
        Ok(plain) => plain?.spawn().into(),
        Err(error) => Some(Err(error)),
    }
}

/// Whether it has none of the settings that there is no place for here. Bits that are no kinds are refused elsewhere.
fn is_plain(command: &Command, default: &Default) -> bool {
    let Command {
        program: _,
        arg0: _,
        args: _,
        environment: _,
        namespaces,
        maps,
        inherit_fds: _,
        kept: _,
        function,
        directory,
        stdin,
        stdout,
        stderr,
        credentials,
        process_group,
        hooks,
        joins,
        hostname,
        domainname,
        loopback,
        clocks,
        cgroup,
        mounts,
        fds,
        life: Life { new_session, parent_death_signal, kill_on_drop: _, init },
    } = command;
    let has_world = function.is_some()
        || !hooks.is_empty()
        || !joins.is_empty()
        || hostname.is_some()
        || domainname.is_some()
        || loopback.is_some()
        || cgroup.is_some()
        || directory.is_some()
        || process_group.is_some()
        || !mounts.are_default()
        || !clocks.are_default()
        || !credentials.are_default();
    let has_streams = stdin.is_some()
        || stdout.is_some()
        || stderr.is_some()
        || !fds.is_empty()
        || !default.inherits();
    let has_life = *new_session || *init || *parent_death_signal != 0;
    let is_known = Namespaces::all().contains(*namespaces);
    let has_maps_of_its_own = namespaces.contains(Namespaces::USER) || maps.needs_user().is_none();
    !has_world && !has_streams && !has_life && is_known && has_maps_of_its_own
}

/// As many operations as there are at the most.
const MOST: usize = 9;

/// The list of operations, in an array: there are few.
struct Ops<'a> {
    ops: [Op<'a>; MOST],
    length: usize,
}

impl<'a> Ops<'a> {
    fn new() -> Self {
        Self { ops: std::array::from_fn(|_| Op::End), length: 0 }
    }

    fn push(&mut self, op: Op<'a>) {
        self.ops[self.length] = op;
        self.length += 1;
    }

    fn as_mut_slice(&mut self) -> &mut [Op<'a>] {
        &mut self.ops[..self.length]
    }
}

impl<'a> Extend<Op<'a>> for Ops<'a> {
    fn extend<I: IntoIterator<Item = Op<'a>>>(&mut self, ops: I) {
        ops.into_iter().for_each(|op| self.push(op));
    }
}

impl<'c> Plain<'c> {
    /// `None`: this caller needs another way.
    fn new(command: &'c Command) -> Result<Option<Self>> {
        let mut kept = command.kept.parts();
        if !kept.are_valid {
            check(command, &mut kept)?;
        }
        let invocation = Invocation::new(command, false, &mut kept)?;
        let ignored = kept.ignored();
        let created = command.namespaces;
        let mut plain = Self {
            command,
            invocation,
            process: (0, 0),
            ids: (0, 0),
            maps: None,
            caller: None,
            ignored,
            closes_memory: false,
        };
        if created.contains(Namespaces::USER) && !plain.take_user(&mut kept)? {
            return Ok(None);
        }
        Ok(Some(plain))
    }

    /// What a new user namespace needs. `false`: another way.
    fn take_user(&mut self, kept: &mut Parts) -> Result<bool> {
        let capabilities = sys::capabilities();
        self.closes_memory = capabilities.effective & super::plan::CAP_DAC_OVERRIDE != 0;
        let has_maps = !self.command.maps.write_nothing();
        if has_maps || self.closes_memory {
            (self.ids, self.process) = (sys::process::effective_ids(), dumpable::own());
        }
        if has_maps {
            self.maps = Maps::of(self.command, Namespaces::empty(), self.ids, kept)?;
            self.caller = ThreadWord::own(self.process);
        }
        let gives_copy = capabilities.permitted != 0 && !self.closes_memory;
        Ok(!gives_copy && self.caller.is_some() == self.maps.is_some())
    }

    fn first(&self) -> Spec {
        let created = u64::from(self.command.namespaces.bits());
        let table = if self.command.inherit_fds { 0 } else { libc::CLONE_FILES as u64 };
        // A caller that has to write id maps must not sleep in vfork.
        let vfork = if self.maps.is_some() { 0 } else { libc::CLONE_VFORK as u64 };
        Spec::new(false).with(created | CLONE_CLEAR_SIGHAND | table | vfork)
    }

    fn list<'p>(&'p self, list: &mut Ops<'p>) {
        let created = self.command.namespaces;
        if created.contains(Namespaces::TIME) {
            list.push(Op::UnshareTimeIfLegacy { for_function: false });
        }
        if let Some(caller) = self.caller {
            list.push(Op::AwaitMaps { caller: Watched::Thread(caller) });
        }
        if !self.command.inherit_fds {
            list.push(Op::OwnDescriptors { first: 3 });
        }
        if created.contains(Namespaces::NET) {
            list.push(Op::Loopback);
        }
        if created.contains(Namespaces::MOUNT) {
            list.extend(mount::default_ops(created));
        }
        list.push(Op::Dispositions { ignored: self.ignored });
        list.push(Op::Unblock);
        list.push(Op::Exec(self.invocation.exec(true)));
    }

    fn spawn(self) -> Result<Child> {
        let mut list = Ops::new();
        self.list(&mut list);
        let ops = list.as_mut_slice();
        let result = if self.command.namespaces.contains(Namespaces::USER) {
            self.spawn_guarded(ops)
        } else {
            sys::spawn::spawn(self.first(), ops, None)
        };
        let program = match result {
            Ok(program) => program,
            Err(failure) => return Err(self.explain(ops, failure)),
        };
        if let Some(ignored) = program.ignored {
            self.command.kept.found_ignored(ignored);
        }
        let pid = u32::try_from(program.pid).unwrap_or(0);
        let handle = Handle::new(program, pid, None, self.command.life.kill_on_drop);
        if self.command.namespaces.contains(Namespaces::TIME) {
            spawn::wait_for_time(&handle.pidfd);
        }
        Ok(Child { stdin: None, stdout: None, stderr: None, handle })
    }

    /// With the caller's part in it: maps, and the flag that keeps others from its memory.
    fn spawn_guarded(&self, ops: &mut [Op<'_>]) -> std::result::Result<Program, Failure<Error>> {
        let closed = self.closes_memory;
        let mut flag = match &self.maps {
            _ if closed => Some(Dumpable::cleared_by(self.process, self.ids)),
            Some(_) => Some(Dumpable::mapping_by(self.process)),
            None => None,
        };
        let mut help = |child: BorrowedFd<'_>, pid: Option<i32>| {
            if let (Some(maps), Some(flag)) = (&self.maps, &flag) {
                maps.write(child, pid, flag)?;
            }
            if !closed {
                flag = None;
            }
            Ok(())
        };
        let help: Option<&mut Help<'_, Error>> =
            if self.maps.is_some() { Some(&mut help) } else { None };
        let program = sys::spawn::spawn(self.first(), ops, help)?;
        if closed {
            spawn::wait_for_exec(&program, Some(program.pid));
        }
        Ok(program)
    }

    /// The long way has the words for it.
    #[cold]
    #[inline(never)]
    fn explain(&self, ops: &[Op<'_>], failure: Failure<Error>) -> Error {
        // Made from what is kept: nothing is asked or opened again.
        match Supplies::get(self.command, &Default::INHERIT, true, Way::AtOnce, false) {
            Ok(supplies) => supplies.materials(self.command).explain(ops, failure),
            Err(error) => error,
        }
    }
}

#[cold]
#[inline(never)]
fn check(command: &Command, kept: &mut Parts) -> Result<()> {
    validate::texts(command)?;
    command.maps.validate(false)?;
    kept.are_valid = true;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::hook::Code;
    use super::*;
    use crate::{IdRange, NamespaceKind, TimeOffset};

    /// What an operation is, for comparison.
    fn shape(op: &Op<'_>) -> String {
        match op {
            Op::UnshareTimeIfLegacy { for_function } => format!("time {for_function}"),
            Op::AwaitMaps { caller } => format!("maps {caller:?}"),
            Op::OwnDescriptors { first } => format!("descriptors {first}"),
            Op::Loopback => "loopback".to_owned(),
            Op::Propagation(flags) => format!("propagation {flags:#x}"),
            Op::Mount { source, target, fstype, flags } => {
                format!("mount {source:?} {target:?} {fstype:?} {flags:#x}")
            }
            Op::Dispositions { ignored } => format!("dispositions {ignored:?}"),
            Op::Unblock => "unblock".to_owned(),
            Op::Exec(exec) => format!("exec {:?} {:?} {:?}", exec.paths, exec.argv, exec.envp),
            _ => panic!("the long way has an operation that the short one never has"),
        }
    }

    fn short(command: &Command) -> Option<(String, Vec<String>, bool)> {
        if !is_plain(command, &Default::INHERIT) {
            return None;
        }
        let plain = Plain::new(command).unwrap()?;
        let mut list = Ops::new();
        plain.list(&mut list);
        let ops = list.as_mut_slice().iter().map(shape).collect();
        Some((format!("{:?}", plain.first()), ops, plain.closes_memory))
    }

    fn long(command: &Command) -> (String, Vec<String>, bool) {
        validate::validate(command).unwrap();
        let supplies = Supplies::get(command, &Default::INHERIT, true, Way::AtOnce, false).unwrap();
        let mut materials = supplies.materials(command);
        materials.ignored = command.kept.parts().ignored();
        let mut code = Code::default();
        let plan = materials.plan(&mut code);
        assert!(!plan.clears_dumpable && plan.executes && plan.tail.is_none());
        let ops = plan.ops.iter().map(shape).collect();
        (format!("{:?}", plan.first), ops, materials.closes_memory())
    }

    #[test]
    fn it_comes_to_what_the_long_way_comes_to() {
        type Change = fn(&mut Command) -> &mut Command;
        let changes: [Change; 7] = [
            |command| command,
            |command| command.inherit_fds(true),
            |command| command.leave_unmapped(),
            |command| command.map_root_user(),
            |command| command.allow_setgroups(false),
            |command| command.uid_map([IdRange { inside: 0, outside: 1, count: 2 }]),
            |command| command.arg("a").env("B", "c").kill_on_drop(true),
        ];
        let mut compared = 0;
        for bits in 0..1 << NamespaceKind::ALL.len() {
            let kinds = NamespaceKind::ALL.iter().enumerate();
            let chosen = kinds.filter(|(place, _)| bits >> place & 1 != 0);
            let set: Namespaces = chosen.map(|(_, kind)| kind.flag()).collect();
            for (number, change) in changes.iter().enumerate() {
                // Ids are mapped only in a user namespace.
                let is_about_ids = (2..6).contains(&number);
                if is_about_ids && !set.contains(Namespaces::USER) {
                    continue;
                }
                let mut command = Command::new("a program");
                change(command.namespaces(set));
                let Some(short) = short(&command) else {
                    // A caller with few capabilities goes the long way.
                    assert!(set.contains(Namespaces::USER), "{command:?}");
                    continue;
                };
                assert_eq!(short, long(&command), "{command:?}");
                compared += 1;
            }
        }
        assert!(compared >= 384, "{compared}");
    }

    #[test]
    fn any_other_setting_goes_the_long_way() {
        let other: [fn(&mut Command) -> &mut Command; 12] = [
            |command| command.current_dir("/"),
            |command| command.stdin(crate::Stdio::null()),
            |command| command.stdout(crate::Stdio::inherit()),
            |command| command.uid(0),
            |command| command.process_group(0),
            |command| command.hostname("a"),
            |command| command.loopback(false),
            |command| command.monotonic_offset(TimeOffset::from_secs(1)),
            |command| command.mount_proc(false),
            |command| command.new_session(true),
            |command| command.parent_death_signal(9),
            // Which is an error.
            |command| command.map_root_user(),
        ];
        for change in other {
            let mut command = Command::new("a program");
            assert!(is_plain(&command, &Default::INHERIT));
            change(&mut command);
            assert!(!is_plain(&command, &Default::INHERIT), "{command:?}");
        }
        let command = Command::new("a program");
        assert!(!is_plain(&command, &Default::CAPTURE));
    }
}
