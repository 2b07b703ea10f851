//! Being born in a cgroup.
mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process;

use common::processes::{end, holder, running};
use common::{Footprint, Need, in_own_process, is_root, stdout_of};
use libtest_mimic::{Completion, Trial};
use linux_namespaces::flags::{CGROUP, MOUNT, PID, USER, UTS};
use linux_namespaces::{Command, Namespaces, Step};

fn main() {
    let cases: &[common::Case] = &[
        ("without clone3", without_clone3),
        ("functions", functions),
        ("exec", exec),
        ("nobody's right", no_right_case),
        ("given to a user", given_case),
    ];
    let tests = vec![
        group_test("the_program_is_born_there", the_program_is_born_there),
        group_test("a_new_namespace_has_it_as_root", a_new_namespace_has_it_as_root),
        group_test("behind_helpers_too", behind_helpers_too),
        group_test("functions_are_born_there", || in_own_process("functions")),
        group_test("exec_moves_there", || in_own_process("exec")),
        group_test("works_without_clone3", || in_own_process("without clone3")),
        group_test("it_may_be_given_to_a_user", it_may_be_given_to_a_user),
        group_test("ended_and_invalid_groups", ended_and_invalid_groups),
        group_test("without_the_right", || in_own_process("nobody's right")),
        common::test("other_directories_are_refused", other_directories_are_refused),
    ];
    common::run(cases, tests);
}

/// Where cgroup version 2 is mounted.
fn mounted() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    Some(line.split(' ').nth(4)?.into())
}

/// A test that makes groups. `cgroup2` in `LINUX_NAMESPACES_EXPECT` declares that it can.
fn group_test(name: &str, body: fn()) -> Trial {
    Trial::ignorable_test(name, move || {
        let missing = match Need::Root.missing() {
            Some(reason) => Some(reason),
            None => {
                Group::make("probe").is_none().then(|| "needs a cgroup2 to write to".to_owned())
            }
        };
        if let Some(reason) = missing {
            let declared = std::env::var("LINUX_NAMESPACES_EXPECT").unwrap_or_default();
            assert!(!is_root() || !declared.split(',').any(|need| need == "cgroup2"), "{reason}");
            return Ok(Completion::ignored_with(reason));
        }
        body();
        Ok(Completion::Completed)
    })
}

/// A group of this test's own, removed when it is dropped.
struct Group(PathBuf);

impl Group {
    fn make(name: &str) -> Option<Self> {
        let path = mounted()?.join(format!("linux-namespaces-{}-{name}", process::id()));
        fs::create_dir(&path).ok().map(|()| Self(path))
    }

    fn new(name: &str) -> Self {
        Self::make(name).expect("a new group")
    }

    fn open(&self) -> File {
        File::open(&self.0).expect("its directory")
    }

    /// As a process outside sees it.
    fn name(&self) -> String {
        let top = mounted().expect("seen before");
        format!("0::/{}", self.0.strip_prefix(top).expect("below it").display())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for inner in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(inner.path());
        }
        let _ = fs::remove_dir(&self.0);
    }
}

fn line_of(cgroups: &str) -> String {
    cgroups.lines().find(|line| line.starts_with("0::")).expect("cgroup version 2").to_owned()
}

fn of_process(pid: impl std::fmt::Display) -> String {
    line_of(&fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("its cgroups"))
}

/// What the program itself sees first of all.
fn seen(command: &mut Command) -> String {
    line_of(&stdout_of(command.args(["/proc/self/cgroup"])))
}

/// In these, with everything that changes who clones whom.
const SETS: [Namespaces; 5] =
    [Namespaces::empty(), UTS, USER, PID.union(MOUNT), USER.union(PID).union(MOUNT).union(UTS)];

fn the_program_is_born_there() {
    let before = Footprint::now();
    let group = Group::new("born");
    let own = of_process("self");
    for set in SETS {
        let mut command = Command::new("cat");
        command.namespaces(set).cgroup(group.open());
        command.arg("/proc/self/cgroup");
        for _ in 0..2 {
            assert_eq!(line_of(&stdout_of(&mut command)), group.name(), "{set}");
        }
        let mut command = Command::new("cat");
        command.namespaces(set).cgroup(group.open());
        // SAFETY: the hook makes no system call.
        unsafe { command.pre_exec(|| Ok(())) };
        let child = running(&mut command);
        assert_eq!(of_process(child.id()), group.name(), "{set}");
        let members = fs::read_to_string(group.0.join("cgroup.procs")).unwrap();
        assert_eq!(members.trim(), child.id().to_string(), "{set}");
        end(child);
    }
    assert_eq!(of_process("self"), own, "the caller stays where it is");
    drop(group);
    before.assert_unchanged();
}

fn a_new_namespace_has_it_as_root() {
    let group = Group::new("root");
    for set in SETS {
        let mut command = Command::new("cat");
        command.namespaces(set | CGROUP).cgroup(group.open());
        assert_eq!(seen(&mut command), "0::/", "{set}");
        let mut command = Command::new("cat");
        let child = running(command.namespaces(set | CGROUP).cgroup(group.open()));
        assert_eq!(of_process(child.id()), group.name(), "{set}");
        end(child);
    }
}

fn behind_helpers_too() {
    let group = Group::new("helpers");
    let outer = holder(PID | MOUNT | UTS);
    for (entered, created) in
        [(PID, PID | MOUNT), (UTS, CGROUP), (PID | UTS, USER), (UTS, Namespaces::empty())]
    {
        let mut command = Command::new("cat");
        command.enter_process(outer.pidfd(), entered).namespaces(created).mount_proc(false);
        let child = running(command.cgroup(group.open()));
        assert_eq!(of_process(child.id()), group.name(), "{entered} {created}");
        end(child);
    }
    end(outer);
}

