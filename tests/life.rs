//! What ends with the caller, with a handle, with a session.
mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ChildStdout, Stdio as StdStdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::processes::Seen;
use common::{
    Footprint, Need, case, field, in_own_process, sh, stdout_of, test, test_with, with_user,
};
use libtest_mimic::Trial;
use linux_namespaces::flags::{MOUNT, PID, USER};
use linux_namespaces::{Child, Command, Namespaces, PidFd, Stdio, Step};

const USERNS: &[Need] = &[Need::UserNamespaces];
const ROOT: &[Need] = &[Need::Root];
const FLOCK: &[Need] = &[Need::UserNamespaces, Need::Program("flock")];
const SETSID: &[Need] = &[Need::UserNamespaces, Need::Program("setsid")];

fn main() {
    common::run(
        &[
            ("parent", parent_case),
            ("nothing_is_left", nothing_is_left_case),
            ("locker", locker_case),
            ("main_thread_ends", main_thread_ends_case),
            ("functions", functions_case),
            ("unshared", unshared_case),
            ("leads_a_group", leads_a_group_case),
        ],
        tests(),
    );
}

fn tests() -> Vec<Trial> {
    vec![
        test("the_callers_death_is_told", the_callers_death_is_told),
        test_with("the_callers_death_is_told_inside", USERNS, the_callers_death_is_told_inside),
        test_with("the_callers_death_is_told_behind_an_init", USERNS, behind_an_init),
        test_with("after_a_change_of_ids", ROOT, after_a_change_of_ids),
        test("a_thread_may_end", a_thread_may_end),
        test("the_main_thread_may_end", the_main_thread_may_end),
        test("what_the_thread_is_the_program_is", what_the_thread_is_the_program_is),
        test_with("no_thread_is_left", USERNS, || in_own_process("nothing_is_left")),
        test("functions_have_no_second_thread", || in_own_process("functions")),
        test_with("where_no_thread_can_be_had", ROOT, || in_own_process("unshared")),
        test_with("locks_are_free_when_the_caller_is_killed", FLOCK, locks_are_free),
        test_with("drop_kills", USERNS, drop_kills),
        test_with("drop_takes_the_pid_namespace", SETSID, drop_takes_the_pid_namespace),
        test("drop_leaves_what_was_not_asked_for", drop_leaves_what_was_not_asked_for),
        test("parts_can_be_moved_out", parts_can_be_moved_out),
        test("a_forked_copy_kills_nothing", a_forked_copy_kills_nothing),
        test("sessions", sessions),
        test("exec_in_a_session", || in_own_process("leads_a_group")),
        test("refusals", refusals),
        test("a_pidfd_that_does_not_block", a_pidfd_that_does_not_block),
        test_with(
            "signals_while_another_waits",
            &[Need::Program("bash")],
            signals_while_another_waits,
        ),
    ]
}

