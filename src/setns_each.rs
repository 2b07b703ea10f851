//! Entering the namespaces of a process one after the other, where the kernel has no call for all at once (before Linux 5.8).
//!
//! All or none is kept by a rehearsal: a child enters them first, through the same files, with the caller's rights, in an order that works. What it
//! can do the caller can do right after it, for a namespace that is held open does not change its owner.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::process;
use std::time::Duration;

use crate::command::dumpable::Dumpable;
use crate::command::next_child_is_no_first_process;
use crate::error::{Error, Result, Step};
use crate::setns::{enter, same_user};
use crate::sys::child::Op;
use crate::sys::probe::Probe;
use crate::sys::spawn::{Failure, attempt};
use crate::{Namespace, NamespaceKind, Namespaces, PidFd, sys, threads};

/// Whether setns(2) takes no pidfd here. Asked by a child, for whoever gets an answer is moved.
pub(crate) fn is_needed() -> bool {
    if next_child_is_no_first_process(Namespaces::empty()).is_err() {
        return false;
    }
    let Ok(own) = sys::pidfd::open(process::id()) else { return false };
    let mut ops = [Op::Probe(Probe::SetnsPidfd(own.as_raw_fd()))];
    matches!(attempt(&mut ops, false), Err(Failure::Op(_, libc::EINVAL)))
}

/// Moves the calling thread into these namespaces of the process, all or none. The error is that of the step for all of them.
pub(crate) fn enter_each(process: &PidFd, namespaces: Namespaces) -> Result<()> {
    let step = || Error::new(Step::EnterProcess(namespaces));
    let errno = |error: &io::Error| step().errno(error.raw_os_error().unwrap_or(libc::EINVAL));
    let mut kinds = namespaces;
    if kinds.contains(Namespaces::USER) && same_user(process) {
        kinds -= Namespaces::USER;
    }
    let opened: Vec<Namespace> = kinds
        .kinds()
        .map(|kind| {
            process.namespace(kind).map_err(|error| match error.raw_os_error() {
                None | Some(libc::ENOENT) => step().errno(libc::ESRCH),
                Some(errno) => step().errno(errno),
            })
        })
        .collect::<Result<_>>()?;
    // Some of a dead process's can be opened until it is reaped.
    if has_ended(process) {
        return Err(step().errno(libc::ESRCH));
    }
    let order: Vec<&Namespace> = match &opened[..] {
        [] => return Ok(()),
        [one] => vec![one],
        several => rehearsed(several).map_err(|number| step().errno(number))?,
    };
    for (place, namespace) in order.iter().enumerate() {
        let Err(error) = enter(namespace.as_fd(), namespace.kind().flag()) else { continue };
        let entered = order.iter().take(place).map(|namespace| namespace.kind().flag());
        return Err(match entered.collect::<Namespaces>() {
            none if none.is_empty() => errno(&error),
            some => errno(&error).because(format!(
                "the thread is in some of them already ({some}): before Linux 5.8 they are entered one after the other, and what a child was \
                 allowed before was refused now"
            )),
        });
    }
    Ok(())
}

/// An order in which a child with the caller's rights enters them all, or the errno that it met.
fn rehearsed(all: &[Namespace]) -> std::result::Result<Vec<&Namespace>, i32> {
    let kinds: Namespaces = all.iter().map(|namespace| namespace.kind().flag()).collect();
    // The child has one thread.
    if !threads::is_single() {
        if kinds.intersects(Namespaces::USER | Namespaces::MOUNT) {
            return Err(libc::EINVAL);
        }
        if kinds.contains(Namespaces::TIME) {
            return Err(libc::EUSERS);
        }
    }
    let (user, others): (Vec<&Namespace>, Vec<&Namespace>) =
        all.iter().partition(|namespace| namespace.kind() == NamespaceKind::User);
    // First, if that gives the right to the others; last, if it would take that away.
    let first = [&user[..], &others[..]].concat();
    rehearse(&first).map(|()| first).or_else(|errno| {
        let last = [&others[..], &user[..]].concat();
        if user.is_empty() || rehearse(&last).is_err() { Err(errno) } else { Ok(last) }
    })
}

fn rehearse(order: &[&Namespace]) -> std::result::Result<(), i32> {
    let holds = |kind| order.iter().any(|namespace| namespace.kind() == kind);
    let mut ops = Vec::new();
    // Those in the user namespace are not to look into the memory, which is the caller's.
    let _dumpable = holds(NamespaceKind::User).then(|| {
        ops.push(Op::Dumpable(false));
        Dumpable::clearing()
    });
    ops.extend(order.iter().map(|namespace| Op::Enter {
        fd: namespace.as_fd().as_raw_fd(),
        kind: namespace.kind().flag().bits() as i32,
    }));
    attempt(&mut ops, holds(NamespaceKind::Time)).map_err(|failure| match failure {
        Failure::Op(_, errno) | Failure::Clone(errno) => errno,
        Failure::Resources(error) => error.raw_os_error().unwrap_or(libc::ENOMEM),
        Failure::Died(..) | Failure::Help(()) => libc::EPERM,
    })
}

fn has_ended(process: &PidFd) -> bool {
    sys::poll::readable([Some(process.as_fd())], Some(Duration::ZERO)).is_ok_and(|[ended]| ended)
}
