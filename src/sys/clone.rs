//! clone(2): clone3 with a function to run in the child, and the older clone where there is no clone3.
//!
//! | what clone3 does | where it is missing |
//! | --- | --- |
//! | `CLONE_NEWTIME` | the child calls unshare(2) |
//! | `CLONE_INTO_CGROUP` | the child writes to `cgroup.procs`, and calls unshare(2) for a cgroup namespace there |
//! | `CLONE_CLEAR_SIGHAND` | the child resets the handlers with the ignored signals |
//!
//! clone3 is tried first. ENOSYS is remembered; EPERM (some seccomp profiles), EINVAL and E2BIG (a bit
//! that this kernel lacks) are not, for they may also be the true answer: then the older call gives it too.

use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst};

use super::shared::Shared;
use super::syscall::Errno;

pub(crate) const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
pub(crate) const CLONE_NEWTIME: u64 = 0x80;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

static CLONE3_MISSING: AtomicBool = AtomicBool::new(false);

/// The older clone is made from now on, as where there is no clone3.
pub(super) fn do_without_clone3() {
    CLONE3_MISSING.store(true, Relaxed);
}

/// Whether system calls are made without libc, so that a child on the caller's memory never writes the `errno` of a thread
/// that goes on meanwhile, or is gone.
pub(crate) const WITHOUT_LIBC: bool = arch::HAS_CLONE3;

/// What to clone, and where its words are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec {
    /// Bits of clone(2) and clone3: the sharing, and the new namespaces.
    pub(crate) flags: u64,
    /// What the parent gets when it exits; 0 for none, and with `CLONE_PARENT`.
    pub(crate) exit_signal: c_int,
    /// Top of the child's stack; null for a process that goes on on a copy of the current one.
    pub(super) stack: *mut u8,
    /// Which of the spawn's processes it is.
    pub(crate) process: usize,
    /// A cgroup directory to be born in.
    pub(crate) cgroup: Option<RawFd>,
    /// The last of them, which becomes the program: the caller gets its pidfd.
    pub(crate) program: bool,
}

impl Spec {
    /// A process that shares the memory, on a stack of its own, or, with `copy`, one with a copy of both.
    pub(crate) fn new(copy: bool) -> Self {
        let flags = if copy { 0 } else { libc::CLONE_VM as u64 };
        Self {
            flags,
            exit_signal: 0,
            stack: ptr::null_mut(),
            process: 0,
            cgroup: None,
            program: false,
        }
    }

    pub(crate) fn with(mut self, flags: u64) -> Self {
        self.flags |= flags;
        self
    }

    pub(crate) fn is(&self, flag: c_int) -> bool {
        self.flags & flag as u64 != 0
    }
}

/// Clones a process that calls `entry(arg)`, which does not return, and gives its id.
///
/// # Safety
/// With a stack: it is held until the child has exec'd or exited, as is all that `entry` uses, and the child
/// and everybody else in this memory only share what may be shared. Without: `entry` does only what may be done
/// in a copy of a process that may have had other threads.
pub(super) unsafe fn clone(
    spec: &Spec,
    shared: &Shared,
    entry: extern "C" fn(*mut c_void) -> c_int,
    arg: *mut c_void,
) -> Result<i32, Errno> {
    // The kernel writes these words before the child runs, and clears the second when it is gone.
    let (mut flags, mut pidfd, mut tid, mut alive) = (spec.flags, 0, 0, 0);
    if spec.program {
        flags |= libc::CLONE_PIDFD as u64;
        pidfd = shared.pidfd.as_ptr().expose_provenance();
    }
    if let Some(word) = shared.pid(spec.process) {
        flags |= libc::CLONE_PARENT_SETTID as u64;
        tid = word.as_ptr().expose_provenance();
    }
    // A caller that sleeps in vfork until then needs no word.
    let watched = spec.is(libc::CLONE_VM) && !(spec.process == 0 && spec.is(libc::CLONE_VFORK));
    if let Some(word) = shared.alive(spec.process).filter(|_| watched) {
        flags |= libc::CLONE_CHILD_CLEARTID as u64;
        alive = word.as_ptr().expose_provenance();
        if spec.process > 0 {
            word.store(1, SeqCst);
        }
    }
    let words = Words { pidfd, tid, alive };
    // SAFETY: what the caller keeps for us; the words live in `shared`, which lives as long as the spawn.
    let result = unsafe { clone3_or_older(spec, flags, &words, shared, entry, arg) };
    if result.is_err() {
        // A clone that fails late has written a number that is nobody's, or by now somebody else's.
        if spec.program {
            shared.pidfd.store(-1, SeqCst);
        }
        if let (Some(word), true) = (shared.alive(spec.process), spec.process > 0) {
            word.store(0, SeqCst);
        }
    }
    result
}

