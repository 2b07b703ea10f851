//! Bind mounts in mount namespaces that no process sees as they are. Each case runs in a world of its own, as root there.

use std::os::unix::fs::chroot;
use std::path::{Path, PathBuf};

use super::*;
use crate::common::seccomp;

/// Keeps a new UTS namespace by a file there, and says which it is.
fn bound(path: &Path) -> u64 {
    File::create(path).expect("a file");
    let made = Namespace::create(NamespaceKind::Uts).expect("a UTS namespace");
    let id = made.id().expect("an identity");
    // What is kept is asked about after this process has let it go.
    let _ = made.persist(path).expect("a mount");
    id.ino()
}

fn uts(inventory: &Inventory, ino: u64) -> &NamespaceInfo {
    let mut all = inventory.of_kind(NamespaceKind::Uts);
    all.find(|info| info.id().ino() == ino).expect("a mounted namespace")
}

/// As on kernels before Linux 6.11.
fn without_statmount() {
    seccomp::answer(&[libc::SYS_pidfd_open + 23, libc::SYS_pidfd_open + 24], libc::ENOSYS);
}

/// Whether mounts are listed without a process here, in a mount namespace that is named by what an ioctl tells.
fn has_statmount() -> bool {
    if Need::Feature("nsfs-ioctls").missing().is_some() {
        return false;
    }
    let request: [u64; 4] = [32, u64::MAX, 0, 0];
    let mut mounts = [0u64; 1];
    let (request, mounts) = (request.as_ptr(), mounts.as_mut_ptr());
    // SAFETY: a request of the size that it says, and one integer to fill.
    unsafe { libc::syscall(libc::SYS_pidfd_open + 24, request, mounts, 1, 0) >= 0 }
}

/// A process in a mount namespace of its own, with a UTS namespace bound at `path`; it is in a chroot. What it tells is the inode.
fn in_a_chroot(root: &Path, path: &Path) -> (Inside, u64) {
    let (root, path) = (root.to_owned(), path.to_owned());
    let mut command = Command::from_fn(move || {
        println!("{}", bound(&path));
        chroot(&root).expect("a chroot");
        let _ = std::io::stdin().read(&mut [0]);
        0
    });
    command.namespaces(Namespaces::MOUNT).stdout(Stdio::piped());
    let mut inside = Inside::of(&mut command);
    let mut line = String::new();
    let stdout = inside.0.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("an inode");
    // It goes into the chroot after that.
    let root = format!("/proc/{}/root", inside.pid());
    while fs::read_link(&root).expect("its root").as_os_str() == "/" {
        thread::yield_now();
    }
    (inside, line.trim().parse().expect("an inode"))
}

fn jail() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let (root, path) = (directory.path().join("jail"), directory.path().join("blue"));
    fs::create_dir(&root).expect("a directory");
    (directory, root, path)
}

/// The first process, which is the only one at first, does not see the mount.
pub(super) fn beside_a_chroot() {
    let (_directory, root, path) = jail();
    let (first, ino) = in_a_chroot(&root, &path);
    if has_statmount() {
        let inventory = scan();
        let info = uts(&inventory, ino);
        assert_eq!(info.persisted_at(), [&*path], "{info:?}");
        assert!(info.owner().is_some() && info.held_by().is_empty(), "{info:?}");
        assert_eq!(inventory.unknown_mounts(), 0);
    }
    without_statmount();
    let inventory = scan();
    assert!(!inventory.of_kind(NamespaceKind::Uts).any(|info| info.id().ino() == ino));
    assert_eq!(inventory.unknown_mounts(), 1, "it is counted");
    // A later one, which sees all.
    let mut command = Command::new("cat");
    let second = Inside::of(command.enter(&first.0.namespace(NamespaceKind::Mount).expect("it")));
    assert!(second.pid() > first.pid());
    assert_eq!(second.id(NamespaceKind::Mount), first.id(NamespaceKind::Mount));
    let inventory = scan();
    let info = uts(&inventory, ino);
    assert_eq!(info.persisted_at(), [path], "{info:?}");
    assert!(info.owner().is_some(), "{info:?}");
    assert_eq!(inventory.unknown_mounts(), 0);
}

/// All that a chroot has below it is seen, where nobody sees more; and that there may be more is counted.
pub(super) fn below_a_chroot() {
    let (_directory, root, _) = jail();
    let (_inside, ino) = in_a_chroot(&root, &root.join("blue"));
    without_statmount();
    let inventory = scan();
    let info = uts(&inventory, ino);
    assert_eq!(info.persisted_at(), [Path::new("/blue")], "{info:?}");
    assert!(info.owner().is_some(), "{info:?}");
    assert_eq!(inventory.unknown_mounts(), 1);
}

/// A mount namespace that only a descriptor keeps.
pub(super) fn without_a_process() {
    let (_directory, root, path) = jail();
    let (inside, ino) = in_a_chroot(&root, &path);
    let held = inside.0.namespace(NamespaceKind::Mount).expect("a handle");
    drop(inside);
    if has_statmount() {
        let inventory = scan();
        let info = uts(&inventory, ino);
        assert_eq!(info.persisted_at(), [path], "{info:?}");
        // It was opened inside, for nobody outside gets there.
        assert_eq!(info.owner(), Some(own(NamespaceKind::User)), "{info:?}");
        assert_eq!(inventory.unknown_mounts(), 0);
    }
    without_statmount();
    let inventory = scan();
    let id = held.id().expect("an identity");
    assert_eq!(inventory.get(id).expect("the held one").held_by(), [std::process::id()]);
    assert_eq!(inventory.unknown_mounts(), 1);
}

/// It is the caller who is in a chroot.
pub(super) fn from_a_chroot() {
    let (_directory, root, path) = jail();
    let ino = bound(&path);
    let below = bound(&root.join("green"));
    let proc = root.join("proc");
    fs::create_dir(&proc).expect("a directory");
    let mut mount = Command::new("mount");
    assert!(mount.args(["--rbind", "/proc"]).arg(proc).status().expect("mount").success());
    // This process is outside of it.
    for without in [false, true] {
        let (root, path) = (root.clone(), path.clone());
        let mut command = Command::from_fn(move || {
            if without {
                without_statmount();
            }
            chroot(&root).expect("a chroot");
            std::env::set_current_dir("/").expect("its root");
            let inventory = scan();
            assert_eq!(uts(&inventory, below).persisted_at(), [Path::new("/green")]);
            assert_eq!(uts(&inventory, ino).persisted_at(), [&*path]);
            assert!(uts(&inventory, ino).owner().is_some());
            assert_eq!(inventory.unknown_mounts(), 0);
            0
        });
        assert!(command.status().expect("a process").success());
    }
    chroot(&root).expect("a chroot");
    // Nobody is outside any more.
    let inventory = scan();
    assert_eq!(uts(&inventory, below).persisted_at(), [Path::new("/green")]);
    assert_eq!(inventory.unknown_mounts(), 1);
}
