//! The words that the caller and the processes of a spawn share: where it stands and what failed.
//!
//! Nobody can close them, as they could a pipe. All are atomics: the processes run at the same time.

use std::io;
use std::ops::Deref;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::ptr::{self, NonNull};
use std::sync::atomic::{
    AtomicI32, AtomicU32, Ordering::Relaxed, Ordering::Release, Ordering::SeqCst,
};

use super::signal::Signals;
use super::syscall::Errno;

/// The most processes that one spawn clones, the program's own included, be it behind an init.
pub(crate) const PROCESSES: usize = 5;

/// Where the spawn stands; the value of [`Shared::state`], on which the caller waits.
pub(crate) mod state {
    /// The first process has exec'd or is gone: written by the kernel (`CLONE_CHILD_CLEARTID`).
    pub(crate) const GONE: u32 = 0;
    /// Nobody waits for anybody.
    pub(crate) const RUNNING: u32 = 1;
    /// The child waits for its id maps.
    pub(crate) const WAITING: u32 = 2;
    /// The caller has written them.
    pub(crate) const RELEASED: u32 = 3;
    /// Set up; the caller's function runs, or the init of a program.
    pub(crate) const READY: u32 = 4;
    /// The child wants to know that its parent thread lives.
    pub(crate) const ARMED: u32 = 5;
    /// Set up; the child waits to be resumed.
    pub(crate) const SUSPENDED: u32 = 6;
    /// There will be no id maps: the child ends where it would wait for them.
    pub(crate) const REFUSED: u32 = 7;
}

/// Zeroed memory is a valid value: see `stack.rs`.
#[repr(C, align(16))]
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// For each process in the order of their clones: not 0 while it runs on memory of the caller.
    /// The first one is [`state`](Self::state).
    alive: [AtomicU32; PROCESSES],
    /// Their ids as the process that cloned them sees them, written by the kernel before they run.
    pids: [AtomicI32; PROCESSES],
    /// The program's pidfd in the caller's table, written by the kernel before it runs; -1 before that.
    pub(super) pidfd: AtomicI32,
    /// 1 + the place of the operation being done, and of the one that failed.
    begun: AtomicU32,
    failed: AtomicU32,
    errno: AtomicI32,
    /// A namespace file that [`Op::OpenNamespace`](super::child::Op::OpenNamespace) has opened in the caller's table; -1 before that.
    opened: AtomicI32,
    /// The last clone was made without clone3: the child does itself what that call would have done.
    pub(super) legacy: AtomicU32,
    /// The signals that a child has found to be ignored, 1 to 32, and 33 to 64; and whether it has asked for all.
    ignored: [AtomicU32; 2],
    asked: AtomicU32,
    /// How the program of an init ended, as wait(2) has it, and whether it has.
    ended: AtomicU32,
    status: AtomicI32,
}

impl Shared {
    /// As before any clone, which is what makes it seen.
    pub(crate) fn reset(&self) {
        for word in &self.alive {
            word.store(state::GONE, Relaxed);
        }
        for word in &self.pids {
            word.store(0, Relaxed);
        }
        self.alive[0].store(state::RUNNING, Relaxed);
        self.pidfd.store(-1, Relaxed);
        self.begun.store(0, Relaxed);
        self.failed.store(0, Relaxed);
        self.errno.store(0, Relaxed);
        self.opened.store(-1, Relaxed);
        self.legacy.store(0, Relaxed);
        self.asked.store(0, Relaxed);
        self.ended.store(0, Relaxed);
        self.status.store(0, Relaxed);
    }

    pub(crate) fn state(&self) -> &AtomicU32 {
        &self.alive[0]
    }

    pub(crate) fn alive(&self, process: usize) -> Option<&AtomicU32> {
        self.alive.get(process)
    }

    pub(crate) fn pid(&self, process: usize) -> Option<&AtomicI32> {
        self.pids.get(process)
    }

    /// The number of the program's pidfd, if there is a program, the last of these processes. Its id is written only when its clone cannot
    /// fail any more, while the pidfd may be a number left by a clone that did, or whose caller was killed in it. Only the
    /// older clone writes no id beside a pidfd.
    pub(crate) fn pidfd(&self, last: usize) -> Option<i32> {
        let exists = self.legacy.load(SeqCst) != 0
            || self.pid(last).is_some_and(|pid| pid.load(SeqCst) != 0);
        Some(self.pidfd.load(SeqCst)).filter(|fd| exists && *fd >= 0)
    }

    /// By a child that has asked for all signals.
    pub(super) fn set_ignored(&self, signals: Signals) {
        self.ignored[0].store(signals.0 as u32, SeqCst);
        self.ignored[1].store((signals.0 >> 32) as u32, SeqCst);
        self.asked.store(1, SeqCst);
    }

    pub(crate) fn ignored(&self) -> Option<Signals> {
        let [low, high] = [0, 1].map(|half| u64::from(self.ignored[half].load(SeqCst)));
        (self.asked.load(SeqCst) != 0).then_some(Signals(low | high << 32))
    }

    pub(super) fn set_opened(&self, fd: i32) {
        self.opened.store(fd, SeqCst);
    }

    /// The number of the namespace file, once: whoever asks has to close it.
    pub(crate) fn take_opened(&self) -> Option<i32> {
        Some(self.opened.swap(-1, SeqCst)).filter(|fd| *fd >= 0)
    }

    /// Told by the init of a program. May run between clone and exec.
    pub(super) fn set_status(&self, status: i32) {
        self.status.store(status, SeqCst);
        self.ended.store(1, SeqCst);
    }

    /// How the program of an init ended, if it has.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        let ended = self.ended.load(SeqCst) != 0;
        ended.then(|| ExitStatus::from_raw(self.status.load(SeqCst)))
    }

    pub(super) fn begin(&self, operation: usize) {
        // Read when the kernel has told that the process is gone, or waits.
        self.begun.store(operation as u32 + 1, Release);
    }

    pub(super) fn fail(&self, operation: usize, errno: Errno) {
        self.errno.store(errno.0, SeqCst);
        self.failed.store(operation as u32 + 1, SeqCst);
    }

    /// The place of the last operation that was begun.
    pub(crate) fn begun(&self) -> Option<usize> {
        (self.begun.load(SeqCst) as usize).checked_sub(1)
    }

    /// The place of the operation that failed, and its errno.
    pub(crate) fn failure(&self) -> Option<(usize, i32)> {
        let operation = (self.failed.load(SeqCst) as usize).checked_sub(1)?;
        Some((operation, self.errno.load(SeqCst)))
    }
}

/// The words on a page of their own, for children that only get a copy of the rest of the memory.
#[derive(Debug)]
pub(crate) struct SharedPage(NonNull<Shared>);

// SAFETY: it owns a mapping of the process, made of atomics.
unsafe impl Send for SharedPage {}
// SAFETY: as above; shared references give out only atomics.
unsafe impl Sync for SharedPage {}

impl SharedPage {
    pub(crate) fn map() -> io::Result<Self> {
        // SAFETY: a new anonymous mapping, of an address that the kernel chooses, disturbs nothing.
        let page = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size_of::<Shared>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(NonNull::new(page.cast()).expect("mmap never maps at 0 unasked")))
    }
}

impl Deref for SharedPage {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        // SAFETY: a page is aligned and larger than `Shared`, zeroed pages are a valid one, and it lives as long as `self`.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours; the children have mappings of their own.
        unsafe { libc::munmap(self.0.as_ptr().cast(), size_of::<Shared>()) };
    }
}
