//! Ids and their maps.

use crate::device::*;

pub(crate) fn ids_without_a_map() {
    let hint = "that id has no mapping in the user namespace of the program: give it one";
    let mut command = missing();
    command.namespaces(Namespaces::USER).uid(4711);
    let message = format!("set the user id 4711: Invalid argument (os error 22): {hint}");
    fails(&mut command, Step::Uid, libc::EINVAL, None, &message);
    fails(&mut copied(command), Step::Uid, libc::EINVAL, None, &message);
    let mut command = missing();
    command.namespaces(Namespaces::USER).gid(4711);
    let message = format!("set the group id 4711: Invalid argument (os error 22): {hint}");
    fails(&mut command, Step::Gid, libc::EINVAL, None, &message);
    let mut command = copied(command);
    fails(&mut command, Step::Gid, libc::EINVAL, None, &message);
    fails(command.leave_unmapped(), Step::Gid, libc::EINVAL, None, &message);
}

/// An ordinary user has given up setgroups(2) for the namespace.
pub(crate) fn groups_without_a_map() {
    let mut command = missing();
    command.namespaces(Namespaces::USER).groups(&[4711]);
    let message = "set the supplementary groups [4711]: Invalid argument (os error 22): \
                   that id has no mapping in the user namespace of the program: give it one";
    fails(&mut command, Step::Groups, libc::EINVAL, None, message);
}

pub(crate) fn maps_of_others() {
    become_ordinary();
    // SAFETY: this process has one thread.
    unsafe { env::set_var("PATH", "/no/such/directory") };
    let (other, lacks) = (4711, Some(Cause::MissingHelper));
    for (ranges, text) in [
        (vec![range(0, other, 1)], "\"0 4711 1\""),
        (vec![range(0, other, 1), range(1, 100_000, 65_536)], r#""0 4711 1\n1 100000 65536""#),
    ] {
        let message =
            format!("write uid_map {text}: Operation not permitted (os error 1): {NO_HELPER}");
        let mut command = missing();
        command.namespaces(Namespaces::USER).uid_map(ranges.clone());
        fails(&mut command, Step::UidMap, libc::EPERM, lacks.clone(), &message);
        fails(&mut copied(command), Step::UidMap, libc::EPERM, lacks.clone(), &message);
        let message =
            format!("write gid_map {text}: Operation not permitted (os error 1): {NO_HELPER}");
        let mut command = missing();
        command.namespaces(ALL).gid_map(ranges);
        fails(&mut command, Step::GidMap, libc::EPERM, lacks.clone(), &message);
        fails(&mut copied(command), Step::GidMap, libc::EPERM, lacks.clone(), &message);
    }
}

/// As root of a world in which only 0 is mapped.
pub(crate) fn maps_of_unmapped() {
    let lacks = Some(Cause::MissingCapability);
    let mut command = missing();
    command.namespaces(Namespaces::USER).uid_map([range(0, 0, 2)]);
    let message =
        format!("write uid_map \"0 0 2\": Operation not permitted (os error 1): {LACKS_FOR_MAP}");
    fails(&mut command, Step::UidMap, libc::EPERM, lacks.clone(), &message);
    let mut command = missing();
    command.namespaces(Namespaces::USER).gid_map([range(5, 4711, 1)]);
    let message = format!(
        "write gid_map \"5 4711 1\": Operation not permitted (os error 1): {LACKS_FOR_MAP}"
    );
    fails(&mut command, Step::GidMap, libc::EPERM, lacks, &message);
}

/// In a world whose root has no number.
pub(crate) fn unmapped() {
    let hint = "the caller's user or group id has no mapping in its own user namespace: \
                map it there, or change to an id that is mapped";
    for set in [Namespaces::USER, ALL] {
        let message = format!(
            "clone a process into new namespaces ({set}): Operation not permitted (os error 1): {hint}"
        );
        let cause = Some(Cause::UnmappedUser);
        fails(missing().namespaces(set), Step::Clone(set), libc::EPERM, cause, &message);
    }
}
