//! mount(2) and umount2(2) for the calling thread: bind mounts of namespace files, and propagation.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

fn done(result: libc::c_long) -> io::Result<()> {
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// All mounts of the calling thread's mount namespace become private.
pub(crate) fn private_mounts() -> io::Result<()> {
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: texts with their NUL; only the propagation of mounts changes.
    let result =
        unsafe { libc::mount(c"none".as_ptr(), c"/".as_ptr(), ptr::null(), flags, ptr::null()) };
    done(result.into())
}

/// Bind-mounts the file at `source`.
pub(crate) fn bind(source: &CStr, target: &CStr) -> io::Result<()> {
    // SAFETY: texts with their NUL; a mount changes no memory.
    let result = unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), ptr::null(), libc::MS_BIND, ptr::null())
    };
    done(result.into())
}

/// The same with descriptors, which takes no /proc: open_tree(2) and move_mount(2), Linux 5.2.
pub(crate) fn bind_descriptor(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    const OPEN_TREE_CLONE: libc::c_uint = 1;
    const OPEN_TREE_CLOEXEC: libc::c_uint = libc::O_CLOEXEC as libc::c_uint;
    const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 0x04;
    const MOVE_MOUNT_T_EMPTY_PATH: libc::c_uint = 0x40;
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH as libc::c_uint;
    let empty = c"".as_ptr();
    // SAFETY: a descriptor, an empty text and flags.
    let tree = unsafe { libc::syscall(libc::SYS_open_tree, source.as_raw_fd(), empty, flags) };
    if tree < 0 {
        return Err(io::Error::last_os_error());
    }
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    let target = target.as_raw_fd();
    // SAFETY: descriptors, empty texts and flags.
    let result = done(unsafe {
        libc::syscall(libc::SYS_move_mount, tree as libc::c_int, empty, target, empty, flags)
    });
    // SAFETY: opened above, and nobody else has its number.
    unsafe { libc::close(tree as libc::c_int) };
    result
}

/// Takes away the mount on `target`, at once for who looks for it, in the end when nobody uses it any more (`MNT_DETACH`).
pub(crate) fn detach(target: &CStr) -> io::Result<()> {
    // SAFETY: a text with its NUL; who uses the mount keeps it.
    done(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }.into())
}
