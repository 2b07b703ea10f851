//! The process inside: how it knows where it is, and what it says.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Write as _};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::task::Poll;

use super::outcome::{Message, Outcome, Report};
use crate::sys;

/// Which call is to run its body, and which pipe it reports to.
pub(super) const CALL: &str = "LINUX_NAMESPACES_TEST_CALL";
/// That a test program is to list its tests.
pub(super) const LISTING: &str = "LINUX_NAMESPACES_TEST_LIST";
/// The number of the pipe in the process inside.
pub(super) const CHANNEL: RawFd = 198;

/// What the process inside writes to both its streams when the body begins.
pub(super) fn mark(inode: u64) -> String {
    format!("\n[linux-namespaces: the body of the test begins here, {inode}]\n")
}

/// What the variable says.
pub(super) fn variable(inode: u64, call: &str) -> String {
    format!("{inode} {call}")
}

/// The call to make. Its place tells it from others in the same test; a number, from others at the same place, as in a loop.
pub(super) fn call(place: &Location<'_>, test: &str) -> String {
    static CALLS: Mutex<BTreeMap<(String, String), u32>> = Mutex::new(BTreeMap::new());
    let place = place.to_string();
    let mut calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    let number = calls.entry((test.to_owned(), place.clone())).or_insert(0);
    *number += 1;
    format!("{number} {place}")
}

/// A call by name: of a test of the crate's own harness.
#[cfg(feature = "test-harness")]
pub(super) fn call_of_test(name: &str) -> String {
    format!("test {name}")
}

/// Where a call is made.
pub(super) enum Place {
    /// In a test that is to run itself again.
    Outside,
    /// In the process that was made for this call.
    Here(Reporter),
    /// In one that was made for another call of the test.
    Elsewhere,
}

/// # Panics
/// For a call in a body.
#[track_caller]
pub(super) fn arrive(place: &Location<'_>) -> Place {
    if std::env::var_os(LISTING).is_some() {
        // Who lists tests makes no such call. This is another kind of program.
        std::process::exit(1);
    }
    let Some(wanted) = wanted() else { return Place::Outside };
    assert!(
        !BEGUN.load(Relaxed),
        "a call of `isolated` in the body of another: all of the test is in new namespaces already, so add these to the outer call, \
         or use `linux_namespaces::Command` for what is to be in others"
    );
    // In here there is but one test.
    if call(place, "") == wanted { Place::Here(Reporter(())) } else { Place::Elsewhere }
}

/// Whether a body has begun, of which there is one in a process.
static BEGUN: AtomicBool = AtomicBool::new(false);

/// What this process was made for; `None` outside.
pub(super) fn wanted() -> Option<String> {
    channel().map(|(_, call)| call.clone())
}

/// The pipe, and the call. The variable reaches also the programs that the body runs. They do not have the pipe.
fn channel() -> Option<&'static (File, String)> {
    static CHANNEL: OnceLock<Option<(File, String)>> = OnceLock::new();
    CHANNEL.get_or_init(open_channel).as_ref()
}

fn open_channel() -> Option<(File, String)> {
    let variable = std::env::var(CALL).ok()?;
    let (inode, call) = variable.split_once(' ')?;
    let pipe: OwnedFd = sys::fcntl::duplicate(CHANNEL).ok()?;
    let pipe = File::from(pipe);
    if pipe.metadata().ok()?.ino().to_string() != inode {
        return None;
    }
    sys::fcntl::set_close_on_exec(CHANNEL).ok()?;
    Some((pipe, call.to_owned()))
}

/// Runs the body, says how it went, and ends the process.
pub(super) struct Reporter(());

impl Reporter {
    /// For the harness, which has found the test by its name.
    #[cfg(feature = "test-harness")]
    pub(super) fn of_harness() -> Self {
        Self(())
    }

    pub(super) fn run<R: Outcome>(self, body: impl FnOnce() -> R) -> ! {
        begin();
        end(catch_unwind(AssertUnwindSafe(body)))
    }

    pub(super) async fn run_async<F: Future<Output: Outcome>>(self, body: F) -> F::Output {
        begin();
        let mut body = pin!(body);
        let result = poll_fn(|context| {
            match catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(context))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
                Err(panic) => Poll::Ready(Err(panic)),
            }
        });
        end(result.await)
    }
}

fn begin() {
    BEGUN.store(true, Relaxed);
    let (pipe, _) = channel().expect("it is there, for this is inside");
    let mark = mark(pipe.metadata().map_or(0, |metadata| metadata.ino()));
    // Where a stream is closed nothing is to be shown.
    let _ = io::stdout().write_all(mark.as_bytes()).and_then(|()| io::stdout().flush());
    let _ = io::stderr().write_all(mark.as_bytes());
}

/// Ends here, lest the harness inside has a say, too.
fn end<R: Outcome>(result: std::thread::Result<R>) -> ! {
    let report = match result.map(|value| value.error()) {
        Ok(None) => Report::Passed,
        Ok(Some(error)) => {
            // As the standard library shows what `main` returns.
            let error = format!("Error: {error}");
            eprintln!("{error}");
            Report::Panicked(Message::Text(error))
        }
        Err(payload) => Report::Panicked(Message::from(&*payload)),
    };
    let (pipe, _) = channel().expect("it is there, for this is inside");
    // Without this the test outside knows that it was not told.
    let _ = (&*pipe).write_all(&report.to_bytes());
    let _ = io::stdout().flush();
    std::process::exit(0)
}
