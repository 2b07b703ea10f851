//! The caller's side: what happens before the clone, beside the child, and after.
#![forbid(unsafe_code)]

use std::fs;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::process;

use super::child::{Child, Handle, unknown_id};
use super::dumpable::Dumpable;
use super::hook::Code;
use super::join::Joins;
use super::plan::{MapFiles, Maps, Materials, Plan, Prepared};
use super::stdio::{Default, Streams};
use super::{Command, validate};
use crate::error::{Error, Result, Step};
use crate::sys::child::Op;
use crate::sys::spawn::{Failure, Program};
use crate::{PidFd, diagnose, sys};

pub(super) fn spawn(command: &mut Command, default: Default) -> Result<Child> {
    validate::validate(command)?;
    // The child changes the user's code by running it, and only reads all else.
    let mut hooks = std::mem::take(&mut command.hooks);
    let mut function = command.function.take();
    let mut code = Code::new(&mut hooks, function.as_mut());
    let result = launch(command, &mut code, &default);
    drop(code);
    command.hooks = hooks;
    command.function = function;
    result
}

fn launch(command: &Command, code: &mut Code<'_>, default: &Default) -> Result<Child> {
    let prepared = Prepared::new(command)?;
    let joins = Joins::resolve(&command.joins)?;
    let streams = Streams::open(command, default)?;
    // Where it cannot be had, a caller that dies at the wrong moment leaves a child that waits.
    let caller = prepared.maps.as_ref().and_then(|_| sys::pidfd::open(process::id()).ok());
    let caller_fd = caller.as_ref().map(|caller| caller.as_raw_fd());
    let materials = Materials {
        command,
        prepared: &prepared,
        joins: &joins,
        streams: &streams,
        caller: caller_fd,
    };
    let program = run(&materials, code)?;
    let pidfd = PidFd::known(program.pidfd);
    let pid = match u32::try_from(program.pid) {
        Ok(pid) if pid > 0 && !joins.numbers_differ(command.namespaces) => pid,
        _ => pidfd.pid()?.ok_or_else(unknown_id)?,
    };
    let Streams { stdin, stdout, stderr, .. } = streams;
    Ok(Child { stdin, stdout, stderr, handle: Handle { pidfd, pid, status: None } })
}

fn run(materials: &Materials<'_>, code: &mut Code<'_>) -> Result<Program> {
    let Plan { first, mut ops, clears_dumpable } = materials.plan(code);
    let maps = materials.prepared.maps.as_ref();
    let mut dumpable = match (maps, clears_dumpable) {
        (Some(_), _) => Some(Dumpable::mapping()),
        (None, true) => Some(Dumpable::clearing()),
        (None, false) => None,
    };
    let mut write_maps = |child: BorrowedFd<'_>, pid: Option<i32>| {
        let Some(maps) = maps else { return Ok(()) };
        write_maps(maps, child, pid)?;
        dumpable = None;
        if clears_dumpable {
            dumpable = Some(Dumpable::clearing());
        }
        Ok(())
    };
    let result = match maps {
        Some(_) => sys::spawn::spawn(first, &mut ops, Some(&mut write_maps)),
        None => sys::spawn::spawn::<Error>(first, &mut ops, None),
    };
    result.map_err(|failure| explain(materials, &ops, failure))
}

/// Writes the maps of a child of the caller's, which waits for that.
fn write_maps(maps: &Maps, child: BorrowedFd<'_>, pid: Option<i32>) -> Result<()> {
    // A /proc of another pid namespace has the child under another number, and a stranger under this one.
    let own = fs::read_link("/proc/self")
        .is_ok_and(|link| link.as_os_str() == process::id().to_string().as_str());
    let number = match pid {
        Some(pid) if own => u32::try_from(pid).ok(),
        _ => PidFd::known(child.try_clone_to_owned().map_err(|error| {
            Error::new(Step::UidMap).errno(error.raw_os_error().unwrap_or(libc::EMFILE))
        })?)
        .pid_in_proc()?,
    };
    let Some(number) = number else {
        return Err(Error::new(Step::UidMap)
            .errno(libc::ESRCH)
            .because("the mounted /proc does not show the child: mount that of the caller's own pid namespace"));
    };
    maps.write(&MapFiles::of(number)?)
}

fn explain(materials: &Materials<'_>, ops: &[Op<'_>], failure: Failure<Error>) -> Error {
    let set = materials.command.get_namespaces();
    match failure {
        Failure::Resources(error) => {
            Error::new(Step::Clone(set)).errno(error.raw_os_error().unwrap_or(libc::ENOMEM))
        }
        Failure::Clone(errno) => diagnose::creating(Error::new(Step::Clone(set)).errno(errno), set),
        Failure::Op(place, errno) => match ops.get(place) {
            Some(op) => materials.failed(op, errno),
            None => Error::new(Step::Clone(set)).errno(errno),
        },
        Failure::Died(place, status) => {
            let step = ops
                .get(place)
                .map(|op| materials.failed(op, 0).step().clone())
                .unwrap_or(Step::Clone(set));
            let how = status.map_or_else(
                || "it was killed".to_owned(),
                |status| format!("it ended with {status}"),
            );
            Error::new(step).because(format!("{how} in the middle of this step"))
        }
        Failure::Help(error) => error,
    }
}
