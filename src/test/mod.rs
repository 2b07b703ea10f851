//! Tests that run in new namespaces, without root: feature `test`.
//!
//! ```no_run
//! use std::net::{TcpListener, TcpStream};
//! use linux_namespaces::{flags::*, test::isolated};
//!
//! # /*
//! #[test]
//! # */
//! fn port_80() {
//!     isolated(USER | NET, || {
//!         let listener = TcpListener::bind("127.0.0.1:80").unwrap();
//!         TcpStream::connect(listener.local_addr().unwrap()).unwrap();
//!     });
//! }
//! # port_80();
//! ```
//!
//! The body has a **process** of its own, and all of that is in the namespaces: the threads that the body starts, those of an async
//! runtime, the programs it runs. Root inside is the user who runs the test. Any number of such tests run at the same time, beside others.
//!
//! # How it works
//! The test program runs itself again, by a [`Command`] with those namespaces, told to run that one test. There the same call finds out
//! where it is, runs the body, and ends that process. So what stands in the test function before the call is done twice, once outside and once
//! inside, and what stands after it is done outside only. The result comes back through a pipe, and what the body writes is written again by
//! the test outside, so that it is captured and shown as that of any other test. A panic goes on outside, with its message shown once, and
//! `#[should_panic(expected = "…")]` sees it. A body that exits, aborts or is killed is a failure. If the test outside dies, so does the one inside.
//!
//! # Where it works
//! In `#[test]` functions, and what makes them, under `cargo test` and `cargo nextest run`, with whatever arguments; in async ones
//! by [`isolated_async`]; in doctests, and in a `main`, which is run again with the same arguments. With a harness of your own that knows
//! libtest's arguments, too; the one of the feature `test-harness` reports as ignored what the machine refuses.
//!
//! # Where the machine refuses
//! An ordinary user may be denied user namespaces: by AppArmor, a sysctl, a limit, a seccomp filter (see [`Cause`](crate::Cause)). libtest
//! cannot ignore a test that it has started. So such a test **passes**, and a line on the real standard error, past the capture, says
//!
//! ```text
//! test port_80 ... ignored, clone a process into new namespaces (net,user): …
//! ```
//!
//! nextest shows the standard error of a test that passes with `--success-output` only. With the environment variable
//! **`LINUX_NAMESPACES_TEST_REQUIRE=1`** it is a failure instead: set it where namespaces are expected, as in CI.
//! Settings that are wrong are always a failure. So is, on such a machine, a test with `#[should_panic(expected = "…")]`, whose panic does not come.
//!
//! # Process 1
//! With `PID` the test is process 1 (see the [crate page](crate#two-pitfalls)): a signal that it has no handler for does nothing to it, not even
//! SIGABRT, so that abort(3) ends it with SIGSEGV; and orphans are its to wait for. [`Command::init`] makes it process 2: `.configure(|command| command.init(true))`. Add `MOUNT` for a `/proc` that shows the new world.
#![forbid(unsafe_code)]

#[cfg(feature = "test-harness")]
mod harness;
mod inside;
mod launch;
mod name;
mod outcome;
mod refusal;
mod text;

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

#[cfg(feature = "test-harness")]
pub use self::harness::{Test, main};
use self::launch::{Rerun, Show, Verdict};
pub use self::outcome::Outcome;
use crate::{Command, Namespaces};

/// Runs the body of a test in these new namespaces: the whole process. See the [module](self) for how.
///
/// Outside it returns `()` or `Ok(())` if the body has passed, or was refused by the machine, and panics if not. Inside it does not return.
/// It is [`Isolated::new`] and [`Isolated::run`].
///
/// ```
/// use linux_namespaces::{flags::*, test::isolated};
/// isolated(USER | PID | UTS, || assert_eq!(std::process::id(), 1));
/// ```
///
/// # Panics
/// As [`Isolated::run`] does.
///
/// # References
/// namespaces(7), user_namespaces(7)
#[track_caller]
pub fn isolated<R: Outcome, F: FnOnce() -> R>(namespaces: Namespaces, body: F) -> R {
    Isolated::new(namespaces).run(body)
}

/// The same for an async test. Outside it blocks the thread until the test is through.
///
/// ```
/// use linux_namespaces::{flags::*, test::isolated_async};
///
/// # /*
/// #[tokio::test]
/// # */
/// async fn port_80() {
///     isolated_async(USER | NET, async {
///         tokio::task::spawn_blocking(|| std::net::TcpListener::bind("127.0.0.1:80")).await.unwrap().unwrap();
///     })
///     .await;
/// }
/// # fn main() { tokio::runtime::Builder::new_multi_thread().build().unwrap().block_on(port_80()); }
/// ```
///
/// # Panics
/// As [`Isolated::run`] does.
///
/// # References
/// namespaces(7), user_namespaces(7)
#[track_caller]
pub fn isolated_async<F: Future<Output: Outcome>>(
    namespaces: Namespaces,
    body: F,
) -> impl Future<Output = F::Output> {
    let call = Location::caller();
    async move { Isolated::new(namespaces).run_async_at(call, body).await }
}

