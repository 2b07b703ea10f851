//! Where targets are: inside the root, whatever is on the way. And where sources are: outside.

use crate::device::*;

/// Directories inside that have the same path as one outside, which must stay as it is.
fn root_like(outside: &Tree) -> Tree {
    let root = Tree::new();
    fs::create_dir_all(root.at(outside.path().strip_prefix("/").unwrap().to_str().unwrap()))
        .unwrap();
    root
}

pub(crate) fn links_lead_nowhere_outside() {
    let outside = Tree::with(&["there"]);
    let root = root_like(&outside);
    symlink(outside.path(), root.at("absolute")).unwrap();
    let up = format!("{}{}", "../".repeat(40), outside.path().display());
    symlink(&up, root.at("relative")).unwrap();
    symlink("absolute", root.at("twice")).unwrap();
    let expected = outside.at("here");
    for path in ["/absolute/here", "relative/here", "/twice/here", "/twice/./here/../here"] {
        let mut command = program("cat");
        command.root(root.path()).mount(Mount::tmpfs(path).create_target());
        inside(system(&mut command), |_, lines| {
            assert_eq!(at(lines, &expected).fstype, "tmpfs", "{path}");
        });
        assert_eq!(outside.names(), [Path::new("there")], "{path} is outside");
    }
    // The same without making anything: what is outside is not found.
    for path in ["/absolute/there", "/relative/there", "/twice/there"] {
        let mut command = program("cat");
        let message =
            refused_on(command.root(root.path()).mount(Mount::tmpfs(path)), path, libc::ENOENT);
        assert!(message.contains("create_target"), "{message}");
    }
}

pub(crate) fn dots_stop_at_the_root() {
    dots_stop_at_the_root_with(system);
}

pub(crate) fn dots_stop_at_the_root_with(system: fn(&mut Command) -> &mut Command) {
    let root = Tree::with(&["a/b", "c"]);
    for (path, target) in [
        ("../../../../c", "/c"),
        ("/../c", "/c"),
        ("/a/../../../c", "/c"),
        ("a/b/../../c/.", "/c"),
        ("//c//", "/c"),
        ("c", "/c"),
    ] {
        let mut command = program("cat");
        command.root(root.path()).mount(Mount::tmpfs(path));
        inside(system(&mut command), |_, lines| {
            assert_eq!(at(lines, target).fstype, "tmpfs", "{path}");
        });
    }
}

pub(crate) fn links_of_proc_are_not_followed() {
    let outside = Tree::new();
    let root = Tree::with(&["proc"]);
    let escape = format!("/proc/self/root{}", outside.path().display());
    symlink(&escape, root.at("escape")).unwrap();
    symlink("/proc/self/cwd", root.at("cwd")).unwrap();
    for path in ["/escape", "/proc/self/root/x", "/cwd/x", "/proc/1/root/x"] {
        let mut command = program("cat");
        command.namespaces(with_user(PID)).root(root.path()).mount(Mount::proc("/proc"));
        let error = refusal(command.mount(Mount::tmpfs(path).create_target()));
        assert_eq!(error.step(), &Step::Mount(path.into()), "{error}");
    }
    assert!(outside.names().is_empty());
    assert!(!root.at("x").exists());
}

pub(crate) fn circles_are_noticed() {
    let root = Tree::new();
    symlink("b", root.at("a")).unwrap();
    symlink("a", root.at("b")).unwrap();
    for create in [false, true] {
        let mount = Mount::tmpfs("/a/x");
        let mount = if create { mount.create_target() } else { mount };
        let mut command = program("cat");
        let message = refused_on(command.root(root.path()).mount(mount), "/a/x", libc::ELOOP);
        assert!(message.contains("symbolic link"), "{message}");
    }
}

pub(crate) fn a_missing_target_is_named() {
    let root = Tree::new();
    root.write("file", "");
    let source = Tree::new();
    for (mount, kind) in [
        (Mount::tmpfs("/no/such"), "(tmpfs)".to_owned()),
        (
            Mount::bind(source.path(), "/no/such"),
            format!("(a bind of {})", source.path().display()),
        ),
    ] {
        let mut command = program("cat");
        let message = refused_on(command.root(root.path()).mount(mount), "/no/such", libc::ENOENT);
        assert_eq!(
            message,
            format!(
                "mount on /no/such {kind}: No such file or directory (os error 2): there is no such directory or file inside \
                 the root: make it, or add `Mount::create_target`"
            )
        );
    }
    let mut command = program("cat");
    refused_on(command.root(root.path()).mount(Mount::tmpfs("/file/x")), "/file/x", libc::ENOTDIR);
    let mut command = program("cat");
    let mount = Mount::tmpfs("/file/x").create_target();
    refused_on(command.root(root.path()).mount(mount), "/file/x", libc::ENOTDIR);
    assert_eq!(root.names(), [Path::new("file")]);
}

