//! A second look at what was seen while nothing kept the namespace from being another one since.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use super::collect::{Collector, Shared, Sighting, gone, refused};
use super::{link, relate, sockets};
use crate::sys::ioctl_nsfs;
use crate::{NamespaceKind, sys};

/// Repeats, under a pin, the sightings that were made without one.
pub(super) fn make_certain(seen: &mut Collector<'_>) -> io::Result<()> {
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
        Sighting::Socket { process, thread, number } => {
            sockets::namespace(shared, process, thread, number)?
        }
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
    if let Sighting::Socket { process, thread, number } = sighting {
        let namespace = sockets::namespace(shared, process, thread, number)?;
        return Ok(shared.inode(namespace.as_fd())? == Some(ino));
    }
    let mut buffer = [0; 64];
    let link = sighting.link(kind);
    let link = sys::readlink::readlinkat(shared.proc.as_fd(), &link, &mut buffer)?;
    Ok(link::namespace(link) == Some((kind, ino)))
}
