//! For `crate::fuzz`: what is read without allocation, or for a system call.

use super::{discard, getdents, openat2, std_command};

pub(crate) fn pid_of(fdinfo: &[u8]) -> Option<u32> {
    std_command::pid_of(fdinfo)
}

/// What a copy gives back.
pub(crate) fn private_memory(maps: &[u8]) -> Vec<(u64, u64)> {
    discard::private_memory(maps)
}

pub(crate) fn target(path: &[u8]) {
    openat2::fuzz(path);
}

pub(crate) fn names(records: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    getdents::in_records(records, &mut |name| names.push(name.to_string_lossy().into_owned()));
    names
}

pub(crate) fn directory(data: &[u8]) {
    let names = names(data);
    // Each takes at least its header.
    assert!(names.len() <= data.len() / 20);
}
