//! newuidmap(1) and newgidmap(1): set-user-ID programs that write what /etc/subuid and /etc/subgid allow the user.
//!
//! They take the child's number, so it must stay unreaped meanwhile, and want `/proc/<pid>` to belong to the user who calls them, so its
//! memory, which is the caller's, must be dumpable.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::{env, fs};

use super::super::dumpable::Dumpable;
use super::super::environment::DEFAULT_PATH;
use super::super::spawn;
use super::super::stdio::Default;
use super::{Command, Kind, Maps, Side};
use crate::error::{At as _, Cause, Error, Result, Step};
use crate::{IdRange, sys, text};

/// The most of a helper's text that a message shows.
pub(in crate::command) const SHOWN: usize = 500;

impl Kind {
    pub(super) fn helper(self) -> &'static str {
        match self {
            Self::User => "newuidmap",
            Self::Group => "newgidmap",
        }
    }

    pub(super) fn file(self) -> &'static str {
        match self {
            Self::User => "uid_map",
            Self::Group => "gid_map",
        }
    }
}

impl Side {
    /// Has the helper write it, for the process that /proc shows under this number, after the caller itself was refused.
    pub(super) fn write_by_helper(&self, number: u32, flag: &Dumpable) -> Result<()> {
        let name = self.kind.helper();
        let refused = || {
            Error::new(self.kind.step())
                .on(self.operand())
                .errno(libc::EPERM)
                .caused_by(Cause::MissingCapability)
        };
        // The environment of a set-user-ID program is somebody else's.
        let path = env::var_os("PATH").filter(|_| !sys::passwd::is_set_user_id());
        let path = path.unwrap_or_else(|| DEFAULT_PATH.into());
        let program = find(name, &path).ok_or_else(|| refused().caused_by(Cause::MissingHelper))?;
        let numbers =
            self.ranges.iter().flat_map(|range| [range.inside, range.outside, range.count]);
        let mut command = Command::new(&program);
        command.arg(number.to_string()).args(numbers.map(|number| number.to_string()));
        // Its messages are to be in one language, whatever the caller's.
        command.env_clear().env("PATH", path);
        let ended = flag.raised(|| {
            let child = spawn::spawn(&mut command, Default::CAPTURE)?;
            child.stderr_and_status().at(|| self.kind.step())
        });
        let (text, status) = ended.map_err(|error| match error.raw_os_error() {
            // It says nothing of what the kernel thinks of the map.
            Some(errno @ (libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EAGAIN)) => {
                Error::new(self.kind.step()).on(self.operand()).errno(errno).because(format!(
                    "{name}, which is to write it, could not be run ({}){}",
                    error.step(),
                    error.hint().map_or_else(String::new, |hint| format!(": {hint}"))
                ))
            }
            _ => refused().because(format!("{name} cannot be had for it: {error}")),
        })?;
        let text = one_line(&text);
        let says = if text.is_empty() { String::new() } else { format!(": {text}") };
        if let Some(status) = status.filter(|status| !status.success()) {
            return Err(refused().because(format!(
                "the caller lacks {}, and {} ended with {status}{}{says}",
                self.kind.capability().0,
                program.display(),
                powerlessness(&program).map_or_else(String::new, |why| format!(", {why}"))
            )));
        }
        // It says that it has done so, or its status is lost. What counts is what the kernel has.
        let written = fs::read_to_string(format!("/proc/{number}/{}", self.kind.file()));
        if written.is_ok_and(|written| is_written(&self.ranges, &written)) {
            return Ok(());
        }
        Err(refused().because(format!(
            "the caller lacks {}, and {} has not written that map, though it ended without an error{says}",
            self.kind.capability().0,
            program.display()
        )))
    }
}

