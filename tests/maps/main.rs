//! The ids of a new user namespace: which there are, who writes them, and what is said where they cannot be had.
//!
//! Subordinate ids are tested in a world with an /etc of its own, which takes root: a private mount namespace, in which this
//! program is run again for one case, as the user ann.

#[path = "../common/mod.rs"]
mod common;
mod dumpable;
mod helpers;
mod kernel;
mod rights;

use std::ffi::c_int;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command as StdCommand;
use std::sync::OnceLock;
use std::thread;

use common::{
    Case, Footprint, Need, field, in_own_process, inode, is_root, sh, stdout_of, test, test_with,
};
use linux_namespaces::{
    Cause, Command, Error, IdRange, NamespaceKind, Namespaces, Stdio, Step, Suspended, flags::*,
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
        ("subordinate ids", helpers::subordinate_ids),
        ("one side by a helper", helpers::one_side_by_a_helper),
        ("setgroups of a user", helpers::setgroups_of_a_user),
        ("helper refuses", helpers::helper_refuses),
        ("no helper", helpers::no_helper),
        ("helpers that fail", helpers::helpers_that_fail),
        ("powerless helpers", helpers::powerless_helpers),
        ("helpers with file capabilities", helpers::helpers_with_file_capabilities),
        ("few descriptors", helpers::few_descriptors),
        ("status is lost", helpers::status_is_lost),
        ("thousand failures", helpers::thousand_failures),
        ("not dumpable", dumpable::not_dumpable),
        ("ids change meanwhile", dumpable::ids_change_meanwhile),
        ("ids change in another thread", dumpable::ids_change_in_another_thread),
        ("exec closes the memory", dumpable::exec_closes_the_memory),
        ("exec closes a new user namespace", dumpable::exec_closes_a_new_user_namespace),
        ("exec with few capabilities", dumpable::exec_with_few_capabilities),
        ("closed by itself", dumpable::closed_by_itself),
        ("no new privileges", dumpable::no_new_privileges),
        ("not dumpable, threads", dumpable::not_dumpable_threads),
        ("not dumpable, exec", dumpable::not_dumpable_exec),
        ("capabilities", rights::with_capabilities),
        ("by number", rights::by_number),
        ("own among them", rights::own_among_them),
        ("file missing", rights::file_missing),
        ("line missing", rights::line_missing),
        ("advice is followed", rights::advice_is_followed),
        ("line malformed", rights::line_malformed),
        ("too many", rights::too_many),
        ("root", rights::root_with_line),
        ("root without a line", rights::root_without_line),
        ("root lacks a line", rights::root_lacks_line),
        ("exec is refused", rights::exec_is_refused),
        ("other real id", rights::other_real_id),
        ("show ids", dumpable::show_ids),
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
        test_with("helpers_without_privileges_are_told", HELPERS, || as_root("powerless helpers")),
        test_with("helpers_with_file_capabilities", HELPERS, || {
            as_root("helpers with file capabilities");
        }),
        test_with("descriptors_for_a_helper_are_short", HELPERS, || {
            ann("few descriptors", Some(SUBS), Some(SUBS));
        }),
        test_with("status_of_a_helper_is_lost", HELPERS, || {
            ann("status is lost", Some(SUBS), Some(SUBS))
        }),
        test_with("thousand_failures_leave_nothing", HELPERS, || {
            ann("thousand failures", Some(SUBS), Some(SUBS))
        }),
        test_with("caller_is_not_dumpable", HELPERS, || as_root("not dumpable")),
        test_with("callers_are_not_dumpable", HELPERS, || as_root("not dumpable, threads")),
        test_with("exec_closes_the_memory", USERNS, || in_own_process("exec closes the memory")),
        test_with("exec_closes_a_new_user_namespace", USERNS, || {
            in_own_process("exec closes a new user namespace");
        }),
        test_with("exec_with_few_capabilities", HELPERS, || {
            let options = &["--inh-caps=+net_admin", "--ambient-caps=+net_admin"];
            World { options, ..World::default() }.run("exec with few capabilities");
        }),
        test_with("ids_change_while_the_memory_is_closed", ROOT, || {
            in_own_process("ids change meanwhile");
        }),
        test_with("ids_change_in_another_thread", ROOT, || {
            in_own_process("ids change in another thread");
        }),
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
        test_with("advice_gives_what_is_free", ROOT, || {
            let lines = Some("bob:100000:65536\n");
            World { user: None, subuid: lines, subgid: lines, ..World::default() }
                .run("advice is followed");
        }),
        test_with("line_is_malformed", HELPERS, || {
            ann("line malformed", Some("bob:x\nann:1:1\nann:x:65536\n"), Some("ann:100000:0\n"));
        }),
        test_with("too_many_lines", HELPERS, || {
            let lines: String = (0..400).map(|n| format!("ann:{}:1\n", 100_000 + 2 * n)).collect();
            static LINES: OnceLock<String> = OnceLock::new();
            let lines = LINES.get_or_init(|| lines);
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
        test_with("setgroups_of_root", ROOT, rights::setgroups_of_root),
        test_with("maps_inside_an_entered_namespace", ROOT, rights::inside_an_entered),
        test_with(
            "setgroups_inside_an_entered_namespace",
            USERNS,
            rights::setgroups_inside_an_entered,
        ),
        test_with("long_maps_are_abbreviated", USERNS, rights::long_maps),
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
        test_with("any_ranges_are_judged_as_by_the_kernel", ROOT, kernel::any_ranges),
        test("what_makes_no_sense_is_refused", rights::refused),
        test("settings_are_shown", rights::shown),
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
