//! The process 1 that stands in front of a program: reaps everybody, passes signals on, ends with the program.
//!
//! It is a copy of the caller that never execs, so the law of `child.rs` holds in it for as long as it lives. It keeps none of the
//! caller's memory but code and constants, and no descriptor.

use std::mem;
use std::sync::atomic::Ordering::SeqCst;

use super::clone::Spec;
use super::shared::{Shared, state};
use super::syscall::{Errno, syscall};
use super::{child, close_range, futex, prctl, signal};

/// How the program is started, and what becomes of process 1 then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Init<'a> {
    /// Of the program.
    pub(crate) program: Spec,
    /// A session of its own, as the program has one.
    pub(crate) new_session: bool,
    /// The parts of the memory, from and to, that are not needed in process 1; some may have been unmapped since.
    pub(crate) unneeded: &'a [(usize, usize)],
    /// Whether others of the user may look into process 1, in which nothing is left then.
    pub(crate) dumpable: bool,
    /// The stack that it runs on.
    pub(super) stack: (usize, usize),
    /// The size of a page.
    page: usize,
}

impl<'a> Init<'a> {
    pub(crate) fn new(program: Spec, unneeded: &'a [(usize, usize)]) -> Self {
        Self {
            program,
            new_session: false,
            unneeded,
            dumpable: false,
            stack: (0, 0),
            page: super::stack::page_size(),
        }
    }
}

fn call(number: libc::c_long, args: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: the callers below pass numbers, and addresses of what is on their frames; the effects are on process 1 alone,
    // which has no code of Rust's left to run but this file.
    unsafe { syscall(number, args) }
}

/// What process 1 does from the clone of the program, `program`, on. `last` is the place of the last operation, which starts it.
pub(super) fn run(init: &Init<'_>, program: i32, last: usize, shared: &Shared) -> ! {
    let Init { new_session, dumpable, unneeded, stack, page, program: spec } = *init;
    // A program has exec'd by now or has failed; a function says by itself when it begins.
    let behind_exec = spec.is(libc::CLONE_VFORK);
    if behind_exec && (shared.failure().is_some() || shared.begun() != Some(last)) {
        child::exit(1);
    }
    // Away from the program's group, or what is sent to that, as by a terminal, would come to the program twice.
    let _ = match new_session {
        true => call(libc::SYS_setsid, [0; 6]),
        false => call(libc::SYS_setpgid, [0; 6]),
    };
    let _ = close_range::close_range(0, u32::MAX, false);
    let _ = call(libc::SYS_chdir, [c"/".as_ptr().expose_provenance(), 0, 0, 0, 0, 0]);
    let _ = call(
        libc::SYS_prctl,
        [libc::PR_SET_NAME as usize, c"init".as_ptr().expose_provenance(), 0, 0, 0, 0],
    );
    if behind_exec {
        let ready =
            |now| shared.state().compare_exchange(now, state::READY, SeqCst, SeqCst).is_ok();
        if !ready(state::RUNNING) && !ready(state::RELEASED) {
            child::exit(1);
        }
        futex::wake(shared.state());
    }
    // Once through all that the loop does, before the memory goes: whatever the linker looks up late is found then.
    serve(program, shared, true);
    forget(unneeded, stack, page, shared);
    if dumpable && !unneeded.is_empty() {
        let _ = prctl::prctl(libc::PR_SET_DUMPABLE, 1);
    }
    loop {
        serve(program, shared, false);
    }
}

/// Waits for one signal, or only looks for one, and does what it asks for.
fn serve(program: i32, shared: &Shared, only_look: bool) {
    // SAFETY: plain integers, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let timeout = if only_look { (&raw const now).expose_provenance() } else { 0 };
    let set = signal::ALL;
    let signal = call(
        libc::SYS_rt_sigtimedwait,
        [
            set.as_ptr().expose_provenance(),
            (&raw mut info).expose_provenance(),
            timeout,
            signal::SET_SIZE,
            0,
            0,
        ],
    );
    if let Ok(signal) = signal {
        pass_on(program, signal, &mut info);
    }
    // Many ends may have one signal.
    reap(program, shared);
}

/// What somebody has sent to process 1 is for the program; not what the kernel says to process 1 itself.
fn pass_on(program: i32, signal: usize, info: &mut libc::siginfo_t) {
    if info.si_code > 0 {
        return;
    }
    let program = program as usize;
    // With the value that sigqueue(3) gave it.
    if info.si_code == libc::SI_QUEUE {
        let info = (&raw mut *info).expose_provenance();
        if call(libc::SYS_rt_sigqueueinfo, [program, signal, info, 0, 0, 0]).is_ok() {
            return;
        }
    }
    let _ = call(libc::SYS_kill, [program, signal, 0, 0, 0, 0]);
}

