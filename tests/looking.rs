//! Looking: names of kinds and sets, snapshots, handles, and descriptors of processes.
mod common;

use std::collections::{BTreeSet, HashSet};
use std::ffi::CString;
use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command as StdCommand, Stdio as StdStdio};
use std::sync::mpsc;
use std::thread;

use common::{Need, case, field, in_own_process, inode, is_root, test, test_with, with_user};
use linux_namespaces::{
    Child, Command, Error, Namespace, NamespaceId, NamespaceKind, Namespaces, PidFd,
    ProcessNamespaces, Stdio, Step, flags, unshare,
};

/// Compiles only if other threads may have all of these.
const _: fn() = || {
    fn shared<T: Send + Sync + Debug + 'static>() {}
    shared::<Namespace>();
    shared::<PidFd>();
    shared::<ProcessNamespaces>();
    shared::<NamespaceId>();
    shared::<NamespaceKind>();
    shared::<Namespaces>();
    shared::<Error>();
    shared::<Step>();
};

fn main() {
    let privileged: &[Need] = if is_root() { &[Need::Root] } else { &[Need::UserNamespaces] };
    // Where even root may not look into process 1, root can see what that is like.
    let shut: &[Need] = if first_process_is_shut() { &[] } else { &[Need::User] };
    common::run(
        &[
            ("a_thread_that_unshared", a_thread_that_unshared),
            ("after_unshare_pid", after_unshare_pid),
            ("after_unshare_time", after_unshare_time),
            ("closed_to_others", closed_to_others),
            ("without_proc", without_proc),
            ("inside_a_pid_namespace", inside_a_pid_namespace),
            ("owned_by_the_own_user_namespace", owned_by_the_own_user_namespace),
            ("open_a_fifo", open_a_fifo),
            ("descriptor_zero", descriptor_zero),
        ],
        vec![
            test("the_bits_and_names_are_the_kernels", the_bits_and_names_are_the_kernels),
            test("a_set_is_written_in_the_order_of_the_kinds", a_set_is_written_in_order),
            test("a_set_is_read_in_any_order", a_set_is_read_in_any_order),
            test("every_set_survives_its_text", every_set_survives_its_text),
            test("unknown_names_are_in_the_error", unknown_names_are_in_the_error),
            test("sets_are_made_of_kinds", sets_are_made_of_kinds),
            test("a_snapshot_has_what_stat_says", a_snapshot_has_what_stat_says),
            test("a_snapshot_reads_like_ls", a_snapshot_reads_like_ls),
            test_with("a_snapshot_is_the_threads", privileged, || {
                in_own_process("a_thread_that_unshared");
            }),
            test_with("what_children_get_after_unshare_pid", privileged, || {
                in_own_process("after_unshare_pid");
            }),
            test_with("what_children_get_after_unshare_time", privileged, || {
                in_own_process("after_unshare_time");
            }),
            test("a_zombie_shows_user_and_pid", || {
                zombie(|| StdProcess::spawn(&mut StdCommand::new("true")));
            }),
            test_with("a_zombie_in_new_namespaces_shows_them", privileged, || {
                zombie(|| {
                    let mut command = Command::new("true");
                    command.namespaces(Namespaces::USER | Namespaces::PID);
                    command.spawn().expect("a child in new namespaces")
                });
            }),
            test_with("a_process_that_is_closed_to_its_user", &[Need::User], shut_by_itself),
            test_with("process_1_is_closed", shut, || refuses_to_show(1)),
            test("processes_that_do_not_exist", processes_that_do_not_exist),
            test_with("shared_and_differing", privileged, shared_and_differing),
            test_with("a_child_is_there_when_spawn_returns", privileged, as_soon_as_spawn_returns),
            test_with("without_proc_there_is_an_error", privileged, || {
                let mut command = own_process_in("without_proc", with_user(Namespaces::MOUNT));
                if !is_root() {
                    // Who is not root inside loses the right to mount at exec.
                    command.map_root_user();
                }
                succeeds(&mut command);
            }),
            test("a_handle_is_what_stat_says", a_handle_is_what_stat_says),
            test("a_handle_becomes_a_descriptor_and_back", a_handle_becomes_a_descriptor_and_back),
            test_with("a_handle_keeps_its_namespace", privileged, a_handle_keeps_its_namespace),
            test("what_is_no_namespace_file", what_is_no_namespace_file),
            test("a_fifo_does_not_block", || in_own_process("open_a_fifo")),
            test("descriptors_of_other_things", descriptors_of_other_things),
            test_with("unique_ids", privileged, unique_ids),
            test_with("parents_and_owners", privileged, parents_and_owners),
            test_with("what_a_new_user_namespace_owns", privileged, || {
                in_own_process("owned_by_the_own_user_namespace");
            }),
            test("relatives_out_of_sight", relatives_out_of_sight),
            test("questions_to_the_wrong_kind", questions_to_the_wrong_kind),
            test_with("nested_two_deep", privileged, nested_two_deep),
            test_with("pids_inside_and_outside", privileged, pids_inside_and_outside),
            test_with("pids_seen_from_inside", privileged, seen_from_inside),
            test("a_pidfd", a_pidfd),
            test("no_pidfd_for_what_is_no_process", no_pidfd_for_what_is_no_process),
            test("a_pidfd_is_told_from_other_descriptors", a_pidfd_is_told_from_others),
            test("descriptor_0_is_a_descriptor", || in_own_process("descriptor_zero")),
            test("signals_through_a_pidfd", signals_through_a_pidfd),
            test("a_pidfd_of_a_process_that_is_gone", a_pidfd_of_a_process_that_is_gone),
            test_with("namespaces_through_a_pidfd", privileged, namespaces_through_a_pidfd),
        ],
    );
}

const KINDS: [NamespaceKind; 8] = NamespaceKind::ALL;

/// The kinds that this kernel has.
fn kinds_here() -> Vec<NamespaceKind> {
    let shown = |kind: &NamespaceKind| {
        fs::symlink_metadata(format!("/proc/thread-self/ns/{}", kind.proc_name())).is_ok()
    };
    KINDS.into_iter().filter(shown).collect()
}

