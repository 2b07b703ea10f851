//! Why a map, a mount or an exec was refused.
#![forbid(unsafe_code)]

use std::path::Path;

use super::apparmor::apparmor;
use super::causes::{CAP_SETFCAP, CAP_SETUID, Reason};
use super::facts::{Facts, What};
use super::hints;
use crate::Namespaces;
use crate::error::Cause;

/// What an id map that was refused would have mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mapped {
    /// Nothing but the caller's own id.
    pub(crate) own_only: bool,
    /// User 0 of the caller's namespace among others, or alone.
    pub(crate) root: bool,
}

/// Writing an id map failed.
pub(super) fn mapping(facts: &dyn Facts, errno: i32, mapped: Mapped) -> Option<Reason> {
    if let Some(reason) = apparmor(facts, errno) {
        return Some(reason);
    }
    match errno {
        // Since Linux 5.12, lest a file's capabilities be forged. Ids of others are refused for want of another capability first.
        libc::EPERM
            if mapped.root
                && !facts.has(CAP_SETFCAP)
                && (mapped.own_only || facts.has(CAP_SETUID)) =>
        {
            Some(Reason::hinting(Cause::MissingCapability, hints::MAPPING_ROOT))
        }
        libc::EPERM if mapped.own_only => None,
        libc::EPERM => Some(Reason::hinting(Cause::MissingCapability, hints::MAPPING_OTHERS)),
        libc::EACCES if facts.dumpable() != Some(1) => Some(Cause::NotDumpable.into()),
        libc::ENOENT | libc::ESRCH => Some(Cause::MissingProc.into()),
        _ => None,
    }
}

/// Mounting proc failed, in a namespace set that was created with these kinds.
pub(super) fn mounting_proc(facts: &dyn Facts, errno: i32, created: Namespaces) -> Option<Reason> {
    match errno {
        libc::EPERM if proc_is_masked(facts) => Some(Cause::MaskedProc.into()),
        libc::ENOENT => Some(Reason::unnamed(hints::NO_DIRECTORY_FOR_PROC)),
        _ => match apparmor(facts, errno) {
            Some(reason) => Some(reason),
            None if errno != libc::EPERM => None,
            // Who could create the mount namespace has every capability over it.
            None if created.contains(Namespaces::PID) && facts.is_filtered() => {
                Some(Cause::Seccomp.into())
            }
            None if created.contains(Namespaces::PID) => Some(Cause::MissingCapability.into()),
            None => Some(Reason::hinting(Cause::MissingCapability, hints::PROC_SHOWS_PIDS)),
        },
    }
}

/// Changing the propagation of all mounts failed.
pub(super) fn propagation(facts: &dyn Facts, errno: i32) -> Option<Reason> {
    match errno {
        libc::EINVAL if facts.root_is_a_mount() == Some(false) => {
            Some(Reason::hinting(Cause::Chroot, hints::MOUNTS_IN_CHROOT))
        }
        libc::EPERM => Some(match apparmor(facts, errno) {
            Some(reason) => reason,
            // Who could create the mount namespace has every capability over it.
            None if facts.is_filtered() => Cause::Seccomp.into(),
            None => Cause::MissingCapability.into(),
        }),
        _ => apparmor(facts, errno),
    }
}

/// Whether something is mounted over parts of /proc, or it shows processes only, or there is none.
fn proc_is_masked(facts: &dyn Facts) -> bool {
    facts.file("/proc/self/mountinfo").is_some_and(|mounts| masks_proc(&mounts))
}

pub(crate) fn masks_proc(mounts: &str) -> bool {
    let mut whole = false;
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        let target = fields.nth(4).unwrap_or_default();
        let mut kind = line.split(" - ").nth(1).unwrap_or_default().split(' ');
        if kind.next() == Some("proc")
            && line.split(' ').nth(3) == Some("/")
            && !line.contains("subset=pid")
        {
            whole = true;
        }
        if target.starts_with("/proc/") && target != "/proc/sys/fs/binfmt_misc" {
            return true;
        }
    }
    !whole
}

