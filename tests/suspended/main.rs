//! A program that is set up and waits.
mod caller;
#[path = "../common/mod.rs"]
mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Instant;

use common::{Footprint, Need, field, in_own_process, inode, sh, test, test_with, with_user};
use libtest_mimic::Trial;
use linux_namespaces::flags::{MOUNT, NET, PID, TIME, USER, UTS};
use linux_namespaces::{
    Child, Command, NamespaceKind, Namespaces, PidFd, ProcessNamespaces, Stdio, Step, Suspended,
};

const USERNS: &[Need] = &[Need::UserNamespaces];

fn main() {
    common::run(
        &[
            ("nothing_is_left", nothing_is_left_case),
            ("functions", functions_case),
            ("holder", caller::holder_case),
            ("cost", cost_case),
        ],
        tests(),
    );
}

fn tests() -> Vec<Trial> {
    vec![
        test("it_waits_and_runs", it_waits_and_runs),
        test_with("namespaces_are_the_programs", USERNS, namespaces_are_the_programs),
        test_with("set_up_before_it_waits", USERNS, set_up_before_it_waits),
        test_with("the_world_can_be_changed", USERNS, the_world_can_be_changed),
        test("errors_are_those_of_spawn", errors_are_those_of_spawn),
        test("the_command_may_go", the_command_may_go),
        test("descriptors_are_exact", descriptors_are_exact),
        test("signals_wait", signals_wait),
        test("killed_while_it_waits", killed_while_it_waits),
        test("stopped_while_it_waits", stopped_while_it_waits),
        test_with("nothing_is_left", USERNS, || in_own_process("nothing_is_left")),
        test("the_caller_goes_on", the_caller_goes_on),
        test("other_threads_resume_and_drop", other_threads_resume_and_drop),
        test_with("every_engine", USERNS, every_engine),
        test("hooks_run_before_it_waits", hooks_run_before_it_waits),
        test("functions_wait_too", || in_own_process("functions")),
        test_with("other_spawns_go_on", USERNS, other_spawns_go_on),
        test("the_callers_death_ends_it", || caller::the_callers_end_ends_it("death")),
        test("the_callers_exec_ends_it", || caller::the_callers_end_ends_it("exec")),
        test("a_thread_may_end", caller::a_thread_may_end),
        test("forgotten_ones_stay", caller::forgotten_ones_stay),
        test("cost_is_independent_of_memory", || in_own_process("cost")),
    ]
}

