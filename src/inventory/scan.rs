//! One pass over `/proc`.
#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::collect::{Collector, Entry, Shared, Sighting, gone, out_of_descriptors, refused};
use super::look::Looker;
use super::{Inventory, NamespaceInfo, listed, mounts, relate, sockets};
use crate::error::{At as _, Error, Result, Step};
use crate::sys::ioctl_nsfs;
use crate::{NamespaceId, NamespaceKind, process, sys};

/// How a scan goes about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// How many namespaces stay open at most while it lasts.
    pub(super) pins: usize,
    /// How many processes it takes to make another thread worth its while.
    pub(super) processes_for_a_thread: usize,
    pub(super) most_threads: usize,
}

impl Way {
    pub(super) fn usual() -> Self {
        let limit = sys::getrlimit::descriptors();
        // Since Linux 6.2 the size is the number of open descriptors.
        let open = fs::metadata("/proc/self/fd").map_or(0, |directory| directory.len());
        let free = limit.saturating_sub(usize::try_from(open).unwrap_or(usize::MAX));
        // The other half is for the caller's other threads.
        Self { pins: free / 2, processes_for_a_thread: 256, most_threads: 8 }
    }
}

/// What the threads take processes from at a time.
const BLOCK: usize = 32;

pub(super) fn scan(way: Way) -> Result<Inventory> {
    let shared = shared(way).at(|| Step::Open("/proc".into()))?;
    found(&shared, way).map_err(|error| {
        let scanning = Error::new(Step::Inspect).on("all processes");
        if out_of_descriptors(&error) {
            return scanning.errno(error.raw_os_error().unwrap_or(libc::EMFILE)).because(
                "the scan needs some descriptors of its own: close some, or raise the limit (RLIMIT_NOFILE)",
            );
        }
        scanning.errno(error.raw_os_error().unwrap_or(libc::EIO))
    })
}

fn shared(way: Way) -> io::Result<Shared> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let proc = fs::File::options().read(true).custom_flags(flags).open("/proc")?;
    let own = own_number();
    Ok(Shared::new(OwnedFd::from(proc), way.pins, own == Some(std::process::id())))
}

/// This process's number in `/proc`. `None`: that is the one of another pid namespace.
fn own_number() -> Option<u32> {
    fs::read_link("/proc/self").ok()?.to_str()?.parse().ok()
}

fn found(shared: &Shared, way: Way) -> io::Result<Inventory> {
    let mut looker = Looker::new(shared);
    let mut processes = looker.list()?;
    // The caller comes first: later the scan's own descriptors would be among its.
    if let Some(own) = own_number() {
        looker.look_at(own)?;
        processes.retain(|process| *process != own);
    }
    let others = look_at_all(&mut looker, shared, way, &processes)?;

    let mut unreadable = looker.unreadable;
    let mut unknown_sockets = looker.unknown_sockets();
    let mut seen = looker.seen;
    for (collector, unread, sockets) in others {
        seen.merge(collector);
        unreadable += unread;
        unknown_sockets += sockets;
    }
    relate::relate_pinned(&mut seen)?;
    let unknown_mounts = mounts::read(&mut seen)?;
    let unknown_namespaces = listed::add(&mut seen)?;
    relate::relate_pinned(&mut seen)?;
    make_certain(&mut seen)?;

    let device = match shared.device() {
        Some(device) => device,
        None => process::nsfs_device()?,
    };
    let mut namespaces: Vec<NamespaceInfo> = seen
        .entries
        .into_iter()
        .filter(Entry::is_there)
        .map(|entry| entry.finish(device))
        .collect();
    namespaces.sort_unstable_by_key(|namespace| namespace.id);
    Ok(Inventory { namespaces, unreadable, unknown_sockets, unknown_mounts, unknown_namespaces })
}

type Part = (Vec<Entry>, usize, usize);

/// Looks at the processes on as many threads as pay; `looker` is that of this thread.
fn look_at_all(
    looker: &mut Looker<'_>,
    shared: &Shared,
    way: Way,
    processes: &[u32],
) -> io::Result<Vec<Part>> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let work = |looker: &mut Looker<'_>| -> io::Result<()> {
        while !failed.load(Ordering::Relaxed) {
            let from = next.fetch_add(BLOCK, Ordering::Relaxed);
            let Some(block) = processes.get(from..) else { break };
            for process in block.iter().take(BLOCK) {
                looker.look_at(*process).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            }
        }
        Ok(())
    };
    let parts = Mutex::new(Vec::new());
    let failure = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 1..threads(way, processes.len()) {
            let helper = || {
                let mut looker = Looker::new(shared);
                let result = work(&mut looker);
                let part = (looker.unreadable, looker.unknown_sockets());
                if let Ok(mut parts) = parts.lock() {
                    parts.push((looker.seen.entries, part.0, part.1));
                }
                if let (Err(error), Ok(mut failure)) = (result, failure.lock()) {
                    failure.get_or_insert(error);
                }
            };
            let builder = thread::Builder::new().name("namespaces".to_owned());
            // Where there are no more threads to be had, those that are there do it.
            if builder.spawn_scoped(scope, helper).is_err() {
                break;
            }
        }
        work(looker)
    })?;
    match failure.into_inner() {
        Ok(Some(error)) => Err(error),
        _ => Ok(parts.into_inner().unwrap_or_default()),
    }
}

fn threads(way: Way, processes: usize) -> usize {
    let paying = (processes / way.processes_for_a_thread.max(1)).min(way.most_threads);
    if paying < 2 {
        return 1;
    }
    paying.min(thread::available_parallelism().map_or(1, usize::from))
}

