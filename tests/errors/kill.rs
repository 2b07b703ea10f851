//! Filters that refuse pidfd_send_signal(2): what is to end does so by other means, and nobody waits for ever.

use std::os::unix::process::ExitStatusExt as _;

use crate::device::*;

/// As root of a world in which only 0 is mapped.
pub(crate) fn ends_without_the_call(errno: i32) {
    let mut holder = holder(Namespaces::NET);
    answer(&[libc::SYS_pidfd_send_signal], errno);
    nothing_runs_without_its_maps();
    children_are_killed();
    waiting_ones_are_killed();
    orphans_of_a_spawn_are_killed(&holder);
    holder.wait().expect("cat has ended");
}

/// A child without its maps ends where it waits for them.
fn nothing_runs_without_its_maps() {
    let directory = directory();
    let trace = directory.path().join("ran");
    let mut command = Command::new("touch");
    command.arg(&trace);
    let mut other = Command::new("touch");
    other.arg(&trace);
    for mut command in [command, copied(other)] {
        command.namespaces(Namespaces::USER).uid_map([range(0, 0, 2)]);
        let error = leaves_nothing(|| refusal(&mut command));
        assert_eq!((error.step(), error.raw_os_error()), (&Step::UidMap, Some(libc::EPERM)));
        let error = leaves_nothing(|| command.spawn_suspended().map(drop).expect_err("no maps"));
        assert_eq!((error.step(), error.raw_os_error()), (&Step::UidMap, Some(libc::EPERM)));
        assert!(!trace.exists(), "it ran with nothing mapped");
    }
}

fn children_are_killed() {
    let before = Traces::now();
    for set in [Namespaces::empty(), with_user(Namespaces::PID)] {
        let mut child = holder(set);
        child.kill().expect("killed");
        assert_eq!(child.wait().expect("its end").signal(), Some(libc::SIGKILL));
        child.kill().expect("one that has ended is no error");
        drop(child);

        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).namespaces(set).kill_on_drop(true);
        let mut child = command.spawn().expect("cat");
        let stdin = child.stdin.take();
        drop(child);
        drop(stdin);
        assert_eq!(Traces::now(), before, "{set}");
    }
}

/// The end of its pipe would end it, if a copy of this process had not the pipe open as well.
fn waiting_ones_are_killed() {
    let before = Traces::now();
    for mut command in [missing(), copied(missing())] {
        let waiting = command.spawn_suspended().expect("it waits");
        // SAFETY: the copy makes one system call, until it is killed.
        let copy = unsafe { libc::fork() };
        if copy == 0 {
            loop {
                // SAFETY: takes nothing.
                unsafe { libc::pause() };
            }
        }
        drop(waiting);
        // SAFETY: the number of a child that nobody has waited for.
        assert_eq!(unsafe { libc::kill(copy, libc::SIGKILL) }, 0);
        // SAFETY: no status is asked for.
        assert_eq!(unsafe { libc::waitpid(copy, ptr::null_mut(), 0) }, copy);
        assert_eq!(Traces::now(), before);
    }
}

/// The process before it is killed while the program's own is still being set up, and does not end by itself.
fn orphans_of_a_spawn_are_killed(holder: &Child) {
    let net = holder.namespace(NamespaceKind::Net).expect("a net namespace");
    let (caller, old) = (std::process::id(), holder.id());
    let hook = move || {
        let own = fs::read_link("/proc/self")?;
        for process in fs::read_dir("/proc")?.flatten() {
            let Ok(number) = process.file_name().to_string_lossy().parse::<u32>() else { continue };
            let Ok(status) = fs::read_to_string(process.path().join("status")) else { continue };
            let is_child = field("PPid", &status) == caller.to_string();
            if is_child && number != old && process.file_name() != own {
                // SAFETY: the process that has cloned this one for the caller.
                unsafe { libc::kill(number as i32, libc::SIGKILL) };
            }
        }
        loop {
            // SAFETY: takes nothing.
            unsafe { libc::pause() };
        }
    };
    let mut command = missing();
    command.enter(&net).namespaces(Namespaces::UTS);
    // SAFETY: only this thread of the caller allocates.
    unsafe { command.pre_exec(hook) };
    let before = Traces::now();
    let error = refusal(&mut command);
    assert!(error.to_string().contains("SIGKILL"), "{error}");
    assert_eq!(Traces::now(), before, "left behind by: {error}");
}
