//! A running program.
#![forbid(unsafe_code)]

use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::process::{ChildStderr, ChildStdin, ChildStdout, ExitStatus, Output};
use std::time::{Duration, Instant};

use crate::error::{At as _, Result, Step};
use crate::sys::keeper::Keeper;
use crate::sys::shared::SharedPage;
use crate::sys::spawn::Program;
use crate::{Namespace, NamespaceKind, PidFd, ProcessNamespaces, sys};

/// A program that was spawned. As [`std::process::Child`], with a pidfd.
///
/// Dropping it neither kills nor reaps the program, unless [`kill_on_drop`](super::Command::kill_on_drop) asks for it: one that was never waited
/// for stays a zombie until the caller ends.
///
/// # References
/// pidfd_open(2), waitid(2)
#[derive(Debug)]
pub struct Child {
    /// The other end of the program's standard input, if that was [`piped`](super::Stdio::piped).
    pub stdin: Option<ChildStdin>,
    /// The other end of the program's standard output, if that was piped.
    pub stdout: Option<ChildStdout>,
    /// The other end of the program's standard error, if that was piped.
    pub stderr: Option<ChildStderr>,
    pub(crate) handle: Handle,
}

/// The process itself.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) pidfd: PidFd,
    pub(crate) pid: u32,
    pub(crate) status: Option<ExitStatus>,
    /// Where the init in front of the program tells how that has ended.
    told: Option<SharedPage>,
    /// The thread that is its parent, if not the one that spawned it.
    keeper: Option<Keeper>,
    kill_on_drop: bool,
    /// The process that it is a child of: a forked copy of this has no right to it.
    owner: u32,
}

/// The caller's ends of its streams.
#[derive(Debug, Default)]
pub(super) struct Streams {
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
}

impl Streams {
    pub(super) fn of(streams: super::stdio::Streams) -> Self {
        let super::stdio::Streams { stdin, stdout, stderr, .. } = streams;
        Self { stdin, stdout, stderr }
    }

    pub(super) fn into_child(self, handle: Handle) -> Child {
        let Self { stdin, stdout, stderr } = self;
        Child { stdin, stdout, stderr, handle }
    }
}

