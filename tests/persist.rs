//! `Namespace::persist` and `PersistedNamespace`, and what iproute2 and util-linux make of each other's work with it.

mod common;

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command as StdCommand;
use std::thread;

use libtest_mimic::Trial;
use linux_namespaces::{
    Cause, Command, Namespace, NamespaceKind, Namespaces, PersistedNamespace, Stdio, Step,
};

use common::own_world::{self, mount, processors, stay_on, umount};
use common::{Case, Footprint, Need, case, in_own_process, inode, stdout_of};

const CASES: &[Case] = &[
    ("round_trip", round_trip_case),
    ("files", files_case),
    ("links", links_case),
    ("mounts", mounts_case),
    ("gone", gone_case),
    ("relative", relative_case),
    ("lives_on", lives_on_case),
    ("util_linux", util_linux_case),
    ("without_proc", without_proc_case),
    ("processors", processors_case),
    ("races", races_case),
    ("without_rights", without_rights_case),
];

fn main() {
    const NEEDS: &[Need] = &[Need::UserNamespaces];
    const TOOLS: &[Need] = &[
        Need::UserNamespaces,
        Need::Program("nsenter"),
        Need::Program("unshare"),
        Need::Program("lsns"),
    ];
    let tests: Vec<Trial> = vec![
        common::test_with("every_kind_is_kept_by_a_file", NEEDS, || in_own_process("round_trip")),
        common::test_with("what_cannot_be_mounted_on_is_named", NEEDS, || in_own_process("files")),
        common::test_with("symbolic_links_are_followed", NEEDS, || in_own_process("links")),
        common::test_with("mount_namespaces_have_their_own_refusals", NEEDS, || {
            in_own_process("mounts")
        }),
        common::test_with("what_is_not_there_any_more_is_not_unmounted", NEEDS, || {
            in_own_process("gone")
        }),
        common::test_with("a_relative_path_is_of_its_moment", NEEDS, || in_own_process("relative")),
        common::test_with("it_lives_without_handle_and_process", NEEDS, || {
            in_own_process("lives_on")
        }),
        common::test_with("util_linux_sees_ours_and_we_see_theirs", TOOLS, || {
            in_own_process("util_linux")
        }),
        common::test_with("whatever_processor_it_was_made_on", NEEDS, || {
            in_own_process("processors");
        }),
        common::test_with("of_many_on_one_file_one_is_kept", NEEDS, || in_own_process("races")),
        common::test_with("without_proc", NEEDS, || in_own_process("without_proc")),
        common::test_with(
            "ip_netns_sees_ours_and_we_see_theirs",
            &[Need::Root, Need::Program("ip")],
            ip_netns,
        ),
        common::test_with(
            "without_rights_nothing_is_left",
            &[Need::Program("setpriv")],
            without_rights,
        ),
        common::test("paths_are_checked", paths_are_checked),
    ];
    common::run(CASES, tests);
}

fn create(kind: NamespaceKind) -> Namespace {
    Namespace::create(kind).unwrap_or_else(|error| panic!("{kind}: {error}"))
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    entries.map(|name| name.into_string().unwrap()).collect()
}

/// Into mounts that count as older than all that are made here later, be there unique ids to tell that by or not: the numbers that Linux
/// 6.18 goes by are each processor's own.
fn enter_older_mounts() {
    stay_on(&processors()[..1]);
    own_world::enter(Namespaces::empty());
}

