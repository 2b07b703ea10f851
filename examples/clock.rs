//! A program that believes the machine was booted long ago.
//!
//! ```sh
//! cargo run --example clock                        # uptime --pretty, 1000 days later
//! cargo run --example clock -- 365 cat /proc/uptime
//! ```
#![forbid(unsafe_code)]

use std::env;
use std::error::Error;
use std::process::ExitCode;

use linux_namespaces::{Command, TimeOffset, flags::*};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let days: i64 = arguments.next().map_or(Ok(1000), |days| days.parse())?;
    let mut command = match arguments.next() {
        Some(program) => Command::new(program),
        None => Command::new("uptime"),
    };
    if env::args().len() < 3 {
        command.arg("--pretty");
    }
    let ahead = TimeOffset::from_secs(days.saturating_mul(24 * 60 * 60));
    let status = command
        .args(arguments)
        // A user namespace of its own gives anybody the right to the others.
        .namespaces(USER | TIME)
        .boottime_offset(ahead)
        .monotonic_offset(ahead)
        .status()?;
    Ok(ExitCode::from(status.code().map_or(1, |code| code as u8)))
}
