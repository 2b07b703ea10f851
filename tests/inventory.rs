//! The inventory: what it shows of namespaces that are held in every way, beside lsns(8), and while processes come and go.
mod common;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::process::Command as StdCommand;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Footprint, Need, in_own_process, inode, is_root, test, test_with, with_user};
use linux_namespaces::{
    Child, Command, Inventory, Namespace, NamespaceId, NamespaceInfo, NamespaceKind, Namespaces,
    ProcessNamespaces, Stdio, TreeOrder, unshare,
};

/// Compiles only if other threads may have all of these.
const _: fn() = || {
    fn shared<T: Send + Sync + Debug + 'static>() {}
    shared::<Inventory>();
    shared::<NamespaceInfo>();
    shared::<TreeOrder>();
};

const LSNS: Need = Need::Program("lsns");

fn main() {
    let privileged: &[Need] = if is_root() { &[Need::Root] } else { &[Need::UserNamespaces] };
    let with_lsns: &[Need] =
        if is_root() { &[Need::Root, LSNS] } else { &[Need::UserNamespaces, LSNS] };
    common::run(
        &[
            ("beside_lsns", beside_lsns),
            ("held_by_a_socket", held_by_a_socket),
            ("a_thread_elsewhere", a_thread_elsewhere),
            ("for_children", for_children),
            ("from_inside", from_inside),
            ("churn", churn),
            ("few_descriptors", few_descriptors),
            ("no_descriptors", no_descriptors),
            ("without_proc", without_proc),
            ("a_zombie", a_zombie),
            ("a_first_thread_that_ended", a_first_thread_that_ended),
        ],
        vec![
            test("every_own_namespace_is_there", every_own_namespace_is_there),
            test("queries_agree_with_each_other", queries_agree_with_each_other),
            test("a_scan_leaves_nothing_behind", a_scan_leaves_nothing_behind),
            test_with("the_same_as_lsns_in_a_small_world", with_lsns, || {
                in_own_world("beside_lsns")
            }),
            test_with("the_same_as_lsns_on_this_host", &[LSNS], the_same_as_lsns_on_this_host),
            test_with("members_owners_and_parents", privileged, members_owners_and_parents),
            test_with("held_by_a_descriptor", privileged, held_by_a_descriptor),
            test_with("kept_by_a_bind_mount", privileged, kept_by_a_bind_mount),
            test_with("held_by_a_socket", privileged, || in_own_process("held_by_a_socket")),
            test_with("kept_as_an_ancestor", privileged, kept_as_an_ancestor),
            test_with("a_thread_elsewhere", privileged, || in_own_process("a_thread_elsewhere")),
            test_with("for_children", privileged, || in_own_process("for_children")),
            test_with("a_zombie", privileged, || in_own_world("a_zombie")),
            test_with("a_first_thread_that_ended", privileged, || {
                in_own_world("a_first_thread_that_ended");
            }),
            test_with("what_is_shut_is_counted", privileged, what_is_shut_is_counted),
            test_with("others_processes_are_counted", &[Need::User], others_are_counted),
            test_with("while_processes_come_and_go", privileged, || in_own_world("churn")),
            test_with("with_few_descriptors", privileged, || in_own_world("few_descriptors")),
            test("without_descriptors", || in_own_process("no_descriptors")),
            test_with("without_proc", privileged, || {
                let mut command = own_process_in("without_proc", with_user(Namespaces::MOUNT));
                succeeds(&mut command);
            }),
            test_with("trees_show_each_once", privileged, trees_show_each_once),
            test_with(
                "graphviz_reads_the_graph",
                &[Need::Program("dot")],
                graphviz_reads_the_graph,
            ),
            test_with("as_json", privileged, as_json),
        ],
    );
}

fn scan() -> Inventory {
    Inventory::scan().expect("a scan")
}

/// This test program again, for one case, in new namespaces; as root there.
fn own_process_in(name: &str, set: Namespaces) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the path of this test"));
    command.env("LINUX_NAMESPACES_CASE", name).namespaces(set);
    if !is_root() {
        command.map_root_user();
    }
    command
}