/// A program that does nothing until its standard input is closed, in new namespaces. It has begun to run.
fn cat(set: Namespaces) -> Child {
    running(Command::new("cat").namespaces(set))
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

/// This test program again, to run only that case, in new namespaces.
fn own_process_in(name: &str, set: Namespaces) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the path of this test"));
    command.env("LINUX_NAMESPACES_CASE", name).namespaces(set);
    command
}

fn succeeds(command: &mut Command) {
    common::stdout_of(command);
}

/// Waits until the process has ended, and leaves it a zombie.
fn wait_for_death(pidfd: &PidFd) {
    let mut poll = libc::pollfd { fd: pidfd.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: `poll` is one `pollfd`, as the count says.
    let ready = unsafe { libc::poll(&raw mut poll, 1, -1) };
    assert_eq!(ready, 1, "{}", io::Error::last_os_error());
}

fn closes_on_exec(fd: impl AsFd) -> bool {
    // SAFETY: asks for the flags of an open descriptor.
    let flags = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_GETFD) };
    assert!(flags >= 0, "{}", io::Error::last_os_error());
    flags & libc::FD_CLOEXEC != 0
}

fn is_open(number: RawFd) -> bool {
    // SAFETY: asks for the flags of whatever has this number.
    unsafe { libc::fcntl(number, libc::F_GETFD) != -1 }
}

/// The inode that a descriptor refers to, as fstat(2) says it.
fn inode_of(fd: impl AsFd) -> u64 {
    let copy = fd.as_fd().try_clone_to_owned().expect("a duplicate");
    File::from(copy).metadata().expect("fstat").ino()
}

/// The calling thread's id, from the kernel.
fn thread_id() -> u32 {
    let link = fs::read_link("/proc/thread-self").expect("/proc/thread-self");
    link.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok()).expect("id")
}

fn first_process_is_shut() -> bool {
    fs::read_link("/proc/1/ns/net")
        .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// A process of the standard library's or of the crate's making that can be waited for.
trait Process {
    fn number(&self) -> u32;
    fn handle(&self) -> PidFd;
    fn reap(&mut self);
}

impl Process for Child {
    fn number(&self) -> u32 {
        self.id()
    }
    fn handle(&self) -> PidFd {
        self.pidfd().try_clone().expect("a duplicate")
    }
    fn reap(&mut self) {
        self.wait().expect("wait");
    }
}

struct StdProcess(std::process::Child);

impl StdProcess {
    fn spawn(command: &mut StdCommand) -> Self {
        Self(command.spawn().expect("a child"))
    }
}

impl Process for StdProcess {
    fn number(&self) -> u32 {
        self.0.id()
    }
    fn handle(&self) -> PidFd {
        PidFd::open(self.number()).expect("a pidfd of a child")
    }
    fn reap(&mut self) {
        self.0.wait().expect("wait");
    }
}

/// The id of a process that has been and is gone, with a pidfd of it.
fn reaped() -> (u32, PidFd) {
    let mut child = Command::new("true").spawn().expect("a child");
    let pid = child.number();
    let pidfd = child.pidfd().try_clone().expect("a duplicate");
    child.reap();
    (pid, pidfd)
}

// ---- kinds and sets

fn the_bits_and_names_are_the_kernels() {
    let kernel = [
        (NamespaceKind::Cgroup, libc::CLONE_NEWCGROUP, "cgroup", flags::CGROUP, Namespaces::CGROUP),
        (NamespaceKind::Ipc, libc::CLONE_NEWIPC, "ipc", flags::IPC, Namespaces::IPC),
        (NamespaceKind::Mount, libc::CLONE_NEWNS, "mnt", flags::MOUNT, Namespaces::MOUNT),
        (NamespaceKind::Net, libc::CLONE_NEWNET, "net", flags::NET, Namespaces::NET),
        (NamespaceKind::Pid, libc::CLONE_NEWPID, "pid", flags::PID, Namespaces::PID),
        (NamespaceKind::Time, libc::CLONE_NEWTIME, "time", flags::TIME, Namespaces::TIME),
        (NamespaceKind::User, libc::CLONE_NEWUSER, "user", flags::USER, Namespaces::USER),
        (NamespaceKind::Uts, libc::CLONE_NEWUTS, "uts", flags::UTS, Namespaces::UTS),
    ];
    assert_eq!(KINDS, kernel.map(|(kind, ..)| kind));
    for (kind, bits, name, flag, constant) in kernel {
        assert_eq!(constant.bits(), bits as u32, "{name}");
        assert_eq!(flag, constant);
        assert_eq!(kind.flag(), constant);
        assert_eq!(kind.proc_name(), name);
        assert_eq!(kind.to_string(), name);
        assert_eq!(format!("{kind:>8}|{kind:<8}|"), format!("{name:>8}|{name:<8}|"));
        assert_eq!(name.parse::<NamespaceKind>().expect(name), kind);
    }
    assert_eq!(Namespaces::NS, Namespaces::MOUNT);
    assert_eq!(flags::NS, Namespaces::MOUNT);
    assert_eq!("mount".parse::<NamespaceKind>().expect("mount"), NamespaceKind::Mount);
    let all = kernel.iter().fold(0, |all, (_, bits, ..)| all | *bits as u32);
    assert_eq!(Namespaces::all().bits(), all);
    assert_eq!(Namespaces::from_bits(libc::CLONE_FILES as u32), None);
}

fn a_set_is_written_in_order() {
    assert_eq!(Namespaces::all().to_string(), "cgroup,ipc,mnt,net,pid,time,user,uts");
    assert_eq!((flags::UTS | flags::PID | flags::NS).to_string(), "mnt,pid,uts");
    assert_eq!(Namespaces::TIME.to_string(), "time");
    assert_eq!(Namespaces::empty().to_string(), "");
    let kinds: Vec<_> = (Namespaces::UTS | Namespaces::CGROUP | Namespaces::NET).kinds().collect();
    assert_eq!(kinds, [NamespaceKind::Cgroup, NamespaceKind::Net, NamespaceKind::Uts]);
    assert_eq!(Namespaces::empty().kinds().count(), 0);
    assert!(KINDS.is_sorted());
}

fn a_set_is_read_in_any_order() {
    let set = Namespaces::PID | Namespaces::MOUNT | Namespaces::UTS;
    for text in ["mnt,pid,uts", "uts,pid,mnt", "pid,uts,mount", "uts,mount,mnt,pid,pid"] {
        assert_eq!(text.parse::<Namespaces>().expect(text), set, "{text}");
    }
    assert_eq!("".parse::<Namespaces>().expect("nothing"), Namespaces::empty());
}

fn every_set_survives_its_text() {
    let mut texts = HashSet::new();
    for chosen in 0..1_u32 << KINDS.len() {
        let kinds: Vec<_> =
            (0..KINDS.len()).filter(|i| chosen >> i & 1 == 1).map(|i| KINDS[i]).collect();
        let set: Namespaces = kinds.iter().copied().collect();
        assert_eq!(set.kinds().collect::<Vec<_>>(), kinds);
        let text = set.to_string();
        assert_eq!(text, kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
        assert_eq!(text.parse::<Namespaces>().expect("its own text"), set);
        assert!(texts.insert(text));
    }
}

fn unknown_names_are_in_the_error() {
    for (text, word) in
        [("pid,nett", "nett"), ("mounts", "mounts"), ("CLONE_NEWNET,pid", "CLONE_NEWNET")]
    {
        let error = text.parse::<Namespaces>().expect_err(text);
        assert_eq!(error.step(), &Step::Parse);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.raw_os_error(), None);
        assert!(error.to_string().contains(word), "{error}");
        assert!(error.to_string().contains("cgroup, ipc, mnt"), "the remedy: {error}");
        assert!(!error.to_string().contains('\n'));
    }
    assert_eq!("pid,,net".parse::<Namespaces>().expect_err("a gap").step(), &Step::Parse);
    let error = "sock".parse::<NamespaceKind>().expect_err("no kind");
    assert_eq!(error.step(), &Step::Parse);
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("sock"), "{error}");
}

