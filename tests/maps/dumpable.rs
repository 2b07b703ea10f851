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
        // Elsewhere it has a copy of the memory.
        let shared = !cfg!(linux_namespaces_portable);
        assert_eq!(dumpable(), if shared { 0 } else { 1 }, "this test is of no use");
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

/// A program that is not there, to be executed in place of this one. A hook fails where the flag is not this.
fn executes_nothing(flag: c_int) -> Command {
    let mut command = Command::new("/no/such/program");
    // SAFETY: prctl(2), and a number made into an error.
    unsafe {
        command.pre_exec(move || match dumpable() {
            found if found == flag => Ok(()),
            _ => Err(std::io::Error::from_raw_os_error(libc::EBADE)),
        });
    }
    command
}

fn is_not_there(error: &Error) {
    assert_eq!(error.step(), &Step::Exec("/no/such/program".into()), "{error}");
}

/// Others of its user have power over a process in a new user namespace, be they without the capabilities that it has, and so has
/// whoever is root in one that it enters. Until it has executed the program they would find the caller's memory in it.
pub(crate) fn exec_closes_the_memory() {
    let user = inode("/proc/self/ns/user");
    let mut child = holder();
    let other = child.namespace(NamespaceKind::User).expect("a handle");
    // Nobody has power over it yet.
    is_not_there(&executes_nothing(1).exec());
    assert_eq!(dumpable(), 1);
    if is_root() {
        is_not_there(&executes_nothing(1).namespaces(UTS).exec());
        assert_eq!(dumpable(), 1);
    }
    // What does not come so far changes nothing.
    let error = executes_nothing(0).enter(&other).namespaces(NET).hostname("x").exec();
    assert_eq!(error.step(), &Step::Validate, "{error}");
    assert_eq!(dumpable(), 1);
    common::seccomp::answer(&[libc::SYS_unshare], libc::EPERM);
    let error = executes_nothing(0).namespaces(USER).exec();
    assert_eq!(error.step(), &Step::Unshare(USER), "{error}");
    assert_eq!((dumpable(), inode("/proc/self/ns/user")), (1, user));
    is_not_there(&executes_nothing(0).enter(&other).exec());
    assert_ne!(inode("/proc/self/ns/user"), user);
    // It is in there now, and stays closed.
    assert_eq!(dumpable(), 0);
    child.wait().expect("cat ends");
}

fn holder() -> linux_namespaces::Child {
    let mut command = Command::new("cat");
    command.namespaces(USER).stdin(Stdio::piped()).spawn().expect("a user namespace")
}

pub(crate) fn exec_closes_a_new_user_namespace() {
    let (capable, (user, _)) = (is_root(), common::own_world::ids());
    let mut command = executes_nothing(if capable { 0 } else { 1 });
    is_not_there(&command.namespaces(USER).map_root_user().exec());
    assert_eq!(dumpable(), if capable { 0 } else { 1 });
    let text = fs::read_to_string("/proc/self/uid_map").expect("a map");
    assert_eq!(plain(&text), format!("0 {user} 1"));
}

/// Who has few capabilities writes its maps while it is open, and is closed again.
pub(crate) fn exec_with_few_capabilities() {
    assert!(!is_root());
    set_dumpable();
    is_not_there(&executes_nothing(0).namespaces(USER).map_root_user().exec());
    assert_eq!(dumpable(), 0);
    let text = fs::read_to_string("/proc/self/uid_map").expect("a map");
    assert_eq!(plain(&text), format!("0 {ANN} 1"));
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
