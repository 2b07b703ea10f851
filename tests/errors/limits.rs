//! Limits of namespaces, and of the process.

use crate::device::*;

pub(crate) fn limits() {
    for kind in NamespaceKind::ALL {
        let file = format!("/proc/sys/user/max_{kind}_namespaces");
        let before = fs::read_to_string(&file).expect("a limit");
        fs::write(&file, "0").expect("the limit is this namespace's own");
        let message = |set: Namespaces| {
            format!(
                "clone a process into new namespaces ({set}): No space left on device (os error 28): \
                 the limit on {kind} namespaces is reached: raise the sysctl user.max_{kind}_namespaces, \
                 here or in the user namespace around this one"
            )
        };
        let cause = Some(Cause::Limit(kind));
        for set in [kind.flag(), (ALL - Namespaces::USER) | kind.flag()] {
            let mut command = missing();
            command.namespaces(set);
            fails(&mut command, Step::Clone(set), libc::ENOSPC, cause.clone(), &message(set));
            let mut command = copied(command);
            fails(&mut command, Step::Clone(set), libc::ENOSPC, cause.clone(), &message(set));
        }
        fs::write(&file, before).expect("the limit is this namespace's own");
    }
    only_exec_fails(missing().namespaces(ALL));
}

pub(crate) fn nested_users() {
    let first = fs::read_link("/proc/self/ns/user").expect("the own namespace");
    let mut depth = 0;
    let deepest = loop {
        // SAFETY: asks for numbers.
        let (uid, gid) = (unsafe { libc::geteuid() }, own_gid());
        match unshare(Namespaces::USER) {
            Ok(()) => {
                depth += 1;
                let write = |name: &str, text: String| {
                    fs::write(format!("/proc/self/{name}"), text).expect("a map of the own id");
                };
                write("setgroups", "deny".to_owned());
                write("uid_map", format!("{uid} {uid} 1"));
                write("gid_map", format!("{gid} {gid} 1"));
            }
            Err(error) => break error,
        }
    };
    assert_eq!(deepest.raw_os_error(), Some(libc::ENOSPC), "{deepest}");
    // The one that the kernel starts with has this inode everywhere.
    let from_the_first = first.as_os_str() == "user:[4026531837]";
    assert!(depth == 33 || (depth < 33 && !from_the_first), "{depth} below {first:?}");
    let message = "clone a process into new namespaces (user): No space left on device (os error 28): \
                   the kernel nests user namespaces 33 deep at most: create this one further out; or the limit \
                   user.max_user_namespaces of a user namespace around this one is reached: raise it there";
    let cause = Some(Cause::Nesting(NamespaceKind::User));
    let step = Step::Clone(Namespaces::USER);
    fails(missing().namespaces(Namespaces::USER), step, libc::ENOSPC, cause, message);
    only_exec_fails(missing().namespaces(ALL - Namespaces::USER));
}

pub(crate) fn own_gid() -> u32 {
    // SAFETY: asks for a number.
    unsafe { libc::getegid() }
}

/// Runs itself in one more, until there can be no more.
pub(crate) fn nested_pids() {
    let mut deeper = Command::new(env::current_exe().expect("the path of this test"));
    deeper.env("LINUX_NAMESPACES_CASE", "nested pids").namespaces(Namespaces::PID);
    match deeper.output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}\n{text}", output.status);
        }
        Err(_) => {
            let message = "clone a process into new namespaces (pid): No space left on device (os error 28): \
                           the kernel nests pid namespaces 32 deep at most: create this one further out; or the limit \
                           user.max_pid_namespaces of a user namespace around this one is reached: raise it there";
            let cause = Some(Cause::Nesting(NamespaceKind::Pid));
            let step = Step::Clone(Namespaces::PID);
            fails(missing().namespaces(Namespaces::PID), step, libc::ENOSPC, cause, message);
        }
    }
}

/// Whatever number of descriptors is left: too few is an error, and leaves nothing.
pub(crate) fn few_descriptors() {
    let set = Namespaces::USER | Namespaces::PID | Namespaces::MOUNT | Namespaces::NET;
    let mut command = missing();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).namespaces(set);
    let first = lowest_free_number();
    let mut steps = Vec::new();
    for free in 0..20 {
        let error =
            leaves_nothing(|| refusal_under(libc::RLIMIT_NOFILE, first + free, &mut command));
        if error.raw_os_error() == Some(libc::ENOENT) {
            assert_eq!(error.to_string(), NOT_THERE);
            assert!(free >= 7, "three pipes and a pidfd take more than {free}");
            assert!(steps.contains(&Step::Fd(2)), "{steps:?}");
            assert!(steps.contains(&Step::Clone(set)), "{steps:?}");
            return;
        }
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
        steps.push(error.step().clone());
    }
    panic!("20 descriptors are not enough: {steps:?}");
}

