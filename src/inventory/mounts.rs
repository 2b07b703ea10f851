//! The namespaces that are kept by bind mounts, in every mount namespace.
#![forbid(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::collect::{Collector, Entry, out_of_descriptors};
use super::mountinfo::Bound;
use super::relate;
use super::views::{self, View};
use crate::{Namespace, NamespaceKind, sys};

/// How many of a namespace's processes are tried to reach a mount by, where it is not known which of them can.
const TRIES: usize = 16;

/// Reads the mounts of every mount namespace, and says of how many not all mounts could be read.
pub(super) fn read(seen: &mut Collector<'_>) -> io::Result<usize> {
    let own = own_namespace(seen)?;
    let mut buffers = views::Buffers::default();
    let mut unknown = 0;
    let mut at = 0;
    // A mount namespace that is found by its bind mount comes after the others.
    while at < seen.entries.len() {
        if seen.entries[at].kind == NamespaceKind::Mount {
            let is_own = own == Some(seen.entries[at].ino);
            let found = views::of(seen, at, is_own, &mut buffers)?;
            unknown += usize::from(!found.whole);
            for view in found.views {
                for bound in &view.bound {
                    add(seen, bound, |seen| reach(seen, at, is_own, &view, bound))?;
                }
            }
        }
        at += 1;
    }
    Ok(unknown)
}

fn own_namespace(seen: &Collector<'_>) -> io::Result<Option<u64>> {
    let own = sys::openat::read(seen.shared.proc.as_fd(), c"thread-self/ns/mnt");
    own.map_or(Ok(None), |own| seen.shared.inode(own.as_fd()))
}

/// A namespace that is mounted somewhere; `open` opens it there.
fn add(
    seen: &mut Collector<'_>,
    bound: &Bound,
    open: impl FnOnce(&Collector<'_>) -> io::Result<Option<OwnedFd>>,
) -> io::Result<()> {
    let mut at = seen.find(bound.kind, bound.ino);
    if at.is_none_or(|at| seen.entries[at].pin.is_none()) {
        // Where the caller cannot get there, the mount is all there is to say.
        if let Some(file) = open(seen)? {
            let (found, file) = seen.discover(bound.kind, bound.ino, file);
            seen.entries[found].known_to_exist = true;
            if let Some(file) = file {
                // It was seen before, unpinned; or no more may be pinned.
                relate::relate(seen, found, file.as_fd())?;
            }
            at = Some(found);
        }
    }
    let at = match at {
        Some(at) => at,
        None => seen.insert(Entry::new(bound.kind, bound.ino, None)),
    };
    seen.entries[at].mounted_at.push(bound.path.clone());
    Ok(())
}

/// Opens what is mounted in the mount namespace `at`: by a process that is in it, or else from inside.
fn reach(
    seen: &Collector<'_>,
    at: usize,
    is_own: bool,
    view: &View,
    bound: &Bound,
) -> io::Result<Option<OwnedFd>> {
    let below = bound.path.strip_prefix("/").unwrap_or(&bound.path);
    if let Some(place) = &view.place {
        if let Some(file) = open(seen, place.as_fd(), &Path::new("root").join(below), bound)? {
            return Ok(Some(file));
        }
    }
    let entry = &seen.entries[at];
    let own = is_own.then(|| "thread-self".to_owned());
    // Those in a chroot do not get there, and have no other file in its place that would be taken for it.
    for place in own.into_iter().chain(views::places(entry).take(TRIES)) {
        let path = Path::new(&place).join("root").join(below);
        if let Some(file) = open(seen, seen.shared.proc.as_fd(), &path, bound)? {
            return Ok(Some(file));
        }
    }
    // It takes a right that root has, and nothing else of the caller moves.
    let namespace = entry.pin.as_ref().filter(|_| !is_own).and_then(|pin| pin.try_clone().ok());
    let Some(namespace) = namespace else { return Ok(None) };
    let namespace = Namespace::known(namespace, NamespaceKind::Mount);
    namespace.run(|| open(seen, seen.shared.proc.as_fd(), &bound.path, bound)).unwrap_or(Ok(None))
}

/// `None` if something else is there, on top of it or by now, or if the caller cannot get there.
fn open(
    seen: &Collector<'_>,
    directory: BorrowedFd<'_>,
    path: &Path,
    bound: &Bound,
) -> io::Result<Option<OwnedFd>> {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return Ok(None) };
    match seen.shared.open(directory, &path) {
        Ok(file) => Ok((seen.shared.inode(file.as_fd())? == Some(bound.ino)).then_some(file)),
        Err(error) if out_of_descriptors(&error) => Err(error),
        Err(_) => Ok(None),
    }
}
