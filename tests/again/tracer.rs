//! What system calls a process and its children make between two marks, by ptrace(2).
//!
//! Between the marks one process runs at a time, until it sleeps, execs or ends: so the lists are the same every time. A child that is cloned
//! while its caller stays awake runs only when the caller sleeps, and a program only when everybody waits for it.

use std::collections::VecDeque;
use std::ffi::{c_int, c_long, c_void};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command as StdCommand;

use crate::names;

/// Made before and after what is to be looked at: nothing else in these tests asks for it.
pub(crate) fn mark() {
    // SAFETY: asks for a number.
    unsafe { libc::syscall(libc::SYS_getppid) };
}

/// One process: what it is, and its calls in order.
#[derive(Debug)]
struct Tracee {
    pid: i32,
    calls: Vec<(c_long, [u64; 6])>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Awake,
    /// Stopped at a call that waits, until programs have ended.
    AboutToSleep,
    /// In a call that waits for another.
    Asleep,
}

#[derive(Default)]
struct Tracer {
    /// Those that were there between the marks: first the caller, then the others as they came.
    tracees: Vec<Tracee>,
    marks: usize,
    /// Whose turn it is.
    active: Option<i32>,
    ready: VecDeque<i32>,
    /// Those that have exec'd, stopped behind that.
    programs: VecDeque<i32>,
}

/// The calls of each process, the caller first.
#[expect(clippy::zombie_processes, reason = "waitpid reaps it, as it does all that are traced")]
pub(crate) fn calls(case: &mut StdCommand) -> Vec<Vec<String>> {
    // SAFETY: one system call.
    unsafe { case.pre_exec(|| request(libc::PTRACE_TRACEME, 0, 0, 0).map(drop)) };
    let child = case.spawn().expect("ptrace(2) is to be had");
    let caller = child.id() as i32;
    let mut tracer = Tracer::default();
    assert_eq!(wait(caller).1 >> 8, libc::SIGTRAP, "it stops at its exec");
    let options = libc::PTRACE_O_TRACESYSGOOD
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_EXITKILL;
    request(libc::PTRACE_SETOPTIONS, caller, 0, options as usize).expect("options");
    tracer.tracees.push(Tracee { pid: caller, calls: Vec::new(), state: State::Awake });
    go_on(caller, 0);
    let status = loop {
        let (pid, status) = wait(-1);
        if libc::WIFSTOPPED(status) {
            tracer.stopped(pid, status);
        } else if pid == caller {
            break status;
        } else {
            tracer.gone(pid);
        }
    };
    assert_eq!(status, 0, "the case ended with {status:#x}");
    assert_eq!(tracer.marks, 2, "marks");
    tracer.tracees.iter().map(|tracee| names::readable(&tracee.calls)).collect()
}

impl Tracer {
    fn is_looking(&self) -> bool {
        self.marks == 1
    }

    fn stopped(&mut self, pid: i32, status: c_int) {
        let signal = libc::WSTOPSIG(status);
        match (signal, status >> 16) {
            (libc::SIGTRAP, libc::PTRACE_EVENT_EXEC) if self.is_looking() => {
                self.programs.push_back(pid);
                self.passes(pid);
            }
            (libc::SIGTRAP, libc::PTRACE_EVENT_EXEC) => {
                request(libc::PTRACE_DETACH, pid, 0, 0).expect("it is stopped");
            }
            (libc::SIGTRAP, libc::PTRACE_EVENT_VFORK) if self.is_looking() => {
                // It sleeps until the child is gone.
                self.sleeps(pid);
            }
            (libc::SIGTRAP, _) => go_on(pid, 0),
            (signal, _) if signal == libc::SIGTRAP | 0x80 => self.at_call(pid),
            // How a new process begins.
            (libc::SIGSTOP, 0) if self.is_looking() && !self.knows(pid) => {
                self.tracees.push(Tracee { pid, calls: Vec::new(), state: State::Awake });
                self.ready.push_back(pid);
                self.next();
            }
            (libc::SIGSTOP, 0) => go_on(pid, 0),
            (signal, _) => go_on(pid, signal),
        }
    }

