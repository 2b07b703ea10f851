//! Filters that answer in the kernel's place.

use crate::common;
use crate::device::*;

/// As root of a world. The child is killed in a step: the error says in which, on what, and how it ended.
pub(crate) fn killed_in_the_middle() {
    // Neither a file nor a handler of core files gets one of this size.
    limit(libc::RLIMIT_CORE, 1);
    let mut holder = holder(Namespaces::NET);
    let net = holder.namespace(NamespaceKind::Net).expect("a net namespace");
    let calls = [
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
        libc::SYS_mount,
        libc::SYS_chdir,
        libc::SYS_socket,
        libc::SYS_setpgid,
        libc::SYS_setresgid,
        libc::SYS_setns,
    ];
    filter(&calls, libc::SECCOMP_RET_KILL_PROCESS);
    let (uts, user) = (Namespaces::UTS, Namespaces::USER);
    let enter = format!("enter the net namespace {}", id(&net));
    let entered = Step::Enter(NamespaceKind::Net);
    let mut failed = Vec::new();
    let mut test = |change: &dyn Fn(&mut Command) -> &mut Command, step: Step, start: &str| {
        for mut command in [changed(change), copied(changed(change))] {
            let error = leaves_nothing(|| refusal(&mut command));
            assert_eq!(error.step(), &step);
            assert_eq!(
                (error.raw_os_error(), error.kind()),
                (None, io::ErrorKind::Other),
                "{error}"
            );
            let message = error.to_string();
            assert!(message.contains("killed") || message.contains("SIGSYS"), "{message}");
            if !message.starts_with(&format!("{start}: ")) {
                failed.push(message);
            }
        }
    };
    let name = "set the hostname \"inner\"";
    test(&|it| it.namespaces(uts).hostname("inner"), Step::Hostname, name);
    let name = "set the domainname \"inner\"";
    test(&|it| it.namespaces(uts | user).domainname("inner"), Step::Domainname, name);
    let name = "set the propagation of all mounts";
    test(&|it| it.namespaces(Namespaces::MOUNT), Step::Propagation, name);
    let name = "change directory to /";
    test(&|it| it.current_dir("/"), Step::Chdir("/".into()), name);
    let name = "bring up the loopback interface lo";
    test(&|it| it.namespaces(Namespaces::NET | user), Step::Loopback, name);
    test(&|it| it.process_group(0), Step::ProcessGroup, "set the process group 0");
    test(&|it| it.gid(0), Step::Gid, "set the group id 0");
    test(&|it| it.enter(&net), entered.clone(), &enter);
    // Here it is a helper that is killed, before there is a process for the program.
    test(&|it| it.enter(&net).namespaces(Namespaces::PID), entered.clone(), &enter);
    test(&|it| it.enter(&net).namespaces(Namespaces::PID | user), entered, &enter);
    assert!(failed.is_empty(), "no word of what the step was done on: {failed:#?}");
    holder.wait().expect("cat has ended");
}

/// The older clone does the same.
pub(crate) fn clone3_answers(errno: i32) {
    let own: Vec<u64> = NamespaceKind::ALL.iter().map(|kind| inode(None, *kind)).collect();
    answer(&[libc::SYS_clone3], errno);
    let singles = NamespaceKind::ALL.into_iter().map(|kind| with_user(kind.flag()));
    for set in singles.chain([ALL, with_user(ALL - Namespaces::USER)]) {
        for copy in [false, true] {
            let mut command = Command::new("cat");
            command.stdin(Stdio::piped()).stdout(Stdio::null()).namespaces(set);
            let mut command = if copy { copied(command) } else { command };
            let mut child = command.spawn().unwrap_or_else(|error| panic!("{set}: {error}"));
            for (kind, own) in NamespaceKind::ALL.into_iter().zip(&own) {
                let new = inode(Some(child.id()), kind) != *own;
                assert_eq!(new, set.contains(kind.flag()), "{kind} of {set}, copy: {copy}");
            }
            assert!(child.wait().expect("cat has ended").success());
            let mut command = missing();
            command.namespaces(set);
            only_exec_fails(&mut command);
            only_exec_fails(&mut copied(command));
        }
    }
    only_exec_fails(&mut missing());
    let mut holder = holder(ALL);
    let mut entering = missing();
    entering.enter_process(holder.pidfd(), ALL).namespaces(Namespaces::PID);
    only_exec_fails(&mut entering);
    holder.wait().expect("cat has ended");
    assert_eq!(Command::from_fn(|| 7).status().expect("it runs").code(), Some(7));
    let mut function = Command::from_fn(|| 7);
    function.namespaces(with_user(ALL - Namespaces::TIME));
    assert_eq!(function.status().expect("it runs").code(), Some(7));
    // Errors of the steps are told as ever.
    let message = "change directory to /no/such/directory: No such file or directory (os error 2)";
    let step = Step::Chdir("/no/such/directory".into());
    fails(missing().current_dir("/no/such/directory"), step, libc::ENOENT, None, message);
}

