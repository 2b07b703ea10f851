//! A command that is spawned again has the id maps that it is set to now, for the ids that the caller has now.

use std::fs;
use std::path::Path;

use linux_namespaces::{Command, IdRange, Step, flags::USER};

use crate::common::is_root;

/// The uid_map and the arguments of what it runs, by way of a file: the streams are to be the caller's.
fn seen(command: &mut Command, file: &Path) -> String {
    let mut child = command.spawn().expect("a program");
    assert!(child.wait().expect("its end").success());
    let text = fs::read_to_string(file).expect("what it wrote");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(crate) fn maps_case() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("seen");
    let script = "{ cat /proc/self/uid_map; shift 1; echo \"$@\"; } >\"$0\"";
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(&file).arg("first").arg("x").namespaces(USER);
    // SAFETY: asks for a number.
    let own = unsafe { libc::geteuid() };
    for _ in 0..2 {
        assert_eq!(seen(&mut command, &file), format!("{own} {own} 1 x"));
    }
    // One thing at a time: any of these forgets all that is kept.
    for inside in [5, 6] {
        command.uid_map([IdRange { inside, outside: own, count: 1 }]);
        for _ in 0..2 {
            assert_eq!(seen(&mut command, &file), format!("{inside} {own} 1 x"));
        }
    }
    command.arg("y");
    assert_eq!(seen(&mut command, &file), format!("6 {own} 1 x y"));
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(&file).args(["first", "x", "y"]).namespaces(USER);
    assert_eq!(seen(&mut command, &file), format!("{own} {own} 1 x y"));
    command.leave_unmapped();
    for _ in 0..2 {
        // Which the file was made for: the program itself is nobody.
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        assert_eq!(seen(&mut command, &file), "x y");
    }
    // What was found right once is looked at again when it has changed.
    let error = command.arg("a\0b").spawn().expect_err("a NUL byte");
    assert_eq!(error.step(), &Step::Validate, "{error}");
}

/// Only root can have other ids.
pub(crate) fn ids_case() {
    assert!(is_root());
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .expect("for everybody");
    let file = directory.path().join("seen");
    fs::write(&file, "").expect("a file");
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .expect("for everybody");
    let mut command = Command::new("sh");
    command.arg("-c").arg("cat /proc/self/uid_map >\"$0\"").arg(&file).namespaces(USER);
    for id in [0, 1234, 0, 4321] {
        // SAFETY: takes numbers. The process was made for this, and has one thread.
        assert_eq!(unsafe { libc::seteuid(id) }, 0);
        assert_eq!(seen(&mut command, &file), format!("{id} {id} 1"));
        // SAFETY: as above.
        assert_eq!(unsafe { libc::seteuid(0) }, 0);
    }
}
