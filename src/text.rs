//! The text of files below `/proc`.
#![forbid(unsafe_code)]

use std::path::Path;
use std::{fs, io};

/// Reads such a file. The name of a process and the path of a mount may be any bytes, which must not keep the rest from being
/// read: what is no UTF-8 is replaced.
pub(crate) fn read(path: impl AsRef<Path>) -> io::Result<String> {
    let bytes = fs::read(path)?;
    // No second copy of what is UTF-8, as nearly all of it is.
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Namespace, NamespaceKind, threads};
    use std::ffi::OsStr;
    use std::io::{Read as _, Write as _};
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;
    use std::process::{Command, Stdio};

    #[test]
    fn a_name_that_is_no_text_hides_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join(OsStr::from_bytes(b"\xff) Z \xe4"));
        symlink("/bin/cat", &program).unwrap();
        let mut child =
            Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // It has the name once it has executed the program.
        child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let stat = read(format!("/proc/{}/stat", child.id())).unwrap();
        assert!(stat.contains("(\u{fffd}) Z \u{fffd}) "), "{stat}");
        // With the bit that says that it has not executed anything it would be one that shares its caller's memory.
        assert!(!threads::has_first_memory(&stat));
        assert!(threads::flags(&stat).is_some());
        let here = Namespace::current(NamespaceKind::Pid).unwrap();
        assert_eq!(here.pid_inside_by_proc(child.id()).unwrap(), Some(child.id()));
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }
}
