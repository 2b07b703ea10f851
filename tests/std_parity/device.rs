//! Both APIs as one: what the tests are written with.

pub(crate) use std::collections::BTreeSet;
pub(crate) use std::ffi::{OsStr, OsString};
pub(crate) use std::fmt::Debug;
pub(crate) use std::fs::{self, File};
pub(crate) use std::io::{self, Write as _};
pub(crate) use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
pub(crate) use std::os::unix::ffi::OsStrExt as _;
pub(crate) use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
pub(crate) use std::os::unix::net::UnixStream;
pub(crate) use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
pub(crate) use std::panic::{RefUnwindSafe, UnwindSafe};
pub(crate) use std::path::{Path, PathBuf};
pub(crate) use std::process::{
    Child as StdChild, ChildStderr, ChildStdin, ChildStdout, Command as StdCommand, ExitStatus,
    Output, Stdio as StdStdio,
};

pub(crate) use crate::common::{case, field, in_own_process, is_root};
pub(crate) use linux_namespaces::{Child, Command, Stdio};

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Api {
    Std,
    Ours,
}

/// Tells a case which of the two it is run for.
pub(crate) const API: &str = "STD_PARITY_API";

impl Api {
    pub(crate) fn of_this_case() -> Self {
        match std::env::var(API).as_deref() {
            Ok("std") => Self::Std,
            Ok("ours") => Self::Ours,
            other => panic!("{API} is {other:?}"),
        }
    }

    /// A case, to be run for this one.
    pub(crate) fn case(self, name: &str) -> StdCommand {
        let mut command = case(name);
        command.env(API, if self == Self::Std { "std" } else { "ours" });
        command
    }

    pub(crate) fn command(self, program: impl AsRef<OsStr>) -> Cmd {
        match self {
            Self::Std => Cmd::Std(StdCommand::new(program)),
            Self::Ours => Cmd::Ours(Box::new(Command::new(program))),
        }
    }

    pub(crate) fn sh(self, script: &str) -> Cmd {
        let mut command = self.command("/bin/sh");
        command.args(["-c", script]);
        command
    }
}

/// The kind of an error, and its errno.
pub(crate) type Failure = (io::ErrorKind, Option<i32>);

pub(crate) fn errno(errno: i32) -> Failure {
    (io::Error::from_raw_os_error(errno).kind(), Some(errno))
}

/// What is refused before a system call is made.
pub(crate) const REFUSED: Failure = (io::ErrorKind::InvalidInput, None);

/// A command of either.
pub(crate) enum Cmd {
    Std(StdCommand),
    Ours(Box<Command>),
}

/// A child of either.
pub(crate) enum Kid {
    Std(StdChild),
    Ours(Child),
}

impl From<StdChild> for Kid {
    fn from(child: StdChild) -> Self {
        Self::Std(child)
    }
}

impl From<Child> for Kid {
    fn from(child: Child) -> Self {
        Self::Ours(child)
    }
}

/// The same words for both: no function can be handed a method of two types that share no trait.
macro_rules! on {
    ($either:expr, $inner:ident => $call:expr) => {
        match $either {
            Self::Std($inner) => $call,
            Self::Ours($inner) => $call,
        }
    };
}

/// A setter of both, which must give back the command itself.
macro_rules! set {
    ($either:expr, $inner:ident => $call:expr) => {{
        on!(&mut *$either, $inner => {
            $call;
        });
        $either
    }};
}

