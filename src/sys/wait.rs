//! waitid(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::thread;
use std::time::Duration;

use super::syscall::{Errno, syscall};

/// Waits for the child of a pidfd, and reaps it. `None`: `block` is false and it runs on. Passes over signals.
pub(crate) fn wait_pidfd(pidfd: BorrowedFd<'_>, block: bool) -> io::Result<Option<ExitStatus>> {
    let id = pidfd.as_raw_fd() as libc::id_t;
    let mut ending = Ending::default();
    loop {
        match wait(libc::P_PIDFD, id, if block { 0 } else { libc::WNOHANG }) {
            // That of a pidfd with `O_NONBLOCK`, which its owner is free to set.
            Err(Errno(libc::EAGAIN)) if block => ending.sleep(pidfd, None)?,
            Err(Errno(libc::EAGAIN)) => return Ok(None),
            Err(errno) => return Err(errno.into()),
            Ok(status) => return Ok(status),
        }
    }
}

/// Sleeps until a child has ended, again for each time that there was nothing to wait for all the same.
///
/// A pidfd can be read from the end on. But while a debugger traces the process that end is the debugger's, and that it has let go is told by an
/// event alone. It takes an epoll(7) to see that, and so a descriptor, of which there may be none; so one looks again, ever less often.
#[derive(Default)]
pub(crate) struct Ending {
    /// How long the next sleep is, once the pidfd can be read.
    pause: Option<Duration>,
}

impl Ending {
    const FIRST: Duration = Duration::from_micros(100);
    const LONGEST: Duration = Duration::from_millis(20);

    /// Until it is worth another look, but no longer than `limit`. A signal may wake it.
    #[cold]
    #[inline(never)]
    pub(crate) fn sleep(
        &mut self,
        pidfd: BorrowedFd<'_>,
        limit: Option<Duration>,
    ) -> io::Result<()> {
        if let Some(pause) = &mut self.pause {
            thread::sleep(limit.map_or(*pause, |limit| limit.min(*pause)));
            *pause = (*pause * 2).min(Self::LONGEST);
            return Ok(());
        }
        match super::poll::readable([Some(pidfd)], limit) {
            Ok([ended]) => self.pause = ended.then_some(Self::FIRST),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Waits for a child by its id, and reaps it.
pub(crate) fn wait_pid(pid: i32) -> io::Result<Option<ExitStatus>> {
    wait(libc::P_PID, pid as libc::id_t, 0).map_err(io::Error::from)
}

/// Whether the process of a pidfd is a child of this one, which nobody has reaped, be it alive or not.
pub(super) fn is_unreaped_child(pidfd: BorrowedFd<'_>) -> bool {
    let id = pidfd.as_raw_fd() as libc::id_t;
    match wait(libc::P_PIDFD, id, libc::WNOHANG | libc::WNOWAIT) {
        Ok(_) => true,
        // That of a pidfd with `O_NONBLOCK`: it runs.
        Err(Errno(errno)) => errno == libc::EAGAIN,
    }
}

/// Whether a descriptor is a pidfd, of whatever process: nothing is reaped.
pub(crate) fn is_pidfd(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: plain integers, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: fills `info`.
    if unsafe { libc::waitid(libc::P_PIDFD, fd.as_raw_fd() as libc::id_t, &raw mut info, flags) }
        == 0
    {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::ECHILD) => Ok(true),
        error if error.raw_os_error() == Some(libc::EBADF) => Ok(false),
        error => Err(error),
    }
}

fn wait(
    which: libc::idtype_t,
    id: libc::id_t,
    flags: libc::c_int,
) -> Result<Option<ExitStatus>, Errno> {
    // SAFETY: plain integers, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // A child that has not exec'd sends no SIGCHLD, and is waited for only with `__WALL`.
    let flags = libc::WEXITED | libc::__WALL | flags;
    loop {
        let address = (&raw mut info).expose_provenance();
        let args = [which as usize, id as usize, address, flags as usize, 0, 0];
        // SAFETY: fills `info`. Without libc, whose wrapper is a cancellation point.
        match unsafe { syscall(libc::SYS_waitid, args) } {
            Ok(_) => break,
            Err(Errno(libc::EINTR)) => {}
            Err(errno) => return Err(errno),
        }
    }
    // SAFETY: waitid filled the fields of a SIGCHLD, or left them zero.
    let pid = unsafe { info.si_pid() };
    if pid == 0 {
        return Ok(None);
    }
    // SAFETY: as above.
    let status = unsafe { info.si_status() };
    Ok(Some(status_of(info.si_code, status)))
}

fn status_of(code: libc::c_int, status: libc::c_int) -> ExitStatus {
    ExitStatus::from_raw(raw_status(code, status))
}

/// The status as wait(2) has it, of what waitid(2) says. May run between clone and exec.
pub(super) fn raw_status(code: libc::c_int, status: libc::c_int) -> libc::c_int {
    match code {
        libc::CLD_EXITED => (status & 0xff) << 8,
        libc::CLD_DUMPED => status | 0x80,
        _ => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_waits() {
        assert_eq!(status_of(libc::CLD_EXITED, 200).code(), Some(200));
        assert_eq!(status_of(libc::CLD_KILLED, libc::SIGKILL).signal(), Some(libc::SIGKILL));
        let dumped = status_of(libc::CLD_DUMPED, libc::SIGSEGV);
        assert!(dumped.core_dumped());
        assert_eq!(dumped.signal(), Some(libc::SIGSEGV));
    }
}