/// `cat` that lives until the pipe to it is closed, which nobody but this process holds open.
fn held(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn exists(pid: u32) -> bool {
    fs::metadata(format!("/proc/{pid}")).is_ok()
}

#[track_caller]
fn await_end(pidfd: &PidFd) {
    let mut poll = libc::pollfd { fd: pidfd.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, of a descriptor that is open.
    assert_eq!(unsafe { libc::poll(&raw mut poll, 1, 20_000) }, 1, "it has not ended");
}

#[track_caller]
fn assert_runs(pidfd: &PidFd) {
    let mut poll = libc::pollfd { fd: pidfd.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, of a descriptor that is open.
    assert_eq!(unsafe { libc::poll(&raw mut poll, 1, 0) }, 0, "it has ended");
}

fn line(output: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    line.trim_end().to_owned()
}

/// Spawns, from a thread that ends, what the variables say; and tells the ids, the program's and that of what it says.
fn parent_case() {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let set = variable("SET").parse::<Namespaces>().unwrap_or(Namespaces::empty());
    let (init, uid) = (variable("INIT") == "1", variable("ID").parse::<u32>().ok());
    let signal = variable("SIGNAL").parse().expect("a number");
    let spawn = move || {
        // A process with several threads that is killed may send the signal twice, one thread after the other. The second is
        // ignored, or handled within the handler before that has said anything.
        let script =
            r#"trap 'trap "" USR1; echo told; exit' USR1; echo ready; while :; do read line; done"#;
        let mut command = sh(script);
        command.namespaces(set).parent_death_signal(signal).init(init);
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        command.stdin(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
    };
    let child = std::thread::spawn(spawn).join().expect("no panic");
    println!("{}", child.id());
    let mut end = String::new();
    std::io::stdin().read_line(&mut end).expect("a line");
}

/// Has a process spawn that, ends the process, and gives what the program then said; it has ended, too.
fn told_at_death(variables: &[(&str, &str)], reaps: bool) -> String {
    let mut parent = case("parent");
    parent.envs(variables.iter().copied()).stdin(StdStdio::piped()).stdout(StdStdio::piped());
    let mut parent = parent.spawn().expect("this program");
    let mut output = BufReader::new(parent.stdout.take().expect("piped"));
    let mut first = [line(&mut output), line(&mut output)];
    first.sort();
    let [id, ready] = first;
    assert_eq!(ready, "ready", "{id}");
    let program = Seen::of(id.parse().expect("a number"));
    // The thread that has spawned it is gone by now.
    assert!(!program.has_ended());
    parent.kill().expect("killed");
    parent.wait().expect("its end");
    if reaps {
        program.await_end();
    }
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("text");
    rest.trim_end().to_owned()
}

const KILL: (&str, &str) = ("SIGNAL", "9");
const USR1: (&str, &str) = ("SIGNAL", "10");

fn the_callers_death_is_told() {
    for _ in 0..5 {
        assert_eq!(told_at_death(&[KILL], true), "");
        assert_eq!(told_at_death(&[USR1], true), "told");
    }
}

fn the_callers_death_is_told_inside() {
    for set in [USER, with_user(PID), with_user(PID | MOUNT) | USER] {
        let set = set.to_string();
        assert_eq!(told_at_death(&[KILL, ("SET", &set)], true), "");
        assert_eq!(told_at_death(&[USR1, ("SET", &set)], true), "told");
    }
}

fn behind_an_init() {
    let set = with_user(PID | MOUNT).to_string();
    assert_eq!(told_at_death(&[KILL, ("SET", &set), ("INIT", "1")], true), "");
    assert_eq!(told_at_death(&[USR1, ("SET", &set), ("INIT", "1")], true), "told");
}

fn after_a_change_of_ids() {
    assert_eq!(told_at_death(&[KILL, ("ID", "4321")], true), "");
    assert_eq!(told_at_death(&[USR1, ("ID", "4321"), ("SET", "pid,mnt")], true), "told");
}

fn a_thread_may_end() {
    let children: Vec<_> = (0..10)
        .map(|_| {
            let spawn = || held(Command::new("cat").parent_death_signal(libc::SIGKILL));
            std::thread::spawn(spawn).join().expect("no panic")
        })
        .collect();
    for child in &children {
        assert_runs(child.pidfd());
    }
    for mut child in children {
        assert!(child.wait().expect("its end").success(), "it ended by itself");
    }
}

/// The thread that a process begins with ends, and others go on.
fn main_thread_ends_case() {
    let child = held(Command::new("cat").parent_death_signal(libc::SIGKILL));
    println!("{}", child.id());
    std::mem::forget(child);
    std::thread::spawn(|| {
        // Until it is a zombie, as which it stays.
        let path = format!("/proc/self/task/{}/stat", std::process::id());
        while !fs::read_to_string(&path).is_ok_and(|stat| stat.contains(") Z ")) {
            std::thread::yield_now();
        }
        println!("alone");
        let mut end = String::new();
        std::io::stdin().read_line(&mut end).expect("a line");
    });
    // SAFETY: ends this thread only; nothing of it is used elsewhere.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
}

fn the_main_thread_may_end() {
    let mut parent = case("main_thread_ends")
        .stdin(StdStdio::piped())
        .stdout(StdStdio::piped())
        .spawn()
        .expect("this program");
    let mut output = BufReader::new(parent.stdout.take().expect("piped"));
    let program = Seen::of(line(&mut output).parse().expect("a number"));
    assert_eq!(line(&mut output), "alone");
    assert!(!program.has_ended());
    parent.kill().expect("killed");
    parent.wait().expect("its end");
    program.await_end();
}

/// In whatever a thread may differ from others of its process.
fn what_the_thread_is_the_program_is() {
    let thread = std::thread::spawn(|| {
        // SAFETY: of this thread, which spawns and ends.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_FS) }, 0);
        // SAFETY: takes a text.
        assert_eq!(unsafe { libc::chdir(c"/usr".as_ptr()) }, 0);
        // SAFETY: takes numbers.
        assert_eq!(unsafe { libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, 0, 7) }, 0);
        // SAFETY: takes numbers.
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
        let mut namespace = String::new();
        if common::is_root() {
            // SAFETY: of this thread.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWUTS) }, 0);
            namespace =
                fs::read_link("/proc/thread-self/ns/uts").expect("its own").display().to_string();
        }
        let look = "pwd; nice; grep NoNewPrivs /proc/self/status; readlink /proc/self/ns/uts";
        let told = stdout_of(sh(look).parent_death_signal(libc::SIGKILL));
        assert_eq!(told, stdout_of(&mut sh(look)));
        assert!(
            told.starts_with("/usr\n7\nNoNewPrivs:\t1\n") && told.contains(&namespace),
            "{told}"
        );
    });
    thread.join().expect("no panic");
}

fn nothing_is_left_case() {
    let spawn = |command: &mut Command| {
        command.parent_death_signal(libc::SIGTERM).namespaces(with_user(PID | MOUNT)).spawn()
    };
    spawn(&mut sh("true")).expect("it runs").wait().expect("its end");
    let before = Footprint::now();
    for _ in 0..5 {
        let mut child = spawn(Command::new("cat").stdin(Stdio::piped())).expect("it runs");
        let threads = fs::read_dir("/proc/self/task").expect("threads").count();
        assert_eq!(threads, 2);
        assert!(child.wait().expect("its end").success());
        let error = spawn(&mut Command::new("/no/such/program")).expect_err("no program");
        assert_eq!(error.step(), &Step::Exec("/no/such/program".into()));
    }
    before.assert_unchanged();
}

fn functions_case() {
    let (read, mut write) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let mut read_there = read.try_clone().expect("a duplicate");
    let mut command = Command::from_fn(move || {
        let mut signal = 0i32;
        // SAFETY: fills a number.
        unsafe { libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut signal) };
        read_there.read_exact(&mut [0]).expect("a byte");
        signal
    });
    let mut child = command.parent_death_signal(libc::SIGUSR1).spawn().expect("it runs");
    assert_eq!(fs::read_dir("/proc/self/task").expect("threads").count(), 1);
    write.write_all(b"x").expect("it reads");
    assert_eq!(child.wait().expect("its end").code(), Some(libc::SIGUSR1));
}

fn unshared_case() {
    linux_namespaces::unshare(PID).expect("unshared");
    let error = sh("true").parent_death_signal(libc::SIGKILL).spawn().expect_err("no thread");
    assert_eq!(error.step(), &Step::ParentDeathSignal);
    assert!(error.to_string().contains("unshared its pid namespace"), "{error}");
}

// ---- file locks

/// Starts programs that hold a lock, of all sorts, until it is killed.
fn locker_case() {
    let path = std::env::var("LOCK").expect("a path");
    let script = "exec 9>>\"$LOCK\"; flock -s 9; echo up; exec sleep 1000";
    println!("begun");
    for round in 0.. {
        let mut command = sh(script);
        command.env("LOCK", &path).parent_death_signal(libc::SIGKILL);
        match round % 5 {
            0 => {}
            1 => {
                command.namespaces(with_user(PID)).init(true);
            }
            2 => {
                command.namespaces(with_user(PID | MOUNT) | USER);
            }
            3 => {
                command.new_session(true);
            }
            _ => {
                let waiting = command.spawn_suspended().expect("it waits");
                std::mem::forget(waiting.resume().expect("it runs"));
                continue;
            }
        }
        std::mem::forget(
            std::thread::spawn(move || command.spawn()).join().expect("no panic").expect("it runs"),
        );
        if round > 30 {
            let mut end = String::new();
            let _ = std::io::stdin().read_line(&mut end);
        }
    }
}

/// At whatever moment the caller is killed: no program of its is left that holds the lock.
fn locks_are_free() {
    let rounds = std::env::var("LINUX_NAMESPACES_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("lock");
    let mut random = 12345u32;
    for round in 0..rounds {
        let mut locker = case("locker")
            .env("LOCK", &path)
            .stdin(StdStdio::piped())
            .stdout(StdStdio::piped())
            .spawn()
            .expect("this program");
        let mut output = BufReader::new(locker.stdout.take().expect("piped"));
        assert_eq!(line(&mut output), "begun");
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Up to some number of programs, and then at any moment of the next spawn.
        for _ in 0..random >> 29 {
            assert_eq!(line(&mut output), "up");
        }
        let until = Instant::now() + Duration::from_micros(u64::from(random >> 8) % 4000);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        locker.kill().expect("killed");
        locker.wait().expect("its end");
        // An end: nobody has the pipe any more, be it before or after it took the lock.
        let mut rest = String::new();
        let (done, ended) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            let result = output.read_to_string(&mut rest);
            let _ = done.send(());
            result
        });
        ended
            .recv_timeout(Duration::from_secs(20))
            .unwrap_or_else(|_| panic!("round {round}: a survivor"));
        reader.join().expect("no panic").expect("text");
        let file = fs::File::options().create(true).append(true).open(&path).expect("the file");
        // One that is being killed closes the pipe a little before the lock.
        let start = Instant::now();
        // SAFETY: takes numbers.
        while unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            assert!(start.elapsed().as_secs() < 10, "round {round}: the lock is held");
            std::thread::yield_now();
        }
    }
}

