//! Spawns: over sets of namespaces, over what the caller carries, with maps, from two threads, and what they allocate.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command as StdCommand;
use std::time::Instant;

use linux_namespaces::{Command, IdRange, Namespaces};

use crate::Scale;
use crate::ballast::{Memory, Pinned, Threads, descriptors as open_descriptors};
use crate::floor::Floor;
use crate::measure::{Way, at_least, compare, find, print, ratio, verdict};
use crate::target::Target;

pub(crate) const NONE: Namespaces = Namespaces::empty();
pub(crate) const USER: Namespaces = Namespaces::USER;
const PID: Namespaces = Namespaces::PID;
const WORLD: Namespaces = USER.union(PID).union(Namespaces::MOUNT);

pub(crate) fn is_root() -> bool {
    // SAFETY: asks for a number.
    unsafe { libc::geteuid() == 0 }
}

/// Who may not create it alone gets it with a user namespace.
fn allowed(set: Namespaces) -> Namespaces {
    if is_root() || set.is_empty() { set } else { set | USER }
}

fn name(set: Namespaces) -> String {
    match set {
        NONE => "none".into(),
        all if all == Namespaces::all() => "all".into(),
        set => set.to_string(),
    }
}

/// The caller's own ids.
fn own() -> [(u32, u32, u32); 1] {
    // SAFETY: asks for a number.
    let uid = unsafe { libc::geteuid() };
    // SAFETY: asks for a number.
    let gid = unsafe { libc::getegid() };
    assert_eq!(uid, gid, "the floor has one text for both maps");
    [(uid, uid, 1)]
}

pub(crate) fn run(command: &mut Command) {
    let status = command.spawn().and_then(|mut child| child.wait());
    assert!(status.as_ref().is_ok_and(|status| status.success()), "{status:?}");
}

fn run_std(command: &mut StdCommand) {
    let status = command.spawn().and_then(|mut child| child.wait());
    assert!(status.as_ref().is_ok_and(|status| status.success()), "{status:?}");
}

fn ours(name: impl Into<String>, program: &Path, set: Namespaces) -> Way<'static> {
    let mut command = Command::new(program);
    command.namespaces(set);
    Way::new(name, move || run(&mut command))
}

fn std_plain(name: impl Into<String>, program: &Path) -> Way<'static> {
    let mut command = StdCommand::new(program);
    Way::new(name, move || run_std(&mut command))
}

/// std's way to namespaces: unshare(2) in a hook. For a new pid namespace the program itself is not in it.
fn std_unshare(name: impl Into<String>, program: &Path, set: Namespaces) -> Way<'static> {
    let mut command = StdCommand::new(program);
    let flags = set.bits() as i32;
    let unshare = move || {
        // SAFETY: takes a number.
        match unsafe { libc::unshare(flags) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: one system call.
    unsafe { command.pre_exec(unshare) };
    Way::new(name, move || run_std(&mut command))
}

fn bare(name: impl Into<String>, program: &Path, set: Namespaces) -> Way<'static> {
    let mut floor = Floor::bare(program, set);
    Way::new(name, move || floor.run())
}

fn same(
    name: impl Into<String>,
    program: &Path,
    set: Namespaces,
    lines: &[(u32, u32, u32)],
) -> Way<'static> {
    let mut floor = Floor::same(program, set, lines);
    Way::new(name, move || floor.run())
}

