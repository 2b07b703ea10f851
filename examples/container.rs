//! A container without root's help: a directory tree as its root, the machine's programs read-only, and nothing else of the
//! machine: no other processes, files, network or devices.
//!
//! ```sh
//! cargo run --example container                       # a shell, in a directory that is removed afterwards
//! cargo run --example container -- DIRECTORY ls -l /
//! ```
//! What the program writes to `/` is in the directory, as are the directories that the mounts are on.
#![forbid(unsafe_code)]

use std::env;
use std::error::Error;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use linux_namespaces::{Command, Mount, Namespaces, flags::*};

/// A part of the machine's system, at the same place inside.
fn system(path: &str) -> Mount {
    Mount::bind(path, path).recursive().read_only().create_target()
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let removed = tempfile::tempdir()?;
    let directory = arguments.next().map_or_else(|| removed.path().to_owned(), PathBuf::from);
    let program = arguments.next().unwrap_or_else(|| "/bin/sh".into());

    let status = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin:/usr/sbin:/sbin"), ("HOME", "/tmp"), ("PS1", "container# ")])
        .namespaces(Namespaces::all() - TIME)
        .map_root_user()
        .hostname("container")
        .root(directory)
        .mount(system("/usr"))
        .mount(system("/bin"))
        .mount(system("/lib"))
        .mount(system(if Path::new("/lib64").exists() { "/lib64" } else { "/lib" }))
        .mount(Mount::tmpfs("/tmp").data("mode=1777").create_target())
        .mount(Mount::proc("/proc").create_target())
        .mount(Mount::dev("/dev").create_target())
        .status()?;
    // A shell says it so, too: 128 and the number of the signal.
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(ExitCode::from(code as u8))
}
