//! Commands with random settings, of which it is known what comes of them.

use std::collections::BTreeSet;

use linux_namespaces::{
    Capabilities, Command, IdRange, Mount, NamespaceKind, Namespaces, Propagation, Stdio, Step,
    TimeOffset, flags::*,
};

use super::world::{World, null};
use crate::common::with_user;
use crate::numbers::Numbers;

pub(crate) const NOWHERE: &str = "/no/such/thing";
/// Nobody maps it.
const UNMAPPED: u32 = 4711;
const NOBODY: u32 = 65_534;

/// How the command is started, and what is done with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Status,
    Output,
    SpawnAndWait,
    SuspendAndResume,
    SuspendAndDrop,
    DropAndKill,
}

pub(crate) struct Wish {
    pub(crate) command: Command,
    pub(crate) way: Way,
    /// What the program ends with.
    pub(crate) code: i32,
    /// What the command writes.
    pub(crate) writes: &'static str,
    /// Where it is made to fail.
    pub(crate) fails_in: Option<Step>,
}

/// Where a spawn can be made to fail for real. What is missing of [`Step`] takes a filter, as tests/errors has it: that no
/// signal can be set, no_new_privs, a session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Fault {
    NoProgram,
    NoDirectory,
    NoProcessGroup,
    NumberAboveTheLimit,
    NoTarget,
    NoSource,
    NoRoot,
    HookFails,
    LongHostname,
    HostOfTheCaller,
    CgroupRemoved,
    LimitReached,
    ProcessEnded,
    PidNamespaceEnded,
    ClockBelowZero,
    NoGroups,
    NoSuchUid,
    NoSuchGid,
    UidsOfOthers,
    GidsOfOthers,
    NoCapability,
    HostnameOfOthers,
    DomainnameOfOthers,
    LoopbackOfOthers,
    NoRight,
}

pub(crate) const FAULTS: [Fault; 25] = [
    Fault::NoProgram,
    Fault::NoDirectory,
    Fault::NoProcessGroup,
    Fault::NumberAboveTheLimit,
    Fault::NoTarget,
    Fault::NoSource,
    Fault::NoRoot,
    Fault::HookFails,
    Fault::LongHostname,
    Fault::HostOfTheCaller,
    Fault::CgroupRemoved,
    Fault::LimitReached,
    Fault::ProcessEnded,
    Fault::PidNamespaceEnded,
    Fault::ClockBelowZero,
    Fault::NoGroups,
    Fault::NoSuchUid,
    Fault::NoSuchGid,
    Fault::UidsOfOthers,
    Fault::GidsOfOthers,
    Fault::NoCapability,
    Fault::HostnameOfOthers,
    Fault::DomainnameOfOthers,
    Fault::LoopbackOfOthers,
    Fault::NoRight,
];

impl Fault {
    pub(crate) fn can_be_had(self, world: &World) -> bool {
        match self {
            Self::CgroupRemoved => world.group.is_some(),
            Self::PidNamespaceEnded => world.root,
            Self::NoGroups | Self::NoCapability | Self::NoRight => !world.root,
            Self::UidsOfOthers | Self::GidsOfOthers => !world.other_ids,
            _ => true,
        }
    }

