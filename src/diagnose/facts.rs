//! What reasons are found in. Tests say other facts, so that the settings of systems that the test machine is not are tested too.
#![forbid(unsafe_code)]

use std::fs;
use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::process;

use crate::sys::child::Op;
use crate::sys::probe::{Probe, Root};
use crate::sys::spawn::Failure;
use crate::{Namespace, NamespaceKind, sys, text, threads};

/// Each is looked up when it is asked for. `None` where it cannot be told.
pub(super) trait Facts {
    /// The text of a file, if it can be read.
    fn file(&self, path: &str) -> Option<String>;
    /// What a symbolic link says, if it can be read.
    fn link(&self, path: &str) -> Option<String>;
    /// What there is at a path.
    fn what(&self, path: &Path) -> Option<What>;
    /// The first bytes of a file.
    fn start(&self, path: &Path) -> Option<Vec<u8>>;
    /// Effective user and group id.
    fn ids(&self) -> (u32, u32);
    /// Effective capabilities, in the caller's own user namespace.
    fn capabilities(&self) -> u64;
    /// The mode that `PR_GET_SECCOMP` tells.
    fn seccomp(&self) -> Option<u32>;
    fn dumpable(&self) -> Option<u32>;
    fn has_one_thread(&self) -> bool;
    /// Whether the root directory is the root of a mount.
    fn root_is_a_mount(&self) -> Option<bool>;
    /// Whether the root directory is that of the mount namespace. Only who may enter a mount namespace can find out.
    fn root_is_the_namespaces(&self) -> Option<bool>;
}

/// A sort of file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    File,
    Directory,
    Other,
}

/// The calling process.
pub(super) struct Here;

impl Facts for Here {
    fn file(&self, path: &str) -> Option<String> {
        text::read(path).ok()
    }

    fn link(&self, path: &str) -> Option<String> {
        fs::read_link(path).ok().and_then(|target| target.into_os_string().into_string().ok())
    }

    fn what(&self, path: &Path) -> Option<What> {
        let kind = fs::metadata(path).ok()?.file_type();
        Some(match (kind.is_file(), kind.is_dir()) {
            (true, _) => What::File,
            (_, true) => What::Directory,
            _ => What::Other,
        })
    }

    fn start(&self, path: &Path) -> Option<Vec<u8>> {
        let mut start = Vec::new();
        fs::File::open(path).ok()?.take(256).read_to_end(&mut start).ok()?;
        Some(start)
    }

    fn ids(&self) -> (u32, u32) {
        sys::process::effective_ids()
    }

    fn capabilities(&self) -> u64 {
        sys::capabilities().effective
    }

    fn seccomp(&self) -> Option<u32> {
        sys::probe::seccomp_mode()
    }

    fn dumpable(&self) -> Option<u32> {
        sys::prctl::dumpable()
    }

    fn has_one_thread(&self) -> bool {
        threads::is_single()
    }

    fn root_is_a_mount(&self) -> Option<bool> {
        sys::stat::root_is_a_mount()
    }

    /// Entering the mount namespace that one is in puts the root where that of the namespace is. A child does it.
    fn root_is_the_namespaces(&self) -> Option<bool> {
        // The first child after unshare(2) of the pid namespace would be process 1 of the new one, and end it.
        let unborn = |name| fs::read_link(format!("/proc/thread-self/ns/{name}")).is_err();
        if !unborn("pid") && unborn("pid_for_children") {
            return None;
        }
        let own = Root::own()?;
        let handle = Namespace::current(NamespaceKind::Mount).ok();
        let process = match &handle {
            Some(_) => None,
            // Without /proc.
            None => Some(sys::pidfd::open(process::id()).ok()?),
        };
        let fd = match (&handle, &process) {
            (Some(handle), _) => handle.as_fd().as_raw_fd(),
            (None, process) => process.as_ref()?.as_raw_fd(),
        };
        let mut ops = [Op::Enter { fd, kind: libc::CLONE_NEWNS }, Op::Probe(Probe::Root(own))];
        match sys::spawn::attempt(&mut ops, false) {
            Ok(()) => Some(true),
            Err(Failure::Op(1, libc::EXDEV)) => Some(false),
            Err(_) => None,
        }
    }
}
