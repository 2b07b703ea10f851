//! The builder: what to run, and in which world.
#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output};

use super::credentials::Credentials;
use super::environment::Environment;
use super::join::Join;
use super::kept::Kept;
use super::{Child, Stdio, clock, exec, hook, maps, mount, spawn, stdio};
use crate::error::{Error, Result};
use crate::{Namespace, Namespaces, PidFd};

/// A program to run, as [`std::process::Command`] has it: same names, same meaning; and the namespaces to run it in.
///
/// Setters never fail and can be called in any order; what is wrong surfaces when it is spawned, before any system
/// call is made. A command can be spawned any number of times, and from any thread.
///
/// ```no_run
/// use linux_namespaces::{Command, Namespaces};
/// Command::new("ps").arg("aux").namespaces(Namespaces::PID | Namespaces::NS).spawn()?.wait()?;
/// # Ok::<(), linux_namespaces::Error>(())
/// ```
///
/// # Defaults
/// * **Mount** namespace created: propagation is made private, recursively, so that no mount leaks to the host.
/// * **Pid and mount** created: a new `/proc` is mounted, so that `ps` shows the new world.
/// * **User** created: the caller keeps its user and group id; all other ids show as overflow (65534).
/// * **Net** created: the loopback interface is up.
/// * Only descriptors 0, 1, 2 and those given to [`fd`](Self::fd) reach the program.
/// * No signal is blocked, and every disposition is the default, whatever the caller blocks or ignores. (What it ignores is asked of the kernel for each command,
///   and again when 10 ms have passed, for that takes 62 calls; SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM and SIGCHLD each time. So another signal that the caller
///   begins to ignore in the 10 ms before it spawns the *same* command once more may stay ignored.)
/// * The child is neither killed nor reaped when its handle drops, unless [`kill_on_drop`](Self::kill_on_drop).
/// * `spawn` and `status` inherit the three standard streams; `output` reads from nothing and captures the others.
///
/// # In the child, in this order
/// enter, create (with the cgroup), id maps, clock offsets, session or process group, host and domain name, loopback, propagation, mounts with the root, `/proc`,
/// descriptors, working directory, groups, group and user id, capabilities, no_new_privs, parent-death signal, signals, `pre_exec` hooks, exec. So paths mean what
/// they mean inside, and names in `PATH` are looked for there.
///
/// # Errors
/// Whatever fails up to the exec is an error from `spawn`, with the step, what it was done on, the errno and, where
/// it can be found out, the cause. Then nothing is left: no process, descriptor, mount or thread.
///
/// # Cost
/// The child shares the caller's memory until it execs, so the cost does not grow with that. Only
/// `pre_exec`, [`from_fn`](Self::from_fn), [`init`](Self::init) and entering a time namespace need a copying clone.
///
/// # References
/// clone(2), execve(2), namespaces(7), pid_namespaces(7)
pub struct Command {
    /// A path, or a name to look for in `PATH`; "fn" for a function.
    pub(super) program: OsString,
    pub(super) function: Option<hook::Function>,
    pub(super) arg0: Option<OsString>,
    pub(super) args: Vec<OsString>,
    pub(super) environment: Environment,
    pub(super) directory: Option<PathBuf>,
    pub(super) stdin: Option<Stdio>,
    pub(super) stdout: Option<Stdio>,
    pub(super) stderr: Option<Stdio>,
    pub(super) credentials: Credentials,
    pub(super) process_group: Option<i32>,
    pub(super) hooks: Vec<Box<hook::Hook>>,
    pub(super) namespaces: Namespaces,
    pub(super) joins: Vec<Join>,
    pub(super) maps: maps::Settings,
    pub(super) hostname: Option<OsString>,
    pub(super) domainname: Option<OsString>,
    pub(super) loopback: Option<bool>,
    pub(super) clocks: clock::Clocks,
    pub(super) cgroup: Option<OwnedFd>,
    pub(super) mounts: mount::Mounts,
    pub(super) fds: Vec<(RawFd, OwnedFd)>,
    pub(super) inherit_fds: bool,
    pub(super) life: super::life::Life,
    pub(super) kept: Kept,
}

