//! getcwd(2). May run between clone and exec.

use super::syscall::{Errno, syscall};

/// A link to a descriptor of the caller's, planted inside, leads out. The kernel says so of a directory that cannot be reached
/// from the root.
pub(super) fn directory_is_inside() -> Result<(), Errno> {
    let mut path = [0u8; libc::PATH_MAX as usize];
    let args = [path.as_mut_ptr().expose_provenance(), path.len(), 0, 0, 0, 0];
    // SAFETY: fills the text on this frame, which is as long as is said.
    unsafe { syscall(libc::SYS_getcwd, args) }?;
    if path[0] == b'/' { Ok(()) } else { Err(Errno(libc::EXDEV)) }
}
