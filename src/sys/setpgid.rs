//! setpgid(2), which refuses a child that has executed a program: the cheapest way to ask whether one has.

use std::ffi::c_int;

use super::syscall::{Errno, syscall};

/// No process has this number: they end at 4194304.
const NOBODY: c_int = c_int::MAX;

/// Whether this child of the caller's process has executed a program, and so has memory of its own; or is gone. `None`: it cannot be told
/// so, as of one in a session of its own. Nothing is changed: the group that is asked for is none, or the one that it is in.
pub(crate) fn has_executed(child: c_int) -> Option<bool> {
    // The kernel looks at the child before it looks for the group.
    match set(child, NOBODY) {
        Err(Errno(libc::EACCES)) => return Some(true),
        Err(Errno(libc::EPERM)) => {}
        _ => return None,
    }
    // SAFETY: takes a number.
    let group = unsafe { libc::getpgid(child) };
    if group <= 0 {
        return None;
    }
    match set(child, group) {
        Ok(()) => Some(false),
        Err(Errno(libc::EACCES)) => Some(true),
        Err(_) => None,
    }
}

fn set(process: c_int, group: c_int) -> Result<(), Errno> {
    // SAFETY: takes numbers.
    unsafe { syscall(libc::SYS_setpgid, [process as usize, group as usize, 0, 0, 0, 0]) }.map(drop)
}
