//! No program begins with a signal ignored, whatever the caller ignores, and since when.

use std::ffi::c_int;
use std::ptr;

use linux_namespaces::Command;

use crate::common::{field, stdout_of};

fn status() -> Command {
    let mut command = Command::new("/bin/cat");
    command.arg("/proc/self/status");
    command
}

fn set(signal: c_int, how: libc::sighandler_t) {
    // SAFETY: the default or ignoring: no handler is installed.
    unsafe { libc::signal(signal, how) };
}

/// The signals that a program of this command ignores, a bit each.
fn ignored(command: &mut Command) -> u64 {
    bits(&stdout_of(command))
}

fn bits(status: &str) -> u64 {
    u64::from_str_radix(field("SigIgn", status), 16).expect("a number")
}

fn own() -> u64 {
    bits(&std::fs::read_to_string("/proc/self/status").expect("/proc is mounted"))
}

fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

/// Those that `wait` needs no handler for; SIGKILL and SIGSTOP are never ignored, and libc keeps 32 and 33 for itself.
fn all() -> impl Iterator<Item = c_int> {
    (1..=64).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP, 32, 33].contains(signal))
}

/// Every signal but SIGCHLD: who ignores that has no status to wait for.
pub(crate) fn all_ignored_case() {
    let mut command = status();
    assert_eq!(ignored(&mut command), 0);
    for signal in all().filter(|signal| *signal != libc::SIGCHLD) {
        set(signal, libc::SIG_IGN);
    }
    let own_before = own();
    let wanted = all().filter(|signal| *signal != libc::SIGCHLD).fold(0, |set, it| set | bit(it));
    assert_eq!(own_before & wanted, wanted, "{own_before:x}");
    let mut other = status();
    for _ in 0..3 {
        assert_eq!(ignored(&mut other), 0);
    }
    pass_a_while();
    assert_eq!(ignored(&mut command), 0);
    assert_eq!(own(), own_before, "the caller's own are left alone");
}

/// Right after the last spawn, when the command still knows what was ignored then.
pub(crate) fn switched_case() {
    let switched =
        [libc::SIGINT, libc::SIGPIPE, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGCHLD];
    for signal in switched {
        let mut command = status();
        set(signal, libc::SIG_DFL);
        assert_eq!(ignored(&mut command), 0);
        set(signal, libc::SIG_IGN);
        assert_ne!(own() & bit(signal), 0);
        // Of a program that ends with SIGCHLD ignored nobody has the status; what it said is there.
        let mut child = command.stdout(linux_namespaces::Stdio::piped()).spawn().expect("spawned");
        let mut text = String::new();
        let mut out = child.stdout.take().expect("piped");
        std::io::Read::read_to_string(&mut out, &mut text).expect("text");
        let _ = child.wait();
        assert_eq!(bits(&text), 0, "signal {signal}");
        set(signal, libc::SIG_DFL);
    }
}

/// One that is asked for again only when the last time is over 10 ms ago.
pub(crate) fn another_signal_case() {
    let mut command = status();
    for signal in all().filter(|signal| *signal != libc::SIGCHLD) {
        set(signal, libc::SIG_DFL);
        assert_eq!(ignored(&mut command), 0);
        set(signal, libc::SIG_IGN);
        pass_a_while();
        assert_eq!(ignored(&mut command), 0, "signal {signal}");
    }
}

pub(crate) fn a_new_command_case() {
    let mut command = status();
    for signal in all().filter(|signal| *signal != libc::SIGCHLD) {
        assert_eq!(ignored(&mut command), 0);
        set(signal, libc::SIG_IGN);
        // At once.
        command = status();
        assert_eq!(ignored(&mut command), 0, "signal {signal}");
    }
}

/// The kernel's clock says when 11 ms are over.
fn pass_a_while() {
    // SAFETY: no descriptors are asked for.
    let ready = unsafe { libc::poll(ptr::null_mut(), 0, 11) };
    assert_eq!(ready, 0, "it ran out");
}