// ---- handles

fn drop_kills() {
    for set in [Namespaces::empty(), USER, with_user(PID)] {
        for init in [false, true] {
            if init && !set.contains(PID) {
                continue;
            }
            let before = Footprint::now();
            let child = held(Command::new("cat").namespaces(set).init(init).kill_on_drop(true));
            let pid = child.id();
            assert!(exists(pid));
            drop(child);
            assert!(!exists(pid), "it is reaped");
            before.assert_unchanged();
        }
    }
    // What has ended, or was waited for, or is to write its output, is left alone.
    let output = sh("echo all of it").kill_on_drop(true).output().expect("its end");
    assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b"all of it\n"[..]));
    let child = sh("sleep 0.1; echo late")
        .kill_on_drop(true)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let output = child.wait_with_output().expect("its end");
    assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b"late\n"[..]));
    let mut child = sh("exit 3").kill_on_drop(true).spawn().expect("it runs");
    assert_eq!(child.wait().expect("its end").code(), Some(3));
    let child = held(Command::new("cat").kill_on_drop(true).parent_death_signal(libc::SIGKILL));
    let pid = child.id();
    drop(child);
    assert!(!exists(pid));
    let waiting = Command::new("cat")
        .kill_on_drop(true)
        .stdin(Stdio::piped())
        .spawn_suspended()
        .expect("it waits");
    let child = waiting.resume().expect("it runs");
    let pid = child.id();
    drop(child);
    assert!(!exists(pid));
}

