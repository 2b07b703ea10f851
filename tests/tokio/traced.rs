//! A program that a debugger holds has ended for its pidfd, but not yet for its parent.

use std::future::poll_fn;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::pin::pin;
use std::process::Stdio as StdStdio;

use libtest_mimic::Trial;

use crate::common::{Case, Need, case, field, sh, test_with};
use crate::{held, on_both};

pub(crate) const CASES: &[Case] = &[("tracer", tracer_case)];

pub(crate) fn tests() -> Vec<Trial> {
    // Yama may keep an ordinary user from it.
    vec![test_with("a_debugger_has_it_first", &[Need::Root], || on_both(a_debugger_has_it_first))]
}

/// Traces the process in `TRACED`, without stopping it, and waits for its end when it is told to.
fn tracer_case() {
    let pid: i32 = std::env::var("TRACED").expect("a process").parse().expect("a number");
    let nothing = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: takes numbers.
    let result = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, nothing, nothing) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    println!("traced");
    std::io::stdin().read_exact(&mut [0]).expect("the word");
    let mut status = 0;
    // SAFETY: fills `status`.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) }, pid);
    assert_eq!(status, 33 << 8, "the tracer is told as well");
}

async fn a_debugger_has_it_first() {
    // It has no child, whose end would be a signal that stops it.
    let (socket, mut child) = held(&mut sh("read line; exit 33"));
    let tracer = case("tracer")
        .env("TRACED", child.id().to_string())
        .stdin(StdStdio::piped())
        .stdout(StdStdio::piped())
        .spawn();
    let mut tracer = tracer.expect("this test program can be started");
    let mut line = String::new();
    let mut told = BufReader::new(tracer.stdout.take().expect("piped"));
    told.read_line(&mut line).expect("a line");
    assert_eq!(line, "traced\n");

    // It ends, and its pidfd says so, but it is the tracer's.
    drop(socket);
    let mut poll =
        libc::pollfd { fd: child.pidfd().as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, of a descriptor that is open.
    assert_eq!(unsafe { libc::poll(&raw mut poll, 1, 20_000) }, 1, "it has not ended");
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("a zombie");
    assert!(field("State", &status).starts_with('Z'), "{status}");
    assert_eq!(child.try_wait().expect("told"), None);

    // So the wait sleeps, and does not look again and again.
    let mut polls = 0;
    let status = {
        let mut wait = pin!(child.wait());
        let mut counted = pin!(poll_fn(|context| {
            polls += 1;
            wait.as_mut().poll(context)
        }));
        for _ in 0..50 {
            tokio::select! {
                biased;
                () = tokio::task::yield_now() => {}
                status = &mut counted => panic!("{status:?}"),
            }
        }
        tracer.stdin.take().expect("piped").write_all(b"x").expect("it reads");
        counted.await.expect("its end")
    };
    assert_eq!(status.code(), Some(33));
    assert!(polls < 200, "{polls}");
    assert!(tracer.wait().expect("its end").success());
}
