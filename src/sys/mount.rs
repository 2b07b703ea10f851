//! mount(2), umount2(2), pivot_root(2), on what descriptors name. May run between clone and exec.

use std::ffi::{CStr, c_int, c_ulong};
use std::os::fd::RawFd;

use super::openat2::{close, name};
use super::syscall::{Errno, syscall};

fn call(number: libc::c_long, args: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: the functions below pass numbers, and addresses of texts that live through the call. What changes are the
    // mounts and directories of a process between clone and exec, or of one that gives itself up for exec.
    unsafe { syscall(number, args) }
}

fn address(text: Option<&CStr>) -> usize {
    text.map_or(0, |text| text.as_ptr().expose_provenance())
}

/// mount(2).
pub(super) fn mount(
    source: Option<&CStr>,
    target: &CStr,
    fstype: Option<&CStr>,
    flags: c_ulong,
    data: Option<&CStr>,
) -> Result<(), Errno> {
    let texts = [source, Some(target), fstype, data].map(address);
    let [source, target, fstype, data] = texts;
    call(libc::SYS_mount, [source, target, fstype, flags as usize, data, 0]).map(drop)
}

/// What to mount.
#[derive(Clone, Copy, Debug)]
pub(super) struct What<'a> {
    pub(super) source: Option<&'a CStr>,
    pub(super) fstype: Option<&'a CStr>,
    pub(super) flags: c_ulong,
    pub(super) data: Option<&'a CStr>,
}

impl What<'_> {
    /// mount(2) with flags alone, to change what is mounted.
    pub(super) fn change(flags: c_ulong) -> Self {
        Self { source: None, fstype: None, flags, data: None }
    }

    /// mount(2) on what `target` names: through /proc, or, where that is not to be had, on the working
    /// directory. `back` is where that is to be again, if anywhere.
    pub(super) fn on(&self, target: RawFd, back: RawFd) -> Result<(), Errno> {
        let path = ProcPath::new(target);
        if let Ok(fd) = name(libc::AT_FDCWD, path.text(), 0) {
            close(fd);
            return mount(self.source, path.text(), self.fstype, self.flags, self.data);
        }
        fchdir(target)?;
        let result = mount(self.source, c".", self.fstype, self.flags, self.data);
        if back >= 0 {
            fchdir(back)?;
        }
        result
    }
}

/// A bind mount of one descriptor on another.
pub(super) fn bind(source: RawFd, target: RawFd, recursive: bool) -> Result<(), Errno> {
    let (source, target) = (ProcPath::new(source), ProcPath::new(target));
    let flags = libc::MS_BIND | if recursive { libc::MS_REC } else { 0 };
    mount(Some(source.text()), target.text(), None, flags, None)
}

/// What one descriptor is the mount of, moved to another.
pub(super) fn move_to(source: RawFd, target: RawFd) -> Result<(), Errno> {
    let (source, target) = (ProcPath::new(source), ProcPath::new(target));
    mount(Some(source.text()), target.text(), None, libc::MS_MOVE, None)
}

/// Adds flags to a mount, as mount(2) can: those that it has must be given again, or in a user namespace
/// it is refused.
pub(super) fn add_flags(mount: RawFd, flags: c_ulong, back: RawFd) -> Result<(), Errno> {
    let flags = libc::MS_REMOUNT | libc::MS_BIND | flags | flags_of(mount)?;
    What::change(flags).on(mount, back)
}

/// statfs(2): the flags of a mount, without those about access times, which a remount keeps by itself.
#[cfg(all(target_pointer_width = "64", not(any(target_arch = "s390x", target_arch = "mips64"))))]
fn flags_of(mount: RawFd) -> Result<c_ulong, Errno> {
    const F_FLAGS: usize = 10;
    const ST_NOSYMFOLLOW: u64 = 0x2000;
    const MS_NOSYMFOLLOW: c_ulong = 0x100;
    let mut status = [0u64; 16];
    let buffer = status.as_mut_ptr().expose_provenance();
    call(libc::SYS_fstatfs, [mount as usize, buffer, 0, 0, 0, 0])?;
    let kept = libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    let links = if status[F_FLAGS] & ST_NOSYMFOLLOW != 0 { MS_NOSYMFOLLOW } else { 0 };
    Ok(status[F_FLAGS] as c_ulong & kept | links)
}

