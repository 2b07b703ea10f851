//! Each step that a spawn can fail in is made to fail, by the kernel itself: what the error says, and that nothing is left.
mod common;

use std::collections::BTreeSet;
use std::env;
use std::ffi::{CString, OsStr, c_long, c_ulong};
use std::fs::{self, File, Permissions};
use std::io;
use std::mem;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command as StdCommand, Stdio as StdStdio};
use std::ptr;

use common::{
    Footprint, Need, children, ended_child, field, in_own_process, is_root, stdout_of, test,
    test_with, with_user,
};
use linux_namespaces::{
    Cause, Child, Command, Error, IdRange, Namespace, NamespaceKind, Namespaces, PidFd,
    Propagation, Stdio, Step, unshare,
};
use tempfile::TempDir;

/// How often each failing spawn is repeated. What one leaves behind may be taken for something else; not what all leave.
const TIMES: usize = 50;

const ALL: Namespaces = Namespaces::all();
const MISSING: &str = "/no/such/program";
const NOT_THERE: &str = "execute /no/such/program: No such file or directory (os error 2)";
const LACKS: &str = "the caller lacks the capability for it: run as root, or add `Namespaces::USER` to the set to get \
                     every capability over what is created";
const LACKS_OVER_TARGET: &str = "it takes CAP_SYS_ADMIN over that namespace and in the caller's own user namespace: \
                                 run as root, or enter the user namespace that owns it as well";
const LACKS_FOR_MAP: &str = "ids other than the caller's own may be mapped only with CAP_SETUID (CAP_SETGID for groups) \
                             over the namespace around, and only those that are mapped there: run as root, or map \
                             the own id alone";
const NOT_EXECUTABLE: &str = "the file is not executable for this user: set its mode with chmod(1), and look for a mount \
                              with noexec";
const NO_FORMAT: &str =
    "the file is neither a program for this machine nor a script with a first line `#!interpreter`";
const FILTERED: &str = "a seccomp filter on this process refuses the system call, as in many containers: \
                        allow it in the profile of the container";
const IN_CHROOT: &str = "the caller is inside a chroot, from where the kernel allows no user namespace: \
                         change its root with pivot_root(2) instead of chroot(2)";
const MASKED: &str = "the caller's own /proc is partly masked (as in containers), so the kernel gives it no new one: \
                      run it with an unmasked /proc, or set `mount_proc(false)`";

const USERNS: &[Need] = &[Need::UserNamespaces];

fn main() {
    let cases: &[common::Case] = &[
        ("powerless", powerless),
        ("closed directory", directory_may_not_be_entered),
        ("other ids", other_ids),
        ("denied groups", denied_groups),
        ("entering without the right", entering_without_the_right),
        ("maps of others", maps_of_others),
        ("no map, no namespace", unmapped),
        ("limits", limits),
        ("nested users", nested_users),
        ("nested pids", nested_pids),
        ("chroot to a directory", chroot_to_a_directory),
        ("chroot to a mount", chroot_to_a_mount),
        ("chroot without /proc", chroot_without_proc),
        ("masked /proc", masked_proc),
        ("no /proc", no_proc),
        ("foreign /proc", foreign_proc),
        ("ids without a map in the world around", maps_of_unmapped),
        ("half powerless", half_powerless),
        ("no CAP_SETFCAP", no_setfcap),
        ("entered, then a user namespace", entered_then_user),
        ("entering the outside", entering_the_outside),
        ("dead pid namespace", dead_pid_namespace),
        ("few descriptors", few_descriptors),
        ("no descriptors", no_descriptors),
        ("number above the limit", number_above_the_limit),
        ("swap below the limit", swap_below_the_limit),
        ("no more processes", no_more_processes),
        ("no memory", no_memory),
        ("killed in the middle", killed_in_the_middle),
        ("clone3: ENOSYS", || clone3_answers(libc::ENOSYS)),
        ("clone3: EPERM", || clone3_answers(libc::EPERM)),
        ("other calls: ENOSYS", other_calls_missing),
        ("filter of a container", filter_of_a_container),
        ("filter of hostnames", filter_of_hostnames),
        ("filter of clone3, and a function", filter_and_function),
        ("filter of dispositions", filter_of_dispositions),
        ("exec", exec_in_place),
    ];
    let tests = vec![
        test("error_is_a_good_error", error_is_a_good_error),
        test("errno_gives_the_kind", errno_gives_the_kind),
        test("program_is_missing", program_is_missing),
        test("program_is_missing_in_path", program_is_missing_in_path),
        test("program_is_not_executable", program_is_not_executable),
        test("program_is_a_directory", program_is_a_directory),
        test("program_is_no_program", program_is_no_program),
        test("program_has_no_interpreter", program_has_no_interpreter),
        test("program_has_no_loader", program_has_no_loader),
        test("program_has_a_path_that_leads_nowhere", program_has_a_path_that_leads_nowhere),
        test("program_is_being_written", program_is_being_written),
        test("argument_is_too_long", argument_is_too_long),
        test("names_are_shown_on_one_line", names_are_shown_on_one_line),
        test("an_empty_name_is_shown", an_empty_name_is_shown),
        test("directory_is_missing", directory_is_missing),
        test("directory_may_not_be_entered", || in_own_process("closed directory")),
        test("process_group_is_elsewhere", process_group_is_elsewhere),
        test("hook_fails", hook_fails),
        test("hook_panics_or_ends", hook_panics_or_ends),
        test("hook_that_closes_everything_hides_nothing", hook_that_closes_everything),
        test("passed_descriptors_hide_nothing", passed_descriptors_hide_nothing),
        test("exec_that_fails_leaves_the_caller", || in_own_process("exec")),
        test_with("missing_program_in_all_namespaces", USERNS, missing_program_in_all_namespaces),
        test_with(
            "missing_program_in_entered_namespaces",
            USERNS,
            missing_program_in_entered_namespaces,
        ),
        test_with(
            "missing_program_in_a_user_namespace_below_the_entered",
            USERNS,
            missing_program_in_a_user_namespace_below_the_entered,
        ),
        test_with(
            "missing_program_as_another_user",
            &[Need::Root],
            missing_program_as_another_user,
        ),
        test_with("ids_without_a_map", USERNS, ids_without_a_map),
        test_with(
            "groups_without_a_map",
            &[Need::Root, Need::UserNamespaces],
            groups_without_a_map,
        ),
        test("no_namespace_without_a_capability", || in_own_process("powerless")),
        test("other_ids_take_the_right", || in_own_process("other ids")),
        test_with("denied_groups_are_said_to_be", USERNS, || in_own_process("denied groups")),
        test_with("no_entering_without_the_right", USERNS, || {
            in_own_process("entering without the right");
        }),
        test_with(
            "no_entering_of_the_namespaces_outside",
            USERNS,
            entering_the_outside_from_a_world,
        ),
        test("no_entering_of_ended_processes", no_entering_of_ended_processes),
        test_with("dead_pid_namespace_is_named", USERNS, || in_world("dead pid namespace")),
        test_with("maps_of_others_take_the_right", USERNS, || in_own_process("maps of others")),
        test_with("maps_of_unmapped_ids_are_refused", USERNS, || {
            in_world("ids without a map in the world around");
        }),
        test_with("unmapped_caller", USERNS, || {
            in_world_with("no map, no namespace", |world| {
                world.leave_unmapped();
            });
        }),
        test_with("limit_of_each_kind", USERNS, || in_world("limits")),
        test_with("nesting_of_user_namespaces", USERNS, || in_own_process("nested users")),
        test_with("nesting_of_pid_namespaces", USERNS, || in_world("nested pids")),
        test_with("chroot_to_a_directory", USERNS, || in_chroot("chroot to a directory")),
        test_with("chroot_to_a_mount", USERNS, || in_chroot("chroot to a mount")),
        test_with("chroot_without_proc", USERNS, || in_chroot("chroot without /proc")),
        test_with("masked_proc", USERNS, || in_world("masked /proc")),
        test_with("maps_without_proc", USERNS, || in_world("no /proc")),
        test_with("maps_with_a_foreign_proc", USERNS, || in_world("foreign /proc")),
        test_with("loopback_takes_its_capability", USERNS, loopback_takes_its_capability),
        test_with("map_of_root_takes_its_capability", USERNS, map_of_root_takes_its_capability),
        test_with("no_power_over_what_was_entered", USERNS, || {
            in_world("entered, then a user namespace");
        }),
        test_with("few_descriptors", USERNS, || in_own_process("few descriptors")),
        test("no_descriptors", || in_own_process("no descriptors")),
        test("number_above_the_limit", || in_own_process("number above the limit")),
        test("swap_just_below_the_limit", || in_own_process("swap below the limit")),
        test("no_more_processes", || in_own_process("no more processes")),
        test("no_memory", || in_own_process("no memory")),
        test_with("killed_in_the_middle", USERNS, || in_world("killed in the middle")),
        test_with("works_where_clone3_is_missing", USERNS, || in_own_process("clone3: ENOSYS")),
        test_with("works_where_clone3_is_refused", USERNS, || in_own_process("clone3: EPERM")),
        test_with("works_where_other_calls_are_missing", USERNS, || {
            in_own_process("other calls: ENOSYS");
        }),
        test_with("filter_of_a_container_is_named", USERNS, || {
            in_own_process("filter of a container");
        }),
        test_with("filter_of_one_call_is_named", USERNS, || in_own_process("filter of hostnames")),
        test_with("filter_of_clone3_is_named_to_a_function", USERNS, || {
            in_own_process("filter of clone3, and a function");
        }),
        test("dispositions_are_not_sent", || in_own_process("filter of dispositions")),
    ];
    common::run(cases, tests);
}

