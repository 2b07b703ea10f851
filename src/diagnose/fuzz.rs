//! For `crate::fuzz`: the texts in which reasons are found.
#![forbid(unsafe_code)]

use super::{apparmor, settings};

pub(crate) use super::causes::{maps, says_filtered};
pub(crate) use super::settings::masks_proc;

/// The first line of a script.
pub(crate) fn interpreter(data: &[u8]) {
    let Some(path) = settings::interpreter_in(data) else { return };
    assert!(data.starts_with(b"#!"));
    assert!(!path.is_empty() && !path.contains(|c: char| c.is_ascii_whitespace()), "{path:?}");
}

/// The label that a security module gives to a process.
pub(crate) fn profile(data: &[u8]) {
    let label = String::from_utf8_lossy(data);
    if let Some((name, mode)) = apparmor::profile(&label) {
        assert_eq!(format!("{name} ({mode})"), label);
    }
}
