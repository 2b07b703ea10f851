//! For `crate::fuzz`: what a command reads.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::{init, invocation, maps::helper};

pub(crate) use super::clock::seconds_of;
pub(crate) use super::maps::helper::{is_written, says_no_new_privs};

/// What an init gives up.
pub(crate) fn unneeded(maps: &[u8]) -> Vec<(usize, usize)> {
    init::parse(maps)
}

/// The bytes are a name, a line end, and `PATH`; or `PATH` for a name of one letter.
pub(crate) fn candidates(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n');
    let (name, path) = end.map_or((&b"x"[..], data), |end| (&data[..end], &data[end + 1..]));
    let program = OsStr::from_bytes(name);
    let searched = invocation::is_searched(program).then_some(OsStr::from_bytes(path));
    let found = invocation::candidates(program, searched);
    let alone = name.is_empty() || name.contains(&b'/') || name.len() > 255;
    let nul = |text: &[u8]| text.contains(&0);
    let Ok(found) = found else {
        assert!(nul(name) || nul(path));
        return;
    };
    assert!(!nul(name) && (alone || !nul(path)));
    if alone {
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].to_bytes(), name);
        return;
    }
    let directories: Vec<&[u8]> = path.split(|byte| *byte == b':').collect();
    assert_eq!(found.len(), directories.len());
    for (file, directory) in found.iter().zip(directories) {
        let file = file.to_bytes();
        match directory {
            b"" => assert_eq!(file, name),
            directory => assert_eq!(file, [directory, b"/", name].concat()),
        }
    }
}

/// What newuidmap writes, in a message.
pub(crate) fn helper_says(data: &[u8]) {
    let line = helper::one_line(data);
    assert!(line.chars().count() <= helper::SHOWN + 1);
    assert!(!line.chars().any(char::is_control), "{line:?}");
}
