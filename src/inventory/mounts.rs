//! The namespaces that are kept by bind mounts, in every mount namespace that has a process.
#![forbid(unsafe_code)]

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::collect::{Collector, Entry, Sighting, gone, out_of_descriptors, refused};
use super::{link, mountinfo, relate};
use crate::process::ENTRIES;
use crate::{NamespaceKind, sys};

/// How many of a namespace's processes are asked for its mounts before it is given up.
const TRIES: usize = 16;

/// Reads the mounts of every mount namespace, and says how many there are whose mounts could not be read.
pub(super) fn read(seen: &mut Collector<'_>) -> io::Result<usize> {
    let own = own_namespace(seen)?;
    let mut unknown = 0;
    let mut text = Vec::new();
    let mut at = 0;
    // A mount namespace that is found by its bind mount comes after the others; its own mounts are unknown.
    while at < seen.entries.len() {
        let entry = &seen.entries[at];
        if entry.kind == NamespaceKind::Mount {
            let ino = entry.ino;
            let mut places = candidates(entry.processes.iter().copied(), &entry.others);
            if own == Some(ino) {
                // The paths as the caller sees them are of most use.
                places.insert(0, "thread-self".to_owned());
            }
            match read_one(seen, ino, &places, &mut text)? {
                Some(place) => {
                    for (kind, ino, path) in mountinfo::namespaces(&text) {
                        add(seen, kind, ino, &place, path)?;
                    }
                }
                None => unknown += 1,
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

/// The places below `/proc` of processes and threads in a mount namespace.
fn candidates(processes: impl Iterator<Item = u32>, others: &[Sighting]) -> Vec<String> {
    let threads = others.iter().filter_map(|sighting| match sighting {
        Sighting::Thread { process, thread } => Some(format!("{process}/task/{thread}")),
        _ => None,
    });
    // The first ones are the least likely to be in a chroot.
    processes.map(|process| process.to_string()).chain(threads).take(TRIES).collect()
}

/// Reads the mountinfo of the first place that is there, and still in that namespace.
fn read_one(
    seen: &Collector<'_>,
    ino: u64,
    places: &[String],
    text: &mut Vec<u8>,
) -> io::Result<Option<OwnedFd>> {
    for place in places {
        text.clear();
        let mut read = || -> io::Result<(OwnedFd, bool)> {
            let proc = seen.shared.proc.as_fd();
            let place = sys::openat::place(proc, &link::path(format_args!("{place}")))?;
            File::from(sys::openat::read(place.as_fd(), c"mountinfo")?).read_to_end(text)?;
            let mut buffer = [0; 64];
            let name = ENTRIES[NamespaceKind::Mount as usize];
            let link = sys::readlink::readlinkat(place.as_fd(), name, &mut buffer)?;
            Ok((place, link::namespace(link) == Some((NamespaceKind::Mount, ino))))
        };
        match read() {
            Ok((place, true)) => return Ok(Some(place)),
            Ok((_, false)) => {}
            Err(error) if gone(&error) || refused(&error) => {}
            // What a process has that is just ending.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// A mount of a namespace, as the process whose directory is `place` sees it.
fn add(
    seen: &mut Collector<'_>,
    kind: NamespaceKind,
    ino: u64,
    place: &OwnedFd,
    path: PathBuf,
) -> io::Result<()> {
    let pinned = |at: usize, seen: &Collector<'_>| seen.entries[at].pin.is_some();
    let mut at = seen.find(kind, ino);
    if !at.is_some_and(|at| pinned(at, seen)) {
        match open(seen, ino, place, &path) {
            Ok(Some(file)) => {
                let (found, file) = seen.discover(kind, ino, file);
                let entry = &mut seen.entries[found];
                entry.known_to_exist = true;
                if let Some(file) = file {
                    // It was seen before, unpinned; or no more may be pinned.
                    relate::relate(seen, found, file.as_fd())?;
                }
                at = Some(found);
            }
            Ok(None) => {}
            Err(error) if out_of_descriptors(&error) => return Err(error),
            // The caller cannot get there: the mount is all there is to say.
            Err(_) => {}
        }
    }
    let at = match at {
        Some(at) => at,
        None => seen.insert(Entry::new(kind, ino, None)),
    };
    seen.entries[at].mounted_at.push(path);
    Ok(())
}

/// Opens the namespace that is mounted there; `None` if something else is, on top of it or by now.
fn open(
    seen: &Collector<'_>,
    ino: u64,
    place: &OwnedFd,
    path: &Path,
) -> io::Result<Option<OwnedFd>> {
    let below = path.strip_prefix("/").unwrap_or(path);
    // Below the root directory that the paths start from.
    let mut inside = b"root/".to_vec();
    inside.extend_from_slice(below.as_os_str().as_bytes());
    let inside = CString::new(inside)?;
    let file = seen.shared.open(place.as_fd(), &inside)?;
    Ok((seen.shared.inode(file.as_fd())? == Some(ino)).then_some(file))
}
