//! How programs end: statuses, signals, drops.

use std::os::unix::process::ExitStatusExt as _;

use libtest_mimic::Trial;
use linux_namespaces::flags::{MOUNT, PID};
use linux_namespaces::{Command, Stdio, Step};
use tokio::io::AsyncReadExt as _;

use crate::common::{Case, Footprint, ended_child, in_own_process, sh, test, test_with, with_user};
use crate::{
    USERNS, assert_alive, assert_dead, current_thread, exists, held, multi_thread, on, on_both,
    own, piped, spawned, wait_pid,
};

pub(crate) const CASES: &[Case] =
    &[("chld_ignored", chld_ignored_case), ("keepers", keepers_case), ("drops", drops_case)];

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("statuses_are_exact", || on_both(statuses_are_exact)),
        test_with("statuses_behind_an_init_are_exact", USERNS, || on_both(behind_an_init)),
        test("kill_kills", || on_both(kill_kills)),
        test("after_the_end", || on_both(after_the_end)),
        test("signals_arrive", || on_both(signals_arrive)),
        test_with("kill_takes_the_pid_namespace", USERNS, || on_both(kill_takes_the_namespace)),
        test_with("drops", USERNS, || in_own_process("drops")),
        test("drop_leaves_what_was_not_asked_for", || on_both(drop_leaves_it)),
        test("reaped_by_somebody_else", || on_both(reaped_by_somebody_else)),
        test_with("chld_ignored", USERNS, || in_own_process("chld_ignored")),
        test("keepers_go_with_the_program", || in_own_process("keepers")),
    ]
}

async fn statuses_are_exact() {
    for code in 0..=255 {
        let status = spawned(&mut sh(&format!("exit {code}"))).wait().await.expect("its end");
        assert_eq!(status.into_raw(), code << 8);
    }
    for signal in [1, 2, 3, 6, 9, 11, 13, 15, libc::SIGRTMIN(), 64] {
        let (_socket, mut child) = held(&mut Command::new("cat"));
        child.signal(signal).expect("it is there");
        let status = child.wait().await.expect("its end");
        assert_eq!((status.signal(), status.code()), (Some(signal), None));
    }
}

async fn behind_an_init() {
    let set = with_user(PID | MOUNT);
    for end in
        ["exit 0", "exit 7", "exit 137", "exit 255", "kill -9 $$", "kill -TERM $$", "kill -USR1 $$"]
    {
        let expected = spawned(&mut sh(end)).wait().await.expect("its end");
        let mut command = sh(&format!("echo $$; {end}"));
        command.namespaces(set).init(true).stdout(Stdio::piped());
        let output = spawned(&mut command).wait_with_output().await.expect("its end");
        assert_eq!((output.status, &*output.stdout), (expected, &b"2\n"[..]), "{end}");
    }
    // Passed on by process 1.
    let (socket, mut child) = held(Command::new("cat").namespaces(set).init(true));
    assert_alive(&socket);
    child.signal(libc::SIGHUP).expect("it is there");
    assert_eq!(child.wait().await.expect("its end").signal(), Some(libc::SIGHUP));
}

async fn kill_kills() {
    let (socket, mut child) = held(&mut Command::new("cat"));
    child.kill().await.expect("its end");
    assert_dead(&socket);
    assert!(!exists(child.id()), "it is reaped");
    let status = child.try_wait().expect("told").expect("it has ended");
    assert_eq!(status.signal(), Some(libc::SIGKILL));

    let (socket, mut child) = held(&mut Command::new("cat"));
    child.start_kill().expect("it is there");
    assert_dead(&socket);
    assert!(exists(child.id()), "it remains to be waited for");
    assert_eq!(child.wait().await.expect("its end").signal(), Some(libc::SIGKILL));
    assert!(!exists(child.id()));

    // What it has written is there, though it was killed.
    let mut child = spawned(piped(&mut sh("echo said; exec cat")));
    let mut stdout = child.stdout.take().expect("piped");
    assert_eq!(stdout.read_u8().await.expect("it writes"), b's');
    child.kill().await.expect("its end");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).await.expect("text");
    assert_eq!(rest, "aid\n");
}

