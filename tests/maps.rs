//! The ids of a new user namespace: which there are, who writes them, and what is said where they cannot be had.
//!
//! Subordinate ids are tested in a world with an /etc of its own, which takes root: a private mount namespace, in which this
//! program is run again for one case, as the user ann.

mod common;

use std::ffi::c_int;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command as StdCommand;
use std::thread;

use common::{
    Case, Footprint, Need, field, in_own_process, inode, is_root, sh, stdout_of, test, test_with,
};
use linux_namespaces::{
    Cause, Command, Error, IdRange, NamespaceKind, Namespaces, Stdio, Step, flags::*,
};

const ROOT: &[Need] = &[Need::Root, Need::UserNamespaces, Need::Program("unshare")];
const HELPERS: &[Need] = &[
    Need::Root,
    Need::UserNamespaces,
    Need::Program("unshare"),
    Need::Program("setpriv"),
    Need::Program("newuidmap"),
    Need::Program("newgidmap"),
];
const USERNS: &[Need] = &[Need::UserNamespaces];
const ANN: u32 = 5000;
const SUBS: &str = "ann:100000:65536\n";
const NO_HELPER: &str = "newuidmap and newgidmap are not installed, and only they may write such a map for an ordinary user: \
                         install the `uidmap` package";

fn main() {
    let cases: &[Case] = &[
        ("subordinate ids", subordinate_ids),
        ("one side by a helper", one_side_by_a_helper),
        ("setgroups of a user", setgroups_of_a_user),
        ("helper refuses", helper_refuses),
        ("no helper", no_helper),
        ("helpers that fail", helpers_that_fail),
        ("status is lost", status_is_lost),
        ("thousand failures", thousand_failures),
        ("not dumpable", not_dumpable),
        ("closed by itself", closed_by_itself),
        ("no new privileges", no_new_privileges),
        ("not dumpable, threads", not_dumpable_threads),
        ("not dumpable, exec", not_dumpable_exec),
        ("capabilities", with_capabilities),
        ("by number", by_number),
        ("own among them", own_among_them),
        ("file missing", file_missing),
        ("line missing", line_missing),
        ("line malformed", line_malformed),
        ("too many", too_many),
        ("root", root_with_line),
        ("root without a line", root_without_line),
        ("root lacks a line", root_lacks_line),
        ("exec is refused", exec_is_refused),
        ("other real id", other_real_id),
        ("show ids", show_ids),
    ];
    fn ann(case: &'static str, subuid: Option<&'static str>, subgid: Option<&'static str>) {
        World { subuid, subgid, ..World::default() }.run(case);
    }
    let tests = vec![
        test_with("subordinate_ids_of_a_user", HELPERS, || {
            ann("subordinate ids", Some(SUBS), Some(SUBS))
        }),
        test_with("one_side_by_a_helper", HELPERS, || {
            ann("one side by a helper", Some(SUBS), Some(SUBS))
        }),
        test_with("setgroups_is_denied_where_needed", HELPERS, || {
            ann("setgroups of a user", Some(SUBS), Some(SUBS))
        }),
        test_with("refusal_of_a_helper_is_quoted", HELPERS, || {
            ann("helper refuses", Some(SUBS), Some(SUBS))
        }),
        test_with("helpers_are_missing", HELPERS, || ann("no helper", Some(SUBS), Some(SUBS))),
        test_with("helpers_that_fail_are_told", HELPERS, || {
            ann("helpers that fail", Some(SUBS), Some(SUBS))
        }),
        test_with("status_of_a_helper_is_lost", HELPERS, || {
            ann("status is lost", Some(SUBS), Some(SUBS))
        }),
        test_with("thousand_failures_leave_nothing", HELPERS, || {
            ann("thousand failures", Some(SUBS), Some(SUBS))
        }),
        test_with("caller_is_not_dumpable", HELPERS, || as_root("not dumpable")),
        test_with("callers_are_not_dumpable", HELPERS, || as_root("not dumpable, threads")),
        test_with("caller_of_exec_is_not_dumpable", ROOT, || as_root("not dumpable, exec")),
        test_with("capabilities_are_enough", HELPERS, || {
            let options = &["--inh-caps=+setuid,+setgid", "--ambient-caps=+setuid,+setgid"];
            World { options, ..World::default() }.run("capabilities");
        }),
        test_with("lines_by_number", HELPERS, || {
            let subuid = "# ids\n\nroot:x:y\ngarbage\n5000:300000:10\nann:200000:5\n5000:300010:10";
            ann("by number", Some(subuid), Some("5000:7000:3\n"));
        }),
        test_with("own_id_among_the_subordinate", HELPERS, || {
            ann(
                "own among them",
                Some("ann:4990:20\nann:5005:10\n"),
                Some("ann:5000:2\nann:5000:2\n"),
            );
        }),
        test_with("file_is_missing", HELPERS, || ann("file missing", None, Some(SUBS))),
        test_with("line_is_missing", HELPERS, || ann("line missing", Some("bob:1:1\n"), Some(""))),
        test_with("line_is_malformed", HELPERS, || {
            ann("line malformed", Some("bob:x\nann:1:1\nann:x:65536\n"), Some("ann:100000:0\n"));
        }),
        test_with("too_many_lines", HELPERS, || {
            let lines: String = (0..400).map(|n| format!("ann:{}:1\n", 100_000 + 2 * n)).collect();
            let lines = String::leak(lines);
            ann("too many", Some(lines), Some(lines));
        }),
        test_with("root_has_subordinate_ids", ROOT, || {
            let lines = Some("root:100000:65536\n");
            World { user: None, subuid: lines, subgid: lines, ..World::default() }.run("root");
        }),
        test_with("root_has_no_subordinate_ids", ROOT, || {
            World { user: None, ..World::default() }.run("root without a line");
            let (subuid, subgid) = (Some(SUBS), Some(SUBS));
            World { user: None, subuid, subgid, ..World::default() }.run("root lacks a line");
        }),
        test_with("exec_runs_no_helper", HELPERS, || {
            ann("exec is refused", Some(SUBS), Some(SUBS))
        }),
        test_with("real_and_effective_id_differ", HELPERS, || as_root("other real id")),
        test_with("setgroups_of_root", ROOT, setgroups_of_root),
        test_with("maps_inside_an_entered_namespace", ROOT, inside_an_entered),
        test_with("setgroups_inside_an_entered_namespace", USERNS, setgroups_inside_an_entered),
        test_with("long_maps_are_abbreviated", USERNS, long_maps),
        test_with("maps_without_helpers", &[Need::User, Need::UserNamespaces], || {
            in_own_process("no helper")
        }),
        test_with("failing_helpers_of_a_user", &[Need::User, Need::UserNamespaces], || {
            in_own_process("helpers that fail");
        }),
        test_with("caller_has_closed_its_memory", USERNS, || in_own_process("closed by itself")),
        test_with("no_new_privileges_are_named", HELPERS, || {
            ann("no new privileges", Some(SUBS), Some(SUBS));
        }),
        test("what_makes_no_sense_is_refused", refused),
        test("settings_are_shown", shown),
    ];
    common::run(cases, tests);
}

