//! The handle of a running program.
mod common;

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::traced::Tracer;
use common::{
    Footprint, Need, case, field, in_own_process, inode, sh, stdout_of, test, test_with, with_user,
};
use libtest_mimic::Trial;
use linux_namespaces::flags::{MOUNT, NET, PID, USER, UTS};
use linux_namespaces::{Child, Command, NamespaceKind, Namespaces, Stdio, Step};

const USERNS: &[Need] = &[Need::UserNamespaces];

fn main() {
    common::run(
        &[
            ("chld_ignored", chld_ignored_case),
            ("interrupted", interrupted_case),
            ("failures_leave_no_child", failures_leave_no_child_case),
            ("exit_with", exit_with_case),
            common::traced::CASE,
        ],
        tests(),
    );
}

fn tests() -> Vec<Trial> {
    vec![
        test("id_is_the_process", id_is_the_process),
        test_with("id_is_the_process_inside", USERNS, id_is_the_process_inside),
        test("pidfd_is_the_process", pidfd_is_the_process),
        test_with("namespaces_are_told", USERNS, namespaces_are_told),
        test_with("a_namespace_outlives_the_child", USERNS, a_namespace_outlives_the_child),
        test("exit_codes_are_exact", exit_codes_are_exact),
        test("deaths_by_signal_are_exact", deaths_by_signal_are_exact),
        test_with("statuses_are_exact_inside", USERNS, statuses_are_exact_inside),
        test("wait_closes_stdin", wait_closes_stdin),
        test("try_wait_does_not_wait", try_wait_does_not_wait),
        test("wait_timeout_is_kept", wait_timeout_is_kept),
        test("wait_timeout_sees_the_end", wait_timeout_sees_the_end),
        // Yama may keep an ordinary user from it.
        test_with("a_debugger_has_it_first", &[Need::Root], a_debugger_has_it_first),
        test("streams_are_pipes", streams_are_pipes),
        test("both_outputs_are_read_at_once", both_outputs_are_read_at_once),
        test("output_ends_when_all_writers_do", output_ends_when_all_writers_do),
        test("signals_arrive", signals_arrive),
        test("kill_kills", kill_kills),
        test_with("kill_takes_the_pid_namespace", USERNS, kill_takes_the_pid_namespace),
        test("after_the_end", after_the_end),
        test("chld_ignored", || in_own_process("chld_ignored")),
        test("reaped_by_somebody_else", reaped_by_somebody_else),
        test("interrupted", || in_own_process("interrupted")),
        test("spawning_threads_may_end", || spawning_threads_may_end(Namespaces::empty())),
        test_with("spawning_threads_may_end_inside", USERNS, || {
            spawning_threads_may_end(with_user(PID | MOUNT));
        }),
        test("failures_leave_no_child", || in_own_process("failures_leave_no_child")),
    ]
}

/// `cat` between two sockets: it lives until ours is closed, whoever else closes what.
fn held(set: Namespaces) -> (UnixStream, Child) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    // A test that would wait for ever fails.
    ours.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    let output = theirs.try_clone().expect("a duplicate");
    let mut command = Command::new("cat");
    let child = command.namespaces(set).stdin(theirs).stdout(output).spawn();
    (ours, child.unwrap_or_else(|error| panic!("{command:?}: {error}")))
}

/// That it lives: it answers.
#[track_caller]
fn assert_alive(mut socket: &UnixStream) {
    socket.write_all(b"x").expect("it reads");
    let mut echo = [0];
    socket.read_exact(&mut echo).expect("it writes");
    assert_eq!(&echo, b"x");
}

/// Sleeps until the process has ended, and leaves it to be waited for.
fn await_end(child: &Child) {
    let mut poll =
        libc::pollfd { fd: child.pidfd().as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, of a descriptor that is open.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 20_000) };
    assert_eq!(ready, 1, "it has not ended");
}

fn wait_pid(pid: i32, flags: i32) -> Result<(i32, i32), Option<i32>> {
    let mut status = 0;
    // SAFETY: fills `status`.
    match unsafe { libc::waitpid(pid, &raw mut status, flags) } {
        -1 => Err(io::Error::last_os_error().raw_os_error()),
        pid => Ok((pid, status)),
    }
}

