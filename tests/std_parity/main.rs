//! Every stable method of std's `Command`, of its Unix `CommandExt` and of `Child`, done through std and through this
//! crate: what came of it has to be the same.
//!
//! What differs on purpose (which descriptors are inherited, what becomes of ignored signals) is not compared here.

#[path = "../common/mod.rs"]
mod common;
mod device;
mod ends;
mod environment;
mod exec;
mod hooks;
mod ids;
mod programs;
mod reuse;
mod signals;
mod streams;

use common::{Need, test, test_with};

fn main() {
    let cases: &[common::Case] = &[
        ("path of the caller", programs::path_of_the_caller_case),
        ("environment", environment::environment_case),
        ("environment at spawn", environment::environment_at_spawn_case),
        ("inherit", streams::inherit_case),
        ("exchanged streams", streams::exchanged_streams_case),
        ("closed streams", streams::closed_streams_case),
        ("ids", ids::ids_case),
        ("groups", ids::groups_case),
        ("hook environment", hooks::hook_environment_case),
        ("signals", signals::signals_case),
        ("exec", exec::exec_case),
        ("exec settings", exec::exec_settings_case),
        ("exec cleared", exec::exec_cleared_case),
        ("exec files", exec::exec_files_case),
        ("exec piped", exec::exec_piped_case),
        ("exec fails", exec::exec_fails_case),
        ("exec fails redirected", exec::exec_fails_redirected_case),
        ("exec hooks", exec::exec_hooks_case),
        ("exec group", exec::exec_group_case),
        ("exec ids", exec::exec_ids_case),
    ];
    let root: &'static [Need] = &[Need::Root];
    let user: &'static [Need] = &[Need::User];
    let tests = vec![
        test("arguments_arrive_as_they_are", programs::arguments_arrive_as_they_are),
        test("arg0_is_what_the_program_sees", programs::arg0_is_what_the_program_sees),
        test("getters_tell_what_was_set", programs::getters_tell_what_was_set),
        test(
            "programs_are_found_in_the_path_given",
            programs::programs_are_found_in_the_path_given,
        ),
        test(
            "an_empty_element_of_the_path_is_the_working_directory",
            programs::an_empty_element_of_the_path_is_the_working_directory,
        ),
        test(
            "what_cannot_be_executed_does_not_end_the_search",
            programs::what_cannot_be_executed_does_not_end_the_search,
        ),
        test(
            "a_file_of_no_known_format_ends_the_search",
            programs::a_file_of_no_known_format_ends_the_search,
        ),
        test(
            "a_file_of_no_known_format_is_never_given_to_a_shell",
            programs::a_file_of_no_known_format_is_never_given_to_a_shell,
        ),
        test("errors_of_a_search_one_element", programs::errors_of_a_search_one_element),
        test("errors_of_a_search_several_elements", programs::errors_of_a_search_several_elements),
        test(
            "the_error_of_a_search_is_that_of_its_last_element",
            programs::the_error_of_a_search_is_that_of_its_last_element,
        ),
        test(
            "a_name_that_is_too_long_is_not_merely_missing",
            programs::a_name_that_is_too_long_is_not_merely_missing,
        ),
        test(
            "an_element_of_the_path_that_is_too_long_is_passed_over",
            programs::an_element_of_the_path_that_is_too_long_is_passed_over,
        ),
        test(
            "programs_are_found_in_the_path_of_the_caller",
            programs::programs_are_found_in_the_path_of_the_caller,
        ),
        test(
            "the_directory_is_changed_before_the_program_is_looked_for",
            programs::the_directory_is_changed_before_the_program_is_looked_for,
        ),
        test("a_directory_that_cannot_be_entered", programs::a_directory_that_cannot_be_entered),
        test("programs_that_cannot_be_run", programs::programs_that_cannot_be_run),
        test(
            "a_nul_byte_anywhere_is_an_error_of_the_spawn",
            programs::a_nul_byte_anywhere_is_an_error_of_the_spawn,
        ),
        test(
            "a_nul_byte_in_a_variable_that_is_removed",
            programs::a_nul_byte_in_a_variable_that_is_removed,
        ),
        test(
            "changes_of_the_environment_in_any_order",
            environment::changes_of_the_environment_in_any_order,
        ),
        test(
            "the_environment_is_that_at_the_time_of_the_spawn",
            environment::the_environment_is_that_at_the_time_of_the_spawn,
        ),
        test("odd_variables", environment::odd_variables),
        test("output_has_an_empty_standard_input", streams::output_has_an_empty_standard_input),
        test(
            "null_reads_nothing_and_takes_anything",
            streams::null_reads_nothing_and_takes_anything,
        ),
        test(
            "output_takes_both_streams_however_full",
            streams::output_takes_both_streams_however_full,
        ),
        test("output_leaves_streams_that_were_set", streams::output_leaves_streams_that_were_set),
        test("status_and_spawn_inherit_the_streams", streams::status_and_spawn_inherit_the_streams),
        test("pipes_to_and_from_the_child", streams::pipes_to_and_from_the_child),
        test("only_what_is_piped_is_kept", streams::only_what_is_piped_is_kept),
        test("files_as_streams", streams::files_as_streams),
        test("pipe_ends_and_sockets_as_streams", streams::pipe_ends_and_sockets_as_streams),
        test("streams_of_another_child", streams::streams_of_another_child),
        test(
            "streams_that_have_each_other_s_numbers",
            streams::streams_that_have_each_other_s_numbers,
        ),
        test(
            "a_caller_whose_own_streams_are_closed",
            streams::a_caller_whose_own_streams_are_closed,
        ),
        test("a_writer_is_told_that_nobody_reads", streams::a_writer_is_told_that_nobody_reads),
        test("exit_codes", ends::exit_codes),
        test("deaths_by_signal", ends::deaths_by_signal),
        test("the_id_is_that_of_the_program", ends::the_id_is_that_of_the_program),
        test("wait_closes_standard_input", ends::wait_closes_standard_input),
        test("wait_gives_the_same_every_time", ends::wait_gives_the_same_every_time),
        test("try_wait_before_and_after_the_end", ends::try_wait_before_and_after_the_end),
        test("kill_at_any_time", ends::kill_at_any_time),
        test("wait_with_output_takes_what_is_piped", ends::wait_with_output_takes_what_is_piped),
        test("a_dropped_child_runs_on", ends::a_dropped_child_runs_on),
        test_with("ids_of_root", root, ids::ids_of_root),
        test_with("supplementary_groups", root, ids::supplementary_groups),
        test_with("ids_of_an_ordinary_user", user, ids::ids_of_an_ordinary_user),
        test("no_id_at_all", ids::no_id_at_all),
        test("process_groups", ids::process_groups),
        test("no_process_group_at_all", ids::no_process_group_at_all),
        test("hooks_run_in_order_before_the_program", hooks::hooks_run_in_order_before_the_program),
        test(
            "the_error_of_a_hook_is_that_of_the_spawn",
            hooks::the_error_of_a_hook_is_that_of_the_spawn,
        ),
        test("a_hook_that_fails_is_the_last_one", hooks::a_hook_that_fails_is_the_last_one),
        test(
            "a_hook_runs_for_every_spawn_on_the_same_state",
            hooks::a_hook_runs_for_every_spawn_on_the_same_state,
        ),
        test(
            "a_hook_has_the_descriptors_it_owns_and_the_program_not",
            hooks::a_hook_has_the_descriptors_it_owns_and_the_program_not,
        ),
        test("a_hook_can_pass_a_descriptor_on", hooks::a_hook_can_pass_a_descriptor_on),
        test(
            "the_program_sees_what_a_hook_does_to_signals",
            hooks::the_program_sees_what_a_hook_does_to_signals,
        ),
        test("a_hook_comes_after_all_other_settings", hooks::a_hook_comes_after_all_other_settings),
        test(
            "the_program_keeps_what_else_a_hook_changes",
            hooks::the_program_keeps_what_else_a_hook_changes,
        ),
        test("the_environment_as_a_hook_changes_it", hooks::the_environment_as_a_hook_changes_it),
        test(
            "signals_are_as_a_program_expects_them",
            signals::signals_are_as_a_program_expects_them,
        ),
        test("a_command_can_be_used_again", reuse::a_command_can_be_used_again),
        test(
            "a_command_keeps_the_descriptors_it_was_given",
            reuse::a_command_keeps_the_descriptors_it_was_given,
        ),
        test("several_children_at_once", reuse::several_children_at_once),
        test("commands_can_be_sent_and_shared", reuse::commands_can_be_sent_and_shared),
        test("threads_can_spawn_at_the_same_time", reuse::threads_can_spawn_at_the_same_time),
        test("a_command_made_here_is_spawned_there", reuse::a_command_made_here_is_spawned_there),
        test("exec_replaces_the_process", exec::exec_replaces_the_process),
        test(
            "exec_with_environment_name_and_directory",
            exec::exec_with_environment_name_and_directory,
        ),
        test("exec_with_streams", exec::exec_with_streams),
        test(
            "exec_that_fails_leaves_the_process_running",
            exec::exec_that_fails_leaves_the_process_running,
        ),
        test("exec_that_fails_puts_the_streams_back", exec::exec_that_fails_puts_the_streams_back),
        test("exec_with_hooks_and_signals", exec::exec_with_hooks_and_signals),
        test("exec_in_a_process_group", exec::exec_in_a_process_group),
        test_with("exec_with_ids", root, exec::exec_with_ids),
    ];
    common::run(cases, tests);
}
