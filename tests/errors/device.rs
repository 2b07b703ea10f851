//! What the tests are made of.

pub(crate) use std::collections::BTreeSet;
pub(crate) use std::env;
pub(crate) use std::ffi::{CString, OsStr, c_ulong};
pub(crate) use std::fs::{self, File, Permissions};
pub(crate) use std::io;
pub(crate) use std::mem;
pub(crate) use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
pub(crate) use std::os::unix::ffi::OsStrExt as _;
pub(crate) use std::os::unix::fs::PermissionsExt as _;
pub(crate) use std::os::unix::process::CommandExt as _;
pub(crate) use std::path::{Path, PathBuf};
pub(crate) use std::process::{Command as StdCommand, Stdio as StdStdio};
pub(crate) use std::ptr;

pub(crate) use crate::common::seccomp::{answer, filter, install, statement};
pub(crate) use crate::common::{
    Footprint, Need, children, ended_child, field, in_own_process, is_root, stdout_of, test,
    test_with, with_user,
};
pub(crate) use linux_namespaces::{
    Cause, Child, Command, Error, IdRange, Namespace, NamespaceKind, Namespaces, Propagation,
    Stdio, Step, unshare,
};
pub(crate) use tempfile::TempDir;

/// How often each failing spawn is repeated. What one leaves behind may be taken for something else; not what all leave.
pub(crate) const TIMES: usize = 50;

pub(crate) const ALL: Namespaces = Namespaces::all();
pub(crate) const MISSING: &str = "/no/such/program";
pub(crate) const NOT_THERE: &str =
    "execute /no/such/program: No such file or directory (os error 2)";
pub(crate) const LACKS: &str = "the caller lacks the capability for it: run as root, or add `Namespaces::USER` to the set to get \
                     every capability over what is created";
pub(crate) const LACKS_OVER_TARGET: &str = "it takes CAP_SYS_ADMIN over that namespace and in the caller's own user namespace: \
                                 run as root, or enter the user namespace that owns it as well";
pub(crate) const LACKS_FOR_MAP: &str = "ids other than the caller's own may be mapped only with CAP_SETUID (CAP_SETGID for groups) \
                             over the namespace around, and only those that are mapped there: run as root, or map \
                             the own id alone";
pub(crate) const NO_HELPER: &str = "newuidmap and newgidmap are not installed, and only they may write such a map for an ordinary user: \
                         install the `uidmap` package";
pub(crate) const NOT_EXECUTABLE: &str = "the file is not executable for this user: set its mode with chmod(1), and look for a mount \
                              with noexec";
pub(crate) const NO_FORMAT: &str =
    "the file is neither a program for this machine nor a script with a first line `#!interpreter`";
pub(crate) const FILTERED: &str = "a seccomp filter on this process refuses the system call, as in many containers: \
                        allow it in the profile of the container";
pub(crate) const IN_CHROOT: &str = "the caller is inside a chroot, from where the kernel allows no user namespace: \
                         change its root with pivot_root(2) instead of chroot(2)";
pub(crate) const MASKED: &str = "the caller's own /proc is partly masked (as in containers), so the kernel gives it no new one: \
                      run it with an unmasked /proc, or set `mount_proc(false)`";

pub(crate) const USERNS: &[Need] = &[Need::UserNamespaces];

/// What a spawn that failed must leave as it was.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Traces {
    /// `None` in a chroot without /proc, where only the rest can be seen.
    footprint: Option<Footprint>,
    /// Zombies too: not every kernel lists them in /proc/<pid>/task/<tid>/children.
    children: BTreeSet<String>,
    ended_child: i32,
    descriptors: Vec<RawFd>,
}

impl Traces {
    pub(crate) fn now() -> Self {
        let proc = Path::new("/proc/self/status").exists();
        Self {
            footprint: proc.then(Footprint::now),
            children: if proc { children() } else { BTreeSet::new() },
            ended_child: ended_child(),
            // SAFETY: reads the flags of whatever is under the number.
            descriptors: (0..256)
                .filter(|fd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } >= 0)
                .collect(),
        }
    }
}

