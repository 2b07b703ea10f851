//! This machine as it is: what `Support` says is what the crate and the kernel do.

use std::sync::Barrier;
use std::thread;

use linux_namespaces::{Error, Interface, PidFd, ProcessNamespaces, Support};

use crate::device::*;
use crate::{detected, plain};

pub(crate) fn all_of_it_works_here() {
    let support = detected();
    let alone = if is_root() { ALL } else { Namespaces::USER };
    assert_eq!(support.creatable(), alone, "{support}");
    assert_eq!(support.joinable(), alone, "{support}");
    assert_eq!(support.creatable_with_user(), ALL, "{support}");
    assert_eq!(support.joinable_with_user(), ALL, "{support}");
    support.mounting_proc().expect("an unmasked /proc");
    for kind in NamespaceKind::ALL {
        assert_eq!(support.refusal(kind), None);
        let lacks = support.creating(kind).err().and_then(Error::cause);
        let expected = (!alone.contains(kind.flag())).then_some(&Cause::MissingCapability);
        assert_eq!(lacks, expected, "{kind}");
    }
    assert_eq!(support.refusals(ALL).count(), 0);
    let others = ALL - Namespaces::USER;
    assert_eq!(support.refusals(others).count(), (others - alone).kinds().count());
}

pub(crate) fn agrees_with_spawns() {
    let support = detected();
    let really = |set: Namespaces| refusal(missing().namespaces(set)).raw_os_error();
    for kind in NamespaceKind::ALL {
        let expect = |result: Result<(), &Error>| match result {
            Ok(()) => Some(libc::ENOENT),
            Err(error) => error.raw_os_error(),
        };
        assert_eq!(expect(support.creating(kind)), really(kind.flag()), "{kind}");
        let with_user = kind.flag() | Namespaces::USER;
        assert_eq!(expect(support.creating_with_user(kind)), really(with_user), "{kind}");
    }
}

pub(crate) fn agrees_with_entering() {
    let support = detected();
    let mut holder = holder(ALL);
    for kind in NamespaceKind::ALL {
        let mut command = missing();
        command.enter_process(holder.pidfd(), kind.flag() | Namespaces::USER);
        let entered = refusal(&mut command).raw_os_error() == Some(libc::ENOENT);
        assert_eq!(support.entering_with_user(kind).is_ok(), entered, "{kind}");
    }
    holder.wait().expect("cat has ended");
    if is_root() {
        let mut holder = self::holder(ALL - Namespaces::USER);
        for kind in (ALL - Namespaces::USER).kinds() {
            let mut command = missing();
            command.enter(&holder.namespace(kind).expect("a namespace"));
            let entered = refusal(&mut command).raw_os_error() == Some(libc::ENOENT);
            assert_eq!(support.entering(kind).is_ok(), entered, "{kind}");
        }
        holder.wait().expect("cat has ended");
    } else {
        // The right to enter another one is the right to enter the own.
        for kind in (ALL - Namespaces::USER).kinds() {
            let own = Namespace::current(kind).expect("the own namespace");
            // SAFETY: a descriptor that is open; what it enters is where it is, if at all.
            let result = unsafe { libc::setns(std::os::fd::AsFd::as_fd(&own).as_raw_fd(), 0) };
            assert_eq!(support.entering(kind).is_ok(), result == 0, "{kind}");
        }
    }
}

pub(crate) fn agrees_with_the_calls() {
    let support = detected();
    let own = Namespace::current(NamespaceKind::Pid).expect("the own namespace");
    let fd = std::os::fd::AsFd::as_fd(&own).as_raw_fd();
    // SAFETY: no arguments, so it fails.
    let clone3 = unsafe { libc::syscall(libc::SYS_clone3, 0, 0) };
    assert_eq!(clone3, -1);
    let errno = io::Error::last_os_error().raw_os_error();
    assert_eq!(support.has(Interface::Clone3), errno == Some(libc::EINVAL));
    // SAFETY: the number above all is no descriptor's.
    let close_range = unsafe { libc::syscall(libc::SYS_close_range, u32::MAX, u32::MAX, 0) };
    assert_eq!(support.has(Interface::CloseRange), close_range == 0);
    let unique = own.unique_id().expect("a namespace").is_some();
    assert_eq!(support.has(Interface::UniqueIds), unique);
    // `NS_GET_PID_IN_PIDNS`.
    let request = 0x8004_b708u32;
    // SAFETY: the request carries a number.
    let translated = unsafe { libc::ioctl(fd, request as _, std::process::id()) };
    assert_eq!(support.has(Interface::PidTranslation), translated > 0);
    let pidfd = PidFd::open(std::process::id()).expect("the own process");
    let pidfd = std::os::fd::AsFd::as_fd(&pidfd).as_raw_fd();
    // SAFETY: a request without an argument; `PIDFD_GET_UTS_NAMESPACE`.
    let uts = unsafe { libc::ioctl(pidfd, 0xff0a as _, 0) };
    assert_eq!(support.has(Interface::PidfdNamespaces), uts >= 0);
    if uts >= 0 {
        // SAFETY: new, and nobody else's.
        drop(unsafe { OwnedFd::from_raw_fd(uts) });
    }
    let offsets = Path::new("/proc/self/timens_offsets").exists();
    assert_eq!(support.has(Interface::TimeOffsets), offsets);
    let number = libc::SYS_pidfd_open + 36;
    // SAFETY: no arguments, so it fails.
    assert_eq!(unsafe { libc::syscall(number, 0, 0, 0, 0) }, -1);
    let errno = io::Error::last_os_error().raw_os_error();
    assert_eq!(support.has(Interface::ListNamespaces), errno != Some(libc::ENOSYS));
    if !support.has(Interface::ListNamespaces) {
        assert_eq!(support.missing(Interface::ListNamespaces), Some(&Cause::Kernel));
    }
    // A pidfd of a child that has ended: known as such it is ESRCH, otherwise EINVAL.
    let mut child = StdCommand::new("/bin/sh").args(["-c", ":"]).spawn().expect("a shell");
    let ended = PidFd::open(child.id()).expect("not reaped yet");
    child.wait().expect("it ends");
    let ended = std::os::fd::AsFd::as_fd(&ended).as_raw_fd();
    // SAFETY: nothing is entered, for there is nobody.
    assert_eq!(unsafe { libc::setns(ended, libc::CLONE_NEWUTS) }, -1);
    let errno = io::Error::last_os_error().raw_os_error();
    assert_eq!(support.has(Interface::SetnsPidfd), errno != Some(libc::EINVAL));
    assert_eq!(
        support.has(Interface::CloneIntoCgroup),
        support.has(Interface::Clone3) && into_cgroup_is_known()
    );
}

