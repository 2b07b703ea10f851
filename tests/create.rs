//! Namespaces without a process: `Namespace::create`, `create_user`, and the chains of owners and parents.

mod common;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::process::Command as StdCommand;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use linux_namespaces::{
    Cause, Command, Error, IdRange, Namespace, NamespaceKind, Namespaces, ProcessNamespaces, Stdio,
    Step, unshare,
};

use common::own_world::{self, ids, mount};
use common::{Case, Footprint, Need, case, ended_child, in_own_process, sh, stdout_of};

const CASES: &[Case] = &[
    ("every_kind", every_kind_case),
    ("mounts_are_private", mounts_are_private_case),
    ("idmapped_mount", idmapped_mount_case),
    ("nesting", nesting_case),
    ("unshared_pid", unshared_pid_case),
    ("ignored_sigchld", ignored_sigchld_case),
    ("memory", memory_case),
    ("user_alone", user_alone_case),
    ("chains_inside", chains_inside_case),
    ("without_proc", without_proc_case),
];

fn main() {
    let tests: Vec<Trial> = vec![
        common::test_with("every_kind_is_new_and_empty", &[Need::UserNamespaces], || {
            in_own_process("every_kind");
        }),
        common::test("a_pid_namespace_is_refused", pid_is_refused),
        common::test_with(
            "an_ordinary_user_is_told_the_way",
            &[Need::User],
            an_ordinary_user_is_told_the_way,
        ),
        common::test_with("mounts_are_private", &[Need::UserNamespaces], || {
            in_own_process("mounts_are_private");
        }),
        common::test_with("the_caller_is_itself_in_it", &[Need::UserNamespaces], self_map),
        common::test_with("ranges_are_written", &[Need::Root], ranges_are_written),
        common::test("lists_are_checked_before_any_call", lists_are_checked),
        common::test_with(
            "refused_ranges_leave_nothing",
            &[Need::User, Need::UserNamespaces],
            refused_ranges_leave_nothing,
        ),
        common::test_with("it_serves_an_idmapped_mount", &[Need::Root], || {
            in_own_process("idmapped_mount");
        }),
        common::test_with("the_limit_of_nesting_is_named", &[Need::UserNamespaces], || {
            in_own_process("nesting");
        }),
        common::test_with("the_next_child_is_kept", &[Need::UserNamespaces], || {
            in_own_process("unshared_pid");
        }),
        common::test_with("no_child_is_left_or_noticed", &[Need::UserNamespaces], || {
            in_own_process("ignored_sigchld");
        }),
        common::test_with("the_memory_does_not_count", &[Need::UserNamespaces], || {
            in_own_process("memory");
        }),
        common::test_with(
            "with_some_capabilities",
            &[Need::Root, Need::Program("setpriv")],
            with_some_capabilities,
        ),
        common::test_with("without_proc", &[Need::UserNamespaces], || {
            in_own_process("without_proc");
        }),
        common::test_with("from_32_threads_at_once", &[Need::UserNamespaces], from_many_threads),
        common::test_with("chains_end_where_sight_ends", &[Need::UserNamespaces], chains),
    ];
    common::run(CASES, tests);
}

/// All that can be created.
fn creatable() -> impl Iterator<Item = NamespaceKind> {
    NamespaceKind::ALL.into_iter().filter(|kind| *kind != NamespaceKind::Pid)
}

fn create(kind: NamespaceKind) -> Namespace {
    Namespace::create(kind).unwrap_or_else(|error| panic!("{kind}: {error}"))
}

/// What the kernel says a program that enters it is in.
fn link_inside(namespace: &Namespace) -> String {
    let path = format!("/proc/self/ns/{}", namespace.kind());
    stdout_of(Command::new("readlink").arg(path).enter(namespace))
}

