//! Closures in other namespaces: `Namespace::run` and `Scope`.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Command as StdCommand, Stdio as StdStdio};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use linux_namespaces::{
    Cause, Command, Namespace, NamespaceKind, Namespaces, ProcessNamespaces, Scope, Stdio, Step,
    unshare,
};

use common::own_world::{self, mount};
use common::{Case, Footprint, Need, field, in_own_process};

const CASES: &[Case] = &[
    ("every_kind", every_kind_case),
    ("several", several_case),
    ("mounts", mounts_case),
    ("pid", pid_case),
    ("time", time_case),
    ("panics", panics_case),
    ("nested", nested_case),
    ("many_threads", many_threads_case),
    ("set_up", set_up_case),
    ("refused", refused_case),
    ("failed_join", failed_join_case),
    ("thread", thread_case),
    ("no_thread", no_thread_case),
    ("no_descriptor", no_descriptor_case),
    ("rate", rate_case),
];

fn main() {
    const NEEDS: &[Need] = &[Need::UserNamespaces];
    let tests: Vec<Trial> = vec![
        common::test_with("the_closure_is_in_it_and_the_caller_not", NEEDS, || {
            in_own_process("every_kind");
        }),
        common::test_with("several_at_once_in_any_order", NEEDS, || in_own_process("several")),
        common::test_with("mounts_are_its_own", NEEDS, || in_own_process("mounts")),
        common::test_with("programs_are_in_the_pid_namespace", NEEDS, || in_own_process("pid")),
        common::test_with("programs_are_in_the_time_namespace", NEEDS, || in_own_process("time")),
        common::test_with("a_panic_goes_on_in_the_caller", NEEDS, || in_own_process("panics")),
        common::test_with("runs_nest", NEEDS, || in_own_process("nested")),
        common::test_with("from_32_threads_at_once", NEEDS, || in_own_process("many_threads")),
        common::test_with("what_is_unshared_is_set_up", NEEDS, || in_own_process("set_up")),
        common::test_with("what_a_thread_cannot_do_is_refused", NEEDS, || {
            in_own_process("refused");
        }),
        common::test_with("a_join_that_fails_leaves_nothing", NEEDS, || {
            in_own_process("failed_join");
        }),
        common::test("its_thread_is_as_the_callers", || in_own_process("thread")),
        common::test_with("where_no_thread_can_be_started", NEEDS, || in_own_process("no_thread")),
        common::test("a_handle_that_was_not_duplicated", || in_own_process("no_descriptor")),
        common::test_with("thousands_in_a_second", NEEDS, || in_own_process("rate")),
        common::test("where_the_caller_is_takes_no_rights", where_the_caller_is),
        common::test_with("without_rights", &[Need::User], without_rights),
    ];
    common::run(CASES, tests);
}

/// The kinds that a thread can be moved to.
const MOVABLE: [NamespaceKind; 5] = [
    NamespaceKind::Cgroup,
    NamespaceKind::Ipc,
    NamespaceKind::Mount,
    NamespaceKind::Net,
    NamespaceKind::Uts,
];

fn create(kind: NamespaceKind) -> Namespace {
    Namespace::create(kind).unwrap_or_else(|error| panic!("{kind}: {error}"))
}

fn here() -> ProcessNamespaces {
    ProcessNamespaces::current().unwrap()
}

/// Where the calling thread is, to the last of it.
fn place() -> (ProcessNamespaces, PathBuf, (u64, u64), (u64, u64)) {
    let identity = |path| {
        let file = fs::metadata(path).unwrap();
        (file.dev(), file.ino())
    };
    (here(), std::env::current_dir().unwrap(), identity("/"), identity("."))
}

fn every_kind_case() {
    own_world::enter(Namespaces::empty());
    let (before, at) = (Footprint::now(), place());
    for kind in MOVABLE {
        let namespace = create(kind);
        // It borrows from the caller, and gives something back.
        let mut seen = None;
        let answer = namespace.run(|| {
            seen = here().get(kind);
            fs::read_link(format!("/proc/thread-self/ns/{kind}")).unwrap()
        });
        assert_eq!(answer.unwrap().to_str().unwrap(), namespace.id().unwrap().to_string());
        assert_eq!(seen, Some(namespace.id().unwrap()), "{kind}");
        let others = namespace.run(|| here().differing_from(&at.0)).unwrap();
        assert_eq!(others, kind.flag());
    }
    assert_eq!(place(), at);
    before.assert_unchanged();
}