    /// Makes a command fail, and says in which step. `None`: it has other settings with which it would fail elsewhere.
    fn make(self, command: &mut Command, settings: &Settings, world: &World) -> Option<Step> {
        let created = settings.created;
        let entered = settings.entered;
        let enters_nothing = entered.is_empty();
        let others = |command: &mut Command, kind: NamespaceKind| {
            let fits = enters_nothing && !created.intersects(kind.flag() | USER | MOUNT | PID);
            fits.then(|| {
                if !world.root {
                    command.enter_process(world.neighbour.pidfd(), USER);
                }
                let namespace = world.neighbour.namespace(kind).expect("its namespace");
                command.enter(&namespace).namespaces(USER);
            })
        };
        Some(match self {
            Self::NoProgram => Step::Exec(NOWHERE.into()),
            Self::NoDirectory => {
                command.current_dir(NOWHERE);
                Step::Chdir(NOWHERE.into())
            }
            Self::NoProcessGroup if !settings.new_session => {
                command.process_group(i32::MAX);
                Step::ProcessGroup
            }
            Self::NumberAboveTheLimit => {
                command.fd(i32::MAX, null());
                Step::Fd(i32::MAX)
            }
            Self::NoTarget if created.contains(MOUNT) => {
                command.mount(Mount::tmpfs(NOWHERE));
                Step::Mount(NOWHERE.into())
            }
            Self::NoSource if created.contains(MOUNT) => {
                command.mount(Mount::bind(NOWHERE, "/mnt"));
                Step::Mount("/mnt".into())
            }
            Self::NoRoot if created.contains(MOUNT) => {
                command.root(NOWHERE);
                Step::PivotRoot(NOWHERE.into())
            }
            Self::HookFails => {
                // SAFETY: makes an error of a number.
                unsafe {
                    command.pre_exec(|| Err(std::io::Error::from_raw_os_error(libc::EBUSY)));
                }
                Step::PreExec
            }
            Self::LongHostname if created.contains(UTS) => {
                command.hostname("x".repeat(65));
                Step::Validate
            }
            Self::HostOfTheCaller if !(created | entered).contains(UTS) => {
                command.hostname("renamed");
                Step::Validate
            }
            Self::CgroupRemoved => {
                let removed = &world.group.as_ref()?.removed;
                command.cgroup(removed.try_clone().expect("a descriptor"));
                Step::Cgroup
            }
            Self::LimitReached if enters_nothing && created == UTS => {
                command.enter_process(world.full.pidfd(), USER);
                Step::Clone(UTS)
            }
            Self::ProcessEnded if enters_nothing && !created.contains(IPC) => {
                command.enter_process(&world.dead, IPC);
                Step::EnterProcess(IPC)
            }
            Self::PidNamespaceEnded if enters_nothing && created.is_empty() => {
                if !world.root {
                    return None;
                }
                command.enter(&world.dead_pid);
                Step::Enter(NamespaceKind::Pid)
            }
            Self::ClockBelowZero if created.contains(TIME) => {
                // What the clock was set ahead by does not count for the kernel, and only the kernel knows.
                let below = world.uptime - world.ahead + 60;
                command.monotonic_offset(TimeOffset::from_secs(-below));
                if world.ahead > 0 { Step::ClockOffset } else { Step::Validate }
            }
            Self::NoGroups if !created.contains(USER) && enters_nothing => {
                command.groups(&[1]);
                Step::Groups
            }
            Self::NoSuchUid if created.contains(USER) && !settings.maps_others => {
                command.uid(UNMAPPED);
                Step::Uid
            }
            Self::NoSuchGid if created.contains(USER) && !settings.maps_others => {
                command.gid(UNMAPPED);
                Step::Gid
            }
            Self::UidsOfOthers if created.contains(USER) && enters_nothing => {
                command.uid_map([IdRange { inside: 0, outside: UNMAPPED, count: 1 }]);
                Step::UidMap
            }
            Self::GidsOfOthers if created.contains(USER) && enters_nothing => {
                command.gid_map([IdRange { inside: 0, outside: UNMAPPED, count: 1 }]);
                Step::GidMap
            }
            Self::NoCapability if !created.contains(USER) && enters_nothing => {
                command.capabilities(Capabilities::SYS_ADMIN);
                Step::Capabilities
            }
            Self::HostnameOfOthers => {
                others(command, NamespaceKind::Uts)?;
                command.hostname("inner");
                Step::Hostname
            }
            Self::DomainnameOfOthers => {
                others(command, NamespaceKind::Uts)?;
                command.domainname("inner");
                Step::Domainname
            }
            Self::LoopbackOfOthers => {
                others(command, NamespaceKind::Net)?;
                command.loopback(true);
                Step::Loopback
            }
            Self::NoRight if enters_nothing && created.is_empty() => {
                command.namespaces(IPC);
                Step::Clone(IPC)
            }
            _ => return None,
        })
    }
}

