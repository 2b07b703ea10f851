//! The caller's side: what happens before the clone, beside the child, and after.
#![forbid(unsafe_code)]

use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

use super::child::{Child, Handle};
use super::dumpable::{self, Dumpable};
use super::hook::Code;
use super::join::Way;
use super::plan::{Materials, Plan, Supplies};
use super::stdio::{Default, Streams};
use super::{Command, maps, validate};
use crate::error::{Cause, Error, Result, Step};
use crate::sys::spawn::Program;
use crate::{Namespace, NamespaceKind, Namespaces, PidFd, sys};

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
    if code.alone {
        // Or what is in its buffer would be written by both.
        let _ = io::stdout().flush();
    }
    let attempt = |code: &mut Code<'_>, way| {
        let supplies = Supplies::get(command, default, true, way)?;
        let program = run(&supplies.materials(command), code)?;
        Ok((supplies, program))
    };
    let (supplies, program) = match attempt(code, Way::AtOnce) {
        Err(error) if may_enter_one_by_one(&error) => attempt(code, Way::OneByOne)
            .map_err(|other| if other.step() == &Step::Inspect { error } else { other })?,
        result => result?,
    };
    let pidfd = PidFd::known(program.pidfd);
    let pid = match u32::try_from(program.pid) {
        Ok(pid) if pid > 0 && !supplies.joins.numbers_differ(command.namespaces) => pid,
        // 0 if it is gone already, as it may be where SIGCHLD is ignored.
        _ => pidfd.pid().ok().flatten().unwrap_or(0),
    };
    if command.get_namespaces().contains(Namespaces::TIME) {
        wait_for_time(&pidfd);
    }
    let Streams { stdin, stdout, stderr, .. } = supplies.streams;
    Ok(Child { stdin, stdout, stderr, handle: Handle { pidfd, pid, status: None } })
}

/// Whether a refusal to enter the namespaces of a process all at once may be no refusal to enter each: before Linux 5.8
/// there was no such call, a seccomp filter may answer it, and the message should name the namespace.
pub(super) fn may_enter_one_by_one(error: &Error) -> bool {
    let refused = matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::ENOSYS | libc::EPERM | libc::EACCES)
    );
    refused
        && error.cause() != Some(&Cause::Threads)
        && matches!(error.step(), Step::EnterProcess(_))
}

/// Exec enters the new time namespace only after it has woken its caller. Who looks at the child then should find it there.
fn wait_for_time(child: &PidFd) {
    let time_of =
        |namespace: Result<Namespace>| namespace.and_then(|namespace| namespace.id()).ok();
    let Some(caller) = time_of(Namespace::current(NamespaceKind::Time)) else { return };
    let start = Instant::now();
    // What cannot be looked at, or has ended, is not waited for.
    while time_of(child.namespace(NamespaceKind::Time)) == Some(caller)
        && start.elapsed() < Duration::from_secs(1)
    {
        thread::yield_now();
    }
}

fn run(materials: &Materials<'_>, code: &mut Code<'_>) -> Result<Program> {
    let joins_user = materials.joins.user_op().is_some();
    // In a new user namespace all of the caller's user have power over the child, be they without the capabilities that the
    // caller has; so its memory is closed to them. The user's own code has a copy, whose flag would stay cleared.
    let closed = !joins_user && code.is_empty() && materials.closes_memory();
    carry_out(materials, materials.plan(code), closed)
}

/// Has the plan carried out, with the caller's part in it. `closed`: the caller's memory is to be closed meanwhile.
pub(super) fn carry_out(
    materials: &Materials<'_>,
    plan: Plan<'_>,
    closed: bool,
) -> Result<Program> {
    let user = materials.joins.user_op();
    let Plan { first, mut ops, clears_dumpable, executes } = plan;
    let maps = materials.prepared.maps.as_ref();
    let mut flag = match maps {
        _ if closed => Some(Dumpable::cleared()),
        // A child with maps inside an entered user namespace has a copy of the memory, and a flag of its own.
        Some(_) if user.is_none() => Some(Dumpable::mapping()),
        None if clears_dumpable => Some(Dumpable::clearing()),
        _ => None,
    };
    let mut help = |child: BorrowedFd<'_>, pid: Option<i32>| {
        let Some(maps) = maps else { return Ok(()) };
        match &flag {
            Some(flag) => maps.write(child, pid, flag)?,
            None => maps.write_from_inside(child, pid, materials)?,
        }
        if closed {
            return Ok(());
        }
        flag = None;
        if clears_dumpable {
            flag = Some(Dumpable::clearing());
        }
        Ok(())
    };
    let result = match maps {
        Some(_) => sys::spawn::spawn(first, &mut ops, Some(&mut help)),
        None => sys::spawn::spawn::<Error>(first, &mut ops, None),
    };
    if let (Ok(program), true) = (&result, executes && (closed || clears_dumpable)) {
        let known = !materials.joins.numbers_differ(materials.command.namespaces);
        let number = maps::number_in_proc(program.pidfd.as_fd(), known.then_some(program.pid));
        if let Ok(number) = number {
            dumpable::wait_for_exec(number);
        }
    }
    result.map_err(|failure| materials.explain(&ops, failure))
}
