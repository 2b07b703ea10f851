//! What becomes of one that waits when its caller, or the caller's thread, does not stay.

use std::io::{BufRead as _, BufReader, Write as _};
use std::mem::ManuallyDrop;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio as StdStdio;
use std::sync::Mutex;

use linux_namespaces::flags::{MOUNT, PID, USER};
use linux_namespaces::{Command, Stdio, Suspended};

use crate::common::processes::Seen;
use crate::common::{case, sh, with_user};
use crate::{await_end, exists, output_of, suspended};

/// Says which processes wait, and then does not end by itself.
pub(super) fn holder_case() {
    let plain = suspended(&mut Command::new("cat"));
    let inside = suspended(Command::new("cat").namespaces(with_user(PID | MOUNT) | USER));
    let inherits = suspended(Command::new("cat").inherit_fds(true));
    let mut hooked = Command::new("cat");
    // SAFETY: it does nothing.
    unsafe { hooked.pre_exec(|| Ok(())) };
    let hooked = suspended(&mut hooked);
    let all = [&plain, &inside, &inherits, &hooked].map(|waiting| waiting.id().to_string());
    println!("{}", all.join(" "));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("a line");
    if line == "exec\n" {
        drop(hooked);
        let error = Command::new("sh").args(["-c", "echo executed; read end"]).exec();
        panic!("{error}");
    }
    unreachable!("it is killed");
}

pub(super) fn the_callers_end_ends_it(how: &str) {
    if how == "exec" && cfg!(linux_namespaces_portable) {
        // There all of them are copies, whose helpers have what an exec would close.
        return;
    }
    let mut holder = case("holder")
        .stdin(StdStdio::piped())
        .stdout(StdStdio::piped())
        .spawn()
        .expect("this program");
    let mut output = BufReader::new(holder.stdout.take().expect("piped"));
    let mut line = String::new();
    output.read_line(&mut line).expect("ids");
    let watched: Vec<_> =
        line.split_whitespace().map(|pid| Seen::of(pid.parse().expect("a number"))).collect();
    assert_eq!(watched.len(), 4);
    if how == "death" {
        holder.kill().expect("killed");
    } else {
        holder.stdin.as_mut().expect("piped").write_all(b"exec\n").expect("it reads");
    }
    for waiting in &watched {
        waiting.await_end();
    }
    if how != "death" {
        line.clear();
        output.read_line(&mut line).expect("a line");
        assert_eq!(line, "executed\n");
        drop(holder.stdin.take());
    }
    holder.wait().expect("its end");
}

pub(super) fn a_thread_may_end() {
    let thread = std::thread::spawn(|| {
        (
            suspended(Command::new("echo").arg("ran").stdout(Stdio::piped())),
            suspended(&mut Command::new("true")),
        )
    });
    let (first, second) = thread.join().expect("no panic");
    // Memory of the thread is used again.
    for _ in 0..20 {
        std::thread::spawn(|| vec![1u8; 100_000].len()).join().expect("no panic");
    }
    assert!(exists(first.id()) && exists(second.id()));
    assert_eq!(output_of(first.resume().expect("it runs")), "ran\n");
    drop(second);
}

pub(super) fn forgotten_ones_stay() {
    static FORGOTTEN: Mutex<Vec<ManuallyDrop<Suspended>>> = Mutex::new(Vec::new());
    let waiting = suspended(&mut Command::new("true"));
    let pid = waiting.id();
    let pidfd = waiting.pidfd().try_clone().expect("a duplicate");
    // Referred to, so that LeakSanitizer takes it for no leak.
    FORGOTTEN.lock().expect("nobody else's").push(ManuallyDrop::new(waiting));
    assert!(exists(pid));
    assert!(sh("true").status().expect("a spawn").success());
    pidfd.send_signal(libc::SIGKILL).expect("sent");
    await_end(&pidfd);
    let mut status = 0;
    // SAFETY: fills `status`.
    assert_eq!(unsafe { libc::waitpid(pid as i32, &raw mut status, libc::__WALL) }, pid as i32);
    assert_eq!(std::process::ExitStatus::from_raw(status).signal(), Some(libc::SIGKILL));
}
