//! setpgid(2), which refuses a child that has executed a program: the cheapest way to ask whether one has.

/// Whether this child of the caller's process has executed a program, and so has memory of its own; or is gone. `None`: it cannot be told
/// so, as of one in a session of its own. Nothing is changed: it is put into the group that it is in.
pub(crate) fn has_executed(child: i32) -> Option<bool> {
    // SAFETY: takes a number.
    let group = unsafe { libc::getpgid(child) };
    if group <= 0 {
        return None;
    }
    // SAFETY: takes numbers.
    if unsafe { libc::setpgid(child, group) } == 0 {
        return Some(false);
    }
    match std::io::Error::last_os_error().raw_os_error() {
        Some(libc::EACCES) => Some(true),
        _ => None,
    }
}
