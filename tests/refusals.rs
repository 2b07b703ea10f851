//! What is refused before any system call, and what is not.
mod common;

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::process::ExitStatusExt as _;
use std::sync::mpsc;

use common::{Footprint, Need, case, in_own_process, sh, stdout_of, test, test_with, with_user};
use libtest_mimic::Trial;
use linux_namespaces::{
    Cause, Child, Command, Error, IdRange, Namespace, NamespaceKind, Namespaces, PidFd,
    Propagation, Stdio, Step,
};

const USERNS: &[Need] = &[Need::UserNamespaces];

fn main() {
    common::run(
        &[
            ("exec_refuses", exec_refuses_case),
            ("no_system_call", no_system_call_case),
            ("allowed_spawn_under_filter", allowed_spawn_under_filter_case),
        ],
        tests(),
    );
}

fn tests() -> Vec<Trial> {
    vec![
        test("spawn_refuses", spawn_refuses),
        test("status_and_output_refuse", status_and_output_refuse),
        test("exec_refuses", || in_own_process("exec_refuses")),
        test_with(
            "no_system_call_is_made",
            &[Need::NoSanitizer("it makes system calls of its own")],
            || in_own_process("no_system_call"),
        ),
        test("the_filter_kills_other_spawns", the_filter_kills_other_spawns),
        test("the_caller_is_as_before", the_caller_is_as_before),
        test("what_is_off_is_not_refused", what_is_off_is_not_refused),
        test("limits_themselves_are_not_refused", limits_themselves_are_not_refused),
        test_with("names_of_64_bytes_are_not_refused", USERNS, names_of_64_bytes_are_not_refused),
        test_with("what_is_entered_is_not_refused", USERNS, what_is_entered_is_not_refused),
        test_with("pid_nests", USERNS, pid_nests),
        test_with("user_nests", USERNS, user_nests),
        test_with("user_and_pid_nest", USERNS, user_and_pid_nest),
        test_with("a_refused_command_can_be_mended", USERNS, a_refused_command_can_be_mended),
        test("the_callers_own_namespace_is_not_entered", the_callers_own_namespace_is_not_entered),
        test("functions_need_one_thread", functions_need_one_thread),
    ]
}

/// A command that is refused, and what the message has to say.
struct Refusal {
    command: Command,
    says: Vec<String>,
}

/// A program that would be noticed if it ran: its end is a failure.
fn failing() -> Command {
    Command::new("false")
}

fn refusal(says: &[&str], build: impl FnOnce(&mut Command)) -> Refusal {
    let mut command = failing();
    build(&mut command);
    Refusal { command, says: says.iter().map(|&text| text.to_owned()).collect() }
}

fn range(inside: u32, outside: u32, count: u32) -> IdRange {
    IdRange { inside, outside, count }
}

fn own_process() -> PidFd {
    PidFd::open(std::process::id()).expect("a pidfd of this process")
}

fn file() -> File {
    File::open("/dev/null").expect("/dev/null")
}

/// Settings whose namespace is missing.
fn without_namespace() -> Vec<Refusal> {
    let uts = ["Namespaces::UTS"];
    let user = ["mapped", "Namespaces::USER"];
    let mount = ["Namespaces::MOUNT"];
    let others = Namespaces::all() - Namespaces::USER;
    vec![
        refusal(&["\"inner\"", "hostname", uts[0]], |command| {
            command.hostname("inner");
        }),
        refusal(&["\"inner\"", "hostname", uts[0]], |command| {
            command.hostname("inner").namespaces(Namespaces::all() - Namespaces::UTS);
        }),
        refusal(&["\"inner\"", "domainname", uts[0]], |command| {
            command.domainname("inner");
        }),
        refusal(&user, |command| {
            command.map_current_user();
        }),
        refusal(&user, |command| {
            command.map_root_user();
        }),
        refusal(&user, |command| {
            command.map_root_user().namespaces(others);
        }),
        refusal(&["ids are left unmapped", "Namespaces::USER"], |command| {
            command.leave_unmapped();
        }),
        refusal(&["ids are left unmapped", "Namespaces::USER"], |command| {
            command.map_root_user().leave_unmapped();
        }),
        refusal(&user, |command| {
            command.uid_map([range(0, 0, 1)]);
        }),
        refusal(&user, |command| {
            command.gid_map([range(0, 0, 1)]);
        }),
        refusal(&["propagation", mount[0]], |command| {
            command.propagation(Propagation::Private);
        }),
        refusal(&["propagation", mount[0]], |command| {
            command.propagation(Propagation::Slave);
        }),
        refusal(&["propagation", mount[0]], |command| {
            command.propagation(Propagation::Shared).namespaces(others - Namespaces::MOUNT);
        }),
        refusal(&["/proc", mount[0]], |command| {
            command.mount_proc(true);
        }),
        refusal(&["/proc", mount[0]], |command| {
            command.mount_proc(true).namespaces(Namespaces::PID);
        }),
        refusal(&["loopback", "Namespaces::NET"], |command| {
            command.loopback(true);
        }),
    ]
}

