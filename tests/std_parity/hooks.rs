//! `pre_exec`.

use crate::device::*;
use crate::ids::status_text;

pub(crate) fn hooks_run_in_order_before_the_program() {
    both_say("first second program\n", |api| {
        let mut command = api.command("echo");
        let write = |text: &'static [u8]| {
            move || {
                // SAFETY: reads the text; 1 is the program's standard output by then.
                let written = unsafe { libc::write(1, text.as_ptr().cast(), text.len()) };
                if written < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
            }
        };
        // SAFETY: write(2) and nothing else.
        unsafe { command.pre_exec(write(b"first ")) };
        // SAFETY: the same.
        unsafe { command.pre_exec(write(b"second ")) };
        command.arg("program").output()
    });
}

pub(crate) fn the_error_of_a_hook_is_that_of_the_spawn() {
    fn failing(api: Api, error: fn() -> io::Error) -> Result<Output, Failure> {
        let mut command = api.command("true");
        // SAFETY: makes an error without memory for it.
        unsafe { command.pre_exec(move || Err(error())) };
        command.output()
    }
    for number in [libc::EPERM, libc::ENOENT, libc::EAGAIN, libc::EINTR, 133] {
        let run = |api: Api| {
            let mut command = api.command("true");
            // SAFETY: makes an error without memory for it.
            unsafe { command.pre_exec(move || Err(io::Error::from_raw_os_error(number))) };
            command.output()
        };
        let (std, ours) = (run(Api::Std), run(Api::Ours));
        assert_eq!(ours, std);
        assert_eq!(std, Err(errno(number)));
    }
    both_fail(errno(libc::EINVAL), |api| failing(api, || io::ErrorKind::Other.into()));
    both_fail(errno(libc::EINVAL), |api| failing(api, || io::ErrorKind::NotFound.into()));
}

pub(crate) fn a_hook_that_fails_is_the_last_one() {
    let text = same(|api| {
        let (reader, mut writer) = pipe();
        let mut command = api.command("true");
        // SAFETY: makes an error without memory for it.
        unsafe { command.pre_exec(|| Err(io::Error::from_raw_os_error(libc::EIO))) };
        // SAFETY: write(2) and nothing else.
        unsafe { command.pre_exec(move || writer.write_all(b"ran on")) };
        assert_eq!(command.status(), Err(errno(libc::EIO)));
        drop(command);
        read_all(reader)
    });
    assert_eq!(text, "");
}

/// A hook runs on a copy: the caller's own state is not changed by it.
pub(crate) fn a_hook_runs_for_every_spawn_on_the_same_state() {
    let text = same(|api| {
        let (reader, mut writer) = pipe();
        let mut count = b'0';
        let mut command = api.command("true");
        let hook = move || {
            count += 1;
            writer.write_all(&[count])
        };
        // SAFETY: write(2) and a number.
        unsafe { command.pre_exec(hook) };
        for _ in 0..3 {
            assert!(command.status().expect("it is spawned").success());
        }
        drop(command);
        read_all(reader)
    });
    assert_eq!(text, "111");
}

pub(crate) fn a_hook_has_the_descriptors_it_owns_and_the_program_not() {
    let text = same(|api| {
        let (reader, mut writer) = pipe();
        let number = writer.as_raw_fd();
        let mut command = api.sh(&format!("[ -e /proc/self/fd/{number} ]"));
        // SAFETY: write(2) and nothing else.
        unsafe { command.pre_exec(move || writer.write_all(b"from the hook")) };
        let status = command.status();
        drop(command);
        (read_all(reader), status.expect("it is spawned").code())
    });
    assert_eq!(text, ("from the hook".to_owned(), Some(1)));
}

pub(crate) fn a_hook_can_pass_a_descriptor_on() {
    let pass = |command: &mut Cmd, file: File, to: Option<RawFd>| {
        let hook = move || {
            let from = file.as_raw_fd();
            let result = match to {
                // SAFETY: a number that is free in the child.
                Some(to) => unsafe { libc::dup2(from, to) },
                // SAFETY: a descriptor that the hook owns.
                None => unsafe { libc::fcntl(from, libc::F_SETFD, 0) },
            };
            if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
        };
        // SAFETY: a system call and nothing else.
        unsafe { command.pre_exec(hook) };
    };
    both_say("passed", |api| {
        let (reader, mut writer) = pipe();
        writer.write_all(b"passed").expect("room in the pipe");
        drop(writer);
        let mut command = api.sh("cat <&9");
        pass(&mut command, reader, Some(9));
        command.output()
    });
    both_say("passed", |api| {
        let (reader, mut writer) = pipe();
        writer.write_all(b"passed").expect("room in the pipe");
        drop(writer);
        let mut command = api.sh(&format!("cat /proc/self/fd/{}", reader.as_raw_fd()));
        pass(&mut command, reader, None);
        command.output()
    });
}