/// Repeats, under a pin, the sightings that were made without one.
fn make_certain(seen: &mut Collector<'_>) -> io::Result<()> {
    let mut at = 0;
    while at < seen.entries.len() {
        if !seen.entries[at].certain {
            look_again(seen, at)?;
        }
        at += 1;
    }
    Ok(())
}

fn look_again(seen: &mut Collector<'_>, at: usize) -> io::Result<()> {
    let (kind, ino) = (seen.entries[at].kind, seen.entries[at].ino);
    let sightings: Vec<Sighting> = {
        let entry = &mut seen.entries[at];
        let processes = std::mem::take(&mut entry.processes).into_iter().map(Sighting::Process);
        processes.chain(std::mem::take(&mut entry.others)).collect()
    };
    let mut pin = seen.entries[at].pin.take();
    // What was said of it may have been said of an earlier one.
    seen.entries[at].related &= pin.is_some();
    for sighting in sightings {
        let again = match &pin {
            None => open_again(seen.shared, kind, ino, sighting).map(|file| {
                pin = file;
                pin.is_some()
            }),
            Some(_) => shows_again(seen.shared, kind, ino, sighting),
        };
        match again {
            Ok(true) => seen.entries[at].add(sighting),
            Ok(false) => {}
            Err(error) if gone(&error) || refused(&error) => {}
            // What was a socket is none, or nothing, by now.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EBADF | libc::ENOTSOCK | libc::EINVAL)
                ) => {}
            Err(error) => return Err(error),
        }
    }
    if let Some(pin) = &pin {
        relate::relate(seen, at, pin.as_fd())?;
    }
    seen.entries[at].certain = true;
    Ok(())
}

fn open_again(
    shared: &Shared,
    kind: NamespaceKind,
    ino: u64,
    sighting: Sighting,
) -> io::Result<Option<OwnedFd>> {
    let file = match sighting {
        Sighting::Socket { process, number, .. } => sockets::namespace(shared, process, number)?,
        _ => shared.open(shared.proc.as_fd(), &sighting.link(kind))?,
    };
    let same_kind = ioctl_nsfs::kind(file.as_fd()).is_ok_and(|bits| bits == kind.flag().bits());
    Ok((same_kind && shared.inode(file.as_fd())? == Some(ino)).then_some(file))
}

fn shows_again(
    shared: &Shared,
    kind: NamespaceKind,
    ino: u64,
    sighting: Sighting,
) -> io::Result<bool> {
    if let Sighting::Socket { process, number, .. } = sighting {
        let namespace = sockets::namespace(shared, process, number)?;
        return Ok(shared.inode(namespace.as_fd())? == Some(ino));
    }
    let mut buffer = [0; 64];
    let link = sighting.link(kind);
    let link = sys::readlink::readlinkat(shared.proc.as_fd(), &link, &mut buffer)?;
    Ok(super::link::namespace(link) == Some((kind, ino)))
}

impl Entry {
    /// Whether anything shows that there is such a namespace.
    fn is_there(&self) -> bool {
        self.known_to_exist
            || !self.processes.is_empty()
            || !self.others.is_empty()
            || !self.mounted_at.is_empty()
    }

    fn finish(self, device: u64) -> NamespaceInfo {
        let mut held_by = Vec::new();
        let mut threads = Vec::new();
        let mut for_children_of = Vec::new();
        for other in self.others {
            match other {
                Sighting::Process(_) => {}
                Sighting::Thread { thread, .. } => threads.push(thread),
                Sighting::Children { process, .. } => for_children_of.push(process),
                Sighting::Descriptor { process, .. } | Sighting::Socket { process, .. } => {
                    held_by.push(process);
                }
            }
        }
        let user = |ino| NamespaceId::new(NamespaceKind::User, device, ino);
        NamespaceInfo {
            id: NamespaceId::new(self.kind, device, self.ino),
            unique_id: self.unique_id,
            processes: in_order(self.processes),
            threads: in_order(threads),
            for_children_of: in_order(for_children_of),
            held_by: in_order(held_by),
            persisted_at: in_order(self.mounted_at),
            owner: self.owner.map(user),
            parent: self.parent.map(|ino| NamespaceId::new(self.kind, device, ino)),
            owner_uid: self.owner_uid,
        }
    }
}

fn in_order<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort_unstable();
    items.dedup();
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProcessNamespaces;

    #[test]
    fn every_way_comes_to_the_same() {
        let me = std::process::id();
        let expected: Vec<_> = ProcessNamespaces::of(me).unwrap().iter().collect();
        let usual = scan(Way::usual()).unwrap();
        for pins in [0, 1, 5, 1000] {
            for (processes_for_a_thread, most_threads) in [(1, 1), (1, 2), (3, 16), (0, 4)] {
                let way = Way { pins, processes_for_a_thread, most_threads };
                let inventory = scan(way).unwrap();
                // Other processes come and go, so only this one is looked for.
                let found: Vec<_> = inventory.of_process(me).map(NamespaceInfo::id).collect();
                assert_eq!(found, expected, "{way:?}");
                for id in &expected {
                    let related = |inventory: &Inventory| {
                        let found = inventory.get(*id).unwrap();
                        (found.owner, found.parent, found.owner_uid, found.unique_id)
                    };
                    assert_eq!(related(&inventory), related(&usual), "{way:?}: {id}");
                }
            }
        }
    }

    #[test]
    fn threads_are_started_where_there_is_much_to_do() {
        let way = Way { pins: 0, processes_for_a_thread: 256, most_threads: 8 };
        assert_eq!(threads(way, 0), 1);
        assert_eq!(threads(way, 511), 1);
        assert!(threads(way, 100_000) <= 8);
    }
}
