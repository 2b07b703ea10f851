//! `exec`, each in a process of its own.

use crate::device::*;
use crate::ids::{SHOW_GROUP, status_text};

/// Runs a case that turns into a program, and gives how that ended.
#[track_caller]
pub(crate) fn execed(name: &str) -> Output {
    same(|api| api.case(name).output().expect("a case can be started"))
}

pub(crate) fn exec_case() {
    println!("before");
    let mut command = Api::of_this_case().sh("echo $$ $0 $1; exit 5");
    let error = command.args(["a", "b"]).exec();
    panic!("still here: {error:?}");
}

pub(crate) fn exec_replaces_the_process() {
    let status = same(|api| {
        let mut command = api.case("exec");
        let child = command.stdout(StdStdio::piped()).spawn().expect("a case can be started");
        let expected = format!("before\n{} a b\n", child.id());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(String::from_utf8(output.stdout).expect("text"), expected);
        output.status
    });
    assert_eq!(status.code(), Some(5));
}

pub(crate) fn exec_settings_case() {
    let mut command = Api::of_this_case().command("sh");
    command.args(["-c", "echo $0 $K \"<$LINUX_NAMESPACES_CASE>\"; pwd"]).arg0("zero").env("K", "v");
    let error = command.env_remove("LINUX_NAMESPACES_CASE").current_dir("/").exec();
    panic!("still here: {error:?}");
}

pub(crate) fn exec_cleared_case() {
    let error = Api::of_this_case().command("env").env_clear().env("ONLY", "this").exec();
    panic!("still here: {error:?}");
}

pub(crate) fn exec_with_environment_name_and_directory() {
    assert_eq!(said(&execed("exec settings")), "zero v <>\n/\n");
    assert_eq!(said(&execed("exec cleared")), "ONLY=this\n");
}

pub(crate) fn exec_files_case() {
    let mut input = tempfile::tempfile().expect("a file");
    input.write_all(b"from a file\n").expect("a file");
    io::Seek::rewind(&mut input).expect("a file");
    // SAFETY: makes a new descriptor.
    let out = unsafe { libc::dup(1) };
    // SAFETY: it was just made, and nothing else owns it.
    let out = unsafe { File::from_raw_fd(out) };
    let mut command = Api::of_this_case().sh("cat; echo to standard error >&2; echo lost");
    let error = command.stdin(input).stderr(out).stdout(To::Null).exec();
    panic!("still here: {error:?}");
}

pub(crate) fn exec_piped_case() {
    let which = std::env::var("STD_PARITY_PIPED").expect("a stream");
    let mut command = Api::of_this_case().sh("cat; echo out; echo err >&2; exit 8");
    match &*which {
        "stdin" => command.stdin(To::Piped),
        "stdout" => command.stdout(To::Piped),
        _ => command.stdin(To::Piped).stdout(To::Piped).stderr(To::Piped),
    };
    let error = command.exec();
    panic!("still here: {error:?}");
}

pub(crate) fn exec_with_streams() {
    let output = execed("exec files");
    // Both ends of it are this test's one pipe, though it is the program's standard error.
    assert_eq!(output.stdout, b"to standard error\n");
    let piped = |which: &str| {
        same(|api| {
            let mut command = api.case("exec piped");
            command.env("STD_PARITY_PIPED", which).output().expect("a case can be started")
        })
    };
    // The other ends went with the caller: nothing to read, and nobody to write for.
    let output = piped("stdin");
    assert_eq!((output.status.code(), &*output.stdout), (Some(8), &b"out\n"[..]));
    assert_eq!(piped("stdout").status.signal(), Some(libc::SIGPIPE));
    piped("all");
}

pub(crate) fn exec_fails_case() {
    let api = Api::of_this_case();
    let programs = Programs::new();
    println!("{:?}", api.command("/no/such/program").exec());
    println!("{:?}", api.command("no-such-program-anywhere").exec());
    println!("{:?}", api.command(programs.path("data")).exec());
    println!("{:?}", api.command("tool").env("PATH", "/no/such").exec());
    println!("{:?}", api.command("true").arg("\0").exec());
    let mut command = api.command("true");
    // SAFETY: makes an error without memory for it.
    unsafe { command.pre_exec(|| Err(io::Error::from_raw_os_error(libc::EDOM))) };
    println!("{:?}", command.exec());
    println!("{:?}", api.command("true").current_dir("/no/such").exec());
    println!("{:?}", api.command("true").process_group(i32::MAX).exec());
    // All streams and the environment are as they were.
    eprintln!("err");
    println!("in {:?}", read_all(io::stdin()));
    println!("{:?}", std::env::var_os("PATH") == Some("/no/such".into()));
    print!("{}", said(&api.command("echo").arg("spawned").output().expect("it is spawned")));
    let error = api.command("echo").arg("in its place").exec();
    panic!("still here: {error:?}");
}

