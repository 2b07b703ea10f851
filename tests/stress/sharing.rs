//! One test for each thing that could break a caller whose memory a child runs on: what it would take for the child to be seen.

use std::cell::RefCell;
use std::fs;
use std::io::Write as _;
use std::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::mpsc;

use linux_namespaces::{Child, Command, Mount, Namespaces, Stdio, Step, flags::*};

use crate::common::{Footprint, field, is_root, processes::inodes, with_user};
use crate::evidence::{Dropped, WATCHING, collect};
use crate::modes::{MODES, Mode, Neighbour};

thread_local! {
    static OWN: RefCell<[u8; 2048]> = const { RefCell::new([0x3c; 2048]) };
}

/// **errno and thread-local storage.** The thread that cloned the child looks at its own while the child, let go by another thread,
/// makes system calls that fail: the child has that thread's storage.
pub(crate) fn errno_and_thread_local_storage_stay() {
    const ERRNO: i32 = 12_345;
    let stop = AtomicBool::new(false);
    let (hand_over, suspended) = mpsc::channel::<linux_namespaces::Suspended>();
    let (again, wanted) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || {
            for suspended in suspended {
                let error = suspended.resume().expect_err("there is no such program");
                assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
                let _ = again.send(());
            }
            stop.store(true, Relaxed);
        });
        scope.spawn(move || {
            for _ in 0..crate::numbers::spawns() {
                let mut command = Command::new("no-such-program");
                // Each directory is an execve(2) that fails.
                command.env("PATH", "/1:/2:/3:/4:/5:/6:/7:/8").namespaces(with_user(UTS));
                let waiting = command.spawn_suspended().expect("set up");
                // SAFETY: the address of this thread's errno is always valid.
                let errno = unsafe { libc::__errno_location() };
                hand_over.send(waiting).expect("a thread that resumes");
                // SAFETY: as above. Only this thread writes to it.
                unsafe { *errno = ERRNO };
                let mut done = false;
                while !done {
                    // No system call is made here, and nothing is allocated.
                    for _ in 0..1000 {
                        // SAFETY: as above.
                        let now = unsafe { errno.read_volatile() };
                        assert_eq!(now, ERRNO, "the child has written the errno of its caller");
                    }
                    done = wanted.try_recv().is_ok();
                    // SAFETY: as above. The channel may have made system calls.
                    unsafe { *errno = ERRNO };
                }
                OWN.with_borrow(|own| assert!(own.iter().all(|byte| *byte == 0x3c)));
            }
            drop(hand_over);
        });
    });
    assert!(stop.load(Relaxed));
}

/// Where the guard pages of this process are: their ends, each the lowest address of what is above.
fn guards() -> Vec<usize> {
    let maps = fs::read_to_string("/proc/self/maps").expect("mappings");
    let guards = maps.lines().filter(|line| line.contains(" ---p ")).map(|line| {
        let (_, end) =
            line.split(' ').next().and_then(|range| range.split_once('-')).expect("two ends");
        usize::from_str_radix(end, 16).expect("a number")
    });
    guards.collect()
}

/// What a stack has at the most, without its guard page.
const STACK: usize = 64 * 1024;
/// Kept for the words that the caller and the child share.
const WORDS: usize = 256;
/// A quarter of the stack. The deepest that was measured is in the output of the test.
const ROOM: usize = STACK / 4;