fn every_kind_case() {
    own_world::enter(Namespaces::NET);
    let here = ProcessNamespaces::current().unwrap();
    let user = Namespace::current(NamespaceKind::User).unwrap().id().unwrap();
    let before = Footprint::now();
    for kind in creatable() {
        let (one, other) = (create(kind), create(kind));
        assert_eq!(one.kind(), kind);
        assert_ne!(Some(one.id().unwrap()), here.get(kind), "{kind}");
        assert_ne!(one.id().unwrap(), other.id().unwrap(), "{kind}");
        // The kernel's own word, by another way than the handle's.
        assert_eq!(link_inside(&one), one.id().unwrap().to_string());
        assert_eq!(one.owner().unwrap().expect("in sight").id().unwrap(), user, "{kind}");
        // SAFETY: asks for flags.
        let flags = unsafe { libc::fcntl(one.as_fd().as_raw_fd(), libc::F_GETFD) };
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC, "{kind} would leak into programs");
        drop((one, other));
        before.assert_unchanged();
    }
    // Its loopback interface is up, which the caller's new one here is not.
    let connects = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).is_ok()
    };
    assert!(create(NamespaceKind::Net).run(connects).unwrap());
    assert!(!connects());
    // The clocks are the caller's.
    let offsets = Command::new("cat")
        .arg("/proc/self/timens_offsets")
        .enter(&create(NamespaceKind::Time))
        .output()
        .unwrap();
    let offsets = String::from_utf8(offsets.stdout).unwrap();
    let numbers: Vec<_> = offsets.split_ascii_whitespace().filter(|word| *word == "0").collect();
    assert_eq!(numbers.len(), 4, "{offsets}");
    before.assert_unchanged();
}

fn pid_is_refused() {
    let before = Footprint::now();
    let error = Namespace::create(NamespaceKind::Pid).unwrap_err();
    assert_eq!(error.step(), &Step::Validate);
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("spawn a `Command` with `Namespaces::PID`"), "{error}");
    before.assert_unchanged();
}

fn an_ordinary_user_is_told_the_way() {
    let before = Footprint::now();
    for kind in creatable().filter(|kind| *kind != NamespaceKind::User) {
        let error = Namespace::create(kind).unwrap_err();
        assert_eq!(error.step(), &Step::Clone(kind.flag()));
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
        assert_eq!(error.cause(), Some(&Cause::MissingCapability));
        assert!(error.to_string().contains("unshare `Namespaces::USER` first"), "{error}");
    }
    before.assert_unchanged();
}

fn mounts_are_private_case() {
    own_world::enter(Namespaces::empty());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    mount("none", path, "tmpfs", 0);
    mount("none", path, "", libc::MS_SHARED);
    let shared = |text: &str| text.lines().any(|line| line.contains(" shared:"));
    let own = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(shared(&own), "nothing could leak: {own}");

    let copy = create(NamespaceKind::Mount);
    let inside = stdout_of(Command::new("cat").arg("/proc/self/mountinfo").enter(&copy));
    assert!(inside.lines().any(|line| line.contains(path)), "it is no copy: {inside}");
    assert!(!shared(&inside), "{inside}");
    // Neither way.
    stdout_of(sh(&format!("mkdir {path}/d && mount -t tmpfs inside {path}/d")).enter(&copy));
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), own);
    fs::create_dir(directory.path().join("e")).unwrap();
    mount("outside", &format!("{path}/e"), "tmpfs", 0);
    let inside = stdout_of(Command::new("cat").arg("/proc/self/mountinfo").enter(&copy));
    assert!(inside.contains(" tmpfs inside ") && !inside.contains(" tmpfs outside "), "{inside}");
    own_world::umount(&directory.path().join("e"));
    own_world::umount(directory.path());
}

