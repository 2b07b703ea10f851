//! Shows the namespaces of one process or two, as `ls -l /proc/<pid>/ns` does, and for two what they share.
//!
//! ```text
//! cargo run --example ns                # of this very process
//! cargo run --example ns -- 4711
//! cargo run --example ns -- 4711 4712
//! ```

use std::process::ExitCode;

use linux_namespaces::{Namespaces, ProcessNamespaces, Result};

fn main() -> ExitCode {
    let pids: std::result::Result<Vec<u32>, _> =
        std::env::args().skip(1).map(|argument| argument.parse()).collect();
    let result = match pids.as_deref() {
        Ok([]) => ProcessNamespaces::current().map(|own| println!("{own}")),
        Ok([pid]) => ProcessNamespaces::of(*pid).map(|its| println!("{its}")),
        Ok([a, b]) => two(*a, *b),
        _ => {
            eprintln!("usage: ns [PID [PID]]");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ns: {error}");
            ExitCode::FAILURE
        }
    }
}

fn two(a: u32, b: u32) -> Result<()> {
    // Both are read before anything is printed, so that an error stands alone.
    let (of_a, of_b) = (ProcessNamespaces::of(a)?, ProcessNamespaces::of(b)?);
    println!("process {a}\n{of_a}\n\nprocess {b}\n{of_b}\n");
    println!("shared: {}", or_none(of_a.shared_with(&of_b)));
    println!("differ: {}", or_none(of_a.differing_from(&of_b)));
    Ok(())
}

fn or_none(set: Namespaces) -> String {
    if set.is_empty() { "none".to_owned() } else { set.to_string() }
}
