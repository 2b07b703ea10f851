//! Namespaces for `std::process::Command`.

#[path = "../common/mod.rs"]
mod common;

mod builder;
mod fate;
mod places;

use std::fs;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

fn main() {
    let cases = [builder::CASES, fate::CASES].concat();
    let tests = [places::tests(), fate::tests(), builder::tests()];
    common::run(&cases, tests.into_iter().flatten().collect());
}

/// A shell script, to be spawned by std.
fn sh(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

/// What the command writes, without the last line end. It must succeed.
fn stdout_of(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    text_of(&output)
}

fn text_of(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    String::from_utf8(output.stdout.clone()).expect("text").trim_end_matches('\n').to_owned()
}

/// What there is of a namespace as readlink(1) shows it: `net:[4026531840]`.
fn identity(process: &str, kind: &str) -> String {
    let path = format!("/proc/{process}/ns/{kind}");
    let link = fs::read_link(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    link.to_str().expect("text").to_owned()
}

/// A program that runs until its input ends, and has begun.
fn cat(command: &mut Command) -> Child {
    command.args(["-c", "echo; exec cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("spawned");
    let mut line = [0];
    child.stdout.as_mut().expect("piped").read_exact(&mut line).expect("it has begun");
    child
}

/// A stream to read, and the only end that is written to.
fn pipe() -> (UnixStream, OwnedFd) {
    let (reader, writer) = UnixStream::pair().expect("a pair");
    // What does not end is to fail.
    reader.set_read_timeout(Some(Duration::from_secs(60))).expect("a time");
    (reader, writer.into())
}

/// The children of a process, in the order in which they were born.
fn children_of(id: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("children");
    list.split_ascii_whitespace().map(|id| id.parse().expect("a number")).collect()
}

/// The errno of a spawn that fails.
fn errno_of(command: &mut Command) -> Option<i32> {
    command.spawn().expect_err("an error").raw_os_error()
}