pub(crate) fn the_program_sees_what_a_hook_does_to_signals() {
    let status = |change: fn() -> io::Result<()>| {
        move |api: Api| {
            let mut command = status_text(api);
            // SAFETY: a system call and nothing else.
            unsafe { command.pre_exec(change) };
            let output = command.output().expect("it is spawned");
            let text = said(&output);
            let ignored =
                [libc::SIGUSR1, libc::SIGPIPE].map(|signal| has_signal(text, "SigIgn", signal));
            (ignored, field("SigBlk", text).to_owned())
        }
    };
    let unchanged = same(status(|| Ok(())));
    assert_eq!(unchanged, ([false, false], "0".repeat(16)));
    let ignoring = same(status(|| {
        for signal in [libc::SIGUSR1, libc::SIGPIPE] {
            // SAFETY: a disposition that is no handler.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
        Ok(())
    }));
    assert_eq!(ignoring, ([true, true], "0".repeat(16)));
    let blocking = same(status(|| {
        let set = set_of(&[libc::SIGUSR2]);
        // SAFETY: reads the set.
        unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
        Ok(())
    }));
    assert_eq!(blocking, ([false, false], format!("{:016x}", 1 << (libc::SIGUSR2 - 1))));
}

pub(crate) fn a_hook_comes_after_all_other_settings() {
    let dir = tempfile::tempdir().expect("a directory");
    let real = dir.path().canonicalize().expect("a path");
    let (uid, gid) = own_ids();
    let hook = || {
        let mut buffer = [0; 4096];
        // SAFETY: fills the buffer, of that length at most.
        let cwd = unsafe { libc::getcwd(buffer.as_mut_ptr(), buffer.len()) };
        if cwd.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: getcwd has left a text in the buffer.
        let length = unsafe { libc::strlen(cwd) };
        // SAFETY: reads that text.
        unsafe { libc::write(1, cwd.cast(), length) };
        // SAFETY: asks for numbers.
        let leads = unsafe { libc::getpgid(0) } == unsafe { libc::getpid() };
        if leads { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
    };
    both_say(&format!("{}{}\n", real.display(), real.display()), |api| {
        let mut command = api.sh("pwd -P");
        // SAFETY: system calls, and memory on the stack.
        unsafe { command.pre_exec(hook) };
        command.current_dir(dir.path()).process_group(0).uid(uid).gid(gid).output()
    });
}

pub(crate) fn the_program_keeps_what_else_a_hook_changes() {
    both_say("0027\n7\n", |api| {
        let mut command = api.sh("umask; ulimit -n");
        let hook = || {
            // SAFETY: a number.
            unsafe { libc::umask(0o027) };
            let limit = libc::rlimit { rlim_cur: 7, rlim_max: 7 };
            // SAFETY: reads the limit.
            let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
            if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
        };
        // SAFETY: system calls and nothing else.
        unsafe { command.pre_exec(hook) };
        command.output()
    });
    let setsid = || {
        // SAFETY: no arguments.
        if unsafe { libc::setsid() } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    both_say("its own\n", |api| {
        let mut command = api.sh("read pid name state parent group session rest < /proc/self/stat; [ $session = $$ ] && echo its own");
        // SAFETY: a system call and nothing else.
        unsafe { command.pre_exec(setsid) };
        command.output()
    });
    both_fail(errno(libc::EPERM), |api| {
        let mut command = api.command("true");
        // SAFETY: a system call and nothing else.
        unsafe { command.pre_exec(setsid) };
        command.process_group(0).output()
    });
}

/// The only thread of its process, where a hook may use what takes locks.
pub(crate) fn hook_environment_case() {
    let api = Api::of_this_case();
    let hook = || {
        // SAFETY: texts that stay; there was one thread when the copy was made, so that no lock is held.
        unsafe { libc::setenv(c"FROM_HOOK".as_ptr(), c"set".as_ptr(), 1) };
        Ok(())
    };
    for clear in [false, true] {
        let mut command = api.sh("echo hook: $FROM_HOOK");
        if clear {
            command.env_clear();
        }
        // SAFETY: as above.
        unsafe { command.pre_exec(hook) };
        print!("{}", said(&command.output().expect("it is spawned")));
    }
}

pub(crate) fn the_environment_as_a_hook_changes_it() {
    assert_eq!(same_in_case("hook environment"), "hook: set\nhook:\n");
}