/// A mount namespace with an /etc of its own.
struct World {
    /// `None` for root.
    user: Option<u32>,
    subuid: Option<&'static str>,
    subgid: Option<&'static str>,
    /// For setpriv.
    options: &'static [&'static str],
}

impl Default for World {
    fn default() -> Self {
        Self { user: Some(ANN), subuid: None, subgid: None, options: &[] }
    }
}

impl World {
    /// Runs a case of this program in there.
    fn run(&self, case: &str) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a directory for all");
        let etc = path.join("etc");
        fs::create_dir(&etc).expect("etc");
        let put = |name: &str, text: &str| fs::write(etc.join(name), text).expect("a file in etc");
        put(
            "passwd",
            "root:x:0:0::/root:/bin/sh\nann:x:5000:5000::/:/bin/sh\nbob:x:5001:5001::/:/bin/sh\n",
        );
        put("group", "root:x:0:\nann:x:5000:\n");
        put("nsswitch.conf", "passwd: files\ngroup: files\n");
        for (name, text) in [("subuid", self.subuid), ("subgid", self.subgid)] {
            if let Some(text) = text {
                put(name, text);
            }
        }
        let _ = fs::copy("/etc/ld.so.cache", etc.join("ld.so.cache"));
        let program = path.join("program");
        fs::write(&program, "").expect("a file to mount this program on");
        let script = "mount --bind \"$1\" \"$2/program\"; mount --bind \"$2/etc\" /etc; program=$2/program; shift 2; exec \"$@\" \"$program\"";
        let mut command = StdCommand::new("unshare");
        command.args(["--mount", "sh", "-euc", script, "sh"]);
        command.arg(std::env::current_exe().expect("this program")).arg(path);
        match self.user {
            Some(user) => {
                command.args([
                    "setpriv",
                    &format!("--reuid={user}"),
                    &format!("--regid={user}"),
                    "--clear-groups",
                ]);
                command.args(self.options);
            }
            None => {
                command.arg("env");
            }
        }
        let output = command.env("LINUX_NAMESPACES_CASE", case).output().expect("unshare");
        assert!(
            output.status.success(),
            "case {case} ended with {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Runs a case as root, where ann has subordinate ids.
fn as_root(case: &str) {
    World { user: None, subuid: Some(SUBS), subgid: Some(SUBS), ..World::default() }.run(case);
}

fn range(inside: u32, outside: u32, count: u32) -> IdRange {
    IdRange { inside, outside, count }
}

/// As the kernel shows it, with single blanks.
fn plain(text: &str) -> String {
    let lines =
        text.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("; ")
}

/// The helpers are looked for on `PATH`, so it may lead nowhere here.
const TELL: &str = "PATH=/usr/bin:/bin; cat /proc/self/uid_map; echo; cat /proc/self/gid_map; echo; cat /proc/self/setgroups";

fn told(command: &mut Command) -> String {
    plain(&stdout_of(command))
}

fn tell() -> Command {
    let mut command = sh(TELL);
    command.namespaces(USER);
    command
}

/// With a hook, so that the child is a copy of this process.
fn copied(mut command: Command) -> Command {
    // SAFETY: it does nothing.
    unsafe { command.pre_exec(|| Ok(())) };
    command
}

#[track_caller]
fn refusal(command: &mut Command) -> Error {
    let before = Footprint::now();
    let error = command.spawn().expect_err("a refusal");
    before.assert_unchanged();
    let message = error.to_string();
    assert!(message.starts_with(&error.step().to_string()), "{message}");
    assert!(!message.chars().any(char::is_control), "{message:?}");
    error
}

fn set_path(path: &str) {
    // SAFETY: the process has one thread.
    unsafe { std::env::set_var("PATH", path) };
}

fn dumpable() -> c_int {
    // SAFETY: asks for a number.
    unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }
}

const BOTH: &str = "0 5000 1; 1 100000 65536; ; 0 5000 1; 1 100000 65536; ; allow";

// ---- by helpers

fn subordinate_ids() {
    assert!(!is_root());
    let before = Footprint::now();
    for set in [USER, USER | PID | NS, Namespaces::all()] {
        assert_eq!(told(sh(TELL).namespaces(set).map_subordinate_ids()), BOTH, "{set}");
        assert_eq!(told(copied(sh(TELL)).namespaces(set).map_subordinate_ids()), BOTH, "{set}");
    }
    before.assert_unchanged();

    // Ids after the map are those inside.
    let mut command = sh("id -u; id -g; id -G; cat /proc/self/status; exec cat");
    command.namespaces(USER).map_subordinate_ids().uid(1000).gid(7).groups(&[5, 65_536]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the ids are there");
    let outside = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("status");
    assert_eq!(field("Uid", &outside), ["100999"; 4].join("\t"));
    assert_eq!(field("Gid", &outside), ["100006"; 4].join("\t"));
    assert_eq!(field("Groups", &outside), "100004 165535");
    child.stdin.take();
    let output = child.wait_with_output().expect("cat ends");
    let inside = String::from_utf8(output.stdout).expect("text");
    let mut lines = inside.lines();
    assert_eq!(lines.next(), Some("1000"));
    assert_eq!(lines.next(), Some("7"));
    assert_eq!(lines.next(), Some("7 5 65536"));
    assert_eq!(field("Uid", &inside), ["1000"; 4].join("\t"));
    assert_eq!(field("Groups", &inside), "5 65536");
    // Only setgroups(2) by root itself: the new user has no capability.
    assert_eq!(field("CapEff", &inside), "0000000000000000");
    before.assert_unchanged();

    // In any order, and the own id anywhere.
    let ranges = [range(50, 100_100, 10), range(0, 100_000, 10), range(7000, ANN, 1)];
    let text = "50 100100 10; 0 100000 10; 7000 5000 1";
    let mut command = tell();
    command.uid_map(ranges).gid_map(ranges);
    assert_eq!(told(&mut command), format!("{text}; ; {text}; ; allow"));
    // A side that is given is not looked up.
    command = tell();
    command.map_subordinate_ids().gid_map([range(9, ANN, 1)]);
    assert_eq!(told(&mut command), "0 5000 1; 1 100000 65536; ; 9 5000 1; ; deny");
    // So many that the kernel sorts them.
    let many: Vec<_> = (0..200).rev().map(|n| range(n, 100_000 + 2 * n, 1)).collect();
    let mut command = sh("wc -l < /proc/self/uid_map");
    command.namespaces(USER).uid_map(many);
    assert_eq!(stdout_of(&mut command), "200");
    before.assert_unchanged();
}

fn one_side_by_a_helper() {
    let sub = [range(0, 100_000, 5)];
    assert_eq!(told(tell().uid_map(sub)), "0 100000 5; ; 5000 5000 1; ; deny");
    assert_eq!(told(tell().gid_map(sub)), "5000 5000 1; ; 0 100000 5; ; allow");
    assert_eq!(told(tell().leave_unmapped().gid_map(sub)), "; 0 100000 5; ; allow");
    assert_eq!(told(tell().leave_unmapped().uid_map(sub)), "0 100000 5; ; ; allow");
}

fn setgroups_of_a_user() {
    let lacks = "the kernel takes the own group without CAP_SETGID over the namespace around only if setgroups(2) is denied, \
                 and `allow_setgroups(true)` forbids that: leave it out, or map more groups with `map_subordinate_ids`";
    assert!(told(&mut tell()).ends_with("deny"));
    assert!(told(tell().allow_setgroups(false)).ends_with("deny"));
    assert!(told(tell().leave_unmapped().allow_setgroups(false)).ends_with("deny"));
    assert!(told(tell().leave_unmapped().allow_setgroups(true)).ends_with("allow"));
    assert!(told(tell().map_subordinate_ids().allow_setgroups(false)).ends_with("deny"));
    assert_eq!(told(tell().map_subordinate_ids().allow_setgroups(true)), BOTH);
    for mut command in [tell(), copied(tell())] {
        let error = refusal(command.allow_setgroups(true));
        let message =
            format!("write gid_map \"5000 5000 1\": Operation not permitted (os error 1): {lacks}");
        assert_eq!(error.to_string(), message);
        assert_eq!((error.step(), error.cause()), (&Step::GidMap, Some(&Cause::MissingCapability)));
    }
    let mut command = Command::new("true");
    command.namespaces(USER).map_subordinate_ids().uid(5).allow_setgroups(false);
    assert!(command.status().expect("the groups just stay").success());
}

fn helper_refuses() {
    let start = "write uid_map \"0 5000 1\\n1 100000 65537\": Operation not permitted (os error 1): \
                 the caller lacks CAP_SETUID, and ";
    for mut command in [tell(), copied(tell())] {
        let error = refusal(command.uid_map([range(0, ANN, 1), range(1, 100_000, 65_537)]));
        let message = error.to_string();
        assert!(message.starts_with(start), "{message}");
        assert!(message.contains("/newuidmap ended with exit status: 1: newuidmap: "), "{message}");
        assert!(message.contains("not allowed"), "the words of newuidmap: {message}");
        assert_eq!((error.step(), error.raw_os_error()), (&Step::UidMap, Some(libc::EPERM)));
    }
    let error = refusal(tell().map_subordinate_ids().gid_map([range(0, 3, 1)]));
    assert!(error.to_string().starts_with("write gid_map \"0 3 1\": "), "{error}");
    assert!(error.to_string().contains("newgidmap: "), "{error}");
    assert_eq!(error.step(), &Step::GidMap);
}

/// Also without a world, by any ordinary user.
fn no_helper() {
    set_path("/no/such/directory:.:");
    for mut command in [tell(), copied(tell())] {
        let error = refusal(command.uid_map([range(0, 100_000, 2)]));
        let message = format!(
            "write uid_map \"0 100000 2\": Operation not permitted (os error 1): {NO_HELPER}"
        );
        assert_eq!(error.to_string(), message);
        assert_eq!(error.cause(), Some(&Cause::MissingHelper));
    }
    let error = refusal(tell().gid_map([range(0, 100_000, 2)]));
    assert_eq!((error.step(), error.cause()), (&Step::GidMap, Some(&Cause::MissingHelper)));
    // The own id needs none.
    assert!(told(tell().map_root_user()).ends_with("deny"));
}

fn helpers_that_fail() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("newuidmap");
    set_path(directory.path().to_str().expect("text"));
    let script = |text: &str| {
        let mut script = fs::File::create(&file).expect("a script");
        script.write_all(text.as_bytes()).expect("a script");
        script.set_permissions(fs::Permissions::from_mode(0o755)).expect("chmod");
    };
    let fails = |end: &str| {
        let error = refusal(tell().uid_map([range(0, 100_000, 2)]));
        let message = error.to_string();
        assert!(
            message.starts_with(
                "write uid_map \"0 100000 2\": Operation not permitted (os error 1): "
            ),
            "{message}"
        );
        assert!(message.contains(end), "{message}");
        assert_eq!(error.step(), &Step::UidMap);
    };
    let name = file.display();
    script("#!/bin/sh\necho \"$# $2 $3 $4\" >&2\nprintf '\\033[1mno\\n' >&2\necho out\nexit 3\n");
    fails(&format!("{name} ended with exit status: 3: 4 0 100000 2; \\u{{1b}}[1mno"));
    script("#!/bin/sh\nkill -9 $$\n");
    fails(&format!("{name} ended with signal: 9 (SIGKILL)"));
    script("#!/bin/sh\nexit 0\n");
    fails(&format!("{name} has not written that map, though it ended without an error"));
    let own_path = format!("{}:/usr/bin:/bin", directory.path().display());
    set_path(&own_path);
    script("#!/bin/sh\nhead -c 300000 /dev/zero | tr '\\0' x >&2\nexit 1\n");
    fails("xxx…");
    // It gets an empty input, no descriptor of the caller's, and nothing of its environment but PATH.
    script(
        "#!/bin/sh\nread line && echo input >&2\nls /proc/self/fd >&2\n/usr/bin/env | /usr/bin/grep -c LINUX_NAMESPACES_CASE >&2\nexit 1\n",
    );
    let secret = fs::File::open("/dev/null").expect("a file");
    let copy = secret.try_clone().expect("a copy");
    // SAFETY: clears close-on-exec of an open descriptor.
    unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&copy), libc::F_SETFD, 0) };
    fails(&format!("{name} ended with exit status: 1: 0; 1; 2; 3; 0"));
    script("no program at all");
    fails("newuidmap cannot be had for it: execute ");
}