/// What the later settings depend on.
struct Settings {
    created: Namespaces,
    entered: Namespaces,
    new_session: bool,
    maps_others: bool,
}

/// A third of the wishes fail.
pub(crate) fn wish(numbers: &mut Numbers, world: &World) -> (Wish, Option<Fault>) {
    if !numbers.once_in(3) {
        return (random(numbers, world, None).0, None);
    }
    loop {
        let fault = FAULTS[numbers.next(FAULTS.len() as u64) as usize];
        if !fault.can_be_had(world) {
            continue;
        }
        let (mut wish, settings) = random(numbers, world, Some(fault));
        wish.fails_in = fault.make(&mut wish.command, &settings, world);
        if wish.fails_in.is_some() {
            return (wish, Some(fault));
        }
    }
}

fn random(numbers: &mut Numbers, world: &World, fault: Option<Fault>) -> (Wish, Settings) {
    let chosen = |numbers: &mut Numbers| -> Namespaces {
        let rarity = |kind| match kind {
            // It costs as much as twenty of the others.
            NamespaceKind::Net => 40,
            NamespaceKind::Time | NamespaceKind::Mount => 6,
            _ => 4,
        };
        let kinds = NamespaceKind::ALL.into_iter();
        kinds.filter(|kind| numbers.once_in(rarity(*kind))).collect()
    };
    let mut created = match fault {
        Some(Fault::LimitReached) => UTS,
        Some(Fault::PidNamespaceEnded | Fault::NoRight) => Namespaces::empty(),
        Some(Fault::ClockBelowZero) => chosen(numbers) | TIME,
        Some(Fault::NoTarget | Fault::NoSource | Fault::NoRoot) => chosen(numbers) | MOUNT,
        Some(Fault::NoSuchUid | Fault::NoSuchGid | Fault::UidsOfOthers | Fault::GidsOfOthers) => {
            chosen(numbers) | USER
        }
        Some(Fault::NoGroups | Fault::NoCapability) => Namespaces::empty(),
        _ => chosen(numbers),
    };
    let simple = matches!(fault, Some(Fault::LimitReached | Fault::NoRight));
    let mut entered = Namespaces::empty();
    if !simple && numbers.once_in(6) {
        entered = world.kinds_to_enter();
        created -= entered - USER;
    }
    if !simple && !created.is_empty() && !entered.contains(USER) {
        created = with_user(created);
    }

    let (mut command, code, writes, is_function) = program(numbers, fault, created);
    command.namespaces(created);
    if !entered.is_empty() {
        command.enter_process(world.neighbour.pidfd(), entered);
    }
    let mut settings = Settings { created, entered, new_session: false, maps_others: false };
    if !simple {
        in_namespaces(&mut command, numbers, &mut settings, world);
    }
    as_process(&mut command, numbers, &mut settings, world, fault, is_function);
    let way = if writes.is_empty() {
        match numbers.next(10) {
            0 | 1 => Way::SuspendAndResume,
            2 => Way::SuspendAndDrop,
            3 => Way::DropAndKill,
            4 | 5 => Way::SpawnAndWait,
            _ => Way::Status,
        }
    } else {
        Way::Output
    };
    streams(&mut command, numbers, way);
    (Wish { command, way, code, writes, fails_in: None }, settings)
}

/// Also what it ends with, what it writes, and whether it is a function.
fn program(
    numbers: &mut Numbers,
    fault: Option<Fault>,
    created: Namespaces,
) -> (Command, i32, &'static str, bool) {
    if fault == Some(Fault::NoProgram) {
        return (Command::new(NOWHERE), 0, "", false);
    }
    let plain = !created.contains(TIME) && fault.is_none();
    match numbers.next(16) {
        0 if plain => {
            let code = numbers.next(200) as i32;
            // SAFETY: gives a number.
            (unsafe { Command::from_fn_unchecked(move || code) }, code, "", true)
        }
        1 | 2 => {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", "echo out; echo err >&2; exit 3"]);
            (command, 3, "out\n", false)
        }
        3 | 4 => (Command::new("false"), 1, "", false),
        _ => (Command::new("/bin/true"), 0, "", false),
    }
}