fn several_case() {
    own_world::enter(Namespaces::empty());
    let (before, at) = (Footprint::now(), place());
    for backwards in [false, true] {
        let mut handles: Vec<_> = MOVABLE.into_iter().map(create).collect();
        if backwards {
            handles.reverse();
        }
        let ids: BTreeSet<_> = handles.iter().map(|handle| handle.id().unwrap()).collect();
        let mut scope = Scope::new();
        for handle in &handles {
            scope.enter(handle);
        }
        // One that the caller is in already is passed over, of whatever kind.
        for kind in [NamespaceKind::User, NamespaceKind::Time, NamespaceKind::Pid] {
            scope.enter(&Namespace::current(kind).unwrap());
        }
        // It has duplicates, and can be run again.
        drop(handles);
        for _ in 0..2 {
            let seen = scope.run(here).unwrap();
            assert_eq!(
                MOVABLE.map(|kind| seen.get(kind).unwrap()).into_iter().collect::<BTreeSet<_>>(),
                ids
            );
        }
    }
    // New ones are new each time, and beside entered ones.
    let uts = create(NamespaceKind::Uts);
    let mut scope = Scope::new();
    scope.unshare(Namespaces::NET).enter(&uts).unshare(Namespaces::IPC);
    let (one, other) = (scope.run(here).unwrap(), scope.run(here).unwrap());
    assert_eq!(one.get(NamespaceKind::Uts), Some(uts.id().unwrap()));
    assert_eq!(one.differing_from(&at.0), Namespaces::UTS | Namespaces::NET | Namespaces::IPC);
    // The first is held by nobody any more, so only that the second is new can be said.
    assert_eq!(other.differing_from(&at.0), one.differing_from(&at.0));
    // Nothing at all is a thread.
    assert_eq!(Scope::new().run(here).unwrap(), at.0);
    drop((scope, uts));
    assert_eq!(place(), at);
    before.assert_unchanged();
}

fn mounts_case() {
    own_world::enter(Namespaces::empty());
    let directory = tempfile::tempdir().unwrap();
    std::env::set_current_dir(directory.path()).unwrap();
    let at = place();
    let mounts = create(NamespaceKind::Mount);
    let path = directory.path();
    mounts
        .run(|| {
            // At the root of the namespace, as setns(2) has it.
            assert_eq!(std::env::current_dir().unwrap().to_str(), Some("/"));
            mount("inside", path.to_str().unwrap(), "tmpfs", 0);
            fs::write(path.join("file"), "").unwrap();
            std::env::set_current_dir(path).unwrap();
        })
        .unwrap();
    assert_eq!(place(), at);
    assert!(!path.join("file").exists());
    assert!(mounts.run(|| path.join("file").exists()).unwrap());
    // What a closure does to its thread stays with that.
    Scope::new()
        .unshare(Namespaces::MOUNT)
        .run(|| {
            assert_eq!(std::env::current_dir().unwrap(), path);
            std::env::set_current_dir("/").unwrap();
            mount("inside", path.to_str().unwrap(), "tmpfs", 0);
            unshare(Namespaces::UTS | Namespaces::MOUNT).unwrap();
        })
        .unwrap();
    assert_eq!(place(), at);
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(" tmpfs inside "));
}

fn pid_case() {
    own_world::enter(Namespaces::empty());
    let mut first = Command::new("cat");
    first.namespaces(Namespaces::PID).stdin(Stdio::piped());
    let mut first = first.spawn().unwrap();
    let pid = first.namespace(NamespaceKind::Pid).unwrap();
    let own = here();
    let program = || {
        let mut command = StdCommand::new("sh");
        command.args(["-c", "echo $$"]).output().unwrap()
    };
    let output = pid.run(program).unwrap();
    let number: u32 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    assert!(number > 1 && number < 50, "{number} is no early number of a new pid namespace");
    // The thread itself is not: its children are.
    let inside = pid.run(here).unwrap();
    assert_eq!(inside.get(NamespaceKind::Pid), own.get(NamespaceKind::Pid));
    assert_eq!(inside.for_children(NamespaceKind::Pid), Some(pid.id().unwrap()));
    // So it can start no thread, and the reason is said.
    let error = pid.run(|| Scope::new().run(|| ())).unwrap().unwrap_err();
    assert_eq!(error.step(), &Step::Clone(Namespaces::empty()));
    assert!(error.to_string().contains("in another pid namespace can start no threads"), "{error}");
    // A new one: its first program is process 1.
    let output = Scope::new().unshare(Namespaces::PID).run(program).unwrap();
    assert_eq!(output.stdout, b"1\n");
    assert_eq!(here(), own);
    first.wait().unwrap();
    assert_eq!(program().status.code(), Some(0));
}

