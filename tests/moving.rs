//! Moving: unshare(2) and setns(2) for the calling thread.
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _};
use std::process::Command as StdCommand;
use std::sync::mpsc;
use std::thread;

use common::seccomp::{install, statement};
use common::{
    Need, case, in_own_process, inode, is_root, sh, stdout_of, test, test_with, with_user,
};
use linux_namespaces::{
    Cause, Child, Command, Error, Namespace, NamespaceKind, Namespaces, PidFd, Result, Stdio, Step,
    setns, setns_process, unshare,
};

fn main() {
    let privileged: &[Need] = if is_root() { &[Need::Root] } else { &[Need::UserNamespaces] };
    common::run(
        &[
            ("unshare_one", unshare_one),
            ("unshare_all", unshare_all),
            ("unshare_in_a_thread", unshare_in_a_thread),
            ("unshare_unknown_bits", unshare_unknown_bits),
            ("unshare_nothing", unshare_nothing),
            ("unshare_user_beside_a_thread", unshare_user_beside_a_thread),
            ("unshare_after_a_join", unshare_after_a_join),
            ("unshare_without_the_right", unshare_without_the_right),
            ("the_first_child", the_first_child),
            ("enter_one", enter_one),
            ("enter_one_by_one", enter_one_by_one),
            ("enter_in_a_thread", enter_in_a_thread),
            ("enter_without_the_right", enter_without_the_right),
            ("enter_the_own_user_namespace", enter_the_own_user_namespace),
            ("enter_the_pid_namespace_around", enter_the_pid_namespace_around),
            ("enter_beside_a_thread", enter_beside_a_thread),
            ("enter_after_a_join", enter_after_a_join),
            ("enter_after_a_spawn", enter_after_a_spawn),
            ("enter_what_nobody_is_in", enter_what_nobody_is_in),
            ("enter_several", enter_several),
            ("enter_past_the_own_user_namespace", enter_past_the_own_user_namespace),
            ("enter_all_or_none_beside_a_thread", enter_all_or_none_beside_a_thread),
            ("enter_mount_and_others_beside_a_thread", enter_mount_and_others_beside_a_thread),
            ("enter_all_or_none_without_the_right", enter_all_or_none_without_the_right),
            ("enter_a_dead_process", enter_a_dead_process),
            ("enter_each_as_of_old", enter_each_as_of_old),
            ("enter_all_or_none_as_of_old", enter_all_or_none_as_of_old),
            ("enter_the_user_namespace_as_of_old", enter_the_user_namespace_as_of_old),
            ("enter_unknown_bits", enter_unknown_bits),
            ("enter_nothing", enter_nothing),
            ("step_inside", step_inside),
        ],
        vec![
            test_with("unshare_each_kind", privileged, || each_kind("unshare_one", "")),
            test_with("unshare_all_kinds", privileged, || in_own_process("unshare_all")),
            test_with("only_the_calling_thread_unshares", privileged, || {
                in_own_process("unshare_in_a_thread");
            }),
            test_with("unknown_bits_are_not_unshared", privileged, || {
                in_own_process("unshare_unknown_bits");
            }),
            test("unsharing_nothing_moves_nothing", || in_own_process("unshare_nothing")),
            test("no_user_namespace_beside_a_thread", || {
                in_own_process("unshare_user_beside_a_thread");
            }),
            test_with("unshare_right_after_a_thread_was_joined", &[Need::UserNamespaces], || {
                for _ in 0..50 {
                    in_own_process("unshare_after_a_join");
                }
            }),
            test_with("unshare_takes_a_right", &[Need::User], || {
                in_own_process("unshare_without_the_right");
            }),
            test_with("the_first_child_is_process_1", privileged, || {
                in_own_process("the_first_child");
            }),
            test_with("setns_into_each_kind", privileged, || each_kind("enter_one", "setns")),
            test_with("namespace_enter_into_each_kind", privileged, || {
                each_kind("enter_one", "enter");
            }),
            test_with("root_into_each_kind_below_another_user_namespace", &[Need::Root], || {
                each_kind("enter_one", "below");
            }),
            test_with("setns_one_by_one", privileged, || in_own_process("enter_one_by_one")),
            test_with("only_the_calling_thread_enters", privileged, || {
                in_own_process("enter_in_a_thread");
            }),
            test_with("setns_takes_a_right", &[Need::User, Need::UserNamespaces], || {
                in_own_process("enter_without_the_right");
            }),
            test("the_own_user_namespace_cannot_be_entered", || {
                in_own_process("enter_the_own_user_namespace");
            }),
            test_with("no_way_back_from_a_pid_namespace", privileged, || {
                in_own_process("enter_the_pid_namespace_around");
            }),
            test_with("what_cannot_be_entered_beside_a_thread", privileged, || {
                in_own_process("enter_beside_a_thread");
            }),
            test_with("setns_right_after_a_thread_was_joined", privileged, || {
                in_own_process("enter_after_a_join");
            }),
            test_with("setns_right_after_a_spawn", privileged, || {
                in_own_process("enter_after_a_spawn");
            }),
            test_with("a_namespace_that_nobody_is_in", privileged, || {
                in_own_process("enter_what_nobody_is_in");
            }),
            test_with("several_at_once", privileged, || {
                in_own_process_with("enter_several", "", "")
            }),
            test_with("several_at_once_and_user", &[Need::UserNamespaces], || {
                in_own_process_with("enter_several", "", "user");
            }),
            test_with("the_own_user_namespace_is_passed_over", privileged, || {
                in_own_process("enter_past_the_own_user_namespace");
            }),
            test_with("all_or_none_beside_a_thread", privileged, || {
                in_own_process("enter_all_or_none_beside_a_thread");
            }),
            test_with("mount_and_others_beside_a_thread", privileged, || {
                in_own_process("enter_mount_and_others_beside_a_thread");
            }),
            test_with("all_or_none_without_the_right", &[Need::User, Need::UserNamespaces], || {
                in_own_process("enter_all_or_none_without_the_right")
            }),
            test_with("each_is_entered_as_of_old", privileged, || {
                in_own_process("enter_each_as_of_old")
            }),
            test_with("all_or_none_as_of_old", &[Need::User, Need::UserNamespaces], || {
                in_own_process("enter_all_or_none_as_of_old");
            }),
            test_with("the_user_namespace_as_of_old", &[Need::UserNamespaces], || {
                in_own_process("enter_the_user_namespace_as_of_old");
            }),
            test("a_dead_process_cannot_be_entered", || in_own_process("enter_a_dead_process")),
            test_with("unknown_bits_are_not_entered", privileged, || {
                in_own_process("enter_unknown_bits");
            }),
            test("entering_nothing_moves_nothing", || in_own_process("enter_nothing")),
            test_with("all_of_a_container_as_docker_exec_does", privileged, || {
                in_own_process("step_inside");
            }),
        ],
    );
}

