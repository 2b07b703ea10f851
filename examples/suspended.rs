//! Puts a network interface into a program's world before the program runs: two worlds and a cable between them.
//!
//! ```text
//! cargo run --example suspended               # shows the interfaces
//! cargo run --example suspended COMMAND...    # runs that instead; the other end is 10.0.0.1
//! ```
//!
//! Needs `ip` (iproute2). As root and as an ordinary user: the other end is not the host's network but a second world, which
//! belongs to the user who runs this.

use std::process::ExitCode;

use linux_namespaces::{Command, PidFd, Result, Stdio, flags::*};

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("suspended: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: Vec<String>) -> Result<u8> {
    if arguments.is_empty() {
        arguments = ["ip", "-brief", "address"].map(String::from).into();
    }
    // The program, with everything set up but the cable.
    let program = Command::new(&arguments[0])
        .args(&arguments[1..])
        .namespaces(USER | NET)
        .map_root_user()
        .spawn_suspended()?;

    // A network for the other end, which lives as long as `cat` has something to wait for. Whoever is root in the user namespace of
    // the one is so for both.
    let router = Command::new("cat")
        .enter_process(program.pidfd(), USER)
        .namespaces(NET)
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;

    let (inside, outside) = (program.pidfd(), router.pidfd());
    let there = router.id().to_string();
    ip(
        inside,
        &["link", "add", "inside", "type", "veth", "peer", "name", "outside", "netns", &there],
    )?;
    ip(outside, &["address", "add", "10.0.0.1/24", "dev", "outside"])?;
    ip(outside, &["link", "set", "outside", "up"])?;
    ip(inside, &["address", "add", "10.0.0.2/24", "dev", "inside"])?;
    ip(inside, &["link", "set", "inside", "up"])?;

    // Only now it runs, and finds its network as if it had always been there.
    let status = program.resume()?.wait()?;
    Ok(status.code().map_or(1, |code| code as u8))
}

/// ip(8) in the network of that process.
fn ip(process: &PidFd, arguments: &[&str]) -> Result<()> {
    let status = Command::new("ip").args(arguments).enter_process(process, USER | NET).status()?;
    if !status.success() {
        eprintln!("suspended: ip {} ended with {status}", arguments.join(" "));
    }
    Ok(())
}
