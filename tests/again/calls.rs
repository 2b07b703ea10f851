//! The system calls of a spawn of a command that was spawned before, exactly.
//!
//! What they are is in `calls-root.txt` and `calls-user.txt`, and what for in `docs/COST.md`. With `LINUX_NAMESPACES_PRINT` in the environment the
//! test prints what it found in their form.

use std::fmt::Write as _;

use crate::common::{case, is_root};
use crate::kinds::{SORTS, WANTED, once, warmed_up};
use crate::tracer;

/// `struct sigaction`, as the kernel has it.
static DEFAULT: [u64; 8] = [0; 8];

pub(crate) fn calls_case() {
    // What whoever runs the tests ignores would be asked for, too. libc refuses to set the two that it uses itself.
    for signal in 1..=64 {
        // SAFETY: the default, which is all zero and larger than any architecture's.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, &raw const DEFAULT, 0, 8) };
    }
    // The end of a child would interrupt the wait for it under a tracer, which is begun again.
    // SAFETY: plain integers, for which zero is a value.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: adds a signal to the set.
    unsafe { libc::sigaddset(&raw mut set, libc::SIGCHLD) };
    // SAFETY: reads the set.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
    let (mut command, sort, holder) = warmed_up();
    tracer::mark();
    once(&mut command, &sort.way);
    tracer::mark();
    if let Some(mut holder) = holder {
        holder.wait().expect("it ends with its input");
    }
}

/// As in the files: a line with the name, and one for each process.
fn text(name: &str) -> String {
    let processes = tracer::calls(case("calls").env(WANTED, name));
    let mut text = format!("{name}\n");
    for (place, calls) in processes.iter().enumerate() {
        let who = match place {
            0 => "caller".to_owned(),
            place => format!("child {place}"),
        };
        let _ = writeln!(text, "  {who}: {}", calls.join(" "));
    }
    text
}

pub(crate) fn a_spawn_makes_these_calls_and_no_others() {
    let known = match is_root() {
        true => include_str!("calls-root.txt"),
        false => include_str!("calls-user.txt"),
    };
    let mut known = known.split("\n\n").map(str::trim_end);
    let mut wrong = String::new();
    for sort in SORTS {
        let found = text(sort.name);
        if std::env::var_os("LINUX_NAMESPACES_PRINT").is_some() {
            println!("{found}");
        }
        let known = known.next().unwrap_or("nothing");
        if known != found.trim_end() {
            let _ = writeln!(wrong, "expected: {known}\nfound: {found}");
        }
    }
    assert!(wrong.is_empty() && known.next().is_none(), "{wrong}");
}
