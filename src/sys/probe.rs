//! Calls that tell by their errno whether there is such an interface, and do nothing. For a child of the caller's: a filter may
//! kill whoever makes a call that it does not know.

use std::ffi::{CStr, c_int};
use std::os::fd::RawFd;

use super::syscall::{Errno, syscall};
use super::{ioctl_nsfs, pidfd};

/// What is asked. Answered `Ok` if it is there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Probe {
    /// clone3(2).
    Clone3,
    /// clone3(2) with the argument for `CLONE_INTO_CGROUP`.
    CloneIntoCgroup,
    /// setns(2) at all.
    Setns,
    /// setns(2) with a pidfd, which is the caller's.
    SetnsPidfd(RawFd),
    /// `PIDFD_GET_MNT_NAMESPACE` of a pidfd.
    PidfdNamespace(RawFd),
    /// `NS_GET_ID` of a namespace.
    UniqueId(RawFd),
    /// `NS_GET_PID_IN_PIDNS` of a pid namespace.
    PidTranslation(RawFd),
    /// close_range(2).
    CloseRange,
    /// `/proc/self/timens_offsets`.
    TimeOffsets,
    /// listns(2).
    ListNamespaces,
    /// Whether the root directory of the process is this one.
    Root(Root),
}

/// A directory, and the mount it is seen in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Root {
    device: (u32, u32),
    inode: u64,
    mount: u64,
}

impl Root {
    /// The caller's own; `None` before Linux 5.8.
    pub(crate) fn own() -> Option<Self> {
        Self::read().ok().flatten()
    }

    fn read() -> Result<Option<Self>, Errno> {
        // SAFETY: plain integers.
        let mut status: libc::statx = unsafe { std::mem::zeroed() };
        let args = [
            libc::AT_FDCWD as usize,
            c"/".as_ptr().expose_provenance(),
            0,
            (libc::STATX_INO | libc::STATX_MNT_ID) as usize,
            (&raw mut status).expose_provenance(),
            0,
        ];
        call(libc::SYS_statx, args)?;
        let wanted = libc::STATX_INO | libc::STATX_MNT_ID;
        Ok((status.stx_mask & wanted == wanted).then_some(Self {
            device: (status.stx_dev_major, status.stx_dev_minor),
            inode: status.stx_ino,
            mount: status.stx_mnt_id,
        }))
    }
}

/// `struct clone_args` up to the cgroup.
#[repr(C, align(8))]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    /// stack, stack_size, tls, set_tid, set_tid_size
    others: [u64; 5],
    cgroup: u64,
}
const _: () = assert!(size_of::<CloneArgs>() == 88);

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

fn call(number: libc::c_long, args: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: each caller below passes numbers and addresses of what it holds for the call.
    unsafe { syscall(number, args) }
}

/// A call that always fails: with one of these errnos if it is there.
fn fails_with(expected: &[c_int], result: Result<usize, Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno(errno)) if !expected.contains(&errno) => Err(Errno(errno)),
        _ => Ok(()),
    }
}

impl Probe {
    /// May run between clone and exec.
    pub(super) fn run(self) -> Result<(), Errno> {
        match self {
            // No arguments are too few, so it can never succeed.
            Self::Clone3 => {
                fails_with(&[libc::EINVAL, libc::EFAULT], call(libc::SYS_clone3, [0; 6]))
            }
            Self::CloneIntoCgroup => {
                // No signal has that number, so no process is ever made. A kernel that does not know so long a
                // structure says E2BIG before it looks at it.
                let args = CloneArgs {
                    flags: CLONE_INTO_CGROUP,
                    pidfd: 0,
                    child_tid: 0,
                    parent_tid: 0,
                    exit_signal: u64::MAX,
                    others: [0; 5],
                    cgroup: 1,
                };
                let address = (&raw const args).expose_provenance();
                let size = size_of::<CloneArgs>();
                fails_with(&[libc::EINVAL], call(libc::SYS_clone3, [address, size, 0, 0, 0, 0]))
            }
            Self::Setns => {
                fails_with(&[libc::EBADF], call(libc::SYS_setns, [usize::MAX, 0, 0, 0, 0, 0]))
            }
            Self::SetnsPidfd(fd) => {
                // Into what it is in already, two of them, which only a pidfd has. EINVAL is what a file that is no namespace got before.
                let set = (libc::CLONE_NEWNS | libc::CLONE_NEWUTS) as usize;
                match call(libc::SYS_setns, [fd as usize, set, 0, 0, 0, 0]) {
                    Err(Errno(errno @ (libc::EINVAL | libc::ENOSYS))) => Err(Errno(errno)),
                    _ => Ok(()),
                }
            }
            Self::PidfdNamespace(fd) => {
                let request = pidfd::GET_MNT_NAMESPACE as usize;
                match call(libc::SYS_ioctl, [fd as usize, request, 0, 0, 0, 0]) {
                    Ok(fd) => call(libc::SYS_close, [fd, 0, 0, 0, 0, 0]).map(drop),
                    // The caller is closed to its child, as it may be for a moment of another thread's spawn.
                    Err(Errno(libc::EACCES)) => Ok(()),
                    Err(errno) => Err(errno),
                }
            }
            Self::UniqueId(fd) => {
                let mut id = 0u64;
                let address = (&raw mut id).expose_provenance();
                let request = ioctl_nsfs::NS_GET_ID as usize;
                call(libc::SYS_ioctl, [fd as usize, request, address, 0, 0, 0]).map(drop)
            }
            Self::PidTranslation(fd) => {
                // Process 1 is there as long as anybody is; if it is out of sight, that is an answer too.
                let request = ioctl_nsfs::NS_GET_PID_IN_PIDNS as usize;
                let result = call(libc::SYS_ioctl, [fd as usize, request, 1, 0, 0, 0]);
                fails_with(&[libc::ESRCH], result)
            }
            // From and to the number above all.
            Self::CloseRange => {
                let last = u32::MAX as usize;
                call(libc::SYS_close_range, [last, last, 0, 0, 0, 0]).map(drop)
            }
            Self::TimeOffsets => open(c"/proc/self/timens_offsets"),
            Self::ListNamespaces => {
                fails_with(&[libc::EINVAL, libc::EFAULT], call(LISTNS, [0, 0, 0, 0, 0, 0]))
            }
            Self::Root(root) => match Root::read()? {
                Some(other) if other == root => Ok(()),
                _ => Err(Errno(libc::EXDEV)),
            },
        }
    }
}

/// listns(2), Linux 6.19. Since pidfd_open all architectures number new system calls alike, each from its own start.
const LISTNS: libc::c_long = libc::SYS_pidfd_open + (470 - 434);

fn open(path: &CStr) -> Result<(), Errno> {
    let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as usize;
    let path = path.as_ptr().expose_provenance();
    let fd = call(libc::SYS_openat, [libc::AT_FDCWD as usize, path, flags, 0, 0, 0])?;
    call(libc::SYS_close, [fd, 0, 0, 0, 0, 0]).map(drop)
}

/// `PR_GET_SECCOMP`: 2 if a filter is on the calling thread.
pub(crate) fn seccomp_mode() -> Option<u32> {
    // SAFETY: takes no more arguments. In mode 1, where it would kill, nothing has come this far.
    let mode = unsafe { syscall(libc::SYS_prctl, [libc::PR_GET_SECCOMP as usize, 0, 0, 0, 0, 0]) };
    mode.ok().and_then(|mode| u32::try_from(mode).ok())
}