impl Command {
    /// A command that runs `program` with no arguments, the caller's environment and working directory.
    ///
    /// A name without a slash is looked for in `PATH`: in that of the command's own environment if it was changed.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`](crate::Step::Validate) for a NUL byte in it; [`Step::Exec`](crate::Step::Exec) with the program: ENOENT
    /// when there is none in `PATH`, or not the interpreter that runs it; EACCES when it may not be executed; ENOEXEC when it is no
    /// program.
    ///
    /// # References
    /// execve(2), environ(7)
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self::with_program(program.as_ref(), None)
    }

    /// A command that runs a function instead of a program: `clone(2)` with a function.
    ///
    /// The function runs in a process of its own, on a copy of the caller's memory, and what it returns is the
    /// exit code (of which wait(2) keeps the low 8 bits). It keeps the descriptors that it owns. A panic is reported as usual and
    /// ends that process with code 101. Standard output is flushed before the clone and after the function.
    ///
    /// As after clone(2), and other than after fork(2), libc does not know the new thread id: `pthread_self` means the caller's thread to it.
    ///
    /// The thread must be the only one of its process, for a copy of a process with more may run next to nothing
    /// safely. So tests that use it need a process of their own.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`](crate::Step::Validate) with [`Cause::Threads`](crate::Cause::Threads) when there are more threads.
    ///
    /// # Examples
    /// ```
    /// use linux_namespaces::{Command, Namespaces};
    /// # fn main() -> linux_namespaces::Result<()> {
    /// let mut child = Command::from_fn(|| 7).spawn()?;
    /// assert_eq!(child.wait()?.code(), Some(7));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # References
    /// clone(2)
    pub fn from_fn(function: impl FnMut() -> i32 + Send + Sync + 'static) -> Self {
        Self::with_program(
            "fn".as_ref(),
            Some(hook::Function { run: Box::new(function), checked: true }),
        )
    }

    pub(super) fn with_program(program: &OsStr, function: Option<hook::Function>) -> Self {
        Self {
            program: program.to_owned(),
            function,
            arg0: None,
            args: Vec::new(),
            environment: Environment::default(),
            directory: None,
            stdin: None,
            stdout: None,
            stderr: None,
            credentials: Credentials::default(),
            process_group: None,
            hooks: Vec::new(),
            namespaces: Namespaces::empty(),
            joins: Vec::new(),
            maps: maps::Settings::default(),
            hostname: None,
            domainname: None,
            loopback: None,
            clocks: clock::Clocks::default(),
            cgroup: None,
            mounts: mount::Mounts::default(),
            fds: Vec::new(),
            inherit_fds: false,
            life: super::life::Life::default(),
            kept: Kept::default(),
        }
    }

    /// Adds one argument. It is passed as it is: there is no shell.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`](crate::Step::Validate) for a NUL byte in it; [`Step::Exec`](crate::Step::Exec) with E2BIG when
    /// it is longer than 128 KiB, or arguments and environment together are too long.
    ///
    /// # References
    /// execve(2)
    pub fn arg(&mut self, a: impl AsRef<OsStr>) -> &mut Self {
        self.kept.forget();
        self.args.push(a.as_ref().to_owned());
        self
    }

    /// Adds several arguments.
    ///
    /// # Errors
    /// As [`arg`](Self::arg), which is called for each.
    ///
    /// # References
    /// execve(2)
    pub fn args<I, S>(&mut self, a: I) -> &mut Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.kept.forget();
        self.args.extend(a.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// What the program sees as its own name, `argv[0]`, in place of the program as given to [`new`](Self::new).
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`](crate::Step::Validate) for a NUL byte in it.
    ///
    /// # References
    /// execve(2)
    pub fn arg0(&mut self, a: impl AsRef<OsStr>) -> &mut Self {
        self.kept.forget();
        self.arg0 = Some(a.as_ref().to_owned());
        self
    }

    /// Sets a variable of the program's environment.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`](crate::Step::Validate) for a NUL byte in the name or the value; [`Step::Exec`](crate::Step::Exec) with
    /// E2BIG when it is longer than 128 KiB, or arguments and environment together are too long.
    ///
    /// # References
    /// environ(7)
    pub fn env(&mut self, k: impl AsRef<OsStr>, v: impl AsRef<OsStr>) -> &mut Self {
        self.kept.forget();
        self.environment.set(k.as_ref(), v.as_ref());
        self
    }

    /// Sets several variables.
    ///
    /// # Errors
    /// As [`env`](Self::env), which is called for each.
    ///
    /// # References
    /// environ(7)
    pub fn envs<I, K, V>(&mut self, v: I) -> &mut Self
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.kept.forget();
        for (key, value) in v {
            self.environment.set(key.as_ref(), value.as_ref());
        }
        self
    }

    /// Does not pass on a variable, whether it was set here or is the caller's.
    ///
    /// # References
    /// environ(7)
    pub fn env_remove(&mut self, k: impl AsRef<OsStr>) -> &mut Self {
        self.kept.forget();
        self.environment.remove(k.as_ref());
        self
    }

    /// Passes on nothing of the caller's environment, and forgets what was set so far.
    ///
    /// # References
    /// environ(7)
    pub fn env_clear(&mut self) -> &mut Self {
        self.kept.forget();
        self.environment.clear();
        self
    }

    /// The directory to run in, seen from inside the new namespaces. A program given as a relative path is looked for from there.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`](crate::Step::Validate) for a NUL byte in it; [`Step::Chdir`](crate::Step::Chdir) with the path: ENOENT
    /// when there is no such directory inside, ENOTDIR, EACCES; EXDEV when it leads out of a mount namespace that is entered.
    ///
    /// # References
    /// chdir(2)
    pub fn current_dir(&mut self, d: impl AsRef<Path>) -> &mut Self {
        self.directory = Some(d.as_ref().to_owned());
        self
    }

    /// Where standard input comes from.
    ///
    /// # Errors
    /// At spawn: [`Step::Open`](crate::Step::Open) when `/dev/null` cannot be opened; [`Step::Fd`](crate::Step::Fd) with the number:
    /// EMFILE, no descriptor for a pipe.
    ///
    /// # References
    /// dup2(2), pipe(2)
    pub fn stdin(&mut self, s: impl Into<Stdio>) -> &mut Self {
        self.stdin = Some(s.into());
        self
    }

    /// Where standard output goes.
    ///
    /// # Errors
    /// As [`stdin`](Self::stdin).
    ///
    /// # References
    /// dup2(2), pipe(2)
    pub fn stdout(&mut self, s: impl Into<Stdio>) -> &mut Self {
        self.stdout = Some(s.into());
        self
    }

    /// Where standard error goes.
    ///
    /// # Errors
    /// As [`stdin`](Self::stdin).
    ///
    /// # References
    /// dup2(2), pipe(2)
    pub fn stderr(&mut self, s: impl Into<Stdio>) -> &mut Self {
        self.stderr = Some(s.into());
        self
    }

    /// The process group to run in: 0 for a new one with the program's own id.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`](crate::Step::Validate) for a number below 0, and for another than 0 together with
    /// [`new_session`](Self::new_session); [`Step::ProcessGroup`](crate::Step::ProcessGroup) with EPERM when there is no such group in the
    /// session.
    ///
    /// # References
    /// setpgid(2)
    pub fn process_group(&mut self, pgroup: i32) -> &mut Self {
        self.process_group = Some(pgroup);
        self
    }

    /// Replaces the calling process by the program, after moving it into the namespaces; returns only on failure.
    ///
    /// As with std, the process may be left changed by the steps that came before the failure: this moves the caller. Descriptors,
    /// the signal mask and dispositions are put back. A pid namespace is for children only, so `PID` is refused here.
    ///
    /// On its way into another user namespace the process is closed to all who lack CAP_SYS_PTRACE over the one that it comes from, as by
    /// `PR_SET_DUMPABLE`: others of its user, and those who are root in there, would have power over it before it has the program's memory. It
    /// stays closed if it fails in there. A process without capabilities is not closed for a new one, as others of its user could look into it before;
    /// nor is one of another user than root that sets clocks, since that takes open files. One with capabilities, but without CAP_DAC_OVERRIDE,
    /// is open while its maps are written.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn); [`Step::Unshare`](crate::Step::Unshare) in place of `Clone`. `USER` needs a process with one thread.
    ///
    /// # References
    /// execve(2), unshare(2)
    pub fn exec(&mut self) -> Error {
        exec::exec(self)
    }

    /// Runs it, and does not wait for its end.
    ///
    /// # Errors
    /// * [`Step::Validate`](crate::Step::Validate): settings that make no sense; the message says what to add. No system call was made.
    /// * Any other step: what failed, on what, why; and nothing is left of it.
    ///
    /// # Requires
    /// Linux 5.4. For new namespaces CAP_SYS_ADMIN, or `USER` among them where user namespaces are not restricted.
    ///
    /// # References
    /// clone(2), execve(2), namespaces(7)
    pub fn spawn(&mut self) -> Result<Child> {
        spawn::spawn(self, stdio::Default::INHERIT)
    }

    /// Runs it and waits for its end. Streams are inherited unless set.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn) and [`Child::wait`].
    ///
    /// # References
    /// execve(2), waitid(2)
    pub fn status(&mut self) -> Result<ExitStatus> {
        spawn::spawn(self, stdio::Default::INHERIT)?.wait()
    }

    /// Runs it, waits for its end, and gives what it wrote. Its standard input is empty, unless set.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn) and [`Child::wait_with_output`].
    ///
    /// # References
    /// execve(2), pipe(2), waitid(2)
    pub fn output(&mut self) -> Result<Output> {
        spawn::spawn(self, stdio::Default::CAPTURE)?.wait_with_output()
    }

    /// The program as given to [`new`](Self::new); for a function the text "fn".
    #[must_use]
    pub fn get_program(&self) -> &OsStr {
        &self.program
    }

    /// The arguments, without `argv[0]`.
    pub fn get_args(&self) -> impl ExactSizeIterator<Item = &OsStr> {
        self.args.iter().map(OsString::as_os_str)
    }

    /// What was set in the environment, and what removed (`None`), in the order of the names.
    pub fn get_envs(&self) -> impl ExactSizeIterator<Item = (&OsStr, Option<&OsStr>)> {
        self.environment.changes()
    }

    /// The directory given to [`current_dir`](Self::current_dir).
    #[must_use]
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// The kinds that [`namespaces`](Self::namespaces) has added up.
    #[must_use]
    pub fn get_namespaces(&self) -> Namespaces {
        self.namespaces
    }

    /// Has the program born in new namespaces of these kinds. Calls add up.
    ///
    /// With `PID` the program is process 1 there: when it ends all others there are killed, it inherits orphans, and signals that it
    /// has no handler for do nothing to it, except SIGKILL and SIGSTOP from outside.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`](crate::Step::Validate) for bits that are none of the eight kinds. [`Step::Clone`](crate::Step::Clone)
    /// with the kinds: EPERM without CAP_SYS_ADMIN and without `USER` in the set, or where user namespaces are restricted; ENOSPC at a
    /// limit, of number or of nesting; EINVAL for a kind that the kernel lacks. [`Error::cause`] tells them apart, and the message says what
    /// helps.
    ///
    /// # Requires
    /// CAP_SYS_ADMIN, or `USER` in the set. Linux 5.6 for `TIME`.
    ///
    /// # References
    /// clone(2), namespaces(7)
    #[doc(alias = "CLONE_NEWNS")]
    #[doc(alias = "CLONE_NEWPID")]
    #[doc(alias = "CLONE_NEWUSER")]
    pub fn namespaces(&mut self, set: Namespaces) -> &mut Self {
        self.namespaces |= set;
        self
    }

    /// Has the program enter an existing namespace: setns(2). The caller does not move. With a pid namespace the program itself
    /// is in it; with a mount namespace its root and working directory are that namespace's.
    ///
    /// Handles may be given in any order: which is entered first is decided by the rights that it gives.
    /// Those that the caller is in already are passed over.
    ///
    /// A program from outside is in reach of those who are privileged inside. Enter a namespace of somebody whom you do not trust
    /// together with the user namespace that owns it, and execute a program from inside.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`](crate::Step::Validate) for two namespaces of one kind, and for a kind other than user and pid that is
    /// also created. [`Step::Enter`](crate::Step::Enter) with the kind: EPERM without the right to it; EUSERS or EINVAL where the kernel
    /// does not let this process in. A pid namespace whose process 1 has ended is an error, too.
    ///
    /// # Requires
    /// CAP_SYS_ADMIN over the namespace, and in the caller's own user namespace unless the owner of the namespace is entered as well;
    /// CAP_SYS_CHROOT too for a mount namespace.
    ///
    /// # References
    /// setns(2), namespaces(7)
    pub fn enter(&mut self, ns: &Namespace) -> &mut Self {
        self.joins.push(Join::handle(ns));
        self
    }

    /// Has the program enter the namespaces of these kinds that a process is in. Otherwise as [`enter`](Self::enter).
    ///
    /// # Errors
    /// At spawn: as [`enter`](Self::enter), with [`Step::EnterProcess`](crate::Step::EnterProcess): ESRCH when the process is gone.
    ///
    /// # References
    /// setns(2), pidfd_open(2)
    pub fn enter_process(&mut self, process: &PidFd, set: Namespaces) -> &mut Self {
        self.joins.push(Join::process(process, set));
        self
    }

    /// The host name inside, of 64 bytes at most. Needs `UTS`.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`](crate::Step::Validate) without a uts namespace, created or entered, for more than 64 bytes, and for a
    /// NUL byte; [`Step::Hostname`](crate::Step::Hostname): EPERM without CAP_SYS_ADMIN over a uts namespace that is entered.
    ///
    /// # References
    /// sethostname(2), uts_namespaces(7)
    pub fn hostname(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.hostname = Some(name.as_ref().to_owned());
        self
    }

    /// The NIS domain name inside, of 64 bytes at most. Needs `UTS`.
    ///
    /// # Errors
    /// At spawn: as [`hostname`](Self::hostname), with [`Step::Domainname`](crate::Step::Domainname).
    ///
    /// # References
    /// setdomainname(2), uts_namespaces(7)
    pub fn domainname(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.domainname = Some(name.as_ref().to_owned());
        self
    }

    /// Whether to bring up the loopback interface inside. Needs `NET`; default: true when `NET` is created.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`](crate::Step::Validate) for `true` without a net namespace, created or entered;
    /// [`Step::Loopback`](crate::Step::Loopback): EPERM without CAP_NET_ADMIN over it, as where AppArmor restricts user namespaces.
    ///
    /// # References
    /// netdevice(7), network_namespaces(7)
    pub fn loopback(&mut self, up: bool) -> &mut Self {
        self.loopback = Some(up);
        self
    }

    /// Passes a descriptor to the program under the number `target`, any number that is not negative. The command
    /// keeps it for further spawns.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`](crate::Step::Validate) for a negative number, and for one that is given twice, be it by
    /// [`stdin`](Self::stdin) and its kin; [`Step::Fd`](crate::Step::Fd) with the number: EBADF when it is not below the limit on open
    /// files, RLIMIT_NOFILE, which the message tells.
    ///
    /// # References
    /// dup2(2), getrlimit(2)
    pub fn fd(&mut self, target: RawFd, source: impl Into<OwnedFd>) -> &mut Self {
        self.fds.push((target, source.into()));
        self
    }

    /// Whether the program inherits all descriptors of the caller that are not close-on-exec, as with std. Default: false.
    ///
    /// # References
    /// close_range(2)
    pub fn inherit_fds(&mut self, inherit: bool) -> &mut Self {
        self.inherit_fds = inherit;
        self
    }
}

