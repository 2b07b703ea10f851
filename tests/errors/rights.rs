//! Steps that take a right.

use crate::common;
use crate::device::*;

pub(crate) fn powerless() {
    become_ordinary();
    let singles = NamespaceKind::ALL.into_iter().map(NamespaceKind::flag);
    let sets = singles.chain([Namespaces::PID | Namespaces::MOUNT, ALL]);
    for set in sets.map(|set| set - Namespaces::USER).filter(|set| !set.is_empty()) {
        let message = format!(
            "clone a process into new namespaces ({set}): Operation not permitted (os error 1): {LACKS}"
        );
        let mut command = missing();
        command.namespaces(set);
        let cause = Some(Cause::MissingCapability);
        fails(&mut command, Step::Clone(set), libc::EPERM, cause.clone(), &message);
        fails(&mut copied(command), Step::Clone(set), libc::EPERM, cause, &message);
    }
}

pub(crate) fn other_ids() {
    become_ordinary();
    // No user namespace would help: an ordinary user can map no other id.
    for (mut command, step, start) in [
        (changed(|command| command.uid(4711)), Step::Uid, "set the user id 4711: "),
        (changed(|command| command.gid(4711)), Step::Gid, "set the group id 4711: "),
        (
            changed(|command| command.groups(&[0, 7])),
            Step::Groups,
            "set the supplementary groups [0, 7]: ",
        ),
    ] {
        let start = format!("{start}Operation not permitted (os error 1): ");
        let error = fails_with_sound_advice(&mut command, step, libc::EPERM, &start);
        assert_eq!(error.cause(), Some(&Cause::MissingCapability));
        assert!(
            !error.to_string().contains("add `Namespaces::USER`"),
            "it would not help: {error}"
        );
    }
}

pub(crate) fn entering_without_the_right() {
    become_ordinary();
    let mut holder = holder(ALL);
    let lacks = Some(Cause::MissingCapability);
    for kind in NamespaceKind::ALL.into_iter().filter(|kind| *kind != NamespaceKind::User) {
        let namespace = holder.namespace(kind).expect("a namespace of it");
        let id = id(&namespace);
        assert!(id.starts_with(&format!("{kind}:[")), "{id}");
        let message = format!(
            "enter the {kind} namespace {id}: Operation not permitted (os error 1): {LACKS_OVER_TARGET}"
        );
        let mut command = missing();
        command.enter(&namespace);
        fails(&mut command, Step::Enter(kind), libc::EPERM, lacks.clone(), &message);
        let mut command = copied(command);
        fails(&mut command, Step::Enter(kind), libc::EPERM, lacks.clone(), &message);
    }
    let set = Namespaces::NET | Namespaces::UTS;
    let first = id(&holder.namespace(NamespaceKind::Net).expect("a namespace of it"));
    for created in [Namespaces::empty(), Namespaces::USER] {
        let message = format!(
            "enter the namespaces (net,uts) of process {}: {first}: Operation not permitted (os error 1): {LACKS_OVER_TARGET}",
            holder.id()
        );
        let mut command = missing();
        command.enter_process(holder.pidfd(), set).namespaces(created);
        fails(&mut command, Step::EnterProcess(set), libc::EPERM, lacks.clone(), &message);
    }
    // With the user namespace that owns them it works.
    only_exec_fails(missing().enter_process(holder.pidfd(), set | Namespaces::USER));
    holder.wait().expect("cat has ended");
}

pub(crate) fn denied_groups() {
    become_ordinary();
    // Groups are given up for good where an ordinary user maps them.
    let mut denied = missing();
    denied.namespaces(Namespaces::USER).groups(&[]);
    let start = "set the supplementary groups []: Operation not permitted (os error 1): ";
    let error = fails_with_sound_advice(&mut denied, Step::Groups, libc::EPERM, start);
    assert!(error.hint().is_some_and(|hint| hint.contains("setgroups")), "{error}");
    // A filter is no better a reason, if there is one too.
    let before = error.to_string();
    answer(&[libc::SYS_setresuid, libc::SYS_setgroups], libc::EPERM);
    assert_eq!(refusal(&mut denied).to_string(), before);
    let mut command = missing();
    command.namespaces(Namespaces::USER).map_root_user().uid(0);
    let message = format!("set the user id 0: Operation not permitted (os error 1): {FILTERED}");
    let cause = Some(Cause::Seccomp);
    // It gives up its groups first, if it can.
    fails(command.groups(&[]), Step::Groups, libc::EPERM, Some(Cause::MissingCapability), &before);
    let mut command = missing();
    command.namespaces(Namespaces::USER).uid(65_534);
    let own = common::own_world::ids().0;
    let message = message.replace(" 0:", &format!(" {own}:"));
    fails(command.uid(own), Step::Uid, libc::EPERM, cause, &message);
}

