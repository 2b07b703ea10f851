//! Too few descriptors, none of the first three, too few processes, too little memory: a program, or an error that says in which step.

use std::fs;
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use linux_namespaces::{Command, Namespace, NamespaceKind, Stdio, Step, flags::*};

use crate::common::{Footprint, field, in_own_process_with, is_root, with_user};
use crate::modes::{Failure, MODES, Mode, Neighbour};

/// Sets a soft limit of this process, and gives what it was.
fn limit(resource: i64, soft: u64) -> u64 {
    let (mut old, none) = ([0u64; 2], std::ptr::null::<u64>());
    // By the system call: the type of the number is not the same in every libc.
    // SAFETY: asks for two numbers, for which there is room.
    let got = unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, none, old.as_mut_ptr()) };
    let new = [soft, old[1]];
    // SAFETY: passes two numbers.
    let set = unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, new.as_ptr(), none) };
    assert_eq!((got, set), (0, 0), "{}", std::io::Error::last_os_error());
    old[0]
}

fn is_open(number: RawFd) -> bool {
    // SAFETY: reads the flags of whatever is under the number.
    unsafe { libc::fcntl(number, libc::F_GETFD) >= 0 }
}

/// With how many numbers free each mode begins to work, and that it fails cleanly below.
pub(crate) fn free_descriptors() {
    let neighbour = Neighbour::new();
    MODES.iter().for_each(|mode| mode.works(&neighbour));
    let before = Footprint::now();
    let mut enough = Vec::new();
    for mode in MODES {
        let mut first = None;
        for free in 0..=20u64 {
            // Below this limit so many numbers are free.
            let mut top = 0;
            let mut left = free;
            while left > 0 || is_open(top) {
                left -= u64::from(!is_open(top));
                top += 1;
            }
            let old = limit(libc::RLIMIT_NOFILE.into(), top as u64);
            let result = mode.run(&neighbour);
            limit(libc::RLIMIT_NOFILE.into(), old);
            match result {
                Ok(_) => first = first.or(Some(free)),
                Err(failure) => {
                    assert!(
                        first.is_none(),
                        "{mode:?}: {free} are not enough, {first:?} were: {failure:?}"
                    );
                    // EINVAL is for a duplicate that would be above 2.
                    let full = failure.errno == Some(libc::EMFILE)
                        || (failure.errno == Some(libc::EINVAL) && top <= 3);
                    assert!(full, "{mode:?}, {free}: {failure:?}");
                    assert!(failure.step != Some(Step::Validate), "{failure:?}");
                }
            }
        }
        before.assert_unchanged();
        enough.push((mode, first.unwrap_or_else(|| panic!("{mode:?}: 20 are not enough"))));
    }
    println!("descriptors that are enough: {enough:?}");
    neighbour.end();
}

/// Every set of the first three.
pub(crate) fn without_the_first_three() {
    for closed in 0..8 {
        in_own_process_with("closed descriptors", |case| case.env("CLOSED", closed.to_string()));
    }
}

/// Puts the first three back, so that a failure can be told.
fn restore() {
    for number in 0..3 {
        // SAFETY: duplicates what was kept for this.
        unsafe { libc::dup2(100 + number, number) };
    }
}

static OPEN_AGAIN: AtomicBool = AtomicBool::new(false);

pub(crate) fn closed_case() {
    let closed: i32 = std::env::var("CLOSED").unwrap().parse().unwrap();
    let neighbour = Neighbour::new();
    let net = Namespace::current(NamespaceKind::Net).expect("the own namespace");
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !OPEN_AGAIN.swap(true, Relaxed) {
            restore();
        }
        hook(panic);
    }));
    for number in 0..3 {
        // SAFETY: duplicates a descriptor to a number that is free.
        let kept = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 100 + number) };
        assert_eq!(kept, 100 + number);
        if closed & (1 << number) != 0 {
            // SAFETY: nobody uses it until it is open again.
            unsafe { libc::close(number) };
        }
    }
    let footprint = Footprint::now();
    for mode in MODES {
        mode.works(&neighbour);
        // What is passed is there, whatever numbers it had here.
        if !matches!(mode, Mode::Function | Mode::Std | Mode::SuspendedAndDropped) {
            let mut command = Command::new("/bin/sh");
            command
                .args(["-c", "read line; echo out $line; echo err >&2; read more <&5; echo $more"]);
            let input = file("in\n");
            let five = file("five\n");
            command.stdin(input).fd(5, five);
            mode.set(&mut command, &neighbour);
            let output = command.output().unwrap_or_else(|error| panic!("{mode:?}: {error}"));
            assert_eq!(String::from_utf8_lossy(&output.stdout), "out in\nfive\n", "{mode:?}");
            assert_eq!(String::from_utf8_lossy(&output.stderr), "err\n", "{mode:?}");
        }
    }
    // What is closed and not asked for stays closed, and none of the spawn's own is there in its place.
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "for n in 0 2; do test -e /proc/$$/fd/$n; echo $?; done"]);
    command.stdout(Stdio::piped()).namespaces(with_user(UTS)).enter(&net);
    let mut child = command.spawn().expect("it runs");
    let mut told = String::new();
    std::io::Read::read_to_string(child.stdout.as_mut().expect("piped"), &mut told).expect("text");
    assert!(child.wait().expect("its end").success());
    drop((child, command));
    let expected = [0, 2].map(|number| if closed & (1 << number) != 0 { "1\n" } else { "0\n" });
    assert_eq!(told, expected.concat());
    let created = Namespace::create(NamespaceKind::Uts);
    if is_root() {
        created.expect("a namespace");
    }
    footprint.assert_unchanged();
    restore();
    neighbour.end();
}

