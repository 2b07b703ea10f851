//! A namespace without a process: a spawn whose process opens the namespace that it is born in, and ends.
#![forbid(unsafe_code)]

use std::os::fd::AsFd as _;
use std::path::Path;

use super::join::Way;
use super::plan::{HELPER, List, Materials, Plan};
use super::spawn::Now;
use super::stdio::Default;
use super::supplies::Supplies;
use super::{Command, spawn, validate};
use crate::error::{Cause, Error, Result, Step};
use crate::sys::child::Op;
use crate::sys::clone::Spec;
use crate::{IdRange, Namespace, NamespaceKind, Namespaces, sys};

/// A new namespace. `maps`: the ids of users and groups in a user namespace, where they are not the caller's own as itself.
pub(crate) fn create(
    kind: NamespaceKind,
    maps: Option<(Vec<IdRange>, Vec<IdRange>)>,
) -> Result<Namespace> {
    // It is born as a program's namespace is. The program is never looked for.
    let mut command = Command::new("/");
    command.env_clear().namespaces(kind.flag());
    if let Some((uid_map, gid_map)) = maps {
        command.uid_map(uid_map).gid_map(gid_map);
    }
    validate::validate(&command)?;
    next_child_is_no_first_process(kind.flag())?;
    let supplies = Supplies::get(&command, &Default::INHERIT, true, Way::AtOnce, false)?;
    let materials = supplies.materials(&command);
    let created =
        spawn::carry_out(&materials, materials.creation(kind), materials.closes_memory(), Now);
    let (created, _) = created.map_err(|error| explain(error, kind))?;
    let _ = sys::wait::wait_pidfd(created.pidfd.as_fd(), true);
    let opened = created.opened.expect("a process that has come to its end has opened it");
    Ok(Namespace::known(opened, kind))
}

impl<'a> Materials<'a> {
    /// As in [`plan`](Self::plan), with another end: there is no program.
    fn creation(&self, kind: NamespaceKind) -> Plan<'a> {
        let has_maps = self.prepared.maps.is_some();
        let copy = self.gives_copy();
        let mut list = List::new(has_maps);
        if has_maps && copy {
            list.process(Spec::new(false).with(HELPER));
        }
        // With the caller's descriptor table, where it leaves what it opens.
        list.process(Spec::new(copy).with(u64::from(kind.flag().bits()) | HELPER));
        let List { first, mut ops, .. } = list;
        if kind == NamespaceKind::Time {
            ops.push(Op::UnshareTimeIfLegacy { for_function: false });
        }
        if has_maps {
            ops.push(Op::AwaitMaps { caller: self.awaited(copy) });
        }
        if kind == NamespaceKind::Net {
            ops.push(Op::Loopback);
        }
        if kind == NamespaceKind::Mount {
            ops.push(Op::Propagation(libc::MS_REC | libc::MS_PRIVATE));
        }
        ops.extend([Op::OpenNamespace(kind), Op::End]);
        let first = first.expect("the process is one of them");
        let stays_closed = false;
        Plan { first, ops, clears_dumpable: false, executes: false, tail: None, stays_closed }
    }
}

/// After unshare(2) of the pid namespace the next child is process 1 of the new one. A process that ends at once
/// would leave that one dead, and the caller unable to have children.
pub(crate) fn next_child_is_no_first_process(set: Namespaces) -> Result<()> {
    let ns = Path::new("/proc/thread-self/ns");
    if ns.join("pid").read_link().is_err() || ns.join("pid_for_children").read_link().is_ok() {
        return Ok(());
    }
    Err(Error::new(Step::Clone(set)).because(
        "the caller has unshared its pid namespace and has no child there yet, and a helper would become \
         process 1 of it and end: do it before that, or start a process 1 first",
    ))
}

fn explain(error: Error, kind: NamespaceKind) -> Error {
    if !matches!(error.step(), Step::Clone(_)) {
        return error;
    }
    match (error.raw_os_error(), error.cause()) {
        (Some(libc::EPERM), Some(Cause::MissingCapability)) if kind.flag() != Namespaces::USER => {
            error.because(
                "it takes CAP_SYS_ADMIN in the caller's user namespace: run as root, unshare `Namespaces::USER` first, or spawn \
                 a `Command` with this kind and `Namespaces::USER` and take the handle from its `Child`",
            )
        }
        (Some(libc::ENOMEM), None) => error.because(
            "there is not enough memory, or process 1 of the pid namespace that the caller's children would be in has ended",
        ),
        _ => error,
    }
}
