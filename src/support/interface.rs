//! Which kernel interfaces there are.
#![forbid(unsafe_code)]

use std::fmt;
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};
use std::process;

use super::kinds::is_shortage;
use crate::error::{At as _, Cause, Error, Result, Step};
use crate::sys::child::Op;
use crate::sys::probe::Probe;
use crate::sys::spawn::Failure;
use crate::{Namespace, NamespaceKind, Namespaces, PidFd, diagnose, sys};

/// Kernel interfaces that the crate uses where they are to be had. `Display` is the kernel's name for it.
///
/// # References
/// namespaces(7), ioctl_nsfs(2) for `NS_GET_*`, and the page that is named at each
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interface {
    /// clone3(2): Linux 5.3.
    Clone3,
    /// clone3(2) with `CLONE_INTO_CGROUP`: Linux 5.7.
    CloneIntoCgroup,
    /// setns(2) with a pidfd: Linux 5.8.
    SetnsPidfd,
    /// `PIDFD_GET_*_NAMESPACE`: Linux 6.11.
    PidfdNamespaces,
    /// `NS_GET_ID`: Linux 6.18.
    UniqueIds,
    /// `NS_GET_PID_IN_PIDNS` and its kin: Linux 6.11.
    PidTranslation,
    /// close_range(2): Linux 5.9.
    CloseRange,
    /// `/proc/<pid>/timens_offsets`: Linux 5.6.
    TimeOffsets,
    /// listns(2): Linux 6.19.
    ListNamespaces,
}

impl Interface {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Clone3,
        Self::CloneIntoCgroup,
        Self::SetnsPidfd,
        Self::PidfdNamespaces,
        Self::UniqueIds,
        Self::PidTranslation,
        Self::CloseRange,
        Self::TimeOffsets,
        Self::ListNamespaces,
    ];

    /// Its place in the order in which the kernel got them.
    fn age(self) -> u8 {
        match self {
            Self::Clone3 => 0,
            Self::TimeOffsets => 1,
            Self::CloneIntoCgroup => 2,
            Self::SetnsPidfd => 3,
            Self::CloseRange => 4,
            Self::PidfdNamespaces | Self::PidTranslation => 5,
            Self::UniqueIds => 6,
            Self::ListNamespaces => 7,
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Clone3 => "clone3",
            Self::CloneIntoCgroup => "CLONE_INTO_CGROUP",
            Self::SetnsPidfd => "setns with a pidfd",
            Self::PidfdNamespaces => "PIDFD_GET_*_NAMESPACE",
            Self::UniqueIds => "NS_GET_ID",
            Self::PidTranslation => "NS_GET_PID_IN_PIDNS",
            Self::CloseRange => "close_range",
            Self::TimeOffsets => "timens_offsets",
            Self::ListNamespaces => "listns",
        })
    }
}

/// What some of the calls are made on.
struct Own {
    process: Result<PidFd>,
    /// A pid namespace's file, which stands for those of all kinds.
    namespace: Result<Namespace>,
}

impl Own {
    fn open() -> Self {
        let process = PidFd::open(process::id());
        let namespace = Namespace::current(NamespaceKind::Pid).or_else(|error| match &process {
            Ok(process) => process.namespace(NamespaceKind::Pid).map_err(|_| error),
            Err(_) => Err(error),
        });
        Self { process, namespace }
    }

    fn calls(&self, interface: Interface) -> Result<Vec<Probe>> {
        let process = || -> Result<RawFd> {
            let process = self.process.as_ref().map_err(Error::clone)?;
            Ok(process.as_fd().as_raw_fd())
        };
        let namespace = || -> Result<RawFd> {
            let namespace = self.namespace.as_ref().map_err(Error::clone)?;
            Ok(namespace.as_fd().as_raw_fd())
        };
        Ok(match interface {
            Interface::Clone3 => vec![Probe::Clone3],
            Interface::CloneIntoCgroup => vec![Probe::CloneIntoCgroup],
            Interface::SetnsPidfd => vec![Probe::Setns, Probe::SetnsPidfd(process()?)],
            Interface::PidfdNamespaces => vec![Probe::PidfdNamespace(process()?)],
            Interface::UniqueIds => vec![Probe::UniqueId(namespace()?)],
            Interface::PidTranslation => vec![Probe::PidTranslation(namespace()?)],
            Interface::CloseRange => vec![Probe::CloseRange],
            Interface::TimeOffsets => vec![Probe::TimeOffsets],
            Interface::ListNamespaces => vec![Probe::ListNamespaces],
        })
    }
}

/// In the order of [`Interface::ALL`].
pub(super) fn detect() -> Result<[Result<()>; Interface::ALL.len()]> {
    let own = Own::open();
    // The first that is cloned as the crate does it tells whether there can be any.
    child(&mut [])?;
    let results = Interface::ALL.map(|interface| call(&own, interface));
    if let Some(error) =
        results.iter().filter_map(|result| result.as_ref().err()).find(|error| is_shortage(error))
    {
        return Err(error.clone());
    }
    let newest = Interface::ALL
        .into_iter()
        .filter(|interface| results[*interface as usize].is_ok())
        .map(Interface::age)
        .max();
    let mut interfaces = Interface::ALL.into_iter();
    Ok(results.map(|result| {
        let interface = interfaces.next().expect("one for each");
        result.map_err(|error| match error.cause() {
            Some(_) => error,
            None => diagnose::lacking(error, newest > Some(interface.age())),
        })
    }))
}

fn call(own: &Own, interface: Interface) -> Result<()> {
    let error = |errno: i32| Error::new(Step::Inspect).on(interface.to_string()).errno(errno);
    let calls = own.calls(interface).map_err(|missing| match missing.raw_os_error() {
        // What it is called on is not to be had, which has the same reasons.
        Some(libc::ENOSYS) | None if sys::deadly::kills_for_pidfd_open() => kills(interface),
        errno => error(errno.unwrap_or(libc::ENOSYS)),
    })?;
    let mut ops: Vec<Op<'_>> = calls.into_iter().map(Op::Probe).collect();
    match sys::spawn::attempt(&mut ops, false) {
        Ok(()) => Ok(()),
        Err(Failure::Op(_, errno) | Failure::Clone(errno)) => Err(error(errno)),
        Err(Failure::Resources(resources)) => {
            Err(resources).at(|| Step::Inspect).map_err(|error| error.on(interface.to_string()))
        }
        // Nothing else ends whoever makes such a call.
        Err(Failure::Died(..) | Failure::Help(())) => Err(kills(interface)),
    }
}

fn kills(interface: Interface) -> Error {
    Error::new(Step::Inspect).on(interface.to_string()).caused_by(Cause::Seccomp).because(
        "a seccomp filter on this process kills whoever calls it: allow it in the profile of the container",
    )
}

/// A child that does nothing else than this.
pub(super) fn child(ops: &mut [Op<'_>]) -> Result<()> {
    let none = Namespaces::empty();
    match sys::spawn::attempt(ops, false) {
        Err(Failure::Clone(errno)) => {
            Err(diagnose::creating(Error::new(Step::Clone(none)).errno(errno), none))
        }
        Err(Failure::Resources(error)) => Err(error).at(|| Step::Clone(none)),
        _ => Ok(()),
    }
}
