//! A small process beside the child of std's Command, on its memory and its descriptors, for what that cannot do itself.
//!
//! It lives on a stack in the child's own frame, with all signals blocked, and makes raw system calls only, as `child.rs` has it.

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

use super::super::clone::{Spec, clone};
use super::super::shared::{Shared, state};
use super::super::syscall::{Errno, syscall};
use super::super::{futex, prctl};

const STACK: usize = 32 * 1024;

/// The stack of such a process, and what both sides tell each other.
#[repr(C, align(64))]
pub(super) struct Room {
    stack: UnsafeCell<[u8; STACK]>,
    /// Its state is that of the process.
    shared: Shared,
    /// What the process is told, to be there before it is released: two ids, or two descriptors and an id, and a directory; and its
    /// answer, an errno.
    pub(super) numbers: [AtomicI32; 3],
    pub(super) directory: AtomicI32,
    pub(super) answer: AtomicI32,
    /// The process that it is beside.
    of: AtomicI32,
    task: fn(&Room),
    /// 0 while there is none.
    id: AtomicI32,
}

impl Room {
    pub(super) fn new(task: fn(&Room)) -> Self {
        Self {
            stack: UnsafeCell::new([0; STACK]),
            shared: Shared::default(),
            numbers: [const { AtomicI32::new(-1) }; 3],
            directory: AtomicI32::new(-1),
            answer: AtomicI32::new(libc::EIO),
            of: AtomicI32::new(0),
            task,
            id: AtomicI32::new(0),
        }
    }

    /// Clones the process, which does the task and ends. It goes when this process goes, unless the task changes that.
    ///
    /// # Safety
    /// All signals are blocked, and the room stays where it is until [`end`](Self::end).
    pub(super) unsafe fn start(&self) -> Result<(), Errno> {
        self.of.store(getpid(), SeqCst);
        self.shared.reset();
        let mut spec = Spec::new(false).with(libc::CLONE_FILES as u64);
        spec.stack = self.stack.get().cast::<u8>().wrapping_add(STACK);
        let room = ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the caller's promise; the stack ends where the shared words begin, and is aligned as they are.
        let id = unsafe { clone(&spec, &self.shared, entry, room) }?;
        self.id.store(id, SeqCst);
        Ok(())
    }

    /// Lets it go on with what is in `numbers`, and sleeps until it says that it has taken that, or is gone.
    pub(super) fn release(&self) {
        self.tell(state::RELEASED);
        futex::wait_while(self.shared.state(), state::RELEASED);
    }

    /// For the process: sleeps until it is released. False: it is to end.
    pub(super) fn await_release(&self) -> bool {
        futex::wait_while(self.shared.state(), state::RUNNING) == state::RELEASED
    }

    /// For the process: says that it has taken what it was given.
    pub(super) fn taken(&self) {
        self.tell(state::READY);
    }

    fn tell(&self, word: u32) {
        // Once it is gone the word is the kernel's.
        let now = self.shared.state().load(SeqCst);
        if now != state::GONE
            && self.shared.state().compare_exchange(now, word, SeqCst, SeqCst).is_ok()
        {
            futex::wake(self.shared.state());
        }
    }

    /// Kills it if it still runs, and reaps it.
    pub(super) fn end(&self) {
        let id = self.id.load(SeqCst);
        if id > 0 {
            kill(id, libc::SIGKILL);
            self.reap();
        }
    }

    /// Waits for its end.
    pub(super) fn reap(&self) {
        let id = self.id.swap(0, SeqCst);
        if id > 0 {
            let _ = wait(id);
        }
    }
}

extern "C" fn entry(room: *mut c_void) -> c_int {
    // SAFETY: `start` passed a room that stays; both processes only look at it, but for its atomics.
    let room = unsafe { &*room.cast::<Room>() };
    // 0 is a parent outside the pid namespace that it has entered. An orphan's is somebody else.
    if die_with(libc::SIGKILL).is_ok() && [0, room.of.load(SeqCst)].contains(&getppid()) {
        (room.task)(room);
    }
    exit(0)
}

fn call(number: libc::c_long, args: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: numbers only; the effects on this and other processes are what the functions below are for.
    unsafe { syscall(number, args) }
}

/// prctl(2), `PR_SET_PDEATHSIG`; 0 for none.
pub(super) fn die_with(signal: c_int) -> Result<(), Errno> {
    prctl::prctl(libc::PR_SET_PDEATHSIG, signal as usize).map(drop)
}

pub(super) fn getpid() -> i32 {
    call(libc::SYS_getpid, [0; 6]).unwrap_or(0) as i32
}

fn getppid() -> i32 {
    call(libc::SYS_getppid, [0; 6]).unwrap_or(0) as i32
}

pub(super) fn kill(id: i32, signal: c_int) {
    let _ = call(libc::SYS_kill, [id as usize, signal as usize, 0, 0, 0, 0]);
}

pub(super) fn exit(code: c_int) -> ! {
    loop {
        let _ = call(libc::SYS_exit_group, [code as usize, 0, 0, 0, 0, 0]);
    }
}

/// wait4(2): how that child ended.
pub(super) fn wait(id: i32) -> Result<c_int, Errno> {
    let mut status: c_int = 0;
    let address = (&raw mut status).expose_provenance();
    loop {
        // SAFETY: a word to fill.
        let waited = unsafe {
            syscall(libc::SYS_wait4, [id as usize, address, libc::__WALL as usize, 0, 0, 0])
        };
        match waited {
            Ok(_) => return Ok(status),
            Err(Errno(libc::EINTR)) => {}
            Err(errno) => return Err(errno),
        }
    }
}
