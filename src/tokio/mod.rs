//! Feature `tokio`: a running program that is awaited.
//!
//! A [`Child`] is made of a [`linux_namespaces::Child`](crate::Child), inside of a tokio runtime, and is driven by its pidfd: no
//! SIGCHLD handler is installed, no thread is started, and nobody else's children are looked at.
//!
//! [`Command::spawn`](crate::Command::spawn) itself is not async: it returns when the program has been executed, after a fraction of a
//! millisecond in most cases. Where that is too long for a thread of the runtime, call it in `tokio::task::spawn_blocking`.
//!
//! ```
//! use linux_namespaces::{Command, Stdio, flags::*, tokio::Child};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
//! runtime.block_on(async {
//!     let mut command = Command::new("sh");
//!     command.args(["-c", "echo $$"]).namespaces(USER | PID | NET).stdout(Stdio::piped());
//!     let output = Child::try_from(command.spawn()?)?.wait_with_output().await?;
//!     assert_eq!(output.stdout, b"1\n");
//! #   assert!(output.status.success());
//!     Ok(())
//! })
//! # }
//! ```
#![forbid(unsafe_code)]

mod output;
mod register;

use std::process::{ExitStatus, Output};

use ::tokio::io::unix::AsyncFd;
use ::tokio::net::unix::pipe::{Receiver, Sender};

pub use self::register::RegisterError;
use crate::command::Handle;
use crate::error::{At as _, Error, Result, Step};
use crate::{Namespace, NamespaceKind, PidFd, ProcessNamespaces};

/// A program that was spawned, and is awaited. As tokio's `process::Child`, with a pidfd.
///
/// It keeps what its command was told: the exact status behind an [`init`](crate::Command::init), the
/// [`parent_death_signal`](crate::Command::parent_death_signal), the status while SIGCHLD is ignored.
///
/// Every method with `&mut self` can be cancelled: its future may be dropped at any time, and the method called again,
/// without anything being lost. A time limit is `tokio::time::timeout` around [`wait`](Self::wait).
///
/// Dropping it neither kills nor reaps the program, as with [`crate::Child`] and unlike tokio's own, which reaps it some time
/// later: one that was never waited for stays a zombie until the caller ends. With
/// [`kill_on_drop`](crate::Command::kill_on_drop) it kills the program and waits for its end, which **blocks** the thread for as long as
/// the kernel takes to end it. Who cannot have that awaits [`kill`](Self::kill) before.
///
/// # Examples
/// Whatever comes first, and then the status:
/// ```
/// use linux_namespaces::{Command, tokio::Child};
/// use std::{os::unix::process::ExitStatusExt as _, time::Duration};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let mut sleep = Child::try_from(Command::new("sleep").arg("1000").spawn()?)?;
/// if tokio::time::timeout(Duration::from_millis(10), sleep.wait()).await.is_err() {
///     sleep.signal(15)?;
/// }
/// assert_eq!(sleep.wait().await?.signal(), Some(15));
/// # Ok(())
/// # })
/// # }
/// ```
///
/// # References
/// pidfd_open(2), epoll(7)
#[derive(Debug)]
pub struct Child {
    /// The other end of the program's standard input, if that was [`piped`](crate::Stdio::piped). Dropping it closes it.
    pub stdin: Option<Sender>,
    /// The other end of the program's standard output, if that was piped.
    pub stdout: Option<Receiver>,
    /// The other end of the program's standard error, if that was piped.
    pub stderr: Option<Receiver>,
    handle: AsyncFd<Handle>,
}

