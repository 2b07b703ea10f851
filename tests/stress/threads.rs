//! Threads that allocate, fork, begin and end beside spawns; and spawns at moments when little is left of a thread or a process.

use std::cell::RefCell;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use linux_namespaces::Command;

use crate::busy::beside_busy_threads;
use crate::common::Footprint;
use crate::modes::{MODES, Mode, Neighbour};
use crate::numbers::{Numbers, seed, spawns};

/// All modes, beside threads that allocate from the same arena, fork copies that allocate, and start and join threads.
pub(crate) fn beside_allocators_forks_and_threads() {
    let neighbour = Neighbour::new();
    // What a first spawn sets up for good is not a leak.
    MODES.iter().for_each(|mode| mode.works(&neighbour));
    let before = Footprint::now();
    let stop = AtomicBool::new(false);
    beside_busy_threads(|| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    fork_and_allocate()
                }
            });
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    std::thread::spawn(|| drop(vec![1u8; 3000])).join().expect("it ends");
                }
            });
            let spawners: Vec<_> = (0..3)
                .map(|place| {
                    let neighbour = &neighbour;
                    scope.spawn(move || {
                        let mut numbers = Numbers::of(seed(), place);
                        for _ in 0..spawns() / 3 {
                            MODES[numbers.next(MODES.len() as u64) as usize].works(neighbour);
                        }
                    })
                })
                .collect();
            let ends: Vec<_> = spawners.into_iter().map(|spawner| spawner.join()).collect();
            stop.store(true, Relaxed);
            ends.into_iter().for_each(|end| end.expect("a spawner"));
        });
    });
    before.assert_unchanged();
    neighbour.end();
}

/// fork(2) in the midst of all, as a library may do it: the copy finds the locks of malloc free.
fn fork_and_allocate() {
    // SAFETY: the copy allocates, which glibc and musl allow, and ends without anything of the tests' being run.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let memory = std::hint::black_box(vec![7u8; 10_000]);
        // SAFETY: ends the copy.
        unsafe { libc::_exit(i32::from(memory[9_999] != 7)) };
    }
    assert!(pid > 0, "{}", std::io::Error::last_os_error());
    let mut status = 0;
    // SAFETY: fills the number. Others wait for their own children.
    while unsafe { libc::waitpid(pid, &raw mut status, 0) } < 0 {
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EINTR));
    }
    assert_eq!(status, 0, "a forked copy could not allocate");
}

/// The child outlives the thread that it was cloned by, whose stacks and thread-local storage are gone.
pub(crate) fn threads_that_end() {
    let neighbour = Neighbour::new();
    let child = |mode: Mode| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "read line; exit 7"]).stdin(linux_namespaces::Stdio::piped());
        mode.set(&mut command, &neighbour);
        command
    };
    let modes: Vec<_> = MODES
        .into_iter()
        .filter(|mode| !matches!(mode, Mode::Function | Mode::Std | Mode::SuspendedAndDropped))
        .collect();
    let once = || {
        for mode in &modes {
            let mut command = child(*mode);
            let mut ended = if *mode == Mode::Suspended {
                let thread = std::thread::scope(|scope| {
                    scope.spawn(|| command.spawn_suspended()).join().expect("a thread")
                });
                thread.expect("suspended").resume()
            } else {
                std::thread::scope(|scope| {
                    scope.spawn(|| command.spawn()).join().expect("a thread")
                })
            }
            .unwrap_or_else(|error| panic!("{mode:?}: {error}"));
            assert_eq!(ended.wait().expect("its end").code(), Some(7), "{mode:?}");
        }
    };
    once();
    let before = (Footprint::now(), mappings());
    for _ in 0..spawns() / 10 {
        once();
    }
    before.0.assert_unchanged();
    // The stacks of a thread go with it.
    let after = mappings();
    assert!(after < before.1 + 16, "{} mappings, then {after}", before.1);
    neighbour.end();
}

fn mappings() -> usize {
    fs::read_to_string("/proc/self/maps").expect("mappings").lines().count()
}

static SPAWNED: AtomicUsize = AtomicUsize::new(0);

/// Spawns when it is dropped.
struct Last;

impl Drop for Last {
    fn drop(&mut self) {
        let neighbour = Neighbour::new();
        for mode in MODES {
            mode.works(&neighbour);
            SPAWNED.fetch_add(1, Relaxed);
        }
        neighbour.end();
    }
}

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// In the destructors of a thread: before those of the crate, and after them, when the thread has no pool of stacks any more.
pub(crate) fn destructors_of_a_thread() {
    let before = Footprint::now();
    for spawns_first in [false, true] {
        SPAWNED.store(0, Relaxed);
        let thread = std::thread::spawn(move || {
            if spawns_first {
                assert!(Command::new("true").status().expect("it runs").success());
            }
            LAST.with_borrow_mut(|last| *last = Some(Last));
            if !spawns_first {
                assert!(Command::new("true").status().expect("it runs").success());
            }
        });
        thread.join().expect("a panic in a destructor would have ended the process");
        assert_eq!(SPAWNED.load(Relaxed), MODES.len(), "spawns first: {spawns_first}");
    }
    before.assert_unchanged();
}

extern "C" fn spawn_at_exit() {
    let neighbour = Neighbour::new();
    MODES.iter().for_each(|mode| mode.works(&neighbour));
    neighbour.end();
    // SAFETY: writes a text.
    unsafe { libc::write(1, c"at exit".as_ptr().cast(), 7) };
}

/// By a handler of atexit(3), when `main` has returned.
pub(crate) fn at_exit() {
    // SAFETY: a function that stays. A panic in it ends the process, with another status.
    assert_eq!(unsafe { libc::atexit(spawn_at_exit) }, 0);
}
