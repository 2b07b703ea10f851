//! What is written with which rights, what the files of subordinate ids say, and what is refused.

use crate::*;

pub(crate) fn with_capabilities() {
    assert!(!is_root());
    set_path("/no/such/directory");
    let ranges = [range(0, ANN, 1), range(1, 70_000, 100), range(200, 90_000, 1)];
    let text = "0 5000 1; 1 70000 100; 200 90000 1";
    for mut command in [tell(), copied(tell())] {
        command.uid_map(ranges).gid_map(ranges);
        assert_eq!(told(&mut command), format!("{text}; ; {text}; ; allow"));
    }
}

pub(crate) fn by_number() {
    let expected =
        "0 5000 1; 1 300000 10; 11 200000 5; 16 300010 10; ; 0 5000 1; 1 7000 3; ; allow";
    assert_eq!(told(tell().map_subordinate_ids()), expected);
}

pub(crate) fn own_among_them() {
    let expected = "0 5000 1; 1 4990 10; 11 5001 14; ; 0 5000 1; 1 5001 1; ; allow";
    assert_eq!(told(tell().map_subordinate_ids()), expected);
}

pub(crate) fn file_missing() {
    let error = refusal(tell().map_subordinate_ids());
    assert_eq!(
        error.to_string(),
        "open /etc/subuid: No such file or directory (os error 2): user ann (5000) has no subordinate ids here: \
         as root, give some with `usermod --add-subuids 100000-165535 ann`"
    );
    assert_eq!(
        (error.step(), error.raw_os_error()),
        (&Step::Open("/etc/subuid".into()), Some(libc::ENOENT))
    );
}

pub(crate) fn line_missing() {
    let error = refusal(tell().map_subordinate_ids());
    assert_eq!(
        error.to_string(),
        "parse /etc/subuid: it has no line for user ann (5000): as root, give some with `usermod --add-subuids 100000-165535 ann`"
    );
    assert_eq!((error.step(), error.kind()), (&Step::Parse, std::io::ErrorKind::NotFound));
    let error = refusal(tell().map_subordinate_ids().uid_map([range(0, ANN, 1)]));
    assert!(error.to_string().starts_with("parse /etc/subgid: "), "{error}");
    assert!(error.to_string().contains("--add-subgids"), "{error}");
}

/// As root, for whom the ids of bob are in use: what the message advises gives others, and then it works.
pub(crate) fn advice_is_followed() {
    let advised = |error: &Error| {
        let text = error.to_string();
        let command = text.rsplit('`').nth(1).expect("a command in its words").to_owned();
        assert!(command.starts_with("usermod --add-sub"), "{text}");
        command
    };
    for file in ["subuid", "subgid"] {
        let error = tell().map_subordinate_ids().spawn().expect_err("there are none");
        assert!(error.to_string().contains(&format!("parse /etc/{file}: ")), "{error}");
        let command = advised(&error);
        assert!(command.ends_with(" 165536-231071 root"), "{command}");
        // usermod(8) would write a file beside this one, in a directory that is mounted here.
        let range = "root:165536:65536\n";
        let path = format!("/etc/{file}");
        let text = fs::read_to_string(&path).expect("a file");
        fs::write(&path, format!("{text}{range}")).expect("a line");
    }
    let both = "0 0 1; 1 165536 65536; ; 0 0 1; 1 165536 65536; ; allow";
    assert_eq!(told(tell().map_subordinate_ids()), both);
}

pub(crate) fn line_malformed() {
    let error = refusal(tell().map_subordinate_ids());
    assert_eq!(
        error.to_string(),
        "parse /etc/subuid, line 3, \"ann:x:65536\": the first id must be a decimal number without blanks or leading zeros"
    );
    let error = refusal(tell().map_subordinate_ids().uid_map([range(0, ANN, 1)]));
    assert_eq!(
        error.to_string(),
        "parse /etc/subgid, line 1, \"ann:100000:0\": the count must be at least 1"
    );
}