/// A case that sees only itself and what it starts.
fn in_own_world(name: &str) {
    succeeds(&mut own_process_in(name, with_user(Namespaces::PID | Namespaces::MOUNT)));
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A process in new namespaces that ends when its standard input does, or when this is dropped.
struct Inside(Child);

impl Inside {
    fn new(set: Namespaces) -> Self {
        Self::of(Command::new("cat").namespaces(set).stdout(Stdio::null()))
    }

    fn of(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::piped()).spawn().expect("a process"))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn id(&self, kind: NamespaceKind) -> NamespaceId {
        self.0.namespace(kind).expect("its namespace").id().expect("its identity")
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.kill();
        self.0.wait().expect("it ends");
    }
}

fn own(kind: NamespaceKind) -> NamespaceId {
    ProcessNamespaces::current().expect("own namespaces").get(kind).expect("a kind of this kernel")
}

fn every_own_namespace_is_there() {
    let inventory = scan();
    let me = std::process::id();
    for id in ProcessNamespaces::of(me).expect("own namespaces").iter() {
        let info = inventory.get(id).unwrap_or_else(|| panic!("{id} is missing"));
        assert_eq!(info.id(), id);
        assert_eq!(info.id().ino(), inode(format!("/proc/self/ns/{}", id.kind())));
        assert!(info.processes().contains(&me), "{info:?}");
        assert!(info.processes().is_sorted());
        // It is open only for the time of the scan, and then it is not shown.
        assert!(!info.held_by().contains(&me) || has_socket_or_namespace_open(), "{info:?}");
        let handle = Namespace::current(id.kind()).expect("a handle");
        assert_eq!(info.unique_id(), handle.unique_id().expect("its unique id"));
        let owner = handle.owner().expect("its owner");
        assert_eq!(info.owner(), owner.map(|owner| owner.id().expect("an identity")));
    }
    let user = inventory.get(own(NamespaceKind::User)).expect("the own user namespace");
    let handle = Namespace::current(NamespaceKind::User).expect("a handle");
    assert_eq!(user.owner_uid(), Some(handle.owner_uid().expect("its owner's uid")));
}

/// Whether this process was started with such a descriptor.
fn has_socket_or_namespace_open() -> bool {
    let descriptors = fs::read_dir("/proc/self/fd").expect("descriptors").flatten();
    descriptors.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|link| {
        let link = link.to_string_lossy().into_owned();
        link.starts_with("socket:") || link.contains(":[402653")
    })
}

fn queries_agree_with_each_other() {
    let inventory = scan();
    let all: Vec<NamespaceId> = inventory.namespaces().map(NamespaceInfo::id).collect();
    assert!(all.is_sorted(), "by kind, then by inode");
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "each once");
    let by_kind = NamespaceKind::ALL.into_iter().flat_map(|kind| inventory.of_kind(kind));
    assert_eq!(by_kind.map(NamespaceInfo::id).collect::<Vec<_>>(), all);
    for info in inventory.namespaces() {
        assert_eq!(inventory.get(info.id()), Some(info));
        for pid in info.processes() {
            assert!(inventory.of_process(*pid).any(|other| other.id() == info.id()));
        }
        let children: Vec<_> = inventory.children(info.id()).collect();
        assert!(children.iter().all(|child| child.parent() == Some(info.id())));
        let owned = inventory.owned_by(info.id()).count();
        let expected = inventory.namespaces().filter(|other| other.owner() == Some(info.id()));
        assert_eq!(owned, expected.count());
        for related in info.owner().into_iter().chain(info.parent()) {
            assert!(inventory.get(related).is_some(), "{related} of {info:?} is missing");
        }
        let hierarchical = matches!(info.id().kind(), NamespaceKind::User | NamespaceKind::Pid);
        assert!(hierarchical || info.parent().is_none(), "{info:?}");
    }
    assert_eq!(inventory.of_process(u32::MAX).count(), 0);
}

fn a_scan_leaves_nothing_behind() {
    scan();
    let before = Footprint::now();
    for _ in 0..20 {
        scan();
    }
    before.assert_unchanged();
}

/// What lsns says of a namespace.
#[derive(PartialEq, Eq, Debug)]
struct Line {
    processes: u64,
    pid: u64,
    parent: u64,
    owner: u64,
}