const KINDS: [NamespaceKind; 8] = NamespaceKind::ALL;

/// Which kind, and which way, a case that serves several is about.
const KIND: &str = "LINUX_NAMESPACES_TEST_KIND";
const WAY: &str = "LINUX_NAMESPACES_TEST_WAY";

fn in_own_process_with(name: &str, kind: &str, way: &str) {
    let output =
        case(name).env(KIND, kind).env(WAY, way).output().expect("this test program starts");
    assert!(
        output.status.success(),
        "case {name} {kind} {way} ended with {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

fn each_kind(name: &str, way: &str) {
    for kind in kinds_here() {
        in_own_process_with(name, kind.proc_name(), way);
    }
}

fn wanted_kind() -> NamespaceKind {
    let name = std::env::var(KIND).expect("a kind");
    KINDS.into_iter().find(|kind| kind.proc_name() == name).expect("a kind")
}

fn wanted_way() -> String {
    std::env::var(WAY).expect("a way")
}

/// The kinds that this kernel has.
fn kinds_here() -> Vec<NamespaceKind> {
    let shown = |kind: &NamespaceKind| {
        fs::symlink_metadata(format!("/proc/thread-self/ns/{}", kind.proc_name())).is_ok()
    };
    KINDS.into_iter().filter(shown).collect()
}

fn all_here() -> Namespaces {
    kinds_here().into_iter().collect()
}

/// What stat(2) says of the namespaces of a process or thread, and of those of its next children; 0 where there is none yet.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Place(BTreeMap<String, u64>);

impl Place {
    /// Of the calling thread.
    fn here() -> Self {
        Self::of("thread-self")
    }

    fn of(process: &str) -> Self {
        let mut names: Vec<_> = kinds_here().iter().map(ToString::to_string).collect();
        let children = ["pid", "time"].map(str::to_owned).into_iter();
        let children: Vec<_> = children.filter(|kind| names.contains(kind)).collect();
        names.extend(children.iter().map(|kind| format!("{kind}_for_children")));
        let place = names.into_iter().map(|name| {
            let path = format!("/proc/{process}/ns/{name}");
            // Before the first child the kernel has nothing to show.
            let ino = if fs::read_link(&path).is_ok() { inode(&path) } else { 0 };
            assert!(ino != 0 || name == "pid_for_children", "{path}");
            (name, ino)
        });
        Self(place.collect())
    }

    fn of_child(child: &Child) -> Self {
        Self::of(&child.id().to_string())
    }

    fn get(&self, name: &str) -> u64 {
        self.0[name]
    }

    /// Where a thread that was here is after it has entered namespaces of these kinds `there`.
    fn after_entering(&self, there: &Self, set: Namespaces) -> Self {
        let mut place = self.clone();
        for kind in set.kinds() {
            let names = match kind {
                // It stays where it is itself.
                NamespaceKind::Pid => vec!["pid_for_children"],
                NamespaceKind::Time => vec!["time", "time_for_children"],
                _ => vec![kind.proc_name()],
            };
            for name in names {
                place.0.insert(name.to_owned(), there.get(name));
            }
        }
        place
    }

    /// The names of those that are not the same.
    fn differing(&self, other: &Self) -> Vec<&str> {
        let names = self.0.iter().filter(|(name, ino)| other.0[*name] != **ino);
        names.map(|(name, _)| name.as_str()).collect()
    }
}

/// The names of the entries that unshare(2) of these kinds changes.
fn changed_by(set: Namespaces) -> Vec<&'static str> {
    let name = |kind: NamespaceKind| match kind {
        NamespaceKind::Pid => "pid_for_children",
        NamespaceKind::Time => "time_for_children",
        kind => kind.proc_name(),
    };
    set.kinds().map(name).collect()
}

/// A program that does nothing until its standard input is closed, in new namespaces, with the /proc of its caller.
fn cat(set: Namespaces) -> Child {
    let mut command = Command::new("cat");
    command.namespaces(set).mount_proc(false);
    running(&mut command)
}

/// Spawns a `cat`, and waits until it runs, so that nothing of its start is left to happen.
fn running(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut letter = *b"x";
    child.stdin.as_mut().expect("a pipe").write_all(&letter).expect("written");
    child.stdout.as_mut().expect("a pipe").read_exact(&mut letter).expect("a letter");
    child
}

/// What a child of this process gets that is to be entered: for root all but a user namespace.
fn enterable() -> Namespaces {
    with_user(all_here() - Namespaces::USER)
}

/// Gets an ordinary user the right to all that it creates from here on.
fn get_rights() {
    if !is_root() {
        unshare(Namespaces::USER).expect("unshare USER");
    }
}

/// Calls `f` while there is another thread.
fn beside_a_thread<T>(f: impl FnOnce() -> T) -> T {
    let (end, ended) = mpsc::channel::<()>();
    let other = thread::spawn(move || ended.recv().is_err());
    let result = f();
    drop(end);
    assert!(other.join().expect("the other thread"));
    result
}

fn unknown() -> Namespaces {
    Namespaces::from_bits_retain(libc::CLONE_FILES as u32)
}

fn refused_for_unknown_bits(error: &Error, bits: &str) {
    assert_eq!(error.step(), &Step::Validate);
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.raw_os_error(), None, "no call was made");
    assert!(error.to_string().contains(bits), "{error}");
}