fn status_is_lost() {
    // SAFETY: the process has no handler to lose.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    let output = tell().map_subordinate_ids().output().expect("the maps are written");
    assert_eq!(plain(&String::from_utf8(output.stdout).expect("text")), BOTH);
}

fn thousand_failures() {
    let before = Footprint::now();
    for _ in 0..500 {
        assert_eq!(
            tell().uid_map([range(0, 3, 1)]).spawn().expect_err("not ours").step(),
            &Step::UidMap
        );
        assert_eq!(tell().allow_setgroups(true).spawn().expect_err("not so").step(), &Step::GidMap);
    }
    let path = std::env::var("PATH").expect("a path");
    set_path("/no/such/directory");
    for _ in 0..500 {
        assert_eq!(
            copied(tell()).gid_map([range(0, 3, 1)]).spawn().expect_err("not ours").step(),
            &Step::GidMap
        );
        assert_eq!(
            tell().uid_map([range(0, 3, 1)]).spawn().expect_err("not ours").step(),
            &Step::UidMap
        );
    }
    set_path(&path);
    before.assert_unchanged();
    assert_eq!(told(tell().map_subordinate_ids()), BOTH);
}

// ---- the dumpable flag

fn become_ann() {
    // SAFETY: changes the groups of this process.
    assert_eq!(unsafe { libc::setgroups(0, std::ptr::null()) }, 0);
    // SAFETY: changes the ids of this process.
    assert_eq!(unsafe { libc::setresgid(ANN, ANN, ANN) }, 0);
    // SAFETY: changes the ids of this process.
    assert_eq!(unsafe { libc::setresuid(ANN, ANN, ANN) }, 0);
    assert_ne!(dumpable(), 1, "this kernel leaves the flag");
}

