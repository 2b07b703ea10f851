//! Programs and functions born in new namespaces, and in existing ones.
mod common;

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command as StdCommand;
use std::sync::mpsc;
use std::time::Duration;

use common::processes::{
    KINDS, child_ids, difference, end, holder, inode_of_link, inodes, running,
};
use common::{
    Footprint, Need, case, field, in_own_process, inode, is_root, sh, stdout_of, test, test_with,
    with_user,
};
use libtest_mimic::Trial;
use linux_namespaces::flags::{IPC, MOUNT, NET, PID, TIME, USER, UTS};
use linux_namespaces::{Command, IdRange, Namespaces, Stdio, Step};

const USERNS: &[Need] = &[Need::UserNamespaces];
const ROOT: &[Need] = &[Need::Root, Need::UserNamespaces];

fn main() {
    common::run(
        &[
            ("spawn_again", spawn_again_case),
            ("exit_codes", exit_codes_case),
            ("panic", panic_case),
            ("buffered", buffered_case),
            ("captured", captured_case),
            ("function_spawns", function_spawns_case),
            ("function_inside", function_inside_case),
            ("function_streams", function_streams_case),
            ("function_runs_programs", function_runs_programs_case),
            ("function_settings", function_settings_case),
            ("function_environment", function_environment_case),
            ("function_ids", function_ids_case),
            ("function_alone", function_alone_case),
            ("function_alone_nested", function_alone_nested_case),
            ("function_dies", function_dies_case),
            ("function_enters", function_enters_case),
        ],
        tests(),
    );
}

fn tests() -> Vec<Trial> {
    vec![
        test_with("created_alone_and_in_pairs", USERNS, created_alone_and_in_pairs),
        test_with("created_with_a_user_namespace", ROOT, created_with_a_user_namespace),
        test_with("nothing_created", &[], nothing_created),
        test_with("names_are_set_inside", USERNS, names_are_set_inside),
        test_with("maps_of_the_caller", USERNS, maps_of_the_caller),
        test_with("the_last_map_counts", USERNS, the_last_map_counts),
        test_with("maps_of_several_ranges", ROOT, maps_of_several_ranges),
        test_with("maps_of_others_take_rights", &[Need::User, Need::UserNamespaces], || {
            maps_of_others_take_rights();
        }),
        test_with("spawns_nest", USERNS, spawns_nest),
        test("exit_codes_of_functions", || in_own_process("exit_codes")),
        test("panics_of_functions", || in_own_process("panic")),
        test("buffers_are_written_once", buffers_are_written_once),
        test("functions_keep_what_they_own", || in_own_process("captured")),
        test_with("functions_inside", USERNS, || in_own_process("function_inside")),
        test_with(
            "streams_of_functions",
            &[Need::NoSanitizer("it warns of a function on another stack, in its standard error")],
            || in_own_process("function_streams"),
        ),
        test_with("functions_run_programs", &[Need::UserNamespaces, Need::Program("ps")], || {
            in_own_process("function_runs_programs");
        }),
        test("settings_of_functions", || in_own_process("function_settings")),
        test("environment_of_functions", || in_own_process("function_environment")),
        test_with("ids_of_functions", USERNS, || in_own_process("function_ids")),
        test("functions_beside_threads", functions_beside_threads),
        test_with("functions_have_no_helper", USERNS, || in_own_process("function_alone")),
        test_with("functions_in_nested_pid_namespaces_have_no_helper", USERNS, || {
            in_own_process("function_alone_nested");
        }),
        test_with("functions_spawn_in_their_turn", USERNS, || in_own_process("function_spawns")),
        test("functions_die_of_signals", || in_own_process("function_dies")),
        test_with("functions_enter", USERNS, || in_own_process("function_enters")),
    ]
}

// ---- looking

fn ids() -> (u32, u32) {
    // SAFETY: asks for a number.
    let uid = unsafe { libc::geteuid() };
    // SAFETY: asks for a number.
    let gid = unsafe { libc::getegid() };
    (uid, gid)
}