// ---- unshare

fn unshare_one() {
    let kind = wanted_kind();
    let set = with_user(kind.flag());
    let before = Place::here();
    unshare(set).expect("unshare");
    let after = Place::here();
    assert_eq!(after.differing(&before), changed_by(set));
    let mut child = cat(Namespaces::empty());
    let there = Place::of_child(&child);
    let after = Place::here();
    assert_eq!(
        there.get(kind.proc_name()),
        match kind {
            NamespaceKind::Pid => after.get("pid_for_children"),
            // A thread's time namespace is that of its next children from exec on.
            NamespaceKind::Time => after.get("time_for_children"),
            kind => after.get(kind.proc_name()),
        }
    );
    assert_ne!(there.get(kind.proc_name()), before.get(kind.proc_name()));
    child.wait().expect("wait");
}

fn unshare_all() {
    let set = all_here();
    let before = Place::here();
    unshare(set).expect("unshare");
    assert_eq!(Place::here().differing(&before), changed_by(set));
}

fn unshare_in_a_thread() {
    get_rights();
    let before = Place::here();
    let set = all_here() - Namespaces::USER;
    let (tell, told) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    let other = thread::spawn(move || {
        let link = fs::read_link("/proc/thread-self").expect("/proc/thread-self");
        tell.send(link.display().to_string()).expect("told");
        let _ = ended.recv();
        Place::here()
    });
    let other_path = told.recv().expect("the path of the other thread");

    let started = before.clone();
    let mover = thread::spawn(move || {
        assert_eq!(Place::here(), started);
        unshare(set).expect("unshare");
        let moved = Place::here();
        assert_eq!(moved.differing(&started), changed_by(set));
        assert_eq!(Place::of("self"), started, "the first thread");
        assert_eq!(Place::of(&other_path), started, "the other thread");
    });
    mover.join().expect("the thread that moves");
    drop(end);
    assert_eq!(other.join().expect("the other thread"), before);
    assert_eq!(Place::here(), before);
    assert_eq!(thread::spawn(Place::here).join().expect("a later thread"), before);
}

fn unshare_unknown_bits() {
    get_rights();
    let before = Place::here();
    let threads = libc::CLONE_FS as u32 | libc::CLONE_SYSVSEM as u32;
    let mixed = Namespaces::UTS | Namespaces::USER | Namespaces::from_bits_retain(threads);
    for (set, bits) in [
        (unknown(), "0x400"),
        (Namespaces::UTS | unknown(), "0x400"),
        (mixed, "0x40200"),
        (Namespaces::from_bits_retain(u32::MAX), "0x81fdff7f"),
    ] {
        let error = unshare(set).expect_err("refused");
        refused_for_unknown_bits(&error, bits);
        assert_eq!(Place::here(), before);
    }
    // The rest of it is possible, so the kernel was not asked.
    unshare(Namespaces::UTS).expect("unshare");
    assert_eq!(Place::here().differing(&before), ["uts"]);
}

fn unshare_nothing() {
    let before = Place::here();
    unshare(Namespaces::empty()).expect("nothing to do");
    assert_eq!(Place::here(), before);
    beside_a_thread(|| unshare(Namespaces::empty())).expect("nothing to do");
    assert_eq!(Place::here(), before);
}

