//! `Support`: what it says is what really happens, here and under refusals of every sort; and it leaves nothing behind.

mod common;
#[path = "errors/device.rs"]
#[allow(dead_code, unused_imports, reason = "a part of it is used here")]
mod device;

use std::sync::Barrier;
use std::thread;

use device::*;
use linux_namespaces::{Error, Interface, ProcessNamespaces, Support};

fn main() {
    let cases: &[common::Case] = &[
        ("powerless", powerless),
        ("limits", limits),
        ("nested users", nested_users),
        ("unmapped", unmapped),
        ("chroot to a directory", chroot_to_a_directory),
        ("chroot to a mount", chroot_to_a_mount),
        ("chroot without /proc", chroot_without_proc),
        ("chroot, then an ordinary user", chroot_then_ordinary),
        ("no /proc", no_proc),
        ("masked /proc", masked_proc),
        ("masked /proc, inside", masked_proc_inside),
        ("unshared pid namespace", unshared_pid_namespace),
        ("clone3: ENOSYS", || clone3_answers(libc::ENOSYS)),
        ("clone3: EPERM", || clone3_answers(libc::EPERM)),
        ("setns: EPERM", || setns_answers(libc::EPERM)),
        ("setns: ENOSYS", || setns_answers(libc::ENOSYS)),
        ("close_range: ENOSYS", close_range_missing),
        ("filter of a container", filter_of_a_container),
        ("filter of mounts", filter_of_mounts),
        ("filter that kills", filter_that_kills),
        ("closed streams", closed_streams),
        ("closed to others", closed_to_others),
        ("half powerless", half_powerless),
        ("no more processes", no_more_processes),
        ("few descriptors", few_descriptors),
        ("other thread", other_thread),
    ];
    let tests = vec![
        test_with("all_of_it_works_here", USERNS, all_of_it_works_here),
        test_with("agrees_with_spawns", USERNS, agrees_with_spawns),
        test_with("agrees_with_entering", USERNS, agrees_with_entering),
        test("agrees_with_the_calls", agrees_with_the_calls),
        test("leaves_nothing", leaves_nothing_behind),
        test_with("many_threads_at_once", USERNS, many_threads_at_once),
        test("the_table_is_aligned_and_says_why", the_table),
        test("a_program_can_pass_it_on", good_type),
        test("powerless", || in_own_process("powerless")),
        test_with("limit_of_each_kind", USERNS, || in_world("limits")),
        test_with("nesting_of_user_namespaces", USERNS, || in_own_process("nested users")),
        test_with("unmapped_caller", USERNS, || {
            in_world_with("unmapped", |world| {
                world.leave_unmapped();
            });
        }),
        test_with("chroot_to_a_directory", USERNS, || in_chroot("chroot to a directory")),
        test_with("chroot_to_a_mount", USERNS, || in_chroot("chroot to a mount")),
        test_with("chroot_without_proc", USERNS, || in_chroot("chroot without /proc")),
        test_with("chroot_of_an_ordinary_user", &[Need::Root], || {
            in_own_process("chroot, then an ordinary user");
        }),
        test_with("no_proc", USERNS, || in_world("no /proc")),
        test_with("masked_proc", USERNS, || in_world("masked /proc")),
        test_with("unshared_pid_namespace", USERNS, || in_world("unshared pid namespace")),
        test_with("clone3_is_missing", USERNS, || in_own_process("clone3: ENOSYS")),
        test_with("clone3_is_refused", USERNS, || in_own_process("clone3: EPERM")),
        test_with("setns_is_refused", USERNS, || in_own_process("setns: EPERM")),
        test_with("setns_is_missing", USERNS, || in_own_process("setns: ENOSYS")),
        test("close_range_is_missing", || in_own_process("close_range: ENOSYS")),
        test_with("filter_of_a_container", USERNS, || in_own_process("filter of a container")),
        test_with("filter_of_mounts", USERNS, || in_own_process("filter of mounts")),
        test_with("filter_that_kills", USERNS, || in_own_process("filter that kills")),
        test_with("closed_streams", USERNS, || in_own_process("closed streams")),
        test_with("closed_to_others", USERNS, || in_own_process("closed to others")),
        test_with("half_powerless", &[Need::Root, Need::UserNamespaces], || {
            in_own_process("half powerless")
        }),
        test("no_more_processes", || in_own_process("no more processes")),
        test("few_descriptors", || in_own_process("few descriptors")),
        test_with("another_thread_is_another_caller", USERNS, || in_own_process("other thread")),
    ];
    common::run(cases, tests);
}