pub(crate) fn too_many() {
    let error = refusal(tell().map_subordinate_ids());
    assert_eq!(
        error.to_string(),
        "invalid setting: uid_map has 401 ranges: the kernel takes 340 at most"
    );
}

pub(crate) fn root_with_line() {
    set_path("/usr/bin:/bin");
    let expected = "0 0 1; 1 100000 65536; ; 0 0 1; 1 100000 65536; ; allow";
    for set in [USER, Namespaces::all()] {
        assert_eq!(told(sh(TELL).namespaces(set).map_subordinate_ids()), expected);
        assert_eq!(told(copied(sh(TELL)).namespaces(set).map_subordinate_ids()), expected);
    }
    set_path("/no/such/directory");
    let mut command = Command::new("/bin/cat");
    command.arg("/proc/self/uid_map").namespaces(USER).map_subordinate_ids();
    assert_eq!(told(&mut command), "0 0 1; 1 100000 65536");
}

pub(crate) fn root_without_line() {
    let error = refusal(tell().map_subordinate_ids());
    assert!(error.to_string().starts_with("open /etc/subuid: "), "{error}");
    assert!(error.to_string().contains("root (0)"), "{error}");
}

pub(crate) fn root_lacks_line() {
    let error = refusal(tell().map_subordinate_ids());
    assert!(
        error.to_string().starts_with("parse /etc/subuid: it has no line for user root (0)"),
        "{error}"
    );
}

pub(crate) fn exec_is_refused() {
    let before = Footprint::now();
    let error = tell().map_subordinate_ids().exec();
    before.assert_unchanged();
    assert_eq!(
        error.to_string(),
        "write gid_map \"0 5000 1\\n1 100000 65536\": Operation not permitted (os error 1): without CAP_SETGID it takes newgidmap, \
         which `exec` cannot run, as it moves the process that would: use `spawn`"
    );
    let error = tell().allow_setgroups(true).exec();
    before.assert_unchanged();
    assert!(error.to_string().contains("allow_setgroups(true)"), "{error}");
    // And what needs no helper is done.
    let error = tell().allow_setgroups(false).uid_map([range(3, ANN, 1)]).exec();
    panic!("{error}");
}

/// The effective id is the caller's, and newuidmap, which goes by the real one, says that it will not have it.
pub(crate) fn other_real_id() {
    // SAFETY: changes the ids of this process.
    assert_eq!(unsafe { libc::setresgid(ANN, ANN, ANN) }, 0);
    // SAFETY: changes the ids of this process.
    assert_eq!(unsafe { libc::setresuid(5001, ANN, ANN) }, 0);
    assert_eq!(told(tell().map_root_user()), "0 5000 1; ; 0 5000 1; ; deny");
    let error = tell().map_subordinate_ids().spawn().expect_err("the real user is another");
    assert!(error.to_string().contains("newgidmap: "), "{error}");
}

pub(crate) fn setgroups_of_root() {
    assert!(told(&mut tell()).ends_with("allow"));
    assert!(told(tell().allow_setgroups(true)).ends_with("allow"));
    for mut command in [tell(), copied(tell())] {
        assert!(told(command.allow_setgroups(false)).ends_with("deny"));
    }
    assert_eq!(told(tell().leave_unmapped().allow_setgroups(false)), "; ; deny");
}

/// A user namespace that lives until its program is waited for.
pub(crate) fn holder(map: impl FnOnce(&mut Command)) -> linux_namespaces::Child {
    let mut command = Command::new("cat");
    command.namespaces(USER).stdin(Stdio::piped());
    map(&mut command);
    command.spawn().expect("a user namespace")
}

