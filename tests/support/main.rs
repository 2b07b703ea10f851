//! `Support`: what it says is what really happens, here and under refusals of every sort; and it leaves nothing behind.

#[path = "../common/mod.rs"]
mod common;
#[path = "../errors/device.rs"]
#[allow(dead_code, unused_imports, reason = "a part of it is used here")]
mod device;

mod callers;
mod filters;
mod here;
mod worlds;

use device::*;
use linux_namespaces::{Error, Interface, Support};

fn main() {
    let cases: &[common::Case] = &[
        ("powerless", worlds::powerless),
        ("limits", worlds::limits),
        ("nested users", worlds::nested_users),
        ("unmapped", worlds::unmapped),
        ("chroot to a directory", worlds::chroot_to_a_directory),
        ("chroot to a mount", worlds::chroot_to_a_mount),
        ("chroot without /proc", worlds::chroot_without_proc),
        ("chroot, then an ordinary user", worlds::chroot_then_ordinary),
        ("no /proc", worlds::no_proc),
        ("masked /proc", worlds::masked_proc),
        ("masked /proc, inside", worlds::masked_proc_inside),
        ("unshared pid namespace", worlds::unshared_pid_namespace),
        ("clone3: ENOSYS", || filters::clone3_answers(libc::ENOSYS)),
        ("clone3: EPERM", || filters::clone3_answers(libc::EPERM)),
        ("setns: EPERM", || filters::setns_answers(libc::EPERM)),
        ("setns: ENOSYS", || filters::setns_answers(libc::ENOSYS)),
        ("close_range: ENOSYS", filters::close_range_missing),
        ("filter of a container", filters::filter_of_a_container),
        ("filter of mounts", filters::filter_of_mounts),
        ("filter that kills", filters::filter_that_kills),
        ("filter that kills for clone3", || {
            filters::filter_that_kills_the_caller(&[libc::SYS_clone3]);
        }),
        ("filter that kills for pidfd_open", || {
            filters::filter_that_kills_the_caller(&[libc::SYS_pidfd_open]);
        }),
        ("filter that kills for both", || {
            filters::filter_that_kills_the_caller(&[libc::SYS_clone3, libc::SYS_pidfd_open]);
        }),
        ("filter that kills one thread", filters::filter_that_kills_one_thread),
        ("closed streams", callers::closed_streams),
        ("closed to others", callers::closed_to_others),
        ("half powerless", callers::half_powerless),
        ("no more processes", callers::no_more_processes),
        ("no memory for namespaces", callers::no_memory_for_namespaces),
        ("few descriptors", callers::few_descriptors),
        ("other thread", callers::other_thread),
    ];
    let tests = vec![
        test_with("all_of_it_works_here", USERNS, here::all_of_it_works_here),
        test_with("agrees_with_spawns", USERNS, here::agrees_with_spawns),
        test_with("agrees_with_entering", USERNS, here::agrees_with_entering),
        test("agrees_with_the_calls", here::agrees_with_the_calls),
        test("leaves_nothing", here::leaves_nothing_behind),
        test_with("many_threads_at_once", USERNS, here::many_threads_at_once),
        test("the_table_is_aligned_and_says_why", here::the_table),
        test("a_program_can_pass_it_on", here::good_type),
        test("powerless", || in_own_process("powerless")),
        test_with("limit_of_each_kind", USERNS, || in_world("limits")),
        test_with("nesting_of_user_namespaces", USERNS, || in_own_process("nested users")),
        test_with("unmapped_caller", USERNS, || {
            in_world_with("unmapped", |world| {
                world.leave_unmapped();
            });
        }),
        test_with("chroot_to_a_directory", USERNS, || in_chroot("chroot to a directory")),
        test_with("chroot_to_a_mount", USERNS, || in_chroot("chroot to a mount")),
        test_with("chroot_without_proc", USERNS, || in_chroot("chroot without /proc")),
        test_with("chroot_of_an_ordinary_user", &[Need::Root], worlds::chroot_of_an_ordinary_user),
        test_with("no_proc", USERNS, || in_world("no /proc")),
        test_with("masked_proc", USERNS, || in_world("masked /proc")),
        test_with("unshared_pid_namespace", USERNS, || in_world("unshared pid namespace")),
        test_with("clone3_is_missing", USERNS, || in_own_process("clone3: ENOSYS")),
        test_with("clone3_is_refused", USERNS, || in_own_process("clone3: EPERM")),
        test_with("setns_is_refused", USERNS, || in_own_process("setns: EPERM")),
        test_with("setns_is_missing", USERNS, || in_own_process("setns: ENOSYS")),
        test("close_range_is_missing", || in_own_process("close_range: ENOSYS")),
        test_with("filter_of_a_container", USERNS, || in_own_process("filter of a container")),
        test_with("filter_of_mounts", USERNS, || in_own_process("filter of mounts")),
        test_with("filter_that_kills", USERNS, || in_own_process("filter that kills")),
        test_with("filter_that_kills_for_clone3", USERNS, || {
            in_own_process("filter that kills for clone3");
        }),
        test_with("filter_that_kills_for_pidfd_open", USERNS, || {
            in_own_process("filter that kills for pidfd_open");
        }),
        test_with("filter_that_kills_for_both", USERNS, || {
            in_own_process("filter that kills for both");
        }),
        test("filter_that_kills_one_thread", || in_own_process("filter that kills one thread")),
        test_with("closed_streams", USERNS, || in_own_process("closed streams")),
        test_with("closed_to_others", USERNS, || in_own_process("closed to others")),
        test_with("half_powerless", &[Need::Root, Need::UserNamespaces], || {
            in_own_process("half powerless")
        }),
        test("no_more_processes", || in_own_process("no more processes")),
        test("no_memory_for_namespaces", || in_own_process("no memory for namespaces")),
        test("few_descriptors", || in_own_process("few descriptors")),
        test_with("another_thread_is_another_caller", USERNS, || in_own_process("other thread")),
    ];
    common::run(cases, tests);
}

/// Detects it twice: nothing is left, and it says the same again.
#[track_caller]
pub(crate) fn detected() -> Support {
    let before = Traces::now();
    let support = Support::detect().unwrap_or_else(|error| panic!("{error}"));
    let again = Support::detect().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(Traces::now(), before, "left behind");
    assert_eq!(plain(&again), plain(&support));
    for error in NamespaceKind::ALL.into_iter().flat_map(|kind| errors(&support, kind)) {
        keeps_the_laws(error);
    }
    for interface in Interface::ALL {
        if let Err(error) = support.calling(interface) {
            keeps_the_laws(error);
            assert!(support.missing(interface).is_some(), "no cause: {error}");
        }
    }
    support
}

/// Inodes differ from one to the next.
pub(crate) fn plain(support: &Support) -> String {
    let text = support.to_string();
    text.split(':').map(|part| part.trim_start_matches(|c: char| "[]".contains(c))).collect()
}

pub(crate) fn errors(support: &Support, kind: NamespaceKind) -> impl Iterator<Item = &Error> {
    [
        support.creating(kind),
        support.creating_with_user(kind),
        support.entering(kind),
        support.entering_with_user(kind),
    ]
    .into_iter()
    .filter_map(Result::err)
}

/// Both ways of creating a kind are refused, for this cause.
#[track_caller]
pub(crate) fn refuses(support: &Support, kind: NamespaceKind, cause: &Cause) {
    assert_eq!(support.refusal(kind), Some(cause), "{support}");
    assert!(!support.creatable().contains(kind.flag()), "{support}");
    assert!(!support.creatable_with_user().contains(kind.flag()), "{support}");
}
