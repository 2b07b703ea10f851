//! What works here, found out by trying it in children.
#![forbid(unsafe_code)]

mod interface;
mod kinds;
mod table;

use std::fmt;

pub use self::interface::Interface;

use self::kinds::Attempts;
use crate::error::{At as _, Cause, Error, Result, Step};
use crate::{NamespaceKind, Namespaces, diagnose, sys};

/// What this process and user can do here: which kinds of namespace can be created and entered, alone and with a user namespace,
/// which kernel interfaces there are, and for each "no" the reason.
///
/// It is found out by doing it, in short-lived children that leave nothing behind, never from a version number. Those children create
/// one or two namespaces each, and run no program. The caller stays where it is and may be any thread of any process.
///
/// With a user namespace means *usable*: that the caller's id can be mapped and that there are capabilities inside. Ubuntu's AppArmor
/// lets an ordinary user create one, and refuses that.
///
/// `Display` is a table with the reasons below it:
///
/// ```text
/// kind                    create   with user   enter    with user
/// cgroup                  no [1]   yes         no [2]   yes
/// …
/// ```
///
/// ```
/// use linux_namespaces::{Command, Namespaces, Support};
/// let support = Support::detect()?;
/// let mut set = Namespaces::NET | Namespaces::UTS;
/// if !support.creatable().contains(set) {
///     set |= Namespaces::USER;
/// }
/// match support.refusals(set).next() {
///     Some(reason) => eprintln!("{reason}"),
///     None => { Command::new("true").namespaces(set).status()?; }
/// }
/// # Ok::<(), linux_namespaces::Error>(())
/// ```
///
/// # References
/// namespaces(7), user_namespaces(7)
#[derive(Clone, Debug)]
pub struct Support {
    /// In the order of [`NamespaceKind::ALL`].
    kinds: [Attempts; 8],
    /// A new pid and a new mount namespace with a /proc of their own.
    proc: Result<()>,
    /// In the order of [`Interface::ALL`].
    interfaces: [Result<()>; Interface::ALL.len()],
}

impl Support {
    /// Tries everything. It takes some 60 children and some tens of milliseconds, most of which go into the creation of namespaces.
    /// Who enters a time namespace needs a copy of the caller's memory, which adds to that for large callers.
    ///
    /// # Filters that kill
    /// A seccomp filter may end the whole process for a call that it does not know (`SECCOMP_RET_KILL_PROCESS`, systemd's default for
    /// `SystemCallFilter=`). This survives: where there is a filter, it first has copies of the process make the two calls that the crate makes in the
    /// calling process and that came late into the kernel, clone3(2) and pidfd_open(2), each of the memory's cost of fork(2). What kills
    /// a copy is [`Cause::Seccomp`] here, and is not called any more: spawns of this process then use the older clone(2), and in this thread
    /// pidfd_open(2) is taken to be missing. So who has to expect such a filter calls this first, in the thread that
    /// spawns. Without that, the first spawn is the end of the process; as it is for libc's `posix_spawn` or std's `Command` where they use these calls.
    ///
    /// What holds for the calling thread now may be otherwise for another one, with other capabilities, and later, when limits are
    /// reached.
    ///
    /// # Errors
    /// * [`Step::Clone`], [`Step::Inspect`]: EAGAIN, ENOMEM or EMFILE, when there is no room for such a child, so that nothing can be
    ///   found out.
    /// * [`Step::Inspect`]: the calling thread has unshared its pid namespace and has no child in the new one yet. The first would
    ///   be its process 1.
    ///
    /// # Requires
    /// Nothing. Without `/proc` it works too: what needs that is then not to be had, with [`Cause::MissingProc`].
    ///
    /// # References
    /// clone(2), setns(2), mount(2), namespaces(7)
    pub fn detect() -> Result<Self> {
        children_are_free()?;
        // Before anything that may be the end of this process.
        sys::deadly::find()
            .at(|| Step::Clone(Namespaces::empty()))
            .map_err(|error| diagnose::creating(error, Namespaces::empty()))?;
        let interfaces = interface::detect()?;
        let kinds = kinds::detect()?;
        let mut support = Self { kinds, proc: Ok(()), interfaces };
        support.proc = kinds::proc(support.creatable());
        Ok(support)
    }

    /// Kinds that this process can create as it is. An ordinary user's are `USER` alone, at best.
    #[must_use]
    pub fn creatable(&self) -> Namespaces {
        self.kinds_where(|attempts| attempts.create.is_ok())
    }

    /// Kinds that it can create together with a user namespace; `USER` itself is one of them.
    #[must_use]
    pub fn creatable_with_user(&self) -> Namespaces {
        self.kinds_where(|attempts| attempts.create_with_user.is_ok())
    }

    /// Kinds of which it can enter a namespace as it is: one that belongs to its own user namespace or, for `USER`, one that its user
    /// has created.
    #[must_use]
    pub fn joinable(&self) -> Namespaces {
        self.kinds_where(|attempts| attempts.enter.is_ok())
    }

