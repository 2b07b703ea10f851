//! The setters: their order, moved and dropped commands, hooks, exec, threads, tokio.

use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use libtest_mimic::Trial;
use linux_namespaces::{CommandExt as _, Namespace, NamespaceKind, Namespaces, flags::*};

use crate::common::{Case, Footprint, Need, in_own_process, is_root, test, test_with, with_user};
use crate::{errno_of, identity, pipe, sh, stdout_of};

const USERNS: &[Need] = &[Need::UserNamespaces];

pub(crate) const CASES: &[Case] = &[
    ("exec_refuses_pid", exec_refuses_pid),
    ("exec_moves", exec_moves),
    ("exec_fails", exec_fails),
    ("no_descriptors", no_descriptors),
    ("addresses_of_threads", addresses_of_threads),
    ("many_threads", many_threads),
    ("from_tokio", from_tokio),
];

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test_with("calls_add_up_in_any_order", USERNS, any_order),
        test_with("a_moved_command_keeps_its_calls", USERNS, moved),
        test_with("a_command_is_spawned_again", USERNS, again),
        test_with(
            "an_address_used_again_is_another_command",
            &[
                Need::UserNamespaces,
                Need::NoSanitizer("it keeps what is freed from being used again"),
            ],
            addresses,
        ),
        test("addresses_go_from_thread_to_thread", || in_own_process("addresses_of_threads")),
        test("a_program_is_on_the_heap_for_good", program_addresses),
        test_with("hooks_run_outside_before_and_inside_after", USERNS, hooks),
        test_with("exec_with_pid_is_refused_and_harms_nothing", USERNS, || {
            in_own_process("exec_refuses_pid")
        }),
        test_with("exec_moves_the_process", USERNS, || in_own_process("exec_moves")),
        test_with("exec_that_failed_is_tried_again", USERNS, || in_own_process("exec_fails")),
        test("no_descriptor_for_a_copy_is_an_error_of_the_spawn", || {
            in_own_process("no_descriptors")
        }),
        test_with("from_32_threads_that_allocate", USERNS, || in_own_process("many_threads")),
        test_with("through_tokio", USERNS, || in_own_process("from_tokio")),
    ]
}

fn any_order() {
    let look = "echo $$; set -- /proc/[0-9]*; echo $#; readlink /proc/self/ns/uts";
    let uts = identity("self", "uts");
    let parts: Vec<Namespaces> = with_user(PID | NS | UTS).kinds().map(Namespaces::from).collect();
    for turn in 0..parts.len() {
        for backwards in [false, true] {
            let mut parts = parts.clone();
            parts.rotate_left(turn);
            if backwards {
                parts.reverse();
            }
            let mut command = sh(look);
            for part in &parts {
                command.namespaces(*part).namespaces(*part);
            }
            let said = stdout_of(&mut command);
            let lines: Vec<_> = said.lines().collect();
            assert_eq!(lines[..2], ["1", "1"], "{parts:?}");
            assert_ne!(lines[2], uts);
        }
    }
}

fn moved() {
    let mut command = sh("echo $$; set -- /proc/[0-9]*; echo $#");
    command.namespaces(with_user(PID));
    let mut boxed = Box::new(command);
    boxed.arg("x").arg0("another").env("A", "b");
    let mut many = vec![*boxed];
    many.reserve(1000);
    let mut command = many.pop().unwrap();
    command.namespaces(NS);
    let said = thread::spawn(move || stdout_of(&mut command)).join().unwrap();
    assert_eq!(said, "1\n1");
}

fn again() {
    let mut command = sh("echo $$");
    command.namespaces(with_user(PID));
    for _ in 0..3 {
        assert_eq!(stdout_of(&mut command), "1");
    }
    let mut command = sh("echo $$; readlink /proc/self/ns/uts");
    command.namespaces(with_user(NS));
    assert_ne!(stdout_of(&mut command).lines().next(), Some("1"));
    command.namespaces(PID);
    assert_eq!(stdout_of(&mut command).lines().next(), Some("1"), "a setter after a spawn counts");
}

fn addresses() {
    let mut seen = std::collections::BTreeSet::new();
    let mut again = 0;
    for round in 0..400 {
        let mut command = sh("readlink /proc/self/ns/uts");
        again +=
            usize::from(!seen.insert(command.get_program().as_encoded_bytes().as_ptr().addr()));
        // Every other one is dropped unused, with what would be an error.
        if round % 2 == 0 {
            command.namespaces(Namespaces::from_bits_retain(1)).namespaces(UTS);
            continue;
        }
        command.namespaces(Namespaces::empty());
        if round % 40 == 1 {
            assert_eq!(stdout_of(&mut command), identity("self", "uts"));
        }
    }
    assert!(again > 0, "no address was used twice, so this shows nothing");
}

/// Commands are dropped by one thread while others get their addresses.
fn addresses_of_threads() {
    let before = Footprint::now();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for round in 1..2000 {
                    // Its error must be nobody else's, and nobody else's success its own.
                    let mut wrong = Command::new("true");
                    wrong.namespaces(Namespaces::from_bits_retain(1));
                    let mut right = Command::new("true");
                    right.namespaces(Namespaces::empty());
                    if round % 100 == 0 {
                        assert_eq!(errno_of(&mut wrong), Some(libc::EINVAL));
                        assert!(right.status().unwrap().success());
                    }
                }
            });
        }
    });
    before.assert_unchanged();
}

