//! Running a closure in other namespaces, on a thread of its own.
#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::panic::resume_unwind;
use std::thread;

use crate::error::{At as _, Cause, Error, Result, Step};
use crate::{Namespace, NamespaceId, NamespaceKind, Namespaces, diagnose, setns, sys, unshare};

/// The name that a closure's thread has, for debuggers and panic messages.
const THREAD: &str = "namespaces";

/// Several namespaces, for a closure that runs in all of them: on a thread of its own, which ends with it.
///
/// The thread first enters what is to be entered, then unshares, then calls the closure. It has a root, a working directory and a umask
/// of its own. So the calling thread, and all other threads, stay where they are, whatever happens in the closure: a
/// panic, a change of directory, an unshare(2) of its own.
///
/// Setters never fail; what is wrong surfaces at [`run`](Self::run), before any thread is started. A scope can be run
/// any number of times.
///
/// ```no_run
/// use std::net::TcpListener;
/// use linux_namespaces::{Namespaces, Scope};
/// // A socket is of the network namespace it was made in, wherever it is used later.
/// let listener = Scope::new().unshare(Namespaces::NET).run(|| TcpListener::bind("127.0.0.1:80"))?;
/// # Ok::<(), linux_namespaces::Error>(())
/// ```
///
/// # What a thread can do, and what not
/// | Kind | |
/// | --- | --- |
/// | cgroup, ipc, net, uts | the closure is in it |
/// | mount | the closure is in it. Its root, and its working directory, are the namespace's root after entering, and as they were after unsharing |
/// | pid | what the closure starts is in it, not the closure; after unsharing, the first is process 1. It can start no threads: the kernel refuses that |
/// | time | unsharing: what the closure starts is in it. It cannot be entered |
/// | user | it cannot be entered or unshared: the kernel allows that only to a process with one thread |
///
/// For those that cannot be, [`Command`](crate::Command) has a process of its own.
///
/// # References
/// setns(2), unshare(2), pthreads(7)
#[derive(Debug)]
pub struct Scope {
    /// An error of making the duplicate is kept for the run.
    joins: Vec<(NamespaceKind, Result<Namespace>)>,
    unshared: Namespaces,
}

impl Default for Scope {
    fn default() -> Self {
        Self { joins: Vec::new(), unshared: Namespaces::empty() }
    }
}

impl Scope {
    /// A scope that changes nothing: its closure runs on a thread of its own, in the caller's namespaces.
    ///
    /// # References
    /// pthreads(7)
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has the closure run in an existing namespace. Handles may be given in any order; those that the caller is in already are passed over.
    /// The scope keeps a duplicate of the handle.
    ///
    /// # Errors
    /// At [`run`](Self::run): [`Step::Inspect`] with EMFILE, when there was no descriptor for the duplicate; and as said there.
    ///
    /// # References
    /// setns(2)
    pub fn enter(&mut self, ns: &Namespace) -> &mut Self {
        self.joins.push((ns.kind(), ns.try_clone()));
        self
    }

    /// Has the closure run in new namespaces of these kinds, new for each run. Calls add up.
    ///
    /// As for a program in new namespaces, the interface `lo` of a network namespace is up, and all mounts of a mount namespace
    /// are private, so that none leaks to the host.
    ///
    /// # Errors
    /// At [`run`](Self::run): as said there.
    ///
    /// # References
    /// unshare(2)
    pub fn unshare(&mut self, set: Namespaces) -> &mut Self {
        self.unshared |= set;
        self
    }

    /// Runs the closure, and gives what it returns. It may borrow from the caller, who waits for it.
    ///
    /// The thread has the caller's signal mask, and a stack of the size that threads of std have. Programs that the closure starts with [`std::process::Command`] are in its namespaces,
    /// pid and time included.
    ///
    /// # Errors
    /// Then the closure was not called, and nothing is left.
    /// * [`Step::Validate`]: two namespaces of one kind, one that is both entered and unshared, unknown bits.
    /// * [`Step::Enter`], [`Step::Unshare`]: with [`Cause::Threads`] for what a thread cannot do (see above); otherwise as
    ///   [`setns`](crate::setns()) and [`unshare`](crate::unshare()).
    /// * [`Step::Loopback`], [`Step::Propagation`]: what was unshared could not be set up.
    /// * [`Step::Clone`] of no namespaces: there can be no further thread; EAGAIN at a limit, EINVAL after `unshare(PID)`.
    ///
    /// # Panics
    /// If the closure panics, the panic goes on in the caller, with the same payload.
    ///
    /// # Requires
    /// CAP_SYS_ADMIN in the caller's user namespace, and over what is entered; CAP_SYS_CHROOT too for a mount namespace.
    ///
    /// # References
    /// setns(2), unshare(2)
    pub fn run<T: Send>(&mut self, f: impl FnOnce() -> T + Send) -> Result<T> {
        let joins = self.resolve()?;
        let unshared = self.unshared;
        thread::scope(|scope| {
            let body = || {
                move_thread(&joins, unshared)?;
                Ok(f())
            };
            let thread = thread::Builder::new()
                .name(THREAD.to_owned())
                .spawn_scoped(scope, body)
                .map_err(not_started)?;
            thread.join().unwrap_or_else(|payload| resume_unwind(payload))
        })
    }

