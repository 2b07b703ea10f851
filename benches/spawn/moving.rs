//! Joins, looks, and moves of the calling thread, beside their raw twins.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use linux_namespaces::{
    Child, Command, Namespace, NamespaceKind, Namespaces, PidFd, ProcessNamespaces, Scope, Stdio,
    setns, setns_process,
};

use crate::Scale;
use crate::ballast::Pinned;
use crate::measure::{Way, compare, print, ratio, verdict};
use crate::parts::{NONE, is_root, run};
use crate::target::Target;

/// What is entered seven of; time takes a process with a copy of the memory.
const SEVEN: Namespaces = Namespaces::all().difference(Namespaces::TIME);
/// What a thread among others may enter.
const FOUR: Namespaces =
    Namespaces::CGROUP.union(Namespaces::IPC).union(Namespaces::NET).union(Namespaces::UTS);

/// A program in new namespaces that stays until its input is closed.
fn resident(set: Namespaces) -> Child {
    let mut command = Command::new("cat");
    command.namespaces(set).stdin(Stdio::piped()).stdout(Stdio::null());
    if set.contains(Namespaces::USER) {
        command.map_root_user();
    }
    command.spawn().expect("a program in new namespaces")
}

/// Opens all, enters all, in a process that is made for it. The user namespace first.
fn open_and_setns(pid: u32, kinds: &[NamespaceKind]) -> io::Result<()> {
    // With the mount namespace the /proc is another one.
    let mut files = [-1; 8];
    for (file, kind) in files.iter_mut().zip(kinds) {
        let path = CString::new(format!("/proc/{pid}/ns/{}", kind.proc_name())).expect("no NUL");
        // SAFETY: a text that ends with NUL.
        *file = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
        assert!(*file >= 0, "{kind}: {}", io::Error::last_os_error());
    }
    let mut result = Ok(());
    for file in files.into_iter().take(kinds.len()) {
        // SAFETY: takes numbers.
        if unsafe { libc::setns(file, 0) } != 0 {
            result = Err(io::Error::last_os_error());
        }
        // SAFETY: its own descriptor.
        unsafe { libc::close(file) };
    }
    result
}

fn pidfd_and_setns(pid: u32, set: Namespaces) -> io::Result<()> {
    // SAFETY: takes numbers.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as i32;
    // SAFETY: takes numbers.
    let entered = unsafe { libc::setns(pidfd, set.bits() as i32) };
    let error = io::Error::last_os_error();
    // SAFETY: its own descriptor.
    unsafe { libc::close(pidfd) };
    if entered == 0 { Ok(()) } else { Err(error) }
}

/// What a child can enter where it is already, which has the code for it in its page tables: a fork leaves those of programs and
/// libraries empty, and a library has more pages than two calls in a row.
const AGAIN: Namespaces = Namespaces::MOUNT.union(Namespaces::UTS);

fn own() -> u32 {
    std::process::id()
}

/// Entering is done by a child each time: who is in there once does not come out again.
fn in_child(body: impl FnOnce() -> u64) -> u64 {
    let mut ends = [0; 2];
    // SAFETY: two numbers to fill.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    // SAFETY: made by the call.
    let [read, write] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    // SAFETY: the process has one thread, and the child only makes system calls and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let took = body().to_ne_bytes();
        // SAFETY: a buffer and its length.
        unsafe { libc::write(write.as_raw_fd(), took.as_ptr().cast(), took.len()) };
        // SAFETY: ends the child.
        unsafe { libc::_exit(0) };
    }
    drop(write);
    let mut took = [0u8; 8];
    // SAFETY: a buffer and its length.
    let got = unsafe { libc::read(read.as_raw_fd(), took.as_mut_ptr().cast(), took.len()) };
    assert_eq!(got, 8, "the child has failed");
    // SAFETY: waits for the own child.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    u64::from_ne_bytes(took)
}

fn median(mut values: Vec<u64>) -> f64 {
    values.sort_unstable();
    values[values.len() / 2] as f64 / 1e3
}

fn timed(body: impl FnOnce()) -> u64 {
    let start = std::time::Instant::now();
    body();
    start.elapsed().as_nanos() as u64
}