fn lsns(arguments: &[&str]) -> BTreeMap<(String, u64), Line> {
    let mut command = StdCommand::new("lsns");
    command.args(["--json", "--list", "--output", "NS,TYPE,NPROCS,PID,PNS,ONS"]).args(arguments);
    let output = command.output().expect("lsns");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    // Older ones write numbers as text.
    let number = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.parse().expect("a number"),
        other => other.as_u64().unwrap_or(0),
    };
    let line = |line: &serde_json::Value| {
        let kind = line["type"].as_str().expect("a kind").to_owned();
        let values = ["nprocs", "pid", "pns", "ons"].map(|name| number(&line[name]));
        let [processes, pid, parent, owner] = values;
        ((kind, number(&line["ns"])), Line { processes, pid, parent, owner })
    };
    json["namespaces"].as_array().expect("a list").iter().map(line).collect()
}

/// Where the inventory and lsns differ. `itself`: lsns has seen itself where this process is.
fn differences(inventory: &Inventory, lsns: &BTreeMap<(String, u64), Line>) -> Vec<String> {
    let key = |id: NamespaceId| (id.kind().to_string(), id.ino());
    let ino = |id: Option<NamespaceId>| id.map_or(0, |id| id.ino());
    let mut differences = Vec::new();
    for info in inventory.namespaces() {
        let Some(line) = lsns.get(&key(info.id())) else {
            // What has no process is shown by some versions only.
            if !info.processes().is_empty() {
                differences.push(format!("lsns lacks {info:?}"));
            }
            continue;
        };
        let itself = u64::from(own(info.id().kind()) == info.id());
        let ours = Line {
            processes: info.processes().len() as u64 + itself,
            pid: info.processes().first().map_or(0, |pid| u64::from(*pid)),
            parent: ino(info.parent()),
            owner: ino(info.owner()),
        };
        if ours != *line {
            differences.push(format!("{}: {ours:?}, lsns: {line:?}", info.id()));
        }
    }
    let ours: BTreeSet<_> = inventory.namespaces().map(|info| key(info.id())).collect();
    differences.extend(
        lsns.keys().filter(|key| !ours.contains(key)).map(|key| format!("{key:?} is missing")),
    );
    differences
}

fn beside_lsns() {
    let _a = Inside::new(Namespaces::all());
    let _b = Inside::new(Namespaces::UTS | Namespaces::IPC);
    let _c = Inside::new(Namespaces::USER | Namespaces::NET);
    // A user namespace that is only the parent of another.
    let nested = ["--user", "--map-root-user", "unshare", "--user", "--pid", "--fork", "cat"];
    let mut nested = Inside::of(Command::new("unshare").args(nested).stdout(Stdio::piped()));
    answers(&mut nested);
    let inventory = scan();
    let lines = lsns(&[]);
    assert!(lines.len() > 15, "{lines:?}");
    let differences = differences(&inventory, &lines);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    // Member by member.
    let processes: BTreeSet<u32> =
        inventory.namespaces().flat_map(|info| info.processes().to_vec()).collect();
    assert!(processes.len() >= 6, "{processes:?}");
    for pid in processes {
        let ours: BTreeSet<_> = inventory
            .of_process(pid)
            .map(|info| (info.id().kind().to_string(), info.id().ino()))
            .collect();
        let theirs: BTreeSet<_> = lsns(&["--task", &pid.to_string()]).into_keys().collect();
        assert_eq!(ours, theirs, "process {pid}");
    }
}

/// Waits until the `cat` in it runs.
fn answers(inside: &mut Inside) {
    inside.0.stdin.as_mut().expect("a pipe").write_all(b"x").expect("it is read");
    let stdout = inside.0.stdout.as_mut().expect("a pipe");
    stdout.read_exact(&mut [0]).expect("an answer");
}

