//! netdevice(7), for the calling thread.

use std::io;

use super::child;

/// Brings up the interface `lo` of the network namespace that the calling thread is in.
pub(crate) fn loopback_up() -> io::Result<()> {
    child::loopback().map_err(|errno| io::Error::from_raw_os_error(errno.0))
}