fn time_case() {
    own_world::enter(Namespaces::empty());
    let own = here();
    let (thread, program) = Scope::new()
        .unshare(Namespaces::TIME)
        .run(|| {
            let link = StdCommand::new("readlink").arg("/proc/self/ns/time").output().unwrap();
            (here(), String::from_utf8(link.stdout).unwrap())
        })
        .unwrap();
    assert_eq!(thread.get(NamespaceKind::Time), own.get(NamespaceKind::Time));
    let for_children = thread.for_children(NamespaceKind::Time).unwrap();
    assert_ne!(Some(for_children), own.get(NamespaceKind::Time));
    assert_eq!(program.trim(), for_children.to_string());
    assert_eq!(here(), own);
}

fn panics_case() {
    own_world::enter(Namespaces::empty());
    let (before, at) = (Footprint::now(), place());
    let handles: Vec<_> = MOVABLE.into_iter().map(create).collect();
    let mut dropped = 0;
    struct Counts<'a>(&'a mut u32);
    impl Drop for Counts<'_> {
        fn drop(&mut self) {
            *self.0 += 1;
        }
    }
    for handle in &handles {
        let guard = Counts(&mut dropped);
        let result = catch_unwind(AssertUnwindSafe(|| {
            handle.run(|| {
                let _guard = guard;
                std::env::set_current_dir("/proc").unwrap();
                std::panic::panic_any(4711_u64)
            })
        }));
        let payload = result.map(|answer: Result<(), _>| answer).unwrap_err();
        assert_eq!(payload.downcast_ref::<u64>(), Some(&4711));
        assert_eq!(place(), at, "{}", handle.kind());
    }
    assert_eq!(dropped, 5);
    drop(handles);
    let result = catch_unwind(|| {
        Scope::new()
            .unshare(Namespaces::all() - Namespaces::USER)
            .run(|| std::panic::panic_any("text".to_owned()))
    });
    let payload = result.map(|answer: Result<(), _>| answer).unwrap_err();
    assert_eq!(payload.downcast_ref::<String>().map(String::as_str), Some("text"));
    assert_eq!(place(), at);
    before.assert_unchanged();
}

fn nested_case() {
    own_world::enter(Namespaces::empty());
    let at = place();
    let [net, uts, mounts] =
        [NamespaceKind::Net, NamespaceKind::Uts, NamespaceKind::Mount].map(create);
    let inner =
        mounts.run(|| net.run(|| uts.run(|| mounts.run(here).unwrap()).unwrap()).unwrap()).unwrap();
    let set = Namespaces::NET | Namespaces::UTS | Namespaces::MOUNT;
    assert_eq!(inner.differing_from(&at.0), set);
    for namespace in [&net, &uts, &mounts] {
        assert_eq!(inner.get(namespace.kind()), Some(namespace.id().unwrap()));
    }
    // Inside, what a closure creates and starts is there, too.
    let path = "/proc/self/ns/net";
    let program = net.run(|| StdCommand::new("readlink").arg(path).output().unwrap()).unwrap();
    assert_eq!(String::from_utf8_lossy(&program.stdout).trim(), net.id().unwrap().to_string());
    let program = net.run(|| Command::new("readlink").arg(path).output().unwrap()).unwrap();
    assert_eq!(String::from_utf8_lossy(&program.stdout).trim(), net.id().unwrap().to_string());
    assert_eq!(place(), at);
}