/// Other processes come and go on a host, so a pair of looks in a row is wanted that has seen the same.
fn the_same_as_lsns_on_this_host() {
    let start = Instant::now();
    loop {
        let differences = differences(&scan(), &lsns(&[]));
        if differences.is_empty() {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{}", differences.join("\n"));
    }
}

fn members_owners_and_parents() {
    let inside = Inside::new(Namespaces::all());
    let inventory = scan();
    let user = inside.id(NamespaceKind::User);
    for kind in NamespaceKind::ALL {
        let info = inventory.get(inside.id(kind)).expect("a namespace with a process");
        assert_eq!(info.processes(), [inside.pid()], "{info:?}");
        assert!(info.threads().is_empty() && info.persisted_at().is_empty(), "{info:?}");
        let handle = inside.0.namespace(kind).expect("a handle");
        assert_eq!(info.unique_id(), handle.unique_id().expect("a unique id"));
        match kind {
            NamespaceKind::User => {
                assert_eq!(info.owner(), Some(own(kind)));
                assert_eq!(info.parent(), Some(own(kind)));
                assert_eq!(info.owner_uid(), Some(handle.owner_uid().expect("a uid")));
            }
            NamespaceKind::Pid => {
                assert_eq!((info.owner(), info.parent()), (Some(user), Some(own(kind))));
            }
            _ => assert_eq!((info.owner(), info.parent()), (Some(user), None)),
        }
        assert!(kind == NamespaceKind::User || info.owner_uid().is_none());
    }
    assert_eq!(inventory.of_process(inside.pid()).count(), 8);
    assert_eq!(inventory.owned_by(user).count(), 7);
    assert!(inventory.children(own(NamespaceKind::User)).any(|child| child.id() == user));
}

fn held_by_a_descriptor() {
    let set = with_user(Namespaces::NET | Namespaces::UTS | Namespaces::IPC);
    let inside = Inside::new(set);
    let held: Vec<Namespace> =
        set.kinds().map(|kind| inside.0.namespace(kind).expect("a handle")).collect();
    let ids: Vec<NamespaceId> =
        held.iter().map(|handle| handle.id().expect("an identity")).collect();
    drop(inside);
    let inventory = scan();
    for id in &ids {
        let info = inventory.get(*id).unwrap_or_else(|| panic!("{id} is missing"));
        assert!(info.processes().is_empty(), "{info:?}");
        assert_eq!(info.held_by(), [std::process::id()], "{info:?}");
        assert!(info.owner().is_some() || id.kind() == NamespaceKind::User, "{info:?}");
    }
    drop(held);
    let inventory = scan();
    for id in ids {
        let used_again = inventory.get(id).is_some_and(|info| !info.processes().is_empty());
        assert!(inventory.get(id).is_none() || used_again, "{id} is still there");
    }
}

fn kept_by_a_bind_mount() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a b\\c\td");
    File::create(&path).expect("a file");
    // A mount in the mount namespace of another process.
    let mut command = Command::new("sh");
    command
        .args(["-c", "unshare --uts=\"$0\" true; echo; exec cat"])
        .arg(&path)
        .namespaces(with_user(Namespaces::MOUNT))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if !is_root() {
        command.map_root_user();
    }
    let mut inside = Inside(command.spawn().expect("a process"));
    let stdout = inside.0.stdout.as_mut().expect("a pipe");
    stdout.read_exact(&mut [0]).expect("a sign of life");
    let seen_there = format!("/proc/{}/root/{}", inside.pid(), path.display());
    let uts = inode(&seen_there);
    assert_ne!(uts, inode(&path), "it is mounted there, and not here");
    let inventory = scan();
    let info = inventory.of_kind(NamespaceKind::Uts).find(|info| info.id().ino() == uts);
    let info = info.expect("a mounted namespace");
    assert!(info.processes().is_empty() && info.held_by().is_empty(), "{info:?}");
    assert_eq!(info.persisted_at(), [path]);
    let owner = if is_root() { own(NamespaceKind::User) } else { inside.id(NamespaceKind::User) };
    assert_eq!(info.owner(), Some(owner));
}

fn held_by_a_socket() {
    unshare(with_user(Namespaces::NET)).expect("a net namespace");
    let first = own(NamespaceKind::Net);
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    // Another way of having one: a pair, half of which is in another process.
    let (ours, theirs) = UnixStream::pair().expect("sockets");
    unshare(Namespaces::NET).expect("another");
    let second = own(NamespaceKind::Net);
    assert_ne!(first, second);
    let mut other = {
        // Its end of the pair is closed here with the command.
        let mut command = Command::new("cat");
        command.stdin(theirs).stdout(Stdio::null()).spawn().expect("a process")
    };
    let holders = |inventory: &Inventory| inventory.get(first).map(|info| info.held_by().to_vec());
    let me = std::process::id();
    let mut both = vec![me, other.id()];
    both.sort_unstable();
    let inventory = scan();
    assert_eq!(holders(&inventory), Some(both));
    let info = inventory.get(first).expect("a held namespace");
    assert!(info.processes().is_empty(), "{info:?}");
    assert_eq!(info.owner(), Some(own(NamespaceKind::User)));
    assert_eq!(inventory.get(second).expect("the own one").processes(), {
        let mut both = [me, other.id()];
        both.sort_unstable();
        both
    });
    drop(socket);
    drop(ours);
    other.wait().expect("it ends");
    assert_eq!(holders(&scan()), None);
}

