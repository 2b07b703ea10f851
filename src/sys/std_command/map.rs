//! user_namespaces(7): a new user namespace in which the process keeps its own ids.

use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::Ordering::SeqCst;

use super::super::child::Op;
use super::super::ids;
use super::super::syscall::{Errno, syscall};
use super::super::{capabilities, fork, openat, prctl, stat};
use super::beside::Room;
use super::replay;
use crate::Namespaces;

const CAP_SETGID: u64 = 1 << 6;

/// Of the two, one process writes the maps: the one in the new namespace, or, where that has the right to leave setgroups(2) as it is,
/// one that has stayed outside.
pub(super) fn create_user_namespace(proc: RawFd) -> Result<(), Errno> {
    // Only now they can be asked for: afterwards they have no number until the maps are there.
    let ids = Ids { uid: id(ids::GETEUID)?, gid: id(ids::GETEGID)? };
    // This process, whatever becomes of the mounts.
    let own = openat::in_child(proc, c"self", libc::O_PATH | libc::O_DIRECTORY)?;
    if capabilities().effective & CAP_SETGID == 0 || next_child_is_first(proc) {
        replay(Op::Unshare(Namespaces::USER.bits() as i32))?;
        return ids.map(own.as_raw_fd());
    }
    map_from_outside(&ids, &own)
}

/// Whether the process that writes them would be the first of a new pid namespace, and end it: as after `unshare(PID)`, in std's `exec`.
fn next_child_is_first(proc: RawFd) -> bool {
    fork::is_marked_process()
        && stat::identity_at(proc, c"thread-self/ns/pid").ok()
            != stat::identity_at(proc, c"thread-self/ns/pid_for_children").ok()
}

fn map_from_outside(ids: &Ids, own: &OwnedFd) -> Result<(), Errno> {
    let room = Room::new(|room| {
        if room.await_release() {
            let [uid, gid, _] = room.numbers.each_ref().map(|id| id.load(SeqCst) as u32);
            let result = Ids { uid, gid }.map(room.directory.load(SeqCst));
            room.answer.store(result.map_or_else(|errno| errno.0, |()| 0), SeqCst);
        }
    });
    room.numbers[0].store(ids.uid as i32, SeqCst);
    room.numbers[1].store(ids.gid as i32, SeqCst);
    room.directory.store(own.as_raw_fd(), SeqCst);
    // SAFETY: signals are blocked, and it is ended below.
    unsafe { room.start() }?;
    let created = replay(Op::Unshare(Namespaces::USER.bits() as i32));
    if created.is_ok() {
        room.release();
        room.reap();
    }
    room.end();
    created?;
    match room.answer.load(SeqCst) {
        0 => Ok(()),
        errno => Err(Errno(errno)),
    }
}

#[derive(Debug)]
struct Ids {
    uid: u32,
    gid: u32,
}

fn id(call: libc::c_long) -> Result<u32, Errno> {
    // SAFETY: asks for an id of this process.
    unsafe { syscall(call, [0; 6]) }.map(|id| id as u32)
}

impl Ids {
    /// Writes the maps of a process, whose directory in /proc is open.
    fn map(&self, process: RawFd) -> Result<(), Errno> {
        match write(process, c"gid_map", Some(self.gid)) {
            // setgroups(2) is denied only where the kernel demands that.
            Err(Errno(libc::EPERM)) => {
                write(process, c"setgroups", None)?;
                write(process, c"gid_map", Some(self.gid))?;
            }
            result => result?,
        }
        write(process, c"uid_map", Some(self.uid))
    }
}

/// A map of that one id to itself, or "deny", in one call: the kernel takes it whole or not at all.
fn write(process: RawFd, name: &std::ffi::CStr, id: Option<u32>) -> Result<(), Errno> {
    let file = match openat::in_child(process, name, libc::O_WRONLY) {
        // The files of a closed process belong to root; which matters at the open alone.
        Err(Errno(libc::EACCES)) if prctl::dumpable() != Some(1) => {
            let before = prctl::dumpable();
            prctl::set_dumpable(1);
            let file = openat::in_child(process, name, libc::O_WRONLY);
            prctl::set_dumpable(before.unwrap_or(0));
            file
        }
        file => file,
    }?;
    let mut text = [0u8; 32];
    let mut rest = text.as_mut_slice();
    let written = match id {
        Some(id) => writeln!(rest, "{id} {id} 1"),
        None => write!(rest, "deny"),
    };
    let left = rest.len();
    let length = text.len() - left;
    if written.is_err() {
        return Err(Errno(libc::EINVAL));
    }
    let args = [file.as_raw_fd() as usize, text.as_ptr().expose_provenance(), length, 0, 0, 0];
    // SAFETY: a text that is borrowed for the call.
    match unsafe { syscall(libc::SYS_write, args) } {
        Ok(written) if written != length => Err(Errno(libc::EIO)),
        result => result.map(drop),
    }
}