fn unshare_user_beside_a_thread() {
    let before = Place::here();
    for set in [Namespaces::USER, Namespaces::USER | Namespaces::UTS] {
        let error = beside_a_thread(|| unshare(set)).expect_err("refused");
        assert_eq!(error.step(), &Step::Unshare(set));
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{error}");
        assert_eq!(error.cause(), Some(&Cause::Threads), "{error}");
        assert!(error.to_string().starts_with(&format!("unshare namespaces ({set}): ")), "{error}");
        assert_eq!(error.hint(), Some(Cause::Threads.to_string().as_str()));
        assert_eq!(Place::here(), before);
    }
}

fn unshare_after_a_join() {
    let before = Place::here();
    let threads: Vec<_> = (0..4).map(|_| thread::spawn(|| ())).collect();
    for thread in threads {
        thread.join().expect("the thread");
    }
    unshare(Namespaces::USER).expect("there is one thread");
    assert_eq!(Place::here().differing(&before), ["user"]);
}

fn unshare_without_the_right() {
    let before = Place::here();
    for kind in kinds_here() {
        if kind == NamespaceKind::User {
            continue;
        }
        let error = unshare(kind.flag()).expect_err("refused");
        assert_eq!(error.step(), &Step::Unshare(kind.flag()));
        assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{error}");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert_eq!(error.cause(), Some(&Cause::MissingCapability), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("Namespaces::USER")), "{error}");
        assert!(error.to_string().contains(&format!("({kind})")), "{error}");
        assert_eq!(Place::here(), before);
    }
}