/// Sets of namespaces that cannot be.
fn contradicting_sets() -> Vec<Refusal> {
    let mut refusals = vec![
        refusal(&["0x1"], |command| {
            command.namespaces(Namespaces::from_bits_retain(1));
        }),
        refusal(&["0x400"], |command| {
            let files = Namespaces::from_bits_retain(libc::CLONE_FILES as u32);
            command.namespaces(files | Namespaces::UTS);
        }),
        refusal(&["0x100"], |command| {
            let memory = Namespaces::from_bits_retain(libc::CLONE_VM as u32);
            command.enter_process(&own_process(), memory | Namespaces::NET);
        }),
    ];
    for kind in NamespaceKind::ALL {
        let handle = Namespace::current(kind).expect("a handle");
        if !matches!(kind, NamespaceKind::User | NamespaceKind::Pid) {
            refusals.push(refusal(&[kind.proc_name(), "created and entered"], |command| {
                command.enter(&handle).namespaces(kind.flag());
            }));
            refusals.push(refusal(&[kind.proc_name(), "created and entered"], |command| {
                command.namespaces(kind.flag()).enter_process(&own_process(), Namespaces::all());
            }));
        }
        refusals.push(refusal(&["two", kind.proc_name()], |command| {
            command.enter(&handle).enter(&handle);
        }));
        refusals.push(refusal(&["two", kind.proc_name()], |command| {
            command.enter(&handle).enter_process(&own_process(), Namespaces::all());
        }));
        refusals.push(refusal(&["two", kind.proc_name()], |command| {
            command.enter_process(&own_process(), Namespaces::all());
            command.enter_process(&own_process(), kind.flag());
        }));
    }
    refusals
}

