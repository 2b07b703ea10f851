//! capset(2), and what prctl(2) changes of the other sets of capabilities.
//!
//! Raw, as everything between clone and exec: the system calls change the calling task, and neither the caller of the spawn nor the
//! memory that the two may share.

use super::capget::{self, Capabilities, Data, Header};
use super::prctl::prctl;
use super::syscall::{Errno, syscall};

/// One change of the calling task's capabilities. May be made between clone and exec.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// `PR_SET_KEEPCAPS`: whether the permitted set outlives a change of the user id from root to others.
    Retain(bool),
    /// All that is permitted becomes effective. EPERM unless these are among it.
    Raise(u64),
    /// `PR_CAPBSET_DROP`: only these stay in the bounding set. EPERM unless they are in it.
    Bound(u64),
    /// capset(2): exactly these are permitted, effective and inheritable.
    Set(u64),
    /// capset(2): what is permitted becomes effective and inheritable too, and nothing else.
    Inherit,
    /// `PR_CAP_AMBIENT`: all that is permitted and inheritable becomes ambient.
    Ambient,
}

impl Change {
    pub(super) fn make(self) -> Result<(), Errno> {
        match self {
            Self::Retain(on) => prctl(libc::PR_SET_KEEPCAPS, usize::from(on)).map(drop),
            Self::Raise(needed) => {
                let now = capget::get()?;
                if needed & !now.permitted != 0 {
                    return Err(Errno(libc::EPERM));
                }
                if now.effective == now.permitted {
                    return Ok(());
                }
                set(Capabilities { effective: now.permitted, ..now })
            }
            Self::Bound(only) => bound(only),
            Self::Set(only) => {
                set(Capabilities { effective: only, permitted: only, inheritable: only })
            }
            Self::Inherit => {
                let held = capget::get()?.permitted;
                set(Capabilities { effective: held, permitted: held, inheritable: held })
            }
            Self::Ambient => {
                let now = capget::get()?;
                bits(now.permitted & now.inheritable).try_for_each(raise_ambient)
            }
        }
    }
}

/// The numbers of the bits that are set.
fn bits(set: u64) -> impl Iterator<Item = u32> {
    (0..u64::BITS).filter(move |number| set >> number & 1 != 0)
}

fn set(to: Capabilities) -> Result<(), Errno> {
    let half = |shift: u32| Data {
        effective: (to.effective >> shift) as u32,
        permitted: (to.permitted >> shift) as u32,
        inheritable: (to.inheritable >> shift) as u32,
    };
    let data = [half(0), half(u32::BITS)];
    let mut header = Header::OWN;
    let addresses = [(&raw mut header).expose_provenance(), data.as_ptr().expose_provenance()];
    // SAFETY: version 3 reads two `Data`, and writes nothing but the header.
    unsafe { syscall(libc::SYS_capset, [addresses[0], addresses[1], 0, 0, 0, 0]).map(drop) }
}

/// Drops only what is there, for even to drop what is not takes CAP_SETPCAP.
fn bound(only: u64) -> Result<(), Errno> {
    for number in 0..u64::BITS {
        let has = match capget::is_in_bounding_set(number) {
            Ok(has) => has,
            // The kernel has no more.
            Err(Errno(libc::EINVAL)) => break,
            Err(errno) => return Err(errno),
        };
        match (has, only >> number & 1 != 0) {
            (true, false) => drop(prctl(libc::PR_CAPBSET_DROP, number as usize)?),
            (false, true) => return Err(Errno(libc::EPERM)),
            _ => {}
        }
    }
    Ok(())
}

fn raise_ambient(number: u32) -> Result<(), Errno> {
    let (option, how) = (libc::PR_CAP_AMBIENT as usize, libc::PR_CAP_AMBIENT_RAISE as usize);
    // SAFETY: takes numbers and touches no memory.
    unsafe { syscall(libc::SYS_prctl, [option, how, number as usize, 0, 0, 0]).map(drop) }
}
