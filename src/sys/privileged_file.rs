//! What a program file would give to whoever executes it: capabilities(7), "File capabilities"; statvfs(3).

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::{mem, ptr};

fn text(path: &Path) -> Option<CString> {
    CString::new(path.as_os_str().as_bytes()).ok()
}

/// Whether the file has capabilities: getxattr(2). A file system that cannot have them answers no.
pub(crate) fn has_capabilities(path: &Path) -> bool {
    let Some(path) = text(path) else { return false };
    // SAFETY: two texts that live through the call, and no room for the value, whose size is all that is asked for.
    let size = unsafe {
        libc::getxattr(path.as_ptr(), c"security.capability".as_ptr(), ptr::null_mut(), 0)
    };
    size > 0
}

/// Whether the mount that the file is on makes nothing of all that (`nosuid`).
pub(crate) fn is_on_nosuid(path: &Path) -> bool {
    let Some(path) = text(path) else { return false };
    // SAFETY: plain integers.
    let mut status: libc::statvfs = unsafe { mem::zeroed() };
    // SAFETY: a text that lives through the call, and a `statvfs` to fill.
    let result = unsafe { libc::statvfs(path.as_ptr(), &raw mut status) };
    result == 0 && status.f_flag & libc::ST_NOSUID != 0
}