    /// Kinds of which it can enter a namespace together with the user namespace that owns it and that its user has created.
    #[must_use]
    pub fn joinable_with_user(&self) -> Namespaces {
        self.kinds_where(|attempts| attempts.enter_with_user.is_ok())
    }

    fn kinds_where(&self, works: impl Fn(&Attempts) -> bool) -> Namespaces {
        NamespaceKind::ALL.into_iter().filter(|kind| works(self.attempts(*kind))).collect()
    }

    fn attempts(&self, kind: NamespaceKind) -> &Attempts {
        &self.kinds[kind as usize]
    }

    /// Why a kind can be created neither way; `None` if it can, or, which is rare (a second `unshare(PID)` in a thread is one case), if the reason
    /// has no name: [`creating`](Self::creating) has that in words, and [`creatable`](Self::creatable) says whether.
    #[must_use]
    pub fn refusal(&self, kind: NamespaceKind) -> Option<&Cause> {
        let attempts = self.attempts(kind);
        // What the way with the user namespace lacks is nearer to the remedy.
        let alone = attempts.create.as_ref().err()?;
        let with_user = attempts.create_with_user.as_ref().err()?;
        with_user.cause().or(alone.cause())
    }

    /// The errors of those kinds of the set that cannot be created: with `USER` in the set those of the way with a user namespace.
    pub fn refusals(&self, set: Namespaces) -> impl Iterator<Item = &Error> {
        set.kinds().filter_map(move |kind| {
            let result = match set.contains(Namespaces::USER) {
                true => self.creating_with_user(kind),
                false => self.creating(kind),
            };
            result.err()
        })
    }

    /// What happened when this kind was created as it is.
    ///
    /// # Errors
    /// The step that failed, its errno, and the reason.
    ///
    /// # References
    /// clone(2)
    pub fn creating(&self, kind: NamespaceKind) -> Result<(), &Error> {
        self.attempts(kind).create.as_ref().copied()
    }

    /// What happened when this kind was created together with a user namespace.
    ///
    /// # Errors
    /// The step that failed, its errno, and the reason.
    ///
    /// # References
    /// clone(2), user_namespaces(7)
    pub fn creating_with_user(&self, kind: NamespaceKind) -> Result<(), &Error> {
        self.attempts(kind).create_with_user.as_ref().copied()
    }

    /// What happened when a namespace of this kind was entered.
    ///
    /// # Errors
    /// The step that failed, its errno, and the reason. Where none could be created to be entered, it is why not.
    ///
    /// # References
    /// setns(2)
    pub fn entering(&self, kind: NamespaceKind) -> Result<(), &Error> {
        self.attempts(kind).enter.as_ref().copied()
    }

    /// What happened when a namespace of this kind was entered together with its user namespace.
    ///
    /// # Errors
    /// The step that failed, its errno, and the reason. Where none could be created to be entered, it is why not.
    ///
    /// # References
    /// setns(2), user_namespaces(7)
    pub fn entering_with_user(&self, kind: NamespaceKind) -> Result<(), &Error> {
        self.attempts(kind).enter_with_user.as_ref().copied()
    }

    /// What happened when a new `/proc` was mounted in a new pid and mount namespace, with a user namespace unless the two can be
    /// created without. In many containers it cannot: [`Cause::MaskedProc`].
    ///
    /// # Errors
    /// The step that failed, its errno, and the reason.
    ///
    /// # References
    /// mount(2), proc(5)
    pub fn mounting_proc(&self) -> Result<(), &Error> {
        self.proc.as_ref().copied()
    }

    /// Whether the kernel has it and no filter keeps it from this process.
    #[must_use]
    pub fn has(&self, interface: Interface) -> bool {
        self.calling(interface).is_ok()
    }

    /// Why there is no such interface; `None` if there is.
    #[must_use]
    pub fn missing(&self, interface: Interface) -> Option<&Cause> {
        self.calling(interface).err()?.cause()
    }

    /// What happened when the interface was called.
    ///
    /// # Errors
    /// The errno, and the reason.
    ///
    /// # References
    /// namespaces(7); [`Interface`] names the page of each
    pub fn calling(&self, interface: Interface) -> Result<(), &Error> {
        self.interfaces[interface as usize].as_ref().copied()
    }
}

/// After `unshare(PID)` the first child becomes process 1 of the new namespace, which ends with it. None of these is to be it.
fn children_are_free() -> Result<()> {
    let link = |name: &str| std::fs::read_link(format!("/proc/thread-self/ns/{name}"));
    match (link("pid"), link("pid_for_children")) {
        (Ok(_), Err(error)) if error.raw_os_error() == Some(libc::ENOENT) => {
            Err(Error::new(Step::Inspect).on("what works here").because(
                "the calling thread has unshared its pid namespace, and the first child, which tries something and ends, would be \
                 process 1 of the new one and end it: call this before, or after the first child was started",
            ))
        }
        _ => Ok(()),
    }
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        table::write(self, f)
    }
}
