//! The caller's side: what happens before the clone, beside the child, and after.
#![forbid(unsafe_code)]

use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

use super::child::{Child, Handle, Streams};
use super::create::next_child_is_no_first_process;
use super::dumpable::{self, Dumpable, Held};
use super::hook::Code;
use super::join::Way;
use super::life::{self, Tail};
use super::plan::{Materials, Plan};
use super::stdio::Default;
use super::supplies::Supplies;
use super::{Command, maps, plain, validate};
use crate::error::{At as _, Cause, Error, Result, Step};
use crate::sys::child::Op;
use crate::sys::clone::Spec;
use crate::sys::keeper::Keeper;
use crate::sys::spawn::{Failure, Help, Program};
use crate::{Namespace, NamespaceKind, Namespaces, PidFd, sys};

pub(super) fn spawn(command: &mut Command, default: Default) -> Result<Child> {
    if let Some(result) = plain::spawn(command, &default) {
        return result;
    }
    validate::validate(command)?;
    with_code(command, |command, code| launch(command, code, &default))
}

/// Calls `spawn` with the user's code, which the child changes by running it, while it only reads all else.
pub(super) fn with_code<T>(
    command: &mut Command,
    spawn: impl FnOnce(&Command, &mut Code<'_>) -> Result<T>,
) -> Result<T> {
    let mut hooks = std::mem::take(&mut command.hooks);
    let mut function = command.function.take();
    let mut code = Code::new(&mut hooks, function.as_mut());
    if code.alone {
        // Or what is in its buffer would be written by both.
        let _ = io::stdout().flush();
    }
    let result = spawn(command, &mut code);
    drop(code);
    command.hooks = hooks;
    command.function = function;
    result
}

fn launch(command: &Command, code: &mut Code<'_>, default: &Default) -> Result<Child> {
    let (supplies, program, keeper) = either_way(code, |code, way| {
        let supplies = Supplies::get(command, default, true, way, false)?;
        let mut materials = supplies.materials(command);
        materials.ignored = command.kept.parts().ignored();
        let ((program, _), keeper) = as_parent(
            command,
            code,
            &supplies,
            |code| run(&materials, code, Now),
            |(program, _)| Some(program.pidfd.as_fd()),
        )?;
        Ok((supplies, program, keeper))
    })?;
    if let Some(ignored) = program.ignored {
        command.kept.found_ignored(ignored);
    }
    let pid = program.pid;
    let mut handle = Handle::new(program, 0, keeper, command.life.kill_on_drop);
    handle.pid = id(&handle.pidfd, pid, &supplies, command);
    if command.get_namespaces().contains(Namespaces::TIME) {
        wait_for_time(&handle.pidfd);
    }
    Ok(Streams::of(supplies.streams).into_child(handle))
}

/// Calls `spawn` on the thread that is to be the program's parent: usually this one; but the kernel takes the end of that thread for the
/// parent's death, so where that is to be noticed it is one that goes with the program.
pub(super) fn as_parent<'c, T: Send + 'static>(
    command: &Command,
    code: &mut Code<'c>,
    supplies: &Supplies,
    spawn: impl FnOnce(&mut Code<'c>) -> Result<T> + Send,
    pidfd: fn(&T) -> Option<BorrowedFd<'_>>,
) -> Result<(T, Option<Keeper>)> {
    // A function may find no other thread beside it.
    if command.life.parent_death_signal == 0 || code.alone {
        return spawn(code).map(|program| (program, None));
    }
    let watch = supplies.reserve().at(|| Step::ParentDeathSignal)?;
    let (result, keeper) =
        Keeper::run(watch, || spawn(code), move |result| result.as_ref().ok().and_then(pidfd))
            .map_err(life::no_thread)?;
    match result {
        Ok(program) => Ok((program, Some(keeper))),
        Err(error) => {
            keeper.join();
            Err(error)
        }
    }
}

/// The program's id, as the caller numbers it. 0 if it is gone already, as it may be where SIGCHLD is ignored.
pub(super) fn id(pidfd: &PidFd, pid: i32, supplies: &Supplies, command: &Command) -> u32 {
    match u32::try_from(pid) {
        Ok(pid) if pid > 0 && !supplies.joins.numbers_differ(command.namespaces) => pid,
        _ => pidfd.pid().ok().flatten().unwrap_or(0),
    }
}

/// Tries it all once more, entering the namespaces of a process one by one, where that may help.
pub(super) fn either_way<'c, T>(
    code: &mut Code<'c>,
    attempt: impl Fn(&mut Code<'c>, Way) -> Result<T>,
) -> Result<T> {
    match attempt(code, Way::AtOnce) {
        Err(error) if may_enter_one_by_one(&error) => {
            attempt(code, Way::OneByOne).map_err(|other| of_both(error, other))
        }
        result => result,
    }
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

/// What to say when both failed, all at once and `then` one by one: where the process could not even be looked into, the first; unless that was
/// for want of a descriptor or of memory, which is what the caller can do something about.
pub(super) fn of_both(at_once: Error, then: Error) -> Error {
    let at_limit = matches!(then.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM));
    if then.step() == &Step::Inspect && !at_limit { at_once } else { then }
}

/// Exec enters the new time namespace only after it has woken its caller. Who looks at the child then should find it there.
pub(super) fn wait_for_time(child: &PidFd) {
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

/// `child`: its id, if it is known.
pub(super) fn wait_for_exec(program: &Program, child: Option<i32>) {
    dumpable::wait_for_exec(child, || maps::number_in_proc(program.pidfd.as_fd(), child).ok());
}

/// How the first process is started, and how long is waited.
pub(super) trait Start {
    type Begun;

    /// `ops` is left as the list that failures have their places in.
    fn start<'a>(
        self,
        materials: &Materials<'a>,
        first: Spec,
        ops: &mut Vec<Op<'a>>,
        tail: Option<Tail>,
        help: Option<&mut Help<'_, Error>>,
    ) -> Result<Self::Begun, Failure<Error>>;

    /// The program, if it has been executed.
    fn program(begun: &Self::Begun) -> Option<&Program>;
}

/// Until the program runs.
pub(super) struct Now;

impl Start for Now {
    type Begun = Program;

    fn start<'a>(
        self,
        _: &Materials<'a>,
        first: Spec,
        ops: &mut Vec<Op<'a>>,
        _: Option<Tail>,
        help: Option<&mut Help<'_, Error>>,
    ) -> Result<Program, Failure<Error>> {
        sys::spawn::spawn(first, ops, help)
    }

    fn program(begun: &Program) -> Option<&Program> {
        Some(begun)
    }
}

/// Makes the plan, and has it carried out. What comes with the result is for a child that is suspended.
pub(super) fn run<S: Start>(
    materials: &Materials<'_>,
    code: &mut Code<'_>,
    start: S,
) -> Result<(S::Begun, Option<Held>)> {
    let joins_user = materials.joins.user_op().is_some();
    // In a new user namespace all of the caller's user have power over the child, be they without the capabilities that the
    // caller has; so its memory is closed to them, and with it the copy that hooks run in. A function's copy would stay closed.
    let closed = !joins_user && code.function.is_none() && materials.closes_memory();
    carry_out(materials, materials.plan(code), closed, start)
}

/// Has the plan carried out, with the caller's part in it. `closed`: the caller's memory is to be closed meanwhile.
pub(super) fn carry_out<'a, S: Start>(
    materials: &Materials<'a>,
    plan: Plan<'a>,
    closed: bool,
    start: S,
) -> Result<(S::Begun, Option<Held>)> {
    let user = materials.joins.user_op();
    let Plan { first, mut ops, clears_dumpable, executes, tail, stays_closed } = plan;
    if ops.iter().any(|op| matches!(op, Op::Hop(_))) {
        next_child_is_no_first_process(materials.command.get_namespaces())?;
    }
    let maps = materials.prepared.maps.as_ref();
    // The child sets them by itself, and nobody is told when; in an entered user namespace the flag is clear in any case.
    let clocks = materials.prepared.clocks.is_some() && user.is_none();
    let mut flag = match maps {
        _ if closed => Some(Dumpable::cleared()),
        _ if clocks && clears_dumpable => Some(Dumpable::both()),
        None if clocks => Some(Dumpable::mapping()),
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
        if closed || clocks {
            return Ok(());
        }
        flag = None;
        if clears_dumpable {
            flag = Some(Dumpable::clearing());
        }
        Ok(())
    };
    let help: Option<&mut Help<'_, Error>> = if maps.is_some() { Some(&mut help) } else { None };
    let result = start.start(materials, first, &mut ops, tail, help);
    let begun = result.map_err(|failure| materials.explain(&ops, failure))?;
    if let (Some(program), true) = (S::program(&begun), executes && (closed || clears_dumpable)) {
        let known = !materials.joins.numbers_differ(materials.command.namespaces);
        wait_for_exec(program, known.then_some(program.pid));
    }
    let held = flag.filter(|_| stays_closed).and_then(Dumpable::hold);
    Ok((begun, held))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_failures_the_one_that_says_what_to_do() {
        let refused = || Error::new(Step::EnterProcess(Namespaces::NET)).errno(libc::EPERM);
        let looked = |errno| Error::new(Step::Inspect).errno(errno);
        assert_eq!(of_both(refused(), looked(libc::EACCES)).step(), refused().step());
        for full in [libc::EMFILE, libc::ENFILE, libc::ENOMEM] {
            assert_eq!(of_both(refused(), looked(full)).raw_os_error(), Some(full));
        }
        let one = Error::new(Step::Enter(NamespaceKind::Net)).errno(libc::EPERM);
        assert_eq!(of_both(refused(), one.clone()).step(), one.step());
    }
}