fn the_first_child() {
    let before = Place::here();
    unshare(with_user(Namespaces::PID)).expect("unshare");
    assert_eq!(Place::here().get("pid_for_children"), 0, "not before its first process");
    // Only one such call can be made, which is no matter of threads or of the kernel's age.
    let error = unshare(Namespaces::PID).expect_err("once only");
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{error}");
    assert_eq!(error.cause(), None, "{error}");

    let mut command = sh("echo $$; read line");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut first = command.spawn().expect("the first child");
    let mut line = String::new();
    BufReader::new(first.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
    assert_eq!(line, "1\n");
    let here = Place::here();
    assert_eq!(here.get("pid"), before.get("pid"), "the caller stays");
    assert_ne!(here.get("pid_for_children"), before.get("pid"));
    assert_eq!(here.get("pid_for_children"), Place::of_child(&first).get("pid"));
    assert_eq!(stdout_of(&mut sh("echo $$")), "2");
    let third = StdCommand::new("sh").args(["-c", "echo $$"]).output().expect("a child of std's");
    assert_eq!(third.stdout, b"3\n");
    first.wait().expect("wait");
}

// ---- setns

/// "net:[4026531833]", as the kernel writes it.
fn link(child: &Child, kind: NamespaceKind) -> String {
    let link = fs::read_link(format!("/proc/{}/ns/{kind}", child.id())).expect("a link");
    link.display().to_string()
}

fn enter_one() {
    let kind = wanted_kind();
    let way = wanted_way();
    let set = match kind {
        NamespaceKind::User => all_here(),
        _ if way == "below" => all_here(),
        _ => enterable(),
    };
    let mut child = cat(set);
    let there = Place::of_child(&child);
    let user = child.namespace(NamespaceKind::User).expect("the child's");
    let handle = child.namespace(kind).expect("the child's");
    let before = Place::here();
    assert_eq!(there.differing(&before).len(), (set.kinds().count() + 2), "all are new");
    let mut entered = kind.flag();
    if !is_root() && kind != NamespaceKind::User {
        user.enter().expect("the owner, which gives the right to the rest");
        entered |= Namespaces::USER;
    }
    match way.as_str() {
        "enter" => handle.enter(),
        _ => setns(&handle),
    }
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(Place::here(), before.after_entering(&there, entered));
    if kind == NamespaceKind::Pid {
        let mut other = cat(Namespaces::empty());
        assert_eq!(Place::of_child(&other).get("pid"), there.get("pid"));
        other.wait().expect("wait");
    }
    child.wait().expect("wait");
}

fn enter_one_by_one() {
    let set = enterable();
    let mut child = cat(set);
    let there = Place::of_child(&child);
    let before = Place::here();
    // The user namespace gives an ordinary user the right to the rest.
    let rest = (set - Namespaces::USER).kinds();
    let order = (set & Namespaces::USER).kinds().chain(rest);
    let handles: Vec<_> = order.map(|kind| child.namespace(kind).expect("the child's")).collect();
    let mut entered = Namespaces::empty();
    for handle in &handles {
        setns(handle).unwrap_or_else(|error| panic!("{error}"));
        entered |= handle.kind().flag();
        assert_eq!(Place::here(), before.after_entering(&there, entered));
    }
    assert_eq!(entered, set);
    child.wait().expect("wait");
}

fn enter_in_a_thread() {
    get_rights();
    let before = Place::here();
    // What a thread can enter while there are others.
    let set =
        Namespaces::CGROUP | Namespaces::IPC | Namespaces::NET | Namespaces::PID | Namespaces::UTS;
    let mut child = cat(set);
    let there = Place::of_child(&child);
    let start = before.clone();
    let handles: Vec<_> =
        set.kinds().map(|kind| child.namespace(kind).expect("the child's")).collect();
    let mover = thread::spawn(move || {
        for handle in &handles {
            handle.enter().unwrap_or_else(|error| panic!("{error}"));
        }
        assert_eq!(Place::here(), start.after_entering(&there, set));
        assert_eq!(Place::of("self"), start, "the first thread");
    });
    mover.join().expect("the thread that moves");
    assert_eq!(Place::here(), before);
    child.wait().expect("wait");
}

fn not_entered(result: Result<()>, kind: NamespaceKind, name: &str, errno: i32) -> Error {
    let error = result.expect_err("refused");
    assert_eq!(error.step(), &Step::Enter(kind));
    assert_eq!(error.raw_os_error(), Some(errno), "{error}");
    assert!(error.to_string().contains(name), "{name} in {error}");
    error
}

fn enter_without_the_right() {
    let before = Place::here();
    let mut child = cat(all_here());
    for kind in kinds_here() {
        if kind == NamespaceKind::User {
            continue;
        }
        let theirs = child.namespace(kind).expect("the child's");
        let own = Namespace::current(kind).expect("current");
        let own_link = fs::read_link(format!("/proc/thread-self/ns/{kind}")).expect("a link");
        for (handle, name) in [(theirs, link(&child, kind)), (own, own_link.display().to_string())]
        {
            for result in [setns(&handle), handle.enter()] {
                let error = not_entered(result, kind, &name, libc::EPERM);
                assert_eq!(error.cause(), Some(&Cause::MissingCapability), "{error}");
                assert!(error.hint().is_some_and(|hint| hint.contains("CAP_SYS_ADMIN")), "{error}");
            }
        }
        assert_eq!(Place::here(), before);
    }
    child.wait().expect("wait");
}

fn enter_the_own_user_namespace() {
    let own = Namespace::current(NamespaceKind::User).expect("current");
    let name = fs::read_link("/proc/thread-self/ns/user").expect("a link").display().to_string();
    let before = Place::here();
    let error = not_entered(own.enter(), NamespaceKind::User, &name, libc::EINVAL);
    assert!(error.hint().is_some_and(|hint| hint.contains("already")), "{error}");
    assert_eq!(error.cause(), None, "there is one thread: {error}");
    assert_eq!(Place::here(), before);
}

/// In a pid namespace, with the right to the one around it, in which this is not called for the first time.
fn enter_the_pid_namespace_around() {
    let depth = std::env::var("LINUX_NAMESPACES_NESTED").map_or(0, |text| text.len());
    if depth < 2 {
        let around = Namespace::current(NamespaceKind::Pid).expect("its own");
        let mut command = Command::new(std::env::current_exe().expect("the path of this test"));
        command.env("LINUX_NAMESPACES_CASE", "enter_the_pid_namespace_around");
        command.env("LINUX_NAMESPACES_NESTED", "x".repeat(depth + 1)).fd(9, around);
        match depth {
            0 if !is_root() => {
                command.namespaces(Namespaces::USER | Namespaces::PID).map_root_user()
            }
            _ => command.namespaces(Namespaces::PID),
        };
        assert!(command.status().expect("it runs").success());
        return;
    }
    // SAFETY: it was passed for this, and is used by nobody else.
    let around = unsafe { std::os::fd::OwnedFd::from_raw_fd(9) };
    let around = Namespace::try_from(around).expect("a namespace");
    let mut command = sh(":");
    command.enter(&around);
    for result in [setns(&around), command.spawn().map(drop)] {
        let error = result.expect_err("there is no way out");
        let id = around.id().expect("its id");
        assert_eq!(
            error.to_string(),
            format!(
                "enter the pid namespace {id}: Invalid argument (os error 22): a process can enter its own pid namespace and those inside \
                 that, and no other"
            )
        );
    }
}

fn enter_beside_a_thread() {
    let mut child = cat(all_here());
    let there = Place::of_child(&child);
    let mut here = Place::here();
    // The user namespace first, which gives an ordinary user the right to the others.
    for (kind, errno) in [
        (NamespaceKind::User, libc::EINVAL),
        (NamespaceKind::Mount, libc::EINVAL),
        (NamespaceKind::Time, libc::EUSERS),
    ] {
        let handle = child.namespace(kind).expect("the child's");
        let result = beside_a_thread(|| handle.enter());
        let error = not_entered(result, kind, &link(&child, kind), errno);
        assert_eq!(error.cause(), Some(&Cause::Threads), "{error}");
        assert_eq!(Place::here(), here);

        let process = child.pidfd();
        let error = beside_a_thread(|| setns_process(process, kind.flag())).expect_err("refused");
        assert_eq!(error.step(), &Step::EnterProcess(kind.flag()));
        assert_eq!(error.raw_os_error(), Some(errno), "{error}");
        assert_eq!(error.cause(), Some(&Cause::Threads), "{error}");
        assert_eq!(Place::here(), here);

        // It was the thread.
        handle.enter().unwrap_or_else(|error| panic!("{error}"));
        here = here.after_entering(&there, kind.flag());
        assert_eq!(Place::here(), here);
    }
    child.wait().expect("wait");
}

/// Goes to and fro between two mount and two time namespaces, which only a process with one thread may, and does
/// `first` before every step.
fn to_and_fro(mut first: impl FnMut()) {
    get_rights();
    let mut children = [(); 2].map(|()| cat(Namespaces::MOUNT | Namespaces::TIME));
    let mut here = Place::here();
    for round in 0..100 {
        let child = &children[round % 2];
        let there = Place::of_child(child);
        for kind in [NamespaceKind::Mount, NamespaceKind::Time] {
            let handle = child.namespace(kind).expect("the child's");
            first();
            handle.enter().unwrap_or_else(|error| panic!("round {round}: {error}"));
            here = here.after_entering(&there, kind.flag());
            assert_eq!(Place::here(), here);
        }
    }
    for child in &mut children {
        child.wait().expect("wait");
    }
}

fn enter_after_a_join() {
    to_and_fro(|| thread::spawn(|| ()).join().expect("the thread"));
}

fn enter_after_a_spawn() {
    let mut children = Vec::new();
    to_and_fro(|| children.push(Command::new("true").spawn().expect("a child")));
    for child in &mut children {
        child.wait().expect("wait");
    }
}

fn enter_what_nobody_is_in() {
    let set = with_user(Namespaces::UTS);
    let mut command = Command::new("cat");
    let mut child = running(command.namespaces(set).hostname("kept"));
    let there = Place::of_child(&child);
    let before = Place::here();
    let order = [NamespaceKind::User, NamespaceKind::Uts];
    let handles: Vec<_> = order
        .into_iter()
        .filter(|kind| set.contains(kind.flag()))
        .map(|kind| child.namespace(kind).expect("the child's"))
        .collect();
    child.wait().expect("wait");
    for handle in &handles {
        handle.enter().unwrap_or_else(|error| panic!("{error}"));
    }
    assert_eq!(Place::here(), before.after_entering(&there, set));
    assert_eq!(hostname(), "kept");
}

/// That of the calling thread's UTS namespace.
fn hostname() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").expect("a name").trim_end().to_owned()
}

