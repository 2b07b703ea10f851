//! Runs a shell, or a command, in new namespaces, as root in there, without being root out here.
//!
//! ```text
//! cargo run --example unshare
//! cargo run --example unshare -- id
//! cargo run --example unshare -- --kinds mnt,pid,net ip address
//! ```
//!
//! A user namespace is always among them: it is what gives an ordinary user the right to the others. Ends with the command's exit status.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use linux_namespaces::{Command, Namespaces, Result, flags::*};

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut kinds = "mnt,pid,net,ipc,uts".to_owned();
    if arguments.first().is_some_and(|first| first == "--kinds") {
        if arguments.len() < 2 {
            eprintln!("usage: unshare [--kinds mnt,pid,...] [COMMAND ARGS...]");
            return ExitCode::from(2);
        }
        kinds = arguments.drain(..2).next_back().unwrap_or_default();
    }
    if arguments.first().is_some_and(|first| first == "--") {
        arguments.remove(0);
    }
    if arguments.is_empty() {
        arguments.push(std::env::var("SHELL").unwrap_or_else(|_| "sh".to_owned()));
    }
    match run(&kinds, &arguments) {
        Ok(status) => exit_code(status),
        Err(error) => {
            eprintln!("unshare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(kinds: &str, command: &[String]) -> Result<ExitStatus> {
    let kinds: Namespaces = kinds.parse()?;
    Command::new(&command[0]).args(&command[1..]).namespaces(USER | kinds).map_root_user().status()
}

/// As a shell has it: 128 and the signal's number for a command that was killed.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
