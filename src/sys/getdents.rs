//! getdents64(2).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Where the kernel puts entries of a directory: 32 KiB, as libc takes.
#[repr(C, align(8))]
pub(crate) struct Buffer([u8; 32 * 1024]);

impl Buffer {
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self([0; 32 * 1024]))
    }
}

/// Where a record of the kernel's has its length and its name, which ends with a NUL.
const LENGTH: usize = 16;
const NAME: usize = 19;

/// Calls `each` with every name in the directory, which is open for reading. `.` and `..` are among them.
pub(crate) fn names(
    directory: BorrowedFd<'_>,
    buffer: &mut Buffer,
    mut each: impl FnMut(&CStr),
) -> io::Result<()> {
    loop {
        // SAFETY: a buffer with its length, which is aligned for the records.
        let filled = unsafe {
            libc::syscall(
                libc::SYS_getdents64,
                directory.as_raw_fd(),
                buffer.0.as_mut_ptr(),
                buffer.0.len(),
            )
        };
        let Ok(filled) = usize::try_from(filled) else { return Err(io::Error::last_os_error()) };
        if filled == 0 {
            return Ok(());
        }
        in_records(&buffer.0[..filled], &mut each);
    }
}

pub(super) fn in_records(mut records: &[u8], each: &mut impl FnMut(&CStr)) {
    while let Some(length) = records.get(LENGTH..LENGTH + 2) {
        let length = usize::from(u16::from_ne_bytes([length[0], length[1]]));
        let Some(record) = records.get(..length).filter(|_| length > NAME) else { break };
        if let Ok(name) = CStr::from_bytes_until_nul(&record[NAME..]) {
            each(name);
        }
        records = &records[length..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs::{self, File};
    use std::os::fd::AsFd as _;

    #[test]
    fn the_names_are_those_that_std_reads() {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..2_000 {
            File::create(directory.path().join(format!("a-rather-long-name-{number}"))).unwrap();
        }
        let mut found = BTreeSet::new();
        let open = File::open(directory.path()).unwrap();
        names(open.as_fd(), &mut Buffer::new(), |name| {
            found.insert(name.to_str().unwrap().to_owned());
        })
        .unwrap();
        assert!(found.remove(".") && found.remove(".."));
        let expected: BTreeSet<String> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(found, expected);
        assert_eq!(found.len(), 2_000);
    }

    #[test]
    fn what_is_no_directory_is_an_error() {
        let file = File::open("/proc/self/status").unwrap();
        let error = names(file.as_fd(), &mut Buffer::new(), |_| ()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTDIR));
    }
}
