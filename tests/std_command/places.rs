//! Where the program is: created, entered, set up.

use libtest_mimic::Trial;
use linux_namespaces::{
    Child, CommandExt as _, Namespace, NamespaceKind, Namespaces, PidFd, Stdio, flags::*,
};

use crate::common::{Need, is_root, test_with, with_user};
use crate::{children_of, errno_of, identity, sh, stdout_of};

const USERNS: &[Need] = &[Need::UserNamespaces];

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test_with("each_kind_is_created_alone_and_no_other", USERNS, each_kind),
        test_with("all_kinds_are_created_together", USERNS, all_kinds),
        test_with("defaults_are_those_of_the_crates_command", USERNS, defaults),
        test_with("every_subset_is_entered_by_handles_in_any_order", USERNS, || {
            every_subset(enter_handles);
        }),
        test_with("every_subset_of_a_process_is_entered", USERNS, || {
            every_subset(|command, target, set| {
                command.enter_process(target.pidfd(), set);
            });
        }),
        test_with("half_by_handle_and_half_of_a_process", USERNS, || every_subset(mixed)),
        test_with("creating_inside_what_is_entered", USERNS, created_inside),
        test_with("own_namespaces_are_passed_over", &[], own_are_passed_over),
        test_with("own_namespaces_are_compared_when_it_is_spawned", &[Need::Root], own_later),
        test_with("ids_of_std_come_first", &[Need::Root], ids_come_first),
        test_with("without_the_right_to_it", &[Need::User], without_the_right),
        test_with("what_makes_no_sense_is_refused", &[], nonsense),
        test_with("what_has_ended_is_not_entered", USERNS, ended),
    ]
}

/// The namespaces of the shell that runs this, one on a line.
const LOOK: &str =
    "for kind in cgroup ipc mnt net pid time user uts; do readlink /proc/self/ns/$kind; done";

fn differing(found: &str) -> Namespaces {
    let lines: Vec<_> = found.lines().collect();
    assert_eq!(lines.len(), 8, "{found}");
    let changed =
        |(kind, line): &(NamespaceKind, &str)| *line != identity("thread-self", kind.proc_name());
    NamespaceKind::ALL.into_iter().zip(lines).filter(changed).map(|(kind, _)| kind).collect()
}

fn each_kind() {
    for kind in NamespaceKind::ALL {
        let set = with_user(kind.into());
        assert_eq!(differing(&stdout_of(sh(LOOK).namespaces(set))), set, "{kind}");
    }
    assert_eq!(
        differing(&stdout_of(sh(LOOK).namespaces(Namespaces::empty()))),
        Namespaces::empty()
    );
}

fn all_kinds() {
    assert_eq!(differing(&stdout_of(sh(LOOK).namespaces(Namespaces::all()))), Namespaces::all());
    assert_eq!(stdout_of(sh("echo $$").namespaces(Namespaces::all())), "1");
}

fn defaults() {
    let mounts = stdout_of(sh("cat /proc/self/mountinfo").namespaces(with_user(NS)));
    assert!(!mounts.is_empty() && !mounts.contains(" shared:") && !mounts.contains(" master:"));

    let processes = "set -- /proc/[0-9]*; echo $#; readlink /proc/self";
    let seen = stdout_of(sh(processes).namespaces(with_user(PID | NS)));
    assert_eq!(seen.lines().next(), Some("1"), "{seen}");
    let seen = stdout_of(sh(processes).namespaces(with_user(PID)));
    assert_ne!(seen.lines().next(), Some("1"), "without MOUNT there is nowhere to mount it");

    let lo = stdout_of(sh("cat /proc/self/net/fib_trie").namespaces(with_user(NET)));
    assert!(lo.contains("127.0.0.1"), "lo is up: {lo}");

    let script = "cat /proc/self/uid_map /proc/self/gid_map; id -u; id -g";
    let ids = stdout_of(sh(script).namespaces(USER));
    let words: Vec<_> = ids.split_ascii_whitespace().collect();
    let (uid, gid) = (stdout_of(&mut sh("id -u")), stdout_of(&mut sh("id -g")));
    assert_eq!(words, [&uid, &uid, "1", &gid, &gid, "1", &uid, &gid]);
    // Only where the kernel demands it.
    let expected = if is_root() { "allow" } else { "deny" };
    for set in [USER, USER | PID] {
        assert_eq!(stdout_of(sh("cat /proc/self/setgroups").namespaces(set)), expected);
    }
}

