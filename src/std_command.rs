//! Namespaces for `std::process::Command`.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::sys::std_command::{Call, Calls, add};
use crate::{Namespace, Namespaces, PidFd, Result};

mod sealed {
    pub trait Sealed {}
    impl Sealed for std::process::Command {}
}

/// Namespaces for code that already holds a [`std::process::Command`], or that of tokio through its `as_std_mut`. Sealed.
///
/// ```no_run
/// use linux_namespaces::{CommandExt as _, flags::*};
/// let mut child = std::process::Command::new("ps").arg("aux").namespaces(PID | NS).spawn()?;
/// child.wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// The setters may be called in any order and any number of times; together they make one plan, which is as if all had been given to
/// a [`Command`](crate::Command) of this crate, with the same defaults: mounts are private, `/proc` is new with `PID` and `MOUNT`, `lo` is up, and
/// the caller keeps its user and group id in a new user namespace. Namespaces that the child is in already when it is spawned are passed over.
///
/// # What differs from `linux_namespaces::Command`
/// It works through a `pre_exec` hook of std's, which has consequences:
///
/// | | here | there |
/// | --- | --- | --- |
/// | errors | an [`std::io::Error`] with an errno, which is all that std's error pipe carries | step, operand, cause, remedy |
/// | the spawn | std forks, as it does with any hook, and with a pid namespace the copy is forked once more: the cost grows with the memory of the caller | costs the same whatever that is |
/// | a pid namespace | [`Child`](std::process::Child) is a proxy: see below | the program is the caller's own child |
/// | `uid`, `gid`, `groups` | applied by std *before* the namespaces: they are ids of the outside, and root that becomes somebody else has no right to namespaces without `USER` | ids of the inside, after them |
/// | `current_dir` | before: a directory of the outside. Entering a mount namespace leaves it for the root in there | a directory of the inside |
/// | streams, `process_group` | before | after |
/// | the program | looked for by std, after the namespaces: inside | the same |
/// | ids in a new user namespace | the caller's own alone | any map |
/// | a new time namespace | has the program in it since Linux 6.3, no offsets | since 5.6, offsets |
/// | host name, mounts, root, capabilities | not here, but in a hook of yours that comes after | settings |
/// | other descriptors, signal mask, ignored signals | inherited, as std does | closed; empty; none |
/// | a pidfd | none | [`Child::pidfd`](crate::Child::pidfd) |
/// | `exec` | moves the calling process, which stays moved if it fails; pid namespaces are refused | the same |
///
/// Hooks of your own run in the order in which they were added. The first call of a setter is the place of all: hooks before that run outside, those
/// after it inside, and there in the program's own process. They run with signals as std leaves them.
///
/// # With a pid namespace
/// Only a child of its own can be in another pid namespace, so std's child makes one, which becomes the program, and stays as its proxy:
///
/// * It ends as the program does: with the same exit status, or by the same signal (without a core dump of its own).
/// * It holds no descriptor, so pipes close when the program ends; keeps none of the caller's memory; and has the default dispositions, whatever the caller's were.
/// * A proxy that is killed, as [`Child::kill`](std::process::Child::kill) does, takes the program with it, and a new pid namespace with the program. The kernel does that
///   (`PR_SET_PDEATHSIG`) as long as the program keeps its credentials; for programs that change them there is a second small process beside it, the guard.
/// * Signals are not passed on. One that ends the proxy, such as a SIGINT from the terminal, kills the program; stopping one of them does not stop the other.
/// * [`Child::id`](std::process::Child::id) is the proxy's. The program is its first child in `/proc/<id>/task/<id>/children` (with an entered pid namespace the last).
///
/// Nobody but the program is told of a new pid namespace that it is the first process of: see the pitfall of process 1 on the [crate page](crate).
///
/// # Errors
/// The setters never fail. What is wrong is the error of `spawn`, `status`, `output` or `exec`; then there is no program and nothing is left:
///
/// | errno | when |
/// | --- | --- |
/// | EINVAL | a set with unknown bits; two namespaces of one kind to enter; one kind, other than user and pid, both to create and to enter; a pid namespace with std's `exec` |
/// | EPERM | no right to it: be root, or add `USER`; a user namespace is refused in a chroot, and to an id that has no number where it is created |
/// | ENOSPC | a limit in `/proc/sys/user`, or the deepest nesting (33 for user namespaces, 32 for pid namespaces) |
/// | ESRCH | a process to enter that has ended; a pid namespace whose first process has |
/// | EMFILE | no descriptor for the copy of a handle when the setter was called, or at the spawn |
/// | EAGAIN | no more processes: with a pid namespace a spawn takes three |
/// | ENOENT | no `/proc`, which id maps need; or no such program |
///
/// For the reason behind an errno, spawn the same with a [`Command`](crate::Command).
///
/// # Requires
/// As [`Command`](crate::Command), and `/proc` of the caller's own pid namespace for `USER`.
///
/// # References
/// unshare(2), setns(2), fork(2), PR_SET_PDEATHSIG(2const)
pub trait CommandExt: sealed::Sealed {
    /// Has the program born in new namespaces of these kinds. Calls add up. See
    /// [`Command::namespaces`](crate::Command::namespaces).
    ///
    /// ```
    /// use linux_namespaces::{CommandExt as _, flags::*};
    /// let output = std::process::Command::new("sh").args(["-c", "echo $$"]).namespaces(USER | PID | NS).output()?;
    /// assert_eq!(output.stdout, b"1\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # References
    /// clone(2), unshare(2)
    #[doc(alias = "unshare")]
    fn namespaces(&mut self, set: Namespaces) -> &mut Self;