/// Here `struct statfs` has another shape.
#[cfg(not(all(
    target_pointer_width = "64",
    not(any(target_arch = "s390x", target_arch = "mips64"))
)))]
fn flags_of(_: RawFd) -> Result<c_ulong, Errno> {
    Err(Errno(libc::ENOSYS))
}

/// fchdir(2).
pub(super) fn fchdir(directory: RawFd) -> Result<(), Errno> {
    call(libc::SYS_fchdir, [directory as usize, 0, 0, 0, 0, 0]).map(drop)
}

/// chdir(2).
pub(super) fn chdir(path: &CStr) -> Result<(), Errno> {
    call(libc::SYS_chdir, [address(Some(path)), 0, 0, 0, 0, 0]).map(drop)
}

/// chroot(2).
pub(super) fn chroot(path: &CStr) -> Result<(), Errno> {
    call(libc::SYS_chroot, [address(Some(path)), 0, 0, 0, 0, 0]).map(drop)
}

/// umount2(2).
pub(super) fn unmount(path: &CStr, flags: c_int) -> Result<(), Errno> {
    call(libc::SYS_umount2, [address(Some(path)), flags as usize, 0, 0, 0, 0]).map(drop)
}

/// pivot_root(2) to the working directory, with the old root mounted on the new.
pub(super) fn pivot_root_here() -> Result<(), Errno> {
    let here = address(Some(c"."));
    call(libc::SYS_pivot_root, [here, here, 0, 0, 0, 0]).map(drop)
}

/// symlinkat(2).
pub(super) fn symlink(text: &CStr, directory: RawFd, name: &CStr) -> Result<(), Errno> {
    let [text, name] = [text, name].map(|text| address(Some(text)));
    call(libc::SYS_symlinkat, [text, directory as usize, name, 0, 0, 0]).map(drop)
}

/// The working directory by its name, if the directory of that name is still to be seen there; else `/`.
pub(super) fn rename_directory() -> Result<(), Errno> {
    let mut buffer = [0u8; libc::PATH_MAX as usize];
    let room = buffer.as_mut_ptr().expose_provenance();
    let named = call(libc::SYS_getcwd, [room, buffer.len(), 0, 0, 0, 0]).is_ok();
    // "(unreachable)" is no name.
    if named && buffer.first() == Some(&b'/') {
        if let Ok(path) = CStr::from_bytes_until_nul(&buffer) {
            if chdir(path).is_ok() {
                return Ok(());
            }
        }
    }
    chdir(c"/")
}

/// The path of a descriptor in /proc, made without allocation.
struct ProcPath([u8; 32]);

impl ProcPath {
    fn new(fd: RawFd) -> Self {
        const START: &[u8] = b"/proc/self/fd/";
        let mut path = [0; 32];
        let mut used = 0;
        let mut push = |byte| {
            if let Some(place) = path.get_mut(used) {
                *place = byte;
                used += 1;
            }
        };
        START.iter().for_each(|byte| push(*byte));
        let number = fd.unsigned_abs();
        let mut unit = 1_000_000_000;
        while unit > number && unit > 1 {
            unit /= 10;
        }
        while unit > 0 {
            push(b'0' + (number / unit % 10) as u8);
            unit /= 10;
        }
        Self(path)
    }

    fn text(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_have_paths() {
        for fd in [0, 7, 10, 1023, i32::MAX] {
            assert_eq!(ProcPath::new(fd).text().to_str().unwrap(), format!("/proc/self/fd/{fd}"));
        }
    }
}