// ---- setns_process

fn enter_several() {
    let set = if wanted_way() == "user" { all_here() } else { enterable() };
    let mut child = cat(set);
    let there = Place::of_child(&child);
    let before = Place::here();
    setns_process(child.pidfd(), set).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(Place::here(), before.after_entering(&there, set));
    child.wait().expect("wait");
}

fn enter_past_the_own_user_namespace() {
    let here = Place::here();
    // Alone it is nothing to do, and takes no right.
    let mut child = cat(Namespaces::empty());
    setns_process(child.pidfd(), Namespaces::USER).unwrap_or_else(|error| panic!("{error}"));
    beside_a_thread(|| setns_process(child.pidfd(), Namespaces::USER))
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(Place::here(), here);
    child.wait().expect("wait");

    get_rights();
    let before = Place::here();
    let set = Namespaces::NET | Namespaces::UTS | Namespaces::IPC;
    let mut child = cat(set);
    let there = Place::of_child(&child);
    assert_eq!(there.get("user"), before.get("user"));
    setns_process(child.pidfd(), set | Namespaces::USER).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(Place::here(), before.after_entering(&there, set));
    child.wait().expect("wait");
}

fn enter_all_or_none_beside_a_thread() {
    get_rights();
    let set = Namespaces::IPC | Namespaces::NET | Namespaces::TIME | Namespaces::UTS;
    let mut child = cat(set);
    let there = Place::of_child(&child);
    let before = Place::here();
    for asked in [set, set | Namespaces::USER] {
        let error = beside_a_thread(|| setns_process(child.pidfd(), asked)).expect_err("refused");
        assert_eq!(error.step(), &Step::EnterProcess(asked));
        assert_eq!(error.raw_os_error(), Some(libc::EUSERS), "{error}");
        assert_eq!(error.cause(), Some(&Cause::Threads), "{error}");
        assert!(error.to_string().contains(&format!("of process {}:", child.id())), "{error}");
        assert_eq!(Place::here(), before);
    }
    setns_process(child.pidfd(), set).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(Place::here(), before.after_entering(&there, set));
    child.wait().expect("wait");
}

/// The threads of a process share one root and one working directory, and setns(2) sets both. The kernel refuses a mount
/// namespace for that reason, but not when it is entered together with others.
fn enter_mount_and_others_beside_a_thread() {
    get_rights();
    let directory = tempfile::tempdir().expect("a directory");
    std::env::set_current_dir(directory.path()).expect("chdir");
    let start = std::env::current_dir().expect("a directory");
    let set = Namespaces::MOUNT | Namespaces::UTS;
    let mut child = cat(set);
    let before = Place::here();

    let (end, ended) = mpsc::channel::<()>();
    let other = thread::spawn(move || {
        let _ = ended.recv();
        (Place::here(), std::env::current_dir().expect("a directory"))
    });
    let result = setns_process(child.pidfd(), set);
    drop(end);
    assert_eq!(other.join().expect("the other thread"), (before.clone(), start), "it stays");
    let error = result.expect_err("refused, as for a mount namespace alone");
    assert_eq!(error.step(), &Step::EnterProcess(set));
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{error}");
    assert_eq!(error.cause(), Some(&Cause::Threads), "{error}");
    assert_eq!(Place::here(), before);
    child.wait().expect("wait");
}