fn drop_takes_the_pid_namespace() {
    for init in [false, true] {
        let script = "for i in 1 2 3 4 5; do setsid sleep 1000 & done; echo up; read line";
        let mut command = sh(script);
        command
            .namespaces(with_user(PID | MOUNT))
            .init(init)
            .kill_on_drop(true)
            .stdout(Stdio::piped());
        let mut child = held(&mut command);
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        assert_eq!(line(&mut output), "up");
        drop(child);
        let mut rest = String::new();
        // All of them have had the pipe.
        output.read_to_string(&mut rest).expect("an end");
    }
}

fn drop_leaves_what_was_not_asked_for() {
    let mut child = held(&mut Command::new("cat"));
    let pidfd = child.pidfd().try_clone().expect("a duplicate");
    let (pid, stdin) = (child.id(), child.stdin.take());
    drop(child);
    assert_runs(&pidfd);
    drop(stdin);
    await_end(&pidfd);
    let mut status = 0;
    // SAFETY: fills `status`.
    assert_eq!(unsafe { libc::waitpid(pid as i32, &raw mut status, 0) }, pid as i32);
    assert_eq!(status, 0);
}

/// As with std, whose `Child` has no destructor.
fn parts_can_be_moved_out() {
    let child = sh("echo moved").stdout(Stdio::piped()).spawn().expect("it runs");
    let pid = child.id();
    let mut told = String::new();
    child.stdout.expect("piped").read_to_string(&mut told).expect("text");
    assert_eq!(told, "moved\n");
    let mut status = 0;
    // SAFETY: fills `status`.
    assert_eq!(unsafe { libc::waitpid(pid as i32, &raw mut status, 0) }, pid as i32);
}

