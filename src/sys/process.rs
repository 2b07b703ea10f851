//! geteuid(2), getegid(2), kill(2), getrlimit(2).

use std::io;

/// The effective user and group id of the caller.
pub(crate) fn effective_ids() -> (u32, u32) {
    // SAFETY: always succeeds.
    let user = unsafe { libc::geteuid() };
    // SAFETY: always succeeds.
    let group = unsafe { libc::getegid() };
    (user, group)
}

/// SIGKILL for a process that the caller cloned and has not yet reaped.
pub(crate) fn kill(pid: i32) -> io::Result<()> {
    // SAFETY: an unreaped child keeps its id.
    match unsafe { libc::kill(pid, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `RLIMIT_NOFILE`: descriptors have numbers below it.
#[allow(clippy::unnecessary_cast, reason = "the width differs between architectures")]
pub(crate) fn open_files_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: fills the limit.
    (unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0)
        .then_some(limit.rlim_cur as u64)
}
