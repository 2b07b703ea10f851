//! `clone(2)` with a function: it runs as process 1 of a new pid namespace, with a `/proc` that shows just that.
//!
//! ```text
//! cargo run --example clone
//! ```
//!
//! Works as root, and as an ordinary user with a user namespace around the two others. Ends with what the function returns.

use std::process::ExitCode;

use linux_namespaces::{Cause, Command, Result, flags::*};

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("clone: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<u8> {
    let mut command = Command::from_fn(inside);
    command.namespaces(PID | NS);
    let mut child = match command.spawn() {
        Err(error) if error.cause() == Some(&Cause::MissingCapability) => {
            command.namespaces(USER).map_root_user().spawn()?
        }
        result => result?,
    };
    println!("the parent sees the child as {}", child.id());
    let status = child.wait()?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// This process is a copy of the caller's with one thread, so it may do what any program may.
fn inside() -> i32 {
    println!("child pid: {}", std::process::id());
    match std::process::Command::new("ps").arg("aux").status() {
        Ok(status) => status.code().unwrap_or(1),
        Err(error) => {
            eprintln!("clone: ps: {error}");
            1
        }
    }
}
