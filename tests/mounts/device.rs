//! What the tests of mounts share: directory trees, and mount tables as the kernel shows them.

pub(crate) use std::ffi::CString;
pub(crate) use std::fs;
pub(crate) use std::io;
pub(crate) use std::os::unix::ffi::OsStrExt as _;
pub(crate) use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
pub(crate) use std::path::{Path, PathBuf};
pub(crate) use std::ptr;

pub(crate) use linux_namespaces::flags::{IPC, MOUNT, NET, PID, USER};
pub(crate) use linux_namespaces::{Child, Command, Error, Mount, Propagation, Stdio, Step};
pub(crate) use tempfile::TempDir;

pub(crate) use crate::common::processes::{end, running};
pub(crate) use crate::common::seccomp::answer;
pub(crate) use crate::common::{Footprint, is_root, stdout_of, with_user};

/// One line of a mountinfo.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    pub(crate) root: String,
    pub(crate) target: String,
    pub(crate) options: Vec<String>,
    /// "shared:1", "master:2".
    pub(crate) ties: Vec<String>,
    pub(crate) fstype: String,
    pub(crate) super_options: String,
}

impl Line {
    pub(crate) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|own| own == option)
    }

    pub(crate) fn is_tied(&self, how: &str) -> bool {
        self.ties.iter().any(|tie| tie.starts_with(how))
    }
}

pub(crate) fn lines(mountinfo: &str) -> Vec<Line> {
    let line = |line: &str| {
        let (own, of_fs) = line.split_once(" - ").expect("a separator");
        let mut own = own.split(' ').skip(3).map(str::to_owned);
        let mut of_fs = of_fs.split(' ').map(str::to_owned);
        Line {
            root: own.next().expect("a root"),
            target: own.next().expect("a target"),
            options: own.next().expect("options").split(',').map(str::to_owned).collect(),
            ties: own.collect(),
            fstype: of_fs.next().expect("a type"),
            super_options: of_fs.nth(1).expect("options"),
        }
    };
    mountinfo.lines().map(line).collect()
}

/// The mounts that a process has, as paths below its root.
pub(crate) fn mounts_of(process: impl std::fmt::Display) -> Vec<Line> {
    lines(&fs::read_to_string(format!("/proc/{process}/mountinfo")).expect("mounts"))
}

/// The topmost mount there.
#[track_caller]
pub(crate) fn at(lines: &[Line], target: impl AsRef<Path>) -> &Line {
    let target = target.as_ref();
    let found = lines.iter().rev().find(|line| Path::new(&line.target) == target);
    found.unwrap_or_else(|| panic!("no mount on {}: {lines:#?}", target.display()))
}

pub(crate) fn is_mounted(lines: &[Line], target: impl AsRef<Path>) -> bool {
    lines.iter().any(|line| Path::new(&line.target) == target.as_ref())
}

/// A directory that the ordinary user can reach, too, by a path without links.
pub(crate) struct Tree {
    _directory: TempDir,
    path: PathBuf,
}

impl Tree {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().canonicalize().expect("its path");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
        Self { _directory: directory, path }
    }

    /// With these directories in it.
    pub(crate) fn with(directories: &[&str]) -> Self {
        let tree = Self::new();
        for directory in directories {
            fs::create_dir_all(tree.at(directory)).expect("a directory");
        }
        tree
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.at(name);
        fs::write(&path, text).expect("a file");
        path
    }

    /// The names in it, all levels down.
    pub(crate) fn names(&self) -> Vec<PathBuf> {
        fn walk(directory: &Path, top: &Path, names: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(directory).expect("a directory").flatten() {
                names.push(entry.path().strip_prefix(top).expect("below it").to_owned());
                if entry.file_type().expect("a type").is_dir() {
                    walk(&entry.path(), top, names);
                }
            }
        }
        let mut names = Vec::new();
        walk(&self.path, &self.path, &mut names);
        names.sort();
        names
    }
}

impl Drop for Tree {
    /// What a test mounted in a world of its own would keep its directory.
    fn drop(&mut self) {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for line in lines(&mounts).iter().rev() {
            if Path::new(&line.target).starts_with(&self.path) {
                unmount(Path::new(&line.target));
            }
        }
    }
}

/// Has the command find the machine's programs inside, read-only.
pub(crate) fn system(command: &mut Command) -> &mut Command {
    for path in ["/usr", "/bin", "/lib", "/lib64"] {
        if Path::new(path).exists() {
            command.mount(Mount::bind(path, path).recursive().read_only().create_target());
        }
    }
    command
}

/// A program in a mount namespace of its own.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.namespaces(with_user(MOUNT));
    command
}

pub(crate) fn script(text: &str) -> Command {
    let mut command = program("/bin/sh");
    command.args(["-c", text]);
    command
}

/// The mounts of a `cat` with these settings, and what `look` finds about it.
pub(crate) fn inside<T>(command: &mut Command, look: impl FnOnce(&Child, &[Line]) -> T) -> T {
    let child = running(command);
    let found = look(&child, &mounts_of(child.id()));
    end(child);
    found
}

/// It must be refused, and leave nothing.
#[track_caller]
pub(crate) fn refusal(command: &mut Command) -> Error {
    let before = Footprint::now();
    let error = command.spawn().expect_err("it is refused");
    before.assert_unchanged();
    error
}

#[track_caller]
pub(crate) fn refused_on(command: &mut Command, target: impl AsRef<Path>, errno: i32) -> String {
    let error = refusal(command);
    assert_eq!(error.step(), &Step::Mount(target.as_ref().to_owned()), "{error}");
    assert_eq!(error.raw_os_error(), Some(errno), "{error}");
    error.to_string()
}

fn text(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no NUL in a path")
}

/// mount(2), independent of the code under test.
#[track_caller]
pub(crate) fn mount(source: &Path, target: &Path, fstype: &str, flags: libc::c_ulong) {
    let (source, target, fstype) = (text(source), text(target), text(fstype.as_ref()));
    // SAFETY: three texts that end in NUL, and no data.
    let result = unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), fstype.as_ptr(), flags, ptr::null())
    };
    assert_eq!(result, 0, "mount on {target:?}: {}", io::Error::last_os_error());
}

pub(crate) fn tmpfs(target: &Path) {
    mount("none".as_ref(), target, "tmpfs", 0);
}

/// Moves this process into a mount namespace where it has the right to mount, as root there, with `/` shared.
pub(crate) fn shared_world() {
    // SAFETY: always succeeds.
    let (uid, gid) = (unsafe { libc::geteuid() }, unsafe { libc::getegid() });
    let user = if uid == 0 { 0 } else { libc::CLONE_NEWUSER };
    // SAFETY: takes a number; this process runs one case only.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNS | user) };
    assert_eq!(result, 0, "unshare: {}", io::Error::last_os_error());
    if uid != 0 {
        fs::write("/proc/self/setgroups", "deny").expect("setgroups");
        fs::write("/proc/self/uid_map", format!("0 {uid} 1")).expect("uid_map");
        fs::write("/proc/self/gid_map", format!("0 {gid} 1")).expect("gid_map");
    }
    mount("none".as_ref(), "/".as_ref(), "", libc::MS_REC | libc::MS_PRIVATE);
    mount("none".as_ref(), "/".as_ref(), "", libc::MS_REC | libc::MS_SHARED);
}

#[track_caller]
pub(crate) fn unmount(target: &Path) {
    let target = CString::new(target.as_os_str().as_bytes()).unwrap();
    // SAFETY: a text that ends in NUL.
    let result = unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
    assert_eq!(result, 0, "{target:?}: {}", io::Error::last_os_error());
}