/// **Stack.** Below it is a page that nobody can touch, and all that a child can be asked to do needs a quarter of it.
pub(crate) fn the_stack_has_a_guard_and_room() {
    let others = guards();
    // A spawn leaves its stack, with a guard page below it, to the thread's next one.
    let neighbour = Neighbour::new();
    let stacks = || guards().into_iter().filter(|low| !others.contains(low)).collect::<Vec<_>>();
    let directory = tempfile::tempdir().expect("a directory");
    let deep = directory.path().join("a/".repeat(100));
    fs::create_dir_all(&deep).expect("directories");
    let mut deepest = Vec::new();
    type Change = fn(&mut Command, &std::path::Path);
    let settings: &[(&str, Namespaces, Change)] = &[
        ("nothing", Namespaces::empty(), |_, _| {}),
        ("all kinds", Namespaces::all(), |_, _| {}),
        ("a directory", Namespaces::empty(), |command, deep| {
            command.current_dir(deep);
        }),
        ("ids", USER, |command, _| {
            command.map_root_user();
            if is_root() {
                command.groups(&[]).allow_setgroups(true);
            }
        }),
        ("mounts", MOUNT | PID | USER, |command, deep| {
            command.mount(Mount::tmpfs(deep).read_only());
            command.mount(Mount::bind("/usr", "/mnt").recursive().no_suid());
        }),
        ("names", UTS | NET | USER, |command, _| {
            command.hostname("a").domainname("b");
        }),
        ("descriptors", Namespaces::empty(), |command, _| {
            for number in 3..60 {
                command.fd(number, fs::File::open("/dev/null").expect("/dev/null"));
            }
        }),
        ("a path", Namespaces::empty(), |command, _| {
            command.env("PATH", "/1:".repeat(500) + "/bin");
        }),
    ];
    // Without a stack switch of the crate's own, the others are copies, each on its own.
    let modes = [Mode::Shared, Mode::Entered, Mode::Suspended];
    let modes = if cfg!(linux_namespaces_portable) { &modes[..1] } else { &modes[..] };
    for (name, set, change) in settings {
        for &mode in modes {
            let kept = stacks();
            kept.iter().for_each(|low| paint(*low));
            let mut command = Command::new("true");
            if *set != Namespaces::empty() {
                command.namespaces(if set.contains(USER) { *set } else { with_user(*set) });
            }
            if mode == Mode::Entered {
                // A kind that is entered is not created as well; and maps inside an entered user namespace take a copy.
                if set.intersects(UTS) || (set.contains(USER) && !is_root()) {
                    continue;
                }
                mode.set(&mut command, &neighbour);
            }
            change(&mut command, &deep);
            let ended = match mode {
                Mode::Suspended => {
                    command.spawn_suspended().and_then(linux_namespaces::Suspended::resume)
                }
                _ => command.spawn(),
            };
            // Whether it has the right to all of it is of no account.
            let outcome = ended.and_then(|mut child| child.wait());
            let used = kept.into_iter().map(used).max().expect("a guard page and a stack");
            assert!(used > 0, "{name}, {mode:?}: the child was on another stack: {outcome:?}");
            assert!(used < ROOM, "{name}, {mode:?}: {used} bytes of the stack are used");
            deepest.push((used, *name, mode, outcome.is_ok()));
        }
    }
    deepest.sort_by_key(|(used, ..)| std::cmp::Reverse(*used));
    println!("bytes of the stack that were used: {deepest:?}");
    neighbour.end();
}

const PAINT: u8 = 0xa5;

fn paint(low: usize) {
    // SAFETY: a stack in this thread's pool, which no child runs on, and nobody reads.
    unsafe { std::ptr::with_exposed_provenance_mut::<u8>(low).write_bytes(PAINT, STACK - WORDS) };
}

fn used(low: usize) -> usize {
    // SAFETY: as above; only this test has written to it since, and a child that is gone.
    let stack = unsafe {
        std::slice::from_raw_parts(std::ptr::with_exposed_provenance::<u8>(low), STACK - WORDS)
    };
    stack.iter().position(|byte| *byte != PAINT).map_or(0, |lowest| stack.len() - lowest)
}

extern "C" fn nothing(_: libc::c_int) {}