/// The lines of a map file with one blank between the numbers.
fn plain(map: &str) -> Vec<String> {
    map.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

// ---- created

/// Spawns in these, and compares with the caller from inside and from outside.
fn assert_created(set: Namespaces) {
    let tell =
        KINDS.map(|kind| format!("readlink /proc/self/ns/{kind}; ")).concat() + "echo $$; read end";
    let mut command = sh(&tell);
    command.namespaces(set).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{set}: {error}"));
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut line = || lines.next().expect("a line").expect("text");
    let inside = KINDS.map(|kind| (kind, inode_of_link(&line()))).into();
    let pid = line();
    let own = inodes("self");
    assert_eq!(difference(&inside, &own), set, "{set}, from inside");
    assert_eq!(pid == "1", set.contains(PID), "{set}: it is process {pid}");

    let outside = inodes(child.id());
    assert_eq!(outside, inside, "{set}, by its number");
    let told = child.namespaces().expect("namespaces");
    for kind in KINDS {
        let id = told.get(kind).expect("all kinds are there");
        assert_eq!((id.kind(), id.ino()), (kind, inside[&kind]), "{set}, by the handle");
        let handle = child.namespace(kind).expect("a handle");
        assert_eq!(handle.id().expect("an id").ino(), inside[&kind], "{set}, {kind}");
    }
    assert_eq!(inodes("self"), own, "{set}: the caller has not moved");
    // `read` fails at the end of input.
    assert_eq!(child.wait().expect("its end").code(), Some(1));
}

/// Each kind, each pair, all.
fn sets() -> Vec<Namespaces> {
    let pairs = KINDS.into_iter().flat_map(|one| KINDS.map(|other| one.flag() | other.flag()));
    let mut sets: Vec<_> = pairs.chain([Namespaces::all()]).collect();
    sets.sort_unstable();
    sets.dedup();
    assert_eq!(sets.len(), 8 + 28 + 1);
    sets
}

fn created_alone_and_in_pairs() {
    for set in sets() {
        assert_created(with_user(set));
    }
}

fn created_with_a_user_namespace() {
    for set in sets() {
        assert_created(set | USER);
    }
}

fn nothing_created() {
    assert_created(Namespaces::empty());
}

fn names() -> [String; 2] {
    ["hostname", "domainname"]
        .map(|name| fs::read_to_string(format!("/proc/sys/kernel/{name}")).expect("a name"))
}

fn names_are_set_inside() {
    let before = names();
    for set in [UTS, UTS | USER, UTS | PID | MOUNT] {
        let mut command = sh("uname -n; cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname");
        command.namespaces(with_user(set)).hostname("inner.host").domainname("inner.domain");
        assert_eq!(stdout_of(&mut command), "inner.host\ninner.host\ninner.domain", "{set}");
        assert_eq!(names(), before, "{set}: the caller's own");
    }
    let mut unset = sh("cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname");
    assert_eq!(stdout_of(unset.namespaces(with_user(UTS))) + "\n", before.concat());
}

// ---- maps

const MAPS: &str = "id -u; id -g; cat /proc/self/uid_map; echo; cat /proc/self/gid_map";

fn overflow() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/overflowuid").expect("overflowuid");
    id.trim().to_owned()
}

/// Ids, uid_map and gid_map, as [`MAPS`] tells them.
fn expected_maps(ids: [u32; 2], uid_map: &str, gid_map: &str) -> Vec<String> {
    let [uid, gid] = ids.map(|id| id.to_string());
    let maps = [&[uid_map.to_owned()][..], &[String::new()], &[gid_map.to_owned()]].concat();
    [vec![uid, gid], maps].concat()
}

fn maps_of_the_caller() {
    let (uid, gid) = ids();
    for set in [USER, USER | PID | MOUNT, Namespaces::all()] {
        let mut command = sh(MAPS);
        let told = plain(&stdout_of(command.namespaces(set).map_current_user()));
        let expected =
            expected_maps([uid, gid], &format!("{uid} {uid} 1"), &format!("{gid} {gid} 1"));
        assert_eq!(told, expected, "{set}");
        let told = plain(&stdout_of(command.map_root_user()));
        let expected = expected_maps([0, 0], &format!("0 {uid} 1"), &format!("0 {gid} 1"));
        assert_eq!(told, expected, "{set}");
        let told = plain(&stdout_of(command.leave_unmapped()));
        assert_eq!(told, [overflow(), overflow()], "{set}");
    }
}

