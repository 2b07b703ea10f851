//! A test that the machine refuses.
#![forbid(unsafe_code)]

use std::io::{self, Write as _};

use crate::{Cause, Error, Step};

/// Makes it a failure.
pub(super) const REQUIRE: &str = "LINUX_NAMESPACES_TEST_REQUIRE";

/// Whether it is the machine's doing, or that of whoever set it up: the same test passes elsewhere, or as another user.
pub(super) fn is_the_machines(error: &Error) -> bool {
    match error.cause() {
        // That the process has several threads is the test's own doing.
        None | Some(Cause::Threads) => false,
        // Once it is in namespaces of its own, it lacks what its settings have not given it.
        Some(Cause::MissingCapability) => match error.step() {
            Step::Clone(_)
            | Step::Unshare(_)
            | Step::Enter(_)
            | Step::EnterProcess(_)
            | Step::Setgroups
            | Step::UidMap
            | Step::GidMap => true,
            Step::Mount(target) => target.as_os_str() == "/proc",
            _ => false,
        },
        Some(_) => true,
    }
}

/// Whether a machine that refuses is not accepted.
pub(super) fn is_failure() -> bool {
    std::env::var_os(REQUIRE).is_some_and(|value| !value.is_empty() && value != "0")
}

/// Says so past libtest's capture, which shows nothing of a test that passes.
pub(super) fn announce(test: &str, error: &Error) {
    // Who has closed it wants to see nothing.
    let _ = writeln!(io::stderr(), "test {test} ... ignored, {error}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NamespaceKind;

    #[test]
    fn what_has_a_cause_is_the_machines_doing() {
        let error = || Error::new(Step::Clone(crate::Namespaces::USER)).errno(libc::EPERM);
        for cause in [Cause::AppArmor, Cause::Seccomp, Cause::Limit(NamespaceKind::User)] {
            assert!(is_the_machines(&error().caused_by(cause)));
        }
        assert!(is_the_machines(&error().caused_by(Cause::MissingCapability)));
        let hostname = Error::new(Step::Hostname).errno(libc::EPERM);
        assert!(!is_the_machines(&hostname.caused_by(Cause::MissingCapability)));
        assert!(!is_the_machines(&error().caused_by(Cause::Threads)));
        assert!(!is_the_machines(&error()));
        assert!(!is_the_machines(&Error::invalid("mounts without a mount namespace")));
    }
}
