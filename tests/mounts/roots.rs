//! New roots, and ways out of them.

use crate::device::*;

pub(crate) fn the_old_root_is_gone() {
    let root = Tree::with(&["proc", "kept"]);
    let mut command = program("cat");
    command.namespaces(with_user(PID)).root(root.path());
    let programs = system(&mut command);
    inside(programs, |child, lines| {
        let own = ["/", "/usr", "/bin", "/lib", "/lib64", "/proc"];
        for line in lines {
            assert!(own.contains(&&*line.target), "of the old root: {line:?}");
        }
        assert_eq!(at(lines, "/proc").fstype, "proc");
        // The kernel's own view of its root and directory, by device and inode.
        let of =
            |name: &str| fs::metadata(format!("/proc/{}/{name}", child.id())).map(|it| it.ino());
        let ino = fs::metadata(root.path()).unwrap().ino();
        if is_root() {
            assert_eq!((of("root").unwrap(), of("cwd").unwrap()), (ino, ino));
        }
    });
    // No descriptor of the spawn's is left, and nothing on the way up.
    let mut command = script(
        "ls /proc/self/fd | wc -l; pwd; cd ..; pwd; ls -d /../../kept /proc/1/root/kept /proc/self/cwd/kept; \
         ls -d /proc/1/root/proc/1/root/kept; ls /",
    );
    command.namespaces(with_user(PID)).root(root.path()).stdin(Stdio::null());
    let told = stdout_of(system(&mut command));
    let told: Vec<_> = told.lines().collect();
    // 0, 1, 2, and the one that ls lists by.
    assert_eq!(told[0], "4");
    assert_eq!(&told[1..3], ["/", "/"]);
    assert_eq!(told.iter().filter(|line| line.ends_with("/kept")).count(), 4, "{told:?}");
    let names = ["bin", "kept", "lib", "lib64", "proc", "usr"];
    assert!(told.iter().skip(7).all(|name| names.contains(name)), "{told:?}");
}

pub(crate) fn a_new_root_needs_a_directory_for_proc() {
    let root = Tree::new();
    let mut command = program("cat");
    command.namespaces(with_user(PID)).root(root.path());
    let error = refusal(system(&mut command));
    assert_eq!(error.step(), &Step::Mount("/proc".into()));
    assert_eq!(
        error.to_string(),
        "mount proc on /proc: No such file or directory (os error 2): there is no directory for it in the root: make one, \
         or set `mount_proc(false)`"
    );
    let mut command = script("ls -d /proc; echo done");
    command.namespaces(with_user(PID)).root(root.path()).mount_proc(false);
    assert_eq!(stdout_of(system(&mut command)), "done");
    // Or there is one made for it.
    let mut command = script("echo $$; readlink /proc/self/exe >/dev/null; ls -d /proc/self");
    command.namespaces(with_user(PID)).root(root.path());
    command.mount(Mount::proc("/proc").create_target()).mount(Mount::dev("/dev").create_target());
    assert_eq!(stdout_of(system(&mut command)), "1\n/proc/self");
}

pub(crate) fn roots_that_are_none() {
    let tree = Tree::new();
    let file = tree.write("file", "");
    for (root, errno) in [(tree.at("missing"), libc::ENOENT), (file, libc::ENOTDIR)] {
        let mut command = program("cat");
        let error = refusal(command.root(&root));
        assert_eq!(error.step(), &Step::PivotRoot(root.clone()), "{error}");
        assert_eq!(error.raw_os_error(), Some(errno), "{error}");
        assert!(error.to_string().starts_with(&format!("pivot_root to {}: ", root.display())));
    }
}

pub(crate) fn paths_are_those_inside() {
    let root = Tree::with(&["work"]);
    root.write("work/file", "found");
    let mut command = script("pwd; cat file");
    command.root(root.path()).current_dir("/work");
    assert_eq!(stdout_of(system(&mut command)), "/work\nfound");
    let mut command = script("pwd");
    command.root(root.path()).current_dir(root.at("work"));
    let error = refusal(system(&mut command));
    assert_eq!(error.step(), &Step::Chdir(root.at("work")));
    assert!(error.to_string().contains("inside"), "{error}");
    // The program too.
    let mut command = program("/bin/sh");
    let error = refusal(command.root(root.path()));
    assert_eq!(error.step(), &Step::Exec("/bin/sh".into()));
    assert!(error.to_string().contains("inside the new root"), "{error}");
}

pub(crate) fn an_empty_root_of_memory() {
    let mut command = script("ls -A /; touch /x 2>&1; touch /tmp/y && ls /tmp; stat -c %a / /tmp");
    command
        .namespaces(with_user(PID))
        .mount(Mount::tmpfs("/").read_only())
        .mount(Mount::tmpfs("/tmp").create_target())
        .mount(Mount::proc("/proc").create_target())
        .mount(Mount::dev("/dev").create_target().read_only());
    let told = stdout_of(system(&mut command));
    let told: Vec<_> = told.lines().collect();
    for name in ["dev", "proc", "tmp", "usr"] {
        assert!(told.contains(&name), "{told:?}");
    }
    assert!(!told.contains(&"etc"), "{told:?}");
    assert!(told.iter().any(|line| line.contains("Read-only file system")), "{told:?}");
    assert_eq!(&told[told.len() - 3..], ["y", "755", "755"]);
}