fn sets_are_made_of_kinds() {
    assert_eq!(Namespaces::from(NamespaceKind::Net), Namespaces::NET);
    let mut set: Namespaces = [NamespaceKind::Uts, NamespaceKind::Pid].into_iter().collect();
    assert_eq!(set, Namespaces::PID | Namespaces::UTS);
    set.extend([NamespaceKind::Mount, NamespaceKind::Pid]);
    assert_eq!(set, Namespaces::MOUNT | Namespaces::PID | Namespaces::UTS);
    set.extend(Namespaces::empty().kinds());
    assert_eq!(set.kinds().count(), 3);
}

// ---- snapshots

/// Compares a snapshot with the directory that it was made from.
fn matches_directory(snapshot: &ProcessNamespaces, directory: &str) {
    for kind in KINDS {
        let path = format!("{directory}/{}", kind.proc_name());
        if !kinds_here().contains(&kind) {
            assert_eq!(snapshot.get(kind), None);
            continue;
        }
        let id = snapshot.get(kind).unwrap_or_else(|| panic!("no {kind} of {directory}"));
        let stat = fs::metadata(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!((id.kind(), id.dev(), id.ino()), (kind, stat.dev(), stat.ino()), "{path}");
        assert_eq!(Path::new(&id.to_string()), fs::read_link(&path).expect("a link"));
        match kind {
            NamespaceKind::Pid | NamespaceKind::Time => {
                let id = snapshot.for_children(kind).expect("of its children");
                assert_eq!((id.kind(), id.ino()), (kind, inode(format!("{path}_for_children"))));
            }
            _ => assert_eq!(snapshot.for_children(kind), None),
        }
    }
    assert_eq!(snapshot.iter().map(|id| id.kind()).collect::<Vec<_>>(), kinds_here());
    assert!(snapshot.iter().all(|id| snapshot.get(id.kind()) == Some(id)));
}

fn a_snapshot_has_what_stat_says() {
    let me = std::process::id();
    let current = ProcessNamespaces::current().expect("current");
    matches_directory(&current, "/proc/thread-self/ns");
    assert_eq!(ProcessNamespaces::of(me).expect("of"), current);
    let pidfd = PidFd::open(me).expect("a pidfd of the own process");
    assert_eq!(ProcessNamespaces::of_process(&pidfd).expect("of_process"), current);

    let mut child = cat(Namespaces::empty());
    matches_directory(
        &ProcessNamespaces::of(child.id()).expect("a child's"),
        &format!("/proc/{}/ns", child.id()),
    );
    child.wait().expect("wait");
}

/// What `readlink` says of each entry of a directory, in the order of their names, as `ls -l` lists them.
fn links(directory: &str) -> String {
    let mut names: Vec<_> = fs::read_dir(directory)
        .expect("a list")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    let lines = names.iter().map(|name| {
        let link = fs::read_link(format!("{directory}/{name}")).expect("a link");
        format!("{name} -> {}", link.display())
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn a_snapshot_reads_like_ls() {
    let current = ProcessNamespaces::current().expect("current");
    assert_eq!(current.to_string(), links("/proc/thread-self/ns"));
}

fn a_thread_that_unshared() {
    if !is_root() {
        // The right to the rest, while there is one thread.
        unshare(Namespaces::USER).expect("unshare USER");
    }
    let leader = ProcessNamespaces::current().expect("current");
    let me = std::process::id();
    let moved = Namespaces::UTS | Namespaces::IPC;
    let differing = thread::spawn(move || {
        unshare(moved).expect("unshare");
        let here = ProcessNamespaces::current().expect("current");
        matches_directory(&here, "/proc/thread-self/ns");
        for kind in moved.kinds() {
            let handle = Namespace::current(kind).expect("a handle");
            assert_eq!(
                handle.id().expect("id").ino(),
                inode(format!("/proc/thread-self/ns/{kind}"))
            );
            assert_ne!(handle.id().expect("id").ino(), inode(format!("/proc/self/ns/{kind}")));
        }
        let id = thread_id();
        assert_ne!(id, me);
        assert_eq!(ProcessNamespaces::of(id).expect("by the thread's id"), here);
        assert_eq!(
            Namespace::of(id, NamespaceKind::Uts).expect("by the thread's id").id().ok(),
            here.get(NamespaceKind::Uts)
        );
        let process = ProcessNamespaces::of(me).expect("the process");
        matches_directory(&process, &format!("/proc/{me}/ns"));
        here.differing_from(&process)
    });
    assert_eq!(differing.join().expect("the thread"), moved);
    assert_eq!(ProcessNamespaces::current().expect("current"), leader);
}

fn after_unshare_pid() {
    let before = ProcessNamespaces::current().expect("current");
    unshare(with_user(Namespaces::PID)).expect("unshare");
    let entry = "/proc/thread-self/ns/pid_for_children";
    assert_eq!(fs::read_link(entry).expect_err("no child yet").kind(), ErrorKind::NotFound);
    let waiting = ProcessNamespaces::current().expect("current");
    assert_eq!(waiting.for_children(NamespaceKind::Pid), None);
    assert_eq!(waiting.get(NamespaceKind::Pid), before.get(NamespaceKind::Pid));
    assert_eq!(waiting.to_string().lines().count(), before.to_string().lines().count() - 1);

    let mut child = cat(Namespaces::empty());
    let now = ProcessNamespaces::current().expect("current");
    assert_eq!(now.get(NamespaceKind::Pid), before.get(NamespaceKind::Pid));
    let children = now.for_children(NamespaceKind::Pid).expect("there is a child");
    assert_eq!(children.ino(), inode(entry));
    assert_eq!(children.ino(), inode(format!("/proc/{}/ns/pid", child.id())));
    assert_ne!(Some(children), before.get(NamespaceKind::Pid));
    assert_eq!(now.to_string(), links("/proc/thread-self/ns"));
    child.wait().expect("wait");
}

fn after_unshare_time() {
    let before = ProcessNamespaces::current().expect("current");
    unshare(with_user(Namespaces::TIME)).expect("unshare");
    let now = ProcessNamespaces::current().expect("current");
    assert_eq!(now.get(NamespaceKind::Time), before.get(NamespaceKind::Time));
    let children = now.for_children(NamespaceKind::Time).expect("of its children");
    assert_eq!(children.ino(), inode("/proc/thread-self/ns/time_for_children"));
    assert_ne!(Some(children), before.get(NamespaceKind::Time));
    matches_directory(&now, "/proc/thread-self/ns");
}

fn zombie<P: Process>(spawn: impl FnOnce() -> P) {
    let mut child = spawn();
    let pid = child.number();
    let pidfd = child.handle();
    wait_for_death(&pidfd);
    let state = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    assert!(field("State", &state).starts_with('Z'), "{state}");

    let left = ProcessNamespaces::of(pid).expect("what is left");
    for kind in KINDS {
        let link = fs::read_link(format!("/proc/{pid}/ns/{kind}"));
        assert_eq!(
            left.get(kind).map(|id| PathBuf::from(id.to_string())),
            link.ok(),
            "{kind} of a zombie"
        );
    }
    let kinds: Namespaces = left.iter().map(|id| id.kind()).collect();
    assert_eq!(kinds, Namespaces::PID | Namespaces::USER);
    assert_eq!(ProcessNamespaces::of_process(&pidfd).expect("by pidfd"), left);
    // What one of both does not show is neither shared nor different.
    let here = ProcessNamespaces::current().expect("current");
    assert_eq!(left.shared_with(&here) | left.differing_from(&here), kinds);
    assert_eq!(here.shared_with(&left) | here.differing_from(&left), kinds);

    assert_eq!(pidfd.pid().expect("pid"), Some(pid), "not yet waited for");
    pidfd.send_signal(0).expect("it is there");
    for kind in [NamespaceKind::User, NamespaceKind::Pid] {
        let namespace = pidfd.namespace(kind).expect("a zombie's");
        assert_eq!(namespace.id().ok(), left.get(kind));
        assert_eq!(Namespace::of(pid, kind).expect("a zombie's").id().ok(), left.get(kind));
    }
    let error = pidfd.namespace(NamespaceKind::Net).expect_err("a zombie is in none");
    assert_eq!(error.step(), &Step::Inspect);
    assert!(error.to_string().contains(&format!("process {pid}")), "{error}");
    assert!(error.raw_os_error().is_some());

    child.reap();
    gone(pid, &pidfd);
}

/// All that can be said of a process that was waited for is that it is gone.
fn gone(pid: u32, pidfd: &PidFd) {
    assert_eq!(pidfd.pid().expect("pid"), None);
    let error = ProcessNamespaces::of_process(pidfd).expect_err("gone");
    assert_eq!(error.step(), &Step::Inspect);
    assert_eq!(error.raw_os_error(), Some(libc::ESRCH), "{error}");
    for kind in KINDS {
        let error = pidfd.namespace(kind).expect_err("gone");
        assert_eq!(error.step(), &Step::Inspect);
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH), "{error}");
    }
    let error = pidfd.send_signal(0).expect_err("gone");
    assert_eq!(error.step(), &Step::Signal);
    assert_eq!(error.raw_os_error(), Some(libc::ESRCH), "{error}");
    absent(pid);
}

/// No process has this id.
fn absent(pid: u32) {
    let error = ProcessNamespaces::of(pid).expect_err("no such process");
    assert_eq!(error.step(), &Step::Inspect);
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains(&format!("process {pid}:")), "{error}");
    let error = Namespace::of(pid, NamespaceKind::Net).expect_err("no such process");
    assert_eq!(error.step(), &Step::Inspect);
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains(&format!("net namespace of process {pid}:")), "{error}");
    let error = PidFd::open(pid).expect_err("no such process");
    assert!(error.to_string().contains(&pid.to_string()), "{error}");
}