pub(crate) fn exec_that_fails_leaves_the_process_running() {
    let output = same(|api| {
        let (reader, mut writer) = pipe();
        writer.write_all(b"input").expect("room in the pipe");
        drop(writer);
        api.case("exec fails").stdin(reader).output().expect("a case can be started")
    });
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stderr, b"err\n");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.starts_with(&format!("{:?}\n", errno(libc::ENOENT))), "{text}");
    assert!(text.ends_with("in \"input\"\nfalse\nspawned\nin its place\n"), "{text}");
}

/// More than std promises, which may leave them changed.
pub(crate) fn exec_fails_redirected_case() {
    let mut file = tempfile::tempfile().expect("a file");
    let mut command = Command::new("/no/such/program");
    command.stdin(Stdio::null()).stdout(file.try_clone().expect("a descriptor"));
    let error = command.stderr(Stdio::null()).exec();
    assert_eq!((error.kind(), error.raw_os_error()), errno(libc::ENOENT));
    println!("still standard output");
    eprintln!("still standard error");
    io::Seek::rewind(&mut file).expect("a file");
    assert_eq!(read_all(file), "");
}

pub(crate) fn exec_that_fails_puts_the_streams_back() {
    let output = case("exec fails redirected").output().expect("a case can be started");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"still standard output\n");
    assert_eq!(output.stderr, b"still standard error\n");
}

pub(crate) fn exec_hooks_case() {
    let mut command = status_text(Api::of_this_case());
    let set = set_of(&[libc::SIGTERM, libc::SIGUSR1]);
    // SAFETY: reads the set.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
    let hook = || {
        // SAFETY: reads the text.
        unsafe { libc::write(1, b"hook\n".as_ptr().cast(), 5) };
        // SAFETY: a disposition that is no handler.
        unsafe { libc::signal(libc::SIGUSR2, libc::SIG_IGN) };
        Ok(())
    };
    // SAFETY: system calls and nothing else.
    unsafe { command.pre_exec(hook) };
    let error = command.exec();
    panic!("still here: {error:?}");
}

pub(crate) fn exec_with_hooks_and_signals() {
    same(|api| {
        let output = api.case("exec hooks").output().expect("a case can be started");
        let text = said(&output).strip_prefix("hook\n").expect("the hook writes first");
        if api == Api::Ours {
            // With std what is blocked is inherited.
            assert_eq!(field("SigBlk", text), "0".repeat(16));
        }
        assert!(has_signal(text, "SigIgn", libc::SIGUSR2));
        assert!(!has_signal(text, "SigIgn", libc::SIGPIPE));
    });
}

pub(crate) fn exec_group_case() {
    let error = Api::of_this_case().sh(SHOW_GROUP).process_group(0).exec();
    panic!("still here: {error:?}");
}

pub(crate) fn exec_in_a_process_group() {
    same(|api| {
        let mut command = api.case("exec group");
        let child = command.stdout(StdStdio::piped()).spawn().expect("a case can be started");
        let expected = format!("{}\n", child.id());
        assert_eq!(said(&child.wait_with_output().expect("it ends")), expected);
    });
}

pub(crate) fn exec_ids_case() {
    let error = status_text(Api::of_this_case()).uid(1234).gid(1235).exec();
    panic!("still here: {error:?}");
}

pub(crate) fn exec_with_ids() {
    same(|api| {
        let output = api.case("exec ids").output().expect("a case can be started");
        let text = said(&output);
        assert_eq!(field("Uid", text), "1234\t1234\t1234\t1234");
        assert_eq!(field("Gid", text), "1235\t1235\t1235\t1235");
        assert_eq!(field("Groups", text), "");
    });
}
