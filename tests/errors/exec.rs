//! Programs that cannot be executed, and directories that cannot be entered.

use crate::device::*;

pub(crate) fn program_is_missing() {
    only_exec_fails(&mut missing());
    only_exec_fails(&mut copied(missing()));
    only_exec_fails(missing().inherit_fds(true));
    only_exec_fails(missing().process_group(0).current_dir("/").env("X", "y"));
    let mut piped = missing();
    piped.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    only_exec_fails(&mut piped);
    only_exec_fails(&mut copied(piped));
    let error = leaves_nothing(|| missing().output().expect_err("it is missing"));
    assert_eq!(error.to_string(), NOT_THERE);
    let error = leaves_nothing(|| missing().status().expect_err("it is missing"));
    assert_eq!(error.to_string(), NOT_THERE);
    let directory = directory();
    fails(
        Command::new("./here").current_dir(directory.path()),
        Step::Exec("./here".into()),
        libc::ENOENT,
        None,
        "execute ./here: No such file or directory (os error 2)",
    );
}

pub(crate) fn program_is_missing_in_path() {
    let name = "no-such-program-anywhere";
    let message = "execute no-such-program-anywhere: No such file or directory (os error 2)";
    // Not the caller's own: in that there may be directories which are closed to it.
    let mut command = Command::new(name);
    command.env("PATH", "/bin:/no/such/directory:/usr/bin");
    fails(&mut command, Step::Exec(name.into()), libc::ENOENT, None, message);
    fails(command.env_remove("PATH"), Step::Exec(name.into()), libc::ENOENT, None, message);
    let directory = directory();
    let mut elsewhere = Command::new("sh");
    elsewhere.env("PATH", directory.path());
    let message = "execute sh: No such file or directory (os error 2)";
    fails(&mut elsewhere, Step::Exec("sh".into()), libc::ENOENT, None, message);
    // It was found once, if not to be executed: that says more than that the other directories do not have it.
    file(&directory, "found", b"", 0o644);
    let mut found = Command::new("found");
    found.env("PATH", format!("/no/such/directory:{}:/bin", directory.path().display()));
    let message = format!("execute found: Permission denied (os error 13): {NOT_EXECUTABLE}");
    fails(&mut found, Step::Exec("found".into()), libc::EACCES, None, &message);
}

pub(crate) fn program_is_not_executable() {
    let directory = directory();
    let path = file(&directory, "plain", b"#!/bin/sh\n", 0o644);
    let message =
        format!("execute {}: Permission denied (os error 13): {NOT_EXECUTABLE}", path.display());
    fails(&mut Command::new(&path), Step::Exec(path), libc::EACCES, None, &message);
}

pub(crate) fn program_is_a_directory() {
    let message = "execute /: Permission denied (os error 13): it is a directory";
    fails(&mut Command::new("/"), Step::Exec("/".into()), libc::EACCES, None, message);
}

pub(crate) fn program_is_no_program() {
    let directory = directory();
    for content in [&b"exit 0\n"[..], b"", b"\x7fELF"] {
        let path = file(&directory, "text", content, 0o755);
        let message =
            format!("execute {}: Exec format error (os error 8): {NO_FORMAT}", path.display());
        fails(&mut Command::new(&path), Step::Exec(path), libc::ENOEXEC, None, &message);
    }
}

pub(crate) fn program_has_no_interpreter() {
    let directory = directory();
    let script = b"#! /no/such/interpreter -e\nexit 0\n";
    let path = file(&directory, "script", script, 0o755);
    let message = format!(
        "execute {}: No such file or directory (os error 2): the file is there, but /no/such/interpreter, \
         which its first line names to run it, is not",
        path.display()
    );
    fails(&mut Command::new(&path), Step::Exec(path), libc::ENOENT, None, &message);
}

