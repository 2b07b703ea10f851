//! Filters that answer in the kernel's place.

use linux_namespaces::Interface;

use crate::device::*;
use crate::{detected, refuses};

pub(crate) fn clone3_answers(errno: i32) {
    let before = detected();
    answer(&[libc::SYS_clone3], errno);
    let support = detected();
    for interface in [Interface::Clone3, Interface::CloneIntoCgroup] {
        assert!(!support.has(interface));
        assert_eq!(support.missing(interface), Some(&Cause::Seccomp), "{support}");
        let error = support.calling(interface).expect_err("it is filtered");
        assert_eq!(error.raw_os_error(), Some(errno));
        assert!(!error.to_string().contains("newer kernel"), "newer calls are there: {error}");
    }
    assert_eq!(support.creatable(), before.creatable(), "{support}");
    assert_eq!(support.creatable_with_user(), before.creatable_with_user(), "{support}");
    assert_eq!(support.joinable(), before.joinable(), "{support}");
    assert_eq!(support.joinable_with_user(), before.joinable_with_user(), "{support}");
}

pub(crate) fn setns_answers(errno: i32) {
    let before = detected();
    answer(&[libc::SYS_setns], errno);
    let support = detected();
    assert_eq!(support.joinable(), Namespaces::empty(), "{support}");
    assert_eq!(support.joinable_with_user(), Namespaces::empty(), "{support}");
    assert_eq!(support.missing(Interface::SetnsPidfd), Some(&Cause::Seccomp), "{support}");
    for kind in NamespaceKind::ALL {
        let error = support.entering_with_user(kind).expect_err("it is filtered");
        assert_eq!((error.raw_os_error(), error.cause()), (Some(errno), Some(&Cause::Seccomp)));
        assert_eq!(error.step(), &Step::Enter(NamespaceKind::User));
    }
    assert_eq!(support.creatable(), before.creatable());
    assert_eq!(support.creatable_with_user(), before.creatable_with_user());
}

pub(crate) fn close_range_missing() {
    answer(&[libc::SYS_close_range], libc::ENOSYS);
    let support = detected();
    assert!(!support.has(Interface::CloseRange));
    assert_eq!(support.missing(Interface::CloseRange), Some(&Cause::Seccomp));
    assert!(support.has(Interface::Clone3));
    assert_eq!(support.missing(Interface::Clone3), None);
}

pub(crate) fn filter_of_a_container() {
    filter_new_namespaces();
    let support = detected();
    let others = ALL - Namespaces::TIME;
    for kind in others.kinds() {
        refuses(&support, kind, &Cause::Seccomp);
    }
    // What a child unshares, that filter does not see.
    let time = if is_root() { Namespaces::TIME } else { Namespaces::empty() };
    assert_eq!(support.creatable(), time, "{support}");
    assert_eq!(support.creatable_with_user(), Namespaces::empty(), "{support}");
    // Own ones are there to be entered, all but the user namespace.
    let own = if is_root() { ALL - Namespaces::USER } else { Namespaces::empty() };
    assert_eq!(support.joinable(), own, "{support}");
}

pub(crate) fn filter_of_mounts() {
    answer(&[libc::SYS_mount], libc::EPERM);
    let support = detected();
    // They can be created as they are; of what use that is, is another question.
    assert_eq!(support.creatable().contains(Namespaces::MOUNT), is_root());
    let error = support.creating_with_user(NamespaceKind::Mount).expect_err("it is of no use");
    assert_eq!(error.step(), &Step::Propagation);
    assert_eq!(error.cause(), Some(&Cause::Seccomp));
    assert_eq!(support.creatable_with_user(), ALL - Namespaces::MOUNT, "{support}");
    assert!(support.mounting_proc().is_err());
}

/// As systemd's `SystemCallFilter=`: it is the child that dies, and that is an answer.
pub(crate) fn filter_that_kills() {
    limit(libc::RLIMIT_CORE, 1);
    let listns = libc::SYS_pidfd_open + 36;
    filter(
        &[listns, libc::SYS_setns, libc::SYS_sethostname, libc::SYS_close_range],
        libc::SECCOMP_RET_KILL_PROCESS,
    );
    let support = detected();
    for interface in [Interface::ListNamespaces, Interface::SetnsPidfd, Interface::CloseRange] {
        assert_eq!(support.missing(interface), Some(&Cause::Seccomp), "{support}");
    }
    assert_eq!(support.joinable() | support.joinable_with_user(), Namespaces::empty());
    // Every set-up closes descriptors.
    for kind in NamespaceKind::ALL {
        refuses(&support, kind, &Cause::Seccomp);
    }
}