/// `struct clone_args`. Without a cgroup it is passed in its first size, which every kernel with clone3 takes.
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}
const FIRST_SIZE: usize = 64;
const _: () = assert!(size_of::<CloneArgs>() == 88);

/// Addresses for the kernel to write to; 0 for none.
struct Words {
    pidfd: usize,
    tid: usize,
    alive: usize,
}

/// # Safety
/// As [`clone`], and the words are valid.
unsafe fn clone3_or_older(
    spec: &Spec,
    flags: u64,
    words: &Words,
    shared: &Shared,
    entry: extern "C" fn(*mut c_void) -> c_int,
    arg: *mut c_void,
) -> Result<i32, Errno> {
    if arch::HAS_CLONE3 && !CLONE3_MISSING.load(Relaxed) {
        let mut args = CloneArgs {
            flags,
            pidfd: words.pidfd as u64,
            child_tid: words.alive as u64,
            parent_tid: words.tid as u64,
            exit_signal: spec.exit_signal as u64,
            ..CloneArgs::default()
        };
        if !spec.stack.is_null() {
            // The kernel adds the two: all that counts is where the stack begins, at its top.
            let size = 4096;
            args.stack = (spec.stack.expose_provenance() - size) as u64;
            args.stack_size = size as u64;
        }
        let mut size = FIRST_SIZE;
        if let Some(cgroup) = spec.cgroup {
            args.flags |= CLONE_INTO_CGROUP;
            args.cgroup = cgroup as u64;
            size = size_of::<CloneArgs>();
        }
        shared.legacy.store(0, SeqCst);
        let raw = [(&raw const args).expose_provenance(), size, 0, 0, 0];
        // SAFETY: the arguments are clone3's; the rest is the caller's promise.
        match unsafe { arch::clone(libc::SYS_clone3, raw, entry, arg) } {
            Err(Errno(errno @ (libc::ENOSYS | libc::EPERM | libc::EINVAL | libc::E2BIG))) => {
                if errno == libc::ENOSYS {
                    CLONE3_MISSING.store(true, Relaxed);
                }
            }
            result => return result,
        }
    }
    // SAFETY: the caller's promise.
    unsafe { older(spec, flags, words, shared, entry, arg) }
}

/// # Safety
/// As [`clone`], and the words are valid.
#[cold]
#[inline(never)]
unsafe fn older(
    spec: &Spec,
    flags: u64,
    words: &Words,
    shared: &Shared,
    entry: extern "C" fn(*mut c_void) -> c_int,
    arg: *mut c_void,
) -> Result<i32, Errno> {
    shared.legacy.store(1, SeqCst);
    // The older call reads the bit of NEWTIME as part of the exit signal.
    let flags =
        (flags & !(CLONE_CLEAR_SIGHAND | CLONE_NEWTIME)) as usize | spec.exit_signal as usize;
    // The root of a cgroup namespace is the cgroup of whoever creates it, so it is created in there.
    let flags = match spec.cgroup {
        Some(_) => flags & !(libc::CLONE_NEWCGROUP as usize),
        None => flags,
    };
    // A pidfd is written where the id would be, so there is only one of the two.
    let (flags, tid) = match words.pidfd {
        0 => (flags, words.tid),
        pidfd => (flags & !(libc::CLONE_PARENT_SETTID as usize), pidfd),
    };
    // SAFETY: as for clone3.
    unsafe { arch::older(flags, spec.stack, tid, words.alive, entry, arg) }
}

#[cfg(all(target_arch = "x86_64", target_pointer_width = "64", not(linux_namespaces_portable)))]
mod arch {
    use super::{Errno, c_int, c_void};

    pub(super) const HAS_CLONE3: bool = true;

    /// # Safety
    /// As [`super::clone`]; `args` are those of system call `number`, clone or clone3.
    pub(super) unsafe fn clone(
        number: libc::c_long,
        [a, b, c, d, e]: [usize; 5],
        entry: extern "C" fn(*mut c_void) -> c_int,
        arg: *mut c_void,
    ) -> Result<i32, Errno> {
        let value: isize;
        // SAFETY: the parent goes on behind the label with all registers but rax, rcx and r11 as they were. The
        // child, in whose rax is 0, has either a new stack or a copy of this one, 16-byte aligned both, calls
        // `entry` on it and never comes back.
        unsafe {
            std::arch::asm!(
                "syscall",
                "test rax, rax",
                "jnz 2f",
                "mov rdi, {arg}",
                "call {entry}",
                "ud2",
                "2:",
                arg = in(reg) arg,
                entry = in(reg) entry,
                inout("rax") number as isize => value,
                in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
                out("rcx") _, out("r11") _,
            );
        }
        if value < 0 { Err(Errno(-value as i32)) } else { Ok(value as i32) }
    }