fn suspended(command: &mut Command) -> Suspended {
    command.spawn_suspended().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn status_of(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/status")).expect("it is there")
}

fn output_of(child: Child) -> String {
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success(), "{}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

/// Whether the process is there, be it as a zombie.
fn exists(pid: u32) -> bool {
    fs::metadata(format!("/proc/{pid}")).is_ok()
}

fn await_end(pidfd: &PidFd) {
    let mut poll = libc::pollfd { fd: pidfd.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, of a descriptor that is open.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 20_000) };
    assert_eq!(ready, 1, "it has not ended");
}

fn it_waits_and_runs() {
    let waiting = suspended(Command::new("echo").arg("ran").stdout(Stdio::piped()));
    let id = waiting.id();
    let own = std::process::id().to_string();
    assert_eq!(field("PPid", &status_of(id)), own);
    assert_eq!(waiting.pidfd().pid().expect("told"), Some(id));
    // It is this program still, and sleeps.
    assert_eq!(
        fs::read_link(format!("/proc/{id}/exe")).expect("a program"),
        std::env::current_exe().expect("a program")
    );
    let child = waiting.resume().expect("it runs");
    assert_eq!(child.id(), id);
    assert_eq!(output_of(child), "ran\n");
}

fn namespaces_are_the_programs() {
    let set = with_user(PID | MOUNT | NET | UTS);
    let waiting = suspended(sh("readlink /proc/self/ns/*").namespaces(set).stdout(Stdio::piped()));
    let own = ProcessNamespaces::current().expect("own");
    let seen = waiting.namespaces().expect("its namespaces");
    for kind in NamespaceKind::ALL {
        if kind == NamespaceKind::Time {
            continue;
        }
        let id = waiting.namespace(kind).expect("a handle").id().expect("an identity");
        assert_eq!(Some(id), seen.get(kind), "{kind}");
        assert_eq!(Some(id) != own.get(kind), set.contains(kind.flag()), "{kind}");
    }
    let network = waiting.namespace(NamespaceKind::Net).expect("a handle").id().expect("known");
    let told = output_of(waiting.resume().expect("it runs"));
    assert!(told.contains(&network.to_string()), "{told}");

    if cfg!(linux_namespaces_portable) {
        return;
    }
    let waiting = suspended(
        Command::new("readlink")
            .arg("/proc/self/ns/time")
            .namespaces(with_user(TIME))
            .stdout(Stdio::piped()),
    );
    let time = waiting.namespace(NamespaceKind::Time).expect("a handle").id().expect("known");
    assert_ne!(Some(time), own.get(NamespaceKind::Time));
    assert_eq!(output_of(waiting.resume().expect("it runs")).trim(), time.to_string());
}

fn set_up_before_it_waits() {
    let mut command = Command::new("true");
    command
        .namespaces(with_user(NET | UTS | PID | MOUNT) | USER)
        .map_root_user()
        .hostname("waiting")
        .current_dir("/usr")
        .process_group(0);
    let waiting = suspended(&mut command);
    let id = waiting.id();
    let status = status_of(id);
    assert_eq!(field("NSpid", &status).split_whitespace().last(), Some("1"));
    assert_eq!(field("NSpgid", &status).split_whitespace().last(), Some("1"), "its own group");
    let map = fs::read_to_string(format!("/proc/{id}/uid_map")).expect("its map");
    assert_eq!(map.split_whitespace().next(), Some("0"), "{map}");
    assert_eq!(
        fs::read_link(format!("/proc/{id}/cwd")).expect("its directory").to_str(),
        Some("/usr")
    );
    // Nothing can be sent to it that a handler of this program would run for, in memory that is shared.
    assert_eq!(field("SigCgt", &status), "0000000000000000");
    let name = waiting.namespace(NamespaceKind::Uts).expect("a handle");
    let user = waiting.namespace(NamespaceKind::User).expect("a handle");
    let inside =
        Command::new("uname").arg("-n").enter(&user).enter(&name).output().expect("a name");
    assert_eq!(String::from_utf8_lossy(&inside.stdout), "waiting\n");
    assert!(waiting.resume().expect("it runs").wait().expect("its end").success());
}

fn the_world_can_be_changed() {
    let mut command = sh("uname -n; cat /proc/net/dev");
    command
        .namespaces(with_user(UTS | NET) | USER)
        .map_root_user()
        .hostname("before")
        .stdout(Stdio::piped());
    let waiting = suspended(&mut command);
    let changed = sh("hostname after 2>/dev/null || echo after > /proc/sys/kernel/hostname")
        .enter_process(waiting.pidfd(), USER | UTS)
        .status()
        .expect("entered");
    assert!(changed.success());
    let told = output_of(waiting.resume().expect("it runs"));
    assert!(told.starts_with("after\n") && told.contains("lo:"), "{told}");
}

fn errors_are_those_of_spawn() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = directory.path().join("script");
    fs::write(&script, "#!/no/such/interpreter\n").expect("a file");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("a mode");
    let plain = directory.path().join("plain");
    fs::write(&plain, "nothing").expect("a file");
    for program in
        ["/no/such/program".as_ref(), script.as_path(), plain.as_path(), directory.path()]
    {
        let mut command = Command::new(program);
        let expected = command.spawn().expect_err("it is no program").to_string();
        let before = Footprint::now();
        let error = suspended(&mut command).resume().expect_err("it is no program");
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.step(), &Step::Exec(program.into()));
        before.assert_unchanged();
    }
    // With a root of its own, where the caller cannot look for it.
    fs::create_dir(directory.path().join("proc")).expect("a directory");
    let mut command = Command::new("/no/such/program");
    command.namespaces(common::with_user(Namespaces::NS)).root(directory.path());
    let expected = command.spawn().expect_err("it is not there").to_string();
    assert!(expected.contains("inside the new root there is no such program"), "{expected}");
    let error = suspended(&mut command).resume().expect_err("it is not there");
    assert_eq!(error.to_string(), expected);
    // What fails before it waits is an error of the start.
    let mut command = Command::new("true");
    let expected = command.current_dir("/no/such/directory").spawn().expect_err("none").to_string();
    assert_eq!(command.spawn_suspended().expect_err("none").to_string(), expected);
    let error = Command::new("true").hostname("x").spawn_suspended().expect_err("refused");
    assert_eq!(error.step(), &Step::Validate);
}

