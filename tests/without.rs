//! Features of newer kernels taken away: what does it for `.ci/without`, and that it does.
//!
//! As the case `run` this program takes away what `LINUX_NAMESPACES_WITHOUT` names, and becomes the program of its arguments.
//! `clone3 EPERM`: a feature, several with commas between them, `newer` for all that have something to fall back to, or `all`; and
//! the errno, or `old`, for what an older kernel answers.

mod common;

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use common::features::{FEATURES, Feature};
use common::{Need, case, test_with};

const VARIABLE: &str = "LINUX_NAMESPACES_WITHOUT";

const NEEDED: &[Need] = &{
    let mut needs = [Need::Root; FEATURES.len()];
    let mut place = 0;
    while place < needs.len() {
        needs[place] = Need::Feature(FEATURES[place].name);
        place += 1;
    }
    needs
};

fn main() {
    let tests = vec![
        test_with("each_is_taken_away_and_no_other", NEEDED, each_is_taken_away_and_no_other),
        test_with("all_are_taken_away", NEEDED, all_are_taken_away),
    ];
    common::run(&[("run", run), ("tell", tell)], tests);
}

/// Becomes another program, without the features.
fn run() {
    let wish = env::var(VARIABLE).expect("what to take away");
    let (names, errno) = wish.split_once(' ').expect("features and an errno");
    let all = FEATURES.map(|feature| feature.name);
    // Linux 5.4 has the others.
    let of_5_4 = ["pidfd_open", "pidfd_send_signal"];
    let newer = all.into_iter().filter(|name| !of_5_4.contains(name));
    let names = match names {
        "all" => all.to_vec(),
        "newer" => newer.collect(),
        names => names.split(',').collect(),
    };
    for feature in names.into_iter().map(Feature::named) {
        feature.take_away(match errno {
            "old" => feature.old,
            "ENOSYS" => libc::ENOSYS,
            "EPERM" => libc::EPERM,
            _ => panic!("the errno is old, ENOSYS or EPERM, not {errno}"),
        });
    }
    let mut arguments = env::args_os().skip(1);
    let mut program = Command::new(arguments.next().expect("a program to become"));
    program.args(arguments).env_remove("LINUX_NAMESPACES_CASE").env_remove(VARIABLE);
    let error = program.exec();
    panic!("{program:?}: {error}");
}

/// Writes what is here.
fn tell() {
    for feature in FEATURES.iter().filter(|feature| (feature.is_here)()) {
        println!("{}", feature.name);
    }
}

/// What is here for a program that was started without these.
fn left_without(wish: &str) -> Vec<String> {
    let mut command = case("run");
    command.env(VARIABLE, wish).stderr(Stdio::inherit());
    command.args(["env", "LINUX_NAMESPACES_CASE=tell"]).arg(env::current_exe().expect("its path"));
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{wish}: {}", output.status);
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

fn each_is_taken_away_and_no_other() {
    for feature in &FEATURES {
        for errno in ["old", "ENOSYS", "EPERM"] {
            // Whoever may mount nothing is told EPERM in any case.
            if feature.name == "move_mount" && errno == "EPERM" && !common::is_root() {
                continue;
            }
            let wish = format!("{} {errno}", feature.name);
            let mut left = left_without(&wish);
            left.retain(|name| name != "pidfd-ioctls" || feature.name != "pidfd_open");
            let others = FEATURES.iter().map(|other| other.name);
            let others = others
                .filter(|other| *other != feature.name)
                // They take a pidfd to be asked for.
                .filter(|other| *other != "pidfd-ioctls" || feature.name != "pidfd_open");
            assert_eq!(left, others.collect::<Vec<_>>(), "{wish}");
        }
    }
}

fn all_are_taken_away() {
    assert_eq!(left_without("all old"), [""; 0]);
}