/// The map as a program inside reads it, with single blanks.
fn map_inside(user: &Namespace, file: &str) -> String {
    let text = stdout_of(Command::new("cat").arg(format!("/proc/self/{file}")).enter(user));
    let lines =
        text.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

fn self_map() {
    let before = Footprint::now();
    let (uid, gid) = ids();
    let user = create(NamespaceKind::User);
    assert_eq!(map_inside(&user, "uid_map"), format!("{uid} {uid} 1"));
    assert_eq!(map_inside(&user, "gid_map"), format!("{gid} {gid} 1"));
    // Denied only where the kernel demands it.
    let setgroups = if common::is_root() { "allow" } else { "deny" };
    assert_eq!(map_inside(&user, "setgroups"), setgroups);
    assert_eq!(user.owner_uid().unwrap(), uid);
    drop(user);
    before.assert_unchanged();
}

const fn range(inside: u32, outside: u32, count: u32) -> IdRange {
    IdRange { inside, outside, count }
}

fn ranges_are_written() {
    let before = Footprint::now();
    let uids = [range(1000, 5, 1), range(0, 100_000, 1000)];
    let gids = vec![range(0, 200_000, 65_536)];
    let user = Namespace::create_user(uids, gids).unwrap();
    assert_eq!(map_inside(&user, "uid_map"), "1000 5 1\n0 100000 1000");
    assert_eq!(map_inside(&user, "gid_map"), "0 200000 65536");
    assert_eq!(map_inside(&user, "setgroups"), "allow");
    let id = stdout_of(Command::new("id").arg("-u").enter(&user).uid(1000).gid(0));
    assert_eq!(id, "1000");
    // As many as the kernel takes.
    let most: Vec<_> = (0..340).map(|id| range(id, 2 * id, 1)).collect();
    let full = Namespace::create_user(most.clone(), most).unwrap();
    assert_eq!(map_inside(&full, "uid_map").lines().count(), 340);
    drop((user, full));
    before.assert_unchanged();
}

fn lists_are_checked() {
    let before = Footprint::now();
    let one = || vec![range(0, 0, 1)];
    let many: Vec<_> = (0..341).map(|id| range(id, id, 1)).collect();
    let cases = [
        (vec![], one(), "uid_map is empty: give at least one range"),
        (one(), vec![], "gid_map is empty: give at least one range"),
        (vec![range(0, 0, 0)], one(), "uid_map range \"0 0 0\" is empty"),
        (
            one(),
            vec![range(0, 0, 5), range(4, 9, 1)],
            "\"0 0 5\" and \"4 9 1\" overlap on the inside",
        ),
        (vec![range(u32::MAX, 0, 1)], one(), "goes past the last id on the inside"),
        (many, one(), "uid_map has 341 ranges"),
    ];
    for (uids, gids, message) in cases {
        let error = Namespace::create_user(uids, gids).unwrap_err();
        assert_eq!(error.step(), &Step::Validate);
        assert!(error.to_string().contains(message), "{error}");
    }
    before.assert_unchanged();
}

fn refused_ranges_leave_nothing() {
    let before = Footprint::now();
    for _ in 0..200 {
        let error = Namespace::create_user([range(0, 5, 2)], [range(0, 5, 2)]).unwrap_err();
        assert!(matches!(error.step(), Step::UidMap | Step::GidMap), "{error}");
    }
    before.assert_unchanged();
    assert_eq!(ended_child(), 0);
}

/// As the kernel's header has it; libc's own needs a newer one.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

fn idmapped_mount_case() {
    own_world::enter(Namespaces::empty());
    let directory = tempfile::tempdir().unwrap();
    let [source, target] = ["source", "target"].map(|name| directory.path().join(name));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&target).unwrap();
    mount("none", source.to_str().unwrap(), "tmpfs", 0);
    fs::write(source.join("file"), "").unwrap();
    let user = Namespace::create_user([range(0, 100_000, 65_536)], [range(0, 200_000, 65_536)]);
    let user = user.unwrap();

    let c = |path: &std::path::Path| std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    let (from, to) = (c(&source), c(&target));
    const OPEN_TREE_CLONE: libc::c_uint = 1;
    const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 4;
    const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
    // SAFETY: a path and flags.
    let tree = unsafe {
        libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, from.as_ptr(), OPEN_TREE_CLONE)
    };
    assert!(tree >= 0, "{}", std::io::Error::last_os_error());
    let userns_fd = user.as_fd().as_raw_fd() as u64;
    let attr = MountAttr { set: MOUNT_ATTR_IDMAP, clear: 0, propagation: 0, userns_fd };
    let size = size_of::<MountAttr>();
    // SAFETY: an empty text, and attributes of that size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree,
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attr,
            size,
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: texts and numbers.
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree,
            c"".as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    // It outlives the handle.
    drop(user);
    let seen = fs::metadata(target.join("file")).unwrap();
    assert_eq!((seen.uid(), seen.gid()), (100_000, 200_000));
    own_world::umount(&target);
    own_world::umount(&source);
}

