//! The ways in which a spawn can go, each of which runs other code between clone and exec.

use linux_namespaces::{Child, Command, CommandExt as _, Error, Step, flags::*};

use crate::common::{processes::holder, with_user};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// The child shares the memory, the caller sleeps in vfork.
    Shared,
    /// The caller is awake and writes the maps.
    Mapped,
    /// Mounts and a name, set by the child.
    SetUp,
    /// A hook, so a copy.
    Copied,
    /// A function, in a copy.
    Function,
    /// A process 1 in front.
    Init,
    /// It waits on the caller's memory while the caller goes on.
    Suspended,
    SuspendedAndDropped,
    /// Helpers before it.
    Entered,
    /// From a thread of its own.
    ParentDeath,
    /// std's Command, with a proxy.
    Std,
}

pub(crate) const MODES: [Mode; 11] = [
    Mode::Shared,
    Mode::Mapped,
    Mode::SetUp,
    Mode::Copied,
    Mode::Function,
    Mode::Init,
    Mode::Suspended,
    Mode::SuspendedAndDropped,
    Mode::Entered,
    Mode::ParentDeath,
    Mode::Std,
];

/// A process with namespaces to be entered.
pub(crate) struct Neighbour(Child);

impl Neighbour {
    pub(crate) fn new() -> Self {
        Self(holder(with_user(PID | UTS)))
    }

    pub(crate) fn end(mut self) {
        self.0.wait().expect("its end");
    }
}

/// What a command of the crate's or of std's says.
#[derive(Debug)]
pub(crate) struct Failure {
    /// std knows none.
    pub(crate) step: Option<Step>,
    pub(crate) errno: Option<i32>,
    pub(crate) message: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let step = Some(error.step().clone());
        Self { step, errno: error.raw_os_error(), message: error.to_string() }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self { step: None, errno: error.raw_os_error(), message: error.to_string() }
    }
}

impl Mode {
    /// Sets a command up as this mode has it; but for [`Function`](Self::Function) and [`Std`](Self::Std).
    pub(crate) fn set(self, command: &mut Command, neighbour: &Neighbour) {
        match self {
            Self::Shared | Self::Function | Self::Std => {}
            Self::Mapped => {
                command.namespaces(USER | UTS).map_root_user();
            }
            Self::SetUp => {
                command.namespaces(with_user(MOUNT | PID | UTS | IPC)).hostname("inner");
            }
            Self::Copied => {
                // SAFETY: it does nothing.
                unsafe { command.pre_exec(|| Ok(())) };
                command.namespaces(with_user(UTS));
            }
            Self::Init => {
                command.namespaces(with_user(PID)).init(true);
            }
            Self::Suspended | Self::SuspendedAndDropped => {
                command.namespaces(with_user(UTS));
            }
            Self::Entered => {
                command.enter_process(neighbour.0.pidfd(), with_user(PID | UTS));
            }
            Self::ParentDeath => {
                command.parent_death_signal(libc::SIGKILL);
            }
        }
    }

    /// Runs the program `sh -c "exit 7"`, or what comes closest, and gives its exit code; `None` for one that was dropped.
    pub(crate) fn run(self, neighbour: &Neighbour) -> Result<Option<i32>, Failure> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exit 7"]);
        if self == Self::Function {
            // SAFETY: it gives a number.
            command = unsafe { Command::from_fn_unchecked(|| 7) };
            command.namespaces(with_user(UTS));
        }
        self.set(&mut command, neighbour);
        match self {
            Self::Suspended => command.spawn_suspended()?.resume()?.wait(),
            Self::SuspendedAndDropped => {
                drop(command.spawn_suspended()?);
                return Ok(None);
            }
            Self::Std => {
                let mut command = std::process::Command::new("/bin/sh");
                command.args(["-c", "exit 7"]).namespaces(with_user(PID));
                return Ok(command.status()?.code());
            }
            _ => command.status(),
        }
        .map(|status| status.code())
        .map_err(Failure::from)
    }

    /// The same, for which nothing is in the way.
    pub(crate) fn works(self, neighbour: &Neighbour) {
        let code =
            self.run(neighbour).unwrap_or_else(|error| panic!("{self:?}: {}", error.message));
        assert_eq!(code, (self != Self::SuspendedAndDropped).then_some(7), "{self:?}");
    }
}
