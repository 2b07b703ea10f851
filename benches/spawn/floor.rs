//! The floor: the same job by raw system calls on a stack that is ready, prepared once, with nothing checked that could be left out.
//!
//! [`Floor::bare`] is clone3, exec and wait alone. [`Floor::same`] makes the system calls that a spawn of the crate's makes, one by one, as `tests/again` has
//! them and `docs/COST.md` says what for. So what the crate takes beyond it are instructions and memory of its own.

use std::ffi::{CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering::SeqCst};

use linux_namespaces::Namespaces;

const CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const STACK: usize = 64 * 1024;

/// A spawn that is prepared.
pub(crate) struct Floor {
    flags: u64,
    same: bool,
    set: Namespaces,
    path: CString,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    _texts: Vec<CString>,
    stack: *mut u8,
    /// The maps' lines for the child's own ids, one after the other: setgroups if it is to be denied, gid_map, uid_map.
    maps: Vec<(&'static str, Vec<u8>)>,
    words: Box<Words>,
}

/// What caller and child share.
#[derive(Default)]
struct Words {
    /// The child's id until it has exec'd, then 0: the kernel writes it.
    alive: AtomicU32,
    pidfd: AtomicI32,
    mapped: AtomicU32,
    failed: AtomicI32,
}

#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

impl Floor {
    pub(crate) fn bare(program: &Path, set: Namespaces) -> Self {
        Self::new(program, set, false, &[])
    }

    /// With the maps `lines`, if there are any: `(inside, outside, count)`, for users and for groups.
    pub(crate) fn same(program: &Path, set: Namespaces, lines: &[(u32, u32, u32)]) -> Self {
        Self::new(program, set, true, lines)
    }

