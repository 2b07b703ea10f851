//! Whether AppArmor is why.
#![forbid(unsafe_code)]

use super::causes::{CAP_SYS_ADMIN, Reason};
use super::facts::Facts;
use super::hints;
use crate::error::Cause;

/// The profile into which Ubuntu puts a program that creates a user namespace without leave to.
const RESTRICTED: &str = "unprivileged_userns";

/// Whether it is AppArmor that answered so, as far as its files tell.
///
/// With Ubuntu's switch on, a program without a profile ("unconfined") and without CAP_SYS_ADMIN may have a user namespace, but no
/// capability in it. One with a profile is not touched by the switch: it has what its rules say, of which nothing can be read. What
/// a rule forbids is EACCES, so with EPERM another reason is to be looked for.
pub(super) fn apparmor(facts: &dyn Facts, errno: i32) -> Option<Reason> {
    if !matches!(errno, libc::EPERM | libc::EACCES) {
        return None;
    }
    let switch = facts.number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1);
    let files = ["/proc/thread-self/attr/apparmor/current", "/proc/thread-self/attr/current"];
    let label = files.into_iter().find_map(|file| facts.file(file));
    let label = label.as_deref().map(|text| text.trim_end_matches(['\n', '\0']));
    match label.and_then(profile) {
        Some((name, _)) if name == RESTRICTED || name.starts_with("unprivileged_userns//") => {
            Some(Cause::AppArmor.into())
        }
        Some((name, "enforce" | "kill")) if errno == libc::EACCES => {
            Some(Reason::hinting(Cause::AppArmor, hints::profile(name)))
        }
        // Such a profile has rules for user namespaces and for nothing else.
        Some((name, "unconfined")) if switch && !facts.has(CAP_SYS_ADMIN) => {
            Some(Reason::hinting(Cause::AppArmor, hints::profile(name)))
        }
        Some(_) => None,
        None => (switch && !facts.has(CAP_SYS_ADMIN)).then(|| Cause::AppArmor.into()),
    }
}

/// Name and mode of the profile that a label says. Under other security modules the second file has their labels, which
/// have no mode at the end.
pub(super) fn profile(label: &str) -> Option<(&str, &str)> {
    label.strip_suffix(')')?.rsplit_once(" (")
}

#[cfg(test)]
mod tests {
    use super::super::causes::inside;
    use super::super::causes::tests::{found, is};
    use super::super::given::Given;
    use super::*;
    use crate::Namespaces;

    const USER: Namespaces = Namespaces::USER;
    const SWITCH: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
    const LABEL: &str = "/proc/thread-self/attr/current";

    #[test]
    fn ubuntu_restricts_unconfined_programs() {
        let remedy = [
            "kernel.apparmor_restrict_unprivileged_userns is 1",
            "`userns,`",
            "set that sysctl to 0",
        ];
        let ubuntu = Given::user().file(SWITCH, "1\n").file(LABEL, "unconfined\n");
        for errno in [libc::EPERM, libc::EACCES] {
            is(found(&ubuntu, errno, USER), Cause::AppArmor, &remedy);
            let reason = inside(&ubuntu, errno, USER | Namespaces::NET).expect("a reason");
            is((reason.cause, reason.hint), Cause::AppArmor, &remedy);
        }
        // Files that cannot be read change nothing.
        is(found(&Given::user().file(SWITCH, "1\n"), libc::EPERM, USER), Cause::AppArmor, &remedy);
        // In a namespace that was restricted, whatever the switch says now.
        for label in ["unprivileged_userns (enforce)\n", "unprivileged_userns//x (enforce)"] {
            is(
                found(&Given::user().file(LABEL, label), libc::EPERM, USER),
                Cause::AppArmor,
                &remedy,
            );
        }
        // The newer file counts more.
        let both = ubuntu.clone().file("/proc/thread-self/attr/apparmor/current", "x (complain)\n");
        assert_ne!(found(&both, libc::EPERM, USER).0, Some(Cause::AppArmor));
        // Off, or for root.
        let off = Given::user().file(SWITCH, "0\n").file(LABEL, "unconfined\n");
        assert_ne!(found(&off, libc::EPERM, USER).0, Some(Cause::AppArmor));
        let root = Given::root().file(SWITCH, "1\n").file(LABEL, "unconfined\n");
        assert_ne!(found(&root, libc::EPERM, USER).0, Some(Cause::AppArmor));
        // Other errors have other reasons.
        assert!(inside(&ubuntu, libc::EINVAL, USER).is_none());
    }

    #[test]
    fn a_profile_has_its_own_rules() {
        // Chrome's, which allows them.
        let chrome = Given::user().file(SWITCH, "1\n").file(LABEL, "chrome (unconfined)\n");
        is(found(&chrome, libc::EPERM, USER), Cause::AppArmor, &["chrome", "`userns,`"]);
        let confined = Given::user().file(SWITCH, "1\n").file(LABEL, "my-tool (enforce)\n");
        is(found(&confined, libc::EACCES, USER), Cause::AppArmor, &["my-tool", "`userns,`"]);
        // A rule is not what says EPERM; in a container a filter is.
        let docker = Given::user().in_a_container().file(SWITCH, "1\n");
        let docker = docker.file(LABEL, "docker-default (enforce)\n");
        is(found(&docker, libc::EPERM, USER), Cause::Seccomp, &["seccomp filter", "container"]);
        // A label of SELinux is none of AppArmor's.
        let label = "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023";
        let fedora = Given::user().file(LABEL, label);
        let (cause, hint) = found(&fedora, libc::EACCES, USER);
        assert_eq!(cause, Some(Cause::SecurityModule));
        assert!(hint.contains("SELinux") && hint.contains("journal"), "{hint}");
    }
}