fn kept_as_an_ancestor() {
    let arguments = ["--user", "--map-root-user", "unshare", "--user", "cat"];
    let mut inside = Inside::of(Command::new("unshare").args(arguments).stdout(Stdio::piped()));
    answers(&mut inside);
    let inner = inside.id(NamespaceKind::User);
    let middle = inside.0.namespace(NamespaceKind::User).expect("a handle").parent();
    let middle = middle.expect("its parent").expect("in sight").id().expect("an identity");
    assert_ne!(middle, own(NamespaceKind::User));
    let inventory = scan();
    let info = inventory.get(middle).expect("the one in between");
    assert!(info.processes().is_empty() && info.held_by().is_empty(), "{info:?}");
    assert_eq!(info.parent(), Some(own(NamespaceKind::User)));
    assert_eq!(inventory.get(inner).expect("the inner one").parent(), Some(middle));
    assert_eq!(inventory.children(middle).map(NamespaceInfo::id).collect::<Vec<_>>(), [inner]);
}

fn a_thread_elsewhere() {
    if !is_root() {
        unshare(Namespaces::USER).expect("a user namespace");
    }
    let (ready, wait) = mpsc::channel();
    let (leave, stay) = mpsc::channel::<()>();
    let other = thread::spawn(move || {
        unshare(Namespaces::UTS | Namespaces::IPC).expect("new ones for this thread");
        let link = fs::read_link("/proc/thread-self").expect("a number");
        let thread = link.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
        ready.send((thread.expect("a number"), own(NamespaceKind::Uts))).expect("a listener");
        let _ = stay.recv();
    });
    let (thread, uts) = wait.recv().expect("a thread");
    let inventory = scan();
    let info = inventory.get(uts).expect("the thread's namespace");
    assert_eq!(info.threads(), [thread]);
    assert!(info.processes().is_empty(), "{info:?}");
    let ours = inventory.get(own(NamespaceKind::Uts)).expect("the own one");
    assert!(ours.processes().contains(&std::process::id()));
    assert!(!ours.threads().contains(&thread));
    drop(leave);
    other.join().expect("it ends");
}

fn for_children() {
    unshare(with_user(Namespaces::TIME)).expect("a time namespace for children");
    let here = ProcessNamespaces::current().expect("own namespaces");
    let next = here.for_children(NamespaceKind::Time).expect("one for children");
    let inventory = scan();
    let info = inventory.get(next).expect("it is held");
    assert_eq!(info.for_children_of(), [std::process::id()]);
    assert!(info.processes().is_empty(), "{info:?}");
    let own = inventory.get(own(NamespaceKind::Time)).expect("the own one");
    assert!(!own.for_children_of().contains(&std::process::id()));
}

/// What has ended and was not waited for is still in its user and pid namespace.
fn a_zombie() {
    let set = Namespaces::USER | Namespaces::PID | Namespaces::UTS;
    let mut child = Command::new("true").namespaces(set).spawn().expect("a process");
    let state = format!("/proc/{}/stat", child.id());
    while !fs::read_to_string(&state).expect("its state").contains(") Z ") {
        thread::yield_now();
    }
    let inventory = scan();
    let shown: Vec<_> = inventory.of_process(child.id()).map(|info| info.id().kind()).collect();
    assert_eq!(shown, [NamespaceKind::Pid, NamespaceKind::User]);
    assert_eq!(inventory.unreadable(), 0);
    child.wait().expect("its end");
    assert_eq!(scan().of_process(child.id()).count(), 0);
}

