//! The cgroup that a program is born in: cgroups(7).
#![forbid(unsafe_code)]

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};

use super::Command;
use crate::error::{At as _, Error, Result, Step};
use crate::sys;

/// A cgroup directory, and the way into it where clone3(2) knows none.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) directory: RawFd,
    processes: OwnedFd,
}

impl Prepared {
    pub(super) fn new(directory: &OwnedFd) -> Result<Self> {
        let fd = directory.as_fd();
        if !sys::cgroup::is_version_2(fd).at(|| Step::Cgroup)? {
            return Err(Error::new(Step::Cgroup).errno(libc::EBADF).because(
                "the descriptor is not of a directory of cgroup version 2: open one below where `cgroup2` is mounted",
            ));
        }
        let processes = sys::cgroup::processes(fd).at(|| Step::Cgroup);
        let processes = processes.map_err(|error| explain(error, 0))?;
        Ok(Self { directory: fd.as_raw_fd(), processes })
    }

    pub(super) fn processes(&self) -> RawFd {
        self.processes.as_raw_fd()
    }

    /// The error of a clone, if it is about the cgroup.
    pub(super) fn failed(errno: i32) -> Option<Error> {
        const ERRNOS: [i32; 6] =
            [libc::EACCES, libc::EBADF, libc::EBUSY, libc::ENODEV, libc::ENOENT, libc::EOPNOTSUPP];
        ERRNOS.contains(&errno).then(|| explain(Error::new(Step::Cgroup), errno))
    }
}

/// What the kernel's answer means; `errno` unless the error has it already.
pub(super) fn explain(error: Error, errno: i32) -> Error {
    let error = if errno == 0 { error } else { error.errno(errno) };
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => error.because(
            "it takes the right to write to `cgroup.procs` of that cgroup and of the nearest one around it and the caller's: \
             run as root, or have both delegated to the caller's user",
        ),
        Some(libc::EBUSY) => error.because(
            "a cgroup that gives controllers to its children (`cgroup.subtree_control`) takes no process itself: use one of the children",
        ),
        Some(libc::EOPNOTSUPP) => error.because(
            "no process can be in it, for the cgroup around it is one of threads (its `cgroup.type` is `domain invalid`): use another",
        ),
        Some(libc::ENODEV) => error.because("the cgroup has been removed"),
        Some(libc::ENOENT) => error.because(
            "the directory is that of no cgroup that processes can be in, or it has been removed, or it is outside the caller's cgroup namespace",
        ),
        Some(libc::EAGAIN) => error.because("the limit on processes of that cgroup (`pids.max`) is reached"),
        _ => error,
    }
}

impl Command {
    /// Has the program born in a cgroup: an open directory of cgroup version 2. The command keeps the descriptor for further spawns.
    ///
    /// It is there from its first instruction on, so nothing of it escapes the limits of the cgroup. With `CGROUP`, the new cgroup
    /// namespace has that cgroup as its root.
    ///
    /// ```no_run
    /// use linux_namespaces::{Command, flags::*};
    /// use std::fs::{self, File};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// fs::create_dir("/sys/fs/cgroup/job")?;
    /// fs::write("/sys/fs/cgroup/job/pids.max", "100")?;
    /// Command::new("make").namespaces(CGROUP).cgroup(File::open("/sys/fs/cgroup/job")?).status()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// At spawn: [`Step::Cgroup`](crate::Step::Cgroup). EBADF: no directory of cgroup version 2. EACCES: no right to it. EBUSY: it
    /// gives controllers to children. EOPNOTSUPP: its `cgroup.type` is invalid. ENODEV: it is gone.
    ///
    /// # Requires
    /// Write access to its `cgroup.procs`, and to that of the nearest cgroup around both it and the caller's. Where there is no clone3 with
    /// `CLONE_INTO_CGROUP` (Linux 5.7), the child moves itself there before all else.
    ///
    /// # References
    /// cgroups(7), clone(2)
    pub fn cgroup(&mut self, dir: impl Into<OwnedFd>) -> &mut Self {
        self.cgroup = Some(dir.into());
        self
    }
}
