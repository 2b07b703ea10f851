//! Why a process may not have the ids that it is to run under.
#![forbid(unsafe_code)]

use super::causes::{CAP_SETGID, CAP_SETUID, Reason, seccomp_or_kernel};
use super::facts::Facts;
use super::hints;
use crate::error::Cause;

/// What an id is one of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Id {
    User,
    Group,
}

impl Id {
    fn capability(self) -> (&'static str, u64) {
        match self {
            Self::User => ("CAP_SETUID", CAP_SETUID),
            Self::Group => ("CAP_SETGID", CAP_SETGID),
        }
    }
}

/// Where the process is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// In the caller's user namespace, with the caller's rights.
    Here,
    /// In another one, where it has every capability. Whether setgroups(2) works there.
    Inside(Setgroups),
}

/// What the user namespace makes of setgroups(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Setgroups {
    Allowed,
    Denied,
    /// It has no gid_map, without which the kernel allows none.
    NoGroups,
    /// What the namespace around the new one says. That is the caller's.
    AsAround,
    Unknown,
}

/// setresuid(2) or setresgid(2) failed.
pub(super) fn changing(facts: &dyn Facts, errno: i32, id: Id, place: Place) -> Option<Reason> {
    let (name, bit) = id.capability();
    match errno {
        libc::EINVAL => Some(Reason::unnamed(hints::ID_WITHOUT_MAP)),
        libc::EPERM if place == Place::Here && !facts.has(bit) => {
            Some(Reason::hinting(Cause::MissingCapability, hints::other_id(name)))
        }
        // None of the kernel's own rules is left.
        libc::EPERM if facts.is_filtered() => Some(Cause::Seccomp.into()),
        libc::EPERM => Some(Cause::SecurityModule.into()),
        libc::ENOSYS => Some(seccomp_or_kernel(facts)),
        _ => None,
    }
}

/// setgroups(2) failed.
pub(super) fn groups(facts: &dyn Facts, errno: i32, place: Place) -> Option<Reason> {
    let denied = || Reason::hinting(Cause::MissingCapability, hints::GROUPS_DENIED);
    let setgroups = match place {
        Place::Here if !facts.has(CAP_SETGID) => return changing(facts, errno, Id::Group, place),
        Place::Here | Place::Inside(Setgroups::AsAround) => here(facts),
        Place::Inside(setgroups) => setgroups,
    };
    match (errno, setgroups) {
        (libc::EPERM, Setgroups::NoGroups) => Some(Reason::unnamed(hints::NO_GROUPS)),
        (libc::EPERM, Setgroups::Denied) => Some(denied()),
        (libc::EPERM, Setgroups::Unknown) if facts.is_filtered() => {
            Some(Reason::unnamed(hints::groups_denied_or_filtered()))
        }
        (libc::EPERM, Setgroups::Unknown) => Some(denied()),
        _ => changing(facts, errno, Id::Group, place),
    }
}

/// In the caller's own user namespace.
fn here(facts: &dyn Facts) -> Setgroups {
    if facts.file("/proc/self/setgroups").is_some_and(|text| text.trim_end() == "deny") {
        return Setgroups::Denied;
    }
    match facts.file("/proc/self/gid_map") {
        Some(map) if map.trim().is_empty() => Setgroups::NoGroups,
        _ => Setgroups::Allowed,
    }
}

#[cfg(test)]
mod tests {
    use super::super::given::Given;
    use super::*;

    const INSIDE: Place = Place::Inside(Setgroups::Allowed);

    fn cause(reason: Option<Reason>) -> Option<Cause> {
        reason.expect("a reason").cause
    }

    #[test]
    fn an_id_is_refused_for_these_reasons() {
        let filtered = Given::root().in_a_container();
        for id in [Id::User, Id::Group] {
            let lacks = changing(&Given::user(), libc::EPERM, id, Place::Here).expect("a reason");
            assert_eq!(lacks.cause, Some(Cause::MissingCapability));
            assert!(lacks.hint.contains(id.capability().0), "{}", lacks.hint);
            // One that lacks the capability is told so, whatever else is there.
            let both = Given::user().in_a_container();
            let lacks = changing(&both, libc::EPERM, id, Place::Here);
            assert_eq!(cause(lacks), Some(Cause::MissingCapability));
            for place in [Place::Here, INSIDE] {
                let reason = changing(&filtered, libc::EPERM, id, place);
                assert_eq!(cause(reason), Some(Cause::Seccomp));
                let reason = changing(&filtered, libc::ENOSYS, id, place);
                assert_eq!(cause(reason), Some(Cause::Seccomp));
                let reason = changing(&Given::root(), libc::EPERM, id, place);
                assert_eq!(cause(reason), Some(Cause::SecurityModule));
                let unmapped = changing(&filtered, libc::EINVAL, id, place).expect("a reason");
                assert!(unmapped.cause.is_none() && unmapped.hint.contains("no mapping"));
            }
            // In there the caller's own capabilities are of no account.
            assert_eq!(cause(changing(&both, libc::EPERM, id, INSIDE)), Some(Cause::Seccomp));
        }
    }

    #[test]
    fn groups_are_refused_for_these_reasons() {
        let filtered = Given::user().in_a_container();
        let reason = |facts: &Given, setgroups| {
            groups(facts, libc::EPERM, Place::Inside(setgroups)).expect("a reason")
        };
        for facts in [&Given::user(), &filtered] {
            let denied = reason(facts, Setgroups::Denied);
            assert_eq!(denied.cause, Some(Cause::MissingCapability));
            assert!(denied.hint.contains("is denied in this user namespace"), "{}", denied.hint);
            let none = reason(facts, Setgroups::NoGroups);
            assert!(none.cause.is_none() && none.hint.contains("gid_map"), "{}", none.hint);
        }
        assert_eq!(reason(&filtered, Setgroups::Allowed).cause, Some(Cause::Seccomp));
        let other = reason(&Given::user(), Setgroups::Allowed);
        assert_eq!(other.cause, Some(Cause::SecurityModule));
        let unsure = reason(&filtered, Setgroups::Unknown);
        assert!(unsure.cause.is_none() && unsure.hint.contains("denied"), "{}", unsure.hint);
        assert!(unsure.hint.contains("seccomp filter"), "{}", unsure.hint);
        let likely = reason(&Given::user(), Setgroups::Unknown);
        assert_eq!(likely.cause, Some(Cause::MissingCapability));
    }

    #[test]
    fn groups_of_the_own_namespace_are_looked_up() {
        let file = "/proc/self/setgroups";
        let root = Given::root().file(file, "allow\n").file("/proc/self/gid_map", "0 0 4294967295");
        let hint = |facts: &Given, place| groups(facts, libc::EPERM, place).expect("a reason").hint;
        for place in [Place::Here, Place::Inside(Setgroups::AsAround)] {
            assert!(hint(&root.clone().file(file, "deny\n"), place).contains("is denied"));
            assert!(hint(&root.clone().file("/proc/self/gid_map", ""), place).contains("gid_map"));
            let filtered = root.clone().in_a_container();
            assert_eq!(cause(groups(&filtered, libc::EPERM, place)), Some(Cause::Seccomp));
        }
        let user = Given::user().file(file, "deny\n");
        assert!(hint(&user, Place::Here).contains("CAP_SETGID"), "{}", hint(&user, Place::Here));
    }
}