fn the_last_map_counts() {
    let (uid, gid) = ids();
    let root = expected_maps([0, 0], &format!("0 {uid} 1"), &format!("0 {gid} 1"));
    let mut command = sh(MAPS);
    command.namespaces(USER).leave_unmapped().map_current_user().map_root_user();
    assert_eq!(plain(&stdout_of(&mut command)), root);
    let told = plain(&stdout_of(command.leave_unmapped()));
    assert_eq!(told, [overflow(), overflow()]);
    // A list counts for its side, whatever is called after it.
    command.uid_map([IdRange { inside: 5, outside: uid, count: 1 }]).map_root_user();
    let told = plain(&stdout_of(&mut command));
    assert_eq!(told, expected_maps([5, 0], &format!("5 {uid} 1"), &format!("0 {gid} 1")));
    command.uid_map([IdRange { inside: 6, outside: uid, count: 1 }]).leave_unmapped();
    let told = plain(&stdout_of(&mut command));
    assert_eq!(told, ["6".to_owned(), overflow(), format!("6 {uid} 1")]);
}

fn maps_of_several_ranges() {
    let range = |inside, outside, count| IdRange { inside, outside, count };
    let uids = [range(0, 0, 1), range(1, 100_000, 65_535), range(70_000, 5, 3)];
    let gids = [range(0, 200_000, 1000), range(5000, 0, 1)];
    let show = |ranges: &[IdRange]| ranges.iter().map(IdRange::to_string).collect::<Vec<_>>();
    for set in [USER, USER | PID | MOUNT | NET] {
        let mut command = sh("cat /proc/self/uid_map; echo; cat /proc/self/gid_map");
        command.namespaces(set).uid_map(uids).gid_map(gids);
        let expected = [show(&uids), vec![String::new()], show(&gids)].concat();
        assert_eq!(plain(&stdout_of(&mut command)), expected, "{set}");
    }
    // To be somebody else there, and outside what that one is mapped to.
    let mut command = Command::new("cat");
    command.namespaces(USER).uid_map(uids).gid_map(gids).uid(1000).gid(7).groups(&[5000]);
    let child = running(&mut command);
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("status");
    assert_eq!(field("Uid", &status), ["100999"; 4].join("\t"));
    assert_eq!(field("Gid", &status), ["200007"; 4].join("\t"));
    assert_eq!(field("Groups", &status), "0");
    end(child);
    let most: Vec<_> = (0..340).map(|id| range(id, id, 1)).collect();
    let mut command = sh("cat /proc/self/uid_map | wc -l");
    assert_eq!(stdout_of(command.namespaces(USER).uid_map(most)), "340");
}

fn maps_of_others_take_rights() {
    let before = Footprint::now();
    let mut command = Command::new("true");
    command.namespaces(USER).uid_map([IdRange { inside: 0, outside: 0, count: 1 }]);
    let error = command.spawn().expect_err("it is root's id");
    assert_eq!((error.step(), error.raw_os_error()), (&Step::UidMap, Some(libc::EPERM)));
    assert!(error.to_string().contains("0 0 1"), "{error}");
    before.assert_unchanged();
}

// ---- nested

const DEPTH: &str = "DEPTH";

fn spawn_again_case() {
    let depth: u32 = std::env::var(DEPTH).expect("a depth").parse().expect("a number");
    println!("{} {}", std::process::id(), inode("/proc/self/ns/pid"));
    io::stdout().flush().expect("somebody listens");
    if depth > 0 {
        end(spawn_again(depth - 1).spawn().expect("one more"));
    }
}

fn spawn_again(depth: u32) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the path of this test"));
    command.env("LINUX_NAMESPACES_CASE", "spawn_again").env(DEPTH, depth.to_string());
    command.namespaces(with_user(PID | MOUNT | UTS));
    command
}

fn spawns_nest() {
    let told = stdout_of(&mut spawn_again(4));
    let mut seen = vec![inode("/proc/self/ns/pid")];
    for line in told.lines() {
        let (pid, inode) = line.split_once(' ').expect("two numbers");
        assert_eq!(pid, "1");
        seen.push(inode.parse().expect("a number"));
    }
    assert_eq!(seen.len(), 6, "{told}");
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 6, "all different: {told}");
}

// ---- functions, each in a process with one thread

