//! A harness that reports as ignored what the machine refuses: feature `test-harness`.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fmt;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use super::inside::{self, Reporter};
use super::launch::{self, Rerun, Show, Verdict};
use super::outcome::Message;
use super::{Isolated, Outcome, refusal};
use crate::Command;

/// A test for [`main`]: a name, what it is isolated in, and a body. From [`Isolated::test`].
///
/// # References
/// namespaces(7), user_namespaces(7)
pub struct Test {
    name: String,
    isolated: Isolated,
    /// It ends the process, so that the exit code is one that nobody sees.
    body: Box<dyn FnOnce(Reporter) -> ExitCode + Send>,
}

impl Isolated {
    /// A test for [`main`], of this name. [`Isolated::name`] is not used.
    ///
    /// # References
    /// namespaces(7), user_namespaces(7)
    #[must_use]
    pub fn test<R: Outcome>(
        &self,
        name: impl Into<String>,
        body: impl FnOnce() -> R + Send + 'static,
    ) -> Test {
        Test {
            name: name.into(),
            isolated: self.clone(),
            body: Box::new(|reporter| reporter.run(body)),
        }
    }
}

impl fmt::Debug for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Test")
            .field("name", &self.name)
            .field("isolated", &self.isolated)
            .finish_non_exhaustive()
    }
}

/// The `main` of a test target with `harness = false`: runs each test in a process of its own in new namespaces, and **reports as ignored, with
/// the reason**, what the machine refuses.
///
/// The body runs on the main thread of that process, which has no other: so it may
/// [`unshare`](crate::unshare()) all kinds, and use [`Command::from_fn`](crate::Command::from_fn).
///
/// It takes libtest's arguments, and speaks what nextest expects of a harness. nextest asks for a list first, in which a test that the machine
/// refuses is an ignored one, so that it is skipped and counted as that (without the reason, for which there is no place in the list).
/// (nextest's `--run-ignored` has it run, and takes it for passed.) With `LINUX_NAMESPACES_TEST_REQUIRE=1` such a test is run, and fails. What a test writes is shown if it fails, or, with `--nocapture`, at once.
///
/// ```toml
/// [[test]]
/// name = "net"
/// harness = false
/// ```
///
/// ```no_run
/// // tests/net.rs
/// use std::net::TcpListener;
/// use std::process::ExitCode;
/// use linux_namespaces::{flags::*, test::{self, Isolated}};
///
/// fn port_80() -> std::io::Result<()> {
///     TcpListener::bind("127.0.0.1:80").map(drop)
/// }
///
/// fn main() -> ExitCode {
///     let net = Isolated::new(USER | NET);
///     test::main([net.test("port_80", port_80), net.test("again", port_80)])
/// }
/// ```
///
/// # Panics
/// If two tests have the same name.
///
/// # References
/// namespaces(7), user_namespaces(7)
pub fn main(tests: impl IntoIterator<Item = Test>) -> ExitCode {
    let tests: Vec<_> = tests.into_iter().collect();
    let mut names = BTreeSet::new();
    for test in &tests {
        assert!(names.insert(test.name.clone()), "two tests are called {}", test.name);
    }
    if let Some(wanted) = inside::wanted() {
        let test = tests.into_iter().find(|test| inside::call_of_test(&test.name) == wanted);
        let test = test.unwrap_or_else(|| panic!("there is no such test in here: {wanted}"));
        return (test.body)(Reporter::of_harness());
    }
    let arguments = Arguments::from_args();
    let trials = tests.into_iter().map(|test| test.trial(&arguments)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

impl Test {
    fn trial(self, arguments: &Arguments) -> Trial {
        let Self { name, isolated, body: _ } = self;
        // Those are asked for by the flag alone.
        let is_listed_as_ignored = (arguments.list || arguments.ignored) && is_refused(&isolated);
        let shown_at_once = arguments.nocapture;
        let of = name.clone();
        Trial::ignorable_test(name, move || run(&isolated, of, shown_at_once))
            .with_ignored_flag(is_listed_as_ignored)
    }
}

/// Whether the machine refuses the set-up, and may: tried with a program that is nowhere, so that an error in its exec means that all before works.
fn is_refused(isolated: &Isolated) -> bool {
    let tried = isolated.command(Command::new("")).kill_on_drop(true).spawn();
    tried.is_err_and(|error| refusal::is_the_machines(&error)) && !refusal::is_failure()
}

fn run(isolated: &Isolated, name: String, shown_at_once: bool) -> Result<Completion, Failed> {
    let call = inside::call_of_test(&name);
    let rerun = Rerun::Test(name);
    let mut written = String::new();
    let show = if shown_at_once { Show::AsTests } else { Show::Later(&mut written) };
    let message = match launch::run(isolated.command(rerun.command()), &call, &rerun, show) {
        Verdict::Passed => return Ok(Completion::Completed),
        Verdict::Refused(error) => return Ok(Completion::ignored_with(error)),
        Verdict::Panicked(_) if shown_at_once => return Err(Failed::without_message()),
        Verdict::Panicked(_) if !written.is_empty() => String::new(),
        Verdict::Panicked(Message::Text(text)) => text,
        Verdict::Panicked(Message::Other) => "the test panicked".to_owned(),
        Verdict::Failed(message) => message,
    };
    Err(Failed::from(written + &message))
}
