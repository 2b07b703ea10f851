//! A debugger, which has the end of a program before its parent has.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child as StdChild, Stdio as StdStdio};

use super::{Case, case};

pub(crate) const CASE: Case = ("tracer", tracer_case);

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

/// Another process that traces a program, which is to end with 33. It has to be able to run [`CASE`].
pub(crate) struct Tracer(StdChild);

impl Tracer {
    pub(crate) fn of(pid: u32) -> Self {
        let tracer = case(CASE.0)
            .env("TRACED", pid.to_string())
            .stdin(StdStdio::piped())
            .stdout(StdStdio::piped())
            .spawn();
        let mut tracer = tracer.expect("this test program can be started");
        let mut line = String::new();
        let mut told = BufReader::new(tracer.stdout.take().expect("piped"));
        told.read_line(&mut line).expect("a line");
        assert_eq!(line, "traced\n");
        Self(tracer)
    }

    /// Has it take the end of the program, so that the parent is next.
    pub(crate) fn let_go(&mut self) {
        self.0.stdin.take().expect("piped").write_all(b"x").expect("it reads");
    }

    pub(crate) fn end(mut self) {
        assert!(self.0.wait().expect("its end").success());
    }
}
