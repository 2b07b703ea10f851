//! What is refused before any system call.

use std::os::unix::ffi::OsStrExt as _;

use crate::device::*;

pub(crate) fn what_makes_no_sense() {
    let nul = std::ffi::OsStr::from_bytes(b"/a\0b");
    let long = "x".repeat(5000);
    type Change<'a> = &'a dyn for<'c> Fn(&'c mut Command) -> &'c mut Command;
    let cases: &[(Change<'_>, &[&str])] = &[
        (&|it| it.mount(Mount::tmpfs("/x")), &["\"/x\"", "Namespaces::MOUNT"]),
        (&|it| it.root("/x"), &["\"/x\"", "Namespaces::MOUNT"]),
        (&|it| it.root("").namespaces(MOUNT), &["root", "empty"]),
        (&|it| it.root(nul).namespaces(MOUNT), &["root", "NUL"]),
        (&|it| it.mount(Mount::tmpfs("")).namespaces(MOUNT), &["target", "empty"]),
        (&|it| it.mount(Mount::tmpfs(nul)).namespaces(MOUNT), &["target", "NUL"]),
        (&|it| it.mount(Mount::bind("", "/x")).namespaces(MOUNT), &["source", "empty"]),
        (&|it| it.mount(Mount::bind(nul, "/x")).namespaces(MOUNT), &["source", "NUL"]),
        (&|it| it.mount(Mount::new("", "a", "/x")).namespaces(MOUNT), &["type", "empty"]),
        (&|it| it.mount(Mount::new(nul, "a", "/x")).namespaces(MOUNT), &["type", "NUL"]),
        (&|it| it.mount(Mount::new("a", nul, "/x")).namespaces(MOUNT), &["source", "NUL"]),
        (&|it| it.mount(Mount::tmpfs("/x").data(nul)).namespaces(MOUNT), &["options", "NUL"]),
        (&|it| it.mount(Mount::tmpfs("/x").data(&long)).namespaces(MOUNT), &["\"/x\"", "4095"]),
        (
            &|it| it.mount(Mount::bind("/a", "/x").data("size=1")).namespaces(MOUNT),
            &["\"/x\"", "\"size=1\""],
        ),
        (
            &|it| it.mount(Mount::tmpfs("/x").recursive()).namespaces(MOUNT),
            &["\"/x\"", "recursive"],
        ),
    ];
    for (change, says) in cases {
        let mut command = Command::new("true");
        change(&mut command);
        let error = refusal(&mut command);
        assert_eq!(error.step(), &Step::Validate, "{error}");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        let message = error.to_string();
        assert!(says.iter().all(|text| message.contains(text)), "{message}: {says:?}");
    }
}

pub(crate) fn the_plan_shows_them() {
    let mut command = Command::new("true");
    command.root("/srv/root").mount(Mount::bind("/usr", "/opt").read_only()).mount_proc(false);
    let plan = format!("{command:?}");
    for text in ["/srv/root", "/usr", "/opt", "read_only: true", "mount_proc: false"] {
        assert!(plan.contains(text), "{plan}");
    }
}