fn round_trip_case() {
    enter_older_mounts();
    let directory = tempfile::tempdir().unwrap();
    let before = Footprint::now();
    for kind in NamespaceKind::ALL {
        let namespace = match kind {
            // This one can only be kept where it has a process.
            NamespaceKind::Pid => Namespace::current(kind).unwrap(),
            kind => create(kind),
        };
        let id = namespace.id().unwrap();
        for file_exists in [false, true] {
            let path = directory.path().join(format!("{kind}"));
            if file_exists {
                fs::write(&path, "mine").unwrap();
            }
            let persisted = namespace.persist(&path).unwrap();
            assert_eq!(persisted.path(), path);
            // The file is the namespace, for everybody.
            assert_eq!(inode(&path), id.ino(), "{kind}");
            assert_eq!(persisted.namespace().unwrap().id().unwrap(), id);
            let opened = PersistedNamespace::open(&path).unwrap();
            assert_eq!(opened.namespace().unwrap().id().unwrap(), id);
            assert_eq!(Namespace::open(&path).unwrap().id().unwrap(), id);
            // Not twice on one file.
            let error = namespace.persist(&path).unwrap_err();
            assert_eq!(error.step(), &Step::Persist(path.clone()));
            assert_eq!(error.kind(), ErrorKind::AlreadyExists);
            assert!(error.to_string().contains(&format!("kept there already ({id})")), "{error}");
            // Who drops a handle undoes nothing.
            drop(opened);
            assert_eq!(inode(&path), id.ino());
            persisted.unpersist().unwrap();
            if file_exists {
                assert_eq!(fs::read(&path).unwrap(), b"mine");
                fs::remove_file(&path).unwrap();
            }
            assert!(names(directory.path()).is_empty(), "{kind}");
        }
    }
    before.assert_unchanged();
}

fn files_case() {
    own_world::enter(Namespaces::empty());
    let directory = tempfile::tempdir().unwrap();
    let uts = create(NamespaceKind::Uts);
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("directory")).unwrap();
    let fifo = std::ffi::CString::new(at("fifo").to_str().unwrap()).unwrap();
    // SAFETY: a path.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    fs::write(at("file"), "").unwrap();
    let (before, entries) = (Footprint::now(), names(directory.path()));
    let refused = |path: PathBuf, kind: ErrorKind, message: &str| {
        let error = uts.persist(&path).unwrap_err();
        assert_eq!(error.step(), &Step::Persist(path.clone()));
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(message), "{error}");
    };
    refused(at("directory"), ErrorKind::InvalidInput, "it is a directory");
    refused(at("directory/"), ErrorKind::InvalidInput, "it is a directory");
    refused(at("fifo"), ErrorKind::InvalidInput, "no regular file");
    refused("/dev/null".into(), ErrorKind::InvalidInput, "no regular file");
    let missing = format!("there is no directory {}", at("missing").display());
    refused(at("missing/file"), ErrorKind::NotFound, &missing);
    refused(at("file/file"), ErrorKind::NotADirectory, "");
    refused("/proc/self/ns/uts".into(), ErrorKind::AlreadyExists, "kept there already (uts:[");
    before.assert_unchanged();
    assert_eq!(names(directory.path()), entries);
    // What is no namespace, and what is none that a file keeps.
    let error = PersistedNamespace::open(at("file")).unwrap_err();
    assert_eq!((error.step(), error.kind()), (&Step::Open(at("file")), ErrorKind::InvalidInput));
    let error = PersistedNamespace::open("/proc/self/ns/uts").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("use `Namespace::open`"), "{error}");
    let error = PersistedNamespace::open(at("missing")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

fn links_case() {
    own_world::enter(Namespaces::empty());
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let uts = create(NamespaceKind::Uts);
    fs::write(at("file"), "").unwrap();
    fs::create_dir(at("real")).unwrap();
    symlink("file", at("link")).unwrap();
    symlink("real", at("directory")).unwrap();
    symlink("nothing", at("dangling")).unwrap();
    let persisted = uts.persist(at("link")).unwrap();
    assert_eq!(inode(at("file")), uts.id().unwrap().ino());
    persisted.unpersist().unwrap();
    assert!(at("file").exists() && at("link").is_symlink());
    let persisted = uts.persist(at("directory/new")).unwrap();
    assert_eq!(inode(at("real/new")), uts.id().unwrap().ino());
    persisted.unpersist().unwrap();
    assert!(names(&at("real")).is_empty());
    // Nothing is made where somebody else's link leads.
    let error = uts.persist(at("dangling")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("a symbolic link to a file that does not exist"), "{error}");
    assert!(!at("nothing").exists());
}

fn mounts_case() {
    enter_older_mounts();
    let directory = tempfile::tempdir().unwrap();
    let [here, peer] = ["here", "peer"].map(|name| directory.path().join(name));
    fs::create_dir(&here).unwrap();
    fs::create_dir(&peer).unwrap();
    let [here, peer] = [&here, &peer].map(|path| path.to_str().unwrap());
    mount("none", here, "tmpfs", 0);
    let file = format!("{here}/file");
    let own = Namespace::current(NamespaceKind::Mount).unwrap();
    let loop_message = "cannot be kept by itself: only by one that is older";
    let error = own.persist(&file).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    assert!(error.to_string().contains(loop_message), "{error}");

    mount("none", here, "", libc::MS_SHARED);
    mount(here, peer, "", libc::MS_BIND);
    let newer = create(NamespaceKind::Mount);
    let before = mounts();
    let error = newer.persist(&file).unwrap_err();
    assert_eq!(error.step(), &Step::Persist(file.clone().into()));
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    let text = error.to_string();
    assert!(text.contains("`mount --make-private`") && text.contains(here), "{text}");
    let error = own.persist(&file).unwrap_err();
    assert!(error.to_string().contains(loop_message), "{error}");
    assert!(names(Path::new(here)).is_empty());
    assert_eq!(mounts(), before);
    // The remedy works. And other kinds may be on shared mounts, from where they go with all their copies.
    let uts = create(NamespaceKind::Uts);
    let persisted = uts.persist(&file).unwrap();
    assert_eq!(inode(format!("{peer}/file")), uts.id().unwrap().ino());
    persisted.unpersist().unwrap();
    assert_eq!(mounts(), before);
    mount("none", here, "", libc::MS_PRIVATE);
    newer.persist(&file).unwrap().unpersist().unwrap();
    assert!(names(Path::new(here)).is_empty());
    // A directory that is mounted on could not be removed.
    umount(Path::new(peer));
    umount(Path::new(here));
}

fn gone_case() {
    own_world::enter(Namespaces::empty());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let (one, other) = (create(NamespaceKind::Uts), create(NamespaceKind::Uts));
    let gone = |persisted: PersistedNamespace, message: &str| {
        let error = persisted.namespace().unwrap_err();
        assert_eq!(error.step(), &Step::Open(path.clone()), "{error}");
        let error = persisted.unpersist().unwrap_err();
        assert_eq!(error.step(), &Step::Persist(path.clone()));
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.to_string().contains(message), "{error}");
    };
    // Unmounted by somebody else, and then even the file is gone.
    let persisted = one.persist(&path).unwrap();
    umount(&path);
    gone(persisted, "no namespace is kept there any more");
    assert!(path.exists(), "it is not ours to remove any more");
    let persisted = one.persist(&path).unwrap();
    umount(&path);
    fs::remove_file(&path).unwrap();
    gone(persisted, "no namespace is kept there any more");
    // Unpersisted twice.
    let persisted = one.persist(&path).unwrap();
    PersistedNamespace::open(&path).unwrap().unpersist().unwrap();
    assert!(!path.exists(), "a file as this crate makes it, which nobody else does");
    gone(persisted, "no namespace is kept there any more");
    // Another one is there by now. It stays.
    let persisted = one.persist(&path).unwrap();
    umount(&path);
    let second = other.persist(&path).unwrap();
    gone(persisted, &format!("{} is", other.id().unwrap()));
    assert_eq!(inode(&path), other.id().unwrap().ino());
    second.unpersist().unwrap();
    // What was there before it was opened stays, be it empty.
    let file = File::create(&path).unwrap();
    file.set_permissions(fs::Permissions::from_mode(0o600)).unwrap();
    drop(one.persist(&path).unwrap());
    PersistedNamespace::open(&path).unwrap().unpersist().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
}

