//! Callers whose dumpable flag is clear, so that the files of their children are root's.

use crate::*;

pub(crate) fn become_ann() {
    // SAFETY: changes the groups of this process.
    assert_eq!(unsafe { libc::setgroups(0, std::ptr::null()) }, 0);
    // SAFETY: changes the ids of this process.
    assert_eq!(unsafe { libc::setresgid(ANN, ANN, ANN) }, 0);
    // SAFETY: changes the ids of this process.
    assert_eq!(unsafe { libc::setresuid(ANN, ANN, ANN) }, 0);
    assert_ne!(dumpable(), 1, "this kernel leaves the flag");
}

pub(crate) fn not_dumpable() {
    become_ann();
    let before = Footprint::now();
    let flag = dumpable();
    for (map, expected) in [
        (
            Command::map_current_user as fn(&mut Command) -> &mut Command,
            "5000 5000 1; ; 5000 5000 1; ; deny",
        ),
        (Command::map_root_user, "0 5000 1; ; 0 5000 1; ; deny"),
        (Command::map_subordinate_ids, BOTH),
        (Command::leave_unmapped, "; ; allow"),
    ] {
        for mut command in [tell(), copied(tell())] {
            assert_eq!(told(map(&mut command)), expected);
            assert_eq!(dumpable(), flag, "after {expected}");
            // With a change of ids, which clears it once more.
            if expected == BOTH {
                assert_eq!(told(command.uid(3).gid(4)), BOTH);
                assert_eq!(dumpable(), flag);
            }
        }
    }
    let error = tell().uid_map([range(0, 3, 1)]).spawn().expect_err("not ours");
    assert!(error.to_string().contains("newuidmap: "), "{error}");
    assert_eq!(dumpable(), flag);
    // Not every newuidmap keeps the right to open files that are root's.
    let path = std::env::var("PATH").expect("a path");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("newuidmap");
    fs::write(&file, "#!/bin/sh\nstat -c 'owner %u' /proc/$1/uid_map >&2\nexit 1\n")
        .expect("a script");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("chmod");
    set_path(&format!("{}:{path}", directory.path().display()));
    let error = tell().uid_map([range(0, 3, 1)]).spawn().expect_err("the script fails");
    assert!(error.to_string().ends_with("owner 5000"), "{error}");
    assert_eq!(dumpable(), flag);
    set_path(&path);
    drop(directory);
    let mut function = Command::from_fn(|| if dumpable() == 1 { 1 } else { 0 });
    let status = function.namespaces(USER).map_subordinate_ids().status().expect("a function");
    assert!(status.success(), "the function's memory was left open");
    before.assert_unchanged();
    // SAFETY: sets a number.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
    assert_eq!(told(tell().map_subordinate_ids()), BOTH);
    assert_eq!(dumpable(), 1);
}

fn set_dumpable() {
    // SAFETY: sets a number.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) }, 0);
}

fn become_effectively(user: u32) {
    // SAFETY: changes the ids of this process, in all threads.
    assert_eq!(unsafe { libc::seteuid(user) }, 0);
}

/// The kernel closes the memory of a process that changes its ids. A spawn that had it closed meanwhile does not open it.
pub(crate) fn ids_change_meanwhile() {
    for end in [|suspended: Suspended| suspended.resume().map(drop), |_| Ok(())] {
        set_dumpable();
        let suspended = sh(":").namespaces(USER).spawn_suspended().expect("it is set up");
        assert_eq!(dumpable(), 0, "this test is of no use");
        become_effectively(ANN);
        end(suspended).expect("it runs or ends");
        assert_ne!(dumpable(), 1, "it is open to ann, with all that root had in it");
        become_effectively(0);
    }
    // If nobody changes them, it is as before.
    set_dumpable();
    drop(sh(":").namespaces(USER).spawn_suspended().expect("it is set up"));
    assert_eq!(dumpable(), 1);
}

pub(crate) fn ids_change_in_another_thread() {
    let start = std::sync::Barrier::new(2);
    for round in 0..300 {
        set_dumpable();
        thread::scope(|scope| {
            let spawning = scope.spawn(|| {
                start.wait();
                sh(":").uid(ANN).spawn().expect("root or ann may").wait().expect("its end");
            });
            start.wait();
            become_effectively(ANN);
            spawning.join().expect("no panic");
            assert_ne!(dumpable(), 1, "in round {round}");
            become_effectively(0);
        });
    }
}

pub(crate) fn closed_by_itself() {
    // SAFETY: sets a number.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
    for mut command in [sh("id -u; id -g"), copied(sh("id -u; id -g"))] {
        command.namespaces(USER).map_root_user();
        assert_eq!(told(&mut command), "0; 0");
        assert_eq!(dumpable(), 0);
    }
}

pub(crate) fn no_new_privileges() {
    // SAFETY: sets a flag of this process.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    let error = refusal(tell().map_subordinate_ids());
    assert!(error.to_string().contains("newgidmap: "), "{error}");
    assert!(error.to_string().contains("no_new_privs"), "{error}");
}

/// Those that need the flag, those that clear it, and those that do not care.
pub(crate) fn not_dumpable_threads() {
    become_ann();
    for flag in [0, 1] {
        // SAFETY: sets a number.
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, flag) };
        thread::scope(|scope| {
            for place in 0..8 {
                scope.spawn(move || {
                    for _ in 0..25 {
                        match place % 4 {
                            0 => assert_eq!(told(tell().map_subordinate_ids()), BOTH),
                            1 => assert_eq!(
                                told(tell().map_root_user()),
                                "0 5000 1; ; 0 5000 1; ; deny"
                            ),
                            2 => {
                                assert_eq!(told(copied(tell()).map_subordinate_ids().uid(9)), BOTH)
                            }
                            _ => assert_eq!(stdout_of(sh("id -u").uid(ANN).gid(ANN)), "5000"),
                        }
                    }
                });
            }
        });
        assert_eq!(dumpable(), flag);
    }
}

pub(crate) fn not_dumpable_exec() {
    for (failing, program) in [(false, "cat"), (true, "/no/such/program")] {
        let mut child = common::case("show ids");
        child.env("PROGRAM", program);
        let output = child.output().expect("this program again");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let expected = if failing { "flag 0" } else { "0 5000 1" };
        assert_eq!(plain(&text), expected, "{}", String::from_utf8_lossy(&output.stderr));
    }
}

pub(crate) fn show_ids() {
    become_ann();
    let program = std::env::var("PROGRAM").expect("a program");
    let error =
        Command::new(&program).arg("/proc/self/uid_map").namespaces(USER).map_root_user().exec();
    assert_eq!(error.step(), &Step::Exec(program.into()), "{error}");
    println!("flag {}", dumpable());
}
