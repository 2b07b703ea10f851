//! time_namespaces(7): the offsets of the clocks of a new one. The caller's part, and what may run between clone and exec.

use std::ffi::CStr;

use super::id_map::write;
use super::syscall::{Errno, syscall};

/// Of the time namespace that this process's children will be in, and itself from exec on. `path` is its `timens_offsets`, if
/// it is not that of the process's first thread.
pub(super) fn set_offsets(path: Option<&CStr>, text: &[u8]) -> Result<(), Errno> {
    write(path.unwrap_or(c"/proc/self/timens_offsets"), text)
}

/// Enters that namespace at once, which the kernel allows to whoever shares no memory.
pub(super) fn enter_own() -> Result<(), Errno> {
    let call = |number, args| {
        // SAFETY: a path that lives through the call, and a descriptor made here. Moves this process, a copy.
        unsafe { syscall(number, args) }
    };
    let path = c"/proc/self/ns/time_for_children".as_ptr().expose_provenance();
    let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as usize;
    let file = call(libc::SYS_openat, [libc::AT_FDCWD as usize, path, flags, 0, 0, 0])?;
    let result = call(libc::SYS_setns, [file, super::clone::CLONE_NEWTIME as usize, 0, 0, 0, 0]);
    let _ = call(libc::SYS_close, [file, 0, 0, 0, 0, 0]);
    result.map(drop)
}

/// The whole seconds of a clock. Usually no system call, but a look at the vDSO.
#[allow(clippy::unnecessary_cast, reason = "the width differs between architectures")]
pub(crate) fn seconds(clock: libc::clockid_t) -> Option<i64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the time.
    (unsafe { libc::clock_gettime(clock, &raw mut time) } == 0).then_some(time.tv_sec as i64)
}