/// A process goes on without its first thread, and so does what it is in and has open.
fn a_first_thread_that_ended() {
    let mut command = Command::from_fn(|| {
        let held = File::open("/proc/self/ns/uts").expect("a handle");
        thread::spawn(move || {
            unshare(Namespaces::IPC).expect("an ipc namespace for this thread");
            println!("{}", own(NamespaceKind::Ipc).ino());
            let _ = std::io::stdin().read(&mut [0]);
            drop(held);
            std::process::exit(0);
        });
        // SAFETY: ends this thread alone, whose frames own nothing.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
        1
    });
    command.namespaces(Namespaces::UTS).stdout(Stdio::piped());
    let mut inside = Inside::of(&mut command);
    let mut line = String::new();
    let stdout = inside.0.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("an inode");
    let ino: u64 = line.trim().parse().expect("an inode");
    // The first thread may still be on its way out.
    let state = format!("/proc/{}/stat", inside.pid());
    while !fs::read_to_string(&state).expect("its state").contains(") Z ") {
        thread::yield_now();
    }
    let inventory = scan();
    let ipc = inventory.of_kind(NamespaceKind::Ipc).find(|info| info.id().ino() == ino);
    let ipc = ipc.expect("the thread's namespace");
    assert!(ipc.processes().is_empty() && ipc.threads().len() == 1, "{ipc:?}");
    let uts = inventory.of_kind(NamespaceKind::Uts).find(|info| info.threads() == ipc.threads());
    let uts = uts.expect("the namespace that both threads were in");
    assert_ne!(uts.id(), own(NamespaceKind::Uts));
    assert_eq!(uts.held_by(), [inside.pid()], "{uts:?}");
    assert_eq!(inventory.unreadable(), 0);
}

/// In a user namespace of its own nobody may look into processes of the one around it.
fn what_is_shut_is_counted() {
    let mut command = own_process_in("from_inside", Namespaces::USER);
    command.map_root_user();
    succeeds(&mut command);
}

fn from_inside() {
    let inventory = scan();
    let processes = || fs::read_dir("/proc").expect("processes").flatten();
    let number = |name: &std::ffi::OsStr| name.to_str()?.parse::<u32>().ok();
    let listed = processes().filter_map(|entry| number(&entry.file_name())).count();
    assert!(inventory.unreadable() > 0 && inventory.unreadable() < listed + 100);
    let parent = std::os::unix::process::parent_id();
    assert_eq!(inventory.of_process(parent).count(), 0, "it is out of sight");
    assert_eq!(inventory.of_process(std::process::id()).count(), 8);
    // Who owns the net namespace is out of sight, too.
    assert_eq!(inventory.get(own(NamespaceKind::Net)).expect("the own one").owner(), None);
    // All that is shown was looked into; the rest was counted.
    let seen: BTreeSet<u32> =
        inventory.namespaces().flat_map(|info| info.processes().to_vec()).collect();
    let shut = |pid: &u32| fs::read_link(format!("/proc/{pid}/ns/uts")).is_err();
    assert_eq!(seen.iter().filter(|pid| shut(pid)).count(), 0);
}

fn others_are_counted() {
    let inventory = scan();
    assert!(inventory.unreadable() > 0, "root has processes everywhere");
    assert_eq!(inventory.of_process(1).count(), 0);
}

/// Each of the processes that come, go and move is alone in its UTS namespace, whose inode the kernel soon uses again.
fn churn() {
    let seconds = std::env::var("LINUX_NAMESPACES_STRESS_SECONDS");
    let length = seconds.ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(2);
    // These move all the time, each to a namespace of its own, with the inode of one that another has just left. Between
    // them are others, for a scan to take a while from one to the next.
    let movers: Vec<Inside> = (0..4)
        .map(|_| {
            Inside::of(&mut Command::from_fn(|| {
                while unshare(Namespaces::UTS).is_ok() {}
                1
            }))
        })
        .flat_map(|mover| {
            [mover].into_iter().chain((0..30).map(|_| Inside::new(Namespaces::empty())))
        })
        .collect();
    let stable: Vec<Inside> = (0..5).map(|_| Inside::new(Namespaces::UTS)).collect();
    let expected: Vec<_> = stable
        .iter()
        .map(|inside| ProcessNamespaces::of_process(inside.0.pidfd()).expect("its namespaces"))
        .collect();
    let end = AtomicBool::new(false);
    let (mut scans, mut most) = (0, 0);
    thread::scope(|scope| {
        let churners: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut spawned = 0;
                    let mut running = VecDeque::new();
                    while !end.load(Ordering::Relaxed) {
                        running.push_back(Inside::new(Namespaces::UTS));
                        if running.len() > 10 {
                            running.pop_front();
                        }
                        spawned += 1;
                    }
                    spawned
                })
            })
            .collect();
        let start = Instant::now();
        let looked = std::panic::catch_unwind(|| {
            let (mut scans, mut most) = (0, 0);
            while start.elapsed() < Duration::from_secs(length) {
                most = most.max(look_into_the_churn(&stable, &expected));
                scans += 1;
            }
            (scans, most)
        });
        end.store(true, Ordering::Relaxed);
        let spawned: usize = churners.into_iter().map(|one| one.join().expect("it ends")).sum();
        (scans, most) = looked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        assert!(spawned > 40, "{spawned} processes are no churn");
    });
    assert!(scans > 5, "{scans} scans");
    assert!(most > 12, "the scans have seen nobody come or go: {most}");
    drop(movers);
}