/// The number of the pidfd that the filter knows.
const PIDFD: i32 = 900;

/// As before Linux 5.8: setns(2) takes no pidfd. A filter cannot see what a descriptor is; but what is entered by a file is one kind,
/// and asking for the mount namespace is left to whoever asks whether there is such a call.
fn as_of_old(child: &Child) -> PidFd {
    let original = child.pidfd().as_fd().as_raw_fd();
    // SAFETY: a copy of an open descriptor under a number that nobody uses.
    let copy = unsafe { libc::dup3(original, PIDFD, libc::O_CLOEXEC) };
    assert_eq!(copy, PIDFD);
    // SAFETY: made just now, and nobody else's.
    let process = unsafe { std::os::fd::OwnedFd::from_raw_fd(PIDFD) };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    // The low halves of the two arguments.
    let low = if cfg!(target_endian = "big") { 4 } else { 0 };
    let kinds = (Namespaces::all() - Namespaces::MOUNT).kinds().map(|kind| kind.flag().bits());
    let kinds: Vec<u32> = kinds.collect();
    let mut program = vec![
        statement(load, 0, 0, 0),
        statement(equal, libc::SYS_setns as u32, 0, kinds.len() as u8 + 4),
        statement(load, 16 + low, 0, 0),
        statement(equal, PIDFD as u32, kinds.len() as u8 + 1, 0),
        statement(load, 24 + low, 0, 0),
    ];
    for (place, kind) in kinds.iter().enumerate() {
        // To what is behind the refusal, which is that everything is allowed.
        program.push(statement(equal, *kind, (kinds.len() - place) as u8, 0));
    }
    program.push(statement(libc::BPF_RET, libc::SECCOMP_RET_ERRNO | libc::EINVAL as u32, 0, 0));
    install(program);
    PidFd::try_from(process).expect("a pidfd")
}

fn enter_each_as_of_old() {
    get_rights();
    let set = Namespaces::IPC | Namespaces::NET | Namespaces::TIME | Namespaces::UTS;
    // A process can have no children any more in a pid namespace that has ended, so that one is not entered.
    let mut child = cat(set | Namespaces::CGROUP | Namespaces::PID);
    let there = Place::of_child(&child);
    let before = Place::here();
    let process = as_of_old(&child);
    // SAFETY: a descriptor that is open; nothing is entered.
    assert_eq!(unsafe { libc::setns(PIDFD, libc::CLONE_NEWUTS) }, -1, "the filter is of no use");
    // Beside a thread not all of them can be entered, and so none is.
    let error = beside_a_thread(|| setns_process(&process, set)).expect_err("refused");
    assert_eq!(
        (error.step(), error.raw_os_error()),
        (&Step::EnterProcess(set), Some(libc::EUSERS)),
        "{error}"
    );
    assert_eq!(error.cause(), Some(&Cause::Threads), "{error}");
    assert_eq!(Place::here(), before);
    // One alone.
    setns_process(&process, Namespaces::CGROUP).unwrap_or_else(|error| panic!("{error}"));
    let before = before.after_entering(&there, Namespaces::CGROUP);
    assert_eq!(Place::here(), before);
    // The own user namespace is nothing to enter.
    setns_process(&process, Namespaces::USER).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(Place::here(), before);
    setns_process(&process, set | Namespaces::USER).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(Place::here(), before.after_entering(&there, set));
    drop(child.stdin.take());
    wait_for_death(&process);
    let alive = Place::here();
    for set in [Namespaces::PID, Namespaces::UTS, Namespaces::NET | Namespaces::PID] {
        let error = setns_process(&process, set).expect_err("it has ended");
        assert_eq!(
            (error.step(), error.raw_os_error()),
            (&Step::EnterProcess(set), Some(libc::ESRCH)),
            "{error}"
        );
        assert_eq!(Place::here(), alive);
    }
    child.wait().expect("wait");
}

/// The kernel refuses the last of them: so none is entered.
fn enter_all_or_none_as_of_old() {
    let mut child = cat(Namespaces::USER | Namespaces::UTS);
    let before = Place::here();
    let process = as_of_old(&child);
    let set = Namespaces::USER | Namespaces::UTS | Namespaces::NET;
    let error = setns_process(&process, set).expect_err("its network is the host's");
    assert_eq!(
        (error.step(), error.raw_os_error()),
        (&Step::EnterProcess(set), Some(libc::EPERM)),
        "{error}"
    );
    assert_eq!(error.cause(), Some(&Cause::MissingCapability), "{error}");
    assert!(error.to_string().contains(&format!("of process {}:", child.id())), "{error}");
    assert_eq!(Place::here(), before);
    child.wait().expect("wait");
}

fn enter_the_user_namespace_as_of_old() {
    let set = Namespaces::USER | Namespaces::UTS | Namespaces::NET | Namespaces::PID;
    let mut child = cat(set);
    let there = Place::of_child(&child);
    let before = Place::here();
    let process = as_of_old(&child);
    setns_process(&process, set).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(Place::here(), before.after_entering(&there, set));
    child.wait().expect("wait");
}

