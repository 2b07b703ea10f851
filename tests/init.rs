//! A process 1 in front of the program.
mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Output;
use std::time::Duration;

use common::{
    Footprint, Need, field, in_own_process, inode, sh, stdout_of, test, test_with, with_user,
};
use libtest_mimic::Trial;
use linux_namespaces::flags::{MOUNT, NET, PID, USER};
use linux_namespaces::{Child, Command, NamespaceKind, Namespaces, Stdio, Step};

const USERNS: &[Need] = &[Need::UserNamespaces];
const MEMORY: &[Need] =
    &[Need::UserNamespaces, Need::NoSanitizer("what it knows of the memory is kept for its sake")];
const ROOT: &[Need] = &[Need::Root];
const BASH: &[Need] = &[Need::UserNamespaces, Need::Program("bash")];
const SETSID: &[Need] = &[Need::UserNamespaces, Need::Program("setsid")];

fn main() {
    common::run(
        &[
            ("chld_ignored", chld_ignored_case),
            ("functions", functions_case),
            ("nothing_is_left", nothing_is_left_case),
            ("memory", memory_case),
        ],
        tests(),
    );
}

fn tests() -> Vec<Trial> {
    vec![
        test_with("the_program_is_the_second", USERNS, the_program_is_the_second),
        test_with("exit_codes_are_exact", USERNS, exit_codes_are_exact),
        test_with("deaths_by_signal_are_exact", USERNS, deaths_by_signal_are_exact),
        test_with("every_way_of_waiting", USERNS, every_way_of_waiting),
        test_with("signals_are_passed_on", BASH, signals_are_passed_on),
        test_with("values_of_signals_are_passed_on", USERNS, values_of_signals_are_passed_on),
        test_with("orphans_are_reaped", USERNS, orphans_are_reaped),
        test_with("daemons_go_with_it", SETSID, daemons_go_with_it),
        test_with("kill_is_told", USERNS, kill_is_told),
        test_with("it_holds_no_descriptor", USERNS, it_holds_no_descriptor),
        test_with("errors_are_the_programs", USERNS, errors_are_the_programs),
        test_with("groups_and_sessions", USERNS, groups_and_sessions),
        test_with("hooks_and_streams", USERNS, hooks_and_streams),
        test_with("it_can_be_looked_at", USERNS, it_can_be_looked_at),
        test_with("in_an_entered_world", USERNS, in_an_entered_world),
        test_with("another_user", ROOT, another_user),
        test("pid_is_needed", pid_is_needed),
        test_with("chld_ignored", USERNS, || in_own_process("chld_ignored")),
        test_with("functions", USERNS, || in_own_process("functions")),
        test_with("nothing_is_left", USERNS, || in_own_process("nothing_is_left")),
        test_with("memory_is_given_up", MEMORY, || in_own_process("memory")),
    ]
}

fn behind(command: &mut Command) -> &mut Command {
    command.namespaces(with_user(PID | MOUNT)).init(true)
}