/// Detects it twice: nothing is left, and it says the same again.
#[track_caller]
fn detected() -> Support {
    let before = Traces::now();
    let support = Support::detect().unwrap_or_else(|error| panic!("{error}"));
    let again = Support::detect().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(Traces::now(), before, "left behind");
    assert_eq!(plain(&again), plain(&support));
    for error in NamespaceKind::ALL.into_iter().flat_map(|kind| errors(&support, kind)) {
        keeps_the_laws(error);
    }
    for interface in Interface::ALL {
        if let Err(error) = support.calling(interface) {
            keeps_the_laws(error);
            assert!(support.missing(interface).is_some(), "no cause: {error}");
        }
    }
    support
}

/// Inodes differ from one to the next.
fn plain(support: &Support) -> String {
    let text = support.to_string();
    text.split(':').map(|part| part.trim_start_matches(|c: char| "[]".contains(c))).collect()
}

fn errors(support: &Support, kind: NamespaceKind) -> impl Iterator<Item = &Error> {
    [
        support.creating(kind),
        support.creating_with_user(kind),
        support.entering(kind),
        support.entering_with_user(kind),
    ]
    .into_iter()
    .filter_map(Result::err)
}

/// Both ways of creating a kind are refused, for this cause.
#[track_caller]
fn refuses(support: &Support, kind: NamespaceKind, cause: &Cause) {
    assert_eq!(support.refusal(kind), Some(cause), "{support}");
    assert!(!support.creatable().contains(kind.flag()), "{support}");
    assert!(!support.creatable_with_user().contains(kind.flag()), "{support}");
}

