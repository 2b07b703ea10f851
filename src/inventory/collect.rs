//! What has been seen so far, and the descriptors that keep it what it was.
//!
//! The kernel uses an inode again as soon as nothing holds the namespace. Two processes with the same inode, looked at
//! one after the other, may therefore be in different namespaces. So a namespace is opened when it is first seen: it is
//! "pinned", and whoever shows that inode from then on is in it. Where too few descriptors are to be had, the sightings
//! are repeated in the end, under a pin.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::OnceLock;

use super::budget::Pins;
use super::link;
use crate::sys::ioctl_nsfs;
use crate::{NamespaceKind, sys};

/// Of the file system that namespaces are files of: statfs(2).
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// What all threads of one scan share.
#[derive(Debug)]
pub(super) struct Shared {
    /// `/proc`.
    pub(super) proc: OwnedFd,
    /// How many namespaces may be pinned.
    pins: Pins,
    /// The device number that all namespace files have.
    device: OnceLock<u64>,
    /// Whether processes have the same numbers in `/proc` as for system calls.
    pub(super) numbers_agree: bool,
}

impl Shared {
    pub(super) fn new(proc: OwnedFd, pins: Pins, numbers_agree: bool) -> Self {
        Self { proc, pins, device: OnceLock::new(), numbers_agree }
    }

    /// `None` as long as no namespace has been opened.
    pub(super) fn device(&self) -> Option<u64> {
        self.device.get().copied()
    }

    /// The inode of a namespace file; `None` for any other.
    pub(super) fn inode(&self, file: BorrowedFd<'_>) -> io::Result<Option<u64>> {
        let (device, ino) = sys::stat::identity(file)?;
        if self.device.get().is_none() {
            // What a descriptor leads to may have changed since it was looked at, even the first one's.
            if sys::statfs::magic(file)? != NSFS_MAGIC {
                return Ok(None);
            }
            let _ = self.device.set(device);
        }
        Ok((self.device() == Some(device)).then_some(ino))
    }

    /// Opens the namespace at `path`, below `directory`. What is no namespace, or a link that leads to something else by
    /// now, is not opened, for that could have effects: then it is ENOENT.
    pub(super) fn open(&self, directory: BorrowedFd<'_>, path: &CStr) -> io::Result<OwnedFd> {
        if !self.numbers_agree {
            // There is no way from a glance to the file then.
            return sys::openat::read(directory, path);
        }
        let glance = sys::openat::glance(directory, path)?;
        if self.inode(glance.as_fd())?.is_none() {
            return Err(io::Error::from_raw_os_error(libc::ENOENT));
        }
        let again = link::path(format_args!("thread-self/fd/{}", glance.as_raw_fd()));
        sys::openat::read(self.proc.as_fd(), &again)
    }
}

/// How somebody was seen to be in a namespace, or to hold it. The numbers are those of `/proc`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sighting {
    /// The process is in it.
    Process(u32),
    /// A thread is in it, which its process's first thread is not.
    Thread { process: u32, thread: u32 },
    /// The next children of a thread will be in it.
    Children { process: u32, thread: u32 },
    /// The process has it open, in the table of that thread.
    Descriptor { process: u32, thread: u32, number: u32 },
    /// The process has a socket that belongs to it.
    Socket { process: u32, thread: u32, number: u32 },
}

/// A namespace that was seen.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: NamespaceKind,
    pub(super) ino: u64,
    /// Keeps it alive while the scan lasts.
    pub(super) pin: Option<OwnedFd>,
    /// Every sighting was of this one, and not of an earlier one with its inode.
    pub(super) certain: bool,
    pub(super) processes: Vec<u32>,
    pub(super) others: Vec<Sighting>,
    pub(super) mounted_at: Vec<PathBuf>,
    /// What follows has been asked for.
    pub(super) related: bool,
    /// Another one's owner or parent, or listed by the kernel: so it is there, be it without anybody in it.
    pub(super) known_to_exist: bool,
    pub(super) owner: Option<u64>,
    pub(super) parent: Option<u64>,
    pub(super) owner_uid: Option<u32>,
    pub(super) unique_id: Option<u64>,
}

impl Entry {
    pub(super) fn new(kind: NamespaceKind, ino: u64, pin: Option<OwnedFd>) -> Self {
        Self {
            kind,
            ino,
            certain: pin.is_some(),
            pin,
            processes: Vec::new(),
            others: Vec::new(),
            mounted_at: Vec::new(),
            related: false,
            known_to_exist: false,
            owner: None,
            parent: None,
            owner_uid: None,
            unique_id: None,
        }
    }

    pub(super) fn add(&mut self, sighting: Sighting) {
        match sighting {
            Sighting::Process(process) => self.processes.push(process),
            other => self.others.push(other),
        }
    }
}

/// The namespaces that one thread has seen.
#[derive(Debug)]
pub(super) struct Collector<'s> {
    pub(super) shared: &'s Shared,
    pub(super) entries: Vec<Entry>,
    index: HashMap<(NamespaceKind, u64), usize>,
    /// Most processes are where the one before was.
    last: [Option<(u64, usize)>; 8],
}

impl<'s> Collector<'s> {
    pub(super) fn new(shared: &'s Shared) -> Self {
        Self { shared, entries: Vec::new(), index: HashMap::new(), last: [None; 8] }
    }