/// **Signals.** A child that waits on the caller's memory has no handler of the caller's, and takes no signal.
pub(crate) fn a_child_has_no_handlers_and_no_signals() {
    // SAFETY: a handler that does nothing.
    unsafe { libc::signal(libc::SIGUSR1, nothing as *const () as libc::sighandler_t) };
    let mut command = Command::new("true");
    let waiting = command.namespaces(with_user(UTS)).spawn_suspended().expect("set up");
    let status = fs::read_to_string(format!("/proc/{}/status", waiting.id())).expect("status");
    assert_eq!(field("SigCgt", &status), "0000000000000000");
    // All but SIGKILL and SIGSTOP, which cannot be blocked; the two of libc's own too.
    assert_eq!(field("SigBlk", &status), "fffffffffffbfeff");
    // SAFETY: takes numbers; the child is there until it is reaped.
    assert_eq!(unsafe { libc::kill(waiting.id() as i32, libc::SIGUSR1) }, 0);
    let status = fs::read_to_string(format!("/proc/{}/status", waiting.id())).expect("status");
    assert_eq!(field("ShdPnd", &status), "0000000000000200");
    // It comes when the memory is not the caller's any more: to a program, or to a process that is about to become one.
    use std::os::unix::process::ExitStatusExt as _;
    match waiting.resume() {
        Ok(mut child) => {
            assert_eq!(child.wait().expect("its end").signal(), Some(libc::SIGUSR1));
        }
        Err(error) => assert!(
            error.to_string().contains("SIGUSR1") || error.to_string().contains("signal: 10"),
            "{error}"
        ),
    }
}

/// **Locks.** Another thread holds those of the standard library's streams, and of malloc as often as not, for as long as the spawns take.
pub(crate) fn locks_of_others_are_not_taken() {
    let neighbour = Neighbour::new();
    let (held, ready) = mpsc::channel();
    let (done, end) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let streams =
                (std::io::stdout().lock(), std::io::stderr().lock(), std::io::stdin().lock());
            held.send(()).expect("a test");
            let _ = end.recv();
            drop(streams);
        });
        ready.recv().expect("they are held");
        for mode in MODES.into_iter().filter(|mode| *mode != Mode::Function) {
            mode.works(&neighbour);
        }
        drop(done);
    });
    neighbour.end();
}

/// **Allocation and drops.** No child calls the allocator or a destructor, be it on the caller's memory or on a copy of it.
pub(crate) fn nothing_is_allocated_or_dropped_in_a_child() {
    let evidence = collect();
    let neighbour = Neighbour::new();
    WATCHING.store(true, SeqCst);
    for mode in MODES.into_iter().filter(|mode| *mode != Mode::Std) {
        for _ in 0..20 {
            mode.works(&neighbour);
            // Failures, too, early and late; and what a hook owns, which is the caller's to drop.
            for step in [Step::Exec("/no/such/program".into()), Step::Chdir("/no/such".into())] {
                let mut command = Command::new(if matches!(step, Step::Exec(_)) {
                    "/no/such/program"
                } else {
                    "true"
                });
                if let Step::Chdir(directory) = &step {
                    command.current_dir(directory);
                }
                let dropped = Dropped;
                // SAFETY: looks at an address.
                unsafe {
                    command.pre_exec(move || {
                        std::hint::black_box(&dropped);
                        Ok(())
                    });
                }
                mode.set(&mut command, &neighbour);
                let error = match mode {
                    Mode::Suspended | Mode::SuspendedAndDropped => command
                        .spawn_suspended()
                        .and_then(linux_namespaces::Suspended::resume)
                        .expect_err("it fails"),
                    _ => command.spawn().expect_err("it fails"),
                };
                assert_eq!(error.step(), &step, "{mode:?}: {error}");
            }
        }
    }
    WATCHING.store(false, SeqCst);
    assert_eq!(evidence.foreign_allocations.load(Relaxed), 0, "a child has allocated or freed");
    assert_eq!(evidence.foreign_drops.load(Relaxed), 0, "a child has dropped what is the caller's");
    neighbour.end();
}

/// That the test above can fail: the watch sees a copy that allocates and drops.
pub(crate) fn the_watch_sees_a_copy_that_allocates() {
    let evidence = collect();
    WATCHING.store(true, SeqCst);
    let mut command = Command::new("true");
    // SAFETY: the process has one thread, so a copy of it may do anything.
    unsafe {
        command.pre_exec(|| {
            drop(std::hint::black_box(Box::new(Dropped)));
            drop(std::hint::black_box(vec![0u8; 100]));
            Ok(())
        });
    }
    assert!(command.status().expect("it runs").success());
    WATCHING.store(false, SeqCst);
    assert!(evidence.foreign_allocations.load(Relaxed) >= 2);
    assert_eq!(evidence.foreign_drops.load(Relaxed), 1);
}

