//! The one error type: what was being done, what the kernel answered, why, and what helps.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use crate::{NamespaceKind, Namespaces};

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What failed, on what, with which errno, and, where that is known, why and what helps.
///
/// It reads `{step}: {errno}: {reason and remedy}` on one line, the operand included, for example
/// `mount proc on /proc: Operation not permitted (os error 1): the caller's own /proc is partly masked …`.
/// [`source`](std::error::Error::source) is always `None`: the message already says everything once.
///
/// ```
/// use linux_namespaces::{Command, Step};
/// let error = Command::new("/no/such/program").spawn().unwrap_err();
/// assert_eq!(error.step(), &Step::Exec("/no/such/program".into()));
/// assert_eq!(error.raw_os_error(), Some(2));
/// assert_eq!(error.to_string(), "execute /no/such/program: No such file or directory (os error 2)");
/// ```
///
/// # References
/// errno(3)
#[derive(Clone, thiserror::Error)]
#[error("{0}")]
pub struct Error(Box<Details>);

impl fmt::Debug for Error {
    /// The message, for that is what `unwrap` and a `main` that returns the error show. `{:#?}` shows the parts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() { fmt::Debug::fmt(&self.0, f) } else { fmt::Display::fmt(&self.0, f) }
    }
}

#[derive(Clone, Debug)]
struct Details {
    step: Step,
    operand: Option<String>,
    errno: Option<i32>,
    kind: io::ErrorKind,
    cause: Option<Cause>,
    hint: Option<String>,
}

impl Error {
    /// What was being done, with the operand that programs may want to compare.
    #[must_use]
    pub fn step(&self) -> &Step {
        &self.0.step
    }

    /// The kind that [`io::Error`] has for the errno; `InvalidInput` for what is refused before any system call.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.0.kind
    }

    /// The errno of the system call that failed; `None` where none was made.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        self.0.errno
    }

    /// Why, for programs, where that could be found out. [`hint`](Self::hint) is the same for people.
    #[must_use]
    pub fn cause(&self) -> Option<&Cause> {
        self.0.cause.as_ref()
    }

    /// Why, and what helps, for people. It may be there without a [`cause`](Self::cause), for a
    /// reason that has no name among those.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    pub(crate) fn new(step: Step) -> Self {
        Self(Box::new(Details {
            step,
            operand: None,
            errno: None,
            kind: io::ErrorKind::Other,
            cause: None,
            hint: None,
        }))
    }

    /// A setting or argument that makes no sense, found before any system call.
    pub(crate) fn invalid(why: impl Into<String>) -> Self {
        Self::new(Step::Validate).kind_of(io::ErrorKind::InvalidInput).because(why)
    }

    pub(crate) fn kind_of(mut self, kind: io::ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// What the step was done on, where [`Step`] has no place for it.
    pub(crate) fn on(mut self, operand: impl Into<String>) -> Self {
        self.0.operand = Some(operand.into());
        self
    }

    pub(crate) fn errno(mut self, errno: i32) -> Self {
        self.0.errno = Some(errno);
        self.kind_of(io::Error::from_raw_os_error(errno).kind())
    }

    /// Why, where the reason has no [`Cause`].
    pub(crate) fn because(mut self, why: impl Into<String>) -> Self {
        self.0.hint = Some(why.into());
        self
    }

    pub(crate) fn caused_by(mut self, cause: Cause) -> Self {
        self.0.hint = Some(cause.to_string());
        self.0.cause = Some(cause);
        self
    }
}

/// Says which step an [`io::Error`] of the standard library or of `sys` happened in.
pub(crate) trait At<T> {
    fn at(self, step: impl FnOnce() -> Step) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, step: impl FnOnce() -> Step) -> Result<T> {
        self.map_err(|error| match error.raw_os_error() {
            Some(errno) => Error::new(step()).errno(errno),
            None => Error::new(step()).kind_of(error.kind()).because(error.to_string()),
        })
    }
}

impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.step)?;
        if let Some(operand) = &self.operand {
            write!(f, " {operand}")?;
        }
        if let Some(errno) = self.errno {
            write!(f, ": {}", io::Error::from_raw_os_error(errno))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, ": {hint}")?;
        }
        Ok(())
    }
}

impl From<Error> for io::Error {
    /// Keeps the kind and the whole message; the [`Error`] itself is `get_ref()`.
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error)
    }
}

