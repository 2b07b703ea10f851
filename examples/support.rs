//! Shows what works here, for this user: which kinds of namespace can be created and entered, and which kernel interfaces there are.
//! For each "no" it says why, and what helps.
//!
//! ```text
//! cargo run --example support
//! cargo run --example support -- net,uts
//! ```
//!
//! With kinds as an argument it ends with 1 if those can be created neither way, and says which flags it takes otherwise.

use std::process::ExitCode;

use linux_namespaces::{Namespaces, Result, Support};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("support: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let support = Support::detect()?;
    let Some(wanted) = std::env::args().nth(1) else {
        println!("{support}");
        return Ok(ExitCode::SUCCESS);
    };
    let wanted: Namespaces = wanted.parse()?;
    if support.creatable().contains(wanted) {
        println!("{wanted}");
        return Ok(ExitCode::SUCCESS);
    }
    let with_user = wanted | Namespaces::USER;
    if support.creatable_with_user().contains(with_user) {
        println!("{with_user}");
        return Ok(ExitCode::SUCCESS);
    }
    for error in support.refusals(with_user) {
        eprintln!("support: {error}");
    }
    Ok(ExitCode::FAILURE)
}
