//! Why: pure functions of the errno, of what was tried, and of the facts.
//!
//! Some reasons are certain, for a fact proves them. Others are what is left when the rest does not hold, and then the hint says so.
#![forbid(unsafe_code)]

use super::apparmor::apparmor;
use super::facts::Facts;
use super::hints;
use super::limits::limit;
use crate::error::Cause;
use crate::{NamespaceKind, Namespaces};

pub(super) const CAP_SETGID: u64 = 1 << 6;
pub(super) const CAP_SETUID: u64 = 1 << 7;
pub(super) const CAP_SYS_CHROOT: u64 = 1 << 18;
pub(super) const CAP_SYS_ADMIN: u64 = 1 << 21;
pub(super) const CAP_SETFCAP: u64 = 1 << 31;

/// A cause for programs, if it has a name, and a hint for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Reason {
    pub(super) cause: Option<Cause>,
    pub(super) hint: String,
}

impl Reason {
    /// One that no [`Cause`] names.
    pub(super) fn unnamed(hint: impl Into<String>) -> Self {
        Self { cause: None, hint: hint.into() }
    }

    pub(super) fn hinting(cause: Cause, hint: impl Into<String>) -> Self {
        Self { cause: Some(cause), hint: hint.into() }
    }
}

impl From<Cause> for Reason {
    fn from(cause: Cause) -> Self {
        let hint = cause.to_string();
        Self { cause: Some(cause), hint }
    }
}

/// A clone(2) of a process in these new namespaces failed, or, if `moving`, an unshare(2).
pub(super) fn creating(
    facts: &dyn Facts,
    errno: i32,
    set: Namespaces,
    moving: bool,
) -> Option<Reason> {
    match errno {
        libc::ENOSPC => limit(facts, set),
        libc::EPERM | libc::EACCES => refused(facts, errno, set),
        libc::EINVAL if moving && set.contains(Namespaces::USER) && !facts.has_one_thread() => {
            Some(Cause::Threads.into())
        }
        libc::EINVAL if set.contains(Namespaces::PID) && has_left_its_pid_namespace(facts) => {
            Some(Reason::unnamed(hints::PID_UNSHARED))
        }
        libc::ENOMEM if has_left_its_pid_namespace(facts) => {
            Some(Reason::unnamed(hints::PID_INIT_ENDED))
        }
        libc::EINVAL if lacks_a_kind(facts, set) => Some(Cause::Kernel.into()),
        libc::ENOSYS => Some(seccomp_or_kernel(facts)),
        libc::EAGAIN => Some(Reason::unnamed(hints::PROCESSES)),
        _ => None,
    }
}

/// Whether the kernel has no namespaces of one of these kinds: it shows none, while it shows others. Where nothing can be seen,
/// EINVAL has no other meaning for all but the pid namespaces.
fn lacks_a_kind(facts: &dyn Facts, set: Namespaces) -> bool {
    let shown = |kind: NamespaceKind| facts.link(&format!("/proc/self/ns/{kind}")).is_some();
    if NamespaceKind::ALL.into_iter().any(shown) {
        return set.kinds().any(|kind| !shown(kind));
    }
    !set.is_empty() && !set.contains(Namespaces::PID)
}

/// After unshare(2) of the pid namespace the next children are in another one than the caller.
pub(super) fn has_left_its_pid_namespace(facts: &dyn Facts) -> bool {
    let link = |name: &str| facts.link(&format!("/proc/thread-self/ns/{name}"));
    let own = link("pid");
    // That of the children cannot be read before its first process is there.
    own.is_some() && link("pid_for_children") != own
}

