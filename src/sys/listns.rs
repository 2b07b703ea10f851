//! listns(2), and open_by_handle_at(2) for what it lists.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// It was added next to others that have the same place after `pidfd_open` on every architecture.
const SYS_LISTNS: libc::c_long = libc::SYS_pidfd_open + 36;

/// `struct ns_id_req`, version 0.
#[repr(C)]
#[derive(Debug)]
struct Request {
    size: u32,
    spare: u32,
    /// The last one that was listed.
    ns_id: u64,
    /// 0 for all.
    ns_type: u32,
    spare2: u32,
    /// 0 for all.
    user_ns_id: u64,
}
const _: () = assert!(size_of::<Request>() == 32);

/// `listns(2)` (Linux 6.19): the unique ids of namespaces after the one with the id `after`, 0 for the first ones. How
/// many there are now in `ids`; none more are left when it is not full. ENOSYS on older kernels.
pub(crate) fn list_after(after: u64, ids: &mut [u64]) -> io::Result<usize> {
    let request = Request {
        size: size_of::<Request>() as u32,
        spare: 0,
        ns_id: after,
        ns_type: 0,
        spare2: 0,
        user_ns_id: 0,
    };
    // SAFETY: a request that says its size, and integers to fill with their number.
    let filled =
        unsafe { libc::syscall(SYS_LISTNS, &raw const request, ids.as_mut_ptr(), ids.len(), 0) };
    usize::try_from(filled).map_err(|_| io::Error::last_os_error())
}

/// `struct file_handle` with a `struct nsfs_file_handle` in it.
#[repr(C)]
#[derive(Debug)]
struct Handle {
    bytes: u32,
    kind: i32,
    ns_id: u64,
    ns_type: u32,
    ns_inum: u32,
}
const _: () = assert!(size_of::<Handle>() == 24);

const FD_NSFS_ROOT: RawFd = -10003;
const FILEID_NSFS: i32 = 0xf1;

/// The namespace with this unique id. Kernels that list ids open them by the id alone (Linux 6.19). ESTALE when there is none; EPERM
/// for one that the caller is not in and may not see.
pub(crate) fn open(id: u64) -> io::Result<OwnedFd> {
    open_handle(Handle { bytes: 16, kind: FILEID_NSFS, ns_id: id, ns_type: 0, ns_inum: 0 })
}

fn open_handle(mut handle: Handle) -> io::Result<OwnedFd> {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: a handle that says its size, in the layout that its kind demands.
    let fd =
        unsafe { libc::syscall(libc::SYS_open_by_handle_at, FD_NSFS_ROOT, &raw mut handle, flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call just made it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;
    use std::fs::File;
    use std::os::fd::AsFd as _;

    #[test]
    fn a_namespace_is_opened_by_its_unique_id() {
        let own = File::open("/proc/thread-self/ns/net").unwrap();
        // Before Linux 6.18 there are no such ids.
        let Ok(id) = sys::ioctl_nsfs::unique_id(own.as_fd()) else { return };
        let identity = sys::stat::identity(own.as_fd()).unwrap();
        // Linux 6.18 wants to be told all of it.
        let ns_type = libc::CLONE_NEWNET as u32;
        let (bytes, kind) = (16, FILEID_NSFS);
        let whole = Handle { bytes, kind, ns_id: id, ns_type, ns_inum: identity.1 as u32 };
        let opened = open_handle(whole).unwrap();
        assert_eq!(sys::stat::identity(opened.as_fd()).unwrap(), identity);
        match (open(id), list_after(0, &mut [0; 1])) {
            (Ok(opened), _) => {
                assert_eq!(sys::stat::identity(opened.as_fd()).unwrap(), identity);
            }
            (Err(error), listed) => {
                assert!(listed.is_err(), "what the kernel lists cannot be opened: {error}");
                assert_eq!(error.raw_os_error(), Some(libc::ESTALE));
            }
        }
    }

    #[test]
    fn an_id_that_nothing_has_opens_nothing() {
        assert!(open(u64::MAX).is_err());
    }

    #[test]
    fn the_kernel_lists_ids_or_says_that_it_cannot() {
        let mut ids = [0; 64];
        match list_after(0, &mut ids) {
            Ok(filled) => assert!(filled > 0 && ids[..filled].iter().all(|id| *id != 0)),
            Err(error) => assert!(matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))),
        }
    }
}
