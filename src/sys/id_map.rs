//! user_namespaces(7): the files that map ids. May run between clone and exec.

use std::ffi::CStr;

use super::syscall::{Errno, syscall};

/// One map to write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Map<'a> {
    pub(crate) path: &'a CStr,
    pub(crate) text: &'a [u8],
    /// For a gid_map. A writer without CAP_SETGID in the parent namespace must first give up setgroups(2) there
    /// for good; so that is done, in this file, only after the kernel has refused the map without it.
    pub(crate) setgroups: Option<&'a CStr>,
}

impl Map<'_> {
    pub(crate) fn write(&self) -> Result<(), Errno> {
        match (write(self.path, self.text), self.setgroups) {
            (Err(Errno(libc::EPERM)), Some(setgroups)) => {
                write(setgroups, b"deny")?;
                write(self.path, self.text)
            }
            (result, _) => result,
        }
    }
}

/// Writes the file in one call: the kernel takes a map whole or not at all.
fn write(path: &CStr, text: &[u8]) -> Result<(), Errno> {
    let call = |number, args| {
        // SAFETY: a path and a text that are borrowed for the call, and a descriptor made here.
        unsafe { syscall(number, args) }
    };
    let flags = (libc::O_WRONLY | libc::O_CLOEXEC) as usize;
    let path = path.as_ptr().expose_provenance();
    let file = call(libc::SYS_openat, [libc::AT_FDCWD as usize, path, flags, 0, 0, 0])?;
    let result =
        call(libc::SYS_write, [file, text.as_ptr().expose_provenance(), text.len(), 0, 0, 0]);
    let _ = call(libc::SYS_close, [file, 0, 0, 0, 0, 0]);
    match result {
        Ok(written) if written != text.len() => Err(Errno(libc::EIO)),
        result => result.map(drop),
    }
}