/// How many UTS namespaces there were.
fn look_into_the_churn(stable: &[Inside], expected: &[ProcessNamespaces]) -> usize {
    let inventory = scan();
    for (inside, expected) in stable.iter().zip(expected) {
        let found: Vec<_> = inventory.of_process(inside.pid()).map(NamespaceInfo::id).collect();
        assert_eq!(found, expected.iter().collect::<Vec<_>>(), "process {}", inside.pid());
        let uts = inventory.get(inside.id(NamespaceKind::Uts)).expect("its UTS namespace");
        assert_eq!(uts.processes(), [inside.pid()]);
    }
    for info in inventory.of_kind(NamespaceKind::Uts) {
        let here = info.id() == own(NamespaceKind::Uts);
        assert!(here || info.processes().len() <= 1, "two are in one that has one each: {info:?}");
    }
    inventory.of_kind(NamespaceKind::Uts).count()
}

fn descriptors(limit: u64) {
    let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
    // SAFETY: sets a limit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
}

/// More namespaces than may be open at a time.
fn few_descriptors() {
    let all: Vec<Inside> =
        (0..10).map(|_| Inside::new(Namespaces::UTS | Namespaces::NET | Namespaces::IPC)).collect();
    let expected: Vec<Vec<NamespaceId>> = all
        .iter()
        .map(|one| {
            let namespaces = ProcessNamespaces::of_process(one.0.pidfd()).expect("namespaces");
            namespaces.iter().collect()
        })
        .collect();
    let many = scan();
    let open = fs::read_dir("/proc/self/fd").expect("descriptors").count() as u64;
    descriptors(open + 12);
    let few = scan();
    for (inside, expected) in all.iter().zip(expected) {
        for inventory in [&many, &few] {
            let found: Vec<_> = inventory.of_process(inside.pid()).map(NamespaceInfo::id).collect();
            assert_eq!(found, expected);
        }
        for id in expected {
            assert_eq!(many.get(id), few.get(id), "nothing is known less of it");
        }
    }
    assert_eq!(many.namespaces().count(), few.namespaces().count());
    let few_pinned: Vec<_> = few.namespaces().collect();
    assert_eq!(many.namespaces().collect::<Vec<_>>(), few_pinned);
}

/// None is left: that is an error, and not an inventory with less in it.
fn no_descriptors() {
    let mut all = Vec::new();
    descriptors(64);
    while let Ok(file) = File::open("/dev/null") {
        all.push(file);
    }
    let error = Inventory::scan().expect_err("no descriptor is free");
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
    // One for /proc, and no more.
    all.pop();
    let error = Inventory::scan().expect_err("one descriptor is not enough");
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("RLIMIT_NOFILE")), "{error}");
}

fn without_proc() {
    // SAFETY: texts that end with a NUL, and no data.
    let mounted = unsafe {
        let (source, target) = (c"none".as_ptr(), c"/proc".as_ptr());
        libc::mount(source, target, c"tmpfs".as_ptr(), 0, std::ptr::null())
    };
    assert_eq!(mounted, 0, "{}", std::io::Error::last_os_error());
    let error = Inventory::scan().expect_err("there is no /proc");
    assert!(!error.to_string().contains('\n'), "{error}");
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{error}");
}