fn processes_that_do_not_exist() {
    let (pid, _) = reaped();
    for pid in [0, u32::MAX, i32::MAX as u32, i32::MAX as u32 + 1, pid] {
        absent(pid);
    }
}

/// Makes this process one that only root may look into, and waits.
fn closed_to_others() {
    // SAFETY: sets a flag.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }, 0);
    println!("closed");
    let _ = io::stdin().read_to_end(&mut Vec::new());
}

fn shut_by_itself() {
    let mut child = case("closed_to_others")
        .stdin(StdStdio::piped())
        .stdout(StdStdio::piped())
        .spawn()
        .expect("this test program can be started");
    let mut line = [0; 7];
    child.stdout.as_mut().expect("a pipe").read_exact(&mut line).expect("a line");
    refuses_to_show(child.id());
    assert!(child.wait().expect("wait").success());
}

fn refuses_to_show(pid: u32) {
    let denied = |error: Error| {
        assert_eq!(error.step(), &Step::Inspect);
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        assert!(error.to_string().contains(&format!("process {pid}")), "{error}");
        error
    };
    let why = "the caller may not look into that process: be its user and have all the capabilities that it has, while it is \
               dumpable (which it is not after a change of its ids), or have CAP_SYS_PTRACE";
    let pidfd = PidFd::open(pid).expect("it exists");
    for result in [ProcessNamespaces::of(pid), ProcessNamespaces::of_process(&pidfd)] {
        assert_eq!(denied(result.expect_err("may not be looked into")).hint(), Some(why));
    }
    for kind in kinds_here() {
        for result in [Namespace::of(pid, kind), pidfd.namespace(kind)] {
            assert_eq!(denied(result.expect_err("may not be looked into")).hint(), Some(why));
        }
        let path = format!("/proc/{pid}/ns/{kind}");
        let error = Namespace::open(&path).expect_err("may not be looked into");
        assert_eq!(
            error.to_string(),
            format!("open {path}: Permission denied (os error 13): {why}")
        );
    }
}

