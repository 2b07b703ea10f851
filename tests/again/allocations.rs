//! How often a spawn of a command that was spawned before allocates. What each is for is in `docs/COST.md`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;

use crate::common::{case, is_root};
use crate::kinds::{SORTS, WANTED, once, warmed_up};

/// The system's allocator, counted.
struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's, which keeps what is asked of an allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Relaxed);
        // SAFETY: what the caller keeps.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: what the caller keeps.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Relaxed);
        // SAFETY: what the caller keeps.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The only thread: the environment is passed as it is.
pub(crate) fn allocations_case() {
    let (mut command, sort, holder) = warmed_up();
    // How often the caller looks whether the program has come to its time namespace is a matter of luck.
    let counts = (0..10).map(|_| {
        let before = COUNT.load(Relaxed);
        once(&mut command, &sort.way);
        COUNT.load(Relaxed) - before
    });
    println!("{}", counts.min().expect("ten of them"));
    drop(holder);
}

/// The environment is compared with what was kept of it.
pub(crate) fn beside_a_thread_case() {
    let (end, ended) = mpsc::channel::<()>();
    let thread = thread::spawn(move || ended.recv().is_err());
    allocations_case();
    drop(end);
    thread.join().expect("it waited");
}

/// How often the only thread allocates at the most: for root, and for anybody else.
const ALONE: [[usize; 2]; 15] = [
    [0, 0],
    [0, 0],
    [0, 0],
    [0, 0],
    [0, 0],
    [0, 0],
    [0, 0],
    [0, 0],
    // The new time namespace may be looked at more than once.
    [6, 6],
    // The caller's environment is compared, for it may change while the child waits: five of them.
    [9, 9],
    [9, 9],
    // One less where the output and its end are there at once.
    [10, 10],
    [0, 0],
    // Compared again, for it is not passed as it is.
    [5, 5],
    [19, 19],
];

/// What comes to that beside another thread: the list of the caller's variables, and the name and the value of both of them.
const COMPARED: usize = 1 + 2 * 2;

fn counted(name: &str, sort: &str) -> usize {
    let mut case = case(name);
    case.env_clear().envs([("LINUX_NAMESPACES_CASE", name), (WANTED, sort)]);
    let output = case.output().expect("this test program can be started");
    let text = String::from_utf8(output.stdout).expect("text");
    let error = String::from_utf8_lossy(&output.stderr);
    text.trim().parse().unwrap_or_else(|_| panic!("{name}, {sort}: {text}{error}"))
}

pub(crate) fn no_more_than_this() {
    let mut wrong = Vec::new();
    for (sort, most) in SORTS.iter().zip(ALONE) {
        let most = most[usize::from(!is_root())];
        let alone = counted("allocations", sort.name);
        let beside = counted("allocations beside a thread", sort.name);
        if alone > most || beside > most + COMPARED {
            wrong.push(format!("{}: {alone}, beside a thread {beside}; not {most}", sort.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
