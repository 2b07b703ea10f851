//! `/proc/<pid>/mountinfo`: where namespaces are bind-mounted.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use super::link;
use crate::NamespaceKind;

/// A namespace that is mounted, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Bound {
    pub(super) kind: NamespaceKind,
    pub(super) ino: u64,
    pub(super) path: PathBuf,
}

impl Bound {
    /// `root` is what of its file system is mounted. `None`: no namespace.
    pub(super) fn new(root: &[u8], point: Vec<u8>) -> Option<Self> {
        let (kind, ino) = link::namespace(root)?;
        Some(Self { kind, ino, path: PathBuf::from(OsString::from_vec(point)) })
    }
}

/// Whether the root directory itself is a mount, as that of a mount namespace is.
pub(super) fn has_root(mountinfo: &[u8]) -> bool {
    let mut lines = mountinfo.split(|byte| *byte == b'\n');
    lines.any(|line| line.split(|byte| *byte == b' ').nth(4) == Some(b"/"))
}

/// The namespaces that are mounted, and where. proc_pid_mountinfo(5).
pub(super) fn namespaces(mountinfo: &[u8]) -> impl Iterator<Item = Bound> {
    mountinfo.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let root = fields.nth(3)?;
        let point = fields.next()?;
        // The optional fields end with a dash; the type of the file system follows.
        fields.find(|field| *field == b"-")?;
        if fields.next()? != b"nsfs" {
            return None;
        }
        Bound::new(root, unescaped(point))
    })
}

/// The kernel writes blanks, line ends and backslashes as three octal digits: `\040`.
pub(crate) fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let escape = (*first == b'\\').then(|| octal(after.get(..3)?)).flatten();
        (rest, _) = match escape {
            Some(byte) => (&after[3..], plain.push(byte)),
            None => (after, plain.push(*first)),
        };
    }
    plain
}

fn octal(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0u8, |value, digit| {
        let digit = matches!(digit, b'0'..=b'7').then(|| digit - b'0')?;
        value.checked_mul(8)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_mounts_of_namespaces_are_read() {
        let mountinfo = b"\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
30 22 0:4 net:[4026532281] /run/netns/blue rw shared:7 master:3 - nsfs nsfs rw\n\
31 22 0:4 mnt:[4026532300] /a\\040b\\134c rw - nsfs nsfs rw\n\
32 22 0:4 user:[7] /x\\\n\
33 22 0:5 net:[8] /fake rw - tmpfs nsfs rw\n\
34 22 0:5 / /- rw - tmpfs nsfs rw\n\
35 22 0:4 wrong:[8] /y rw - nsfs nsfs rw\n\
36";
        let found: Vec<_> = namespaces(mountinfo).collect();
        let bound = |kind, ino, path: &str| Bound { kind, ino, path: path.into() };
        assert_eq!(
            found,
            [
                bound(NamespaceKind::Net, 4_026_532_281, "/run/netns/blue"),
                bound(NamespaceKind::Mount, 4_026_532_300, "/a b\\c"),
            ]
        );
        assert!(has_root(mountinfo));
        let chroot = mountinfo.iter().position(|byte| *byte == b'\n').unwrap();
        assert!(!has_root(&mountinfo[chroot..]));
    }

    #[test]
    fn escapes() {
        assert_eq!(unescaped(b"a\\040b\\011c\\012\\134"), b"a b\tc\n\\");
        // What is no escape stays as it is.
        assert_eq!(unescaped(b"\\"), b"\\");
        assert_eq!(unescaped(b"\\04"), b"\\04");
        assert_eq!(unescaped(b"\\999\\400"), b"\\999\\400");
    }

    proptest! {
        #![proptest_config(crate::cases::config())]

        #[test]
        fn what_the_kernel_escapes_is_read_back(name in proptest::collection::vec(1u8.., 0..40)) {
            let escaped: Vec<u8> = name
                .iter()
                .flat_map(|byte| match byte {
                    b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
                    other => vec![*other],
                })
                .collect();
            let line = [b"1 2 0:4 uts:[9] ", &escaped[..], b" rw - nsfs nsfs rw\n"].concat();
            let path = PathBuf::from(OsString::from_vec(name));
            let bound = Bound { kind: NamespaceKind::Uts, ino: 9, path };
            prop_assert_eq!(namespaces(&line).collect::<Vec<_>>(), [bound]);
        }

        #[test]
        fn nothing_panics(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (namespaces(&text).count(), has_root(&text));
        }
    }
}