fn enter_all_or_none_without_the_right() {
    let before = Place::here();
    let mut child = cat(Namespaces::USER | Namespaces::UTS);
    let there = Place::of_child(&child);
    let refused = [
        Namespaces::UTS,
        // Its network is the host's, which its user namespace gives no right to.
        Namespaces::USER | Namespaces::UTS | Namespaces::NET,
    ];
    for set in refused {
        let error = setns_process(child.pidfd(), set).expect_err("refused");
        assert_eq!(error.step(), &Step::EnterProcess(set));
        assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{error}");
        assert_eq!(error.cause(), Some(&Cause::MissingCapability), "{error}");
        assert!(error.to_string().contains(&format!("of process {}:", child.id())), "{error}");
        assert_eq!(Place::here(), before);
    }
    let set = Namespaces::USER | Namespaces::UTS;
    setns_process(child.pidfd(), set).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(Place::here(), before.after_entering(&there, set));
    child.wait().expect("wait");
}

/// Waits until the process has ended, and leaves it a zombie.
fn wait_for_death(pidfd: &PidFd) {
    let mut poll = libc::pollfd { fd: pidfd.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: `poll` is one `pollfd`, as the count says.
    assert_eq!(unsafe { libc::poll(&raw mut poll, 1, -1) }, 1);
}

fn enter_a_dead_process() {
    let before = Place::here();
    let mut child = Command::new("true").spawn().expect("a child");
    wait_for_death(child.pidfd());
    let gone = |child: &Child| {
        for set in [
            Namespaces::UTS,
            Namespaces::USER,
            Namespaces::USER | Namespaces::UTS,
            Namespaces::NET | Namespaces::PID,
        ] {
            let error = setns_process(child.pidfd(), set).expect_err("it is dead");
            assert_eq!(error.step(), &Step::EnterProcess(set));
            assert_eq!(error.raw_os_error(), Some(libc::ESRCH), "{error}");
            assert!(error.hint().is_some_and(|hint| hint.contains("ended")), "{error}");
            assert_eq!(error.cause(), None, "{error}");
            assert_eq!(Place::here(), before);
        }
    };
    gone(&child);
    child.wait().expect("wait");
    gone(&child);
}

fn enter_unknown_bits() {
    get_rights();
    let before = Place::here();
    let mut child = cat(Namespaces::UTS);
    let there = Place::of_child(&child);
    for set in [unknown(), Namespaces::UTS | unknown()] {
        let error = setns_process(child.pidfd(), set).expect_err("refused");
        refused_for_unknown_bits(&error, "0x400");
        assert_eq!(Place::here(), before);
    }
    setns_process(child.pidfd(), Namespaces::UTS).expect("the rest is possible");
    assert_eq!(Place::here(), before.after_entering(&there, Namespaces::UTS));
    child.wait().expect("wait");
}

fn enter_nothing() {
    let before = Place::here();
    let mut child = Command::new("true").spawn().expect("a child");
    setns_process(child.pidfd(), Namespaces::empty()).expect("nothing to do");
    child.wait().expect("wait");
    setns_process(child.pidfd(), Namespaces::empty()).expect("nothing to do");
    assert_eq!(Place::here(), before);
}

fn step_inside() {
    let set = enterable();
    let mut command = Command::new("cat");
    let mut container = running(command.namespaces(set).hostname("inside"));
    let kinds = kinds_here();
    let world: Vec<_> = kinds.iter().map(|kind| link(&container, *kind)).collect();
    assert_ne!(hostname(), "inside");
    let me = std::process::id();

    setns_process(container.pidfd(), set).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(hostname(), "inside");
    assert_eq!(std::process::id(), me, "the caller itself keeps its number");
    // Its own /proc, in which this process, outside of its pid namespace, is not to be seen.
    assert_eq!(fs::read_to_string("/proc/1/comm").expect("process 1"), "cat\n");
    assert_eq!(fs::read_link("/proc/self").expect_err("not in it").kind(), ErrorKind::NotFound);
    assert_eq!(std::env::current_dir().expect("a directory").to_str(), Some("/"));

    let names: Vec<_> = kinds.iter().map(|kind| format!("/proc/self/ns/{kind}")).collect();
    let script = format!("echo $$ /proc/[0-9]*; uname -n; readlink {}", names.join(" "));
    let std = StdCommand::new("sh").args(["-c", &script]).output().expect("a child of std's");
    let std = String::from_utf8(std.stdout).expect("text");
    for text in [std.trim_end().to_owned(), stdout_of(&mut sh(&script))] {
        let lines: Vec<_> = text.lines().collect();
        let mut words = lines[0].split(' ');
        let own: u32 = words.next().and_then(|word| word.parse().ok()).expect("a number");
        assert!(own > 1, "{text}");
        assert_eq!(words.collect::<Vec<_>>(), ["/proc/1".to_owned(), format!("/proc/{own}")]);
        assert_eq!(lines[1], "inside");
        assert_eq!(lines[2..], world);
    }
    container.wait().expect("wait");
}