fn the_command_may_go() {
    let long = "x".repeat(100_000);
    let mut command = Command::new("sh");
    command
        .args(["-c", "echo $0 $VARIABLE | md5sum"])
        .arg(&long)
        .env("VARIABLE", &long)
        .stdout(Stdio::piped());
    let expected = command.output().expect("it runs").stdout;
    let waiting: Vec<_> = (0..5).map(|_| suspended(&mut command)).collect();
    command.arg("another").env("VARIABLE", "another").stdout(Stdio::null());
    drop(command);
    // What was freed is used again.
    let noise: Vec<String> =
        (0..2000).map(|number| format!("{number}").repeat(number % 300)).collect();
    for waiting in waiting {
        assert_eq!(output_of(waiting.resume().expect("it runs")).as_bytes(), expected);
    }
    drop(noise);
}

fn descriptors_are_exact() {
    /// What `cat` has open, by number, once it runs.
    fn list(command: &mut Command) -> Vec<(i32, String)> {
        let waiting = suspended(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let mut child = waiting.resume().expect("it runs");
        child.stdin.as_mut().expect("piped").write_all(b"x").expect("it reads");
        child.stdout.as_mut().expect("piped").read_exact(&mut [0]).expect("it writes");
        let open = fs::read_dir(format!("/proc/{}/fd", child.id())).expect("open").flatten();
        let mut open: Vec<_> = open
            .map(|entry| {
                let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
                (
                    number.expect("a number"),
                    fs::read_link(entry.path()).expect("a link").display().to_string(),
                )
            })
            .collect();
        open.sort();
        assert!(child.wait().expect("its end").success());
        open
    }
    let told = list(&mut Command::new("cat"));
    assert_eq!(told.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1, 2], "{told:?}");
    // Whatever numbers are wanted, those that the wait takes are others.
    for first in 3..16 {
        let mut command = Command::new("cat");
        for number in first..first + 12 {
            command.fd(number, fs::File::open("/dev/zero").expect("a device"));
        }
        let told =
            list(command.parent_death_signal(if first % 2 == 0 { libc::SIGKILL } else { 0 }));
        let zeros: Vec<_> = told
            .iter()
            .filter(|(_, file)| file == "/dev/zero")
            .map(|(number, _)| *number)
            .collect();
        assert_eq!(zeros, (first..first + 12).collect::<Vec<_>>());
        assert_eq!(told.len(), 15, "{told:?}");
    }
    let told = list(Command::new("cat").inherit_fds(true));
    let own = |(number, _): &&(i32, String)| *number > 2;
    // SAFETY: asks for the flags of a number.
    let inheritable =
        |number: &i32| *number > 2 && unsafe { libc::fcntl(*number, libc::F_GETFD) } == 0;
    let expected: Vec<_> = (0..1024).filter(inheritable).collect();
    assert_eq!(
        told.iter().filter(own).map(|(number, _)| *number).collect::<Vec<_>>(),
        expected,
        "{told:?}"
    );
}

