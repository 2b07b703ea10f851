//! Runs a command in all namespaces of a process, as `nsenter --all` or `docker exec` does.
//!
//! ```text
//! cargo run --example enter -- PID [COMMAND ARGS...]    # the command is sh by default
//! cargo run --example enter                             # makes a process of its own to enter
//! ```
//!
//! Takes the rights that the kernel asks for: root's, or those of the user who made the namespaces. Ends with the command's exit status.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use linux_namespaces::{
    Cause, Child, Command, NamespaceKind, PidFd, ProcessNamespaces, Result, Stdio, flags::*,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first().map(|(pid, command)| (pid.parse(), command)) {
        None => demonstrate(),
        Some((Ok(pid), [])) => run(pid, &["sh".to_owned()]),
        Some((Ok(pid), command)) => run(pid, command),
        Some((Err(_), _)) => {
            eprintln!("usage: enter [PID [COMMAND ARGS...]]");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("enter: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(pid: u32, command: &[String]) -> Result<ExitCode> {
    inside(&PidFd::open(pid)?, command)?.status().map(exit_code)
}

/// The command, to be run where the process is.
fn inside(process: &PidFd, command: &[impl AsRef<std::ffi::OsStr>]) -> Result<Command> {
    let there = ProcessNamespaces::of_process(process)?;
    let set = there.differing_from(&ProcessNamespaces::current()?);
    let mut inside = Command::new(&command[0]);
    inside.args(&command[1..]).enter_process(process, set);
    Ok(inside)
}

fn demonstrate() -> Result<ExitCode> {
    let target = target()?;
    println!("process {} is in new namespaces; a command in there says", target.id());
    let script = "uname -n; readlink /proc/self/ns/pid";
    let output = inside(target.pidfd(), &["sh", "-c", script])?.output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    print!("{said}");
    let pid = target.namespaces()?.get(NamespaceKind::Pid).map(|id| id.to_string());
    let as_expected = said.lines().eq(["inside", pid.as_deref().unwrap_or_default()]);
    println!("which is {}what was asked for", if as_expected { "" } else { "not " });
    Ok(if as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `cat` waits for the end of its input, which comes at the latest with the end of this process.
fn target() -> Result<Child> {
    let mut cat = Command::new("cat");
    cat.namespaces(PID | NS | UTS | NET | IPC).hostname("inside").stdin(Stdio::piped());
    match cat.spawn() {
        Err(error) if error.cause() == Some(&Cause::MissingCapability) => {
            cat.namespaces(USER).map_root_user().spawn()
        }
        result => result,
    }
}

/// As a shell has it: 128 and the signal's number for a command that was killed.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