/// EPERM and EACCES. With `USER` in the set it is about user namespaces, otherwise about the rest.
fn refused(facts: &dyn Facts, errno: i32, set: Namespaces) -> Option<Reason> {
    let admin = facts.has(CAP_SYS_ADMIN);
    if !set.contains(Namespaces::USER) {
        if !admin {
            return Some(Cause::MissingCapability.into());
        }
        if facts.is_filtered() {
            return Some(Cause::Seccomp.into());
        }
        return Some(apparmor(facts, errno).unwrap_or_else(|| Cause::SecurityModule.into()));
    }
    if !is_privileged_outside(facts)
        && facts.number("/proc/sys/kernel/unprivileged_userns_clone") == Some(0)
    {
        return Some(Cause::UsernsSysctl.into());
    }
    let root = match facts.root_is_a_mount() {
        Some(false) => Some(false),
        // Any mount may have become the root by chroot(2).
        _ => facts.root_is_the_namespaces(),
    };
    // The kernel's own refusals are EPERM.
    if errno == libc::EPERM && root == Some(false) {
        return Some(Cause::Chroot.into());
    }
    if errno == libc::EPERM && is_unmapped(facts) {
        return Some(Cause::UnmappedUser.into());
    }
    if let Some(reason) = apparmor(facts, errno) {
        return Some(reason);
    }
    if facts.is_filtered() {
        return Some(Cause::Seccomp.into());
    }
    // What is left: the root could not be compared, or it is none of the kernel's own reasons.
    if errno == libc::EPERM && root.is_none() {
        return Some(Reason::hinting(Cause::Chroot, hints::LIKELY_CHROOT));
    }
    Some(Cause::SecurityModule.into())
}

/// Whether the caller has CAP_SYS_ADMIN in the user namespace that the kernel starts with, where nothing else is told from it by
/// a map of all ids.
fn is_privileged_outside(facts: &dyn Facts) -> bool {
    let map = facts.file("/proc/self/uid_map").unwrap_or_else(|| "0 0 4294967295".to_owned());
    facts.has(CAP_SYS_ADMIN) && map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

/// Whether the caller's own user or group has no number in its user namespace.
fn is_unmapped(facts: &dyn Facts) -> bool {
    let (user, group) = facts.ids();
    let lacks = |file: &str, id: u32| facts.file(file).is_some_and(|map| !maps(&map, id));
    lacks("/proc/self/uid_map", user) || lacks("/proc/self/gid_map", group)
}

/// Whether the text of a uid_map gives `id`, of the inside, a number outside.
pub(crate) fn maps(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers =
            line.split_ascii_whitespace().map_while(|number| number.parse::<u64>().ok());
        let (Some(inside), Some(_), Some(count)) = (numbers.next(), numbers.next(), numbers.next())
        else {
            return false;
        };
        (inside..inside.saturating_add(count)).contains(&u64::from(id))
    })
}

/// For what the kernel does not know, unless a filter answers in its place.
pub(super) fn seccomp_or_kernel(facts: &dyn Facts) -> Reason {
    if facts.is_filtered() { Cause::Seccomp.into() } else { Cause::Kernel.into() }
}

/// A setns(2) to these kinds failed. `moving`: in this process, not in a child, which has one thread.
pub(super) fn entering(
    facts: &dyn Facts,
    errno: i32,
    set: Namespaces,
    moving: bool,
) -> Option<Reason> {
    let needs_one_thread = set.intersects(Namespaces::USER | Namespaces::MOUNT);
    match errno {
        libc::EPERM if facts.has(CAP_SYS_ADMIN) && facts.is_filtered() => {
            Some(Cause::Seccomp.into())
        }
        libc::EPERM
            if set.contains(Namespaces::MOUNT)
                && facts.has(CAP_SYS_ADMIN)
                && !facts.has(CAP_SYS_CHROOT) =>
        {
            Some(Reason::hinting(Cause::MissingCapability, hints::ENTERING_MOUNTS))
        }
        libc::EPERM => Some(Reason::hinting(Cause::MissingCapability, hints::ENTERING)),
        libc::EINVAL if moving && needs_one_thread && !facts.has_one_thread() => {
            Some(Cause::Threads.into())
        }
        libc::EUSERS => Some(Cause::Threads.into()),
        libc::EINVAL if set.contains(Namespaces::USER) => {
            Some(Reason::unnamed(hints::ALREADY_IN_USER))
        }
        libc::EINVAL if set.contains(Namespaces::PID) => Some(Reason::unnamed(hints::PID_OUTSIDE)),
        libc::ESRCH => Some(Reason::unnamed(hints::ENDED)),
        libc::ENOSYS => Some(seccomp_or_kernel(facts)),
        _ => None,
    }
}

/// Another set-up step failed, inside namespaces of which these kinds are new.
pub(super) fn inside(facts: &dyn Facts, errno: i32, created: Namespaces) -> Option<Reason> {
    match errno {
        libc::EPERM | libc::EACCES => Some(match apparmor(facts, errno) {
            Some(reason) => reason,
            // In a user namespace of its own a process has every capability.
            None if created.contains(Namespaces::USER) && facts.is_filtered() => {
                Cause::Seccomp.into()
            }
            None if errno == libc::EPERM => Cause::MissingCapability.into(),
            None => return None,
        }),
        libc::ENOSYS => Some(seccomp_or_kernel(facts)),
        _ => None,
    }
}