pub(crate) fn program_has_no_loader() {
    let directory = directory();
    // A header as this program's own, and one segment: the name of a loader.
    let own = fs::read(env::current_exe().expect("the path of this test")).expect("itself");
    let wide = size_of::<usize>() == 8;
    let (header, segment, offset_at, count_at) =
        if wide { (64, 56, 32, 56) } else { (52, 32, 28, 44) };
    let loader = b"/no/such/loader\0";
    let (interpreter, readable) = (3u32.to_ne_bytes(), 4u32.to_ne_bytes());
    let place = usize::to_ne_bytes(header + segment);
    let length = usize::to_ne_bytes(loader.len());
    let (nowhere, one) = (usize::to_ne_bytes(0), usize::to_ne_bytes(1));
    let start = if wide { [&interpreter[..], &readable] } else { [&interpreter[..], &[]] };
    let end = if wide { [&one[..], &[]] } else { [&readable[..], &one[..]] };
    let fields: [&[u8]; 5] = [&place, &nowhere, &nowhere, &length, &length];
    let mut program = own[..header].to_vec();
    program[offset_at..offset_at + size_of::<usize>()].copy_from_slice(&usize::to_ne_bytes(header));
    program[count_at..count_at + 2].copy_from_slice(&1u16.to_ne_bytes());
    program.extend([start.concat(), fields.concat(), end.concat(), loader.to_vec()].concat());
    let path = file(&directory, "program", &program, 0o755);
    let message = format!(
        "execute {}: No such file or directory (os error 2): the file is there, but the loader that runs it \
         (its ELF interpreter) is not",
        path.display()
    );
    fails(&mut Command::new(&path), Step::Exec(path), libc::ENOENT, None, &message);
}

pub(crate) fn program_has_a_path_that_leads_nowhere() {
    let directory = directory();
    let round = directory.path().join("round");
    std::os::unix::fs::symlink("round", &round).expect("a link");
    let long = PathBuf::from(format!("/{}", "x".repeat(300)));
    for (path, errno, text) in [
        (PathBuf::from("/dev/null/x"), libc::ENOTDIR, "Not a directory (os error 20)"),
        (round, libc::ELOOP, "Too many levels of symbolic links (os error 40)"),
        (long, libc::ENAMETOOLONG, "File name too long (os error 36)"),
    ] {
        let message = format!("execute {}: {text}", path.display());
        fails(&mut Command::new(&path), Step::Exec(path), errno, None, &message);
    }
}

pub(crate) fn program_is_being_written() {
    let directory = directory();
    let path = file(&directory, "program", b"#!/bin/sh\n", 0o755);
    let writer = File::options().append(true).open(&path).expect("a writer");
    let message = format!("execute {}: Text file busy (os error 26)", path.display());
    fails(&mut Command::new(&path), Step::Exec(path), libc::ETXTBSY, None, &message);
    drop(writer);
}

pub(crate) fn argument_is_too_long() {
    let mut command = Command::new("/bin/sh");
    command.arg("x".repeat(200_000));
    let message = "execute /bin/sh: Argument list too long (os error 7)";
    fails(&mut command, Step::Exec("/bin/sh".into()), libc::E2BIG, None, message);
    let mut command = Command::new("/bin/sh");
    command.env("X", "x".repeat(200_000));
    fails(&mut command, Step::Exec("/bin/sh".into()), libc::E2BIG, None, message);
}

pub(crate) fn names_are_shown_on_one_line() {
    // A program may be named by somebody else, and a line of a log is one message.
    let program = Path::new("/no/such\nprogram");
    let error = refusal(&mut Command::new(program));
    assert_eq!(error.step(), &Step::Exec(program.into()));
    keeps_the_laws(&error);
    let error = refusal(missing().current_dir(program));
    assert_eq!(error.step(), &Step::Chdir(program.into()));
    keeps_the_laws(&error);
}

pub(crate) fn an_empty_name_is_shown() {
    let error = leaves_nothing(|| refusal(&mut Command::new("")));
    assert_eq!(error.to_string(), "execute \"\": No such file or directory (os error 2)");
    let error = leaves_nothing(|| refusal(missing().current_dir("")));
    assert_eq!(
        error.to_string(),
        "change directory to \"\": No such file or directory (os error 2)"
    );
}

pub(crate) fn directory_is_missing() {
    let step = |path: &str| Step::Chdir(path.into());
    let path = "/no/such/directory";
    let message = "change directory to /no/such/directory: No such file or directory (os error 2)";
    fails(missing().current_dir(path), step(path), libc::ENOENT, None, message);
    fails(copied(missing()).current_dir(path), step(path), libc::ENOENT, None, message);
    let path = "/dev/null";
    let message = "change directory to /dev/null: Not a directory (os error 20)";
    fails(missing().current_dir(path), step(path), libc::ENOTDIR, None, message);
}

pub(crate) fn directory_may_not_be_entered() {
    become_ordinary();
    let closed = directory();
    let path = closed.path().join("closed");
    fs::create_dir(&path).expect("a directory");
    fs::set_permissions(&path, Permissions::from_mode(0o000)).expect("its mode");
    let message =
        format!("change directory to {}: Permission denied (os error 13)", path.display());
    let step = Step::Chdir(path.clone());
    fails(missing().current_dir(&path), step, libc::EACCES, None, &message);
    // Nor could it be removed.
    fs::set_permissions(&path, Permissions::from_mode(0o700)).expect("its mode");
}
