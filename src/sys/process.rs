//! getpid(2), geteuid(2), getegid(2), kill(2).

/// The effective user and group id of the caller.
pub(crate) fn effective_ids() -> (u32, u32) {
    // SAFETY: always succeeds.
    let user = unsafe { libc::geteuid() };
    // SAFETY: always succeeds.
    let group = unsafe { libc::getegid() };
    (user, group)
}

/// SIGKILL for a helper process that the caller cloned and has not yet reaped.
pub(crate) fn kill(pid: i32) {
    // SAFETY: an unreaped child keeps its id.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}
