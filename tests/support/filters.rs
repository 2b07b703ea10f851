//! Filters that answer in the kernel's place.

use std::os::unix::process::parent_id;

use linux_namespaces::{Interface, PidFd, Support};

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

/// Who calls the crate for the first time under such a filter has this to ask: nothing else survives it.
pub(crate) fn filter_that_kills_the_caller(calls: &[libc::c_long]) {
    limit(libc::RLIMIT_CORE, 1);
    filter(calls, libc::SECCOMP_RET_KILL_PROCESS);
    let before = Traces::now();
    let support = Support::detect().expect("it lives");
    assert_eq!(Traces::now(), before, "left behind");
    let kills = |interface: Interface| {
        let error = support.calling(interface).expect_err("it is filtered");
        assert_eq!(
            (error.cause(), error.raw_os_error()),
            (Some(&Cause::Seccomp), None),
            "{support}"
        );
        assert!(error.to_string().contains("kills whoever calls"), "{error}");
    };
    let (clone3, pidfd) =
        (calls.contains(&libc::SYS_clone3), calls.contains(&libc::SYS_pidfd_open));
    if clone3 {
        kills(Interface::Clone3);
        kills(Interface::CloneIntoCgroup);
    }
    // A socket has a pidfd of the own process as well, since Linux 6.5: then they can be asked for.
    let own = PidFd::open(std::process::id()).is_ok();
    if !own {
        kills(Interface::SetnsPidfd);
        kills(Interface::PidfdNamespaces);
    }
    assert!(own || pidfd);
    assert_eq!(support.has(Interface::Clone3), !clone3, "{support}");
    assert_eq!(support.has(Interface::SetnsPidfd), own, "{support}");
    assert!(support.has(Interface::CloseRange), "{support}");
    // The rest is done without them, and from now on in this thread by all of the crate.
    let alone = if is_root() { ALL } else { Namespaces::USER };
    assert_eq!(support.creatable(), alone, "{support}");
    assert_eq!(support.joinable(), alone, "{support}");
    assert_eq!(support.creatable_with_user(), ALL, "{support}");
    assert_eq!(support.joinable_with_user(), ALL, "{support}");
    support.mounting_proc().expect("an unmasked /proc");
    assert_eq!(crate::plain(&detected()), crate::plain(&support));
    for set in [Namespaces::empty(), ALL] {
        only_exec_fails(missing().namespaces(set));
        only_exec_fails(&mut copied(changed(|command| command.namespaces(set))));
    }
    if pidfd {
        let error = PidFd::open(parent_id()).expect_err("it would be the end");
        assert_eq!(error.raw_os_error(), Some(libc::ENOSYS), "{error}");
    }
}

/// Another thread has no such filter, and is not to suffer from it.
pub(crate) fn filter_that_kills_one_thread() {
    limit(libc::RLIMIT_CORE, 1);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            filter(&[libc::SYS_pidfd_open], libc::SECCOMP_RET_KILL_PROCESS);
            Support::detect().expect("it lives");
            PidFd::open(parent_id())
        });
        let error = other.join().expect("no panic").expect_err("it would be the end");
        assert_eq!(error.raw_os_error(), Some(libc::ENOSYS), "{error}");
    });
    PidFd::open(parent_id()).expect("nobody has forbidden it here");
    assert!(detected().has(Interface::SetnsPidfd));
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
