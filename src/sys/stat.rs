//! stat(2) and statx(2).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// Device and inode of an open file.
#[allow(clippy::unnecessary_cast, reason = "the widths differ between architectures")]
pub(crate) fn identity(fd: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    // SAFETY: plain integers.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: a `stat` to fill.
    if unsafe { libc::fstat(fd.as_raw_fd(), &raw mut status) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((status.st_dev as u64, status.st_ino as u64))
}

/// The same of the file at `path` below an open directory. May run between fork and exec.
#[allow(clippy::unnecessary_cast, reason = "the widths differ between architectures")]
pub(super) fn identity_at(directory: RawFd, path: &CStr) -> io::Result<(u64, u64)> {
    // SAFETY: plain integers.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: a path with its NUL, and a `stat` to fill. A number that is no descriptor is refused.
    if unsafe { libc::fstatat(directory, path.as_ptr(), &raw mut status, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((status.st_dev as u64, status.st_ino as u64))
}

const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;

/// Whether an open file is the root of a mount. `None`: not told (before Linux 5.8).
pub(crate) fn is_mount_root(fd: BorrowedFd<'_>) -> Option<bool> {
    // SAFETY: plain integers.
    let mut status: libc::statx = unsafe { std::mem::zeroed() };
    let flags = libc::AT_EMPTY_PATH;
    // SAFETY: a descriptor, an empty text, and a `statx` to fill.
    let result = unsafe { libc::statx(fd.as_raw_fd(), c"".as_ptr(), flags, 0, &raw mut status) };
    if result != 0 {
        return None;
    }
    (status.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT != 0)
        .then_some(status.stx_attributes & STATX_ATTR_MOUNT_ROOT != 0)
}

/// How many links the file `path`, below `directory`, has.
#[allow(clippy::unnecessary_cast, reason = "the widths differ between architectures")]
pub(crate) fn links(directory: BorrowedFd<'_>, path: &CStr) -> io::Result<u64> {
    // SAFETY: plain integers.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: a path with its NUL, and a `stat` to fill.
    if unsafe { libc::fstatat(directory.as_raw_fd(), path.as_ptr(), &raw mut status, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(status.st_nlink as u64)
}

/// Which directory it is, of a process's `root` below `/proc` for one: device, inode, and mount, which is 0 before Linux 5.8, and where
/// a filter refuses statx(2).
#[allow(clippy::unnecessary_cast, reason = "the width differs between architectures")]
pub(crate) fn directory(below: BorrowedFd<'_>, path: &CStr) -> io::Result<(u64, u64, u64)> {
    // SAFETY: plain integers.
    let mut status: libc::statx = unsafe { std::mem::zeroed() };
    let wanted = libc::STATX_INO | libc::STATX_MNT_ID;
    // SAFETY: a path with its NUL, and a `statx` to fill.
    if unsafe { libc::statx(below.as_raw_fd(), path.as_ptr(), 0, wanted, &raw mut status) } != 0 {
        let (device, inode) = identity_at(below.as_raw_fd(), path)?;
        return Ok((device, inode, 0));
    }
    let device = libc::makedev(status.stx_dev_major, status.stx_dev_minor);
    Ok((device as u64, status.stx_ino, status.stx_mnt_id))
}

/// Whether the caller's root directory is the root of a mount: it is not after most uses of chroot(2). `None`: not
/// told (before Linux 5.8).
pub(crate) fn root_is_a_mount() -> Option<bool> {
    // SAFETY: plain integers.
    let mut status: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: a path with its NUL, and a `statx` to fill.
    if unsafe { libc::statx(libc::AT_FDCWD, c"/".as_ptr(), 0, 0, &raw mut status) } != 0 {
        return None;
    }
    (status.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT != 0)
        .then_some(status.stx_attributes & STATX_ATTR_MOUNT_ROOT != 0)
}