impl Child {
    /// Its process id, as the caller's pid namespace numbers it. 0 in one case: a pid namespace was created inside an entered
    /// one, and the program has ended and, as SIGCHLD is ignored, is gone before anybody could ask.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.handle.pid
    }

    /// A descriptor that means this process and never another one: for poll(2), for signals from another thread.
    #[must_use]
    pub fn pidfd(&self) -> &PidFd {
        &self.handle.pidfd
    }

    /// The identities of the namespaces that it is in now.
    ///
    /// # Errors
    /// [`Step::Inspect`]: ESRCH once it was waited for; EACCES when it has gone where the caller may not look.
    ///
    /// # References
    /// ioctl_nsfs(2), namespaces(7)
    pub fn namespaces(&self) -> Result<ProcessNamespaces> {
        ProcessNamespaces::of_process(&self.handle.pidfd)
    }

    /// A handle for one of the namespaces that it is in, which keeps that alive after the program's end.
    ///
    /// # Errors
    /// As [`namespaces`](Self::namespaces).
    ///
    /// # References
    /// pidfd_open(2), namespaces(7)
    pub fn namespace(&self, kind: NamespaceKind) -> Result<Namespace> {
        self.handle.pidfd.namespace(kind)
    }

    /// Closes its standard input, waits for its end, and gives its status, the same again every time.
    ///
    /// # Errors
    /// [`Step::Wait`] with the id: ECHILD when somebody else has waited for it, or the caller ignores SIGCHLD, before
    /// Linux 6.15; from there on the status is told all the same.
    ///
    /// # References
    /// waitid(2)
    pub fn wait(&mut self) -> Result<ExitStatus> {
        drop(self.stdin.take());
        self.handle.wait()
    }

    /// Its status, if it has ended. `None`: it runs on, as far as its parent is told: see [`wait_timeout`](Self::wait_timeout).
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    ///
    /// # References
    /// waitid(2)
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.handle.try_wait()
    }

    /// Closes its standard input and waits for its end, but no longer than `timeout`. `None`: it runs on, or a debugger that traces it has
    /// not taken note of its end yet.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    ///
    /// # References
    /// waitid(2), poll(2)
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<Option<ExitStatus>> {
        drop(self.stdin.take());
        self.handle.wait_timeout(timeout)
    }

    /// Closes its standard input, reads what it writes to both streams until they end, and waits for its end.
    ///
    /// # Errors
    /// [`Step::Wait`]: as [`wait`](Self::wait), or an error of reading.
    ///
    /// # References
    /// waitid(2), poll(2)
    pub fn wait_with_output(mut self) -> Result<Output> {
        drop(self.stdin.take());
        let (stdout, stderr) = read_both(self.stdout.take(), self.stderr.take(), None)
            .at(|| Step::Wait)
            .map_err(|error| error.on(format!("{}, reading its output", self.handle.pid)))?;
        let status = self.handle.wait()?;
        Ok(Output { status, stdout, stderr })
    }

    /// Waits for its end, with what it has written to standard error by then. The pipe may have no end yet: children of other threads, which
    /// have copies of it until they exec, may wait for the very caller. No status: that is lost, because SIGCHLD is ignored or
    /// somebody else has waited for it.
    pub(super) fn stderr_and_status(mut self) -> io::Result<(Vec<u8>, Option<ExitStatus>)> {
        drop(self.stdin.take());
        let ended = self.handle.pidfd.as_fd();
        let (_, stderr) = read_both(self.stdout.take(), self.stderr.take(), Some(ended))?;
        Ok((stderr, self.handle.wait().ok()))
    }

    /// Sends it a signal: never to another process that got its number.
    ///
    /// # Errors
    /// [`Step::Signal`] with the number: ESRCH once it was waited for; EPERM when it has become another user; EINVAL for
    /// a number that is no signal.
    ///
    /// # References
    /// pidfd_send_signal(2), signal(7)
    pub fn signal(&self, signal: i32) -> Result<()> {
        self.handle.pidfd.send_signal(signal)
    }

    /// Kills it with SIGKILL, and with it, if it is process 1 of a pid namespace, all that are in there. It remains to be waited
    /// for. One that has ended already is no error.
    ///
    /// # Errors
    /// [`Step::Signal`]: EPERM when it has become another user.
    ///
    /// # References
    /// pidfd_send_signal(2), pid_namespaces(7)
    pub fn kill(&self) -> Result<()> {
        self.handle.kill()
    }
}

impl Handle {
    pub(super) fn new(
        program: Program,
        pid: u32,
        keeper: Option<Keeper>,
        kill_on_drop: bool,
    ) -> Self {
        let pidfd = PidFd::known(program.pidfd);
        // Asked for only where it is needed.
        let owner = if kill_on_drop { std::process::id() } else { 0 };
        Self { pidfd, pid, status: None, told: program.told, keeper, kill_on_drop, owner }
    }

    fn wait(&mut self) -> Result<ExitStatus> {
        match self.status {
            Some(status) => Ok(status),
            None => Ok(self.reap(true)?.expect("a wait that blocks gives a status")),
        }
    }