fn nesting_case() {
    let (uid, gid) = ids();
    let mut depth = 0;
    let error: Error = loop {
        let before = Footprint::now();
        let created = Namespace::create(NamespaceKind::User).map(drop);
        before.assert_unchanged();
        match created {
            Ok(()) => {}
            Err(error) => break error,
        }
        unshare(Namespaces::USER).unwrap();
        depth += 1;
        assert!(depth <= 33, "there is no end");
        fs::write("/proc/self/setgroups", "deny").unwrap();
        fs::write("/proc/self/gid_map", format!("{gid} {gid} 1")).unwrap();
        fs::write("/proc/self/uid_map", format!("{uid} {uid} 1")).unwrap();
    };
    assert!(depth > 20, "refused at depth {depth}: {error}");
    assert_eq!(error.step(), &Step::Clone(Namespaces::USER));
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    assert_eq!(error.cause(), Some(&Cause::Nesting(NamespaceKind::User)), "{error}");
    assert!(error.to_string().contains("33 deep"), "{error}");
    let error = Command::new("true").namespaces(Namespaces::USER).spawn().unwrap_err();
    assert_eq!(error.cause(), Some(&Cause::Nesting(NamespaceKind::User)), "{error}");
    // Others are created there as before.
    create(NamespaceKind::Uts);
}

fn unshared_pid_case() {
    own_world::enter(Namespaces::PID);
    let error = Namespace::create(NamespaceKind::Uts).unwrap_err();
    assert_eq!(error.step(), &Step::Clone(Namespaces::UTS));
    assert!(error.to_string().contains("unshared its pid namespace"), "{error}");
    // The first child still is process 1. While it lives, there can be others.
    let mut first = sh("echo $$; exec cat");
    first.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut first = first.spawn().unwrap();
    create(NamespaceKind::Uts);
    drop(first.stdin.take());
    assert_eq!(first.wait_with_output().unwrap().stdout, b"1\n");
    // And afterwards none at all.
    let error = Namespace::create(NamespaceKind::Uts).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
    assert!(error.to_string().contains("process 1 of the pid namespace"), "{error}");
}

static SIGNALS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

extern "C" fn count(_: libc::c_int) {
    SIGNALS.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
}

fn ignored_sigchld_case() {
    own_world::enter(Namespaces::empty());
    let count: extern "C" fn(libc::c_int) = count;
    for disposition in [libc::SIG_DFL, libc::SIG_IGN, count as libc::sighandler_t] {
        // SAFETY: the handler only counts.
        unsafe { libc::signal(libc::SIGCHLD, disposition) };
        let before = Footprint::now();
        for _ in 0..50 {
            for kind in creatable().filter(|kind| *kind != NamespaceKind::Net) {
                create(kind);
            }
        }
        before.assert_unchanged();
        assert_eq!(ended_child(), 0);
    }
    assert_eq!(SIGNALS.load(std::sync::atomic::Ordering::SeqCst), 0);
}

fn memory_case() {
    own_world::enter(Namespaces::empty());
    let fastest = |kind| {
        let one = |_| {
            let start = Instant::now();
            create(kind);
            start.elapsed()
        };
        (0..30).map(one).min().expect("some")
    };
    let small = [NamespaceKind::Uts, NamespaceKind::User].map(fastest);
    // A copy of this takes 20 ms.
    let mut memory = vec![0u8; 512 << 20];
    for page in memory.chunks_mut(4096) {
        page[0] = 1;
    }
    let large = [NamespaceKind::Uts, NamespaceKind::User].map(fastest);
    assert_eq!(std::hint::black_box(&memory)[4096], 1);
    for (small, large) in small.into_iter().zip(large) {
        assert!(large < small + Duration::from_millis(8), "{large:?} after {small:?}");
    }
}

/// Root that has not all of its power: who then may look into a child in a new user namespace, differs.
fn with_some_capabilities() {
    for given_up in ["-sys_ptrace", "-dac_override", "-dac_override,-sys_ptrace", "-setuid,-setgid"]
    {
        let case = case("user_alone");
        let output = StdCommand::new("setpriv")
            .args(["--bounding-set", given_up, "--"])
            .arg(case.get_program())
            .env("LINUX_NAMESPACES_CASE", "user_alone")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{given_up}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

fn user_alone_case() {
    self_map_in(&create(NamespaceKind::User));
    let before = Footprint::now();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..20).for_each(|_| drop(create(NamespaceKind::User))));
        }
    });
    before.assert_unchanged();
}

fn self_map_in(user: &Namespace) {
    assert_eq!(map_inside(user, "uid_map"), format!("{0} {0} 1", ids().0));
}

fn without_proc_case() {
    own_world::enter(Namespaces::empty());
    let kinds = || creatable().filter(|kind| *kind != NamespaceKind::User);
    let here = ProcessNamespaces::current().unwrap();
    // Hidden, not unmounted, which a user namespace would not allow.
    mount("none", "/proc", "tmpfs", 0);
    assert!(!fs::exists("/proc/self").unwrap());
    for kind in kinds() {
        let created = create(kind);
        assert_ne!(Some(created.id().unwrap()), here.get(kind), "{kind}");
    }
    // Maps are written below /proc.
    let error = Namespace::create(NamespaceKind::User).unwrap_err();
    assert!(matches!(error.step(), Step::GidMap | Step::UidMap), "{error}");
    assert!(error.to_string().contains("/proc"), "{error}");
}

