//! The module `test`, in another crate: with libtest, with the harness, with nextest, and where the machine refuses.
#[path = "../common/mod.rs"]
mod common;
mod failing;
mod passing;
mod refused;
mod stranger;

use common::{Need, test_with};
use libtest_mimic::{Completion, Trial};

const CARGO: &[Need] = &[Need::UserNamespaces, Need::Program("cargo")];
const NEXTEST: &[Need] =
    &[Need::UserNamespaces, Need::Program("cargo"), Need::Program("cargo-nextest")];

fn main() {
    let tests = vec![
        test("they_pass", passing::they_pass),
        test("with_any_arguments", passing::with_any_arguments),
        test("as_nextest_runs_them", passing::as_nextest_runs_them),
        test("in_a_harness", passing::in_a_harness),
        test("in_doctests", passing::in_doctests),
        test("as_the_readme_has_them", passing::as_the_readme_has_them),
        test("they_end_with_the_test_outside", passing::they_end_with_the_test_outside),
        test_with("under_nextest", NEXTEST, passing::under_nextest),
        test("they_fail", failing::they_fail),
        test("they_fail_without_capture", failing::they_fail_without_capture),
        test("they_fail_in_a_harness", failing::they_fail_in_a_harness),
        test("where_the_machine_refuses", refused::libtest),
        test("where_the_machine_must_not_refuse", refused::required),
        test("a_harness_ignores_them", refused::harness),
        test("a_filter_refuses", refused::filtered),
    ];
    common::run(refused::CASES, tests);
}

fn test(name: &str, body: fn()) -> Trial {
    match stranger::missing() {
        Some(reason) => Trial::ignorable_test(name, move || Ok(Completion::ignored_with(&reason))),
        None => test_with(name, CARGO, body),
    }
}
