//! What is read from texts, for a fuzzer: `fuzz/` has a target for each of these functions.
//!
//! Each takes any bytes, reads them as the crate would read a file or a word, and panics if what comes out contradicts itself, the
//! text, or another reader of the same text. Tests run them on every file in `tests/corpus`, and on texts that are nearly
//! right. Outside of tests this is compiled with `--cfg fuzzing` alone, and is no part of the interface.
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::fmt::Display;
use std::str::FromStr;

use crate::namespace::ns_pids;
use crate::process::pid_of;
use crate::{
    Capabilities, Error, IdRange, NamespaceKind, Namespaces, command, diagnose, id_map, inventory,
    persist, subid, sys, threads,
};

/// A reader of bytes that are nobody's in particular.
pub type Target = fn(&[u8]);

/// All of them, by the names of their corpora.
pub const TARGETS: [(&str, Target); 13] = [
    ("capabilities", capabilities),
    ("directory", directory),
    ("id_map", id_map),
    ("kinds", kinds),
    ("link", link),
    ("maps", maps),
    ("mountinfo", mountinfo),
    ("offsets", offsets),
    ("path", path),
    ("stat", stat),
    ("status", status),
    ("subid", subid),
    ("words", words),
];

/// A message that a hostile text might have put a line end in.
pub(crate) fn one_line(error: &Error) {
    let message = error.to_string();
    assert!(!message.chars().any(char::is_control), "{message:?}");
}

/// What is taken is written in a form that means the same.
fn survives<T>(text: &str) -> Option<T>
where
    T: FromStr<Err = Error> + Display + PartialEq + std::fmt::Debug,
{
    match text.parse::<T>() {
        Ok(value) => {
            assert_eq!(value.to_string().parse::<T>().expect("what was written"), value);
            Some(value)
        }
        Err(error) => {
            one_line(&error);
            None
        }
    }
}

/// [`Namespaces`] and [`NamespaceKind`].
pub fn kinds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(kind) = survives::<NamespaceKind>(text) {
        assert!(kind.proc_name() == text || text == "mount");
    }
    let Some(set) = survives::<Namespaces>(text) else { return };
    set.validate().expect("names of kinds alone");
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let kinds = words.map(|word| word.parse::<NamespaceKind>().expect("one of the set's"));
    assert_eq!(kinds.collect::<Namespaces>(), set);
}

/// [`Capabilities`].
pub fn capabilities(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(set) = survives::<Capabilities>(text) else { return };
    set.validate().expect("names of capabilities alone");
    assert!(set.iter().count() <= text.split(',').count());
}

/// /etc/subuid, /etc/subgid.
pub fn subid(data: &[u8]) {
    subid::check(data);
}