    /// What is really to be entered, mounts last.
    fn resolve(&self) -> Result<Vec<&Namespace>> {
        self.unshared.validate()?;
        let mut seen = Namespaces::empty();
        for (kind, _) in &self.joins {
            let kind = kind.flag();
            if seen.contains(kind) {
                return Err(Error::invalid(format!(
                    "two {kind} namespaces are to be entered: a thread can be in one of each kind"
                )));
            }
            seen |= kind;
        }
        let both = seen & self.unshared;
        if !both.is_empty() {
            return Err(Error::invalid(format!(
                "{both} is both entered and unshared: leave out one of the two, or use `Command`, \
                 which nests user and pid namespaces"
            )));
        }
        let mut joins = Vec::with_capacity(self.joins.len());
        for (kind, namespace) in &self.joins {
            let namespace = namespace.as_ref().map_err(Error::clone)?;
            if changes_nothing_again(*kind) {
                joins.push(namespace);
                continue;
            }
            let id = namespace.id()?;
            if is_here(id) {
                continue;
            }
            let errno = match kind {
                NamespaceKind::User => libc::EINVAL,
                NamespaceKind::Time => libc::EUSERS,
                _ => {
                    joins.push(namespace);
                    continue;
                }
            };
            let error = Error::new(Step::Enter(*kind)).on(id.to_string()).errno(errno);
            return Err(beyond_a_thread(error, "Command::enter"));
        }
        if self.unshared.contains(Namespaces::USER) {
            let error = Error::new(Step::Unshare(self.unshared)).errno(libc::EINVAL);
            return Err(beyond_a_thread(error, "Command::namespaces"));
        }
        // Until then the caller's /proc is there, in which messages look.
        joins.sort_by_key(|namespace| namespace.kind() == NamespaceKind::Mount);
        Ok(joins)
    }
}

impl Namespace {
    /// Runs a closure in this namespace, on a thread of its own, and gives what it returns. The caller does not move.
    /// [`Scope`] does the same with several namespaces, and says what there is to know about it.
    ///
    /// # Errors
    /// As [`Scope::run`]; then the closure was not called.
    ///
    /// # Panics
    /// If the closure panics, the panic goes on in the caller, with the same payload.
    ///
    /// # Requires
    /// As [`setns`](crate::setns()); but the namespace that the caller is in takes no rights.
    ///
    /// # Examples
    /// ```no_run
    /// use std::fs;
    /// use linux_namespaces::{Namespace, NamespaceKind};
    /// let net = Namespace::create(NamespaceKind::Net)?;
    /// let interfaces = net.run(|| fs::read_to_string("/proc/thread-self/net/dev"))?;
    /// # Ok::<(), linux_namespaces::Error>(())
    /// ```
    ///
    /// # References
    /// setns(2)
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T> {
        Scope::new().enter(self).run(f)
    }
}

/// Whether to enter one of this kind that the thread is in is no more than a right that may be missing: then it is tried, and looked at only after a
/// refusal, for the look costs more. (A mount namespace brings its root, an ipc namespace ends the sharing of semaphores that are to be undone.)
fn changes_nothing_again(kind: NamespaceKind) -> bool {
    matches!(
        kind,
        NamespaceKind::Cgroup | NamespaceKind::Net | NamespaceKind::Pid | NamespaceKind::Uts
    )
}

/// Whether the calling thread is in it, and, of pid and time, whether its children would be.
fn is_here(id: NamespaceId) -> bool {
    // One look, where a snapshot of all kinds would take ten.
    let name = match id.kind() {
        NamespaceKind::Pid => "pid_for_children",
        NamespaceKind::Time => "time_for_children",
        kind => kind.proc_name(),
    };
    let file = fs::metadata(format!("/proc/thread-self/ns/{name}"));
    file.is_ok_and(|file| (file.dev(), file.ino()) == (id.dev(), id.ino()))
}

/// Moves the calling thread, which was made for it.
fn move_thread(joins: &[&Namespace], unshared: Namespaces) -> Result<()> {
    // All threads share one root and one working directory, which would move with this one.
    let own_place = sys::unshare::unshare_fs();
    if joins.iter().any(|namespace| namespace.kind() == NamespaceKind::Mount) {
        own_place.at(|| Step::Enter(NamespaceKind::Mount)).map_err(|error| {
            diagnose::entering(error.on("(with a root of the thread's own)"), Namespaces::MOUNT)
        })?;
    }
    for namespace in joins {
        match sys::setns::setns(namespace.as_fd(), namespace.kind().flag().bits()) {
            Ok(()) => {}
            Err(_) if changes_nothing_again(namespace.kind()) && is_here(namespace.id()?) => {}
            Err(_) => setns::setns(namespace)?,
        }
    }
    unshare::unshare(unshared).map_err(|error| match error.cause() {
        Some(Cause::MissingCapability) => error.because(
            "it takes CAP_SYS_ADMIN in the caller's user namespace: run as root, unshare `Namespaces::USER` before there are \
             threads, or use `Command` with `Namespaces::USER`",
        ),
        _ => error,
    })?;
    if unshared.contains(Namespaces::MOUNT) {
        sys::bind::private_mounts().at(|| Step::Propagation).map_err(diagnose::propagation)?;
    }
    if unshared.contains(Namespaces::NET) {
        sys::netdevice::loopback_up()
            .at(|| Step::Loopback)
            .map_err(|error| diagnose::inside(error.on("lo"), unshared))?;
    }
    Ok(())
}

fn beyond_a_thread(error: Error, way: &str) -> Error {
    error.caused_by(Cause::Threads).because(format!(
        "the kernel allows it only to a process with one thread, and a closure runs on a further one: \
         run a program there with `{way}`"
    ))
}

fn not_started(error: io::Error) -> Error {
    let error = Err::<(), _>(error)
        .at(|| Step::Clone(Namespaces::empty()))
        .expect_err("built as an error")
        .on("(a thread for the closure)");
    match error.raw_os_error() {
        Some(libc::EINVAL) => error.because(
            "a thread whose children would be in another pid namespace can start no threads: \
             unshare or enter that one later, or use `Command`",
        ),
        _ => diagnose::creating(error, Namespaces::empty()),
    }
}