fn from_many_threads() {
    let before = Footprint::now();
    let kinds: Vec<_> = if common::is_root() {
        creatable().filter(|kind| *kind != NamespaceKind::Net).collect()
    } else {
        vec![NamespaceKind::User]
    };
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                let here = ProcessNamespaces::current().unwrap();
                for kind in &kinds {
                    let created = create(*kind);
                    assert_eq!(created.kind(), *kind);
                    assert_ne!(Some(created.id().unwrap()), here.get(*kind));
                }
                assert_eq!(ProcessNamespaces::current().unwrap(), here);
            });
        }
    });
    before.assert_unchanged();
}

fn id_of(namespace: Option<Namespace>) -> Option<String> {
    namespace.map(|namespace| namespace.id().unwrap().to_string())
}

fn chains() {
    // A user namespace and a pid namespace, and another of each inside.
    let outer = create(NamespaceKind::User);
    let mut first = sh("echo $$; exec cat");
    first.namespaces(Namespaces::PID).enter(&outer).stdin(Stdio::piped());
    let first = first.stdout(Stdio::null()).spawn().unwrap();
    let outer_pid = first.namespace(NamespaceKind::Pid).unwrap();
    let mut second = Command::new("cat");
    second.namespaces(Namespaces::USER | Namespaces::PID).enter(&outer).enter(&outer_pid);
    let second = second.stdin(Stdio::piped()).spawn().unwrap();
    let inner = second.namespace(NamespaceKind::User).unwrap();
    let inner_pid = second.namespace(NamespaceKind::Pid).unwrap();

    let here = ProcessNamespaces::current().unwrap();
    let own = |kind| here.get(kind).map(|id| id.to_string());
    assert_eq!(id_of(inner.parent().unwrap()), id_of(Some(outer.try_clone().unwrap())));
    assert_eq!(id_of(inner.owner().unwrap()), id_of(inner.parent().unwrap()));
    assert_eq!(id_of(outer.parent().unwrap()), own(NamespaceKind::User));
    assert_eq!(id_of(inner_pid.parent().unwrap()), id_of(Some(outer_pid.try_clone().unwrap())));
    assert_eq!(id_of(outer_pid.parent().unwrap()), own(NamespaceKind::Pid));
    assert_eq!(id_of(inner_pid.owner().unwrap()), id_of(Some(inner.try_clone().unwrap())));
    assert_eq!(id_of(outer_pid.owner().unwrap()), id_of(Some(outer.try_clone().unwrap())));
    // Up to where the caller is, and no further.
    let chain = |mut namespace: Namespace| {
        let mut length = 0;
        while let Some(parent) = namespace.parent().unwrap() {
            namespace = parent;
            length += 1;
        }
        (length, id_of(Some(namespace)))
    };
    assert_eq!(chain(inner), (2, own(NamespaceKind::User)));
    assert_eq!(chain(inner_pid), (2, own(NamespaceKind::Pid)));
    for mut child in [second, first] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // Inside, what is outside is out of sight.
    let mut inside = Command::new(case("chains_inside").get_program());
    inside.env("LINUX_NAMESPACES_CASE", "chains_inside");
    let set = Namespaces::USER | Namespaces::PID | Namespaces::MOUNT;
    stdout_of(inside.namespaces(set));
}

fn chains_inside_case() {
    for kind in [NamespaceKind::User, NamespaceKind::Pid] {
        assert_eq!(id_of(Namespace::current(kind).unwrap().parent().unwrap()), None, "{kind}");
    }
    assert_eq!(id_of(Namespace::current(NamespaceKind::User).unwrap().owner().unwrap()), None);
    // One that was not made in here.
    assert_eq!(id_of(Namespace::current(NamespaceKind::Net).unwrap().owner().unwrap()), None);
    let user = Namespace::current(NamespaceKind::User).unwrap();
    let mounts = Namespace::current(NamespaceKind::Mount).unwrap();
    assert_eq!(id_of(mounts.owner().unwrap()), id_of(Some(user)));
}
