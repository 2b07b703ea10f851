//! Capabilities that outlive exec because all do; and what no program gains.

use crate::device::*;

pub(crate) fn as_the_kernel_has_it() {
    let std = StdCommand::new("cat").arg("/proc/self/status").output().expect("cat runs");
    let std = Sets::parse(&String::from_utf8(std.stdout).expect("text"));
    assert_eq!(Sets::inside(|it| it), std);
    assert_eq!(Sets::inside(|it| it.keep_capabilities(false).no_new_privs(false)), std);
    if is_root() {
        let other = Sets::inside(|it| it.uid(OTHER));
        assert_eq!((other.permitted, other.effective, other.ambient), (0, 0, 0));
        assert_eq!(other.bounding, std.bounding);
    }
}

pub(crate) fn set_user_id_programs() {
    let (directory, cat) = own_cat();
    set_mode(directory.path(), 0o755);
    set_mode(&cat, 0o4755);
    let inside = |set: &dyn Fn(&mut Command)| {
        let mut command = Command::new(&cat);
        set(command.arg("/proc/self/status").uid(OTHER).gid(OTHER));
        let status = stdout_of(&mut command);
        let effective: u32 = field("Uid", &status).split('\t').nth(1).unwrap().parse().unwrap();
        (effective, Sets::parse(&status))
    };
    let own = Sets::own();
    let (uid, plain) = inside(&|_| ());
    assert_eq!((uid, plain.permitted), (0, own.bounding), "set-user-ID works at all here");
    let (uid, quiet) = inside(&|it| _ = it.no_new_privs(true));
    assert_eq!((uid, quiet.permitted, quiet.no_new_privs), (OTHER, 0, true));
    for set in [Capabilities::empty(), Capabilities::KILL | Capabilities::CHOWN] {
        let (uid, bounded) = inside(&|it| _ = it.capabilities(set));
        // Only the ambient set goes, as always at the start of such a program.
        assert_eq!((uid, bounded), (0, Sets { ambient: 0, ..Sets::exactly(set) }));
        let (uid, quiet) = inside(&|it| _ = it.capabilities(set).no_new_privs(true));
        assert_eq!((uid, quiet), (OTHER, Sets { no_new_privs: true, ..Sets::exactly(set) }));
    }
}

pub(crate) fn no_new_privs_is_set() {
    let plain = Sets::inside(|it| it);
    let quiet = Sets { no_new_privs: true, ..plain };
    assert!(!plain.no_new_privs, "the tests are run without it");
    assert_eq!(Sets::inside(|it| it.no_new_privs(true)), quiet);
    assert_eq!(Sets::inside(|it| it.no_new_privs(true).no_new_privs(false)), plain);
    let set = with_user(Namespaces::all() - Namespaces::USER);
    assert!(Sets::inside(|it| it.namespaces(set).no_new_privs(true)).no_new_privs);
    assert!(!Sets::own().no_new_privs);
}

pub(crate) fn kept_as_unshare_keeps_them() {
    for (option, map) in [
        ("--map-current-user", Command::map_current_user as fn(&mut Command) -> &mut Command),
        ("--map-root-user", Command::map_root_user),
    ] {
        let kept = other_tool("unshare", &["--user", option, "--keep-caps"]);
        assert_eq!((kept.ambient, kept.effective), (all().bits(), all().bits()));
        let user = Namespaces::USER;
        assert_eq!(Sets::inside(|it| map(it.namespaces(user)).keep_capabilities(true)), kept);
        let lost = other_tool("unshare", &["--user", option]);
        assert_eq!(Sets::inside(|it| map(it.namespaces(user))), lost);
        let off = |it: &mut Command| {
            Sets::parse(&stdout_of(it.keep_capabilities(true).keep_capabilities(false)))
        };
        let mut command = Command::new("cat");
        command.arg("/proc/self/status");
        assert_eq!(off(map(command.namespaces(user))), lost);
    }
    let unmapped =
        Sets::inside(|it| it.namespaces(Namespaces::USER).leave_unmapped().keep_capabilities(true));
    assert_eq!((unmapped.ambient, unmapped.effective), (all().bits(), all().bits()));
}

/// A change of the user id included.
pub(crate) fn kept_as_setpriv_keeps_them() {
    let [inheritable, ambient] = all_inherited();
    let kept = other_tool("setpriv", &["--reuid=65534", "--clear-groups", &inheritable, &ambient]);
    assert_eq!(kept.effective, held().bits());
    assert_eq!(Sets::inside(|it| it.uid(OTHER).keep_capabilities(true)), kept);
    assert_eq!(Sets::inside(|it| it.keep_capabilities(true)), kept);
    let quiet = Sets { no_new_privs: true, ..kept };
    assert_eq!(Sets::inside(|it| it.uid(OTHER).keep_capabilities(true).no_new_privs(true)), quiet);
}

pub(crate) fn exactly_these_are_kept() {
    for set in samples(all()) {
        let inside = Sets::inside(|it| {
            it.namespaces(Namespaces::USER).keep_capabilities(true).capabilities(set)
        });
        assert_eq!(inside, Sets::exactly(set));
    }
}
