//! Which existing namespaces to enter, and in which order.
#![forbid(unsafe_code)]

use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};

use crate::error::{Cause, Error, Result, Step};
use crate::process::NOT_TO_BE_LOOKED_INTO;
use crate::sys::child::Op;
use crate::{Namespace, NamespaceId, NamespaceKind, Namespaces, PidFd, ProcessNamespaces};

/// A call of `enter` or `enter_process`, with a descriptor of the command's own. An error of making that is kept
/// for the spawn.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) kinds: Namespaces,
    target: Result<Target>,
}

#[derive(Debug)]
enum Target {
    Handle(Namespace),
    Process(PidFd),
}

impl Join {
    pub(super) fn handle(namespace: &Namespace) -> Self {
        Self { kinds: namespace.kind().flag(), target: namespace.try_clone().map(Target::Handle) }
    }

    pub(super) fn process(process: &PidFd, set: Namespaces) -> Self {
        Self { kinds: set, target: process.try_clone().map(Target::Process) }
    }
}

/// What the child has to do to be in them, with the descriptors held open.
#[derive(Debug)]
pub(super) struct Joins {
    calls: Vec<Call>,
    /// Handles that were made for this spawn.
    opened: Vec<Namespace>,
    /// The kinds that are really entered: not those that the caller is in already.
    pub(super) kinds: Namespaces,
    /// Everything is one process's: its id, for messages.
    process: Option<u32>,
}

/// One setns(2), and how messages call what it enters.
#[derive(Debug)]
struct Call {
    fd: RawFd,
    kinds: Namespaces,
    /// `None` for all that are asked for of a process.
    kind: Option<NamespaceKind>,
    /// The identity of the one.
    name: String,
}

/// One namespace to enter.
struct Wanted<'a> {
    namespace: &'a Namespace,
    id: NamespaceId,
}

/// How the namespaces of a process are entered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// With its pidfd, all in one call.
    AtOnce,
    /// With a handle for each.
    OneByOne,
}

impl Joins {
    pub(super) fn resolve(joins: &[Join], way: Way) -> Result<Self> {
        let mut resolved = Self {
            calls: Vec::new(),
            opened: Vec::new(),
            kinds: Namespaces::empty(),
            process: None,
        };
        if joins.iter().all(|join| join.kinds.is_empty()) {
            return Ok(resolved);
        }
        if let [Join { kinds, target: Ok(Target::Process(process)) }] = joins {
            resolved.process = Some(process.pid()?.ok_or_else(|| ended(*kinds))?);
            if way == Way::AtOnce {
                resolved.at_once(process, *kinds);
                return Ok(resolved);
            }
        }
        resolved.one_by_one(joins)?;
        Ok(resolved)
    }

    /// All kinds of one process with one call, which tries the user namespace first and is done or not done as a whole.
    fn at_once(&mut self, process: &PidFd, kinds: Namespaces) {
        self.kinds = to_enter(process, kinds);
        if !self.kinds.is_empty() {
            let fd = process.as_fd().as_raw_fd();
            self.calls.push(Call { fd, kinds: self.kinds, kind: None, name: String::new() });
        }
    }

    /// One call for each namespace: those that need the rights of the user namespace after it, the others before.
    fn one_by_one(&mut self, joins: &[Join]) -> Result<()> {
        for join in joins {
            if let Target::Process(process) = join.target.as_ref().map_err(Error::clone)? {
                for kind in to_enter(process, join.kinds).kinds() {
                    let opened = process.namespace(kind).map_err(|error| {
                        match (process.pid(), error.raw_os_error()) {
                            (Ok(None), _) | (_, Some(libc::ENOENT | libc::ESRCH)) => {
                                ended(join.kinds)
                            }
                            (Ok(Some(pid)), Some(libc::EACCES | libc::EPERM)) => {
                                Error::new(Step::EnterProcess(join.kinds))
                                    .on(pid.to_string())
                                    .errno(error.raw_os_error().unwrap_or(libc::EACCES))
                                    .caused_by(Cause::MissingCapability)
                                    .because(NOT_TO_BE_LOOKED_INTO)
                            }
                            _ => error,
                        }
                    })?;
                    self.opened.push(opened);
                }
            }
        }
        let given = joins.iter().filter_map(|join| match &join.target {
            Ok(Target::Handle(namespace)) => Some(namespace),
            _ => None,
        });
        // Without /proc it is not known, and what the caller is in already is entered once more.
        let here = ProcessNamespaces::current();
        let mut wanted = Vec::new();
        for namespace in self.opened.iter().chain(given) {
            let id = namespace.id()?;
            if !here.as_ref().is_ok_and(|here| is_here(here, Some(id))) {
                wanted.push(Wanted { namespace, id });
            }
        }
        let user = wanted.iter().position(|wanted| wanted.id.kind() == NamespaceKind::User);
        let user = user.map(|place| wanted.swap_remove(place));
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for wanted in wanted {
            match &user {
                Some(user) if is_owned_below(wanted.namespace, user.id)? => after.push(wanted),
                _ => before.push(wanted),
            }
        }
        self.calls = before.into_iter().chain(user).chain(after).map(Wanted::call).collect();
        self.kinds = self
            .calls
            .iter()
            .map(|call| call.kinds)
            .fold(Namespaces::empty(), |all, kinds| all | kinds);
        Ok(())
    }

