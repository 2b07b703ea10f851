//! Programs in existing namespaces.
#[path = "../common/mod.rs"]
mod common;
mod crowds;
mod entering;
mod refused;
mod tools;

use common::{Need, in_own_process, test, test_with};

const USERNS: &[Need] = &[Need::UserNamespaces];
const ROOT: &[Need] = &[Need::Root, Need::UserNamespaces];

fn main() {
    common::run(
        &[
            ("no setns with a pidfd", refused::no_setns_with_a_pidfd),
            ("exec beside a thread", refused::exec_beside_a_thread),
            ("exec by handles", refused::exec_by_handles),
        ],
        vec![
            test_with("entered_one_by_one", USERNS, entering::entered_one_by_one),
            test_with("entered_in_any_order", USERNS, entering::entered_in_any_order),
            test_with("entered_by_process", USERNS, entering::entered_by_process),
            test_with("entered_by_both", USERNS, entering::entered_by_both),
            test_with("entered_without_user", ROOT, entering::entered_without_user),
            test_with(
                "the_program_itself_is_inside",
                USERNS,
                entering::the_program_itself_is_inside,
            ),
            test("own_namespaces_are_passed_over", entering::own_namespaces_are_passed_over),
            test_with("created_inside_the_entered", USERNS, entering::created_inside_the_entered),
            test_with(
                "the_directory_is_the_entered_root",
                USERNS,
                entering::the_directory_is_the_entered_root,
            ),
            test_with("entered_many_times", USERNS, entering::entered_many_times),
            test_with("every_subset", USERNS, entering::every_subset),
            test_with("nothing_leads_back", USERNS, entering::nothing_leads_back),
            test_with("user_in_user_in_user", USERNS, entering::user_in_user_in_user),
            test_with("the_directory_is_one_inside", USERNS, entering::the_directory_is_one_inside),
            test_with(
                "no_directory_through_a_descriptor",
                USERNS,
                entering::no_directory_through_a_descriptor,
            ),
            test_with("one_of_several_is_refused", USERNS, refused::one_of_several_is_refused),
            test_with("an_ended_process_of_several", USERNS, refused::an_ended_process_of_several),
            test_with("without_setns_with_a_pidfd", USERNS, || {
                in_own_process("no setns with a pidfd");
                in_own_process("exec by handles");
            }),
            test_with("exec_moves_no_other_thread", ROOT, || {
                in_own_process("exec beside a thread")
            }),
            test_with("from_32_threads", USERNS, crowds::from_32_threads),
            test_with("while_it_exits", USERNS, crowds::while_it_exits),
            test_with(
                "made_by_unshare",
                &[Need::UserNamespaces, Need::Program("unshare")],
                tools::made_by_unshare,
            ),
            test_with(
                "entered_by_nsenter",
                &[Need::UserNamespaces, Need::Program("nsenter")],
                tools::entered_by_nsenter,
            ),
            test_with("made_by_ip", &[Need::Root, Need::Program("ip")], tools::made_by_ip),
        ],
    );
}