/// There is no child of any kind left to wait for.
#[track_caller]
fn assert_no_child() {
    assert_eq!(wait_pid(-1, libc::WNOHANG | libc::__WALL), Err(Some(libc::ECHILD)));
}

// ---- looking

fn id_is_the_process() {
    let mut child = sh("echo $$; echo $PPID").stdout(Stdio::piped()).spawn().expect("a shell");
    let id = child.id();
    let mut told = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut told).expect("text");
    assert_eq!(told, format!("{id}\n{}\n", std::process::id()));
    assert_eq!(wait_pid(id as i32, 0), Ok((id as i32, 0)));
    assert_eq!(child.id(), id, "the same after the end");
}

fn id_is_the_process_inside() {
    for set in [USER, with_user(PID), with_user(PID | MOUNT | NET)] {
        let (socket, mut child) = held(set);
        let read = || fs::read_to_string(format!("/proc/{}/status", child.id())).expect("status");
        // Exec wakes its caller a moment before the process has its new name.
        let start = std::time::Instant::now();
        while field("Name", &read()) != "cat" && start.elapsed().as_secs() < 10 {
            std::thread::yield_now();
        }
        let status = read();
        assert_eq!(field("PPid", &status), std::process::id().to_string(), "{set}");
        assert_eq!(field("Name", &status), "cat", "{set}");
        let numbers: Vec<&str> = field("NSpid", &status).split_whitespace().collect();
        assert_eq!(numbers[0], child.id().to_string(), "{set}");
        if set.contains(PID) {
            assert_eq!(numbers[1..], ["1"], "{set}");
        }
        drop(socket);
        assert!(child.wait().expect("its end").success());
    }
}

fn pidfd_is_the_process() {
    let (socket, mut child) = held(Namespaces::empty());
    assert_eq!(child.pidfd().pid().expect("told"), Some(child.id()));
    let fd = child.pidfd().as_fd().as_raw_fd();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).expect("fdinfo");
    assert_eq!(field("Pid", &info), child.id().to_string());
    // SAFETY: takes numbers.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    assert_eq!(flags, libc::FD_CLOEXEC);
    let kept = child.pidfd().try_clone().expect("a duplicate");
    drop(socket);
    assert!(child.wait().expect("its end").success());
    assert_eq!(kept.pid().expect("told"), None);
}

fn namespaces_are_told() {
    let set = with_user(PID | NET | UTS);
    let (socket, mut child) = held(set);
    let told = child.namespaces().expect("namespaces");
    let own = linux_namespaces::ProcessNamespaces::current().expect("own");
    assert_eq!(told.differing_from(&own), set);
    for kind in NamespaceKind::ALL {
        let expected = inode(format!("/proc/{}/ns/{kind}", child.id()));
        assert_eq!(told.get(kind).map(|id| id.ino()), Some(expected), "{kind}");
        let handle = child.namespace(kind).expect("a handle");
        assert_eq!((handle.kind(), handle.id().expect("an id").ino()), (kind, expected));
    }
    drop(socket);
    assert!(child.wait().expect("its end").success());
    for error in [
        child.namespaces().expect_err("it is gone"),
        child.namespace(NamespaceKind::Net).expect_err("it is gone"),
    ] {
        assert_eq!((error.step(), error.raw_os_error()), (&Step::Inspect, Some(libc::ESRCH)));
    }
}

fn a_namespace_outlives_the_child() {
    let set = USER | UTS;
    let mut first = sh("read end").namespaces(set).hostname("kept").stdin(Stdio::piped()).spawn();
    let child = first.as_mut().expect("a shell");
    let handles: Vec<_> =
        set.kinds().map(|kind| child.namespace(kind).expect("a handle")).collect();
    let before: Vec<_> = handles.iter().map(|handle| handle.id().expect("an id")).collect();
    assert_eq!(child.wait().expect("its end").code(), Some(1));
    let mut command = sh("uname -n; readlink /proc/self/ns/user /proc/self/ns/uts");
    for handle in &handles {
        command.enter(handle);
    }
    let told = stdout_of(&mut command);
    let expected: Vec<_> = before.iter().map(ToString::to_string).collect();
    assert_eq!(told, format!("kept\n{}", expected.join("\n")));
}