fn shared_and_differing() {
    let here = ProcessNamespaces::current().expect("current");
    let known: Namespaces = kinds_here().into_iter().collect();
    assert_eq!(here.shared_with(&here), known);
    assert_eq!(here.differing_from(&here), Namespaces::empty());

    let set = with_user(Namespaces::UTS | Namespaces::NET | Namespaces::PID);
    let mut child = cat(set);
    let there = ProcessNamespaces::of(child.id()).expect("the child's");
    assert_eq!(child.namespaces().expect("the child's"), there);
    matches_directory(&there, &format!("/proc/{}/ns", child.id()));
    assert_eq!(there.to_string(), links(&format!("/proc/{}/ns", child.id())));
    assert_eq!(there.differing_from(&here), set);
    assert_eq!(here.differing_from(&there), set);
    assert_eq!(there.shared_with(&here), known - set);
    assert_eq!(here.shared_with(&there), known - set);
    assert_ne!(there, here);
    child.wait().expect("wait");

    let mut child = cat(Namespaces::empty());
    assert_eq!(child.namespaces().expect("the child's"), here);
    child.wait().expect("wait");
}

fn as_soon_as_spawn_returns() {
    let here = ProcessNamespaces::current().expect("current");
    let set: Namespaces = kinds_here().into_iter().collect();
    let set = if is_root() { set - Namespaces::USER } else { set };
    for round in 0..200 {
        let mut command = Command::new("cat");
        command.namespaces(set).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let there = child.namespaces().expect("the child's");
        assert_eq!(there.differing_from(&here), set, "round {round}");
        child.wait().expect("wait");
    }
}

/// In a mount namespace of its own.
fn without_proc() {
    let me = PidFd::open(std::process::id()).expect("a pidfd");
    // SAFETY: three strings that end in NUL, and no data.
    let mounted = unsafe {
        libc::mount(c"none".as_ptr(), c"/proc".as_ptr(), c"tmpfs".as_ptr(), 0, std::ptr::null())
    };
    assert_eq!(mounted, 0, "{}", io::Error::last_os_error());
    let errors = [
        ProcessNamespaces::current().expect_err("no /proc"),
        ProcessNamespaces::of(std::process::id()).expect_err("no /proc"),
        Namespace::current(NamespaceKind::Net).expect_err("no /proc"),
    ];
    for error in errors {
        assert_eq!(error.step(), &Step::Inspect);
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
    ProcessNamespaces::of_process(&me).expect_err("no /proc");
}

// ---- handles

fn a_handle_is_what_stat_says() {
    let me = std::process::id();
    let pidfd = PidFd::open(me).expect("a pidfd");
    for kind in kinds_here() {
        let path = format!("/proc/thread-self/ns/{kind}");
        let stat = fs::metadata(&path).expect("stat");
        let current = Namespace::current(kind).expect("current");
        let handles = [
            current.try_clone().expect("try_clone"),
            current,
            Namespace::of(me, kind).expect("of"),
            Namespace::open(&path).expect("open"),
            pidfd.namespace(kind).expect("by pidfd"),
        ];
        let mut numbers = BTreeSet::new();
        for handle in &handles {
            assert_eq!(handle.kind(), kind);
            let id = handle.id().expect("id");
            assert_eq!((id.kind(), id.dev(), id.ino()), (kind, stat.dev(), stat.ino()));
            assert_eq!(inode_of(handle), stat.ino());
            assert_eq!(Path::new(&id.to_string()), fs::read_link(&path).expect("a link"));
            assert!(closes_on_exec(handle), "{handle:?}");
            assert!(numbers.insert(handle.as_fd().as_raw_fd()), "each has its own descriptor");
        }
    }
    for kind in [NamespaceKind::Pid, NamespaceKind::Time] {
        let path = format!("/proc/thread-self/ns/{kind}_for_children");
        let handle = Namespace::open(&path).expect("open");
        assert_eq!((handle.kind(), handle.id().expect("id").ino()), (kind, inode(&path)));
    }
}

fn a_handle_becomes_a_descriptor_and_back() {
    for kind in kinds_here() {
        let ino = inode(format!("/proc/thread-self/ns/{kind}"));
        let fd = OwnedFd::from(Namespace::current(kind).expect("current"));
        let number = fd.as_raw_fd();
        assert_eq!(inode_of(&fd), ino);
        let handle = Namespace::try_from(fd).expect("a namespace file");
        assert_eq!(handle.as_fd().as_raw_fd(), number);
        assert_eq!(handle.kind(), kind);
        assert_eq!(handle.id().expect("id").ino(), ino);
        drop(handle);
        assert!(!is_open(number), "a dropped handle is closed");
    }
}

fn a_handle_keeps_its_namespace() {
    let mut child = cat(with_user(Namespaces::UTS));
    let handle = child.namespace(NamespaceKind::Uts).expect("a handle");
    let id = handle.id().expect("id");
    assert_eq!(id.ino(), inode(format!("/proc/{}/ns/uts", child.id())));
    child.wait().expect("wait");
    // A freed inode is the first that the kernel gives again.
    let mut others: Vec<_> = (0..4).map(|_| cat(with_user(Namespaces::UTS))).collect();
    for other in &others {
        assert_ne!(inode(format!("/proc/{}/ns/uts", other.id())), id.ino());
    }
    assert_eq!(handle.id().expect("id"), id);
    for other in &mut others {
        other.wait().expect("wait");
    }
}

/// What `open` says of a path that is none of a namespace.
fn refusal(path: impl AsRef<Path>) -> Error {
    let path = path.as_ref();
    let error = Namespace::open(path).expect_err("no namespace file");
    assert_eq!(error.step(), &Step::Open(path.to_path_buf()));
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    error
}

fn what_is_no_namespace_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    fs::write(&file, "text").expect("a file");
    let link = directory.path().join("link");
    std::os::unix::fs::symlink("/proc/thread-self/ns/net", &link).expect("a link");
    assert_eq!(Namespace::open(&link).expect("through a link").kind(), NamespaceKind::Net);

    let others = [
        file.as_path(),
        directory.path(),
        Path::new("/dev/null"),
        Path::new("/proc/self/ns"),
        Path::new("/proc/self/status"),
        Path::new("/proc/self/exe"),
    ];
    for path in others {
        let error = refusal(path);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("namespace file")), "{error}");
    }
    assert_eq!(fs::read_to_string(&file).expect("still there"), "text");

    let error = refusal(directory.path().join("missing"));
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT));

    let error = Namespace::open("/proc/self/ns/n\0t").expect_err("no path");
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.to_string().contains("/proc/self/ns/n"), "{error}");
    assert_eq!(error.raw_os_error(), None, "no call was made");
}