    pub(crate) fn kill(&self) -> Result<()> {
        match sys::pidfd::kill_child(self.pidfd.as_fd()) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            result => {
                result.at(|| Step::Signal).map_err(|error| error.on(libc::SIGKILL.to_string()))
            }
        }
    }

    pub(crate) fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        match self.status {
            Some(status) => Ok(Some(status)),
            None => self.reap(false),
        }
    }

    fn wait_timeout(&mut self, timeout: Duration) -> Result<Option<ExitStatus>> {
        let start = Instant::now();
        let mut ending = sys::wait::Ending::default();
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(Some(status));
            }
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            ending
                .sleep(self.pidfd.as_fd(), Some(left))
                .at(|| Step::Wait)
                .map_err(|error| error.on(self.pid.to_string()))?;
        }
    }

    fn reap(&mut self, block: bool) -> Result<Option<ExitStatus>> {
        let status = match sys::wait::wait_pidfd(self.pidfd.as_fd(), block) {
            Ok(None) => return Ok(None),
            Ok(Some(status)) => self.status_of_program().unwrap_or(status),
            Err(error) => self.status_told(error, block)?,
        };
        self.status = Some(status);
        if let Some(keeper) = self.keeper.take() {
            // It sees the same end.
            keeper.join();
        }
        Ok(self.status)
    }

    /// An init that was killed before its program ended has told nothing: then its own status is all there is.
    fn status_of_program(&self) -> Option<ExitStatus> {
        self.told.as_ref().and_then(|told| told.status())
    }

    /// Somebody else has reaped it, or the kernel has because the caller ignores SIGCHLD. The pidfd may still tell.
    #[cold]
    #[inline(never)]
    fn status_told(&self, error: io::Error, block: bool) -> Result<ExitStatus> {
        let gone = error.raw_os_error() == Some(libc::ECHILD);
        if gone && block {
            // The kernel may answer before the end when it was not the caller's child any more.
            while sys::poll::readable([Some(self.pidfd.as_fd())], None)
                .is_err_and(|error| error.kind() == io::ErrorKind::Interrupted)
            {}
        }
        if let (true, Some(status)) = (gone, self.status_of_program()) {
            return Ok(status);
        }
        // The one who has reaped it may be about to: the status is told only after that.
        let start = Instant::now();
        while gone
            && sys::pidfd::exit_status(self.pidfd.as_fd()).is_none()
            && start.elapsed() < Duration::from_millis(20)
        {
            std::thread::yield_now();
        }
        match sys::pidfd::exit_status(self.pidfd.as_fd()) {
            Some(status) if gone => Ok(status),
            _ => Err(error).at(|| Step::Wait).map_err(|error| {
                let error = error.on(self.pid.to_string());
                if !gone {
                    return error;
                }
                error.because(
                    "it was waited for elsewhere, or SIGCHLD is ignored in this process, and before Linux 6.15 its status is then lost",
                )
            }),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.kill_on_drop || self.status.is_some() || self.owner != std::process::id() {
            return;
        }
        // One that has become another user runs on: waiting could take for ever.
        if self.kill().is_ok() {
            let _ = self.reap(true);
        }
    }
}

/// Reads both to their ends, whichever has something: a program that fills one of two pipes would wait for ever
/// for a reader of the other. No thread is needed for it, which a caller may not be able to start. With `ended`, only what is there
/// when that can be read.
fn read_both(
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    ended: Option<BorrowedFd<'_>>,
) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (mut stdout, mut stderr) = (stdout, stderr);
    if let Some(stream) = &stdout {
        sys::fcntl::set_nonblocking(stream.as_fd())?;
    }
    if let Some(stream) = &stderr {
        sys::fcntl::set_nonblocking(stream.as_fd())?;
    }
    while stdout.is_some() || stderr.is_some() {
        let fds = [
            stdout.as_ref().map(|stream| stream.as_fd()),
            stderr.as_ref().map(|stream| stream.as_fd()),
            ended,
        ];
        let [out_ready, err_ready, is_last] = match sys::poll::readable(fds, None) {
            Ok(ready) => ready,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if let Some(stream) = stdout.as_mut().filter(|_| out_ready || is_last) {
            if at_end(stream.read_to_end(&mut out))? {
                stdout = None;
            }
        }
        if let Some(stream) = stderr.as_mut().filter(|_| err_ready || is_last) {
            if at_end(stream.read_to_end(&mut err))? {
                stderr = None;
            }
        }
        if is_last {
            break;
        }
    }
    Ok((out, err))
}

/// What was read so far is kept when there is nothing more yet.
fn at_end(result: io::Result<usize>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}
