//! The proxy: it ends as the program does, and the program with it.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use libtest_mimic::Trial;
use linux_namespaces::{CommandExt as _, Namespaces, PidFd, flags::*};

use crate::common::processes::Seen;
use crate::common::{
    self, Case, Footprint, Need, field, in_own_process, is_root, test_with, with_user,
};
use crate::{cat, children_of, pipe, sh, stdout_of, text_of};

const USERNS: &[Need] = &[Need::UserNamespaces];

pub(crate) const CASES: &[Case] = &[
    ("fault", fault),
    ("sigchld_ignored", sigchld_ignored),
    ("handlers_and_mask", handlers_and_mask),
    ("large_caller", large_caller),
];

const FAULT: &[Need] =
    &[Need::UserNamespaces, Need::NoSanitizer("it makes an exit status of a fault")];

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test_with("every_exit_code_is_passed_on", USERNS, exit_codes),
        test_with("every_deadly_signal_is_passed_on", USERNS, signals),
        test_with("a_fault_of_process_one_is_passed_on", FAULT, a_fault),
        test_with("exit_codes_with_sigchld_ignored", USERNS, || in_own_process("sigchld_ignored")),
        test_with("a_killed_proxy_leaves_no_survivor", USERNS, no_survivor),
        test_with(
            "not_even_one_that_changed_its_user",
            &[Need::Root, Need::Program("setpriv")],
            no_survivor_of_another_user,
        ),
        test_with("a_killed_program_ends_the_proxy_and_the_guard", USERNS, killed_program),
        test_with("an_interrupted_group_ends", USERNS, interrupted),
        test_with("pipes_close_when_the_program_closes_them", USERNS, pipes),
        test_with("the_proxy_holds_nothing", USERNS, holds_nothing),
        test_with(
            "the_proxy_has_default_dispositions_and_the_program_what_std_gives",
            USERNS,
            || in_own_process("handlers_and_mask"),
        ),
        test_with("the_proxy_keeps_none_of_the_callers_memory", USERNS, || {
            in_own_process("large_caller")
        }),
        test_with("much_output", USERNS, much_output),
        test_with("wait_and_try_wait", USERNS, wait_and_try_wait),
        test_with("a_missing_program_is_an_error_and_leaves_nothing", USERNS, missing),
        test_with("orphans_of_the_program_are_its_own", USERNS, orphans),
    ]
}

/// With a new `/proc`, lest the tests depend on which one there is.
fn world() -> Namespaces {
    with_user(PID | NS)
}

/// The program behind a proxy.
fn program_of(proxy: &Child) -> u32 {
    children_of(proxy.id())[0]
}

/// To a process that nobody reaps meanwhile.
#[track_caller]
fn send(process: u32, signal: i32) {
    // SAFETY: numbers only.
    assert_eq!(unsafe { libc::kill(process as i32, signal) }, 0);
}

/// A process in a pid namespace of its own, for programs that are not its first.
fn outer() -> linux_namespaces::Child {
    let mut command = linux_namespaces::Command::new("cat");
    command.namespaces(USER | PID).stdin(linux_namespaces::Stdio::piped());
    command.spawn().expect("a process to enter")
}

/// What std makes of a program with a hook: posix_spawn(3), used without, differs in the signals of libc's own.
fn plain(program: &str) -> Command {
    let mut command = Command::new(program);
    // SAFETY: it does nothing.
    unsafe { command.pre_exec(|| Ok(())) };
    command
}

