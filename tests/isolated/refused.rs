//! Where the machine gives no namespaces.

use std::fs;
use std::process::Command as StdCommand;

use super::common::{Case, case, seccomp};
use super::stranger::{Ended, Fifos, run, tests};
use linux_namespaces::{Command, flags::USER};

const REQUIRE: &str = "LINUX_NAMESPACES_TEST_REQUIRE";
const LIMIT: &str =
    "the limit on user namespaces is reached: raise the sysctl user.max_user_namespaces";

pub(crate) const CASES: &[Case] = &[("filtered", filtered_case)];

/// The same program in a user namespace that may have none inside.
fn in_a_small_world(program: &StdCommand) -> Ended {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$@\"", "sh"])
        .arg(program.get_program())
        .args(program.get_args())
        .namespaces(USER)
        .map_root_user();
    if let Some(directory) = program.get_current_dir() {
        command.current_dir(directory);
    }
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command.output().expect("a user namespace");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

pub(crate) fn libtest() {
    let mut passing = tests("passing", &Fifos::new());
    // One looks at what its bodies have done, and others are to panic: these fail where no body is run.
    passing.args(["--skip", "two_calls", "--skip", "panics"]);
    let ended = in_a_small_world(&passing);
    ended.is("16 passed; 0 failed; 2 ignored");
    assert_eq!(
        ended.err.matches("... ignored, clone a process into new namespaces (").count(),
        16,
        "{ended}"
    );
    let line =
        ended.err.lines().find(|line| line.starts_with("test returns_a_result ... ignored, "));
    assert!(line.is_some_and(|line| line.contains(LIMIT)), "{ended}");

    // Settings that are wrong are so everywhere.
    let mut failing = tests("failing", &Fifos::new());
    failing.arg("wrong_settings");
    in_a_small_world(&failing).is("0 passed; 1 failed; 0 ignored");
}

pub(crate) fn required() {
    for (program, test) in [("passing", "returns_a_result"), ("harness", "alone")] {
        let mut program = tests(program, &Fifos::new());
        program.env(REQUIRE, "1").args(["--exact", test]);
        let ended = in_a_small_world(&program);
        ended.is("0 passed; 1 failed; 0 ignored");
        let shown = ended.shown_for(test);
        assert!(shown.contains(LIMIT) && shown.contains(REQUIRE), "{ended}");
        let ended = in_a_small_world(program.env(REQUIRE, "0"));
        assert_eq!(ended.code, Some(0), "{ended}");
    }
}

pub(crate) fn harness() {
    let ended = in_a_small_world(&tests("harness", &Fifos::new()));
    ended.is("0 passed; 0 failed; 4 ignored");
    assert_eq!(ended.out.matches(LIMIT).count(), 4, "{ended}");
    // nextest asks for these, and skips them.
    let mut list = tests("harness", &Fifos::new());
    list.args(["--list", "--format", "terse", "--ignored"]);
    assert_eq!(in_a_small_world(&list).out.lines().count(), 4);
    let required = in_a_small_world(list.env(REQUIRE, "1"));
    assert_eq!((required.code, required.out.as_str()), (Some(0), ""), "{required}");
    // What was listed as ignored is run where that is asked for, and is not passed over.
    let mut ignored = tests("harness", &Fifos::new());
    ignored.args(["--exact", "alone", "--ignored"]);
    in_a_small_world(&ignored).is("0 passed; 0 failed; 1 ignored");
}

/// As the default profile of containers: clone3 is unknown, and clone may not create user namespaces.
pub(crate) fn filtered() {
    let mut filtered = case("filtered");
    filtered
        .env("STRANGER", tests("passing", &Fifos::new()).get_program())
        .env_remove(REQUIRE)
        .env("RUST_BACKTRACE", "0");
    let ended = run(&mut filtered);
    ended.is("1 passed; 0 failed; 0 ignored");
    let words =
        "... ignored, clone a process into new namespaces (pid,user): Operation not permitted";
    assert!(ended.err.contains(words), "{ended}");
    assert!(ended.err.contains("a seccomp filter on this process refuses"), "{ended}");
}

fn filtered_case() {
    use std::os::unix::process::CommandExt as _;
    let program = std::env::var_os("STRANGER").expect("a program");
    assert!(fs::metadata(&program).is_ok());
    deny_user_namespaces();
    let mut program = StdCommand::new(program);
    program.args(["--exact", "process_2_behind_an_init"]).env_remove("LINUX_NAMESPACES_CASE");
    panic!("{}", program.exec());
}

fn deny_user_namespaces() {
    let load =
        |offset| seccomp::statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0);
    let equal = |value: i64, yes, no| {
        seccomp::statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value as u32, yes, no)
    };
    let answer = |errno: i32| {
        let action = libc::SECCOMP_RET_ERRNO | errno as u32;
        seccomp::statement(libc::BPF_RET | libc::BPF_K, action, 0, 0)
    };
    let flag = libc::CLONE_NEWUSER as u32;
    // The number is at offset 0 of seccomp_data, the low half of the first argument at 16, on these architectures.
    seccomp::install(vec![
        load(0),
        equal(libc::SYS_clone3, 0, 1),
        answer(libc::ENOSYS),
        equal(libc::SYS_clone, 0, 3),
        load(16),
        seccomp::statement(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, flag, 0, 1),
        answer(libc::EPERM),
    ]);
}
