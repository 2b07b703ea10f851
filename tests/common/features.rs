//! What kernels have got since the oldest that is supported, and how to take it away as those, or filters, have it.

use std::ffi::{c_long, c_uint};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::{fs, io};

use super::Need;
use super::seccomp::{install_and_keep, statement};

/// Something that the crate uses where it is to be had.
pub(crate) struct Feature {
    pub(crate) name: &'static str,
    /// What a kernel without it answers.
    pub(crate) old: i32,
    taken: What,
    /// Whether it is to be had here.
    pub(crate) is_here: fn() -> bool,
}

/// Which system calls a filter answers.
enum What {
    Call(c_long),
    /// With that many bytes of arguments. libc's has more, and makes no thread any more if that is EPERM.
    Clone3OfTheCrate,
    /// With no flag of coreutils', which has nothing to fall back to if that is EPERM.
    StatxOfTheCrate,
    /// With several kinds at once, which only a pidfd can have: a filter does not see what a descriptor is.
    SetnsOfSeveral,
    /// ioctl(2) of this type, from this number on.
    Ioctl(u32, u32),
}

pub(crate) const FEATURES: [Feature; 13] = [
    Feature {
        name: "clone3",
        old: libc::ENOSYS,
        taken: What::Clone3OfTheCrate,
        is_here: || answer(libc::SYS_clone3, [0, 64, 0, 0, 0]) == libc::EFAULT,
    },
    Feature {
        name: "pidfd_open",
        old: libc::ENOSYS,
        taken: What::Call(libc::SYS_pidfd_open),
        is_here: || answer(libc::SYS_pidfd_open, [-1, 0, 0, 0, 0]) == libc::EINVAL,
    },
    Feature {
        name: "pidfd_getfd",
        old: libc::ENOSYS,
        taken: What::Call(libc::SYS_pidfd_getfd),
        is_here: || answer(libc::SYS_pidfd_getfd, [-1, -1, 0, 0, 0]) == libc::EBADF,
    },
    Feature {
        name: "pidfd_send_signal",
        old: libc::ENOSYS,
        taken: What::Call(libc::SYS_pidfd_send_signal),
        is_here: || answer(libc::SYS_pidfd_send_signal, [-1, 0, 0, 0, 0]) == libc::EBADF,
    },
    Feature {
        name: "setns-pidfd",
        old: libc::EINVAL,
        taken: What::SetnsOfSeveral,
        is_here: || {
            let kinds = libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;
            answer(libc::SYS_setns, [-1, kinds.into(), 0, 0, 0]) == libc::EBADF
        },
    },
    Feature {
        name: "close_range",
        old: libc::ENOSYS,
        taken: What::Call(libc::SYS_close_range),
        is_here: || answer(libc::SYS_close_range, [5, 4, 0, 0, 0]) == libc::EINVAL,
    },
    Feature {
        name: "openat2",
        old: libc::ENOSYS,
        taken: What::Call(libc::SYS_openat2),
        is_here: || answer(libc::SYS_openat2, [-1, 0, 0, 0, 0]) == libc::EINVAL,
    },
    Feature {
        name: "open_tree",
        old: libc::ENOSYS,
        taken: What::Call(libc::SYS_open_tree),
        is_here: || answer(libc::SYS_open_tree, [-1, 0, -1, 0, 0]) == libc::EINVAL,
    },
    Feature {
        name: "move_mount",
        old: libc::ENOSYS,
        taken: What::Call(libc::SYS_move_mount),
        is_here: || match answer(libc::SYS_move_mount, [-1, 0, -1, 0, -1]) {
            // What it says to whoever may mount nothing.
            libc::EPERM => !super::is_root(),
            errno => errno == libc::EINVAL,
        },
    },
    Feature {
        name: "mount_setattr",
        old: libc::ENOSYS,
        taken: What::Call(libc::SYS_mount_setattr),
        is_here: || answer(libc::SYS_mount_setattr, [-1, 0, -1, 0, 0]) == libc::EINVAL,
    },
    Feature {
        name: "statx",
        old: libc::ENOSYS,
        taken: What::StatxOfTheCrate,
        is_here: || answer(libc::SYS_statx, [0, 0, 0, 0, 0]) == libc::EFAULT,
    },
    Feature {
        name: "nsfs-ioctls",
        old: libc::ENOTTY,
        // The first four are older than the oldest kernel.
        taken: What::Ioctl(0xb7, 5),
        is_here: || {
            // NS_GET_TGID_IN_PIDNS
            let own = std::process::id() as usize;
            let file = fs::File::open("/proc/self/ns/pid").expect("a namespace file");
            // SAFETY: a number for a number.
            unsafe { libc::ioctl(file.as_raw_fd(), 0x8004_b709, own) > 0 }
        },
    },
    Feature {
        name: "pidfd-ioctls",
        old: libc::ENOTTY,
        taken: What::Ioctl(0xff, 1),
        is_here: || {
            // SAFETY: numbers only.
            let own = unsafe { libc::syscall(libc::SYS_pidfd_open, std::process::id(), 0) };
            if own < 0 {
                return false;
            }
            // SAFETY: new, and nobody else's.
            let own = unsafe { OwnedFd::from_raw_fd(own as i32) };
            // PIDFD_GET_UTS_NAMESPACE
            // SAFETY: no memory is involved.
            let uts = unsafe { libc::ioctl(own.as_raw_fd(), 0xff0a, 0) };
            // SAFETY: new, and nobody else's.
            uts >= 0 && unsafe { libc::close(uts) } == 0
        },
    },
];