/// Its number may be another's by then.
async fn after_the_end() {
    let mut child = spawned(&mut sh("exit 3"));
    let status = child.wait().await.expect("its end");
    child.kill().await.expect("gone is no error");
    child.start_kill().expect("gone is no error");
    assert_eq!(child.wait().await.expect("the same again"), status);
    let error = child.signal(libc::SIGTERM).expect_err("it is gone");
    assert_eq!((error.step(), error.raw_os_error()), (&Step::Signal, Some(libc::ESRCH)));
    let error = child.namespaces().expect_err("it is gone");
    assert_eq!((error.step(), error.raw_os_error()), (&Step::Inspect, Some(libc::ESRCH)));
    assert_eq!(child.pidfd().pid().expect("told"), None);
    // One that has ended, and was not waited for.
    let (socket, mut child) = held(&mut sh("exit 4"));
    assert_dead(&socket);
    child.kill().await.expect("ended is no error");
    assert_eq!(child.wait().await.expect("its own end").code(), Some(4));
}

async fn signals_arrive() {
    let mut child = spawned(piped(&mut sh(
        "trap 'echo got; exit 11' USR1; echo ready; n=0; while [ $((n += 1)) -lt 1000 ]; do read line; done",
    )));
    let mut stdout = child.stdout.take().expect("piped");
    let mut text = [0; 6];
    stdout.read_exact(&mut text).await.expect("it writes");
    child.signal(libc::SIGUSR1).expect("it is there");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).await.expect("text");
    assert_eq!(rest, "got\n");
    assert_eq!(child.wait().await.expect("its end").code(), Some(11));
    let error = child.signal(999).expect_err("there is no such signal");
    assert_eq!(error.step(), &Step::Signal);
}

async fn kill_takes_the_namespace() {
    for init in [false, true] {
        let mut command = sh("for i in 1 2 3 4 5; do sleep 1000 & done; echo up; read line");
        command.namespaces(with_user(PID | MOUNT)).init(init);
        let mut child = spawned(piped(&mut command));
        let mut stdout = child.stdout.take().expect("piped");
        stdout.read_exact(&mut [0; 3]).await.expect("it writes");
        child.kill().await.expect("its end");
        // All of them have had the pipe.
        assert_eq!(stdout.read(&mut [0]).await.expect("its end"), 0);
    }
}

/// Nothing is left: no process, dead or alive, no descriptor, no thread.
fn drops_case() {
    for runtime in [current_thread(), multi_thread()] {
        on(&runtime, async {
            let before = Footprint::now();
            for set in [linux_namespaces::Namespaces::empty(), with_user(PID)] {
                for init in [false, true] {
                    if init && set.is_empty() {
                        continue;
                    }
                    let mut command = Command::new("cat");
                    command.namespaces(set).init(init).kill_on_drop(true);
                    command.parent_death_signal(if init { libc::SIGTERM } else { 0 });
                    let (socket, child) = held(&mut command);
                    let pid = child.id();
                    drop(child);
                    assert!(!exists(pid), "it is reaped");
                    assert_dead(&socket);
                    drop(socket);
                    drop(command);
                    before.assert_unchanged();
                }
            }
            // On another thread, with all its streams.
            let child = spawned(piped(Command::new("cat").kill_on_drop(true)));
            let pid = child.id();
            tokio::task::spawn_blocking(move || drop(child)).await.expect("no panic");
            assert!(!exists(pid));
        });
        // By whoever has no runtime, or after its runtime.
        let child = on(&runtime, async {
            spawned(Command::new("cat").kill_on_drop(true).stdin(Stdio::piped()))
        });
        let pid = child.id();
        drop(runtime);
        assert!(exists(pid));
        drop(child);
        assert!(!exists(pid));
    }
    assert_eq!(ended_child(), 0);
}

async fn drop_leaves_it() {
    let (socket, child) = held(&mut sh("cat; exit 12"));
    let pid = child.id();
    drop(child);
    assert_alive(&socket);
    drop(socket);
    assert_eq!(wait_pid(pid), Ok(12 << 8), "nobody else has reaped it");
    // Its parts can be moved out of it.
    let child = spawned(sh("echo moved").stdout(Stdio::piped()));
    let pid = child.id();
    let mut told = String::new();
    child.stdout.expect("piped").read_to_string(&mut told).await.expect("text");
    assert_eq!((told.as_str(), wait_pid(pid)), ("moved\n", Ok(0)));
}