/// A system call failed that takes no right and no setting, and that every kernel has.
pub(super) fn calling(facts: &dyn Facts, errno: i32) -> Option<Reason> {
    let refused = matches!(errno, libc::EPERM | libc::EACCES | libc::ENOSYS);
    (refused && facts.is_filtered()).then(|| Cause::Seccomp.into())
}

/// A kernel interface is not there, or so it is said. `newer`: one is there that came later into the kernel.
pub(super) fn lacking(facts: &dyn Facts, errno: i32, newer: bool) -> Option<Reason> {
    match errno {
        libc::EPERM | libc::EACCES | libc::ENOSYS if facts.is_filtered() => {
            Some(if newer || errno != libc::ENOSYS {
                Cause::Seccomp.into()
            } else {
                Reason::hinting(Cause::Seccomp, hints::FILTER_OR_KERNEL)
            })
        }
        libc::ENOENT | libc::ESRCH if facts.file("/proc/self/status").is_none() => {
            Some(Cause::MissingProc.into())
        }
        libc::EPERM | libc::EACCES => None,
        _ => Some(Cause::Kernel.into()),
    }
}

impl dyn Facts + '_ {
    pub(super) fn number(&self, path: &str) -> Option<i64> {
        self.file(path)?.trim().parse().ok()
    }

    pub(super) fn has(&self, capability: u64) -> bool {
        self.capabilities() & capability != 0
    }

    /// A filter is a thread's own.
    pub(super) fn status(&self) -> Option<String> {
        self.file("/proc/thread-self/status").or_else(|| self.file("/proc/self/status"))
    }

    /// Whether a seccomp filter is on the caller.
    pub(super) fn is_filtered(&self) -> bool {
        if let Some(mode) = self.seccomp() {
            return mode == 2;
        }
        says_filtered(&self.status().unwrap_or_default())
    }
}

