//! The user's own code in a child, and the two functions of the public API that are unsafe to call.
#![deny(unsafe_code)]

use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Command, dumpable};
use crate::sys::child;

pub(super) type Hook = dyn FnMut() -> io::Result<()> + Send + Sync;

/// A function to run in place of a program.
pub(super) struct Function {
    pub(super) run: Box<dyn FnMut() -> i32 + Send + Sync>,
    /// Only in a process with one thread.
    pub(super) checked: bool,
}

/// What a panic leaves as the exit code of a process, as std has it.
const PANICKED: i32 = 101;

impl Command {
    /// Adds a function to run in the child, after all else is set up and just before exec. Its error is the error of the spawn.
    ///
    /// The child is then a copy of the caller's memory, and its cost grows with that. In the function no signal is blocked and
    /// every disposition is the default; what it changes of that the program gets. Descriptors that the function
    /// owns are open there, and closed by exec.
    ///
    /// # Safety
    /// The copy has one thread of the caller's, and any lock may have been held by another: of memory allocation, of standard
    /// output, of the environment. The function must be async-signal-safe: signal-safety(7). So neither may it panic.
    ///
    /// # Errors
    /// At spawn: [`Step::PreExec`](crate::Step::PreExec), with the errno of the function's error, or EINVAL if that has none.
    ///
    /// # References
    /// fork(2), signal-safety(7)
    #[allow(unsafe_code)]
    pub unsafe fn pre_exec<F>(&mut self, f: F) -> &mut Self
    where
        F: FnMut() -> io::Result<()> + Send + Sync + 'static,
    {
        self.hooks.push(Box::new(f));
        self
    }

    /// As [`from_fn`](Self::from_fn), whatever other threads there are.
    ///
    /// # Safety
    /// In a process with other threads the function must be async-signal-safe: it runs in a copy of the memory where any lock may have been
    /// held by one of them, and none of them goes on. That takes in all that allocates or prints.
    ///
    /// # References
    /// clone(2), signal-safety(7)
    #[allow(unsafe_code)]
    pub unsafe fn from_fn_unchecked(f: impl FnMut() -> i32 + Send + Sync + 'static) -> Self {
        Self::with_program("fn".as_ref(), Some(Function { run: Box::new(f), checked: false }))
    }
}

/// The user's code of one spawn, in the form in which a child runs it.
#[derive(Default)]
pub(super) struct Code<'a> {
    pub(super) hooks: Vec<Box<child::Hook<'a>>>,
    pub(super) function: Option<Box<child::Function<'a>>>,
    /// The function may use what other threads could have held a lock of.
    pub(super) alone: bool,
}

impl<'a> Code<'a> {
    pub(super) fn new(hooks: &'a mut [Box<Hook>], function: Option<&'a mut Function>) -> Self {
        let hooks = hooks
            .iter_mut()
            .map(|hook| Box::new(move || run_hook(hook)) as Box<child::Hook<'a>>)
            .collect();
        let alone = function.as_ref().is_some_and(|function| function.checked);
        let function = function
            .map(|function| Box::new(move || run_function(function)) as Box<child::Function<'a>>);
        Self { hooks, function, alone }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hooks.is_empty() && self.function.is_none()
    }
}

fn run_hook(hook: &mut Hook) -> Result<(), i32> {
    match catch_unwind(AssertUnwindSafe(hook)) {
        // As std has it for an error without an errno.
        Ok(result) => result.map_err(|error| error.raw_os_error().unwrap_or(libc::EINVAL)),
        // There is no errno for it; 0 is that of no error.
        Err(_) => Err(0),
    }
}

fn run_function(function: &mut Function) -> i32 {
    dumpable::is_a_copy();
    let code = catch_unwind(AssertUnwindSafe(&mut function.run)).unwrap_or(PANICKED);
    // In a copy of a process with more threads another may have held the lock.
    if function.checked {
        let _ = io::stdout().flush();
    }
    code
}
