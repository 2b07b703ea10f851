//! The caller: its own capabilities make no difference, and stay as they are.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crate::device::*;

pub(crate) fn own_keeps() -> i32 {
    // SAFETY: asks for a number.
    unsafe { libc::prctl(libc::PR_GET_KEEPCAPS) }
}

/// The caller keeps its own over a change of ids: outside a user namespace the program would do so too, without a word.
pub(crate) fn keeping_case() {
    prctl(libc::PR_SET_KEEPCAPS, 1, [0; 3]);
    for set in samples(held()) {
        let exactly = Sets::exactly(set);
        assert_eq!(Sets::inside(|it| it.capabilities(set).uid(OTHER)), exactly);
        let range = IdRange { inside: 0, outside: 0, count: 70_000 };
        let inside = Sets::inside(|it| {
            let it = it.namespaces(Namespaces::USER).uid_map([range]).gid_map([range]);
            it.capabilities(set).uid(OTHER)
        });
        assert_eq!(inside, exactly);
        let mut function = Command::from_fn(own_keeps);
        let status = function.uid(OTHER).capabilities(set).status().expect("it runs");
        assert_eq!(status.code(), Some(1), "as the caller has it");
    }
    assert_eq!(own_keeps(), 1);
}

/// Somebody who is not root, with all that root has permitted, and nothing of it effective.
pub(crate) fn other_with_all_case() {
    prctl(libc::PR_SET_KEEPCAPS, 1, [0; 3]);
    become_other();
    assert_eq!(Sets::own().effective, 0);
    assert!(held().contains(Capabilities::SETPCAP));
    for set in samples(held()) {
        assert_eq!(Sets::inside(|it| it.capabilities(set)), Sets::exactly(set));
    }
    let own = Sets::own();
    let kept = Sets::inside(|it| it.keep_capabilities(true));
    assert_eq!((kept.ambient, kept.effective), (own.permitted, own.permitted));
    // Its map files are root's otherwise.
    prctl(libc::PR_SET_DUMPABLE, 1, [0; 3]);
    for set in samples(all()) {
        let inside = Sets::inside(|it| it.namespaces(Namespaces::USER).capabilities(set));
        assert_eq!(inside, Sets::exactly(set));
    }
    assert_eq!(own_state(), (own, 1 << 4, 1));
}

/// What the caller cannot gain its programs cannot either, and have what they are given all the same.
pub(crate) fn quiet_caller_case() {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, [0; 3]);
    for set in samples(held()) {
        let exactly = Sets { no_new_privs: true, ..Sets::exactly(set) };
        assert_eq!(Sets::inside(|it| it.capabilities(set).no_new_privs(false)), exactly);
        assert_eq!(Sets::inside(|it| it.capabilities(set).uid(OTHER)), exactly);
    }
}

pub(crate) fn nothing_to_drop_case() {
    bound(all());
    become_other();
    let none = Capabilities::empty();
    assert_eq!(Sets::inside(|it| it.capabilities(none)), Sets::exactly(none));
}

pub(crate) fn ambient_ones_of_the_caller_go() {
    let options = ["--inh-caps=+net_admin,+kill", "--ambient-caps=+net_admin,+kill"];
    under_setpriv("ambient_caller", &options);
}

pub(crate) fn ambient_caller_case() {
    let (net, kill) = (Capabilities::NET_ADMIN, Capabilities::KILL);
    assert_eq!(Sets::own().ambient, (net | kill).bits());
    for set in [Capabilities::empty(), net, Capabilities::CHOWN, held()] {
        assert_eq!(Sets::inside(|it| it.capabilities(set)), Sets::exactly(set));
        assert_eq!(Sets::inside(|it| it.capabilities(set).uid(OTHER)), Sets::exactly(set));
    }
}

pub(crate) fn securebits_make_no_difference() {
    // With the bit `noroot` exec leaves root only what is ambient.
    let [inheritable, ambient] = all_inherited();
    for bits in ["+noroot", "+no_setuid_fixup", "+noroot,+no_setuid_fixup,+noroot_locked"] {
        under_setpriv("securebits", &[&inheritable, &ambient, "--securebits", bits]);
    }
}

pub(crate) fn securebits_case() {
    // SAFETY: asks for a number.
    assert_ne!(unsafe { libc::prctl(libc::PR_GET_SECUREBITS) }, 0);
    for set in samples(held()) {
        assert_eq!(Sets::inside(|it| it.capabilities(set)), Sets::exactly(set));
        assert_eq!(Sets::inside(|it| it.capabilities(set).uid(OTHER)), Sets::exactly(set));
    }
    assert!(held().contains(Capabilities::SETPCAP | Capabilities::SYS_ADMIN), "nothing was tried");
}

/// The flag may be clear while some thread spawns; the rest may not change at any time.
pub(crate) fn stays_case() {
    let before = own_state();
    let (mine, lacking) = (held(), Capabilities::all() - held());
    thread::scope(|scope| {
        for number in 0..4 {
            scope.spawn(move || {
                for round in 0..250 {
                    let set = samples(if is_root() { mine } else { all() })[round % 7];
                    let mut command = Command::new("true");
                    match (number + round) % 4 {
                        _ if !is_root() => command.namespaces(Namespaces::USER).capabilities(set),
                        0 => command.capabilities(set),
                        1 => command.capabilities(set).uid(OTHER).gid(OTHER),
                        2 => command.uid(OTHER).keep_capabilities(true).no_new_privs(true),
                        _ => command.namespaces(Namespaces::USER).capabilities(set),
                    };
                    if round % 10 == 9 && !lacking.is_empty() {
                        let mut command = Command::new("true");
                        command.capabilities(lacking).spawn().expect_err("cannot be had");
                    }
                    assert!(command.status().expect("it runs").success());
                    let (now, then) = (own_state(), before);
                    assert_eq!((now.0, now.1), (then.0, then.1));
                }
            });
        }
    });
    assert_eq!(own_state(), before);
    prctl(libc::PR_SET_DUMPABLE, 0, [0; 3]);
    let closed = own_state();
    let namespaces = with_user(Namespaces::UTS);
    let mut command = Command::new("true");
    command.namespaces(namespaces).capabilities(Capabilities::empty());
    if !is_root() {
        command.leave_unmapped();
    }
    assert!(command.status().expect("it runs").success());
    assert_eq!(own_state(), closed, "what was closed stays closed");
}

/// While a child with fewer capabilities runs on this memory, those who may trace it must not get at that. Nothing stops the
/// child at that moment, so it is looked for in many.
pub(crate) fn closed_case() {
    let (seen, start) = (AtomicBool::new(false), Instant::now());
    let goes_on = || !seen.load(SeqCst) && start.elapsed() < Duration::from_secs(30);
    thread::scope(|scope| {
        scope.spawn(|| {
            while goes_on() {
                // SAFETY: asks for a number.
                if unsafe { libc::prctl(libc::PR_GET_DUMPABLE) } == 0 {
                    seen.store(true, SeqCst);
                }
            }
        });
        while goes_on() {
            let mut command = Command::new("true");
            command.capabilities(Capabilities::KILL).status().expect("it runs");
        }
    });
    assert!(seen.load(SeqCst), "the memory was never closed");
    assert_eq!(own_state().2, 1);
}