/// Ranges, and the text of a uid_map.
pub fn id_map(data: &[u8]) {
    let mut numbers =
        data.chunks_exact(4).map(|bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes")));
    let mut range = || {
        Some(IdRange { inside: numbers.next()?, outside: numbers.next()?, count: numbers.next()? })
    };
    let ranges: Vec<IdRange> = std::iter::from_fn(&mut range).take(400).collect();
    let valid = id_map::validate("uid_map", &ranges);
    assert_eq!(valid.is_ok(), id_map::is_valid(&ranges), "{ranges:?}");
    if let Err(error) = valid {
        one_line(&error);
    }
    // As the kernel shows it, and in another order.
    let lines = ranges.iter().rev();
    let shown: String = lines
        .map(|range| format!("{:10} {:10} {:10}\n", range.inside, range.outside, range.count))
        .collect();
    assert!(command::fuzz::is_written(&ranges, &shown));
    // A few, for each takes a reading of the whole.
    for range in ranges.iter().take(4) {
        let past = u64::from(range.inside) + u64::from(range.count);
        for id in [range.inside, range.inside.wrapping_sub(1), past as u32] {
            let among = ranges.iter().any(|range| {
                id >= range.inside
                    && u64::from(id) < u64::from(range.inside) + u64::from(range.count)
            });
            assert_eq!(diagnose::fuzz::maps(&shown, id), among);
        }
    }
    // As somebody else might have written it.
    let text = String::from_utf8_lossy(data);
    let _ = (command::fuzz::is_written(&ranges, &text), diagnose::fuzz::maps(&text, 0));
}

/// What a link below `/proc/<pid>` says.
pub fn link(data: &[u8]) {
    use inventory::link;
    let without_zeros = |digits: &str| {
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() { "0".to_owned() } else { digits.to_owned() }
    };
    let text = String::from_utf8_lossy(data);
    let digits = text.split_once(":[").and_then(|(_, rest)| rest.strip_suffix(']'));
    if let Some((kind, ino)) = link::namespace(data) {
        assert!(link::socket(data).is_none());
        assert!(text.starts_with(&format!("{kind}:[")));
        assert_eq!(without_zeros(digits.expect("brackets")), ino.to_string());
    }
    if let Some(socket) = link::socket(data) {
        assert!(text.starts_with("socket:["));
        assert_eq!(without_zeros(digits.expect("brackets")), socket.to_string());
    }
    if let Some(number) = link::number(data) {
        assert_eq!(without_zeros(&text), number.to_string());
    }
}

/// `/proc/<pid>/mountinfo`, for its three readers.
pub fn mountinfo(data: &[u8]) {
    let few = data.split(|byte| *byte == b'\n').count();
    assert!(inventory::fuzz::mounted(data, few + 1) <= few);
    let mut known = HashSet::new();
    for line in data.split(|byte| *byte == b'\n') {
        let id = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        if !known.insert(id) {
            continue;
        }
        let found = persist::mount_in(data, id);
        assert_eq!(found, persist::mount_in(line, id));
        if let Some((point, _)) = found {
            assert!(!point.chars().any(char::is_control), "{point:?}");
        }
    }
    let text = String::from_utf8_lossy(data);
    let masks = diagnose::fuzz::masks_proc(&text);
    assert!(masks || text.contains(" - proc"), "no whole /proc, and yet none is missing");
}

/// `/proc/<pid>/status`, and the fdinfo of a pidfd.
pub fn status(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let pids = ns_pids(&text);
    assert!(pids.is_empty() || text.contains("NSpid:"));
    let _ = (command::fuzz::says_no_new_privs(&text), diagnose::fuzz::says_filtered(&text));
    let pid = pid_of(&text);
    assert_ne!(pid, Some(0));
    // Two read the same line, one of them without allocation; they know different blanks outside of ASCII.
    if data.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b' '..=b'~')) {
        assert_eq!(pid, sys::fuzz::pid_of(data));
    }
}

/// `/proc/<pid>/stat`.
pub fn stat(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // What is not there does not say that the memory is still the first.
    assert!(threads::flags(&text).is_some() || !threads::has_first_memory(&text));
    // The name may be anything, and the rest is found behind it all the same.
    let named = format!("7 ({text}) S 1 7 7 0 -1 4194368 123 0");
    assert_eq!(threads::flags(&named), Some(4_194_368));
    assert!(threads::has_first_memory(&named));
}

/// `/proc/<pid>/maps`, for its two readers.
pub fn maps(data: &[u8]) {
    for (from, to) in command::fuzz::unneeded(data) {
        assert!(from < to);
    }
    for (from, to) in sys::fuzz::private_memory(data) {
        assert!(from < to);
    }
}

/// `/proc/<pid>/timens_offsets`.
pub fn offsets(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for clock in ["monotonic", "boottime"] {
        let found = command::fuzz::seconds_of(&text, clock);
        assert!(found.is_none() || text.contains(clock));
    }
}

/// A target below a root, and `PATH`.
pub fn path(data: &[u8]) {
    sys::fuzz::target(data);
    command::fuzz::candidates(data);
}

/// What getdents64(2) fills in.
pub fn directory(data: &[u8]) {
    sys::fuzz::directory(data);
}

/// What a helper, a script, a security module and the names of files say, as messages show it.
pub fn words(data: &[u8]) {
    command::fuzz::helper_says(data);
    diagnose::fuzz::interpreter(data);
    diagnose::fuzz::profile(data);
    inventory::fuzz::escaped(data);
}

#[cfg(test)]
mod tests;
