//! System calls by their names, and which of them say nothing.

use std::ffi::c_long;

/// A call and its arguments.
type Call = (c_long, [u64; 6]);

/// Those that a spawn makes. Where an architecture lacks one, its libc makes the next of the same name.
const NAMES: &[(c_long, &str)] = &[
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_readlink, "readlink"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, "open"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_poll, "poll"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_pipe, "pipe2"),
    (libc::SYS_readlinkat, "readlink"),
    (libc::SYS_openat, "open"),
    (libc::SYS_ppoll, "poll"),
    (libc::SYS_pipe2, "pipe2"),
    (libc::SYS_brk, "brk"),
    (libc::SYS_capget, "capget"),
    (libc::SYS_capset, "capset"),
    (libc::SYS_chdir, "chdir"),
    (libc::SYS_clock_gettime, "clock_gettime"),
    (libc::SYS_clone, "clone"),
    (libc::SYS_clone3, "clone3"),
    (libc::SYS_close, "close"),
    (libc::SYS_close_range, "close_range"),
    (libc::SYS_dup3, "dup3"),
    (libc::SYS_execve, "execve"),
    (libc::SYS_exit_group, "exit_group"),
    (libc::SYS_fcntl, "fcntl"),
    (libc::SYS_fstat, "fstat"),
    (libc::SYS_futex, "futex"),
    (libc::SYS_getegid, "getegid"),
    (libc::SYS_geteuid, "geteuid"),
    (libc::SYS_getgid, "getgid"),
    (libc::SYS_getpgid, "getpgid"),
    (libc::SYS_getpid, "getpid"),
    (libc::SYS_gettid, "gettid"),
    (libc::SYS_getuid, "getuid"),
    (libc::SYS_ioctl, "ioctl"),
    (libc::SYS_lseek, "lseek"),
    (libc::SYS_madvise, "madvise"),
    (libc::SYS_mmap, "mmap"),
    (libc::SYS_mount, "mount"),
    (libc::SYS_munmap, "munmap"),
    (libc::SYS_newfstatat, "fstatat"),
    (libc::SYS_pidfd_open, "pidfd_open"),
    (libc::SYS_pidfd_send_signal, "pidfd_send_signal"),
    (libc::SYS_prctl, "prctl"),
    (libc::SYS_read, "read"),
    (libc::SYS_rt_sigaction, "rt_sigaction"),
    (libc::SYS_rt_sigprocmask, "rt_sigprocmask"),
    (libc::SYS_sched_yield, "sched_yield"),
    (libc::SYS_setgroups, "setgroups"),
    (libc::SYS_setns, "setns"),
    (libc::SYS_setpgid, "setpgid"),
    (libc::SYS_setresgid, "setresgid"),
    (libc::SYS_setresuid, "setresuid"),
    (libc::SYS_setsid, "setsid"),
    (libc::SYS_socket, "socket"),
    (libc::SYS_statx, "statx"),
    (libc::SYS_unshare, "unshare"),
    (libc::SYS_wait4, "wait4"),
    (libc::SYS_waitid, "waitid"),
    (libc::SYS_write, "write"),
];

fn name(number: c_long) -> String {
    let known = NAMES.iter().find(|(known, _)| *known == number);
    known.map_or_else(|| format!("call-{number}"), |(_, name)| (*name).to_owned())
}

/// Whether a process may sleep in it until another does something.
pub(crate) fn sleeps((number, arguments): Call) -> bool {
    match name(number).as_str() {
        // To wait is 0; bit 7 says that the word is private.
        "futex" => arguments[1] & 0x7f == 0,
        "poll" | "waitid" | "wait4" => true,
        _ => false,
    }
}

/// How often a child asks how signals are taken, if the command was not spawned just now; and if it was.
const LOOKS: [usize; 2] = [62, 6];

/// The names in order, with what is the same several times in a row counted.
pub(crate) fn readable(calls: &[Call]) -> Vec<String> {
    let mut list: Vec<(String, usize)> = Vec::new();
    for (place, (number, arguments)) in calls.iter().enumerate() {
        let name = name(*number);
        let next = calls.get(place + 1);
        let says_nothing = match name.as_str() {
            // The heap grows when it has to; and the clock is read without a call where the machine's allows that.
            "brk" | "clock_gettime" => true,
            // std looks whether a descriptor is open before it closes it, in builds with debug assertions.
            "fcntl" => next.is_some_and(|(number, others)| {
                *number == libc::SYS_close && others[0] == arguments[0]
            }),
            _ => false,
        };
        match list.last_mut() {
            _ if says_nothing => {}
            Some((last, count)) if *last == name => *count += 1,
            _ => list.push((name, 1)),
        }
    }
    let readable = list.into_iter().map(|(name, count)| match count {
        1 => name,
        // Whether it was just now says how fast the machine is.
        count if name == "rt_sigaction" && LOOKS.contains(&count) => format!("{name}*6-or-62"),
        count => format!("{name}*{count}"),
    });
    readable.collect()
}
