//! Which kinds of namespace can be created and entered.
#![forbid(unsafe_code)]

use std::ffi::c_char;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::time::{Duration, Instant};
use std::{process, ptr, thread};

use crate::command::dumpable::Dumpable;
use crate::error::{At as _, Cause, Error, Result, Step};
use crate::sys::child::{Exec, Op};
use crate::sys::clone::{CLONE_CLEAR_SIGHAND, Spec};
use crate::sys::parent_death::Watched;
use crate::sys::spawn::Failure;
use crate::{Command, Namespace, NamespaceKind, Namespaces, PidFd, Propagation, diagnose, sys};

/// What happened with one kind.
#[derive(Clone, Debug)]
pub(super) struct Attempts {
    pub(super) create: Result<()>,
    pub(super) create_with_user: Result<()>,
    pub(super) enter: Result<()>,
    pub(super) enter_with_user: Result<()>,
}

/// In the order of [`NamespaceKind::ALL`].
pub(super) fn detect() -> Result<[Attempts; 8]> {
    let user = user();
    let kinds = NamespaceKind::ALL.map(|kind| attempts(kind, &user));
    // Nothing can be said of what there was no room to try.
    let results = kinds.iter().flat_map(|kind| {
        [&kind.create, &kind.create_with_user, &kind.enter, &kind.enter_with_user]
    });
    let mut errors = results.filter_map(|result| result.as_ref().err());
    if let Some(error) = errors.find(|error| is_shortage(error)) {
        return Err(error.clone());
    }
    drop(errors);
    Ok(kinds)
}

/// An error that says nothing of what was tried.
pub(super) fn is_shortage(error: &Error) -> bool {
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EMFILE | libc::ENFILE) => true,
        // With a reason it is that of a pid namespace that has ended, which is no lack of memory.
        Some(libc::ENOMEM) => error.hint().is_none(),
        _ => false,
    }
}

fn attempts(kind: NamespaceKind, user: &Result<()>) -> Attempts {
    if kind == NamespaceKind::User {
        let enter = user.clone().and_then(|()| {
            let new = create(Namespaces::USER)?;
            enter(&[], &new)
        });
        return Attempts {
            create: user.clone(),
            create_with_user: user.clone(),
            enter: enter.clone(),
            enter_with_user: enter,
        };
    }
    let set = kind.flag();
    let created = alone(kind);
    let with_user = user.clone().and_then(|()| together(kind));
    let enter_alone = match &created {
        Ok(()) => create(set).and_then(|new| enter(&[], &new)),
        // The right to enter it is the same.
        Err(error) => own(kind).map_err(|_| error.clone()).and_then(|own| enter(&[], &[own])),
    };
    let enter_with_user = with_user.clone().and_then(|()| {
        let mut new = create(set | Namespaces::USER)?;
        let place = new.iter().position(|namespace| namespace.kind() == NamespaceKind::User);
        let user: Vec<_> = place.map(|place| new.remove(place)).into_iter().collect();
        enter(&user, &new)
    });
    Attempts { create: created, create_with_user: with_user, enter: enter_alone, enter_with_user }
}

/// A spawn with all its set-up, but of no program: nothing is called "", on any system. So it works if it comes that far.
fn attempt(set: Namespaces, change: impl FnOnce(&mut Command)) -> Result<()> {
    let mut command = Command::new("");
    command.namespaces(set);
    change(&mut command);
    match command.spawn() {
        Err(error) if matches!(error.step(), Step::Exec(_)) => Ok(()),
        Err(error) => Err(error),
        Ok(mut child) => {
            let _ = child.kill();
            child.wait().map(drop)
        }
    }
}

/// The user namespace on its own, with the proof of a map and of a capability inside, for which a second namespace serves best.
fn user() -> Result<()> {
    let proved = attempt(Namespaces::USER | Namespaces::UTS, |command| {
        command.hostname("inside");
    });
    match proved {
        // Which of the two it was is not said.
        Err(error) if matches!(error.step(), Step::Clone(_)) => attempt(Namespaces::USER, |_| {}),
        result => result,
    }
}

/// Only created: what it takes to use it the caller has or has not anyway.
fn alone(kind: NamespaceKind) -> Result<()> {
    attempt(kind.flag(), |command| match kind {
        NamespaceKind::Net => {
            command.loopback(false);
        }
        NamespaceKind::Mount => {
            command.propagation(Propagation::Unchanged);
        }
        _ => {}
    })
}

/// With a user namespace, and made use of: the loopback interface, the mounts, the name.
fn together(kind: NamespaceKind) -> Result<()> {
    attempt(kind.flag() | Namespaces::USER, |command| {
        if kind == NamespaceKind::Uts {
            command.hostname("inside");
        }
    })
}

/// A new pid and mount namespace with their own /proc.
pub(super) fn proc(creatable: Namespaces) -> Result<()> {
    let both = Namespaces::PID | Namespaces::MOUNT;
    let set = if creatable.contains(both) { both } else { both | Namespaces::USER };
    attempt(set, |command| {
        command.mount_proc(true);
    })
}

fn own(kind: NamespaceKind) -> Result<Namespace> {
    Namespace::current(kind).or_else(|_| PidFd::open(process::id())?.namespace(kind))
}

const CAP_SYS_PTRACE: u64 = 1 << 19;

