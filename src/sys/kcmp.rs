//! kcmp(2).

use std::ffi::c_int;
use std::io;

const KCMP_FILES: c_int = 2;

/// Whether two threads, by their ids in the caller's pid namespace, share one table of descriptors. ESRCH when one has ended, EPERM without
/// the right to trace both, ENOSYS in kernels that were built without it.
pub(crate) fn same_descriptors(one: u32, other: u32) -> io::Result<bool> {
    // SAFETY: takes numbers.
    let order = unsafe {
        libc::syscall(
            libc::SYS_kcmp,
            one as libc::pid_t,
            other as libc::pid_t,
            KCMP_FILES,
            0 as libc::c_ulong,
            0 as libc::c_ulong,
        )
    };
    if order < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(order == 0)
}
