//! One pass over `/proc`.
#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::budget::{self, Helper, Pins};
use super::collect::{Entry, Shared, Sighting, out_of_descriptors};
use super::look::Looker;
use super::{Inventory, NamespaceInfo, again, listed, mounts, relate};
use crate::error::{At as _, Error, Result, Step};
use crate::{NamespaceId, NamespaceKind, process, sys};

/// How a scan goes about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// How many namespaces stay open at most while it lasts, together with those of other scans at the time.
    pub(super) pins: usize,
    /// How many processes it takes to make another thread worth its while.
    pub(super) processes_for_a_thread: usize,
    pub(super) most_threads: usize,
}

impl Way {
    pub(super) fn usual() -> Self {
        Self { pins: budget::pins(), processes_for_a_thread: 256, most_threads: 8 }
    }
}

/// What the threads take processes from at a time.
const BLOCK: usize = 32;

pub(super) fn scan(way: Way) -> Result<Inventory> {
    let shared = shared(way)?;
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

fn shared(way: Way) -> Result<Shared> {
    let step = || Step::Open("/proc".into());
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let proc = fs::File::options().read(true).custom_flags(flags).open("/proc").at(step)?;
    if sys::statfs::magic(proc.as_fd()).at(step)? != PROC_SUPER_MAGIC {
        return Err(Error::new(step()).errno(libc::ENOENT).because(
            "no proc is mounted there: `mount -t proc proc /proc`, or `Mount::proc` for a program with a root of its own",
        ));
    }
    let own = own_number();
    let numbers_agree = own == Some(std::process::id());
    Ok(Shared::new(OwnedFd::from(proc), Pins::new(way.pins), numbers_agree))
}

const PROC_SUPER_MAGIC: i64 = 0x9fa0;

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
    again::make_certain(&mut seen)?;

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
        let most = threads(way, processes.len()) - 1;
        for _ in 0..most {
            // Where others help already, or no more threads are to be had, those that are there do it.
            let Some(hired) = Helper::hire(most) else { break };
            let helper = || {
                let _hired = hired;
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

impl Entry {
    /// Whether anything shows that there is such a namespace.
    fn is_there(&self) -> bool {
        self.known_to_exist
            || !self.processes.is_empty()
            || !self.others.is_empty()
            || !self.mounted_at.is_empty()
    }

    pub(super) fn finish(self, device: u64) -> NamespaceInfo {
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
