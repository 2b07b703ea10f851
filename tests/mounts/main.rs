//! Mounts, roots and propagation: what a program finds, by the kernel's own tables, and what it cannot reach.

mod binds;
#[path = "../common/mod.rs"]
mod common;
mod device;
mod fallbacks;
mod peers;
mod refused;
mod roots;
mod spreading;
mod targets;

use common::{Need, in_own_process, test, test_with};

const USERNS: &[Need] = &[Need::UserNamespaces];

fn main() {
    let cases: &[common::Case] = &[
        ("relative sources", targets::relative_sources),
        ("directory below a mount", targets::the_directory_is_not_one_below_a_mount),
        ("recursion", binds::recursion),
        ("locked flags", binds::locked_flags),
        ("exec", roots::exec_case),
        ("exec fails", roots::exec_that_fails_leaves_no_descriptor),
        ("function", roots::functions_have_a_root_too),
        ("entered", roots::entered_namespaces_keep_their_root),
        ("all mounts", spreading::all_mounts),
        ("new roots", spreading::new_roots),
        ("one mount", spreading::one_mount),
        ("one mount of memory", spreading::one_mount_of_memory),
        ("without openat2", || fallbacks::without(&[libc::SYS_openat2], libc::ENOSYS)),
        ("without open_tree", || fallbacks::without(&[libc::SYS_open_tree], libc::EPERM)),
        ("without move_mount", || fallbacks::without(&[libc::SYS_move_mount], libc::ENOSYS)),
        ("without mount_setattr", || fallbacks::without(&[libc::SYS_mount_setattr], libc::EPERM)),
        ("without all: ENOSYS", || fallbacks::without_all(libc::ENOSYS)),
        ("without all: EPERM", || fallbacks::without_all(libc::EPERM)),
        ("without /proc", fallbacks::without_proc),
    ];
    let tests = vec![
        test("what_makes_no_sense_is_refused", refused::what_makes_no_sense),
        test("the_plan_shows_them", refused::the_plan_shows_them),
        test_with("links_lead_nowhere_outside", USERNS, targets::links_lead_nowhere_outside),
        test_with("dots_stop_at_the_root", USERNS, targets::dots_stop_at_the_root),
        test_with(
            "links_of_proc_are_not_followed",
            USERNS,
            targets::links_of_proc_are_not_followed,
        ),
        test_with("circles_are_noticed", USERNS, targets::circles_are_noticed),
        test_with("a_missing_target_is_named", USERNS, targets::a_missing_target_is_named),
        test_with("a_missing_target_is_made", USERNS, targets::a_missing_target_is_made),
        test_with("kinds_of_files_must_fit", USERNS, targets::kinds_of_files_must_fit),
        test_with("sources_are_outside", USERNS, targets::sources_are_outside),
        test_with("relative_sources", USERNS, || in_own_process("relative sources")),
        test_with("the_directory_is_not_one_below_a_mount", USERNS, || {
            in_own_process("directory below a mount");
        }),
        test_with("read_only_is_read_only", USERNS, binds::read_only_is_read_only),
        test_with("no_exec_is_no_exec", USERNS, binds::no_exec_is_no_exec),
        test_with("recursion", USERNS, || in_own_process("recursion")),
        test_with("locked_flags_stay", USERNS, || in_own_process("locked flags")),
        test_with("mounts_build_on_each_other", USERNS, binds::mounts_build_on_each_other),
        test_with(
            "a_mount_that_fails_halfway_leaves_nothing",
            USERNS,
            binds::a_mount_that_fails_halfway_leaves_nothing,
        ),
        test_with("kinds_of_file_systems", USERNS, binds::kinds_of_file_systems),
        test_with("what_takes_a_namespace_says_so", USERNS, binds::what_takes_a_namespace_says_so),
        test_with("overlays", USERNS, binds::overlays),
        test_with("the_old_root_is_gone", USERNS, roots::the_old_root_is_gone),
        test_with(
            "a_new_root_needs_a_directory_for_proc",
            USERNS,
            roots::a_new_root_needs_a_directory_for_proc,
        ),
        test_with("roots_that_are_none", USERNS, roots::roots_that_are_none),
        test_with("paths_are_those_inside", USERNS, roots::paths_are_those_inside),
        test_with("an_empty_root_of_memory", USERNS, roots::an_empty_root_of_memory),
        test_with("a_read_only_root", USERNS, roots::a_read_only_root),
        test_with("devices_work", USERNS, roots::devices_work),
        test_with("functions_have_a_root_too", USERNS, || in_own_process("function")),
        test_with("exec_has_a_root", USERNS, roots::exec_has_a_root),
        test_with("exec_that_fails_leaves_no_descriptor", USERNS, || in_own_process("exec fails")),
        test_with("entered_namespaces_keep_their_root", USERNS, || in_own_process("entered")),
        test_with("propagation_of_all_mounts", USERNS, || in_own_process("all mounts")),
        test_with("propagation_of_new_roots", USERNS, || in_own_process("new roots")),
        test_with("propagation_of_one_mount", USERNS, || in_own_process("one mount")),
        test_with("propagation_of_one_mount_of_memory", USERNS, || {
            in_own_process("one mount of memory");
        }),
        test_with("works_without_openat2", USERNS, || in_own_process("without openat2")),
        test_with("works_without_open_tree", USERNS, || in_own_process("without open_tree")),
        test_with("works_without_move_mount", USERNS, || in_own_process("without move_mount")),
        test_with("works_without_mount_setattr", USERNS, || {
            in_own_process("without mount_setattr")
        }),
        test_with("works_without_newer_calls", USERNS, || in_own_process("without all: ENOSYS")),
        test_with("works_where_newer_calls_are_refused", USERNS, || {
            in_own_process("without all: EPERM");
        }),
        test_with("works_without_proc", USERNS, || in_own_process("without /proc")),
        test_with(
            "as_bubblewrap_does",
            &[Need::UserNamespaces, Need::Program("bwrap")],
            peers::as_bubblewrap_does,
        ),
    ];
    common::run(cases, tests);
}