pub(crate) fn sets(scale: &Scale) {
    let _pinned = Pinned::new();
    let target = Target::new();
    let program = target.path.as_path();
    let sets = [NONE, USER, PID, USER | PID, WORLD, Namespaces::NET, Namespaces::all()];
    for set in sets.map(allowed) {
        let slow = set.intersects(Namespaces::NET | Namespaces::MOUNT);
        let with_maps = set.contains(USER);
        let own = own();
        let lines: &[_] = if with_maps { &own } else { &[] };
        let mut ways = vec![
            bare("bare floor", program, set),
            same("floor with the same calls", program, set, lines),
            ours("this crate", program, set),
            std_plain("std, no namespaces", program),
        ];
        if with_maps {
            ways.push(same("the same, no map", program, set, &[]));
            let mut command = Command::new(program);
            command.namespaces(set).leave_unmapped();
            ways.push(Way::new("this crate, no map", move || run(&mut command)));
        }
        let effort = if slow { scale.long } else { scale.short };
        let mut all = compare(effort, ways);
        // After a fork every page that the caller writes to costs a fault, which the others should not pay for.
        all.extend(compare(effort, vec![std_unshare("std, unshare(2) in a hook", program, set)]));
        // Nothing is kept of a spawn before, and every signal is asked for.
        let (own, others) = (program.to_owned(), program.to_owned());
        all.extend(compare(
            effort,
            vec![
                Way::new("this crate, a new command each time", move || {
                    run(Command::new(&own).namespaces(set));
                }),
                Way::new("std, a new command each time", move || {
                    run_std(&mut StdCommand::new(&others));
                }),
            ],
        ));
        println!("\n-- {}", name(set));
        print(&all);
        verdict(
            "crate / floor with the same calls",
            ratio(&all, "this crate", "floor with the same calls"),
            1.05,
        );
        if set == USER {
            verdict(
                "crate, no map / bare floor",
                ratio(&all, "this crate, no map", "bare floor"),
                1.15,
            );
        } else if set == NONE || set == PID {
            verdict("crate / bare floor", ratio(&all, "this crate", "bare floor"), 1.15);
        }
        let of_std = ratio(&all, "this crate", "std, no namespaces");
        if set == NONE {
            verdict("crate / std", of_std, 0.70);
        } else if set == USER | PID {
            verdict("crate / std without namespaces", of_std, 1.0);
        }
    }
}

/// Every way to spawn that shares the caller's memory; whose time is to depend on nothing that the caller carries.
fn sharing(program: &Path) -> Vec<Way<'static>> {
    let mut ways = vec![
        ours("plain", program, NONE),
        ours("user, default map", program, USER),
        ours("user,pid,mnt", program, WORLD),
    ];
    let mut suspended = Command::new(program);
    suspended.namespaces(allowed(PID));
    ways.push(Way::new("suspended and resumed", move || {
        let status = suspended
            .spawn_suspended()
            .and_then(|waiting| waiting.resume())
            .and_then(|mut child| child.wait());
        assert!(status.as_ref().is_ok_and(|status| status.success()), "{status:?}");
    }));
    if is_root() {
        let mut ranges = Command::new(program);
        ranges.namespaces(USER | PID).uid_map(RANGES).gid_map(RANGES);
        ways.push(Way::new("user,pid, id ranges", move || run(&mut ranges)));
    }
    ways
}

const RANGES: [IdRange; 3] = [
    IdRange { inside: 0, outside: 0, count: 1 },
    IdRange { inside: 1, outside: 100_000, count: 1000 },
    IdRange { inside: 1001, outside: 200_000, count: 64_535 },
];

pub(crate) fn memory(scale: &Scale) {
    let _pinned = Pinned::new();
    let target = Target::new();
    let program = target.path.as_path();
    let mut first = None;
    for &mib in scale.memory {
        let Some(_memory) = Memory::touched(mib) else {
            println!("\n-- {mib} MiB: not measured, there is not so much to be had");
            continue;
        };
        let mut all = compare(scale.long, sharing(program));
        let mut beside = vec![std_plain("std, no namespaces", program)];
        if mib <= 1024 || scale.long.rounds > 1 {
            beside.push(std_unshare("std, unshare(2) in a hook", program, USER));
        }
        let few = crate::measure::Effort { rounds: scale.long.rounds.min(7), repeats: 1 };
        all.extend(compare(few, beside));
        println!("\n-- {mib} MiB touched");
        print(&all);
        match &first {
            None => first = Some(all),
            Some(first) if Some(&mib) == scale.memory.last() => {
                for way in sharing(program) {
                    let grown = find(&all, &way.name).median / find(first, &way.name).median;
                    verdict(&format!("{}, most memory / least", way.name), grown, 1.5);
                }
            }
            Some(_) => {}
        }
    }
}

pub(crate) fn threads(scale: &Scale) {
    let _pinned = Pinned::new();
    let target = Target::new();
    let program = target.path.as_path();
    let mut measured = Vec::new();
    for count in [1, 64] {
        let _threads = Threads::new(count - 1);
        let mut ways = sharing(program);
        ways.push(std_plain("std, no namespaces", program));
        let mut all = compare(scale.long, ways);
        all.extend(compare(
            scale.long,
            vec![std_unshare("std, unshare(2) in a hook", program, USER)],
        ));
        println!("\n-- threads: {count}");
        print(&all);
        measured.push(all);
    }
    for way in sharing(program) {
        let grown = find(&measured[1], &way.name).median / find(&measured[0], &way.name).median;
        verdict(&format!("{}, 64 threads / 1", way.name), grown, 1.1);
    }
}