/// What was being done when it failed. `Display` is the first half of an error's message.
///
/// # References
/// namespaces(7), and the page that is named at each
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Reading a text, such as a kind's name.
    Parse,
    /// Checking the settings, before any system call.
    Validate,
    /// Opening a file.
    Open(PathBuf),
    /// Looking at a process or a namespace.
    Inspect,
    /// Bind-mounting a namespace on a file, or undoing that.
    Persist(PathBuf),
    /// clone(2), with these new namespaces.
    Clone(Namespaces),
    /// unshare(2).
    Unshare(Namespaces),
    /// setns(2) with a namespace file.
    Enter(NamespaceKind),
    /// setns(2) with a process.
    EnterProcess(Namespaces),
    /// Writing `/proc/<pid>/setgroups`.
    Setgroups,
    /// Writing `/proc/<pid>/uid_map`.
    UidMap,
    /// Writing `/proc/<pid>/gid_map`.
    GidMap,
    /// sethostname(2).
    Hostname,
    /// setdomainname(2).
    Domainname,
    /// Bringing up the interface `lo`.
    Loopback,
    /// Writing `/proc/self/timens_offsets`.
    ClockOffset,
    /// Entering the cgroup.
    Cgroup,
    /// setsid(2).
    Session,
    /// setpgid(2).
    ProcessGroup,
    /// Setting the propagation of all mounts.
    Propagation,
    /// mount(2), on this directory or file.
    Mount(PathBuf),
    /// pivot_root(2), to this directory.
    PivotRoot(PathBuf),
    /// Putting a descriptor under this number.
    Fd(RawFd),
    /// chdir(2).
    Chdir(PathBuf),
    /// setgroups(2).
    Groups,
    /// setresgid(2).
    Gid,
    /// setresuid(2).
    Uid,
    /// capset(2), and the bounding and ambient sets.
    Capabilities,
    /// prctl(2) with `PR_SET_NO_NEW_PRIVS`.
    NoNewPrivs,
    /// Arranging for the signal at the parent's death.
    ParentDeathSignal,
    /// A function given to [`Command::pre_exec`](crate::Command::pre_exec).
    PreExec,
    /// execve(2) of this program, as it was named.
    Exec(PathBuf),
    /// Sending a signal, or setting what signals do.
    Signal,
    /// waitid(2).
    Wait,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parse => f.write_str("parse"),
            Self::Validate => f.write_str("invalid setting"),
            Self::Open(path) => write!(f, "open {}", Shown(path)),
            Self::Inspect => f.write_str("inspect"),
            Self::Persist(path) => write!(f, "persist a namespace at {}", Shown(path)),
            Self::Clone(set) if set.is_empty() => f.write_str("clone a process"),
            Self::Clone(set) => write!(f, "clone a process into new namespaces ({set})"),
            Self::Unshare(set) => write!(f, "unshare namespaces ({set})"),
            Self::Enter(kind) => write!(f, "enter the {kind} namespace"),
            Self::EnterProcess(set) => write!(f, "enter the namespaces ({set}) of process"),
            Self::Setgroups => f.write_str("write setgroups"),
            Self::UidMap => f.write_str("write uid_map"),
            Self::GidMap => f.write_str("write gid_map"),
            Self::Hostname => f.write_str("set the hostname"),
            Self::Domainname => f.write_str("set the domainname"),
            Self::Loopback => f.write_str("bring up the loopback interface"),
            Self::ClockOffset => f.write_str("set the clock offset"),
            Self::Cgroup => f.write_str("enter the cgroup"),
            Self::Session => f.write_str("start a session"),
            Self::ProcessGroup => f.write_str("set the process group"),
            Self::Propagation => f.write_str("set the propagation of all mounts"),
            // What belongs on /proc is proc: the one mount the crate makes by itself.
            Self::Mount(path) if path.as_os_str() == "/proc" => f.write_str("mount proc on /proc"),
            Self::Mount(path) => write!(f, "mount on {}", Shown(path)),
            Self::PivotRoot(path) => write!(f, "pivot_root to {}", Shown(path)),
            Self::Fd(number) => write!(f, "pass descriptor {number}"),
            Self::Chdir(path) => write!(f, "change directory to {}", Shown(path)),
            Self::Groups => f.write_str("set the supplementary groups"),
            Self::Gid => f.write_str("set the group id"),
            Self::Uid => f.write_str("set the user id"),
            Self::Capabilities => f.write_str("set the capabilities"),
            Self::NoNewPrivs => f.write_str("set no_new_privs"),
            Self::ParentDeathSignal => f.write_str("set the parent-death signal"),
            Self::PreExec => f.write_str("run the pre_exec hook"),
            Self::Exec(path) => write!(f, "execute {}", Shown(path)),
            Self::Signal => f.write_str("signal"),
            Self::Wait => f.write_str("wait for process"),
        }
    }
}

/// A path in a message of one line: as it is, or quoted and escaped if it would not be seen, or break the line.
pub(crate) struct Shown<'a>(pub(crate) &'a Path);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string_lossy();
        if text.is_empty() || text.chars().any(char::is_control) {
            return write!(f, "{:?}", self.0);
        }
        f.write_str(&text)
    }
}

/// How deep the kernel nests namespaces of this kind below the first one. It has one limit, 32, for the depth of a new pid namespace, and
/// for the depth of what is around a new user namespace.
pub(crate) fn deepest(kind: NamespaceKind) -> u32 {
    if kind == NamespaceKind::User { 33 } else { 32 }
}

