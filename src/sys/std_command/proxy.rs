//! The child of std's Command when the program is in another pid namespace, which only a child of its own can be.
//!
//! ```text
//! caller ── proxy: std's child ─┬─ program: the copy, which goes on to std's exec
//!                               └─ guard: kills the program should the proxy be killed
//! ```
//!
//! The proxy holds no descriptor, keeps none of the caller's memory, has the default dispositions, and ends as the program does. A killed proxy
//! takes the program with it: by `PR_SET_PDEATHSIG`, and, as a program that changes its ids loses that, by the guard.

use std::ffi::c_int;
use std::os::fd::{IntoRawFd as _, RawFd};
use std::sync::atomic::Ordering::SeqCst;

use super::super::child::Op;
use super::super::syscall::{Errno, syscall};
use super::super::{close_range, discard, fork, pidfd, poll, prctl, signal};
use super::beside::{self, Room};
use super::replay;
use crate::Namespaces;

/// What the guard does, in its room.
pub(super) fn guard(room: &Room) {
    if !room.await_release() {
        return;
    }
    let [proxy, program, id] = room.numbers.each_ref().map(|number| number.load(SeqCst));
    // A table of its own, with these two: the program's pipes are to close when the program ends.
    let own = call(libc::SYS_unshare, [libc::CLONE_FILES as usize, 0, 0, 0, 0, 0]);
    if own.is_err() || close_all_but([proxy, program]).is_err() || beside::die_with(0).is_err() {
        return;
    }
    room.taken();
    while let Ok([proxy_ended, program_ended]) = poll::wait_readable([proxy, program]) {
        if proxy_ended {
            let kill = [program as usize, libc::SIGKILL as usize, 0, 0, 0, 0];
            let refused = call(libc::SYS_pidfd_send_signal, kill).is_err();
            // By a filter. Nobody has reaped what had not ended just now.
            if refused && !program_ended {
                beside::kill(id, libc::SIGKILL);
            }
        }
        if proxy_ended || program_ended {
            return;
        }
    }
}

/// In the program's process, until it may go on.
#[derive(Debug)]
pub(super) struct Program {
    /// A pidfd.
    proxy: RawFd,
    /// A pipe, with a byte in it when the guard is there.
    gate: RawFd,
}

/// Whether there is a guard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Guard {
    /// This process's next children are in the pid namespace that it has entered, where a guard is not to be.
    Started,
    /// It is to be the second child: whoever looks for the program finds it as the first.
    NotYet,
}

/// Splits this process: returns in the copy, which is in the new pid namespace if there is to be one, or in that which was entered. This one stays
/// as the proxy, and never returns, unless it cannot be one; then there is no copy and no guard.
///
/// # Safety
/// All signals are blocked. This is the child of a fork, which nobody depends on but the program and its guard.
pub(super) unsafe fn split(
    room: &Room,
    guard: Guard,
    namespaces: Namespaces,
    proc: RawFd,
    dumpable: Option<u32>,
) -> Result<Program, Errno> {
    // SAFETY: the caller's promise.
    let error = match unsafe { fork_program(namespaces) } {
        Ok(Forked::Program(program)) => return Ok(program),
        Ok(Forked::Proxy { program, ids, gate }) => {
            let [own, its] = ids;
            for (number, value) in room.numbers.iter().zip([own, its, program]) {
                number.store(value, SeqCst);
            }
            let started = match guard {
                Guard::Started => Ok(()),
                // SAFETY: signals are blocked; it is ended below or in `stay`, both in the frame of this function's caller.
                Guard::NotYet => unsafe { room.start() },
            };
            let errno = match started {
                Ok(()) => {
                    room.release();
                    open_gate(gate);
                    stay(program, room, proc, dumpable)
                }
                Err(errno) => errno,
            };
            beside::kill(program, libc::SIGKILL);
            let _ = beside::wait(program);
            errno
        }
        // The kernel's word for a pid namespace whose first process has ended.
        Err(Errno(libc::ENOMEM)) if namespaces.is_empty() => Errno(libc::ESRCH),
        Err(errno) => errno,
    };
    room.end();
    Err(error)
}

/// In which of the two processes this is.
enum Forked {
    Program(Program),
    /// `ids` are pidfds of this one and of the program.
    Proxy {
        program: i32,
        ids: [RawFd; 2],
        gate: RawFd,
    },
}