// What the tests are made of.

/// What a spawn that failed must leave as it was.
#[derive(PartialEq, Eq, Debug)]
struct Traces {
    /// `None` in a chroot without /proc, where only the rest can be seen.
    footprint: Option<Footprint>,
    /// Zombies too: not every kernel lists them in /proc/<pid>/task/<tid>/children.
    children: BTreeSet<String>,
    ended_child: i32,
    descriptors: Vec<RawFd>,
}

impl Traces {
    fn now() -> Self {
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

fn mappings() -> usize {
    fs::read_to_string("/proc/self/maps").map_or(0, |maps| maps.lines().count())
}

/// Makes the attempt many times. Every time it must fail in the same way, and nothing may be left of it.
#[track_caller]
fn leaves_nothing(mut attempt: impl FnMut() -> Error) -> Error {
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
fn keeps_the_laws(error: &Error) {
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
fn refusal(command: &mut Command) -> Error {
    match command.spawn() {
        Err(error) => error,
        Ok(mut child) => {
            let _ = child.kill();
            panic!("it was started, and {:?}: {command:?}", child.wait());
        }
    }
}

#[track_caller]
fn says(
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
fn fails(
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
fn only_exec_fails(command: &mut Command) {
    fails(command, Step::Exec(command.get_program().into()), libc::ENOENT, None, NOT_THERE);
}

/// A spawn that fails in this step, on this operand; and its hint gives no advice that was followed already.
#[track_caller]
fn fails_with_sound_advice(command: &mut Command, step: Step, errno: i32, start: &str) -> Error {
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

fn missing() -> Command {
    Command::new(MISSING)
}

/// A hook that does nothing, with which the child is a copy of the caller.
fn copied(mut command: Command) -> Command {
    // SAFETY: it does nothing.
    unsafe { command.pre_exec(|| Ok(())) };
    command
}

/// A program that lives in these namespaces until it is waited for.
fn holder(set: Namespaces) -> Child {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).namespaces(set);
    command.spawn().unwrap_or_else(|error| panic!("{error}"))
}

fn id(namespace: &Namespace) -> String {
    namespace.id().expect("an identity").to_string()
}

fn range(inside: u32, outside: u32, count: u32) -> IdRange {
    IdRange { inside, outside, count }
}

/// A file with this mode in the directory.
fn file(directory: &TempDir, name: &str, content: &[u8], mode: u32) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, content).expect("a file");
    fs::set_permissions(&path, Permissions::from_mode(mode)).expect("its mode");
    path
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// Runs a case in new user, pid and mount namespaces, as the root of the first.
fn in_world(name: &str) {
    in_world_with(name, |_| {});
}

fn in_world_with(name: &str, set_up: impl FnOnce(&mut Command)) {
    let mut world = Command::new(env::current_exe().expect("the path of this test"));
    world.env("LINUX_NAMESPACES_CASE", name).map_root_user();
    world.namespaces(Namespaces::USER | Namespaces::PID | Namespaces::MOUNT);
    set_up(&mut world);
    stdout_of(&mut world);
}

/// Exec gives root no others than these.
fn give_up_capabilities(but: &[c_ulong]) -> io::Result<()> {
    for capability in (0..64).filter(|capability| !but.contains(capability)) {
        // SAFETY: numbers only. Those that this kernel does not have are an error without effect.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
    }
    Ok(())
}

/// Makes root an ordinary user, in a process of its own.
fn become_ordinary() {
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
fn in_chroot(name: &str) {
    let root = directory();
    fs::create_dir(root.path().join("proc")).expect("a directory");
    in_world_with(name, |world| {
        world.env("ROOT", root.path());
    });
}

fn root_to_be() -> PathBuf {
    env::var_os("ROOT").expect("given by `in_chroot`").into()
}

fn chroot(root: &Path) {
    std::os::unix::fs::chroot(root).expect("chroot");
    env::set_current_dir("/").expect("chdir");
}

fn bind(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    mount(from.as_ref(), to.as_ref(), "", libc::MS_BIND | libc::MS_REC);
}

fn mount(source: &Path, target: &Path, kind: &str, flags: c_ulong) {
    let text = |text: &OsStr| CString::new(text.as_bytes()).expect("no NUL in it");
    let (from, to, kind) =
        (text(source.as_os_str()), text(target.as_os_str()), text(kind.as_ref()));
    // SAFETY: three texts that live through the call, and no data.
    let result =
        unsafe { libc::mount(from.as_ptr(), to.as_ptr(), kind.as_ptr(), flags, ptr::null()) };
    assert_eq!(result, 0, "mount {target:?}: {}", io::Error::last_os_error());
}

/// Sets a soft limit of this process, and gives what it was.
fn limit(resource: impl Into<i64>, soft: u64) -> u64 {
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
fn refusal_under(resource: impl Into<i64>, soft: u64, command: &mut Command) -> Error {
    let resource = resource.into();
    let before = limit(resource, soft);
    let result = command.spawn();
    limit(resource, before);
    result.map(|mut child| child.wait()).expect_err("the limit forbids it")
}

/// The lowest number that no open descriptor has.
fn lowest_free_number() -> u64 {
    let file = File::open("/dev/null").expect("/dev/null");
    file.as_raw_fd() as u64
}

fn statement(code: u32, value: u32, if_equal: u8, otherwise: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: if_equal, jf: otherwise, k: value }
}

/// From now on a seccomp filter has `action` done with these system calls of this process and its children.
fn filter(calls: &[c_long], action: u32) {
    let load_number = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let mut program = vec![statement(load_number, 0, 0, 0)];
    for call in calls {
        program.push(statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, *call as u32, 0, 1));
        program.push(statement(libc::BPF_RET | libc::BPF_K, action, 0, 0));
    }
    install(program);
}

/// As the filters of many containers: clone3 seems to be missing, and clone makes no new namespaces.
fn filter_new_namespaces() {
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
        answer(libc::EPERM),
    ]);
}

fn install(mut program: Vec<libc::sock_filter>) {
    program.push(statement(libc::BPF_RET, libc::SECCOMP_RET_ALLOW, 0, 0));
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: numbers only. Without it an ordinary user may install no filter.
    let set = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the program lives through the call, which copies it.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

fn answer(calls: &[c_long], errno: i32) {
    filter(calls, libc::SECCOMP_RET_ERRNO | errno as u32);
}

// The error itself.

fn error_is_a_good_error() {
    fn good<T: Clone + Send + Sync + std::error::Error + 'static>(error: &T) -> T {
        error.clone()
    }
    let error = good(&refusal(&mut missing()));
    keeps_the_laws(&error);
    let plain: io::Error = error.clone().into();
    assert_eq!(plain.to_string(), NOT_THERE);
    assert_eq!(plain.kind(), io::ErrorKind::NotFound);
    let inner = plain.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    assert_eq!(inner.expect("the error itself").step(), error.step());
    // `?` in a function that gives an io::Error.
    let spawn = || -> io::Result<Child> { Ok(missing().spawn()?) };
    assert_eq!(spawn().expect_err("it is missing").kind(), io::ErrorKind::NotFound);
}

fn errno_gives_the_kind() {
    let directory = directory();
    let kind = |command: &mut Command| refusal(command).kind();
    let plain = file(&directory, "plain", b"", 0o644);
    assert_eq!(kind(&mut missing()), io::ErrorKind::NotFound);
    assert_eq!(kind(&mut Command::new(plain)), io::ErrorKind::PermissionDenied);
    assert_eq!(kind(&mut Command::new("/dev/null/x")), io::ErrorKind::NotADirectory);
    let mut long = Command::new("/bin/sh");
    assert_eq!(kind(long.arg("x".repeat(200_000))), io::ErrorKind::ArgumentListTooLong);
    assert_eq!(kind(Command::new("/bin/sh").fd(-1, null())), io::ErrorKind::InvalidInput);
}

fn null() -> File {
    File::open("/dev/null").expect("/dev/null")
}

// exec

fn program_is_missing() {
    only_exec_fails(&mut missing());
    only_exec_fails(&mut copied(missing()));
    only_exec_fails(missing().inherit_fds(true));
    only_exec_fails(missing().process_group(0).current_dir("/").env("X", "y"));
    let mut piped = missing();
    piped.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    only_exec_fails(&mut piped);
    only_exec_fails(&mut copied(piped));
    let error = leaves_nothing(|| missing().output().expect_err("it is missing"));
    assert_eq!(error.to_string(), NOT_THERE);
    let error = leaves_nothing(|| missing().status().expect_err("it is missing"));
    assert_eq!(error.to_string(), NOT_THERE);
    let directory = directory();
    fails(
        Command::new("./here").current_dir(directory.path()),
        Step::Exec("./here".into()),
        libc::ENOENT,
        None,
        "execute ./here: No such file or directory (os error 2)",
    );
}

fn program_is_missing_in_path() {
    let name = "no-such-program-anywhere";
    let message = "execute no-such-program-anywhere: No such file or directory (os error 2)";
    // Not the caller's own: in that there may be directories which are closed to it.
    let mut command = Command::new(name);
    command.env("PATH", "/bin:/no/such/directory:/usr/bin");
    fails(&mut command, Step::Exec(name.into()), libc::ENOENT, None, message);
    fails(command.env_remove("PATH"), Step::Exec(name.into()), libc::ENOENT, None, message);
    let directory = directory();
    let mut elsewhere = Command::new("sh");
    elsewhere.env("PATH", directory.path());
    let message = "execute sh: No such file or directory (os error 2)";
    fails(&mut elsewhere, Step::Exec("sh".into()), libc::ENOENT, None, message);
    // It was found once, if not to be executed: that says more than that the other directories do not have it.
    file(&directory, "found", b"", 0o644);
    let mut found = Command::new("found");
    found.env("PATH", format!("/no/such/directory:{}:/bin", directory.path().display()));
    let message = format!("execute found: Permission denied (os error 13): {NOT_EXECUTABLE}");
    fails(&mut found, Step::Exec("found".into()), libc::EACCES, None, &message);
}

fn program_is_not_executable() {
    let directory = directory();
    let path = file(&directory, "plain", b"#!/bin/sh\n", 0o644);
    let message =
        format!("execute {}: Permission denied (os error 13): {NOT_EXECUTABLE}", path.display());
    fails(&mut Command::new(&path), Step::Exec(path), libc::EACCES, None, &message);
}

fn program_is_a_directory() {
    let message = "execute /: Permission denied (os error 13): it is a directory";
    fails(&mut Command::new("/"), Step::Exec("/".into()), libc::EACCES, None, message);
}

fn program_is_no_program() {
    let directory = directory();
    for content in [&b"exit 0\n"[..], b"", b"\x7fELF"] {
        let path = file(&directory, "text", content, 0o755);
        let message =
            format!("execute {}: Exec format error (os error 8): {NO_FORMAT}", path.display());
        fails(&mut Command::new(&path), Step::Exec(path), libc::ENOEXEC, None, &message);
    }
}

fn program_has_no_interpreter() {
    let directory = directory();
    let script = b"#! /no/such/interpreter -e\nexit 0\n";
    let path = file(&directory, "script", script, 0o755);
    let message = format!(
        "execute {}: No such file or directory (os error 2): the file is there, but /no/such/interpreter, \
         which its first line names to run it, is not",
        path.display()
    );
    fails(&mut Command::new(&path), Step::Exec(path), libc::ENOENT, None, &message);
}

fn program_has_no_loader() {
    let directory = directory();
    // A header as this program's own, and one segment: the name of a loader.
    let own = fs::read(env::current_exe().expect("the path of this test")).expect("itself");
    let wide = size_of::<usize>() == 8;
    let (header, segment, offset_at, count_at) =
        if wide { (64, 56, 32, 56) } else { (52, 32, 28, 44) };
    let loader = b"/no/such/loader\0";
    let (interpreter, readable) = (3u32.to_ne_bytes(), 4u32.to_ne_bytes());
    let place = usize::to_ne_bytes(header + segment);
    let length = usize::to_ne_bytes(loader.len());
    let (nowhere, one) = (usize::to_ne_bytes(0), usize::to_ne_bytes(1));
    let start = if wide { [&interpreter[..], &readable] } else { [&interpreter[..], &[]] };
    let end = if wide { [&one[..], &[]] } else { [&readable[..], &one[..]] };
    let fields: [&[u8]; 5] = [&place, &nowhere, &nowhere, &length, &length];
    let mut program = own[..header].to_vec();
    program[offset_at..offset_at + size_of::<usize>()].copy_from_slice(&usize::to_ne_bytes(header));
    program[count_at..count_at + 2].copy_from_slice(&1u16.to_ne_bytes());
    program.extend([start.concat(), fields.concat(), end.concat(), loader.to_vec()].concat());
    let path = file(&directory, "program", &program, 0o755);
    let message = format!(
        "execute {}: No such file or directory (os error 2): the file is there, but the loader that runs it \
         (its ELF interpreter) is not",
        path.display()
    );
    fails(&mut Command::new(&path), Step::Exec(path), libc::ENOENT, None, &message);
}

fn program_has_a_path_that_leads_nowhere() {
    let directory = directory();
    let round = directory.path().join("round");
    std::os::unix::fs::symlink("round", &round).expect("a link");
    let long = PathBuf::from(format!("/{}", "x".repeat(300)));
    for (path, errno, text) in [
        (PathBuf::from("/dev/null/x"), libc::ENOTDIR, "Not a directory (os error 20)"),
        (round, libc::ELOOP, "Too many levels of symbolic links (os error 40)"),
        (long, libc::ENAMETOOLONG, "File name too long (os error 36)"),
    ] {
        let message = format!("execute {}: {text}", path.display());
        fails(&mut Command::new(&path), Step::Exec(path), errno, None, &message);
    }
}

fn program_is_being_written() {
    let directory = directory();
    let path = file(&directory, "program", b"#!/bin/sh\n", 0o755);
    let writer = File::options().append(true).open(&path).expect("a writer");
    let message = format!("execute {}: Text file busy (os error 26)", path.display());
    fails(&mut Command::new(&path), Step::Exec(path), libc::ETXTBSY, None, &message);
    drop(writer);
}

fn argument_is_too_long() {
    let mut command = Command::new("/bin/sh");
    command.arg("x".repeat(200_000));
    let message = "execute /bin/sh: Argument list too long (os error 7)";
    fails(&mut command, Step::Exec("/bin/sh".into()), libc::E2BIG, None, message);
    let mut command = Command::new("/bin/sh");
    command.env("X", "x".repeat(200_000));
    fails(&mut command, Step::Exec("/bin/sh".into()), libc::E2BIG, None, message);
}

fn names_are_shown_on_one_line() {
    // A program may be named by somebody else, and a line of a log is one message.
    let program = Path::new("/no/such\nprogram");
    let error = refusal(&mut Command::new(program));
    assert_eq!(error.step(), &Step::Exec(program.into()));
    keeps_the_laws(&error);
    let error = refusal(missing().current_dir(program));
    assert_eq!(error.step(), &Step::Chdir(program.into()));
    keeps_the_laws(&error);
}

fn an_empty_name_is_shown() {
    let error = leaves_nothing(|| refusal(&mut Command::new("")));
    assert_eq!(error.to_string(), "execute \"\": No such file or directory (os error 2)");
    let error = leaves_nothing(|| refusal(missing().current_dir("")));
    assert_eq!(
        error.to_string(),
        "change directory to \"\": No such file or directory (os error 2)"
    );
}

fn directory_is_missing() {
    let step = |path: &str| Step::Chdir(path.into());
    let path = "/no/such/directory";
    let message = "change directory to /no/such/directory: No such file or directory (os error 2)";
    fails(missing().current_dir(path), step(path), libc::ENOENT, None, message);
    fails(copied(missing()).current_dir(path), step(path), libc::ENOENT, None, message);
    let path = "/dev/null";
    let message = "change directory to /dev/null: Not a directory (os error 20)";
    fails(missing().current_dir(path), step(path), libc::ENOTDIR, None, message);
}

fn directory_may_not_be_entered() {
    become_ordinary();
    let closed = directory();
    let path = closed.path().join("closed");
    fs::create_dir(&path).expect("a directory");
    fs::set_permissions(&path, Permissions::from_mode(0o000)).expect("its mode");
    let message =
        format!("change directory to {}: Permission denied (os error 13)", path.display());
    let step = Step::Chdir(path.clone());
    fails(missing().current_dir(&path), step, libc::EACCES, None, &message);
    // Nor could it be removed.
    fs::set_permissions(&path, Permissions::from_mode(0o700)).expect("its mode");
}

// Process groups and hooks.

fn process_group_is_elsewhere() {
    let mut other = StdCommand::new("cat");
    other.stdin(StdStdio::piped());
    // SAFETY: setsid(2) is async-signal-safe.
    unsafe { other.pre_exec(own_session) };
    let mut other = other.spawn().expect("cat");
    for group in [other.id() as i32, i32::MAX] {
        let message = format!(
            "set the process group {group}: Operation not permitted (os error 1): \
             there is no such process group in the session of the caller"
        );
        let mut command = missing();
        command.process_group(group);
        fails(&mut command, Step::ProcessGroup, libc::EPERM, None, &message);
        fails(&mut copied(command), Step::ProcessGroup, libc::EPERM, None, &message);
    }
    other.wait().expect("cat has ended");
}

fn own_session() -> io::Result<()> {
    // SAFETY: no arguments, and no effect but on this process.
    if unsafe { libc::setsid() } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn hook_fails() {
    let busy = || Err(io::Error::from_raw_os_error(libc::EBUSY));
    let mut command = missing();
    // SAFETY: makes a number into an error.
    unsafe { command.pre_exec(busy) };
    let message = "run the pre_exec hook: Device or resource busy (os error 16)";
    fails(&mut command, Step::PreExec, libc::EBUSY, None, message);
    // The hooks before it are of no account, and those behind it are not run.
    let mut command = copied(missing());
    // SAFETY: makes a number into an error.
    unsafe { command.pre_exec(busy) };
    let mut command = copied(command);
    fails(&mut command, Step::PreExec, libc::EBUSY, None, message);
    let mut command = missing();
    // SAFETY: makes an error that is a number too.
    unsafe { command.pre_exec(|| Err(io::ErrorKind::Other.into())) };
    let message = "run the pre_exec hook: Invalid argument (os error 22)";
    fails(&mut command, Step::PreExec, libc::EINVAL, None, message);
}

fn hook_panics_or_ends() {
    let mut command = missing();
    // What a panic says is not of interest here.
    command.stderr(Stdio::null());
    // SAFETY: this process has no other thread that could hold a lock.
    unsafe { command.pre_exec(|| panic!("as it should")) };
    let message = "run the pre_exec hook: it panicked";
    fails(&mut command, Step::PreExec, None, None, message);
    assert_eq!(refusal(&mut command).kind(), io::ErrorKind::Other);
    let mut command = missing();
    // SAFETY: _exit(2) is async-signal-safe.
    unsafe { command.pre_exec(end) };
    let message = "run the pre_exec hook: it ended with exit status: 0 in the middle of this step";
    fails(&mut command, Step::PreExec, None, None, message);
    let mut command = missing();
    // SAFETY: kills the child.
    unsafe { command.pre_exec(kill_itself) };
    let message =
        "run the pre_exec hook: it ended with signal: 9 (SIGKILL) in the middle of this step";
    fails(&mut command, Step::PreExec, None, None, message);
}

fn end() -> io::Result<()> {
    // SAFETY: ends the child, and nothing of it is used again.
    unsafe { libc::_exit(0) }
}

fn kill_itself() -> io::Result<()> {
    // SAFETY: asks for a number.
    let own = unsafe { libc::getpid() };
    // SAFETY: signals this process alone.
    unsafe { libc::kill(own, libc::SIGKILL) };
    Ok(())
}

// What hides the failure elsewhere: closed descriptors, and taken numbers.

fn hook_that_closes_everything() {
    let mut command = missing();
    // SAFETY: closes numbers in the child, whose owners are never used there again.
    unsafe { command.pre_exec(close_everything) };
    only_exec_fails(&mut command);
    only_exec_fails(command.inherit_fds(true).stdin(Stdio::piped()).stdout(Stdio::piped()));
}

fn close_everything() -> io::Result<()> {
    for fd in 0..256 {
        // SAFETY: the child uses none of them any more.
        unsafe { libc::close(fd) };
    }
    Ok(())
}

fn passed_descriptors_hide_nothing() {
    for target in 3..=40 {
        let mut command = missing();
        command.fd(target, null());
        only_exec_fails(&mut command);
        let error = refusal(&mut copied(command));
        assert_eq!(error.to_string(), NOT_THERE, "passed as {target}");
    }
    let mut all = missing();
    for target in 3..=40 {
        all.fd(target, null());
    }
    only_exec_fails(&mut all);
    only_exec_fails(all.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    only_exec_fails(&mut copied(all));
}

fn exec_in_place() {
    let before = Traces::now();
    let mut command = missing();
    command.fd(7, null()).stdout(Stdio::null());
    for _ in 0..TIMES {
        let error = command.exec();
        keeps_the_laws(&error);
        says(&error, Step::Exec(MISSING.into()), libc::ENOENT, None, NOT_THERE);
    }
    drop(command);
    assert_eq!(Traces::now(), before);
}

// A missing program in every kind of world.

fn missing_program_in_all_namespaces() {
    for kind in NamespaceKind::ALL {
        let mut command = missing();
        command.namespaces(with_user(kind.flag()));
        only_exec_fails(&mut command);
        only_exec_fails(&mut copied(command));
    }
    let mut all = missing();
    all.namespaces(ALL).hostname("inner").domainname("inner");
    only_exec_fails(&mut all);
    only_exec_fails(all.map_root_user());
    only_exec_fails(all.leave_unmapped());
    only_exec_fails(all.map_root_user().uid(0).gid(0).stdin(Stdio::piped()).stdout(Stdio::piped()));
    only_exec_fails(&mut copied(all));
    for target in 3..=40 {
        let mut command = missing();
        command.namespaces(ALL).fd(target, null());
        let error = refusal(&mut command);
        assert_eq!(error.to_string(), NOT_THERE, "passed as {target}");
    }
    let mut command = missing();
    command.namespaces(ALL);
    // SAFETY: closes numbers in the child, whose owners are never used there again.
    unsafe { command.pre_exec(close_everything) };
    only_exec_fails(&mut command);
    let message = "change directory to /no/such/directory: No such file or directory (os error 2): \
                   there is no such directory inside";
    let step = Step::Chdir("/no/such/directory".into());
    let mut command = missing();
    command.namespaces(ALL).current_dir("/no/such/directory");
    fails(&mut command, step, libc::ENOENT, None, message);
}

fn missing_program_in_entered_namespaces() {
    let mut holder = holder(ALL);
    for created in [Namespaces::empty(), Namespaces::PID] {
        let mut process = missing();
        process.enter_process(holder.pidfd(), ALL).namespaces(created);
        only_exec_fails(&mut process);
        only_exec_fails(&mut copied(process));
        let mut handles = missing();
        for kind in NamespaceKind::ALL {
            handles.enter(&holder.namespace(kind).expect("a namespace of it"));
        }
        only_exec_fails(handles.namespaces(created));
        only_exec_fails(&mut copied(handles));
    }
    // Without TIME the caller's memory is shared.
    let mut shared = missing();
    shared.enter_process(holder.pidfd(), ALL - Namespaces::TIME);
    only_exec_fails(&mut shared);
    only_exec_fails(shared.namespaces(Namespaces::PID));
    // A hook in a world that was entered, with all that it takes.
    // SAFETY: closes numbers in the child, whose owners are never used there again.
    unsafe { shared.pre_exec(close_everything) };
    only_exec_fails(&mut shared);
    holder.wait().expect("cat has ended");
}

fn missing_program_in_a_user_namespace_below_the_entered() {
    let mut holder = holder(ALL);
    for created in [Namespaces::USER, Namespaces::USER | Namespaces::PID] {
        let mut command = missing();
        command.enter_process(holder.pidfd(), ALL).namespaces(created);
        only_exec_fails(&mut command);
        only_exec_fails(&mut copied(command));
    }
    // A child of a helper, which the caller did not clone itself.
    let mut command = missing();
    command.enter_process(holder.pidfd(), ALL).namespaces(Namespaces::USER | Namespaces::PID);
    command.uid_map([range(0, 4711, 1)]);
    let message = format!(
        "write uid_map \"0 4711 1\": Operation not permitted (os error 1): {LACKS_FOR_MAP}"
    );
    fails(&mut command, Step::UidMap, libc::EPERM, Some(Cause::MissingCapability), &message);
    holder.wait().expect("cat has ended");
}

fn missing_program_as_another_user() {
    // The kernel clears the flag that keeps others from this memory, and it is put back.
    let mut command = missing();
    command.uid(65_534).gid(65_534).groups(&[65_534]);
    only_exec_fails(&mut command);
    only_exec_fails(&mut copied(command));
}

// Rights.

fn powerless() {
    become_ordinary();
    let singles = NamespaceKind::ALL.into_iter().map(NamespaceKind::flag);
    let sets = singles.chain([Namespaces::PID | Namespaces::MOUNT, ALL]);
    for set in sets.map(|set| set - Namespaces::USER).filter(|set| !set.is_empty()) {
        let message = format!(
            "clone a process into new namespaces ({set}): Operation not permitted (os error 1): {LACKS}"
        );
        let mut command = missing();
        command.namespaces(set);
        let cause = Some(Cause::MissingCapability);
        fails(&mut command, Step::Clone(set), libc::EPERM, cause.clone(), &message);
        fails(&mut copied(command), Step::Clone(set), libc::EPERM, cause, &message);
    }
}

fn other_ids() {
    become_ordinary();
    // No user namespace would help: an ordinary user can map no other id.
    for (mut command, step, start) in [
        (changed(|command| command.uid(4711)), Step::Uid, "set the user id 4711: "),
        (changed(|command| command.gid(4711)), Step::Gid, "set the group id 4711: "),
        (
            changed(|command| command.groups(&[0, 7])),
            Step::Groups,
            "set the supplementary groups [0, 7]: ",
        ),
    ] {
        let start = format!("{start}Operation not permitted (os error 1): ");
        let error = fails_with_sound_advice(&mut command, step, libc::EPERM, &start);
        assert_eq!(error.cause(), Some(&Cause::MissingCapability));
        assert!(
            !error.to_string().contains("add `Namespaces::USER`"),
            "it would not help: {error}"
        );
    }
}

fn changed(change: impl FnOnce(&mut Command) -> &mut Command) -> Command {
    let mut command = missing();
    change(&mut command);
    command
}

fn entering_without_the_right() {
    become_ordinary();
    let mut holder = holder(ALL);
    let lacks = Some(Cause::MissingCapability);
    for kind in NamespaceKind::ALL.into_iter().filter(|kind| *kind != NamespaceKind::User) {
        let namespace = holder.namespace(kind).expect("a namespace of it");
        let id = id(&namespace);
        assert!(id.starts_with(&format!("{kind}:[")), "{id}");
        let message = format!(
            "enter the {kind} namespace {id}: Operation not permitted (os error 1): {LACKS_OVER_TARGET}"
        );
        let mut command = missing();
        command.enter(&namespace);
        fails(&mut command, Step::Enter(kind), libc::EPERM, lacks.clone(), &message);
        let mut command = copied(command);
        fails(&mut command, Step::Enter(kind), libc::EPERM, lacks.clone(), &message);
    }
    let set = Namespaces::NET | Namespaces::UTS;
    for created in [Namespaces::empty(), Namespaces::USER] {
        let message = format!(
            "enter the namespaces (net,uts) of process {}: Operation not permitted (os error 1): {LACKS_OVER_TARGET}",
            holder.id()
        );
        let mut command = missing();
        command.enter_process(holder.pidfd(), set).namespaces(created);
        fails(&mut command, Step::EnterProcess(set), libc::EPERM, lacks.clone(), &message);
    }
    // With the user namespace that owns them it works.
    only_exec_fails(missing().enter_process(holder.pidfd(), set | Namespaces::USER));
    holder.wait().expect("cat has ended");
}

fn denied_groups() {
    become_ordinary();
    // Groups are given up for good where an ordinary user maps them.
    let mut denied = missing();
    denied.namespaces(Namespaces::USER).groups(&[]);
    let start = "set the supplementary groups []: Operation not permitted (os error 1): ";
    let error = fails_with_sound_advice(&mut denied, Step::Groups, libc::EPERM, start);
    assert!(error.hint().is_some_and(|hint| hint.contains("setgroups")), "{error}");
}

fn entering_the_outside_from_a_world() {
    in_world_with("entering the outside", |world| {
        for (target, kind) in (10..).zip([NamespaceKind::User, NamespaceKind::Uts]) {
            world.fd(target, Namespace::current(kind).expect("the own namespace"));
        }
        // Otherwise it would be the same one.
        world.namespaces(Namespaces::UTS);
    });
}

/// As root of a world: all capabilities, but not over what is around it.
fn entering_the_outside() {
    for (fd, kind) in (10..).zip([NamespaceKind::User, NamespaceKind::Uts]) {
        // SAFETY: `entering_the_outside_from_a_world` passed it under this number, and nobody else uses that.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let namespace = Namespace::try_from(fd).expect("a namespace");
        let message = format!(
            "enter the {kind} namespace {}: Operation not permitted (os error 1): {LACKS_OVER_TARGET}",
            id(&namespace)
        );
        let cause = Some(Cause::MissingCapability);
        fails(missing().enter(&namespace), Step::Enter(kind), libc::EPERM, cause, &message);
    }
}

fn no_entering_of_ended_processes() {
    let mut process = StdCommand::new("true").spawn().expect("true");
    let pidfd = PidFd::open(process.id()).expect("a pidfd");
    // SAFETY: plain integers, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOWAIT;
    // SAFETY: fills `info`, when the process has ended; it stays a zombie.
    let ended = unsafe { libc::waitid(libc::P_PID, process.id(), &raw mut info, flags) };
    assert_eq!(ended, 0);
    let step = Step::EnterProcess(Namespaces::NET);
    let mut command = missing();
    command.enter_process(&pidfd, Namespaces::NET);
    let message = format!(
        "enter the namespaces (net) of process {}: No such process (os error 3): that process has ended",
        process.id()
    );
    fails(&mut command, step.clone(), libc::ESRCH, None, &message);
    process.wait().expect("it has ended");
    let error = leaves_nothing(|| refusal(&mut command));
    assert_eq!((error.step(), error.raw_os_error()), (&step, Some(libc::ESRCH)));
    let message = error.to_string();
    assert!(
        message.ends_with(": No such process (os error 3): that process has ended"),
        "{message}"
    );
}

/// As root of a world.
fn dead_pid_namespace() {
    let mut holder = holder(Namespaces::PID);
    let pid = holder.namespace(NamespaceKind::Pid).expect("a pid namespace");
    holder.wait().expect("cat has ended");
    // It can still be entered, but never has a process again, and the kernel calls that a lack of memory.
    let error = leaves_nothing(|| refusal(missing().enter(&pid)));
    assert_eq!(error.step(), &Step::Clone(Namespaces::empty()));
    assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
    let hint = error.hint().unwrap_or_default();
    assert!(hint.contains("pid namespace"), "not a word of the process 1 that has ended: {error}");
}

// Ids.

fn ids_without_a_map() {
    let hint = "that id has no mapping in the user namespace of the program: give it one";
    let mut command = missing();
    command.namespaces(Namespaces::USER).uid(4711);
    let message = format!("set the user id 4711: Invalid argument (os error 22): {hint}");
    fails(&mut command, Step::Uid, libc::EINVAL, None, &message);
    fails(&mut copied(command), Step::Uid, libc::EINVAL, None, &message);
    let mut command = missing();
    command.namespaces(Namespaces::USER).gid(4711);
    let message = format!("set the group id 4711: Invalid argument (os error 22): {hint}");
    fails(&mut command, Step::Gid, libc::EINVAL, None, &message);
    let mut command = copied(command);
    fails(&mut command, Step::Gid, libc::EINVAL, None, &message);
    fails(command.leave_unmapped(), Step::Gid, libc::EINVAL, None, &message);
}

/// An ordinary user has given up setgroups(2) for the namespace.
fn groups_without_a_map() {
    let mut command = missing();
    command.namespaces(Namespaces::USER).groups(&[4711]);
    let message = "set the supplementary groups [4711]: Invalid argument (os error 22): \
                   that id has no mapping in the user namespace of the program: give it one";
    fails(&mut command, Step::Groups, libc::EINVAL, None, message);
}

fn maps_of_others() {
    become_ordinary();
    let (other, lacks) = (4711, Some(Cause::MissingCapability));
    for (ranges, text) in [
        (vec![range(0, other, 1)], "\"0 4711 1\""),
        (vec![range(0, other, 1), range(1, 100_000, 65_536)], r#""0 4711 1\n1 100000 65536""#),
    ] {
        let message =
            format!("write uid_map {text}: Operation not permitted (os error 1): {LACKS_FOR_MAP}");
        let mut command = missing();
        command.namespaces(Namespaces::USER).uid_map(ranges.clone());
        fails(&mut command, Step::UidMap, libc::EPERM, lacks.clone(), &message);
        fails(&mut copied(command), Step::UidMap, libc::EPERM, lacks.clone(), &message);
        let message =
            format!("write gid_map {text}: Operation not permitted (os error 1): {LACKS_FOR_MAP}");
        let mut command = missing();
        command.namespaces(ALL).gid_map(ranges);
        fails(&mut command, Step::GidMap, libc::EPERM, lacks.clone(), &message);
        fails(&mut copied(command), Step::GidMap, libc::EPERM, lacks.clone(), &message);
    }
}

/// As root of a world in which only 0 is mapped.
fn maps_of_unmapped() {
    let lacks = Some(Cause::MissingCapability);
    let mut command = missing();
    command.namespaces(Namespaces::USER).uid_map([range(0, 0, 2)]);
    let message =
        format!("write uid_map \"0 0 2\": Operation not permitted (os error 1): {LACKS_FOR_MAP}");
    fails(&mut command, Step::UidMap, libc::EPERM, lacks.clone(), &message);
    let mut command = missing();
    command.namespaces(Namespaces::USER).gid_map([range(5, 4711, 1)]);
    let message = format!(
        "write gid_map \"5 4711 1\": Operation not permitted (os error 1): {LACKS_FOR_MAP}"
    );
    fails(&mut command, Step::GidMap, libc::EPERM, lacks, &message);
}

/// In a world whose root has no number.
fn unmapped() {
    let hint = "the caller's user or group id has no mapping in its own user namespace: \
                map it there, or change to an id that is mapped";
    for set in [Namespaces::USER, ALL] {
        let message = format!(
            "clone a process into new namespaces ({set}): Operation not permitted (os error 1): {hint}"
        );
        let cause = Some(Cause::UnmappedUser);
        fails(missing().namespaces(set), Step::Clone(set), libc::EPERM, cause, &message);
    }
}

// Limits of namespaces.

fn limits() {
    for kind in NamespaceKind::ALL {
        let file = format!("/proc/sys/user/max_{kind}_namespaces");
        let before = fs::read_to_string(&file).expect("a limit");
        fs::write(&file, "0").expect("the limit is this namespace's own");
        let message = |set: Namespaces| {
            format!(
                "clone a process into new namespaces ({set}): No space left on device (os error 28): \
                 the limit on {kind} namespaces is reached: raise the sysctl user.max_{kind}_namespaces, \
                 here or in the user namespace around this one"
            )
        };
        let cause = Some(Cause::Limit(kind));
        for set in [kind.flag(), (ALL - Namespaces::USER) | kind.flag()] {
            let mut command = missing();
            command.namespaces(set);
            fails(&mut command, Step::Clone(set), libc::ENOSPC, cause.clone(), &message(set));
            let mut command = copied(command);
            fails(&mut command, Step::Clone(set), libc::ENOSPC, cause.clone(), &message(set));
        }
        fs::write(&file, before).expect("the limit is this namespace's own");
    }
    only_exec_fails(missing().namespaces(ALL));
}

fn nested_users() {
    let deepest = loop {
        // SAFETY: asks for numbers.
        let (uid, gid) = (unsafe { libc::geteuid() }, own_gid());
        match unshare(Namespaces::USER) {
            Ok(()) => {
                let write = |name: &str, text: String| {
                    fs::write(format!("/proc/self/{name}"), text).expect("a map of the own id");
                };
                write("setgroups", "deny".to_owned());
                write("uid_map", format!("{uid} {uid} 1"));
                write("gid_map", format!("{gid} {gid} 1"));
            }
            Err(error) => break error,
        }
    };
    assert_eq!(deepest.raw_os_error(), Some(libc::ENOSPC), "{deepest}");
    let message = "clone a process into new namespaces (user): No space left on device (os error 28): \
                   the kernel nests user namespaces 32 deep at most: create this one further out";
    let cause = Some(Cause::Nesting(NamespaceKind::User));
    let step = Step::Clone(Namespaces::USER);
    fails(missing().namespaces(Namespaces::USER), step, libc::ENOSPC, cause, message);
    only_exec_fails(missing().namespaces(ALL - Namespaces::USER));
}

fn own_gid() -> u32 {
    // SAFETY: asks for a number.
    unsafe { libc::getegid() }
}

/// Runs itself in one more, until there can be no more.
fn nested_pids() {
    let mut deeper = Command::new(env::current_exe().expect("the path of this test"));
    deeper.env("LINUX_NAMESPACES_CASE", "nested pids").namespaces(Namespaces::PID);
    match deeper.output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}\n{text}", output.status);
        }
        Err(_) => {
            let message = "clone a process into new namespaces (pid): No space left on device (os error 28): \
                           the kernel nests pid namespaces 32 deep at most: create this one further out";
            let cause = Some(Cause::Nesting(NamespaceKind::Pid));
            let step = Step::Clone(Namespaces::PID);
            fails(missing().namespaces(Namespaces::PID), step, libc::ENOSPC, cause, message);
        }
    }
}

// Roots.

const NO_USER_IN_CHROOT: &str =
    "clone a process into new namespaces (user): Operation not permitted (os error 1): ";

fn chroot_to_a_directory() {
    let root = root_to_be();
    bind("/proc", root.join("proc"));
    chroot(&root);
    let cause = Some(Cause::Chroot);
    let user = Step::Clone(Namespaces::USER);
    let message = format!("{NO_USER_IN_CHROOT}{IN_CHROOT}");
    fails(missing().namespaces(Namespaces::USER), user, libc::EPERM, cause.clone(), &message);
    let message = "set the propagation of all mounts: Invalid argument (os error 22): \
                   the caller is inside a chroot whose root is no mount point, so its mounts cannot be kept from the host: \
                   bind-mount that directory on itself before chroot(2)";
    let mut mounts = missing();
    mounts.namespaces(Namespaces::MOUNT);
    fails(&mut mounts, Step::Propagation, libc::EINVAL, cause.clone(), message);
    fails(&mut copied(mounts), Step::Propagation, libc::EINVAL, cause, message);
    only_exec_fails(missing().namespaces(Namespaces::MOUNT).propagation(Propagation::Unchanged));
    only_exec_fails(missing().namespaces(Namespaces::PID | Namespaces::UTS));
    let message = "open /dev/null: No such file or directory (os error 2)";
    let step = Step::Open("/dev/null".into());
    fails(missing().stdin(Stdio::null()), step, libc::ENOENT, None, message);
}

fn chroot_to_a_mount() {
    let root = root_to_be();
    bind(&root, &root);
    bind("/proc", root.join("proc"));
    chroot(&root);
    let cause = Some(Cause::Chroot);
    let user = Step::Clone(Namespaces::USER);
    let message = format!("{NO_USER_IN_CHROOT}{IN_CHROOT}");
    fails(missing().namespaces(Namespaces::USER), user, libc::EPERM, cause, &message);
    only_exec_fails(missing().namespaces(ALL - Namespaces::USER));
}

fn chroot_without_proc() {
    let root = root_to_be();
    bind(&root, &root);
    chroot(&root);
    fs::remove_dir("/proc").expect("it is empty");
    let set = Namespaces::PID | Namespaces::MOUNT;
    let message = "mount proc on /proc: No such file or directory (os error 2): \
                   there is no directory for it in the root: make one, or set `mount_proc(false)`";
    let step = Step::Mount("/proc".into());
    fails(missing().namespaces(set), step, libc::ENOENT, None, message);
    only_exec_fails(missing().namespaces(set).mount_proc(false));
    let user = leaves_nothing(|| refusal(missing().namespaces(Namespaces::USER)));
    assert_eq!(user.step(), &Step::Clone(Namespaces::USER));
    assert_eq!(user.raw_os_error(), Some(libc::EPERM));
}

fn masked_proc() {
    let set = Namespaces::USER | Namespaces::PID | Namespaces::MOUNT;
    only_exec_fails(missing().namespaces(set));
    let masks: [fn(); 2] = [
        || bind("/dev/null", "/proc/version"),
        || mount(Path::new("none"), Path::new("/proc/sys"), "tmpfs", 0),
    ];
    for mask in masks {
        mask();
        let message =
            format!("mount proc on /proc: Operation not permitted (os error 1): {MASKED}");
        let mut command = missing();
        command.namespaces(set);
        let step = Step::Mount("/proc".into());
        let cause = Some(Cause::MaskedProc);
        fails(&mut command, step.clone(), libc::EPERM, cause.clone(), &message);
        fails(&mut copied(command), step, libc::EPERM, cause, &message);
        only_exec_fails(missing().namespaces(set).mount_proc(false));
        let path = CString::new("/proc/version").expect("no NUL in it");
        // SAFETY: a path that lives through the call. The second mask is there alone.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    }
    // Not masked, but not the caller's to mount.
    let message = "mount proc on /proc: Operation not permitted (os error 1): proc shows a pid namespace, and takes \
                   CAP_SYS_ADMIN over it: add `Namespaces::PID`, or set `mount_proc(false)`";
    let path = CString::new("/proc/sys").expect("no NUL in it");
    // SAFETY: a path that lives through the call.
    assert_eq!(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) }, 0);
    let mut command = missing();
    command.namespaces(Namespaces::USER | Namespaces::MOUNT).mount_proc(true);
    let cause = Some(Cause::MissingCapability);
    fails(&mut command, Step::Mount("/proc".into()), libc::EPERM, cause, message);
}

/// A map is written below /proc. The error says so, and which map.
#[track_caller]
fn maps_need_proc() {
    let error = leaves_nothing(|| refusal(missing().namespaces(Namespaces::USER)));
    assert!(matches!(error.step(), Step::GidMap | Step::UidMap), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("/proc")), "{error}");
    only_exec_fails(missing().namespaces(Namespaces::USER).leave_unmapped());
}

fn no_proc() {
    mount(Path::new("none"), Path::new("/proc"), "tmpfs", 0);
    maps_need_proc();
}

fn foreign_proc() {
    let mut holder = holder(Namespaces::PID | Namespaces::MOUNT);
    let mounts = holder.namespace(NamespaceKind::Mount).expect("a mount namespace");
    mounts.enter().expect("this world's root may");
    // That /proc is of a pid namespace which this process is not in.
    fs::read_link("/proc/self").expect_err("it is not shown there");
    maps_need_proc();
    holder.wait().expect("cat has ended");
}

// Steps that take a right over one namespace.

const CAP_SYS_ADMIN: c_ulong = 21;
const CAP_SETFCAP: c_ulong = 31;

fn loopback_takes_its_capability() {
    in_world_with("half powerless", |world| {
        // SAFETY: only prctl(2), which is a system call and no more.
        unsafe { world.pre_exec(|| give_up_capabilities(&[CAP_SYS_ADMIN, CAP_SETFCAP])) };
    });
}

fn map_of_root_takes_its_capability() {
    in_world_with("no CAP_SETFCAP", |world| {
        // SAFETY: only prctl(2), which is a system call and no more.
        unsafe { world.pre_exec(|| give_up_capabilities(&[CAP_SYS_ADMIN])) };
    });
}

/// As root of a world, who without this capability may not map even its own id, since that is 0.
fn no_setfcap() {
    let mut command = missing();
    command.namespaces(Namespaces::USER);
    let start = "write uid_map \"0 0 1\": Operation not permitted (os error 1)";
    let error = fails_with_sound_advice(&mut command, Step::UidMap, libc::EPERM, start);
    assert_eq!(error.cause(), Some(&Cause::MissingCapability), "{error}");
    assert!(error.to_string().contains("CAP_SETFCAP"), "{error}");
}

/// As root of a world, without CAP_NET_ADMIN.
fn half_powerless() {
    let message = format!(
        "bring up the loopback interface lo: Operation not permitted (os error 1): {LACKS}"
    );
    let mut command = missing();
    command.namespaces(Namespaces::NET);
    let cause = Some(Cause::MissingCapability);
    fails(&mut command, Step::Loopback, libc::EPERM, cause.clone(), &message);
    only_exec_fails(command.loopback(false));
    fails(copied(command).loopback(true), Step::Loopback, libc::EPERM, cause, &message);
    // What the message advises works.
    only_exec_fails(missing().namespaces(Namespaces::NET | Namespaces::USER));
}

/// As root of a world. In a new user namespace it has no power over what it entered before.
fn entered_then_user() {
    let mut holder = holder(Namespaces::UTS | Namespaces::NET | Namespaces::MOUNT);
    let enter = |kind: NamespaceKind| {
        let mut command = missing();
        command.enter(&holder.namespace(kind).expect("a namespace of it"));
        command.namespaces(Namespaces::USER);
        command
    };
    let mut tests = vec![
        (enter(NamespaceKind::Uts), Step::Hostname, "set the hostname \"inner\""),
        (enter(NamespaceKind::Uts), Step::Domainname, "set the domainname \"inner\""),
        (enter(NamespaceKind::Net), Step::Loopback, "bring up the loopback interface lo"),
        (enter(NamespaceKind::Mount), Step::Propagation, "set the propagation of all mounts"),
        (enter(NamespaceKind::Mount), Step::Mount("/proc".into()), "mount proc on /proc"),
    ];
    tests[0].0.hostname("inner");
    tests[1].0.domainname("inner");
    tests[2].0.loopback(true);
    tests[3].0.propagation(Propagation::Private);
    tests[4].0.namespaces(Namespaces::PID).mount_proc(true);
    let mut failed = Vec::new();
    for (mut command, step, start) in tests {
        let start = format!("{start}: Operation not permitted (os error 1)");
        let error = leaves_nothing(|| refusal(&mut command));
        says(&error, step, libc::EPERM, Some(Cause::MissingCapability), &error.to_string());
        let message = error.to_string();
        if !message.starts_with(&start) || message.contains("add `Namespaces::USER`") {
            failed.push(message);
        }
    }
    assert!(failed.is_empty(), "`Namespaces::USER` is what took the right away: {failed:#?}");
    holder.wait().expect("cat has ended");
}

// Limits of the process.

/// Whatever number of descriptors is left: too few is an error, and leaves nothing.
fn few_descriptors() {
    let set = Namespaces::USER | Namespaces::PID | Namespaces::MOUNT | Namespaces::NET;
    let mut command = missing();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).namespaces(set);
    let first = lowest_free_number();
    let mut steps = Vec::new();
    for free in 0..20 {
        let error =
            leaves_nothing(|| refusal_under(libc::RLIMIT_NOFILE, first + free, &mut command));
        if error.raw_os_error() == Some(libc::ENOENT) {
            assert_eq!(error.to_string(), NOT_THERE);
            assert!(free >= 7, "three pipes and a pidfd take more than {free}");
            assert!(steps.contains(&Step::Fd(2)), "{steps:?}");
            assert!(steps.contains(&Step::Clone(set)), "{steps:?}");
            return;
        }
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
        steps.push(error.step().clone());
    }
    panic!("20 descriptors are not enough: {steps:?}");
}