fn spawn(command: &mut Command) -> Child {
    behind(command).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn await_end(child: &Child) {
    let mut poll =
        libc::pollfd { fd: child.pidfd().as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, of a descriptor that is open.
    assert_eq!(unsafe { libc::poll(&raw mut poll, 1, 20_000) }, 1, "it has not ended");
}

/// A program that says when it is ready, and what signals it gets.
fn listener(signals: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let script = format!(
        "for signal in {signals}; do trap \"echo $signal\" $signal; done; echo ready; while :; do read -t 0.02 line; [ $? = 1 ] && exit 5; done"
    );
    let mut command = Command::new("bash");
    command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = spawn(&mut command);
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    assert_eq!(next(&mut output), "ready");
    (child, output)
}

fn next(output: &mut impl std::io::BufRead) -> String {
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    line.trim_end().to_owned()
}

fn the_program_is_the_second() {
    let told = stdout_of(behind(&mut sh(
        "echo $$ $PPID; while [ $(cat /proc/1/comm) != init ]; do :; done; echo init; ls -d /proc/[0-9]*",
    )));
    let mut lines = told.lines();
    assert_eq!(lines.next(), Some("2 1"));
    assert_eq!(lines.next(), Some("init"));
    assert_eq!(lines.next(), Some("/proc/1"), "{told}");
    let mut child = spawn(Command::new("cat").stdin(Stdio::piped()));
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("process 1");
    assert_eq!(field("PPid", &status), std::process::id().to_string());
    assert_eq!(field("NSpid", &status).split_whitespace().last(), Some("1"));
    assert_eq!(child.pidfd().pid().expect("told"), Some(child.id()));
    assert!(child.wait().expect("its end").success());
}

fn exit_codes_are_exact() {
    for code in 0..=255 {
        let mut command = sh(&format!("exit {code}"));
        let status = behind(&mut command).status().expect("its end");
        assert_eq!(status.code(), Some(code));
        assert_eq!(status.into_raw(), code << 8);
    }
}

fn deaths_by_signal_are_exact() {
    let ignored = [libc::SIGCHLD, libc::SIGCONT, libc::SIGURG, libc::SIGWINCH];
    let stops = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
    for signal in (1..=64).filter(|signal| !ignored.contains(signal) && !stops.contains(signal)) {
        // The program is process 2, so the signal does to it what it does elsewhere. No core files here.
        let mut child = spawn(&mut sh(&format!("ulimit -c 0; kill -{signal} $$; sleep 10")));
        let status = child.wait().expect("its end");
        assert_eq!(status.signal(), Some(signal), "{status}");
        assert_eq!(status.code(), None);
        assert_eq!(child.wait().expect("the same again"), status);
        assert_eq!(child.try_wait().expect("the same again"), Some(status));
    }
}

fn every_way_of_waiting() {
    let mut child = spawn(&mut sh("kill -TERM $$"));
    await_end(&child);
    assert_eq!(
        child.try_wait().expect("its end").and_then(|status| status.signal()),
        Some(libc::SIGTERM)
    );
    let mut child = spawn(&mut sh("kill -INT $$"));
    let status = child.wait_timeout(Duration::from_secs(20)).expect("its end").expect("in time");
    assert_eq!(status.signal(), Some(libc::SIGINT));
    let Output { status, stdout, stderr } =
        behind(&mut sh("echo out; echo err >&2; kill -HUP $$")).output().expect("its end");
    assert_eq!(
        (status.signal(), &*stdout, &*stderr),
        (Some(libc::SIGHUP), &b"out\n"[..], &b"err\n"[..])
    );
    let mut child = spawn(Command::new("cat").stdin(Stdio::piped()));
    assert_eq!(child.try_wait().expect("no error"), None);
    assert_eq!(child.wait_timeout(Duration::from_millis(1)).map(drop).expect("no error"), ());
    assert!(child.wait().expect("its end").success());
}

fn signals_are_passed_on() {
    let names = "HUP INT QUIT ILL TRAP ABRT BUS FPE USR1 SEGV USR2 PIPE ALRM TERM STKFLT CONT TSTP TTIN TTOU URG XCPU XFSZ \
                 VTALRM PROF WINCH IO PWR SYS RTMIN RTMAX";
    let (mut child, mut output) = listener(names);
    for name in names.split_whitespace() {
        let number = stdout_of(Command::new("bash").args(["-c", &format!("kill -l {name}")]));
        child.signal(number.parse().expect("a number")).expect("sent");
        assert_eq!(next(&mut output), name);
    }
    assert_eq!(child.wait().expect("its end").code(), Some(5));

    // Stopped, and gone on.
    let mut child = spawn(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()));
    let program = program_of(&child);
    child.signal(libc::SIGTSTP).expect("sent");
    await_state(program, 'T');
    child.signal(libc::SIGCONT).expect("sent");
    await_state(program, 'S');
    let stdin = child.stdin.take();
    child.signal(libc::SIGTERM).expect("sent");
    assert_eq!(child.wait().expect("its end").signal(), Some(libc::SIGTERM));
    drop(stdin);
}

/// The program behind the init, as this process numbers it.
fn program_of(child: &Child) -> u32 {
    let path = format!("/proc/{0}/task/{0}/children", child.id());
    let children = fs::read_to_string(path).expect("its children");
    children.split_whitespace().next().expect("one").parse().expect("a number")
}

fn await_state(pid: u32, state: char) {
    let start = std::time::Instant::now();
    loop {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it is there");
        if field("State", &status).starts_with(state) {
            return;
        }
        assert!(start.elapsed().as_secs() < 10, "{}", field("State", &status));
        std::thread::yield_now();
    }
}

fn values_of_signals_are_passed_on() {
    let wait = || {
        let signal = libc::SIGRTMIN() + 3;
        let mut set = std::mem::MaybeUninit::uninit();
        // SAFETY: fills the set.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: filled just now.
        let mut set = unsafe { set.assume_init() };
        // SAFETY: changes the set.
        unsafe { libc::sigaddset(&raw mut set, signal) };
        // SAFETY: of this process, which has one thread.
        unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        // SAFETY: writes one byte.
        unsafe { libc::write(1, c"r".as_ptr().cast(), 1) };
        // SAFETY: plain integers, for which zero is a value.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: fills `info`.
        unsafe { libc::sigwaitinfo(&raw const set, &raw mut info) };
        // SAFETY: a signal that was sent with a value.
        unsafe { info.si_value() }.sival_ptr.addr() as i32
    };
    // SAFETY: it makes system calls and no others.
    let mut command = unsafe { Command::from_fn_unchecked(wait) };
    let mut child = spawn(command.stdout(Stdio::piped()));
    child.stdout.as_mut().expect("piped").read_exact(&mut [0]).expect("it is ready");
    let value = libc::sigval { sival_ptr: std::ptr::without_provenance_mut(77) };
    // SAFETY: takes numbers.
    assert_eq!(unsafe { libc::sigqueue(child.id() as i32, libc::SIGRTMIN() + 3, value) }, 0);
    assert_eq!(child.wait().expect("its end").code(), Some(77));
}

fn orphans_are_reaped() {
    // Every one leaves one behind that ends by itself; then none may be left, dead or alive.
    let script = "i=0; while [ $i -lt 60 ]; do (sh -c 'exit 3' & ) ; i=$((i+1)); done
        while :; do
            left=$(cat /proc/[0-9]*/stat 2>/dev/null | grep -c ' Z ')
            others=$(ls -d /proc/[0-9]* | grep -vc -e '/1$' -e /2$)
            [ \"$left\" = 0 ] && [ $others -le 3 ] && break
        done; echo clean";
    assert_eq!(stdout_of(behind(&mut sh(script))), "clean");
}

fn daemons_go_with_it() {
    let script = "i=0; while [ $i -lt 50 ]; do setsid sh -c 'trap \"\" TERM HUP INT; echo up; exec sleep 1000' & i=$((i+1)); done; read line";
    for way in ["end", "kill", "signal"] {
        let mut child = spawn(sh(script).stdin(Stdio::piped()).stdout(Stdio::piped()));
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        for _ in 0..50 {
            assert_eq!(next(&mut output), "up");
        }
        let namespace = child.namespace(NamespaceKind::Pid).expect("a handle");
        let number = namespace.id().expect("an identity").ino();
        let members = || {
            let processes = fs::read_dir("/proc").expect("processes").flatten();
            processes
                .filter(|process| {
                    fs::read_link(process.path().join("ns/pid"))
                        .is_ok_and(|link| link.to_string_lossy().contains(&number.to_string()))
                })
                .count()
        };
        assert!(members() >= 52, "{} of them", members());
        // To wait closes it, too.
        let stdin = child.stdin.take();
        match way {
            "end" => drop(stdin),
            "kill" => child.kill().expect("killed"),
            _ => {
                child.signal(libc::SIGTERM).expect("sent");
                await_end(&child);
            }
        }
        let status = child.wait().expect("its end");
        assert_eq!(members(), 0, "{way}: some are left");
        match way {
            "end" => assert_eq!(status.code(), Some(1)),
            "kill" => assert_eq!(status.signal(), Some(libc::SIGKILL)),
            _ => assert_eq!(status.signal(), Some(libc::SIGTERM)),
        }
    }
}

fn kill_is_told() {
    let mut child = spawn(Command::new("cat").stdin(Stdio::piped()));
    child.kill().expect("killed");
    assert_eq!(child.wait().expect("its end").signal(), Some(libc::SIGKILL));
}

fn it_holds_no_descriptor() {
    for inherit in [false, true] {
        let file = fs::File::open("/dev/zero").expect("a device");
        let mut command = Command::new("cat");
        command
            .stdin(Stdio::piped())
            .inherit_fds(inherit)
            .fd(7, file)
            .fd(200, fs::File::open("/dev/zero").expect("a device"));
        let mut child = spawn(&mut command);
        // What it closes it closes after the program's exec.
        let start = std::time::Instant::now();
        let listed = || {
            fs::read_dir(format!("/proc/{}/fd", child.id())).expect("it can be looked at").count()
        };
        while listed() > 0 {
            assert!(start.elapsed().as_secs() < 10, "{} are open", listed());
        }
        let program = format!("/proc/{}", program_of(&child));
        assert_eq!(
            fs::read_link(format!("{program}/fd/7")).expect("passed").to_str(),
            Some("/dev/zero")
        );
        let cwd = fs::read_link(format!("/proc/{}/cwd", child.id())).expect("a directory");
        assert_eq!(cwd.to_str(), Some("/"));
        assert!(child.wait().expect("its end").success());
    }
    // So a pipe ends when the program is done with it.
    let mut child = spawn(sh("exec 1>&-; read line").stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut end = Vec::new();
    child.stdout.take().expect("piped").read_to_end(&mut end).expect("an end");
    assert_eq!(child.wait().expect("its end").code(), Some(1));
}

fn errors_are_the_programs() {
    let before = Footprint::now();
    for program in ["/no/such/program", "/etc/passwd", "/usr"] {
        let mut plain = Command::new(program);
        let expected =
            plain.namespaces(with_user(PID | MOUNT)).spawn().expect_err("none").to_string();
        let error = behind(&mut Command::new(program)).spawn().expect_err("it is no program");
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.step(), &Step::Exec(program.into()));
    }
    let error = behind(sh("true").current_dir("/no/such/directory")).spawn().expect_err("none");
    assert_eq!(error.step(), &Step::Chdir("/no/such/directory".into()));
    let error =
        behind(sh("true").fd(1 << 29, fs::File::open("/dev/null").expect("a device"))).spawn();
    assert_eq!(error.expect_err("too high").step(), &Step::Fd(1 << 29));
    // SAFETY: it makes no call at all.
    let error = unsafe {
        sh("true")
            .pre_exec(|| Err(std::io::Error::from_raw_os_error(libc::EDOM)))
            .namespaces(with_user(PID))
            .init(true)
            .spawn()
    };
    assert_eq!(error.expect_err("the hook's").raw_os_error(), Some(libc::EDOM));
    before.assert_unchanged();
}

fn groups_and_sessions() {
    let of = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is there");
        let rest = stat.rsplit_once(") ").expect("a name").1.to_owned();
        let numbers: Vec<i32> =
            rest.split(' ').skip(2).take(2).map(|text| text.parse().expect("a number")).collect();
        (numbers[0], numbers[1])
    };
    let own = of(std::process::id());
    let look = |command: &mut Command| {
        let mut child = spawn(command.stdin(Stdio::piped()));
        let (init, program) = (child.id(), program_of(&child));
        // It moves away after the program's exec.
        let start = std::time::Instant::now();
        while of(init).0 != init as i32 {
            assert!(start.elapsed().as_secs() < 10, "it stays in the group");
        }
        let found = (of(init), of(program), program as i32, init as i32);
        assert!(child.wait().expect("its end").success());
        found
    };
    let (init, program, _, number) = look(&mut Command::new("cat"));
    assert_eq!((program, init), (own, (number, own.1)));
    let (init, program, pid, number) = look(Command::new("cat").process_group(0));
    assert_eq!((program, init), ((pid, own.1), (number, own.1)));
    let (init, program, pid, number) = look(Command::new("cat").new_session(true));
    assert_eq!((program, init), ((pid, pid), (number, number)));
}

fn hooks_and_streams() {
    let own = std::process::id();
    let mut command = sh("cat; echo $HOOKED; exit 4");
    let hook = move || match std::process::id() {
        2 if own != 2 => Ok(()),
        _ => Err(std::io::Error::from_raw_os_error(libc::EDOM)),
    };
    // SAFETY: it makes one system call.
    unsafe { command.pre_exec(hook) };
    command.env("HOOKED", "yes").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = spawn(&mut command);
    child.stdin.take().expect("piped").write_all(b"through\n").expect("it reads");
    let output = child.wait_with_output().expect("its end");
    assert_eq!((output.status.code(), output.stdout), (Some(4), b"through\nyes\n".to_vec()));
}

fn it_can_be_looked_at() {
    for set in [with_user(PID), USER | PID | NET, USER | PID | MOUNT] {
        let mut child = Command::new("cat")
            .namespaces(set)
            .init(true)
            .stdin(Stdio::piped())
            .spawn()
            .expect("it runs");
        let program = program_of(&child);
        let seen = child.namespaces().expect("process 1 can be looked at");
        for kind in set.kinds() {
            let number = inode(format!("/proc/{program}/ns/{}", kind.proc_name()));
            assert_eq!(seen.get(kind).map(|id| id.ino()), Some(number), "{kind}");
            assert_eq!(child.namespace(kind).expect("a handle").id().expect("known").ino(), number);
        }
        assert!(child.wait().expect("its end").success());
    }
}

fn in_an_entered_world() {
    let mut target = Command::new("cat");
    let mut target = target
        .namespaces(USER | PID | MOUNT | NET)
        .map_root_user()
        .stdin(Stdio::piped())
        .spawn()
        .expect("it runs");
    for entered in [USER, USER | NET, USER | PID, USER | PID | NET] {
        for code in [0, 7] {
            let mut command = sh(&format!("test $$ = 2 && exit {code}"));
            let status =
                command.enter_process(target.pidfd(), entered).namespaces(PID).init(true).status();
            assert_eq!(
                status.unwrap_or_else(|error| panic!("{entered}: {error}")).code(),
                Some(code),
                "{entered}"
            );
        }
    }
    assert!(target.wait().expect("its end").success());
}

fn another_user() {
    let mut command = sh("trap 'exit 6' TERM; echo ready; while :; do sleep 0.01; done");
    command.uid(4321).gid(4321).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = spawn(&mut command);
    assert_eq!(next(&mut BufReader::new(child.stdout.take().expect("piped"))), "ready");
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("process 1");
    assert_eq!(field("Uid", &status), "4321\t4321\t4321\t4321");
    child.signal(libc::SIGTERM).expect("sent");
    assert_eq!(child.wait().expect("its end").code(), Some(6));
}

fn pid_is_needed() {
    let error = sh("true").init(true).spawn().expect_err("refused");
    assert_eq!(error.step(), &Step::Validate);
    assert!(error.to_string().contains("Namespaces::PID"), "{error}");
    assert!(sh("true").init(false).status().expect("off").success());
}

fn chld_ignored_case() {
    // SAFETY: ignoring installs no handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    for code in [0, 1, 99, 255] {
        let status = behind(&mut sh(&format!("exit {code}"))).status().expect("told");
        assert_eq!(status.code(), Some(code));
    }
    let mut child = spawn(&mut sh("kill -USR1 $$"));
    await_end(&child);
    assert_eq!(
        child.try_wait().expect("told").and_then(|status| status.signal()),
        Some(libc::SIGUSR1)
    );
    let told = stdout_of(behind(&mut sh("(sh -c 'exit 3'); echo $?")));
    assert_eq!(told, "3", "process 1 does not ignore it");
}