fn not_dumpable() {
    become_ann();
    let before = Footprint::now();
    let flag = dumpable();
    for (map, expected) in [
        (
            Command::map_current_user as fn(&mut Command) -> &mut Command,
            "5000 5000 1; ; 5000 5000 1; ; deny",
        ),
        (Command::map_root_user, "0 5000 1; ; 0 5000 1; ; deny"),
        (Command::map_subordinate_ids, BOTH),
        (Command::leave_unmapped, "; ; allow"),
    ] {
        for mut command in [tell(), copied(tell())] {
            assert_eq!(told(map(&mut command)), expected);
            assert_eq!(dumpable(), flag, "after {expected}");
            // With a change of ids, which clears it once more.
            if expected == BOTH {
                assert_eq!(told(command.uid(3).gid(4)), BOTH);
                assert_eq!(dumpable(), flag);
            }
        }
    }
    let error = tell().uid_map([range(0, 3, 1)]).spawn().expect_err("not ours");
    assert!(error.to_string().contains("newuidmap: "), "{error}");
    assert_eq!(dumpable(), flag);
    // Not every newuidmap keeps the right to open files that are root's.
    let path = std::env::var("PATH").expect("a path");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("newuidmap");
    fs::write(&file, "#!/bin/sh\nstat -c 'owner %u' /proc/$1/uid_map >&2\nexit 1\n")
        .expect("a script");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("chmod");
    set_path(&format!("{}:{path}", directory.path().display()));
    let error = tell().uid_map([range(0, 3, 1)]).spawn().expect_err("the script fails");
    assert!(error.to_string().ends_with("owner 5000"), "{error}");
    assert_eq!(dumpable(), flag);
    set_path(&path);
    drop(directory);
    let mut function = Command::from_fn(|| if dumpable() == 1 { 1 } else { 0 });
    let status = function.namespaces(USER).map_subordinate_ids().status().expect("a function");
    assert!(status.success(), "the function's memory was left open");
    before.assert_unchanged();
    // SAFETY: sets a number.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
    assert_eq!(told(tell().map_subordinate_ids()), BOTH);
    assert_eq!(dumpable(), 1);
}

