//! What is bind-mounted in one mount namespace.
//!
//! Since Linux 6.11 the kernel lists the mounts of any mount namespace to whoever may administer that. Otherwise it takes a process
//! that is in it, whose mountinfo shows what is below its root directory: so one whose root is that of the namespace is looked for.
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use super::collect::{Collector, Entry, Sighting, gone, refused};
use super::link;
use super::mountinfo::{self, Bound};
use crate::process::ENTRIES;
use crate::{NamespaceKind, sys};

/// How many root directories there may be in a mount namespace whose own is nobody's, for all to be looked below.
const ROOTS: usize = 64;

/// What is mounted below one root directory.
#[derive(Debug)]
pub(super) struct View {
    /// The process, below `/proc`, whose root that is. `None`: it is the namespace's own, or the caller's.
    pub(super) place: Option<OwnedFd>,
    pub(super) bound: Vec<Bound>,
}

/// All that could be seen of a mount namespace.
#[derive(Debug, Default)]
pub(super) struct Views {
    pub(super) views: Vec<View>,
    /// There is nothing else.
    pub(super) whole: bool,
}

/// Reused for each mount namespace.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    mounts: Vec<u64>,
    text: Vec<u8>,
}

/// The processes and threads that are in it, below `/proc`.
pub(super) fn places(entry: &Entry) -> impl Iterator<Item = String> {
    let threads = entry.others.iter().filter_map(|sighting| match sighting {
        Sighting::Thread { process, thread } => Some(format!("{process}/task/{thread}")),
        _ => None,
    });
    entry.processes.iter().map(u32::to_string).chain(threads)
}

/// What is mounted in the mount namespace `at`.
pub(super) fn of(
    seen: &Collector<'_>,
    at: usize,
    is_own: bool,
    buffers: &mut Buffers,
) -> io::Result<Views> {
    let entry = &seen.entries[at];
    let listed = entry.pin.as_ref().and_then(|pin| listed(pin.as_fd(), buffers).ok());
    if is_own {
        return own(seen, entry, listed, buffers);
    }
    match listed {
        Some(bound) => Ok(Views { views: vec![View { place: None, bound }], whole: true }),
        None => by_processes(seen, entry, buffers),
    }
}

/// As the kernel lists it.
fn listed(namespace: BorrowedFd<'_>, buffers: &mut Buffers) -> io::Result<Vec<Bound>> {
    const PAGE: usize = 256;
    let namespace = sys::ioctl_nsfs::mount_namespace_id(namespace)?;
    let mounts = &mut buffers.mounts;
    mounts.clear();
    loop {
        let (known, after) = (mounts.len(), mounts.last().copied().unwrap_or(0));
        mounts.resize(known + PAGE, 0);
        let filled = sys::statmount::list_after(namespace, after, &mut mounts[known..])?;
        mounts.truncate(known + filled);
        // A list that does not go on would never end.
        if filled < PAGE || mounts.last() == Some(&after) {
            break;
        }
    }
    let mut bound = Vec::new();
    for mount in mounts {
        // It may be unmounted since.
        if !sys::statmount::is_namespace(namespace, *mount).or_else(absent)? {
            continue;
        }
        let told = sys::statmount::root_and_point(namespace, *mount, &mut buffers.text);
        if let Some((root, point)) = told.or_else(absent)? {
            // The file system's own mount has no namespace for a root.
            bound.extend(Bound::new(root, point.to_vec()));
        }
    }
    Ok(bound)
}

fn absent<T: Default>(error: io::Error) -> io::Result<T> {
    if error.raw_os_error() == Some(libc::ENOENT) { Ok(T::default()) } else { Err(error) }
}

