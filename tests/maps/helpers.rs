//! Maps that newuidmap and newgidmap write.

use crate::*;

pub(crate) fn subordinate_ids() {
    assert!(!is_root());
    let before = Footprint::now();
    for set in [USER, USER | PID | NS, Namespaces::all()] {
        assert_eq!(told(sh(TELL).namespaces(set).map_subordinate_ids()), BOTH, "{set}");
        assert_eq!(told(copied(sh(TELL)).namespaces(set).map_subordinate_ids()), BOTH, "{set}");
    }
    before.assert_unchanged();

    // Ids after the map are those inside.
    let mut command = sh("id -u; id -g; id -G; cat /proc/self/status; exec cat");
    command.namespaces(USER).map_subordinate_ids().uid(1000).gid(7).groups(&[5, 65_536]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the ids are there");
    let outside = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("status");
    assert_eq!(field("Uid", &outside), ["100999"; 4].join("\t"));
    assert_eq!(field("Gid", &outside), ["100006"; 4].join("\t"));
    assert_eq!(field("Groups", &outside), "100004 165535");
    child.stdin.take();
    let output = child.wait_with_output().expect("cat ends");
    let inside = String::from_utf8(output.stdout).expect("text");
    let mut lines = inside.lines();
    assert_eq!(lines.next(), Some("1000"));
    assert_eq!(lines.next(), Some("7"));
    assert_eq!(lines.next(), Some("7 5 65536"));
    assert_eq!(field("Uid", &inside), ["1000"; 4].join("\t"));
    assert_eq!(field("Groups", &inside), "5 65536");
    // Only setgroups(2) by root itself: the new user has no capability.
    assert_eq!(field("CapEff", &inside), "0000000000000000");
    before.assert_unchanged();

    // In any order, and the own id anywhere.
    let ranges = [range(50, 100_100, 10), range(0, 100_000, 10), range(7000, ANN, 1)];
    let text = "50 100100 10; 0 100000 10; 7000 5000 1";
    let mut command = tell();
    command.uid_map(ranges).gid_map(ranges);
    assert_eq!(told(&mut command), format!("{text}; ; {text}; ; allow"));
    // A side that is given is not looked up.
    command = tell();
    command.map_subordinate_ids().gid_map([range(9, ANN, 1)]);
    assert_eq!(told(&mut command), "0 5000 1; 1 100000 65536; ; 9 5000 1; ; deny");
    // So many that the kernel sorts them.
    let many: Vec<_> = (0..200).rev().map(|n| range(n, 100_000 + 2 * n, 1)).collect();
    let mut command = sh("wc -l < /proc/self/uid_map");
    command.namespaces(USER).uid_map(many);
    assert_eq!(stdout_of(&mut command), "200");
    before.assert_unchanged();
}

pub(crate) fn one_side_by_a_helper() {
    let sub = [range(0, 100_000, 5)];
    assert_eq!(told(tell().uid_map(sub)), "0 100000 5; ; 5000 5000 1; ; deny");
    assert_eq!(told(tell().gid_map(sub)), "5000 5000 1; ; 0 100000 5; ; allow");
    assert_eq!(told(tell().leave_unmapped().gid_map(sub)), "; 0 100000 5; ; allow");
    assert_eq!(told(tell().leave_unmapped().uid_map(sub)), "0 100000 5; ; ; allow");
}

pub(crate) fn setgroups_of_a_user() {
    let lacks = "the kernel takes the own group without CAP_SETGID over the namespace around only if setgroups(2) is denied, \
                 and `allow_setgroups(true)` forbids that: leave it out, or map more groups with `map_subordinate_ids`";
    assert!(told(&mut tell()).ends_with("deny"));
    assert!(told(tell().allow_setgroups(false)).ends_with("deny"));
    assert!(told(tell().leave_unmapped().allow_setgroups(false)).ends_with("deny"));
    assert!(told(tell().leave_unmapped().allow_setgroups(true)).ends_with("allow"));
    assert!(told(tell().map_subordinate_ids().allow_setgroups(false)).ends_with("deny"));
    assert_eq!(told(tell().map_subordinate_ids().allow_setgroups(true)), BOTH);
    for mut command in [tell(), copied(tell())] {
        let error = refusal(command.allow_setgroups(true));
        let message =
            format!("write gid_map \"5000 5000 1\": Operation not permitted (os error 1): {lacks}");
        assert_eq!(error.to_string(), message);
        assert_eq!((error.step(), error.cause()), (&Step::GidMap, Some(&Cause::MissingCapability)));
    }
    let mut command = Command::new("true");
    command.namespaces(USER).map_subordinate_ids().uid(5).allow_setgroups(false);
    assert!(command.status().expect("the groups just stay").success());
}

pub(crate) fn helper_refuses() {
    let start = "write uid_map \"0 5000 1\\n1 100000 65537\": Operation not permitted (os error 1): \
                 the caller lacks CAP_SETUID, and ";
    for mut command in [tell(), copied(tell())] {
        let error = refusal(command.uid_map([range(0, ANN, 1), range(1, 100_000, 65_537)]));
        let message = error.to_string();
        assert!(message.starts_with(start), "{message}");
        assert!(message.contains("/newuidmap ended with exit status: 1: newuidmap: "), "{message}");
        assert!(message.contains("not allowed"), "the words of newuidmap: {message}");
        assert_eq!((error.step(), error.raw_os_error()), (&Step::UidMap, Some(libc::EPERM)));
    }
    let error = refusal(tell().map_subordinate_ids().gid_map([range(0, 3, 1)]));
    assert!(error.to_string().starts_with("write gid_map \"0 3 1\": "), "{error}");
    assert!(error.to_string().contains("newgidmap: "), "{error}");
    assert_eq!(error.step(), &Step::GidMap);
}

/// Also without a world, by any ordinary user.
pub(crate) fn no_helper() {
    set_path("/no/such/directory:.:");
    for mut command in [tell(), copied(tell())] {
        let error = refusal(command.uid_map([range(0, 100_000, 2)]));
        let message = format!(
            "write uid_map \"0 100000 2\": Operation not permitted (os error 1): {NO_HELPER}"
        );
        assert_eq!(error.to_string(), message);
        assert_eq!(error.cause(), Some(&Cause::MissingHelper));
    }
    let error = refusal(tell().gid_map([range(0, 100_000, 2)]));
    assert_eq!((error.step(), error.cause()), (&Step::GidMap, Some(&Cause::MissingHelper)));
    // The own id needs none.
    assert!(told(tell().map_root_user()).ends_with("deny"));
}

const POWERLESS: &str = "as it is neither set-user-ID root nor has file capabilities, so it gains no privileges \
                         (install it anew, or set mode 4755)";

/// The helpers as they are installed, but for what gives them their rights.
pub(crate) fn powerless_helpers() {
    let directory = tempfile::tempdir().expect("a directory");
    common::own_world::mount(
        "none",
        directory.path().to_str().expect("text"),
        "tmpfs",
        libc::MS_NOSUID,
    );
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(directory.path(), open.clone()).expect("chmod");
    let helper = |place: &str, mode: u32| {
        let place = directory.path().join(place);
        fs::create_dir(&place).expect("a directory");
        fs::set_permissions(&place, open.clone()).expect("chmod");
        for name in ["newuidmap", "newgidmap"] {
            let copy = place.join(name);
            fs::copy(format!("/usr/bin/{name}"), &copy).expect("a copy of it");
            fs::set_permissions(&copy, fs::Permissions::from_mode(mode)).expect("chmod");
        }
        place
    };
    let (plain, nosuid) = (helper("plain", 0o755), helper("nosuid", 0o4755));
    dumpable::become_ann();
    // SAFETY: sets a number.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
    for (place, why) in [
        (&plain, POWERLESS),
        (&nosuid, "as it is on a mount with nosuid, where it gains no privileges"),
    ] {
        set_path(place.to_str().expect("text"));
        let error = refusal(tell().map_subordinate_ids());
        let start = format!(
            "write gid_map \"0 5000 1\\n1 100000 65536\": Operation not permitted (os error 1): the caller lacks CAP_SETGID, \
             and {}/newgidmap ended with exit status: 1, {why}: newgidmap: ",
            place.display()
        );
        assert!(error.to_string().starts_with(&start), "{error}");
        assert_eq!((error.step(), error.cause()), (&Step::GidMap, Some(&Cause::MissingCapability)));
    }
}

/// Capabilities of the file do as well as the set-user-ID bit.
pub(crate) fn helpers_with_file_capabilities() {
    let directory = tempfile::tempdir().expect("a directory");
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(directory.path(), open.clone()).expect("chmod");
    for (name, capability) in [("newuidmap", 7), ("newgidmap", 6)] {
        let copy = directory.path().join(name);
        fs::copy(format!("/usr/bin/{name}"), &copy).expect("a copy of it");
        fs::set_permissions(&copy, open.clone()).expect("chmod");
        let path = std::ffi::CString::new(copy.to_str().expect("text")).expect("no NUL in it");
        // Version 2, effective; what is permitted, and what is inheritable.
        let value = [0x0200_0001u32.to_le(), (1u32 << capability).to_le(), 0, 0, 0];
        // SAFETY: two texts and five numbers that live through the call.
        let set = unsafe {
            libc::setxattr(
                path.as_ptr(),
                c"security.capability".as_ptr(),
                value.as_ptr().cast(),
                20,
                0,
            )
        };
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    }
    dumpable::become_ann();
    // SAFETY: sets a number.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
    set_path(directory.path().to_str().expect("text"));
    assert_eq!(told(tell().map_subordinate_ids()), BOTH);
    let error = refusal(tell().uid_map([range(0, 3, 1)]));
    let start = format!(
        "write uid_map \"0 3 1\": Operation not permitted (os error 1): the caller lacks CAP_SETUID, \
         and {}/newuidmap ended with exit status: 1: newuidmap: ",
        directory.path().display()
    );
    assert!(error.to_string().starts_with(&start), "{error}");
}

/// Sets the soft limit of descriptors, and gives what it was.
fn limit_descriptors(soft: libc::rlim_t) -> libc::rlim_t {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: fills the limit.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    let before = limit.rlim_cur;
    limit.rlim_cur = soft;
    // SAFETY: reads the limit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    before
}

/// Whatever number of descriptors is left: too few is said as that, and never as a refusal.
pub(crate) fn few_descriptors() {
    let first = fs::File::open("/dev/null").expect("/dev/null");
    let first = std::os::fd::AsRawFd::as_raw_fd(&first) as libc::rlim_t;
    let mut of_the_helper = Vec::new();
    for free in 0..30 {
        let before = limit_descriptors(first + free);
        let result = tell().uid_map([range(0, 100_000, 2)]).stdout(Stdio::null()).spawn();
        limit_descriptors(before);
        match result {
            Ok(mut child) => {
                assert!(child.wait().expect("its end").success());
                assert!(!of_the_helper.is_empty(), "the helper never was what lacked them");
                return;
            }
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
                assert_eq!(error.cause(), None, "{error}");
                if error
                    .hint()
                    .is_some_and(|hint| hint.starts_with("newuidmap, which is to write it"))
                {
                    let start = "write uid_map \"0 100000 2\": Too many open files (os error 24): newuidmap";
                    assert!(error.to_string().starts_with(start), "{error}");
                    assert_eq!(error.to_string().matches("os error").count(), 1, "{error}");
                    of_the_helper.push(error);
                }
            }
        }
    }
    panic!("30 descriptors are not enough");
}

