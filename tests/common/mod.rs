//! What the tests share: a runner that says what it could not run and why, and ways to look at the kernel's side.
//!
//! A test names what it needs of the machine. Where that is missing it is reported as ignored, with the reason;
//! unless `LINUX_NAMESPACES_EXPECT`, a list of needs, declares it to be there: then it has failed.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod features;
pub(crate) mod own_world;
pub(crate) mod processes;
pub(crate) mod seccomp;
pub(crate) mod traced;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command as StdCommand, Stdio as StdStdio};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use linux_namespaces::{Command, Namespaces};

/// What a test needs of the machine that runs it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    /// Root, with CAP_SYS_ADMIN.
    Root,
    /// An ordinary user: not root.
    User,
    /// User namespaces, for the user who runs the tests.
    UserNamespaces,
    /// This program on `PATH`.
    Program(&'static str),
    /// That it is not built with AddressSanitizer (`--cfg linux_namespaces_asan`), which cannot stand this.
    NoSanitizer(&'static str),
    /// This of [`features`], which `.ci/without` takes away.
    Feature(&'static str),
    /// That it may gain privileges, which an ordinary user gives up to have a filter.
    NewPrivileges,
    /// No seccomp filter on it, for whose answers nobody could know what the kernel's would be.
    NoFilter,
}

impl Need {
    /// Its name in `LINUX_NAMESPACES_EXPECT`.
    fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::User => "user",
            Self::UserNamespaces => "userns",
            Self::Program(name) | Self::Feature(name) => name,
            Self::NewPrivileges => "new privileges",
            Self::NoFilter => "no filter",
            Self::NoSanitizer(_) => "no-sanitizer",
        }
    }

    /// Why it is missing here.
    pub(crate) fn missing(self) -> Option<String> {
        match self {
            Self::Root => (!is_root()).then(|| "needs root".to_owned()),
            Self::User => is_root().then(|| "needs an ordinary user".to_owned()),
            Self::UserNamespaces => {
                let here = StdCommand::new("unshare")
                    .args(["--user", "true"])
                    .stderr(StdStdio::null())
                    .status();
                let here = here.is_ok_and(|status| status.success());
                (!here).then(|| {
                    "needs user namespaces, which `unshare --user true` does not get here"
                        .to_owned()
                })
            }
            Self::Program(program) => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                let here =
                    std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
                (!here).then(|| format!("needs the program {program}"))
            }
            Self::NoSanitizer(why) => {
                cfg!(linux_namespaces_asan).then(|| format!("{why}: not with AddressSanitizer"))
            }
            Self::Feature(name) => {
                let here = (features::Feature::named(name).is_here)();
                (!here).then(|| format!("needs {name} of the kernel"))
            }
            Self::NewPrivileges => {
                let status = fs::read_to_string("/proc/self/status").expect("status");
                let given_up = field("NoNewPrivs", &status) != "0";
                given_up.then(|| "needs to be without no_new_privs".to_owned())
            }
            Self::NoFilter => {
                let status = fs::read_to_string("/proc/self/status").expect("status");
                let filtered = field("Seccomp", &status) != "0";
                filtered.then(|| "needs to be without a seccomp filter".to_owned())
            }
        }
    }

    fn is_declared(self) -> bool {
        std::env::var("LINUX_NAMESPACES_EXPECT")
            .is_ok_and(|list| list.split(',').any(|name| name == self.name()))
    }
}

/// All that a function can be given: a new time namespace takes the crate's own clone3.
pub(crate) fn all_for_functions() -> Namespaces {
    if cfg!(linux_namespaces_portable) || Need::Feature("clone3").missing().is_some() {
        Namespaces::all() - Namespaces::TIME
    } else {
        Namespaces::all()
    }
}

/// A test that needs nothing but Linux.
pub(crate) fn test(name: &str, body: fn()) -> Trial {
    test_with(name, &[], body)
}

/// A test that needs all of these.
pub(crate) fn test_with(name: &str, needs: &'static [Need], body: fn()) -> Trial {
    closure_with(name, needs, body)
}

/// The same for what has something to remember.
pub(crate) fn closure_with(
    name: &str,
    needs: &'static [Need],
    body: impl FnOnce() + Send + 'static,
) -> Trial {
    let newer = features::needed_by(name);
    Trial::ignorable_test(name, move || {
        for need in needs.iter().chain(newer) {
            if let Some(reason) = need.missing() {
                if need.is_declared() {
                    return Err(Failed::from(format!(
                        "{reason}, and LINUX_NAMESPACES_EXPECT declares it"
                    )));
                }
                return Ok(Completion::ignored_with(reason));
            }
        }
        body();
        Ok(Completion::Completed)
    })
}

