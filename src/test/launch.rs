//! The process outside: runs the test program again, shows what it writes, and finds out how it went.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use super::inside::{self, CALL, CHANNEL};
use super::outcome::{Message, Report};
use super::refusal;
use super::text::Stream;
use crate::error::{At as _, Error, Result, Step};
use crate::{Child, Command, Stdio, sys};

/// This program: the same file, whatever has its name by now, or what is mounted over it.
pub(super) const PROGRAM: &str = "/proc/self/exe";

const SIGKILL: i32 = 9;
/// As much as a pipe holds at most, which is 1 MiB for an ordinary user, takes so many pieces.
const PIECES: u32 = 128;
const PIECE: usize = 8192;

/// What is to be run again.
#[derive(Clone, Debug)]
pub(super) enum Rerun {
    /// A test, by its full name.
    Test(String),
    /// All of a program that is no harness.
    Program,
}

impl Rerun {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Test(name) => name,
            Self::Program => "main",
        }
    }

    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        let mut arguments = std::env::args_os();
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        match self {
            // What the harness outside was told to filter has been filtered; an ignored test is here because it was asked for.
            Self::Test(name) => command.args([
                name,
                "--exact",
                "--include-ignored",
                "--nocapture",
                "--test-threads=1",
            ]),
            Self::Program => command.args(arguments),
        };
        command
    }
}

/// Where what the body writes is shown.
pub(super) enum Show<'a> {
    /// As what a test writes.
    AsTests,
    /// Nowhere yet.
    #[cfg_attr(
        not(feature = "test-harness"),
        expect(dead_code, reason = "libtest captures by itself")
    )]
    Later(&'a mut String),
}

impl Show<'_> {
    fn out(&mut self, text: &str) {
        match self {
            Self::AsTests => print!("{text}"),
            Self::Later(kept) => kept.push_str(text),
        }
    }

    fn err(&mut self, text: &str) {
        match self {
            Self::AsTests => eprint!("{text}"),
            Self::Later(kept) => kept.push_str(text),
        }
    }
}

/// How it went.
#[derive(Debug)]
pub(super) enum Verdict {
    Passed,
    /// By the machine, and that is accepted.
    Refused(Error),
    /// In the body. It has been shown.
    Panicked(Message),
    /// In some other way, of which nothing has been shown.
    Failed(String),
}

pub(super) fn run(mut command: Command, call: &str, rerun: &Rerun, mut show: Show<'_>) -> Verdict {
    match spawn(&mut command, call) {
        Ok(process) => match process.follow(&mut show) {
            Ok(ended) => ended.judge(rerun, &mut show),
            Err(error) => Verdict::Failed(error.to_string()),
        },
        Err(error) if !refusal::is_the_machines(&error) => Verdict::Failed(error.to_string()),
        Err(error) if refusal::is_failure() => {
            Verdict::Failed(format!("{error} ({} is set)", refusal::REQUIRE))
        }
        Err(error) => Verdict::Refused(error),
    }
}

struct Process {
    child: Child,
    channel: File,
    out: Stream,
    err: Stream,
}

fn spawn(command: &mut Command, call: &str) -> Result<Process> {
    let (read, write) = sys::pipe::pipe().at(|| Step::Fd(CHANNEL))?;
    let channel = File::from(read);
    let inode = channel.metadata().at(|| Step::Fd(CHANNEL))?.ino();
    let child = command
        .env(CALL, inside::variable(inode, call))
        .fd(CHANNEL, write)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .parent_death_signal(SIGKILL)
        .kill_on_drop(true)
        .spawn()?;
    let stream = || Stream::new(&inside::mark(inode));
    Ok(Process { child, channel, out: stream(), err: stream() })
}

impl Process {
    /// Until it has ended, and what it has written is read. What it has started may hold its streams open for longer, and go on writing.
    fn follow(mut self, show: &mut Show<'_>) -> Result<Ended> {
        let mut out = self.child.stdout.take();
        let mut err = self.child.stderr.take();
        let mut channel = Some(self.channel);
        let mut report = Vec::new();
        // Once it has ended.
        let mut pieces_left: Option<u32> = None;
        loop {
            let fds = [
                out.as_ref().map(AsFd::as_fd),
                err.as_ref().map(AsFd::as_fd),
                channel.as_ref().map(AsFd::as_fd),
                pieces_left.is_none().then(|| self.child.pidfd().as_fd()),
            ];
            let timeout = pieces_left.map(|_| Duration::ZERO);
            let [of_out, of_err, of_channel, end] = match sys::poll::readable(fds, timeout) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                ready => ready.at(|| Step::Wait)?,
            };
            if of_out {
                read(&mut out, |piece| show.out(&self.out.push(piece)));
            }
            if of_err {
                read(&mut err, |piece| show.err(&self.err.push(piece)));
            }
            if of_channel {
                read(&mut channel, |piece| report.extend_from_slice(piece));
            }
            pieces_left = match pieces_left {
                Some(left) if left > 0 && (of_out || of_err || of_channel) => Some(left - 1),
                Some(_) => break,
                None => end.then_some(PIECES),
            };
        }
        let status = self.child.wait()?;
        let report = Report::from_bytes(&report);
        Ok(Ended { status, report, begun: self.out.has_begun(), out: self.out, err: self.err })
    }
}

/// One piece. The end, or a failure, closes it.
fn read<R: Read>(from: &mut Option<R>, take: impl FnOnce(&[u8])) {
    let mut buffer = [0; PIECE];
    match from.as_mut().map(|from| from.read(&mut buffer)) {
        Some(Ok(count)) if count > 0 => take(&buffer[..count]),
        Some(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
        _ => *from = None,
    }
}

struct Ended {
    status: ExitStatus,
    report: Option<Report>,
    begun: bool,
    out: Stream,
    err: Stream,
}

impl Ended {
    fn judge(self, rerun: &Rerun, show: &mut Show<'_>) -> Verdict {
        let Self { status, report, begun, out, err } = self;
        let (out, err) = (out.finish(), err.finish());
        let name = rerun.name();
        let none_was_run = !begun && out.contains("running 0 tests");
        if !none_was_run {
            show.out(&out);
            show.err(&err);
        }
        match report {
            Some(Report::Panicked(message)) => Verdict::Panicked(message),
            Some(Report::Passed) if status.success() => Verdict::Passed,
            Some(Report::Passed) => Verdict::Failed(format!(
                "the body of {name} has passed, and then its process ended with {status}"
            )),
            None if begun => Verdict::Failed(format!(
                "the process of {name} ended with {status} before the body was through: \
                 it exited, aborted, or was killed"
            )),
            None if none_was_run => Verdict::Failed(format!(
                "the test program has no test called {name}, so nothing was run in new namespaces: \
                 give `Isolated::name` what `cargo test -- --list` shows"
            )),
            None => Verdict::Failed(format!(
                "the process of {name} in new namespaces ended with {status} before it came to this call: \
                 what stands before the call runs there once more, and has to lead to it"
            )),
        }
    }
}
