//! What is refused before any system call is made.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::Command;
use crate::Namespaces;
use crate::error::{Cause, Error, Result};

/// The kernel's `__NEW_UTS_LEN`.
const MAX_NAME: usize = 64;

pub(super) fn validate(command: &Command) -> Result<()> {
    command.namespaces.validate()?;
    let entered = joins(command)?;
    settings_have_namespaces(command, entered)?;
    command.maps.validate(command.credentials.sets_groups())?;
    texts(command)?;
    ids(command)?;
    descriptors(command)?;
    command.mounts.validate()?;
    command.clocks.validate()?;
    command.life.validate(command)?;
    function(command)
}

/// For [`Command::exec`], which moves the calling process itself.
pub(super) fn validate_exec(command: &Command) -> Result<()> {
    if command.function.is_some() {
        return Err(Error::invalid("a function cannot replace the process: use `spawn`"));
    }
    command.life.validate_exec()?;
    let entered = joins(command)?;
    if (command.namespaces | entered).contains(Namespaces::PID) {
        return Err(Error::invalid(
            "a process keeps its pid namespace, so `exec` cannot put the program in another one: use `spawn`",
        ));
    }
    if (command.namespaces & entered).contains(Namespaces::USER) {
        return Err(Error::invalid(
            "`exec` cannot create a user namespace inside one that it enters: use `spawn`, or enter it first",
        ));
    }
    Ok(())
}

/// The kinds that are entered.
fn joins(command: &Command) -> Result<Namespaces> {
    let mut entered = Namespaces::empty();
    for join in &command.joins {
        let kinds = join.kinds;
        kinds.validate()?;
        let twice = entered & kinds;
        if !twice.is_empty() {
            return Err(Error::invalid(format!(
                "two {twice} namespaces are to be entered: a program can be in one of each kind"
            )));
        }
        entered |= kinds;
    }
    let both = (entered & command.namespaces) - (Namespaces::USER | Namespaces::PID);
    if !both.is_empty() {
        return Err(Error::invalid(format!(
            "{both} is both created and entered, and does not nest: leave out one of the two"
        )));
    }
    Ok(entered)
}

/// Refuses a setting that would act on the caller's own world, as nothing separates the program from it: neither a namespace
/// that is created, nor one of those `entered`, which the caller's own are not.
pub(super) fn settings_have_namespaces(command: &Command, entered: Namespaces) -> Result<()> {
    let created = command.namespaces;
    let check = |set: bool, what: &str, needs: Namespaces, has: Namespaces| {
        if !set || has.contains(needs) {
            return Ok(());
        }
        let name = needs.iter_names().next().map_or("", |(name, _)| name);
        Err(Error::invalid(format!(
            "{what}, but not in a namespace of its own: add `Namespaces::{name}`"
        )))
    };
    let any = created | entered;
    let hostname = command.hostname.as_deref().map(|name| format!("the hostname {name:?} is set"));
    check(hostname.is_some(), hostname.as_deref().unwrap_or(""), Namespaces::UTS, any)?;
    let domainname =
        command.domainname.as_deref().map(|name| format!("the domainname {name:?} is set"));
    check(domainname.is_some(), domainname.as_deref().unwrap_or(""), Namespaces::UTS, any)?;
    let lo = command.loopback == Some(true);
    check(lo, "the loopback interface is brought up", Namespaces::NET, any)?;
    for what in command.mounts.need_namespace() {
        check(true, &what, Namespaces::MOUNT, any)?;
    }
    for what in command.clocks.need_namespace() {
        check(true, &what, Namespaces::TIME, any)?;
        if !created.contains(Namespaces::TIME) {
            return Err(Error::invalid(format!(
                "{what}, but the clocks of a time namespace are set before its first process, and this one is entered: \
                 create one, with `Namespaces::TIME`"
            )));
        }
    }
    let maps = command.maps.needs_user();
    check(maps.is_some(), maps.unwrap_or_default(), Namespaces::USER, created)?;
    Ok(())
}

pub(super) fn texts(command: &Command) -> Result<()> {
    let check = |what: &str, text: &OsStr| {
        if text.as_bytes().contains(&0) {
            return Err(Error::invalid(format!(
                "{what} {text:?} has a NUL byte in it, which no text passed to the kernel can have"
            )));
        }
        Ok(())
    };
    check("the program", command.get_program())?;
    if let Some(arg0) = &command.arg0 {
        check("the argument", arg0)?;
    }
    for arg in &command.args {
        check("the argument", arg)?;
    }
    for (key, value) in command.environment.changes() {
        // One that is removed is passed on to nobody.
        let Some(value) = value else { continue };
        check("the environment variable", key)?;
        check("the environment value", value)?;
    }
    if let Some(directory) = &command.directory {
        check("the directory", directory.as_os_str())?;
    }
    for (what, name) in [("hostname", &command.hostname), ("domainname", &command.domainname)] {
        let Some(name) = name else { continue };
        check(&format!("the {what}"), name)?;
        if name.len() > MAX_NAME {
            return Err(Error::invalid(format!(
                "the {what} {name:?} has {} bytes: it may have {MAX_NAME} at most",
                name.len()
            )));
        }
    }
    Ok(())
}

fn ids(command: &Command) -> Result<()> {
    command.credentials.validate()?;
    match command.process_group {
        Some(group) if group < 0 => Err(Error::invalid(format!(
            "{group} is no process group: give the id of one, or 0 for a new one"
        ))),
        _ => Ok(()),
    }
}

fn descriptors(command: &Command) -> Result<()> {
    let streams = [&command.stdin, &command.stdout, &command.stderr];
    let mut taken: Vec<i32> =
        (0..).zip(streams).filter(|(_, stream)| stream.is_some()).map(|(fd, _)| fd).collect();
    for (target, _) in &command.fds {
        if *target < 0 {
            return Err(Error::invalid(format!(
                "{target} is no descriptor number: they are 0 and up"
            )));
        }
        if taken.contains(target) {
            return Err(Error::invalid(format!(
                "two descriptors are passed under the number {target}: only one can be"
            )));
        }
        taken.push(*target);
    }
    Ok(())
}

fn function(command: &Command) -> Result<()> {
    let Some(function) = &command.function else { return Ok(()) };
    if let Some(arg) = command.arg0.iter().chain(&command.args).next() {
        return Err(Error::invalid(format!(
            "a function takes no arguments, and was given {arg:?}: let it capture what it needs"
        )));
    }
    if function.checked && !crate::threads::is_single() {
        return Err(Error::invalid("").caused_by(Cause::Threads).because(
            "a function in a process of its own is safe only if the caller has one thread, and this process has more: \
             spawn it before they are started, run a program, or use the unsafe `from_fn_unchecked`",
        ));
    }
    Ok(())
}
