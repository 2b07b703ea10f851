//! From an operation that failed to the error that says so.
#![forbid(unsafe_code)]

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use super::plan::Materials;
use super::supplies::Prepared;
use super::{cgroup, dumpable};
use crate::diagnose::Id;
use crate::error::{At as _, Cause, Error, Step};
use crate::sys::child::Op;
use crate::sys::clone::Spec;
use crate::sys::spawn::Failure;
use crate::{NamespaceKind, Namespaces, diagnose, sys};

impl Materials<'_> {
    /// The error of a spawn.
    pub(super) fn explain(&self, ops: &[Op<'_>], failure: Failure<Error>) -> Error {
        let set = self.command.get_namespaces();
        match failure {
            Failure::Resources(error) => {
                Err::<(), _>(error).at(|| Step::Clone(set)).expect_err("built as an error")
            }
            Failure::Clone(errno) => self.not_entered(errno).unwrap_or_else(|| {
                diagnose::creating(Error::new(Step::Clone(set)).errno(errno), set)
            }),
            Failure::Op(place, errno) => match &ops[place] {
                op @ (Op::Enter { .. } | Op::EnterProcess { .. }) => {
                    let error = self.failing(op).errno(errno);
                    diagnose::entering_in_child(error, self.joins.kinds)
                }
                op => self.failed(op, errno),
            },
            Failure::Died(place, status) => self.died(&ops[place], status),
            Failure::Help(error) => error,
        }
    }

    /// The process ended in the middle of an operation, for a reason that is none of the operation's.
    fn died(&self, op: &Op<'_>, status: Option<ExitStatus>) -> Error {
        let how = ended(status);
        let error = self.failing(op);
        let signal = status.and_then(|status| status.signal());
        if self.joins.kinds.contains(Namespaces::PID)
            && matches!(signal, None | Some(libc::SIGKILL))
        {
            return self.joins.entering_pid().because(format!(
                "{how}: process 1 of the pid namespace has ended and taken it along, or somebody has killed it"
            ));
        }
        match (signal, op) {
            (Some(libc::SIGSYS), Op::AwaitMaps { .. }) => killed_by_a_filter(awaiting_maps(), &how),
            (Some(libc::SIGSYS), _) => killed_by_a_filter(error, &how),
            _ => error.because(how),
        }
    }

    /// The error of an operation.
    pub(super) fn failed(&self, op: &Op<'_>, errno: i32) -> Error {
        let command = self.command;
        let created = command.get_namespaces();
        let error = self.failing(op).errno(errno);
        if let (Op::Hop(Spec { cgroup: Some(_), .. }), Some(error)) = (op, self.not_entered(errno))
        {
            return error;
        }
        match op {
            Op::Enter { .. } | Op::EnterProcess { .. } => diagnose::entering(error, self.joins.kinds),
            // Only a pid namespace whose process 1 is gone has the kernel say so.
            Op::Hop(_) if errno == libc::ENOMEM && self.joins.kinds.contains(Namespaces::PID) => {
                self.joins.entering_pid().kind_of(io::ErrorKind::NotFound).because(
                    "process 1 of that pid namespace has ended, and no other process can be started in there",
                )
            }
            Op::Hop(_) if errno == libc::EPERM && self.is_out_of_power(NamespaceKind::User) => error.caused_by(Cause::UnmappedUser).because(
                "the caller's user or group id has no mapping in the user namespace that is entered: map it there, or enter it as another user",
            ),
            Op::UnshareTimeIfLegacy { for_function: true } => diagnose::creating(error, created)
                .because("only clone3(2) puts a function into a new time namespace, and it is not to be had here: run a program instead"),
            Op::Hop(_) | Op::Unshare(_) | Op::UnshareTimeIfLegacy { .. } => diagnose::creating(error, created),
            // The wait itself is none of the map's writing: what it takes is that the child cannot outlive the caller in it.
            Op::AwaitMaps { .. } => diagnose::calling(awaiting_maps().errno(errno)),
            Op::ParentDeathSignal { .. }
            | Op::NoNewPrivs
            | Op::Dispositions { .. }
            | Op::Unblock => diagnose::calling(error),
            Op::ProcessGroup(_) if errno == libc::EPERM => {
                error.because("there is no such process group in the session of the caller")
            }
            Op::Session if errno == libc::EPERM => {
                error.because("the caller leads a process group, and who does can start no session: use `spawn`")
            }
            Op::Suspend { .. } if errno == libc::EBADF => {
                error.because("a hook has closed the descriptor by which the child is to be resumed")
            }
            Op::Hostname(_) | Op::Domainname(_) => self.refused(error, NamespaceKind::Uts),
            Op::Cgroup { .. } => cgroup::explain(error, 0),
            Op::ClockOffsets { .. } => self.of_clocks(error),
            Op::Loopback => self.refused(error, NamespaceKind::Net),
            Op::Propagation(_) => self.of_mounts(error, diagnose::propagation),
            Op::Mount { .. } => self.of_mounts(error, |error| diagnose::mounting_proc(error, created)),
            Op::Mounting(act) => self.mounting_failed(act, error),
            Op::Dup { to, .. } | Op::DupSaved { to } | Op::Save { to, .. } => {
                match sys::process::open_files_limit() {
                    Some(limit) if *to as u64 >= limit => error.because(format!(
                        "the number is not below the limit on open files (RLIMIT_NOFILE), which is {limit}"
                    )),
                    _ => error,
                }
            }
            Op::DirectoryIsInside if errno == libc::EXDEV => {
                error.because("it leads out of the mount namespace that is entered, as a link to a descriptor of the caller's does")
            }
            Op::Chdir(_) if errno == libc::ENOENT && created.contains(Namespaces::MOUNT) => {
                error.because("there is no such directory inside")
            }
            Op::Groups(_) | Op::DropGroups { .. } => self.of_groups(error),
            Op::Gid(_) => self.of_ids(error, Id::Group),
            Op::Uid(_) => self.of_ids(error, Id::User),
            Op::Capabilities(change) => self.of_capabilities(error, *change),
            Op::PreExec(_) if errno == 0 => self.failing(op).because("it panicked"),
            Op::Exec(_) => self.prepared.not_executed(error, self.joins.kinds),
            _ => error,
        }
    }

    /// What was being done, and on what.
    pub(super) fn failing(&self, op: &Op<'_>) -> Error {
        let command = self.command;
        let created = command.get_namespaces();
        match op {
            Op::Enter { fd, .. } | Op::EnterProcess { fd, .. } => self.joins.entering(*fd),
            Op::Dumpable(_) if !self.joins.kinds.contains(Namespaces::USER) => {
                Error::new(Step::Capabilities).on("(guarding the memory)")
            }
            Op::Dumpable(_) => {
                Error::new(Step::EnterProcess(self.joins.kinds)).on("(guarding the memory)")
            }
            Op::Hop(_)
            | Op::Init(_)
            | Op::UnshareTimeIfLegacy { .. }
            | Op::Environment(_)
            | Op::OpenNamespace(_)
            | Op::End
            | Op::Probe(_) => Error::new(Step::Clone(created)),
            Op::Unshare(_) => Error::new(Step::Unshare(created)),
            Op::AwaitMaps { .. } | Op::WriteMap(_) => Error::new(Step::UidMap),
            Op::OwnDescriptors { first } => closing(*first),
            Op::Session => Error::new(Step::Session),
            Op::ParentDeathSignal { signal, .. } => {
                Error::new(Step::ParentDeathSignal).on(signal.to_string())
            }
            Op::ProcessGroup(group) => Error::new(Step::ProcessGroup).on(group.to_string()),
            Op::Hostname(name) => {
                Error::new(Step::Hostname).on(format!("{:?}", OsStr::from_bytes(name)))
            }
            Op::Domainname(name) => {
                Error::new(Step::Domainname).on(format!("{:?}", OsStr::from_bytes(name)))
            }
            Op::Cgroup { .. } => Error::new(Step::Cgroup),
            Op::ClockOffsets { text, .. } => {
                let text = String::from_utf8_lossy(text);
                Error::new(Step::ClockOffset).on(format!("{:?}", text.trim_end()))
            }
            Op::Loopback => Error::new(Step::Loopback).on("lo"),
            Op::Propagation(_) => Error::new(Step::Propagation),
            Op::Mount { target, .. } => Error::new(Step::Mount(path(target))),
            Op::Mounting(act) => self.mounting(act),
            Op::Dup { to, .. } | Op::Save { to, .. } | Op::DupSaved { to } => {
                Error::new(Step::Fd(*to))
            }
            Op::Chdir(directory) => Error::new(Step::Chdir(path(directory))),
            Op::DirectoryIsInside => {
                Error::new(Step::Chdir(command.get_current_dir().unwrap_or(Path::new(".")).into()))
            }
            Op::Groups(groups) => Error::new(Step::Groups).on(format!("{groups:?}")),
            Op::DropGroups { .. } => Error::new(Step::Groups).on("[]"),
            Op::Gid(gid) => Error::new(Step::Gid).on(gid.to_string()),
            Op::Uid(uid) => Error::new(Step::Uid).on(uid.to_string()),
            Op::Capabilities(change) => self.changing_capabilities(*change),
            Op::NoNewPrivs => Error::new(Step::NoNewPrivs),
            Op::Dispositions { .. } => signals(),
            Op::PreExec(_) => Error::new(Step::PreExec),
            Op::Suspend { .. } | Op::Close { .. } | Op::Unblock | Op::Call(_) | Op::Exec(_) => {
                failing_late(op, created, self.prepared.invocation.name())
            }
        }
    }

    /// The error of a clone that put the program into no cgroup.
    fn not_entered(&self, errno: i32) -> Option<Error> {
        self.cgroup.and_then(|_| cgroup::Prepared::failed(errno))
    }

    fn of_clocks(&self, error: Error) -> Error {
        match error.raw_os_error() {
            Some(libc::ERANGE) => error.because(
                "the clock would be below zero by it, or above 4611686018 s, as seen from the first time namespace",
            ),
            Some(libc::ENOENT) => error.because(
                "it is written to /proc/self/timens_offsets: mount proc, and use a kernel with time namespaces (Linux 5.6)",
            ),
            Some(libc::EPERM) => error.caused_by(Cause::MissingCapability).because(
                "it takes CAP_SYS_TIME over the new time namespace: run as root, or add `Namespaces::USER`",
            ),
            Some(libc::EACCES) if self.joins.kinds.contains(Namespaces::USER) => error.because(
                "/proc/self/timens_offsets is root's while the memory, which the caller and the child share, is closed to the user namespace \
                 that is entered: spawn it from a process that is in there already, or as root",
            ),
            Some(libc::EACCES) if dumpable::settled() != Some(1) => error.caused_by(Cause::NotDumpable).because(
                "/proc/self/timens_offsets is root's while the caller's memory is closed, as after a change of ids: \
                 open it by prctl(2), PR_SET_DUMPABLE, or run as root",
            ),
            _ => error,
        }
    }

    /// The program is in a new user namespace and in an entered namespace of this kind, which belongs to one further out.
    fn is_out_of_power(&self, kind: NamespaceKind) -> bool {
        let created = self.command.get_namespaces();
        created.contains(Namespaces::USER) && self.joins.kinds.contains(kind.flag())
    }

    pub(super) fn refused(&self, error: Error, kind: NamespaceKind) -> Error {
        if error.raw_os_error() == Some(libc::EPERM) && self.is_out_of_power(kind) {
            return error.caused_by(Cause::MissingCapability).because(format!(
                "the {kind} namespace that is entered belongs to the user namespace around the new one: \
                 create a new {kind} namespace as well, or leave out `Namespaces::USER`"
            ));
        }
        diagnose::inside(error, self.command.get_namespaces())
    }

    pub(super) fn of_mounts(&self, error: Error, diagnose: impl FnOnce(Error) -> Error) -> Error {
        if self.is_out_of_power(NamespaceKind::Mount) {
            return self.refused(error, NamespaceKind::Mount);
        }
        diagnose(error)
    }
}