/// The tests that are about a newer feature itself, or about what only it can do. All others pass on what the crate falls back to.
const NEEDED: &[(Need, &[&str])] = &[
    // Handles of processes by their numbers, and what is found through those: for the caller's own alone there is another way.
    (
        Need::Feature("pidfd_open"),
        &[
            "a_pidfd",
            "a_process_that_is_closed_to_its_user",
            "a_zombie_shows_user_and_pid",
            "descriptor_0_is_a_descriptor",
            "filter_that_kills_one_thread",
            "held_by_a_socket",
            "made_by_unshare",
            "namespaces_through_a_pidfd",
            "no_pidfd_for_what_is_no_process",
            "process_1_is_closed",
            "the_same_as_lsns_on_this_host",
        ],
    ),
    // Signals other than the one that kills.
    (
        Need::Feature("pidfd_send_signal"),
        &[
            "a_pidfd_of_a_process_that_is_gone",
            "a_runtime_that_ends",
            "a_zombie_in_new_namespaces_shows_them",
            "a_zombie_shows_user_and_pid",
            "after_the_end",
            "another_user",
            "daemons_go_with_it",
            "deaths_by_signal_are_exact",
            "forgotten_ones_stay",
            "killed_while_it_waits",
            "memory_is_given_up",
            "signals_are_passed_on",
            "signals_arrive",
            "signals_through_a_pidfd",
            "signals_wait",
            "signals_while_another_waits",
            "statuses_are_exact",
            "statuses_are_exact_inside",
            "statuses_behind_an_init_are_exact",
            "stopped_while_it_waits",
            "while_it_exits",
        ],
    ),
    // What is lost with a child that somebody else has waited for.
    (
        Need::Feature("pidfd-ioctls"),
        &["chld_ignored", "reaped_by_somebody_else", "status_of_a_helper_is_lost"],
    ),
    // Links in the targets of mounts.
    (Need::Feature("openat2"), &["a_missing_target_is_made", "links_lead_nowhere_outside"]),
    // The propagation of the source is kept.
    (Need::Feature("open_tree"), &["propagation_of_one_mount"]),
    // There is neither that nor a /proc.
    (Need::Feature("open_tree"), &["works_without_proc", "without_proc"]),
    (Need::Feature("move_mount"), &["works_without_proc", "without_proc"]),
    (Need::Feature("pidfd-ioctls"), &["without_proc"]),
    // A whole tree is made read-only, or is idmapped.
    (
        Need::Feature("mount_setattr"),
        &[
            "a_missing_target_is_made",
            "a_new_root_needs_a_directory_for_proc",
            "a_read_only_root",
            "an_empty_root_of_memory",
            "as_bubblewrap_does",
            "dots_stop_at_the_root",
            "exec_has_a_root",
            "it_serves_an_idmapped_mount",
            "links_lead_nowhere_outside",
            "paths_are_those_inside",
            "propagation_of_new_roots",
            "propagation_of_one_mount_of_memory",
            "recursion",
            "relative_sources",
            "sources_are_outside",
            "the_old_root_is_gone",
            "works_without_proc",
        ],
    ),
    // Whether a file is the root of a mount.
    (Need::Feature("statx"), &["what_cannot_be_mounted_on_is_named"]),
    (Need::Feature("pidfd_getfd"), &["held_by_a_socket", "the_same_as_lsns_on_this_host"]),
    // Ids that are never used again; numbers in a namespace around, seen from inside.
    (
        Need::Feature("nsfs-ioctls"),
        &["unique_ids", "pids_seen_from_inside", "whatever_processor_it_was_made_on"],
    ),
    // The test's own hook calls it.
    (Need::Feature("close_range"), &["hooks_run_before_it_waits"]),
    (Need::Feature("setns-pidfd"), &["filter_that_kills_one_thread"]),
    // That a newer call is there tells a filter from an older kernel.
    (Need::Feature("pidfd-ioctls"), &["clone3_is_missing"]),
    // Which system calls are made, and how much is allocated, where nothing is missing.
    (
        Need::Feature("clone3"),
        &["a_spawn_allocates_no_more_than_this", "a_spawn_makes_these_calls_and_no_others"],
    ),
    (
        Need::Feature("pidfd_send_signal"),
        &["a_spawn_allocates_no_more_than_this", "a_spawn_makes_these_calls_and_no_others"],
    ),
    (Need::Feature("close_range"), &["a_spawn_makes_these_calls_and_no_others"]),
    (Need::Feature("pidfd_open"), &["a_spawn_makes_these_calls_and_no_others"]),
    (
        Need::Feature("pidfd-ioctls"),
        &["a_spawn_allocates_no_more_than_this", "a_spawn_makes_these_calls_and_no_others"],
    ),
    (
        Need::Feature("setns-pidfd"),
        &["a_spawn_allocates_no_more_than_this", "a_spawn_makes_these_calls_and_no_others"],
    ),
    (Need::Feature("statx"), &["a_spawn_makes_these_calls_and_no_others"]),
    // Whether programs may gain privileges is a part of what they are to be, or of why they fail.
    (
        Need::NewPrivileges,
        &[
            "entered_namespaces_have_exactly_these",
            "exactly_these_are_kept",
            "exec_has_exactly_these",
            "failing_helpers_of_a_user",
            "functions_have_exactly_these",
            "hooks_have_exactly_these",
            "new_user_namespaces_have_exactly_these",
            "no_new_privs_is_set",
            "what_the_thread_is_the_program_is",
        ],
    ),
    // What the kernel answers, and for which reason.
    (
        Need::NoFilter,
        &[
            "agrees_with_the_calls",
            "chroot_of_an_ordinary_user",
            "chroot_to_a_directory",
            "chroot_to_a_mount",
            "chroot_without_proc",
            "close_range_is_missing",
            "filter_that_kills_for_both",
            "filter_that_kills_for_clone3",
            "filter_that_kills_for_pidfd_open",
            "limit_of_each_kind",
            "no_entering_of_the_namespaces_outside",
            "no_proc",
        ],
    ),
];

