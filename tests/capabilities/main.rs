//! What the program may do: capabilities in every set, no_new_privs; as the kernel shows them inside, and the caller's own, which
//! stay as they are.

mod caller;
#[path = "../common/mod.rs"]
mod common;
mod device;
mod exact;
mod kept;
mod refused;

use common::{Need, in_own_process, test, test_with};
use libtest_mimic::Trial;

const ROOT: &[Need] = &[Need::Root];
const ROOT_SETPRIV: &[Need] = &[Need::Root, Need::Program("setpriv")];
const ROOT_USERNS: &[Need] = &[Need::Root, Need::UserNamespaces];
const USER: &[Need] = &[Need::User];
const USERNS: &[Need] = &[Need::UserNamespaces];
const UNSHARE: &[Need] = &[Need::UserNamespaces, Need::Program("unshare")];

fn main() {
    common::run(
        &[
            ("functions", exact::functions_case),
            ("hooks", exact::hooks_case),
            ("exec", exact::exec_case),
            ("exec_keeps", exact::exec_keeps_case),
            ("lacks", refused::lacks_case),
            ("bounded", refused::bounded_case),
            ("nothing_to_drop", caller::nothing_to_drop_case),
            ("lacks_setpcap", refused::lacks_setpcap_case),
            ("keeping", caller::keeping_case),
            ("other_with_all", caller::other_with_all_case),
            ("quiet_caller", caller::quiet_caller_case),
            ("ambient_caller", caller::ambient_caller_case),
            ("securebits", caller::securebits_case),
            ("locked", refused::locked_case),
            ("stays", caller::stays_case),
            ("closed", caller::closed_case),
        ],
        tests(),
    );
}

fn tests() -> Vec<Trial> {
    vec![
        test("unknown_bits_are_refused", refused::unknown_bits_are_refused),
        test("the_plan_shows_them", exact::the_plan_shows_them),
        test("what_is_not_asked_for_is_as_the_kernel_has_it", kept::as_the_kernel_has_it),
        test_with("root_has_exactly_these", ROOT, exact::root_has_exactly_these),
        test_with("others_have_exactly_these", ROOT, exact::others_have_exactly_these),
        test_with("new_user_namespaces_have_exactly_these", USERNS, exact::in_new_user_namespaces),
        test_with(
            "ids_inside_have_exactly_these",
            ROOT_USERNS,
            exact::ids_inside_have_exactly_these,
        ),
        test_with("entered_namespaces_have_exactly_these", USERNS, exact::in_entered_namespaces),
        test_with("functions_have_exactly_these", USERNS, || in_own_process("functions")),
        test_with("hooks_have_exactly_these", USERNS, || in_own_process("hooks")),
        test_with("exec_has_exactly_these", USERNS, exact::exec_has_exactly_these),
        test_with("what_is_lacking_is_named", ROOT_SETPRIV, refused::what_is_lacking_is_named),
        test_with("what_is_out_of_bounds_is_named", ROOT, || in_own_process("bounded")),
        test_with(
            "an_ordinary_user_has_none_to_give",
            USER,
            refused::ordinary_users_have_none_to_give,
        ),
        test_with("a_full_bounding_set_takes_setpcap", ROOT, || in_own_process("lacks_setpcap")),
        test_with("a_caller_that_keeps_its_own", ROOT_USERNS, || in_own_process("keeping")),
        test_with("others_may_have_all", ROOT_USERNS, || in_own_process("other_with_all")),
        test_with("a_caller_that_gains_nothing", ROOT, || in_own_process("quiet_caller")),
        test_with("what_is_gone_needs_no_right", ROOT, || in_own_process("nothing_to_drop")),
        test_with(
            "ambient_ones_of_the_caller_go",
            ROOT_SETPRIV,
            caller::ambient_ones_of_the_caller_go,
        ),
        test_with(
            "securebits_make_no_difference",
            ROOT_SETPRIV,
            caller::securebits_make_no_difference,
        ),
        test_with("locked_securebits_are_named", ROOT, || in_own_process("locked")),
        test_with(
            "the_file_is_executed_with_these",
            ROOT,
            refused::the_file_is_executed_with_these,
        ),
        test_with("set_user_id_programs_gain_no_others", ROOT, kept::set_user_id_programs),
        test("no_new_privs_is_set", kept::no_new_privs_is_set),
        test_with("kept_as_unshare_keeps_them", UNSHARE, kept::kept_as_unshare_keeps_them),
        test_with("kept_as_setpriv_keeps_them", ROOT_SETPRIV, kept::kept_as_setpriv_keeps_them),
        test_with("exactly_these_are_kept", USERNS, kept::exactly_these_are_kept),
        test("the_caller_stays_as_it_is", || in_own_process("stays")),
        test_with("the_memory_is_closed_meanwhile", ROOT, || in_own_process("closed")),
    ]
}