/// A process in new namespaces of all kinds.
fn target() -> Child {
    let mut command = linux_namespaces::Command::new("cat");
    command.namespaces(Namespaces::all()).stdin(Stdio::piped());
    command.spawn().expect("a process to enter")
}

/// Those in odd places and those in even ones.
fn halves(set: Namespaces) -> (Vec<NamespaceKind>, Vec<NamespaceKind>) {
    set.kinds().partition(|kind| *kind as usize % 2 == 1)
}

fn enter_handles(command: &mut std::process::Command, target: &Child, set: Namespaces) {
    // Neither the order of the kinds nor that in which it would work.
    let (odd, even) = halves(set);
    for kind in even.into_iter().rev().chain(odd) {
        command.enter(&target.namespace(kind).expect("a handle"));
    }
}

fn mixed(command: &mut std::process::Command, target: &Child, set: Namespaces) {
    let (odd, even) = halves(set);
    command.enter_process(target.pidfd(), odd.into_iter().collect());
    enter_handles(command, target, even.into_iter().collect());
}

fn every_subset(enter: impl Fn(&mut std::process::Command, &Child, Namespaces)) {
    let mut target = target();
    let there = target.id().to_string();
    for bits in 0u32..1 << 8 {
        let kinds = NamespaceKind::ALL.into_iter().filter(|kind| bits & 1 << *kind as u32 != 0);
        let set: Namespaces = kinds.collect();
        if !is_root() && !set.contains(USER) {
            continue;
        }
        let mut command = std::process::Command::new("cat");
        enter(&mut command, &target, set);
        let mut child = command.stdin(std::process::Stdio::piped()).spawn().expect("spawned");
        let program = match set.contains(PID) {
            true => *children_of(child.id()).last().expect("the program"),
            false => child.id(),
        };
        for kind in NamespaceKind::ALL {
            let process = if set.contains(kind.into()) { &there } else { "thread-self" };
            let kind = kind.proc_name();
            assert_eq!(identity(&program.to_string(), kind), identity(process, kind), "{set}");
        }
        assert!(child.wait().expect("it ends with its input").success());
    }
    target.wait().expect("it ends with its input");
}

