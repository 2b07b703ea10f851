//! Spawning from a process that gives no quarter.
//!
//! `LINUX_NAMESPACES_STRESS` sets the number of spawns of each test, `LINUX_NAMESPACES_SOAK` that of the soak; the defaults take
//! seconds. Every test runs in a process of its own.

#[path = "../common/mod.rs"]
mod common;

mod busy;
mod evidence;
mod limits;
mod modes;
mod numbers;
mod sharing;
mod signals;
mod soak;
mod threads;

use common::{Need, in_own_process, in_own_process_with, test_with};
use libtest_mimic::Trial;
use linux_namespaces::{Command, Namespaces, TimeOffset};

#[global_allocator]
static ALLOCATOR: evidence::Watched = evidence::Watched;

const USERNS: &[Need] = &[Need::UserNamespaces];
const ROOT: &[Need] = &[Need::Root, Need::UserNamespaces];

fn main() {
    common::run(
        &[
            ("busy_process", busy::busy_process),
            ("failures_among_successes", busy::failures_among_successes),
            ("large_caller", busy::large_caller),
            ("writers_and_droppers", busy::writers_and_droppers),
            ("storm", signals::storm),
            ("allocators, forks and threads", threads::beside_allocators_forks_and_threads),
            ("threads that end", threads::threads_that_end),
            ("destructors", threads::destructors_of_a_thread),
            ("at exit", threads::at_exit),
            ("free descriptors", limits::free_descriptors),
            ("closed descriptors", limits::closed_case),
            ("processes", limits::processes),
            ("memory", limits::memory),
            ("errno", sharing::errno_and_thread_local_storage_stay),
            ("stack", sharing::the_stack_has_a_guard_and_room),
            ("handlers", sharing::a_child_has_no_handlers_and_no_signals),
            ("locks", sharing::locks_of_others_are_not_taken),
            ("allocation", sharing::nothing_is_allocated_or_dropped_in_a_child),
            ("watch", sharing::the_watch_sees_a_copy_that_allocates),
            ("panic", sharing::a_panic_takes_a_waiting_child_along),
            ("end of a thread", sharing::the_thread_of_a_waiting_child_may_end),
            ("cancellation", sharing::a_request_to_cancel_waits),
            ("soak", soak::case),
            ("soak within limits", soak::within_limits),
        ],
        vec![
            one_arena("spawns_from_a_busy_process", "busy_process"),
            one_arena("a_third_fail_and_nothing_is_left", "failures_among_successes"),
            common::test("the_cost_does_not_grow_with_the_callers_memory", || {
                in_own_process("large_caller");
            }),
            own_process(
                "id_maps_beside_children_that_clear_the_dumpable_flag",
                "writers_and_droppers",
            ),
            own_process("signals_from_all_sides", "storm"),
            one_arena("beside_allocators_forks_and_threads", "allocators, forks and threads"),
            own_process("threads_that_end", "threads that end"),
            own_process("from_destructors_of_a_thread", "destructors"),
            test_with("from_a_handler_at_exit", USERNS, || {
                let output = common::case("at exit").output().expect("this test program");
                assert!(
                    output.status.success() && output.stdout.ends_with(b"at exit"),
                    "{output:?}"
                );
            }),
            own_process("whatever_number_of_descriptors_is_free", "free descriptors"),
            test_with(
                "without_the_first_three_descriptors",
                USERNS,
                limits::without_the_first_three,
            ),
            test_with("whatever_number_of_processes_is_allowed", ROOT, || {
                in_own_process("processes")
            }),
            one_arena("whatever_memory_is_allowed", "memory"),
            own_process("errno_and_thread_local_storage_stay", "errno"),
            own_process("the_stack_has_a_guard_and_room", "stack"),
            own_process("a_child_has_no_handlers_and_no_signals", "handlers"),
            own_process("locks_of_others_are_not_taken", "locks"),
            own_process("nothing_is_allocated_or_dropped_in_a_child", "allocation"),
            own_process("the_watch_sees_a_copy_that_allocates", "watch"),
            own_process("a_panic_takes_a_waiting_child_along", "panic"),
            own_process("the_thread_of_a_waiting_child_may_end", "end of a thread"),
            own_process("a_request_to_cancel_waits", "cancellation"),
            own_process("soak", "soak"),
            test_with("soak_within_limits", USERNS, || in_own_world("soak within limits")),
        ],
    );
}

/// A test that is one case.
fn own_process(name: &'static str, case: &'static str) -> Trial {
    common::closure_with(name, USERNS, move || in_own_process(case))
}

/// The same where all threads share one arena of malloc, and so one lock.
fn one_arena(name: &'static str, case: &'static str) -> Trial {
    common::closure_with(name, USERNS, move || {
        in_own_process_with(case, |command| command.env("MALLOC_ARENA_MAX", "1"));
    })
}

/// Runs a case in new user, pid, mount and time namespaces, as the root of the first, where the clock is two days ahead.
fn in_own_world(name: &str) {
    let mut world = Command::new(std::env::current_exe().expect("the path of this test"));
    world.env("LINUX_NAMESPACES_CASE", name).map_root_user();
    world.namespaces(Namespaces::USER | Namespaces::PID | Namespaces::MOUNT | Namespaces::TIME);
    world.monotonic_offset(TimeOffset::from_secs(2 * 24 * 60 * 60));
    common::stdout_of(&mut world);
}
