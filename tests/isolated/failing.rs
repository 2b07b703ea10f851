//! Tests that fail, and what is shown of them.

use super::stranger::{Fifos, run, tests};

const FAILED: &str = "0 passed; 14 failed; 0 ignored";
/// What a panic hook writes.
const PANICKED: &str = "panicked at ";

pub(crate) fn they_fail() {
    let ended = run(tests("failing", &Fifos::new()).arg("--test-threads=4"));
    ended.is(FAILED);
    let asserts = ended.shown_for("asserts");
    let parts = [
        "written to stdout outside\n",
        "written to stdout\n",
        "written to stderr\n",
        "thread 'asserts'",
        "panicked at tests/failing.rs:11:9:\n",
        "assertion `left == right` failed: sums are wrong\n",
        "right: 3\n",
    ];
    let mut rest = asserts;
    for part in parts {
        let (_, after) =
            rest.split_once(part).unwrap_or_else(|| panic!("no {part} in its place in {asserts}"));
        assert!(!after.contains(part), "{part} is shown twice in {asserts}");
        rest = after;
    }
    assert!(!asserts.contains("running ") && !asserts.contains("test result"), "{asserts}");

    for (test, panics, words) in [
        ("asserts", 1, "sums are wrong"),
        ("asserts_in_a_runtime", 1, "after an await"),
        ("returns_an_error", 0, "Error: \"no good\"\n"),
        ("panics_with_another_text", 1, "panic message: \"that text\""),
        ("does_not_panic", 0, "did not panic as expected"),
        ("exits", 1, "the process of exits ended with exit status: 0 before the body was through"),
        ("aborts", 1, "the process of aborts ended with signal: 6 (SIGABRT)"),
        ("aborts_as_process_1", 1, "ended with signal: "),
        ("wrong_settings", 1, "add `Namespaces::MOUNT`"),
        ("no_such_mount", 1, "mount on /mnt (a bind of /no/such/directory): No such file"),
        ("nested", 1, "a call of `isolated` in the body of another"),
        ("wrong_name", 1, "has no test called no_such_test"),
        ("no_name", 1, "give `Isolated::name` what `cargo test -- --list` shows"),
        ("does_not_come_to_the_call", 1, "before it came to this call"),
    ] {
        let shown = ended.shown_for(test);
        assert_eq!(shown.matches(PANICKED).count(), panics, "{test}: {shown}");
        assert_eq!(shown.matches(words).count(), 1, "{test}: {shown}");
    }
    // It is the call that is pointed at, not this crate.
    assert!(ended.shown_for("exits").contains("panicked at tests/failing.rs:"));
    assert!(ended.shown_for("does_not_come_to_the_call").contains("gone another way"));
    assert!(!ended.err.contains("... ignored"), "{ended}");
}

pub(crate) fn they_fail_without_capture() {
    let mut failing = tests("failing", &Fifos::new());
    let ended = run(failing.args(["--nocapture", "--exact", "asserts"]));
    ended.is("0 passed; 1 failed; 0 ignored");
    assert_eq!(ended.err.matches("sums are wrong").count(), 1, "{ended}");
    assert_eq!(ended.err.matches("written to stderr").count(), 1, "{ended}");
    assert_eq!(ended.out.matches("written to stdout\n").count(), 1, "{ended}");
    assert!(!ended.out.contains("sums are wrong"), "{ended}");
}

pub(crate) fn they_fail_in_a_harness() {
    let fifos = Fifos::new();
    let ended = run(tests("harness", &fifos).env("STRANGER_FAILS", "1"));
    ended.is("4 passed; 3 failed; 0 ignored");
    let shown = ended.shown_for("fails");
    assert_eq!(shown.matches("for a reason").count(), 1, "{shown}");
    assert!(shown.contains("written to stdout\n"), "{shown}");
    assert!(ended.shown_for("returns_an_error").contains("Error: \"no good\""));
    assert!(ended.shown_for("exits").contains("exit status: 0 before the body was through"));

    let mut harness = tests("harness", &fifos);
    let ended = run(harness.env("STRANGER_FAILS", "1").args(["--nocapture", "--exact", "fails"]));
    ended.is("0 passed; 1 failed; 0 ignored");
    assert_eq!(ended.err.matches("for a reason").count(), 1, "{ended}");
    assert!(!ended.out.contains("for a reason"), "{ended}");
}