/// What a test of this name needs of newer kernels.
pub(crate) fn needed_by(test: &str) -> Vec<&'static Need> {
    let needed = NEEDED.iter().filter(|(_, tests)| tests.contains(&test));
    needed.map(|(need, _)| need).collect()
}

impl Feature {
    pub(crate) fn named(name: &str) -> &'static Self {
        let feature = FEATURES.iter().find(|feature| feature.name == name);
        feature.unwrap_or_else(|| panic!("there is no feature {name}"))
    }

    /// Takes it away from this process and its children, for good.
    pub(crate) fn take_away(&self, errno: i32) {
        let load =
            |offset: u32| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0);
        let jump = |how: c_uint, value: u32, yes: u8, no: u8| {
            statement(libc::BPF_JMP | how | libc::BPF_K, value, yes, no)
        };
        let answer = statement(libc::BPF_RET, libc::SECCOMP_RET_ERRNO | errno as u32, 0, 0);
        // The low halves of the second and third argument, after the number, the architecture, the address and the first.
        let [second, third] = if cfg!(target_endian = "big") { [28, 36] } else { [24, 32] };
        let of = |call: c_long, mut rest: Vec<libc::sock_filter>| {
            let past = rest.len() as u8 + 1;
            let mut program = vec![load(0), jump(libc::BPF_JEQ, call as u32, 0, past)];
            program.append(&mut rest);
            program.push(answer);
            program
        };
        let program = match self.taken {
            What::Call(call) => of(call, Vec::new()),
            What::Clone3OfTheCrate if errno == libc::ENOSYS => of(libc::SYS_clone3, Vec::new()),
            What::Clone3OfTheCrate => {
                of(libc::SYS_clone3, vec![load(second), jump(libc::BPF_JEQ, 64, 0, 1)])
            }
            What::StatxOfTheCrate if errno == libc::ENOSYS => of(libc::SYS_statx, Vec::new()),
            What::StatxOfTheCrate => {
                let flag = libc::AT_NO_AUTOMOUNT as u32;
                of(libc::SYS_statx, vec![load(third), jump(libc::BPF_JSET, flag, 1, 0)])
            }
            What::SetnsOfSeveral => {
                let alu = |how: c_uint, value| statement(libc::BPF_ALU | how, value, 0, 0);
                // What is left of a number without its lowest bit.
                let rest = vec![
                    load(second),
                    statement(libc::BPF_MISC | libc::BPF_TAX, 0, 0, 0),
                    alu(libc::BPF_SUB | libc::BPF_K, 1),
                    alu(libc::BPF_AND | libc::BPF_X, 0),
                    jump(libc::BPF_JEQ, 0, 1, 0),
                ];
                of(libc::SYS_setns, rest)
            }
            What::Ioctl(kind, first) => {
                let and = |mask| statement(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, mask, 0, 0);
                let rest = vec![
                    load(second),
                    and(0xff00),
                    jump(libc::BPF_JEQ, kind << 8, 0, 4),
                    load(second),
                    and(0xff),
                    jump(libc::BPF_JGE, first, 0, 1),
                ];
                of(libc::SYS_ioctl, rest)
            }
        };
        install_and_keep(program, true);
    }
}

/// The errno of a call that cannot succeed.
fn answer(call: c_long, args: [i64; 5]) -> i32 {
    let [a, b, c, d, e] = args;
    // SAFETY: null for every address, and descriptors that there are none of.
    let result = unsafe { libc::syscall(call, a, b, c, d, e) };
    assert_eq!(result, -1, "call {call} succeeded with {args:?}");
    io::Error::last_os_error().raw_os_error().expect("an errno")
}