pub(crate) fn descriptors(scale: &Scale) {
    let _pinned = Pinned::new();
    let target = Target::new();
    let program = target.path.as_path();
    let mut measured = Vec::new();
    for &count in scale.descriptors {
        let Some(_files) = open_descriptors(count) else {
            println!("\n-- {count} descriptors: not measured, the limit is lower");
            return;
        };
        let mut inheriting = Command::new(program);
        inheriting.inherit_fds(true);
        let ways = vec![
            ours("none", program, NONE),
            ours("user", program, USER),
            Way::new("none, inherit_fds(true)", move || run(&mut inheriting)),
            std_plain("std, no namespaces", program),
        ];
        let all = compare(scale.short, ways);
        println!("\n-- descriptors: {count}");
        print(&all);
        measured.push(all);
    }
    for name in ["none", "user"] {
        let grown = find(&measured[1], name).median / find(&measured[0], name).median;
        verdict(&format!("{name}, most descriptors / fewest"), grown, 1.6);
    }
}

pub(crate) fn maps(scale: &Scale) {
    let _pinned = Pinned::new();
    let target = Target::new();
    let program = target.path.as_path();
    let set = USER | PID;
    let mut unmapped = Command::new(program);
    unmapped.namespaces(set).leave_unmapped();
    let mut ways =
        vec![Way::new("no map", move || run(&mut unmapped)), ours("default map", program, set)];
    if is_root() {
        let mut ranges = Command::new(program);
        ranges.namespaces(set).uid_map(RANGES).gid_map(RANGES);
        ways.push(Way::new("id ranges", move || run(&mut ranges)));
        let lines = RANGES.map(|range| (range.inside, range.outside, range.count));
        ways.push(same("floor, id ranges", program, set, &lines));
    }
    let all = compare(scale.short, ways);
    print(&all);
    if is_root() {
        verdict("id ranges / no map", ratio(&all, "id ranges", "no map"), 1.3);
        verdict("id ranges / floor", ratio(&all, "id ranges", "floor, id ranges"), 1.05);
    } else {
        println!("  id ranges: not measured, they need root");
    }
}

/// Spawns per second, from one thread and from two.
pub(crate) fn throughput(scale: &Scale) {
    let target = Target::new();
    let program = target.path.as_path();
    let count = scale.spawns_for_throughput;
    for set in [NONE, USER, PID, WORLD].map(allowed) {
        let per_second = |threads: usize| {
            let start = Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        let mut command = Command::new(program);
                        command.namespaces(set);
                        (0..count).for_each(|_| run(&mut command));
                    });
                }
            });
            (threads * count) as f64 / start.elapsed().as_secs_f64()
        };
        let floor_per_second = |threads: usize| {
            let own = own();
            let lines: &[_] = if set.contains(USER) { &own } else { &[] };
            let start = Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        let mut floor = Floor::same(program, set, lines);
                        (0..count).for_each(|_| floor.run());
                    });
                }
            });
            (threads * count) as f64 / start.elapsed().as_secs_f64()
        };
        let mut figures: Vec<[f64; 4]> = (0..3)
            .map(|_| [per_second(1), per_second(2), floor_per_second(1), floor_per_second(2)])
            .collect();
        figures.sort_by(|one, other| (one[1] / one[0]).total_cmp(&(other[1] / other[0])));
        let [one, two, floor_one, floor_two] = figures[figures.len() / 2];
        println!(
            "  {:<14} crate: one thread {one:>7.0}/s, two {two:>7.0}/s; floor: {floor_one:>7.0}/s, {floor_two:>7.0}/s",
            name(set)
        );
        let scales = floor_two / floor_one;
        at_least(
            &format!("{}, two threads / one (the floor: {scales:.2})", name(set)),
            two / one,
            1.7_f64.min(scales * 0.95),
        );
    }
}

/// What a spawn of a command that was spawned before allocates.
pub(crate) fn allocations(_: &Scale) {
    let target = Target::new();
    for set in [NONE, USER, USER | PID, WORLD].map(allowed) {
        let mut command = Command::new(&target.path);
        command.namespaces(set);
        (0..3).for_each(|_| run(&mut command));
        let (count, bytes) = crate::counted::allocations(|| run(&mut command));
        let (environment, _) = crate::counted::allocations(|| drop(std::env::vars_os()));
        println!(
            "  {:<14} {count} allocations, {bytes} bytes; {environment} of them the environment, copied by std",
            name(set)
        );
    }
}
