//! Which program is run, and with which arguments.

use crate::device::*;

pub(crate) fn arguments_arrive_as_they_are() {
    both_say("<a b><><-x><*>", |api| {
        let mut command = api.sh(r#"printf '<%s>' "$@""#);
        command.arg("sh").arg("a b").args(["", "-x"]).arg("*").output()
    });
    let odd = OsStr::from_bytes(b"\xff\xfe\n");
    let output = same(|api| api.sh("printf %s \"$0\"").arg(odd).output()).expect("it is spawned");
    assert_eq!(output.stdout, odd.as_bytes());
    both_say("", |api| api.command("true").output());
    both_say("200\n", |api| {
        api.sh("echo $#").arg("sh").args((0..200).map(|n| n.to_string())).output()
    });
}

pub(crate) fn arg0_is_what_the_program_sees() {
    both_say("zero\n", |api| api.sh("echo $0").arg0("zero").output());
    both_say("last\n", |api| api.sh("echo $0").arg0("first").arg0("last").output());
    both_say("\n", |api| api.sh("echo $0").arg0("").output());
    both_say("sh\n", |api| api.command("sh").args(["-c", "echo $0"]).output());
    // It says nothing about which program is run.
    both_say("/no/such/program\n", |api| api.sh("echo $0").arg0("/no/such/program").output());
}

pub(crate) fn getters_tell_what_was_set() {
    same(|api| {
        let mut command = api.command("tool");
        let fresh = (
            command.get_program(),
            command.get_args(),
            command.get_envs(),
            command.get_current_dir(),
        );
        command.arg("a").args(["b", ""]).arg0("zero").env("K", "v").env_remove("R");
        command.current_dir("some/dir").uid(1).stdin(To::Null);
        let set = (
            command.get_program(),
            command.get_args(),
            command.get_envs(),
            command.get_current_dir(),
        );
        assert_eq!(set.3.as_deref(), Some(Path::new("some/dir")));
        assert_eq!(set.1.0, 3);
        (fresh, set)
    });
}

pub(crate) fn programs_are_found_in_the_path_given() {
    let programs = Programs::new();
    let dir = programs.dir();
    let path = |before: &str, after: &str| format!("{before}{}{after}", dir.display());
    both_say("tool x\n", |api| api.command("tool").arg("x").env("PATH", dir).output());
    both_say("tool x\n", |api| {
        api.command("tool").arg("x").env("PATH", path("/no/such:/etc/passwd:", ":/bin")).output()
    });
    // The last one that was given counts.
    both_say("tool\n", |api| {
        api.command("tool").env("PATH", "/no").env_clear().env("PATH", dir).output()
    });
    both_fail(errno(libc::ENOENT), |api| {
        api.command("tool").env("PATH", dir).env_remove("PATH").output()
    });
    both_fail(errno(libc::ENOENT), |api| api.command("tool").env("PATH", dir).env_clear().output());
    // A slash anywhere, and PATH is not asked.
    both_fail(errno(libc::ENOENT), |api| {
        api.command("sub/inner").env("PATH", dir).current_dir("/").output()
    });
    both_say("tool\n", |api| api.command(programs.path("tool")).env("PATH", "/no/such").output());
    // The variable the program gets is the one that was set.
    both_say("/bin:/usr/bin:/no\n", |api| {
        api.command("sh").args(["-c", "echo $PATH"]).env("PATH", "/bin:/usr/bin:/no").output()
    });
}

pub(crate) fn an_empty_element_of_the_path_is_the_working_directory() {
    let programs = Programs::new();
    for path in ["", ":", ":/no", "/no:", "/no::/no"] {
        both_say("tool\n", |api| {
            api.command("tool").env("PATH", path).current_dir(programs.dir()).output()
        });
        both_fail(errno(libc::ENOENT), |api| {
            api.command("tool").env("PATH", path).current_dir("/").output()
        });
    }
    both_say("inner\n", |api| {
        api.command("inner").env("PATH", "/no:sub").current_dir(programs.dir()).output()
    });
    both_say("inner\n", |api| {
        api.command("inner").env("PATH", "./sub/.").current_dir(programs.dir()).output()
    });
}

pub(crate) fn what_cannot_be_executed_does_not_end_the_search() {
    let programs = Programs::new();
    fs::create_dir(programs.path("second")).expect("a directory");
    programs.add("second/data", "#!/bin/sh\necho second\n", 0o755);
    fs::create_dir(programs.path("second/tool")).expect("a directory");
    let path = format!("{}:{}", programs.dir().display(), programs.path("second").display());
    both_say("second\n", |api| api.command("data").env("PATH", &path).output());
    let path = format!("{}:{}", programs.path("second").display(), programs.dir().display());
    both_say("tool\n", |api| api.command("tool").env("PATH", &path).output());
    // EACCES says more than the ENOENT that comes after it.
    let path = format!("{}:/no/such", programs.dir().display());
    both_fail(errno(libc::EACCES), |api| api.command("data").env("PATH", &path).output());
    both_fail(errno(libc::ENOENT), |api| api.command("orphan").env("PATH", &path).output());
}

/// What is found but is no program ends the search: there is no shell to take it for a script.
pub(crate) fn a_file_of_no_known_format_ends_the_search() {
    let programs = Programs::new();
    both_fail(errno(libc::ENOEXEC), |api| api.command(programs.path("plain")).output());
    both_fail(errno(libc::ENOEXEC), |api| {
        api.command(programs.path("plain")).env("OTHER", "value").stdin(To::Null).output()
    });
}

/// Where std forks, as it does for a hook or a `PATH` of its own, execvp(3) gives it to the shell. Here it is refused like everywhere else.
pub(crate) fn a_file_of_no_known_format_is_never_given_to_a_shell() {
    let programs = Programs::new();
    let refused =
        |command: &mut Cmd| assert_eq!(command.output().unwrap_err(), errno(libc::ENOEXEC));
    refused(Api::Ours.command(programs.path("plain")).idle_hook());
    refused(Api::Ours.command("plain").env("PATH", programs.dir()));
}

pub(crate) fn errors_of_a_search_one_element() {
    let programs = Programs::new();
    let fails = |path: &Path| same(|api| api.command("tool").env("PATH", path).output());
    assert_eq!(fails(Path::new("/no/such")), Err(errno(libc::ENOENT)));
    assert_eq!(fails(&programs.path("data")), Err(errno(libc::ENOTDIR)));
    symlink("loop", programs.path("loop")).expect("a link");
    assert_eq!(fails(&programs.path("loop")), Err(errno(libc::ELOOP)));
}

pub(crate) fn errors_of_a_search_several_elements() {
    let programs = Programs::new();
    symlink("loop", programs.path("loop")).expect("a link");
    let here = programs.dir().display();
    for path in
        [format!("{here}/loop:{here}"), format!("/no:{here}/loop:/no"), format!("/no:{here}/loop")]
    {
        both_fail(errno(libc::ELOOP), |api| api.command("tool").env("PATH", &path).output());
    }
}

pub(crate) fn the_error_of_a_search_is_that_of_its_last_element() {
    let programs = Programs::new();
    let here = programs.dir().display();
    for path in [format!("/no:{here}/data"), format!("{here}/data:/no")] {
        agree(|api| api.command("tool").env("PATH", &path).output());
    }
}

pub(crate) fn a_name_that_is_too_long_is_not_merely_missing() {
    let long = "x".repeat(300);
    both_fail(errno(libc::ENAMETOOLONG), |api| api.command(format!("/{long}")).output());
    both_fail(errno(libc::ENAMETOOLONG), |api| {
        api.command(&long).env("PATH", "/bin:/usr/bin").output()
    });
}

pub(crate) fn an_element_of_the_path_that_is_too_long_is_passed_over() {
    let programs = Programs::new();
    let path = format!("/{}:{}", "x".repeat(5000), programs.dir().display());
    agree(|api| api.command("tool").env("PATH", &path).output());
}

/// In a process with a PATH of its own.
pub(crate) fn path_of_the_caller_case() {
    let api = Api::of_this_case();
    let other = tempfile::tempdir().expect("a directory");
    let outcome = |command: &mut Cmd| match command.output() {
        Ok(output) => String::from_utf8(output.stdout).expect("text"),
        Err(failure) => format!("{failure:?}\n"),
    };
    print!("{}", outcome(&mut api.command("tool")));
    print!("{}", outcome(api.command("tool").env("OTHER", "value")));
    print!("{}", outcome(api.command("tool").env_remove("OTHER")));
    print!("{}", outcome(api.command("tool").current_dir("/")));
    print!("{}", outcome(api.command("tool").current_dir(other.path())));
    print!("{}", outcome(api.command("tool").env("PATH", "/no/such")));
    // The default: where the system's own programs are.
    print!("{}", outcome(api.command("tool").env_clear()));
    print!("{}", outcome(api.command("env").env_clear()));
    print!("{}", outcome(api.command("tool").env_remove("PATH")));
    print!("{}", outcome(api.command("sh").args(["-c", "echo system"]).env_clear()));
    print!("{}", outcome(api.command("sh").args(["-c", "echo system"]).env_remove("PATH")));
    print!("{}", outcome(api.command("sub/inner").current_dir("/")));
    print!("{}", outcome(api.command("tool").idle_hook()));
}

pub(crate) fn programs_are_found_in_the_path_of_the_caller() {
    let programs = Programs::new();
    let dir = programs.dir();
    let mut paths: Vec<Option<OsString>> = vec![None];
    paths.extend(["", ":/no", "/no:.", "/no", "sub:/no"].map(|path| Some(path.into())));
    paths.push(Some(dir.into()));
    for path in paths {
        let output = same(|api| {
            let mut command = api.case("path of the caller");
            match &path {
                Some(path) => command.env("PATH", path),
                None => command.env_remove("PATH"),
            };
            command.current_dir(dir).output().expect("a case can be started")
        });
        let here = path.as_deref().is_some_and(|path| path == dir);
        assert_eq!(said(&output).starts_with("tool\ntool\ntool\ntool\ntool\n"), here, "{path:?}");
    }
}

pub(crate) fn the_directory_is_changed_before_the_program_is_looked_for() {
    let programs = Programs::new();
    let dir = programs.dir();
    both_say("tool\n", |api| api.command("./tool").current_dir(dir).output());
    both_say("inner\n", |api| api.command("sub/inner").current_dir(dir).output());
    both_say("inner\n", |api| api.command("./inner").current_dir(programs.path("sub")).output());
    both_say("tool\n", |api| api.command("../tool").current_dir(programs.path("sub")).output());
    both_fail(errno(libc::ENOENT), |api| api.command("./tool").current_dir("/").output());
    let real = dir.canonicalize().expect("a path");
    both_say(&format!("{}\n", real.display()), |api| {
        api.sh("pwd -P").current_dir("/").current_dir(dir).output()
    });
    // PWD is the shell's affair.
    same(|api| api.command("env").current_dir(dir).output()).expect("it is spawned");
}

pub(crate) fn a_directory_that_cannot_be_entered() {
    let programs = Programs::new();
    both_fail(errno(libc::ENOENT), |api| api.command("true").current_dir("/no/such").output());
    both_fail(errno(libc::ENOENT), |api| api.command("true").current_dir("").output());
    both_fail(errno(libc::ENOTDIR), |api| {
        api.command("true").current_dir(programs.path("tool")).output()
    });
    both_fail(errno(libc::ENOENT), |api| {
        api.command("/no/such/program").current_dir("/no/such").output()
    });
    if !is_root() {
        let closed = programs.path("sub");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("its mode");
        both_fail(errno(libc::EACCES), |api| api.command("true").current_dir(&closed).output());
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).expect("its mode");
    }
}