fn open_a_fifo() {
    // SAFETY: takes a number. A process that hangs ends by the signal.
    unsafe { libc::alarm(20) };
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("fifo");
    let name = CString::new(path.as_os_str().as_bytes()).expect("no NUL");
    // SAFETY: a path that ends in NUL.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    assert_eq!(refusal(&path).kind(), ErrorKind::InvalidInput);
}

fn descriptors_of_other_things() {
    let me = PidFd::open(std::process::id()).expect("a pidfd");
    let others: [OwnedFd; 4] = [
        File::open("/dev/null").expect("a device").into(),
        File::open("/proc/self/status").expect("a file").into(),
        UnixDatagram::unbound().expect("a socket").into(),
        me.into(),
    ];
    for fd in others {
        let number = fd.as_raw_fd();
        let error = Namespace::try_from(fd).expect_err("no namespace file");
        assert_eq!(error.step(), &Step::Inspect);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(&format!("descriptor {number}")), "{error}");
        assert!(!is_open(number), "it is closed");
    }
}

/// Whether this kernel is one of those that number all namespaces.
fn numbers_namespaces() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let mut numbers = release.split('.').map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(18))
}

fn unique_ids() {
    let mut child = cat(with_user(Namespaces::all() - Namespaces::USER));
    let mut known = BTreeSet::new();
    for kind in kinds_here() {
        let here = Namespace::current(kind).expect("current");
        let there = child.namespace(kind).expect("the child's");
        for handle in [&here, &there] {
            let Some(id) = handle.unique_id().expect("unique_id") else {
                assert!(!numbers_namespaces(), "this kernel numbers them");
                continue;
            };
            let same = handle.id().ok() == here.id().ok() && !std::ptr::eq(handle, &here);
            assert_eq!(known.insert(id), !same, "{id} of {handle:?}");
            let other = handle.try_clone().expect("try_clone");
            assert_eq!(other.unique_id().expect("unique_id"), Some(id));
        }
    }
    child.wait().expect("wait");
}

fn parents_and_owners() {
    let mut child = cat(Namespaces::all());
    let pid = child.id();
    let user = child.namespace(NamespaceKind::User).expect("the child's");
    assert_eq!(user.id().expect("id").ino(), inode(format!("/proc/{pid}/ns/user")));
    for kind in [NamespaceKind::User, NamespaceKind::Pid] {
        let parent = child.namespace(kind).expect("the child's").parent().expect("parent");
        let parent = parent.expect("it is in sight: the caller's own");
        assert_eq!(parent.kind(), kind);
        assert_eq!(parent.id().expect("id").ino(), inode(format!("/proc/self/ns/{kind}")));
        assert!(closes_on_exec(&parent));
    }
    for kind in kinds_here() {
        let owner = child.namespace(kind).expect("the child's").owner().expect("owner");
        let owner = owner.unwrap_or_else(|| panic!("the owner of {kind} is in sight"));
        assert_eq!(owner.kind(), NamespaceKind::User);
        assert!(closes_on_exec(&owner));
        let expected = match kind {
            // A user namespace is owned by the one around it.
            NamespaceKind::User => inode("/proc/self/ns/user"),
            _ => inode(format!("/proc/{pid}/ns/user")),
        };
        assert_eq!(owner.id().expect("id").ino(), expected, "the owner of {kind}");
    }
    let me = fs::metadata("/proc/self").expect("stat").uid();
    assert_eq!(user.owner_uid().expect("owner_uid"), me);
    child.wait().expect("wait");
}

fn owned_by_the_own_user_namespace() {
    unshare(Namespaces::USER | Namespaces::NET).expect("unshare");
    let owner = Namespace::current(NamespaceKind::Net).expect("current").owner().expect("owner");
    let owner = owner.expect("the caller's own is in sight");
    assert_eq!(owner.id().expect("id").ino(), inode("/proc/thread-self/ns/user"));
    // The old ones are owned by the namespace around.
    let uts = Namespace::current(NamespaceKind::Uts).expect("current");
    assert!(uts.owner().expect("out of sight is no error").is_none());
    relatives_out_of_sight();
}

fn relatives_out_of_sight() {
    let user = Namespace::current(NamespaceKind::User).expect("current");
    assert!(user.parent().expect("out of sight is no error").is_none());
    assert!(user.owner().expect("out of sight is no error").is_none());
    let pid = Namespace::current(NamespaceKind::Pid).expect("current");
    assert!(pid.parent().expect("out of sight is no error").is_none());
}

