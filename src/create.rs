//! New namespaces with no process in them.
#![forbid(unsafe_code)]

use std::thread;

use crate::error::{Error, Result};
use crate::{IdRange, Namespace, NamespaceKind, command, sys};

impl Namespace {
    /// A new namespace of this kind, with no process in it: it lives as long as the handle, or what it is
    /// [persisted](Self::persist) at. The caller does not move. It works from any thread, with any other threads running.
    ///
    /// What is in it at the beginning:
    ///
    /// | Kind | |
    /// | --- | --- |
    /// | [`Cgroup`](NamespaceKind::Cgroup) | its root is the cgroup that the caller is in |
    /// | [`Ipc`](NamespaceKind::Ipc) | nothing |
    /// | [`Mount`](NamespaceKind::Mount) | a copy of the caller's mounts, all private, so that nothing leaks either way |
    /// | [`Net`](NamespaceKind::Net) | the interface `lo`, which is up (`ip netns add` leaves it down) |
    /// | [`Time`](NamespaceKind::Time) | the clocks of the namespace of the caller's children, without a further offset |
    /// | [`User`](NamespaceKind::User) | the caller's user and group id as themselves; [`create_user`](Self::create_user) maps others |
    /// | [`Uts`](NamespaceKind::Uts) | the caller's host and domain name |
    ///
    /// A pid namespace ends with its first process, so it cannot be without one: [`Command::namespaces`](crate::Command::namespaces) starts a
    /// program in a new one, and [`Child::namespace`](crate::Child::namespace) gives the handle.
    ///
    /// A process that shares the caller's memory is born in it, opens it and ends, so the cost does not depend on
    /// how much memory the caller has. It sends no SIGCHLD.
    ///
    /// # Errors
    /// * [`Step::Validate`](crate::Step::Validate): a pid namespace; no call is made.
    /// * [`Step::Clone`](crate::Step::Clone): EPERM without CAP_SYS_ADMIN, or, for user namespaces, where those are restricted;
    ///   ENOSPC at a limit, and for the 33rd user namespace inside each other; EINVAL for a kind that the kernel lacks. [`Error::cause`] tells them apart. And
    ///   without an errno between the caller's unshare(2) of its pid namespace and its next child, which must be one that stays.
    /// * [`Step::UidMap`](crate::Step::UidMap), [`Step::GidMap`](crate::Step::GidMap), [`Step::Loopback`](crate::Step::Loopback),
    ///   [`Step::Propagation`](crate::Step::Propagation): it was made, and what is to be in it was refused. It is gone again.
    ///
    /// # Requires
    /// CAP_SYS_ADMIN, except for user namespaces. An ordinary user gets it from a user namespace of its own: [`unshare`](crate::unshare()) with
    /// `USER` before there are threads. Linux 5.6 for time namespaces.
    ///
    /// # Examples
    /// ```no_run
    /// use linux_namespaces::{Command, Namespace, NamespaceKind};
    /// let net = Namespace::create(NamespaceKind::Net)?;
    /// Command::new("ip").args(["addr", "show", "dev", "lo"]).enter(&net).status()?;
    /// # Ok::<(), linux_namespaces::Error>(())
    /// ```
    ///
    /// # References
    /// clone(2), namespaces(7)
    pub fn create(kind: NamespaceKind) -> Result<Self> {
        if kind == NamespaceKind::Pid {
            return Err(Error::invalid(
                "a pid namespace cannot be without a process, for it ends with its first one: spawn a `Command` with \
                 `Namespaces::PID`, and take the handle from its `Child`",
            ));
        }
        let created = command::create(kind, None)?;
        Ok(if kind == NamespaceKind::Mount { younger(created) } else { created })
    }

    /// A new user namespace with these ids in it, and no process: for idmapped mounts (mount_setattr(2)), for programs that are to
    /// [`enter`](crate::Command::enter) it.
    ///
    /// Each list has at least one range, and 340 at most, that do not overlap. They are written as for a program:
    /// see [`Command::uid_map`](crate::Command::uid_map) and [`Command::gid_map`](crate::Command::gid_map).
    ///
    /// # Errors
    /// * [`Step::Validate`](crate::Step::Validate): ranges that the kernel does not take, with the one at fault; no call is made.
    /// * [`Step::UidMap`](crate::Step::UidMap), [`Step::GidMap`](crate::Step::GidMap): EPERM for ids that the caller may not map.
    /// * Otherwise as [`create`](Self::create).
    ///
    /// # Requires
    /// CAP_SETUID and CAP_SETGID for ids other than the caller's own.
    ///
    /// # Examples
    /// ```no_run
    /// use linux_namespaces::{IdRange, Namespace};
    /// let ids = [IdRange { inside: 0, outside: 100_000, count: 65_536 }];
    /// let shifted = Namespace::create_user(ids, ids)?;
    /// # Ok::<(), linux_namespaces::Error>(())
    /// ```
    ///
    /// # References
    /// user_namespaces(7), mount_setattr(2)
    pub fn create_user(
        uid_map: impl IntoIterator<Item = IdRange>,
        gid_map: impl IntoIterator<Item = IdRange>,
    ) -> Result<Self> {
        let maps: (Vec<_>, Vec<_>) = (uid_map.into_iter().collect(), gid_map.into_iter().collect());
        for (file, ranges) in [("uid_map", &maps.0), ("gid_map", &maps.1)] {
            if ranges.is_empty() {
                return Err(Error::invalid(format!(
                    "{file} is empty: give at least one range, or use `Namespace::create` for the caller's own id"
                )));
            }
        }
        command::create(NamespaceKind::User, Some(maps))
    }
}

/// A mount namespace can be persisted only by one that is older. Linux 6.18 goes by their unique ids, which each processor takes from
/// a range of its own; so one that was just made may count as older than the caller's. On the processor that
/// the caller's was made on it does not.
fn younger(created: Namespace) -> Namespace {
    if !counts_as_older(&created) {
        return created;
    }
    // On a thread of its own, which may be moved between processors.
    let again = || {
        sys::sched::processors().into_iter().find_map(|processor| {
            sys::sched::stay_on(processor).ok()?;
            command::create(NamespaceKind::Mount, None).ok().filter(|again| !counts_as_older(again))
        })
    };
    let found = thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, again).ok()?;
        thread.join().ok().flatten()
    });
    found.unwrap_or(created)
}

/// Than the mount namespace of the calling thread. Where there are no unique ids the kernel counts right.
pub(crate) fn counts_as_older(mounts: &Namespace) -> bool {
    let unique = |namespace: &Namespace| namespace.unique_id().ok().flatten();
    let own = Namespace::current(NamespaceKind::Mount).ok();
    own.as_ref().and_then(unique).zip(unique(mounts)).is_some_and(|(own, other)| other < own)
}