fn no_descriptors() {
    let none = lowest_free_number();
    let under = |command: &mut Command| {
        leaves_nothing(|| refusal_under(libc::RLIMIT_NOFILE, none, command))
    };
    let full = "Too many open files (os error 24)";
    let mut stdin = missing();
    stdin.stdin(Stdio::piped());
    let message = format!("pass descriptor 0 (a pipe): {full}");
    says(&under(&mut stdin), Step::Fd(0), libc::EMFILE, None, &message);
    let mut stderr = missing();
    stderr.stderr(Stdio::piped());
    let message = format!("pass descriptor 2 (a pipe): {full}");
    says(&under(&mut stderr), Step::Fd(2), libc::EMFILE, None, &message);
    let mut null = missing();
    null.stdout(Stdio::null());
    let message = format!("open /dev/null: {full}");
    says(&under(&mut null), Step::Open("/dev/null".into()), libc::EMFILE, None, &message);
    let message = format!("clone a process: {full}");
    let step = Step::Clone(Namespaces::empty());
    says(&under(&mut missing()), step.clone(), libc::EMFILE, None, &message);
    says(&under(&mut copied(missing())), step, libc::EMFILE, None, &message);
    // Setters cannot fail, so a handle that cannot be duplicated fails the spawn.
    let net = Namespace::current(NamespaceKind::Net).expect("the own namespace");
    let mut command = missing();
    let before = limit(libc::RLIMIT_NOFILE, lowest_free_number());
    command.enter(&net);
    limit(libc::RLIMIT_NOFILE, before);
    let message = format!("inspect {}: {full}", id(&net));
    fails(&mut command, Step::Inspect, libc::EMFILE, None, &message);
}