/// Reaps all that have ended. With the program this process ends, and the kernel kills whoever is left.
fn reap(program: i32, shared: &Shared) {
    loop {
        // SAFETY: plain integers, for which zero is a value.
        let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
        let flags = libc::WEXITED | libc::WNOHANG | libc::__WALL;
        let address = (&raw mut info).expose_provenance();
        let waited =
            call(libc::SYS_waitid, [libc::P_ALL as usize, 0, address, flags as usize, 0, 0]);
        // SAFETY: filled as for SIGCHLD, or still zero.
        let pid = unsafe { info.si_pid() };
        if waited.is_err() || pid == 0 {
            return;
        }
        if pid != program {
            continue;
        }
        // SAFETY: as above.
        let status = unsafe { info.si_status() };
        shared.set_status(super::wait::raw_status(info.si_code, status));
        child::exit(if info.si_code == libc::CLD_EXITED { status } else { 128 + status })
    }
}

/// Unmaps what is not needed, and the list of that as the last of it: where the list is, the caller's memory may have grown since the list was
/// made, so that it may lie in two of the parts, or in none.
fn forget(unneeded: &[(usize, usize)], stack: (usize, usize), page: usize, shared: &Shared) {
    let pages = |address: usize, size: usize| {
        (address & !(page - 1), (address + size + page - 1) & !(page - 1))
    };
    let words = pages(std::ptr::from_ref(shared).expose_provenance(), size_of::<Shared>());
    let list = pages(unneeded.as_ptr().expose_provenance(), size_of_val(unneeded));
    for &(from, to) in unneeded {
        unmap(from, to, &[stack, words, list]);
    }
    if !unneeded.is_empty() {
        // On the caller's heap, where nothing else is.
        unmap(list.0, list.1, &[stack, words]);
    }
}

fn unmap(mut from: usize, to: usize, kept: &[(usize, usize)]) {
    while from < to {
        let mut end = to;
        let mut next = to;
        for &(first, beyond) in kept {
            if first < end && beyond > from {
                (end, next) = (first.max(from), beyond);
            }
        }
        if end > from {
            let _ = call(libc::SYS_munmap, [from, end - from, 0, 0, 0, 0]);
        }
        from = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::stack::page_size;
    use std::ptr;

    /// So many pages of this process that nobody uses.
    fn pages(number: usize) -> usize {
        // SAFETY: a new mapping of an address that the kernel chooses.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                number * page_size(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(base, libc::MAP_FAILED);
        base.expose_provenance()
    }

    fn is_mapped(address: usize) -> bool {
        let mut seen = 0u8;
        let address = ptr::with_exposed_provenance_mut(address);
        // SAFETY: asks for one page, and has room for its answer.
        unsafe { libc::mincore(address, page_size(), &raw mut seen) == 0 }
    }

    #[test]
    fn what_is_kept_stays_mapped() {
        let base = pages(8);
        let at = |number: usize| base + number * page_size();
        unmap(at(0), at(8), &[(at(5), at(6)), (at(1), at(3))]);
        let left: Vec<_> = (0..8).filter(|number| is_mapped(at(*number))).collect();
        assert_eq!(left, [1, 2, 5]);
        unmap(at(0), at(8), &[]);
        assert!(!(0..8).any(|number| is_mapped(at(number))));
    }

    /// As on a heap that has grown while the list was made on it.
    #[test]
    fn the_list_may_lie_across_what_it_names() {
        let base = pages(6);
        let at = |number: usize| base + number * page_size();
        let parts = [(at(1), at(2)), (at(2), at(3)), (at(0), at(1)), (at(3), at(6))];
        let first = at(2) - size_of::<(usize, usize)>();
        let list = ptr::with_exposed_provenance_mut::<(usize, usize)>(first);
        // SAFETY: room in the mapping, aligned, on both sides of the border between its second and third page.
        unsafe { ptr::copy_nonoverlapping(parts.as_ptr(), list, parts.len()) };
        // SAFETY: filled just now, and used by nobody else.
        let list = unsafe { std::slice::from_raw_parts(list, parts.len()) };
        forget(list, (at(4), at(5)), page_size(), &Shared::default());
        let left: Vec<_> = (0..6).filter(|number| is_mapped(at(*number))).collect();
        assert_eq!(left, [4], "only the stack");
        unmap(at(0), at(6), &[]);
    }
}