fn many_threads_case() {
    own_world::enter(Namespaces::empty());
    let (before, at) = (Footprint::now(), place());
    let handles: Vec<_> = MOVABLE.into_iter().map(create).collect();
    let together = Barrier::new(32);
    thread::scope(|scope| {
        for number in 0..32 {
            let (handles, together, at) = (&handles, &together, &at);
            scope.spawn(move || {
                together.wait();
                for round in 0..20 {
                    let handle = &handles[(number + round) % handles.len()];
                    let seen = handle.run(here).unwrap();
                    assert_eq!(seen.get(handle.kind()), Some(handle.id().unwrap()));
                    assert_eq!(seen.differing_from(&at.0), handle.kind().flag());
                    assert_eq!(here(), at.0);
                }
                // All in there at the same time, on one port each.
                let mut own = Scope::new();
                own.unshare(Namespaces::NET);
                own.run(|| {
                    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 4711)).unwrap();
                    together.wait();
                    let mut client = TcpStream::connect(("127.0.0.1", 4711)).unwrap();
                    client.write_all(&[number as u8]).unwrap();
                    let mut byte = [0];
                    listener.accept().unwrap().0.read_exact(&mut byte).unwrap();
                    assert_eq!(byte, [number as u8]);
                })
                .unwrap();
            });
        }
    });
    drop(handles);
    assert_eq!(place(), at);
    before.assert_unchanged();
}

fn set_up_case() {
    own_world::enter(Namespaces::empty());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    mount("none", path, "tmpfs", 0);
    mount("none", path, "", libc::MS_SHARED);
    fs::create_dir(directory.path().join("d")).unwrap();
    let own = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(own.contains(" shared:"), "nothing could leak");
    Scope::new()
        .unshare(Namespaces::MOUNT)
        .run(|| {
            let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
            assert!(!mounts.contains(" shared:"), "{mounts}");
            mount("inside", &format!("{path}/d"), "tmpfs", 0);
        })
        .unwrap();
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), own);
    let connected = Scope::new().unshare(Namespaces::NET).run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).is_ok()
    });
    assert!(connected.unwrap());
    own_world::umount(directory.path());
}

fn refused_case() {
    own_world::enter(Namespaces::empty());
    let (before, at) = (Footprint::now(), place());
    let never = || -> () { panic!("the closure was called") };
    for (kind, errno) in [(NamespaceKind::User, libc::EINVAL), (NamespaceKind::Time, libc::EUSERS)]
    {
        let namespace = create(kind);
        let mut scope = Scope::new();
        scope.enter(&create(NamespaceKind::Uts)).enter(&namespace);
        for error in [namespace.run(never).unwrap_err(), scope.run(never).unwrap_err()] {
            assert_eq!(error.step(), &Step::Enter(kind));
            assert_eq!(error.cause(), Some(&Cause::Threads));
            assert_eq!(error.raw_os_error(), Some(errno));
            let text = error.to_string();
            assert!(text.contains(&namespace.id().unwrap().to_string()), "{text}");
            assert!(text.contains("`Command::enter`"), "{text}");
        }
    }
    let set = Namespaces::USER | Namespaces::UTS;
    let error = Scope::new().unshare(set).run(never).unwrap_err();
    assert_eq!(error.step(), &Step::Unshare(set));
    assert_eq!(error.cause(), Some(&Cause::Threads));
    assert!(error.to_string().contains("`Command::namespaces`"), "{error}");
    // Before any call.
    let uts = create(NamespaceKind::Uts);
    let invalid = |scope: &mut Scope, message: &str| {
        let error = scope.run(never).unwrap_err();
        assert_eq!(error.step(), &Step::Validate);
        assert!(error.to_string().contains(message), "{error}");
    };
    let unknown = Namespaces::from_bits_retain(0x200);
    invalid(Scope::new().unshare(unknown), "0x200");
    invalid(Scope::new().enter(&uts).unshare(Namespaces::UTS), "uts is both entered and unshared");
    let other = create(NamespaceKind::Uts);
    invalid(Scope::new().enter(&uts).enter(&other), "two uts namespaces");
    drop((uts, other));
    assert_eq!(place(), at);
    before.assert_unchanged();
}

fn failed_join_case() {
    own_world::enter(Namespaces::empty());
    let stranger = Namespace::current(NamespaceKind::Net).unwrap();
    // From here on it belongs to others.
    unshare(Namespaces::USER | Namespaces::NET | Namespaces::UTS).unwrap();
    let uts = create(NamespaceKind::Uts);
    let (before, at) = (Footprint::now(), place());
    for _ in 0..20 {
        let error = Scope::new().enter(&uts).enter(&stranger).run(|| ()).unwrap_err();
        assert_eq!(error.step(), &Step::Enter(NamespaceKind::Net));
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
        assert!(error.to_string().contains(&stranger.id().unwrap().to_string()), "{error}");
    }
    assert_eq!(place(), at);
    before.assert_unchanged();
}