/// Nobody has given setgroups(2) up; but the kernel allows it only where there is a gid_map.
pub(crate) fn groups_without_a_gid_map() {
    for mut command in [missing(), copied(missing())] {
        command.namespaces(Namespaces::USER).leave_unmapped().groups(&[]);
        let message = "set the supplementary groups []: Operation not permitted (os error 1): \
                       setgroups(2) works only where groups are mapped, and this user namespace has no gid_map: \
                       map groups with `gid_map`, or keep the groups";
        fails(&mut command, Step::Groups, libc::EPERM, None, message);
    }
}

/// A program whose groups and ids are fixed by a filter.
pub(crate) fn filter_of_ids() {
    answer(&[libc::SYS_setresuid, libc::SYS_setresgid, libc::SYS_setgroups], libc::EPERM);
    let cause = Some(Cause::Seccomp);
    for set in [Namespaces::empty(), Namespaces::USER] {
        for (change, step, what) in [
            (changed(|it| it.groups(&[]).uid(0)), Step::Groups, "supplementary groups []"),
            (changed(|it| it.gid(0)), Step::Gid, "group id 0"),
        ] {
            let mut command = change;
            let message =
                format!("set the {what}: Operation not permitted (os error 1): {FILTERED}");
            fails(command.namespaces(set), step, libc::EPERM, cause.clone(), &message);
        }
    }
    let message = format!("set the user id 0: Operation not permitted (os error 1): {FILTERED}");
    let mut command = missing();
    command.namespaces(Namespaces::USER).allow_setgroups(false).uid(0);
    fails(&mut command, Step::Uid, libc::EPERM, cause, &message);
}

pub(crate) fn entering_the_outside_from_a_world() {
    in_world_with("entering the outside", |world| {
        for (target, kind) in (10..).zip([NamespaceKind::User, NamespaceKind::Uts]) {
            world.fd(target, Namespace::current(kind).expect("the own namespace"));
        }
        // Otherwise it would be the same one.
        world.namespaces(Namespaces::UTS);
    });
}

/// As root of a world: all capabilities, but not over what is around it.
pub(crate) fn entering_the_outside() {
    for (fd, kind) in (10..).zip([NamespaceKind::User, NamespaceKind::Uts]) {
        // SAFETY: `entering_the_outside_from_a_world` passed it under this number, and nobody else uses that.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let namespace = Namespace::try_from(fd).expect("a namespace");
        let message = format!(
            "enter the {kind} namespace {}: Operation not permitted (os error 1): {LACKS_OVER_TARGET}",
            id(&namespace)
        );
        let cause = Some(Cause::MissingCapability);
        fails(missing().enter(&namespace), Step::Enter(kind), libc::EPERM, cause, &message);
    }
}

pub(crate) fn no_entering_of_ended_processes() {
    let mut process = Command::new("true").spawn().expect("true");
    let pidfd = process.pidfd().try_clone().expect("a duplicate");
    // SAFETY: plain integers, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOWAIT;
    // SAFETY: fills `info`, when the process has ended; it stays a zombie.
    let ended = unsafe { libc::waitid(libc::P_PID, process.id(), &raw mut info, flags) };
    assert_eq!(ended, 0);
    let step = Step::EnterProcess(Namespaces::NET);
    let mut command = missing();
    command.enter_process(&pidfd, Namespaces::NET);
    let message = format!(
        "enter the namespaces (net) of process {}: No such process (os error 3): that process has ended",
        process.id()
    );
    fails(&mut command, step.clone(), libc::ESRCH, None, &message);
    process.wait().expect("it has ended");
    let error = leaves_nothing(|| refusal(&mut command));
    assert_eq!((error.step(), error.raw_os_error()), (&step, Some(libc::ESRCH)));
    let message = error.to_string();
    assert!(
        message.ends_with(": No such process (os error 3): that process has ended"),
        "{message}"
    );
}

/// As root of a world.
pub(crate) fn dead_pid_namespace() {
    let mut holder = holder(Namespaces::PID);
    let pid = holder.namespace(NamespaceKind::Pid).expect("a pid namespace");
    holder.wait().expect("cat has ended");
    // It can still be entered, but never has a process again; the kernel calls that a lack of memory.
    let error = leaves_nothing(|| refusal(missing().enter(&pid)));
    assert_eq!(error.step(), &Step::Enter(NamespaceKind::Pid));
    assert_eq!((error.raw_os_error(), error.kind()), (None, io::ErrorKind::NotFound), "{error}");
    let start =
        format!("enter the pid namespace {}: process 1 of that pid namespace has ended", id(&pid));
    assert!(error.to_string().starts_with(&start), "{error}");
}

pub(crate) const CAP_SYS_ADMIN: c_ulong = 21;
pub(crate) const CAP_SETFCAP: c_ulong = 31;

