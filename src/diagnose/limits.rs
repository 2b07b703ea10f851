//! Which limit is reached.
#![forbid(unsafe_code)]

use super::causes::Reason;
use super::facts::Facts;
use super::hints;
use crate::error::{Cause, deepest};
use crate::namespace::ns_pids;
use crate::{NamespaceKind, Namespaces};

/// ENOSPC is two limits: how many, and for two kinds how deep.
///
/// The files have the limits of the caller's own user namespace. Those of the namespaces around count too, and cannot be read
/// from inside; nor can anybody read how many there are. So 0 is certain, what is low was set so and is likely, and the depth
/// is what is left, unless the caller is where nothing is around.
pub(super) fn limit(facts: &dyn Facts, set: Namespaces) -> Option<Reason> {
    let limit =
        |kind: &NamespaceKind| facts.number(&format!("/proc/sys/user/max_{kind}_namespaces"));
    // The kernel's own are in the thousands.
    let low = set.kinds().filter(|kind| limit(kind).is_some_and(|limit| limit < 100));
    if let Some(kind) = low.min_by_key(limit) {
        return Some(Cause::Limit(kind).into());
    }
    for kind in [NamespaceKind::User, NamespaceKind::Pid] {
        if set.contains(kind.flag()) && !is_initial(facts, kind) {
            let cause = Cause::Nesting(kind);
            let certain = kind == NamespaceKind::Pid && pid_depth(facts) >= Some(deepest(kind));
            return Some(match certain {
                true => cause.into(),
                false => Reason::hinting(cause, hints::nesting_or_limit(kind)),
            });
        }
    }
    let lowest = set.kinds().min_by_key(|kind| limit(kind).unwrap_or(i64::MAX));
    lowest.map(|kind| Cause::Limit(kind).into())
}

/// Whether the caller is in the namespace that the kernel starts with: those have the same inodes everywhere.
fn is_initial(facts: &dyn Facts, kind: NamespaceKind) -> bool {
    let inode = match kind {
        NamespaceKind::User => 4_026_531_837u32,
        NamespaceKind::Pid => 4_026_531_836,
        _ => return false,
    };
    facts.link(&format!("/proc/self/ns/{kind}")) == Some(format!("{kind}:[{inode}]"))
}

/// How many pid namespaces are around the caller's, up to the one of the mounted /proc.
fn pid_depth(facts: &dyn Facts) -> Option<u32> {
    u32::try_from(ns_pids(&facts.status()?).len()).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::super::causes::tests::{found, is};
    use super::super::given::Given;
    use super::*;

    const USER: Namespaces = Namespaces::USER;

    #[test]
    fn red_hat_sets_the_limit_to_none() {
        let file = "/proc/sys/user/max_user_namespaces";
        let here =
            Given::user().file(file, "0\n").file("/proc/sys/user/max_net_namespaces", "9000\n");
        let words = ["user.max_user_namespaces", "raise"];
        let both = USER | Namespaces::NET;
        is(found(&here, libc::ENOSPC, both), Cause::Limit(NamespaceKind::User), &words);
        let net =
            Given::user().file(file, "9000\n").file("/proc/sys/user/max_net_namespaces", "0\n");
        is(
            found(&net, libc::ENOSPC, both),
            Cause::Limit(NamespaceKind::Net),
            &["max_net_namespaces"],
        );
        is(found(&net, libc::ENOSPC, Namespaces::NET), Cause::Limit(NamespaceKind::Net), &[]);
        // Nothing is set here: it is one further out, and only two kinds nest.
        let nothing = Given::user();
        is(found(&nothing, libc::ENOSPC, Namespaces::UTS), Cause::Limit(NamespaceKind::Uts), &[]);
    }

    #[test]
    fn depth_is_what_is_left_and_never_where_nothing_is_around() {
        let files = |facts: Given| {
            facts
                .file("/proc/sys/user/max_user_namespaces", "2147483647\n")
                .file("/proc/sys/user/max_pid_namespaces", "2147483647\n")
        };
        let nested = files(Given::user()).link("/proc/self/ns/user", "user:[4026532007]");
        let words = ["33 deep", "user.max_user_namespaces", "further out"];
        is(found(&nested, libc::ENOSPC, USER), Cause::Nesting(NamespaceKind::User), &words);
        let initial = files(Given::user()).link("/proc/self/ns/user", "user:[4026531837]");
        is(found(&initial, libc::ENOSPC, USER), Cause::Limit(NamespaceKind::User), &["raise"]);
        // A pid namespace may be deep in there all the same.
        let deep = initial.link("/proc/self/ns/pid", "pid:[4026532009]");
        let both = USER | Namespaces::PID;
        is(found(&deep, libc::ENOSPC, both), Cause::Nesting(NamespaceKind::Pid), &["or"]);
        let numbers =
            (0..=deepest(NamespaceKind::Pid)).map(|pid| format!("\t{pid}")).collect::<String>();
        let seen = deep.file("/proc/thread-self/status", &format!("NSpid:{numbers}\n"));
        let (cause, hint) = found(&seen, libc::ENOSPC, both);
        assert_eq!(cause, Some(Cause::Nesting(NamespaceKind::Pid)));
        assert_eq!(hint, Cause::Nesting(NamespaceKind::Pid).to_string(), "it is certain");
    }
}
