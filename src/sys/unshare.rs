//! unshare(2).

use std::ffi::c_int;
use std::io;

use crate::Namespaces;

/// The calling thread gets new namespaces. Only kinds can be asked for: the other bits of the call, such as
/// `CLONE_FILES`, would break what Rust's types promise.
pub(crate) fn unshare(set: Namespaces) -> io::Result<()> {
    // SAFETY: the bits are namespace kinds, which change no memory and no descriptor.
    if unsafe { libc::unshare((set & Namespaces::all()).bits() as c_int) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The calling thread gets a root, a working directory and a umask of its own.
pub(crate) fn unshare_fs() -> io::Result<()> {
    // SAFETY: the bit separates only what the kernel keeps of the thread's place in the file system.
    if unsafe { libc::unshare(libc::CLONE_FS) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Whether the process has one thread, as the kernel counts: a thread just joined may still be counted for a moment.
pub(crate) fn single_threaded() -> bool {
    // SAFETY: with this bit alone unshare(2) changes nothing, and succeeds for a process with one thread.
    unsafe { libc::unshare(libc::CLONE_THREAD) == 0 }
}

/// Whether no other process shares the caller's memory, nor any other thread.
pub(crate) fn memory_is_unshared() -> bool {
    // SAFETY: as above.
    unsafe { libc::unshare(libc::CLONE_VM) == 0 }
}
