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