fn created_inside() {
    let mut target = target();
    let user = target.namespace(NamespaceKind::User).unwrap();
    let script = "echo $$; readlink /proc/self/ns/user; readlink /proc/self/ns/pid; grep NSpid /proc/self/status";
    // A pid and mount namespace inside an entered user namespace.
    let found = stdout_of(sh(script).enter(&user).namespaces(PID | NS));
    let lines: Vec<_> = found.lines().collect();
    assert_eq!(lines[..2], ["1", &user.id().unwrap().to_string()]);
    // A pid namespace inside an entered one: two proxies, one behind the other.
    let set = Namespaces::all() - (NS | USER);
    let script = "echo $$; read number rest < /proc/self/stat; echo $number";
    let mut nested = sh(script);
    nested.enter_process(target.pidfd(), USER | PID | NS).namespaces(PID | (set - PID));
    let found = stdout_of(&mut nested);
    let lines: Vec<_> = found.lines().collect();
    assert_eq!(lines[0], "1");
    assert_ne!(
        lines[1], "1",
        "the /proc that was entered numbers it as the outer pid namespace does"
    );
    for code in [0, 1, 77, 255] {
        let mut nested = sh(&format!("exit {code}"));
        nested.enter_process(target.pidfd(), USER | PID).namespaces(PID);
        assert_eq!(nested.status().unwrap().code(), Some(code));
    }
    // A user namespace, and with another pid namespace.
    for set in [USER, USER | PID, USER | PID | UTS] {
        let mut nested = sh("id -u; cat /proc/self/uid_map; cat /proc/self/setgroups; exit 9");
        nested.enter_process(target.pidfd(), USER | PID).namespaces(set);
        let output = nested.output().unwrap();
        assert_eq!(output.status.code(), Some(9), "{set}: {output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let (uid, said) = said.split_once('\n').unwrap();
        assert_eq!(said.split_ascii_whitespace().collect::<Vec<_>>()[..3], [uid, uid, "1"]);
    }
    // A user namespace inside an entered one.
    let script = "readlink /proc/self/ns/user; cat /proc/self/uid_map";
    let found = stdout_of(sh(script).enter(&user).namespaces(USER));
    let (inner, map) = found.split_once('\n').unwrap();
    assert!(inner != user.id().unwrap().to_string() && inner != identity("self", "user"));
    let uid = stdout_of(&mut sh("id -u"));
    assert_eq!(map.split_ascii_whitespace().collect::<Vec<_>>(), [&uid, &uid, "1"]);
    target.wait().unwrap();
}

fn own_are_passed_over() {
    let mut command = sh(LOOK);
    for kind in NamespaceKind::ALL {
        command.enter(&Namespace::current(kind).unwrap());
    }
    assert_eq!(differing(&stdout_of(&mut command)), Namespaces::empty());
    let me = PidFd::open(std::process::id()).unwrap();
    let mut command = sh(LOOK);
    command.enter_process(&me, Namespaces::all());
    assert_eq!(differing(&stdout_of(&mut command)), Namespaces::empty());
    // So no process is needed that would stay.
    let mut child = crate::cat(std::process::Command::new("sh").enter_process(&me, PID));
    assert!(children_of(child.id()).is_empty());
    child.wait().unwrap();
}

/// The thread moves between the setter and the spawn.
fn own_later() {
    let uts = Namespace::current(NamespaceKind::Uts).unwrap();
    let before = identity("thread-self", "uts");
    let mut command = sh("readlink /proc/self/ns/uts");
    command.enter(&uts);
    let found = std::thread::spawn(move || {
        linux_namespaces::unshare(UTS).unwrap();
        stdout_of(&mut command)
    });
    assert_eq!(found.join().unwrap(), before);
}

fn ids_come_first() {
    use std::os::unix::process::CommandExt as _;
    let script = "id -u; id -g; cat /proc/self/uid_map; cat /proc/self/setgroups; echo $$";
    let mut command = sh(script);
    command.uid(65534).gid(65534).namespaces(USER | PID | NS | UTS);
    let found = stdout_of(&mut command);
    let words: Vec<_> = found.split_ascii_whitespace().collect();
    assert_eq!(words, ["65534", "65534", "65534", "65534", "1", "deny", "1"]);
    for set in [UTS, PID] {
        assert_eq!(errno_of(sh("true").uid(65534).namespaces(set)), Some(libc::EPERM));
    }
}

fn without_the_right() {
    for kind in NamespaceKind::ALL {
        if kind != NamespaceKind::User {
            assert_eq!(errno_of(sh("true").namespaces(kind.into())), Some(libc::EPERM), "{kind}");
        }
    }
    let mut target = target();
    for kind in [NamespaceKind::Net, NamespaceKind::Pid, NamespaceKind::Mount] {
        let handle = target.namespace(kind).unwrap();
        assert_eq!(errno_of(sh("true").enter(&handle)), Some(libc::EPERM), "{kind}");
    }
    target.wait().unwrap();
}

fn nonsense() {
    let net = Namespace::current(NamespaceKind::Net).unwrap();
    let me = PidFd::open(std::process::id()).unwrap();
    let invalid = Some(libc::EINVAL);
    for bits in [1, 0x8000_0000, 0x100, u32::MAX] {
        let unknown = Namespaces::from_bits_retain(bits);
        assert_eq!(errno_of(sh("true").namespaces(unknown)), invalid);
        assert_eq!(errno_of(sh("true").enter_process(&me, unknown)), invalid);
    }
    assert_eq!(errno_of(sh("true").enter(&net).enter(&net)), invalid);
    assert_eq!(errno_of(sh("true").enter(&net).enter_process(&me, NET | UTS)), invalid);
    assert_eq!(errno_of(sh("true").enter(&net).namespaces(NET)), invalid);
    assert_eq!(errno_of(sh("true").namespaces(UTS).enter_process(&me, UTS)), invalid);
}

fn ended() {
    let mut target = target();
    let process = target.pidfd().try_clone().unwrap();
    let (user, pid) = (NamespaceKind::User, NamespaceKind::Pid);
    let (user, pid) = (target.namespace(user).unwrap(), target.namespace(pid).unwrap());
    target.wait().unwrap();
    let error = errno_of(sh("true").enter_process(&process, Namespaces::all()));
    assert_eq!(error, Some(libc::ESRCH));
    // The first process of this one is gone.
    assert_eq!(errno_of(sh("true").enter(&pid).enter(&user)), Some(libc::ESRCH));
}
