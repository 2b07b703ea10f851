//! listmount(2), statmount(2): the mounts of any mount namespace, without a process in it.

use std::ffi::{CStr, c_long};
use std::io;

/// They were added next to others that have the same place after `pidfd_open` on every architecture.
const SYS_STATMOUNT: c_long = libc::SYS_pidfd_open + 23;
const SYS_LISTMOUNT: c_long = libc::SYS_pidfd_open + 24;

/// For listmount(2): all that is mounted below the root.
const LSMT_ROOT: u64 = u64::MAX;

const STATMOUNT_SB_BASIC: u64 = 0x01;
const STATMOUNT_MNT_ROOT: u64 = 0x08;
const STATMOUNT_MNT_POINT: u64 = 0x10;

/// Where `struct statmount` has what it was asked for, where its two texts start among all, and where those do.
const MASK: usize = 0x08;
const MAGIC: usize = 0x18;
const ROOT: usize = 0x68;
const POINT: usize = 0x6c;
const TEXTS: usize = 0x200;

const NSFS_MAGIC: u64 = 0x6e73_6673;

/// `struct mnt_id_req`, version 1 (Linux 6.11).
#[repr(C)]
#[derive(Debug)]
struct Request {
    size: u32,
    spare: u32,
    mount: u64,
    /// The last one that was listed; or what is wanted of a mount.
    param: u64,
    namespace: u64,
}
const _: () = assert!(size_of::<Request>() == 32);

impl Request {
    fn new(namespace: u64, mount: u64, param: u64) -> Self {
        Self { size: size_of::<Self>() as u32, spare: 0, mount, param, namespace }
    }
}

/// `listmount(2)` (Linux 6.11): ids of mounts of that mount namespace after `after`, 0 for the first ones. How many there are
/// now in `ids`; none more are left when it is not full. ENOSYS, EINVAL or E2BIG on older kernels; ENOENT without CAP_SYS_ADMIN over a
/// namespace that the caller is not in. Of the caller's own it lists what is below the caller's root.
pub(crate) fn list_after(namespace: u64, after: u64, ids: &mut [u64]) -> io::Result<usize> {
    let request = Request::new(namespace, LSMT_ROOT, after);
    // SAFETY: a request that says its size, and integers to fill with their number.
    let filled =
        unsafe { libc::syscall(SYS_LISTMOUNT, &raw const request, ids.as_mut_ptr(), ids.len(), 0) };
    usize::try_from(filled).map_err(|_| io::Error::last_os_error())
}

fn stat(namespace: u64, mount: u64, wanted: u64, buffer: &mut [u8]) -> io::Result<()> {
    let request = Request::new(namespace, mount, wanted);
    // SAFETY: a request that says its size, and a buffer with its length.
    let result = unsafe {
        libc::syscall(SYS_STATMOUNT, &raw const request, buffer.as_mut_ptr(), buffer.len(), 0)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Whether it is a mount of a namespace. ENOENT when it is unmounted.
pub(crate) fn is_namespace(namespace: u64, mount: u64) -> io::Result<bool> {
    let mut buffer = [0; TEXTS];
    stat(namespace, mount, STATMOUNT_SB_BASIC, &mut buffer)?;
    Ok(number::<8>(&buffer, MAGIC).map(u64::from_ne_bytes) == Some(NSFS_MAGIC))
}

/// What of its file system is mounted, and where: below the namespace's root, or in the caller's own below the caller's. `None`: not told.
pub(crate) fn root_and_point(
    namespace: u64,
    mount: u64,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<(&[u8], &[u8])>> {
    const WANTED: u64 = STATMOUNT_MNT_ROOT | STATMOUNT_MNT_POINT;
    buffer.clear();
    buffer.resize(TEXTS + 1024, 0);
    loop {
        match stat(namespace, mount, WANTED, buffer) {
            Ok(()) => break,
            Err(error) if error.raw_os_error() == Some(libc::EOVERFLOW) => {
                buffer.resize(buffer.len() * 2, 0);
            }
            Err(error) => return Err(error),
        }
    }
    let told = number::<8>(buffer, MASK).map(u64::from_ne_bytes);
    if told.is_none_or(|told| told & WANTED != WANTED) {
        return Ok(None);
    }
    Ok(text(buffer, ROOT).zip(text(buffer, POINT)))
}

fn number<const N: usize>(buffer: &[u8], at: usize) -> Option<[u8; N]> {
    buffer.get(at..at + N)?.try_into().ok()
}

/// The text whose place is written there.
fn text(buffer: &[u8], at: usize) -> Option<&[u8]> {
    let start = u32::from_ne_bytes(number(buffer, at)?) as usize;
    let text = CStr::from_bytes_until_nul(buffer.get(TEXTS + start..)?).ok()?;
    Some(text.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;
    use std::collections::BTreeSet;
    use std::fs::{self, File};
    use std::os::fd::AsFd as _;

    /// The mounts that mountinfo shows, escapes aside.
    fn shown() -> BTreeSet<String> {
        let text = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let point = |line: &str| line.split(' ').nth(4).unwrap().to_owned();
        text.lines().map(point).filter(|point| !point.contains('\\')).collect()
    }

    #[test]
    fn the_own_mounts_are_those_of_mountinfo() {
        let own = File::open("/proc/thread-self/ns/mnt").unwrap();
        let Ok(namespace) = sys::ioctl_nsfs::mount_namespace_id(own.as_fd()) else { return };
        let (mut ids, mut after) = (Vec::new(), 0);
        loop {
            // Two at a time, so that there are several pages.
            let mut page = [0; 2];
            let filled = match list_after(namespace, after, &mut page) {
                Ok(filled) => filled,
                Err(error) => {
                    assert!(ids.is_empty(), "{error}");
                    return;
                }
            };
            ids.extend_from_slice(&page[..filled]);
            after = page[1];
            if filled < 2 {
                break;
            }
        }
        let mut buffer = Vec::new();
        let mut listed = BTreeSet::new();
        for id in ids {
            let (_, point) = root_and_point(namespace, id, &mut buffer).unwrap().unwrap();
            assert!(!is_namespace(namespace, id).unwrap() || !point.is_empty());
            listed.insert(String::from_utf8_lossy(point).into_owned());
        }
        // Under a root that is no mount, the list starts with what is below it, as the file does.
        assert!(shown().is_subset(&listed), "{:?} {listed:?}", shown());
    }

    #[test]
    fn what_the_kernel_does_not_know_is_an_error() {
        assert!(list_after(u64::MAX - 1, 0, &mut [0; 4]).is_err());
        assert!(is_namespace(0, u64::MAX - 1).is_err());
        assert!(root_and_point(0, u64::MAX - 1, &mut Vec::new()).is_err());
    }
}