pub(crate) fn says_filtered(status: &str) -> bool {
    status.lines().any(|line| line.split_ascii_whitespace().eq(["Seccomp:", "2"]))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::given::Given;
    use super::*;
    use proptest::prelude::*;

    const USER: Namespaces = Namespaces::USER;
    pub(in crate::diagnose) fn found(
        facts: &Given,
        errno: i32,
        set: Namespaces,
    ) -> (Option<Cause>, String) {
        let reason = creating(facts, errno, set, false).expect("a reason");
        (reason.cause, reason.hint)
    }

    #[track_caller]
    pub(in crate::diagnose) fn is(found: (Option<Cause>, String), cause: Cause, words: &[&str]) {
        assert_eq!(found.0, Some(cause), "{}", found.1);
        for word in words {
            assert!(found.1.contains(word), "no {word:?} in {:?}", found.1);
        }
    }

    #[test]
    fn debian_has_a_switch() {
        let switch = "/proc/sys/kernel/unprivileged_userns_clone";
        let remedy = ["kernel.unprivileged_userns_clone is 0", "set that sysctl to 1", "root"];
        let user = Given::user().file(switch, "0\n");
        is(found(&user, libc::EPERM, USER | Namespaces::NET), Cause::UsernsSysctl, &remedy);
        // Root of a container is not root to the kernel.
        let inner =
            Given::root().file(switch, "0\n").file("/proc/self/uid_map", "0 100000 65536\n");
        is(found(&inner, libc::EPERM, USER), Cause::UsernsSysctl, &remedy);
        // The switch is for ordinary users, and 1 is on.
        let root = Given::root().file(switch, "0\n");
        assert_ne!(found(&root, libc::EPERM, USER).0, Some(Cause::UsernsSysctl));
        let on = Given::user().file(switch, "1\n");
        assert_ne!(found(&on, libc::EPERM, USER).0, Some(Cause::UsernsSysctl));
    }

    #[test]
    fn a_chroot_is_proved_or_likely() {
        let certain = Cause::Chroot.to_string();
        let directory = Given { root_is_a_mount: Some(false), ..Given::user() };
        assert_eq!(found(&directory, libc::EPERM, USER), (Some(Cause::Chroot), certain.clone()));
        let moved = Given { root_is_the_namespaces: Some(false), ..Given::root() };
        assert_eq!(found(&moved, libc::EPERM, USER), (Some(Cause::Chroot), certain.clone()));
        // A filter may be there too; but this alone is enough.
        let both = Given { root_is_the_namespaces: Some(false), ..Given::root().in_a_container() };
        assert_eq!(found(&both, libc::EPERM, USER), (Some(Cause::Chroot), certain));
        is(found(&Given::user(), libc::EPERM, USER), Cause::Chroot, &["likely", "pivot_root(2)"]);
        // Root can tell, so it is something else.
        let (cause, hint) = found(&Given::root(), libc::EPERM, USER);
        assert_eq!(cause, Some(Cause::SecurityModule));
        assert!(hint.contains("security module"), "{hint}");
    }

    #[test]
    fn an_unmapped_caller_is_told_so() {
        for (file, map) in [("uid_map", "0 1000 1\n"), ("gid_map", "0 0 1000\n"), ("uid_map", "")] {
            let facts = Given::user().file(&format!("/proc/self/{file}"), map);
            is(found(&facts, libc::EPERM, USER), Cause::UnmappedUser, &["map it there"]);
        }
        let mapped = Given::user().file("/proc/self/uid_map", "0 0 4294967295\n");
        assert_ne!(found(&mapped, libc::EPERM, USER).0, Some(Cause::UnmappedUser));
    }

    #[test]
    fn other_kinds_take_a_capability() {
        let words = ["run as root", "`Namespaces::USER`"];
        is(found(&Given::user(), libc::EPERM, Namespaces::NET), Cause::MissingCapability, &words);
        let docker = Given::root().in_a_container();
        is(found(&docker, libc::EPERM, Namespaces::NET), Cause::Seccomp, &["filter"]);
        let (cause, _) = found(&Given::root(), libc::EPERM, Namespaces::NET);
        assert_eq!(cause, Some(Cause::SecurityModule), "root has it");
    }

    #[test]
    fn a_container_has_a_filter() {
        is(found(&Given::user().in_a_container(), libc::EPERM, USER), Cause::Seccomp, &["profile"]);
        is(found(&Given::user().in_a_container(), libc::ENOSYS, USER), Cause::Seccomp, &[]);
        // As /proc/self/status has it, where prctl(2) does not tell.
        let status =
            Given { seccomp: None, ..Given::user() }.file("/proc/self/status", "Seccomp:\t2\n");
        is(found(&status, libc::EPERM, USER), Cause::Seccomp, &[]);
        let none =
            Given { seccomp: None, ..Given::user() }.file("/proc/self/status", "Seccomp:\t0\n");
        is(found(&none, libc::ENOSYS, USER), Cause::Kernel, &["newer one"]);
    }

    #[test]
    fn a_kernel_lacks_what_it_does_not_show() {
        let user = "/proc/self/ns/user";
        let shown = Given::user().link(user, "user:[4026531837]");
        is(found(&shown, libc::EINVAL, USER | Namespaces::TIME), Cause::Kernel, &["newer one"]);
        assert!(creating(&shown, libc::EINVAL, USER, false).is_none());
        // A sandbox without these files, as gVisor may be.
        is(found(&Given::user(), libc::EINVAL, Namespaces::TIME), Cause::Kernel, &[]);
        assert!(creating(&Given::user(), libc::EINVAL, Namespaces::PID, false).is_none());
        assert!(creating(&Given::user(), libc::EINVAL, Namespaces::empty(), false).is_none());
    }

    #[test]
    fn threads_are_in_the_way_of_whoever_moves_itself() {
        let threaded = Given { threads: 2, ..Given::user() };
        let reason = creating(&threaded, libc::EINVAL, USER, true).expect("a reason");
        assert_eq!(reason.cause, Some(Cause::Threads));
        let reason = creating(&threaded, libc::EINVAL, USER, false).expect("a reason");
        assert_eq!(reason.cause, Some(Cause::Kernel), "a child has one thread");
        let reason = entering(&threaded, libc::EINVAL, Namespaces::MOUNT, true).expect("a reason");
        assert_eq!(reason.cause, Some(Cause::Threads));
        let reason = entering(&threaded, libc::EINVAL, Namespaces::MOUNT, false);
        assert!(reason.is_none(), "a child has one thread");
        let reason = entering(&Given::user(), libc::EINVAL, USER, true).expect("a reason");
        assert!(reason.cause.is_none() && reason.hint.contains("in already"));
        assert!(entering(&threaded, libc::EINVAL, Namespaces::NET, true).is_none());
    }

    #[test]
    fn a_pid_namespace_that_was_unshared_is_the_last() {
        let own = Given::user().link("/proc/thread-self/ns/pid", "pid:[1]");
        let moved = own.clone().link("/proc/thread-self/ns/pid_for_children", "pid:[2]");
        for facts in [&own, &moved] {
            let (cause, hint) = found(facts, libc::EINVAL, Namespaces::PID);
            assert!(cause.is_none() && hint.contains("unshared"), "{hint}");
        }
        let (_, hint) = found(&moved, libc::ENOMEM, Namespaces::PID);
        assert!(hint.contains("process 1"), "{hint}");
        let stayed = own.link("/proc/thread-self/ns/pid_for_children", "pid:[1]");
        assert!(creating(&stayed, libc::ENOMEM, Namespaces::PID, false).is_none());
    }

    #[test]
    fn entering_takes_capabilities() {
        let reason =
            |facts: &Given, set| entering(facts, libc::EPERM, set, true).expect("a reason");
        let lacks = reason(&Given::user(), Namespaces::NET);
        assert_eq!(lacks.cause, Some(Cause::MissingCapability));
        assert!(lacks.hint.contains("CAP_SYS_ADMIN") && lacks.hint.contains("run as root"));
        let half = Given { capabilities: CAP_SYS_ADMIN, ..Given::root() };
        assert!(reason(&half, Namespaces::MOUNT).hint.contains("CAP_SYS_CHROOT"));
        assert!(!reason(&half, Namespaces::NET).hint.contains("CAP_SYS_CHROOT"));
        let docker = Given::root().in_a_container();
        assert_eq!(reason(&docker, Namespaces::NET).cause, Some(Cause::Seccomp));
    }

    #[test]
    fn an_interface_is_filtered_or_missing() {
        let reason = |facts: &Given, errno, newer| lacking(facts, errno, newer).expect("a reason");
        let cause = |facts: &Given, errno, newer| reason(facts, errno, newer).cause;
        let proc = Given::user().file("/proc/self/status", "Name:\tx\n");
        assert_eq!(cause(&proc, libc::ENOSYS, false), Some(Cause::Kernel));
        assert_eq!(cause(&proc, libc::ENOTTY, false), Some(Cause::Kernel));
        assert_eq!(cause(&proc, libc::ENOENT, false), Some(Cause::Kernel));
        assert_eq!(cause(&Given::user(), libc::ENOENT, false), Some(Cause::MissingProc));
        let docker = proc.in_a_container();
        assert_eq!(cause(&docker, libc::EPERM, false), Some(Cause::Seccomp));
        assert_eq!(reason(&docker, libc::ENOSYS, true), Cause::Seccomp.into());
        let unsure = reason(&docker, libc::ENOSYS, false);
        assert_eq!(unsure.cause, Some(Cause::Seccomp));
        assert!(unsure.hint.contains("or this kernel"), "{}", unsure.hint);
        assert_eq!(cause(&docker, libc::ENOTTY, true), Some(Cause::Kernel));
    }

    proptest! {
        #![proptest_config(crate::cases::config())]

        #[test]
        fn a_map_covers_what_is_in_its_ranges(first in 0u32..1000, count in 1u32..1000, id in 0u32..3000) {
            let map = format!("{first:>10} {:>10} {count:>10}\n", 7);
            prop_assert_eq!(maps(&map, id), (first..first + count).contains(&id));
        }

        #[test]
        fn no_text_of_these_files_panics(text in ".{0,200}", id in any::<u32>()) {
            let _ = maps(&text, id);
            let mut facts = Given { seccomp: None, ..Given::user() };
            for file in ["self/status", "thread-self/status", "thread-self/attr/current", "self/uid_map", "sys/user/max_pid_namespaces"] {
                facts = facts.file(&format!("/proc/{file}"), &text);
            }
            for errno in [libc::EPERM, libc::EACCES, libc::ENOSPC, libc::EINVAL, libc::ENOSYS] {
                let _ = creating(&facts, errno, Namespaces::all(), true);
                let _ = entering(&facts, errno, Namespaces::all(), true);
                let _ = inside(&facts, errno, Namespaces::all());
            }
        }
    }
}