impl Prepared {
    /// execve(2) failed in the namespaces `joined`, and what else the command is about.
    pub(super) fn not_executed(&self, error: Error, joined: Namespaces) -> Error {
        let joins_mount = joined.contains(Namespaces::MOUNT);
        let in_new_root = !joins_mount && self.mounts.has_root();
        if in_new_root && error.raw_os_error() == Some(libc::ENOENT) {
            return error.because(
                "inside the new root there is no such program, or not the loader or interpreter that runs it",
            );
        }
        // As far as that can be looked at from here.
        let is_seen = !joins_mount && !self.mounts.hides_paths();
        let base = self.directory.as_deref().map(path).unwrap_or_default();
        let mut candidates = self.invocation.paths().map(|candidate| base.join(candidate));
        let found = if is_seen { candidates.find(|path| path.exists()) } else { None };
        diagnose::executing(error, found.as_deref())
    }
}

/// What was being done by an operation that may come behind the wait of a suspended child, when the command is another one or gone.
pub(super) fn failing_late(op: &Op<'_>, created: Namespaces, program: &OsStr) -> Error {
    match op {
        Op::Suspend { .. } => Error::new(Step::Wait).on("(to be resumed)"),
        Op::Close { first, .. } => closing(*first),
        Op::Unblock => signals(),
        Op::Exec(_) => Error::new(Step::Exec(program.into())),
        _ => Error::new(Step::Clone(created)),
    }
}

fn closing(first: u32) -> Error {
    Error::new(Step::Fd(first as RawFd)).on("and up (closing them)")
}

fn signals() -> Error {
    Error::new(Step::Signal).on("dispositions and mask")
}

/// How a process ended that should not have.
pub(super) fn ended(status: Option<ExitStatus>) -> String {
    match status {
        Some(status) => format!("it ended with {status} in the middle of this step"),
        None => "it was killed in the middle of this step".to_owned(),
    }
}

pub(super) fn killed_by_a_filter(error: Error, how: &str) -> Error {
    error.caused_by(Cause::Seccomp).because(format!(
        "{how}, as a seccomp filter has it for this system call: allow it in the profile of the container"
    ))
}

fn awaiting_maps() -> Error {
    Error::new(Step::ParentDeathSignal).on("SIGKILL for the wait for the id maps")
}

fn path(text: &CStr) -> PathBuf {
    OsStr::from_bytes(text.to_bytes()).into()
}