pub(crate) fn no_descriptors() {
    let none = lowest_free_number();
    let under = |command: &mut Command| {
        leaves_nothing(|| refusal_under(libc::RLIMIT_NOFILE, none, command))
    };
    let full = "Too many open files (os error 24)";
    let mut stdin = missing();
    stdin.stdin(Stdio::piped());
    let message = format!("pass descriptor 0 (a pipe): {full}");
    says(&under(&mut stdin), Step::Fd(0), libc::EMFILE, None, &message);
    let mut stderr = missing();
    stderr.stderr(Stdio::piped());
    let message = format!("pass descriptor 2 (a pipe): {full}");
    says(&under(&mut stderr), Step::Fd(2), libc::EMFILE, None, &message);
    let mut null = missing();
    null.stdout(Stdio::null());
    let message = format!("open /dev/null: {full}");
    says(&under(&mut null), Step::Open("/dev/null".into()), libc::EMFILE, None, &message);
    let message = format!("clone a process: {full}");
    let step = Step::Clone(Namespaces::empty());
    says(&under(&mut missing()), step.clone(), libc::EMFILE, None, &message);
    says(&under(&mut copied(missing())), step, libc::EMFILE, None, &message);
    // Setters cannot fail, so a handle that cannot be duplicated fails the spawn.
    let net = Namespace::current(NamespaceKind::Net).expect("the own namespace");
    let mut command = missing();
    let before = limit(libc::RLIMIT_NOFILE, lowest_free_number());
    command.enter(&net);
    limit(libc::RLIMIT_NOFILE, before);
    let message = format!("inspect {}: {full}", id(&net));
    fails(&mut command, Step::Inspect, libc::EMFILE, None, &message);
}

pub(crate) fn number_above_the_limit() {
    limit(libc::RLIMIT_NOFILE, 64);
    for target in [64, 5000, i32::MAX] {
        let mut command = missing();
        command.fd(target, null());
        for mut command in [copied(changed(|command| command.fd(target, null()))), command] {
            let error = leaves_nothing(|| refusal(&mut command));
            assert_eq!(error.step(), &Step::Fd(target));
            assert_eq!(error.raw_os_error(), Some(libc::EBADF));
            let message = error.to_string();
            let start = format!("pass descriptor {target}: Bad file descriptor (os error 9)");
            assert!(message.starts_with(&start), "{message}");
            // What is bad is not the descriptor that was given.
            assert!(message.contains("RLIMIT_NOFILE"), "no word of the limit: {message}");
        }
    }
    let mut highest = missing();
    highest.fd(63, null());
    only_exec_fails(&mut highest);
}

pub(crate) fn swap_below_the_limit() {
    limit(libc::RLIMIT_NOFILE, 64);
    let place = |number: RawFd| {
        let file = null();
        // SAFETY: duplicates an open descriptor to a number that is free.
        let fd = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, number) };
        assert_eq!(fd, number);
        // SAFETY: new, and nobody else's.
        unsafe { OwnedFd::from_raw_fd(fd) }
    };
    let mut command = missing();
    let (a, b) = (place(62), place(63));
    // Both numbers may be had, so the program can have them the other way round.
    command.fd(63, a).fd(62, b);
    only_exec_fails(&mut command);
    only_exec_fails(&mut copied(command));
}

pub(crate) fn no_more_processes() {
    // Root is above this limit.
    become_ordinary();
    limit(libc::RLIMIT_NPROC, 0);
    let message = "clone a process: Resource temporarily unavailable (os error 11): the limit on processes is reached: \
                   that of the user (RLIMIT_NPROC), or of a cgroup (pids.max)";
    let step = Step::Clone(Namespaces::empty());
    fails(&mut missing(), step.clone(), libc::EAGAIN, None, message);
    fails(&mut copied(missing()), step, libc::EAGAIN, None, message);
    let mut piped = missing();
    piped.stdin(Stdio::piped()).namespaces(Namespaces::USER);
    let message = "clone a process into new namespaces (user): Resource temporarily unavailable (os error 11): the limit \
                   on processes is reached: that of the user (RLIMIT_NPROC), or of a cgroup (pids.max)";
    fails(&mut piped, Step::Clone(Namespaces::USER), libc::EAGAIN, None, message);
}

pub(crate) fn no_memory() {
    // Room for the small things in between.
    drop(vec![1u8; 100_000]);
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let size = field("VmSize", &status).trim_end_matches(" kB").parse::<u64>().expect("a size");
    let before = Traces::now();
    // The thread has no stack for children yet, and can have none.
    for _ in 0..TIMES {
        for mut command in [missing(), copied(missing())] {
            let error = refusal_under(libc::RLIMIT_AS, size * 1024, &mut command);
            let message = "clone a process: Cannot allocate memory (os error 12)";
            says(&error, Step::Clone(Namespaces::empty()), libc::ENOMEM, None, message);
            keeps_the_laws(&error);
        }
    }
    assert_eq!(Traces::now(), before);
    only_exec_fails(&mut missing());
}