fn number_above_the_limit() {
    limit(libc::RLIMIT_NOFILE, 64);
    for target in [64, 5000, i32::MAX] {
        let mut command = missing();
        command.fd(target, null());
        for mut command in [copied(changed(|command| command.fd(target, null()))), command] {
            let error = leaves_nothing(|| refusal(&mut command));
            assert_eq!(error.step(), &Step::Fd(target));
            assert_eq!(error.raw_os_error(), Some(libc::EBADF));
            let message = error.to_string();
            let start = format!("pass descriptor {target}: Bad file descriptor (os error 9)");
            assert!(message.starts_with(&start), "{message}");
            // What is bad is not the descriptor that was given.
            assert!(message.contains("RLIMIT_NOFILE"), "no word of the limit: {message}");
        }
    }
    let mut highest = missing();
    highest.fd(63, null());
    only_exec_fails(&mut highest);
}

fn swap_below_the_limit() {
    limit(libc::RLIMIT_NOFILE, 64);
    let place = |number: RawFd| {
        let file = null();
        // SAFETY: duplicates an open descriptor to a number that is free.
        let fd = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, number) };
        assert_eq!(fd, number);
        // SAFETY: new, and nobody else's.
        unsafe { OwnedFd::from_raw_fd(fd) }
    };
    let mut command = missing();
    let (a, b) = (place(62), place(63));
    // Both numbers may be had, so the program can have them the other way round.
    command.fd(63, a).fd(62, b);
    only_exec_fails(&mut command);
    only_exec_fails(&mut copied(command));
}

