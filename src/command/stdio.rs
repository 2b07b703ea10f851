//! The three standard streams.
#![forbid(unsafe_code)]

use std::fs::File;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::process::{ChildStderr, ChildStdin, ChildStdout};

use super::Command;
use crate::error::{At as _, Error, Result, Step};
use crate::sys;

/// What a standard stream of the program is connected to. As [`std::process::Stdio`], which cannot be looked into.
///
/// Whatever owns a descriptor can be one: a [`File`], a pipe or socket, another child's stdout.
///
/// # References
/// stdin(3), dup2(2)
#[derive(Debug)]
pub struct Stdio(Kind);

#[derive(Debug)]
enum Kind {
    Inherit,
    Null,
    Piped,
    Fd(OwnedFd),
}

impl Stdio {
    /// The caller's own.
    ///
    /// # References
    /// stdin(3)
    #[must_use]
    pub fn inherit() -> Self {
        Self(Kind::Inherit)
    }

    /// `/dev/null`: reads end at once, writes vanish.
    ///
    /// # References
    /// null(4)
    #[must_use]
    pub fn null() -> Self {
        Self(Kind::Null)
    }

    /// A new pipe, whose other end is in the [`Child`](super::Child).
    ///
    /// # References
    /// pipe(2), pipe(7)
    #[must_use]
    pub fn piped() -> Self {
        Self(Kind::Piped)
    }
}

/// Files, pipes, sockets, a child's stdio: whatever owns a descriptor.
impl<T: Into<OwnedFd>> From<T> for Stdio {
    fn from(owner: T) -> Self {
        Self(Kind::Fd(owner.into()))
    }
}

/// What a stream is that was not set.
pub(super) struct Default {
    stdin: &'static Stdio,
    others: &'static Stdio,
}

static INHERIT: Stdio = Stdio(Kind::Inherit);
static NULL: Stdio = Stdio(Kind::Null);
static PIPED: Stdio = Stdio(Kind::Piped);

impl Default {
    /// For `spawn` and `status`.
    pub(super) const INHERIT: Self = Self { stdin: &INHERIT, others: &INHERIT };
    /// For `output`.
    pub(super) const CAPTURE: Self = Self { stdin: &NULL, others: &PIPED };

    pub(super) fn inherits(&self) -> bool {
        matches!((&self.stdin.0, &self.others.0), (Kind::Inherit, Kind::Inherit))
    }
}

/// The streams of one spawn: the child's ends by number, and what the caller keeps.
pub(super) struct Streams {
    /// For 0, 1 and 2; `None` where it is inherited.
    pub(super) child: [Option<RawFd>; 3],
    /// Closed in the caller when the program runs.
    pub(super) opened: Vec<OwnedFd>,
    pub(super) stdin: Option<ChildStdin>,
    pub(super) stdout: Option<ChildStdout>,
    pub(super) stderr: Option<ChildStderr>,
}

impl Streams {
    pub(super) fn open(command: &Command, defaults: &Default) -> Result<Self> {
        let mut streams =
            Self { child: [None; 3], opened: Vec::new(), stdin: None, stdout: None, stderr: None };
        // A descriptor passed under the number of a stream that was not set takes the place of the default.
        let default = |number: RawFd, default: &'static Stdio| {
            if command.fds.iter().any(|(target, _)| *target == number) { &INHERIT } else { default }
        };
        let stdin = command.stdin.as_ref().unwrap_or_else(|| default(0, defaults.stdin));
        let stdout = command.stdout.as_ref().unwrap_or_else(|| default(1, defaults.others));
        let stderr = command.stderr.as_ref().unwrap_or_else(|| default(2, defaults.others));
        streams.stdin = streams.connect(0, stdin)?.map(ChildStdin::from);
        streams.stdout = streams.connect(1, stdout)?.map(ChildStdout::from);
        streams.stderr = streams.connect(2, stderr)?.map(ChildStderr::from);
        Ok(streams)
    }

    /// Gives the caller's end, if there is one.
    fn connect(&mut self, number: usize, stdio: &Stdio) -> Result<Option<OwnedFd>> {
        let (own, ours) = match &stdio.0 {
            Kind::Inherit => return Ok(None),
            Kind::Fd(fd) => {
                self.child[number] = Some(fd.as_raw_fd());
                return Ok(None);
            }
            Kind::Null => {
                let null = File::options().read(number == 0).write(number != 0).open("/dev/null");
                (null.at(|| Step::Open("/dev/null".into()))?.into(), None)
            }
            Kind::Piped => {
                let (read, write) = sys::pipe::pipe()
                    .at(|| Step::Fd(number as RawFd))
                    .map_err(|error: Error| error.on("(a pipe)"))?;
                if number == 0 { (read, Some(write)) } else { (write, Some(read)) }
            }
        };
        self.child[number] = Some(own.as_raw_fd());
        self.opened.push(own);
        Ok(ours)
    }

    /// The caller's own ends, by number.
    pub(super) fn ours(&self) -> impl Iterator<Item = RawFd> + '_ {
        let stdin = self.stdin.as_ref().map(|end| end.as_raw_fd());
        let stdout = self.stdout.as_ref().map(|end| end.as_raw_fd());
        let stderr = self.stderr.as_ref().map(|end| end.as_raw_fd());
        [stdin, stdout, stderr].into_iter().flatten()
    }
}
