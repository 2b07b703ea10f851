//! set_tid_address(2): the word in which a thread's id is, and which the kernel clears when the thread has ended, as long as somebody else
//! has the memory.

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

use super::syscall::syscall;

/// That of one thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadWord {
    word: NonNull<AtomicI32>,
    id: i32,
}

thread_local! {
    /// The calling thread's, and in which process that was found.
    static OWN: Cell<Option<((u32, u32), ThreadWord)>> = const { Cell::new(None) };
}

impl ThreadWord {
    /// The calling thread's, which is asked for once. `process` tells this process from any that it was copied from. `None`: the kernel does not say
    /// which it is, or libc has another use for it.
    pub(crate) fn own(process: (u32, u32)) -> Option<Self> {
        match OWN.try_with(Cell::get).ok().flatten() {
            Some((of, word)) if of == process && !word.has_ended() => Some(word),
            _ => {
                let word = Self::ask()?;
                let _ = OWN.try_with(|own| own.set(Some((process, word))));
                Some(word)
            }
        }
    }

    fn ask() -> Option<Self> {
        let mut word = ptr::null_mut::<AtomicI32>();
        let address = (&raw mut word).expose_provenance();
        let args = [libc::PR_GET_TID_ADDRESS as usize, address, 0, 0, 0, 0];
        // SAFETY: writes an address to the variable.
        unsafe { syscall(libc::SYS_prctl, args) }.ok()?;
        // SAFETY: asks for a number.
        let id = unsafe { libc::gettid() };
        let own = Self { word: NonNull::new(word)?, id };
        (!own.has_ended()).then_some(own)
    }

    /// Whether the thread has ended. For a process that shares its memory; may run between clone and exec.
    pub(super) fn has_ended(self) -> bool {
        // SAFETY: where the kernel was told to write at the end of the thread. It belongs to what libc keeps of the thread, which only
        // others of its process would free, after its end; they end no thread that waits for a child. If
        // the process is gone, nobody frees anything any more.
        let word = unsafe { self.word.as_ref() };
        word.load(SeqCst) != self.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_a_thread_that_runs_is_its_id() {
        // glibc and the kernels of distributions have it; elsewhere there is nothing to be compared.
        let process = (std::process::id(), 0);
        if let Some(own) = ThreadWord::own(process) {
            assert!(!own.has_ended());
            assert_eq!(ThreadWord::own(process).unwrap().word, own.word);
            let other = std::thread::spawn(move || ThreadWord::own(process).map(|word| word.id));
            assert_ne!(other.join().unwrap(), Some(own.id));
        }
    }
}
