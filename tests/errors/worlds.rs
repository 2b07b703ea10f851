//! A missing program in every kind of world.

use crate::device::*;

pub(crate) fn missing_program_in_all_namespaces() {
    for kind in NamespaceKind::ALL {
        let mut command = missing();
        command.namespaces(with_user(kind.flag()));
        only_exec_fails(&mut command);
        only_exec_fails(&mut copied(command));
    }
    let mut all = missing();
    all.namespaces(ALL).hostname("inner").domainname("inner");
    only_exec_fails(&mut all);
    only_exec_fails(all.map_root_user());
    only_exec_fails(all.leave_unmapped());
    only_exec_fails(all.map_root_user().uid(0).gid(0).stdin(Stdio::piped()).stdout(Stdio::piped()));
    only_exec_fails(&mut copied(all));
    for target in 3..=40 {
        let mut command = missing();
        command.namespaces(ALL).fd(target, null());
        let error = refusal(&mut command);
        assert_eq!(error.to_string(), NOT_THERE, "passed as {target}");
    }
    let mut command = missing();
    command.namespaces(ALL);
    // SAFETY: closes numbers in the child, whose owners are never used there again.
    unsafe { command.pre_exec(close_everything) };
    only_exec_fails(&mut command);
    let message = "change directory to /no/such/directory: No such file or directory (os error 2): \
                   there is no such directory inside";
    let step = Step::Chdir("/no/such/directory".into());
    let mut command = missing();
    command.namespaces(ALL).current_dir("/no/such/directory");
    fails(&mut command, step, libc::ENOENT, None, message);
}

pub(crate) fn missing_program_in_entered_namespaces() {
    let mut holder = holder(ALL);
    for created in [Namespaces::empty(), Namespaces::PID] {
        let mut process = missing();
        process.enter_process(holder.pidfd(), ALL).namespaces(created);
        only_exec_fails(&mut process);
        only_exec_fails(&mut copied(process));
        let mut handles = missing();
        for kind in NamespaceKind::ALL {
            handles.enter(&holder.namespace(kind).expect("a namespace of it"));
        }
        only_exec_fails(handles.namespaces(created));
        only_exec_fails(&mut copied(handles));
    }
    // Without TIME the caller's memory is shared.
    let mut shared = missing();
    shared.enter_process(holder.pidfd(), ALL - Namespaces::TIME);
    only_exec_fails(&mut shared);
    only_exec_fails(shared.namespaces(Namespaces::PID));
    // A hook in a world that was entered, with all that it takes.
    // SAFETY: closes numbers in the child, whose owners are never used there again.
    unsafe { shared.pre_exec(close_everything) };
    only_exec_fails(&mut shared);
    holder.wait().expect("cat has ended");
}

pub(crate) fn missing_program_in_a_user_namespace_below_the_entered() {
    let mut holder = holder(ALL);
    for created in [Namespaces::USER, Namespaces::USER | Namespaces::PID] {
        let mut command = missing();
        command.enter_process(holder.pidfd(), ALL).namespaces(created);
        only_exec_fails(&mut command);
        only_exec_fails(&mut copied(command));
    }
    // A child of a helper, which the caller did not clone itself.
    let mut command = missing();
    command.enter_process(holder.pidfd(), ALL).namespaces(Namespaces::USER | Namespaces::PID);
    command.uid_map([range(0, 4711, 1)]);
    let message = "write uid_map \"0 4711 1\": Operation not permitted (os error 1): in a user namespace inside an entered one, \
                   the ids outside are those of the entered one: give only ids that are mapped there (newuidmap cannot help)";
    fails(&mut command, Step::UidMap, libc::EPERM, Some(Cause::MissingCapability), message);
    holder.wait().expect("cat has ended");
}

pub(crate) fn missing_program_as_another_user() {
    // The kernel clears the flag that keeps others from this memory, and it is put back.
    let mut command = missing();
    command.uid(65_534).gid(65_534).groups(&[65_534]);
    only_exec_fails(&mut command);
    only_exec_fails(&mut copied(command));
}
