//! Futures that are dropped.

use std::future::poll_fn;
use std::os::unix::process::ExitStatusExt as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use libtest_mimic::Trial;
use linux_namespaces::flags::{MOUNT, PID};
use linux_namespaces::{Command, Stdio};
use tokio::io::AsyncReadExt as _;
use tokio::sync::Mutex;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::common::{sh, test, test_with, with_user};
use crate::{
    USERNS, assert_alive, assert_dead, current_thread, exists, held, on, on_both, sockets, spawned,
    wait_pid,
};

const TIMES: usize = 400;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("waits_that_are_dropped", || on_both(waits_that_are_dropped)),
        test("waits_that_are_dropped_at_the_end", || on_both(waits_that_are_dropped_at_the_end)),
        test_with("waits_behind_an_init", USERNS, || on_both(waits_behind_an_init)),
        test("kills_that_are_dropped", || on_both(kills_that_are_dropped)),
        test("reads_that_are_dropped", || on_both(reads_that_are_dropped)),
        test("outputs_that_are_put_off", || on_both(outputs_that_are_put_off)),
        test("an_output_that_is_dropped", || on_both(an_output_that_is_dropped)),
        test("stdin_is_closed_by_the_first_poll", || on_both(stdin_is_closed_by_the_first_poll)),
        test("tasks_that_are_aborted", || on_both(tasks_that_are_aborted)),
        test("a_runtime_that_ends", a_runtime_that_ends),
    ]
}

/// Whether it is ready when it is polled once, and then dropped.
async fn is_ready(future: impl Future) -> bool {
    let mut future = pin!(future);
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await
}

async fn waits_that_are_dropped() {
    let (socket, mut child) = held(&mut Command::new("cat"));
    for turn in 0..TIMES {
        match turn % 4 {
            0 => drop(child.wait()),
            1 => assert!(timeout(Duration::ZERO, child.wait()).await.is_err()),
            2 => assert!(!is_ready(child.wait()).await),
            _ => tokio::select! {
                biased;
                status = child.wait() => panic!("{status:?}"),
                () = yield_now() => {}
            },
        }
    }
    assert_eq!(child.try_wait().expect("told"), None);
    assert_alive(&socket);
    drop(socket);
    let status = child.wait().await.expect("its end");
    assert_eq!((status.code(), status.signal()), (Some(0), None));
    assert!(!exists(child.id()), "it is reaped");
    for _ in 0..3 {
        assert_eq!(child.wait().await.expect("the same again"), status);
        assert_eq!(child.try_wait().expect("the same again"), Some(status));
    }
}

/// The end comes at any moment between them.
async fn waits_that_are_dropped_at_the_end() {
    for code in 0..TIMES as i32 / 4 {
        let mut child = spawned(&mut sh(&format!("exit {code}")));
        let mut turns = 0;
        let status = loop {
            turns += 1;
            tokio::select! {
                biased;
                () = yield_now(), if turns % 2 == 0 => {}
                status = child.wait() => break status.expect("its end"),
                () = yield_now() => {}
            }
        };
        assert_eq!(status.code(), Some(code), "after {turns}");
        assert!(!exists(child.id()), "it is reaped");
    }
}

async fn waits_behind_an_init() {
    let (ours, theirs) = sockets();
    let mut command = sh("read line; kill -USR2 $$");
    command.namespaces(with_user(PID | MOUNT)).init(true).stdin(theirs);
    let mut child = spawned(&mut command);
    drop(command);
    for _ in 0..TIMES {
        assert!(!is_ready(child.wait()).await);
        yield_now().await;
    }
    drop(ours);
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.expect("its end"),
            () = yield_now() => {}
        }
    };
    assert_eq!(status.signal(), Some(libc::SIGUSR2));
    assert_eq!(child.wait().await.expect("the same again"), status);
}

async fn kills_that_are_dropped() {
    let (socket, mut child) = held(&mut Command::new("cat"));
    for _ in 0..TIMES {
        drop(child.kill());
    }
    assert_alive(&socket);
    let mut dead = false;
    for _ in 0..TIMES {
        dead |= is_ready(child.kill()).await;
    }
    assert_dead(&socket);
    child.kill().await.expect("its end");
    let status = child.try_wait().expect("told").expect("it has been waited for");
    assert_eq!(status.signal(), Some(libc::SIGKILL), "dead before: {dead}");
    assert!(!exists(child.id()), "it is reaped");
}