    /// What enters the user namespace alone.
    pub(super) fn user_op<'a>(&self) -> Option<Op<'a>> {
        let user = Namespaces::USER.bits() as i32;
        let call = self.calls.iter().find(|call| call.kinds.contains(Namespaces::USER))?;
        Some(match call.kind {
            Some(_) => Op::Enter { fd: call.fd, kind: user },
            None => Op::EnterProcess { fd: call.fd, set: user },
        })
    }

    /// Whether the program is cloned by a process in another pid namespace than the caller's: see `plan`.
    pub(super) fn numbers_differ(&self, created: Namespaces) -> bool {
        self.kinds.contains(Namespaces::PID) && created.contains(Namespaces::PID)
    }

    /// In the order in which they are to be done.
    pub(super) fn ops<'a>(&self) -> impl Iterator<Item = Op<'a>> + '_ {
        self.calls.iter().map(|call| match call.kind {
            Some(_) => Op::Enter { fd: call.fd, kind: call.kinds.bits() as i32 },
            None => Op::EnterProcess { fd: call.fd, set: call.kinds.bits() as i32 },
        })
    }

    /// What is being done with this descriptor.
    pub(super) fn entering(&self, fd: RawFd) -> Error {
        let call = self.calls.iter().find(|call| call.fd == fd);
        match (self.process, call) {
            (Some(pid), Some(Call { kind: Some(_), name, .. })) => {
                Error::new(Step::EnterProcess(self.kinds)).on(format!("{pid}: {name}"))
            }
            (Some(pid), _) => Error::new(Step::EnterProcess(self.kinds)).on(pid.to_string()),
            (None, Some(Call { kind: Some(kind), name, .. })) => {
                Error::new(Step::Enter(*kind)).on(name)
            }
            (None, _) => Error::new(Step::EnterProcess(self.kinds)),
        }
    }

    /// Entering the pid namespace.
    pub(super) fn entering_pid(&self) -> Error {
        let call = self.calls.iter().find(|call| call.kinds.contains(Namespaces::PID));
        self.entering(call.map_or(-1, |call| call.fd))
    }

    /// The call that, made by the caller itself, would move the root and working directory of all its threads: the kernel
    /// checks for others only where mounts are all that is asked for.
    pub(super) fn moves_other_threads(&self) -> Option<Error> {
        let several = |call: &&Call| {
            call.kinds.contains(Namespaces::MOUNT) && call.kinds != Namespaces::MOUNT
        };
        self.calls.iter().find(several).map(|call| self.entering(call.fd))
    }

    /// The descriptors that the calls are made with.
    pub(super) fn fds(&self) -> impl Iterator<Item = RawFd> + '_ {
        self.calls.iter().map(|call| call.fd)
    }
}

impl Wanted<'_> {
    fn call(self) -> Call {
        let kind = self.id.kind();
        let fd = self.namespace.as_fd().as_raw_fd();
        Call { fd, kinds: kind.flag(), kind: Some(kind), name: self.id.to_string() }
    }
}

/// A process whose namespaces are gone from sight with it.
fn ended(kinds: Namespaces) -> Error {
    Error::new(Step::EnterProcess(kinds))
        .on("(of a pidfd)")
        .errno(libc::ESRCH)
        .because("that process has ended")
}

/// Those of the kinds in which a child of the caller would be elsewhere than the process. What cannot be compared is entered;
/// a kind that neither shows is none of this kernel's.
fn to_enter(process: &PidFd, kinds: Namespaces) -> Namespaces {
    // The user namespace is what every process shows: without it a kind that this kernel lacks would be an error.
    let looked_at = kinds | Namespaces::USER;
    let here = ProcessNamespaces::current_of(looked_at);
    let there = ProcessNamespaces::of_process_of(process, looked_at);
    let (Ok(here), Ok(there)) = (here, there) else { return kinds };
    let same = |kind| {
        is_here(&here, there.get(kind)) || (there.get(kind).is_none() && here.get(kind).is_none())
    };
    kinds.kinds().filter(|kind| !same(*kind)).collect()
}

/// Whether a child of the caller would be in that namespace anyway.
fn is_here(here: &ProcessNamespaces, id: Option<NamespaceId>) -> bool {
    let Some(id) = id else { return false };
    let own = match id.kind() {
        kind @ (NamespaceKind::Pid | NamespaceKind::Time) => here.for_children(kind),
        kind => here.get(kind),
    };
    own == Some(id)
}

/// Whether that user namespace, or one inside it, owns the namespace: then entering it gives the right to this one.
fn is_owned_below(namespace: &Namespace, user: NamespaceId) -> Result<bool> {
    let mut owner = namespace.owner()?;
    while let Some(here) = owner {
        if here.id()? == user {
            return Ok(true);
        }
        owner = here.parent()?;
    }
    Ok(false)
}