/// The caller's own: as the caller sees it, which is of most use, and what a caller in a chroot does not see.
fn own(
    seen: &Collector<'_>,
    entry: &Entry,
    listed: Option<Vec<Bound>>,
    buffers: &mut Buffers,
) -> io::Result<Views> {
    let whole = sys::stat::root_is_a_mount().unwrap_or_else(root_is_listed);
    let mut found = Views { views: Vec::new(), whole };
    match listed {
        Some(bound) => found.views.push(View { place: None, bound }),
        None => match look_from(seen, entry, "thread-self", buffers)? {
            Some(view) => found.views.push(view),
            None => found.whole = false,
        },
    }
    let proc = seen.shared.proc.as_fd();
    let root = |path: &CStr| sys::stat::directory(proc, path).ok();
    let here = root(c"thread-self/root");
    // Process 1 is seldom in a chroot, and after it the oldest ones are not.
    let oldest = entry.processes.iter().copied().filter(|one| *one != std::process::id()).min();
    let others: Vec<String> = match found.whole {
        true => oldest.iter().map(u32::to_string).collect(),
        false => places(entry).collect(),
    };
    for other in others {
        // What is not below the caller's root is told from the namespace's.
        let outside = root_of(proc, &other).is_some_and(|path| path == b"/")
            && root(&link::path(format_args!("{other}/root"))).is_some_and(|it| Some(it) != here);
        if !outside {
            continue;
        }
        if let Some(mut view) = look_from(seen, entry, &other, buffers)? {
            let known = |bound: &Bound| {
                let mut known = found.views.iter().flat_map(|view| &view.bound);
                known.any(|other| (other.kind, other.ino) == (bound.kind, bound.ino))
            };
            view.bound.retain(|bound| !known(bound));
            found.views.push(view);
            found.whole = true;
            break;
        }
    }
    Ok(found)
}

/// What mountinfo says of the caller's root directory, where statx(2) does not: before Linux 5.8, or behind a filter.
fn root_is_listed() -> bool {
    fs::read("/proc/thread-self/mountinfo").is_ok_and(|text| mountinfo::has_root(&text))
}

/// As the processes in it see it: by one whose root is the namespace's, or else by all roots that there are.
fn by_processes(seen: &Collector<'_>, entry: &Entry, buffers: &mut Buffers) -> io::Result<Views> {
    let mut roots = HashSet::new();
    let mut below = Vec::new();
    for place in places(entry) {
        let Some(root) = root_of(seen.shared.proc.as_fd(), &place) else { continue };
        if root == b"/" {
            if let Some(view) = look_from(seen, entry, &place, buffers)? {
                // One whose root is in another mount namespace sees nothing of this one.
                if mountinfo::has_root(&buffers.text) {
                    return Ok(Views { views: vec![view], whole: true });
                }
            }
        } else if roots.len() < ROOTS && roots.insert(root) {
            below.push(place);
        }
    }
    let mut found = Views::default();
    for place in below {
        found.views.extend(look_from(seen, entry, &place, buffers)?);
    }
    Ok(found)
}

/// The root directory of a process, as a path from the root of its mount namespace, if the caller is not in that.
fn root_of(proc: BorrowedFd<'_>, place: &str) -> Option<Vec<u8>> {
    let mut buffer = [0; 4096];
    let path = link::path(format_args!("{place}/root"));
    sys::readlink::readlinkat(proc, &path, &mut buffer).ok().map(<[u8]>::to_vec)
}

/// What one process or thread sees. `None`: it is gone, or in another mount namespace by now.
fn look_from(
    seen: &Collector<'_>,
    entry: &Entry,
    place: &str,
    buffers: &mut Buffers,
) -> io::Result<Option<View>> {
    let text = &mut buffers.text;
    text.clear();
    let mut read = || -> io::Result<(OwnedFd, bool)> {
        let place =
            sys::openat::place(seen.shared.proc.as_fd(), &link::path(format_args!("{place}")))?;
        File::from(sys::openat::read(place.as_fd(), c"mountinfo")?).read_to_end(text)?;
        let mut buffer = [0; 64];
        let name = ENTRIES[NamespaceKind::Mount as usize];
        let link = sys::readlink::readlinkat(place.as_fd(), name, &mut buffer)?;
        Ok((place, link::namespace(link) == Some((NamespaceKind::Mount, entry.ino))))
    };
    match read() {
        Ok((place, true)) => {
            let bound = mountinfo::namespaces(text).collect();
            Ok(Some(View { place: Some(place), bound }))
        }
        Ok((_, false)) => Ok(None),
        Err(error) if gone(&error) || refused(&error) => Ok(None),
        // What a process has that is just ending.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(None),
        Err(error) => Err(error),
    }
}