pub(crate) fn inside_an_entered() {
    let ids = [range(0, 0, 1), range(1, 200_000, 1000)];
    let mut child = holder(|command| {
        command.uid_map(ids).gid_map(ids);
    });
    let user = child.namespace(NamespaceKind::User).expect("a handle");
    let before = Footprint::now();
    let inner = [range(0, 5, 10), range(10, 0, 1)];
    // What it sees is how the numbers of the entered namespace are seen from itself.
    let mut command = tell();
    command.enter(&user).uid_map(inner).gid_map(inner);
    assert_eq!(told(&mut command), "0 5 10; 10 0 1; ; 0 5 10; 10 0 1; ; allow");
    drop(command);
    let error = refusal(tell().enter(&user).uid_map([range(0, 2000, 1)]));
    assert!(error.to_string().starts_with("write uid_map \"0 2000 1\": "), "{error}");
    assert!(error.to_string().contains("ids that are mapped there"), "{error}");
    let error = refusal(tell().enter(&user).map_subordinate_ids());
    assert_eq!(error.step(), &Step::Validate);
    assert!(error.to_string().contains("in the user namespace that is entered"), "{error}");
    before.assert_unchanged();
    child.wait().expect("cat ends");
}

pub(crate) fn setgroups_inside_an_entered() {
    let mut child = holder(|command| {
        command.map_root_user();
    });
    let user = child.namespace(NamespaceKind::User).expect("a handle");
    let entered = || {
        let mut command = tell();
        command.enter(&user);
        command
    };
    // Who enters it has every capability there; denied is what its own creator had to give up.
    let own = if is_root() { "allow" } else { "deny" };
    assert!(told(&mut entered()).ends_with(own));
    assert!(told(entered().allow_setgroups(false)).ends_with("deny"));
    if is_root() {
        assert!(told(entered().allow_setgroups(true)).ends_with("allow"));
    }
    child.wait().expect("cat ends");
}

pub(crate) fn long_maps() {
    // An id that nobody has: 4294967294 ids fit, and one range takes all but the first.
    let mut ranges: Vec<_> = (0..300).map(|n| range(n, 1_000_000 + 2 * n, 1)).collect();
    let mut child = holder(|command| {
        command.map_root_user();
    });
    let user = child.namespace(NamespaceKind::User).expect("a handle");
    let error = refusal(tell().enter(&user).uid_map(ranges.clone()));
    let start = "write uid_map \"0 1000000 1\\n1 1000002 1\\n2 1000004 1\\n3 1000006 1\\n4 1000008 1\" … 295 more: ";
    assert!(error.to_string().starts_with(start), "{error}");
    ranges.truncate(5);
    let error = refusal(tell().enter(&user).uid_map(ranges));
    assert!(error.to_string().contains("4 1000008 1\": "), "{error}");
    child.wait().expect("cat ends");
}

pub(crate) fn refused() {
    let says = |command: &mut Command, what: &str| {
        let error = command.spawn().expect_err("a refusal");
        assert_eq!(error.step(), &Step::Validate);
        assert!(error.to_string().contains(what), "{error}");
    };
    let plain = || Command::new("true");
    says(
        plain().map_subordinate_ids(),
        "ids are mapped, but not in a namespace of its own: add `Namespaces::USER`",
    );
    says(
        plain().allow_setgroups(true),
        "setgroups(2) is allowed, but not in a namespace of its own: add `Namespaces::USER`",
    );
    says(
        plain().allow_setgroups(false),
        "setgroups(2) is denied, but not in a namespace of its own: add `Namespaces::USER`",
    );
    says(
        plain().namespaces(USER).groups(&[1]).allow_setgroups(false),
        "`allow_setgroups(false)` denies",
    );
    assert!(inode("/proc/self/ns/user") > 0);
}

pub(crate) fn shown() {
    let mut command = Command::new("true");
    assert!(!format!("{command:?}").contains("setgroups"));
    command.map_subordinate_ids().allow_setgroups(true).uid_map([range(1, 2, 3)]);
    let text = format!("{command:?}");
    for part in [
        "map: Subordinate",
        "allow_setgroups: true",
        "uid_map: [IdRange { inside: 1, outside: 2, count: 3 }]",
    ] {
        assert!(text.contains(part), "{text}");
    }
}
