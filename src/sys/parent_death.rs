//! prctl(2), `PR_SET_PDEATHSIG`, without the race that it has by itself. May run between clone and exec.

use std::ffi::c_int;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use super::shared::{Shared, state};
use super::syscall::Errno;
use super::thread_word::ThreadWord;
use super::{child, futex, poll, prctl};

/// How long a parent that does not answer is believed to be about to.
const PATIENCE: u32 = 20;

/// Has the kernel send `signal` when the parent thread ends, and makes sure that it has not ended before.
///
/// Only the parent thread itself can prove that: it waits for the spawn, and answers. A parent id proves nothing in a new pid
/// namespace, and `caller`, a pidfd of the process, is readable a moment after the last chance for the signal.
/// So the answer counts, and the pidfd only ends the wait for one that never comes.
pub(super) fn arm(signal: c_int, caller: RawFd, shared: &Shared) -> Result<(), Errno> {
    prctl::prctl(libc::PR_SET_PDEATHSIG, signal as usize)?;
    let word = shared.state();
    let ask = |from| word.compare_exchange(from, state::ARMED, SeqCst, SeqCst).is_ok();
    if !ask(state::RUNNING) && !ask(state::RELEASED) {
        child::exit(1);
    }
    futex::wake(word);
    await_answer(word, state::ARMED, Watched::Process(caller))?;
    match word.load(SeqCst) {
        state::RELEASED => Ok(()),
        _ => child::exit(1),
    }
}

/// By what a child finds that its caller is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Watched {
    /// By the word of the thread that cloned it, on whose memory it runs.
    Thread(ThreadWord),
    /// By a pidfd of the process; -1 for none.
    Process(RawFd),
}

impl Watched {
    pub(crate) fn descriptor(self) -> Option<RawFd> {
        match self {
            Self::Process(pidfd) if pidfd >= 0 => Some(pidfd),
            _ => None,
        }
    }

    pub(super) fn has_ended(self) -> Result<bool, Errno> {
        match self {
            Self::Thread(word) => Ok(word.has_ended()),
            Self::Process(pidfd) => poll::is_readable_now(pidfd),
        }
    }
}

/// Sleeps until the parent has made something else of `asked`; ends this process if that can never happen.
pub(super) fn await_answer(word: &AtomicU32, asked: u32, caller: Watched) -> Result<(), Errno> {
    while word.load(SeqCst) == asked {
        futex::wait_briefly(word, asked, PATIENCE);
        if word.load(SeqCst) == asked && caller.has_ended()? {
            child::exit(1);
        }
    }
    Ok(())
}
