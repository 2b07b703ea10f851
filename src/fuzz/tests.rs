//! The corpus, and texts that are nearly right: any bytes at all seldom get far.

use super::*;
use proptest::prelude::*;
use proptest::string::bytes_regex;
use std::fs;
use std::path::Path;

/// Every text of every corpus, to every reader: what is hard for one may be for another.
#[test]
fn what_was_found_once_is_read() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut folders: Vec<String> = Vec::new();
    for folder in fs::read_dir(&corpus).expect("tests/corpus") {
        let folder = folder.expect("an entry");
        let mut texts = 0;
        for text in fs::read_dir(folder.path()).expect("a folder") {
            let text = text.expect("an entry").path();
            let bytes = fs::read(&text).expect("a file");
            for (name, target) in TARGETS {
                let read = std::panic::catch_unwind(|| target(&bytes));
                assert!(read.is_ok(), "{name} does not read {}", text.display());
            }
            texts += 1;
        }
        assert!(texts > 0, "{} is empty", folder.path().display());
        folders.push(folder.file_name().into_string().expect("text"));
    }
    folders.sort_unstable();
    assert_eq!(folders, TARGETS.map(|(name, _)| name));
}

/// What a line may have in the place of a number.
const NUMBER: &str =
    "(0|[1-9][0-9]{0,4}|429496729[4-6]|1844674407370955161[56]|0[0-9]|[+-]1||x| 1)";

/// Texts in the language of this expression, in which `N` is a number, right or wrong.
fn nearly(expression: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    bytes_regex(&expression.replace('N', NUMBER)).expect("an expression")
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..most)
}

proptest! {
    #![proptest_config(crate::cases::config())]

    #[test]
    fn any_bytes(data in bytes(300), target in 0..TARGETS.len()) {
        TARGETS[target].1(&data);
    }

    #[test]
    fn nearly_sets(data in nearly("(( |,)?(cgroup|ipc|mnt|mount|net|pid|time|user|uts|PID|)(,| ,|)){0,6}")) {
        kinds(&data);
    }

    #[test]
    fn nearly_capabilities(data in nearly("((cap_|CAP_|Cap_|)(chown|KILL|Sys_Admin|sys_admin|nett|)(,| ,|)){0,6}")) {
        capabilities(&data);
    }

    #[test]
    fn nearly_subids(data in nearly(r"((ann|1000|0|bob|\xff|#|) ?:N:N(:N)?\r?(\n|)){0,8}")) {
        subid(&data);
    }

    /// Few different numbers, so that ranges meet.
    #[test]
    fn nearly_maps(ranges in proptest::collection::vec((0u32..12, 0u32..12, 0u32..5, any::<[bool; 3]>()), 0..7)) {
        // From the first ids on, or up to the last ones.
        let end = |number: u32, last: bool| if last { u32::MAX - number } else { number };
        let numbers = ranges.into_iter().flat_map(|(inside, outside, count, last)| {
            [end(inside, last[0]), end(outside, last[1]), if last[2] { count << 29 } else { count }]
        });
        id_map(&numbers.flat_map(u32::to_le_bytes).collect::<Vec<_>>());
    }

    #[test]
    fn nearly_links(data in nearly(r"(net|mnt|mount|socket|pipe|)(:|)(\[|)N(\]|)x?")) {
        link(&data);
    }

    #[test]
    fn nearly_mountinfo(data in nearly(
        r"(N N 0:4 (/|net:\[N\]|mnt:\[N\]) (/a|/proc|/proc/x|/\x5c040|/\x5c1|/\xff\x1b) rw( shared:N| master:N| )?( -|) (nsfs|proc|ext4) x rw\n){0,5}"
    )) {
        mountinfo(&data);
    }

    #[test]
    fn nearly_status(data in nearly(r"((Pid|NSpid|NoNewPrivs|Seccomp|Name):(\t| |)N(\t| |)N?(\r|)(\n|)){0,6}")) {
        status(&data);
    }

    /// The name may be any bytes, and say what comes behind it.
    #[test]
    fn any_name_in_a_stat(name in nearly(r"[\x01-\xff]{0,6}(\) [RZ] N )?[()]{0,3}")) {
        stat(&name);
    }

    #[test]
    fn nearly_offsets(data in nearly(r"((monotonic|boottime|realtime) {0,3}N {0,3}N(\n|)){0,3}")) {
        offsets(&data);
    }

    #[test]
    fn nearly_paths(data in nearly(r"[a./]{0,6}\n?((/[a/]{0,4}|\.\.|):?){0,6}(\x00|)[a./]{0,8}")) {
        path(&data);
    }

    #[test]
    fn nearly_words(data in nearly(r"(#!|) {0,2}(/bin/sh|<b>|&amp;|\x22|\x1b|\xff|\xc2\x9b|\r|\n| \((enforce|kill)\)){0,8}")) {
        words(&data);
    }

    /// As the kernel writes them: what is read is what there was.
    #[test]
    fn mappings_are_read(given in proptest::collection::vec((1u64..0x7fff_ffff, 1u64..0x1000, 0usize..7), 0..12)) {
        let kinds = ["rw-p 00000000 00:00 0", "r--p 00000000 00:00 0", "rw-s 00000000 00:01 9 /dev/zero (deleted)", "rw-p 00000000 fe:00 42 /a b",
            "r-xp 00000000 fe:00 42 /a b", "rw-p 00000000 00:00 0 [heap]", "rw-p 00000000 00:00 0 [vvar]"];
        // With a page in between, for a part behind a file may be the file's zeroed data.
        let mut at = 0;
        let mut mappings = Vec::new();
        for (gap, pages, kind) in given {
            at += gap * 4096;
            mappings.push((at, at + pages * 4096, kind));
            at += pages * 4096;
        }
        let text: String =
            mappings.iter().map(|(from, to, kind)| format!("{from:x}-{to:x} {}\n", kinds[*kind])).collect();
        let of = |wanted: &[usize]| -> Vec<(u64, u64)> {
            let chosen = mappings.iter().filter(|(_, _, kind)| wanted.contains(kind));
            chosen.map(|(from, to, _)| (*from, *to)).collect()
        };
        prop_assert_eq!(sys::fuzz::private_memory(text.as_bytes()), of(&[0, 5, 6]));
        let unneeded = command::fuzz::unneeded(text.as_bytes());
        let unneeded: Vec<_> = unneeded.into_iter().map(|(from, to)| (from as u64, to as u64)).collect();
        prop_assert_eq!(unneeded, of(&[0, 1, 2, 5]));
    }

    /// What getdents64(2) writes, and what may be left of it.
    #[test]
    fn entries_are_read(names in proptest::collection::vec("[a-z0-9.]{1,40}", 0..12), cut in 0usize..2000) {
        let mut records = Vec::new();
        let mut ends = Vec::new();
        for name in &names {
            let length = (19 + name.len() + 1).next_multiple_of(8);
            let start = records.len();
            records.extend([0; 16]);
            records.extend((length as u16).to_ne_bytes());
            records.push(4);
            records.extend(name.as_bytes());
            records.resize(start + length, 0);
            ends.push(records.len());
        }
        records.truncate(cut);
        let whole = ends.iter().filter(|end| **end <= cut).count();
        prop_assert_eq!(sys::fuzz::names(&records), &names[..whole]);
        directory(&records);
    }
}
