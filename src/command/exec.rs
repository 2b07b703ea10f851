//! `Command::exec`: the program in place of the caller.
#![forbid(unsafe_code)]

use std::process;

use super::hook::Code;
use super::join::Way;
use super::maps::MapFiles;
use super::plan::{Closing, Materials};
use super::spawn::{may_enter_one_by_one, of_both};
use super::stdio::Default;
use super::supplies::Supplies;
use super::{Command, clock, validate};
use crate::error::{Cause, Error, Result, Step};
use crate::sys::child::Op;
use crate::sys::replace::{Part, Replacement};
use crate::sys::spawn::Failure;
use crate::{Namespace, NamespaceId, NamespaceKind, Namespaces, diagnose, sys, threads};

pub(super) fn exec(command: &mut Command) -> Error {
    let mut hooks = std::mem::take(&mut command.hooks);
    let mut code = Code::new(&mut hooks, None);
    let attempt =
        |code: &mut Code<'_>, way| replace(command, code, way).unwrap_or_else(|error| error);
    let error = match attempt(&mut code, Way::AtOnce) {
        error if may_enter_one_by_one(&error) => of_both(error, attempt(&mut code, Way::OneByOne)),
        error => error,
    };
    drop(code);
    command.hooks = hooks;
    error
}

/// Gives the reason for coming back at all.
fn replace(command: &Command, code: &mut Code<'_>, way: Way) -> Result<Error> {
    validate::validate(command)?;
    validate::validate_exec(command)?;
    let created = command.get_namespaces();
    if created.contains(Namespaces::USER) {
        threads::is_single();
    }
    // Maps are written by a process that has not entered anything: see `validate_exec`.
    let supplies = Supplies::get(command, &Default::INHERIT, false, way, false)?;
    let materials = supplies.materials(command);
    if let Some(error) = materials.joins.moves_other_threads().filter(|_| !threads::is_single()) {
        return Err(error.errno(libc::EINVAL).caused_by(Cause::Threads));
    }

    let mut enter: Vec<Op<'_>> = Vec::new();
    if materials.cgroup.is_some() {
        enter.push(materials.enter_cgroup(true));
    }
    enter.extend(materials.joins.ops());
    if !created.is_empty() {
        enter.push(Op::Unshare(created.bits() as i32));
    }
    // Its own maps a process may write only in the simplest case; one that stays outside has all the rights.
    let files = MapFiles::of(process::id())?;
    let mut map = Vec::new();
    let mut map_steps = Vec::new();
    let maps = &materials.prepared.maps;
    if let Some(maps) = maps {
        maps.check_without_helper()?;
    }
    let closed = materials.exposes_this_process().then(Closed::new).flatten();
    // Its files are root's while it is closed, be it of old; then it is opened for as long as it takes to write them.
    let raised = maps.is_some() && sys::prctl::dumpable() != Some(1) && !files.can_be_opened();
    if let Some(maps) = maps {
        map.push(Op::AwaitMaps { caller: materials.awaited(false) });
        map_steps.push(Step::UidMap);
        if raised {
            map.push(Op::Dumpable(true));
            map_steps.push(Step::UidMap);
        }
        for (step, file) in maps.files(&files) {
            map.push(Op::WriteMap(file));
            map_steps.push(step);
        }
        if raised {
            map.push(Op::Dumpable(false));
            map_steps.push(Step::UidMap);
        }
    }
    let closing = if command.inherit_fds { Closing::Nothing } else { Closing::OthersAtExec };
    let mut rest = Vec::new();
    let own_offsets = clock::offsets_of_this_thread();
    rest.extend(materials.set_clocks(own_offsets.as_deref(), false));
    materials.set_up(&mut rest, closing);
    materials.credentials(&mut rest, false);
    rest.push(Op::Unblock);
    let without_hooks = code.hooks.is_empty();
    for hook in &mut code.hooks {
        rest.push(Op::PreExec(&mut **hook));
    }
    rest.push(materials.exec(without_hooks));

    let inheritable = sys::fcntl::Inheritable::now();
    let saved = sys::fcntl::Saved::save(&materials.targets(), materials.numbers);
    let (part, failure) = sys::replace::replace_self(Replacement {
        enter: &mut enter,
        map: &mut map,
        rest: &mut rest,
    });
    if raised {
        sys::prctl::set_dumpable(0);
    }
    drop(closed);
    materials.prepared.mounts.close();
    saved.restore();
    inheritable.restore();
    Ok(match (part, failure) {
        (Part::Enter, Failure::Op(place, errno)) => materials.failed(&enter[place], errno),
        (Part::Rest, Failure::Op(place, errno)) => materials.failed(&rest[place], errno),
        (Part::Map, Failure::Op(place, errno)) => match (maps, &map[place]) {
            (Some(maps), Op::WriteMap(_)) => maps.failed(map_steps[place].clone(), errno, false),
            (Some(_), op) => materials.failed(op, errno),
            (None, _) => Error::new(Step::UidMap).errno(errno),
        },
        (_, Failure::Clone(errno)) => {
            diagnose::creating(Error::new(Step::UidMap).errno(errno), Namespaces::empty())
        }
        (_, Failure::Resources(error)) => {
            Error::new(Step::UidMap).errno(error.raw_os_error().unwrap_or(libc::ENOMEM))
        }
        (_, Failure::Died(_, status)) => {
            let how = status.map_or_else(String::new, |status| format!(" with {status}"));
            Error::new(Step::UidMap).because(format!("the process that writes the maps ended{how}"))
        }
        (_, Failure::Help(())) => Error::new(Step::UidMap),
    })
}

impl Materials<'_> {
    /// Until it has executed the program, this process is where others have power over it that they had not before: in a new user namespace all
    /// processes of its user have, be they without the capabilities that it has, and in an entered one whoever is root there.
    fn exposes_this_process(&self) -> bool {
        let created = self.command.get_namespaces().contains(Namespaces::USER);
        let loses = created && sys::capabilities().permitted != 0;
        // It writes the offsets by itself, to a file that is root's while the memory is closed.
        let writes_clocks = self.prepared.clocks.is_some() && sys::process::effective_ids().0 != 0;
        (loses || self.joins.kinds.contains(Namespaces::USER)) && !writes_clocks
    }
}

/// The memory of this process, closed. It is opened again if the process has got nowhere.
struct Closed(Option<NamespaceId>);

impl Closed {
    /// `None` if it is closed of old.
    fn new() -> Option<Self> {
        (sys::prctl::dumpable() == Some(1)).then(|| {
            sys::prctl::set_dumpable(0);
            Self(user_namespace())
        })
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        // In another user namespace those are around from whom it was closed.
        if self.0.is_some() && user_namespace() == self.0 {
            sys::prctl::set_dumpable(1);
        }
    }
}

fn user_namespace() -> Option<NamespaceId> {
    Namespace::current(NamespaceKind::User).and_then(|namespace| namespace.id()).ok()
}
