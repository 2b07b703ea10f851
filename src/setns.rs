//! setns(2).
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use crate::error::{At as _, Cause, Error, Result, Step};
use crate::{
    Namespace, NamespaceKind, Namespaces, PidFd, ProcessNamespaces, diagnose, setns_each, sys,
    threads,
};

/// `setns(2)`: moves the calling **thread** into an existing namespace.
///
/// The other threads stay where they are. Entering a mount namespace also moves the thread's root and
/// working directory to that namespace's root. After a pid namespace only the thread's next children are in it.
/// A program can be run in existing namespaces without moving the caller: [`Command::enter`](crate::Command::enter).
///
/// # Errors
/// [`Step::Enter`]: EPERM without CAP_SYS_ADMIN over the namespace and in the caller's own user namespace; EINVAL for
/// a user namespace that the caller is in already, for a pid namespace that is neither the caller's nor inside that, and, in a process with
/// several threads, for user and mount namespaces; EUSERS for a time namespace there. The message names the namespace.
///
/// # Requires
/// CAP_SYS_ADMIN over the namespace, which is in the user namespace that owns it, and in the caller's own; for a user namespace only in that one.
/// CAP_SYS_CHROOT too, in the caller's own, for a mount namespace.
///
/// # Examples
/// ```
/// use linux_namespaces::{setns, Namespace, NamespaceKind};
/// let here = Namespace::current(NamespaceKind::Net)?;
/// if let Err(error) = setns(&here) {
///     eprintln!("{error}"); // an ordinary user may not even enter the one it is in
/// }
/// # Ok::<(), linux_namespaces::Error>(())
/// ```
///
/// # References
/// setns(2), namespaces(7)
pub fn setns(namespace: &Namespace) -> Result<()> {
    let kind = namespace.kind();
    enter(namespace.as_fd(), kind.flag()).map_err(|error| {
        let error = Err::<(), _>(error).at(|| Step::Enter(kind)).expect_err("built as an error");
        let error = match namespace.id() {
            Ok(id) => error.on(id.to_string()),
            Err(_) => error,
        };
        diagnose::entering(error, kind.flag())
    })
}

/// `setns(2)` with a process: moves the calling **thread** into these namespaces of the process, all or none.
///
/// The caller's own user namespace, which the kernel refuses to enter again, may be in the set.
/// An empty set changes nothing. Otherwise as [`setns`]. With `MOUNT` and other kinds the process must have one thread:
/// the kernel would move the root and working directory of all of them.
///
/// Before Linux 5.8, where setns(2) takes no process, and behind a seccomp filter that refuses one, the namespaces are opened and then entered one after the other, in an order in which
/// a child with the caller's rights was able to enter them before. So all or none holds there, too, unless the caller's rights
/// are changed in between; then the message says which have been entered. With `USER`, `MOUNT` or `TIME` among several the
/// process must have one thread.
///
/// # Errors
/// * [`Step::Validate`]: bits that are none of the eight kinds; no call is made.
/// * [`Step::EnterProcess`]: as for [`setns`]; ESRCH when the process is gone. Nothing has been entered then.
///
/// # Requires
/// The rights that [`setns`] needs for each. Before Linux 5.8 also `/proc`, and the right to look into the process.
///
/// # Examples
/// ```no_run
/// use linux_namespaces::{setns_process, Namespaces, PidFd};
/// setns_process(&PidFd::open(4711)?, Namespaces::NET | Namespaces::UTS)?;
/// # Ok::<(), linux_namespaces::Error>(())
/// ```
///
/// # References
/// setns(2), pidfd_open(2)
pub fn setns_process(process: &PidFd, namespaces: Namespaces) -> Result<()> {
    namespaces.validate()?;
    if namespaces.is_empty() {
        return Ok(());
    }
    let operand = |error: Error| match process.pid() {
        Ok(Some(pid)) => error.on(pid.to_string()),
        _ => error.on("(gone)"),
    };
    // Asked for with other kinds, the kernel moves root and working directory of all threads to the new mounts.
    let more_than_mounts =
        namespaces.contains(Namespaces::MOUNT) && namespaces != Namespaces::MOUNT;
    if more_than_mounts && !threads::is_single() {
        let error = Error::new(Step::EnterProcess(namespaces)).errno(libc::EINVAL);
        return Err(operand(error).caused_by(Cause::Threads));
    }
    let enter = |set: Namespaces| enter(process.as_fd(), set);
    let result = match enter(namespaces) {
        // The own user namespace in the set makes the kernel refuse all of it.
        Err(error)
            if is_einval(&error) && namespaces.contains(Namespaces::USER) && same_user(process) =>
        {
            match namespaces - Namespaces::USER {
                rest if rest.is_empty() => Ok(()),
                rest => enter(rest),
            }
        }
        result => result,
    };
    let result = match result {
        // Before Linux 5.8 a pidfd is no namespace file. A filter may refuse it, and not what is entered by a file; if it is the kernel who
        // refuses, then one of those, too.
        Err(error)
            if (is_einval(&error) && setns_each::is_needed())
                || (error.kind() == io::ErrorKind::PermissionDenied
                    && sys::probe::seccomp_mode() != Some(0)) =>
        {
            setns_each::enter_each(process, namespaces)
        }
        result => result.at(|| Step::EnterProcess(namespaces)),
    };
    result.map_err(|error| match error.hint() {
        Some(_) => operand(error),
        None => diagnose::entering(operand(error), namespaces),
    })
}

/// setns(2), once more if it was refused for threads that are on their way out, or for a child that is.
pub(crate) fn enter(fd: BorrowedFd<'_>, set: Namespaces) -> io::Result<()> {
    match sys::setns::setns(fd, set.bits()) {
        Err(error)
            if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EUSERS))
                && threads::is_alone() =>
        {
            sys::setns::setns(fd, set.bits())
        }
        result => result,
    }
}

fn is_einval(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput
}

/// Whether the process is in the caller's user namespace, as far as that can be seen.
pub(crate) fn same_user(process: &PidFd) -> bool {
    let both = || -> Result<bool, Error> {
        let there = process.namespace(NamespaceKind::User)?.id()?;
        Ok(ProcessNamespaces::current_of(Namespaces::USER)?.get(NamespaceKind::User) == Some(there))
    };
    both().unwrap_or(false)
}