pub(crate) fn joins(scale: &Scale) {
    let _pinned = Pinned::new();
    let mut inside = resident(if is_root() { SEVEN | Namespaces::USER } else { SEVEN });
    let pid = inside.id();
    let mut kinds: Vec<_> = SEVEN.kinds().filter(|kind| *kind != NamespaceKind::User).collect();
    kinds.insert(0, NamespaceKind::User);
    let again: Vec<_> = AGAIN.kinds().collect();
    let (mut by_files, mut by_pidfd, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.short.rounds {
        by_files.push(in_child(|| {
            let _ = open_and_setns(own(), &again);
            timed(|| open_and_setns(pid, &kinds).expect("entered"))
        }));
        by_pidfd.push(in_child(|| {
            let _ = pidfd_and_setns(own(), AGAIN);
            timed(|| pidfd_and_setns(pid, SEVEN).expect("entered"))
        }));
        ours.push(in_child(|| {
            let ours = |pid, set| setns_process(&PidFd::open(pid)?, set);
            let _ = ours(own(), AGAIN);
            timed(|| ours(pid, SEVEN).expect("entered"))
        }));
    }
    let [by_files, by_pidfd, ours] = [by_files, by_pidfd, ours].map(median);
    println!("  seven by open and setns(2) {by_files:>8.1} µs");
    println!("  seven by pidfd, raw        {by_pidfd:>8.1} µs");
    println!("  seven by setns_process     {ours:>8.1} µs");
    verdict("setns_process / open and seven setns", ours / by_files, 0.35);
    verdict("setns_process / raw", ours / by_pidfd, 1.1);

    let target = Target::new();
    let mut by_process = Command::new(&target.path);
    by_process.enter_process(inside.pidfd(), SEVEN);
    let mut by_handles = Command::new(&target.path);
    for kind in &kinds {
        by_handles.enter(&inside.namespace(*kind).expect("a handle"));
    }
    let mut plain = Command::new(&target.path);
    let all = compare(
        scale.short,
        vec![
            Way::new("a spawn that enters nothing", move || run(&mut plain)),
            Way::new("a spawn that enters seven, by pidfd", move || run(&mut by_process)),
            Way::new("a spawn that enters seven, by handles", move || run(&mut by_handles)),
        ],
    );
    print(&all);
    inside.wait().expect("its end");
}

pub(crate) fn moving(scale: &Scale) {
    let _pinned = Pinned::new();
    if is_root() {
        let mut inside = resident(FOUR);
        let net = inside.namespace(NamespaceKind::Net).expect("a handle");
        let back = Namespace::current(NamespaceKind::Net).expect("a handle");
        let process = inside.pidfd().try_clone().expect("a pidfd");
        let own = PidFd::open(std::process::id()).expect("a pidfd");
        let (net_fd, back_fd) =
            (OwnedFd::from(net.try_clone().unwrap()), OwnedFd::from(back.try_clone().unwrap()));
        let (process_fd, own_fd) =
            (OwnedFd::from(process.try_clone().unwrap()), OwnedFd::from(own.try_clone().unwrap()));
        let raw = |fd: &OwnedFd, set: Namespaces| {
            // SAFETY: takes numbers.
            assert_eq!(unsafe { libc::setns(fd.as_raw_fd(), set.bits() as i32) }, 0);
        };
        let mut scope = Scope::new();
        scope.enter(&net);
        let all = compare(
            scale.short,
            vec![
                Way::new("setns(2), there and back", || {
                    raw(&net_fd, Namespaces::NET);
                    raw(&back_fd, Namespaces::NET);
                }),
                Way::new("setns", || {
                    setns(&net).expect("there");
                    setns(&back).expect("back");
                }),
                Way::new("setns(2) by pidfd, four, there and back", || {
                    raw(&process_fd, FOUR);
                    raw(&own_fd, FOUR);
                }),
                Way::new("setns_process", || {
                    setns_process(&process, FOUR).expect("there");
                    // The process's first thread has moved: only its own handle leads back.
                    setns_process(&own, FOUR).expect("back");
                }),
                Way::new("a thread that enters by setns(2)", || {
                    std::thread::scope(|threads| {
                        threads.spawn(|| raw(&net_fd, Namespaces::NET)).join().expect("its end");
                    });
                }),
                Way::new("Scope::run", move || scope.run(|| ()).expect("entered")),
            ],
        );
        print(&all);
        verdict("setns / raw", ratio(&all, "setns", "setns(2), there and back"), 1.1);
        verdict(
            "setns_process / raw",
            ratio(&all, "setns_process", "setns(2) by pidfd, four, there and back"),
            1.1,
        );
        verdict(
            "Scope::run / raw",
            ratio(&all, "Scope::run", "a thread that enters by setns(2)"),
            1.1,
        );
        inside.wait().expect("its end");
    } else {
        println!("  setns and Scope: not measured, entering by a thread takes root");
    }
    let mut other = resident(NONE);
    let pid = other.id();
    let all = compare(
        scale.short,
        vec![
            Way::new("readlinkat(2) of ten, raw", || read_links(pid)),
            Way::new("ProcessNamespaces::of", || {
                std::hint::black_box(ProcessNamespaces::of(pid).expect("a snapshot"));
            }),
            Way::new("readlinkat(2) of ten, own, raw", || read_links_at(c"/proc/thread-self/ns")),
            Way::new("ProcessNamespaces::current", || {
                std::hint::black_box(ProcessNamespaces::current().expect("a snapshot"));
            }),
        ],
    );
    print(&all);
    verdict(
        "ProcessNamespaces::of / raw",
        ratio(&all, "ProcessNamespaces::of", "readlinkat(2) of ten, raw"),
        1.1,
    );
    verdict(
        "ProcessNamespaces::current / raw",
        ratio(&all, "ProcessNamespaces::current", "readlinkat(2) of ten, own, raw"),
        1.1,
    );
    other.wait().expect("its end");
}

fn read_links(pid: u32) {
    read_links_at(&CString::new(format!("/proc/{pid}/ns")).expect("no NUL"));
}

/// The eight kinds, and what children of two kinds will be in, as a snapshot has them; the device by stat(2) of the first.
fn read_links_at(directory: &std::ffi::CStr) {
    const NAMES: [&std::ffi::CStr; 10] = [
        c"cgroup",
        c"ipc",
        c"mnt",
        c"net",
        c"pid",
        c"time",
        c"user",
        c"uts",
        c"pid_for_children",
        c"time_for_children",
    ];
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: a text that ends with NUL.
    let directory = unsafe { libc::open(directory.as_ptr(), flags) };
    assert!(directory >= 0);
    for name in NAMES {
        let mut link = [0u8; 64];
        // SAFETY: a text that ends with NUL, and a buffer with its length.
        let len = unsafe {
            libc::readlinkat(directory, name.as_ptr(), link.as_mut_ptr().cast(), link.len())
        };
        let text = std::str::from_utf8(&link[..len.max(0) as usize]).expect("text");
        let number = text.split(['[', ']']).nth(1).and_then(|number| number.parse::<u64>().ok());
        std::hint::black_box(number);
    }
    // SAFETY: its own descriptor.
    unsafe { libc::close(directory) };
}