    pub(super) fn find(&mut self, kind: NamespaceKind, ino: u64) -> Option<usize> {
        if let Some((last, at)) = self.last[kind as usize] {
            if last == ino {
                return Some(at);
            }
        }
        let at = *self.index.get(&(kind, ino))?;
        self.last[kind as usize] = Some((ino, at));
        Some(at)
    }

    pub(super) fn insert(&mut self, entry: Entry) -> usize {
        let at = self.entries.len();
        self.index.insert((entry.kind, entry.ino), at);
        self.entries.push(entry);
        at
    }

    /// Somebody showed this inode; `open` opens what shows it, should it be new.
    ///
    /// An error of `open` that says "gone" or "not allowed" means that the sighting came to nothing.
    pub(super) fn saw(
        &mut self,
        kind: NamespaceKind,
        ino: u64,
        sighting: Sighting,
        open: impl FnOnce() -> io::Result<OwnedFd>,
    ) -> io::Result<()> {
        let at = match self.find(kind, ino) {
            Some(at) => at,
            None => match self.first_seen(kind, ino, open)? {
                Some(at) => at,
                None => return Ok(()),
            },
        };
        self.entries[at].add(sighting);
        Ok(())
    }

    fn first_seen(
        &mut self,
        kind: NamespaceKind,
        ino: u64,
        open: impl FnOnce() -> io::Result<OwnedFd>,
    ) -> io::Result<Option<usize>> {
        if !self.shared.pins.take() {
            return Ok(Some(self.insert(Entry::new(kind, ino, None))));
        }
        let file = match open() {
            Ok(file) => file,
            Err(error) if out_of_descriptors(&error) => {
                self.shared.pins.exhaust();
                return Ok(Some(self.insert(Entry::new(kind, ino, None))));
            }
            Err(error) => {
                self.shared.pins.give_back();
                return Err(error);
            }
        };
        // The process may have moved since: what is open now is what counts. It may be of another kind, where a descriptor
        // had its number used again.
        let same_kind = ioctl_nsfs::kind(file.as_fd()).is_ok_and(|bits| bits == kind.flag().bits());
        let Some(ino) = self.shared.inode(file.as_fd())?.filter(|_| same_kind) else {
            self.shared.pins.give_back();
            return Ok(None);
        };
        if let Some(at) = self.find(kind, ino) {
            self.shared.pins.give_back();
            return Ok(Some(at));
        }
        Ok(Some(self.insert(Entry::new(kind, ino, Some(file)))))
    }

    /// Takes a namespace that is open, and was found without anybody in it. Says which entry is its, and gives the
    /// file back if it is not kept.
    pub(super) fn discover(
        &mut self,
        kind: NamespaceKind,
        ino: u64,
        file: OwnedFd,
    ) -> (usize, Option<OwnedFd>) {
        if let Some(at) = self.find(kind, ino) {
            return (at, Some(file));
        }
        if self.shared.pins.take() {
            return (self.insert(Entry::new(kind, ino, Some(file))), None);
        }
        (self.insert(Entry::new(kind, ino, None)), Some(file))
    }

    /// Takes over what another thread has seen. Both hold their pins, so what both have pinned is one namespace.
    pub(super) fn merge(&mut self, other: Vec<Entry>) {
        for mut theirs in other {
            let Some(at) = self.find(theirs.kind, theirs.ino) else {
                self.insert(theirs);
                continue;
            };
            let ours = &mut self.entries[at];
            ours.certain &= theirs.certain;
            ours.pin = ours.pin.take().or(theirs.pin);
            ours.processes.append(&mut theirs.processes);
            ours.others.append(&mut theirs.others);
        }
    }
}

/// Whether it is the caller, or the machine, that has too many files open.
pub(super) fn out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Whether a process, or what it had, is gone.
pub(super) fn gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

/// Whether the caller may not see it.
pub(super) fn refused(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM))
}

impl Sighting {
    /// The link below `/proc` that says so; for a socket, the one that leads to it.
    pub(super) fn link(self, kind: NamespaceKind) -> CString {
        match self {
            Self::Process(process) => link::path(format_args!("{process}/ns/{kind}")),
            Self::Thread { process, thread } => {
                link::path(format_args!("{process}/task/{thread}/ns/{kind}"))
            }
            Self::Children { process, thread } => {
                link::path(format_args!("{process}/task/{thread}/ns/{kind}_for_children"))
            }
            Self::Descriptor { process, thread, number }
            | Self::Socket { process, thread, number } => {
                link::path(format_args!("{process}/task/{thread}/fd/{number}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_file_that_is_no_namespace_does_not_tell_what_device_namespaces_have() {
        let open = |path| OwnedFd::from(File::open(path).unwrap());
        let shared = Shared::new(open("/proc"), Pins::new(0), true);
        assert_eq!(shared.inode(open("/dev/null").as_fd()).unwrap(), None);
        let namespace = open("/proc/self/ns/net");
        let expected = sys::stat::identity(namespace.as_fd()).unwrap().1;
        assert_eq!(shared.inode(namespace.as_fd()).unwrap(), Some(expected));
        assert_eq!(shared.inode(open("/dev/null").as_fd()).unwrap(), None);
    }
}