pub(crate) fn inode(process: Option<u32>, kind: NamespaceKind) -> u64 {
    let process = process.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    common::inode(format!("/proc/{process}/ns/{kind}"))
}

pub(crate) fn other_calls_missing() {
    // A descriptor without close-on-exec is open in the caller, and must not be in the program.
    let open = null();
    // SAFETY: changes a flag of a descriptor that is open.
    assert_eq!(unsafe { libc::fcntl(open.as_raw_fd(), libc::F_SETFD, 0) }, 0);
    let calls = [libc::SYS_clone3, libc::SYS_close_range, libc::SYS_pidfd_open];
    answer(&calls, libc::ENOSYS);
    for set in [Namespaces::empty(), with_user(ALL)] {
        for copy in [false, true] {
            let mut command = Command::new("ls");
            command.arg("/proc/self/fd").namespaces(set);
            let mut command = if copy { copied(command) } else { command };
            // The fourth is the directory that is listed.
            assert_eq!(stdout_of(&mut command), "0\n1\n2\n3", "{set}, copy: {copy}");
            let mut command = missing();
            command.namespaces(set).fd(9, null());
            only_exec_fails(&mut command);
            only_exec_fails(&mut copied(command));
        }
    }
}

pub(crate) fn filter_of_a_container() {
    filter_new_namespaces();
    let mut refused = vec![Namespaces::USER, ALL - Namespaces::TIME];
    if is_root() {
        refused.push(Namespaces::NET);
    }
    for set in refused {
        let message = format!(
            "clone a process into new namespaces ({set}): Operation not permitted (os error 1): {FILTERED}"
        );
        let mut command = missing();
        command.namespaces(set);
        let cause = Some(Cause::Seccomp);
        fails(&mut command, Step::Clone(set), libc::EPERM, cause.clone(), &message);
        fails(&mut copied(command), Step::Clone(set), libc::EPERM, cause, &message);
    }
    only_exec_fails(&mut missing());
}

pub(crate) fn filter_of_hostnames() {
    // In its own user namespace the child has every capability, so it is none of those that is missing.
    answer(&[libc::SYS_sethostname], libc::EPERM);
    let mut command = missing();
    command.namespaces(Namespaces::USER | Namespaces::UTS).hostname("inner");
    let message =
        format!("set the hostname \"inner\": Operation not permitted (os error 1): {FILTERED}");
    fails(&mut command, Step::Hostname, libc::EPERM, Some(Cause::Seccomp), &message);
}

/// prctl(2) with this option. The option is the low half of the first argument.
fn answer_prctl(option: i32, action: u32) {
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let first = if cfg!(target_endian = "big") { 20 } else { 16 };
    install(vec![
        statement(load, 0, 0, 0),
        statement(equal, libc::SYS_prctl as u32, 0, 3),
        statement(load, first, 0, 0),
        statement(equal, option as u32, 0, 1),
        statement(libc::BPF_RET, action, 0, 0),
    ]);
}

const AWAITS: &str = "set the parent-death signal SIGKILL for the wait for the id maps: ";