/// New namespaces of these kinds, to be entered. The process that they are created with ends.
fn create(set: Namespaces) -> Result<Vec<Namespace>> {
    let capabilities = sys::capabilities();
    // In a new user namespace all of the caller's user have power over the child, be they without the capabilities that the caller
    // has; so its memory is closed to them, or it has a copy if that would close it to the caller too. See `command/dumpable.rs`.
    let has_power = set.contains(Namespaces::USER) && capabilities.permitted != 0;
    let copy = has_power && capabilities.effective & CAP_SYS_PTRACE == 0;
    let _dumpable = match has_power && !copy {
        true => Dumpable::cleared(),
        false => Dumpable::mapping(),
    };
    let caller = sys::pidfd::open(process::id()).ok();
    let new = Spec::new(copy).with(u64::from(set.bits()) | CLONE_CLEAR_SIGHAND);
    let mut ops = Vec::new();
    let first = match copy {
        // A copy cannot wake the caller when it ends.
        true => {
            ops.push(Op::Hop(new.with(libc::CLONE_PARENT as u64 | libc::CLONE_VFORK as u64)));
            Spec::new(false).with(libc::CLONE_FILES as u64 | CLONE_CLEAR_SIGHAND)
        }
        false => new,
    };
    if set.contains(Namespaces::TIME) {
        ops.push(Op::UnshareTimeIfLegacy { for_function: false });
    }
    ops.push(Op::AwaitMaps {
        caller: Watched::Process(caller.as_ref().map_or(-1, |caller| caller.as_raw_fd())),
    });
    let (nothing, none): ([*const c_char; 1], [*const c_char; 1]) = ([c"".as_ptr()], [ptr::null()]);
    ops.push(Op::Exec(Exec { paths: &nothing, argv: &none, envp: Some(&none) }));
    let mut opened = None;
    let mut help = |child: BorrowedFd<'_>, _: Option<i32>| -> Result<()> {
        let copy = child.try_clone_to_owned().at(|| Step::Inspect)?;
        opened = Some(open(&PidFd::known(copy), set)?);
        Ok(())
    };
    let result = sys::spawn::spawn(first, &mut ops, Some(&mut help));
    match (opened, result) {
        (Some(namespaces), _) => Ok(namespaces),
        (None, Err(Failure::Help(error))) => Err(error),
        (None, Err(Failure::Resources(error))) => Err(error).at(|| Step::Clone(set)),
        (None, Err(Failure::Clone(errno) | Failure::Op(_, errno))) => {
            Err(diagnose::creating(Error::new(Step::Clone(set)).errno(errno), set))
        }
        (None, Err(Failure::Died(..)) | Ok(_)) => Err(ended(Error::new(Step::Clone(set)))),
    }
}

fn ended(error: Error) -> Error {
    error.because("the process that tried it was killed")
}

fn open(child: &PidFd, set: Namespaces) -> Result<Vec<Namespace>> {
    set.kinds()
        .map(|kind| match kind {
            NamespaceKind::Time => time(child),
            kind => child.namespace(kind),
        })
        .collect()
}

/// A process that shares memory gets into its new time namespace only by exec, and without clone3 it creates it by itself.
fn time(child: &PidFd) -> Result<Namespace> {
    let own = own(NamespaceKind::Time)?.id()?;
    let start = Instant::now();
    loop {
        let new = match sys::pidfd::time_for_children(child.as_fd()) {
            Ok(fd) => Namespace::known(fd, NamespaceKind::Time),
            Err(_) => {
                let pid = child.pid_in_proc()?.unwrap_or(0);
                Namespace::open(format!("/proc/{pid}/ns/time_for_children"))?
            }
        };
        if new.id()? != own || start.elapsed() > Duration::from_secs(1) {
            return Ok(new);
        }
        thread::yield_now();
    }
}

/// Has a child enter the user namespace, if there is one, and the others.
fn enter(user: &[Namespace], others: &[Namespace]) -> Result<()> {
    let all: Vec<&Namespace> = user.iter().chain(others).collect();
    let kinds: Namespaces = all.iter().map(|namespace| namespace.kind()).collect();
    let mut ops = Vec::new();
    // Those in a user namespace that is entered are not to look into the memory, which is the caller's.
    let _dumpable = kinds.contains(Namespaces::USER).then(|| {
        ops.push(Op::Dumpable(false));
        Dumpable::clearing()
    });
    let before = ops.len();
    ops.extend(all.iter().map(|namespace| Op::Enter {
        fd: namespace.as_fd().as_raw_fd(),
        kind: namespace.kind().flag().bits() as i32,
    }));
    let step = |place: usize| {
        let namespace = place.checked_sub(before).and_then(|place| all.get(place));
        let error = Error::new(
            namespace.map_or(Step::EnterProcess(kinds), |namespace| Step::Enter(namespace.kind())),
        );
        match namespace.and_then(|namespace| namespace.id().ok()) {
            Some(id) => error.on(id.to_string()),
            None => error,
        }
    };
    match sys::spawn::attempt(&mut ops, kinds.contains(Namespaces::TIME)) {
        Ok(()) => Ok(()),
        // Over a user namespace that it has created the caller has every right.
        Err(Failure::Op(place, errno)) if kinds.contains(Namespaces::USER) => {
            Err(diagnose::inside(step(place).errno(errno), Namespaces::USER))
        }
        Err(Failure::Op(place, errno)) => Err(diagnose::entering(step(place).errno(errno), kinds)),
        Err(Failure::Clone(errno)) => {
            let none = Namespaces::empty();
            Err(diagnose::creating(Error::new(Step::Clone(none)).errno(errno), none))
        }
        Err(Failure::Resources(error)) => Err(error).at(|| Step::EnterProcess(kinds)),
        Err(Failure::Died(place, status)) => Err(
            match status.and_then(|status| std::os::unix::process::ExitStatusExt::signal(&status)) {
                Some(libc::SIGSYS) => step(place).caused_by(Cause::Seccomp),
                _ => ended(step(place)),
            },
        ),
        Err(Failure::Help(())) => Err(ended(step(0))),
    }
}