fn thread_case() {
    let mask = |bits: u64| {
        // SAFETY: plain integers, for which zero is a value.
        let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
        for signal in (1..=64).filter(|signal| bits & (1 << (signal - 1)) != 0) {
            // SAFETY: a set on this frame.
            unsafe { libc::sigaddset(&raw mut set, signal) };
        }
        // SAFETY: as above.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()) };
    };
    let blocked = || {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        u64::from_str_radix(field("SigBlk", &status), 16).unwrap()
    };
    let own = 1 << (libc::SIGUSR1 - 1) | 1 << (libc::SIGTERM - 1);
    mask(own);
    assert_eq!(blocked(), own);
    let net = Namespace::current(NamespaceKind::Net).unwrap();
    let (seen, name, id) = net
        .run(|| {
            let current = thread::current();
            (blocked(), current.name().map(str::to_owned), current.id())
        })
        .unwrap();
    assert_eq!(seen, own);
    assert_eq!(name.as_deref(), Some("namespaces"));
    assert_ne!(id, thread::current().id());
    mask(0);
}

fn no_thread_case() {
    own_world::enter(Namespaces::PID);
    let before = Footprint::now();
    let net = Namespace::current(NamespaceKind::Net).unwrap();
    let error = net.run(|| ()).unwrap_err();
    assert_eq!(error.step(), &Step::Clone(Namespaces::empty()));
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    assert!(error.to_string().contains("can start no threads"), "{error}");
    drop(net);
    before.assert_unchanged();
}

fn no_descriptor_case() {
    let net = Namespace::current(NamespaceKind::Net).unwrap();
    let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
    // SAFETY: a limit on this frame.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    let mut taken = Vec::new();
    while let Ok(file) = fs::File::open("/dev/null") {
        taken.push(file);
    }
    let mut scope = Scope::new();
    scope.enter(&net);
    drop(taken);
    // Of all setters none fails; the run does, every time.
    for _ in 0..2 {
        let error = scope.run(|| ()).unwrap_err();
        assert_eq!(error.step(), &Step::Inspect);
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    }
}

fn rate_case() {
    own_world::enter(Namespaces::empty());
    let namespace = create(NamespaceKind::Uts);
    // The quickest of many: others may keep the processors busy.
    let timed = |_| {
        let start = Instant::now();
        namespace.run(|| ()).unwrap();
        start.elapsed()
    };
    let quickest = (0..500).map(timed).min().unwrap();
    assert!(quickest < Duration::from_millis(1), "{quickest:?}");
}

fn where_the_caller_is() {
    let before = Footprint::now();
    for kind in NamespaceKind::ALL {
        let own = Namespace::current(kind).unwrap();
        let seen = own.run(|| here().get(kind)).unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(seen, Some(own.id().unwrap()));
    }
    before.assert_unchanged();
}

fn without_rights() {
    let before = Footprint::now();
    let error = Scope::new().unshare(Namespaces::NET).run(|| ()).unwrap_err();
    assert_eq!(error.step(), &Step::Unshare(Namespaces::NET));
    assert_eq!(error.cause(), Some(&Cause::MissingCapability));
    assert!(
        error.to_string().contains("unshare `Namespaces::USER` before there are threads"),
        "{error}"
    );
    // One of its own, which takes the user namespace.
    let mut other = StdCommand::new("unshare");
    let other = other.args(["--user", "--uts", "sh", "-c", "echo; exec cat"]);
    let mut other = other.stdin(StdStdio::piped()).stdout(StdStdio::piped()).spawn().unwrap();
    let mut line = [0];
    other.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    let uts = Namespace::of(other.id(), NamespaceKind::Uts).unwrap();
    let error = uts.run(|| ()).unwrap_err();
    assert_eq!(error.step(), &Step::Enter(NamespaceKind::Uts));
    assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    drop(other.stdin.take());
    other.wait().unwrap();
    drop((uts, other));
    before.assert_unchanged();
}
