//! madvise(2): a copy of a process that needs next to nothing of the memory it is a copy of gives it back. May run between fork and exec.
//!
//! A fork shares its pages with the process it is a copy of. As that goes on and writes, each page is kept twice; so
//! a copy that stays would cost, in time, all of the memory that it was made with.

use std::os::fd::RawFd;

use super::syscall::{Errno, THROUGH_LIBC, syscall};

/// Frees the private memory that no file is behind, except the mapping that the caller's stack is in. What is left there
/// are zeros; nothing is unmapped, for the kernel itself writes to thread-local storage (rseq(2)).
///
/// # Safety
/// The caller never returns to code that needs heap, statics or thread-local storage: it makes raw system calls only, and
/// so does everybody who shares this memory, on stacks in the same mapping.
pub(super) unsafe fn discard_all_but_this_stack(proc: RawFd) {
    if THROUGH_LIBC {
        // `errno`, which libc writes, is thread-local.
        return;
    }
    let here = 0u8;
    let here = (&raw const here).addr() as u64;
    let _ = each_line(proc, |mapping| {
        if mapping.is_private_memory() && !(mapping.start..mapping.end).contains(&here) {
            let (start, length) = (mapping.start as usize, (mapping.end - mapping.start) as usize);
            let advice = libc::MADV_DONTNEED as usize;
            // SAFETY: the caller's promise: nobody needs what is there.
            let _ = unsafe { syscall(libc::SYS_madvise, [start, length, advice, 0, 0, 0]) };
        }
    });
}

/// A line of /proc/self/maps.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
struct Mapping {
    start: u64,
    end: u64,
    permissions: [u8; 4],
    has_file: bool,
}

impl Mapping {
    fn is_private_memory(&self) -> bool {
        self.permissions == *b"rw-p" && !self.has_file && self.start < self.end
    }
}

/// Reads the lines as they come, in pieces of any length.
#[derive(Default)]
struct Parser {
    mapping: Mapping,
    field: usize,
    place: usize,
}

impl Parser {
    /// The mapping, at the end of its line.
    fn byte(&mut self, byte: u8) -> Option<Mapping> {
        match (self.field, byte) {
            (_, b'\n') => {
                let Self { mapping, field, .. } = std::mem::take(self);
                // Start, end, permissions, offset, device, inode.
                return (field >= 5).then_some(mapping);
            }
            (0, b'-') => self.next(),
            (1..=5, b' ') => self.next(),
            (0, digit) => self.mapping.start = (self.mapping.start << 4) | hex(digit),
            (1, digit) => self.mapping.end = (self.mapping.end << 4) | hex(digit),
            (2, letter) => {
                if let Some(place) = self.mapping.permissions.get_mut(self.place) {
                    *place = letter;
                }
                self.place += 1;
            }
            (5, digit) => self.mapping.has_file |= digit != b'0',
            _ => {}
        }
        None
    }

    fn next(&mut self) {
        self.field += 1;
        self.place = 0;
    }
}

fn hex(digit: u8) -> u64 {
    u64::from(match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => 0,
    })
}

/// `proc` is a descriptor of the directory.
fn each_line(proc: RawFd, mut f: impl FnMut(Mapping)) -> Result<(), Errno> {
    let call = |number, args| {
        // SAFETY: a path and a buffer that are borrowed for the call, and a descriptor made here.
        unsafe { syscall(number, args) }
    };
    let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as usize;
    let path = c"self/maps".as_ptr().expose_provenance();
    let file = call(libc::SYS_openat, [proc as usize, path, flags, 0, 0, 0])?;
    let mut buffer = [0u8; 2048];
    let mut parser = Parser::default();
    let result = loop {
        let address = buffer.as_mut_ptr().expose_provenance();
        match call(libc::SYS_read, [file, address, buffer.len(), 0, 0, 0]) {
            Ok(0) => break Ok(()),
            Ok(length) => {
                for byte in buffer.iter().take(length) {
                    if let Some(mapping) = parser.byte(*byte) {
                        f(mapping);
                    }
                }
            }
            Err(Errno(libc::EINTR)) => {}
            Err(errno) => break Err(errno),
        }
    };
    let _ = call(libc::SYS_close, [file, 0, 0, 0, 0, 0]);
    result
}

/// All that would be given back, as this text has it.
#[cfg(any(test, fuzzing))]
pub(super) fn private_memory(maps: &[u8]) -> Vec<(u64, u64)> {
    let mut parser = Parser::default();
    let mappings = maps.iter().filter_map(|byte| parser.byte(*byte));
    mappings
        .filter(Mapping::is_private_memory)
        .map(|mapping| (mapping.start, mapping.end))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::fd::AsRawFd as _;

    fn parse(text: &[u8]) -> Vec<Mapping> {
        let mut parser = Parser::default();
        text.iter().filter_map(|byte| parser.byte(*byte)).collect()
    }

    #[test]
    fn lines_are_read() {
        let text = b"55e0-55ff rw-p 00000000 00:00 0 \n7f00-7fff r--p 00001000 fe:01 4711       /lib/a b\n\
            7ffc0000-7ffd0000 rw-p 00000000 00:00 0    [stack]\nffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0\n";
        let read = parse(text);
        assert_eq!(read.len(), 4);
        assert!(read[0].is_private_memory() && read[2].is_private_memory());
        assert_eq!((read[0].start, read[0].end), (0x55e0, 0x55ff));
        assert!(read[1].has_file && !read[1].is_private_memory() && !read[3].is_private_memory());
        assert_eq!(read[3].end, 0xffff_ffff_ff60_1000);
    }

    #[test]
    fn own_memory_is_found() {
        let proc = std::fs::File::open("/proc").unwrap();
        let heap = Box::new(1u8);
        let stack = 1u8;
        let mut found = 0;
        each_line(proc.as_raw_fd(), |mapping| {
            for address in [(&raw const *heap).addr(), (&raw const stack).addr()] {
                if mapping.is_private_memory()
                    && (mapping.start..mapping.end).contains(&(address as u64))
                {
                    found += 1;
                }
            }
            let code = lines_are_read as *const () as usize as u64;
            assert!(!(mapping.is_private_memory() && (mapping.start..mapping.end).contains(&code)));
        })
        .unwrap();
        assert_eq!(found, 2);
    }

    proptest! {
        #![proptest_config(crate::cases::config())]

        #[test]
        fn no_text_panics_or_is_taken_for_memory_without_its_permissions(
            text in proptest::collection::vec(any::<u8>(), 0..256)
        ) {
            for mapping in parse(&text) {
                prop_assert!(!mapping.is_private_memory() || text.windows(4).any(|part| part == b"rw-p"));
            }
        }
    }
}