fn signals_wait() {
    let waiting = suspended(&mut Command::new("cat"));
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGUSR1, libc::SIGSEGV, libc::SIGRTMIN() - 1]
    {
        waiting.pidfd().send_signal(signal).expect("sent");
    }
    let status = status_of(waiting.id());
    assert_ne!(field("ShdPnd", &status), "0000000000000000");
    assert!(exists(waiting.id()));
    let before = std::process::id();
    let error = waiting.resume().expect_err("one of them ends it");
    assert_eq!(error.step(), &Step::Signal, "{error}");
    assert!(error.to_string().contains("signal"), "{error}");
    assert_eq!(before, std::process::id());
}

fn killed_while_it_waits() {
    let before = Footprint::now();
    let waiting = suspended(&mut Command::new("true"));
    waiting.pidfd().send_signal(libc::SIGKILL).expect("sent");
    await_end(waiting.pidfd());
    let error = waiting.resume().expect_err("it is gone");
    assert_eq!(error.step(), &Step::Wait, "{error}");
    assert!(error.to_string().contains("SIGKILL"), "{error}");
    let waiting = suspended(&mut Command::new("true"));
    waiting.pidfd().send_signal(libc::SIGKILL).expect("sent");
    drop(waiting);
    before.assert_unchanged();
}

fn stopped_while_it_waits() {
    let waiting = suspended(Command::new("echo").arg("ran").stdout(Stdio::piped()));
    waiting.pidfd().send_signal(libc::SIGSTOP).expect("sent");
    let start = Instant::now();
    while !field("State", &status_of(waiting.id())).starts_with('T') {
        assert!(start.elapsed().as_secs() < 10, "it does not stop");
        std::thread::yield_now();
    }
    waiting.pidfd().send_signal(libc::SIGCONT).expect("sent");
    assert_eq!(output_of(waiting.resume().expect("it runs")), "ran\n");
    let waiting = suspended(&mut Command::new("true"));
    waiting.pidfd().send_signal(libc::SIGSTOP).expect("sent");
    let pid = waiting.id();
    drop(waiting);
    assert!(!exists(pid), "a stopped one is killed too");
}

fn nothing_is_left_case() {
    let sets = [Namespaces::empty(), USER, with_user(PID | MOUNT), with_user(NET) | USER];
    // What is made once for all.
    drop(suspended(&mut Command::new("true")));
    drop(suspended(Command::new("true").namespaces(USER).stdin(Stdio::piped())));
    for set in sets {
        let before = Footprint::now();
        let mut command = Command::new("true");
        command.namespaces(set).stdin(Stdio::piped()).stdout(Stdio::piped());
        let waiting = suspended(&mut command);
        let pid = waiting.id();
        drop(waiting);
        assert!(!exists(pid), "it is reaped");
        let mut many: Vec<_> = (0..8).map(|_| suspended(&mut command)).collect();
        many.swap(0, 5);
        drop(many);
        let error = suspended(Command::new("/no/such/program").namespaces(set)).resume();
        error.expect_err("no program");
        before.assert_unchanged();
    }
}

