//! Runs `ps aux` in new pid and mount namespaces, where `ps` is process 1 and sees nobody else.
//!
//! ```text
//! cargo run --example ps
//! ```
//!
//! Root may create these two outright. An ordinary user gets the right to them with a user namespace around them: the first attempt
//! fails with a cause that a program can act on, and the second one adds `USER`. Ends with the exit status of `ps`.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use linux_namespaces::{Cause, Command, Result, flags::*};

fn main() -> ExitCode {
    match run() {
        Ok(status) => exit_code(status),
        Err(error) => {
            eprintln!("ps: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitStatus> {
    let mut ps = Command::new("ps");
    ps.arg("aux").namespaces(PID | NS);
    match ps.status() {
        Err(error) if error.cause() == Some(&Cause::MissingCapability) => {
            ps.namespaces(USER).map_root_user().status()
        }
        result => result,
    }
}

/// As a shell has it: 128 and the signal's number for a program that was killed.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