/// The end of the pipe that everybody in there holds: read to its end when all are gone.
fn alarm(command: &mut Command) -> UnixStream {
    let (reader, writer) = pipe();
    let inherit = move || {
        // SAFETY: one system call, on a descriptor that the hook owns; the copy is not closed by exec.
        match unsafe { libc::dup(writer.as_raw_fd()) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    // SAFETY: the hook makes one system call.
    unsafe { command.pre_exec(inherit) };
    reader
}

fn ends(mut alarm: UnixStream) {
    assert_eq!(alarm.read(&mut [0]).expect("the end of the pipe"), 0);
}

fn exit_codes() {
    for code in 0..=255 {
        let status = sh(&format!("exit {code}")).namespaces(with_user(PID)).status().unwrap();
        assert_eq!(status.code(), Some(code));
    }
    let mut outer = outer();
    for code in [0, 1, 126, 255] {
        let mut inside = sh(&format!("exit {code}"));
        let status = inside.enter_process(outer.pidfd(), USER | PID).status().unwrap();
        assert_eq!(status.code(), Some(code));
    }
    outer.wait().unwrap();
}

/// Not the first process of its pid namespace, which would ignore most of them.
fn signals() {
    let mut outer = outer();
    let mut deadly = 0;
    let not_deadly = [
        libc::SIGCHLD,
        libc::SIGCONT,
        libc::SIGURG,
        libc::SIGWINCH,
        libc::SIGSTOP,
        libc::SIGTSTP,
        libc::SIGTTIN,
        libc::SIGTTOU,
    ];
    for signal in (1..=64).filter(|signal| !not_deadly.contains(signal)) {
        let status = |command: &mut Command| {
            let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
            // With an entered pid namespace the guard is the first.
            let program = children_of(child.id()).last().copied().unwrap_or(child.id());
            send(program, signal);
            let status = child.wait().unwrap();
            (status.code(), status.signal(), status.core_dumped())
        };
        // Where this process was told to ignore or block one, its programs do.
        let (code, killed_by, _) = status(&mut plain("cat"));
        let mut inside = Command::new("cat");
        inside.enter_process(outer.pidfd(), USER | PID);
        assert_eq!(status(&mut inside), (code, killed_by, false), "signal {signal}");
        deadly += usize::from(killed_by == Some(signal));
    }
    assert!(deadly > 40, "{deadly}");
    // The first process of a new one: only this comes through from outside.
    let mut proxy = cat(Command::new("sh").namespaces(world()));
    send(program_of(&proxy), libc::SIGKILL);
    assert_eq!(proxy.wait().unwrap().signal(), Some(libc::SIGKILL));
    outer.wait().unwrap();
}

fn fault() {
    // SAFETY: none: this process is to die of it.
    unsafe { libc::munmap(std::ptr::null_mut(), 1 << 47) };
    let address = std::hint::black_box(16usize) as *const u8;
    // SAFETY: as above.
    println!("{}", unsafe { address.read_volatile() });
}

fn a_fault() {
    let status = common::case("fault").namespaces(with_user(PID)).stderr(Stdio::null()).status();
    let status = status.unwrap();
    assert_eq!((status.signal(), status.core_dumped()), (Some(libc::SIGSEGV), false), "{status}");
}

/// The kernel would reap a child at once, in the proxy too, which inherits that.
fn sigchld_ignored() {
    // SAFETY: no handler; this case has one thread.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    for _ in 0..50 {
        let mut proxy = Command::new("true").namespaces(with_user(PID)).spawn().unwrap();
        let process = PidFd::open(proxy.id());
        // The status of the proxy itself is lost by the caller's own wish; but it must end.
        if let Ok(process) = process {
            let mut poll = libc::pollfd {
                fd: std::os::fd::AsFd::as_fd(&process).as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one entry.
            assert_eq!(unsafe { libc::poll(&raw mut poll, 1, 60_000) }, 1, "it does not end");
        }
        let _ = proxy.wait();
    }
    // Ignored it is for the program too, as std has it.
    let (reader, writer) = pipe();
    let mut cat = Command::new("cat");
    let _ = cat.arg("/proc/self/status").stdout(writer).namespaces(with_user(PID)).status();
    drop(cat);
    let status = io::read_to_string(reader).unwrap();
    let mask = u64::from_str_radix(field("SigIgn", &status), 16).unwrap();
    assert_ne!(mask & 1 << (libc::SIGCHLD - 1), 0, "{status}");
}

fn no_survivor() {
    for round in 0..50 {
        let mut command = sh("sleep 1000 & exec sleep 1000");
        command.namespaces(world());
        let alarm = alarm(&mut command);
        let mut proxy = command.spawn().unwrap();
        drop(command);
        if round % 2 == 0 {
            while children_of(proxy.id()).len() < 2 {}
        }
        proxy.kill().unwrap();
        assert_eq!(proxy.wait().unwrap().signal(), Some(libc::SIGKILL));
        ends(alarm);
    }
}

/// The kernel forgets `PR_SET_PDEATHSIG` when a process changes its ids: here is what the guard is for.
fn no_survivor_of_another_user() {
    let mut outer = outer();
    for round in 0..20 {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--clear-groups", "sh", "-c", "echo; exec sleep 1000"]);
        command.stdout(Stdio::piped());
        if round % 2 == 0 {
            command.namespaces(PID);
        } else {
            // The user namespace has root alone.
            command.enter_process(outer.pidfd(), PID);
        }
        let alarm = alarm(&mut command);
        let mut proxy = command.spawn().unwrap();
        drop(command);
        proxy.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        proxy.kill().unwrap();
        proxy.wait().unwrap();
        ends(alarm);
    }
    outer.wait().unwrap();
}

fn killed_program() {
    let mut proxy = cat(Command::new("sh").namespaces(world()));
    let all = children_of(proxy.id());
    assert_eq!(all.len(), 2, "the program and the guard");
    let guard = Seen::of(all[1]);
    send(program_of(&proxy), libc::SIGKILL);
    assert_eq!(proxy.wait().unwrap().signal(), Some(libc::SIGKILL));
    assert!(guard.is_gone(), "the proxy has reaped the guard");
    // A guard that is gone changes nothing for the proxy.
    let mut proxy = cat(Command::new("sh").namespaces(world()));
    send(children_of(proxy.id())[1], libc::SIGKILL);
    proxy.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    proxy.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    assert!(proxy.wait().unwrap().success());
}

fn interrupted() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let mut command = Command::new("sh");
        command.process_group(0).namespaces(world());
        let alarm = alarm(&mut command);
        let mut proxy = cat(&mut command);
        drop(command);
        // SAFETY: signals a group that was made here.
        assert_eq!(unsafe { libc::kill(-(proxy.id() as i32), signal) }, 0);
        assert_eq!(proxy.wait().unwrap().signal(), Some(signal));
        ends(alarm);
    }
}

