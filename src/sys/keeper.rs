//! A thread that is the parent of one program: for `PR_SET_PDEATHSIG`, which is about the parent *thread*.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};

use super::signal::Blocked;

/// It lives until the program has ended, or the whole process has; no signal is ever handled in it.
#[derive(Debug)]
pub(crate) struct Keeper(AssertUnwindSafe<JoinHandle<()>>);

/// What the thread needs: the spawn itself is not done on it.
const STACK: usize = 256 * 1024;

impl Keeper {
    /// Runs `f` on a new thread, and gives what it gives. The thread is all that the calling one is: in namespaces, working directory and
    /// credentials, for a new thread has those of the one that makes it. It stays until the process of `pidfd` has
    /// ended, and has `watch` refer to that.
    pub(crate) fn run<T: Send + 'static>(
        watch: OwnedFd,
        f: impl FnOnce() -> T + Send,
        pidfd: impl FnOnce(&T) -> Option<BorrowedFd<'_>> + Send + 'static,
    ) -> io::Result<(T, Self)> {
        let (done, result) = mpsc::channel();
        let body = move || {
            let value = f();
            let watched = pidfd(&value)
                .is_some_and(|pidfd| super::fcntl::replace(watch.as_fd(), pidfd).is_ok());
            // Whoever asked waits for it.
            let _ = done.send(value);
            drop(done);
            super::stack::empty_pool();
            if watched {
                while super::poll::readable([Some(watch.as_fd())], None)
                    .is_err_and(|error| error.kind() == io::ErrorKind::Interrupted)
                {
                }
            }
        };
        let builder = Builder::new().name("parent-death".to_owned()).stack_size(STACK);
        let blocked = Blocked::all();
        // SAFETY: what `f` borrows is used only until it has returned and is dropped by that; this function goes on only
        // after that has happened: a value comes after it, and without one the thread is joined. `T` borrows nothing.
        let thread = unsafe { builder.spawn_unchecked(body) }?;
        drop(blocked);
        match result.recv() {
            Ok(value) => Ok((value, Self(AssertUnwindSafe(thread)))),
            Err(_) => match thread.join() {
                Err(payload) => panic::resume_unwind(payload),
                Ok(()) => unreachable!("the thread sends before it ends"),
            },
        }
    }

    /// Once the program has ended.
    pub(crate) fn join(self) {
        let Self(AssertUnwindSafe(thread)) = self;
        let _ = thread.join();
    }
}
