//! The wait of a child that is set up and may not exec yet. May run between clone and exec.

use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::Ordering::SeqCst;

use super::shared::{Shared, state};
use super::syscall::{Errno, syscall};
use super::{child, futex};

/// Says that all is set up, and sleeps until a byte comes through `channel`. When that ends without one, or the process that
/// `caller` is a pidfd of has died, this process ends too.
///
/// The caller goes on in the meantime, on memory that this process may share. So it sleeps in the kernel, with all signals blocked,
/// and whatever it uses from here on belongs to [`Suspended`](super::suspended::Suspended): the stack that it sleeps on, the words,
/// the rest of its list.
pub(super) fn wait(channel: RawFd, caller: RawFd, shared: &Shared) -> Result<(), Errno> {
    // A hook may have closed it, and then nothing would ever end the wait.
    // SAFETY: asks for the flags of a descriptor.
    unsafe { syscall(libc::SYS_fcntl, [channel as usize, libc::F_GETFD as usize, 0, 0, 0, 0]) }?;
    let mut before = super::signal::EMPTY;
    super::signal::block_all(&mut before)?;
    let word = shared.state();
    let suspended = |from| word.compare_exchange(from, state::SUSPENDED, SeqCst, SeqCst).is_ok();
    if !suspended(state::RUNNING) && !suspended(state::RELEASED) {
        child::exit(1);
    }
    futex::wake(word);
    let entry = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut entries = [entry(caller), entry(channel)];
    loop {
        let address = entries.as_mut_ptr().expose_provenance();
        let forever = ptr::null::<libc::timespec>().expose_provenance();
        // SAFETY: two entries on this frame, and no time.
        match unsafe { syscall(libc::SYS_ppoll, [address, 2, forever, 0, 0, 0]) } {
            Err(Errno(libc::EINTR)) => continue,
            result => result?,
        };
        let [caller, channel] = &mut entries;
        if caller.revents & libc::POLLIN != 0 {
            child::exit(1);
        }
        if caller.revents != 0 {
            // A hook has closed it.
            caller.fd = -1;
        }
        if channel.revents == 0 {
            continue;
        }
        let mut byte = 0u8;
        let address = (&raw mut byte).expose_provenance();
        // SAFETY: reads one byte into this frame.
        match unsafe { syscall(libc::SYS_read, [channel.fd as usize, address, 1, 0, 0, 0]) } {
            Ok(1) => return super::signal::set_mask(&before),
            Ok(_) => child::exit(1),
            Err(Errno(libc::EINTR | libc::EAGAIN)) => {}
            Err(errno) => return Err(errno),
        }
    }
}