pub(crate) fn a_read_only_root() {
    let root = Tree::with(&["proc", "tmp", "usr", "bin", "lib", "lib64"]);
    for with_root in [false, true] {
        let mut command =
            script("touch /x 2>&1; touch /tmp/y && echo done; cat /proc/self/mountinfo");
        command.namespaces(with_user(PID));
        if with_root {
            command.root(root.path());
        }
        command.mount(Mount::bind(root.path(), "/").read_only()).mount(Mount::tmpfs("/tmp"));
        let told = stdout_of(system(&mut command));
        assert!(told.contains("Read-only file system") && told.contains("\ndone\n"), "{told}");
        let table = told.split_once("done\n").unwrap().1;
        assert!(at(&lines(table), "/").has("ro"));
    }
    assert!(!root.at("x").exists() && !root.at("tmp/y").exists());
}

pub(crate) fn devices_work() {
    let mut command = script(
        "echo x >/dev/null && head -c 2 /dev/zero | wc -c && head -c 3 /dev/urandom | wc -c && head -c 1 /dev/zero >/dev/full; \
         echo by-fd >/dev/fd/1; echo by-name >/dev/stdout; test -c /dev/ptmx && test -c /dev/pts/ptmx && : <>/dev/ptmx && echo terminal; \
         touch /dev/shm/x && echo memory; touch /dev/x 2>&1",
    );
    command.namespaces(with_user(PID)).mount(Mount::dev("/dev").read_only());
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    for line in ["2", "3", "by-fd", "by-name", "terminal", "memory"] {
        assert!(told.lines().any(|own| own == line), "no {line}: {told}");
    }
    assert!(told.contains("No space left") && told.contains("Read-only file system"), "{told}");
}

pub(crate) fn functions_have_a_root_too() {
    let root = Tree::with(&["proc", "kept"]);
    let mut command = Command::from_fn(|| {
        let names: Vec<_> = fs::read_dir("/").unwrap().flatten().map(|it| it.file_name()).collect();
        let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
        let open: Vec<_> = links.filter_map(|it| fs::read_link(it.path()).ok()).collect();
        let directories = open.iter().filter(|path| path.is_absolute() && path.is_dir());
        // The only directory that is open is the one that is being read.
        let outside = directories.filter(|path| !path.starts_with("/proc")).count();
        i32::from(names.len() != 2 || outside != 0)
    });
    command.namespaces(with_user(PID | MOUNT)).root(root.path());
    assert_eq!(command.status().unwrap().code(), Some(0));
}

pub(crate) fn exec_has_a_root() {
    let root = Tree::with(&["kept"]);
    let mut case = crate::common::case("exec");
    let output = case.env("LINUX_NAMESPACES_ROOT", root.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(root.at("new").is_dir() && root.at("usr").is_dir());
}

/// The program replaces the process.
pub(crate) fn exec_case() {
    let root = std::env::var_os("LINUX_NAMESPACES_ROOT").expect("a directory");
    let mut command = script("ls -d /kept && test ! -d /etc");
    system(command.root(root).mount(Mount::tmpfs("/new").create_target()));
    panic!("{}", command.exec());
}

/// In a process of its own. What a failed exec has opened is closed again.
pub(crate) fn exec_that_fails_leaves_no_descriptor() {
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    let mut command = program("cat");
    command.mount(Mount::bind("/usr", "/usr").recursive()).mount(Mount::tmpfs("/no/such"));
    let error = command.exec();
    assert_eq!(error.step(), &Step::Mount("/no/such".into()), "{error}");
    assert_eq!(open(), before);
}

/// In a shared world.
pub(crate) fn entered_namespaces_keep_their_root() {
    shared_world();
    let tree = Tree::with(&["root/kept", "mounted"]);
    let mut command = Command::new("cat");
    let holder = running(command.namespaces(MOUNT));
    let entered = holder.namespace(linux_namespaces::NamespaceKind::Mount).unwrap();
    let before = mounts_of(holder.id());
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "test -d /kept && ! test -d /etc"]).enter(&entered).root(tree.at("root"));
    for path in ["/usr", "/bin", "/lib", "/lib64"] {
        let here = Path::new(path);
        if here.is_symlink() {
            symlink(fs::read_link(here).unwrap(), tree.at("root").join(&path[1..])).unwrap();
        }
    }
    command.mount(Mount::bind("/usr", "/usr").recursive().create_target());
    assert!(command.status().unwrap().success());
    // The holder has its root as before, and what was mounted is there for it too.
    let after = mounts_of(holder.id());
    assert_eq!(&after[..before.len()], before);
    assert_eq!(after.len(), before.len() + 1 + below_usr(), "{after:#?}");
    assert!(is_mounted(&after, tree.at("root/usr")));
    end(holder);
}

fn below_usr() -> usize {
    mounts_of("self").iter().filter(|line| line.target.starts_with("/usr/")).count()
}
