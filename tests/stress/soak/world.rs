//! What the spawns of the soak find: where they can go, and where they cannot.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::PathBuf;

use linux_namespaces::{Child, Command, Namespace, NamespaceKind, Namespaces, PidFd, Stdio};

use crate::common::{is_root, processes::holder, sh, with_user};

/// Processes and files that live as long as the soak.
pub(crate) struct World {
    pub(crate) root: bool,
    /// Ids other than the own one are mapped, and root has the right to them.
    pub(crate) other_ids: bool,
    /// In namespaces of its own, with a user namespace if that takes one.
    pub(crate) neighbour: Child,
    /// In a user namespace where there can be no uts namespace more.
    pub(crate) full: Child,
    /// One that has ended and was waited for.
    pub(crate) dead: PidFd,
    /// Its process 1 has ended.
    pub(crate) dead_pid: Namespace,
    pub(crate) group: Option<Group>,
    /// Seconds of the monotonic clock at the end of the soak, at the most.
    pub(crate) uptime: i64,
    /// Seconds that this time namespace is ahead of the first.
    pub(crate) ahead: i64,
}

/// A cgroup to be born in, and the descriptor of one that is gone.
pub(crate) struct Group {
    pub(crate) path: PathBuf,
    pub(crate) removed: File,
}

impl World {
    pub(crate) fn new() -> Self {
        let neighbour = holder(with_user(Namespaces::UTS | Namespaces::IPC | Namespaces::NET));
        let mut full = sh("echo 0 >/proc/sys/user/max_uts_namespaces && echo full && exec cat");
        full.namespaces(Namespaces::USER).map_root_user();
        full.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut full = full.spawn().expect("a process");
        let mut word = [0; 5];
        full.stdout.as_mut().expect("piped").read_exact(&mut word).expect("the limit is set");
        let mut ended = Command::new("true").spawn().expect("a process");
        let dead = ended.pidfd().try_clone().expect("its pidfd");
        ended.wait().expect("its end");
        let mut first = holder(with_user(Namespaces::PID));
        let dead_pid = first.namespace(NamespaceKind::Pid).expect("its namespace");
        first.wait().expect("its end");
        let map = fs::read_to_string("/proc/self/uid_map").expect("the map of ids");
        Self {
            root: is_root(),
            other_ids: is_root() && map.split_whitespace().nth(2) == Some("4294967295"),
            neighbour,
            full,
            dead,
            dead_pid,
            group: Group::make(),
            uptime: monotonic_seconds() + 24 * 60 * 60,
            ahead: ahead(),
        }
    }

    /// Those of the neighbour that anybody can enter, with what gives the right to them.
    pub(crate) fn kinds_to_enter(&self) -> Namespaces {
        with_user(Namespaces::UTS | Namespaces::IPC)
    }

    pub(crate) fn end(mut self) {
        for process in [&mut self.neighbour, &mut self.full] {
            process.wait().expect("its end");
        }
        if let Some(group) = &self.group {
            fs::remove_dir(&group.path).expect("nobody is in it");
        }
    }
}

impl Group {
    /// `None` where there is no cgroup2, or nobody may make a group in it.
    fn make() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        let line = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
        let top = PathBuf::from(line.split(' ').nth(4)?);
        let path = top.join(format!("linux-namespaces-soak-{}", std::process::id()));
        fs::create_dir(&path).ok()?;
        let inner = path.join("removed");
        fs::create_dir(&inner).expect("a group in an own one");
        let removed = File::open(&inner).expect("its directory");
        fs::remove_dir(&inner).expect("nobody is in it");
        Some(Self { path, removed })
    }
}

fn monotonic_seconds() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the time.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) }, 0);
    now.tv_sec
}

fn ahead() -> i64 {
    let offsets = fs::read_to_string("/proc/self/timens_offsets").expect("offsets");
    let monotonic = offsets.lines().next().and_then(|line| line.split_whitespace().nth(1));
    monotonic.and_then(|seconds| seconds.parse().ok()).expect("seconds")
}

/// A descriptor of `/dev/null`.
pub(crate) fn null() -> File {
    File::open("/dev/null").expect("/dev/null")
}
