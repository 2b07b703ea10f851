//! What hooks on std's Command do in its child: the plan is made there, of what was prepared, without allocation.
//!
//! The law of `child.rs` holds here too. The child is a copy of a process whose other threads may have held any lock. The one lock
//! taken is of settings that only the owner of a Command reaches, and it is only tried.

mod beside;
mod map;
mod plan;
mod proxy;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

pub(super) use self::plan::pid_of;

use self::beside::Room;
use self::plan::Plan;
use self::proxy::{Guard, Program};
use super::child::{Op, replay_here};
use super::shared::Shared;
use super::signal::Blocked;
use super::syscall::Errno;
use super::{capabilities, fork, prctl};
use crate::{NamespaceKind, Namespaces};

/// What one call of a setter asked for.
#[derive(Debug)]
pub(crate) enum Call {
    Create(Namespaces),
    Enter(OwnedFd, NamespaceKind),
    EnterProcess(OwnedFd, Namespaces),
    /// It could not be kept: the errno.
    Refused(i32),
}

/// The calls on one Command, which its hooks share.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    list: Mutex<Vec<Call>>,
    /// 1 + the number of the hook that ran last in this process; 0 for none.
    ran: AtomicUsize,
}

/// Adds a call, and the hook that does it with all that come after it.
///
/// Each call adds a hook of its own. The first that runs does everything, and the others see that it is done. So what a Command does
/// is what was asked of that Command, even should the list begin with calls on another, that is gone.
pub(crate) fn add(command: &mut Command, calls: &Arc<Calls>, call: Call) {
    fork::mark_this_process();
    let mut list = calls.list.lock().unwrap_or_else(PoisonError::into_inner);
    let number = list.len();
    list.push(call);
    drop(list);
    let calls = Arc::clone(calls);
    // SAFETY: `run` may be called after fork(2): see the top of this file.
    unsafe { command.pre_exec(move || calls.run(number).map_err(io::Error::from)) };
}

impl Calls {
    fn run(&self, number: usize) -> Result<(), Errno> {
        // Hooks run in the order of their numbers. One that does not come after the last begins anew: after an `exec` that failed.
        let last = self.ran.swap(number + 1, SeqCst);
        if last != 0 && number >= last {
            return Ok(());
        }
        let list = match self.list.try_lock() {
            Ok(list) => list,
            Err(TryLockError::Poisoned(list)) => list.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Errno(libc::EDEADLK)),
        };
        perform(list.get(number..).unwrap_or_default())
    }
}

fn perform(calls: &[Call]) -> Result<(), Errno> {
    let plan = Plan::of(calls)?;
    if plan.changes_pid() && fork::is_marked_process() {
        // `exec`: there is no child that could stay as the proxy, and the caller must not.
        return Err(Errno(libc::EINVAL));
    }
    let before = prctl::dumpable();
    // Whoever has power in an entered user namespace has it over this process, be it a copy of the caller; and all of the caller's
    // user have it over one in a new user namespace, be they without the capabilities that the caller has.
    let closed = plan.enters(NamespaceKind::User)
        || (plan.created.contains(Namespaces::USER) && capabilities().permitted != 0);
    let blocked = Blocked::all();
    if closed {
        prctl::set_dumpable(0);
    }
    let result = become_it(&plan, before.filter(|_| !plan.enters(NamespaceKind::User)));
    if let (Err(_), true, Some(before)) = (&result, closed, before) {
        // After an `exec` that failed the caller goes on.
        prctl::set_dumpable(before);
    }
    drop(blocked);
    result
}

