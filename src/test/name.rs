//! Which test a call is in, so that the test program can be told to run that one.
#![forbid(unsafe_code)]

use std::fmt;
use std::process::{Command as StdCommand, Stdio as StdStdio};
use std::sync::OnceLock;

use super::inside;
use super::launch::{PROGRAM, Rerun};

/// libtest's words for the only test that is to run.
const EXACT: &str = "--exact";

/// That none of the names that a call could have is a test of this program.
#[derive(Debug)]
pub(super) struct Unknown(Vec<String>);

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "it is not known which test this call is in, so that it could be run in new namespaces: "
        )?;
        match &*self.0 {
            [] => f.write_str("nothing tells a name")?,
            names => write!(f, "this program has no test called {}", names.join(" or "))?,
        }
        f.write_str(": call it in the #[test] function itself, on its thread, or give `Isolated::name` what `cargo test -- --list` shows")
    }
}

/// By the thread, which libtest names; by the arguments, in which nextest has the name; by the type of the body, which has the path of the
/// function that it is written in.
pub(super) fn find(body: &str) -> Result<Rerun, Unknown> {
    let thread = std::thread::current();
    let thread = thread.name().filter(|name| *name != "main");
    let paths = functions(body);
    // What two ways lead to is it, and need not be looked for.
    if let Some(name) = thread.filter(|name| paths.iter().any(|path| path == name)) {
        return Ok(Rerun::Test(name.to_owned()));
    }
    if thread.is_none() && is_of_a_program(body) {
        return Ok(Rerun::Program);
    }
    let exact = named_in(std::env::args());
    let names = || thread.map(str::to_owned).into_iter().chain(exact).chain(paths);
    let names: Vec<_> = names().collect();
    match tests() {
        Some(tests) => match names.iter().find(|name| tests.contains(name)) {
            Some(name) => Ok(Rerun::Test(name.clone())),
            None => Err(Unknown(names)),
        },
        None if thread.is_none() => Ok(Rerun::Program),
        None => Err(Unknown(names)),
    }
}

/// Whether a body is written in the main function of a program, or in a doctest, which is one.
fn is_of_a_program(body: &str) -> bool {
    let mut path = body.split("::");
    path.next().is_some_and(|name| name == "rust_out" || name.starts_with("doctest_bundle"))
        || path.next() == Some("main")
}

/// The functions, without the crate, that a type is of or has as its parameters; from the inner to the outer ones:
/// "krate::helper<krate::module::port_80::{{closure}}>::{{closure}}" has "helper", "module::port_80" and "module".
fn functions(body: &str) -> Vec<String> {
    let mut found = Vec::new();
    for path in body.split(|letter: char| "<>(),& ".contains(letter)) {
        let path = path.split("::{{").next().unwrap_or_default();
        let Some((_krate, mut path)) = path.split_once("::") else { continue };
        while !path.is_empty() {
            found.push(path.to_owned());
            path = path.rsplit_once("::").map_or("", |(outer, _)| outer);
        }
    }
    found
}

/// What `--exact` is said about, if it is one name.
fn named_in(arguments: impl Iterator<Item = String>) -> Option<String> {
    let arguments: Vec<_> = arguments.skip(1).collect();
    let mut names = arguments.iter().filter(|argument| !argument.starts_with('-'));
    let name = names.next()?;
    (names.next().is_none() && arguments.iter().any(|argument| argument == EXACT))
        .then(|| name.clone())
}

/// All tests of this program; `None` if it has none, or does not tell.
fn tests() -> Option<&'static [String]> {
    static TESTS: OnceLock<Option<Vec<String>>> = OnceLock::new();
    TESTS.get_or_init(list).as_deref()
}

fn list() -> Option<Vec<String>> {
    let output = StdCommand::new(PROGRAM)
        .args(["--list", "--format", "terse"])
        .env(inside::LISTING, "1")
        .env_remove("RUST_TEST_SHUFFLE")
        .stdin(StdStdio::null())
        .output()
        .ok()?;
    let tests = parse(&String::from_utf8_lossy(&output.stdout));
    (output.status.success() && !tests.is_empty()).then_some(tests)
}

fn parse(list: &str) -> Vec<String> {
    list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_in_types() {
        assert_eq!(functions("krate::port_80::{{closure}}"), ["port_80"]);
        assert_eq!(functions("krate::port_80::{{closure}}::{{closure}}"), ["port_80"]);
        let nested = "krate::with_net<krate::m::port_80::{{closure}}>::{{closure}}";
        assert_eq!(functions(nested), ["with_net", "m::port_80", "m"]);
        assert_eq!(functions("krate::m::port_80::inner"), ["m::port_80::inner", "m::port_80", "m"]);
        assert_eq!(functions("alloc::boxed::Box<dyn FnOnce()>"), ["boxed::Box", "boxed"]);
        assert!(functions("fn()").is_empty());
    }

    #[test]
    fn doctests_and_programs_are_known() {
        for body in [
            "rust_out::main::_doctest_main_src_lib_rs_2_0::{{closure}}",
            "rust_out::x::{{closure}}",
            "doctest_bundle_2024::__doctest_1::x::{{closure}}",
            "program::main::{{closure}}",
        ] {
            assert!(is_of_a_program(body), "{body}");
        }
        assert!(!is_of_a_program("krate::tests::main::{{closure}}"));
    }

    #[test]
    fn nextest_names_the_test() {
        let named = |arguments: &[&str]| named_in(arguments.iter().map(|text| (*text).to_owned()));
        assert_eq!(named(&["t", "--exact", "m::a", "--nocapture"]).as_deref(), Some("m::a"));
        assert_eq!(named(&["t", "m::a"]), None);
        assert_eq!(named(&["t", "--exact", "a", "b"]), None);
    }

    #[test]
    fn lists_are_read() {
        assert_eq!(
            parse("a: test\nm::b: test\nc: benchmark\n\n3 tests, 0 benchmarks\n"),
            ["a", "m::b"]
        );
        // This program has a list, in which this test is.
        let own = std::thread::current().name().map(str::to_owned).expect("libtest names it");
        assert!(tests().expect("a list").contains(&own));
    }

    #[test]
    fn an_unknown_test_is_told_with_the_remedy() {
        let error = Unknown(vec!["with_net".to_owned()]).to_string();
        assert!(error.contains("no test called with_net: ") && error.contains("Isolated::name"));
    }
}