fn questions_to_the_wrong_kind() {
    let me = std::process::id();
    for kind in kinds_here() {
        let namespace = Namespace::current(kind).expect("current");
        let name = fs::read_link(format!("/proc/thread-self/ns/{kind}")).expect("a link");
        let refused = |result: Option<Error>, right: &[NamespaceKind]| {
            if right.contains(&kind) {
                assert!(result.is_none(), "{result:?}");
                return;
            }
            let error = result.unwrap_or_else(|| panic!("refused for {kind}"));
            assert_eq!(error.step(), &Step::Validate);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            assert!(error.to_string().contains(&name.display().to_string()), "{error}");
        };
        refused(namespace.parent().err(), &[NamespaceKind::User, NamespaceKind::Pid]);
        refused(namespace.owner_uid().err(), &[NamespaceKind::User]);
        refused(namespace.pid_inside(me).err(), &[NamespaceKind::Pid]);
        refused(namespace.pid_outside(me).err(), &[NamespaceKind::Pid]);
    }
}

/// The numbers of a process in each pid namespace, from this one down to its own.
fn numbers_of(pid: u32) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    field("NSpid", &status).split('\t').map(|number| number.parse().expect("a number")).collect()
}

fn nested_two_deep() {
    let both = [NamespaceKind::User, NamespaceKind::Pid];
    let mut outer = cat(Namespaces::USER | Namespaces::PID);
    let mut command = Command::new("cat");
    for kind in both {
        command.enter(&outer.namespace(kind).expect("the outer"));
    }
    command.namespaces(Namespaces::USER | Namespaces::PID);
    let mut inner = running(&mut command);
    let numbers = numbers_of(inner.id());
    assert_eq!(numbers.len(), 3, "{numbers:?}");
    assert_eq!((numbers[0], numbers[2]), (inner.id(), 1));

    for kind in both {
        let namespace = inner.namespace(kind).expect("the inner");
        let one = namespace.parent().expect("parent").expect("the outer is in sight");
        assert_eq!(one.id().expect("id").ino(), inode(format!("/proc/{}/ns/{kind}", outer.id())));
        let two = one.parent().expect("parent").expect("the caller's own is in sight");
        assert_eq!(two.id().expect("id").ino(), inode(format!("/proc/thread-self/ns/{kind}")));
        assert!(two.parent().expect("out of sight is no error").is_none());
        let owner = namespace.owner().expect("owner").expect("in sight");
        let expected = match kind {
            NamespaceKind::User => outer.id(),
            _ => inner.id(),
        };
        assert_eq!(owner.id().expect("id").ino(), inode(format!("/proc/{expected}/ns/user")));
    }

    let [here, middle, deep] = [
        Namespace::current(NamespaceKind::Pid),
        outer.namespace(NamespaceKind::Pid),
        inner.namespace(NamespaceKind::Pid),
    ]
    .map(|namespace| namespace.expect("a pid namespace"));
    for (namespace, number) in [(&here, numbers[0]), (&middle, numbers[1]), (&deep, numbers[2])] {
        assert_eq!(namespace.pid_inside(inner.id()).expect("pid_inside"), Some(number));
        assert_eq!(namespace.pid_outside(number).expect("pid_outside"), Some(inner.id()));
    }
    assert_eq!(middle.pid_inside(outer.id()).expect("pid_inside"), Some(1));
    assert_eq!(deep.pid_inside(outer.id()).expect("pid_inside"), None, "one further out");
    inner.wait().expect("wait");
    outer.wait().expect("wait");
}

fn pids_inside_and_outside() {
    let mut child = cat(with_user(Namespaces::PID));
    let pid = child.id();
    let me = std::process::id();
    let here = Namespace::current(NamespaceKind::Pid).expect("current");
    let there = child.namespace(NamespaceKind::Pid).expect("the child's");
    assert_eq!(numbers_of(pid), [pid, 1]);
    assert_eq!(there.pid_inside(pid).expect("pid_inside"), Some(1));
    assert_eq!(there.pid_outside(1).expect("pid_outside"), Some(pid));
    assert_eq!(here.pid_inside(pid).expect("pid_inside"), Some(pid));
    assert_eq!(here.pid_outside(pid).expect("pid_outside"), Some(pid));
    assert_eq!(here.pid_inside(me).expect("pid_inside"), Some(me));
    assert_eq!(there.pid_inside(me).expect("pid_inside"), None, "the caller is not in it");
    let (gone, _) = reaped();
    for absent in [0, gone, i32::MAX as u32, u32::MAX] {
        assert_eq!(here.pid_inside(absent).expect("no error"), None, "{absent}");
        assert_eq!(here.pid_outside(absent).expect("no error"), None, "{absent}");
        assert_eq!(there.pid_inside(absent).expect("no error"), None, "{absent}");
        assert_eq!(there.pid_outside(absent).expect("no error"), None, "{absent}");
    }
    child.wait().expect("wait");
    // The handle holds the namespace, which has nobody left in it.
    assert_eq!(there.pid_outside(1).expect("no error"), None);
}

/// The number of the descriptor under which [`inside_a_pid_namespace`] finds the namespace around it.
const OUTER: RawFd = 9;

fn seen_from_inside() {
    let outer = Namespace::current(NamespaceKind::Pid).expect("current");
    let mut command = own_process_in("inside_a_pid_namespace", with_user(Namespaces::PID));
    succeeds(command.fd(OUTER, outer));
}

/// Process 1 of a pid namespace, with the /proc of the one around.
fn inside_a_pid_namespace() {
    assert_eq!(std::process::id(), 1);
    let outside = fs::read_link("/proc/self").expect("the old /proc shows this process");
    let outside: u32 = outside.to_str().expect("text").parse().expect("a number");
    assert_ne!(outside, 1);

    // Number 1 is somebody else in this /proc, and must not be looked at in place of this process.
    let me = PidFd::open(1).expect("a pidfd");
    assert_eq!(me.pid().expect("pid"), Some(1));
    let here = ProcessNamespaces::current().expect("current");
    matches_directory(&here, "/proc/thread-self/ns");
    assert_eq!(ProcessNamespaces::of_process(&me).expect("of_process"), here);
    assert_eq!(ProcessNamespaces::of(outside).expect("as /proc numbers it"), here);
    for kind in kinds_here() {
        assert_eq!(me.namespace(kind).expect("by pidfd").id().ok(), here.get(kind));
    }

    let outer = Namespace::open(format!("/proc/self/fd/{OUTER}")).expect("the namespace around");
    assert_ne!(outer.id().ok(), here.get(NamespaceKind::Pid));
    assert_eq!(outer.pid_inside(1).expect("pid_inside"), Some(outside));
    assert_eq!(outer.pid_outside(outside).expect("pid_outside"), Some(1));
    assert_eq!(outer.pid_outside(1).expect("pid_outside"), None, "there is one, out of sight");
    relatives_out_of_sight();
}

