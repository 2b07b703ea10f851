//! A program that a debugger holds has ended for its pidfd, but not yet for its parent.

use std::future::poll_fn;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::pin::pin;

use libtest_mimic::Trial;

use crate::common::traced::{CASE, Tracer};
use crate::common::{Case, Need, field, sh, test_with};
use crate::{held, on_both};

pub(crate) const CASES: &[Case] = &[CASE];

pub(crate) fn tests() -> Vec<Trial> {
    // Yama may keep an ordinary user from it.
    vec![test_with("a_debugger_has_it_first", &[Need::Root], || on_both(a_debugger_has_it_first))]
}

async fn a_debugger_has_it_first() {
    // It has no child, whose end would be a signal that stops it.
    let (socket, mut child) = held(&mut sh("read line; exit 33"));
    let mut tracer = Tracer::of(child.id());

    // It ends, and its pidfd says so, but it is the tracer's.
    drop(socket);
    let mut poll =
        libc::pollfd { fd: child.pidfd().as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, of a descriptor that is open.
    assert_eq!(unsafe { libc::poll(&raw mut poll, 1, 20_000) }, 1, "it has not ended");
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("a zombie");
    assert!(field("State", &status).starts_with('Z'), "{status}");
    assert_eq!(child.try_wait().expect("told"), None);

    // So the wait sleeps, and does not look again and again.
    let mut polls = 0;
    let status = {
        let mut wait = pin!(child.wait());
        let mut counted = pin!(poll_fn(|context| {
            polls += 1;
            wait.as_mut().poll(context)
        }));
        for _ in 0..50 {
            tokio::select! {
                biased;
                () = tokio::task::yield_now() => {}
                status = &mut counted => panic!("{status:?}"),
            }
        }
        tracer.let_go();
        counted.await.expect("its end")
    };
    assert_eq!(status.code(), Some(33));
    assert!(polls < 200, "{polls}");
    tracer.end();
}
