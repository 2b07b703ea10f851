//! A scan of the host beside a bare loop that makes the same reads, and beside `lsns`, at 100, 1,000 and 10,000 processes.
//!
//! ```text
//! cargo bench --bench inventory
//! cargo bench --bench inventory -- 100 500    # at other numbers
//! ```
//!
//! All runs in pid and mount namespaces of its own, so it counts its own processes only, and they end with it. Of a hundred processes
//! three keep a namespace that nobody is in, by a descriptor, a socket and a bind mount; all but lsns look for those. The ways take turns;
//! what is printed are medians. Without `--bench`, as in `cargo test --benches`, it only shows that all of it works.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::hint::black_box;
use std::process::{Command as StdCommand, ExitCode, Stdio as StdStdio};
use std::time::{Duration, Instant};

use linux_namespaces::{Command, Inventory, Namespaces};

mod bare;
mod population;

use population::Population;

fn main() -> ExitCode {
    if std::env::var_os("LINUX_NAMESPACES_BENCH_INSIDE").is_some() {
        inside(&std::env::args().skip(1).collect::<Vec<_>>());
        return ExitCode::SUCCESS;
    }
    let mut again = Command::new(std::env::current_exe().expect("the path of this program"));
    again.args(std::env::args_os().skip(1)).env("LINUX_NAMESPACES_BENCH_INSIDE", "1");
    again.namespaces(Namespaces::PID | Namespaces::MOUNT);
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } != 0 {
        again.namespaces(Namespaces::USER).map_root_user();
    }
    match again.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => {
            eprintln!("inventory: {status}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("inventory: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One way to look at the host, how long it took each time, and how much of that the processors worked for it.
struct Way {
    name: &'static str,
    run: fn(),
    times: Vec<Duration>,
    work: Vec<Duration>,
}

impl Way {
    fn new(name: &'static str, run: fn()) -> Self {
        Self { name, run, times: Vec::new(), work: Vec::new() }
    }

    fn take_turn(&mut self) {
        let (start, worked) = (Instant::now(), worked());
        (self.run)();
        self.times.push(start.elapsed());
        self.work.push(self::worked() - worked);
    }

    /// In microseconds: time, and work.
    fn medians(&mut self) -> [f64; 2] {
        [&mut self.times, &mut self.work].map(|all| {
            all.sort_unstable();
            all[all.len() / 2].as_secs_f64() * 1e6
        })
    }
}

/// The processor time of this process, and of those that it has waited for.
fn worked() -> Duration {
    let of = |who| {
        // SAFETY: plain integers.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: a `rusage` to fill.
        unsafe { libc::getrusage(who, &raw mut usage) };
        let time = |time: libc::timeval| {
            Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
        };
        time(usage.ru_utime) + time(usage.ru_stime)
    };
    of(libc::RUSAGE_SELF) + of(libc::RUSAGE_CHILDREN)
}

fn inside(arguments: &[String]) {
    let measure = arguments.iter().any(|argument| argument == "--bench");
    let mut steps: Vec<usize> = arguments.iter().filter_map(|one| one.parse().ok()).collect();
    if steps.is_empty() {
        steps = if measure { vec![100, 1_000, 10_000] } else { vec![30] };
    }
    let rounds = if measure { 5 } else { 1 };
    let mut ways = vec![
        Way::new("scan", scan),
        Way::new("scan, one cpu", || on_one_cpu(scan)),
        Way::new("bare loop", || assert!(bare::run() > 0)),
    ];
    if StdCommand::new("lsns").stdout(StdStdio::null()).status().is_ok_and(|end| end.success()) {
        ways.push(Way::new("lsns", || drop(lsns())));
    }
    let directory = std::path::PathBuf::from("/dev/shm");
    mount_tmpfs(&directory);
    let mut population = Population::new(directory);
    println!("microseconds per process, medians of {rounds}: time (work of all processors)");
    for processes in steps {
        population.grow(processes);
        println!("{processes} processes");
        who_sees_what(&population, ways.len() > 3);
        for way in &mut ways {
            (way.run)();
            way.times.clear();
            way.work.clear();
        }
        for round in 0..rounds {
            // Nobody is always the first, or always after the same other.
            let mut order: Vec<usize> =
                (0..ways.len()).map(|at| (at + round) % ways.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for at in order {
                ways[at].take_turn();
            }
        }
        let medians: Vec<[f64; 2]> = ways.iter_mut().map(Way::medians).collect();
        for (way, [time, work]) in ways.iter().zip(&medians) {
            let [time, work] = [time, work].map(|all| all / processes as f64);
            println!("  {:<28}{time:>8.1} ({work:.1})", way.name);
        }
        let ratio = |name: &str, of: usize, to: usize| {
            let [time, work] = [0, 1].map(|at| medians[of][at] / medians[to][at]);
            println!("  {name:<28}{time:>8.2} ({work:.2})");
        };
        ratio("scan / bare loop", 0, 2);
        ratio("scan, one cpu / bare loop", 1, 2);
        if ways.len() > 3 {
            ratio("scan / lsns", 0, 3);
            ratio("scan, one cpu / lsns", 1, 3);
        }
    }
}

/// That all look at the same, and what lsns leaves out.
fn who_sees_what(population: &Population, with_lsns: bool) {
    let inventory = Inventory::scan().expect("a scan");
    let seen: BTreeSet<u64> = inventory.namespaces().map(|info| info.id().ino()).collect();
    assert_eq!(bare::run(), seen.len(), "the bare loop has not read the same");
    let by_mount: Vec<u64> = population.by_mount.iter().map(|id| id.ino()).collect();
    let kept = [
        ("descriptor", &population.by_descriptor),
        ("socket", &population.by_socket),
        ("mount", &by_mount),
    ];
    let theirs: BTreeSet<u64> = if with_lsns { lsns() } else { BTreeSet::new() };
    println!("  {:<28}{:>8}, lsns {}", "namespaces: scan", seen.len(), theirs.len());
    for (way, namespaces) in kept {
        assert!(
            namespaces.iter().all(|one| seen.contains(one)),
            "a scan has missed one by a {way}"
        );
        let theirs = namespaces.iter().filter(|one| theirs.contains(one)).count();
        println!("  {:<28}{:>8}, lsns {theirs}", format!("  kept by a {way}"), namespaces.len());
    }
}

/// What is bound here is seen by nobody else, and ends with this mount namespace.
fn mount_tmpfs(directory: &std::path::Path) {
    let directory = CString::new(directory.to_str().expect("text")).expect("no NUL");
    let (kind, none) = (c"tmpfs".as_ptr(), std::ptr::null());
    // SAFETY: texts with their NUL, and no data.
    let mounted = unsafe { libc::mount(kind, directory.as_ptr(), kind, 0, none) };
    assert_eq!(mounted, 0, "{}", std::io::Error::last_os_error());
}

fn scan() {
    black_box(Inventory::scan().expect("a scan"));
}

/// The inodes that it lists.
fn lsns() -> BTreeSet<u64> {
    let mut command = StdCommand::new("lsns");
    command.args(["--noheadings", "--raw", "--output", "NS,TYPE,NPROCS,PID,PNS,ONS"]);
    let output = command.output().expect("lsns");
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect()
}

fn on_one_cpu(run: fn()) {
    let affinity = |set: &libc::cpu_set_t| {
        // SAFETY: a set with its size.
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), set) }
    };
    // SAFETY: plain integers.
    let mut before: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: a set to fill, with its size.
    unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut before) };
    // SAFETY: within the set's size.
    let first = (0..1024).find(|cpu| unsafe { libc::CPU_ISSET(*cpu, &before) }).unwrap_or(0);
    // SAFETY: plain integers.
    let mut one: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: within the set's size.
    unsafe { libc::CPU_SET(first, &mut one) };
    affinity(&one);
    run();
    affinity(&before);
}
