//! ioctl_nsfs(2).

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// An ioctl number says in its top bits which way data goes: with 3 bits on some architectures, with 2 on all others.
const WIDE: bool = cfg!(any(
    target_arch = "mips",
    target_arch = "mips64",
    target_arch = "powerpc",
    target_arch = "powerpc64",
    target_arch = "sparc",
    target_arch = "sparc64"
));
pub(super) const NO_DIRECTION: libc::Ioctl = if WIDE { 1 << 29 } else { 0 };
const READ: libc::Ioctl = (if WIDE { 2 << 29 } else { 2u32 << 30 }) as libc::Ioctl;
/// The same bits either way.
pub(super) const READ_WRITE: libc::Ioctl = (3u32 << 30) as libc::Ioctl;

const fn io(number: libc::Ioctl) -> libc::Ioctl {
    NO_DIRECTION | (0xb7 << 8) | number
}

const fn ior<T>(number: libc::Ioctl) -> libc::Ioctl {
    READ | ((size_of::<T>() as libc::Ioctl) << 16) | (0xb7 << 8) | number
}

/// Linux 6.18.
pub(super) const NS_GET_ID: libc::Ioctl = ior::<u64>(13);
/// Linux 6.11.
pub(super) const NS_GET_PID_IN_PIDNS: libc::Ioctl = ior::<c_int>(8);

fn related(namespace: BorrowedFd<'_>, request: libc::Ioctl) -> io::Result<OwnedFd> {
    // SAFETY: a request without an argument.
    let fd = unsafe { libc::ioctl(namespace.as_raw_fd(), request, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the request gives a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `NS_GET_USERNS`: the user namespace that owns it.
pub(crate) fn owner(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    related(namespace, io(1))
}

/// `NS_GET_PARENT`, of a user or pid namespace.
pub(crate) fn parent(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    related(namespace, io(2))
}

/// `NS_GET_NSTYPE`: its `CLONE_NEW*` bit. ENOTTY for what is not a namespace file.
pub(crate) fn kind(file: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: a request without an argument.
    let bits = unsafe { libc::ioctl(file.as_raw_fd(), io(3), 0) };
    if bits < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(bits as u32)
}

/// `NS_GET_OWNER_UID`, of a user namespace.
pub(crate) fn owner_uid(namespace: BorrowedFd<'_>) -> io::Result<u32> {
    let mut uid: libc::uid_t = 0;
    // SAFETY: fills one `uid_t`.
    if unsafe { libc::ioctl(namespace.as_raw_fd(), io(4), &raw mut uid) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(uid)
}

/// `NS_GET_ID` (Linux 6.18).
pub(crate) fn unique_id(namespace: BorrowedFd<'_>) -> io::Result<u64> {
    let mut id = 0u64;
    // SAFETY: fills one `u64`, as the request says.
    if unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_ID, &raw mut id) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(id)
}

/// `NS_GET_MNTNS_ID` (Linux 6.11), of a mount namespace: what statmount(2) and listmount(2) know it by.
pub(crate) fn mount_namespace_id(namespace: BorrowedFd<'_>) -> io::Result<u64> {
    let mut id = 0u64;
    // SAFETY: fills one `u64`, as the request says.
    if unsafe { libc::ioctl(namespace.as_raw_fd(), ior::<u64>(5), &raw mut id) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(id)
}

/// `NS_GET_PID_IN_PIDNS` (Linux 6.11): the caller's `pid` as this namespace numbers it.
pub(crate) fn pid_inside(namespace: BorrowedFd<'_>, pid: u32) -> io::Result<u32> {
    translate(namespace, 8, pid)
}

/// `NS_GET_PID_FROM_PIDNS` (Linux 6.11): this namespace's `pid` as the caller numbers it.
pub(crate) fn pid_outside(namespace: BorrowedFd<'_>, pid: u32) -> io::Result<u32> {
    translate(namespace, 6, pid)
}

fn translate(namespace: BorrowedFd<'_>, number: libc::Ioctl, pid: u32) -> io::Result<u32> {
    // SAFETY: these requests carry the id itself as their argument.
    let result = unsafe {
        libc::ioctl(namespace.as_raw_fd(), ior::<c_int>(number), libc::c_ulong::from(pid))
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result as u32)
}
