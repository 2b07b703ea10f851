//! Processes: a descriptor that means one for good, and the namespaces that one is in.
#![forbid(unsafe_code)]

use std::ffi::CStr;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::sync::OnceLock;

use crate::error::{At as _, Error, Result, Step};
use crate::inventory::link;
use crate::namespace::ns_pids;
use crate::{Namespace, NamespaceId, NamespaceKind, Namespaces, sys};

/// ptrace(2), "Ptrace access mode checking", in short.
pub(crate) const NOT_TO_BE_LOOKED_INTO: &str = "the caller may not look into that process: be its user and have all the \
     capabilities that it has, while it is dumpable (which it is not after a change of its ids), or have CAP_SYS_PTRACE";

/// A pidfd: it means one process, whatever becomes of its number. pidfd_open(2).
///
/// It is close-on-exec, and can be read as "ended" by poll(2) and epoll(7).
///
/// # References
/// pidfd_open(2)
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// The process with this id in the caller's pid namespace.
    ///
    /// # Errors
    /// [`Step::Inspect`] with the id: ESRCH when there is none; EINVAL, or ENOENT since Linux 6.9, for the id of a thread other than the first.
    ///
    /// # Requires
    /// Linux 5.3. Where a seccomp filter refuses the call, the caller itself is still to be had, from a socket of its own: Linux 6.5.
    ///
    /// # Examples
    /// ```
    /// use linux_namespaces::PidFd;
    /// let me = PidFd::open(std::process::id())?;
    /// assert_eq!(me.pid()?, Some(std::process::id()));
    /// # Ok::<(), linux_namespaces::Error>(())
    /// ```
    ///
    /// # References
    /// pidfd_open(2)
    pub fn open(pid: u32) -> Result<Self> {
        if pid == 0 || i32::try_from(pid).is_err() {
            return Err(Error::invalid(format!(
                "{pid} is no process id: they are 1 to {}",
                i32::MAX
            )));
        }
        sys::pidfd::open(pid)
            .at(|| Step::Inspect)
            .map_err(|error| error.on(format!("process {pid}")))
            .map(Self)
    }

    /// Another descriptor for the same process.
    ///
    /// # Errors
    /// [`Step::Inspect`]: EMFILE, too many open descriptors.
    ///
    /// # References
    /// `F_DUPFD_CLOEXEC` in fcntl(2)
    pub fn try_clone(&self) -> Result<Self> {
        self.0.try_clone().at(|| Step::Inspect).map_err(|error| error.on("a pidfd")).map(Self)
    }

    /// Its id as the caller's pid namespace numbers it. `None` once the process is gone: ended and waited for;
    /// and for one outside the caller's pid namespace.
    ///
    /// # Errors
    /// [`Step::Inspect`]: before Linux 6.13 it is read from `/proc/self/fdinfo`, which may be missing. Where that /proc is of another pid
    /// namespace than the caller's, pidfd_open(2) is needed as well.
    ///
    /// # References
    /// pidfd_open(2), proc_pid_fdinfo(5)
    pub fn pid(&self) -> Result<Option<u32>> {
        match sys::pidfd::pid(self.as_fd()) {
            Ok(pid) => Ok(Some(pid)),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
            Err(_) => self.pid_by_proc(),
        }
    }

    /// Its id as the caller numbers it, of a /proc that may number processes otherwise.
    fn pid_by_proc(&self) -> Result<Option<u32>> {
        let info = self.info()?;
        let number = pid_of(&info);
        if number.is_none() || sys::readlink::number(c"/proc/self") == Some(std::process::id()) {
            return Ok(number);
        }
        // Its numbers in the pid namespace of that /proc and in those below, down to its own. In the caller's it is the one that is its.
        for candidate in ns_pids(&info) {
            match sys::pidfd::open(candidate).map(Self) {
                Ok(process) if process.pid_in_proc()? == number => return Ok(Some(candidate)),
                Err(error) if sys::pidfd::is_refusal(&error) => {
                    return Err(error).at(|| Step::Inspect).map_err(|error| error.on("a pidfd"));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Its id as the mounted /proc numbers it, which may be that of another pid namespace than the caller's.
    pub(crate) fn pid_in_proc(&self) -> Result<Option<u32>> {
        self.info().map(|info| pid_of(&info))
    }

    fn info(&self) -> Result<String> {
        let path = format!("/proc/self/fdinfo/{}", self.0.as_raw_fd());
        fs::read_to_string(path).at(|| Step::Inspect).map_err(|error| error.on("a pidfd"))
    }

    /// A handle for the namespace of this kind that the process is in.
    ///
    /// # Errors
    /// [`Step::Inspect`] with the process: ESRCH when it is gone; EACCES or EPERM without the right to look into it, which
    /// [`ProcessNamespaces::of`] tells.
    ///
    /// # References
    /// pidfd_open(2), namespaces(7), proc_pid_ns(5)
    pub fn namespace(&self, kind: NamespaceKind) -> Result<Namespace> {
        match sys::pidfd::namespace(self.as_fd(), kind) {
            Ok(fd) => Ok(Namespace::known(fd, kind)),
            // A kernel before 6.11; or a zombie, which still has two namespaces to be had by name.
            Err(_) => {
                let pid = self.pid_in_proc()?.ok_or_else(|| self.gone())?;
                let namespace = Namespace::of(pid, kind);
                self.still_there()?;
                namespace
            }
        }
    }

    /// pidfd_send_signal(2): never reaches another process.
    ///
    /// # Errors
    /// [`Step::Signal`] with the number: ESRCH when the process is gone, EPERM without the right to signal it,
    /// EINVAL for a number that is no signal.
    ///
    /// # References
    /// pidfd_send_signal(2), signal(7)
    pub fn send_signal(&self, signal: i32) -> Result<()> {
        sys::pidfd::send_signal(self.as_fd(), signal)
            .at(|| Step::Signal)
            .map_err(|error| error.on(signal.to_string()))
    }

    /// An error if the process has been reaped: its number may be another's by now.
    fn still_there(&self) -> Result<()> {
        let is_gone = match sys::pidfd::send_signal(self.as_fd(), 0) {
            Ok(()) => false,
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => true,
            // It is another user's, or a filter refuses the call.
            Err(_) => matches!(self.pid_in_proc(), Ok(None)),
        };
        if is_gone { Err(self.gone()) } else { Ok(()) }
    }

    fn gone(&self) -> Error {
        Error::new(Step::Inspect)
            .on("the process of a pidfd")
            .errno(libc::ESRCH)
            .because("it has ended")
    }

    /// Takes a descriptor that is known to be a pidfd.
    /// The time namespace that its children will be in, and it itself after exec. `None`: nobody tells.
    pub(crate) fn time_for_children(&self) -> Option<Result<Namespace>> {
        let fd = match sys::pidfd::time_for_children(self.0.as_fd()) {
            Ok(fd) => fd,
            Err(_) => {
                let pid = self.pid_in_proc().ok().flatten()?;
                std::fs::File::open(format!("/proc/{pid}/ns/time_for_children")).ok()?.into()
            }
        };
        Some(Namespace::try_from(fd))
    }

    pub(crate) fn known(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<PidFd> for OwnedFd {
    fn from(pidfd: PidFd) -> Self {
        pidfd.0
    }
}

impl TryFrom<OwnedFd> for PidFd {
    type Error = Error;

    /// # Errors
    /// [`Step::Inspect`], `InvalidInput`, for a descriptor that is no pidfd. It is closed.
    fn try_from(fd: OwnedFd) -> Result<Self> {
        let operand = || format!("descriptor {}", fd.as_raw_fd());
        match sys::wait::is_pidfd(fd.as_fd())
            .at(|| Step::Inspect)
            .map_err(|error| error.on(operand()))?
        {
            true => Ok(Self(fd)),
            false => Err(Error::new(Step::Inspect)
                .on(operand())
                .errno(libc::EBADF)
                .kind_of(io::ErrorKind::InvalidInput)
                .because("it is no pidfd")),
        }
    }
}

/// The identities of one process or thread at one moment: `/proc/<pid>/ns`.
///
/// `Display` reads like `ls -l /proc/<pid>/ns`, one line for each entry. It holds nothing: an
/// identity may be another namespace's once the last holder of this one is gone (see [`NamespaceId`]).
///
/// ```
/// use linux_namespaces::{NamespaceKind, Namespaces, ProcessNamespaces};
/// let here = ProcessNamespaces::current()?;
/// println!("{here}");
/// assert_eq!(here.shared_with(&here), here.iter().map(|id| id.kind()).collect::<Namespaces>());
/// # Ok::<(), linux_namespaces::Error>(())
/// ```
///
/// # References
/// namespaces(7), proc_pid_ns(5)
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcessNamespaces {
    /// In the order of `NamespaceKind::ALL`.
    ids: [Option<NamespaceId>; 8],
    pid_for_children: Option<NamespaceId>,
    time_for_children: Option<NamespaceId>,
}

/// The names below /proc/<pid>, in the order of `NamespaceKind::ALL`.
pub(crate) const ENTRIES: [&CStr; 8] =
    [c"ns/cgroup", c"ns/ipc", c"ns/mnt", c"ns/net", c"ns/pid", c"ns/time", c"ns/user", c"ns/uts"];

impl ProcessNamespaces {
    /// The calling **thread's**: they may differ from those of other threads, and of `/proc/self`, after
    /// [`unshare`](crate::unshare()) or [`setns`](crate::setns()).
    ///
    /// # Errors
    /// [`Step::Inspect`]: ENOENT where /proc is not mounted, or is that of another pid namespace.
    ///
    /// # References
    /// namespaces(7), proc_pid_ns(5)
    pub fn current() -> Result<Self> {
        Self::current_of(Namespaces::all())
    }

    /// The same, of these kinds only.
    pub(crate) fn current_of(kinds: Namespaces) -> Result<Self> {
        Self::read("/proc/thread-self", kinds)
            .at(|| Step::Inspect)
            .map_err(|error| error.on("the calling thread"))
    }

    /// Those of the process or thread with this id, as the mounted /proc numbers it.
    ///
    /// Each entry is read by its name, so what a zombie still shows (user and pid) is there.
    ///
    /// # Errors
    /// [`Step::Inspect`] with the id, when nothing could be read: ENOENT, no such process; EACCES, the caller may not look
    /// into it. That takes CAP_SYS_PTRACE; or to be its user, with all the capabilities that it has, while it is dumpable (`PR_SET_DUMPABLE`), which
    /// it is not after a change of its ids.
    ///
    /// # References
    /// namespaces(7), proc_pid_ns(5), "Ptrace access mode checking" in ptrace(2)
    pub fn of(pid: u32) -> Result<Self> {
        Self::of_number(pid, Namespaces::all())
    }

    fn of_number(pid: u32, kinds: Namespaces) -> Result<Self> {
        Self::read(&format!("/proc/{pid}"), kinds).at(|| Step::Inspect).map_err(|error| {
            let error = error.on(format!("process {pid}"));
            match error.raw_os_error() {
                Some(libc::EACCES) => error.because(NOT_TO_BE_LOOKED_INTO),
                Some(libc::ENOENT | libc::ESRCH) => {
                    error.because("there is no such process, as /proc numbers them")
                }
                _ => error,
            }
        })
    }

    /// Those of the process that a pidfd means: never those of another that got its number.
    ///
    /// # Errors
    /// As [`of`](Self::of), and ESRCH when the process is gone.
    ///
    /// # References
    /// pidfd_open(2), namespaces(7)
    pub fn of_process(process: &PidFd) -> Result<Self> {
        Self::of_process_of(process, Namespaces::all())
    }

    /// The same, of these kinds only.
    pub(crate) fn of_process_of(process: &PidFd, kinds: Namespaces) -> Result<Self> {
        let pid = process.pid_in_proc()?.ok_or_else(|| process.gone())?;
        let found = Self::of_number(pid, kinds);
        process.still_there()?;
        found
    }

    /// `None`: this kernel has no such kind, or the process no longer shows it, or it may not be read.
    #[must_use]
    pub fn get(&self, kind: NamespaceKind) -> Option<NamespaceId> {
        self.ids[kind as usize]
    }

    /// What its next children will be in: for pid and time only. `None` for pid also between `unshare(PID)` and the first child.
    #[must_use]
    pub fn for_children(&self, kind: NamespaceKind) -> Option<NamespaceId> {
        match kind {
            NamespaceKind::Pid => self.pid_for_children,
            NamespaceKind::Time => self.time_for_children,
            _ => None,
        }
    }

    /// In the order of [`NamespaceKind::ALL`], without those that are not known.
    pub fn iter(&self) -> impl Iterator<Item = NamespaceId> {
        self.ids.into_iter().flatten()
    }

    /// The kinds in which both are in the same namespace.
    #[must_use]
    pub fn shared_with(&self, other: &Self) -> Namespaces {
        self.compare(other, |a, b| a == b)
    }

    /// The kinds in which they are in different namespaces. A kind that one of them does not show is in neither set.
    #[must_use]
    pub fn differing_from(&self, other: &Self) -> Namespaces {
        self.compare(other, |a, b| a != b)
    }

    fn compare(
        &self,
        other: &Self,
        wanted: impl Fn(NamespaceId, NamespaceId) -> bool,
    ) -> Namespaces {
        NamespaceKind::ALL
            .into_iter()
            .filter(|kind| self.get(*kind).zip(other.get(*kind)).is_some_and(|(a, b)| wanted(a, b)))
            .collect()
    }

    /// An error only if no entry could be read: the one that says most.
    fn read(process: &str, kinds: Namespaces) -> io::Result<Self> {
        let directory = File::options()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
            .open(process)?;
        let mut failure = None;
        let mut entry = |kind: NamespaceKind, name| {
            if !kinds.contains(kind.flag()) {
                return None;
            }
            match read_entry(directory.as_fd(), kind, name) {
                Ok(id) => Some(id),
                Err(error) => {
                    if failure.is_none() || error.raw_os_error() != Some(libc::ENOENT) {
                        failure = Some(error);
                    }
                    None
                }
            }
        };
        let mut ids = [None; 8];
        for ((id, kind), name) in ids.iter_mut().zip(NamespaceKind::ALL).zip(ENTRIES) {
            *id = entry(kind, name);
        }
        let pid_for_children = entry(NamespaceKind::Pid, c"ns/pid_for_children");
        let time_for_children = entry(NamespaceKind::Time, c"ns/time_for_children");
        match failure {
            Some(error) if ids.iter().all(Option::is_none) => Err(error),
            _ => Ok(Self { ids, pid_for_children, time_for_children }),
        }
    }
}

/// The line `Pid` of the fdinfo of a pidfd: 0 for one outside the pid namespace of the mounted /proc, -1 for one that is gone.
pub(crate) fn pid_of(fdinfo: &str) -> Option<u32> {
    let pid = fdinfo.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    pid.trim().parse().ok().filter(|pid| *pid > 0)
}

/// An entry reads "pid:[4026531836]": the inode. The device is the same for all.
fn read_entry(
    directory: BorrowedFd<'_>,
    kind: NamespaceKind,
    name: &CStr,
) -> io::Result<NamespaceId> {
    let mut buffer = [0; 64];
    let link = sys::readlink::readlinkat(directory, name, &mut buffer)?;
    let found = link::namespace(link).filter(|(found, _)| *found == kind);
    let (_, ino) = found.ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    Ok(NamespaceId::new(kind, nsfs_device()?, ino))
}

/// The device number that all namespace files share.
pub(crate) fn nsfs_device() -> io::Result<u64> {
    static DEVICE: OnceLock<u64> = OnceLock::new();
    if let Some(device) = DEVICE.get() {
        return Ok(*device);
    }
    let device = fs::metadata("/proc/thread-self/ns/mnt")?.dev();
    Ok(*DEVICE.get_or_init(|| device))
}

impl fmt::Display for ProcessNamespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for kind in NamespaceKind::ALL {
            let names = [
                (kind.proc_name(), "", self.get(kind)),
                (kind.proc_name(), "_for_children", self.for_children(kind)),
            ];
            for (name, suffix, id) in names {
                if let Some(id) = id {
                    write!(f, "{separator}{name}{suffix} -> {id}")?;
                    separator = "\n";
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_in_the_order_of_the_kinds() {
        for (kind, name) in NamespaceKind::ALL.into_iter().zip(ENTRIES) {
            assert_eq!(name.to_str().unwrap(), format!("ns/{kind}"));
            assert_eq!(NamespaceKind::ALL[kind as usize], kind);
        }
    }

    #[test]
    fn only_the_kinds_asked_for_are_read() {
        let all = ProcessNamespaces::current().unwrap();
        let some = ProcessNamespaces::current_of(Namespaces::NET | Namespaces::PID).unwrap();
        let found: Vec<_> = some.iter().collect();
        assert_eq!(Some(found[0]), all.get(NamespaceKind::Net));
        assert_eq!(Some(found[1]), all.get(NamespaceKind::Pid));
        assert_eq!(found.len(), 2);
        assert_eq!(some.for_children(NamespaceKind::Pid), all.for_children(NamespaceKind::Pid));
        assert_eq!(some.for_children(NamespaceKind::Time), None);
    }

    #[test]
    fn the_process_of_a_pidfd() {
        assert_eq!(pid_of("pos:\t0\nflags:\t02\nPid:\t4711\nNSpid:\t4711\t1\n"), Some(4711));
        for nobody in ["", "Pid:", "Pid:\t0\n", "Pid:\t-1\n", "NSpid:\t7\n", "Pid:\t4294967296\n"] {
            assert_eq!(pid_of(nobody), None, "{nobody:?}");
        }
    }
}
