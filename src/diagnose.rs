//! From an errno to the reason and the remedy: looked up in the caller, after something has failed.
//!
//! [`Facts`] are what the reasons are found in: files, ids, capabilities. Tests give them other ones, so that the settings of
//! systems that the test machine is not are tested too.
#![forbid(unsafe_code)]

use std::fs;
use std::io::Read as _;
use std::path::Path;

use crate::error::{Cause, Error};
use crate::{NamespaceKind, Namespaces, sys, threads};

const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_SETFCAP: u64 = 1 << 31;

/// What reasons are found in.
struct Facts<'a> {
    /// The text of a file, if it can be read.
    file: &'a dyn Fn(&str) -> Option<String>,
    /// Effective user and group id.
    ids: (u32, u32),
    /// Effective capabilities.
    capabilities: u64,
    /// `None` if it cannot be told.
    root_is_a_mount: Option<bool>,
}

/// Runs `look` with the facts of the calling process.
fn with_facts<T>(look: impl FnOnce(&Facts<'_>) -> T) -> T {
    look(&Facts {
        file: &|path| fs::read_to_string(path).ok(),
        ids: sys::process::effective_ids(),
        capabilities: sys::capabilities().effective,
        root_is_a_mount: sys::stat::root_is_a_mount(),
    })
}

fn with_cause(error: Error, find: impl FnOnce(&Facts<'_>, i32) -> Option<Cause>) -> Error {
    let Some(errno) = error.raw_os_error() else { return error };
    match with_facts(|facts| find(facts, errno)) {
        Some(cause) => error.caused_by(cause),
        None => error,
    }
}

/// A clone(2) or unshare(2) of these kinds failed.
pub(crate) fn creating(error: Error, set: Namespaces) -> Error {
    let error = with_cause(error, |facts, errno| facts.creating(errno, set));
    match error.raw_os_error() {
        Some(libc::EAGAIN) => error.because(
            "the limit on processes is reached: that of the user (RLIMIT_NPROC), or of a cgroup (pids.max)",
        ),
        _ => error,
    }
}

/// A setns(2) to these kinds failed.
pub(crate) fn entering(error: Error, set: Namespaces) -> Error {
    let threads = set.intersects(Namespaces::USER | Namespaces::MOUNT) && !threads::is_single();
    let error = with_cause(error, |facts, errno| match errno {
        libc::EPERM => Some(facts.seccomp_or_capability()),
        libc::EINVAL if threads => Some(Cause::Threads),
        libc::EUSERS => Some(Cause::Threads),
        libc::ENOSYS => Some(facts.seccomp_or_kernel()),
        _ => None,
    });
    match error.raw_os_error() {
        Some(libc::EPERM) if error.cause() == Some(&Cause::MissingCapability) => error.because(
            "it takes CAP_SYS_ADMIN over that namespace and in the caller's own user namespace: run as root, \
             or enter the user namespace that owns it as well",
        ),
        Some(libc::EINVAL) if !threads && set.contains(Namespaces::USER) => {
            error.because("a process cannot enter the user namespace that it is in already")
        }
        Some(libc::ESRCH) => error.because("that process has ended"),
        _ => error,
    }
}

/// Writing an id map failed; `own_only` if it maps nothing but the caller's own id.
pub(crate) fn mapping(error: Error, own_only: bool) -> Error {
    let mut lacks_setfcap = false;
    let error = with_cause(error, |facts, errno| match errno {
        libc::EPERM | libc::EACCES if facts.apparmor() => Some(Cause::AppArmor),
        libc::EPERM if own_only => {
            // Since Linux 5.12, lest a file's capabilities be forged.
            lacks_setfcap = facts.ids.0 == 0 && facts.capabilities & CAP_SETFCAP == 0;
            lacks_setfcap.then_some(Cause::MissingCapability)
        }
        libc::EPERM => Some(Cause::MissingCapability),
        _ => None,
    });
    match (error.raw_os_error(), error.cause()) {
        (Some(libc::EPERM), Some(Cause::MissingCapability)) if lacks_setfcap => error.because(
            "mapping user 0 takes CAP_SETFCAP, which this process has given up: keep it, or call `leave_unmapped`",
        ),
        (Some(libc::EPERM), Some(Cause::MissingCapability)) => error.because(
            "ids other than the caller's own may be mapped only with CAP_SETUID (CAP_SETGID for groups) over the \
             namespace around, and only those that are mapped there: run as root, or map the own id alone",
        ),
        (Some(libc::EACCES), None) if sys::prctl::dumpable() != Some(1) => error.because(
            "this process is not dumpable, as after a change of its ids, so the map files of its children belong to root: \
             set prctl(PR_SET_DUMPABLE) to 1, or spawn from a program that was executed under that id",
        ),
        (Some(libc::ENOENT | libc::ESRCH), _) => error.because(
            "it is written below /proc: mount that of the caller's own pid namespace",
        ),
        _ => error,
    }
}

/// Mounting proc failed, in a namespace set that was created with these kinds.
pub(crate) fn mounting_proc(error: Error, created: Namespaces) -> Error {
    let error = with_cause(error, |facts, errno| match errno {
        libc::EPERM if facts.proc_is_masked() => Some(Cause::MaskedProc),
        libc::EPERM | libc::EACCES if facts.apparmor() => Some(Cause::AppArmor),
        libc::EPERM => Some(Cause::MissingCapability),
        _ => None,
    });
    match (error.raw_os_error(), error.cause()) {
        (Some(libc::EPERM), Some(Cause::MissingCapability)) if !created.contains(Namespaces::PID) => error.because(
            "proc shows a pid namespace, and takes CAP_SYS_ADMIN over it: add `Namespaces::PID`, or set `mount_proc(false)`",
        ),
        (Some(libc::ENOENT), _) => {
            error.because("there is no directory for it in the root: make one, or set `mount_proc(false)`")
        }
        _ => error,
    }
}

/// Another set-up step failed, inside namespaces of which these kinds are new.
pub(crate) fn inside(error: Error, created: Namespaces) -> Error {
    with_cause(error, |facts, errno| match errno {
        libc::EPERM | libc::EACCES if facts.apparmor() => Some(Cause::AppArmor),
        // In a user namespace of its own a process has every capability.
        libc::EPERM if created.contains(Namespaces::USER) && facts.seccomp() => {
            Some(Cause::Seccomp)
        }
        libc::EPERM => Some(Cause::MissingCapability),
        libc::ENOSYS => Some(facts.seccomp_or_kernel()),
        _ => None,
    })
}

/// Changing the propagation of all mounts failed.
pub(crate) fn propagation(error: Error) -> Error {
    let error = with_cause(error, |facts, errno| match errno {
        libc::EINVAL if facts.root_is_a_mount == Some(false) => Some(Cause::Chroot),
        libc::EPERM | libc::EACCES if facts.apparmor() => Some(Cause::AppArmor),
        libc::EPERM => Some(Cause::MissingCapability),
        _ => None,
    });
    match error.cause() {
        Some(Cause::Chroot) => error.because(
            "the caller is inside a chroot whose root is no mount point, so its mounts cannot be kept from the host: \
             bind-mount that directory on itself before chroot(2)",
        ),
        _ => error,
    }
}

/// execve(2) failed for `program`, a path as the caller sees it; `None` where it was looked for elsewhere.
pub(crate) fn executing(error: Error, program: Option<&Path>) -> Error {
    let Some(program) = program else { return error };
    match error.raw_os_error() {
        Some(libc::ENOENT) if program.exists() => {
            let interpreter = interpreter(program).filter(|path| !Path::new(path).exists());
            error.because(match interpreter {
                Some(path) => format!("the file is there, but {path}, which its first line names to run it, is not"),
                None => "the file is there, but the loader that runs it (its ELF interpreter) is not".to_owned(),
            })
        }
        Some(libc::EACCES) if program.is_dir() => error.because("it is a directory"),
        Some(libc::EACCES) if program.is_file() => error
            .because("the file is not executable for this user: set its mode with chmod(1), and look for a mount with noexec"),
        Some(libc::ENOEXEC) => error.because(
            "the file is neither a program for this machine nor a script with a first line `#!interpreter`",
        ),
        _ => error,
    }
}

/// What the first line of a script names: `#!/bin/sh -e` gives /bin/sh.
fn interpreter(program: &Path) -> Option<String> {
    let mut start = Vec::new();
    fs::File::open(program).ok()?.take(256).read_to_end(&mut start).ok()?;
    interpreter_in(&start)
}

fn interpreter_in(start: &[u8]) -> Option<String> {
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    String::from_utf8_lossy(line).split_ascii_whitespace().next().map(str::to_owned)
}

impl Facts<'_> {
    fn read(&self, path: &str) -> Option<String> {
        (self.file)(path)
    }

    fn setting(&self, path: &str) -> Option<i64> {
        self.read(path)?.trim().parse().ok()
    }

    fn creating(&self, errno: i32, set: Namespaces) -> Option<Cause> {
        match errno {
            libc::ENOSPC => self.limit(set),
            libc::EPERM | libc::EACCES => self.refused(set),
            libc::EINVAL if set.contains(Namespaces::USER) && !threads::is_single() => {
                Some(Cause::Threads)
            }
            libc::EINVAL if set.kinds().any(|kind| self.read_link_is_missing(kind)) => {
                Some(Cause::Kernel)
            }
            libc::ENOSYS => Some(self.seccomp_or_kernel()),
            _ => None,
        }
    }

    /// Whether this kernel shows no namespace of the kind. Only told where it shows any.
    fn read_link_is_missing(&self, kind: NamespaceKind) -> bool {
        let link =
            |kind: NamespaceKind| fs::symlink_metadata(format!("/proc/self/ns/{kind}")).is_ok();
        !link(kind) && NamespaceKind::ALL.into_iter().any(link)
    }

    /// ENOSPC is two limits: how many, and for two kinds how deep.
    fn limit(&self, set: Namespaces) -> Option<Cause> {
        let limit =
            |kind: NamespaceKind| self.setting(&format!("/proc/sys/user/max_{kind}_namespaces"));
        // One that is as low as this was set so; the kernel's own are in the thousands.
        let low = set.kinds().filter(|kind| limit(*kind).is_some_and(|limit| limit < 100));
        if let Some(kind) = low.min_by_key(|kind| limit(*kind)) {
            return Some(Cause::Limit(kind));
        }
        let nesting = [NamespaceKind::User, NamespaceKind::Pid]
            .into_iter()
            .find(|kind| set.contains(kind.flag()));
        nesting.map(Cause::Nesting).or_else(|| set.kinds().next().map(Cause::Limit))
    }

    /// EPERM. With `USER` in the set it is about user namespaces, otherwise about the rest.
    fn refused(&self, set: Namespaces) -> Option<Cause> {
        let admin = self.capabilities & CAP_SYS_ADMIN != 0;
        if !set.contains(Namespaces::USER) {
            if !admin {
                return Some(Cause::MissingCapability);
            }
            return self.seccomp().then_some(Cause::Seccomp);
        }
        if !admin && self.setting("/proc/sys/kernel/unprivileged_userns_clone") == Some(0) {
            return Some(Cause::UsernsSysctl);
        }
        if self.root_is_a_mount == Some(false) {
            return Some(Cause::Chroot);
        }
        if self.unmapped() {
            return Some(Cause::UnmappedUser);
        }
        if self.apparmor() {
            return Some(Cause::AppArmor);
        }
        if self.seccomp() {
            return Some(Cause::Seccomp);
        }
        // What is left of the kernel's own reasons: a chroot to a mount point looks like any root.
        self.read("/proc/self/status").map(|_| Cause::Chroot)
    }

    fn apparmor(&self) -> bool {
        self.setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1)
    }

    fn seccomp(&self) -> bool {
        let status = self.read("/proc/self/status").unwrap_or_default();
        status.lines().any(|line| line.split_ascii_whitespace().eq(["Seccomp:", "2"]))
    }

    /// For what the caller lacks the right to, unless a filter answers in the kernel's place.
    fn seccomp_or_capability(&self) -> Cause {
        if self.seccomp() && self.capabilities & CAP_SYS_ADMIN != 0 {
            Cause::Seccomp
        } else {
            Cause::MissingCapability
        }
    }

    /// For what the kernel does not know, unless a filter answers in its place.
    fn seccomp_or_kernel(&self) -> Cause {
        if self.seccomp() { Cause::Seccomp } else { Cause::Kernel }
    }

    /// Whether the caller's own user or group has no number in its user namespace.
    fn unmapped(&self) -> bool {
        let lacks = |file: &str, id: u32| self.read(file).is_some_and(|map| !maps(&map, id));
        lacks("/proc/self/uid_map", self.ids.0) || lacks("/proc/self/gid_map", self.ids.1)
    }

    /// Whether something is mounted over parts of /proc, or it shows processes only, or there is none.
    fn proc_is_masked(&self) -> bool {
        let Some(mounts) = self.read("/proc/self/mountinfo") else { return false };
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
}

/// Whether the text of a uid_map gives `id`, of the inside, a number outside.
fn maps(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers =
            line.split_ascii_whitespace().map_while(|number| number.parse::<u64>().ok());
        let (Some(inside), Some(_), Some(count)) = (numbers.next(), numbers.next(), numbers.next())
        else {
            return false;
        };
        (inside..inside.saturating_add(count)).contains(&u64::from(id))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An ordinary user on a machine with these files.
    fn user_with<T>(files: &[(&str, &str)], look: impl FnOnce(&Facts<'_>) -> T) -> T {
        let file = |path: &str| {
            files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())
        };
        look(&Facts {
            file: &file,
            ids: (1000, 1000),
            capabilities: 0,
            root_is_a_mount: Some(true),
        })
    }

    const STATUS: (&str, &str) = ("/proc/self/status", "Name:\tx\nSeccomp:\t0\n");

    #[test]
    fn eperm_for_user_namespaces_has_these_reasons() {
        let cases: [(&[(&str, &str)], Cause); 6] = [
            (&[("/proc/sys/kernel/unprivileged_userns_clone", "0\n")], Cause::UsernsSysctl),
            (&[("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n")], Cause::AppArmor),
            (&[("/proc/self/uid_map", "0 1000 1\n")], Cause::UnmappedUser),
            (&[("/proc/self/gid_map", "0 0 1000\n")], Cause::UnmappedUser),
            (&[("/proc/self/status", "Seccomp:\t2\n")], Cause::Seccomp),
            (&[STATUS, ("/proc/self/uid_map", "0 0 4294967295\n")], Cause::Chroot),
        ];
        for (files, cause) in cases {
            let found = user_with(files, |facts| {
                facts.creating(libc::EPERM, Namespaces::USER | Namespaces::NET)
            });
            assert_eq!(found, Some(cause), "{files:?}");
        }
    }

    #[test]
    fn eperm_for_the_rest_is_the_missing_capability() {
        let found = user_with(&[], |facts| facts.creating(libc::EPERM, Namespaces::NET));
        assert_eq!(found, Some(Cause::MissingCapability));
    }

    #[test]
    fn enospc_is_the_limit_that_is_low_or_the_depth() {
        let user = "/proc/sys/user/max_user_namespaces";
        let net = "/proc/sys/user/max_net_namespaces";
        let both = Namespaces::USER | Namespaces::NET;
        let find = |files: &[(&str, &str)], set| {
            user_with(files, |facts| facts.creating(libc::ENOSPC, set))
        };
        assert_eq!(
            find(&[(user, "0\n"), (net, "9000\n")], both),
            Some(Cause::Limit(NamespaceKind::User))
        );
        assert_eq!(
            find(&[(user, "9000\n"), (net, "0\n")], both),
            Some(Cause::Limit(NamespaceKind::Net))
        );
        assert_eq!(
            find(&[(user, "9000\n"), (net, "9000\n")], both),
            Some(Cause::Nesting(NamespaceKind::User))
        );
        assert_eq!(
            find(&[(net, "9000\n")], Namespaces::NET),
            Some(Cause::Limit(NamespaceKind::Net))
        );
    }

    #[test]
    fn proc_is_masked_by_what_is_mounted_below_it() {
        let masked = |mountinfo: &str| {
            user_with(&[("/proc/self/mountinfo", mountinfo)], |facts| facts.proc_is_masked())
        };
        let whole = "20 1 0:5 / /proc rw,relatime - proc proc rw\n";
        assert!(!masked(whole));
        assert!(!masked(&format!(
            "{whole}30 20 0:9 / /proc/sys/fs/binfmt_misc rw - autofs x rw\n"
        )));
        assert!(masked(&format!("{whole}30 20 0:9 / /proc/kcore rw - tmpfs tmpfs rw\n")));
        assert!(masked("20 1 0:5 / /proc rw,relatime - proc proc rw,subset=pid\n"));
        assert!(masked("20 1 0:5 / / rw,relatime - ext4 /dev/x rw\n"));
    }

    #[test]
    fn the_interpreter_is_in_the_first_line() {
        assert_eq!(interpreter_in(b"#! /usr/bin/env -S x\necho"), Some("/usr/bin/env".into()));
        assert_eq!(interpreter_in(b"\x7fELF"), None);
        assert_eq!(interpreter_in(b"#!\n"), None);
    }

    proptest! {
        #[test]
        fn a_map_covers_what_is_in_its_ranges(first in 0u32..1000, count in 1u32..1000, id in 0u32..3000) {
            let map = format!("{first:>10} {:>10} {count:>10}\n", 7);
            prop_assert_eq!(maps(&map, id), (first..first + count).contains(&id));
        }

        #[test]
        fn no_text_of_these_files_panics(text in ".{0,200}", id in any::<u32>()) {
            let _ = maps(&text, id);
            let _ = interpreter_in(text.as_bytes());
            let _ = user_with(&[("/proc/self/mountinfo", &text), ("/proc/self/status", &text)], |facts| {
                (facts.proc_is_masked(), facts.creating(libc::EPERM, Namespaces::USER), facts.creating(libc::ENOSPC, Namespaces::PID))
            });
        }
    }
}
