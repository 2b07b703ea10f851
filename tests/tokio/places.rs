//! Children in namespaces, looked at and kept.

use libtest_mimic::Trial;
use linux_namespaces::flags::{NET, PID, USER, UTS};
use linux_namespaces::{Command, NamespaceKind, ProcessNamespaces, Stdio};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::common::processes::{KINDS, difference, inodes};
use crate::common::{sh, test, test_with};
use crate::{USERNS, assert_alive, held, on_both, piped, spawned};

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("the_process_is_the_child", || on_both(the_process_is_the_child)),
        test_with("identities_are_told", USERNS, || on_both(identities_are_told)),
        test_with("a_namespace_outlives_the_child", USERNS, || on_both(outlives)),
        test_with("a_suspended_child", USERNS, || on_both(a_suspended_child)),
    ]
}

async fn the_process_is_the_child() {
    let mut child = spawned(piped(&mut sh("echo $$ $PPID; read line")));
    let mut text = Vec::new();
    let mut stdout = child.stdout.take().expect("piped");
    while text.last() != Some(&b'\n') {
        text.push(stdout.read_u8().await.expect("it writes"));
    }
    let told = format!("{} {}\n", child.id(), std::process::id());
    assert_eq!(String::from_utf8(text).expect("text"), told);
    assert_eq!(child.pidfd().pid().expect("told"), Some(child.id()));
    child.stdin.take().expect("piped").write_all(b"\n").await.expect("it reads");
    assert!(child.wait().await.expect("its end").success());
    assert_eq!(told.split(' ').next(), Some(&*child.id().to_string()), "the same after the end");
}

async fn identities_are_told() {
    let set = USER | PID | NET;
    let before = inodes("thread-self");
    let (socket, mut child) = held(Command::new("cat").namespaces(set));
    assert_alive(&socket);
    let there = inodes(child.id());
    assert_eq!(difference(&there, &inodes("self")), set);
    let told = child.namespaces().expect("namespaces");
    assert_eq!(told.differing_from(&ProcessNamespaces::current().expect("own")), set);
    for kind in KINDS {
        assert_eq!(told.get(kind).map(|id| id.ino()), Some(there[&kind]), "{kind}");
        let handle = child.namespace(kind).expect("a handle");
        assert_eq!((handle.kind(), handle.id().expect("an id").ino()), (kind, there[&kind]));
    }
    // The caller has not moved, whatever thread this runs on.
    assert_eq!(inodes("thread-self"), before);
    drop(socket);
    assert!(child.wait().await.expect("its end").success());
}

async fn outlives() {
    let set = USER | UTS;
    let mut command = sh("read end");
    let mut child = spawned(command.namespaces(set).hostname("kept").stdin(Stdio::piped()));
    let handles: Vec<_> =
        set.kinds().map(|kind| child.namespace(kind).expect("a handle")).collect();
    assert_eq!(child.wait().await.expect("its end").code(), Some(1));
    let mut command = sh("uname -n; readlink /proc/self/ns/uts");
    for handle in &handles {
        command.enter(handle);
    }
    let output = spawned(piped(&mut command)).wait_with_output().await.expect("its end");
    let uts = handles.iter().find(|handle| handle.kind() == NamespaceKind::Uts).expect("one");
    let expected = format!("kept\n{}\n", uts.id().expect("an id"));
    assert_eq!(String::from_utf8(output.stdout).expect("text"), expected);
}

async fn a_suspended_child() {
    let mut command = sh("exit 21");
    let waiting = command.namespaces(USER | NET).spawn_suspended().expect("it waits");
    let child = waiting.resume().expect("it runs");
    let mut child = linux_namespaces::tokio::Child::try_from(child).expect("in a runtime");
    assert_eq!(child.wait().await.expect("its end").code(), Some(21));
}