/// A part of a test that needs a process of its own, because it moves the process or must be its only thread.
/// [`in_own_process`] runs it by its name.
pub(crate) type Case = (&'static str, fn());

/// Runs the tests one after the other in the main thread: some count this process's descriptors, children and threads.
pub(crate) fn run(cases: &[Case], tests: Vec<Trial>) {
    if let Ok(wanted) = std::env::var("LINUX_NAMESPACES_CASE") {
        let case = cases.iter().find(|(name, _)| *name == wanted);
        let (_, body) = case.unwrap_or_else(|| panic!("there is no case {wanted}"));
        body();
        return;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, tests).exit();
}

/// LeakSanitizer asks. At its end it starts a thread and a process that looks at it through /proc, which a case cannot
/// be sure of, or has done away with.
#[cfg(linux_namespaces_asan)]
// SAFETY: the name and the type that LeakSanitizer looks for.
#[unsafe(no_mangle)]
extern "C" fn __lsan_is_turned_off() -> std::ffi::c_int {
    std::env::var_os("LINUX_NAMESPACES_CASE").is_some().into()
}

/// This test program again, to run only that case.
pub(crate) fn case(name: &str) -> StdCommand {
    let mut command = StdCommand::new(std::env::current_exe().expect("the path of this test"));
    command.env("LINUX_NAMESPACES_CASE", name);
    command
}

/// Runs a case, and fails with what it wrote if it fails.
pub(crate) fn in_own_process(name: &str) {
    in_own_process_with(name, |command| command);
}

/// The same, started in another way.
pub(crate) fn in_own_process_with(
    name: &str,
    change: impl FnOnce(&mut StdCommand) -> &mut StdCommand,
) {
    let output = change(&mut case(name)).output().expect("this test program can be started");
    assert!(
        output.status.success(),
        "case {name} ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").expect("/proc is mounted").uid() == 0
}

/// These kinds for root; for anybody else with `USER`, which gives the right to them.
pub(crate) fn with_user(set: Namespaces) -> Namespaces {
    if is_root() { set } else { set | Namespaces::USER }
}

/// What the command writes, without the last line end. It must succeed.
pub(crate) fn stdout_of(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text").trim_end_matches('\n').to_owned()
}

/// What lsns(8) writes. It is asked again where it fails, without a word, as it does when a process that it looks at ends.
pub(crate) fn lsns(args: &[&str]) -> String {
    let once = || StdCommand::new("lsns").args(args).output().expect("lsns");
    let mut tries = std::iter::repeat_with(once).take(20);
    let output = tries.find(|output| output.status.success());
    let output = output.unwrap_or_else(|| panic!("lsns {args:?} fails each time"));
    String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
}

/// A shell script, to be spawned here.
pub(crate) fn sh(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

/// A field of the text of a /proc/<pid>/status: `field("SigBlk", &text)`.
pub(crate) fn field<'t>(name: &str, status: &'t str) -> &'t str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

/// What a spawn that failed must leave as it was. Made and compared in a process that runs one test at a time.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Footprint {
    descriptors: BTreeSet<String>,
    children: BTreeSet<String>,
    ended_child: i32,
    threads: usize,
    mounts: usize,
    namespaces: String,
    directory: std::path::PathBuf,
    dumpable: i32,
    mask: String,
}

impl Footprint {
    pub(crate) fn now() -> Self {
        let descriptors = fs::read_dir("/proc/self/fd").expect("open descriptors").flatten();
        let descriptors = descriptors
            .filter_map(|entry| {
                let target = fs::read_link(entry.path()).ok()?;
                // The directory that is being read is one of them.
                (!target.ends_with("fd")).then(|| {
                    format!("{} {}", entry.file_name().to_string_lossy(), target.display())
                })
            })
            .collect();
        let threads: Vec<_> = fs::read_dir("/proc/self/task").expect("threads").flatten().collect();
        let status = fs::read_to_string("/proc/thread-self/status").expect("status");
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        Self {
            descriptors,
            children: children(),
            ended_child: ended_child(),
            threads: threads.len(),
            // Where ip-netns(8) has what others of this machine make meanwhile.
            mounts: mounts.lines().filter(|line| !line.contains(" /run/netns")).count(),
            namespaces: linux_namespaces::ProcessNamespaces::current()
                .expect("namespaces")
                .to_string(),
            directory: std::env::current_dir().expect("working directory"),
            // SAFETY: asks for a number.
            dumpable: unsafe { libc::prctl(libc::PR_GET_DUMPABLE) },
            mask: field("SigBlk", &status).to_owned(),
        }
    }

    /// Fails if anything was left behind since.
    pub(crate) fn assert_unchanged(&self) {
        // The kernel shows a thread for a moment after it was joined.
        let start = std::time::Instant::now();
        while Self::now().threads > self.threads && start.elapsed().as_secs() < 5 {
            std::thread::yield_now();
        }
        assert_eq!(&Self::now(), self, "something was left behind");
    }
}

/// The inode of a namespace file, as stat(2) says it, which is independent of the code under test.
pub(crate) fn inode(path: impl AsRef<Path>) -> u64 {
    let path = path.as_ref();
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).ino()
}

/// The children of this process, as /proc shows them: their numbers and states.
pub(crate) fn children() -> BTreeSet<String> {
    let own = fs::read_link("/proc/self").expect("a number");
    let own = own.to_str().expect("a number");
    let processes = fs::read_dir("/proc").expect("processes").flatten();
    processes
        .filter_map(|process| {
            // One that has just gone was no child, for nobody else reaps those.
            let stat = fs::read_to_string(process.path().join("stat")).ok()?;
            // The name, in brackets, may have anything in it.
            let (name, rest) = stat.rsplit_once(") ")?;
            let (state, rest) = rest.split_once(' ')?;
            let parent = rest.split(' ').next()?;
            // Whether a program runs or sleeps says nothing.
            (parent == own).then(|| format!("{name}) {}", if state == "Z" { "ended" } else { "" }))
        })
        .collect()
}

/// A child that nobody has waited for, or 0.
pub(crate) fn ended_child() -> i32 {
    // SAFETY: plain integers, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: fills `info`, and reaps nobody.
    if unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) } != 0 {
        return 0;
    }
    // SAFETY: filled by waitid, or still zero.
    unsafe { info.si_pid() }
}