fn functions_case() {
    for code in [0, 1, 200] {
        let status =
            behind(&mut Command::from_fn(move || if std::process::id() == 2 { code } else { 250 }))
                .status();
        assert_eq!(status.expect("it runs").code(), Some(code));
    }
    let mut command = Command::from_fn(|| {
        // SAFETY: ends this process.
        unsafe { libc::raise(libc::SIGUSR2) };
        0
    });
    let status = behind(&mut command).status().expect("it runs");
    assert_eq!(status.signal(), Some(libc::SIGUSR2));
}

fn nothing_is_left_case() {
    assert!(behind(&mut sh("true")).status().expect("it runs").success());
    let before = Footprint::now();
    for set in
        [with_user(PID), with_user(PID | MOUNT), Namespaces::all() - linux_namespaces::flags::TIME]
    {
        let status =
            sh("sleep 1000 & exit 2").namespaces(set).init(true).status().expect("it runs");
        assert_eq!(status.code(), Some(2));
        Command::new("/no/such/program")
            .namespaces(set)
            .init(true)
            .spawn()
            .expect_err("no program");
    }
    before.assert_unchanged();
}

/// What a copy would keep of the caller's memory is given up.
fn memory_case() {
    let mut memory = vec![7u8; 200 << 20];
    let mut child = spawn(Command::new("cat").stdin(Stdio::piped()));
    let id = child.id();
    let kilobytes = |name: &str| -> usize {
        let rollup =
            fs::read_to_string(format!("/proc/{id}/smaps_rollup")).expect("it can be looked at");
        field(name, &rollup).trim_end_matches("kB").trim().parse().expect("a number")
    };
    // It is given up after the program's exec.
    let start = std::time::Instant::now();
    while kilobytes("Rss") > 20_000 {
        assert!(start.elapsed().as_secs() < 20, "{} kB", kilobytes("Rss"));
    }
    // What the caller changes now is no copy of it.
    memory.fill(8);
    let (rss, pss, anonymous) = (kilobytes("Rss"), kilobytes("Pss"), kilobytes("Anonymous"));
    println!(
        "process 1: {rss} kB resident, {pss} kB of that its own share, {anonymous} kB no file's"
    );
    assert!(anonymous < 4000 && pss < 4000, "{rss} {pss} {anonymous}");
    let maps = fs::read_to_string(format!("/proc/{id}/maps")).expect("its maps");
    let names: BTreeSet<_> =
        maps.lines().filter_map(|line| line.split_whitespace().nth(5)).collect();
    assert!(!names.contains("[heap]") && !names.contains("[stack]"), "{names:?}");
    // And it works on: it reaps and passes on. To wait closes the stream, which would end the program.
    let stdin = child.stdin.take();
    child.signal(libc::SIGTERM).expect("sent");
    assert_eq!(child.wait().expect("its end").signal(), Some(libc::SIGTERM));
    drop((memory, stdin));
}