impl Cmd {
    pub(crate) fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        set!(self, c => c.arg(arg))
    }

    pub(crate) fn args<S: AsRef<OsStr>>(&mut self, args: impl IntoIterator<Item = S>) -> &mut Self {
        set!(self, c => c.args(args))
    }

    pub(crate) fn arg0(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        set!(self, c => c.arg0(arg))
    }

    pub(crate) fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        set!(self, c => c.env(key, value))
    }

    pub(crate) fn envs<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        &mut self,
        all: impl IntoIterator<Item = (K, V)>,
    ) -> &mut Self {
        set!(self, c => c.envs(all))
    }

    pub(crate) fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Self {
        set!(self, c => c.env_remove(key))
    }

    pub(crate) fn env_clear(&mut self) -> &mut Self {
        set!(self, c => c.env_clear())
    }

    pub(crate) fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Self {
        set!(self, c => c.current_dir(directory))
    }

    pub(crate) fn stdin(&mut self, stdio: impl Into<StdStdio> + Into<Stdio>) -> &mut Self {
        set!(self, c => c.stdin(stdio))
    }

    pub(crate) fn stdout(&mut self, stdio: impl Into<StdStdio> + Into<Stdio>) -> &mut Self {
        set!(self, c => c.stdout(stdio))
    }

    pub(crate) fn stderr(&mut self, stdio: impl Into<StdStdio> + Into<Stdio>) -> &mut Self {
        set!(self, c => c.stderr(stdio))
    }

    pub(crate) fn uid(&mut self, id: u32) -> &mut Self {
        set!(self, c => c.uid(id))
    }

    pub(crate) fn gid(&mut self, id: u32) -> &mut Self {
        set!(self, c => c.gid(id))
    }

    pub(crate) fn process_group(&mut self, group: i32) -> &mut Self {
        set!(self, c => c.process_group(group))
    }

    /// # Safety
    /// That of both methods: the hook is async-signal-safe.
    pub(crate) unsafe fn pre_exec(
        &mut self,
        hook: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> &mut Self {
        match self {
            Self::Std(command) => {
                // SAFETY: the caller's promise.
                unsafe { command.pre_exec(hook) };
            }
            Self::Ours(command) => {
                // SAFETY: the caller's promise.
                unsafe { command.pre_exec(hook) };
            }
        }
        self
    }

    /// A hook that does nothing. With one std forks, where else it would use posix_spawn(3).
    pub(crate) fn idle_hook(&mut self) -> &mut Self {
        // SAFETY: a hook that does nothing is async-signal-safe.
        unsafe { self.pre_exec(|| Ok(())) }
    }

    pub(crate) fn spawn(&mut self) -> Result<Kid, Failure> {
        on!(self, c => c.spawn().map(Kid::from).map_err(|e| (e.kind(), e.raw_os_error())))
    }

    pub(crate) fn output(&mut self) -> Result<Output, Failure> {
        on!(self, c => c.output().map_err(|e| (e.kind(), e.raw_os_error())))
    }

    pub(crate) fn status(&mut self) -> Result<ExitStatus, Failure> {
        on!(self, c => c.status().map_err(|e| (e.kind(), e.raw_os_error())))
    }

    pub(crate) fn exec(&mut self) -> Failure {
        on!(self, c => {
            let error = c.exec();
            (error.kind(), error.raw_os_error())
        })
    }

    pub(crate) fn get_program(&self) -> OsString {
        on!(self, c => c.get_program().to_owned())
    }

    /// And how many it says there are.
    pub(crate) fn get_args(&self) -> (usize, Vec<OsString>) {
        on!(self, c => (c.get_args().len(), c.get_args().map(OsStr::to_owned).collect()))
    }

    /// And how many it says there are.
    pub(crate) fn get_envs(&self) -> (usize, Vec<(OsString, Option<OsString>)>) {
        on!(self, c => {
            let all = c.get_envs().map(|(key, value)| (key.to_owned(), value.map(OsStr::to_owned)));
            (c.get_envs().len(), all.collect())
        })
    }

    pub(crate) fn get_current_dir(&self) -> Option<PathBuf> {
        on!(self, c => c.get_current_dir().map(Path::to_owned))
    }
}

impl Kid {
    pub(crate) fn id(&self) -> u32 {
        on!(self, c => c.id())
    }

    pub(crate) fn stdin(&mut self) -> &mut Option<ChildStdin> {
        on!(self, c => &mut c.stdin)
    }

    pub(crate) fn stdout(&mut self) -> &mut Option<ChildStdout> {
        on!(self, c => &mut c.stdout)
    }

    pub(crate) fn stderr(&mut self) -> &mut Option<ChildStderr> {
        on!(self, c => &mut c.stderr)
    }

    pub(crate) fn wait(&mut self) -> Result<ExitStatus, Failure> {
        on!(self, c => c.wait().map_err(|e| (e.kind(), e.raw_os_error())))
    }

    pub(crate) fn try_wait(&mut self) -> Result<Option<ExitStatus>, Failure> {
        on!(self, c => c.try_wait().map_err(|e| (e.kind(), e.raw_os_error())))
    }

    pub(crate) fn kill(&mut self) -> Result<(), Failure> {
        on!(self, c => c.kill().map_err(|e| (e.kind(), e.raw_os_error())))
    }

    pub(crate) fn wait_with_output(self) -> Result<Output, Failure> {
        on!(self, c => c.wait_with_output().map_err(|e| (e.kind(), e.raw_os_error())))
    }
}

/// The constructors of both `Stdio`s.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum To {
    Inherit,
    Null,
    Piped,
}