fn no_more_processes() {
    // Root is above this limit.
    become_ordinary();
    limit(libc::RLIMIT_NPROC, 0);
    let message = "clone a process: Resource temporarily unavailable (os error 11): the limit on processes is reached: \
                   that of the user (RLIMIT_NPROC), or of a cgroup (pids.max)";
    let step = Step::Clone(Namespaces::empty());
    fails(&mut missing(), step.clone(), libc::EAGAIN, None, message);
    fails(&mut copied(missing()), step, libc::EAGAIN, None, message);
    let mut piped = missing();
    piped.stdin(Stdio::piped()).namespaces(Namespaces::USER);
    let message = "clone a process into new namespaces (user): Resource temporarily unavailable (os error 11): the limit \
                   on processes is reached: that of the user (RLIMIT_NPROC), or of a cgroup (pids.max)";
    fails(&mut piped, Step::Clone(Namespaces::USER), libc::EAGAIN, None, message);
}

fn no_memory() {
    // Room for the small things in between.
    drop(vec![1u8; 100_000]);
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let size = field("VmSize", &status).trim_end_matches(" kB").parse::<u64>().expect("a size");
    let before = Traces::now();
    // The thread has no stack for children yet, and can have none.
    for _ in 0..TIMES {
        for mut command in [missing(), copied(missing())] {
            let error = refusal_under(libc::RLIMIT_AS, size * 1024, &mut command);
            let message = "clone a process: Cannot allocate memory (os error 12)";
            says(&error, Step::Clone(Namespaces::empty()), libc::ENOMEM, None, message);
            keeps_the_laws(&error);
        }
    }
    assert_eq!(Traces::now(), before);
    only_exec_fails(&mut missing());
}

