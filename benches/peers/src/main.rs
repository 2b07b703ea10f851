//! What the same spawn costs by this crate, by std, and by what else there is, in one run.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml [ROUNDS]
//! ```
//!
//! Before it is measured each way has to run `readlink /proc/self/ns/…`, which shows that its child is in new namespaces of the kinds asked
//! for, and in the caller's otherwise. What cannot do a set is named with the reason.

#[path = "../../spawn/ballast.rs"]
#[allow(dead_code)]
mod ballast;
#[path = "../../spawn/measure.rs"]
#[allow(dead_code)]
mod measure;
#[path = "../../spawn/target.rs"]
mod target;
mod ways;

use std::path::Path;
use std::{env, fs};

use measure::{Effort, Way, compare, find, print};
use ways::{KINDS, MOUNT, NET, PID, Set, USER, WAYS};

/// Runs `readlink` by one way, and says which kinds its child has new; or why it could not.
fn new_kinds(make: ways::Make, set: Set, directory: &Path) -> Result<Set, String> {
    let link =
        ["/usr/bin/readlink", "/bin/readlink"].into_iter().find(|path| Path::new(path).exists());
    let link = link.ok_or("there is no readlink(1)")?;
    let output = directory.join("output");
    let script = directory.join("look");
    let files: Vec<_> = KINDS.iter().map(|(_, name)| format!("/proc/self/ns/{name}")).collect();
    fs::write(
        &script,
        format!("#!/bin/sh\nexec {link} {} >{}\n", files.join(" "), output.display()),
    )
    .map_err(|error| error.to_string())?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&script, mode).map_err(|error| error.to_string())?;
    let _ = fs::remove_file(&output);
    make(&script, set)?()?;
    let seen =
        fs::read_to_string(&output).map_err(|error| format!("the child wrote nothing: {error}"))?;
    let mut new = 0;
    for ((kind, _), (line, file)) in KINDS.iter().zip(seen.lines().zip(&files)) {
        let own = fs::read_link(file).map_err(|error| error.to_string())?;
        if Path::new(line) != own {
            new |= kind;
        }
    }
    if seen.lines().count() == KINDS.len() {
        Ok(new)
    } else {
        Err(format!("the child saw {seen:?}"))
    }
}

fn main() {
    let rounds = env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(200);
    let _pinned = ballast::Pinned::new();
    let target = target::Target::new();
    let directory = tempfile::tempdir().expect("a directory");
    for (title, set) in [
        ("none", 0),
        ("user", USER),
        ("user,pid", USER | PID),
        ("user,pid,mnt, with a new /proc", USER | PID | MOUNT),
        ("user,net", USER | NET),
    ] {
        println!("\n-- {title}");
        let mut measured = Vec::new();
        for (name, make) in WAYS {
            let ready = new_kinds(make, set, directory.path()).and_then(|new| match new == set {
                true => make(&target.path, set),
                false => Err(format!("its child has new {}, not {title}", ways::names(new))),
            });
            match ready {
                Ok(mut run) => measured.push(Way::new(name, move || run().expect(name))),
                Err(why) => println!("  {name}: not measured: {why}"),
            }
        }
        let all = compare(Effort { rounds, repeats: 3 }, measured);
        print(&all);
        let ours = find(&all, WAYS[0].0).median;
        for took in &all[1..] {
            println!("  {:<58} {:>9.2}", format!("{} / this crate", took.name), took.median / ours);
        }
    }
}
