//! Programs to look at: what namespaces they are in, and how to have them begin and end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::time::Instant;

use linux_namespaces::{Child, Command, NamespaceKind, Namespaces, Stdio};

use super::inode;

pub(crate) const KINDS: [NamespaceKind; 8] = NamespaceKind::ALL;

/// The inodes of a process's namespaces, as stat(2) gives them.
pub(crate) fn inodes(process: impl std::fmt::Display) -> BTreeMap<NamespaceKind, u64> {
    KINDS.map(|kind| (kind, inode(format!("/proc/{process}/ns/{kind}")))).into()
}

/// The kinds in which two processes differ.
pub(crate) fn difference(
    one: &BTreeMap<NamespaceKind, u64>,
    other: &BTreeMap<NamespaceKind, u64>,
) -> Namespaces {
    KINDS.into_iter().filter(|kind| one[kind] != other[kind]).collect()
}

pub(crate) fn inode_of_link(link: &str) -> u64 {
    let number = link.split_once(":[").and_then(|(_, rest)| rest.strip_suffix(']'));
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no inode in {link:?}"))
}

/// A process that is nobody's child here, for good: nothing can be read in its directory once it is gone, whoever gets its number.
pub(crate) struct Seen(File);

impl Seen {
    pub(crate) fn of(pid: u32) -> Self {
        Self(File::open(format!("/proc/{pid}")).expect("it is there"))
    }

    fn state(&self) -> Option<char> {
        let stat = fs::read_to_string(format!("/proc/self/fd/{}/stat", self.0.as_raw_fd()));
        stat.ok()?.rsplit_once(") ")?.1.chars().next()
    }

    /// It may still be a zombie.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state(), None | Some('Z' | 'X'))
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.state().is_none()
    }

    #[track_caller]
    pub(crate) fn await_end(&self) {
        let start = Instant::now();
        while !self.has_ended() {
            assert!(start.elapsed().as_secs() < 20, "it has not ended");
            std::thread::yield_now();
        }
    }
}

/// The ids of this process's children.
pub(crate) fn child_ids() -> Vec<u32> {
    let path = format!("/proc/self/task/{}/children", std::process::id());
    let text = fs::read_to_string(path).expect("children of the only thread");
    text.split_whitespace().map(|pid| pid.parse().expect("a number")).collect()
}

/// Runs until its standard input ends.
pub(crate) fn holder(set: Namespaces) -> Child {
    let mut command = Command::new("cat");
    command.namespaces(set).stdin(Stdio::piped());
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// `cat` with pipes, that has been seen to run.
pub(crate) fn running(command: &mut Command) -> Child {
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    child.stdin.as_mut().expect("piped").write_all(b"x").expect("it reads");
    let mut echo = [0];
    child.stdout.as_mut().expect("piped").read_exact(&mut echo).expect("it writes");
    assert_eq!(&echo, b"x");
    child
}

#[track_caller]
pub(crate) fn end(mut child: Child) {
    let status = child.wait().expect("its end");
    assert!(status.success(), "{status}");
}