// Seccomp filters.

/// As root of a world. The child is killed in a step: the error says in which, on what, and how it ended.
fn killed_in_the_middle() {
    // Neither a file nor a handler of core files gets one of this size.
    limit(libc::RLIMIT_CORE, 1);
    let mut holder = holder(Namespaces::NET);
    let net = holder.namespace(NamespaceKind::Net).expect("a net namespace");
    let calls = [
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
        libc::SYS_mount,
        libc::SYS_chdir,
        libc::SYS_socket,
        libc::SYS_setpgid,
        libc::SYS_setresgid,
        libc::SYS_setns,
    ];
    filter(&calls, libc::SECCOMP_RET_KILL_PROCESS);
    let (uts, user) = (Namespaces::UTS, Namespaces::USER);
    let enter = format!("enter the net namespace {}", id(&net));
    let entered = Step::Enter(NamespaceKind::Net);
    let mut failed = Vec::new();
    let mut test = |change: &dyn Fn(&mut Command) -> &mut Command, step: Step, start: &str| {
        for mut command in [changed(change), copied(changed(change))] {
            let error = leaves_nothing(|| refusal(&mut command));
            assert_eq!(error.step(), &step);
            assert_eq!(
                (error.raw_os_error(), error.kind()),
                (None, io::ErrorKind::Other),
                "{error}"
            );
            let message = error.to_string();
            assert!(message.contains("killed") || message.contains("SIGSYS"), "{message}");
            if !message.starts_with(&format!("{start}: ")) {
                failed.push(message);
            }
        }
    };
    let name = "set the hostname \"inner\"";
    test(&|it| it.namespaces(uts).hostname("inner"), Step::Hostname, name);
    let name = "set the domainname \"inner\"";
    test(&|it| it.namespaces(uts | user).domainname("inner"), Step::Domainname, name);
    let name = "set the propagation of all mounts";
    test(&|it| it.namespaces(Namespaces::MOUNT), Step::Propagation, name);
    let name = "change directory to /";
    test(&|it| it.current_dir("/"), Step::Chdir("/".into()), name);
    let name = "bring up the loopback interface lo";
    test(&|it| it.namespaces(Namespaces::NET | user), Step::Loopback, name);
    test(&|it| it.process_group(0), Step::ProcessGroup, "set the process group 0");
    test(&|it| it.gid(0), Step::Gid, "set the group id 0");
    test(&|it| it.enter(&net), entered.clone(), &enter);
    // Here it is a helper that is killed, before there is a process for the program.
    test(&|it| it.enter(&net).namespaces(Namespaces::PID), entered.clone(), &enter);
    test(&|it| it.enter(&net).namespaces(Namespaces::PID | user), entered, &enter);
    assert!(failed.is_empty(), "no word of what the step was done on: {failed:#?}");
    holder.wait().expect("cat has ended");
}

