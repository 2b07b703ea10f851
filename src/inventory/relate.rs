//! Who owns a namespace, what is around it, and its unique id. What is found on the way is seen, too.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use super::collect::{Collector, out_of_descriptors};
use crate::{NamespaceKind, sys};

/// Asks for what is not known yet of all namespaces that are pinned.
pub(super) fn relate_pinned(seen: &mut Collector<'_>) -> io::Result<()> {
    // Those that are found on the way come after the others.
    let mut at = 0;
    while at < seen.entries.len() {
        if let Some(pin) = seen.entries[at].pin.take() {
            let related = relate(seen, at, pin.as_fd());
            seen.entries[at].pin = Some(pin);
            related?;
        }
        at += 1;
    }
    Ok(())
}

/// Asks for what is not known yet of the namespace `at`, which is open as `file`.
pub(super) fn relate(seen: &mut Collector<'_>, at: usize, file: BorrowedFd<'_>) -> io::Result<()> {
    if std::mem::replace(&mut seen.entries[at].related, true) {
        return Ok(());
    }
    let kind = seen.entries[at].kind;
    seen.entries[at].unique_id = sys::ioctl_nsfs::unique_id(file).ok();
    let owner = visible(sys::ioctl_nsfs::owner(file))?;
    seen.entries[at].owner = follow(seen, NamespaceKind::User, owner)?;
    match kind {
        NamespaceKind::User => {
            seen.entries[at].owner_uid = sys::ioctl_nsfs::owner_uid(file).ok();
            // The one around a user namespace is the one that owns it.
            seen.entries[at].parent = seen.entries[at].owner;
        }
        NamespaceKind::Pid => {
            let parent = visible(sys::ioctl_nsfs::parent(file))?;
            seen.entries[at].parent = follow(seen, kind, parent)?;
        }
        _ => {}
    }
    Ok(())
}

/// What is out of the caller's sight is none.
fn visible(found: io::Result<OwnedFd>) -> io::Result<Option<OwnedFd>> {
    match found {
        Ok(file) => Ok(Some(file)),
        Err(error) if out_of_descriptors(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

fn follow(
    seen: &mut Collector<'_>,
    kind: NamespaceKind,
    file: Option<OwnedFd>,
) -> io::Result<Option<u64>> {
    let Some(file) = file else { return Ok(None) };
    let Some(ino) = seen.shared.inode(file.as_fd())? else { return Ok(None) };
    let (at, file) = seen.discover(kind, ino, file);
    seen.entries[at].known_to_exist = true;
    // One that stays open has its turn later. They nest 33 deep at most.
    if let Some(file) = file.filter(|_| seen.entries[at].pin.is_none()) {
        relate(seen, at, file.as_fd())?;
    }
    Ok(Some(ino))
}