fn races_case() {
    own_world::enter(Namespaces::empty());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let uts = create(NamespaceKind::Uts);
    let before = Footprint::now();
    for _ in 0..20 {
        let results: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| uts.persist(&path))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (kept, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!(kept.len(), 1);
        for error in refused.into_iter().filter_map(Result::err) {
            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
        }
        let handles = (0..8).map(|_| PersistedNamespace::open(&path).unwrap());
        let handles: Vec<_> = handles.collect();
        let undone = thread::scope(|scope| {
            let unpersist = |handle: PersistedNamespace| scope.spawn(|| handle.unpersist());
            let threads: Vec<_> = handles.into_iter().map(unpersist).collect();
            let results = threads.into_iter().map(|thread| thread.join().unwrap());
            results
                .filter(|result| match result {
                    Ok(()) => true,
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                        false
                    }
                })
                .count()
        });
        assert_eq!(undone, 1);
        assert!(names(directory.path()).is_empty());
    }
    before.assert_unchanged();
}

fn relative_case() {
    own_world::enter(Namespaces::empty());
    let directory = tempfile::tempdir().unwrap();
    std::env::set_current_dir(directory.path()).unwrap();
    let persisted = create(NamespaceKind::Uts).persist("file").unwrap();
    std::env::set_current_dir("/").unwrap();
    assert_eq!(persisted.path(), directory.path().join("file"));
    persisted.namespace().unwrap();
    persisted.unpersist().unwrap();
    assert!(names(directory.path()).is_empty());
    // Where there is no working directory any more.
    let path = directory.path().join("directory");
    fs::create_dir(&path).unwrap();
    std::env::set_current_dir(&path).unwrap();
    fs::remove_dir(&path).unwrap();
    let error = create(NamespaceKind::Uts).persist("file").unwrap_err();
    assert_eq!(error.step(), &Step::Persist("file".into()));
    assert!(error.to_string().contains("the path is not absolute"), "{error}");
    std::env::set_current_dir("/").unwrap();
}

