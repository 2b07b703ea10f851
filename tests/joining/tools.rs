//! With the tools that people use for the same: util-linux and iproute2.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child as StdChild, Command as StdCommand, Stdio as StdStdio};

use linux_namespaces::flags::{CGROUP, IPC, MOUNT, NET, PID, TIME, USER, UTS};
use linux_namespaces::{Command, Namespace, NamespaceKind, Namespaces, PidFd};

use crate::common::processes::{KINDS, end, inode_of_link, inodes, running};
use crate::common::{inode, stdout_of};
use crate::entering::{cat, full_holder};

/// An `unshare` of util-linux that waits, and the process that is inside.
fn unshared(options: &[&str]) -> (StdChild, u32) {
    let mut command = StdCommand::new("unshare");
    command.args(options).args(["sh", "-c", "echo ready; exec cat"]);
    let mut outer =
        command.stdin(StdStdio::piped()).stdout(StdStdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    let stdout = outer.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("it is there");
    assert_eq!(line, "ready\n");
    let children = format!("/proc/{0}/task/{0}/children", outer.id());
    let children = fs::read_to_string(children).expect("it is there");
    let inner =
        children.split_whitespace().next().map_or(outer.id(), |pid| pid.parse().expect("a number"));
    (outer, inner)
}

pub(crate) fn made_by_unshare() {
    let all = [
        "--user",
        "--map-root-user",
        "--net",
        "--uts",
        "--ipc",
        "--cgroup",
        "--mount",
        "--pid",
        "--fork",
        "--time",
    ];
    let cases: [(&[&str], Namespaces); 4] = [
        (&all, Namespaces::all()),
        (&all[..4], USER | NET | UTS),
        (&["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"], USER | PID | MOUNT),
        (&["--user", "--ipc", "--cgroup"], USER | IPC | CGROUP),
    ];
    for (options, set) in cases {
        let (mut outer, inner) = unshared(options);
        let target = PidFd::open(inner).expect("it runs");
        let expected = inodes(inner);
        // Those that it did not unshare are the caller's own, and are passed over.
        for kinds in [set, Namespaces::all()] {
            let child = running(cat().enter_process(&target, kinds));
            assert_eq!(inodes(child.id()), expected, "{options:?}, {kinds}");
            end(child);
            let mut command = cat();
            for kind in kinds.kinds() {
                command.enter(&Namespace::of(inner, kind).expect("a handle"));
            }
            let child = running(&mut command);
            assert_eq!(inodes(child.id()), expected, "{options:?}, {kinds}");
            end(child);
        }
        drop(outer.stdin.take());
        assert!(outer.wait().expect("its end").success());
    }
}

pub(crate) fn entered_by_nsenter() {
    let there = full_holder();
    let target = there.id().to_string();
    let expected = inodes(there.id());
    let mut nsenter = StdCommand::new("nsenter");
    nsenter.args(["--preserve-credentials", "--all", "--target", &target, "readlink"]);
    nsenter.args(KINDS.map(|kind| format!("/proc/self/ns/{kind}")));
    let output = nsenter.output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout).expect("text");
    let inside: Vec<u64> = told.lines().map(inode_of_link).collect();
    assert_eq!(inside, expected.into_values().collect::<Vec<_>>());
    end(there);
}

/// Removes it whatever happens.
struct Netns(String);

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = StdCommand::new("ip").args(["netns", "delete", &self.0]).status();
    }
}

pub(crate) fn made_by_ip() {
    let name = format!("linux-namespaces-test-{}", std::process::id());
    let made = StdCommand::new("ip").args(["netns", "add", &name]).status().expect("it starts");
    assert!(made.success());
    let netns = Netns(name);
    let path = format!("/run/netns/{}", netns.0);
    let net = Namespace::open(&path).expect("a namespace file");
    assert_eq!(net.kind(), NamespaceKind::Net);
    let mut command = Command::new("readlink");
    let told = stdout_of(command.arg("/proc/self/ns/net").enter(&net));
    assert_eq!(inode_of_link(&told), inode(&path));
    // With others that are made for the program.
    let child = running(cat().enter(&net).namespaces(PID | UTS | TIME));
    let (own, inside) = (inodes("self"), inodes(child.id()));
    assert_eq!(inside[&NamespaceKind::Net], inode(&path));
    for kind in [NamespaceKind::Pid, NamespaceKind::Uts, NamespaceKind::Time] {
        assert_ne!(inside[&kind], own[&kind]);
    }
    end(child);
}
