//! The three streams.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use libtest_mimic::Trial;
use linux_namespaces::{Command, Stdio};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use crate::common::{field, sh, test};
use crate::{on_both, piped, spawned};

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("streams_are_pipes", || on_both(streams_are_pipes)),
        test("streams_that_are_not_piped", || on_both(streams_that_are_not_piped)),
        test("everything_at_once", || on_both(everything_at_once)),
        test("one_stream_after_the_other", || on_both(one_stream_after_the_other)),
        test("output_ends_when_all_writers_do", || on_both(output_ends_when_all_writers_do)),
        test("streams_that_were_taken", || on_both(streams_that_were_taken)),
        test("wait_closes_stdin", || on_both(wait_closes_stdin)),
        test("a_reader_that_has_gone", || on_both(a_reader_that_has_gone)),
    ]
}

/// Their kind, and that the reactor may read and write them.
fn assert_pipe(fd: BorrowedFd<'_>) {
    let number = fd.as_raw_fd();
    let link = fs::read_link(format!("/proc/self/fd/{number}")).expect("a link");
    assert!(link.to_str().is_some_and(|link| link.starts_with("pipe:")), "{link:?}");
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).expect("fdinfo");
    let flags = i32::from_str_radix(field("flags", &info), 8).expect("octal digits");
    assert_eq!(flags & libc::O_NONBLOCK, libc::O_NONBLOCK);
    assert_eq!(flags & libc::O_CLOEXEC, libc::O_CLOEXEC);
}

async fn streams_are_pipes() {
    let script = "while read line; do echo \"out $line\"; echo \"err $line\" >&2; done";
    let mut child = spawned(piped(&mut sh(script)));
    let mut stdin = child.stdin.take().expect("piped");
    let stdout = child.stdout.take().expect("piped");
    let stderr = child.stderr.take().expect("piped");
    for fd in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()] {
        assert_pipe(fd);
    }
    let (mut stdout, mut stderr) = (BufReader::new(stdout).lines(), BufReader::new(stderr).lines());
    for text in ["one", "two"] {
        stdin.write_all(format!("{text}\n").as_bytes()).await.expect("it reads");
        let out = stdout.next_line().await.expect("a line");
        let err = stderr.next_line().await.expect("a line");
        assert_eq!((out, err), (Some(format!("out {text}")), Some(format!("err {text}"))));
    }
    drop(stdin);
    assert_eq!(stdout.next_line().await.expect("its end"), None);
    assert!(child.wait().await.expect("its end").success());
}

async fn streams_that_are_not_piped() {
    let mut command = Command::new("true");
    command.stdin(Stdio::null()).stdout(Stdio::inherit());
    let child = spawned(&mut command);
    assert!(child.stdin.is_none() && child.stdout.is_none() && child.stderr.is_none());
    let output = child.wait_with_output().await.expect("its end");
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty());
    let mut child = spawned(sh("echo only >&2").stderr(Stdio::piped()));
    assert!(child.stdin.is_none() && child.stdout.is_none());
    let mut text = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut text).await.expect("text");
    assert_eq!(text, "only\n");
    assert!(child.wait().await.expect("its end").success());
}

/// Bytes that do not repeat in the length of a pipe.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Much more than pipes hold, in three directions.
async fn everything_at_once() {
    let data = noise(5_000_003);
    let mut child = spawned(piped(Command::new("tee").arg("/dev/stderr")));
    let mut stdin = child.stdin.take().expect("piped");
    let writing = async {
        let result = stdin.write_all(&data).await;
        drop(stdin);
        result
    };
    let (written, output) = tokio::join!(writing, child.wait_with_output());
    written.expect("it reads all of it");
    let output = output.expect("its end");
    assert!(output.status.success());
    assert!(output.stdout == data, "{} bytes of {}", output.stdout.len(), data.len());
    assert!(output.stderr == data, "{} bytes of {}", output.stderr.len(), data.len());
}

/// Whoever read one of the two to its end first would wait for ever.
async fn one_stream_after_the_other() {
    for script in [
        "head -c 1000000 /dev/zero; head -c 700000 /dev/zero >&2; exit 4",
        "head -c 700000 /dev/zero >&2; head -c 1000000 /dev/zero; exit 4",
    ] {
        let output = spawned(piped(&mut sh(script))).wait_with_output().await.expect("its end");
        assert_eq!((output.stdout.len(), output.stderr.len()), (1_000_000, 700_000));
        assert_eq!(output.status.code(), Some(4));
    }
}

/// A grandchild has the pipe longer than the program, whose status waits meanwhile.
async fn output_ends_when_all_writers_do() {
    let mut child = spawned(piped(&mut sh("exec 3<&0; (read line <&3; echo late) & exit 6")));
    let mut stdin = child.stdin.take().expect("piped");
    let mut output = std::pin::pin!(child.wait_with_output());
    for _ in 0..50 {
        tokio::select! {
            biased;
            output = &mut output => panic!("{output:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
    stdin.write_all(b"\n").await.expect("it reads");
    let output = output.await.expect("its end");
    assert_eq!((output.status.code(), &*output.stdout), (Some(6), &b"late\n"[..]));
}

async fn streams_that_were_taken() {
    let mut child = spawned(piped(&mut sh("echo out; echo err >&2; exit 8")));
    let mut stdout = child.stdout.take().expect("piped");
    let output = child.wait_with_output().await.expect("its end");
    assert_eq!((output.status.code(), &*output.stderr), (Some(8), &b"err\n"[..]));
    assert!(output.stdout.is_empty(), "not its own to read");
    let mut text = String::new();
    stdout.read_to_string(&mut text).await.expect("text");
    assert_eq!(text, "out\n");
}

async fn wait_closes_stdin() {
    let mut child = spawned(Command::new("cat").stdin(Stdio::piped()));
    assert_eq!(child.try_wait().expect("told"), None, "it reads");
    assert!(child.stdin.is_some(), "that does not wait, so it closes nothing");
    assert_eq!(child.wait().await.expect("its end").code(), Some(0));
    assert!(child.stdin.is_none());
    let child = spawned(piped(&mut Command::new("cat")));
    let output = child.wait_with_output().await.expect("its end");
    assert!(output.status.success() && output.stdout.is_empty());
}

async fn a_reader_that_has_gone() {
    let mut child = spawned(Command::new("true").stdin(Stdio::piped()));
    let mut stdin = child.stdin.take().expect("piped");
    assert!(child.wait().await.expect("its end").success());
    let error = stdin.write_all(b"nobody").await.expect_err("it is gone");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}
