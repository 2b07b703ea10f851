//! close_range(2), and the same by hand where the kernel has none. May run between clone and exec.

use std::ffi::c_uint;

use super::syscall::{Errno, syscall};

const CLOSE_RANGE_UNSHARE: usize = 2;
const CLOSE_RANGE_CLOEXEC: usize = 4;

fn call(number: libc::c_long, args: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: the callers below pass numbers and buffers of theirs. What is closed is the descriptor table of a
    // process between clone and exec, in which nothing of Rust's owns a descriptor any more, or the
    // one that `exec` is about to give up.
    unsafe { syscall(number, args) }
}

/// A descriptor table of its own, without those from `first` on: they are not even copied.
pub(super) fn own_table(first: c_uint) -> Result<(), Errno> {
    match call(
        libc::SYS_close_range,
        [first as usize, c_uint::MAX as usize, CLOSE_RANGE_UNSHARE, 0, 0, 0],
    ) {
        Err(Errno(libc::ENOSYS | libc::EPERM | libc::EINVAL)) => {
            call(libc::SYS_unshare, [libc::CLONE_FILES as usize, 0, 0, 0, 0, 0])?;
            each_open(first, c_uint::MAX, |fd| {
                let _ = call(libc::SYS_close, [fd, 0, 0, 0, 0, 0]);
            })
        }
        result => result.map(drop),
    }
}

/// Closes `first..=last`, or has exec close them.
pub(super) fn close_range(first: c_uint, last: c_uint, at_exec: bool) -> Result<(), Errno> {
    let flags = if at_exec { CLOSE_RANGE_CLOEXEC } else { 0 };
    match call(libc::SYS_close_range, [first as usize, last as usize, flags, 0, 0, 0]) {
        Err(Errno(libc::ENOSYS | libc::EPERM | libc::EINVAL)) => each_open(first, last, |fd| {
            let _ = if at_exec {
                call(
                    libc::SYS_fcntl,
                    [fd, libc::F_SETFD as usize, libc::FD_CLOEXEC as usize, 0, 0, 0],
                )
            } else {
                call(libc::SYS_close, [fd, 0, 0, 0, 0, 0])
            };
        }),
        result => result.map(drop),
    }
}

/// Calls `f` with every open descriptor in `first..=last`: those in /proc/self/fd, or, without /proc, all that may be.
fn each_open(first: c_uint, last: c_uint, f: impl Fn(usize)) -> Result<(), Errno> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    let path = c"/proc/self/fd".as_ptr().expose_provenance();
    let Ok(directory) =
        call(libc::SYS_openat, [libc::AT_FDCWD as usize, path, flags as usize, 0, 0, 0])
    else {
        let mut limit = [0u64; 2];
        let resource = libc::RLIMIT_NOFILE as usize;
        call(libc::SYS_prlimit64, [0, resource, 0, limit.as_mut_ptr().expose_provenance(), 0, 0])?;
        for fd in first as u64..limit[0].min(last as u64 + 1) {
            f(fd as usize);
        }
        return Ok(());
    };
    let mut buffer = [0u8; 2048];
    loop {
        let address = buffer.as_mut_ptr().expose_provenance();
        let filled = call(libc::SYS_getdents64, [directory, address, buffer.len(), 0, 0, 0])?;
        let Some(mut entries) = buffer.get(..filled).filter(|entries| !entries.is_empty()) else {
            break;
        };
        // linux_dirent64: inode and offset of 8 bytes each, the record's length of 2, the type of 1, the name.
        while let Some([low, high]) = entries.get(16..18) {
            let length = u16::from_ne_bytes([*low, *high]) as usize;
            let (Some(name), Some(next)) = (entries.get(19..length), entries.get(length..)) else {
                break;
            };
            if let Some(fd) = number(name) {
                if fd != directory && fd >= first as usize && fd <= last as usize {
                    f(fd);
                }
            }
            entries = next;
        }
    }
    call(libc::SYS_close, [directory, 0, 0, 0, 0, 0]).map(drop)
}

/// A name of decimal digits up to its NUL.
fn number(name: &[u8]) -> Option<usize> {
    let mut value = None;
    for byte in name.iter().take_while(|byte| **byte != 0) {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value = Some(value.unwrap_or(0usize).checked_mul(10)?.checked_add(digit as usize)?);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::os::fd::AsRawFd;

    #[test]
    fn each_open_finds_this_descriptor_and_no_closed_one() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let seen = RefCell::new(Vec::new());
        each_open(3, c_uint::MAX, |fd| seen.borrow_mut().push(fd)).unwrap();
        let seen = seen.into_inner();
        assert!(seen.contains(&(file.as_raw_fd() as usize)), "{seen:?}");
        assert!(seen.iter().all(|fd| *fd >= 3));
    }

    #[test]
    fn names_that_are_not_numbers_are_passed_over() {
        assert_eq!(number(b"17\0\0"), Some(17));
        assert_eq!(number(b".\0"), None);
        assert_eq!(number(b"\0"), None);
        assert_eq!(number(b"99999999999999999999999\0"), None);
    }
}