// ---- statuses

/// Ends with the code in `CODE`.
fn exit_with_case() {
    let code = std::env::var("CODE").expect("a code").parse().expect("a number");
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

fn exit_codes_are_exact() {
    for code in 0..=255 {
        let status = sh(&format!("exit {code}")).status().expect("a shell");
        assert_eq!((status.code(), status.signal()), (Some(code), None));
        assert_eq!(status.into_raw(), code << 8);
    }
    for (code, kept) in [(256, 0), (-1, 255), (0x1_2345, 0x45)] {
        let mut command = Command::new(std::env::current_exe().expect("the path of this test"));
        command.env("LINUX_NAMESPACES_CASE", "exit_with").env("CODE", code.to_string());
        assert_eq!(command.status().expect("this test").code(), Some(kept), "{code}");
    }
}

/// Those whose default is to end the process.
fn deadly() -> Vec<i32> {
    let harmless = [
        libc::SIGCHLD,
        libc::SIGCONT,
        libc::SIGSTOP,
        libc::SIGTSTP,
        libc::SIGTTIN,
        libc::SIGTTOU,
        libc::SIGURG,
        libc::SIGWINCH,
    ];
    (1..=64).filter(|signal| !harmless.contains(signal)).collect()
}

fn deaths_by_signal_are_exact() {
    let signals = deadly();
    assert_eq!(signals.len(), 56);
    for signal in signals {
        let (_socket, mut child) = held(Namespaces::empty());
        child.signal(signal).expect("it is there");
        let status = child.wait().expect("its end");
        assert_eq!((status.signal(), status.code()), (Some(signal), None));
        assert_eq!(child.wait().expect("the same again"), status);
        assert_eq!(child.try_wait().expect("the same again"), Some(status));
    }
}

fn statuses_are_exact_inside() {
    let set = with_user(PID | MOUNT);
    for code in [0, 1, 2, 7, 100, 127, 128, 200, 254, 255] {
        let status = sh(&format!("exit {code}")).namespaces(set).status().expect("a shell");
        assert_eq!(status.code(), Some(code));
    }
    let (_socket, mut child) = held(set);
    child.signal(libc::SIGKILL).expect("it is there");
    assert_eq!(child.wait().expect("its end").signal(), Some(libc::SIGKILL));
}

// ---- waiting

fn wait_closes_stdin() {
    for timed in [false, true] {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat");
        assert!(child.stdin.is_some());
        assert_eq!(child.try_wait().expect("told"), None, "it reads");
        assert!(child.stdin.is_some(), "that does not wait, so it closes nothing");
        let status = if timed {
            child.wait_timeout(Duration::from_secs(20)).expect("its end").expect("in time")
        } else {
            child.wait().expect("its end")
        };
        assert!(child.stdin.is_none());
        assert_eq!(status.code(), Some(0));
    }
}

fn try_wait_does_not_wait() {
    let (socket, mut child) = held(Namespaces::empty());
    for _ in 0..3 {
        assert_eq!(child.try_wait().expect("told"), None);
    }
    assert_alive(&socket);
    drop(socket);
    await_end(&child);
    let status = child.try_wait().expect("told").expect("it has ended");
    assert_eq!(status.code(), Some(0));
    assert_eq!(wait_pid(child.id() as i32, libc::WNOHANG), Err(Some(libc::ECHILD)), "reaped");
    assert_eq!(child.try_wait().expect("told"), Some(status));
    assert_eq!(child.wait().expect("told"), status);
}

fn wait_timeout_is_kept() {
    let (socket, mut child) = held(Namespaces::empty());
    for timeout in [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(30)] {
        let start = std::time::Instant::now();
        assert_eq!(child.wait_timeout(timeout).expect("told"), None);
        assert!(start.elapsed() >= timeout, "{timeout:?}: {:?}", start.elapsed());
        assert!(start.elapsed() < timeout + Duration::from_secs(10), "{timeout:?}");
    }
    assert_alive(&socket);
    drop(socket);
    let status = child.wait_timeout(Duration::from_secs(20)).expect("told");
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}

fn wait_timeout_sees_the_end() {
    // The largest for one that has ended, and for one that is about to.
    for ended in [true, false] {
        let (socket, mut child) = held(Namespaces::empty());
        let closer = std::thread::spawn(move || drop(socket));
        if ended {
            await_end(&child);
        }
        let status = child.wait_timeout(Duration::MAX).expect("told").expect("no limit");
        assert_eq!(status.code(), Some(0));
        assert_eq!(child.wait_timeout(Duration::ZERO).expect("told"), Some(status));
        closer.join().expect("no panic");
    }
    let (socket, mut child) = held(Namespaces::empty());
    drop(socket);
    await_end(&child);
    let status = child.wait_timeout(Duration::ZERO).expect("told");
    assert_eq!(status.and_then(|status| status.code()), Some(0), "zero is enough to look");
}

/// It has ended for its pidfd, and not yet for its parent, who sleeps meanwhile.
fn a_debugger_has_it_first() {
    let waits: [fn(&mut Child) -> _; 3] = [
        |child| child.wait_timeout(Duration::from_secs(60)).map(|status| status.expect("in time")),
        |child| child.wait(),
        // The pidfd is its owner's, who may have it not block.
        |child| {
            let pidfd = child.pidfd().as_fd().as_raw_fd();
            // SAFETY: takes numbers, and sets the only flag that a pidfd can have set.
            assert_eq!(unsafe { libc::fcntl(pidfd, libc::F_SETFL, libc::O_NONBLOCK) }, 0);
            child.wait()
        },
    ];
    for (place, wait) in waits.into_iter().enumerate() {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let mut child = sh("read line; exit 33").stdin(theirs).spawn().expect("a shell");
        let mut tracer = Tracer::of(child.id());
        drop(ours);
        await_end(&child);
        assert_eq!(child.try_wait().expect("told"), None);
        assert_eq!(child.wait_timeout(Duration::from_millis(1)).expect("told"), None);

        let (tell, told) = mpsc::channel();
        let waiter = thread::spawn(move || {
            // SAFETY: asks for a number.
            tell.send(unsafe { libc::gettid() }).expect("it is awaited");
            wait(&mut child).expect("told")
        });
        let thread = told.recv().expect("a number");
        // It is found asleep, be it from time to time; who looks again and again always runs.
        let stat = format!("/proc/self/task/{thread}/stat");
        let (start, mut asleep) = (Instant::now(), 0);
        while asleep < 20 && start.elapsed().as_secs() < 20 {
            let stat = fs::read_to_string(&stat).expect("it waits");
            asleep += i32::from(stat.contains(") S "));
            thread::yield_now();
        }
        tracer.let_go();
        assert_eq!(waiter.join().expect("no panic").code(), Some(33));
        tracer.end();
        assert_eq!(asleep, 20, "way {place} of waiting never sleeps");
    }
}

// ---- streams

fn streams_are_pipes() {
    let mut command = sh("while read line; do echo \"out $line\"; echo \"err $line\" >&2; done");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a shell");
    let mut stdin = child.stdin.take().expect("piped");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    for text in ["one", "two"] {
        writeln!(stdin, "{text}").expect("it reads");
        let (mut out, mut err) = (String::new(), String::new());
        stdout.read_line(&mut out).expect("a line");
        stderr.read_line(&mut err).expect("a line");
        assert_eq!((out, err), (format!("out {text}\n"), format!("err {text}\n")));
    }
    for fd in [stdin.as_raw_fd(), stdout.get_ref().as_raw_fd(), stderr.get_ref().as_raw_fd()] {
        let link = fs::read_link(format!("/proc/self/fd/{fd}")).expect("a link");
        assert!(link.to_str().is_some_and(|link| link.starts_with("pipe:")), "{link:?}");
        // SAFETY: takes numbers.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        assert_eq!(flags, libc::FD_CLOEXEC);
    }
    drop(stdin);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("its end");
    assert_eq!(rest, "");
    assert!(child.wait().expect("its end").success());
    let child = Command::new("true").stdin(Stdio::null()).spawn().expect("true");
    assert!(child.stdin.is_none() && child.stdout.is_none() && child.stderr.is_none());
    assert!(child.wait_with_output().expect("its end").status.success());
}

fn both_outputs_are_read_at_once() {
    // More than a pipe holds, on one and then on the other, so that reading them in turn would never end.
    let script = "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; echo end";
    let mut command = sh(script);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.spawn().expect("a shell").wait_with_output().expect("its output");
    assert_eq!((output.stdout.len(), output.stderr.len()), (300_004, 300_000));
    let mut command = sh("head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero");
    let output = command.output().expect("its output");
    assert_eq!((output.stdout.len(), output.stderr.len()), (300_000, 300_000));
    let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let output = child.expect("cat").wait_with_output().expect("it closes stdin");
    assert_eq!((output.status.code(), output.stdout), (Some(0), vec![]));
}

fn output_ends_when_all_writers_do() {
    let (mut ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let mut command = sh("(read line <&7; echo \"later $line\") & echo now");
    command.fd(7, theirs).stdout(Stdio::piped());
    let child = command.spawn().expect("a shell");
    drop(command);
    await_end(&child);
    writeln!(ours, "text").expect("the one in the background reads");
    let output = child.wait_with_output().expect("its output");
    assert_eq!(String::from_utf8(output.stdout).expect("text"), "now\nlater text\n");
    assert!(output.status.success());
}

// ---- signals

fn signals_arrive() {
    let script = "trap 'echo caught' USR1; echo ready; n=0; while [ $((n += 1)) -lt 1000 ]; do read line && exit 5; done";
    let mut command = sh(script);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
    child.signal(0).expect("it is there");
    child.signal(libc::SIGUSR1).expect("it is there");
    line.clear();
    stdout.read_line(&mut line).expect("a line");
    assert_eq!(line, "caught\n");
    child.stdin.as_mut().expect("piped").write_all(b"end\n").expect("it reads");
    assert_eq!(child.wait().expect("its end").code(), Some(5));

    let (_socket, child) = held(Namespaces::empty());
    for wrong in [-1, 65, i32::MAX] {
        let error = child.signal(wrong).expect_err("no signal");
        assert_eq!((error.step(), error.raw_os_error()), (&Step::Signal, Some(libc::EINVAL)));
        assert!(error.to_string().contains(&wrong.to_string()), "{error}");
    }
    child.kill().expect("it is there");
    child.wait_with_output().expect("its end");
}

fn kill_kills() {
    let (mut socket, mut child) = held(Namespaces::empty());
    assert_alive(&socket);
    child.kill().expect("it is there");
    child.kill().expect("killed twice");
    assert_eq!(child.wait().expect("its end").signal(), Some(libc::SIGKILL));
    assert_eq!(socket.read(&mut [0]).expect("the end"), 0);
}

fn kill_takes_the_pid_namespace() {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let (others, inherited) = UnixStream::pair().expect("a pair of sockets");
    ours.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    // Both in the background wait for what never comes. One has left the session.
    let script = "(echo up; read line <&8) >&7 & setsid sh -c 'echo up; read line <&8' >&7 & wait";
    let mut command = sh(script);
    command.fd(7, theirs).fd(8, inherited).namespaces(with_user(PID | MOUNT));
    let mut child = command.spawn().expect("a shell");
    drop(command);
    let mut up = [0; 6];
    (&ours).read_exact(&mut up).expect("both are there");
    assert_eq!(&up, b"up\nup\n");
    child.kill().expect("it is there");
    assert_eq!(child.wait().expect("its end").signal(), Some(libc::SIGKILL));
    // All have gone already: nobody holds the other end, so there is nothing to wait for.
    ours.set_nonblocking(true).expect("a socket");
    assert_eq!((&ours).read(&mut [0]).expect("the end"), 0);
    drop(others);
}

fn after_the_end() {
    let (socket, mut child) = held(Namespaces::empty());
    drop(socket);
    await_end(&child);
    child.signal(libc::SIGTERM).expect("it has not been waited for");
    child.kill().expect("nor now");
    let status = child.wait().expect("its end");
    assert_eq!(status.code(), Some(0), "a signal does not change how it ended");
    child.kill().expect("no error");
    for signal in [0, libc::SIGTERM, libc::SIGKILL] {
        let error = child.signal(signal).expect_err("it is gone");
        assert_eq!((error.step(), error.raw_os_error()), (&Step::Signal, Some(libc::ESRCH)));
        assert!(error.to_string().contains(&signal.to_string()), "{error}");
    }
    assert_eq!(child.wait().expect("the same again"), status);
}

// ---- other people's children

/// Whether a pidfd still tells the status of who has been reaped: Linux 6.15.
fn status_is_told() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let mut numbers = release.split(['.', '-']).map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 15)
}