pub(crate) fn helpers_that_fail() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("newuidmap");
    set_path(directory.path().to_str().expect("text"));
    let script = |text: &str| {
        let mut script = fs::File::create(&file).expect("a script");
        script.write_all(text.as_bytes()).expect("a script");
        script.set_permissions(fs::Permissions::from_mode(0o755)).expect("chmod");
    };
    let fails = |end: &str| {
        let error = refusal(tell().uid_map([range(0, 100_000, 2)]));
        let message = error.to_string();
        assert!(
            message.starts_with(
                "write uid_map \"0 100000 2\": Operation not permitted (os error 1): "
            ),
            "{message}"
        );
        assert!(message.contains(end), "{message}");
        assert_eq!(error.step(), &Step::UidMap);
    };
    let name = file.display();
    script("#!/bin/sh\necho \"$# $2 $3 $4\" >&2\nprintf '\\033[1mno\\n' >&2\necho out\nexit 3\n");
    fails(&format!("{name} ended with exit status: 3, {POWERLESS}: 4 0 100000 2; \\u{{1b}}[1mno"));
    script("#!/bin/sh\nkill -9 $$\n");
    fails(&format!("{name} ended with signal: 9 (SIGKILL)"));
    script("#!/bin/sh\nexit 0\n");
    fails(&format!("{name} has not written that map, though it ended without an error"));
    let own_path = format!("{}:/usr/bin:/bin", directory.path().display());
    set_path(&own_path);
    script("#!/bin/sh\nhead -c 300000 /dev/zero | tr '\\0' x >&2\nexit 1\n");
    fails("xxx…");
    // It gets an empty input, no descriptor of the caller's, and nothing of its environment but PATH.
    script(
        "#!/bin/sh\nread line && echo input >&2\nls /proc/self/fd >&2\n/usr/bin/env | /usr/bin/grep -c LINUX_NAMESPACES_CASE >&2\nexit 1\n",
    );
    let secret = fs::File::open("/dev/null").expect("a file");
    let copy = secret.try_clone().expect("a copy");
    // SAFETY: clears close-on-exec of an open descriptor.
    unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&copy), libc::F_SETFD, 0) };
    fails(&format!("{name} ended with exit status: 1, {POWERLESS}: 0; 1; 2; 3; 0"));
    // Somebody else may have its pipe and wait for this very caller, as a child of another thread's does that is before its exec.
    let fifo = directory.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo");
    assert!(made.success());
    // Open for both, so that opening does not wait.
    let held = fs::File::options().read(true).write(true).open(&fifo).expect("a fifo");
    script(&format!("#!/bin/sh\nread line <{} &\necho said >&2\nexit 1\n", fifo.display()));
    fails("said");
    drop(held);
    script("no program at all");
    fails("newuidmap cannot be had for it: execute ");
}

pub(crate) fn status_is_lost() {
    // SAFETY: the process has no handler to lose.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    let output = tell().map_subordinate_ids().output().expect("the maps are written");
    assert_eq!(plain(&String::from_utf8(output.stdout).expect("text")), BOTH);
}

pub(crate) fn thousand_failures() {
    let before = Footprint::now();
    for _ in 0..500 {
        assert_eq!(
            tell().uid_map([range(0, 3, 1)]).spawn().expect_err("not ours").step(),
            &Step::UidMap
        );
        assert_eq!(tell().allow_setgroups(true).spawn().expect_err("not so").step(), &Step::GidMap);
    }
    let path = std::env::var("PATH").expect("a path");
    set_path("/no/such/directory");
    for _ in 0..500 {
        assert_eq!(
            copied(tell()).gid_map([range(0, 3, 1)]).spawn().expect_err("not ours").step(),
            &Step::GidMap
        );
        assert_eq!(
            tell().uid_map([range(0, 3, 1)]).spawn().expect_err("not ours").step(),
            &Step::UidMap
        );
    }
    set_path(&path);
    before.assert_unchanged();
    assert_eq!(told(tell().map_subordinate_ids()), BOTH);
}
