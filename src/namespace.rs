//! Handles: open descriptors that refer to one namespace.
#![forbid(unsafe_code)]

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::error::{At as _, Error, Result, Step};
use crate::process::NOT_TO_BE_LOOKED_INTO;
use crate::{NamespaceKind, PidFd, sys, text};

/// Kind, device and inode of a namespace: what `/proc/<pid>/ns/*` shows. `Display` is `pid:[4026531836]`.
///
/// It is an identity as long as something holds the namespace: a process in it, a [`Namespace`], a bind mount. After
/// that the kernel uses the inode again. [`Namespace::unique_id`] is never used again.
///
/// # References
/// namespaces(7), stat(2)
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NamespaceId {
    kind: NamespaceKind,
    dev: u64,
    ino: u64,
}

impl NamespaceId {
    pub(crate) fn new(kind: NamespaceKind, dev: u64, ino: u64) -> Self {
        Self { kind, dev, ino }
    }

    /// The kind of namespace.
    #[must_use]
    pub fn kind(&self) -> NamespaceKind {
        self.kind
    }

    /// The device number of the file, as stat(2) gives it.
    #[must_use]
    pub fn dev(&self) -> u64 {
        self.dev
    }

    /// The inode number of the file.
    #[must_use]
    pub fn ino(&self) -> u64 {
        self.ino
    }
}

impl fmt::Display for NamespaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:[{}]", self.kind, self.ino)
    }
}

/// An open descriptor that refers to one namespace and keeps it alive. It is close-on-exec.
///
/// ```
/// use linux_namespaces::{Namespace, NamespaceKind, ProcessNamespaces};
/// let net = Namespace::current(NamespaceKind::Net)?;
/// assert_eq!(Some(net.id()?), ProcessNamespaces::current()?.get(NamespaceKind::Net));
/// # Ok::<(), linux_namespaces::Error>(())
/// ```
///
/// # References
/// namespaces(7)
#[derive(Debug)]
pub struct Namespace {
    fd: OwnedFd,
    kind: NamespaceKind,
}

impl Namespace {
    /// Another descriptor for the same namespace.
    ///
    /// # Errors
    /// [`Step::Inspect`]: EMFILE, too many open descriptors.
    ///
    /// # References
    /// `F_DUPFD_CLOEXEC` in fcntl(2)
    pub fn try_clone(&self) -> Result<Self> {
        let fd = self.fd.try_clone();
        Ok(Self {
            fd: fd.at(|| Step::Inspect).map_err(|error| error.on(self.name()))?,
            kind: self.kind,
        })
    }

    /// The one that the calling **thread** is in.
    ///
    /// # Errors
    /// [`Step::Inspect`]: ENOENT for a kind that this kernel lacks, or without /proc.
    ///
    /// # References
    /// namespaces(7), proc_pid_ns(5)
    pub fn current(kind: NamespaceKind) -> Result<Self> {
        Self::in_proc("thread-self", kind, || format!("the {kind} namespace of the calling thread"))
    }

    /// The one that the process or thread with this id, as the mounted /proc numbers it, is in.
    /// [`PidFd::namespace`](crate::PidFd::namespace) is the same without the danger that the number is used again.
    ///
    /// # Errors
    /// [`Step::Inspect`] with the id: ENOENT when there is no such process or kind; EACCES without the right to look
    /// into it, which [`ProcessNamespaces::of`](crate::ProcessNamespaces::of) tells.
    ///
    /// # References
    /// namespaces(7), proc_pid_ns(5)
    pub fn of(pid: u32, kind: NamespaceKind) -> Result<Self> {
        Self::in_proc(&pid.to_string(), kind, || format!("the {kind} namespace of process {pid}"))
    }

    fn in_proc(
        process: &str,
        kind: NamespaceKind,
        operand: impl FnOnce() -> String,
    ) -> Result<Self> {
        let path = format!("/proc/{process}/ns/{kind}");
        let file = File::open(path).at(|| Step::Inspect);
        let file = file.map_err(|error| closed_process(error.on(operand()), true))?;
        Ok(Self::known(file.into(), kind))
    }