/// execve(2) failed for `program`, a path as the caller sees it.
pub(super) fn executing(facts: &dyn Facts, errno: i32, program: &Path) -> Option<Reason> {
    let what = facts.what(program);
    let hint = match (errno, what) {
        (libc::ENOENT, Some(_)) => {
            let interpreter = facts.start(program).and_then(|start| interpreter_in(&start));
            match interpreter.filter(|path| facts.what(Path::new(path)).is_none()) {
                Some(path) => hints::no_interpreter(&path),
                None => hints::NO_LOADER.to_owned(),
            }
        }
        (libc::EACCES, Some(What::Directory)) => "it is a directory".to_owned(),
        (libc::EACCES, Some(What::File)) => hints::NOT_EXECUTABLE.to_owned(),
        (libc::ENOEXEC, _) => hints::NO_PROGRAM.to_owned(),
        _ => return None,
    };
    Some(Reason::unnamed(hint))
}

/// What the first line of a script names: `#!/bin/sh -e` gives /bin/sh.
pub(super) fn interpreter_in(start: &[u8]) -> Option<String> {
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    String::from_utf8_lossy(line).split_ascii_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::given::Given;
    use super::*;
    use proptest::prelude::*;

    const SWITCH: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";

    fn cause(reason: Option<Reason>) -> Option<Cause> {
        reason.and_then(|reason| reason.cause)
    }

    #[test]
    fn maps_are_refused_for_these_reasons() {
        let ubuntu = Given::user().file(SWITCH, "1\n");
        let own = Mapped { own_only: true, root: false };
        for errno in [libc::EPERM, libc::EACCES] {
            assert_eq!(cause(mapping(&ubuntu, errno, own)), Some(Cause::AppArmor));
        }
        let ranges = Mapped { own_only: false, root: false };
        let others = mapping(&Given::user(), libc::EPERM, ranges).expect("a reason");
        assert_eq!(others.cause, Some(Cause::MissingCapability));
        assert!(others.hint.contains("CAP_SETUID") && others.hint.contains("own id alone"));
        assert_eq!(mapping(&Given::user(), libc::EPERM, own), None);
        let without = Given { capabilities: !CAP_SETFCAP, ..Given::root() };
        for own_only in [true, false] {
            let hint = |facts: &Given, root| {
                let reason = mapping(facts, libc::EPERM, Mapped { own_only, root });
                reason.map_or(String::new(), |reason| reason.hint)
            };
            assert!(hint(&without, true).contains("CAP_SETFCAP"), "{}", hint(&without, true));
            assert!(!hint(&without, false).contains("CAP_SETFCAP"), "no file is root's there");
            assert!(!hint(&Given::root(), true).contains("CAP_SETFCAP"), "it is there");
        }
        // An ordinary user lacks more than that.
        let root = Mapped { own_only: false, root: true };
        let user = mapping(&Given::user(), libc::EPERM, root).expect("a reason");
        assert!(user.hint.contains("CAP_SETUID"), "{}", user.hint);
        let closed = Given { dumpable: Some(0), ..Given::user() };
        let closed = mapping(&closed, libc::EACCES, own).expect("a reason");
        assert_eq!(closed.cause, Some(Cause::NotDumpable));
        assert!(closed.hint.contains("PR_SET_DUMPABLE"), "{}", closed.hint);
        assert_eq!(mapping(&Given::user(), libc::EACCES, own), None);
        for errno in [libc::ENOENT, libc::ESRCH] {
            assert_eq!(cause(mapping(&Given::user(), errno, own)), Some(Cause::MissingProc));
        }
    }

    #[test]
    fn proc_is_refused_for_these_reasons() {
        let set = Namespaces::PID | Namespaces::MOUNT | Namespaces::USER;
        let docker = Given::user().in_a_container();
        let reason = mounting_proc(&docker, libc::EPERM, set).expect("a reason");
        assert_eq!(reason.cause, Some(Cause::MaskedProc));
        assert!(reason.hint.contains("`mount_proc(false)`"), "{}", reason.hint);
        let ubuntu = Given::user().file(SWITCH, "1\n");
        for errno in [libc::EPERM, libc::EACCES] {
            assert_eq!(cause(mounting_proc(&ubuntu, errno, set)), Some(Cause::AppArmor));
        }
        let whole = Given::user().file("/proc/self/mountinfo", WHOLE);
        let lacks = mounting_proc(&whole, libc::EPERM, set - Namespaces::PID).expect("a reason");
        assert!(lacks.hint.contains("add `Namespaces::PID`"), "{}", lacks.hint);
        assert_eq!(cause(mounting_proc(&whole, libc::EPERM, set)), Some(Cause::MissingCapability));
        let no_directory = mounting_proc(&whole, libc::ENOENT, set).expect("a reason");
        assert!(no_directory.hint.contains("make one"));
        assert_eq!(mounting_proc(&whole, libc::EBUSY, set), None);
    }

    #[test]
    fn propagation_takes_a_mount_at_the_root() {
        let chroot = Given { root_is_a_mount: Some(false), ..Given::root() };
        let reason = propagation(&chroot, libc::EINVAL).expect("a reason");
        assert_eq!(reason.cause, Some(Cause::Chroot));
        assert!(reason.hint.contains("bind-mount"), "{}", reason.hint);
        assert_eq!(propagation(&Given::root(), libc::EINVAL), None);
        let lacks = cause(propagation(&Given::user(), libc::EPERM));
        assert_eq!(lacks, Some(Cause::MissingCapability));
        let ubuntu = Given::user().file(SWITCH, "1\n");
        assert_eq!(cause(propagation(&ubuntu, libc::EACCES)), Some(Cause::AppArmor));
    }

    const WHOLE: &str = "20 1 0:5 / /proc rw,relatime - proc proc rw\n";

    #[test]
    fn proc_is_masked_by_what_is_mounted_below_it() {
        let masked =
            |mounts: &str| proc_is_masked(&Given::user().file("/proc/self/mountinfo", mounts));
        assert!(!masked(WHOLE));
        assert!(!masked(&format!(
            "{WHOLE}30 20 0:9 / /proc/sys/fs/binfmt_misc rw - autofs x rw\n"
        )));
        assert!(masked(&format!("{WHOLE}30 20 0:9 / /proc/kcore rw - tmpfs tmpfs rw\n")));
        assert!(masked("20 1 0:5 / /proc rw,relatime - proc proc rw,subset=pid\n"));
        assert!(masked("20 1 0:5 / / rw,relatime - ext4 /dev/x rw\n"));
    }

    #[test]
    fn a_program_does_not_run_for_these_reasons() {
        let hint = |errno, facts: &Given, program: &str| {
            executing(facts, errno, Path::new(program)).map(|reason| reason.hint)
        };
        let machine = Given::user().file("/s", "#!/no/shell -e\n").file("/elf", "\x7fELF");
        let script = hint(libc::ENOENT, &machine, "/s").expect("a hint");
        assert!(script.contains("/no/shell"), "{script}");
        assert_eq!(hint(libc::ENOENT, &machine, "/elf").as_deref(), Some(hints::NO_LOADER));
        let there = machine.clone().file("/no/shell", "");
        assert_eq!(hint(libc::ENOENT, &there, "/s").as_deref(), Some(hints::NO_LOADER));
        assert_eq!(hint(libc::ENOENT, &machine, "/none"), None);
        assert_eq!(hint(libc::EACCES, &machine, "/dir/").as_deref(), Some("it is a directory"));
        assert_eq!(hint(libc::EACCES, &machine, "/s").as_deref(), Some(hints::NOT_EXECUTABLE));
        assert_eq!(hint(libc::ENOEXEC, &machine, "/s").as_deref(), Some(hints::NO_PROGRAM));
    }

    #[test]
    fn the_interpreter_is_in_the_first_line() {
        assert_eq!(interpreter_in(b"#! /usr/bin/env -S x\necho"), Some("/usr/bin/env".into()));
        assert_eq!(interpreter_in(b"\x7fELF"), None);
        assert_eq!(interpreter_in(b"#!\n"), None);
    }

    proptest! {
        #![proptest_config(crate::cases::config())]

        #[test]
        fn no_text_of_these_files_panics(text in ".{0,200}") {
            let _ = interpreter_in(text.as_bytes());
            let _ = proc_is_masked(&Given::user().file("/proc/self/mountinfo", &text));
        }
    }
}