/// The older clone does the same.
fn clone3_answers(errno: i32) {
    let own: Vec<u64> = NamespaceKind::ALL.iter().map(|kind| inode(None, *kind)).collect();
    answer(&[libc::SYS_clone3], errno);
    let singles = NamespaceKind::ALL.into_iter().map(|kind| with_user(kind.flag()));
    for set in singles.chain([ALL, with_user(ALL - Namespaces::USER)]) {
        for copy in [false, true] {
            let mut command = Command::new("cat");
            command.stdin(Stdio::piped()).stdout(Stdio::null()).namespaces(set);
            let mut command = if copy { copied(command) } else { command };
            let mut child = command.spawn().unwrap_or_else(|error| panic!("{set}: {error}"));
            for (kind, own) in NamespaceKind::ALL.into_iter().zip(&own) {
                let new = inode(Some(child.id()), kind) != *own;
                assert_eq!(new, set.contains(kind.flag()), "{kind} of {set}, copy: {copy}");
            }
            assert!(child.wait().expect("cat has ended").success());
            let mut command = missing();
            command.namespaces(set);
            only_exec_fails(&mut command);
            only_exec_fails(&mut copied(command));
        }
    }
    only_exec_fails(&mut missing());
    let mut holder = holder(ALL);
    let mut entering = missing();
    entering.enter_process(holder.pidfd(), ALL).namespaces(Namespaces::PID);
    only_exec_fails(&mut entering);
    holder.wait().expect("cat has ended");
    assert_eq!(Command::from_fn(|| 7).status().expect("it runs").code(), Some(7));
    let mut function = Command::from_fn(|| 7);
    function.namespaces(with_user(ALL - Namespaces::TIME));
    assert_eq!(function.status().expect("it runs").code(), Some(7));
    // Errors of the steps are told as ever.
    let message = "change directory to /no/such/directory: No such file or directory (os error 2)";
    let step = Step::Chdir("/no/such/directory".into());
    fails(missing().current_dir("/no/such/directory"), step, libc::ENOENT, None, message);
}

