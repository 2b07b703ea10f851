//! Namespaces for code that already holds a `std::process::Command`.
//!
//! ```text
//! cargo run --example std_command                   # ps in new pid and mount namespaces
//! cargo run --example std_command -- COMMAND ARGS...
//! ```
//!
//! As root, or as an ordinary user: then a user namespace gives the right to the others. Ends with the command's exit status.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode, ExitStatus};

use linux_namespaces::{CommandExt as _, flags::*};

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.is_empty() {
        arguments = ["ps", "aux"].map(str::to_owned).to_vec();
    }
    match run(&arguments) {
        // As a shell has it: 128 and the signal's number for a command that was killed.
        Ok(status) => {
            let code = status.code().or(status.signal().map(|signal| 128 + signal));
            ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
        }
        Err(error) => {
            eprintln!("std_command: {}: {error}", arguments[0]);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> io::Result<ExitStatus> {
    let mut command = Command::new(&arguments[0]);
    command.args(&arguments[1..]).namespaces(PID | NS | UTS | IPC);
    match command.spawn() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // Calls add up, and their order is of no account.
            command.namespaces(USER).spawn()
        }
        spawned => spawned,
    }?
    .wait()
}