fn the_caller_goes_on() {
    // On its memory, with what it freed, and with signals that it handles.
    let waiting: Vec<_> = (0..16)
        .map(|number| suspended(sh(&format!("exit {number}")).stdin(Stdio::null())))
        .collect();
    let threads: Vec<_> = (0..4)
        .map(|seed: usize| {
            std::thread::spawn(move || {
                let mut kept = Vec::new();
                for round in 0..20_000usize {
                    kept.push(vec![round as u8; (round * (seed + 7)) % 3000]);
                    if kept.len() > 50 {
                        kept.clear();
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no crash");
    }
    let mut others = sh("exit 3");
    assert_eq!(others.status().expect("a spawn beside it").code(), Some(3));
    for (number, waiting) in waiting.into_iter().enumerate() {
        let mut child = waiting.resume().expect("it runs");
        assert_eq!(child.wait().expect("its end").code(), Some(number as i32));
    }
}

fn other_threads_resume_and_drop() {
    let before = Footprint::now();
    for round in 0..50 {
        let waiting = suspended(&mut sh("exit 9"));
        let thread = std::thread::spawn(move || {
            if round % 2 == 0 {
                drop(waiting);
            } else {
                let mut child = waiting.resume().expect("it runs");
                assert_eq!(child.wait().expect("its end").code(), Some(9));
            }
        });
        thread.join().expect("no panic");
    }
    before.assert_unchanged();
}

/// A copy where one is needed, helpers where some are, and the caller's memory.
fn every_engine() {
    let target =
        suspended(Command::new("cat").namespaces(USER | UTS | NET | PID | MOUNT).map_root_user());
    let target_pid = target.id();
    let resume = |command: &mut Command, expected: &str| {
        for times in 0..3 {
            let before = Footprint::now();
            let waiting = suspended(command.stdin(Stdio::null()).stdout(Stdio::piped()));
            if times == 0 {
                drop(waiting);
            } else {
                let told = output_of(waiting.resume().expect("it runs"));
                assert!(told.contains(expected), "{command:?}: {told}");
            }
            let error = {
                let mut missing = Command::new("/no/such/program");
                missing.enter_process(target.pidfd(), USER | UTS);
                suspended(&mut missing).resume().expect_err("no program")
            };
            assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{error}");
            before.assert_unchanged();
        }
    };
    let uts = inode(format!("/proc/{target_pid}/ns/uts")).to_string();
    resume(sh("readlink /proc/self/ns/uts").enter_process(target.pidfd(), USER | UTS), &uts);
    resume(
        sh("readlink /proc/self/ns/uts").enter_process(target.pidfd(), USER | UTS).namespaces(NET),
        &uts,
    );
    resume(sh("readlink /proc/self/ns/uts").enter_process(target.pidfd(), USER | UTS | PID), &uts);
    resume(
        sh("readlink /proc/self/ns/uts; echo $$")
            .enter_process(target.pidfd(), USER | UTS | PID)
            .namespaces(PID),
        "\n1\n",
    );
    resume(
        sh("readlink /proc/self/ns/uts").enter_process(target.pidfd(), USER | UTS).namespaces(USER),
        &uts,
    );
    let mut hooked = sh("echo hooked; id -u");
    // SAFETY: it does nothing.
    unsafe { hooked.pre_exec(|| Ok(())) };
    resume(hooked.namespaces(USER | PID).map_root_user(), "hooked\n0\n");
    resume(sh("echo $$").namespaces(with_user(PID)).init(true), "2\n");
    resume(
        sh("echo $$").namespaces(with_user(PID)).init(true).parent_death_signal(libc::SIGKILL),
        "2\n",
    );
    resume(sh("echo here").parent_death_signal(libc::SIGTERM), "here");
    if common::is_root() {
        resume(sh("id -u").uid(1234).gid(1234), "1234");
        resume(sh("id -u").namespaces(USER | NET), "0");
    }
}

fn hooks_run_before_it_waits() {
    let (mut read, write) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let mut command = Command::new("true");
    let number = write.as_raw_fd();
    let hook = move || {
        // SAFETY: writes one byte to a pipe that is open.
        unsafe { libc::write(number, c"h".as_ptr().cast(), 1) };
        Ok(())
    };
    // SAFETY: it makes one system call.
    unsafe { command.pre_exec(hook) };
    let waiting = suspended(&mut command);
    drop(write);
    drop(command);
    let mut byte = [0];
    read.read_exact(&mut byte).expect("the hook has run");
    assert!(waiting.resume().expect("it runs").wait().expect("its end").success());
    assert_eq!(read.read(&mut byte).expect("an end"), 0, "once");

    let mut failing = Command::new("true");
    // SAFETY: it makes no call at all.
    unsafe { failing.pre_exec(|| Err(std::io::Error::from_raw_os_error(libc::EDOM))) };
    let error = failing.spawn_suspended().expect_err("the hook's");
    assert_eq!((error.step(), error.raw_os_error()), (&Step::PreExec, Some(libc::EDOM)));

    let mut closing = Command::new("true");
    let close_all = || {
        // SAFETY: closes what is this process's own.
        unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
        Ok(())
    };
    // SAFETY: it makes one system call.
    unsafe { closing.pre_exec(close_all) };
    let error = closing.spawn_suspended().expect_err("it could never be resumed");
    assert!(error.to_string().contains("a hook has closed"), "{error}");
}

fn functions_case() {
    let before = Footprint::now();
    let (mut read, write) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let mut ours = write.try_clone().expect("a duplicate");
    let mut command = Command::from_fn(move || {
        ours.write_all(b"f").expect("a pipe");
        17
    });
    let waiting = suspended(&mut command);
    drop((command, write));
    let mut child = waiting.resume().expect("it runs");
    assert_eq!(child.wait().expect("its end").code(), Some(17));
    let mut told = Vec::new();
    read.read_to_end(&mut told).expect("an end");
    assert_eq!(told, b"f");
    drop(read);
    drop(suspended(&mut Command::from_fn(|| 1)));
    drop(child);
    before.assert_unchanged();
    let listed = || fs::read_dir("/proc/self/fd").expect("open").count() as i32;
    let mut child = suspended(&mut Command::from_fn(listed)).resume().expect("it runs");
    // The child's own pidfd is one more.
    let here = listed();
    assert_eq!(
        child.wait().expect("its end").code(),
        Some(here - 1),
        "nothing of the wait is open in it"
    );
}

/// While one waits, spawns of all sorts go on, and the dumpable flag comes back in the end.
fn other_spawns_go_on() {
    // SAFETY: asks for a number.
    let flag = || unsafe { libc::prctl(libc::PR_GET_DUMPABLE) };
    let before = flag();
    let first = suspended(Command::new("true").namespaces(USER | NET).map_root_user());
    let mut second = Command::new("true");
    if common::is_root() {
        second.uid(4321);
    }
    let second = suspended(&mut second);
    for _ in 0..3 {
        assert!(sh("true").namespaces(USER).map_root_user().status().expect("maps").success());
        let mut hooked = sh("true");
        // SAFETY: it does nothing.
        unsafe { hooked.pre_exec(|| Ok(())) };
        assert!(hooked.namespaces(USER).status().expect("maps of a copy").success());
        assert!(
            sh("true")
                .enter_process(first.pidfd(), USER | NET)
                .status()
                .expect("entered")
                .success()
        );
        drop(suspended(Command::new("true").namespaces(USER)));
    }
    assert!(first.resume().expect("it runs").wait().expect("its end").success());
    assert!(second.resume().expect("it runs").wait().expect("its end").success());
    assert_eq!(flag(), before);
}

fn cost_case() {
    // There every suspended child has a copy.
    if cfg!(linux_namespaces_portable) {
        return;
    }
    let median = |set: Namespaces| {
        let mut times: Vec<_> = (0..21)
            .map(|_| {
                let start = Instant::now();
                let waiting = suspended(Command::new("true").namespaces(set));
                let taken = start.elapsed();
                drop(waiting);
                taken
            })
            .collect();
        times.sort();
        times[10]
    };
    for set in [Namespaces::empty(), USER] {
        let before = median(set);
        let memory = vec![1u8; 400 << 20];
        let after = median(set);
        assert!(memory.iter().step_by(4096).all(|byte| *byte == 1));
        drop(memory);
        println!("{set}: {before:?} with little memory, {after:?} with 400 MiB");
        // A copy takes 15 ms more.
        assert!(
            after < before + std::time::Duration::from_millis(5),
            "{set}: {before:?} {after:?}"
        );
    }
}