#[track_caller]
fn assert_told_or_lost(
    result: linux_namespaces::Result<std::process::ExitStatus>,
    code: Option<i32>,
    signal: Option<i32>,
) {
    match result {
        Ok(status) => assert_eq!((status.code(), status.signal()), (code, signal)),
        Err(error) => {
            assert!(!status_is_told(), "{error}");
            assert_eq!((error.step(), error.raw_os_error()), (&Step::Wait, Some(libc::ECHILD)));
        }
    }
}

fn chld_ignored_case() {
    // SAFETY: this process runs one case only.
    let before = unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    assert_ne!(before, libc::SIG_ERR);
    assert_told_or_lost(sh("exit 7").status(), Some(7), None);
    let (socket, mut child) = held(Namespaces::empty());
    assert_eq!(child.try_wait().expect("told"), None);
    assert_eq!(child.wait_timeout(Duration::from_millis(1)).expect("told"), None);
    assert_alive(&socket);
    drop(socket);
    assert_told_or_lost(child.wait(), Some(0), None);
    let (_socket, mut child) = held(Namespaces::empty());
    child.kill().expect("it is there");
    await_end(&child);
    let told = child.try_wait().map(|status| status.expect("it has ended"));
    assert_told_or_lost(told, None, Some(libc::SIGKILL));
    let (socket, mut child) = held(Namespaces::empty());
    drop(socket);
    let told = child.wait_timeout(Duration::MAX).map(|status| status.expect("no limit"));
    assert_told_or_lost(told, Some(0), None);
    if status_is_told() {
        let output = sh("echo out; exit 3").output().expect("its output");
        assert_eq!((output.status.code(), output.stdout), (Some(3), b"out\n".to_vec()));
    }
    let before = Footprint::now();
    Command::new("/no/such/program").spawn().expect_err("there is none");
    Command::new("true").current_dir("/no/such").spawn().expect_err("there is none");
    before.assert_unchanged();
    assert_no_child();
}