impl From<To> for StdStdio {
    fn from(to: To) -> Self {
        match to {
            To::Inherit => Self::inherit(),
            To::Null => Self::null(),
            To::Piped => Self::piped(),
        }
    }
}

impl From<To> for Stdio {
    fn from(to: To) -> Self {
        match to {
            To::Inherit => Self::inherit(),
            To::Null => Self::null(),
            To::Piped => Self::piped(),
        }
    }
}

/// Runs it for both, and gives what came of it, which must be the same.
#[track_caller]
pub(crate) fn same<T: PartialEq + Debug>(run: impl Fn(Api) -> T) -> T {
    let std = run(Api::Std);
    let ours = run(Api::Ours);
    assert_eq!(ours, std, "left: this crate; right: std");
    std
}

/// As [`same`], where what came of it is for std to say.
#[track_caller]
pub(crate) fn agree<T: PartialEq + Debug>(run: impl Fn(Api) -> T) {
    same(run);
}

/// Both succeed, write this to standard output and nothing to standard error.
#[track_caller]
pub(crate) fn both_say(expected: &str, run: impl Fn(Api) -> Result<Output, Failure>) {
    let output = same(run).expect("it is spawned");
    assert_eq!(said(&output), expected);
}

/// Both fail to spawn, with this.
#[track_caller]
pub(crate) fn both_fail(expected: Failure, run: impl Fn(Api) -> Result<Output, Failure>) {
    assert_eq!(same(run), Err(expected));
}

#[track_caller]
pub(crate) fn said(output: &Output) -> &str {
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    std::str::from_utf8(&output.stdout).expect("text")
}

/// What a case writes and how it ends, for both; it must succeed.
#[track_caller]
pub(crate) fn same_in_case(name: &str) -> String {
    said(&same(|api| api.case(name).output().expect("a case can be started"))).to_owned()
}

/// A directory with programs to run.
pub(crate) struct Programs(tempfile::TempDir);

impl Programs {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("sub")).expect("a directory");
        let programs = Self(directory);
        programs.add("tool", "#!/bin/sh\necho tool \"$@\"\n", 0o755);
        programs.add("sub/inner", "#!/bin/sh\necho inner\n", 0o755);
        programs.add("plain", "echo no interpreter named\n", 0o755);
        programs.add("data", "#!/bin/sh\necho not executable\n", 0o644);
        programs.add("orphan", "#!/no/such/interpreter\n", 0o755);
        programs
    }

    pub(crate) fn add(&self, name: &str, text: &str, mode: u32) {
        let path = self.path(name);
        fs::write(&path, text).expect("a program");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.0.path()
    }
}

pub(crate) fn pipe() -> (File, File) {
    let mut ends = [-1; 2];
    // SAFETY: fills the array.
    let result = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) };
    assert_eq!(result, 0, "pipe2: {}", io::Error::last_os_error());
    ends.map(|end| {
        // SAFETY: pipe2 has just opened it, and nothing else owns it.
        unsafe { File::from_raw_fd(end) }
    })
    .into()
}

pub(crate) fn read_all(mut from: impl io::Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).expect("text to read");
    text
}

/// Waits until a child has ended, and leaves it a zombie.
pub(crate) fn await_end(id: u32) {
    // SAFETY: plain numbers, for which all zero is a value.
    let mut info = unsafe { std::mem::zeroed::<libc::siginfo_t>() };
    // SAFETY: fills `info`; does not reap, so whoever owns the child still can.
    let result = unsafe { libc::waitid(libc::P_PID, id, &mut info, libc::WEXITED | libc::WNOWAIT) };
    assert_eq!(result, 0, "waitid: {}", io::Error::last_os_error());
}

pub(crate) fn set_of(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: plain numbers, for which all zero is a value.
    let mut set = unsafe { std::mem::zeroed() };
    // SAFETY: fills the set.
    unsafe { libc::sigemptyset(&mut set) };
    for signal in signals {
        // SAFETY: changes the set, which was filled.
        unsafe { libc::sigaddset(&mut set, *signal) };
    }
    set
}

/// Whether a signal is in a set of a /proc/<pid>/status.
pub(crate) fn has_signal(status: &str, name: &str, signal: i32) -> bool {
    let set = u64::from_str_radix(field(name, status), 16).expect("a set of signals");
    set & (1 << (signal - 1)) != 0
}

pub(crate) fn own_ids() -> (u32, u32) {
    let own = fs::metadata("/proc/self").expect("/proc is mounted");
    (own.uid(), own.gid())
}
