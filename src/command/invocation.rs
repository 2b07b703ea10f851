//! What is executed: the program, its arguments and its environment, in the form that execve(2) takes. A command that is spawned again
//! uses what it had the time before, as long as that is still right.
#![forbid(unsafe_code)]

use std::env;
use std::ffi::{CString, OsStr, OsString, c_char};
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
    /// One behind the other, each with its NUL: next to each other they are read fastest.
    bytes: Box<[u8]>,
    addresses: Addresses,
}

impl Texts {
    fn collect<'t>(texts: impl IntoIterator<Item = &'t [u8]>) -> Result<Self> {
        let mut bytes = Vec::new();
        for text in texts {
            if text.contains(&0) {
                return Err(has_nul(OsStr::from_bytes(text)));
            }
            bytes.extend_from_slice(text);
            bytes.push(0);
        }
        let bytes = bytes.into_boxed_slice();
        let addresses = Addresses::of(&bytes);
        Ok(Self { bytes, addresses })
    }

    fn iter(&self) -> impl Iterator<Item = &OsStr> {
        let texts = self.bytes.split_inclusive(|byte| *byte == 0);
        texts.map(|text| OsStr::from_bytes(text.strip_suffix(b"\0").unwrap_or(text)))
    }

    /// Their addresses, without the null.
    fn each(&self) -> &[*const c_char] {
        self.addresses.as_slice().split_last().map_or(&[], |(_, addresses)| addresses)
    }
}

fn has_nul(text: &OsStr) -> Error {
    Error::invalid(format!("{text:?} has a NUL byte in it"))
}

/// Text without NUL, which was checked.
pub(super) fn c_string(text: &OsStr) -> Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| has_nul(text))
}

/// Where the program may be, and its arguments.
#[derive(Debug)]
pub(super) struct Program {
    /// As it was given.
    name: OsString,
    /// The `PATH` that it is looked for in; `None` for one that is not looked for.
    searched: Option<OsString>,
    paths: Texts,
    argv: Texts,
}

/// An environment that was copied.
#[derive(Debug)]
pub(super) struct Environment {
    /// The caller's variables that it was made from, where it was made other than they are.
    from: Option<Texts>,
    texts: Texts,
}

impl Environment {
    /// Whether the caller's variables are what they were then.
    fn is_of_now(&self) -> bool {
        let mut rest = &*self.from.as_ref().unwrap_or(&self.texts).bytes;
        for (key, value) in env::vars_os() {
            let parts = [key.as_bytes(), b"=", value.as_bytes(), b"\0"];
            match parts.iter().try_fold(rest, |rest, part| rest.strip_prefix(*part)) {
                Some(behind) => rest = behind,
                None => return false,
            }
        }
        rest.is_empty()
    }
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

    /// The program, as it was given.
    pub(super) fn name(&self) -> &OsStr {
        &self.program.name
    }

    /// Where the program may be, in the order in which it is looked for.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.program.paths.iter().map(Path::new)
    }

    /// After hooks it is the environment as they left it, unless the command has one of its own.
    pub(super) fn exec(&self, own_environment: bool) -> Exec<'_> {
        let Program { paths, argv, .. } = &*self.program;
        let envp = self.environment.as_ref().filter(|_| own_environment);
        let envp = envp.map(|environment| environment.texts.addresses.as_slice());
        Exec { paths: paths.each(), argv: argv.addresses.as_slice(), envp }
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
    let args = std::iter::once(arg0).chain(command.get_args());
    let argv = Texts::collect(args.map(OsStr::as_bytes))?;
    let paths = Texts::collect(paths.iter().map(|path| path.to_bytes()))?;
    Ok(Arc::new(Program { name: name.to_owned(), searched, paths, argv }))
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
        if !settings.takes_callers() || kept.is_of_now() {
            return Ok(Arc::clone(kept));
        }
    }
    let from: Vec<_> = if settings.takes_callers() { env::vars_os().collect() } else { Vec::new() };
    let collect = |entries: Vec<Vec<u8>>| Texts::collect(entries.iter().map(Vec::as_slice));
    let texts = collect(settings.entries(&from))?;
    let from = match settings.is_changed() {
        true => Some(collect(Settings::default().entries(&from))?),
        false => None,
    };
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
        assert_eq!(third.program.argv.iter().count(), 2);
        assert!(third.environment.unwrap().texts.iter().any(|text| text == "A=2"));
    }
}