/// Puts this process, or with a pid namespace a copy of it, where the plan says. `dumpable` is for the process that stays.
fn become_it(plan: &Plan<'_>, dumpable: Option<u32>) -> Result<(), Errno> {
    let created = plan.created;
    // Refused to a process that shares its memory, so before there is a guard.
    let time_waits = plan.enter_time()?;
    let program = if plan.changes_pid() {
        Some(split(plan, dumpable)?)
    } else {
        move_here(plan)?;
        None
    };
    if time_waits {
        plan.enter(NamespaceKind::Time)?;
    }
    let others = created - (Namespaces::USER | Namespaces::PID);
    if !others.is_empty() {
        replay(Op::Unshare(others.bits() as i32))?;
    }
    set_up(created)?;
    program.map_or(Ok(()), Program::die_with_proxy)
}

/// Returns in the program's process, in its pid namespace.
fn split(plan: &Plan<'_>, dumpable: Option<u32>) -> Result<Program, Errno> {
    let room = Room::new(proxy::guard);
    let created = plan.created & Namespaces::PID;
    let split = |room: &Room, guard, namespaces| {
        // SAFETY: signals are blocked, and this is a child: see `perform`. The room is in the frame that the proxy stays in.
        unsafe { proxy::split(room, guard, namespaces, plan.proc(), dumpable) }
    };
    if !plan.enters(NamespaceKind::Pid) {
        move_here(plan)?;
        return split(&room, Guard::NotYet, created);
    }
    // SAFETY: signals are blocked; it is ended below or by the proxy.
    unsafe { room.start() }?;
    move_here(plan).inspect_err(|_| room.end())?;
    let program = split(&room, Guard::Started, Namespaces::empty())?;
    if created.is_empty() {
        return Ok(program);
    }
    // Only from in there can one be created inside it.
    program.die_with_proxy()?;
    split(&Room::new(proxy::guard), Guard::NotYet, created)
}

/// What a process can do to itself: enter, and be in a new user namespace.
fn move_here(plan: &Plan<'_>) -> Result<(), Errno> {
    plan.enter_all()?;
    if plan.created.contains(Namespaces::USER) {
        map::create_user_namespace(plan.proc())?;
    }
    Ok(())
}

/// The same defaults as of `crate::Command`.
fn set_up(created: Namespaces) -> Result<(), Errno> {
    if created.contains(Namespaces::NET) {
        replay(Op::Loopback)?;
    }
    if created.contains(Namespaces::MOUNT) {
        replay(Op::Propagation(libc::MS_REC | libc::MS_PRIVATE))?;
    }
    if created.contains(Namespaces::PID | Namespaces::MOUNT) {
        let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        replay(Op::Mount { source: c"proc", target: c"/proc", fstype: c"proc", flags })?;
    }
    Ok(())
}

fn replay(op: Op<'_>) -> Result<(), Errno> {
    let shared = Shared::default();
    // SAFETY: this process is given up to the program: it is std's child, or the caller of std's `exec`.
    unsafe { replay_here(&mut [op], &shared) };
    match shared.failure() {
        Some((_, errno)) => Err(Errno(errno)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list that begins with calls on another Command, as when that is being dropped while its address is used again.
    #[test]
    fn a_command_does_only_what_was_asked_of_it() {
        let calls = Arc::new(Calls::default());
        let mut other = Command::new("true");
        add(&mut other, &calls, Call::Refused(libc::EDOM));
        let mut command = Command::new("true");
        add(&mut command, &calls, Call::Create(Namespaces::empty()));
        assert!(command.status().unwrap().success());
        assert_eq!(other.status().unwrap_err().raw_os_error(), Some(libc::EDOM));
    }

    #[test]
    fn the_first_hook_does_what_later_calls_ask_for() {
        let calls = Arc::new(Calls::default());
        let mut command = Command::new("true");
        add(&mut command, &calls, Call::Create(Namespaces::empty()));
        add(&mut command, &calls, Call::Refused(libc::EDOM));
        for hook in [0, 0] {
            assert_eq!(calls.run(hook), Err(Errno(libc::EDOM)));
        }
        assert_eq!(calls.run(1), Ok(()), "it has been done");
        assert_eq!(calls.run(0), Err(Errno(libc::EDOM)), "a second time");
    }
}