fn exit_codes_case() {
    for (returned, code) in [(0, 0), (7, 7), (256 + 3, 3), (-1, 255), (255, 255), (256, 0)] {
        let mut child = Command::from_fn(move || returned).spawn().expect("a function");
        assert_eq!(child.wait().expect("its end").code(), Some(code), "{returned}");
    }
    let mut again = Command::from_fn(|| 9);
    for _ in 0..3 {
        assert_eq!(again.status().expect("its end").code(), Some(9));
    }
}

fn panic_case() {
    let mut command = Command::from_fn(|| panic!("what has happened"));
    let output = command.output().expect("its output");
    assert_eq!(output.status.code(), Some(101));
    let text = String::from_utf8(output.stderr).expect("text");
    assert!(text.contains("what has happened"), "{text}");
    assert_eq!(output.stdout, b"");
}

fn buffered_case() {
    print!("before ");
    let mut child = Command::from_fn(|| {
        print!("inside ");
        0
    })
    .spawn()
    .expect("a function");
    assert!(child.wait().expect("its end").success());
    print!("after ");
    let status = Command::from_fn(|| {
        print!("despite ");
        panic!("a panic")
    })
    .status();
    assert_eq!(status.expect("its end").code(), Some(101));
    print!("end");
}

fn buffers_are_written_once() {
    let output = case("buffered").output().expect("this test can be started");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(text, "before inside after despite end");
    assert!(output.status.success(), "{}", output.status);
}

fn captured_case() {
    let mut file = tempfile::tempfile().expect("a file");
    let (mut ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let inside = file.try_clone().expect("a duplicate");
    let mut command = Command::from_fn(move || {
        (&inside).write_all(b"from inside").expect("its file");
        (&theirs).write_all(b"and to a socket").expect("its socket");
        0
    });
    assert!(command.status().expect("its end").success());
    drop(command);
    let mut text = String::new();
    ours.read_to_string(&mut text).expect("text");
    assert_eq!(text, "and to a socket");
    file.rewind().expect("the start");
    let mut text = String::new();
    file.read_to_string(&mut text).expect("text");
    assert_eq!(text, "from inside");
}

/// A function is a copy of the process: of its locks and flags too, which must be as for a process of its own.
fn function_spawns_case() {
    let there = holder(USER | UTS);
    for entered in [false, true] {
        let mut command = Command::from_fn(|| {
            // SAFETY: asks for a number.
            let dumpable = unsafe { libc::prctl(libc::PR_GET_DUMPABLE) };
            let nested = Command::new("true").namespaces(USER).status();
            println!("{dumpable} {}", nested.is_ok_and(|status| status.success()));
            0
        });
        if entered {
            command.enter_process(there.pidfd(), USER | UTS);
        } else {
            command.namespaces(USER);
        }
        assert_eq!(stdout_of(&mut command), "1 true", "{command:?}");
    }
    end(there);
}

fn function_inside_case() {
    let before = (names(), inodes("self"));
    for set in [PID | MOUNT | UTS, common::all_for_functions()] {
        let mut command = Command::from_fn(|| {
            println!("{}", std::process::id());
            println!("{}", fs::read_link("/proc/self").expect("a /proc of its own").display());
            for kind in KINDS {
                println!("{}", inode(format!("/proc/self/ns/{kind}")));
            }
            print!("{}", names().concat());
            0
        });
        command.namespaces(with_user(set)).hostname("inner").domainname("domain");
        let told = stdout_of(&mut command);
        let mut lines = told.lines();
        let mut line = || lines.next().expect("a line");
        assert_eq!([line(), line()], ["1", "1"]);
        let inside = KINDS.map(|kind| (kind, line().parse().expect("an inode"))).into();
        assert_eq!(difference(&inside, &before.1), with_user(set));
        assert_eq!([line(), line()], ["inner", "domain"]);
        assert_eq!((names(), inodes("self")), before, "the caller's own");
    }
}

fn function_streams_case() {
    let echo = || {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).expect("text");
        print!("{text}");
        eprint!("err");
        3
    };
    let mut command = Command::from_fn(echo);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("a function");
    child.stdin.as_mut().expect("piped").write_all(b"text").expect("it reads");
    let output = child.wait_with_output().expect("its output");
    assert_eq!((output.stdout, output.stderr), (b"text".to_vec(), b"err".to_vec()));
    assert_eq!(output.status.code(), Some(3));
    let output = Command::from_fn(echo).output().expect("its output");
    assert_eq!((output.stdout, output.stderr), (b"".to_vec(), b"err".to_vec()));
}

