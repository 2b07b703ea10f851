//! A scan of the host beside a bare loop that makes the same reads, and beside `lsns`, at 100, 1,000 and 10,000 processes.
//!
//! ```text
//! cargo bench --bench inventory
//! ```
//!
//! All runs in pid and mount namespaces of its own, so it counts its own processes only, and they end with it. The ways take turns;
//! what is printed are medians. Without `--bench`, as in `cargo test --benches`, it only shows that all of it works.

use std::ffi::{CStr, CString};
use std::hint::black_box;
use std::process::{Command as StdCommand, ExitCode, Stdio as StdStdio};
use std::time::{Duration, Instant};

use linux_namespaces::{Command, Inventory, Namespaces};

fn main() -> ExitCode {
    if std::env::var_os("LINUX_NAMESPACES_BENCH_INSIDE").is_some() {
        inside(std::env::args().any(|argument| argument == "--bench"));
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

fn inside(measure: bool) {
    let (steps, rounds): (&[usize], usize) =
        if measure { (&[100, 1_000, 10_000], 7) } else { (&[20], 1) };
    let mut ways = vec![
        Way::new("scan", scan),
        Way::new("scan, one cpu", || on_one_cpu(scan)),
        Way::new("bare loop", || bare_loop(true)),
        Way::new("bare loop, namespaces only", || bare_loop(false)),
    ];
    if StdCommand::new("lsns").stdout(StdStdio::null()).status().is_ok_and(|end| end.success()) {
        ways.push(Way::new("lsns", lsns));
    }
    println!("microseconds per process, medians of {rounds}: time (work of all processors)");
    let mut here = 1;
    for processes in steps {
        while here < *processes {
            sleeper(here);
            here += 1;
        }
        for way in &mut ways {
            (way.run)();
            way.times.clear();
            way.work.clear();
        }
        for round in 0..rounds {
            // Nobody is always the first.
            for turn in 0..ways.len() {
                let at = (turn + round) % ways.len();
                ways[at].take_turn();
            }
        }
        let medians: Vec<[f64; 2]> = ways.iter_mut().map(Way::medians).collect();
        println!("{processes} processes");
        for (way, [time, work]) in ways.iter().zip(&medians) {
            let [time, work] = [time, work].map(|all| all / *processes as f64);
            println!("  {:<28}{time:>8.1} ({work:.1})", way.name);
        }
        let ratio = |name: &str, of: usize, to: usize| {
            let [time, work] = [0, 1].map(|at| medians[of][at] / medians[to][at]);
            println!("  {name:<28}{time:>8.2} ({work:.2})");
        };
        ratio("scan / bare loop", 0, 2);
        ratio("scan, one cpu / bare loop", 1, 2);
        if ways.len() > 4 {
            ratio("scan / lsns", 0, 4);
        }
    }
}

/// A process that sleeps, a copy of this one. Each hundredth has namespaces of its own.
fn sleeper(number: usize) {
    let mut command = Command::from_fn(|| {
        loop {
            std::thread::sleep(Duration::MAX);
        }
    });
    if number % 100 == 0 {
        command.namespaces(Namespaces::UTS | Namespaces::IPC | Namespaces::MOUNT);
        command.mount_proc(false);
    }
    // It ends with the pid namespace, whose first process this is.
    drop(command.spawn().expect("a process"));
}

fn scan() {
    black_box(Inventory::scan().expect("a scan"));
}

fn lsns() {
    let mut command = StdCommand::new("lsns");
    command.args(["--noheadings", "--raw", "--output", "NS,TYPE,NPROCS,PID,PNS,ONS"]);
    let output = command.output().expect("lsns");
    assert!(output.status.success());
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

/// The links of all namespaces, the number of threads, and the links of all descriptors: nothing is made of what they say.
fn bare_loop(descriptors: bool) {
    const LINKS: [&CStr; 10] = [
        c"ns/cgroup",
        c"ns/ipc",
        c"ns/mnt",
        c"ns/net",
        c"ns/pid",
        c"ns/time",
        c"ns/user",
        c"ns/uts",
        c"ns/pid_for_children",
        c"ns/time_for_children",
    ];
    let mut link = [0u8; 64];
    let mut names = vec![0u8; 32 * 1024];
    let mut processes = Vec::new();
    let root = open(libc::AT_FDCWD, c"/proc");
    each_name(root, &mut names, |name| {
        if name.to_bytes()[0].is_ascii_digit() {
            processes.push(CString::from(name));
        }
    });
    for process in &processes {
        // SAFETY: a name with its NUL.
        let place =
            unsafe { libc::openat(root, process.as_ptr(), libc::O_PATH | libc::O_DIRECTORY) };
        for name in LINKS {
            read_link(place, name, &mut link);
        }
        if descriptors {
            // SAFETY: plain integers.
            let mut status: libc::stat = unsafe { std::mem::zeroed() };
            // SAFETY: a name with its NUL, and a `stat` to fill.
            unsafe { libc::fstatat(place, c"task".as_ptr(), &raw mut status, 0) };
            let list = open(place, c"fd");
            each_name(list, &mut names, |name| {
                if name.to_bytes()[0] != b'.' {
                    read_link(list, name, &mut link);
                }
            });
            // SAFETY: opened above.
            unsafe { libc::close(list) };
        }
        // SAFETY: opened above.
        unsafe { libc::close(place) };
    }
    // SAFETY: opened above.
    unsafe { libc::close(root) };
    black_box(link);
}

fn open(directory: i32, name: &CStr) -> i32 {
    // SAFETY: a name with its NUL.
    unsafe { libc::openat(directory, name.as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY) }
}

fn read_link(directory: i32, name: &CStr, link: &mut [u8; 64]) {
    // SAFETY: a name with its NUL, and a buffer with its length.
    unsafe { libc::readlinkat(directory, name.as_ptr(), link.as_mut_ptr().cast(), link.len()) };
}

fn each_name(directory: i32, names: &mut [u8], mut each: impl FnMut(&CStr)) {
    loop {
        // SAFETY: a buffer with its length.
        let filled = unsafe {
            libc::syscall(libc::SYS_getdents64, directory, names.as_mut_ptr(), names.len())
        };
        if filled <= 0 {
            return;
        }
        let mut rest = &names[..filled as usize];
        while !rest.is_empty() {
            let length = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
            if let Ok(name) = CStr::from_bytes_until_nul(&rest[19..length]) {
                each(name);
            }
            rest = &rest[length..];
        }
    }
}