fn pipes() {
    let mut command = sh("exec >&- 2>&-; exec cat");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut proxy = command.namespaces(world()).spawn().unwrap();
    // The program goes on, and nobody else holds the other ends.
    assert_eq!(proxy.stdout.as_mut().unwrap().read(&mut [0]).unwrap(), 0);
    assert_eq!(proxy.stderr.as_mut().unwrap().read(&mut [0]).unwrap(), 0);
    assert!(proxy.try_wait().unwrap().is_none());
    drop(proxy.stdin.take());
    assert_eq!(proxy.wait().unwrap().code(), Some(1), "cat has nowhere to write");
}

fn holds_nothing() {
    let own_file = fs::File::open("/dev/null").unwrap();
    // SAFETY: a descriptor that programs inherit, as std has it.
    unsafe { libc::fcntl(own_file.as_raw_fd(), libc::F_SETFD, 0) };
    let mut outer = outer();
    let entered = |command: &mut Command| {
        command.enter_process(outer.pidfd(), USER | PID);
    };
    let created = |command: &mut Command| {
        command.namespaces(world());
    };
    for (in_world, guard) in [(&created as &dyn Fn(&mut Command), 1), (&entered, 0)] {
        let mut command = Command::new("sh");
        in_world(&mut command);
        let mut proxy = cat(&mut command);
        let fds = |id: u32| fs::read_dir(format!("/proc/{id}/fd")).map(Iterator::count);
        // Who has entered a user namespace is closed to others of the user.
        if is_root() || guard == 1 {
            // Without close_range(2) they are closed one by one, std's pipe among them, whose end std waits for.
            let start = Instant::now();
            while Need::Feature("close_range").missing().is_some()
                && fds(proxy.id()).unwrap() > 0
                && start.elapsed().as_secs() < 10
            {
                std::thread::yield_now();
            }
            assert_eq!(fds(proxy.id()).unwrap(), 0, "the proxy");
            let guard = children_of(proxy.id())[guard];
            assert_eq!(fds(guard).unwrap(), 2, "the guard has two pidfds");
        }
        proxy.wait().unwrap();
        // Nothing of the crate's is passed on.
        let look = "ls -l /proc/self/fd | sed 's/.* \\([0-9]* ->\\)/\\1/; s,/proc/.*,,'";
        let plain = text_of(&sh(look).output().unwrap());
        let mut inside = sh(look);
        inside.namespaces(with_user(UTS));
        assert_eq!(sorted(&stdout_of(&mut inside)), sorted(&plain));
        let mut inside = sh(look);
        inside.namespaces(world());
        assert_eq!(sorted(&stdout_of(&mut inside)), sorted(&plain));
    }
    outer.wait().unwrap();
}

/// Pipes have other numbers each time.
fn sorted(list: &str) -> Vec<String> {
    let without_number = |line: &str| line.split(":[").next().unwrap_or_default().to_owned();
    let mut lines: Vec<_> = list.lines().map(without_number).collect();
    lines.sort();
    lines
}

extern "C" fn handler(_: libc::c_int) {
    // SAFETY: ends the process: a handler of the caller's must not run in a proxy.
    unsafe { libc::_exit(99) };
}