/// Whether the text of the map file is this map. The kernel may show the lines in another order.
pub(crate) fn is_written(ranges: &[IdRange], text: &str) -> bool {
    let mut wanted: Vec<[u32; 3]> =
        ranges.iter().map(|range| [range.inside, range.outside, range.count]).collect();
    let lines = text.lines().map(|line| {
        let mut numbers = line.split_ascii_whitespace().map_while(|number| number.parse().ok());
        Some([numbers.next()?, numbers.next()?, numbers.next()?])
    });
    let Some(mut there) = lines.collect::<Option<Vec<[u32; 3]>>>() else { return false };
    wanted.sort_unstable();
    there.sort_unstable();
    wanted == there
}

impl Maps {
    /// newgidmap denies setgroups(2) by rules of its own.
    pub(super) fn check_setgroups(&self, side: &Side, number: u32) -> Result<()> {
        if side.kind != Kind::Group || self.setgroups != Some(true) {
            return Ok(());
        }
        let setgroups = fs::read_to_string(format!("/proc/{number}/setgroups"));
        if setgroups.is_ok_and(|setgroups| setgroups.trim_end() != "deny") {
            return Ok(());
        }
        Err(Error::new(Step::Setgroups).caused_by(Cause::MissingCapability).because(
            "newgidmap denies setgroups(2) for groups that /etc/subgid does not give to the user, and `allow_setgroups(true)` forbids that: \
             map groups from there, or leave it out",
        ))
    }
}

/// Why the program runs with no more rights than the caller's, if it does.
fn powerlessness(program: &Path) -> Option<&'static str> {
    if gains_nothing() {
        return Some("as this process has no_new_privs, under which it gains no privileges");
    }
    let file = fs::metadata(program).ok()?;
    let is_set_user_id = file.permissions().mode() & 0o4000 != 0 && file.uid() == 0;
    if !is_set_user_id && !sys::privileged_file::has_capabilities(program) {
        return Some(
            "as it is neither set-user-ID root nor has file capabilities, so it gains no privileges (install it anew, or set mode 4755)",
        );
    }
    sys::privileged_file::is_on_nosuid(program)
        .then_some("as it is on a mount with nosuid, where it gains no privileges")
}

/// Whether set-user-ID programs run without that: prctl(2), `PR_SET_NO_NEW_PRIVS`.
fn gains_nothing() -> bool {
    let status = text::read("/proc/thread-self/status").unwrap_or_default();
    says_no_new_privs(&status)
}

pub(crate) fn says_no_new_privs(status: &str) -> bool {
    status.lines().any(|line| line.split_ascii_whitespace().eq(["NoNewPrivs:", "1"]))
}

/// In the absolute directories of `path`.
fn find(name: &str, path: &OsStr) -> Option<PathBuf> {
    env::split_paths(path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|file| {
            fs::metadata(file)
                .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        })
}

/// What a helper wrote, in a form for a message of one line.
pub(in crate::command) fn one_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let line: String = lines.join("; ").chars().flat_map(shown).collect();
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// A character as it is if it can be seen.
fn shown(char: char) -> Vec<char> {
    if char.is_control() { char.escape_debug().collect() } else { vec![char] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helpers_say_fits_on_a_line() {
        assert_eq!(one_line(b"newuidmap: no\n"), "newuidmap: no");
        assert_eq!(one_line(b"a\r\n\n  b \x1b[1mc\n"), "a; b \\u{1b}[1mc");
        assert_eq!(one_line(b"\xff"), "\u{fffd}");
        assert_eq!(one_line(&[b'x'; 4000]).chars().count(), SHOWN + 1);
    }

    #[test]
    fn helpers_are_looked_for_in_absolute_directories() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("newuidmap");
        fs::write(&file, "").expect("a file");
        let path = directory.path().as_os_str();
        assert_eq!(find("newuidmap", path), None, "not executable");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("chmod");
        assert_eq!(find("newuidmap", path), Some(file));
        assert_eq!(find("newuidmap", OsStr::new("::.:src")), None);
    }
}