fn lives_on_case() {
    own_world::enter(Namespaces::empty());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let unique = {
        let uts = create(NamespaceKind::Uts);
        stdout_of(Command::new("hostname").arg("kept").enter(&uts));
        uts.persist(&path).unwrap();
        uts.unique_id().unwrap()
    };
    let persisted = PersistedNamespace::open(&path).unwrap();
    let uts = persisted.namespace().unwrap();
    assert_eq!(uts.unique_id().unwrap(), unique);
    assert_eq!(stdout_of(Command::new("hostname").enter(&uts)), "kept");
    // Another process may undo it, and a handle is not touched by that.
    persisted.unpersist().unwrap();
    assert_eq!(stdout_of(Command::new("hostname").enter(&uts)), "kept");
}

fn run(program: &str, args: &[&str]) -> String {
    let output = StdCommand::new(program).args(args).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Since Linux 6.18 a mount namespace counts as older than another by a number that depends on the processors that they were
/// made on, so that not every new one could be kept.
fn processors_case() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let all = processors();
    for one in &all {
        stay_on(&[*one]);
        own_world::enter(Namespaces::empty());
        for other in &all {
            stay_on(&[*other]);
            stay_on(&all);
            create(NamespaceKind::Mount).persist(&path).unwrap().unpersist().unwrap();
        }
    }
}

fn util_linux_case() {
    enter_older_mounts();
    let directory = tempfile::tempdir().unwrap();
    let options = [
        (NamespaceKind::Cgroup, "--cgroup"),
        (NamespaceKind::Ipc, "--ipc"),
        (NamespaceKind::Mount, "--mount"),
        (NamespaceKind::Net, "--net"),
        (NamespaceKind::Time, "--time"),
        (NamespaceKind::User, "--user"),
        (NamespaceKind::Uts, "--uts"),
    ];
    for (kind, option) in options {
        let path = directory.path().join(kind.proc_name());
        let option = format!("{option}={}", path.display());
        let link = format!("/proc/self/ns/{kind}");
        // Ours, seen and entered by theirs.
        let namespace = create(kind);
        let id = namespace.id().unwrap();
        let persisted = namespace.persist(&path).unwrap();
        let inside = ["--preserve-credentials", &option, "readlink", &link];
        assert_eq!(run("nsenter", &inside), id.to_string());
        if kind == NamespaceKind::Net {
            // It knows only those that a process is in.
            let mut holder = Command::new("cat");
            let mut holder = holder.enter(&namespace).stdin(Stdio::piped()).spawn().unwrap();
            let columns = ["--raw", "--noheadings", "--type", "net", "--output", "NS,NSFS"];
            let (listed, line) =
                (common::lsns(&columns), format!("{} {}", id.ino(), path.display()));
            assert!(listed.lines().any(|found| found == line), "{listed}");
            holder.wait().unwrap();
        }
        persisted.unpersist().unwrap();
        // Theirs, seen and undone by ours. util-linux does not make the file, and a mount namespace it mounts from outside.
        File::create(&path).unwrap();
        if kind == NamespaceKind::User {
            // Alone it mounts from inside, where it may not.
            let mounts = directory.path().join("mounts");
            File::create(&mounts).unwrap();
            run("unshare", &[&option, &format!("--mount={}", mounts.display()), "true"]);
            PersistedNamespace::open(&mounts).unwrap().unpersist().unwrap();
            fs::remove_file(&mounts).unwrap();
        } else {
            run("unshare", &[&option, "true"]);
        }
        let persisted = PersistedNamespace::open(&path).unwrap();
        assert_eq!(persisted.namespace().unwrap().kind(), kind);
        let namespace = Namespace::open(&path).unwrap();
        assert_eq!(namespace.id().unwrap().ino(), inode(&path));
        if kind != NamespaceKind::User {
            let seen = stdout_of(Command::new("readlink").arg(&link).enter(&namespace));
            assert_eq!(seen, namespace.id().unwrap().to_string());
        }
        persisted.unpersist().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 0, "a file of somebody else's stays");
        fs::remove_file(&path).unwrap();
    }
}

