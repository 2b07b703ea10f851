//! A small nsenter: runs a command in namespaces of a process, or in those that files keep.
//!
//! ```text
//! cargo run --example enter -- --target PID [--all] [--net --uts ...] [--net=FILE ...] [COMMAND ARGS...]
//! cargo run --example enter -- PID [COMMAND ARGS...]    # all namespaces; the command is sh by default
//! cargo run --example enter                             # makes a process of its own to enter
//! ```
//!
//! Takes root's rights, or those of the user who made the namespaces. Ends with the command's exit status.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitCode;

use linux_namespaces::{
    Command, Namespace, NamespaceKind, Namespaces, PidFd, Result, Stdio, flags::*,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = if arguments.is_empty() { demonstrate() } else { enter(arguments) };
    result.unwrap_or_else(|error| {
        eprintln!("enter: {error}");
        ExitCode::FAILURE
    })
}

fn enter(arguments: Vec<String>) -> Result<ExitCode> {
    let (mut target, mut set, mut files) = (None, Namespaces::empty(), Vec::new());
    let mut words = arguments.into_iter().peekable();
    while let Some(option) = words.next_if(|word| word.starts_with("--")) {
        match option[2..].split_once('=').ok_or(&option[2..]) {
            Err("") => break,
            Err("target") => target = words.next(),
            Err("all") => set = Namespaces::all(),
            Err(kind) => set |= kind.parse::<NamespaceKind>()?.flag(),
            Ok((_, file)) => files.push(Namespace::open(file)?),
        }
    }
    if target.is_none() && files.is_empty() {
        target = words.next();
    }
    let mut command = Command::new(words.next().as_deref().unwrap_or("sh"));
    for file in &files {
        // A kind with a file is not taken from the process.
        set -= file.kind().flag();
        command.enter(file);
    }
    if let Some(Ok(target)) = target.as_deref().map(str::parse) {
        let all = if set.is_empty() && files.is_empty() { Namespaces::all() } else { set };
        command.enter_process(&PidFd::open(target)?, all);
    } else if target.is_some() || !set.is_empty() {
        eprintln!(
            "usage: enter [--target] PID [--KIND | --KIND=FILE | --all]... [COMMAND ARGS...]"
        );
        return Ok(ExitCode::from(2));
    }
    let status = command.args(words).status()?;
    // As a shell has it: 128 and the signal's number for a command that was killed.
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    Ok(ExitCode::from(code.unwrap_or(1) as u8))
}

fn demonstrate() -> Result<ExitCode> {
    // It waits for the end of its input, which comes at the latest with the end of this process.
    let mut cat = Command::new("cat");
    cat.namespaces(USER | PID | NS | UTS | NET | IPC).map_root_user().hostname("inside");
    let target = cat.stdin(Stdio::piped()).spawn()?;
    println!("process {} is in new namespaces; a command in there says", target.id());
    let mut inside = Command::new("sh");
    inside.args(["-c", "uname -n; readlink /proc/self/ns/pid"]);
    let output = inside.enter_process(target.pidfd(), Namespaces::all()).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    let expected = format!("inside\n{}\n", target.namespace(NamespaceKind::Pid)?.id()?);
    println!("which is {}what was asked for", if *said == *expected { "" } else { "not " });
    Ok(ExitCode::from(u8::from(*said != *expected)))
}