    fn knows(&self, pid: i32) -> bool {
        self.tracees.iter().any(|tracee| tracee.pid == pid)
    }

    fn at_call(&mut self, pid: i32) {
        let entered = entered(pid);
        if let (true, Some((libc::SYS_getppid, _))) = (self.tracees[0].pid == pid, entered) {
            self.marks += 1;
            self.active = self.is_looking().then_some(pid);
        }
        if !self.is_looking() {
            return go_on(pid, 0);
        }
        let everybody_else_waits = self.ready.is_empty();
        let Some(tracee) = self.tracees.iter_mut().find(|tracee| tracee.pid == pid) else {
            return go_on(pid, 0);
        };
        match entered {
            Some((libc::SYS_getppid, _)) => go_on(pid, 0),
            Some(call) => {
                tracee.calls.push(call);
                match names::sleeps(call) {
                    false => go_on(pid, 0),
                    true => match self.programs.pop_front().filter(|_| everybody_else_waits) {
                        Some(program) => {
                            tracee.state = State::AboutToSleep;
                            self.ready.push_back(pid);
                            self.active = Some(program);
                            request(libc::PTRACE_CONT, program, 0, 0).expect("it is stopped");
                        }
                        None => self.sleeps(pid),
                    },
                }
            }
            None if tracee.state == State::Asleep => {
                tracee.state = State::Awake;
                self.ready.push_back(pid);
                self.next();
            }
            None => go_on(pid, 0),
        }
    }

    fn sleeps(&mut self, pid: i32) {
        if let Some(tracee) = self.tracees.iter_mut().find(|tracee| tracee.pid == pid) {
            tracee.state = State::Asleep;
        }
        go_on(pid, 0);
        self.passes(pid);
    }

    /// It is no more the turn of this one.
    fn passes(&mut self, pid: i32) {
        if self.active == Some(pid) {
            self.active = None;
        }
        self.next();
    }

    fn next(&mut self) {
        if self.active.is_some() {
            return;
        }
        let Some(pid) = self.ready.pop_front() else { return };
        let state = self.tracees.iter().find(|tracee| tracee.pid == pid).map(|it| it.state);
        self.active = Some(pid);
        match state {
            Some(State::AboutToSleep) => self.sleeps(pid),
            _ => go_on(pid, 0),
        }
    }

    fn gone(&mut self, pid: i32) {
        self.ready.retain(|other| *other != pid);
        self.passes(pid);
    }
}

fn request(what: libc::c_uint, pid: i32, address: usize, data: usize) -> io::Result<c_long> {
    // SAFETY: numbers, or an address of the caller's that is large enough for what it asks.
    let result = unsafe { libc::ptrace(what, pid, address as *mut c_void, data as *mut c_void) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// To its next call. One that was killed is told by wait.
fn go_on(pid: i32, signal: c_int) {
    let _ = request(libc::PTRACE_SYSCALL, pid, 0, signal as usize);
}

fn wait(pid: i32) -> (i32, c_int) {
    let mut status = 0;
    // SAFETY: fills the number.
    let pid = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
    assert!(pid > 0, "{}", io::Error::last_os_error());
    (pid, status)
}

/// The call at whose entry it is stopped, and its arguments; `None` behind one.
fn entered(pid: i32) -> Option<(c_long, [u64; 6])> {
    // `struct ptrace_syscall_info`: op, arch, two addresses, and at its entry the number and six arguments.
    let mut info = [0u64; 11];
    let address = (&raw mut info).expose_provenance();
    request(libc::PTRACE_GET_SYSCALL_INFO, pid, size_of_val(&info), address).ok()?;
    let op = info[0].to_ne_bytes()[0];
    let [_, _, _, number, arguments @ ..] = info;
    (op == libc::PTRACE_SYSCALL_INFO_ENTRY).then(|| {
        let [a, b, c, d, e, f, ..] = arguments;
        (number as c_long, [a, b, c, d, e, f])
    })
}
