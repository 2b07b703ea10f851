//! Threads that allocate, a timer that interrupts, much memory.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use linux_namespaces::{Command, Namespaces, Step, flags::*};

use crate::common::{self, Footprint, is_root, with_user};
use crate::numbers::{Numbers, spawns};

static TICKS: AtomicU64 = AtomicU64::new(0);

extern "C" fn tick(_: libc::c_int) {
    TICKS.fetch_add(1, Relaxed);
}

/// SIGALRM every 300 µs from now on, without SA_RESTART.
fn start_ticking() {
    // SAFETY: plain integers.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = tick as *const () as usize;
    // SAFETY: the handler only adds to an atomic.
    assert_eq!(unsafe { libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut()) }, 0);
    let every = libc::timeval { tv_sec: 0, tv_usec: 300 };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: a timer that is read.
    assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) }, 0);
}

fn stop_ticking() {
    // SAFETY: plain integers.
    let timer: libc::itimerval = unsafe { std::mem::zeroed() };
    // SAFETY: a timer that is read.
    assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) }, 0);
}

/// Runs `body` while 32 threads allocate and free.
pub(crate) fn beside_busy_threads(body: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in 1..=32 {
            let stop = &stop;
            scope.spawn(move || {
                let mut numbers = Numbers::new(seed * 7919);
                let mut kept: Vec<Vec<u8>> = Vec::new();
                while !stop.load(Relaxed) {
                    let size = numbers.next(5000) as usize;
                    kept.push(vec![seed as u8; size]);
                    if kept.len() > 20 {
                        let gone = kept.swap_remove(numbers.next(20) as usize);
                        assert!(
                            gone.iter().all(|byte| *byte == seed as u8),
                            "memory was overwritten"
                        );
                    }
                }
            });
        }
        body();
        stop.store(true, Relaxed);
    });
}

pub(crate) fn busy_process() {
    let sets = [Namespaces::empty(), UTS, PID, PID | NS, USER, USER | PID | NS, Namespaces::all()];
    start_ticking();
    beside_busy_threads(|| {
        std::thread::scope(|scope| {
            for seed in 1..=2 {
                scope.spawn(move || {
                    let mut numbers = Numbers::new(seed);
                    for _ in 0..spawns() {
                        let set = match sets[numbers.next(sets.len() as u64) as usize] {
                            set if set.is_empty() => set,
                            set => with_user(set),
                        };
                        let code = numbers.next(256);
                        let mut command = common::sh(&format!("exit {code}"));
                        let status = command
                            .namespaces(set)
                            .status()
                            .unwrap_or_else(|error| panic!("{set}: {error}"));
                        assert_eq!(status.code(), Some(code as i32), "{set}");
                    }
                });
            }
        });
    });
    stop_ticking();
    assert!(TICKS.load(Relaxed) > 100, "the timer did not interrupt anything");
}

pub(crate) fn failures_among_successes() {
    // What a first spawn sets up for good is not a leak.
    let _ = common::sh("true").namespaces(with_user(PID)).status().unwrap();
    let before = Footprint::now();
    beside_busy_threads(|| {
        std::thread::scope(|scope| {
            for seed in 1..=4 {
                scope.spawn(move || {
                    let mut numbers = Numbers::new(seed * 31);
                    for _ in 0..spawns() / 2 {
                        one_of_many(&mut numbers);
                    }
                });
            }
        });
    });
    before.assert_unchanged();
}

fn one_of_many(numbers: &mut Numbers) {
    let set = with_user(Namespaces::from_bits_truncate(numbers.next(1 << 31) as u32) - NET);
    let mut command = Command::new("/bin/true");
    command.namespaces(set);
    let expected = match numbers.next(9) {
        0 => {
            command = Command::new("/no/such/program");
            command.namespaces(set);
            Some(Step::Exec("/no/such/program".into()))
        }
        1 => {
            command.current_dir("/no/such/directory");
            Some(Step::Chdir("/no/such/directory".into()))
        }
        2 => {
            // A group in a session of another's, or none at all.
            command.process_group(i32::MAX);
            Some(Step::ProcessGroup)
        }
        3 => {
            let null = File::open("/dev/null").unwrap();
            command.fd(3 + numbers.next(30) as i32, null);
            None
        }
        4 => {
            let output =
                common::sh("echo out; echo err >&2; exit 3").namespaces(set).output().unwrap();
            assert_eq!(
                (output.stdout.as_slice(), output.stderr.as_slice()),
                (&b"out\n"[..], &b"err\n"[..])
            );
            assert_eq!(output.status.code(), Some(3));
            return;
        }
        5 => {
            let mut child =
                common::sh("kill -KILL $$; read line").namespaces(set - PID).spawn().unwrap();
            assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
            return;
        }
        _ => None,
    };
    match (command.status(), expected) {
        (Ok(status), None) => assert!(status.success(), "{status}"),
        (Err(error), Some(step)) => assert_eq!(error.step(), &step, "{error}"),
        (result, expected) => panic!("{command:?} gave {result:?}, not {expected:?}"),
    }
}

fn quickest(command: &mut Command) -> Duration {
    let times = (0..101).map(|_| {
        let start = Instant::now();
        assert!(command.status().unwrap().success());
        start.elapsed()
    });
    times.min().expect("some")
}

/// A copy of 1 GiB of page tables takes about 40 ms, 200 times the spawn, every time; so a quarter of that tells the two
/// apart however busy the machine is.
pub(crate) fn large_caller() {
    let mut commands = [Namespaces::empty(), with_user(PID), with_user(PID | NS)].map(|set| {
        let mut command = Command::new("/bin/true");
        command.namespaces(set);
        command
    });
    let small: Vec<_> = commands.iter_mut().map(quickest).collect();
    let mut memory = vec![0u8; 1 << 30];
    let offset = memory.as_ptr().align_offset(4096);
    let pages = &mut memory[offset..];
    let (start, length) = (pages.as_mut_ptr().cast(), pages.len());
    // SAFETY: advice on memory of our own: small pages, which are what makes a copy dear.
    assert_eq!(unsafe { libc::madvise(start, length, libc::MADV_NOHUGEPAGE) }, 0);
    memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    for (command, small) in commands.iter_mut().zip(small) {
        let large = quickest(command);
        let more = large.saturating_sub(small);
        assert!(
            more < Duration::from_millis(10),
            "{command:?}: {large:?} with 1 GiB, {small:?} without"
        );
    }
    std::hint::black_box(&memory);
}

/// Entering a user namespace clears a flag of the whole process for a moment, without which another thread could not write
/// the maps of its child.
pub(crate) fn writers_and_droppers() {
    let before = Footprint::now();
    let mut target = common::sh("read line");
    let target = target
        .namespaces(USER | UTS)
        .map_root_user()
        .stdin(linux_namespaces::Stdio::piped())
        .spawn();
    let mut target = target.unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let pidfd = target.pidfd();
            scope.spawn(move || {
                for _ in 0..spawns() / 3 {
                    let mut command = common::sh("true");
                    if thread % 2 == 0 {
                        command.namespaces(USER);
                    } else if is_root() && thread == 1 {
                        command.uid(65534);
                    } else {
                        command.enter_process(pidfd, USER | UTS);
                    }
                    assert!(command.status().unwrap().success());
                }
            });
        }
    });
    target.wait().unwrap();
    drop(target);
    before.assert_unchanged();
}