impl fmt::Debug for Command {
    /// The plan: program, arguments and every setting that was made.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plan = f.debug_struct("Command");
        plan.field("program", &self.get_program()).field("args", &self.args);
        let mut show = |name: &str, value: Option<&dyn fmt::Debug>| {
            if let Some(value) = value {
                plan.field(name, value);
            }
        };
        /// As a field only if it was set.
        fn set<T: fmt::Debug>(value: &Option<T>) -> Option<&dyn fmt::Debug> {
            value.as_ref().map(|value| value as &dyn fmt::Debug)
        }
        show("arg0", set(&self.arg0));
        show(
            "environment",
            self.environment.is_changed().then_some(&self.environment as &dyn fmt::Debug),
        );
        show("current_dir", set(&self.directory));
        show("stdin", set(&self.stdin));
        show("stdout", set(&self.stdout));
        show("stderr", set(&self.stderr));
        let namespaces = self.namespaces.to_string();
        show("namespaces", (!self.namespaces.is_empty()).then_some(&namespaces as &dyn fmt::Debug));
        show("enter", (!self.joins.is_empty()).then_some(&self.joins as &dyn fmt::Debug));
        self.maps.show(&mut show);
        show("hostname", set(&self.hostname));
        show("domainname", set(&self.domainname));
        show("loopback", set(&self.loopback));
        self.clocks.show(&mut show);
        show("cgroup", set(&self.cgroup));
        self.mounts.show(&mut show);
        show("fds", (!self.fds.is_empty()).then_some(&self.fds as &dyn fmt::Debug));
        show("inherit_fds", self.inherit_fds.then_some(&true as &dyn fmt::Debug));
        self.credentials.show(&mut show);
        show("process_group", set(&self.process_group));
        self.life.show(|name, value| show(name, Some(value)));
        let hooks = self.hooks.len();
        show("pre_exec", (hooks > 0).then_some(&hooks as &dyn fmt::Debug));
        plan.finish()
    }
}
