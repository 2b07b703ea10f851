//! Tests that pass, in every way of running them.

use std::fs::File;
use std::io::Read as _;

use super::stranger::{Fifos, cargo, run, tests};

/// All but those that are ignored, and the two that wait for each other.
const ALL: &str = "20 passed; 0 failed; 2 ignored";

pub(crate) fn they_pass() {
    let fifos = Fifos::new();
    let arguments = ["test", "--offline", "-j2", "--test", "passing", "--", "--test-threads=4"];
    let ended = run(&mut cargo(&arguments, &fifos));
    ended.is(ALL);
    // Of what they write nothing is seen, and none was refused.
    assert!(!ended.out.contains("xxx") && !ended.err.contains("yyy"), "{ended}");
    assert!(!ended.err.contains("... ignored"), "{ended}");
    let module = run(&mut tests("stranger", &fifos));
    module.is("1 passed; 0 failed; 0 ignored");
}

pub(crate) fn with_any_arguments() {
    let without = "18 passed; 0 failed; 2 ignored";
    for (arguments, counts) in [
        (&["--test-threads=1", "--skip", "port_80"][..], without),
        (&["--test-threads=4", "-q"], ALL),
        (&["--test-threads=4", "--format=pretty"], ALL),
        (&["--test-threads=4", "--format=terse", "--color=always"], ALL),
        (&["--test-threads=2", "port_80"], "2 passed; 0 failed; 0 ignored"),
        (&["process", "--skip", "init", "--show-output"], "2 passed; 0 failed; 0 ignored"),
        (&["--ignored", "by_default"], "1 passed; 0 failed; 0 ignored"),
        (&["--include-ignored", "--exact", "ignored_by_default", "panics"], "2 passed; 0 failed"),
    ] {
        let ended = run(tests("passing", &Fifos::new()).args(arguments));
        // A coloured result has other bytes in between.
        if arguments.contains(&"--color=always") {
            assert_eq!(ended.code, Some(0), "{ended}");
        } else {
            ended.is(counts);
        }
    }
    let ended = run(tests("passing", &Fifos::new()).args(["--nocapture", "a_lot_is_written"]));
    ended.is("1 passed; 0 failed; 0 ignored");
    let written = |letter: &str| -> String {
        (0..20_000).map(|number| format!("{number} {}\n", letter.repeat(100))).collect()
    };
    assert!(ended.out.contains(&written("x")) && ended.err.contains(&written("y")));
    assert_eq!(ended.out.matches("running 1 test").count(), 1, "libtest's own words, once");
    assert!(!ended.out.contains("linux-namespaces"));
}

/// It lists the tests, and those that are ignored; and then runs each in a process of its own.
pub(crate) fn as_nextest_runs_them() {
    let fifos = Fifos::new();
    for program in ["passing", "harness"] {
        let list = run(tests(program, &fifos).args(["--list", "--format", "terse"]));
        let names: Vec<_> =
            list.out.lines().filter_map(|line| line.strip_suffix(": test")).collect();
        assert!(names.len() > 3, "{list}");
        let single =
            names.iter().filter(|name| !name.contains("port_80_") && !name.contains("fifo"));
        for name in single {
            let ended = run(tests(program, &fifos).args([
                *name,
                "--exact",
                "--nocapture",
                "--include-ignored",
            ]));
            ended.is("1 passed; 0 failed; 0 ignored");
        }
    }
}

pub(crate) fn in_a_harness() {
    let ended = run(&mut tests("harness", &Fifos::new()));
    ended.is("4 passed; 0 failed; 0 ignored");
    let list =
        run(tests("harness", &Fifos::new()).args(["--list", "--format", "terse", "--ignored"]));
    assert_eq!((list.code, list.out.as_str()), (Some(0), ""), "{list}");
}

pub(crate) fn in_doctests() {
    let ended = run(&mut cargo(&["test", "--offline", "-j2", "--doc"], &Fifos::new()));
    ended.is("3 passed; 0 failed; 0 ignored");
    assert!(!ended.err.contains("... ignored"), "{ended}");
}

pub(crate) fn as_the_readme_has_them() {
    let ended = run(&mut tests("readme", &Fifos::new()));
    ended.is("2 passed; 0 failed; 0 ignored");
    assert!(!ended.err.contains("... ignored"), "{ended}");
}

pub(crate) fn they_end_with_the_test_outside() {
    let fifos = Fifos::new();
    let held = fifos.0.path().join("held");
    let mut outside = tests("passing", &fifos)
        .args(["--ignored", "holds_a_fifo_open"])
        .env("STRANGER_HELD", &held)
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("it runs");
    // Blocks until the process inside has opened it, too.
    let mut held = File::open(held).expect("a FIFO");
    held.read_exact(&mut [0]).expect("the body runs");
    outside.kill().expect("it is there");
    outside.wait().expect("it has ended");
    // The end comes when the last process that holds it has ended.
    assert_eq!(held.read(&mut [0]).expect("a FIFO"), 0);
}

pub(crate) fn under_nextest() {
    let fifos = Fifos::new();
    let nextest = |arguments: &[&str]| {
        let mut nextest = cargo(&["nextest", "run", "--offline", "--test-threads=4"], &fifos);
        let ended =
            run(nextest.args(["--lib", "--test", "passing", "--test", "harness"]).args(arguments));
        assert_eq!(ended.code, Some(0), "{ended}");
        ended
    };
    let ended = nextest(&["--run-ignored", "all", "-E", "not test(holds_a_fifo_open)"]);
    assert!(ended.err.contains("26 tests run: 26 passed, 1 skipped"), "{ended}");
    let ended = nextest(&["--no-capture", "a_lot_is_written", "alone"]);
    assert!(ended.err.contains("2 tests run: 2 passed"), "{ended}");
    assert!(ended.out.contains("19999 xxx") && ended.err.contains("19999 yyy"), "{ended}");
}