pub(crate) fn programs_that_cannot_be_run() {
    let programs = Programs::new();
    let fails = |name: &str, error: i32| {
        both_fail(errno(error), |api| api.command(programs.path(name)).output());
        // Through fork, which std does for a hook or an id.
        both_fail(errno(error), |api| api.command(programs.path(name)).idle_hook().output());
    };
    fails("missing", libc::ENOENT);
    fails("data", libc::EACCES);
    fails("sub", libc::EACCES);
    fails("orphan", libc::ENOENT);
    fails("tool/below", libc::ENOTDIR);
    fails("tool/", libc::ENOTDIR);
    symlink("missing", programs.path("dangling")).expect("a link");
    fails("dangling", libc::ENOENT);
    symlink("loop", programs.path("loop")).expect("a link");
    fails("loop", libc::ELOOP);
    programs.add("scripted", &format!("#!{}\n", programs.path("data").display()), 0o755);
    fails("scripted", libc::EACCES);
    let _writer = File::options().append(true).open(programs.path("tool")).expect("a program");
    fails("tool", libc::ETXTBSY);
    both_fail(errno(libc::ENOENT), |api| api.command("").output());
    // Where PATH has a directory that this user may not look into, that is the error.
    agree(|api| api.command("no-such-program-anywhere").output());
    both_fail(errno(libc::E2BIG), |api| api.command("true").arg("x".repeat(1 << 20)).output());
    both_fail(errno(libc::E2BIG), |api| api.command("true").env("X", "x".repeat(1 << 20)).output());
    // In all three ways to run it.
    same(|api| api.command(programs.path("missing")).status()).expect_err("it is missing");
    same(|api| api.command(programs.path("missing")).spawn().map(|kid| kid.id()))
        .expect_err("it is missing");
}