/// **Unwinding.** A panic of the caller's between two spawns, with a child suspended on its memory, takes the child along.
pub(crate) fn a_panic_takes_a_waiting_child_along() {
    let before = Footprint::now();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    for _ in 0..20 {
        let unwound = std::panic::catch_unwind(|| {
            let mut command = Command::new("true");
            let _waiting = command.namespaces(with_user(UTS)).spawn_suspended().expect("set up");
            panic!("on purpose");
        });
        assert!(unwound.is_err());
    }
    std::panic::set_hook(hook);
    before.assert_unchanged();
}

/// **The end of the thread.** A child waits on the memory of a thread that is gone, with its stack, its storage and its pool.
pub(crate) fn the_thread_of_a_waiting_child_may_end() {
    let before = Footprint::now();
    for _ in 0..20 {
        let spawn = || {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", "read line; exit 7"]).stdin(Stdio::piped());
            command.namespaces(with_user(UTS | PID)).spawn_suspended().expect("set up")
        };
        let waiting = std::thread::scope(|scope| scope.spawn(spawn).join().expect("a thread"));
        // Threads to come get the stack and the storage of that one.
        for _ in 0..4 {
            std::thread::spawn(|| {
                std::hint::black_box([0xffu8; 16_384]);
            })
            .join()
            .expect("it ends");
        }
        let own = inodes("self");
        let mut child: Child = waiting.resume().expect("it runs");
        assert_ne!(
            inodes(child.id())[&linux_namespaces::NamespaceKind::Uts],
            own[&linux_namespaces::NamespaceKind::Uts]
        );
        child.stdin.as_mut().expect("piped").write_all(b"x\n").expect("it reads");
        assert_eq!(child.wait().expect("its end").code(), Some(7));
    }
    before.assert_unchanged();
}

unsafe extern "C" {
    fn pthread_cancel(thread: libc::pthread_t) -> libc::c_int;
    fn pthread_setcancelstate(state: libc::c_int, before: *mut libc::c_int) -> libc::c_int;
}

static DONE: AtomicUsize = AtomicUsize::new(0);

extern "C" fn protected(spawns: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: PTHREAD_CANCEL_DISABLE, for this thread.
    unsafe { pthread_setcancelstate(1, std::ptr::null_mut()) };
    for _ in 0..spawns.addr() {
        let neighbour = Neighbour::new();
        MODES.iter().for_each(|mode| mode.works(&neighbour));
        neighbour.end();
        DONE.fetch_add(1, SeqCst);
    }
    spawns
}

/// **Cancellation.** A thread with cancellation off is asked to cancel itself over and over: the signal of libc's that asks finds
/// no handler in a child, and every spawn goes through. (With it on, a thread that runs Rust must not be cancelled at all.)
pub(crate) fn a_request_to_cancel_waits() {
    const SPAWNS: usize = 10;
    let spawns = std::ptr::without_provenance_mut::<libc::c_void>(SPAWNS);
    let mut thread = std::mem::MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: a thread that runs a function with a number.
    let made =
        unsafe { libc::pthread_create(thread.as_mut_ptr(), std::ptr::null(), protected, spawns) };
    assert_eq!(made, 0);
    // SAFETY: just made.
    let thread = unsafe { thread.assume_init() };
    while DONE.load(SeqCst) < SPAWNS {
        // SAFETY: it is joined below, and until then its handle is good, even when it has ended.
        unsafe { pthread_cancel(thread) };
        std::thread::yield_now();
    }
    let mut result = std::ptr::null_mut();
    // SAFETY: joined here alone.
    assert_eq!(unsafe { libc::pthread_join(thread, &raw mut result) }, 0);
    assert_eq!(result, spawns, "the thread was cancelled");
}