fn functions() {
    let group = Group::new("function");
    for (set, expected) in [(UTS, group.name()), (CGROUP | USER, "0::/".to_owned())] {
        let mut command = Command::from_fn(move || {
            let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
            let of_groups = links.filter_map(|it| fs::read_link(it.path()).ok());
            let left =
                of_groups.filter(|it| it.to_string_lossy().contains("linux-namespaces-")).count();
            i32::from(of_process("self") != expected || left != 0)
        });
        command.namespaces(set).cgroup(group.open());
        assert_eq!(command.status().unwrap().code(), Some(0), "{set}");
    }
}

fn exec() {
    if let Some(directory) = std::env::var_os("LINUX_NAMESPACES_GROUP") {
        let mut command = Command::new("cat");
        command.arg("/proc/self/cgroup").namespaces(CGROUP).cgroup(File::open(directory).unwrap());
        panic!("{}", command.exec());
    }
    let group = Group::new("exec");
    let output = common::case("exec").env("LINUX_NAMESPACES_GROUP", &group.0).output().unwrap();
    assert_eq!(line_of(&String::from_utf8_lossy(&output.stdout)), "0::/", "{output:?}");
}

fn without_clone3() {
    common::seccomp::answer(&[libc::SYS_clone3], libc::ENOSYS);
    the_program_is_born_there();
    a_new_namespace_has_it_as_root();
    behind_helpers_too();
    functions();
}

/// A group that was delegated to a user, and one inside it: the user may move within what it was given.
fn it_may_be_given_to_a_user() {
    let group = Group::new("given");
    let inner = group.0.join("inner");
    fs::create_dir(&inner).unwrap();
    for path in [&group.0, &inner] {
        for file in ["", "cgroup.procs"] {
            std::os::unix::fs::chown(path.join(file), Some(65534), Some(65534)).unwrap();
        }
    }
    let mut case = common::case("given to a user");
    let output = case.env("LINUX_NAMESPACES_GROUP", &group.0).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn given_case() {
    let group = PathBuf::from(std::env::var_os("LINUX_NAMESPACES_GROUP").unwrap());
    fs::write(group.join("cgroup.procs"), "0").unwrap();
    // SAFETY: numbers. This process runs one case only.
    assert_eq!(unsafe { libc::setresgid(65534, 65534, 65534) }, 0);
    // SAFETY: as above.
    assert_eq!(unsafe { libc::setresuid(65534, 65534, 65534) }, 0);
    // SAFETY: as above. As after an exec by that user.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) }, 0);
    for without_clone3 in [false, true] {
        if without_clone3 {
            common::seccomp::answer(&[libc::SYS_clone3], libc::EPERM);
        }
        let mut command = Command::new("cat");
        command.namespaces(USER | CGROUP).cgroup(File::open(group.join("inner")).unwrap());
        let child = running(&mut command);
        assert!(of_process(child.id()).ends_with("/inner"), "{}", of_process(child.id()));
        end(child);
        assert_eq!(seen(&mut command), "0::/");
    }
}

#[track_caller]
fn refused(command: &mut Command, errno: i32, says: &str) {
    let before = Footprint::now();
    let error = command.spawn().expect_err("it is refused");
    before.assert_unchanged();
    assert_eq!((error.step(), error.raw_os_error()), (&Step::Cgroup, Some(errno)), "{error}");
    assert!(error.to_string().contains(says), "{error}");
}

fn ended_and_invalid_groups() {
    let group = Group::new("threads");
    let threaded = group.0.join("threaded");
    fs::create_dir(&threaded).unwrap();
    fs::write(threaded.join("cgroup.type"), "threaded").unwrap();
    // Beside a threaded one no other can have processes.
    let other = group.0.join("other");
    fs::create_dir(&other).unwrap();
    let mut command = Command::new("true");
    command.cgroup(File::open(&other).unwrap());
    refused(&mut command, libc::EOPNOTSUPP, "cgroup.type");
    fs::remove_dir(&other).unwrap();
    fs::remove_dir(&threaded).unwrap();
    let gone = group.open();
    drop(group);
    refused(Command::new("true").cgroup(gone), libc::ENOENT, "removed");
}

fn no_right_case() {
    let group = Group::new("right");
    let directory = group.open();
    // SAFETY: numbers. This process runs one case only.
    assert_eq!(unsafe { libc::setresuid(65534, 65534, 0) }, 0);
    let mut command = Command::new("true");
    command.cgroup(directory);
    let error = command.spawn().expect_err("no right");
    assert_eq!(
        (error.step(), error.raw_os_error()),
        (&Step::Cgroup, Some(libc::EACCES)),
        "{error}"
    );
    assert!(error.to_string().contains("cgroup.procs"), "{error}");
    // SAFETY: as above; the saved id allows it.
    assert_eq!(unsafe { libc::setresuid(0, 0, 0) }, 0);
}

fn other_directories_are_refused() {
    let version_1 = Path::new("/sys/fs/cgroup/pids");
    for path in [Path::new("/"), Path::new("/dev/null"), Path::new("/proc/self"), version_1] {
        if path.exists() {
            let mut command = Command::new("true");
            refused(command.cgroup(File::open(path).unwrap()), libc::EBADF, "cgroup version 2");
        }
    }
}