pub(crate) fn a_nul_byte_anywhere_is_an_error_of_the_spawn() {
    both_fail(REFUSED, |api| api.command("tr\0ue").output());
    both_fail(REFUSED, |api| api.command("\0").output());
    both_fail(REFUSED, |api| api.command("true").arg("a\0").output());
    both_fail(REFUSED, |api| api.command("true").args(["a", "\0b"]).output());
    both_fail(REFUSED, |api| api.command("true").arg0("ze\0ro").output());
    both_fail(REFUSED, |api| api.command("true").env("K\0", "v").output());
    both_fail(REFUSED, |api| api.command("true").env("K", "v\0").output());
    both_fail(REFUSED, |api| api.command("true").envs([("K", "v"), ("L", "\0")]).output());
    both_fail(REFUSED, |api| api.command("true").current_dir("/\0").output());
    same(|api| api.command("true").arg("\0").status()).expect_err("a NUL byte");
    same(|api| api.command("true").arg("\0").spawn().map(|kid| kid.id())).expect_err("a NUL byte");
    assert_eq!(same(|api| api.command("true").arg("\0").exec()), REFUSED);
    assert_eq!(same(|api| api.command("tr\0ue").exec()), REFUSED);
    // What was said before it was set right does not count.
    both_say("", |api| api.command("true").env("K", "\0").env("K", "v").output());
    both_say("", |api| api.command("true").env("K\0", "v").env_clear().output());
}

pub(crate) fn a_nul_byte_in_a_variable_that_is_removed() {
    both_say("", |api| api.command("true").env_remove("K\0").output());
    both_say("", |api| api.command("true").env("K\0", "v").env_remove("K\0").output());
}
