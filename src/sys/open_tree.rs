//! open_tree(2), move_mount(2), mount_setattr(2): mounts as descriptors. May run between clone and exec.

use std::ffi::{CStr, c_long, c_ulong};
use std::os::fd::RawFd;

use super::syscall::{Errno, syscall};

const OPEN_TREE_CLONE: usize = 1;
const AT_RECURSIVE: usize = 0x8000;
const MOVE_MOUNT_F_EMPTY_PATH: usize = 0x04;
const MOVE_MOUNT_T_EMPTY_PATH: usize = 0x40;

/// `struct mount_attr`.
#[repr(C)]
#[derive(Default)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

fn call(number: c_long, args: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: the functions below pass descriptors, flags, and addresses that live through the call.
    unsafe { syscall(number, args) }
}

/// A copy of the mount at that path, or of it and all mounts below, that is mounted nowhere.
pub(super) fn copy(path: &CStr, recursive: bool) -> Result<RawFd, Errno> {
    let flags =
        OPEN_TREE_CLONE | libc::O_CLOEXEC as usize | if recursive { AT_RECURSIVE } else { 0 };
    let path = path.as_ptr().expose_provenance();
    call(libc::SYS_open_tree, [libc::AT_FDCWD as usize, path, flags, 0, 0, 0]).map(|fd| fd as RawFd)
}

/// Mounts it on what `target` names.
pub(super) fn attach(tree: RawFd, target: RawFd) -> Result<(), Errno> {
    let empty = c"".as_ptr().expose_provenance();
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    call(libc::SYS_move_mount, [tree as usize, empty, target as usize, empty, flags, 0]).map(drop)
}

/// Adds attributes to it, or to all of a tree; those that it has stay. `flags` are mount(2)'s, which have the same values.
#[allow(clippy::unnecessary_cast, reason = "the width differs between architectures")]
pub(super) fn add_attributes(mount: RawFd, flags: c_ulong, recursive: bool) -> Result<(), Errno> {
    let attributes = MountAttr { set: flags as u64, ..MountAttr::default() };
    let empty = c"".as_ptr().expose_provenance();
    let address = (&raw const attributes).expose_provenance();
    let how = libc::AT_EMPTY_PATH as usize | if recursive { AT_RECURSIVE } else { 0 };
    let size = size_of::<MountAttr>();
    call(libc::SYS_mount_setattr, [mount as usize, empty, how, address, size, 0]).map(drop)
}