fn handlers_and_mask() {
    for signal in [libc::SIGTERM, libc::SIGUSR1, libc::SIGINT] {
        // SAFETY: the handler makes one system call.
        unsafe { libc::signal(signal, handler as *const () as usize) };
    }
    // SAFETY: no handlers.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    // SAFETY: plain integers.
    let mut mask: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: a set of this frame.
    unsafe { libc::sigaddset(&raw mut mask, libc::SIGUSR2) };
    // SAFETY: as above; this case has one thread.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const mask, std::ptr::null_mut()) };

    let masks =
        |status: &str| ["SigBlk", "SigIgn", "SigCgt"].map(|name| field(name, status).to_owned());
    let status_of = |id: u32| fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let plain = plain("cat").arg("/proc/self/status").output().unwrap();
    let mut proxy = Command::new("cat");
    let mut proxy = proxy.stdin(Stdio::piped()).namespaces(with_user(PID)).spawn().unwrap();
    assert_eq!(masks(&status_of(proxy.id())), ["0000000000000000"; 3], "the proxy's");
    let program = status_of(children_of(proxy.id())[0]);
    assert_eq!(masks(&program), masks(&text_of(&plain)), "the program's");
    // SAFETY: a child of this process, not yet waited for.
    unsafe { libc::kill(proxy.id() as i32, libc::SIGTERM) };
    assert_eq!(proxy.wait().unwrap().signal(), Some(libc::SIGTERM));
}

/// A copy that stays would keep each page that the caller writes to from now on.
fn large_caller() {
    const MIB: usize = 1 << 20;
    let mut memory = vec![1u8; 256 * MIB];
    memory.iter_mut().step_by(4096).for_each(|byte| *byte = 2);
    let mut command = Command::new("cat");
    let mut proxy = command.stdin(Stdio::piped()).namespaces(with_user(PID)).spawn().unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", proxy.id())).unwrap();
    let kib: usize = field("RssAnon", &status).trim_end_matches(" kB").parse().unwrap();
    if !cfg!(linux_namespaces_portable) {
        assert!(kib < 1024, "the proxy has {kib} KiB");
    }
    assert!(std::hint::black_box(&memory).contains(&2));
    assert!(proxy.wait().unwrap().success());
}

fn much_output() {
    let mut command = Command::new("head");
    command.args(["-c", "5000000", "/dev/zero"]).namespaces(world());
    let output = command.output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout.len(), 5_000_000);
    let mut both = sh("head -c 300000 /dev/zero; head -c 200000 /dev/zero >&2; exit 9");
    let output = both.namespaces(world()).output().unwrap();
    assert_eq!(output.status.code(), Some(9));
    assert_eq!((output.stdout.len(), output.stderr.len()), (300_000, 200_000));
}

fn wait_and_try_wait() {
    let mut proxy = cat(Command::new("sh").namespaces(world()));
    assert!(proxy.try_wait().unwrap().is_none());
    drop(proxy.stdin.take());
    let status = proxy.wait().unwrap();
    assert!(status.success());
    assert_eq!(proxy.wait().unwrap(), status, "std remembers it");
    let mut proxy = sh("exit 3").namespaces(world()).spawn().unwrap();
    let status = loop {
        match proxy.try_wait().unwrap() {
            Some(status) => break status,
            None => std::thread::yield_now(),
        }
    };
    assert_eq!(status.code(), Some(3));
}

fn missing() {
    let before = Footprint::now();
    let mut outer = outer();
    for _ in 0..20 {
        for set in [with_user(UTS), with_user(PID), world(), Namespaces::all()] {
            let mut command = Command::new("/no/such/program");
            let error = command.namespaces(set).spawn().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{set}");
        }
        let mut command = Command::new("/no/such/program");
        command.enter_process(outer.pidfd(), USER | PID).namespaces(PID);
        assert_eq!(command.spawn().unwrap_err().kind(), io::ErrorKind::NotFound);
        let mut hook = sh("true");
        hook.namespaces(world());
        // SAFETY: it does nothing.
        unsafe { hook.pre_exec(|| Err(io::Error::from_raw_os_error(libc::EXFULL))) };
        assert_eq!(hook.spawn().unwrap_err().raw_os_error(), Some(libc::EXFULL));
    }
    outer.wait().unwrap();
    drop(outer);
    before.assert_unchanged();
}

fn orphans() {
    let script =
        "sh -c 'sh -c \"read x; echo \\$PPID\" 0<&3 &' 3<&0; wait; echo done; exec cat >&2";
    let mut command = sh(script);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut proxy = command.namespaces(world()).spawn().unwrap();
    let mut said = [0; 5];
    proxy.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    assert_eq!(&said, b"done\n");
    assert_eq!(children_of(proxy.id()).len(), 2, "none of them comes to the proxy");
    drop(proxy.stdin.take());
    proxy.wait().unwrap();
}
