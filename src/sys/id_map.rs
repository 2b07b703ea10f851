//! user_namespaces(7): the files that map ids. May run between clone and exec.

use std::ffi::{CStr, c_char};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use super::ids;
use super::line::Line;
use super::syscall::{Errno, syscall};

/// What is written to a file `setgroups` to give up setgroups(2) in the namespace.
pub(crate) const DENY: &[u8] = b"deny";

/// One file to write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Map<'a> {
    pub(crate) path: &'a CStr,
    pub(crate) text: Text<'a>,
    /// For a gid_map of the writer's own id. Without CAP_SETGID in the parent namespace it must first give up setgroups(2) there
    /// for good; so that is done, in this file, only after the kernel has refused the map without it.
    pub(crate) setgroups: Option<&'a CStr>,
}

/// What is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Text<'a> {
    Lines(&'a [u8]),
    /// The writer's own user id, which only it knows when it has entered another user namespace.
    OwnUser(Inside),
    /// The writer's own group id.
    OwnGroup(Inside),
}

/// As which id the writer's own one is mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Inside {
    Same,
    Root,
}

impl Map<'_> {
    pub(crate) fn write(&self) -> Result<(), Errno> {
        let own;
        let text = match self.text {
            Text::Lines(lines) => lines,
            Text::OwnUser(inside) => {
                own = own_line(ids::GETEUID, inside)?;
                own.text()
            }
            Text::OwnGroup(inside) => {
                own = own_line(ids::GETEGID, inside)?;
                own.text()
            }
        };
        match (write(self.path, text), self.setgroups) {
            (Err(Errno(libc::EPERM)), Some(setgroups)) => {
                write(setgroups, DENY)?;
                write(self.path, text)
            }
            (result, _) => result,
        }
    }
}

/// The line that maps the writer's own id.
fn own_line(call: libc::c_long, inside: Inside) -> Result<Line, Errno> {
    // SAFETY: asks for the effective id of the process.
    let id = unsafe { syscall(call, [0; 6]) }? as u32;
    let mut line = Line::new();
    line.number(if inside == Inside::Root { 0 } else { id });
    line.bytes(b" ");
    line.number(id);
    line.bytes(b" 1\n");
    Ok(line)
}

/// Writes the file in one call: the kernel takes a map whole or not at all.
pub(super) fn write(path: &CStr, text: &[u8]) -> Result<(), Errno> {
    let file = open_raw(path.as_ptr())?;
    let result = put_raw(file, text);
    // SAFETY: a descriptor made here, which nobody else knows.
    let _ = unsafe { syscall(libc::SYS_close, [file as usize, 0, 0, 0, 0, 0]) };
    result
}

/// `path` is a text that ends with NUL, borrowed for the call.
fn open_raw(path: *const c_char) -> Result<RawFd, Errno> {
    let flags = (libc::O_WRONLY | libc::O_CLOEXEC) as usize;
    let args = [libc::AT_FDCWD as usize, path.expose_provenance(), flags, 0, 0, 0];
    // SAFETY: the callers below pass such a text.
    unsafe { syscall(libc::SYS_openat, args) }.map(|file| file as RawFd)
}

fn put_raw(file: RawFd, text: &[u8]) -> Result<(), Errno> {
    let args = [file as usize, text.as_ptr().expose_provenance(), text.len(), 0, 0, 0];
    // SAFETY: a text that is borrowed for the call.
    match unsafe { syscall(libc::SYS_write, args) } {
        Ok(written) if written != text.len() => Err(Errno(libc::EIO)),
        result => result.map(drop),
    }
}

/// Opens one of the files, for the caller's side. An error is an errno.
pub(crate) fn open(path: &CStr) -> Result<OwnedFd, i32> {
    owned(open_raw(path.as_ptr()))
}

/// Opens that of the process which /proc shows under this number.
pub(crate) fn open_of(process: u32, name: &str) -> Result<OwnedFd, i32> {
    let mut path = Line::new();
    path.bytes(b"/proc/");
    path.number(process);
    path.bytes(b"/");
    path.bytes(name.as_bytes());
    owned(open_raw(path.as_ptr()))
}

fn owned(file: Result<RawFd, Errno>) -> Result<OwnedFd, i32> {
    let file = file.map_err(|errno| errno.0)?;
    // SAFETY: made just now, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(file) })
}

/// Writes it in one call. An error is an errno; then the same descriptor may be tried again.
pub(crate) fn put(file: BorrowedFd<'_>, text: &[u8]) -> Result<(), i32> {
    put_raw(file.as_raw_fd(), text).map_err(|errno| errno.0)
}