pub(crate) fn loopback_takes_its_capability() {
    in_world_with("half powerless", |world| {
        // SAFETY: only prctl(2), which is a system call and no more.
        unsafe { world.pre_exec(|| give_up_capabilities(&[CAP_SYS_ADMIN, CAP_SETFCAP])) };
    });
}

pub(crate) fn map_of_root_takes_its_capability() {
    in_world_with("no CAP_SETFCAP", |world| {
        // SAFETY: only prctl(2), which is a system call and no more.
        unsafe { world.pre_exec(|| give_up_capabilities(&[CAP_SYS_ADMIN])) };
    });
}

/// As root of a world, who without this capability may not map even its own id, since that is 0.
pub(crate) fn no_setfcap() {
    let mut command = missing();
    command.namespaces(Namespaces::USER);
    let start = "write uid_map \"0 0 1\": Operation not permitted (os error 1)";
    let error = fails_with_sound_advice(&mut command, Step::UidMap, libc::EPERM, start);
    assert_eq!(error.cause(), Some(&Cause::MissingCapability), "{error}");
    assert!(error.to_string().contains("CAP_SETFCAP"), "{error}");
}

/// As root, who may map others but 0. The kernel asks for this capability wherever 0 is among them, and for users alone.
pub(crate) fn ranges_without_setfcap() {
    give_up_effective(&[CAP_SETFCAP as u32]);
    for ranges in [
        vec![range(0, 0, 65_536)],
        vec![range(1, 100_000, 5), range(0, 0, 1)],
        vec![range(0, 0, 1)],
    ] {
        let mut command = missing();
        command.namespaces(Namespaces::USER).uid_map(ranges.clone());
        let start = "write uid_map ";
        let step = Step::UidMap;
        let error = fails_with_sound_advice(&mut command, step, libc::EPERM, start);
        assert_eq!(error.cause(), Some(&Cause::MissingCapability), "{error}");
        let hint = "mapping user 0 of the namespace around takes CAP_SETFCAP (since Linux 5.12), which this process has given up: \
                    keep it, or leave that id out (`leave_unmapped` maps none)";
        assert_eq!(error.hint(), Some(hint));
        only_exec_fails(missing().namespaces(Namespaces::USER).leave_unmapped().gid_map(ranges));
    }
    // What it advises works.
    only_exec_fails(missing().namespaces(Namespaces::USER).uid_map([range(0, 1, 65_535)]));
}

/// As root of a world, without CAP_NET_ADMIN.
pub(crate) fn half_powerless() {
    let message = format!(
        "bring up the loopback interface lo: Operation not permitted (os error 1): {LACKS}"
    );
    let mut command = missing();
    command.namespaces(Namespaces::NET);
    let cause = Some(Cause::MissingCapability);
    fails(&mut command, Step::Loopback, libc::EPERM, cause.clone(), &message);
    only_exec_fails(command.loopback(false));
    fails(copied(command).loopback(true), Step::Loopback, libc::EPERM, cause, &message);
    // What the message advises works.
    only_exec_fails(missing().namespaces(Namespaces::NET | Namespaces::USER));
}

/// As root of a world. In a new user namespace it has no power over what it entered before.
pub(crate) fn entered_then_user() {
    let mut holder = holder(Namespaces::UTS | Namespaces::NET | Namespaces::MOUNT);
    let enter = |kind: NamespaceKind| {
        let mut command = missing();
        command.enter(&holder.namespace(kind).expect("a namespace of it"));
        command.namespaces(Namespaces::USER);
        command
    };
    let mut tests = vec![
        (enter(NamespaceKind::Uts), Step::Hostname, "set the hostname \"inner\""),
        (enter(NamespaceKind::Uts), Step::Domainname, "set the domainname \"inner\""),
        (enter(NamespaceKind::Net), Step::Loopback, "bring up the loopback interface lo"),
        (enter(NamespaceKind::Mount), Step::Propagation, "set the propagation of all mounts"),
        (enter(NamespaceKind::Mount), Step::Mount("/proc".into()), "mount proc on /proc"),
    ];
    tests[0].0.hostname("inner");
    tests[1].0.domainname("inner");
    tests[2].0.loopback(true);
    tests[3].0.propagation(Propagation::Private);
    tests[4].0.namespaces(Namespaces::PID).mount_proc(true);
    let mut failed = Vec::new();
    for (mut command, step, start) in tests {
        let start = format!("{start}: Operation not permitted (os error 1)");
        let error = leaves_nothing(|| refusal(&mut command));
        says(&error, step, libc::EPERM, Some(Cause::MissingCapability), &error.to_string());
        let message = error.to_string();
        if !message.starts_with(&start) || message.contains("add `Namespaces::USER`") {
            failed.push(message);
        }
    }
    assert!(failed.is_empty(), "`Namespaces::USER` is what took the right away: {failed:#?}");
    holder.wait().expect("cat has ended");
}