fn reaped_by_somebody_else() {
    for (end, code, signal) in [("exit 9", Some(9), None), ("kill -9 $$", None, Some(9))] {
        let mut child = sh(end).spawn().expect("a shell");
        let id = child.id() as i32;
        assert_eq!(wait_pid(id, 0).map(|(pid, _)| pid), Ok(id));
        assert_told_or_lost(child.wait(), code, signal);
        let told = child.try_wait().map(|status| status.expect("it has ended"));
        assert_told_or_lost(told, code, signal);
        child.kill().expect("gone is no error");
    }
    // While the handle waits.
    let (socket, mut child) = held(Namespaces::empty());
    let id = child.id() as i32;
    let other = std::thread::spawn(move || {
        drop(socket);
        wait_pid(id, 0)
    });
    assert_told_or_lost(child.wait(), Some(0), None);
    // Either of the two has got it.
    let other = other.join().expect("no panic");
    assert!(matches!(other, Ok(_) | Err(Some(libc::ECHILD))), "{other:?}");
}

// ---- interruptions

static INTERRUPTIONS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_: libc::c_int) {
    INTERRUPTIONS.fetch_add(1, SeqCst);
}

fn interrupted_case() {
    // SAFETY: plain integers and addresses, for which zero is a value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // Without SA_RESTART.
    action.sa_sigaction = count as *const () as libc::sighandler_t;
    // SAFETY: a handler that only adds to an atomic.
    let result = unsafe { libc::sigaction(libc::SIGALRM, &raw const action, ptr::null_mut()) };
    assert_eq!(result, 0);
    let every = libc::timeval { tv_sec: 0, tv_usec: 300 };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: reads the timer.
    let result = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) };
    assert_eq!(result, 0);
    let sets = match Command::new("true").namespaces(USER).status() {
        Ok(_) => vec![Namespaces::empty(), USER, with_user(PID | MOUNT | NET)],
        Err(_) => vec![Namespaces::empty()],
    };
    let mut failures = Vec::new();
    let mut note = |what: &str, round: usize, result: Result<bool, linux_namespaces::Error>| {
        if !matches!(result, Ok(true)) {
            failures.push(format!("{what} {round}: {result:?}"));
        }
    };
    for round in 0..300 {
        let set = sets[round % sets.len()];
        let spawned = sh("exit 4").namespaces(set).spawn();
        note(
            "spawn and wait",
            round,
            spawned.and_then(|mut child| Ok(child.wait()?.code() == Some(4))),
        );
        let output = sh("echo out; echo err >&2").namespaces(set).output();
        note(
            "output",
            round,
            output.map(|output| output.stdout == b"out\n" && output.stderr == b"err\n"),
        );
        let spawned = Command::new("true").namespaces(set).spawn();
        let waited = spawned.and_then(|mut child| child.wait_timeout(Duration::from_secs(60)));
        note(
            "wait_timeout",
            round,
            waited.map(|status| status.is_some_and(|status| status.success())),
        );
        let failed = Command::new("/no/such/program").namespaces(set).spawn();
        let told =
            failed.map_or_else(|error| error.raw_os_error() == Some(libc::ENOENT), |_| false);
        note("failing spawn", round, Ok(told));
    }
    let off = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let timer = libc::itimerval { it_interval: off, it_value: off };
    // SAFETY: reads the timer.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) };
    assert_eq!(failures, [""; 0]);
    let interruptions = INTERRUPTIONS.load(SeqCst);
    assert!(interruptions > 300, "the timer went off {interruptions} times only");
    assert_no_child();
}

