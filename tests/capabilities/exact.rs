//! Exactly these: in every set, as every user, in every world, by every way to run something.

use crate::device::*;

pub(crate) fn the_plan_shows_them() {
    let mut command = Command::new("true");
    command.uid(7).capabilities("kill,chown".parse().expect("two names")).no_new_privs(true);
    let text = format!("{command:?}");
    assert!(
        text.contains(r#"uid: 7, capabilities: "cap_chown,cap_kill", no_new_privs: true"#),
        "{text}"
    );
    let off = format!("{:?}", Command::new("true").keep_capabilities(false).no_new_privs(false));
    assert!(!off.contains("keep") && !off.contains("privs"), "{off}");
}

pub(crate) fn root_has_exactly_these() {
    for set in samples(held()) {
        let exactly = Sets::exactly(set);
        assert_eq!(Sets::inside(|it| it.capabilities(set)), exactly);
        let all = Namespaces::all() - Namespaces::USER;
        assert_eq!(Sets::inside(|it| it.namespaces(all).capabilities(set)), exactly);
        let quiet = Sets { no_new_privs: true, ..exactly };
        assert_eq!(Sets::inside(|it| it.capabilities(set).no_new_privs(true)), quiet);
        assert_eq!(Sets::inside(|it| it.uid(0).gid(0).groups(&[0]).capabilities(set)), exactly);
    }
}

pub(crate) fn others_have_exactly_these() {
    for set in samples(held()) {
        let exactly = Sets::exactly(set);
        for namespaces in [Namespaces::empty(), Namespaces::NET | Namespaces::PID | Namespaces::NS]
        {
            let status = status_inside(|it| {
                it.namespaces(namespaces).uid(OTHER).gid(77).groups(&[5, 6]).capabilities(set)
            });
            assert_eq!(Sets::parse(&status), exactly);
            assert_eq!(field("Uid", &status), "65534\t65534\t65534\t65534");
            assert_eq!(field("Gid", &status), "77\t77\t77\t77");
            assert_eq!(field("Groups", &status), "5 6");
        }
        let quiet = Sets { no_new_privs: true, ..exactly };
        assert_eq!(Sets::inside(|it| it.no_new_privs(true).capabilities(set).uid(OTHER)), quiet);
    }
}

pub(crate) fn in_new_user_namespaces() {
    let sets = samples(all());
    assert!(sets.contains(&all()));
    for set in sets {
        for more in [Namespaces::empty(), Namespaces::all()] {
            for map in [
                Command::map_current_user as fn(&mut Command) -> &mut Command,
                Command::map_root_user,
                Command::leave_unmapped,
            ] {
                let namespaces = Namespaces::USER | more;
                let inside = Sets::inside(|it| map(it.namespaces(namespaces)).capabilities(set));
                assert_eq!(inside, Sets::exactly(set), "{namespaces}");
            }
        }
    }
}

pub(crate) fn ids_inside_have_exactly_these() {
    for set in samples(all()) {
        let range = IdRange { inside: 0, outside: 0, count: 70_000 };
        let status = status_inside(|it| {
            let it = it.namespaces(Namespaces::USER | Namespaces::NET).uid_map([range]);
            it.gid_map([range]).uid(OTHER).gid(77).groups(&[5]).capabilities(set)
        });
        assert_eq!(Sets::parse(&status), Sets::exactly(set));
        assert_eq!(field("Uid", &status), "65534\t65534\t65534\t65534");
    }
}

pub(crate) fn in_entered_namespaces() {
    let kinds = Namespaces::USER | Namespaces::UTS | Namespaces::PID;
    let mut holder = Command::new("cat");
    let holder = holder.namespaces(kinds).map_root_user().stdin(Stdio::piped());
    let mut holder = holder.spawn().expect("cat runs");
    let user = holder.namespace(NamespaceKind::User).expect("its user namespace");
    for set in samples(all()) {
        let exactly = Sets::exactly(set);
        assert_eq!(Sets::inside(|it| it.enter(&user).capabilities(set)), exactly);
        let pidfd = holder.pidfd();
        assert_eq!(Sets::inside(|it| it.enter_process(pidfd, kinds).capabilities(set)), exactly);
        let nested = Sets::inside(|it| {
            let it = it.enter_process(pidfd, kinds).namespaces(Namespaces::PID | Namespaces::USER);
            it.capabilities(set).no_new_privs(true)
        });
        assert_eq!(nested, Sets { no_new_privs: true, ..exactly });
    }
    drop(holder.stdin.take());
    assert!(holder.wait().expect("cat has ended").success());
}

/// The ways in which the user's code and `exec` are tried.
pub(crate) fn ways(set: Capabilities) -> Vec<fn(&mut Command) -> &mut Command> {
    let mut ways: Vec<fn(&mut Command) -> &mut Command> =
        vec![|it| it.namespaces(Namespaces::USER | Namespaces::UTS)];
    if is_root() && held().contains(set) {
        ways.push(|it| it);
        ways.push(|it| it.uid(OTHER).gid(OTHER));
    }
    ways
}

/// In a process with one thread.
pub(crate) fn functions_case() {
    for set in samples(all()) {
        for way in ways(set) {
            let mut command = Command::from_fn(move || {
                // SAFETY: asks for a number.
                let keeps = unsafe { libc::prctl(libc::PR_GET_KEEPCAPS) };
                i32::from(Sets::own() != Sets::exactly(set) || keeps != 0)
            });
            let status = way(&mut command).capabilities(set).status().expect("it runs");
            assert_eq!(status.code(), Some(0), "{set} {command:?}");
        }
    }
}

pub(crate) fn hooks_case() {
    for set in samples(all()) {
        for way in ways(set) {
            let mut command = Command::new("cat");
            command.arg("/proc/self/status").capabilities(set);
            let hook = move || match Sets::own() == Sets::exactly(set) {
                true => Ok(()),
                false => Err(io::Error::from_raw_os_error(libc::EILSEQ)),
            };
            // SAFETY: this process has one thread.
            unsafe { command.pre_exec(hook) };
            assert_eq!(Sets::parse(&stdout_of(way(&mut command))), Sets::exactly(set));
        }
    }
}

pub(crate) fn exec_has_exactly_these() {
    for set in samples(all()) {
        for way in 0..ways(set).len() {
            let mut case = case("exec");
            case.env("SET", set.to_string()).env("WAY", way.to_string());
            let output = case.output().expect("the case runs");
            let text = String::from_utf8(output.stdout).expect("text");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(Sets::parse(&text), Sets::exactly(set), "{way}");
        }
    }
    let output = case("exec_keeps").output().expect("the case runs");
    let inside = Sets::parse(&String::from_utf8(output.stdout).expect("text"));
    assert_eq!(inside.ambient, all().bits());
    assert_eq!(inside.effective, all().bits());
}

pub(crate) fn exec_case() {
    let set: Capabilities = std::env::var("SET").expect("a set").parse().expect("a set");
    let way: usize = std::env::var("WAY").expect("a way").parse().expect("a number");
    let mut command = Command::new("cat");
    command.arg("/proc/self/status").capabilities(set);
    panic!("{}", ways(set)[way](&mut command).exec());
}

pub(crate) fn exec_keeps_case() {
    let mut command = Command::new("cat");
    command.arg("/proc/self/status").namespaces(Namespaces::USER).keep_capabilities(true);
    panic!("{}", command.exec());
}