pub(crate) fn mappings() -> usize {
    fs::read_to_string("/proc/self/maps").map_or(0, |maps| maps.lines().count())
}

/// Makes the attempt many times. Every time it must fail in the same way, and nothing may be left of it.
#[track_caller]
pub(crate) fn leaves_nothing(mut attempt: impl FnMut() -> Error) -> Error {
    let before = Traces::now();
    let first = attempt();
    // The first one may fill the thread's pool of stacks.
    let mapped = mappings();
    for _ in 1..TIMES {
        assert_eq!(attempt().to_string(), first.to_string());
    }
    assert_eq!(Traces::now(), before, "left behind by: {first}");
    let more = mappings().saturating_sub(mapped);
    assert!(more < TIMES / 2, "{more} mappings of memory are left behind by: {first}");
    keeps_the_laws(&first);
    first
}

/// What holds for every error of the crate.
#[track_caller]
pub(crate) fn keeps_the_laws(error: &Error) {
    let message = error.to_string();
    assert!(message.starts_with(&error.step().to_string()), "{message}");
    assert!(!message.contains('\n'), "more than one line: {message:?}");
    assert!(!message.ends_with(['.', ':', ' ']), "{message:?}");
    assert!(!message.contains("  ") && !message.contains(": :"), "{message:?}");
    assert!(std::error::Error::source(error).is_none());
    match error.raw_os_error().map(io::Error::from_raw_os_error) {
        Some(errno) => {
            assert_eq!(error.kind(), errno.kind(), "{message}");
            assert_eq!(message.matches(&errno.to_string()).count(), 1, "{message}");
        }
        None => assert!(!message.contains("os error"), "{message}"),
    }
    assert!(error.cause().is_none() || error.hint().is_some(), "a cause without a hint: {message}");
    assert!(error.hint().is_none_or(|hint| message.ends_with(hint)), "{message}");
    let plain = io::Error::from(error.clone());
    assert_eq!((plain.kind(), plain.to_string()), (error.kind(), message));
}

/// The error of a spawn. One that succeeds is ended and told.
#[track_caller]
pub(crate) fn refusal(command: &mut Command) -> Error {
    match command.spawn() {
        Err(error) => error,
        Ok(mut child) => {
            let _ = child.kill();
            panic!("it was started, and {:?}: {command:?}", child.wait());
        }
    }
}

#[track_caller]
pub(crate) fn says(
    error: &Error,
    step: Step,
    errno: impl Into<Option<i32>>,
    cause: Option<Cause>,
    message: &str,
) {
    assert_eq!(error.to_string(), message);
    assert_eq!(error.step(), &step);
    assert_eq!(error.raw_os_error(), errno.into());
    assert_eq!(error.cause(), cause.as_ref());
}

/// A spawn that fails in this way, every time, and leaves nothing behind.
#[track_caller]
pub(crate) fn fails(
    command: &mut Command,
    step: Step,
    errno: impl Into<Option<i32>>,
    cause: Option<Cause>,
    message: &str,
) {
    let error = leaves_nothing(|| refusal(command));
    says(&error, step, errno, cause, message);
}

/// Up to the exec all of it works.
#[track_caller]
pub(crate) fn only_exec_fails(command: &mut Command) {
    fails(command, Step::Exec(command.get_program().into()), libc::ENOENT, None, NOT_THERE);
}