fn closed_by_itself() {
    // SAFETY: sets a number.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
    for mut command in [sh("id -u; id -g"), copied(sh("id -u; id -g"))] {
        command.namespaces(USER).map_root_user();
        assert_eq!(told(&mut command), "0; 0");
        assert_eq!(dumpable(), 0);
    }
}

fn no_new_privileges() {
    // SAFETY: sets a flag of this process.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    let error = refusal(tell().map_subordinate_ids());
    assert!(error.to_string().contains("newgidmap: "), "{error}");
    assert!(error.to_string().contains("no_new_privs"), "{error}");
}

/// Those that need the flag, those that clear it, and those that do not care.
fn not_dumpable_threads() {
    become_ann();
    for flag in [0, 1] {
        // SAFETY: sets a number.
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, flag) };
        thread::scope(|scope| {
            for place in 0..8 {
                scope.spawn(move || {
                    for _ in 0..25 {
                        match place % 4 {
                            0 => assert_eq!(told(tell().map_subordinate_ids()), BOTH),
                            1 => assert_eq!(
                                told(tell().map_root_user()),
                                "0 5000 1; ; 0 5000 1; ; deny"
                            ),
                            2 => {
                                assert_eq!(told(copied(tell()).map_subordinate_ids().uid(9)), BOTH)
                            }
                            _ => assert_eq!(stdout_of(sh("id -u").uid(ANN).gid(ANN)), "5000"),
                        }
                    }
                });
            }
        });
        assert_eq!(dumpable(), flag);
    }
}

