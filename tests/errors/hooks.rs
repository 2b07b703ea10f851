//! Process groups and hooks.

use crate::device::*;

pub(crate) fn process_group_is_elsewhere() {
    let mut other = StdCommand::new("cat");
    other.stdin(StdStdio::piped());
    // SAFETY: setsid(2) is async-signal-safe.
    unsafe { other.pre_exec(own_session) };
    let mut other = other.spawn().expect("cat");
    for group in [other.id() as i32, i32::MAX] {
        let message = format!(
            "set the process group {group}: Operation not permitted (os error 1): \
             there is no such process group in the session of the caller"
        );
        let mut command = missing();
        command.process_group(group);
        fails(&mut command, Step::ProcessGroup, libc::EPERM, None, &message);
        fails(&mut copied(command), Step::ProcessGroup, libc::EPERM, None, &message);
    }
    other.wait().expect("cat has ended");
}

pub(crate) fn own_session() -> io::Result<()> {
    // SAFETY: no arguments, and no effect but on this process.
    if unsafe { libc::setsid() } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

pub(crate) fn hook_fails() {
    let busy = || Err(io::Error::from_raw_os_error(libc::EBUSY));
    let mut command = missing();
    // SAFETY: makes a number into an error.
    unsafe { command.pre_exec(busy) };
    let message = "run the pre_exec hook: Device or resource busy (os error 16)";
    fails(&mut command, Step::PreExec, libc::EBUSY, None, message);
    // The hooks before it are of no account, and those behind it are not run.
    let mut command = copied(missing());
    // SAFETY: makes a number into an error.
    unsafe { command.pre_exec(busy) };
    let mut command = copied(command);
    fails(&mut command, Step::PreExec, libc::EBUSY, None, message);
    let mut command = missing();
    // SAFETY: makes an error that is a number too.
    unsafe { command.pre_exec(|| Err(io::ErrorKind::Other.into())) };
    let message = "run the pre_exec hook: Invalid argument (os error 22)";
    fails(&mut command, Step::PreExec, libc::EINVAL, None, message);
}

pub(crate) fn hook_panics_or_ends() {
    let mut command = missing();
    // What a panic says is not of interest here.
    command.stderr(Stdio::null());
    // SAFETY: this process has no other thread that could hold a lock.
    unsafe { command.pre_exec(|| panic!("as it should")) };
    let message = "run the pre_exec hook: it panicked";
    fails(&mut command, Step::PreExec, None, None, message);
    assert_eq!(refusal(&mut command).kind(), io::ErrorKind::Other);
    let mut command = missing();
    // SAFETY: _exit(2) is async-signal-safe.
    unsafe { command.pre_exec(end) };
    let message = "run the pre_exec hook: it ended with exit status: 0 in the middle of this step";
    fails(&mut command, Step::PreExec, None, None, message);
    let mut command = missing();
    // SAFETY: kills the child.
    unsafe { command.pre_exec(kill_itself) };
    let message =
        "run the pre_exec hook: it ended with signal: 9 (SIGKILL) in the middle of this step";
    fails(&mut command, Step::PreExec, None, None, message);
}

pub(crate) fn end() -> io::Result<()> {
    // SAFETY: ends the child, and nothing of it is used again.
    unsafe { libc::_exit(0) }
}

pub(crate) fn kill_itself() -> io::Result<()> {
    // SAFETY: asks for a number.
    let own = unsafe { libc::getpid() };
    // SAFETY: signals this process alone.
    unsafe { libc::kill(own, libc::SIGKILL) };
    Ok(())
}
