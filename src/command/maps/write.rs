//! Who writes the maps.
//!
//! * The caller, with the rights it has. That is enough for its own id, and with CAP_SETUID and CAP_SETGID for any.
//! * `newuidmap` and `newgidmap`, each for its side, where the kernel has refused that to a caller without the capability.
//! * For a user namespace inside an entered one a helper process that has entered the latter.
#![forbid(unsafe_code)]

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::process;

use super::super::dumpable::Dumpable;
use super::super::plan::Materials;
use super::{Kind, MapFiles, Maps, NO_MAP, Side};
use crate::error::{At as _, Error, Result, Step};
use crate::sys::child::Op;
use crate::sys::id_map::{DENY, open_of, put};
use crate::sys::spawn::Failure;
use crate::{PidFd, diagnose, sys};

impl Maps {
    /// Writes them for a child that waits for it, from the caller's side.
    pub(in crate::command) fn write(
        &self,
        child: BorrowedFd<'_>,
        pid: Option<i32>,
        flag: &Dumpable,
    ) -> Result<()> {
        let number = number_in_proc_of(flag.process(), child, pid)?;
        let files = ProcFiles(number);
        if self.setgroups == Some(false) {
            files
                .write(SETGROUPS, DENY, flag)
                .map_err(|errno| self.failed(Step::Setgroups, errno, false))?;
        }
        for side in [&self.gid, &self.uid] {
            if side.is_empty() {
                continue;
            }
            match self.direct(side, &files, flag) {
                Ok(()) => {}
                // With the capability, it is the ids that are not to be had, for a helper neither.
                Err(Refusal(_, libc::EPERM)) if !side.own_only && !side.kind.capability().1 => {
                    side.write_by_helper(number, flag)?;
                    self.check_setgroups(side, number)?;
                }
                Err(Refusal(step, errno)) => return Err(self.failed(step, errno, false)),
            }
        }
        Ok(())
    }

    /// With the rights of the caller.
    fn direct(
        &self,
        side: &Side,
        files: &ProcFiles,
        flag: &Dumpable,
    ) -> std::result::Result<(), Refusal> {
        let failed = |errno| Refusal(side.kind.step(), errno);
        let file = files.open(side.kind.file(), flag).map_err(failed)?;
        let text = side.text.as_bytes();
        match put(file.as_fd(), text) {
            Err(libc::EPERM)
                if side.kind == Kind::Group && side.own_only && self.setgroups.is_none() =>
            {
                // The kernel demands it, so it is done: for nothing else is it given up.
                files
                    .write(SETGROUPS, DENY, flag)
                    .map_err(|errno| Refusal(Step::Setgroups, errno))?;
                put(file.as_fd(), text).map_err(failed)
            }
            result => result.map_err(failed),
        }
    }

    /// The maps of a user namespace may be written from itself or from the one around it; which is an entered one here.
    pub(in crate::command) fn write_from_inside(
        &self,
        child: BorrowedFd<'_>,
        pid: Option<i32>,
        materials: &Materials<'_>,
    ) -> Result<()> {
        let files = MapFiles::of(number_in_proc(child, pid)?)?;
        let (steps, writes): (Vec<_>, Vec<_>) = self.files(&files).unzip();
        let mut ops = vec![Op::Dumpable(false)];
        ops.extend(materials.joins.user_op());
        let before = ops.len();
        ops.extend(writes.into_iter().map(Op::WriteMap));
        let _dumpable = Dumpable::clearing();
        sys::spawn::run_helper(&mut ops).map_err(|failure| match failure {
            Failure::Op(place, errno) if place >= before => {
                self.failed(steps[place - before].clone(), errno, true)
            }
            Failure::Op(place, errno) => materials.failed(&ops[place], errno),
            Failure::Clone(errno) => Error::new(Step::UidMap).errno(errno),
            Failure::Resources(error) => {
                Err::<(), _>(error).at(|| Step::UidMap).expect_err("built as an error")
            }
            Failure::Died(..) | Failure::Help(()) => {
                Error::new(Step::UidMap).because("the process that writes it was killed")
            }
        })
    }
}

/// A step and an errno, which may not be the last word of it.
struct Refusal(Step, i32);

const SETGROUPS: &str = "setgroups";

/// The files of one process in /proc, by its number there.
struct ProcFiles(u32);

impl ProcFiles {
    /// Opens a file of a child that shares the caller's memory. It belongs to root while the dumpable flag is clear, so to open it the flag
    /// is set where that is so; to write it that is not needed.
    fn open(&self, name: &str, flag: &Dumpable) -> std::result::Result<OwnedFd, i32> {
        // Children of other spawns may clear the flag in between.
        const TRIES: usize = 100;
        let mut result = open_of(self.0, name);
        for _ in 0..TRIES {
            if !matches!(result, Err(libc::EACCES)) {
                break;
            }
            result = flag.raised(|| open_of(self.0, name));
        }
        result
    }

    fn write(&self, name: &str, text: &[u8], flag: &Dumpable) -> std::result::Result<(), i32> {
        put(self.open(name, flag)?.as_fd(), text)
    }
}

/// The number of a child that waits for its maps, as the mounted /proc has it. That may be the /proc of another pid
/// namespace, where the number `pid` that the caller knows would be a stranger's.
pub(in crate::command) fn number_in_proc(child: BorrowedFd<'_>, pid: Option<i32>) -> Result<u32> {
    number_in_proc_of(process::id(), child, pid)
}

/// The same for a caller with this number.
fn number_in_proc_of(caller: u32, child: BorrowedFd<'_>, pid: Option<i32>) -> Result<u32> {
    let own = sys::readlink::number(c"/proc/self") == Some(caller);
    let number = match pid {
        Some(pid) if own => u32::try_from(pid).ok(),
        _ => {
            let copy = child.try_clone_to_owned().at(|| Step::UidMap)?;
            match PidFd::known(copy).pid_in_proc() {
                Ok(number) => number,
                // It says nothing about /proc.
                Err(error) => match error.raw_os_error() {
                    Some(errno @ (libc::EMFILE | libc::ENFILE | libc::ENOMEM)) => {
                        return Err(Error::new(Step::UidMap).errno(errno));
                    }
                    _ => None,
                },
            }
        }
    };
    number.ok_or_else(|| diagnose::mapping(Error::new(Step::UidMap).errno(libc::ESRCH), NO_MAP))
}
