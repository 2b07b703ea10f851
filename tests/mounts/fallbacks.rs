//! The same with system calls taken away, as older kernels and the filters of containers do.

use crate::device::*;
use crate::{binds, roots, targets};

pub(crate) fn is_without_mount_setattr() -> bool {
    // SAFETY: fails with EFAULT or EINVAL where there is one.
    let result = unsafe { libc::syscall(libc::SYS_mount_setattr, -1, 0, 0, 0, 0) };
    let errno = io::Error::last_os_error().raw_os_error();
    result != 0 && matches!(errno, Some(libc::ENOSYS | libc::EPERM))
}

const NEWER: [libc::c_long; 4] =
    [libc::SYS_openat2, libc::SYS_open_tree, libc::SYS_move_mount, libc::SYS_mount_setattr];

/// In a process of its own. A read-only tree with mounts below cannot be had.
fn system(command: &mut Command) -> &mut Command {
    for path in ["/usr", "/bin", "/lib", "/lib64"] {
        if Path::new(path).exists() {
            command.mount(Mount::bind(path, path).recursive().create_target());
        }
    }
    command
}

pub(crate) fn without(calls: &[libc::c_long], errno: i32) {
    let root = Tree::with(&["proc", "a/b", "c"]);
    let source = Tree::new();
    let file = source.write("file", "bound");
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    answer(calls, errno);
    let set = USER | PID | MOUNT;
    for covered in [false, true] {
        let mut command = Command::new("/bin/sh");
        let text = "cat /c/made /ro/file; touch /ro/x 2>&1; echo $$; cd ..; pwd; ls -d /etc 2>&1; cat /proc/self/mountinfo";
        command.args(["-c", text]).namespaces(set);
        if covered {
            command.mount(Mount::bind(root.path(), "/"));
        } else {
            command.root(root.path());
        }
        command
            .mount(Mount::tmpfs("/a/../a/b"))
            .mount(Mount::tmpfs("/a/b/deeper").create_target().propagation(Propagation::Shared))
            .mount(Mount::bind(&file, "/c/made").create_target())
            .mount(Mount::bind(source.path(), "/ro").read_only().no_exec().create_target());
        let told = stdout_of(system(&mut command));
        assert!(told.starts_with("boundbound"), "{told}");
        assert!(told.contains("Read-only file system"), "{told}");
        assert!(told.contains("\n1\n/\n"), "{told}");
        assert!(told.contains("/etc'"), "{told}");
        let table = lines(told.split_once("directory\n").unwrap().1);
        assert!(at(&table, "/ro").has("noexec") && at(&table, "/ro").has("ro"), "{table:#?}");
        assert_eq!(at(&table, "/a/b").fstype, "tmpfs");
        assert!(at(&table, "/a/b/deeper").is_tied("shared:"));
        assert!(at(&table, "/a/b").ties.is_empty());
        assert_eq!(at(&table, "/proc").fstype, "proc");
    }
    // A root of memory, which becomes read-only at last.
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "touch /x 2>&1; touch /tmp/x && echo done"]).namespaces(set);
    command
        .mount(Mount::tmpfs("/").read_only())
        .mount(Mount::proc("/proc").create_target())
        .mount(Mount::dev("/dev").create_target())
        .mount(Mount::tmpfs("/tmp").create_target());
    let told = stdout_of(system(&mut command));
    assert!(told.contains("Read-only file system") && told.ends_with("done"), "{told}");
    assert_eq!(before, fs::read_to_string("/proc/self/mountinfo").unwrap());
    targets::dots_stop_at_the_root_with(system);
    targets::a_missing_target_is_named();
    targets::kinds_of_files_must_fit();
    binds::read_only_is_read_only();
    binds::a_mount_that_fails_halfway_leaves_nothing();
    roots::roots_that_are_none();
}

pub(crate) fn without_all(errno: i32) {
    without(&NEWER, errno);
    // The safe side: no link is followed, and nothing is left out without a word.
    let outside = Tree::with(&["there"]);
    let root = Tree::with(&["there"]);
    symlink(outside.path(), root.at("absolute")).unwrap();
    symlink("there", root.at("inside")).unwrap();
    for path in ["/absolute/there", "/inside", "/inside/x", "/absolute/there/../.."] {
        for create in [false, true] {
            let mount = Mount::tmpfs(path);
            let mount = if create { mount.create_target() } else { mount };
            let mut command = program("cat");
            command.root(root.path()).mount(mount);
            if path.ends_with("..") {
                continue;
            }
            let message = refused_on(&mut command, path, libc::ELOOP);
            assert!(message.contains("openat2"), "{message}");
        }
    }
    let mut command = program("cat");
    let whole = Mount::bind("/usr", "/there").recursive().read_only();
    let message = refused_on(command.root(root.path()).mount(whole), "/there", libc::ENOSYS);
    assert!(message.contains("mount_setattr"), "{message}");
    let mut command = program("cat");
    let tied = Mount::bind(outside.path(), "/there").propagation(Propagation::Slave);
    let message = refused_on(command.root(root.path()).mount(tied), "/there", errno);
    assert!(message.contains("open_tree"), "{message}");
    assert_eq!(outside.names(), [Path::new("there")]);
}

/// In a shared world that has no /proc.
pub(crate) fn without_proc() {
    shared_world();
    tmpfs(Path::new("/proc"));
    let root = Tree::with(&["a", "b"]);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ls -d /a/x && echo $$"]).namespaces(MOUNT).root(root.path());
    command.mount(Mount::tmpfs("/a")).mount(Mount::tmpfs("/a/x").create_target().read_only());
    let told = stdout_of(crate::device::system(&mut command));
    assert!(told.starts_with("/a/x\n"), "{told}");
}