/// A spawn that fails in this step, on this operand; and its hint gives no advice that was followed already.
#[track_caller]
pub(crate) fn fails_with_sound_advice(
    command: &mut Command,
    step: Step,
    errno: i32,
    start: &str,
) -> Error {
    let error = leaves_nothing(|| refusal(command));
    assert_eq!((error.step(), error.raw_os_error()), (&step, Some(errno)), "{error}");
    let message = error.to_string();
    assert!(message.starts_with(start), "{message}");
    assert!(
        !(command.get_namespaces().contains(Namespaces::USER)
            && message.contains("add `Namespaces::USER`")),
        "`Namespaces::USER` is in the set already: {message}"
    );
    error
}

pub(crate) fn missing() -> Command {
    Command::new(MISSING)
}

/// A hook that does nothing, with which the child is a copy of the caller.
pub(crate) fn copied(mut command: Command) -> Command {
    // SAFETY: it does nothing.
    unsafe { command.pre_exec(|| Ok(())) };
    command
}

/// A program that lives in these namespaces until it is waited for.
pub(crate) fn holder(set: Namespaces) -> Child {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).namespaces(set);
    command.spawn().unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn id(namespace: &Namespace) -> String {
    namespace.id().expect("an identity").to_string()
}

pub(crate) fn range(inside: u32, outside: u32, count: u32) -> IdRange {
    IdRange { inside, outside, count }
}

/// A file with this mode in the directory.
pub(crate) fn file(directory: &TempDir, name: &str, content: &[u8], mode: u32) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, content).expect("a file");
    fs::set_permissions(&path, Permissions::from_mode(mode)).expect("its mode");
    path
}

pub(crate) fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// Runs a case in new user, pid and mount namespaces, as the root of the first.
pub(crate) fn in_world(name: &str) {
    in_world_with(name, |_| {});
}

pub(crate) fn in_world_with(name: &str, set_up: impl FnOnce(&mut Command)) {
    let mut world = Command::new(env::current_exe().expect("the path of this test"));
    world.env("LINUX_NAMESPACES_CASE", name).map_root_user();
    world.namespaces(Namespaces::USER | Namespaces::PID | Namespaces::MOUNT);
    set_up(&mut world);
    stdout_of(&mut world);
}

/// Exec gives root no others than these.
pub(crate) fn give_up_capabilities(but: &[c_ulong]) -> io::Result<()> {
    for capability in (0..64).filter(|capability| !but.contains(capability)) {
        // SAFETY: numbers only. Those that this kernel does not have are an error without effect.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
    }
    Ok(())
}

/// Takes these capabilities out of all sets of this thread.
pub(crate) fn give_up_effective(capabilities: &[u32]) {
    let header = [0x2008_0522u32, 0];
    let mut data = [0u32; 6];
    // SAFETY: version 3 fills two times three numbers.
    let got = unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), data.as_mut_ptr()) };
    for capability in capabilities {
        let place = (capability / 32 * 3) as usize;
        for set in &mut data[place..place + 3] {
            *set &= !(1 << (capability % 32));
        }
    }
    // SAFETY: as above, read.
    let set = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) };
    assert_eq!((got, set), (0, 0));
}

/// Makes root an ordinary user, in a process of its own.
pub(crate) fn become_ordinary() {
    if is_root() {
        let id = 65_534;
        // SAFETY: an empty list.
        assert_eq!(unsafe { libc::setgroups(0, ptr::null()) }, 0);
        // SAFETY: numbers only.
        assert_eq!(unsafe { libc::setresgid(id, id, id) }, 0);
        // SAFETY: numbers only.
        assert_eq!(unsafe { libc::setresuid(id, id, id) }, 0);
        // SAFETY: numbers only. Otherwise /proc/self would be root's now.
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) }, 0);
    }
    let status = fs::read_to_string("/proc/self/status").expect("status");
    assert_eq!(field("CapEff", &status), "0000000000000000");
}

/// Runs a case in a world, with the path of a new directory that has an empty `proc` in it.
pub(crate) fn in_chroot(name: &str) {
    let root = directory();
    fs::create_dir(root.path().join("proc")).expect("a directory");
    in_world_with(name, |world| {
        world.env("ROOT", root.path());
    });
}