/// What the body of a test is isolated in. It can be made once and used for any number of tests.
///
/// ```
/// use linux_namespaces::{Mount, flags::*, test::Isolated};
/// Isolated::new(USER | MOUNT | UTS)
///     .configure(|command| command.hostname("lab").mount(Mount::tmpfs("/mnt")))
///     .run(|| {
///         std::fs::write("/mnt/file", "nobody else sees it")?;
///         assert_eq!(std::fs::read_to_string("/proc/sys/kernel/hostname")?, "lab\n");
///         std::io::Result::Ok(())
///     })?;
/// # std::io::Result::Ok(())
/// ```
///
/// # References
/// namespaces(7), user_namespaces(7)
#[derive(Clone)]
pub struct Isolated {
    namespaces: Namespaces,
    configure: Vec<Arc<Configure>>,
    name: Option<String>,
}

type Configure = dyn Fn(&mut Command) -> &mut Command + Send + Sync;

impl Isolated {
    /// In these new namespaces. With `USER` the caller is root inside ([`Command::map_root_user`]); otherwise it takes root.
    ///
    /// # References
    /// namespaces(7), user_namespaces(7)
    #[must_use]
    pub fn new(namespaces: Namespaces) -> Self {
        Self { namespaces, configure: Vec::new(), name: None }
    }

    /// Changes the [`Command`] by which the test program runs itself: id maps, mounts, names, clocks, namespaces to enter, a user
    /// id, and all else that it has. Functions that are given add up.
    ///
    /// The program (`/proc/self/exe`), its arguments, its standard output and error, and descriptor 198 are this module's own affair. A new
    /// root needs a `/proc`, and in it the libraries that the test program is linked to. It runs in the test outside only.
    ///
    /// # References
    /// namespaces(7), user_namespaces(7)
    #[must_use]
    pub fn configure<F>(mut self, configure: F) -> Self
    where
        F: Fn(&mut Command) -> &mut Command + Send + Sync + 'static,
    {
        self.configure.push(Arc::new(configure));
        self
    }

    /// The full name of the test, as `cargo test -- --list` shows it, without the name of the crate: `"module::port_80"`.
    ///
    /// It is found out by itself: from the name of the thread, from the arguments, or from the function that the body is written in. Where that
    /// does not lead to a test of the program, as in a function that several tests call from threads of their own, the test fails and asks for this.
    ///
    /// # References
    /// namespaces(7), user_namespaces(7)
    #[must_use]
    pub fn name(mut self, test: impl Into<String>) -> Self {
        self.name = Some(test.into());
        self
    }

    /// Runs the body there. Several such calls in one test are made one after the other, each in a process of its own, in which the others
    /// are passed over. A call in a body is refused.
    ///
    /// # Panics
    /// * With the message of the body, if that panicked. It has been shown by then, and is not shown again.
    /// * If the body returned an error; if its process exited or was killed before the body was through.
    /// * With the [`Error`](crate::Error), if the process could not be made for a reason other than the machine's refusal, such as wrong
    ///   settings; and for any reason with `LINUX_NAMESPACES_TEST_REQUIRE=1`.
    /// * If the name of the test is not found, or the test inside does not come to this call.
    ///
    /// # References
    /// namespaces(7), user_namespaces(7)
    #[track_caller]
    pub fn run<R: Outcome, F: FnOnce() -> R>(&self, body: F) -> R {
        let call = Location::caller();
        match inside::arrive(call) {
            inside::Place::Here(reporter) => reporter.run(body),
            inside::Place::Elsewhere => R::passed(),
            inside::Place::Outside => self.run_outside::<R>(call, std::any::type_name::<F>()),
        }
    }

    /// The same for a future, polled by whatever polls this one. Outside it blocks the thread until the test is through.
    ///
    /// # Panics
    /// As [`run`](Self::run) does.
    ///
    /// # References
    /// namespaces(7), user_namespaces(7)
    #[track_caller]
    pub fn run_async<F: Future<Output: Outcome>>(
        &self,
        body: F,
    ) -> impl Future<Output = F::Output> {
        self.run_async_at(Location::caller(), body)
    }

    async fn run_async_at<F: Future<Output: Outcome>>(
        &self,
        call: &Location<'_>,
        body: F,
    ) -> F::Output {
        match inside::arrive(call) {
            inside::Place::Here(reporter) => reporter.run_async(body).await,
            inside::Place::Elsewhere => F::Output::passed(),
            inside::Place::Outside => {
                self.run_outside::<F::Output>(call, std::any::type_name::<F>())
            }
        }
    }

    #[track_caller]
    fn run_outside<R: Outcome>(&self, call: &Location<'_>, body: &str) -> R {
        let rerun = match &self.name {
            Some(name) => Rerun::Test(name.clone()),
            None => match name::find(body) {
                Ok(rerun) => rerun,
                Err(unknown) => panic!("{unknown}"),
            },
        };
        let name = rerun.name().to_owned();
        let call = inside::call(call, &name);
        match launch::run(self.command(rerun.command()), &call, &rerun, Show::AsTests) {
            Verdict::Passed => {}
            Verdict::Refused(error) => refusal::announce(&name, &error),
            // The body's own message has been shown, so no hook is to show one.
            Verdict::Panicked(message) => std::panic::resume_unwind(message.into()),
            Verdict::Failed(message) => panic!("{message}"),
        }
        R::passed()
    }

    /// A command, with the settings.
    fn command(&self, mut command: Command) -> Command {
        command.namespaces(self.namespaces);
        if self.namespaces.contains(Namespaces::USER) {
            command.map_root_user();
        }
        for configure in &self.configure {
            configure(&mut command);
        }
        command
    }
}

impl fmt::Debug for Isolated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Isolated")
            .field("namespaces", &self.namespaces)
            .field("configure", &self.configure.len())
            .field("name", &self.name)
            .finish()
    }
}