fn texts_with_nul() -> Vec<Refusal> {
    const BAD: &str = "a\0b";
    const SHOWN: &str = r#""a\0b""#;
    let mut program = Command::new(BAD);
    program.arg("x");
    let mut path = Command::new("/bin/a\0b");
    path.arg("x");
    vec![
        Refusal { command: program, says: vec![SHOWN.to_owned(), "NUL".to_owned()] },
        Refusal { command: path, says: vec![r#""/bin/a\0b""#.to_owned(), "NUL".to_owned()] },
        refusal(&[SHOWN, "NUL", "argument"], |command| {
            command.args(["fine", BAD]);
        }),
        refusal(&[SHOWN, "NUL", "argument"], |command| {
            command.arg0(BAD);
        }),
        refusal(&[SHOWN, "NUL", "environment"], |command| {
            command.env(BAD, "x");
        }),
        refusal(&[SHOWN, "NUL", "environment"], |command| {
            command.envs([("A", "b"), ("X", BAD)]);
        }),
        refusal(&[SHOWN, "NUL", "directory"], |command| {
            command.current_dir(BAD);
        }),
        refusal(&[SHOWN, "NUL", "hostname"], |command| {
            command.namespaces(Namespaces::UTS).hostname(BAD);
        }),
        refusal(&[SHOWN, "NUL", "domainname"], |command| {
            command.namespaces(Namespaces::UTS).domainname(BAD);
        }),
    ]
}

fn bad_maps() -> Vec<Refusal> {
    let most = u32::MAX;
    let many = (0..341).map(|id| range(id, id, 1)).collect();
    let wide = (0..340).map(|id| range(4_000_000_000 + id, 4_000_000_000 + id, 1)).collect();
    let cases: [(&[&str], Vec<IdRange>); 9] = [
        (&["empty", "leave_unmapped"], vec![]),
        (&["\"0 5 0\""], vec![range(0, 5, 0)]),
        (&["\"4294967295 5 1\"", "inside"], vec![range(most, 5, 1)]),
        (&["\"0 4294967290 6\"", "outside"], vec![range(0, most - 5, 6)]),
        (&["\"1 1 4294967295\""], vec![range(1, 1, most)]),
        (&["\"0 0 10\"", "\"9 100 1\"", "inside"], vec![range(0, 0, 10), range(9, 100, 1)]),
        (&["\"0 100 10\"", "\"10 109 1\"", "outside"], vec![range(0, 100, 10), range(10, 109, 1)]),
        (&["341", "340"], many),
        (&["bytes"], wide),
    ];
    let mut refusals = Vec::new();
    for (says, ranges) in cases {
        let with = |file| [&[file], says].concat();
        refusals.push(refusal(&with("uid_map"), |command| {
            command.namespaces(Namespaces::USER).uid_map(ranges.clone());
        }));
        refusals.push(refusal(&with("gid_map"), |command| {
            command.namespaces(Namespaces::USER).gid_map(ranges);
        }));
    }
    refusals
}

fn bad_descriptors() -> Vec<Refusal> {
    vec![
        refusal(&["number 7"], |command| {
            command.fd(7, file()).fd(8, file()).fd(7, file());
        }),
        refusal(&["number 0"], |command| {
            command.stdin(Stdio::null()).fd(0, file());
        }),
        refusal(&["number 1"], |command| {
            command.stdout(file()).fd(1, file());
        }),
        refusal(&["number 2"], |command| {
            command.fd(2, file()).stderr(Stdio::piped());
        }),
        refusal(&["-1"], |command| {
            command.fd(-1, file());
        }),
        refusal(&["-2147483648"], |command| {
            command.fd(i32::MIN, file());
        }),
    ]
}

fn bad_ids_and_names() -> Vec<Refusal> {
    let long = "x".repeat(65);
    let most = "4294967295";
    let mut refusals = vec![
        refusal(&[&long, "65", "64"], |command| {
            command.namespaces(Namespaces::UTS).hostname(&long);
        }),
        refusal(&[&long, "65", "64"], |command| {
            command.namespaces(Namespaces::UTS).domainname(&long);
        }),
        refusal(&[most, "user"], |command| {
            command.uid(u32::MAX);
        }),
        refusal(&[most, "group"], |command| {
            command.gid(u32::MAX);
        }),
        refusal(&[most, "group"], |command| {
            command.groups(&[1, u32::MAX]);
        }),
        refusal(&["65537", "65536"], |command| {
            command.groups(&[1; 65537]);
        }),
        refusal(&["-1", "process group"], |command| {
            command.process_group(-1);
        }),
    ];
    for (argument, name) in [(true, "an argument"), (false, "a name")] {
        let mut function = Command::from_fn(|| 1);
        if argument {
            function.arg(name);
        } else {
            function.arg0(name);
        }
        let says = vec![format!("{name:?}"), "function".to_owned(), "capture".to_owned()];
        refusals.push(Refusal { command: function, says });
    }
    refusals
}

fn all() -> Vec<Refusal> {
    [
        without_namespace(),
        contradicting_sets(),
        texts_with_nul(),
        bad_maps(),
        bad_descriptors(),
        bad_ids_and_names(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What is wrong with this error, as that of a refusal.
fn complaint(error: &Error, says: &[String]) -> Option<String> {
    let message = error.to_string();
    let lacks = says.iter().find(|text| !message.contains(*text));
    match lacks {
        _ if *error.step() != Step::Validate => Some(format!("the step is {:?}", error.step())),
        _ if error.kind() != ErrorKind::InvalidInput => Some(format!("{:?}", error.kind())),
        _ if error.raw_os_error().is_some() => Some(format!("{:?}", error.raw_os_error())),
        _ if message.lines().count() != 1 => Some("more than one line".to_owned()),
        Some(text) => Some(format!("no {text:?}")),
        None => None,
    }
    .map(|what| format!("{what} in: {message}"))
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(command: &str, result: Result<T, Error>, says: &[String]) {
    let error = match result {
        Err(error) => error,
        Ok(value) => panic!("{command} was not refused, and gave {value:?}"),
    };
    if let Some(complaint) = complaint(&error, says) {
        panic!("{command}: {complaint}");
    }
}

fn spawn_refuses() {
    for Refusal { mut command, says } in all() {
        let before = Footprint::now();
        let shown = format!("{command:?}");
        assert_refused(&shown, command.spawn(), &says);
        assert_refused(&shown, command.spawn(), &says);
        before.assert_unchanged();
        assert_eq!(format!("{command:?}"), shown, "the plan is as it was");
    }
}

fn status_and_output_refuse() {
    for Refusal { mut command, says } in all() {
        let shown = format!("{command:?}");
        assert_refused(&shown, command.status(), &says);
        assert_refused(&shown, command.output(), &says);
    }
}

/// A program that was not refused would take the place of this process, and fail.
fn exec_refuses_case() {
    let before = Footprint::now();
    for Refusal { mut command, says } in all() {
        // A function is refused as such.
        let says = if command.get_program() == "fn" { &says[1..2] } else { &says[..] };
        let shown = format!("{command:?}");
        assert_refused::<()>(&shown, Err(command.exec()), says);
    }
    let spawn = ["spawn".to_owned()];
    let error = Command::from_fn(|| 1).exec();
    assert_refused::<()>("a function", Err(error), &spawn);
    let error = failing().namespaces(Namespaces::PID | Namespaces::USER).exec();
    assert_refused::<()>("a new pid namespace", Err(error), &spawn);
    let error = failing().enter_process(&own_process(), Namespaces::PID).exec();
    assert_refused::<()>("an entered pid namespace", Err(error), &spawn);
    before.assert_unchanged();
}

/// From here on this process may do nothing but use memory, write, and end.
fn filter() {
    const ALLOWED: [libc::c_long; 9] = [
        libc::SYS_brk,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_exit_group,
    ];
    let statement = |code: u32, jt: usize, k: u32| libc::sock_filter {
        code: code as u16,
        jt: jt as u8,
        jf: 0,
        k,
    };
    let allow = ALLOWED.len() + 1;
    // The number of the call is the first word.
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0)];
    for (place, number) in (1..).zip(ALLOWED) {
        let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
        program.push(statement(equal, allow - place, number as u32));
    }
    program.push(statement(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_KILL_PROCESS));
    program.push(statement(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW));
    let program =
        libc::sock_fprog { len: program.len() as u16, filter: program.leak().as_mut_ptr() };
    // SAFETY: takes numbers.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(result, 0, "no_new_privs: {}", io::Error::last_os_error());
    // SAFETY: the program lives as long as this process.
    let result =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(result, 0, "seccomp: {}", io::Error::last_os_error());
}

/// Nothing that would need a system call happens afterwards: no destructor, no buffer.
fn end(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

fn no_system_call_case() {
    let refusals: Vec<_> = all();
    let shown: Vec<_> = refusals.iter().map(|refusal| format!("{:?}", refusal.command)).collect();
    let mut refusals = std::mem::ManuallyDrop::new(refusals);
    filter();
    for (Refusal { command, says }, shown) in refusals.iter_mut().zip(shown) {
        let complaint = match command.spawn() {
            Ok(_) => Some("it was not refused".to_owned()),
            Err(error) => complaint(&error, says),
        };
        if let Some(complaint) = complaint {
            eprintln!("{shown}: {complaint}");
            end(1);
        }
    }
    end(0);
}

fn allowed_spawn_under_filter_case() {
    let mut command = Command::new("true");
    filter();
    let _ = command.spawn();
    end(0);
}

/// Or else the test above proves nothing.
fn the_filter_kills_other_spawns() {
    let output = case("allowed_spawn_under_filter").output().expect("this test can be started");
    assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{output:?}");
}

fn the_caller_is_as_before() {
    let names = || {
        ["hostname", "domainname"]
            .map(|name| std::fs::read(format!("/proc/sys/kernel/{name}")).expect("a name"))
    };
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let before = (names(), mounts());
    for Refusal { mut command, .. } in without_namespace() {
        command.spawn().expect_err("refused");
    }
    assert_eq!((names(), mounts()), before);
}

fn what_is_off_is_not_refused() {
    let mut command = sh("echo ran");
    command.loopback(false).mount_proc(false).propagation(Propagation::Unchanged);
    assert_eq!(stdout_of(&mut command), "ran");
    // The last call counts.
    let mut command = sh("echo ran");
    command.loopback(true).mount_proc(true).propagation(Propagation::Private);
    command.spawn().expect_err("refused");
    command.loopback(false).mount_proc(false).propagation(Propagation::Unchanged);
    assert_eq!(stdout_of(&mut command), "ran");
}

fn limits_themselves_are_not_refused() {
    let mut command = sh("echo ran");
    command.fd(7, file()).fd(8, file()).stdin(Stdio::null()).fd(1023, file()).process_group(0);
    assert_eq!(stdout_of(&mut command), "ran");
    // What the kernel thinks of these ids is another matter; they are ids.
    for result in [
        Command::new("true").uid(u32::MAX - 1).status(),
        Command::new("true").gid(u32::MAX - 1).status(),
        Command::new("true").groups(&[u32::MAX - 1]).status(),
        Command::new("true").process_group(i32::MAX).status(),
    ] {
        if let Err(error) = result {
            assert_ne!(error.step(), &Step::Validate, "{error}");
        }
    }
}

fn names_of_64_bytes_are_not_refused() {
    let name = "x".repeat(64);
    let mut command = sh("cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname");
    command.namespaces(with_user(Namespaces::UTS)).hostname(&name).domainname(&name);
    assert_eq!(stdout_of(&mut command), format!("{name}\n{name}"));
}

/// Runs until its standard input ends.
fn holder(set: Namespaces) -> Child {
    Command::new("cat").namespaces(set).stdin(Stdio::piped()).spawn().expect("a holder")
}

fn what_is_entered_is_not_refused() {
    use Namespaces as N;
    let set = with_user(N::UTS | N::NET | N::MOUNT | N::PID);
    let mut there = holder(set);
    let handles = || set.kinds().map(|kind| there.namespace(kind).expect("a handle"));
    let setting = |command: &mut Command| {
        command.hostname("inner").domainname("domain").loopback(true);
        command.propagation(Propagation::Private).mount_proc(true);
        let told = stdout_of(command);
        assert_eq!(told, "inner\ndomain\ninner");
    };
    let tell = "cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname; uname -n";
    setting(sh(tell).enter_process(there.pidfd(), set));
    let mut by_handle = sh(tell);
    for handle in handles() {
        by_handle.enter(&handle);
    }
    setting(&mut by_handle);
    there.wait().expect("its end");
}

/// Entered and created at once: the new ones are inside those that are entered.
fn nest(entered: Namespaces, created: Namespaces) {
    let mut there = holder(entered);
    let mut command = Command::new("cat");
    command.enter_process(there.pidfd(), entered).namespaces(created).stdin(Stdio::piped());
    let mut nested = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    for kind in created.kinds() {
        let inner = nested.namespace(kind).expect("a handle");
        let parent = inner.parent().expect("its parent").expect("in sight");
        let outer = there.namespace(kind).expect("a handle");
        assert_eq!(parent.id().expect("an id"), outer.id().expect("an id"), "{kind}");
    }
    assert!(nested.wait().expect("its end").success());
    there.wait().expect("its end");
}

fn pid_nests() {
    nest(with_user(Namespaces::PID), Namespaces::PID);
}

fn user_nests() {
    nest(Namespaces::USER, Namespaces::USER);
}

fn user_and_pid_nest() {
    nest(Namespaces::USER | Namespaces::PID, Namespaces::USER | Namespaces::PID);
}

fn a_refused_command_can_be_mended() {
    let mut command = sh("uname -n; cat /proc/self/uid_map");
    command.hostname("inner").map_root_user();
    for set in [Namespaces::empty(), Namespaces::UTS] {
        let error = command.namespaces(set).output().expect_err("refused");
        assert_eq!(error.step(), &Step::Validate);
    }
    let told = stdout_of(command.namespaces(Namespaces::USER));
    let (name, map) = told.split_once('\n').expect("two lines");
    // SAFETY: asks for a number.
    let uid = unsafe { libc::geteuid() };
    assert_eq!(name, "inner");
    assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", &uid.to_string(), "1"]);
}

/// Its own namespaces are passed over, so a setting would act on the caller's world.
fn the_callers_own_namespace_is_not_entered() {
    let before = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    let uts = Namespace::current(NamespaceKind::Uts).expect("a handle");
    let me = PidFd::open(std::process::id()).expect("a pidfd");
    for command in [failing().enter(&uts), failing().enter_process(&me, Namespaces::UTS)] {
        let error = command.hostname("renamed").spawn().expect_err("it would rename the host");
        assert_eq!((error.step(), error.kind()), (&Step::Validate, ErrorKind::InvalidInput));
        assert!(error.to_string().contains("add `Namespaces::UTS`"), "{error}");
    }
    let after = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    assert_eq!(after, before);
}

fn functions_need_one_thread() {
    let (wake, sleep) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || sleep.recv());
    let mut function = Command::from_fn(|| 7);
    for _ in 0..2 {
        let before = Footprint::now();
        let error = function.spawn().expect_err("refused");
        assert_eq!(error.cause(), Some(&Cause::Threads));
        let says = ["thread", "from_fn_unchecked"].map(str::to_owned);
        assert_refused("a function", Err::<Child, _>(error), &says);
        before.assert_unchanged();
    }
    drop(wake);
    thread.join().expect("no panic").expect_err("the channel is closed");
    assert_eq!(function.status().expect("one thread").code(), Some(7), "the function is kept");
}