pub(crate) fn a_missing_target_is_made() {
    let root = Tree::new();
    let source = Tree::new();
    let file = source.write("file", "it is there");
    let mut command = script("cat /a/b/c; ls -d /d/e/f /g");
    command.root(root.path());
    system(&mut command);
    command.mount(Mount::bind(&file, "/a/b/c").create_target());
    command.mount(Mount::bind(source.path(), "d/e/../e/f").create_target());
    command.mount(Mount::tmpfs("/g").create_target());
    for _ in 0..2 {
        assert_eq!(stdout_of(&mut command), "it is there/d/e/f\n/g");
    }
    // They are real, of these kinds, and hold nothing of what was mounted on them.
    assert!(root.at("a/b/c").is_file() && fs::read(root.at("a/b/c")).unwrap().is_empty());
    assert!(root.at("d/e/f").is_dir() && fs::read_dir(root.at("d/e/f")).unwrap().next().is_none());
    assert!(root.at("g").is_dir());
    // A link to nothing is not followed.
    symlink("/nothing/here", root.at("link")).unwrap();
    let mut command = program("cat");
    let mount = Mount::tmpfs("/link").create_target();
    let message = refused_on(command.root(root.path()).mount(mount), "/link", libc::ENOENT);
    assert!(message.contains("leads to nothing"), "{message}");
    assert!(!root.at("nothing").exists());
}

pub(crate) fn kinds_of_files_must_fit() {
    let root = Tree::with(&["directory"]);
    let file = root.write("file", "");
    for (source, target) in [(&*file, "/directory"), (root.path(), "/file")] {
        let mut command = program("cat");
        let mount = Mount::bind(source, target);
        let message = refused_on(command.root(root.path()).mount(mount), target, libc::ENOTDIR);
        assert!(message.contains("a file on a file"), "{message}");
    }
    let mut command = program("cat");
    let mount = Mount::tmpfs("/file");
    let message = refused_on(command.root(root.path()).mount(mount), "/file", libc::ENOTDIR);
    assert!(message.contains("no directory"), "{message}");
}

pub(crate) fn sources_are_outside() {
    let outside = Tree::with(&["directory", "hidden"]);
    outside.write("directory/file", "outside");
    outside.write("hidden/file", "not hidden");
    symlink("directory", outside.at("link")).unwrap();
    let root = Tree::with(&["a", "b"]);
    // A link at the end of a source is followed outside, a mount that is made first does not hide it.
    let mut command = script("cat /a/file /b/file");
    command.root(root.path());
    system(&mut command);
    command.mount(Mount::bind(outside.at("link"), "/a"));
    command.mount(Mount::bind(outside.at("hidden"), "/b"));
    assert_eq!(stdout_of(&mut command), "outsidenot hidden");
    let hidden = outside.at("hidden");
    let mut command =
        script(&format!("cat {}/file; ls {}", hidden.display(), outside.path().display()));
    command.mount(Mount::tmpfs(outside.path()));
    command.mount(Mount::bind(&hidden, &hidden).create_target());
    assert_eq!(stdout_of(&mut command), "not hiddenhidden");
    let missing = outside.at("missing");
    let mut command = program("cat");
    let message = refused_on(
        command.root(root.path()).mount(Mount::bind(&missing, "/a")),
        "/a",
        libc::ENOENT,
    );
    assert!(message.contains(&format!("a bind of {}", missing.display())), "{message}");
    assert!(message.contains("outside"), "{message}");
}

/// In a process of its own, which changes its directory.
pub(crate) fn relative_sources() {
    let outside = Tree::with(&["source", "root/a", "root/b", "base", "work", "upper"]);
    outside.write("source/file", "found");
    std::env::set_current_dir(outside.path()).unwrap();
    let mut command = script("cat /a/file; pwd");
    command.root("root");
    system(&mut command);
    command.mount(Mount::tmpfs("/b")).mount(Mount::bind("source", "a"));
    assert_eq!(stdout_of(&mut command), "found/");
    // Without a root the directory stays.
    let mut command = script("cat source/file root/a/file; pwd");
    let target = outside.at("root/a");
    command.mount(Mount::tmpfs(outside.at("root/b"))).mount(Mount::bind("./source", target));
    assert_eq!(stdout_of(&mut command), format!("foundfound{}", outside.path().display()));
}

/// In a process of its own, which changes its directory.
pub(crate) fn the_directory_is_not_one_below_a_mount() {
    let outside = Tree::with(&["here", "there/here"]);
    outside.write("here/secret", "");
    outside.write("there/here/known", "");
    std::env::set_current_dir(outside.at("here")).unwrap();
    // The directory that has the name now.
    let mut command = script("pwd; ls");
    command.mount(Mount::bind(outside.at("there"), outside.path()));
    assert_eq!(stdout_of(&mut command), format!("{}\nknown", outside.at("here").display()));
    // None has.
    let mut command = script("pwd; ls . | grep secret; true");
    command.mount(Mount::tmpfs(outside.path()));
    assert_eq!(stdout_of(&mut command), "/");
    let mut command = script("pwd");
    command.mount(Mount::tmpfs(outside.path())).current_dir(outside.at("here"));
    let error = refusal(&mut command);
    assert_eq!(error.step(), &Step::Chdir(outside.at("here")), "{error}");
}
