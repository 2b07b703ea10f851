//! syscall(2): system calls without libc's wrappers.
//!
//! A child that shares its parent's memory also shares the thread's `errno` and everything else
//! that a libc wrapper may touch. Here the result comes back in a register and nothing else is written.

use std::io;

/// The errno of a failed system call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Errno(pub(crate) i32);

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.0)
    }
}

/// Whether libc makes the calls, and so writes `errno`.
pub(super) const THROUGH_LIBC: bool = cfg!(any(
    linux_namespaces_portable,
    not(any(all(target_arch = "x86_64", target_pointer_width = "64"), target_arch = "aarch64"))
));

/// Makes the system call `number`. Arguments that it does not take are 0.
///
/// # Safety
/// The arguments are right for that system call, and its effects are what the caller may cause.
#[inline]
pub(super) unsafe fn syscall(number: libc::c_long, args: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: the caller answers for the call; each architecture's sequence clobbers only what it declares.
    let value = unsafe { raw(number, args) };
    // The kernel returns -errno, and no errno is above 4095.
    if value > -4096isize as usize { Err(Errno(-(value as isize) as i32)) } else { Ok(value) }
}

#[cfg(all(target_arch = "x86_64", target_pointer_width = "64", not(linux_namespaces_portable)))]
#[inline]
unsafe fn raw(number: libc::c_long, [a, b, c, d, e, f]: [usize; 6]) -> usize {
    let value;
    // SAFETY: syscall(2): number in rax, arguments in rdi rsi rdx r10 r8 r9, result in rax; rcx and r11 are lost.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as usize => value,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    value
}

#[cfg(all(target_arch = "aarch64", not(linux_namespaces_portable)))]
#[inline]
unsafe fn raw(number: libc::c_long, [a, b, c, d, e, f]: [usize; 6]) -> usize {
    let value;
    // SAFETY: syscall(2): number in x8, arguments in x0 to x5, result in x0.
    unsafe {
        std::arch::asm!(
            "svc 0",
            inlateout("x0") a => value,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f, in("x8") number as usize,
            options(nostack),
        );
    }
    value
}

/// Elsewhere libc makes the call and writes `errno`. Parent and child share it, so they take turns:
/// while the child runs, the parent makes no call that can fail (see `command/spawn.rs`).
#[cfg(any(
    linux_namespaces_portable,
    not(any(all(target_arch = "x86_64", target_pointer_width = "64"), target_arch = "aarch64"))
))]
unsafe fn raw(number: libc::c_long, [a, b, c, d, e, f]: [usize; 6]) -> usize {
    // SAFETY: the caller answers for the call.
    let value = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if value != -1 {
        return value as usize;
    }
    // SAFETY: the address of this thread's errno is always valid.
    let errno = unsafe { *libc::__errno_location() };
    -(errno as isize) as usize
}