// ---- processes

fn a_pidfd() {
    let mut child = StdCommand::new("cat")
        .stdin(StdStdio::piped())
        .stdout(StdStdio::null())
        .spawn()
        .expect("a child");
    let pid = child.id();
    let pidfd = PidFd::open(pid).expect("a pidfd");
    let copy = pidfd.try_clone().expect("try_clone");
    assert_ne!(pidfd.as_fd().as_raw_fd(), copy.as_fd().as_raw_fd());
    for pidfd in [&pidfd, &copy] {
        assert_eq!(pidfd.pid().expect("pid"), Some(pid));
        assert!(closes_on_exec(pidfd));
        let number = pidfd.as_fd().as_raw_fd();
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).expect("fdinfo");
        assert_eq!(field("Pid", &info), pid.to_string());
    }
    drop(pidfd);
    assert_eq!(copy.pid().expect("a copy stands alone"), Some(pid));
    let fd = OwnedFd::from(copy);
    let again = PidFd::try_from(fd).expect("it is a pidfd");
    assert_eq!(again.pid().expect("pid"), Some(pid));
    child.wait().expect("wait");
    assert_eq!(again.pid().expect("pid"), None);
    // One of a process that is gone is a pidfd nevertheless.
    let again = PidFd::try_from(OwnedFd::from(again)).expect("it is a pidfd");
    assert_eq!(again.pid().expect("pid"), None);
}

fn no_pidfd_for_what_is_no_process() {
    for pid in [0, i32::MAX as u32 + 1, u32::MAX] {
        let error = PidFd::open(pid).expect_err("no process id");
        assert_eq!(error.step(), &Step::Validate);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.raw_os_error(), None);
        assert!(error.to_string().contains(&format!("{pid} is no process id")), "{error}");
    }
    let (pid, _) = reaped();
    for pid in [pid, i32::MAX as u32] {
        let error = PidFd::open(pid).expect_err("no process");
        assert_eq!(error.step(), &Step::Inspect);
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH), "{error}");
        assert!(error.to_string().contains(&format!("process {pid}:")), "{error}");
    }

    let (tell, told) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    let other = thread::spawn(move || {
        tell.send(thread_id()).expect("told");
        let _ = ended.recv();
    });
    let thread = told.recv().expect("the id of the thread");
    let error = PidFd::open(thread).expect_err("a thread is no process");
    drop(end);
    other.join().expect("the thread");
    assert_eq!(error.step(), &Step::Inspect);
    // ENOENT since Linux 6.16.
    assert!(matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)), "{error}");
    assert!(error.to_string().contains(&format!("process {thread}:")), "{error}");
}

fn a_pidfd_is_told_from_others() {
    let others: [OwnedFd; 5] = [
        File::open("/dev/null").expect("a device").into(),
        // Old kernels took this for a pidfd in some places.
        File::open("/proc/self").expect("a directory").into(),
        File::open("/proc/self/status").expect("a file").into(),
        UnixDatagram::unbound().expect("a socket").into(),
        Namespace::current(NamespaceKind::Net).expect("current").into(),
    ];
    for fd in others {
        let number = fd.as_raw_fd();
        let error = PidFd::try_from(fd).expect_err("no pidfd");
        assert_eq!(error.step(), &Step::Inspect);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(&format!("descriptor {number}")), "{error}");
        assert!(!is_open(number), "it is closed");
    }
}

fn descriptor_zero() {
    // SAFETY: nothing in this process reads its standard input.
    assert_eq!(unsafe { libc::close(0) }, 0);
    let pid = std::process::id();
    let me = PidFd::open(pid).expect("a pidfd");
    assert_eq!(me.as_fd().as_raw_fd(), 0);
    assert_eq!(me.pid().expect("pid"), Some(pid));
    let process = ProcessNamespaces::of_process(&me).expect("of_process");
    matches_directory(&process, "/proc/self/ns");
    drop(me);
    let net = Namespace::current(NamespaceKind::Net).expect("current");
    assert_eq!(net.as_fd().as_raw_fd(), 0);
    assert_eq!(net.id().expect("id").ino(), inode("/proc/thread-self/ns/net"));
}

fn signals_through_a_pidfd() {
    let mut child = cat(Namespaces::empty());
    let pidfd = child.handle();
    pidfd.send_signal(0).expect("it is there");
    for wrong in [-1, 65, 1000, i32::MIN, i32::MAX] {
        let error = pidfd.send_signal(wrong).expect_err("no signal");
        assert_eq!(error.step(), &Step::Signal);
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{error}");
        assert!(error.to_string().starts_with(&format!("signal {wrong}: ")), "{error}");
    }
    assert!(child.try_wait().expect("try_wait").is_none(), "none of that hurt it");
    pidfd.send_signal(libc::SIGTERM).expect("send");
    assert_eq!(child.wait().expect("wait").signal(), Some(libc::SIGTERM));
    let error = pidfd.send_signal(libc::SIGTERM).expect_err("gone");
    assert_eq!(error.raw_os_error(), Some(libc::ESRCH), "{error}");
    assert!(error.to_string().contains(&libc::SIGTERM.to_string()), "{error}");
}

fn a_pidfd_of_a_process_that_is_gone() {
    let (pid, pidfd) = reaped();
    gone(pid, &pidfd);
    gone(pid, &pidfd.try_clone().expect("try_clone"));
}

fn namespaces_through_a_pidfd() {
    let mut child = cat(Namespaces::all());
    let pidfd = PidFd::open(child.id()).expect("a pidfd");
    for pidfd in [&pidfd, child.pidfd()] {
        for kind in kinds_here() {
            let namespace = pidfd.namespace(kind).expect("by pidfd");
            assert_eq!(namespace.kind(), kind);
            assert_eq!(
                namespace.id().expect("id").ino(),
                inode(format!("/proc/{}/ns/{kind}", child.id()))
            );
            assert_ne!(inode_of(&namespace), inode(format!("/proc/self/ns/{kind}")));
            assert!(closes_on_exec(&namespace));
        }
    }
    child.wait().expect("wait");
}
