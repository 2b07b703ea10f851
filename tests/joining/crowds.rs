//! Many at once, and targets that do not stay.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use linux_namespaces::Namespaces;
use linux_namespaces::flags::{NET, PID, USER, UTS};

use crate::common::processes::{KINDS, end, holder, inode_of_link, inodes};
use crate::common::{Footprint, stdout_of};
use crate::entering::{cat, handle};

pub(crate) fn from_32_threads() {
    let before = Footprint::now();
    let all = Namespaces::all();
    let targets: Vec<_> = (0..4).map(|_| holder(all)).collect();
    let barrier = Barrier::new(32);
    thread::scope(|scope| {
        for number in 0..32 {
            let (target, barrier) = (&targets[number % targets.len()], &barrier);
            scope.spawn(move || {
                let expected = inodes(target.id());
                barrier.wait();
                for round in 0..8 {
                    let mut command = linux_namespaces::Command::new("readlink");
                    command.args(KINDS.map(|kind| format!("/proc/self/ns/{kind}")));
                    if (number + round) % 2 == 0 {
                        command.enter_process(target.pidfd(), all);
                    } else {
                        for kind in KINDS {
                            command.enter(&handle(target, kind));
                        }
                    }
                    let told = stdout_of(&mut command);
                    let inside: Vec<u64> = told.lines().map(inode_of_link).collect();
                    assert_eq!(inside, expected.values().copied().collect::<Vec<_>>());
                }
            });
        }
    });
    targets.into_iter().for_each(end);
    before.assert_unchanged();
}

/// Either the program is inside, or the error says that the process has gone or cannot be entered any more.
pub(crate) fn while_it_exits() {
    let before = Footprint::now();
    let (inside, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for round in 0..120 {
        let set = if round % 2 == 0 { USER | NET | UTS } else { USER | PID | UTS };
        let mut there = holder(set);
        let pidfd = there.pidfd().try_clone().expect("a descriptor");
        let expected = inodes(there.id());
        let barrier = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                barrier.wait();
                // Another moment each time.
                for _ in 0..(round * 97) % 1500 {
                    std::hint::spin_loop();
                }
                pidfd.send_signal(libc::SIGKILL).expect("it has not been waited for");
            });
            barrier.wait();
            let mut command = cat();
            match command.stdin(linux_namespaces::Stdio::piped()).enter_process(&pidfd, set).spawn()
            {
                Ok(mut child) => {
                    // In a pid namespace it dies with process 1, and its entries with it.
                    if !set.contains(PID) {
                        assert_eq!(
                            inodes(child.id())[&linux_namespaces::NamespaceKind::Uts],
                            expected[&linux_namespaces::NamespaceKind::Uts]
                        );
                    }
                    child.wait().expect("its end");
                    inside.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    let errno = error.raw_os_error();
                    let known = [libc::ESRCH, libc::ENOENT];
                    let text = error.to_string();
                    let killed =
                        ["killed", "SIGKILL", "has ended"].iter().any(|word| text.contains(word));
                    assert!(errno.is_some_and(|errno| known.contains(&errno)) || killed, "{error}");
                    assert!(error.hint().is_some(), "no word of why: {error}");
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        there.wait().expect("its end");
    }
    assert_eq!(inside.into_inner() + refused.into_inner(), 120);
    before.assert_unchanged();
}