fn function_runs_programs_case() {
    let mut command = Command::from_fn(|| {
        let status = StdCommand::new("ps").args(["ax", "-o", "pid="]).status();
        status.expect("std can run programs here").code().expect("a code")
    });
    let told = stdout_of(command.namespaces(with_user(PID | MOUNT)));
    let pids: Vec<&str> = told.split_whitespace().collect();
    assert_eq!(pids[0], "1");
    assert_eq!(pids.len(), 2, "the function and ps: {told}");
    let mut threads = Command::from_fn(|| std::thread::spawn(|| 5).join().expect("a thread"));
    let status = threads.namespaces(with_user(PID | MOUNT)).status();
    assert_eq!(status.expect("its end").code(), Some(5));
}

fn function_settings_case() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().canonicalize().expect("a path");
    let mut command = Command::from_fn(|| {
        println!("{}", std::env::current_dir().expect("a directory").display());
        // SAFETY: asks for a number.
        let group = unsafe { libc::getpgid(0) };
        println!("{}", u32::try_from(group) == Ok(std::process::id()));
        println!("{}", fs::read_to_string("/proc/self/fd/9").expect("what was passed"));
        println!("{:?}", std::env::var("FROM_HOOK"));
        0
    });
    let passed = path.join("passed");
    fs::write(&passed, "passed").expect("a file");
    command.current_dir(&path).process_group(0);
    command.fd(9, File::open(&passed).expect("a file"));
    let hook = || {
        // SAFETY: this process, and so its copy, has one thread.
        unsafe { std::env::set_var("FROM_HOOK", "yes") };
        Ok(())
    };
    // SAFETY: this process has one thread, so its copy may do anything.
    unsafe { command.pre_exec(hook) };
    let expected = format!("{}\ntrue\npassed\nOk(\"yes\")", path.display());
    assert_eq!(stdout_of(&mut command), expected);
    assert!(std::env::var("FROM_HOOK").is_err(), "the hook ran in a copy");

    let mut failing = Command::from_fn(|| 0);
    // SAFETY: this process has one thread.
    unsafe { failing.pre_exec(|| Err(io::Error::from_raw_os_error(libc::EBUSY))) };
    let before = Footprint::now();
    let error = failing.spawn().expect_err("the hook failed");
    assert_eq!((error.step(), error.raw_os_error()), (&Step::PreExec, Some(libc::EBUSY)));
    before.assert_unchanged();
    let error = Command::from_fn(|| 0).current_dir("/no/such").spawn().expect_err("nowhere");
    assert_eq!(error.step(), &Step::Chdir("/no/such".into()));
    before.assert_unchanged();
}

/// Whatever it means to a function: it is not ignored without a word.
fn function_environment_case() {
    let mut command = Command::from_fn(|| {
        print!("{:?}", std::env::var("SET_FOR_IT"));
        0
    });
    match command.env("SET_FOR_IT", "yes").output() {
        Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout), "Ok(\"yes\")"),
        Err(error) => assert_eq!(error.step(), &Step::Validate, "{error}"),
    }
}

fn function_ids_case() {
    let (uid, gid) = ids();
    let tell = || {
        Command::from_fn(|| {
            let (uid, gid) = ids();
            print!("{uid} {gid}");
            0
        })
    };
    assert_eq!(stdout_of(tell().namespaces(USER)), format!("{uid} {gid}"));
    assert_eq!(stdout_of(tell().namespaces(USER | PID | MOUNT).map_root_user()), "0 0");
    assert_eq!(stdout_of(tell().uid(uid).gid(gid)), format!("{uid} {gid}"));
    if is_root() {
        assert_eq!(stdout_of(tell().uid(65533).gid(65532).groups(&[])), "65533 65532");
        let mut command = tell();
        command.namespaces(USER).uid(7).gid(8);
        command.uid_map([IdRange { inside: 0, outside: 0, count: 1000 }]);
        command.gid_map([IdRange { inside: 0, outside: 0, count: 1000 }]);
        assert_eq!(stdout_of(&mut command), "7 8");
    }
    let status = fs::read_to_string("/proc/self/status").expect("status");
    assert_eq!(field("Uid", &status), vec![uid.to_string(); 4].join("\t"));
}

