//! A command that is spawned again: what it costs, counted; and that what it keeps from the time before is not out of date.

mod allocations;
mod calls;
#[path = "../common/mod.rs"]
mod common;
mod environment;
mod kinds;
mod maps;
mod names;
mod signals;
mod tracer;

use common::{Need, in_own_process, test, test_with};

fn main() {
    let cases: &[common::Case] = &[
        ("calls", calls::calls_case),
        ("allocations", allocations::allocations_case),
        ("allocations beside a thread", allocations::beside_a_thread_case),
        ("all ignored", signals::all_ignored_case),
        ("switched", signals::switched_case),
        ("another signal", signals::another_signal_case),
        ("a new command", signals::a_new_command_case),
        ("variable", environment::variable_case),
        ("variable beside a thread", environment::beside_a_thread_case),
        ("variables all the time", environment::all_the_time_case),
        ("maps", maps::maps_case),
        ("ids", maps::ids_case),
    ];
    let counted: &'static [Need] =
        &[Need::UserNamespaces, Need::NoSanitizer("its allocator is another, and asks the kernel")];
    let mut tests = vec![
        test("no_ignored_signal_is_inherited", || in_own_process("all ignored")),
        test("signals_that_programs_switch_are_asked_for_every_time", || {
            in_own_process("switched")
        }),
        test("other_signals_are_asked_for_after_a_while", || in_own_process("another signal")),
        test("a_new_command_asks_for_all_signals", || in_own_process("a new command")),
        test("a_variable_that_was_changed_is_seen", || in_own_process("variable")),
        test("a_variable_changed_beside_a_thread_is_seen", || {
            in_own_process("variable beside a thread")
        }),
        test("no_environment_is_torn", || in_own_process("variables all the time")),
        test_with("id_maps_that_were_changed_are_written", &[Need::UserNamespaces], || {
            in_own_process("maps")
        }),
        test_with(
            "ids_that_the_caller_has_changed_are_mapped",
            &[Need::Root, Need::UserNamespaces],
            || in_own_process("ids"),
        ),
    ];
    // Elsewhere libc clones, without clone3, and other copies are made.
    let own_engine = cfg!(all(
        target_env = "gnu",
        any(target_arch = "x86_64", target_arch = "aarch64"),
        not(linux_namespaces_portable)
    ));
    if own_engine {
        tests.extend([
            test_with(
                "a_spawn_makes_these_calls_and_no_others",
                counted,
                calls::a_spawn_makes_these_calls_and_no_others,
            ),
            test_with(
                "a_spawn_allocates_no_more_than_this",
                counted,
                allocations::no_more_than_this,
            ),
        ]);
    }
    common::run(cases, tests);
}
