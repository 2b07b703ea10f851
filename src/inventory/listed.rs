//! What only the kernel's own list has: a namespace that is held by a descriptor on its way between processes, say.
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd as _;

use super::collect::{Collector, out_of_descriptors};
use super::relate;
use crate::{NamespaceKind, sys};

/// Adds what listns(2) lists and nobody has shown yet. Says how many could not be opened.
pub(super) fn add(seen: &mut Collector<'_>) -> io::Result<usize> {
    // Where there is no list, that is no error: all else has been seen without it.
    let Ok(listed) = all(sys::listns::list_after) else { return Ok(0) };
    let known: HashSet<u64> = seen.entries.iter().filter_map(|entry| entry.unique_id).collect();
    let mut unknown = 0;
    for id in listed.into_iter().filter(|id| !known.contains(id)) {
        let file = match sys::listns::open(id) {
            Ok(file) => file,
            Err(error) if out_of_descriptors(&error) => return Err(error),
            // Gone since it was listed.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ESTALE | libc::ENOENT)) => {
                continue;
            }
            Err(_) => {
                unknown += 1;
                continue;
            }
        };
        let kind = sys::ioctl_nsfs::kind(file.as_fd()).ok().and_then(NamespaceKind::from_bits);
        let ino = seen.shared.inode(file.as_fd())?;
        let (Some(kind), Some(ino)) = (kind, ino) else { continue };
        let (at, file) = seen.discover(kind, ino, file);
        seen.entries[at].known_to_exist = true;
        if let Some(file) = file.filter(|_| seen.entries[at].pin.is_none()) {
            relate::relate(seen, at, file.as_fd())?;
        }
    }
    Ok(unknown)
}

/// All ids, page by page.
fn all(list_after: impl Fn(u64, &mut [u64]) -> io::Result<usize>) -> io::Result<Vec<u64>> {
    let mut page = vec![0; 1024];
    let mut ids = Vec::new();
    loop {
        let after = ids.last().copied().unwrap_or(0);
        let filled = list_after(after, &mut page)?.min(page.len());
        ids.extend_from_slice(&page[..filled]);
        // A list that does not go on would never end.
        if filled < page.len() || ids.last() == Some(&after) {
            return Ok(ids);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel with that many namespaces.
    fn kernel(count: u64) -> impl Fn(u64, &mut [u64]) -> io::Result<usize> {
        move |after, page| {
            let next: Vec<u64> = (after + 1..=count).take(page.len()).collect();
            page[..next.len()].copy_from_slice(&next);
            Ok(next.len())
        }
    }

    #[test]
    fn every_page_is_read() {
        for count in [0, 1, 1023, 1024, 1025, 2048, 5000] {
            assert_eq!(all(kernel(count)).unwrap(), (1..=count).collect::<Vec<_>>(), "{count}");
        }
    }

    #[test]
    fn a_kernel_that_repeats_itself_is_left() {
        let same = |_: u64, page: &mut [u64]| {
            page.fill(7);
            Ok(page.len())
        };
        assert_eq!(all(same).unwrap().len(), 2048);
    }

    #[test]
    fn a_kernel_without_the_call_says_so() {
        let absent = |_: u64, _: &mut [u64]| Err(io::Error::from_raw_os_error(libc::ENOSYS));
        assert!(all(absent).is_err());
    }
}