/// What the register of calls relies on.
fn program_addresses() {
    let address = |command: &Command| command.get_program().as_encoded_bytes().as_ptr().addr();
    let commands: Vec<_> =
        ["", "", "a", "a", "x\0y", "x\0y"].into_iter().map(Command::new).collect();
    let addresses: Vec<_> = commands.iter().map(address).collect();
    let unique: std::collections::BTreeSet<_> = addresses.iter().collect();
    assert_eq!(unique.len(), commands.len(), "an address for each");
    for (mut command, before) in commands.into_iter().zip(addresses) {
        command.arg("b").arg0("c").args(["d"; 100]).env("e", "f").current_dir("/").uid(0);
        assert_eq!(address(&command), before);
    }
    // Programs that std refuses are refused still.
    for program in ["", "x\0y"] {
        let mut command = Command::new(program);
        assert!(command.namespaces(Namespaces::empty()).spawn().is_err());
    }
}

fn hooks() {
    let own_uts = crate::common::inode("/proc/self/ns/uts");
    let inside = move || {
        // SAFETY: plain integers.
        let mut status: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: a path and a `stat` to fill.
        let result = unsafe { libc::stat(c"/proc/self/ns/uts".as_ptr(), &raw mut status) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(status.st_ino != own_uts)
    };
    let check = move |expected: bool, errno: i32| {
        move || match inside()? == expected {
            true => Ok(()),
            false => Err(io::Error::from_raw_os_error(errno)),
        }
    };
    let mut command = sh("echo $$");
    // SAFETY: two system calls, no allocation.
    unsafe { command.pre_exec(check(false, libc::EDOM)) };
    command.namespaces(with_user(PID));
    // SAFETY: as above.
    unsafe { command.pre_exec(check(true, libc::ERANGE)) };
    command.namespaces(UTS);
    assert_eq!(stdout_of(&mut command), "1");
}

fn exec_refuses_pid() {
    let before = Footprint::now();
    let mut command = sh("true");
    command.namespaces(with_user(PID | UTS));
    for _ in 0..2 {
        assert_eq!(command.exec().raw_os_error(), Some(libc::EINVAL));
    }
    before.assert_unchanged();
    assert!(command.status().unwrap().success(), "and it can still be spawned");
}

fn exec_moves() {
    let uts = identity("self", "uts");
    let mut command = sh("[ \"$(readlink /proc/self/ns/uts)\" != \"$0\" ]");
    let error = command.arg(uts).namespaces(with_user(UTS | NET)).exec();
    panic!("{error}");
}

fn exec_fails() {
    let uts = identity("self", "uts");
    let mut command = Command::new("/no/such/program");
    command.namespaces(with_user(UTS)).namespaces(UTS);
    assert_eq!(command.exec().kind(), io::ErrorKind::NotFound);
    let first = identity("self", "uts");
    assert_ne!(first, uts, "the caller stays moved");
    assert_eq!(command.exec().kind(), io::ErrorKind::NotFound);
    if is_root() {
        assert_ne!(identity("self", "uts"), first, "everything is done once more");
    }
}

fn no_descriptors() {
    let net = Namespace::current(NamespaceKind::Net).unwrap();
    let mut command = sh("true");
    let limit = libc::rlimit { rlim_cur: 64, rlim_max: 4096 };
    // SAFETY: a limit to read.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    let files: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    command.enter(&net);
    drop(files);
    assert_eq!(errno_of(&mut command), Some(libc::EMFILE));
    assert!(sh("true").enter(&net).status().unwrap().success());
}

fn many_threads() {
    let before = Footprint::now();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    let parts: Vec<String> = (0..100).map(|part| format!("{part:0>100}")).collect();
                    std::hint::black_box(parts.concat());
                }
            });
        }
        let spawners: Vec<_> = (0..32)
            .map(|number| {
                scope.spawn(move || {
                    for round in 0..6 {
                        let code = (number + round) % 256;
                        let mut command = sh(&format!("echo $$; exit {code}"));
                        command.namespaces(with_user(PID)).namespaces(NS).namespaces(UTS);
                        let output = command.output().unwrap();
                        assert_eq!(output.status.code(), Some(code), "{}", output.status);
                        assert_eq!(output.stdout, b"1\n");
                    }
                })
            })
            .collect();
        for spawner in spawners {
            spawner.join().unwrap();
        }
        stop.store(true, Relaxed);
    });
    before.assert_unchanged();
}

fn from_tokio() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(4).enable_all().build().unwrap();
    let set = with_user(PID | NS);
    runtime.block_on(async {
        let tasks: Vec<_> = (0..16)
            .map(|code| {
                tokio::spawn(async move {
                    let mut command = tokio::process::Command::new("sh");
                    command.args(["-c", &format!("echo $$; exit {code}")]);
                    command.as_std_mut().namespaces(set);
                    let output = command.output().await.unwrap();
                    assert_eq!(output.status.code(), Some(code));
                    assert_eq!(output.stdout, b"1\n");
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let mut command = tokio::process::Command::new("cat");
        command.stdin(Stdio::piped()).as_std_mut().namespaces(set);
        let mut child = command.spawn().unwrap();
        child.kill().await.unwrap();
        assert_eq!(child.wait().await.unwrap().signal(), Some(libc::SIGKILL));

        // The program is gone with the handle: its end of the pipe closes.
        let (reader, writer) = pipe();
        let mut command = tokio::process::Command::new("sleep");
        command.arg("1000").stdout(writer).kill_on_drop(true).as_std_mut().namespaces(set);
        let child = command.spawn().unwrap();
        drop((command, child));
        assert_eq!(io::read_to_string(reader).unwrap(), "");
    });
}