/// A child that waits for its maps is not to outlive the caller. What that takes is no map.
pub(crate) fn filter_of_parent_death() {
    answer_prctl(libc::PR_SET_PDEATHSIG, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
    let cause = Some(Cause::Seccomp);
    let message = format!("{AWAITS}Operation not permitted (os error 1): {FILTERED}");
    // A copy always waits; a child that shares the memory may find its maps written.
    let mut command = copied(missing());
    command.namespaces(Namespaces::USER);
    fails(&mut command, Step::ParentDeathSignal, libc::EPERM, cause.clone(), &message);
    let message =
        format!("set the parent-death signal 15: Operation not permitted (os error 1): {FILTERED}");
    let mut command = missing();
    command.parent_death_signal(libc::SIGTERM);
    fails(&mut command, Step::ParentDeathSignal, libc::EPERM, cause, &message);
    only_exec_fails(&mut missing());
}

/// A pidfd of the caller, by which its end is noticed, is not to be had in either way.
pub(crate) fn filter_of_own_pidfd() {
    answer(&[libc::SYS_pidfd_open, libc::SYS_getsockopt], libc::EPERM);
    let cause = Some(Cause::Seccomp);
    let message =
        format!("set the parent-death signal: Operation not permitted (os error 1): {FILTERED}");
    let mut command = missing();
    command.parent_death_signal(libc::SIGTERM);
    fails(&mut command, Step::ParentDeathSignal, libc::EPERM, cause.clone(), &message);
    let message = format!(
        "wait for process (a pidfd of the caller, to notice its end by): Operation not permitted (os error 1): {FILTERED}"
    );
    let error = leaves_nothing(|| missing().spawn_suspended().map(drop).expect_err("no pidfd"));
    says(&error, Step::Wait, libc::EPERM, cause, &message);
    only_exec_fails(&mut missing());
}

pub(crate) fn filter_that_kills_for_parent_death() {
    limit(libc::RLIMIT_CORE, 1);
    answer_prctl(libc::PR_SET_PDEATHSIG, libc::SECCOMP_RET_KILL_PROCESS);
    // A copy always waits; a child that shares the memory may find its maps written.
    let mut command = copied(missing());
    command.namespaces(Namespaces::USER);
    let error = leaves_nothing(|| refusal(&mut command));
    let message = error.to_string();
    assert!(message.starts_with(AWAITS) && message.contains("seccomp"), "{message}");
    assert_eq!((error.step(), error.cause()), (&Step::ParentDeathSignal, Some(&Cause::Seccomp)));
}

pub(crate) fn filter_of_no_new_privs() {
    answer_prctl(libc::PR_SET_NO_NEW_PRIVS, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
    let message = format!("set no_new_privs: Operation not permitted (os error 1): {FILTERED}");
    let mut command = missing();
    command.no_new_privs(true);
    fails(&mut command, Step::NoNewPrivs, libc::EPERM, Some(Cause::Seccomp), &message);
}

pub(crate) fn filter_and_function() {
    // Only clone3 puts a function into a new time namespace, and the kernel has it.
    answer(&[libc::SYS_clone3], libc::ENOSYS);
    let set = with_user(Namespaces::TIME);
    let mut command = Command::from_fn(|| 0);
    command.namespaces(set);
    let error = leaves_nothing(|| refusal(&mut command));
    assert_eq!((error.step(), error.raw_os_error()), (&Step::Clone(set), Some(libc::ENOSYS)));
    assert_eq!(error.cause(), Some(&Cause::Seccomp), "{error}");
}

pub(crate) fn filter_of_dispositions() {
    answer(&[libc::SYS_rt_sigaction], libc::EPERM);
    let error = leaves_nothing(|| refusal(&mut missing()));
    assert_eq!((error.step(), error.raw_os_error()), (&Step::Signal, Some(libc::EPERM)));
    assert!(!error.to_string().starts_with("send signal"), "none is sent: {error}");
    assert_eq!(error.cause(), Some(&Cause::Seccomp), "{error}");
}