/// # Safety
/// As [`split`].
unsafe fn fork_program(namespaces: Namespaces) -> Result<Forked, Errno> {
    let proxy = pidfd::own_in_child()?.into_raw_fd();
    let mut gate: [RawFd; 2] = [-1; 2];
    let ends = gate.as_mut_ptr().expose_provenance();
    call(libc::SYS_pipe2, [ends, libc::O_CLOEXEC as usize, 0, 0, 0, 0])?;
    let mut pidfd = -1;
    // Ignored, it would have the kernel reap a program that ends at once.
    let children = signal::exchange_action(libc::SIGCHLD, &[0; 8])?;
    // SAFETY: the copy goes on with what the caller of this function may do in a child.
    match unsafe { fork::fork(u64::from(namespaces.bits()), &mut pidfd) }? {
        0 => {
            let _ = signal::exchange_action(libc::SIGCHLD, &children);
            // Or the gate would never close.
            let _ = call(libc::SYS_close, [gate[1] as usize, 0, 0, 0, 0, 0]);
            Ok(Forked::Program(Program { proxy, gate: gate[0] }))
        }
        program => Ok(Forked::Proxy { program, ids: [proxy, pidfd], gate: gate[1] }),
    }
}

fn open_gate(gate: RawFd) {
    let byte = 0u8;
    let address = (&raw const byte).expose_provenance();
    let _ = call(libc::SYS_write, [gate as usize, address, 1, 0, 0, 0]);
}

impl Program {
    /// From now on it dies with the proxy. Later changes of credentials would undo that; the guard is for those.
    pub(super) fn die_with_proxy(self) -> Result<(), Errno> {
        beside::die_with(libc::SIGKILL)?;
        let mut byte = 0u8;
        let address = (&raw mut byte).expose_provenance();
        let passed = loop {
            match call(libc::SYS_read, [self.gate as usize, address, 1, 0, 0, 0]) {
                Err(Errno(libc::EINTR)) => {}
                read => break read? == 1,
            }
        };
        // The proxy may have died before it could kill this one; its id would say nothing in another pid namespace.
        if !passed || poll::is_readable_now(self.proxy)? {
            beside::exit(1);
        }
        for fd in [self.proxy, self.gate] {
            let _ = call(libc::SYS_close, [fd as usize, 0, 0, 0, 0, 0]);
        }
        Ok(())
    }
}

/// The life of a proxy.
fn stay(program: i32, guard: &Room, proc: RawFd, dumpable: Option<u32>) -> ! {
    // What fails in here makes it a worse proxy, but still one.
    let _ = replay(Op::Dispositions { ignored: signal::Signals::ALL });
    let _ = replay(Op::Chdir(c"/"));
    limit_core_to_nothing();
    if let Some(dumpable @ 0..=1) = dumpable {
        prctl::set_dumpable(dumpable);
    }
    // SAFETY: from here on there are only raw system calls, of the guard too, whose stack is on this one.
    unsafe { discard::discard_all_but_this_stack(proc) };
    let _ = signal::set_mask(&signal::EMPTY);
    // The error pipe of std is among them: the spawn returns after all this.
    let _ = close_range::close_range(0, u32::MAX, false);
    let status = beside::wait(program);
    guard.end();
    match status {
        Ok(status) if libc::WIFEXITED(status) => beside::exit(libc::WEXITSTATUS(status)),
        Ok(status) => die_of(libc::WTERMSIG(status)),
        Err(_) => beside::exit(1),
    }
}

/// By the same signal, without a core dump: that would be the caller's memory, not the program's.
fn die_of(signal: c_int) -> ! {
    prctl::set_dumpable(0);
    beside::kill(beside::getpid(), signal);
    // The first process of a pid namespace does not die so; then as a shell has it.
    beside::exit(128 + signal)
}

fn limit_core_to_nothing() {
    let limit = [0u64; 2];
    let limit = limit.as_ptr().expose_provenance();
    // SAFETY: a limit to read.
    let _ =
        unsafe { syscall(libc::SYS_prlimit64, [0, libc::RLIMIT_CORE as usize, limit, 0, 0, 0]) };
}

fn close_all_but(mut kept: [RawFd; 2]) -> Result<(), Errno> {
    kept.sort_unstable();
    let mut first = 0;
    for fd in kept.map(|fd| fd as u32) {
        if first < fd {
            close_range::close_range(first, fd - 1, false)?;
        }
        first = fd + 1;
    }
    close_range::close_range(first, u32::MAX, false)
}

fn call(number: libc::c_long, args: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: numbers, and addresses of what the functions above have on their frames; the effects on this process, or on the one
    // of a pidfd, are what those are for.
    unsafe { syscall(number, args) }
}
