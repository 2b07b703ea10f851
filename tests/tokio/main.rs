//! Feature `tokio`: children that are awaited.
mod cancelled;
#[path = "../common/mod.rs"]
mod common;
mod crowds;
mod ends;
mod places;
mod registering;
mod streams;
mod traced;

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use common::{Need, field};
use linux_namespaces::tokio::Child;
use linux_namespaces::{Command, Stdio};
use tokio::runtime::{Builder, Runtime};

const USERNS: &[Need] = &[Need::UserNamespaces];

/// It may go from thread to thread, and be looked at by several.
const fn shared<T: Send + Sync>() {}
const _: () = shared::<Child>();
const _: () = shared::<linux_namespaces::tokio::RegisterError>();

fn main() {
    let cases = [crowds::CASES, ends::CASES, registering::CASES, traced::CASES].concat();
    let tests = [
        crowds::tests(),
        cancelled::tests(),
        streams::tests(),
        ends::tests(),
        places::tests(),
        registering::tests(),
        traced::tests(),
    ];
    common::run(&cases, tests.into_iter().flatten().collect());
}

/// A runtime without threads of its own.
fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime")
}

/// On a runtime of each flavour, with a limit, so that a test that would wait for ever fails.
fn on_both<F: Future<Output = ()>>(body: impl Fn() -> F) {
    for runtime in [current_thread(), multi_thread()] {
        on(&runtime, body());
    }
}

fn on<T>(runtime: &Runtime, body: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(120);
    let result = runtime.block_on(async { tokio::time::timeout(limit, body).await });
    result.expect("it takes too long")
}

fn spawned(command: &mut Command) -> Child {
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Child::try_from(child).expect("in a runtime")
}

/// With all three streams piped.
fn piped(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped())
}

/// Two sockets: a program that reads the second lives until the first is closed.
fn sockets() -> (UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    ours.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    (ours, theirs)
}

/// `cat` between two sockets: it lives until ours is closed, whoever else closes what.
fn held(command: &mut Command) -> (UnixStream, Child) {
    let (ours, theirs) = sockets();
    let output = theirs.try_clone().expect("a duplicate");
    let child = spawned(command.stdin(theirs).stdout(output));
    // A command keeps what it was given.
    command.stdin(Stdio::null()).stdout(Stdio::null());
    (ours, child)
}

/// That it lives: it answers.
#[track_caller]
fn assert_alive(mut socket: &UnixStream) {
    socket.write_all(b"x").expect("it reads");
    let mut echo = [0];
    socket.read_exact(&mut echo).expect("it writes");
    assert_eq!(&echo, b"x");
}

/// That nobody has the other end any more.
#[track_caller]
fn assert_dead(mut socket: &UnixStream) {
    match socket.read(&mut [0]) {
        Ok(0) => {}
        // Something that it has not read.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
        result => panic!("{result:?}"),
    }
}

fn own(name: &str) -> String {
    field(name, &fs::read_to_string("/proc/self/status").expect("status")).to_owned()
}

fn exists(pid: u32) -> bool {
    fs::metadata(format!("/proc/{pid}")).is_ok()
}

fn wait_pid(pid: u32) -> Result<i32, Option<i32>> {
    let mut status = 0;
    // SAFETY: fills `status`.
    match unsafe { libc::waitpid(pid as i32, &raw mut status, libc::__WALL) } {
        -1 => Err(io::Error::last_os_error().raw_os_error()),
        _ => Ok(status),
    }
}

/// Sets how many descriptors this process may open, and gives the two limits there were. `None` for as many as can be had.
fn limit_descriptors(soft: Option<u64>) -> libc::rlimit {
    let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: fills the structure.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut before) }, 0);
    let wanted = libc::rlimit { rlim_cur: soft.unwrap_or(before.rlim_max), ..before };
    // SAFETY: reads the structure.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) }, 0);
    before
}
