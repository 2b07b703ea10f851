//! prctl(2).

use std::ffi::c_int;

use super::syscall::{Errno, syscall};

/// May run between clone and exec. For options that take a number.
pub(super) fn prctl(option: c_int, value: usize) -> Result<usize, Errno> {
    // SAFETY: the options used here take one number and touch no memory.
    unsafe { syscall(libc::SYS_prctl, [option as usize, value, 0, 0, 0, 0]) }
}

/// `PR_GET_DUMPABLE`: whether processes of the same user may look into this one's memory.
pub(crate) fn dumpable() -> Option<u32> {
    prctl(libc::PR_GET_DUMPABLE, 0).ok().and_then(|value| u32::try_from(value).ok())
}

/// `PR_SET_DUMPABLE`. Of the values only 0 and 1 can be set.
pub(crate) fn set_dumpable(value: u32) {
    let _ = prctl(libc::PR_SET_DUMPABLE, value as usize);
}

/// `PR_SET_NO_NEW_PRIVS`. May run between clone and exec.
pub(super) fn set_no_new_privs() -> Result<(), Errno> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1).map(drop)
}

/// `PR_GET_SECUREBITS`: whether the calling thread's permitted capabilities outlive a change of its user id from root to others.
pub(crate) fn retains_capabilities() -> bool {
    const SECBIT_NO_SETUID_FIXUP: usize = 1 << 2;
    const SECBIT_KEEP_CAPS: usize = 1 << 4;
    prctl(libc::PR_GET_SECUREBITS, 0)
        .is_ok_and(|bits| bits & (SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS) != 0)
}
