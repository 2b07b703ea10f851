//! Facts that a test says.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::Path;

use super::facts::{Facts, What};

/// A machine, and a process on it: at first an ordinary user's, with one thread, on a machine with no file at all.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) files: BTreeMap<String, String>,
    pub(super) links: BTreeMap<String, String>,
    pub(super) ids: (u32, u32),
    pub(super) capabilities: u64,
    pub(super) seccomp: Option<u32>,
    pub(super) dumpable: Option<u32>,
    pub(super) threads: usize,
    pub(super) root_is_a_mount: Option<bool>,
    pub(super) root_is_the_namespaces: Option<bool>,
}

impl Given {
    pub(super) fn user() -> Self {
        Self {
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            ids: (1000, 1000),
            capabilities: 0,
            seccomp: Some(0),
            dumpable: Some(1),
            threads: 1,
            root_is_a_mount: Some(true),
            root_is_the_namespaces: None,
        }
    }

    pub(super) fn root() -> Self {
        Self {
            ids: (0, 0),
            capabilities: u64::MAX,
            root_is_the_namespaces: Some(true),
            ..Self::user()
        }
    }

    pub(super) fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }

    pub(super) fn link(mut self, path: &str, text: &str) -> Self {
        self.links.insert(path.to_owned(), text.to_owned());
        self
    }

    /// In a container: a filter, and parts of /proc covered.
    pub(super) fn in_a_container(self) -> Self {
        Self { seccomp: Some(2), ..self }.file(
            "/proc/self/mountinfo",
            "600 500 0:70 / / rw,relatime - overlay overlay rw\n\
             601 600 0:71 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw\n\
             602 601 0:72 / /proc/acpi ro,relatime - tmpfs tmpfs ro\n\
             603 601 0:71 /sys /proc/sys ro,nosuid,nodev,noexec,relatime - proc proc rw\n",
        )
    }
}

impl Facts for Given {
    fn file(&self, path: &str) -> Option<String> {
        self.files.get(path).cloned()
    }

    fn link(&self, path: &str) -> Option<String> {
        self.links.get(path).cloned()
    }

    fn what(&self, path: &Path) -> Option<What> {
        let path = path.to_str().expect("text");
        if path.ends_with('/') {
            Some(What::Directory)
        } else {
            self.files.get(path).map(|_| What::File)
        }
    }

    fn start(&self, path: &Path) -> Option<Vec<u8>> {
        self.files.get(path.to_str().expect("text")).map(|text| text.clone().into_bytes())
    }

    fn ids(&self) -> (u32, u32) {
        self.ids
    }

    fn capabilities(&self) -> u64 {
        self.capabilities
    }

    fn seccomp(&self) -> Option<u32> {
        self.seccomp
    }

    fn dumpable(&self) -> Option<u32> {
        self.dumpable
    }

    fn has_one_thread(&self) -> bool {
        self.threads == 1
    }

    fn root_is_a_mount(&self) -> Option<bool> {
        self.root_is_a_mount
    }

    fn root_is_the_namespaces(&self) -> Option<bool> {
        self.root_is_the_namespaces
    }
}