impl Child {
    /// Its process id, as [`crate::Child::id`] has it, the same after its end.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.handle.get_ref().pid
    }

    /// A descriptor that means this process and never another one.
    #[must_use]
    pub fn pidfd(&self) -> &PidFd {
        &self.handle.get_ref().pidfd
    }

    /// The identities of the namespaces that it is in now.
    ///
    /// # Errors
    /// [`Step::Inspect`]: ESRCH once it was waited for; EACCES when it has gone where the caller may not look.
    ///
    /// # References
    /// namespaces(7)
    pub fn namespaces(&self) -> Result<ProcessNamespaces> {
        ProcessNamespaces::of_process(self.pidfd())
    }

    /// A handle for one of the namespaces that it is in, which keeps that alive after the program's end.
    ///
    /// # Errors
    /// As [`namespaces`](Self::namespaces).
    ///
    /// # References
    /// namespaces(7)
    pub fn namespace(&self, kind: NamespaceKind) -> Result<Namespace> {
        self.pidfd().namespace(kind)
    }

    /// Closes its standard input, waits for its end, and gives its status, the same again every time.
    ///
    /// A program that writes more than a pipe holds (64 KiB) to a stream that nobody reads does not end:
    /// [`wait_with_output`](Self::wait_with_output) reads, and so does a task that has taken the stream.
    ///
    /// # Cancellation safety
    /// Safe: whenever the future is dropped, the next call gives the status. Standard input is closed when the future is polled for the first
    /// time, and stays closed; take it before, to have it open.
    ///
    /// # Errors
    /// [`Step::Wait`] with the id: ECHILD when somebody else has waited for it, or the caller ignores SIGCHLD, before
    /// Linux 6.15; from there on the status is told all the same. No errno when the runtime that it was made in has been shut down: then
    /// [`try_wait`](Self::try_wait) still tells.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use linux_namespaces::{Command, Stdio, tokio::Child};
    /// let mut cat = Child::try_from(Command::new("cat").stdin(Stdio::piped()).spawn()?)?;
    /// tokio::select! {
    ///     status = cat.wait() => assert!(status?.success()), // its input has ended
    ///     () = std::future::ready(()) => assert_eq!(cat.wait().await?.code(), Some(0)),
    /// }
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    ///
    /// # References
    /// waitid(2), pidfd_open(2)
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        drop(self.stdin.take());
        self.ended().await
    }

    /// Its status, if it has ended. `None`: it runs on. It waits for nothing and needs no runtime.
    ///
    /// # Errors
    /// As [`crate::Child::try_wait`].
    ///
    /// # References
    /// waitid(2)
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.handle.get_mut().try_wait()
    }

    /// Closes its standard input, reads what it writes to both streams until they end, and waits for its end.
    ///
    /// To write to its standard input meanwhile, take that first, and write in a task of its own, or beside this in a `join!`.
    ///
    /// # Cancellation safety
    /// Not safe: the future owns the child. Dropping it drops what has been read and the child, which is killed only if
    /// [`kill_on_drop`](crate::Command::kill_on_drop) says so. In a `select!` in a loop, pin the future and pass `&mut` of it, so that it is
    /// not dropped: it can be polled on, and off, as often as one likes. Or take the streams, and read them beside [`wait`](Self::wait).
    ///
    /// # Errors
    /// [`Step::Wait`]: as [`wait`](Self::wait), or an error of reading.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
    /// use linux_namespaces::{Command, Stdio, tokio::Child};
    /// use tokio::io::AsyncWriteExt as _;
    ///
    /// let mut command = Command::new("sort");
    /// command.stdin(Stdio::piped()).stdout(Stdio::piped());
    /// let mut sort = Child::try_from(command.spawn()?)?;
    /// let mut stdin = sort.stdin.take().expect("it is piped");
    /// let writing = async move { stdin.write_all(b"b\na\n").await }; // and closes it
    /// let (written, output) = tokio::join!(writing, sort.wait_with_output());
    /// written?;
    /// assert_eq!(output?.stdout, b"a\nb\n");
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    ///
    /// # References
    /// waitid(2), pipe(7)
    pub async fn wait_with_output(mut self) -> Result<Output> {
        drop(self.stdin.take());
        let (stdout, stderr) = output::read_both(self.stdout.take(), self.stderr.take())
            .await
            .at(|| Step::Wait)
            .map_err(|error| error.on(format!("{}, reading its output", self.id())))?;
        let status = self.ended().await?;
        Ok(Output { status, stdout, stderr })
    }

    /// Sends it a signal: never to another process that got its number.
    ///
    /// # Errors
    /// [`Step::Signal`] with the number: ESRCH once it was waited for; EPERM when it has become another user; EINVAL for
    /// a number that is no signal.
    ///
    /// # References
    /// pidfd_send_signal(2)
    pub fn signal(&self, signal: i32) -> Result<()> {
        self.pidfd().send_signal(signal)
    }

    /// Kills it with SIGKILL, and with it, if it is process 1 of a pid namespace, all that are in there. It remains to be waited
    /// for, as by [`kill`](Self::kill). One that has ended already is no error.
    ///
    /// # Errors
    /// [`Step::Signal`]: EPERM when it has become another user.
    ///
    /// # References
    /// pidfd_send_signal(2)
    pub fn start_kill(&self) -> Result<()> {
        self.handle.get_ref().kill()
    }

    /// [`start_kill`](Self::start_kill), and then [`wait`](Self::wait): afterwards it is gone, and with process 1 of a pid namespace all that
    /// were in there. [`try_wait`](Self::try_wait) has the status, which is that of its own end if that came first.
    ///
    /// # Cancellation safety
    /// Safe: it is killed when the future is polled for the first time, and remains to be waited for if that is dropped.
    ///
    /// # Errors
    /// As these two.
    ///
    /// # References
    /// pidfd_send_signal(2)
    pub async fn kill(&mut self) -> Result<()> {
        self.start_kill()?;
        self.wait().await.map(drop)
    }

    /// It is looked at only once the pidfd says that it has ended. Then the status is there, as [`Handle`] has it for a wait that blocks.
    async fn ended(&mut self) -> Result<ExitStatus> {
        let Handle { pid, status, .. } = *self.handle.get_ref();
        if let Some(status) = status {
            return Ok(status);
        }
        let named = |error: Error| error.on(pid.to_string());
        loop {
            let mut ended = self.handle.readable_mut().await.at(|| Step::Wait).map_err(named)?;
            match ended.get_inner_mut().try_wait()? {
                Some(status) => return Ok(status),
                // A debugger has it first; the pidfd tells again when that has let it go.
                None => ended.clear_ready(),
            }
        }
    }
}