async fn reads_that_are_dropped() {
    let mut command = sh("i=0; while [ $i -lt 40000 ]; do echo $i; i=$((i+1)); done; exit 3");
    let mut child = spawned(command.stdout(Stdio::piped()));
    let mut stdout = child.stdout.take().expect("piped");
    let expected: String = (0..40000).map(|number| format!("{number}\n")).collect();
    let (mut text, mut buffer, mut turns) = (Vec::new(), [0; 61], 0);
    loop {
        turns += 1;
        // What is left is more than a pipe holds.
        if text.len() < expected.len() / 2 {
            assert!(!is_ready(child.wait()).await);
        }
        tokio::select! {
            biased;
            () = yield_now(), if turns % 2 == 0 => {}
            number = stdout.read(&mut buffer) => match number.expect("it can be read") {
                0 => break,
                number => text.extend_from_slice(&buffer[..number]),
            },
            () = yield_now() => {}
        }
    }
    assert!(turns > TIMES);
    assert_eq!(String::from_utf8(text).expect("text"), expected);
    assert_eq!(child.wait().await.expect("its end").code(), Some(3));
}

async fn outputs_that_are_put_off() {
    let (ours, theirs) = sockets();
    let script = "i=0; while [ $i -lt 20000 ]; do echo $i; echo -$i >&2; i=$((i+1)); done; read line; echo end; exit 9";
    let mut command = sh(script);
    command.stdin(theirs).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = spawned(&mut command);
    drop(command);
    let mut output = pin!(child.wait_with_output());
    for _ in 0..TIMES {
        tokio::select! {
            biased;
            output = &mut output => panic!("{output:?}"),
            () = yield_now() => {}
        }
        assert!(timeout(Duration::ZERO, &mut output).await.is_err());
    }
    drop(ours);
    let output = output.await.expect("its end");
    let expected: String = (0..20000).map(|number| format!("{number}\n")).collect();
    assert!(output.stdout == format!("{expected}end\n").into_bytes(), "all of it, once");
    let expected: String = (0..20000).map(|number| format!("-{number}\n")).collect();
    assert!(output.stderr == expected.into_bytes(), "all of it, once");
    assert_eq!(output.status.code(), Some(9));
}

/// As the child is dropped with it: killed if that was asked for.
async fn an_output_that_is_dropped() {
    for kill in [true, false] {
        let (socket, child) = held(Command::new("cat").kill_on_drop(kill));
        let pid = child.id();
        assert!(!is_ready(child.wait_with_output()).await);
        if kill {
            assert!(!exists(pid), "it is reaped");
            assert_dead(&socket);
        } else {
            assert_alive(&socket);
            drop(socket);
            assert_eq!(wait_pid(pid), Ok(0));
        }
    }
}

async fn stdin_is_closed_by_the_first_poll() {
    let mut child = spawned(Command::new("cat").stdin(Stdio::piped()));
    drop(child.wait());
    assert_eq!(child.try_wait().expect("told"), None);
    assert!(child.stdin.is_some());
    // Taken, it stays open.
    let stdin = child.stdin.take();
    assert!(!is_ready(child.wait()).await);
    assert_eq!(child.try_wait().expect("told"), None);
    child.stdin = stdin;
    is_ready(child.wait()).await;
    assert!(child.stdin.is_none());
    assert!(child.wait().await.expect("its end").success());
}

async fn tasks_that_are_aborted() {
    let (socket, child) = held(&mut Command::new("cat"));
    let child = Arc::new(Mutex::new(child));
    for _ in 0..TIMES / 4 {
        let own = child.clone();
        let task = tokio::spawn(async move { own.lock().await.wait().await });
        yield_now().await;
        task.abort();
        assert!(task.await.expect_err("it waits").is_cancelled());
    }
    assert_alive(&socket);
    drop(socket);
    let status = child.lock().await.wait().await.expect("its end");
    assert_eq!(status.code(), Some(0));
}

/// What a task that is dropped with its runtime holds is dropped, too; what is held outside of it still tells.
fn a_runtime_that_ends() {
    let (first, second) = (current_thread(), current_thread());
    let (socket, mut child) = on(&first, async { held(&mut Command::new("cat")) });
    let (other_socket, other) = on(&first, async { held(Command::new("cat").kill_on_drop(true)) });
    let pid = other.id();
    first.spawn(other.wait_with_output());
    // Waited for in another runtime, while its own is driven by a thread.
    on(&second, async {
        assert!(timeout(Duration::from_millis(1), child.wait()).await.is_err());
    });
    drop(first);
    assert!(!exists(pid), "it was to be killed");
    assert_dead(&other_socket);
    let error = on(&second, child.wait()).expect_err("nobody watches");
    assert_eq!(error.step(), &linux_namespaces::Step::Wait);
    assert_eq!(error.raw_os_error(), None);
    let start = format!("wait for process {}: ", child.id());
    assert!(error.to_string().starts_with(&start), "{error}");
    assert_eq!(child.try_wait().expect("told"), None);
    assert_alive(&socket);
    child.signal(libc::SIGTERM).expect("it is there");
    assert_dead(&socket);
    let status = loop {
        if let Some(status) = child.try_wait().expect("told") {
            break status;
        }
        std::thread::yield_now();
    };
    assert_eq!(status.signal(), Some(libc::SIGTERM));
    assert_eq!(on(&second, child.wait()).expect("it is known"), status);
}