    fn new(program: &Path, set: Namespaces, same: bool, lines: &[(u32, u32, u32)]) -> Self {
        let path = CString::new(program.as_os_str().as_bytes()).expect("no NUL");
        let texts: Vec<CString> = std::env::vars_os()
            .map(|(key, value)| {
                let entry = [key.as_bytes(), b"=", value.as_bytes()].concat();
                CString::new(entry).expect("no NUL")
            })
            .collect();
        let envp = texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect();
        // SAFETY: a new anonymous mapping.
        let stack = unsafe {
            libc::mmap(
                ptr::null_mut(),
                STACK,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(stack, libc::MAP_FAILED);
        let mut maps = Vec::new();
        if !lines.is_empty() {
            let text: String = lines
                .iter()
                .map(|(inside, outside, count)| format!("{inside} {outside} {count}\n"))
                .collect();
            // SAFETY: asks for a number.
            if unsafe { libc::geteuid() } != 0 {
                maps.push(("setgroups", b"deny".to_vec()));
            }
            maps.push(("gid_map", text.clone().into_bytes()));
            maps.push(("uid_map", text.into_bytes()));
        }
        let vfork = if maps.is_empty() { libc::CLONE_VFORK } else { libc::CLONE_CHILD_CLEARTID };
        let mut flags = (libc::CLONE_VM | vfork) as u64 | u64::from(set.bits());
        if same {
            flags |= (libc::CLONE_PIDFD | libc::CLONE_FILES) as u64 | CLEAR_SIGHAND;
        }
        Self {
            flags,
            same,
            set,
            argv: vec![path.as_ptr(), ptr::null()],
            path,
            envp,
            _texts: texts,
            stack: stack.cast(),
            maps,
            words: Box::default(),
        }
    }

    /// Spawns the program and waits for its end.
    pub(crate) fn run(&mut self) {
        let words: *const Words = &raw const *self.words;
        // SAFETY: they live as long as `self`.
        let words = unsafe { &*words };
        words.mapped.store(0, SeqCst);
        words.alive.store(1, SeqCst);
        let args = CloneArgs {
            flags: self.flags,
            pidfd: words.pidfd.as_ptr() as u64,
            child_tid: words.alive.as_ptr() as u64,
            exit_signal: libc::SIGCHLD as u64,
            stack: self.stack as u64,
            stack_size: STACK as u64,
            ..CloneArgs::default()
        };
        let all = u64::MAX;
        let mut before = 0u64;
        let asks = self.same && self.set.contains(Namespaces::USER);
        let closes = asks && ask(!self.maps.is_empty());
        if closes {
            of_numbers(libc::SYS_prctl, [libc::PR_GET_DUMPABLE as usize, 0]);
            of_numbers(libc::SYS_prctl, [libc::PR_SET_DUMPABLE as usize, 0]);
        }
        if self.same {
            mask(&raw const all, &raw mut before);
        }
        // SAFETY: the child runs on the stack, on what `self` holds, until the kernel says that it has exec'd; all signals are
        // blocked where handlers could run in it.
        let pid = unsafe { clone3(&args, child, ptr::from_mut(self).cast()) };
        assert!(pid > 0, "clone3: {}", std::io::Error::from_raw_os_error(-pid as i32));
        if !self.maps.is_empty() {
            if self.same {
                let mut link = [0u8; 16];
                let path = c"/proc/self".as_ptr() as usize;
                let (at, buffer) = (libc::AT_FDCWD as usize, link.as_mut_ptr() as usize);
                // SAFETY: a text and a buffer with its length.
                unsafe { raw(libc::SYS_readlinkat, [at, path, buffer, link.len(), 0]) };
                std::hint::black_box(&link);
            }
            for (name, text) in &self.maps {
                write_map(&format!("/proc/{pid}/{name}\0"), text);
            }
            words.mapped.store(1, SeqCst);
            futex(&words.mapped, libc::FUTEX_WAKE, i32::MAX as u32);
            loop {
                let now = words.alive.load(SeqCst);
                if now == 0 {
                    break;
                }
                futex(&words.alive, libc::FUTEX_WAIT, now);
            }
        }
        if self.same {
            mask(&raw const before, ptr::null_mut());
        }
        if closes {
            of_numbers(libc::SYS_setpgid, [pid as usize, c_int::MAX as usize]);
            of_numbers(libc::SYS_geteuid, [0; 2]);
            of_numbers(libc::SYS_getegid, [0; 2]);
            of_numbers(libc::SYS_prctl, [libc::PR_SET_DUMPABLE as usize, 1]);
        }
        assert_eq!(words.failed.load(SeqCst), 0, "the floor's child has failed");
        if self.same && self.set.contains(Namespaces::TIME) {
            look_at_time(words.pidfd.load(SeqCst));
        }
        // SAFETY: plain integers.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let (which, id) = if self.same {
            (libc::P_PIDFD, words.pidfd.load(SeqCst) as libc::id_t)
        } else {
            (libc::P_PID, pid as libc::id_t)
        };
        // SAFETY: fills `info`.
        let waited =
            unsafe { libc::waitid(which, id, &raw mut info, libc::WEXITED | libc::__WALL) };
        assert_eq!(waited, 0, "waitid: {}", std::io::Error::last_os_error());
        // SAFETY: waitid filled it.
        assert_eq!((info.si_code, unsafe { info.si_status() }), (libc::CLD_EXITED, 0));
        if self.same {
            // SAFETY: the pidfd of this spawn.
            unsafe { libc::close(words.pidfd.load(SeqCst)) };
        }
    }
}

/// Whether the program is in its time namespace yet.
fn look_at_time(pidfd: c_int) {
    const PIDFD_GET_TIME_NAMESPACE: libc::Ioctl = 0xff07;
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: a text that ends with NUL.
    let own = unsafe { libc::open(c"/proc/thread-self/ns/time".as_ptr(), flags) };
    // SAFETY: takes numbers.
    let childs = unsafe { libc::ioctl(pidfd, PIDFD_GET_TIME_NAMESPACE, 0) };
    // A program that has ended is in none.
    for file in [own, childs].into_iter().filter(|file| *file >= 0) {
        // SAFETY: plain integers.
        let mut status: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: fills the status.
        assert_eq!(unsafe { libc::fstat(file, &raw mut status) }, 0);
        std::hint::black_box(&status);
        // SAFETY: its own descriptor.
        unsafe { libc::close(file) };
    }
}

/// A call that takes and gives numbers.
fn of_numbers(number: libc::c_long, [a, b]: [usize; 2]) {
    // SAFETY: no memory is involved.
    unsafe { raw(number, [a, b, 0, 0, 0]) };
}

/// What is asked for a new user namespace; whether the caller can write map files that are root's, and so closes its memory.
fn ask(has_maps: bool) -> bool {
    let mut header = [0x2008_0522u32, 0];
    let mut sets = [[0u32; 3]; 2];
    let addresses = [header.as_mut_ptr() as usize, sets.as_mut_ptr() as usize, 0, 0, 0];
    // SAFETY: a header and two sets to fill.
    unsafe { raw(libc::SYS_capget, addresses) };
    std::hint::black_box(&mut sets);
    let closes = sets[0][0] & 1 << 1 != 0;
    if has_maps || closes {
        for number in [libc::SYS_geteuid, libc::SYS_getegid, libc::SYS_getpid] {
            of_numbers(number, [0; 2]);
        }
    }
    closes
}

impl Drop for Floor {
    fn drop(&mut self) {
        // SAFETY: its own mapping, on which no child runs any more.
        unsafe { libc::munmap(self.stack.cast(), STACK) };
    }
}

/// What runs in the child: system calls only.
extern "C" fn child(floor: *mut c_void) -> ! {
    // SAFETY: the caller holds it until this has exec'd, and only reads it meanwhile.
    let floor = unsafe { &*floor.cast::<Floor>() };
    let words = &floor.words;
    if !floor.maps.is_empty() {
        while words.mapped.load(SeqCst) == 0 {
            futex(&words.mapped, libc::FUTEX_WAIT, 0);
        }
    }
    if floor.same {
        set_up(floor);
        dispositions();
        let none = 0u64;
        mask(&raw const none, ptr::null_mut());
    }
    let (path, argv, envp) = (floor.path.as_ptr(), floor.argv.as_ptr(), floor.envp.as_ptr());
    // SAFETY: texts and lists that end with null.
    unsafe { raw(libc::SYS_execve, [path as usize, argv as usize, envp as usize, 0, 0]) };
    words.failed.store(1, SeqCst);
    loop {
        // SAFETY: ends the process.
        unsafe { raw(libc::SYS_exit_group, [1, 0, 0, 0, 0]) };
    }
}

fn set_up(floor: &Floor) {
    let set = floor.set;
    // SAFETY: a table of its own without what is above 2.
    check(floor, unsafe { raw(libc::SYS_close_range, [3, u32::MAX as usize, 2, 0, 0]) });
    if set.contains(Namespaces::NET) {
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
        // SAFETY: makes a socket.
        let socket =
            unsafe { raw(libc::SYS_socket, [libc::AF_INET as usize, kind as usize, 0, 0, 0]) };
        check(floor, socket);
        #[repr(C)]
        struct Request([u8; 16], libc::c_short, [u64; 3]);
        let mut request = Request(*b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 0, [0; 3]);
        let address = &raw mut request as usize;
        let ask = libc::SIOCGIFFLAGS as usize;
        // SAFETY: an `ifreq` to read and fill.
        check(floor, unsafe { raw(libc::SYS_ioctl, [socket as usize, ask, address, 0, 0]) });
        request.1 |= libc::IFF_UP as libc::c_short;
        std::hint::black_box(&raw mut request);
        let set = libc::SIOCSIFFLAGS as usize;
        // SAFETY: an `ifreq` to read.
        check(floor, unsafe { raw(libc::SYS_ioctl, [socket as usize, set, address, 0, 0]) });
        // SAFETY: its own socket.
        unsafe { raw(libc::SYS_close, [socket as usize, 0, 0, 0, 0]) };
    }
    if set.contains(Namespaces::MOUNT) {
        let flags = (libc::MS_REC | libc::MS_PRIVATE) as usize;
        // SAFETY: texts and numbers.
        check(floor, unsafe { raw(libc::SYS_mount, [0, c"/".as_ptr() as usize, 0, flags, 0]) });
    }
    if set.contains(Namespaces::MOUNT | Namespaces::PID) {
        let flags = (libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC) as usize;
        let (source, target) = (c"proc".as_ptr() as usize, c"/proc".as_ptr() as usize);
        // SAFETY: texts and numbers.
        check(floor, unsafe { raw(libc::SYS_mount, [source, target, source, flags, 0]) });
    }
}

/// Of the signals that a spawn looks at which comes soon after another.
fn dispositions() {
    let default = [0usize; 4];
    let address = &raw const default as usize;
    for signal in
        [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGPIPE, libc::SIGTERM, libc::SIGCHLD]
    {
        // SAFETY: the default to read.
        unsafe { raw(libc::SYS_rt_sigaction, [signal as usize, address, 0, 8, 0]) };
    }
}

fn check(floor: &Floor, result: isize) {
    if result < 0 {
        floor.words.failed.store(-result as i32, SeqCst);
    }
}

fn write_map(path: &str, text: &[u8]) {
    // SAFETY: a text that ends with NUL.
    let file = unsafe { libc::open(path.as_ptr().cast(), libc::O_WRONLY | libc::O_CLOEXEC) };
    assert!(file >= 0, "{path}: {}", std::io::Error::last_os_error());
    // SAFETY: a buffer and its length.
    let written = unsafe { libc::write(file, text.as_ptr().cast(), text.len()) };
    assert_eq!(written, text.len() as isize, "{path}: {}", std::io::Error::last_os_error());
    // SAFETY: its own descriptor.
    unsafe { libc::close(file) };
}

fn mask(set: *const u64, before: *mut u64) {
    let how = libc::SIG_SETMASK as usize;
    // SAFETY: a set to read, and one to fill or null.
    unsafe { raw(libc::SYS_rt_sigprocmask, [how, set as usize, before as usize, 8, 0]) };
}

fn futex(word: &AtomicU32, operation: c_int, value: u32) {
    // SAFETY: a word that lives as long as the call.
    unsafe {
        raw(libc::SYS_futex, [word.as_ptr() as usize, operation as usize, value as usize, 0, 0])
    };
}

#[cfg(target_arch = "x86_64")]
unsafe fn raw(number: libc::c_long, [a, b, c, d, e]: [usize; 5]) -> isize {
    let value: isize;
    // SAFETY: the system call's registers; the caller answers for the call.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => value,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    value
}

#[cfg(target_arch = "x86_64")]
unsafe fn clone3(
    args: &CloneArgs,
    entry: extern "C" fn(*mut c_void) -> !,
    arg: *mut c_void,
) -> isize {
    let value: isize;
    // SAFETY: the child calls `entry` on its stack and never comes back; the caller answers for the rest.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov rdi, {arg}",
            "call {entry}",
            "ud2",
            "2:",
            arg = in(reg) arg,
            entry = in(reg) entry,
            inout("rax") libc::SYS_clone3 as isize => value,
            in("rdi") args, in("rsi") size_of::<CloneArgs>(),
            out("rcx") _, out("r11") _,
        );
    }
    value
}

#[cfg(target_arch = "aarch64")]
unsafe fn raw(number: libc::c_long, [a, b, c, d, e]: [usize; 5]) -> isize {
    let value: isize;
    // SAFETY: the system call's registers; the caller answers for the call.
    unsafe {
        std::arch::asm!(
            "svc 0",
            inlateout("x0") a as isize => value,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x8") number as usize,
            options(nostack),
        );
    }
    value
}

#[cfg(target_arch = "aarch64")]
unsafe fn clone3(
    args: &CloneArgs,
    entry: extern "C" fn(*mut c_void) -> !,
    arg: *mut c_void,
) -> isize {
    let value: isize;
    // SAFETY: the child calls `entry` on its stack and never comes back; the caller answers for the rest.
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x0, {arg}",
            "blr {entry}",
            "brk #1",
            "2:",
            arg = in(reg) arg,
            entry = in(reg) entry,
            inout("x0") args as *const CloneArgs as isize => value,
            in("x1") size_of::<CloneArgs>(), in("x8") libc::SYS_clone3 as usize,
            out("x30") _,
        );
    }
    value
}
