//! The environment of the program.

use crate::device::*;

type Change = (&'static str, fn(&mut Cmd) -> &mut Cmd);

const CHANGES: [Change; 8] = [
    ("env A=1", |c| c.env("A", "1")),
    ("env A=2", |c| c.env("A", "2")),
    ("envs A=3 B=4", |c| c.envs([("B", "4"), ("A", "3")])),
    ("env Z=", |c| c.env("Z", "")),
    ("env_remove A", |c| c.env_remove("A")),
    ("env_remove B", |c| c.env_remove("B")),
    ("env_remove INHERITED", |c| c.env_remove("INHERITED")),
    ("env_clear", |c| c.env_clear()),
];

/// In a process that has a variable of its own.
pub(crate) fn environment_case() {
    let check = |changes: &[Change]| {
        let names: Vec<_> = changes.iter().map(|(name, _)| *name).collect();
        let [std, ours] = [Api::Std, Api::Ours].map(|api| {
            let mut command = api.command("/usr/bin/env");
            for (_, change) in changes {
                change(&mut command);
            }
            (command.get_envs(), command.output())
        });
        assert_eq!(ours, std, "{names:?}");
        std.1.expect("it is spawned").stdout
    };
    let unchanged = check(&[]);
    let text = String::from_utf8(unchanged).expect("text");
    assert!(text.lines().any(|line| line == "INHERITED=from the caller"), "{text}");
    for first in CHANGES {
        check(&[first]);
        for second in CHANGES {
            check(&[first, second]);
            for third in CHANGES {
                check(&[first, second, third]);
            }
        }
    }
    let last = check(&[CHANGES[0], CHANGES[7], CHANGES[2], CHANGES[4]]);
    assert_eq!(last, b"B=4\n");
}

pub(crate) fn changes_of_the_environment_in_any_order() {
    let output = case("environment").env("INHERITED", "from the caller").output();
    let output = output.expect("a case can be started");
    assert_eq!(said(&output), "");
}

/// The only thread of its process, so that it may change the environment.
pub(crate) fn environment_at_spawn_case() {
    let api = Api::of_this_case();
    let mut plain = api.sh("echo $INHERITED");
    let mut changed = api.sh("echo $INHERITED");
    changed.env("OTHER", "value");
    for value in ["one", "two"] {
        // SAFETY: there is no other thread.
        unsafe { std::env::set_var("INHERITED", value) };
        for command in [&mut plain, &mut changed] {
            let output = command.output().expect("it is spawned");
            print!("{}", String::from_utf8(output.stdout).expect("text"));
        }
    }
}

pub(crate) fn the_environment_is_that_at_the_time_of_the_spawn() {
    assert_eq!(same_in_case("environment at spawn"), "one\none\ntwo\ntwo\n");
}

pub(crate) fn odd_variables() {
    both_say("A=B=C\n", |api| api.command("env").env_clear().env("A=B", "C").output());
    both_say("=x\n", |api| api.command("env").env_clear().env("", "x").output());
    both_say("E=\n", |api| api.command("env").env_clear().env("E", "").output());
    both_say("K=two\nlines\n", |api| {
        api.command("env").env_clear().env("K", "two\nlines").output()
    });
    let odd = OsStr::from_bytes(b"\xff\xfe");
    let output = same(|api| api.command("env").env_clear().env(odd, odd).output());
    assert_eq!(output.expect("it is spawned").stdout, b"\xff\xfe=\xff\xfe\n");
}
