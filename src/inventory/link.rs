//! What links below `/proc/<pid>` say, and names below it.
#![forbid(unsafe_code)]

use std::ffi::{CStr, CString};
use std::fmt;

use crate::NamespaceKind;

/// What a link to a namespace file says: `net:[4026531840]`. Anything else is none.
pub(crate) fn namespace(link: &[u8]) -> Option<(NamespaceKind, u64)> {
    let colon = link.iter().position(|byte| *byte == b':')?;
    let (name, rest) = link.split_at(colon);
    let kind = NamespaceKind::ALL.into_iter().find(|kind| kind.proc_name().as_bytes() == name)?;
    Some((kind, bracketed(rest)?))
}

/// The inode of a socket: `socket:[179210]`.
pub(crate) fn socket(link: &[u8]) -> Option<u64> {
    bracketed(link.strip_prefix(b"socket")?)
}

/// Reads `:[123]`.
pub(super) fn bracketed(text: &[u8]) -> Option<u64> {
    number(text.strip_prefix(b":[")?.strip_suffix(b"]")?)
}

/// Digits, and nothing else.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// A name that is the number of a process, a thread or a descriptor.
pub(super) fn id(name: &CStr) -> Option<u32> {
    u32::try_from(number(name.to_bytes())?).ok()
}

/// A path for a system call. What is formatted here has no NUL in it.
pub(super) fn path(text: fmt::Arguments<'_>) -> CString {
    CString::new(text.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn namespaces_are_told_from_other_files() {
        assert_eq!(namespace(b"net:[4026531840]"), Some((NamespaceKind::Net, 4_026_531_840)));
        assert_eq!(namespace(b"mnt:[1]"), Some((NamespaceKind::Mount, 1)));
        for other in [
            "",
            ":",
            "net",
            "net:",
            "net:[",
            "net:[]",
            "net:[1",
            "net:1]",
            "net:[1]x",
            "net:[+1]",
            "mount:[1]",
            "Net:[1]",
            "socket:[1]",
            "pipe:[1]",
            "/net:[1]",
            "/tmp/net:[1]",
            "net:[18446744073709551616]",
            "anon_inode:[eventfd]",
        ] {
            assert_eq!(namespace(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn sockets_and_numbers() {
        assert_eq!(socket(b"socket:[179210]"), Some(179_210));
        assert_eq!(socket(b"socket:[]"), None);
        assert_eq!(socket(b"pipe:[1]"), None);
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(number(b"18446744073709551616"), None);
        assert_eq!(id(c"4711"), Some(4711));
        for other in [c"", c".", c"..", c"self", c"4294967296", c"-1"] {
            assert_eq!(id(other), None);
        }
    }

    proptest! {
        #![proptest_config(crate::cases::config())]

        #[test]
        fn every_namespace_is_read_back(kind in 0..8usize, ino: u64) {
            let kind = NamespaceKind::ALL[kind];
            prop_assert_eq!(namespace(format!("{kind}:[{ino}]").as_bytes()), Some((kind, ino)));
        }

        #[test]
        fn nothing_panics(link in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (namespace(&link), socket(&link), number(&link));
        }
    }
}
