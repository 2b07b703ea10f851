//! A command that is spawned again has the caller's environment of now.

use std::env;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;

use linux_namespaces::Command;

use crate::common::{sh, stdout_of};

const A: &str = "LINUX_NAMESPACES_AGAIN_A";
const B: &str = "LINUX_NAMESPACES_AGAIN_B";

fn set(name: &str, value: &str) {
    // SAFETY: whoever reads the environment beside this does so through std, whose lock this takes; the C library is not asked for it.
    unsafe { env::set_var(name, value) };
}

fn unset(name: &str) {
    // SAFETY: as above.
    unsafe { env::remove_var(name) };
}

/// With the caller's environment as it is, and with one that has a change.
fn commands() -> [Command; 2] {
    let script = format!("echo \"${{{A}-none}}\"");
    let mut changed = sh(&script);
    changed.env("LINUX_NAMESPACES_AGAIN_OTHER", "1");
    [sh(&script), changed]
}

pub(crate) fn variable_case() {
    for mut command in commands() {
        unset(A);
        assert_eq!(stdout_of(&mut command), "none");
        for value in ["1", "2", "", "a longer one than the one before it, and longer again"] {
            set(A, value);
            assert_eq!(stdout_of(&mut command), value);
            assert_eq!(stdout_of(&mut command), value);
        }
        // As many variables as before, and as many bytes.
        set(A, "x");
        assert_eq!(stdout_of(&mut command), "x");
        set(A, "y");
        assert_eq!(stdout_of(&mut command), "y");
        unset(A);
        assert_eq!(stdout_of(&mut command), "none");
    }
}

pub(crate) fn beside_a_thread_case() {
    let (end, ended) = mpsc::channel::<()>();
    let thread = thread::spawn(move || ended.recv().is_err());
    variable_case();
    drop(end);
    thread.join().expect("it waited");
}

/// Both variables are set one after the other, to one number: a program finds them the same, or the first one ahead by one.
pub(crate) fn all_the_time_case() {
    set(A, "0");
    set(B, "0");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0u64;
            while !stop.load(SeqCst) {
                number += 1;
                // Of another length now and then, so that its text is at another address.
                let width = 1 + (number % 97) as usize;
                set(A, &format!("{number:0width$}"));
                set(B, &format!("{number:0width$}"));
                // The list itself grows and shrinks.
                let extra = format!("LINUX_NAMESPACES_AGAIN_{}", number % 64);
                if number % 2 == 0 { set(&extra, "extra") } else { unset(&extra) }
            }
        });
        let spawners: Vec<_> = (0..2).map(|_| scope.spawn(spawn_many)).collect();
        let results: Vec<_> = spawners.into_iter().map(|spawner| spawner.join()).collect();
        stop.store(true, SeqCst);
        for result in results {
            result.expect("what it found was whole");
        }
    });
}

fn spawn_many() {
    let mut plain = Command::new("/usr/bin/env");
    let mut changed = Command::new("/usr/bin/env");
    changed.env("LINUX_NAMESPACES_AGAIN_OTHER", "1");
    let mut last = 0;
    for _ in 0..100 {
        for command in [&mut plain, &mut changed] {
            let text = stdout_of(command);
            let [a, b] = [A, B].map(|name| number_of(name, &text));
            assert!(a == b || a == b + 1, "{A} is {a}, and {B} {b}: {text}");
            assert!(a >= last, "{a} after {last}: it is out of date");
            last = a;
            for line in text.lines().filter(|line| line.starts_with("LINUX_NAMESPACES_AGAIN_")) {
                let (name, value) = line.split_once('=').expect("a variable");
                let is_whole = match name.strip_prefix("LINUX_NAMESPACES_AGAIN_") {
                    Some("A" | "B") => true,
                    Some("OTHER") => value == "1",
                    Some(number) => number.parse::<u64>().is_ok() && value == "extra",
                    None => false,
                };
                assert!(is_whole, "{line}");
            }
        }
    }
}

fn number_of(name: &str, text: &str) -> u64 {
    let values: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect();
    let [value] = values[..] else { panic!("{name} is there {} times: {text}", values.len()) };
    value.parse().unwrap_or_else(|_| panic!("{name}={value}"))
}
