//! unshare(2).
#![forbid(unsafe_code)]

use crate::diagnose;
use crate::error::{At as _, Result, Step};
use crate::{Namespaces, sys, threads};

/// `unshare(2)`: moves the calling **thread** into new namespaces of these kinds.
///
/// The other threads stay where they are. Two kinds do not move the thread itself: after `PID` its *next
/// child* is process 1 of the new namespace (and only one such call can be made), after `TIME` its next
/// children are in the new one. For a program of its own in new namespaces, [`Command`](crate::Command)
/// is the better way: it leaves the caller alone and works from any thread.
///
/// An empty set changes nothing.
///
/// # Errors
/// * [`Step::Validate`]: bits that are none of the eight kinds; no call is made.
/// * [`Step::Unshare`]: EPERM without CAP_SYS_ADMIN and without `USER` in the set, or when user namespaces are
///   restricted; EINVAL for `USER` in a process with several threads, for a second `PID`, and for a kind that the kernel lacks;
///   ENOSPC at a limit. [`Error::cause`](crate::Error::cause) tells them apart.
///
/// # Requires
/// CAP_SYS_ADMIN, or `USER` in the set and a process with one thread.
///
/// # Examples
/// ```no_run
/// use linux_namespaces::{unshare, Namespaces};
/// unshare(Namespaces::USER | Namespaces::UTS)?;
/// # Ok::<(), linux_namespaces::Error>(())
/// ```
///
/// # References
/// unshare(2), namespaces(7)
#[doc(alias = "CLONE_NEWUSER")]
pub fn unshare(namespaces: Namespaces) -> Result<()> {
    namespaces.validate()?;
    if namespaces.is_empty() {
        return Ok(());
    }
    if namespaces.contains(Namespaces::USER) {
        // A thread that was just joined may still be counted for a moment.
        threads::is_single();
    }
    sys::unshare::unshare(namespaces)
        .at(|| Step::Unshare(namespaces))
        .map_err(|error| diagnose::creating(error, namespaces))
}