    /// Any namespace file: below `/proc/<pid>/ns`, or one that a namespace is bind-mounted on, as by
    /// `ip netns add` or `unshare --net=FILE`.
    ///
    /// # Errors
    /// [`Step::Open`] with the path: what open(2) answers, EACCES for a process that the caller may not look into; or `InvalidInput` for what is not a namespace file.
    /// No kind of file is waited for or changed by the attempt.
    ///
    /// # References
    /// open(2), namespaces(7), ip-netns(8)
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let step = || Step::Open(path.to_path_buf());
        // Neither a FIFO nor a terminal may do anything to a caller who has the wrong path.
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = File::options().read(true).custom_flags(flags).open(path).at(step);
        let file = file.map_err(|error| closed_process(error, path.starts_with("/proc")))?;
        Self::checked(file.into(), step)
    }

    fn checked(fd: OwnedFd, step: impl Fn() -> Step) -> Result<Self> {
        match sys::ioctl_nsfs::kind(fd.as_fd()) {
            Ok(bits) => match NamespaceKind::from_bits(bits) {
                Some(kind) => Ok(Self { fd, kind }),
                None => Err(Error::new(step()).because(format!("it is a namespace of a kind not known here ({bits:#x})"))),
            },
            Err(error) => Err(Error::new(step())
                .errno(error.raw_os_error().unwrap_or(libc::ENOTTY))
                .kind_of(io::ErrorKind::InvalidInput)
                .because("it is not a namespace file: those are in /proc/<pid>/ns, or bind-mounted from there")),
        }
    }

    /// Takes a descriptor that is known to be a namespace of this kind.
    pub(crate) fn known(fd: OwnedFd, kind: NamespaceKind) -> Self {
        Self { fd, kind }
    }

    /// The kind of namespace.
    #[must_use]
    pub fn kind(&self) -> NamespaceKind {
        self.kind
    }

    /// Its identity, good as long as this handle is open.
    ///
    /// # Errors
    /// [`Step::Inspect`] with what fstat(2) answers.
    ///
    /// # References
    /// fstat(2)
    pub fn id(&self) -> Result<NamespaceId> {
        let (dev, ino) =
            sys::stat::identity(self.as_fd()).map_err(|error| self.inspecting(error))?;
        Ok(NamespaceId::new(self.kind, dev, ino))
    }

    /// A number that no other namespace gets as long as the machine runs. `None` before Linux 6.18.
    ///
    /// # Errors
    /// [`Step::Inspect`] with what ioctl_nsfs(2) answers.
    ///
    /// # References
    /// ioctl_nsfs(2)
    pub fn unique_id(&self) -> Result<Option<u64>> {
        match sys::ioctl_nsfs::unique_id(self.as_fd()) {
            Ok(id) => Ok(Some(id)),
            Err(error) if lacks_request(&error) => Ok(None),
            Err(error) => Err(self.inspecting(error)),
        }
    }

    /// The namespace around a user or pid namespace. `None`: out of the caller's sight, as is the parent of the
    /// one it is in itself.
    ///
    /// # Errors
    /// [`Step::Validate`] for the other kinds, which do not nest.
    ///
    /// # References
    /// ioctl_nsfs(2)
    pub fn parent(&self) -> Result<Option<Self>> {
        if !matches!(self.kind, NamespaceKind::User | NamespaceKind::Pid) {
            return Err(Error::invalid(format!(
                "{} has no parent: only user and pid namespaces have",
                self.name()
            )));
        }
        self.related(sys::ioctl_nsfs::parent(self.as_fd()), self.kind)
    }

    /// The user namespace that owns it: whose capabilities count for it. Of a user namespace that is its
    /// parent. `None`: out of the caller's sight.
    ///
    /// # Errors
    /// [`Step::Inspect`] with what ioctl_nsfs(2) answers.
    ///
    /// # References
    /// ioctl_nsfs(2), user_namespaces(7)
    pub fn owner(&self) -> Result<Option<Self>> {
        self.related(sys::ioctl_nsfs::owner(self.as_fd()), NamespaceKind::User)
    }

    /// The user who created a user namespace, as the caller's user namespace numbers ids (65534 if it has no number there).
    ///
    /// # Errors
    /// [`Step::Validate`] for the other kinds: ask their [`owner`](Self::owner).
    ///
    /// # References
    /// ioctl_nsfs(2), user_namespaces(7)
    pub fn owner_uid(&self) -> Result<u32> {
        if self.kind != NamespaceKind::User {
            return Err(Error::invalid(format!(
                "{} has no owner uid: only user namespaces have; ask that of its `owner`",
                self.name()
            )));
        }
        sys::ioctl_nsfs::owner_uid(self.as_fd()).map_err(|error| self.inspecting(error))
    }

    /// The caller's `pid` as this pid namespace numbers it. `None`: that process is not in it, or there is none.
    ///
    /// # Errors
    /// [`Step::Validate`] for the other kinds of namespace.
    ///
    /// # References
    /// ioctl_nsfs(2), pid_namespaces(7)
    pub fn pid_inside(&self, pid: u32) -> Result<Option<u32>> {
        self.check_pid_kind()?;
        match sys::ioctl_nsfs::pid_inside(self.as_fd(), pid) {
            Err(error) if lacks_request(&error) => self.pid_inside_by_proc(pid),
            result => self.translated(result),
        }
    }

    /// The `pid` of this pid namespace as the caller numbers it. `None`: there is no such process, or the caller cannot see it.
    ///
    /// # Errors
    /// [`Step::Validate`] for the other kinds of namespace.
    ///
    /// # References
    /// ioctl_nsfs(2), pid_namespaces(7)
    pub fn pid_outside(&self, pid: u32) -> Result<Option<u32>> {
        self.check_pid_kind()?;
        match sys::ioctl_nsfs::pid_outside(self.as_fd(), pid) {
            Err(error) if lacks_request(&error) => self.pid_outside_by_proc(pid),
            result => self.translated(result),
        }
    }

    /// [`setns`](crate::setns()) to this namespace: moves the calling **thread**.
    ///
    /// # Errors
    /// As [`setns`](crate::setns()).
    ///
    /// # References
    /// setns(2)
    pub fn enter(&self) -> Result<()> {
        crate::setns::setns(self)
    }

    /// How messages call it: its identity, or its kind.
    fn name(&self) -> String {
        match fs::read_link(format!("/proc/self/fd/{}", self.fd.as_raw_fd())) {
            Ok(link) => link.display().to_string(),
            Err(_) => format!("a {} namespace", self.kind),
        }
    }

    fn inspecting(&self, error: io::Error) -> Error {
        Error::new(Step::Inspect).on(self.name()).errno(error.raw_os_error().unwrap_or(libc::EIO))
    }

    /// EPERM is the kernel's word for what is out of sight.
    fn related(&self, found: io::Result<OwnedFd>, kind: NamespaceKind) -> Result<Option<Self>> {
        match found {
            Ok(fd) => Ok(Some(Self { fd, kind })),
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(None),
            Err(error) => Err(self.inspecting(error)),
        }
    }

    fn check_pid_kind(&self) -> Result<()> {
        if self.kind == NamespaceKind::Pid {
            return Ok(());
        }
        Err(Error::invalid(format!("{} numbers no processes: only pid namespaces do", self.name())))
    }

    fn translated(&self, result: io::Result<u32>) -> Result<Option<u32>> {
        match result {
            Ok(0) => Ok(None),
            Ok(pid) => Ok(Some(pid)),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
            Err(error) => Err(self.inspecting(error)),
        }
    }

    /// Before Linux 6.11: `NSpid` has the process's number in each pid namespace from the caller's down to its own.
    pub(crate) fn pid_inside_by_proc(&self, pid: u32) -> Result<Option<u32>> {
        // The mounted /proc may be that of another pid namespace, where the number is somebody else's.
        let shown = match PidFd::open(pid) {
            Ok(process) => process.pid_in_proc()?,
            // A thread other than the first.
            Err(_) => proc_is_own().then_some(pid),
        };
        shown.map_or(Ok(None), |shown| self.number_by_proc(shown))
    }

    /// The number in this namespace of the process that /proc shows as `shown`.
    fn number_by_proc(&self, shown: u32) -> Result<Option<u32>> {
        let Ok(status) = text::read(format!("/proc/{shown}/status")) else {
            return Ok(None);
        };
        let numbers = ns_pids(&status);
        let mut namespace = Self::of(shown, NamespaceKind::Pid).ok();
        for number in numbers.into_iter().rev() {
            let Some(here) = namespace else { return Ok(None) };
            if here.id()? == self.id()? {
                return Ok(Some(number));
            }
            namespace = here.parent()?;
        }
        Ok(None)
    }

    fn pid_outside_by_proc(&self, pid: u32) -> Result<Option<u32>> {
        let processes = fs::read_dir("/proc").at(|| Step::Open("/proc".into()))?;
        for process in processes.flatten() {
            let Some(shown) = process.file_name().to_str().and_then(|name| name.parse().ok())
            else {
                continue;
            };
            if self.number_by_proc(shown)? == Some(pid) {
                return Self::current(NamespaceKind::Pid)?.number_by_proc(shown);
            }
        }
        Ok(None)
    }
}

