//! Bind mounts and their flags, one after the other, and kinds of file systems.

use crate::device::*;

pub(crate) fn read_only_is_read_only() {
    let source = Tree::with(&["directory"]);
    source.write("file", "as it was");
    let target = Tree::new();
    let path = target.path().display();
    let mut command = script(&format!(
        "(echo x >{path}/file) 2>&1; mkdir {path}/new 2>&1; cat {path}/file; rmdir {path}/directory 2>&1"
    ));
    command.mount(Mount::bind(source.path(), target.path()).read_only());
    let told = command.output().unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert_eq!(told.matches("Read-only file system").count(), 3, "{told}");
    assert_eq!(source.names(), [Path::new("directory"), Path::new("file")]);
    // Only there.
    fs::write(source.at("file"), "changed").unwrap();
    let mut command = program("cat");
    command
        .mount(Mount::bind(source.path(), target.path()).read_only().no_exec().no_dev().no_suid());
    inside(&mut command, |_, lines| {
        let line = at(lines, target.path());
        for flag in ["ro", "nosuid", "nodev", "noexec"] {
            assert!(line.has(flag), "{flag}: {line:?}");
        }
        assert!(line.super_options.starts_with("rw"), "the file system is not: {line:?}");
    });
    let mut command = program("cat");
    command.mount(Mount::bind(source.path(), target.path()));
    inside(&mut command, |_, lines| {
        let line = at(lines, target.path());
        for flag in ["ro", "nosuid", "nodev", "noexec"] {
            assert_eq!(
                line.has(flag),
                at(&mounts_of("self"), on(source.path())).has(flag),
                "{flag}"
            );
        }
    });
}

/// The mount that a path is on.
fn on(path: &Path) -> PathBuf {
    let mounts = mounts_of("self");
    let mount = path.ancestors().find(|path| is_mounted(&mounts, path));
    mount.expect("at least the root").to_owned()
}

