//! The ways, each as its users write it.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use nix::sched::CloneFlags;
use nix::sys::wait::{WaitStatus, waitpid};

pub(crate) type Set = i32;
pub(crate) const USER: Set = libc::CLONE_NEWUSER;
pub(crate) const PID: Set = libc::CLONE_NEWPID;
pub(crate) const MOUNT: Set = libc::CLONE_NEWNS;
pub(crate) const NET: Set = libc::CLONE_NEWNET;
pub(crate) const KINDS: [(Set, &str); 4] =
    [(USER, "user"), (PID, "pid"), (MOUNT, "mnt"), (NET, "net")];

pub(crate) type Run = Box<dyn FnMut() -> Result<(), String>>;
pub(crate) type Make = fn(&Path, Set) -> Result<Run, String>;

pub(crate) const WAYS: [(&str, Make); 8] = [
    ("this crate", ours),
    ("std", std_plain),
    ("unshare 0.7", unshare_crate),
    ("hakoniwa 1.8", hakoniwa_crate),
    ("nix, clone on a stack", nix_clone),
    ("nix, fork and unshare", nix_fork),
    ("unshare(1)", unshare_program),
    ("bwrap", bwrap),
];

pub(crate) fn names(set: Set) -> String {
    let names: Vec<_> =
        KINDS.iter().filter(|(kind, _)| set & kind != 0).map(|(_, name)| *name).collect();
    if names.is_empty() { "none".into() } else { names.join(",") }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn ended(success: bool) -> Result<(), String> {
    if success { Ok(()) } else { Err("its exit status is not 0".into()) }
}

fn ids() -> (u32, u32) {
    (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw())
}

/// Two system calls, as a hook after fork may make them.
fn new_proc() -> io::Result<()> {
    let (none, proc) = (std::ptr::null(), c"proc".as_ptr());
    // SAFETY: names that end with a zero byte.
    let private = unsafe {
        libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast())
    };
    // SAFETY: as above.
    if private != 0 || unsafe { libc::mount(proc, c"/proc".as_ptr(), proc, 0, none.cast()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn ours(program: &Path, set: Set) -> Result<Run, String> {
    let mut command = linux_namespaces::Command::new(program);
    command.namespaces(linux_namespaces::Namespaces::from_bits_truncate(set as _));
    Ok(Box::new(move || {
        let status = command.spawn().and_then(|mut child| child.wait()).map_err(text)?;
        ended(status.success())
    }))
}

fn of_std(mut command: Command) -> Result<Run, String> {
    Ok(Box::new(move || ended(command.status().map_err(text)?.success())))
}

fn std_plain(program: &Path, set: Set) -> Result<Run, String> {
    let mut command = Command::new(program);
    if set & !(USER | NET) != 0 {
        return Err(
            "unshare(2) in a hook does not move the program itself into a new pid namespace".into(),
        );
    }
    if set != 0 {
        let (uid, gid) = ids();
        let maps = [
            ("uid_map", format!("{uid} {uid} 1")),
            ("setgroups", "deny".into()),
            ("gid_map", format!("{gid} {gid} 1")),
        ];
        let hook = move || {
            // SAFETY: takes a number.
            if unsafe { libc::unshare(set) } != 0 {
                return Err(io::Error::last_os_error());
            }
            maps.iter()
                .try_for_each(|(file, text)| std::fs::write(format!("/proc/self/{file}"), text))
        };
        // SAFETY: this process has one thread, so what the hook allocates is free to be.
        unsafe { command.pre_exec(hook) };
    }
    of_std(command)
}

fn unshare_crate(program: &Path, set: Set) -> Result<Run, String> {
    use unshare::{GidMap, Namespace, UidMap};
    let mut command = unshare::Command::new(program);
    let kinds = [
        (USER, Namespace::User),
        (PID, Namespace::Pid),
        (MOUNT, Namespace::Mount),
        (NET, Namespace::Net),
    ];
    command.unshare(kinds.iter().filter(|(kind, _)| set & kind != 0).map(|(_, name)| name));
    if set & USER != 0 {
        let (uid, gid) = ids();
        command.set_id_maps(
            vec![UidMap { inside_uid: uid, outside_uid: uid, count: 1 }],
            vec![GidMap { inside_gid: gid, outside_gid: gid, count: 1 }],
        );
    }
    if set & MOUNT != 0 {
        // SAFETY: system calls only.
        unsafe { command.pre_exec(new_proc) };
    }
    Ok(Box::new(move || ended(command.status().map_err(text)?.success())))
}

fn hakoniwa_crate(program: &Path, set: Set) -> Result<Run, String> {
    use hakoniwa::{Container, Namespace};
    let mut container = Container::empty();
    let kinds = [(USER, Namespace::User), (PID, Namespace::Pid), (NET, Namespace::Network)];
    for (_, kind) in kinds.into_iter().filter(|(bit, _)| set & bit != 0) {
        container.unshare(kind);
    }
    if set & MOUNT != 0 {
        return Err(
            "a new mount namespace is always with a new root there, which is another job".into()
        );
    }
    if set & USER != 0 {
        let (uid, gid) = ids();
        container.uidmap(uid).gidmap(gid);
    }
    let mut command = container.command(program.to_str().ok_or("its name is not UTF-8")?);
    Ok(Box::new(move || ended(command.status().map_err(text)?.success())))
}

fn nix_clone(program: &Path, set: Set) -> Result<Run, String> {
    if set & USER != 0 {
        return Err("id maps, and a pipe to wait for them, would have to be written by hand".into());
    }
    let program = CString::new(program.as_os_str().as_bytes()).map_err(text)?;
    let mut stack = vec![0; 64 * 1024];
    Ok(Box::new(move || {
        let child = Box::new(|| {
            let Err(error) = nix::unistd::execv(&program, &[&program]);
            error as isize
        });
        // SAFETY: memory is copied, and the child only executes.
        let pid = unsafe {
            nix::sched::clone(
                child,
                &mut stack,
                CloneFlags::from_bits_truncate(set),
                Some(libc::SIGCHLD),
            )
        };
        let status = waitpid(pid.map_err(text)?, None).map_err(text)?;
        ended(matches!(status, WaitStatus::Exited(_, 0)))
    }))
}

/// As it is usually written: the child unshares, maps itself, and forks once more for a pid namespace.
fn nix_fork(program: &Path, set: Set) -> Result<Run, String> {
    use nix::unistd::{ForkResult, fork};
    let program = CString::new(program.as_os_str().as_bytes()).map_err(text)?;
    let (uid, gid) = ids();
    let maps = [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{uid} {uid} 1")),
        ("gid_map", format!("{gid} {gid} 1")),
    ];
    let execute = {
        let program = program.clone();
        move || -> io::Result<()> {
            if set & MOUNT != 0 {
                new_proc()?;
            }
            nix::unistd::execv(&program, &[&program])?;
            Ok(())
        }
    };
    let child = move || -> io::Result<bool> {
        nix::sched::unshare(CloneFlags::from_bits_truncate(set))?;
        if set & USER != 0 {
            for (file, text) in &maps {
                std::fs::write(format!("/proc/self/{file}"), text)?;
            }
        }
        if set & PID == 0 {
            return execute().map(|()| false);
        }
        // SAFETY: this process has one thread.
        match unsafe { fork() }? {
            ForkResult::Child => execute().map(|()| false),
            ForkResult::Parent { child } => {
                Ok(matches!(waitpid(child, None)?, WaitStatus::Exited(_, 0)))
            }
        }
    };
    Ok(Box::new(move || {
        // SAFETY: this process has one thread.
        match unsafe { fork() }.map_err(text)? {
            ForkResult::Child => {
                let code = i32::from(!child().unwrap_or(false));
                // SAFETY: ends the child.
                unsafe { libc::_exit(code) }
            }
            ForkResult::Parent { child } => {
                let status = waitpid(child, None).map_err(text)?;
                ended(matches!(status, WaitStatus::Exited(_, 0)))
            }
        }
    }))
}

fn unshare_program(program: &Path, set: Set) -> Result<Run, String> {
    let mut command = Command::new("unshare");
    let options = [
        (USER, "--map-current-user"),
        (PID, "--pid"),
        (PID, "--fork"),
        (MOUNT, "--mount-proc"),
        (NET, "--net"),
    ];
    command.args(options.iter().filter(|(kind, _)| set & kind != 0).map(|(_, option)| option));
    command.arg("--").arg(program);
    of_std(command)
}

fn bwrap(program: &Path, set: Set) -> Result<Run, String> {
    if set & MOUNT == 0 {
        return Err("it always makes a mount namespace".into());
    }
    let mut command = Command::new("bwrap");
    command
        .args(["--unshare-user", "--unshare-pid", "--bind", "/", "/", "--proc", "/proc", "--"])
        .arg(program);
    of_std(command)
}