/// Whether /proc numbers this process as it does itself.
fn proc_is_own() -> bool {
    let own = std::process::id().to_string();
    fs::read_link("/proc/self").is_ok_and(|link| link.as_os_str() == own.as_str())
}

/// Whether the kernel does not know this ioctl of a namespace file, or a filter refuses it, for none of those takes a right.
fn lacks_request(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::EINVAL | libc::ENOSYS | libc::EPERM))
}

/// The error of opening a file, which is one of a process.
fn closed_process(error: Error, of_a_process: bool) -> Error {
    match error.raw_os_error() {
        Some(libc::EACCES) if of_a_process => error.because(NOT_TO_BE_LOOKED_INTO),
        _ => error,
    }
}

/// The line `NSpid` of a `/proc/<pid>/status`.
pub(crate) fn ns_pids(status: &str) -> Vec<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    line.into_iter()
        .flat_map(str::split_ascii_whitespace)
        .filter_map(|number| number.parse().ok())
        .collect()
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Namespace> for OwnedFd {
    fn from(namespace: Namespace) -> Self {
        namespace.fd
    }
}

impl TryFrom<OwnedFd> for Namespace {
    type Error = Error;

    /// # Errors
    /// [`Step::Inspect`], `InvalidInput`, for a descriptor that is not a namespace file. It is closed.
    fn try_from(fd: OwnedFd) -> Result<Self> {
        let number = fd.as_raw_fd();
        Self::checked(fd, || Step::Inspect)
            .map_err(|error| error.on(format!("descriptor {number}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_without_the_ioctl_finds_the_same_pids() {
        let here = Namespace::current(NamespaceKind::Pid).unwrap();
        let me = std::process::id();
        assert_eq!(here.pid_inside_by_proc(me).unwrap(), here.pid_inside(me).unwrap());
        assert_eq!(here.pid_inside_by_proc(me).unwrap(), Some(me));
        assert_eq!(here.pid_outside_by_proc(me).unwrap(), Some(me));
    }

    #[test]
    fn ns_pid_lines() {
        assert_eq!(ns_pids("Name:\tx\nNSpid:\t4711\t1\nNSpgid:\t1\n"), [4711, 1]);
        assert!(ns_pids("Name:\tx\n").is_empty());
    }
}
