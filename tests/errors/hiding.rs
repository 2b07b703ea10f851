//! What hides the failure elsewhere: closed descriptors, and taken numbers.

use crate::device::*;

pub(crate) fn hook_that_closes_everything() {
    let mut command = missing();
    // SAFETY: closes numbers in the child, whose owners are never used there again.
    unsafe { command.pre_exec(close_everything) };
    only_exec_fails(&mut command);
    only_exec_fails(command.inherit_fds(true).stdin(Stdio::piped()).stdout(Stdio::piped()));
}

pub(crate) fn passed_descriptors_hide_nothing() {
    for target in 3..=40 {
        let mut command = missing();
        command.fd(target, null());
        only_exec_fails(&mut command);
        let error = refusal(&mut copied(command));
        assert_eq!(error.to_string(), NOT_THERE, "passed as {target}");
    }
    let mut all = missing();
    for target in 3..=40 {
        all.fd(target, null());
    }
    only_exec_fails(&mut all);
    only_exec_fails(all.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    only_exec_fails(&mut copied(all));
}

pub(crate) fn exec_in_place() {
    let before = Traces::now();
    let mut command = missing();
    command.fd(7, null()).stdout(Stdio::null());
    for _ in 0..TIMES {
        let error = command.exec();
        keeps_the_laws(&error);
        says(&error, Step::Exec(MISSING.into()), libc::ENOENT, None, NOT_THERE);
    }
    drop(command);
    assert_eq!(Traces::now(), before);
}