fn inode(process: Option<u32>, kind: NamespaceKind) -> u64 {
    let process = process.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    common::inode(format!("/proc/{process}/ns/{kind}"))
}

fn other_calls_missing() {
    // A descriptor without close-on-exec is open in the caller, and must not be in the program.
    let open = null();
    // SAFETY: changes a flag of a descriptor that is open.
    assert_eq!(unsafe { libc::fcntl(open.as_raw_fd(), libc::F_SETFD, 0) }, 0);
    let calls = [libc::SYS_clone3, libc::SYS_close_range, libc::SYS_pidfd_open];
    answer(&calls, libc::ENOSYS);
    for set in [Namespaces::empty(), with_user(ALL)] {
        for copy in [false, true] {
            let mut command = Command::new("ls");
            command.arg("/proc/self/fd").namespaces(set);
            let mut command = if copy { copied(command) } else { command };
            // The fourth is the directory that is listed.
            assert_eq!(stdout_of(&mut command), "0\n1\n2\n3", "{set}, copy: {copy}");
            let mut command = missing();
            command.namespaces(set).fd(9, null());
            only_exec_fails(&mut command);
            only_exec_fails(&mut copied(command));
        }
    }
}

fn filter_of_a_container() {
    filter_new_namespaces();
    let mut refused = vec![Namespaces::USER, ALL - Namespaces::TIME];
    if is_root() {
        refused.push(Namespaces::NET);
    }
    for set in refused {
        let message = format!(
            "clone a process into new namespaces ({set}): Operation not permitted (os error 1): {FILTERED}"
        );
        let mut command = missing();
        command.namespaces(set);
        let cause = Some(Cause::Seccomp);
        fails(&mut command, Step::Clone(set), libc::EPERM, cause.clone(), &message);
        fails(&mut copied(command), Step::Clone(set), libc::EPERM, cause, &message);
    }
    only_exec_fails(&mut missing());
}

fn filter_of_hostnames() {
    // In its own user namespace the child has every capability, so it is none of those that is missing.
    answer(&[libc::SYS_sethostname], libc::EPERM);
    let mut command = missing();
    command.namespaces(Namespaces::USER | Namespaces::UTS).hostname("inner");
    let message =
        format!("set the hostname \"inner\": Operation not permitted (os error 1): {FILTERED}");
    fails(&mut command, Step::Hostname, libc::EPERM, Some(Cause::Seccomp), &message);
}

fn filter_and_function() {
    // Only clone3 puts a function into a new time namespace, and the kernel has it.
    answer(&[libc::SYS_clone3], libc::ENOSYS);
    let set = with_user(Namespaces::TIME);
    let mut command = Command::from_fn(|| 0);
    command.namespaces(set);
    let error = leaves_nothing(|| refusal(&mut command));
    assert_eq!((error.step(), error.raw_os_error()), (&Step::Clone(set), Some(libc::ENOSYS)));
    assert_eq!(error.cause(), Some(&Cause::Seccomp), "{error}");
}

fn filter_of_dispositions() {
    answer(&[libc::SYS_rt_sigaction], libc::EPERM);
    let error = leaves_nothing(|| refusal(&mut missing()));
    assert_eq!((error.step(), error.raw_os_error()), (&Step::Signal, Some(libc::EPERM)));
    assert!(!error.to_string().starts_with("send signal"), "none is sent: {error}");
}
