//! Each step that a spawn can fail in is made to fail, by the kernel itself: what the error says, and that nothing is left.

#[path = "../common/mod.rs"]
mod common;
mod device;
mod exec;
mod hiding;
mod hooks;
mod ids;
mod kill;
mod limits;
mod model;
mod rights;
mod roots;
mod seccomp;
mod worlds;

use device::*;

fn main() {
    let cases: &[common::Case] = &[
        ("powerless", rights::powerless),
        ("closed directory", exec::directory_may_not_be_entered),
        ("other ids", rights::other_ids),
        ("denied groups", rights::denied_groups),
        ("filter of ids", rights::filter_of_ids),
        ("ranges without CAP_SETFCAP", rights::ranges_without_setfcap),
        ("filter of the parent-death signal", seccomp::filter_of_parent_death),
        (
            "filter that kills for the parent-death signal",
            seccomp::filter_that_kills_for_parent_death,
        ),
        ("filter of no_new_privs", seccomp::filter_of_no_new_privs),
        ("entering without the right", rights::entering_without_the_right),
        ("maps of others", ids::maps_of_others),
        ("no map, no namespace", ids::unmapped),
        ("limits", limits::limits),
        ("nested users", limits::nested_users),
        ("nested pids", limits::nested_pids),
        ("chroot to a directory", roots::chroot_to_a_directory),
        ("chroot to a mount", roots::chroot_to_a_mount),
        ("chroot without /proc", roots::chroot_without_proc),
        ("masked /proc", roots::masked_proc),
        ("no /proc", roots::no_proc),
        ("foreign /proc", roots::foreign_proc),
        ("ids without a map in the world around", ids::maps_of_unmapped),
        ("half powerless", rights::half_powerless),
        ("no CAP_SETFCAP", rights::no_setfcap),
        ("entered, then a user namespace", rights::entered_then_user),
        ("entering the outside", rights::entering_the_outside),
        ("dead pid namespace", rights::dead_pid_namespace),
        ("few descriptors", limits::few_descriptors),
        ("no descriptors", limits::no_descriptors),
        ("number above the limit", limits::number_above_the_limit),
        ("swap below the limit", limits::swap_below_the_limit),
        ("no more processes", limits::no_more_processes),
        ("no memory", limits::no_memory),
        ("killed in the middle", seccomp::killed_in_the_middle),
        ("clone3: ENOSYS", || seccomp::clone3_answers(libc::ENOSYS)),
        ("clone3: EPERM", || seccomp::clone3_answers(libc::EPERM)),
        ("other calls: ENOSYS", seccomp::other_calls_missing),
        ("filter of a container", seccomp::filter_of_a_container),
        ("filter of hostnames", seccomp::filter_of_hostnames),
        ("filter of clone3, and a function", seccomp::filter_and_function),
        ("filter of dispositions", seccomp::filter_of_dispositions),
        ("filter of the own pidfd", seccomp::filter_of_own_pidfd),
        ("exec", hiding::exec_in_place),
        ("no kill: ENOSYS", || kill::ends_without_the_call(libc::ENOSYS)),
        ("no kill: EPERM", || kill::ends_without_the_call(libc::EPERM)),
    ];
    let tests = vec![
        test("error_is_a_good_error", model::error_is_a_good_error),
        test("errno_gives_the_kind", model::errno_gives_the_kind),
        test("program_is_missing", exec::program_is_missing),
        test("program_is_missing_in_path", exec::program_is_missing_in_path),
        test("program_is_not_executable", exec::program_is_not_executable),
        test("program_is_a_directory", exec::program_is_a_directory),
        test("program_is_no_program", exec::program_is_no_program),
        test("program_has_no_interpreter", exec::program_has_no_interpreter),
        test("program_has_no_loader", exec::program_has_no_loader),
        test("program_has_a_path_that_leads_nowhere", exec::program_has_a_path_that_leads_nowhere),
        test("program_is_being_written", exec::program_is_being_written),
        test("argument_is_too_long", exec::argument_is_too_long),
        test("names_are_shown_on_one_line", exec::names_are_shown_on_one_line),
        test("an_empty_name_is_shown", exec::an_empty_name_is_shown),
        test("directory_is_missing", exec::directory_is_missing),
        test("directory_may_not_be_entered", || in_own_process("closed directory")),
        test("process_group_is_elsewhere", hooks::process_group_is_elsewhere),
        test("hook_fails", hooks::hook_fails),
        test("hook_panics_or_ends", hooks::hook_panics_or_ends),
        test("hook_that_closes_everything_hides_nothing", hiding::hook_that_closes_everything),
        test("passed_descriptors_hide_nothing", hiding::passed_descriptors_hide_nothing),
        test("exec_that_fails_leaves_the_caller", || in_own_process("exec")),
        test_with(
            "missing_program_in_all_namespaces",
            USERNS,
            worlds::missing_program_in_all_namespaces,
        ),
        test_with(
            "missing_program_in_entered_namespaces",
            USERNS,
            worlds::missing_program_in_entered_namespaces,
        ),
        test_with(
            "missing_program_in_a_user_namespace_below_the_entered",
            USERNS,
            worlds::missing_program_in_a_user_namespace_below_the_entered,
        ),
        test_with(
            "missing_program_as_another_user",
            &[Need::Root],
            worlds::missing_program_as_another_user,
        ),
        test_with("ids_without_a_map", USERNS, ids::ids_without_a_map),
        test_with(
            "groups_without_a_map",
            &[Need::Root, Need::UserNamespaces],
            ids::groups_without_a_map,
        ),
        test("no_namespace_without_a_capability", || in_own_process("powerless")),
        test("other_ids_take_the_right", || in_own_process("other ids")),
        test_with("denied_groups_are_said_to_be", USERNS, || in_own_process("denied groups")),
        test_with("groups_take_a_gid_map", USERNS, rights::groups_without_a_gid_map),
        test_with("filter_of_ids_is_named", &[Need::Root, Need::UserNamespaces], || {
            in_own_process("filter of ids");
        }),
        test_with("no_entering_without_the_right", USERNS, || {
            in_own_process("entering without the right");
        }),
        test_with(
            "no_entering_of_the_namespaces_outside",
            USERNS,
            rights::entering_the_outside_from_a_world,
        ),
        test("no_entering_of_ended_processes", rights::no_entering_of_ended_processes),
        test_with("dead_pid_namespace_is_named", USERNS, || in_world("dead pid namespace")),
        test_with("maps_of_others_take_the_right", USERNS, || in_own_process("maps of others")),
        test_with("maps_of_unmapped_ids_are_refused", USERNS, || {
            in_world("ids without a map in the world around");
        }),
        test_with("unmapped_caller", USERNS, || {
            in_world_with("no map, no namespace", |world| {
                world.leave_unmapped();
            });
        }),
        test_with("limit_of_each_kind", USERNS, || in_world("limits")),
        test_with("nesting_of_user_namespaces", USERNS, || in_own_process("nested users")),
        test_with("nesting_of_pid_namespaces", USERNS, || in_world("nested pids")),
        test_with("chroot_to_a_directory", USERNS, || in_chroot("chroot to a directory")),
        test_with("chroot_to_a_mount", USERNS, || in_chroot("chroot to a mount")),
        test_with("chroot_without_proc", USERNS, || in_chroot("chroot without /proc")),
        test_with("masked_proc", USERNS, || in_world("masked /proc")),
        test_with("maps_without_proc", USERNS, || in_world("no /proc")),
        test_with("maps_with_a_foreign_proc", USERNS, || in_world("foreign /proc")),
        test_with("loopback_takes_its_capability", USERNS, rights::loopback_takes_its_capability),
        test_with(
            "map_of_root_takes_its_capability",
            USERNS,
            rights::map_of_root_takes_its_capability,
        ),
        test_with(
            "maps_with_root_take_its_capability",
            &[Need::Root, Need::UserNamespaces],
            || in_own_process("ranges without CAP_SETFCAP"),
        ),
        test_with("no_power_over_what_was_entered", USERNS, || {
            in_world("entered, then a user namespace");
        }),
        test_with("few_descriptors", USERNS, || in_own_process("few descriptors")),
        test("no_descriptors", || in_own_process("no descriptors")),
        test("number_above_the_limit", || in_own_process("number above the limit")),
        test("swap_just_below_the_limit", || in_own_process("swap below the limit")),
        test("no_more_processes", || in_own_process("no more processes")),
        test("no_memory", || in_own_process("no memory")),
        test_with("killed_in_the_middle", USERNS, || in_world("killed in the middle")),
        test_with("works_where_clone3_is_missing", USERNS, || in_own_process("clone3: ENOSYS")),
        test_with("works_where_clone3_is_refused", USERNS, || in_own_process("clone3: EPERM")),
        test_with("works_where_other_calls_are_missing", USERNS, || {
            in_own_process("other calls: ENOSYS");
        }),
        test_with("filter_of_a_container_is_named", USERNS, || {
            in_own_process("filter of a container");
        }),
        test_with("filter_of_one_call_is_named", USERNS, || in_own_process("filter of hostnames")),
        test_with("filter_of_clone3_is_named_to_a_function", USERNS, || {
            in_own_process("filter of clone3, and a function");
        }),
        test_with("filter_of_the_parent_death_signal_is_named", USERNS, || {
            in_own_process("filter of the parent-death signal");
        }),
        test_with("filter_that_kills_for_the_parent_death_signal", USERNS, || {
            in_own_process("filter that kills for the parent-death signal");
        }),
        test("filter_of_no_new_privs_is_named", || in_own_process("filter of no_new_privs")),
        test_with("kills_where_the_call_is_missing", USERNS, || in_world("no kill: ENOSYS")),
        test_with("kills_where_the_call_is_refused", USERNS, || in_world("no kill: EPERM")),
        test("filter_of_the_own_pidfd_is_named", || in_own_process("filter of the own pidfd")),
        test("dispositions_are_not_sent", || in_own_process("filter of dispositions")),
    ];
    common::run(cases, tests);
}