fn in_namespaces(
    command: &mut Command,
    numbers: &mut Numbers,
    settings: &mut Settings,
    world: &World,
) {
    let created = settings.created;
    if created.contains(USER) {
        match numbers.next(4) {
            0 => {
                command.map_root_user();
            }
            1 if world.other_ids && !settings.entered.contains(USER) => {
                let ranges =
                    [0, 1000, 65_534].map(|id| IdRange { inside: id, outside: id, count: 1 });
                command.uid_map(ranges).gid_map(ranges);
            }
            2 if !created.contains(MOUNT) => {
                command.leave_unmapped();
            }
            _ => {}
        }
    }
    if created.contains(UTS) && numbers.once_in(2) {
        command.hostname("soak").domainname("test");
    }
    // An ordinary user may set none while a spawn, this one or another thread's, enters a user namespace: the memory is closed then,
    // and the file is root's.
    let clocks = world.root;
    if created.contains(TIME) && clocks && numbers.once_in(2) {
        command
            .monotonic_offset(TimeOffset::from_secs(1000))
            .boottime_offset(TimeOffset::new(7, 5));
    }
    if created.contains(MOUNT) {
        if numbers.once_in(2) {
            command.mount(Mount::tmpfs("/mnt").no_exec());
        }
        if numbers.once_in(4) {
            command.mount(Mount::bind("/usr/bin", "/mnt").no_suid());
        }
        if numbers.once_in(4) {
            command.propagation(Propagation::Slave);
        }
    }
    if created.contains(PID) && numbers.once_in(3) {
        command.init(true);
    }
}

fn as_process(
    command: &mut Command,
    numbers: &mut Numbers,
    settings: &mut Settings,
    world: &World,
    fault: Option<Fault>,
    is_function: bool,
) {
    if numbers.once_in(8) {
        // SAFETY: does nothing.
        unsafe { command.pre_exec(|| Ok(())) };
    }
    if numbers.once_in(6) {
        settings.new_session = true;
        command.new_session(true);
    } else if numbers.once_in(8) {
        command.process_group(0);
    }
    // It takes a thread for as long as the program lives.
    if !is_function && numbers.once_in(12) {
        command.parent_death_signal(libc::SIGKILL);
    }
    if numbers.once_in(8) {
        command.no_new_privs(true);
    }
    let own_users = settings.created.contains(USER) || settings.entered.contains(USER);
    let of_ids = matches!(fault, Some(Fault::NoSuchUid | Fault::NoSuchGid));
    if world.other_ids && !own_users && !of_ids && numbers.once_in(6) {
        command.uid(NOBODY).gid(NOBODY);
    }
    if let (Some(group), true) = (&world.group, numbers.once_in(10)) {
        if fault != Some(Fault::CgroupRemoved) {
            command.cgroup(std::fs::File::open(&group.path).expect("its directory"));
        }
    }
    if numbers.once_in(4) {
        command.current_dir("/");
    }
    if !is_function && numbers.once_in(4) {
        command.arg("an argument").env("SOAK", "a value").env_remove("LANG");
    }
    let passed: BTreeSet<_> = (0..numbers.next(3)).map(|_| 3 + numbers.next(30) as i32).collect();
    for number in passed {
        command.fd(number, null());
    }
    if numbers.once_in(8) {
        command.inherit_fds(true);
    }
}

fn streams(command: &mut Command, numbers: &mut Numbers, way: Way) {
    match numbers.next(3) {
        0 => command.stdin(Stdio::piped()),
        1 => command.stdin(null()),
        _ => command.stdin(Stdio::null()),
    };
    if way != Way::Output {
        command.stdout(if numbers.once_in(3) { Stdio::piped() } else { Stdio::null() });
        command.stderr(Stdio::null());
    }
    command.kill_on_drop(way == Way::DropAndKill);
}