// ---- threads

fn spawning_threads_may_end(set: Namespaces) {
    for _ in 0..10 {
        let (socket, mut child) = std::thread::spawn(move || held(set)).join().expect("no panic");
        let tasks = || fs::read_dir("/proc/self/task").expect("threads").count();
        // Joined, it may be counted for a moment.
        while tasks() > 1 {
            std::thread::yield_now();
        }
        assert_alive(&socket);
        assert_eq!(child.try_wait().expect("told"), None);
        drop(socket);
        assert_eq!(child.wait().expect("any thread may wait").code(), Some(0));
    }
}

// ---- failures

fn failures_leave_no_child_case() {
    // SAFETY: this process runs one case only, and the handler only adds to an atomic.
    unsafe { libc::signal(libc::SIGCHLD, count as *const () as libc::sighandler_t) };
    let usable = Command::new("true").namespaces(USER).status().is_ok();
    let sets = if usable {
        vec![Namespaces::empty(), USER, with_user(PID | MOUNT | UTS), Namespaces::all()]
    } else {
        vec![Namespaces::empty()]
    };
    assert_no_child();
    let before = Footprint::now();
    for set in sets {
        INTERRUPTIONS.store(0, SeqCst);
        let fails = |command: &mut Command, step: &Step| {
            let error = command.namespaces(set).spawn().expect_err("it cannot be");
            assert_eq!(error.step(), step, "{set}");
            assert_no_child();
            before.assert_unchanged();
        };
        fails(&mut Command::new("/no/such/program"), &Step::Exec("/no/such/program".into()));
        fails(&mut Command::new("/etc/passwd"), &Step::Exec("/etc/passwd".into()));
        fails(Command::new("true").current_dir("/no/such"), &Step::Chdir("/no/such".into()));
        fails(Command::new("true").process_group(i32::MAX), &Step::ProcessGroup);
        let mut hooked = Command::new("true");
        // SAFETY: the hook only makes an error.
        unsafe { hooked.pre_exec(|| Err(io::Error::from_raw_os_error(libc::EBUSY))) };
        fails(&mut hooked, &Step::PreExec);
        assert_eq!(INTERRUPTIONS.load(SeqCst), 0, "{set}: a SIGCHLD was to be seen");
    }
    // What does run raises it.
    assert!(Command::new("true").status().expect("true").success());
    assert_eq!(INTERRUPTIONS.load(SeqCst), 1);
    assert!(case("exit_with").env("CODE", "0").status().expect("this test").success());
}
