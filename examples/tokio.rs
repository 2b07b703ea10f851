//! Runs shell scripts, all at once, each in a world of its own, and kills those that take too long: a small job runner.
//!
//! ```text
//! cargo run --example tokio                                      # some scripts
//! cargo run --example tokio -- SECONDS SCRIPT...
//! cargo run --example tokio -- 1 'echo $$' 'exit 3' 'sleep 1000 & sleep 1000'
//! ```
//!
//! As root and as an ordinary user. One thread waits for all of them, by their pidfds.

use std::time::Duration;

use linux_namespaces::{Command, Result, Stdio, flags::*, tokio::Child};
use tokio::{task::JoinSet, time::timeout};

const SCRIPTS: [&str; 4] = ["echo $$", "exit 3", "kill -TERM $$", "sleep 1000 & sleep 1000"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds: f64 = arguments.next().as_deref().unwrap_or("0.5").parse()?;
    let limit = Duration::try_from_secs_f64(seconds)?;
    let mut scripts: Vec<String> = arguments.collect();
    if scripts.is_empty() {
        scripts = SCRIPTS.map(String::from).into();
    }
    let mut jobs = JoinSet::new();
    for script in scripts {
        jobs.spawn(async move { (run(&script, limit).await, script) });
    }
    while let Some(job) = jobs.join_next().await {
        match job? {
            (Ok(result), script) => println!("{script}: {result}"),
            (Err(error), script) => println!("{script}: {error}"),
        }
    }
    Ok(())
}

async fn run(script: &str, limit: Duration) -> Result<String> {
    // Behind a process 1, the script may leave behind what it likes: that ends with it. And a handle that is dropped kills it.
    let child = Command::new("sh")
        .args(["-c", script])
        .namespaces(USER | PID | NS | NET | IPC | UTS)
        .map_root_user()
        .init(true)
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let child = Child::try_from(child)?;
    match timeout(limit, child.wait_with_output()).await {
        Ok(output) => {
            let output = output?;
            let text = String::from_utf8_lossy(&output.stdout);
            Ok(format!("{}: {:?}", output.status, text.trim_end()))
        }
        Err(_) => Ok(format!("killed after {limit:?}")),
    }
}