fn a_forked_copy_kills_nothing() {
    let child = held(Command::new("cat").kill_on_drop(true));
    let waiting = Command::new("true").spawn_suspended().expect("it waits");
    // SAFETY: the copy frees memory and ends.
    let copy = unsafe { libc::fork() };
    if copy == 0 {
        drop((child, waiting));
        // SAFETY: ends the copy.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: fills `status`.
    assert_eq!(unsafe { libc::waitpid(copy, &raw mut status, 0) }, copy);
    assert_eq!(status, 0);
    assert_runs(child.pidfd());
    assert_runs(waiting.pidfd());
    assert!(waiting.resume().expect("it runs").wait().expect("its end").success());
}

// ---- sessions

fn sessions() {
    let look = "cut -d ' ' -f 1,5,6 /proc/self/stat; exec < /dev/tty";
    let output =
        Command::new("sh").args(["-c", &format!("echo $$; {look}")]).new_session(true).output();
    let told = String::from_utf8(output.expect("it runs").stdout).expect("text");
    let numbers: Vec<_> = told.split_whitespace().collect();
    assert_eq!(
        (numbers[2], numbers[3]),
        (numbers[0], numbers[0]),
        "group and session of its own: {told}"
    );
    let told = stdout_of(
        sh("echo $$; cut -d ' ' -f 5,6 /proc/self/stat").new_session(true).process_group(0),
    );
    let numbers: Vec<_> = told.split_whitespace().collect();
    assert_eq!((numbers[1], numbers[2]), (numbers[0], numbers[0]));
    let told =
        stdout_of(sh("cut -d ' ' -f 6 /proc/self/stat").new_session(true).new_session(false));
    // SAFETY: asks for a number.
    assert_eq!(told, unsafe { libc::getsid(0) }.to_string());
}

fn leads_a_group_case() {
    // SAFETY: takes numbers.
    assert_eq!(unsafe { libc::setpgid(0, 0) }, 0);
    let error = sh("true").new_session(true).exec();
    assert_eq!((error.step(), error.raw_os_error()), (&Step::Session, Some(libc::EPERM)));
    assert!(error.to_string().contains("leads a process group"), "{error}");
}

fn refusals() {
    let refused = |command: &mut Command, with: &str| {
        let error = command.spawn().expect_err("refused");
        assert_eq!(error.step(), &Step::Validate);
        assert!(error.to_string().contains(with), "{error}");
        assert_eq!(command.spawn_suspended().expect_err("refused").to_string(), error.to_string());
    };
    refused(sh("true").parent_death_signal(65), "65");
    refused(sh("true").parent_death_signal(-9), "-9");
    refused(sh("true").new_session(true).process_group(77), "77");
    refused(sh("true").init(true), "Namespaces::PID");
    let error = sh("true").parent_death_signal(9).exec();
    assert_eq!(error.step(), &Step::Validate);
    assert!(
        sh("true").parent_death_signal(9).parent_death_signal(0).status().expect("off").success()
    );
    let shown = format!(
        "{:?}",
        sh("true").parent_death_signal(9).new_session(true).init(true).kill_on_drop(true)
    );
    for part in ["parent_death_signal: 9", "new_session: true", "init: true", "kill_on_drop: true"]
    {
        assert!(shown.contains(part), "{shown}");
    }
}

// ---- waiting

fn a_pidfd_that_does_not_block() {
    let mut child = held(&mut Command::new("cat"));
    let fd = child.pidfd().as_fd().as_raw_fd();
    // SAFETY: sets a flag of a descriptor that is open.
    assert_eq!(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) }, 0);
    assert_eq!(child.try_wait().expect("no error"), None);
    let stdin = child.stdin.take();
    assert_eq!(child.wait_timeout(Duration::from_millis(1)).expect("no error"), None);
    drop(stdin);
    let mut slow = sh("sleep 0.05; exit 9").spawn().expect("it runs");
    let fd = slow.pidfd().as_fd().as_raw_fd();
    // SAFETY: sets a flag of a descriptor that is open.
    assert_eq!(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) }, 0);
    assert_eq!(slow.wait().expect("its end").code(), Some(9));
}

fn signals_while_another_waits() {
    let mut command = Command::new("bash");
    command.args(["-c", "n=0; trap 'n=$((n+1))' USR1; trap 'exit 7' TERM; echo ready; while :; do read -t 0.01 line; [ $? = 1 ] && exit 5; done"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
    let stdin = child.stdin.take();
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    assert_eq!(line(&mut output), "ready");
    let pidfds: Vec<_> = (0..4).map(|_| child.pidfd().try_clone().expect("a duplicate")).collect();
    let waits = std::thread::spawn(move || child.wait().expect("its end"));
    let threads: Vec<_> = pidfds
        .into_iter()
        .map(|pidfd| {
            std::thread::spawn(move || {
                for _ in 0..50 {
                    pidfd.send_signal(libc::SIGUSR1).expect("it is there");
                }
                pidfd
            })
        })
        .collect();
    let pidfds: Vec<_> =
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
    pidfds[0].send_signal(libc::SIGTERM).expect("it is there");
    let status = waits.join().expect("no panic");
    assert_eq!((status.code(), status.signal()), (Some(7), None));
    drop(stdin);
    // It is gone, and its number may be another's: the pidfd says so.
    for pidfd in &pidfds {
        let error = pidfd.send_signal(libc::SIGKILL).expect_err("it is gone");
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
    }
    assert!(field("Pid", &fs::read_to_string("/proc/self/status").expect("status")).len() > 1);
}
