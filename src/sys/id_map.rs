//! user_namespaces(7): the files that map ids. May run between clone and exec.

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use super::child;
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
                own = Line::own(child::ids::GETEUID, inside)?;
                own.text()
            }
            Text::OwnGroup(inside) => {
                own = Line::own(child::ids::GETEGID, inside)?;
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

/// A line for one id, made without allocation.
struct Line {
    buffer: [u8; 32],
    used: usize,
}

impl Line {
    fn own(call: libc::c_long, inside: Inside) -> Result<Self, Errno> {
        // SAFETY: asks for the effective id of the process.
        let id = unsafe { syscall(call, [0; 6]) }? as u32;
        let mut line = Self { buffer: [0; 32], used: 0 };
        line.number(if inside == Inside::Root { 0 } else { id });
        line.byte(b' ');
        line.number(id);
        line.byte(b' ');
        line.number(1);
        line.byte(b'\n');
        Ok(line)
    }

    fn text(&self) -> &[u8] {
        self.buffer.get(..self.used).unwrap_or_default()
    }

    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.buffer.get_mut(self.used) {
            *place = byte;
            self.used += 1;
        }
    }

    fn number(&mut self, number: u32) {
        let mut unit = 1_000_000_000;
        while unit > number && unit > 1 {
            unit /= 10;
        }
        while unit > 0 {
            self.byte(b'0' + (number / unit % 10) as u8);
            unit /= 10;
        }
    }
}

/// Writes the file in one call: the kernel takes a map whole or not at all.
pub(super) fn write(path: &CStr, text: &[u8]) -> Result<(), Errno> {
    let file = open_raw(path)?;
    let result = put_raw(file, text);
    // SAFETY: a descriptor made here, which nobody else knows.
    let _ = unsafe { syscall(libc::SYS_close, [file as usize, 0, 0, 0, 0, 0]) };
    result
}

fn open_raw(path: &CStr) -> Result<RawFd, Errno> {
    let flags = (libc::O_WRONLY | libc::O_CLOEXEC) as usize;
    let args = [libc::AT_FDCWD as usize, path.as_ptr().expose_provenance(), flags, 0, 0, 0];
    // SAFETY: a path that is borrowed for the call.
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
    let file = open_raw(path).map_err(|errno| errno.0)?;
    // SAFETY: made just now, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(file) })
}

/// Writes it in one call. An error is an errno; then the same descriptor may be tried again.
pub(crate) fn put(file: BorrowedFd<'_>, text: &[u8]) -> Result<(), i32> {
    put_raw(file.as_raw_fd(), text).map_err(|errno| errno.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_written_in_full() {
        for number in [0, 7, 10, 65_534, 1_000_000_000, u32::MAX] {
            let mut line = Line { buffer: [0; 32], used: 0 };
            line.number(number);
            assert_eq!(line.text(), number.to_string().as_bytes());
        }
    }

    proptest! {
        #![proptest_config(crate::cases::config())]

        #[test]
        fn every_number_is_written_in_full(number: u32, bits in 0u32..32) {
            let number = number >> bits;
            let mut line = Line { buffer: [0; 32], used: 0 };
            line.number(number);
            let text = number.to_string();
            prop_assert_eq!(line.text(), text.as_bytes());
        }

        /// More than the longest line has no room, and is cut without a panic.
        #[test]
        fn a_line_ends_with_its_buffer(numbers in proptest::collection::vec(any::<u32>(), 0..6)) {
            let mut line = Line { buffer: [0; 32], used: 0 };
            let mut whole = String::new();
            for number in numbers {
                line.number(number);
                line.byte(b' ');
                whole.push_str(&format!("{number} "));
            }
            prop_assert_eq!(line.text(), &whole.as_bytes()[..whole.len().min(32)]);
        }
    }
}