/// A file with this to be read.
fn file(text: &str) -> fs::File {
    use std::io::{Seek as _, Write as _};
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    file.rewind().expect("at its start");
    assert!(file.as_raw_fd() >= 0);
    file
}

/// For a user who may have so many processes and no more.
pub(crate) fn processes() {
    // No process is this user's.
    let user = 1_700_000_000 + std::process::id();
    // SAFETY: an empty list.
    assert_eq!(unsafe { libc::setgroups(0, std::ptr::null()) }, 0);
    // SAFETY: numbers only.
    assert_eq!(unsafe { libc::setresgid(user, user, user) }, 0);
    // SAFETY: numbers only.
    assert_eq!(unsafe { libc::setresuid(user, user, user) }, 0);
    // SAFETY: numbers only. Otherwise /proc/self would be root's now.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) }, 0);
    let neighbour = Neighbour::new();
    MODES.iter().for_each(|mode| mode.works(&neighbour));
    let before = Footprint::now();
    for mode in MODES {
        let mut first = None;
        // This process and the neighbour are two.
        for most in 0..12 {
            let old = limit(libc::RLIMIT_NPROC.into(), most);
            let result = mode.run(&neighbour);
            limit(libc::RLIMIT_NPROC.into(), old);
            match result {
                Ok(_) => first = first.or(Some(most)),
                Err(failure) => {
                    assert!(first.is_none(), "{mode:?}: {most} are not enough, {first:?} were");
                    assert_eq!(failure.errno, Some(libc::EAGAIN), "{mode:?}, {most}: {failure:?}");
                    let fits = matches!(
                        failure.step,
                        None | Some(Step::Clone(_) | Step::ParentDeathSignal)
                    );
                    assert!(fits, "{mode:?}, {most}: {failure:?}");
                }
            }
        }
        before.assert_unchanged();
        let first = first.unwrap_or_else(|| panic!("{mode:?}: 12 are not enough"));
        assert!(first > 2, "{mode:?}: the limit was not in the way");
    }
    neighbour.end();
}

/// Has the allocator, which gets one arena by the environment, keep a few MiB instead of giving them back.
fn keep_what_is_freed() {
    #[cfg(target_env = "gnu")]
    for (setting, value) in [(libc::M_TRIM_THRESHOLD, 1 << 30), (libc::M_MMAP_THRESHOLD, 1 << 30)] {
        // SAFETY: numbers only.
        assert_eq!(unsafe { libc::mallopt(setting, value) }, 1);
    }
    drop(std::hint::black_box(vec![1u8; 8 << 20]));
}

/// So little address space that stacks and pages are refused. The heap has room: Rust ends a process that has none. It does so too when
/// a thread that it has begun gets no second stack for signals, so what takes a thread is left out.
pub(crate) fn memory() {
    keep_what_is_freed();
    let neighbour = Neighbour::new();
    MODES.iter().for_each(|mode| mode.works(&neighbour));
    let before = Footprint::now();
    let (mut refused, mut worked) = (Vec::new(), Vec::new());
    let modes = || MODES.into_iter().filter(|mode| *mode != Mode::ParentDeath);
    for mode in modes() {
        for more in (0..=40).map(|pages| pages * 64 * 1024) {
            // A thread that has no stacks for children yet. It is there before the limit.
            let result = std::thread::scope(|scope| {
                let thread = scope.spawn(|| {
                    let status = fs::read_to_string("/proc/self/status").expect("status");
                    let size = field("VmSize", &status).trim_end_matches(" kB");
                    let size: u64 = size.parse().expect("a size");
                    let old = limit(libc::RLIMIT_AS.into(), size * 1024 + more);
                    let result = mode.run(&neighbour);
                    limit(libc::RLIMIT_AS.into(), old);
                    result
                });
                thread.join().expect("an error, and no panic")
            });
            match result {
                Ok(code) => worked.push((mode, more, code)),
                Err(Failure { step, errno, message }) => {
                    assert!(
                        matches!(errno, Some(libc::ENOMEM | libc::EAGAIN)),
                        "{mode:?}, {more}: {message}"
                    );
                    let fits = matches!(
                        step,
                        None | Some(
                            Step::Clone(_) | Step::ParentDeathSignal | Step::Exec(_) | Step::Wait
                        )
                    );
                    assert!(fits, "{mode:?}, {more}: {message}");
                    refused.push(mode);
                }
            }
        }
    }
    before.assert_unchanged();
    for mode in modes().filter(|mode| *mode != Mode::Std) {
        assert!(refused.contains(&mode), "{mode:?} was never refused");
    }
    assert!(!worked.is_empty());
    neighbour.end();
}
