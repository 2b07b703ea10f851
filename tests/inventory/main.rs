//! The inventory: what it shows of namespaces that are held in every way, beside lsns(8), and while processes come and go.
#[path = "../common/mod.rs"]
mod common;

mod change;
mod held;
mod lsns;
mod mounted;
mod text;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::CString;
use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::process::Command as StdCommand;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::{Footprint, Need, in_own_process, inode, is_root, test, test_with, with_user};
use linux_namespaces::{
    Child, Command, Inventory, Namespace, NamespaceId, NamespaceInfo, NamespaceKind, Namespaces,
    ProcessNamespaces, Stdio, Step, TreeOrder, unshare,
};

use change::*;
use held::*;
use lsns::*;
use mounted::*;
use text::*;

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
            ("beside_a_chroot", beside_a_chroot),
            ("below_a_chroot", below_a_chroot),
            ("without_a_process", without_a_process),
            ("from_a_chroot", from_a_chroot),
            ("a_table_of_its_own", a_table_of_its_own),
            ("scans_at_once", scans_at_once),
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
            test_with("mounted_beside_a_chroot", privileged, || in_own_world("beside_a_chroot")),
            test_with("mounted_below_a_chroot", privileged, || in_own_world("below_a_chroot")),
            test_with("mounted_where_no_process_is", privileged, || {
                in_own_world("without_a_process");
            }),
            test_with("a_caller_in_a_chroot", privileged, || in_own_world("from_a_chroot")),
            test_with("held_by_a_socket", privileged, || in_own_process("held_by_a_socket")),
            test_with("kept_as_an_ancestor", privileged, kept_as_an_ancestor),
            test_with("a_thread_elsewhere", privileged, || in_own_process("a_thread_elsewhere")),
            test_with("a_thread_with_descriptors_of_its_own", privileged, || {
                in_own_world("a_table_of_its_own");
            }),
            test_with("for_children", privileged, || in_own_process("for_children")),
            test_with("a_zombie", privileged, || in_own_world("a_zombie")),
            test_with("a_first_thread_that_ended", privileged, || {
                in_own_world("a_first_thread_that_ended");
            }),
            test_with("what_is_shut_is_counted", privileged, what_is_shut_is_counted),
            test_with("others_processes_are_counted", &[Need::User], others_are_counted),
            test_with("while_processes_come_and_go", privileged, || in_own_world("churn")),
            test_with("with_few_descriptors", privileged, || in_own_world("few_descriptors")),
            test_with("several_scans_at_once", privileged, || in_own_world("scans_at_once")),
            test("without_descriptors", || in_own_process("no_descriptors")),
            test_with("without_proc", privileged, || {
                let mut command = own_process_in("without_proc", with_user(Namespaces::MOUNT));
                succeeds(&mut command);
            }),
            test_with("trees_show_each_once", privileged, trees_show_each_once),
            test_with("a_part_of_it", privileged, a_part_of_it),
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

/// Waits until the `cat` in it runs.
fn answers(inside: &mut Inside) {
    inside.0.stdin.as_mut().expect("a pipe").write_all(b"x").expect("it is read");
    let stdout = inside.0.stdout.as_mut().expect("a pipe");
    stdout.read_exact(&mut [0]).expect("an answer");
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
    assert_eq!(error.step(), &Step::Open("/proc".into()), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("mount -t proc")), "{error}");
}