    /// # Safety
    /// As [`super::clone`].
    pub(super) unsafe fn older(
        flags: usize,
        stack: *mut u8,
        tid: usize,
        alive: usize,
        entry: extern "C" fn(*mut c_void) -> c_int,
        arg: *mut c_void,
    ) -> Result<i32, Errno> {
        // SAFETY: clone(2)'s arguments in this architecture's order: flags, stack, parent_tid, child_tid, tls.
        unsafe {
            clone(libc::SYS_clone, [flags, stack.expose_provenance(), tid, alive, 0], entry, arg)
        }
    }
}

#[cfg(all(target_arch = "aarch64", not(linux_namespaces_portable)))]
mod arch {
    use super::{Errno, c_int, c_void};

    pub(super) const HAS_CLONE3: bool = true;

    /// # Safety
    /// As [`super::clone`]; `args` are those of system call `number`, clone or clone3.
    pub(super) unsafe fn clone(
        number: libc::c_long,
        [a, b, c, d, e]: [usize; 5],
        entry: extern "C" fn(*mut c_void) -> c_int,
        arg: *mut c_void,
    ) -> Result<i32, Errno> {
        let value: isize;
        // SAFETY: as on x86_64; only x0 changes in the parent. The child's link and frame registers are its own.
        unsafe {
            std::arch::asm!(
                "svc 0",
                "cbnz x0, 2f",
                "mov x0, {arg}",
                "blr {entry}",
                "brk #1",
                "2:",
                arg = in(reg) arg,
                entry = in(reg) entry,
                inout("x0") a as isize => value,
                in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x8") number as usize,
                out("x30") _,
            );
        }
        if value < 0 { Err(Errno(-value as i32)) } else { Ok(value as i32) }
    }

    /// # Safety
    /// As [`super::clone`].
    pub(super) unsafe fn older(
        flags: usize,
        stack: *mut u8,
        tid: usize,
        alive: usize,
        entry: extern "C" fn(*mut c_void) -> c_int,
        arg: *mut c_void,
    ) -> Result<i32, Errno> {
        // SAFETY: clone(2)'s arguments in this architecture's order: flags, stack, parent_tid, tls, child_tid.
        unsafe {
            clone(libc::SYS_clone, [flags, stack.expose_provenance(), tid, 0, alive], entry, arg)
        }
    }
}

#[cfg(any(
    linux_namespaces_portable,
    not(any(all(target_arch = "x86_64", target_pointer_width = "64"), target_arch = "aarch64"))
))]
mod arch {
    //! Without a stack switch of our own: libc's clone with a stack, and the system call for a copy.
    use super::{Errno, c_int, c_void};

    pub(super) const HAS_CLONE3: bool = false;

    pub(super) unsafe fn clone(
        _: libc::c_long,
        _: [usize; 5],
        _: extern "C" fn(*mut c_void) -> c_int,
        _: *mut c_void,
    ) -> Result<i32, Errno> {
        Err(Errno(libc::ENOSYS))
    }

    /// # Safety
    /// As [`super::clone`].
    pub(super) unsafe fn older(
        flags: usize,
        stack: *mut u8,
        tid: usize,
        alive: usize,
        entry: extern "C" fn(*mut c_void) -> c_int,
        arg: *mut c_void,
    ) -> Result<i32, Errno> {
        let value = if stack.is_null() {
            // A copy asks for no word to be cleared: the order of the last two arguments, which differs, is of no account.
            // SAFETY: s390x alone has the stack before the flags.
            let value = unsafe {
                #[cfg(target_arch = "s390x")]
                {
                    libc::syscall(libc::SYS_clone, 0usize, flags, tid, 0usize, 0usize)
                }
                #[cfg(not(target_arch = "s390x"))]
                {
                    libc::syscall(libc::SYS_clone, flags, 0usize, tid, 0usize, 0usize)
                }
            };
            if value == 0 {
                entry(arg);
            }
            value as i32
        } else {
            // SAFETY: libc::clone calls `entry(arg)` on the stack; the rest is the caller's promise.
            unsafe {
                libc::clone(
                    entry,
                    stack.cast(),
                    flags as c_int,
                    arg,
                    tid as *mut libc::pid_t,
                    std::ptr::null_mut::<c_void>(),
                    alive as *mut libc::pid_t,
                )
            }
        };
        // SAFETY: the address of this thread's errno is always valid.
        if value < 0 { Err(Errno(unsafe { *libc::__errno_location() })) } else { Ok(value) }
    }
}