pub(crate) fn root_to_be() -> PathBuf {
    env::var_os("ROOT").expect("given by `in_chroot`").into()
}

pub(crate) fn chroot(root: &Path) {
    std::os::unix::fs::chroot(root).expect("chroot");
    env::set_current_dir("/").expect("chdir");
}

pub(crate) fn bind(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    mount(from.as_ref(), to.as_ref(), "", libc::MS_BIND | libc::MS_REC);
}

pub(crate) fn mount(source: &Path, target: &Path, kind: &str, flags: c_ulong) {
    let text = |text: &OsStr| CString::new(text.as_bytes()).expect("no NUL in it");
    let (from, to, kind) =
        (text(source.as_os_str()), text(target.as_os_str()), text(kind.as_ref()));
    // SAFETY: three texts that live through the call, and no data.
    let result =
        unsafe { libc::mount(from.as_ptr(), to.as_ptr(), kind.as_ptr(), flags, ptr::null()) };
    assert_eq!(result, 0, "mount {target:?}: {}", io::Error::last_os_error());
}

/// Sets a soft limit of this process, and gives what it was.
pub(crate) fn limit(resource: impl Into<i64>, soft: u64) -> u64 {
    // By the system call: the type of the number is not the same in every libc.
    let (resource, mut old) = (resource.into(), [0u64; 2]);
    let none = ptr::null::<u64>();
    // SAFETY: asks for two numbers, for which there is room.
    let got = unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, none, old.as_mut_ptr()) };
    let new = [soft, old[1]];
    // SAFETY: passes two numbers.
    let set = unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, new.as_ptr(), none) };
    assert_eq!((got, set), (0, 0), "{}", io::Error::last_os_error());
    old[0]
}

/// The error of a spawn under a limit. What looks at it afterwards is not under it.
#[track_caller]
pub(crate) fn refusal_under(resource: impl Into<i64>, soft: u64, command: &mut Command) -> Error {
    let resource = resource.into();
    let before = limit(resource, soft);
    let result = command.spawn();
    limit(resource, before);
    result.map(|mut child| child.wait()).expect_err("the limit forbids it")
}

/// The lowest number that no open descriptor has.
pub(crate) fn lowest_free_number() -> u64 {
    let file = File::open("/dev/null").expect("/dev/null");
    file.as_raw_fd() as u64
}

/// As the filters of many containers: clone3 seems to be missing, and clone makes no new namespaces.
pub(crate) fn filter_new_namespaces() {
    answer_new_namespaces(libc::EPERM);
}

/// As above, with what clone answers.
pub(crate) fn answer_new_namespaces(errno: i32) {
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let (equal, any) =
        (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K);
    let answer =
        |errno: i32| statement(libc::BPF_RET, libc::SECCOMP_RET_ERRNO | errno as u32, 0, 0);
    let kinds = (ALL - Namespaces::TIME).bits();
    // The low half of the first argument, after the number, the architecture and the address.
    let first = if cfg!(target_endian = "big") { 20 } else { 16 };
    install(vec![
        statement(load, 0, 0, 0),
        statement(equal, libc::SYS_clone3 as u32, 0, 1),
        answer(libc::ENOSYS),
        statement(equal, libc::SYS_clone as u32, 0, 3),
        statement(load, first, 0, 0),
        statement(any, kinds, 0, 1),
        answer(errno),
    ]);
}

pub(crate) fn null() -> File {
    File::open("/dev/null").expect("/dev/null")
}

pub(crate) fn changed(change: impl FnOnce(&mut Command) -> &mut Command) -> Command {
    let mut command = missing();
    change(&mut command);
    command
}

pub(crate) fn close_everything() -> io::Result<()> {
    for fd in 0..256 {
        // SAFETY: the child uses none of them any more.
        unsafe { libc::close(fd) };
    }
    Ok(())
}