/// Why something is refused here. `Display` says it in words, with the remedy.
///
/// # References
/// namespaces(7), user_namespaces(7), capabilities(7)
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// `kernel.apparmor_restrict_unprivileged_userns` is 1 and this program has no profile that allows them.
    AppArmor,
    /// Debian's `kernel.unprivileged_userns_clone` is 0.
    UsernsSysctl,
    /// `user.max_<kind>_namespaces`, here or in an outer user namespace.
    Limit(NamespaceKind),
    /// Below the first of their kind user namespaces nest 33 deep at most, and pid namespaces 32.
    Nesting(NamespaceKind),
    /// The caller is inside a chroot(2).
    Chroot,
    /// The caller's user or group id has no mapping in its own user namespace.
    UnmappedUser,
    /// The caller lacks the capability.
    MissingCapability,
    /// A seccomp filter on the caller answers instead of the kernel.
    Seccomp,
    /// Parts of the caller's own `/proc` are covered.
    MaskedProc,
    /// There is no `/proc` that shows the caller, where the kernel has files that are needed.
    MissingProc,
    /// The process is closed to others of its user (`PR_SET_DUMPABLE` is 0), as after a change of its ids, and with it the files of its
    /// children.
    NotDumpable,
    /// A security module of the kernel other than AppArmor: SELinux, a BPF program.
    SecurityModule,
    /// The process has more than one thread.
    Threads,
    /// `newuidmap` and `newgidmap` are not installed.
    MissingHelper,
    /// The kernel has no such interface or kind.
    Kernel,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AppArmor => f.write_str(
                "AppArmor restricts unprivileged user namespaces here (kernel.apparmor_restrict_unprivileged_userns is 1): \
                 give this program an AppArmor profile with the rule `userns,`, or set that sysctl to 0",
            ),
            Self::UsernsSysctl => f.write_str(
                "unprivileged user namespaces are switched off (kernel.unprivileged_userns_clone is 0): \
                 set that sysctl to 1, or run as root",
            ),
            Self::Limit(kind) => write!(
                f,
                "the limit on {kind} namespaces is reached: raise the sysctl user.max_{kind}_namespaces, \
                 here or in the user namespace around this one"
            ),
            Self::Nesting(kind) => write!(
                f,
                "the kernel nests {kind} namespaces {} deep at most: create this one further out",
                deepest(*kind)
            ),
            Self::Chroot => f.write_str(
                "the caller is inside a chroot, from where the kernel allows no user namespace: \
                 change its root with pivot_root(2) instead of chroot(2)",
            ),
            Self::UnmappedUser => f.write_str(
                "the caller's user or group id has no mapping in its own user namespace: \
                 map it there, or change to an id that is mapped",
            ),
            Self::MissingCapability => f.write_str(
                "the caller lacks the capability for it: run as root, or add `Namespaces::USER` to the set \
                 to get every capability over what is created",
            ),
            Self::Seccomp => f.write_str(
                "a seccomp filter on this process refuses the system call, as in many containers: \
                 allow it in the profile of the container",
            ),
            Self::MaskedProc => f.write_str(
                "the caller's own /proc is partly masked (as in containers), so the kernel gives it no new one: \
                 run it with an unmasked /proc, or set `mount_proc(false)`",
            ),
            Self::MissingProc => f.write_str(
                "it is done in a file below /proc, which is not mounted or is that of another pid namespace: \
                 mount proc of the caller's own pid namespace on /proc",
            ),
            Self::NotDumpable => f.write_str(
                "this process is not dumpable, as after a change of its ids, so the map files of its children belong to root: \
                 set prctl(PR_SET_DUMPABLE) to 1, or spawn from a program that was executed under that id",
            ),
            Self::SecurityModule => f.write_str(
                "none of the kernel's own rules forbids it, so a security module does (SELinux, a BPF program): \
                 what it refused and why is in the kernel's log or the audit log (journalctl)",
            ),
            Self::Threads => f.write_str(
                "the kernel allows it only to a process with one thread: do it before other threads are started, \
                 or use `Command`, which works from any thread",
            ),
            Self::MissingHelper => f.write_str(
                "newuidmap and newgidmap are not installed, and only they may write such a map for an ordinary user: \
                 install the `uidmap` package",
            ),
            Self::Kernel => f.write_str("this kernel does not have it: use a newer one, or one built with it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_step_operand_errno_hint() {
        let error = Error::new(Step::UidMap).on("\"0 1 1\"").errno(libc::EPERM).because("ask root");
        assert_eq!(
            error.to_string(),
            "write uid_map \"0 1 1\": Operation not permitted (os error 1): ask root"
        );
        assert!(error.to_string().starts_with(&error.step().to_string()));
        assert!(std::error::Error::source(&error).is_none());
    }

    #[test]
    fn an_io_error_keeps_kind_message_and_the_error_itself() {
        let error = Error::new(Step::Exec("x".into())).errno(libc::ENOENT);
        let text = error.to_string();
        let io = io::Error::from(error);
        assert_eq!(io.kind(), io::ErrorKind::NotFound);
        assert_eq!(io.to_string(), text);
        assert!(io.get_ref().unwrap().downcast_ref::<Error>().is_some());
    }
}
