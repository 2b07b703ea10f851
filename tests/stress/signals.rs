//! Signals from all sides while processes are spawned, to a process that handles them all.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use linux_namespaces::Command;

use crate::common::{Footprint, field};
use crate::evidence::{collect, evidence, is_foreign};
use crate::modes::{MODES, Mode, Neighbour};
use crate::numbers::{Numbers, seed, spawns};

/// Every other one with SA_RESTART. What a program does by itself on SIGURG and SIGWINCH is nothing: those go to the children, too.
fn storm_signals() -> Vec<i32> {
    let real_time = libc::SIGRTMIN();
    vec![
        libc::SIGHUP,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGALRM,
        libc::SIGPROF,
        libc::SIGIO,
        libc::SIGURG,
        libc::SIGWINCH,
        libc::SIGCHLD,
        real_time,
        real_time + 1,
        real_time + 7,
        libc::SIGRTMAX(),
    ]
}

extern "C" fn count(signal: libc::c_int) {
    // SAFETY: always succeeds.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the address of this thread's errno is always valid.
    let errno = unsafe { *place };
    if let Some(evidence) = evidence() {
        evidence.handled[signal as usize].fetch_add(1, Relaxed);
        if is_foreign() {
            evidence.foreign_handlers.fetch_add(1, Relaxed);
        }
    }
    // SAFETY: as above.
    unsafe { *place = errno };
}

fn handle(signal: i32, flags: i32) {
    // SAFETY: plain integers.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = count as *const () as usize;
    action.sa_flags = flags;
    // SAFETY: the handler adds to atomics.
    assert_eq!(unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) }, 0);
}

fn tick(timer: libc::c_int, microseconds: i64) {
    let every = libc::timeval { tv_sec: 0, tv_usec: microseconds };
    let timer_value = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: a timer that is read.
    assert_eq!(unsafe { libc::setitimer(timer as _, &timer_value, std::ptr::null_mut()) }, 0);
}

/// Whether the thread's mask is the one that it has set: SIGTTIN and no other.
fn mask_is_own() -> bool {
    let status = fs::read_to_string("/proc/thread-self/status").expect("status");
    field("SigBlk", &status) == format!("{:016x}", 1u64 << (libc::SIGTTIN - 1))
}

pub(crate) fn storm() {
    let evidence = collect();
    // Or the group of whoever runs the tests would get the signals that are sent to the group.
    // SAFETY: numbers only.
    assert_eq!(unsafe { libc::setpgid(0, 0) }, 0);
    let neighbour = Neighbour::new();
    let before = Footprint::now();
    let signals = storm_signals();
    for (place, signal) in signals.iter().enumerate() {
        handle(*signal, if place % 2 == 0 { libc::SA_RESTART } else { 0 });
    }
    let threads = Mutex::new(Vec::<libc::c_long>::new());
    let stop = AtomicBool::new(false);
    // SAFETY: asks for a number.
    let own = unsafe { libc::getpid() };
    let mut queued = vec![0u64; 65];
    std::thread::scope(|scope| {
        let storm = scope.spawn(|| {
            let mut sent = vec![0u64; 65];
            while !stop.load(Relaxed) {
                for signal in &signals {
                    let group = if *signal % 2 == 0 { libc::SIGURG } else { libc::SIGWINCH };
                    // SAFETY: numbers only.
                    unsafe { libc::kill(0, group) };
                    let value = libc::sigval { sival_ptr: std::ptr::null_mut() };
                    // SAFETY: numbers only.
                    let done = unsafe { libc::sigqueue(own, *signal, value) };
                    sent[*signal as usize] += u64::from(done == 0);
                    for thread in threads.lock().unwrap().iter() {
                        // SAFETY: a thread that is in the list lives.
                        let done =
                            unsafe { libc::syscall(libc::SYS_tgkill, own, *thread, *signal) };
                        sent[*signal as usize] += u64::from(done == 0);
                    }
                    std::thread::yield_now();
                }
            }
            sent
        });
        tick(libc::ITIMER_REAL as _, 700);
        tick(libc::ITIMER_PROF as _, 900);
        let spawners: Vec<_> = (0..3)
            .map(|place| {
                let (threads, neighbour) = (&threads, &neighbour);
                scope.spawn(move || spawner(place, threads, neighbour))
            })
            .collect();
        let ends: Vec<_> = spawners.into_iter().map(|spawner| spawner.join()).collect();
        tick(libc::ITIMER_REAL as _, 0);
        tick(libc::ITIMER_PROF as _, 0);
        stop.store(true, Relaxed);
        queued = storm.join().expect("the storm");
        ends.into_iter().for_each(|end| end.expect("a spawner"));
    });
    // Those of real time are queued: none is lost, and none is made.
    let start = Instant::now();
    for signal in signals.iter().filter(|signal| **signal >= libc::SIGRTMIN()) {
        let handled = &evidence.handled[*signal as usize];
        while handled.load(Relaxed) < queued[*signal as usize]
            && start.elapsed() < Duration::from_secs(20)
        {
            std::thread::yield_now();
        }
        assert_eq!(handled.load(Relaxed), queued[*signal as usize], "signal {signal}");
    }
    for signal in &signals {
        assert!(evidence.handled[*signal as usize].load(Relaxed) > 0, "signal {signal}");
    }
    assert_eq!(evidence.foreign_handlers.load(Relaxed), 0, "a handler ran in a child");
    before.assert_unchanged();
    neighbour.end();
}

fn spawner(place: u64, threads: &Mutex<Vec<libc::c_long>>, neighbour: &Neighbour) {
    // SAFETY: asks for a number.
    let own = unsafe { libc::syscall(libc::SYS_gettid) };
    // SAFETY: plain integers, for which zero is an empty set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: a set on this frame.
    unsafe { libc::sigaddset(&raw mut set, libc::SIGTTIN) };
    // SAFETY: a set that is read.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()) };
    threads.lock().unwrap().push(own);
    let mut numbers = Numbers::of(seed(), place);
    // What children could write to by mistake, on the stack and on the heap.
    let pattern = 0x5a ^ place as u8;
    let (frame, heap) = ([pattern; 4096], vec![pattern; 200_000]);
    for _ in 0..spawns() / 3 {
        let mode = MODES[numbers.next(MODES.len() as u64) as usize];
        // std forks with the mask and the handlers of the caller, and a copy runs them as any other does.
        if mode == Mode::Std {
            continue;
        }
        mode.works(neighbour);
        let mut command = Command::new("/bin/cat");
        command.arg("/proc/self/status");
        mode.set(&mut command, neighbour);
        if mode != Mode::SuspendedAndDropped {
            let status = crate::common::stdout_of(&mut command);
            for name in ["SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd"] {
                let value = field(name, &status);
                // One that does nothing may have come by now.
                if !name.ends_with("Pnd") {
                    assert_eq!(value, "0000000000000000", "{name}, {mode:?}");
                }
            }
        }
        assert!(mask_is_own(), "{mode:?} has changed the mask");
        let intact = |memory: &[u8]| memory.iter().all(|byte| *byte == pattern);
        assert!(intact(&frame) && intact(&heap), "{mode:?} has written to the caller's memory");
        std::hint::black_box((&frame, &heap));
    }
    threads.lock().unwrap().retain(|thread| *thread != own);
}