fn without_proc_case() {
    own_world::enter(Namespaces::empty());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let uts = create(NamespaceKind::Uts);
    mount("none", "/proc", "tmpfs", 0);
    let persisted = uts.persist(&path).unwrap();
    assert_eq!(inode(&path), uts.id().unwrap().ino());
    persisted.unpersist().unwrap();
    assert!(!path.exists());
    let error = Namespace::open("/proc/self/ns/uts").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

fn ip_netns() {
    let name = format!("linux-namespaces-{}", std::process::id());
    let path = Path::new("/run/netns").join(&name);
    // Theirs, which also makes the directory as it should be.
    run("ip", &["netns", "add", &name]);
    let theirs = PersistedNamespace::open(&path).unwrap();
    let net = theirs.namespace().unwrap();
    assert_eq!(net.kind(), NamespaceKind::Net);
    let link = || fs::read_link("/proc/thread-self/ns/net").unwrap();
    assert_eq!(net.run(link).unwrap().to_str(), Some(&*net.id().unwrap().to_string()));
    theirs.unpersist().unwrap();
    assert!(!run("ip", &["netns", "list"]).contains(&name), "and the name is free again");
    // Ours.
    let net = create(NamespaceKind::Net);
    let ours = net.persist(&path).unwrap();
    assert!(
        run("ip", &["netns", "list"]).lines().any(|line| line.split(' ').next() == Some(&name))
    );
    let inside = run("ip", &["netns", "exec", &name, "readlink", "/proc/self/ns/net"]);
    assert_eq!(inside, net.id().unwrap().to_string());
    run("ip", &["netns", "del", &name]);
    assert!(!path.exists());
    assert_eq!(ours.unpersist().unwrap_err().kind(), ErrorKind::NotFound);
}

fn without_rights() {
    if !common::is_root() {
        return in_own_process("without_rights");
    }
    let case = case("without_rights");
    let output = StdCommand::new("setpriv")
        .args(["--bounding-set", "-sys_admin", "--"])
        .arg(case.get_program())
        .env("LINUX_NAMESPACES_CASE", "without_rights")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn without_rights_case() {
    let directory = tempfile::tempdir().unwrap();
    let before = Footprint::now();
    let path = directory.path().join("file");
    let error = Namespace::current(NamespaceKind::Uts).unwrap().persist(&path).unwrap_err();
    assert_eq!(error.step(), &Step::Persist(path.clone()));
    assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    assert_eq!(error.cause(), Some(&Cause::MissingCapability));
    assert!(error.to_string().contains("a user and mount namespace of one's own"), "{error}");
    assert!(names(directory.path()).is_empty(), "the file was left");
    // Nor may it make one there.
    let error = Namespace::current(NamespaceKind::Uts).unwrap().persist("/proc/x").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied), "{error}");
    before.assert_unchanged();
}

fn paths_are_checked() {
    let uts = Namespace::current(NamespaceKind::Uts).unwrap();
    for (path, message) in [("", "is empty"), ("a\0b", "NUL byte")] {
        for error in [uts.persist(path).unwrap_err(), PersistedNamespace::open(path).unwrap_err()] {
            assert_eq!(error.step(), &Step::Validate);
            assert!(error.to_string().contains(message), "{error}");
        }
    }
    let error = PersistedNamespace::open("/no/such/file").unwrap_err();
    assert_eq!(error.step(), &Step::Open("/no/such/file".into()));
    assert_eq!(io::Error::from(error).kind(), ErrorKind::NotFound);
}