/// What a kernel before 6.15 cannot tell is an error.
fn assert_told_or_lost(
    result: linux_namespaces::Result<std::process::ExitStatus>,
    code: Option<i32>,
    signal: Option<i32>,
) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let mut numbers = release.split(['.', '-']).map(|number| number.parse::<u32>().unwrap_or(0));
    let told = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 15);
    match result {
        Ok(status) => assert_eq!((status.code(), status.signal()), (code, signal)),
        Err(error) => {
            assert!(!told, "{error}");
            assert_eq!((error.step(), error.raw_os_error()), (&Step::Wait, Some(libc::ECHILD)));
        }
    }
}

async fn reaped_by_somebody_else() {
    let mut child = spawned(&mut sh("exit 9"));
    assert_eq!(wait_pid(child.id()), Ok(9 << 8));
    assert_told_or_lost(child.wait().await, Some(9), None);
    assert_told_or_lost(child.wait().await, Some(9), None);
    // While this waits: one of the two gets it, and both are told.
    let (socket, mut child) = held(&mut Command::new("cat"));
    let pid = child.id();
    let other = tokio::task::spawn_blocking(move || {
        drop(socket);
        wait_pid(pid)
    });
    assert_told_or_lost(child.wait().await, Some(0), None);
    let other = other.await.expect("no panic");
    assert!(matches!(other, Ok(0) | Err(Some(libc::ECHILD))), "{other:?}");
}

fn chld_ignored_case() {
    // SAFETY: ignoring installs no handler.
    let before = unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    assert_ne!(before, libc::SIG_ERR);
    on_both(async || {
        let (socket, mut child) = held(&mut sh("cat; exit 7"));
        let end = async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert_alive(&socket);
            drop(socket);
        };
        let (status, ()) = tokio::join!(child.wait(), end);
        assert_told_or_lost(status, Some(7), None);
        let (_socket, mut child) = held(&mut Command::new("cat"));
        assert_eq!(child.try_wait().expect("it runs"), None);
        child.start_kill().expect("it is there");
        assert_told_or_lost(child.wait().await, None, Some(libc::SIGKILL));
        // Behind an init it is told by other means, on every kernel.
        for end in ["exit 99", "kill -USR1 $$"] {
            let expected = if end == "exit 99" { 99 << 8 } else { libc::SIGUSR1 };
            let mut command = sh(&format!("echo out; {end}"));
            command.namespaces(with_user(PID | MOUNT)).init(true).stdout(Stdio::piped());
            let output = spawned(&mut command).wait_with_output().await.expect("its end");
            assert_eq!((output.status.into_raw(), &*output.stdout), (expected, &b"out\n"[..]));
        }
    });
    assert_eq!(wait_pid(u32::MAX), Err(Some(libc::ECHILD)), "no child is left");
}

/// The thread that is the parent is the crate's own, as with every child.
fn keepers_case() {
    for runtime in [current_thread(), multi_thread()] {
        on(&runtime, async {
            // The thread that spawns it ends before it does.
            let (socket, child) = std::thread::spawn(|| {
                let (ours, theirs) = crate::sockets();
                let mut command = Command::new("cat");
                command
                    .parent_death_signal(libc::SIGKILL)
                    .stdin(theirs.try_clone().expect("a duplicate"));
                let child = command.stdout(theirs).spawn().expect("it runs");
                (ours, child)
            })
            .join()
            .expect("no panic");
            let mut child = linux_namespaces::tokio::Child::try_from(child).expect("in a runtime");
            assert_alive(&socket);
            let threads: usize = own("Threads").parse().expect("a number");
            let end = async {
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                assert_alive(&socket);
                drop(socket);
            };
            let (status, ()) = tokio::join!(child.wait(), end);
            assert_eq!(status.expect("its end").code(), Some(0));
            // The kernel shows a thread for a moment after it was joined.
            let start = std::time::Instant::now();
            while own("Threads") != (threads - 1).to_string() {
                assert!(start.elapsed().as_secs() < 5, "{} threads", own("Threads"));
                std::thread::yield_now();
            }
        });
    }
}
