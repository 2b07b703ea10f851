//! What a caller may carry: memory, threads, descriptors. And the processor that it is pinned to.

use std::fs::File;
use std::ptr;
use std::sync::mpsc;
use std::thread::JoinHandle;

/// Memory that was written to, in pages of the smallest size.
pub(crate) struct Memory {
    base: *mut libc::c_void,
    len: usize,
}

impl Memory {
    /// `None`: there is not so much to be had.
    pub(crate) fn touched(mib: usize) -> Option<Self> {
        let text = std::fs::read_to_string("/proc/meminfo").ok()?;
        let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
        let available: usize = line.split_whitespace().nth(1)?.parse().ok()?;
        if available / 1024 < mib + mib / 4 {
            return None;
        }
        let len = mib << 20;
        let (access, kind) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new anonymous mapping.
        let base = unsafe { libc::mmap(ptr::null_mut(), len, access, kind, -1, 0) };
        assert_ne!(base, libc::MAP_FAILED);
        // SAFETY: this mapping, which nobody uses yet.
        unsafe { libc::madvise(base, len, libc::MADV_NOHUGEPAGE) };
        for page in (0..len).step_by(4096) {
            let byte = base.cast::<u8>().wrapping_add(page);
            // SAFETY: inside the mapping.
            unsafe { byte.write_volatile(1) };
        }
        Some(Self { base, len })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: its own mapping.
        unsafe { libc::munmap(self.base, self.len) };
    }
}

/// Threads that sleep until they are dropped.
pub(crate) struct Threads(Vec<(mpsc::Sender<()>, JoinHandle<()>)>);

impl Threads {
    pub(crate) fn new(count: usize) -> Self {
        let thread = |_| {
            let (stop, stopped) = mpsc::channel::<()>();
            (
                stop,
                std::thread::spawn(move || {
                    let _ = stopped.recv();
                }),
            )
        };
        Self((0..count).map(thread).collect())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        for (stop, thread) in self.0.drain(..) {
            drop(stop);
            thread.join().expect("a thread that only sleeps");
        }
    }
}

/// So many descriptors. `None`: the limit does not allow it.
pub(crate) fn descriptors(count: usize) -> Option<Vec<File>> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a limit to fill.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: a limit to read.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    (0..count).map(|_| File::open("/dev/null").ok()).collect()
}

/// This thread, and those and the children that it starts, on one processor, until it is dropped: the last of those that it may use.
pub(crate) struct Pinned(libc::cpu_set_t);

impl Pinned {
    pub(crate) fn new() -> Self {
        // SAFETY: plain bits.
        let mut before: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: a set to fill.
        unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut before) };
        // SAFETY: a number below the size of the set.
        let last =
            (0..libc::CPU_SETSIZE as usize).rfind(|cpu| unsafe { libc::CPU_ISSET(*cpu, &before) });
        // SAFETY: plain bits.
        let mut one: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        unsafe { libc::CPU_SET(last.unwrap_or(0), &mut one) };
        set(&one);
        Self(before)
    }
}

fn set(cpus: &libc::cpu_set_t) {
    // SAFETY: a set to read.
    unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), cpus) };
}

impl Drop for Pinned {
    fn drop(&mut self) {
        set(&self.0);
    }
}
