//! From an errno to the reason and the remedy: looked up in the caller, after something has failed.
//!
//! [`facts`] are what the reasons are found in, [`causes`] and the files beside it find them, [`hints`] has the words for those that
//! [`Cause`](crate::Cause) has none for. [`Support`](crate::Support) and every [`Error`] have their reasons from here.
#![forbid(unsafe_code)]

mod apparmor;
mod causes;
mod facts;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(test)]
mod given;
mod hints;
mod ids;
mod limits;
mod settings;

use std::path::Path;

use self::causes::Reason;
use self::facts::{Facts, Here};
pub(crate) use self::ids::{Id, Place, Setgroups};
pub(crate) use self::settings::Mapped;
use crate::Namespaces;
use crate::error::{Error, Step};

/// The error, with the reason for its errno.
fn explained(error: Error, find: impl FnOnce(&dyn Facts, i32) -> Option<Reason>) -> Error {
    let Some(errno) = error.raw_os_error() else { return error };
    match find(&Here, errno) {
        Some(Reason { cause: Some(cause), hint }) => error.caused_by(cause).because(hint),
        Some(Reason { cause: None, hint }) => error.because(hint),
        None => error,
    }
}

/// A clone(2) or unshare(2) of these kinds failed.
pub(crate) fn creating(error: Error, set: Namespaces) -> Error {
    let moving = matches!(error.step(), Step::Unshare(_));
    explained(error, |facts, errno| causes::creating(facts, errno, set, moving))
}

/// A setns(2) to these kinds failed in this process.
pub(crate) fn entering(error: Error, set: Namespaces) -> Error {
    explained(error, |facts, errno| causes::entering(facts, errno, set, true))
}

/// The same in a child, which has one thread whatever this process has.
pub(crate) fn entering_in_child(error: Error, set: Namespaces) -> Error {
    explained(error, |facts, errno| causes::entering(facts, errno, set, false))
}

/// Writing an id map failed.
pub(crate) fn mapping(error: Error, mapped: Mapped) -> Error {
    explained(error, |facts, errno| settings::mapping(facts, errno, mapped))
}

/// A system call failed that takes no right and no setting.
pub(crate) fn calling(error: Error) -> Error {
    explained(error, causes::calling)
}

/// setresuid(2) or setresgid(2) failed.
pub(crate) fn changing_id(error: Error, id: Id, place: Place) -> Error {
    explained(error, |facts, errno| ids::changing(facts, errno, id, place))
}

/// setgroups(2) failed.
pub(crate) fn setting_groups(error: Error, place: Place) -> Error {
    explained(error, |facts, errno| ids::groups(facts, errno, place))
}

/// Mounting proc failed, in a namespace set that was created with these kinds.
pub(crate) fn mounting_proc(error: Error, created: Namespaces) -> Error {
    explained(error, |facts, errno| settings::mounting_proc(facts, errno, created))
}

/// Another set-up step failed, inside namespaces of which these kinds are new.
pub(crate) fn inside(error: Error, created: Namespaces) -> Error {
    explained(error, |facts, errno| causes::inside(facts, errno, created))
}

/// Changing the propagation of all mounts failed.
pub(crate) fn propagation(error: Error) -> Error {
    explained(error, settings::propagation)
}

/// execve(2) failed for `program`, a path as the caller sees it; `None` where it was looked for elsewhere.
pub(crate) fn executing(error: Error, program: Option<&Path>) -> Error {
    let Some(program) = program else { return error };
    explained(error, |facts, errno| settings::executing(facts, errno, program))
}

/// A kernel interface is not there. `newer`: one is there that came later into the kernel.
pub(crate) fn lacking(error: Error, newer: bool) -> Error {
    explained(error, |facts, errno| causes::lacking(facts, errno, newer))
}
