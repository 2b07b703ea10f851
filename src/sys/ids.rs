//! setgroups(2), setresuid(2) and their kin, for ids of 32 bits; the older architectures have those under other names. May run between clone
//! and exec.

use super::syscall::{Errno, syscall};

#[cfg(any(target_arch = "x86", target_arch = "arm", target_arch = "m68k", target_arch = "sparc"))]
mod numbers {
    pub(in crate::sys) const GETUID: libc::c_long = libc::SYS_getuid32;
    pub(in crate::sys) const GETEUID: libc::c_long = libc::SYS_geteuid32;
    pub(in crate::sys) const GETEGID: libc::c_long = libc::SYS_getegid32;
    pub(in crate::sys) const SETGROUPS: libc::c_long = libc::SYS_setgroups32;
    pub(in crate::sys) const SETRESGID: libc::c_long = libc::SYS_setresgid32;
    pub(in crate::sys) const SETRESUID: libc::c_long = libc::SYS_setresuid32;
}
#[cfg(not(any(
    target_arch = "x86",
    target_arch = "arm",
    target_arch = "m68k",
    target_arch = "sparc"
)))]
mod numbers {
    pub(in crate::sys) const GETUID: libc::c_long = libc::SYS_getuid;
    pub(in crate::sys) const GETEUID: libc::c_long = libc::SYS_geteuid;
    pub(in crate::sys) const GETEGID: libc::c_long = libc::SYS_getegid;
    pub(in crate::sys) const SETGROUPS: libc::c_long = libc::SYS_setgroups;
    pub(in crate::sys) const SETRESGID: libc::c_long = libc::SYS_setresgid;
    pub(in crate::sys) const SETRESUID: libc::c_long = libc::SYS_setresuid;
}
pub(in crate::sys) use numbers::*;

pub(super) fn setgroups(groups: &[u32]) -> Result<(), Errno> {
    let args = [groups.len(), groups.as_ptr().expose_provenance(), 0, 0, 0, 0];
    // SAFETY: a list that is borrowed for the call.
    unsafe { syscall(SETGROUPS, args) }.map(drop)
}
