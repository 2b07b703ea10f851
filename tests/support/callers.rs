//! Callers of every sort.

use std::thread;

use linux_namespaces::{Interface, Support};

use crate::device::*;
use crate::{detected, plain};

pub(crate) fn closed_streams() {
    let expected = plain(&detected());
    let pid = std::process::id();
    for fd in 0..3 {
        // SAFETY: nothing is written or read any more before they are there again.
        unsafe { libc::close(fd) };
    }
    let support = Support::detect();
    // SAFETY: asks for flags.
    let open = (0..3).any(|fd| unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0);
    for _ in 0..3 {
        // The lowest numbers that are free, for whatever may be written from now on.
        mem::forget(File::options().read(true).write(true).open("/dev/null"));
    }
    assert!(!open, "a descriptor is left");
    assert_eq!(plain(&support.expect("it works")), expected);
    assert_eq!(std::process::id(), pid);
}

/// The flag that keeps other processes of the user out is as before, and is no obstacle.
pub(crate) fn closed_to_others() {
    // SAFETY: numbers only.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }, 0);
    let before = (children(), ended_child());
    let support = Support::detect().expect("it works");
    // SAFETY: asks for a number.
    assert_eq!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) }, 0);
    assert_eq!((children(), ended_child()), before);
    assert_eq!(support.creatable_with_user(), ALL, "{support}");
    // An ordinary user may not look into the children that are to be entered: they are closed as the caller is.
    if is_root() {
        assert_eq!(support.joinable_with_user(), ALL, "{support}");
    }
}

/// As in many containers: root, without the right to look into processes that are closed to it.
pub(crate) fn half_powerless() {
    give_up_effective(&[19]);
    let support = detected();
    assert_eq!(support.creatable(), ALL, "{support}");
    assert_eq!(support.joinable(), ALL, "{support}");
    assert_eq!(support.creatable_with_user(), ALL, "{support}");
    assert_eq!(support.joinable_with_user(), ALL, "{support}");
}

pub(crate) fn no_more_processes() {
    become_ordinary();
    limit(libc::RLIMIT_NPROC, 0);
    let before = Traces::now();
    let error = Support::detect().expect_err("no child can be had");
    assert_eq!(
        (error.step(), error.raw_os_error()),
        (&Step::Clone(Namespaces::empty()), Some(libc::EAGAIN))
    );
    assert!(error.to_string().contains("RLIMIT_NPROC"), "{error}");
    assert_eq!(Traces::now(), before);
}

/// For a moment the kernel has no room for a namespace: that says nothing of what works here.
pub(crate) fn no_memory_for_namespaces() {
    answer_new_namespaces(libc::ENOMEM);
    let before = Traces::now();
    let error = Support::detect().expect_err("nothing can be found out");
    assert_eq!(error.raw_os_error(), Some(libc::ENOMEM), "{error}");
    assert!(matches!(error.step(), Step::Clone(_)), "{error}");
    assert_eq!(Traces::now(), before);
}

/// Whatever number of descriptors is left: it works, or says what it lacks, and leaves none.
pub(crate) fn few_descriptors() {
    let expected = plain(&Support::detect().expect("it works"));
    let before = Traces::now();
    let first = lowest_free_number();
    let mut worked = false;
    for free in 0..20 {
        let old = limit(libc::RLIMIT_NOFILE, first + free);
        let result = Support::detect();
        limit(libc::RLIMIT_NOFILE, old);
        match result {
            Ok(support) => {
                assert_eq!(plain(&support), expected, "with {free}");
                worked = true;
            }
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
                assert!(!worked, "with {free}: {error}");
            }
        }
    }
    assert!(worked, "20 descriptors are not enough");
    assert_eq!(Traces::now(), before);
}

/// Capabilities and filters are a thread's own.
pub(crate) fn other_thread() {
    let here = plain(&detected());
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            if is_root() {
                give_up_effective(&[21]);
            }
            answer(&[libc::SYS_setns], libc::EPERM);
            Support::detect().expect("it works")
        });
        let support = other.join().expect("no panic");
        assert_eq!(support.creatable() - Namespaces::USER, Namespaces::empty(), "{support}");
        assert_eq!(support.missing(Interface::SetnsPidfd), Some(&Cause::Seccomp), "{support}");
        assert_eq!(support.joinable_with_user(), Namespaces::empty(), "{support}");
    });
    assert_eq!(plain(&Support::detect().expect("it works")), here);
}
