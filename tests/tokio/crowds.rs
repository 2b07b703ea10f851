//! A thousand at once, and what that takes of this process: no handler, no thread.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Output;

use libtest_mimic::Trial;
use linux_namespaces::flags::{PID, USER};
use linux_namespaces::{Namespaces, Stdio};
use tokio::io::AsyncReadExt as _;
use tokio::runtime::Runtime;

use crate::common::{Case, Footprint, children, in_own_process, sh, test, test_with};
use crate::{
    USERNS, assert_alive, current_thread, held, limit_descriptors, multi_thread, on, own, sockets,
    spawned,
};

const CROWD: usize = 1000;

pub(crate) const CASES: &[Case] = &[
    ("a_thousand_on_one_thread", || a_thousand(&current_thread(), Namespaces::empty(), CROWD)),
    ("a_thousand_on_threads", || a_thousand(&multi_thread(), Namespaces::empty(), CROWD)),
    ("many_inside", || a_thousand(&multi_thread(), USER.union(PID), 100)),
    ("no_handler_and_no_thread", no_handler_and_no_thread_case),
];

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("a_thousand_on_one_thread", || in_own_process("a_thousand_on_one_thread")),
        test("a_thousand_on_threads", || in_own_process("a_thousand_on_threads")),
        test_with("many_inside", USERNS, || in_own_process("many_inside")),
        test("no_handler_and_no_thread", || in_own_process("no_handler_and_no_thread")),
    ]
}

/// All of them run at the same time; each ends with a code, or of a signal, and an output of its own.
fn a_thousand(runtime: &Runtime, set: Namespaces, number: usize) {
    limit_descriptors(None);
    on(runtime, async {
        // What the first one sets up for good is not left behind.
        assert!(spawned(&mut sh("true")).wait().await.expect("its end").success());
        let before = Footprint::now();
        let handled = own("SigCgt");
        let threads = own("Threads");
        let (ours, theirs) = sockets();
        let children_here: Vec<_> = (0..number)
            .map(|index| {
                let mut command = sh(&format!("echo {index}; read line; {}", end(index)));
                command.namespaces(set).stdout(Stdio::piped());
                command.stdin(theirs.try_clone().expect("a duplicate"));
                spawned(&mut command)
            })
            .collect();
        drop(theirs);
        assert_eq!(children().len(), number, "all of them are here");
        let tasks: Vec<_> = children_here
            .into_iter()
            .enumerate()
            .map(|(index, mut child)| {
                tokio::spawn(async move {
                    if index % 2 == 0 {
                        return child.wait_with_output().await.expect("its end");
                    }
                    let mut stream = child.stdout.take().expect("piped");
                    let mut stdout = Vec::new();
                    let read = stream.read_to_end(&mut stdout);
                    let (status, read) = tokio::join!(child.wait(), read);
                    read.expect("it can be read");
                    Output { status: status.expect("its end"), stdout, stderr: Vec::new() }
                })
            })
            .collect();
        // The tasks have begun to wait before the first child ends.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(own("Threads"), threads);
        drop(ours);
        for (index, task) in tasks.into_iter().enumerate() {
            let output = task.await.expect("no panic");
            let status = output.status;
            let (code, signal) = expected(index, set);
            assert_eq!((status.code(), status.signal()), (code, signal), "{index}");
            assert_eq!(output.stdout, format!("{index}\n").into_bytes());
        }
        assert_eq!(own("SigCgt"), handled);
        before.assert_unchanged();
    });
}

/// Every ninth dies of a signal, which those that are process 1 would not.
fn end(index: usize) -> String {
    if index % 9 == 8 { "kill -9 $$; exit 0".to_owned() } else { format!("exit {}", index % 256) }
}

fn expected(index: usize, set: Namespaces) -> (Option<i32>, Option<i32>) {
    match index % 9 {
        8 if set.contains(PID) => (Some(0), None),
        8 => (None, Some(libc::SIGKILL)),
        _ => (Some((index % 256) as i32), None),
    }
}

fn no_handler_and_no_thread_case() {
    let chld = 1u64 << (libc::SIGCHLD - 1);
    let caught = || u64::from_str_radix(&own("SigCgt"), 16).expect("a mask");
    let before = (own("SigCgt"), own("SigBlk"), own("SigIgn"));
    let runtime = current_thread();
    on(&runtime, async {
        let (socket, mut child) = held(&mut linux_namespaces::Command::new("cat"));
        let look = async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert_alive(&socket);
            assert_eq!((own("SigCgt"), own("SigBlk"), own("SigIgn")), before);
            assert_eq!(own("Threads"), "1");
            drop(socket);
        };
        let (status, ()) = tokio::join!(child.wait(), look);
        assert!(status.expect("its end").success());
        assert_eq!((own("SigCgt"), own("SigBlk"), own("SigIgn")), before);
        assert_eq!(own("Threads"), "1");
        assert_eq!(caught() & chld, 0);
        // Neither is in the way of tokio's own child, or of a handler, which would have been seen.
        let theirs = tokio::process::Command::new("false").status().await.expect("its end");
        assert_eq!(theirs.code(), Some(1));
        extern "C" fn handler(_: libc::c_int) {}
        // SAFETY: a handler that does nothing.
        unsafe { libc::signal(libc::SIGCHLD, handler as *const () as usize) };
        assert_eq!(caught() & chld, chld);
        assert_eq!(spawned(&mut sh("exit 5")).wait().await.expect("its end").code(), Some(5));
    });
}
