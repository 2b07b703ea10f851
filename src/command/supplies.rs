//! What is looked up, opened and prepared before the operations of a spawn are listed.
#![forbid(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::process;
use std::sync::{Arc, OnceLock};

use super::invocation::{Invocation, c_string};
use super::join::{Joins, Way};
use super::maps::Maps;
use super::plan::numbers;
use super::stdio::{Default, Streams};
use super::{Command, cgroup, init, mount, validate};
use crate::error::{At as _, Result, Step};
use crate::{Namespaces, diagnose, sys};

/// What the operations refer to, in the form that the kernel takes. Texts were checked for NUL bytes before.
pub(super) struct Prepared {
    pub(super) invocation: Invocation,
    pub(super) directory: Option<CString>,
    pub(super) maps: Option<Arc<Maps>>,
    pub(super) clocks: Option<String>,
    pub(super) mounts: mount::Prepared,
}

impl Prepared {
    fn new(command: &Command, joined: Namespaces, later: bool) -> Result<Self> {
        let directory = command.directory.as_deref();
        let mut kept = command.kept.parts();
        let maps = match command.namespaces.contains(Namespaces::USER) {
            true => Maps::of(command, joined, sys::process::effective_ids(), &mut kept)?,
            false => None,
        };
        Ok(Self {
            invocation: Invocation::new(command, later, &mut kept)?,
            directory: directory.map(|directory| c_string(directory.as_os_str())).transpose()?,
            maps,
            clocks: command.clocks.text(),
            mounts: command.mounts.prepare(command.namespaces)?,
        })
    }
}

/// What is looked up, opened and prepared for one spawn or exec.
pub(super) struct Supplies {
    pub(super) joins: Joins,
    pub(super) prepared: Arc<Prepared>,
    pub(super) streams: Streams,
    /// What [`numbers`] gives for those.
    pub(super) numbers: Vec<RawFd>,
    /// A pidfd of the calling process, for a child that waits for it and finds no other way to tell that it is gone. Where it cannot be had, a caller
    /// that dies at the wrong moment leaves a child that waits.
    pub(super) caller: OnceLock<Option<OwnedFd>>,
    pub(super) cgroup: Option<cgroup::Prepared>,
    /// The parts of the memory that an init does without.
    pub(super) unneeded: Vec<(usize, usize)>,
}

impl Supplies {
    /// `maps_inside`: whoever writes id maps has entered what is to be entered. `later`: the caller goes on before the exec.
    pub(super) fn get(
        command: &Command,
        default: &Default,
        maps_inside: bool,
        way: Way,
        later: bool,
    ) -> Result<Self> {
        let joins = Joins::resolve(&command.joins, way)?;
        validate::settings_have_namespaces(command, joins.kinds)?;
        let joined = if maps_inside { joins.kinds } else { Namespaces::empty() };
        let prepared = Prepared::new(command, joined, later)?;
        let streams = Streams::open(command, default)?;
        let numbers = numbers(command, &streams);
        let caller = OnceLock::new();
        let cgroup = command.cgroup.as_ref().map(cgroup::Prepared::new).transpose()?;
        let unneeded = if command.life.init { init::unneeded() } else { Vec::new() };
        let prepared = Arc::new(prepared);
        let mut supplies = Self { joins, prepared, streams, numbers, caller, cgroup, unneeded };
        if command.life.parent_death_signal != 0 {
            let watched = supplies.watch_caller().at(|| Step::ParentDeathSignal);
            watched.map_err(diagnose::calling)?;
        }
        Ok(supplies)
    }

    /// A pidfd of the caller that stays open in the child until its descriptors are those of the program, so under none of their numbers.
    pub(super) fn watch_caller(&mut self) -> io::Result<()> {
        let caller = sys::pidfd::open(process::id())?;
        self.caller = Some(sys::fcntl::away_from(caller, &self.numbers)?).into();
        Ok(())
    }

    /// A descriptor to be replaced by that of the program, when it might be too late to ask for one.
    pub(super) fn reserve(&self) -> io::Result<OwnedFd> {
        let caller = self.caller.get().and_then(Option::as_ref);
        caller.map_or_else(|| sys::pidfd::open(process::id()), OwnedFd::try_clone)
    }
}