fn functions_beside_threads() {
    let (wake, sleep) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || sleep.recv());
    // SAFETY: the function only returns a number.
    let mut function = unsafe { Command::from_fn_unchecked(|| 42) };
    for _ in 0..20 {
        assert_eq!(function.status().expect("its end").code(), Some(42));
    }
    drop(wake);
    thread.join().expect("no panic").expect_err("the channel is closed");
}

/// A function that says when it runs, and waits for the end of its socket.
fn waiting_function() -> (UnixStream, Command) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let number = ours.as_raw_fd();
    theirs.set_read_timeout(Some(Duration::from_secs(5))).expect("a limit");
    let command = Command::from_fn(move || {
        // Or else it would wait for its own end of the pair.
        // SAFETY: nothing in this copy uses it again.
        unsafe { libc::close(number) };
        (&theirs).write_all(b"up").expect("somebody listens");
        let mut rest = Vec::new();
        match (&theirs).read_to_end(&mut rest) {
            Ok(length) => length as i32,
            // The spawn itself waits for this function.
            Err(_) => 99,
        }
    });
    (ours, command)
}

/// While the function runs the caller has no other new child, and can talk to it.
fn assert_alone(sets: &[(Namespaces, Namespaces)]) {
    let there = holder(with_user(PID | MOUNT | NET | UTS));
    for (entered, created) in sets {
        let (mut ours, mut command) = waiting_function();
        command.namespaces(*created).enter_process(there.pidfd(), *entered);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut up = [0; 2];
        ours.read_exact(&mut up).expect("it runs");
        assert_eq!(child_ids(), [there.id(), child.id()], "{command:?}");
        ours.write_all(b"12345").expect("it listens");
        drop(ours);
        assert_eq!(child.wait().expect("its end").code(), Some(5), "{command:?}");
        assert_eq!(child_ids(), [there.id()], "{command:?}");
    }
    end(there);
}

fn function_alone_case() {
    let none = Namespaces::empty();
    let everything = with_user(PID | MOUNT | NET | UTS);
    assert_alone(&[
        (none, none),
        (none, USER),
        (none, everything),
        (none, everything | USER),
        (everything, none),
        (everything - PID, none),
        (everything, IPC),
        (everything - PID, PID),
    ]);
}

fn function_alone_nested_case() {
    let everything = with_user(PID | MOUNT | NET | UTS);
    assert_alone(&[(everything, PID), (everything, PID | IPC)]);
}

fn function_dies_case() {
    for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGABRT, libc::SIGSEGV] {
        let mut command = Command::from_fn(move || {
            // SAFETY: takes a number.
            unsafe { libc::raise(signal) };
            0
        });
        assert_eq!(command.status().expect("its end").signal(), Some(signal));
    }
    let aborted = Command::from_fn(|| std::process::abort()).output().expect("its end");
    assert_eq!(aborted.status.signal(), Some(libc::SIGABRT));
    let left = Command::from_fn(|| std::process::exit(6)).status().expect("its end");
    assert_eq!(left.code(), Some(6));
}

fn function_enters_case() {
    let set = with_user(common::all_for_functions() - USER);
    let there = holder(set);
    let expected = inodes(there.id());
    // The mounted /proc is that of the entered pid namespace only if both are entered.
    for kinds in [set, set - TIME, with_user(UTS | NET), with_user(PID | MOUNT)] {
        let mut command = Command::from_fn(|| {
            print!(
                "{}",
                KINDS.map(|kind| format!("{}\n", inode(format!("/proc/self/ns/{kind}")))).concat()
            );
            0
        });
        let told = stdout_of(command.enter_process(there.pidfd(), kinds));
        let inside: Vec<u64> = told.lines().map(|line| line.parse().expect("an inode")).collect();
        let own = inodes("self");
        for (kind, inode) in KINDS.into_iter().zip(inside) {
            let from = if kinds.contains(kind.flag()) { &expected } else { &own };
            assert_eq!(inode, from[&kind], "{kind}, entering {kinds}");
        }
    }
    end(there);
}