fn all_of_it_works_here() {
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

fn agrees_with_spawns() {
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

fn agrees_with_entering() {
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

fn agrees_with_the_calls() {
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
fn into_cgroup_is_known() -> bool {
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

fn leaves_nothing_behind() {
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

fn many_threads_at_once() {
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

fn the_table() {
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

fn good_type() {
    fn good<T: Clone + Send + Sync + std::fmt::Debug + std::fmt::Display>(_: &T) {}
    good(&Support::detect().expect("it works"));
    for (place, interface) in Interface::ALL.into_iter().enumerate() {
        assert!(Interface::ALL[..place].iter().all(|other| *other != interface));
        assert_eq!(format!("{interface:>25}").len(), 25);
    }
}

fn powerless() {
    become_ordinary();
    let support = detected();
    assert_eq!(support.creatable() - Namespaces::USER, Namespaces::empty());
    assert_eq!(support.joinable() - Namespaces::USER, Namespaces::empty());
    for kind in (ALL - Namespaces::USER).kinds() {
        for result in [support.creating(kind), support.entering(kind)] {
            let error = result.expect_err("it takes a capability");
            assert_eq!(error.cause(), Some(&Cause::MissingCapability), "{error}");
        }
    }
}

fn limits() {
    assert_eq!(detected().creatable(), ALL);
    for kind in NamespaceKind::ALL {
        let file = format!("/proc/sys/user/max_{kind}_namespaces");
        let before = fs::read_to_string(&file).expect("a limit");
        fs::write(&file, "0").expect("the limit is this namespace's own");
        let support = detected();
        let cause = Cause::Limit(kind);
        refuses(&support, kind, &cause);
        assert_eq!(support.creatable(), ALL - kind.flag());
        if kind == NamespaceKind::User {
            assert_eq!(support.creatable_with_user(), Namespaces::empty());
            assert_eq!(support.joinable(), ALL - Namespaces::USER, "{support}");
            let error = support.entering_with_user(NamespaceKind::Net).expect_err("there is none");
            assert_eq!(error.cause(), Some(&cause));
        } else {
            assert_eq!(support.creatable_with_user(), ALL - kind.flag(), "{support}");
            // With none to be created it is tried with the own one. Two of those belong to this world, the others to the outside.
            let own = (Namespaces::MOUNT | Namespaces::PID).contains(kind.flag());
            let lacks = support.entering(kind).err().and_then(Error::cause);
            assert_eq!(lacks, (!own).then_some(&Cause::MissingCapability), "{support}");
        }
        fs::write(&file, before).expect("the limit is this namespace's own");
    }
    assert_eq!(detected().creatable(), ALL);
}

fn nested_users() {
    // SAFETY: asks for numbers.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    while unshare(Namespaces::USER).is_ok() {
        let write = |name: &str, text: String| {
            fs::write(format!("/proc/self/{name}"), text).expect("a map of the own id");
        };
        write("setgroups", "deny".to_owned());
        write("uid_map", format!("{uid} {uid} 1"));
        write("gid_map", format!("{gid} {gid} 1"));
    }
    let support = detected();
    refuses(&support, NamespaceKind::User, &Cause::Nesting(NamespaceKind::User));
    // Each has all capabilities in the innermost one.
    assert_eq!(support.creatable(), ALL - Namespaces::USER, "{support}");
}

fn unmapped() {
    let support = detected();
    refuses(&support, NamespaceKind::User, &Cause::UnmappedUser);
    // A program that is executed as nobody has no capability, wherever it is.
    assert_eq!(support.creatable(), Namespaces::empty(), "{support}");
    assert_eq!(support.refusals(Namespaces::USER | Namespaces::NET).count(), 2);
}

fn in_a_chroot() -> Support {
    let support = detected();
    refuses(&support, NamespaceKind::User, &Cause::Chroot);
    assert_eq!(support.creatable(), ALL - Namespaces::USER, "{support}");
    assert_eq!(support.joinable(), ALL - Namespaces::USER, "{support}");
    let error = support.creating(NamespaceKind::User).expect_err("it is a chroot");
    assert!(error.to_string().ends_with(IN_CHROOT), "it can be proved: {error}");
    support
}

fn chroot_to_a_directory() {
    let root = root_to_be();
    bind("/proc", root.join("proc"));
    chroot(&root);
    in_a_chroot();
}

fn chroot_to_a_mount() {
    let root = root_to_be();
    bind(&root, &root);
    bind("/proc", root.join("proc"));
    chroot(&root);
    let support = in_a_chroot();
    // A mount namespace of its own keeps what is mounted in it.
    support.mounting_proc().expect("the chroot is no obstacle to it");
}

fn chroot_without_proc() {
    let root = root_to_be();
    bind(&root, &root);
    chroot(&root);
    fs::remove_dir("/proc").expect("it is empty");
    let support = in_a_chroot();
    assert_eq!(support.missing(Interface::TimeOffsets), Some(&Cause::MissingProc));
}

/// Who has no right to look at the mounts around is told what is likely.
fn chroot_then_ordinary() {
    let root = directory();
    unshare(Namespaces::MOUNT).expect("root may");
    mount(Path::new("none"), Path::new("/"), "", libc::MS_REC | libc::MS_PRIVATE);
    bind(root.path(), root.path());
    fs::create_dir(root.path().join("proc")).expect("a directory");
    bind("/proc", root.path().join("proc"));
    fs::set_permissions(root.path(), Permissions::from_mode(0o755)).expect("its mode");
    chroot(root.path());
    become_ordinary();
    let support = detected();
    refuses(&support, NamespaceKind::User, &Cause::Chroot);
    let error = support.creating(NamespaceKind::User).expect_err("it is a chroot");
    assert!(error.to_string().contains("most likely"), "it cannot be proved: {error}");
    // The mounts are this process's, and go with it; only the directory does not.
    std::mem::forget(root);
}

fn no_proc() {
    mount(Path::new("none"), Path::new("/proc"), "tmpfs", 0);
    let support = Support::detect().expect("it answers");
    assert_eq!(support.refusal(NamespaceKind::User), Some(&Cause::MissingProc), "{support}");
    assert_eq!(support.creatable(), ALL - Namespaces::USER, "{support}");
    assert_eq!(support.missing(Interface::TimeOffsets), Some(&Cause::MissingProc));
    let unseen = [Interface::TimeOffsets, Interface::ListNamespaces];
    // What can be asked without /proc is answered, and here all of it is there.
    for interface in Interface::ALL.into_iter().filter(|interface| !unseen.contains(interface)) {
        let told = support.calling(interface);
        assert!(told.is_ok(), "{told:?}");
    }
    assert_eq!(ended_child(), 0);
}

fn masked_proc() {
    // A new one in a user namespace further in is what takes an unmasked one.
    give_up_effective(&[21]);
    assert_eq!(detected().mounting_proc().err().and_then(Error::cause), None);
    let world = Command::new(env::current_exe().expect("the path of this test"))
        .env("LINUX_NAMESPACES_CASE", "masked /proc, inside")
        .namespaces(Namespaces::USER | Namespaces::MOUNT)
        .output()
        .expect("a world");
    assert!(world.status.success(), "{}", String::from_utf8_lossy(&world.stderr));
}

fn masked_proc_inside() {
    bind("/dev/null", "/proc/version");
    // Root may, for it can take the mask away.
    detected().mounting_proc().expect("it is root's own mask");
    give_up_effective(&[21]);
    let support = detected();
    assert_eq!(support.creatable_with_user(), ALL, "{support}");
    let error = support.mounting_proc().expect_err("it is masked");
    assert_eq!(error.cause(), Some(&Cause::MaskedProc), "{support}");
}

fn unshared_pid_namespace() {
    unshare(Namespaces::PID).expect("root of a world may");
    for _ in 0..2 {
        let error = Support::detect().expect_err("it would end that namespace");
        assert!(error.to_string().contains("process 1"), "{error}");
    }
    // No child was spent.
    let mut cat = StdCommand::new("cat").stdin(StdStdio::piped()).spawn().expect("process 1");
    let support = Support::detect().expect("there is a process 1 that lives on");
    assert_eq!(support.creatable(), ALL - Namespaces::PID, "{support}");
    let error = support.creating(NamespaceKind::Pid).expect_err("once only");
    assert!(error.to_string().contains("unshared"), "{error}");
    drop(cat.stdin.take());
    assert!(cat.wait().expect("it ends").success());
}

fn clone3_answers(errno: i32) {
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

fn setns_answers(errno: i32) {
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

fn close_range_missing() {
    answer(&[libc::SYS_close_range], libc::ENOSYS);
    let support = detected();
    assert!(!support.has(Interface::CloseRange));
    assert_eq!(support.missing(Interface::CloseRange), Some(&Cause::Seccomp));
    assert!(support.has(Interface::Clone3));
    assert_eq!(support.missing(Interface::Clone3), None);
}

fn filter_of_a_container() {
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

fn filter_of_mounts() {
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
fn filter_that_kills() {
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

fn closed_streams() {
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

/// The flag that keeps other processes of the user out is as before, and is no obstacle to root.
fn closed_to_others() {
    // SAFETY: numbers only.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }, 0);
    let before = (children(), ended_child());
    let support = Support::detect().expect("it works");
    // SAFETY: asks for a number.
    assert_eq!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) }, 0);
    assert_eq!((children(), ended_child()), before);
    if is_root() {
        assert_eq!(support.creatable_with_user(), ALL, "{support}");
        assert_eq!(support.joinable_with_user(), ALL, "{support}");
    } else {
        let error = support.creating_with_user(NamespaceKind::Net).expect_err("no map");
        assert!(error.to_string().contains("PR_SET_DUMPABLE"), "{error}");
    }
}

/// As in many containers: root, without the right to look into processes that are closed to it.
fn half_powerless() {
    give_up_effective(&[19]);
    let support = detected();
    assert_eq!(support.creatable(), ALL, "{support}");
    assert_eq!(support.joinable(), ALL, "{support}");
    assert_eq!(support.creatable_with_user(), ALL, "{support}");
    assert_eq!(support.joinable_with_user(), ALL, "{support}");
}

/// Takes these capabilities out of all sets of this thread.
fn give_up_effective(capabilities: &[u32]) {
    let header = [0x2008_0522u32, 0];
    let mut data = [0u32; 6];
    // SAFETY: version 3 fills two times three numbers.
    let got = unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), data.as_mut_ptr()) };
    for capability in capabilities {
        let place = (capability / 32 * 3) as usize;
        for set in &mut data[place..place + 3] {
            *set &= !(1 << (capability % 32));
        }
    }
    // SAFETY: as above, read.
    let set = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) };
    assert_eq!((got, set), (0, 0));
}

fn no_more_processes() {
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

/// Whatever number of descriptors is left: it works, or says what it lacks, and leaves none.
fn few_descriptors() {
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
fn other_thread() {
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