pub(crate) fn no_exec_is_no_exec() {
    let source = Tree::new();
    let program = source.write("program", "#!/bin/sh\necho ran\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let target = Tree::new();
    for (no_exec, told) in [(false, "ran"), (true, "Permission denied")] {
        let mount = Mount::bind(source.path(), target.path());
        let mount = if no_exec { mount.no_exec() } else { mount };
        let mut command = script(&format!("{}/program 2>&1; true", target.path().display()));
        let output = stdout_of(command.mount(mount));
        assert!(output.contains(told), "{output}");
    }
}

/// In a shared world: a tree with mounts below.
pub(crate) fn recursion() {
    shared_world();
    let source = Tree::with(&["below/deeper"]);
    tmpfs(&source.at("below"));
    fs::create_dir(source.at("below/deeper")).unwrap();
    tmpfs(&source.at("below/deeper"));
    let target = Tree::new();
    let below = target.at("below");
    let mut command = Command::new("cat");
    command.namespaces(MOUNT).mount(Mount::bind(source.path(), target.path()).read_only());
    inside(&mut command, |_, lines| {
        assert!(at(lines, target.path()).has("ro"));
        assert!(!is_mounted(lines, &below));
    });
    let mut command = Command::new("cat");
    command.namespaces(MOUNT).mount(Mount::bind(source.path(), target.path()).recursive());
    inside(&mut command, |_, lines| assert!(!at(lines, &below).has("ro")));
    let all = Mount::bind(source.path(), target.path()).recursive().read_only().no_exec();
    for set in [MOUNT, MOUNT | USER] {
        let mut command = Command::new("cat");
        command.namespaces(set).mount(all.clone());
        inside(&mut command, |_, lines| {
            for path in [target.path(), &below, &below.join("deeper")] {
                assert!(at(lines, path).has("ro") && at(lines, path).has("noexec"), "{path:?}");
                assert!(
                    !at(
                        lines,
                        source
                            .path()
                            .join(path.strip_prefix(target.path()).unwrap())
                            .ancestors()
                            .find(|path| is_mounted(lines, path))
                            .unwrap()
                    )
                    .has("noexec")
                );
            }
        });
    }
    // What is mounted there may hide something.
    let mut command = Command::new("cat");
    command.namespaces(MOUNT | USER).mount(Mount::bind(source.path(), target.path()));
    let message = refused_on(&mut command, target.path(), libc::EINVAL);
    assert!(message.contains("`Mount::recursive`"), "{message}");
}

/// In a shared world: flags that a user namespace may not take away stay.
pub(crate) fn locked_flags() {
    shared_world();
    let source = Tree::new();
    let target = Tree::new();
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC | libc::MS_NOATIME;
    mount("none".as_ref(), source.path(), "tmpfs", flags);
    let check = || {
        for recursive in [false, true] {
            let bind = Mount::bind(source.path(), target.path()).read_only();
            let bind = if recursive { bind.recursive() } else { bind };
            let mut command = Command::new("cat");
            command.namespaces(USER | MOUNT).mount(bind);
            if recursive && crate::fallbacks::is_without_mount_setattr() {
                let message = refused_on(&mut command, target.path(), libc::ENOSYS);
                assert!(message.contains("mount_setattr"), "{message}");
                continue;
            }
            inside(&mut command, |_, lines| {
                for flag in ["ro", "nosuid", "nodev", "noexec", "noatime"] {
                    assert!(at(lines, target.path()).has(flag), "{flag}: {lines:#?}");
                }
            });
        }
    };
    check();
    answer(&[libc::SYS_mount_setattr], libc::ENOSYS);
    check();
    answer(&[libc::SYS_open_tree, libc::SYS_move_mount, libc::SYS_openat2], libc::EPERM);
    check();
}

pub(crate) fn mounts_build_on_each_other() {
    let source = Tree::with(&["inner"]);
    source.write("inner/file", "at the end");
    let base = Tree::new();
    let at_base = |name: &str| base.at(name);
    let mut command = script(&format!("cat {}", at_base("one/two/three/file").display()));
    command
        .mount(Mount::tmpfs(base.path()))
        .mount(Mount::tmpfs(at_base("one")).create_target())
        .mount(Mount::bind(source.path(), at_base("one/two")).create_target())
        .mount(Mount::tmpfs(at_base("one/two/inner")))
        .mount(Mount::bind(source.at("inner"), at_base("one/two/three")).create_target());
    // `three` is made in `source`, which is what `two` is.
    assert_eq!(stdout_of(&mut command), "at the end");
    assert!(source.at("three").is_dir());
    assert!(base.names().is_empty());
    // The other way round there is nothing to build on.
    let mut command = program("cat");
    command.mount(Mount::tmpfs(at_base("one"))).mount(Mount::tmpfs(base.path()));
    refused_on(&mut command, at_base("one"), libc::ENOENT);
}

pub(crate) fn a_mount_that_fails_halfway_leaves_nothing() {
    let target = Tree::with(&["a", "b"]);
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut command = program("cat");
    command
        .mount(Mount::tmpfs(target.at("a")))
        .mount(Mount::bind("/usr", target.at("b")).recursive())
        .mount(Mount::tmpfs(target.at("missing")));
    refused_on(&mut command, target.at("missing"), libc::ENOENT);
    let after = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert_eq!(before, after);
    assert_eq!(target.names(), [Path::new("a"), Path::new("b")]);
    for name in ["a", "b"] {
        fs::remove_dir(target.at(name)).expect("nothing is mounted there, and nothing left in it");
    }
}

pub(crate) fn kinds_of_file_systems() {
    let target = Tree::with(&["proc", "sys", "pts", "tmp", "mqueue", "limited"]);
    let mut command = program("cat");
    command
        .namespaces(with_user(PID | NET | IPC))
        .mount(Mount::proc(target.at("proc")))
        .mount(Mount::sysfs(target.at("sys")))
        .mount(Mount::devpts(target.at("pts")))
        .mount(Mount::tmpfs(target.at("tmp")))
        .mount(Mount::tmpfs(target.at("limited")).data("mode=1777,size=1m").no_exec())
        .mount(Mount::new("mqueue", "none", target.at("mqueue")).no_suid());
    inside(&mut command, |child, lines| {
        let kinds = [
            ("proc", "proc"),
            ("sys", "sysfs"),
            ("pts", "devpts"),
            ("tmp", "tmpfs"),
            ("mqueue", "mqueue"),
        ];
        for (name, fstype) in kinds {
            assert_eq!(at(lines, target.at(name)).fstype, fstype);
        }
        for name in ["proc", "sys"] {
            let line = at(lines, target.at(name));
            assert!(["nosuid", "nodev", "noexec"].iter().all(|flag| line.has(flag)), "{line:?}");
        }
        let options = &at(lines, target.at("pts")).super_options;
        assert!(options.contains("mode=620") && options.contains("ptmxmode=666"), "{options}");
        assert!(at(lines, target.at("tmp")).super_options.contains("mode=755"));
        let limited = at(lines, target.at("limited"));
        assert!(limited.super_options.contains("size=1024k"), "{limited:?}");
        assert!(limited.has("noexec") && limited.has("nosuid"), "{limited:?}");
        assert!(at(lines, target.at("mqueue")).has("nosuid"));
        let seen = |name: &str| {
            PathBuf::from(format!("/proc/{}/root{}", child.id(), target.at(name).display()))
        };
        assert_eq!(fs::metadata(seen("tmp")).unwrap().mode() & 0o7777, 0o755);
        assert_eq!(fs::metadata(seen("limited")).unwrap().mode() & 0o7777, 0o1777);
        // The default on /proc is not missing because of a proc elsewhere.
        assert_eq!(lines.iter().filter(|line| line.target == "/proc").count(), 2, "{lines:#?}");
    });
    let mut command = program("cat");
    let message = refused_on(
        command.mount(Mount::new("nosuchfs", "none", target.path())),
        target.path(),
        libc::ENODEV,
    );
    assert!(message.contains("no file system of the type \"nosuchfs\""), "{message}");
    let mut command = program("cat");
    let message = refused_on(
        command.mount(Mount::tmpfs(target.path()).data("nosuchoption=1")),
        target.path(),
        libc::EINVAL,
    );
    assert!(message.contains("nosuchoption"), "{message}");
}

pub(crate) fn what_takes_a_namespace_says_so() {
    let target = Tree::new();
    for (mount, fstype, says) in [
        (Mount::sysfs(target.path()), "sysfs", "Namespaces::NET"),
        (Mount::new("mqueue", "none", target.path()), "mqueue", "Namespaces::IPC"),
        (Mount::proc(target.path()), "proc", "Namespaces::PID"),
    ] {
        let mut command = Command::new("cat");
        command.namespaces(USER | MOUNT).mount(mount);
        let message = refused_on(&mut command, target.path(), libc::EPERM);
        assert!(message.contains(says), "{fstype}: {message}");
    }
}

pub(crate) fn overlays() {
    // The directories' names have what overlay has to be told to take as part of a name.
    let tree = Tree::with(&["lower,1", "upper", "work", "merged"]);
    tree.write("lower,1/file", "below");
    let data = format!(
        "lowerdir={}/lower\\,1,upperdir={}/upper,workdir={}/work,userxattr",
        tree.path().display(),
        tree.path().display(),
        tree.path().display()
    );
    let merged = tree.at("merged");
    let mut command =
        script(&format!("cd {}; cat file; echo above >file; cat file", merged.display()));
    command
        .namespaces(USER)
        .map_root_user()
        .mount(Mount::new("overlay", "overlay", &merged).data(&data));
    assert_eq!(stdout_of(&mut command), "belowabove");
    assert_eq!(fs::read_to_string(tree.at("lower,1/file")).unwrap(), "below");
    assert_eq!(fs::read_to_string(tree.at("upper/file")).unwrap(), "above\n");
    let mut command = program("cat");
    command.mount(
        Mount::new("overlay", "overlay", &merged)
            .data("lowerdir=/no/such,upperdir=/no/such,workdir=/no/such"),
    );
    let message = refused_on(&mut command, &merged, libc::ENOENT);
    assert!(message.contains("(overlay)") && message.contains("options"), "{message}");
}