fn not_dumpable_exec() {
    for (failing, program) in [(false, "cat"), (true, "/no/such/program")] {
        let mut child = common::case("show ids");
        child.env("PROGRAM", program);
        let output = child.output().expect("this program again");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let expected = if failing { "flag 0" } else { "0 5000 1" };
        assert_eq!(plain(&text), expected, "{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn show_ids() {
    become_ann();
    let program = std::env::var("PROGRAM").expect("a program");
    let error =
        Command::new(&program).arg("/proc/self/uid_map").namespaces(USER).map_root_user().exec();
    assert_eq!(error.step(), &Step::Exec(program.into()), "{error}");
    println!("flag {}", dumpable());
}

// ---- rights

fn with_capabilities() {
    assert!(!is_root());
    set_path("/no/such/directory");
    let ranges = [range(0, ANN, 1), range(1, 70_000, 100), range(200, 90_000, 1)];
    let text = "0 5000 1; 1 70000 100; 200 90000 1";
    for mut command in [tell(), copied(tell())] {
        command.uid_map(ranges).gid_map(ranges);
        assert_eq!(told(&mut command), format!("{text}; ; {text}; ; allow"));
    }
}

fn by_number() {
    let expected =
        "0 5000 1; 1 300000 10; 11 200000 5; 16 300010 10; ; 0 5000 1; 1 7000 3; ; allow";
    assert_eq!(told(tell().map_subordinate_ids()), expected);
}

fn own_among_them() {
    let expected = "0 5000 1; 1 4990 10; 11 5001 14; ; 0 5000 1; 1 5001 1; ; allow";
    assert_eq!(told(tell().map_subordinate_ids()), expected);
}

fn file_missing() {
    let error = refusal(tell().map_subordinate_ids());
    assert_eq!(
        error.to_string(),
        "open /etc/subuid: No such file or directory (os error 2): user ann (5000) has no subordinate ids here: \
         as root, give some with `usermod --add-subuids 100000-165535 ann`"
    );
    assert_eq!(
        (error.step(), error.raw_os_error()),
        (&Step::Open("/etc/subuid".into()), Some(libc::ENOENT))
    );
}

fn line_missing() {
    let error = refusal(tell().map_subordinate_ids());
    assert_eq!(
        error.to_string(),
        "parse /etc/subuid: it has no line for user ann (5000): as root, give some with `usermod --add-subuids 100000-165535 ann`"
    );
    assert_eq!((error.step(), error.kind()), (&Step::Parse, std::io::ErrorKind::NotFound));
    let error = refusal(tell().map_subordinate_ids().uid_map([range(0, ANN, 1)]));
    assert!(error.to_string().starts_with("parse /etc/subgid: "), "{error}");
    assert!(error.to_string().contains("--add-subgids"), "{error}");
}

fn line_malformed() {
    let error = refusal(tell().map_subordinate_ids());
    assert_eq!(
        error.to_string(),
        "parse /etc/subuid, line 3, \"ann:x:65536\": the first id must be a decimal number without blanks or leading zeros"
    );
    let error = refusal(tell().map_subordinate_ids().uid_map([range(0, ANN, 1)]));
    assert_eq!(
        error.to_string(),
        "parse /etc/subgid, line 1, \"ann:100000:0\": the count must be at least 1"
    );
}

fn too_many() {
    let error = refusal(tell().map_subordinate_ids());
    assert_eq!(
        error.to_string(),
        "invalid setting: uid_map has 401 ranges: the kernel takes 340 at most"
    );
}

fn root_with_line() {
    set_path("/usr/bin:/bin");
    let expected = "0 0 1; 1 100000 65536; ; 0 0 1; 1 100000 65536; ; allow";
    for set in [USER, Namespaces::all()] {
        assert_eq!(told(sh(TELL).namespaces(set).map_subordinate_ids()), expected);
        assert_eq!(told(copied(sh(TELL)).namespaces(set).map_subordinate_ids()), expected);
    }
    set_path("/no/such/directory");
    let mut command = Command::new("/bin/cat");
    command.arg("/proc/self/uid_map").namespaces(USER).map_subordinate_ids();
    assert_eq!(told(&mut command), "0 0 1; 1 100000 65536");
}

fn root_without_line() {
    let error = refusal(tell().map_subordinate_ids());
    assert!(error.to_string().starts_with("open /etc/subuid: "), "{error}");
    assert!(error.to_string().contains("root (0)"), "{error}");
}

fn root_lacks_line() {
    let error = refusal(tell().map_subordinate_ids());
    assert!(
        error.to_string().starts_with("parse /etc/subuid: it has no line for user root (0)"),
        "{error}"
    );
}

fn exec_is_refused() {
    let before = Footprint::now();
    let error = tell().map_subordinate_ids().exec();
    before.assert_unchanged();
    assert_eq!(
        error.to_string(),
        "write gid_map \"0 5000 1\\n1 100000 65536\": Operation not permitted (os error 1): without CAP_SETGID it takes newgidmap, \
         which `exec` cannot run, as it moves the process that would: use `spawn`"
    );
    let error = tell().allow_setgroups(true).exec();
    before.assert_unchanged();
    assert!(error.to_string().contains("allow_setgroups(true)"), "{error}");
    // And what needs no helper is done.
    let error = tell().allow_setgroups(false).uid_map([range(3, ANN, 1)]).exec();
    panic!("{error}");
}

/// The effective id is the caller's, and newuidmap, which goes by the real one, says that it will not have it.
fn other_real_id() {
    // SAFETY: changes the ids of this process.
    assert_eq!(unsafe { libc::setresgid(ANN, ANN, ANN) }, 0);
    // SAFETY: changes the ids of this process.
    assert_eq!(unsafe { libc::setresuid(5001, ANN, ANN) }, 0);
    assert_eq!(told(tell().map_root_user()), "0 5000 1; ; 0 5000 1; ; deny");
    let error = tell().map_subordinate_ids().spawn().expect_err("the real user is another");
    assert!(error.to_string().contains("newgidmap: "), "{error}");
}

fn setgroups_of_root() {
    assert!(told(&mut tell()).ends_with("allow"));
    assert!(told(tell().allow_setgroups(true)).ends_with("allow"));
    for mut command in [tell(), copied(tell())] {
        assert!(told(command.allow_setgroups(false)).ends_with("deny"));
    }
    assert_eq!(told(tell().leave_unmapped().allow_setgroups(false)), "; ; deny");
}

/// A user namespace that lives until its program is waited for.
fn holder(map: impl FnOnce(&mut Command)) -> linux_namespaces::Child {
    let mut command = Command::new("cat");
    command.namespaces(USER).stdin(Stdio::piped());
    map(&mut command);
    command.spawn().expect("a user namespace")
}

fn inside_an_entered() {
    let ids = [range(0, 0, 1), range(1, 200_000, 1000)];
    let mut child = holder(|command| {
        command.uid_map(ids).gid_map(ids);
    });
    let user = child.namespace(NamespaceKind::User).expect("a handle");
    let before = Footprint::now();
    let inner = [range(0, 5, 10), range(10, 0, 1)];
    // What it sees is how the numbers of the entered namespace are seen from itself.
    let mut command = tell();
    command.enter(&user).uid_map(inner).gid_map(inner);
    assert_eq!(told(&mut command), "0 5 10; 10 0 1; ; 0 5 10; 10 0 1; ; allow");
    drop(command);
    let error = refusal(tell().enter(&user).uid_map([range(0, 2000, 1)]));
    assert!(error.to_string().starts_with("write uid_map \"0 2000 1\": "), "{error}");
    assert!(error.to_string().contains("ids that are mapped there"), "{error}");
    let error = refusal(tell().enter(&user).map_subordinate_ids());
    assert_eq!(error.step(), &Step::Validate);
    assert!(error.to_string().contains("in the user namespace that is entered"), "{error}");
    before.assert_unchanged();
    child.wait().expect("cat ends");
}

fn setgroups_inside_an_entered() {
    let mut child = holder(|command| {
        command.map_root_user();
    });
    let user = child.namespace(NamespaceKind::User).expect("a handle");
    let entered = || {
        let mut command = tell();
        command.enter(&user);
        command
    };
    // Who enters it has every capability there; denied is what its own creator had to give up.
    let own = if is_root() { "allow" } else { "deny" };
    assert!(told(&mut entered()).ends_with(own));
    assert!(told(entered().allow_setgroups(false)).ends_with("deny"));
    if is_root() {
        assert!(told(entered().allow_setgroups(true)).ends_with("allow"));
    }
    child.wait().expect("cat ends");
}

fn long_maps() {
    // An id that nobody has: 4294967294 ids fit, and one range takes all but the first.
    let mut ranges: Vec<_> = (0..300).map(|n| range(n, 1_000_000 + 2 * n, 1)).collect();
    let mut child = holder(|command| {
        command.map_root_user();
    });
    let user = child.namespace(NamespaceKind::User).expect("a handle");
    let error = refusal(tell().enter(&user).uid_map(ranges.clone()));
    let start = "write uid_map \"0 1000000 1\\n1 1000002 1\\n2 1000004 1\\n3 1000006 1\\n4 1000008 1\" … 295 more: ";
    assert!(error.to_string().starts_with(start), "{error}");
    ranges.truncate(5);
    let error = refusal(tell().enter(&user).uid_map(ranges));
    assert!(error.to_string().contains("4 1000008 1\": "), "{error}");
    child.wait().expect("cat ends");
}

fn refused() {
    let says = |command: &mut Command, what: &str| {
        let error = command.spawn().expect_err("a refusal");
        assert_eq!(error.step(), &Step::Validate);
        assert!(error.to_string().contains(what), "{error}");
    };
    let plain = || Command::new("true");
    says(
        plain().map_subordinate_ids(),
        "ids are mapped, but not in a namespace of its own: add `Namespaces::USER`",
    );
    says(
        plain().allow_setgroups(true),
        "setgroups(2) is allowed, but not in a namespace of its own: add `Namespaces::USER`",
    );
    says(
        plain().allow_setgroups(false),
        "setgroups(2) is denied, but not in a namespace of its own: add `Namespaces::USER`",
    );
    says(
        plain().namespaces(USER).groups(&[1]).allow_setgroups(false),
        "`allow_setgroups(false)` denies",
    );
    assert!(inode("/proc/self/ns/user") > 0);
}

fn shown() {
    let mut command = Command::new("true");
    assert!(!format!("{command:?}").contains("setgroups"));
    command.map_subordinate_ids().allow_setgroups(true).uid_map([range(1, 2, 3)]);
    let text = format!("{command:?}");
    for part in [
        "map: Subordinate",
        "allow_setgroups: true",
        "uid_map: [IdRange { inside: 1, outside: 2, count: 3 }]",
    ] {
        assert!(text.contains(part), "{text}");
    }
}
