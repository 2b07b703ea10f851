//! What process 1 of a pid namespace can do without.
#![forbid(unsafe_code)]

use std::fs;

/// The largest mapping without a name behind those of a file that is taken for its zeroed data.
const LARGEST_BSS: usize = 256 * 1024;

/// The parts of this process's memory, from and to, that a copy which only makes system calls does not need: all but code, private
/// mappings of files, which are programs and libraries with their constants, and what the kernel has put there.
///
/// Nothing where /proc does not tell. The list may be out of date when it is used: that only keeps what is newer.
pub(super) fn unneeded() -> Vec<(usize, usize)> {
    // What AddressSanitizer knows of the memory is in none of those, and code that it has instrumented looks there.
    if cfg!(linux_namespaces_asan) { Vec::new() } else { listed() }
}

fn listed() -> Vec<(usize, usize)> {
    fs::read("/proc/self/maps").map_or_else(|_| Vec::new(), |maps| parse(&maps))
}

/// proc_pid_maps(5). Paths may be any bytes.
pub(super) fn parse(maps: &[u8]) -> Vec<(usize, usize)> {
    let mut unneeded = Vec::new();
    let mut file_ended_at = 0;
    for line in maps.split(|byte| *byte == b'\n') {
        let mut fields = line.splitn(6, |byte| *byte == b' ').map(<[u8]>::trim_ascii);
        let mut field = || fields.next().unwrap_or_default();
        let [range, access, _offset, _device, inode, name] = [(); 6].map(|()| field());
        let Some((from, to)) = parse_range(range) else { continue };
        let of_file = inode != b"0" && access.ends_with(b"p");
        let of_kernel = name.starts_with(b"[v") || name.starts_with(b"[uprobes");
        let zeroed_data =
            name.is_empty() && inode == b"0" && from == file_ended_at && to - from <= LARGEST_BSS;
        if of_file {
            file_ended_at = to;
        }
        if !(of_file || of_kernel || zeroed_data || access.contains(&b'x')) {
            unneeded.push((from, to));
        }
    }
    unneeded
}

fn parse_range(range: &[u8]) -> Option<(usize, usize)> {
    let (from, to) = std::str::from_utf8(range).ok()?.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some((number(from)?, number(to)?)).filter(|(from, to)| from < to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_constants_are_needed() {
        let maps = b"\
00400000-00401000 r--p 00000000 fd:00 42                         /usr/bin/a program
00401000-00402000 r-xp 00001000 fd:00 42                         /usr/bin/a program
00402000-00403000 rw-p 00002000 fd:00 42                         /usr/bin/a program
00403000-00405000 rw-p 00000000 00:00 0
00500000-00521000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0040000000 rw-p 00000000 00:00 0
7f0040000000-7f0040001000 rwxp 00000000 00:00 0
7f0050000000-7f0050001000 rw-s 00000000 00:01 1024               /dev/zero (deleted)
7f0060000000-7f0060001000 r--s 00000000 fd:00 77                 /data
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                  [stack]
7ffc00030000-7ffc00034000 r--p 00000000 00:00 0                  [vvar]
7ffc00034000-7ffc00036000 r-xp 00000000 00:00 0                  [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0          [vsyscall]
";
        let unneeded = parse(maps);
        let expected = [
            (0x50_0000, 0x52_1000),
            (0x7f00_0000_0000, 0x7f00_4000_0000),
            (0x7f00_5000_0000, 0x7f00_5000_1000),
            (0x7f00_6000_0000, 0x7f00_6000_1000),
            (0x7ffc_0000_0000, 0x7ffc_0002_1000),
        ];
        assert_eq!(unneeded, expected);
    }

    #[test]
    fn nonsense_is_passed_over() {
        assert!(parse(b"").is_empty());
        assert!(parse(b"\n\xff-\xfe rw-p\nzz-zz rw-p 0 0 0\n").is_empty());
        assert!(parse(b"2000-1000 rw-p 0 0 0\n1000-1000 rw-p 0 0 0\n").is_empty());
    }

    #[test]
    fn this_very_code_is_needed_and_a_large_vector_is_not() {
        let vector = vec![1u8; 64 << 20];
        let list = listed();
        let within = |address: usize| list.iter().any(|(from, to)| (*from..*to).contains(&address));
        assert!(within(vector.as_ptr().addr() + (32 << 20)));
        assert!(!within((listed as fn() -> Vec<(usize, usize)>) as usize));
        assert!(!within("a constant".as_ptr().addr()));
    }
}