/// With a number that no descriptor has, the flag gives EBADF where it is known.
pub(crate) fn into_cgroup_is_known() -> bool {
    let mut args = [0u64; 11];
    args[0] = 0x2_0000_0000;
    args[4] = libc::SIGCHLD as u64;
    args[10] = i32::MAX as u64;
    // SAFETY: it fails, and if it did not, the child, which is a copy, would end at once.
    match unsafe { libc::syscall(libc::SYS_clone3, args.as_ptr(), size_of_val(&args)) } {
        // SAFETY: ends the process.
        0 => unsafe { libc::_exit(0) },
        -1 => io::Error::last_os_error().raw_os_error() == Some(libc::EBADF),
        child => panic!("there is a process {child}"),
    }
}

pub(crate) fn leaves_nothing_behind() {
    let before = Traces::now();
    let own = ProcessNamespaces::current().expect("namespaces");
    Support::detect().expect("it works");
    let mapped = mappings();
    for _ in 0..10 {
        Support::detect().expect("it works");
    }
    assert_eq!(Traces::now(), before);
    assert_eq!(ProcessNamespaces::current().expect("namespaces"), own);
    assert!(mappings() <= mapped + 2, "memory is left mapped");
}

pub(crate) fn many_threads_at_once() {
    let before = Footprint::now();
    let expected = plain(&detected());
    let start = Barrier::new(16);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                start.wait();
                for _ in 0..3 {
                    let support = Support::detect().expect("it works from any thread");
                    assert_eq!(plain(&support), expected);
                }
            });
        }
    });
    before.assert_unchanged();
}

pub(crate) fn the_table() {
    let support = detected();
    let table = support.to_string();
    assert!(!table.ends_with('\n') && !table.contains('\t'));
    for line in table.lines() {
        assert!(line.chars().count() <= 100, "too wide: {line}");
        assert_eq!(line.trim_end(), line);
    }
    let lines: Vec<&str> = table.lines().collect();
    let columns: Vec<usize> =
        ["create", "with user", "enter"].map(|name| lines[0].find(name).expect("a column")).into();
    for (line, kind) in lines[1..].iter().zip(NamespaceKind::ALL) {
        assert!(line.starts_with(kind.proc_name()), "{line}");
        let expected =
            [support.creating(kind), support.creating_with_user(kind), support.entering(kind)];
        for (column, result) in columns.iter().zip(expected) {
            let word = if result.is_ok() { "yes" } else { "no [" };
            assert!(line[*column..].starts_with(word), "{line}");
        }
    }
    for interface in Interface::ALL {
        let name = interface.to_string();
        let line = lines.iter().find(|line| line.starts_with(&name)).expect("a line for each");
        assert_eq!(line.ends_with(" yes"), support.has(interface), "{line}");
    }
    // Each "no" has a note, and each note its text.
    for note in 1.. {
        let mark = format!("[{note}]");
        if !table.contains(&format!("no {mark}")) {
            assert!(!table.contains(&mark), "nothing refers to {mark}:\n{table}");
            break;
        }
        let text = lines.iter().find_map(|line| line.strip_prefix(&mark)).expect("a note");
        assert!(text.trim().len() > 10, "{text}");
    }
}

pub(crate) fn good_type() {
    fn good<T: Clone + Send + Sync + std::fmt::Debug + std::fmt::Display>(_: &T) {}
    good(&Support::detect().expect("it works"));
    for (place, interface) in Interface::ALL.into_iter().enumerate() {
        assert!(Interface::ALL[..place].iter().all(|other| *other != interface));
        assert_eq!(format!("{interface:>25}").len(), 25);
    }
}
