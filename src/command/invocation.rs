//! What is executed: the program, its arguments and its environment, in the form that execve(2) takes. A command that is spawned again
//! uses what it had the time before, as long as that is still right.
#![forbid(unsafe_code)]

use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use super::Command;
use super::environment::Environment as Settings;
use super::kept::Parts;
use crate::error::{Error, Result};
use crate::sys;
use crate::sys::child::{Addresses, Exec};

/// Texts, and a list of their addresses that ends with null.
#[derive(Debug)]
struct Texts {
    texts: Vec<CString>,
    addresses: Addresses,
}

impl Texts {
    fn new(texts: Vec<CString>) -> Self {
        let addresses = Addresses::of(&texts);
        Self { texts, addresses }
    }

    fn collect<'t>(texts: impl IntoIterator<Item = &'t OsStr>) -> Result<Self> {
        texts.into_iter().map(c_string).collect::<Result<_>>().map(Self::new)
    }
}

/// Text without NUL, which was checked.
pub(super) fn c_string(text: &OsStr) -> Result<CString> {
    CString::new(text.as_bytes())
        .map_err(|_| Error::invalid(format!("{text:?} has a NUL byte in it")))
}

/// Where the program may be, and its arguments.
#[derive(Debug)]
pub(super) struct Program {
    /// The `PATH` that it is looked for in; `None` for one that is not looked for.
    searched: Option<OsString>,
    paths: Texts,
    argv: Texts,
}

/// An environment that was copied.
#[derive(Debug)]
pub(super) struct Environment {
    /// The caller's variables that it was made from.
    from: Vec<(OsString, OsString)>,
    texts: Texts,
}

/// What is executed in one spawn.
#[derive(Debug)]
pub(super) struct Invocation {
    program: Arc<Program>,
    /// `None` for the caller's own, as it is.
    environment: Option<Arc<Environment>>,
}

impl Invocation {
    /// `later`: the caller goes on before it is executed.
    pub(super) fn new(command: &Command, later: bool, kept: &mut Parts) -> Result<Self> {
        Ok(Self {
            program: program(command, &mut kept.program)?,
            environment: environment(command, later, &mut kept.environment)?,
        })
    }

    /// Where the program may be, in the order in which it is looked for.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        let texts = self.program.paths.texts.iter();
        texts.map(|path| Path::new(OsStr::from_bytes(path.to_bytes())))
    }

    /// After hooks it is the environment as they left it, unless the command has one of its own.
    pub(super) fn exec(&self, own_environment: bool) -> Exec<'_> {
        let Program { paths, argv, .. } = &*self.program;
        let paths = paths.addresses.as_slice().get(..paths.texts.len()).unwrap_or_default();
        let envp = self.environment.as_ref().filter(|_| own_environment);
        let envp = envp.map(|environment| environment.texts.addresses.as_slice());
        Exec { paths, argv: argv.addresses.as_slice(), envp }
    }

    /// The environment for a function, if it is not the caller's.
    pub(super) fn addresses(&self) -> Option<&Addresses> {
        self.environment.as_ref().map(|environment| &environment.texts.addresses)
    }
}

fn program(command: &Command, kept: &mut Option<Arc<Program>>) -> Result<Arc<Program>> {
    let name = command.get_program();
    let searched = is_searched(name).then(|| command.environment.path());
    match kept {
        Some(kept) if kept.searched == searched => Ok(Arc::clone(kept)),
        _ => Ok(Arc::clone(kept.insert(new_program(command, searched)?))),
    }
}

#[cold]
#[inline(never)]
fn new_program(command: &Command, searched: Option<OsString>) -> Result<Arc<Program>> {
    let name = command.get_program();
    let paths = candidates(name, searched.as_deref())?;
    let arg0 = command.arg0.as_deref().unwrap_or(name);
    let argv = Texts::collect(std::iter::once(arg0).chain(command.get_args()))?;
    Ok(Arc::new(Program { searched, paths: Texts::new(paths), argv }))
}

/// A copy is made under std's lock, for another thread may change the environment while the child execs. Where there is no other thread, and the
/// caller waits for the exec, nobody can.
fn environment(
    command: &Command,
    later: bool,
    kept: &mut Option<Arc<Environment>>,
) -> Result<Option<Arc<Environment>>> {
    let settings = &command.environment;
    if !settings.is_changed() && !later && sys::single_threaded::is_certain() {
        return Ok(None);
    }
    copy(settings, kept).map(Some)
}

/// The copy that is kept, if it is what would be copied.
#[inline(never)]
fn copy(settings: &Settings, kept: &mut Option<Arc<Environment>>) -> Result<Arc<Environment>> {
    if let Some(kept) = kept {
        let as_before = || {
            let mut now = env::vars_os();
            kept.from.iter().all(|before| now.next().as_ref() == Some(before))
                && now.next().is_none()
        };
        if !settings.takes_callers() || as_before() {
            return Ok(Arc::clone(kept));
        }
    }
    let from: Vec<_> = if settings.takes_callers() { env::vars_os().collect() } else { Vec::new() };
    let entries = settings.entries(&from);
    let texts = Texts::collect(entries.iter().map(|entry| OsStr::from_bytes(entry)))?;
    Ok(Arc::clone(kept.insert(Arc::new(Environment { from, texts }))))
}

/// The longest name of a file.
const NAME_MAX: usize = 255;

/// A name too long for any directory is not looked for either.
pub(super) fn is_searched(program: &OsStr) -> bool {
    let name = program.as_bytes();
    !name.contains(&b'/') && !name.is_empty() && name.len() <= NAME_MAX
}

/// Where execvp(3) would look: the program as it is if it has a slash, or else in every directory of `path`, of
/// which an empty one is the working directory.
pub(super) fn candidates(program: &OsStr, path: Option<&OsStr>) -> Result<Vec<CString>> {
    let Some(path) = path else { return Ok(vec![c_string(program)?]) };
    let directories = path.as_bytes().split(|byte| *byte == b':');
    directories
        .map(|directory| {
            let mut full = directory.to_vec();
            if !full.is_empty() {
                full.push(b'/');
            }
            full.extend_from_slice(program.as_bytes());
            c_string(OsStr::from_bytes(&full))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_for_as_execvp_does() {
        let look = |program: &str, path: &str| {
            let path = is_searched(program.as_ref()).then_some(path.as_ref());
            let found = candidates(program.as_ref(), path).unwrap();
            found.into_iter().map(|path| path.into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(look("ls", "/bin:/usr/bin"), ["/bin/ls", "/usr/bin/ls"]);
        assert_eq!(look("ls", ":/bin:"), ["ls", "/bin/ls", "ls"]);
        assert_eq!(look("./ls", "/bin"), ["./ls"]);
        assert_eq!(look("", "/bin"), [""]);
    }

    #[test]
    fn what_is_kept_is_used_again_until_it_is_changed() {
        let mut command = Command::new("/bin/true");
        command.env("A", "1");
        let first = Invocation::new(&command, true, &mut command.kept.parts()).unwrap();
        let second = Invocation::new(&command, true, &mut command.kept.parts()).unwrap();
        assert!(Arc::ptr_eq(&first.program, &second.program));
        let environments = [first, second].map(|invocation| invocation.environment.unwrap());
        assert!(Arc::ptr_eq(&environments[0], &environments[1]));
        command.arg("x").env("A", "2");
        let third = Invocation::new(&command, true, &mut command.kept.parts()).unwrap();
        assert_eq!(third.program.argv.texts.len(), 2);
        assert!(
            third.environment.unwrap().texts.texts.iter().any(|text| text.as_bytes() == b"A=2")
        );
    }
}
