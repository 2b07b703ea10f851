//! seccomp(2), `SECCOMP_RET_KILL_PROCESS`: calls for which a filter ends the whole process, be they made in it only once.
//!
//! The crate makes two calls in the calling process that such a filter may not know, being older than they are. They are tried in a copy
//! of the process, made by the oldest call there is, and what has killed that is not done any more.

use std::cell::Cell;
use std::io;
use std::os::unix::process::ExitStatusExt as _;

use super::signal::Blocked;
use super::syscall::{Errno, syscall};
use super::{child, clone, fork, pidfd, probe, wait};

thread_local! {
    /// A filter is a thread's own.
    static PIDFD_OPEN: Cell<bool> = const { Cell::new(false) };
}

/// Whether pidfd_open(2) is known to be the end of whoever makes it in this thread.
pub(crate) fn kills_for_pidfd_open() -> bool {
    PIDFD_OPEN.get()
}

/// Finds out, if there is a filter at all. From then on clones of this process are made without clone3(2) if that would be its end, and
/// pidfd_open(2) is answered ENOSYS in this thread. The error is that of making the copy.
pub(crate) fn find() -> io::Result<()> {
    const NO_FILTER: Option<u32> = Some(0);
    if probe::seccomp_mode() == NO_FILTER {
        return Ok(());
    }
    // Usually none of them kills, and one copy is enough to know that.
    if !kills(&[libc::SYS_clone3, libc::SYS_pidfd_open])? {
        return Ok(());
    }
    if kills(&[libc::SYS_clone3])? {
        clone::do_without_clone3();
    }
    if kills(&[libc::SYS_pidfd_open])? {
        PIDFD_OPEN.set(true);
    }
    Ok(())
}

/// Whether one of these calls kills. Without arguments they do nothing else.
fn kills(calls: &[libc::c_long]) -> io::Result<bool> {
    let blocked = Blocked::all();
    let mut number = -1;
    // SAFETY: the copy makes system calls and ends.
    let copy = unsafe { fork::fork(0, &mut number) };
    if let Ok(0) = copy {
        for call in calls {
            // SAFETY: no arguments are too few for any of them.
            let _ = unsafe { syscall(*call, [0; 6]) };
        }
        child::exit(0);
    }
    drop(blocked);
    let id = copy.map_err(|Errno(errno)| io::Error::from_raw_os_error(errno))?;
    if number >= 0 {
        // SAFETY: the clone put it there for this caller alone.
        drop(unsafe { pidfd::take(number) });
    }
    let status = wait::wait_pid(id)?;
    Ok(status.is_some_and(|status| status.signal() == Some(libc::SIGSYS)))
}
