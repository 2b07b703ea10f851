//! A child's descriptors, handed to the reactor, or back.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd, OwnedFd, RawFd};

use ::tokio::io::{Interest, unix::AsyncFd};
use ::tokio::net::unix::pipe::{Receiver, Sender};
use ::tokio::runtime;

use super::Child;
use crate::command::Handle;
use crate::error::{Error, Step};
use crate::sys;

/// Why a [`crate::Child`] could not be made one of tokio's, with the child, which runs on.
///
/// As an [`Error`], which `?` makes of it, it drops the child, with what that means to it:
/// [`kill_on_drop`](crate::Command::kill_on_drop) kills it, and otherwise it runs on.
///
/// # Examples
/// ```
/// use linux_namespaces::{Command, tokio::Child};
/// // There is no runtime here.
/// let error = Child::try_from(Command::new("true").spawn()?).unwrap_err();
/// let (mut child, error) = error.into_parts();
/// assert!(error.to_string().ends_with("there is no tokio runtime here: convert it inside of one, or after `Runtime::enter`"));
/// assert!(child.wait()?.success());
/// # Ok::<(), linux_namespaces::Error>(())
/// ```
///
/// # References
/// epoll_ctl(2)
#[derive(thiserror::Error)]
#[error("{error}")]
pub struct RegisterError {
    child: Box<crate::Child>,
    error: Error,
}

impl RegisterError {
    /// What failed, and why.
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// The child, whose streams block again, and what failed.
    #[must_use]
    pub fn into_parts(self) -> (crate::Child, Error) {
        (*self.child, self.error)
    }
}

impl fmt::Debug for RegisterError {
    /// The message, as that of [`Error`]. `{:#?}` shows the parts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return fmt::Debug::fmt(&self.error, f);
        }
        let Self { child, error } = self;
        f.debug_struct("RegisterError").field("child", child).field("error", error).finish()
    }
}

/// Drops the child.
impl From<RegisterError> for Error {
    fn from(error: RegisterError) -> Self {
        error.error
    }
}

/// Drops the child.
impl From<RegisterError> for io::Error {
    fn from(error: RegisterError) -> Self {
        error.error.into()
    }
}

impl AsRawFd for Handle {
    fn as_raw_fd(&self) -> RawFd {
        self.pidfd.as_fd().as_raw_fd()
    }
}

/// Hands its pidfd and its pipes to the reactor of the runtime that this is called in. It takes no descriptor.
impl TryFrom<crate::Child> for Child {
    type Error = RegisterError;

    /// # Errors
    /// [`Step::Wait`] with the id and what could not be registered. [`RegisterError::into_parts`] gives the child back, with its
    /// streams; only of a process that is at its limit of open descriptors as well, a stream that could not be registered is lost.
    /// * No errno: outside of a runtime, or in one that is being shut down.
    /// * ENOSPC at the limit on descriptors that a user watches by epoll(7), `/proc/sys/fs/epoll/max_user_watches`; ENOMEM.
    /// * `InvalidInput`: a stream is not a pipe. Those that the crate makes are; what somebody has put in their place may be anything.
    ///
    /// # Panics
    /// As all of tokio's own that are made of a descriptor: in a runtime that was built without `enable_io`. The child is then dropped.
    fn try_from(child: crate::Child) -> Result<Self, RegisterError> {
        if runtime::Handle::try_current().is_err() {
            let why = "there is no tokio runtime here: convert it inside of one, or after `Runtime::enter`";
            return Err(refused(child, "pidfd", io::Error::other(why)));
        }
        let crate::Child { stdin, stdout, stderr, handle } = child;
        let handle = match watch(handle) {
            Ok(handle) => handle,
            Err((handle, error)) => {
                let child = crate::Child { stdin, stdout, stderr, handle };
                return Err(refused(child, "pidfd", error));
            }
        };
        let stdin = take_over(stdin, Sender::from_owned_fd);
        let stdout = take_over(stdout, Receiver::from_owned_fd);
        let stderr = take_over(stderr, Receiver::from_owned_fd);
        match (stdin, stdout, stderr) {
            (Ok(stdin), Ok(stdout), Ok(stderr)) => Ok(Self { stdin, stdout, stderr, handle }),
            (stdin, stdout, stderr) => {
                let (stdin, stdin_error) = give_back(stdin, Sender::into_blocking_fd);
                let (stdout, stdout_error) = give_back(stdout, Receiver::into_blocking_fd);
                let (stderr, stderr_error) = give_back(stderr, Receiver::into_blocking_fd);
                let child = crate::Child { stdin, stdout, stderr, handle: handle.into_inner() };
                let failed = [
                    ("standard input", stdin_error),
                    ("standard output", stdout_error),
                    ("standard error", stderr_error),
                ];
                let mut failed =
                    failed.into_iter().filter_map(|(what, error)| Some((what, error?)));
                let (what, error) = failed.next().expect("one of them has failed");
                Err(refused(child, what, error))
            }
        }
    }
}

/// Only whether it can be read is asked for: a pidfd can when its process has ended.
#[allow(deprecated, reason = "what takes its place is in no tokio before October 2026, and unsafe")]
fn watch(handle: Handle) -> Result<AsyncFd<Handle>, (Handle, io::Error)> {
    // Safe only if the descriptor stays open and the same for as long as it is watched: a `Handle` owns it, and never changes it.
    AsyncFd::try_with_interest(handle, Interest::READABLE).map_err(|error| error.into_parts())
}

/// A stream as tokio's; or as it was, with the error.
fn take_over<S, P>(
    stream: Option<S>,
    register: fn(OwnedFd) -> io::Result<P>,
) -> Result<Option<P>, (Option<S>, io::Error)>
where
    S: From<OwnedFd> + Into<OwnedFd>,
{
    let Some(stream) = stream else { return Ok(None) };
    let fd = stream.into();
    // Registering takes the descriptor, even if it fails. Where there is no spare one to be had, the stream is lost if a limit of epoll's is
    // met as well.
    let spare = fd.try_clone();
    register(fd).map(Some).map_err(|error| (spare.ok().and_then(blocking), error))
}

/// The same, taken back from tokio.
fn give_back<S: From<OwnedFd>, P>(
    stream: Result<Option<P>, (Option<S>, io::Error)>,
    deregister: fn(P) -> io::Result<OwnedFd>,
) -> (Option<S>, Option<io::Error>) {
    match stream {
        Ok(stream) => (stream.and_then(|stream| deregister(stream).ok()).map(S::from), None),
        Err((stream, error)) => (stream, Some(error)),
    }
}

/// A stream of std's, which is expected to block.
fn blocking<S: From<OwnedFd>>(fd: OwnedFd) -> Option<S> {
    sys::fcntl::set_blocking(fd.as_fd()).ok()?;
    Some(fd.into())
}

fn refused(child: crate::Child, what: &str, error: io::Error) -> RegisterError {
    let full = error.raw_os_error() == Some(libc::ENOSPC);
    let operand = format!("{}, registering its {what} with tokio", child.id());
    let error = match error.raw_os_error() {
        Some(errno) => Error::new(Step::Wait).errno(errno),
        None => Error::new(Step::Wait).kind_of(error.kind()).because(error.to_string()),
    };
    let mut error = error.on(operand);
    if full {
        error = error.because(
            "this user may watch no more descriptors by epoll: raise the sysctl fs.epoll.max_user_watches",
        );
    }
    RegisterError { child: Box::new(child), error }
}