fn trees_show_each_once() {
    let inside = Inside::new(Namespaces::all());
    let inventory = scan();
    for by in [TreeOrder::Owner, TreeOrder::Parent] {
        let tree = inventory.tree(by).to_string();
        assert!(!tree.ends_with('\n'));
        assert_eq!(tree.lines().count(), inventory.namespaces().count(), "{tree}");
        for info in inventory.namespaces() {
            assert_eq!(tree.matches(&info.id().to_string()).count(), 1, "{}\n{tree}", info.id());
        }
    }
    let by_owner = inventory.tree(TreeOrder::Owner).to_string();
    let indent = |text: &str, id: NamespaceId| {
        let line = text.lines().find(|line| line.contains(&id.to_string())).expect("a line");
        line.chars().take_while(|c| !c.is_ascii_alphabetic()).count()
    };
    let user = inside.id(NamespaceKind::User);
    let net = inside.id(NamespaceKind::Net);
    assert_eq!(indent(&by_owner, own(NamespaceKind::User)), 0, "{by_owner}");
    assert_eq!((indent(&by_owner, user), indent(&by_owner, net)), (2, 4), "{by_owner}");
    let line = by_owner.lines().find(|line| line.contains(&net.to_string())).expect("a line");
    assert!(line.ends_with(&format!("process {}", inside.pid())), "{line}");
    let by_parent = inventory.tree(TreeOrder::Parent).to_string();
    assert_eq!((indent(&by_parent, user), indent(&by_parent, net)), (2, 0), "{by_parent}");
    assert_eq!(indent(&by_parent, inside.id(NamespaceKind::Pid)), 2, "{by_parent}");
}

fn graphviz_reads_the_graph() {
    let set = Namespaces::USER | Namespaces::PID | Namespaces::NET;
    let inside = unshared(set).map(|()| Inside::new(set));
    let inventory = scan();
    let graph = inventory.to_dot();
    for info in inventory.namespaces() {
        let name = format!("{}_{}", info.id().kind(), info.id().ino());
        assert!(graph.contains(&name), "{name} is missing\n{graph}");
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), &graph).expect("the graph is written");
    let output = StdCommand::new("dot").arg("-Tplain").arg(file.path()).output().expect("dot");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{complaints}\n{graph}");
    if let Some(inside) = inside {
        let plain = String::from_utf8_lossy(&output.stdout).into_owned();
        let edge = format!(
            "edge user_{} user_{} ",
            own(NamespaceKind::User).ino(),
            inside.id(NamespaceKind::User).ino()
        );
        assert!(plain.contains(&edge), "{edge}\n{plain}");
    }
}

/// `Some` where user namespaces are to be had.
fn unshared(set: Namespaces) -> Option<()> {
    Command::new("true").namespaces(set).status().ok().map(|_| ())
}

fn as_json() {
    let inside = Inside::new(Namespaces::all());
    let inventory = scan();
    let json = serde_json::to_value(&inventory).expect("JSON");
    assert_eq!(json["unreadable"], inventory.unreadable());
    let listed = json["namespaces"].as_array().expect("a list");
    assert_eq!(listed.len(), inventory.namespaces().count());
    for (value, info) in listed.iter().zip(inventory.namespaces()) {
        let id: NamespaceId = serde_json::from_value(value["id"].clone()).expect("an identity");
        assert_eq!(id, info.id());
        let owner: Option<NamespaceId> =
            serde_json::from_value(value["owner"].clone()).expect("one");
        assert_eq!(owner, info.owner());
        let processes: Vec<u32> = serde_json::from_value(value["processes"].clone()).expect("pids");
        assert_eq!(processes, info.processes());
    }
    let mount = inside.id(NamespaceKind::Mount);
    assert_eq!(serde_json::to_value(mount).expect("JSON")["kind"], "mnt");
    let set = Namespaces::PID | Namespaces::MOUNT;
    assert_eq!(serde_json::to_string(&set).expect("JSON"), "\"mnt,pid\"");
    assert_eq!(serde_json::from_str::<Namespaces>("\"pid,mount\"").expect("a set"), set);
    assert!(serde_json::from_str::<NamespaceKind>("\"nett\"").is_err());
    let snapshot = ProcessNamespaces::of(inside.pid()).expect("its namespaces");
    let snapshot = serde_json::to_value(&snapshot).expect("JSON");
    assert_eq!(snapshot["mnt"], serde_json::to_value(mount).expect("JSON"));
    assert!(snapshot["pid_for_children"].is_object());
}