    /// Has the program enter an existing namespace. A copy of the handle is kept until the command is dropped. See
    /// [`Command::enter`](crate::Command::enter).
    ///
    /// # References
    /// setns(2)
    #[doc(alias = "setns")]
    fn enter(&mut self, ns: &Namespace) -> &mut Self;

    /// Has the program enter the namespaces of these kinds that a process is in at the time of the spawn. See
    /// [`Command::enter_process`](crate::Command::enter_process).
    ///
    /// # References
    /// setns(2), pidfd_open(2)
    #[doc(alias = "nsenter")]
    fn enter_process(&mut self, process: &PidFd, set: Namespaces) -> &mut Self;
}

impl CommandExt for Command {
    fn namespaces(&mut self, set: Namespaces) -> &mut Self {
        ask(self, Call::Create(set));
        self
    }

    fn enter(&mut self, ns: &Namespace) -> &mut Self {
        let kind = ns.kind();
        ask(self, kept(ns.try_clone(), |fd| Call::Enter(fd, kind)));
        self
    }

    fn enter_process(&mut self, process: &PidFd, set: Namespaces) -> &mut Self {
        ask(self, kept(process.try_clone(), |fd| Call::EnterProcess(fd, set)));
        self
    }
}

/// A copy of a descriptor, for as long as the Command lives; an error of making that is kept for the spawn.
fn kept<T: Into<OwnedFd>>(copy: Result<T>, call: impl FnOnce(OwnedFd) -> Call) -> Call {
    match copy {
        Ok(copy) => call(copy.into()),
        Err(error) => Call::Refused(error.raw_os_error().unwrap_or(libc::EMFILE)),
    }
}

fn ask(command: &mut Command, call: Call) {
    let calls = calls_on(command);
    add(command, &calls, call);
}

/// The calls on each Command that lives. The Command itself keeps them, in its hooks, which cannot be looked into.
static CALLS: Mutex<Register> = Mutex::new(Register { calls: BTreeMap::new(), limit: 16 });

struct Register {
    calls: BTreeMap<usize, Weak<Calls>>,
    /// As many as there may be before those of Commands that are gone are removed.
    limit: usize,
}

/// What was asked of this Command before, or a new list.
///
/// A Command is known by the address of its program: a text on the heap of its own, even if it is empty, which it keeps wherever it is moved. When the
/// Command is gone, so are its hooks, and its list. Between the two another one may get the address: see [`add`] for why that does no harm.
fn calls_on(command: &Command) -> Arc<Calls> {
    let address = command.get_program().as_encoded_bytes().as_ptr().addr();
    let mut register = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(calls) = register.calls.get(&address).and_then(Weak::upgrade) {
        return calls;
    }
    if register.calls.len() >= register.limit {
        register.calls.retain(|_, calls| calls.strong_count() > 0);
        register.limit = 16.max(2 * register.calls.len());
    }
    let calls = Arc::new(Calls::default());
    register.calls.insert(address, Arc::downgrade(&calls));
    calls
}
