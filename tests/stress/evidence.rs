//! What a child does that it must not do, told on a page that its copies share too.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, Ordering::Relaxed};

/// Zeroed memory is a valid one.
pub(crate) struct Evidence {
    /// Handlers of the caller's that ran in another process.
    pub(crate) foreign_handlers: AtomicU64,
    /// Calls of the allocator, and destructors, in another process.
    pub(crate) foreign_allocations: AtomicU64,
    pub(crate) foreign_drops: AtomicU64,
    /// By the number of the signal.
    pub(crate) handled: [AtomicU64; 65],
}

static PAGE: AtomicPtr<Evidence> = AtomicPtr::new(std::ptr::null_mut());
static CALLER: AtomicI32 = AtomicI32::new(0);

/// From now on everything is told.
pub(crate) fn collect() -> &'static Evidence {
    // SAFETY: a new mapping disturbs nothing.
    let page = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size_of::<Evidence>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert_ne!(page, libc::MAP_FAILED);
    // SAFETY: asks for a number.
    CALLER.store(unsafe { libc::getpid() }, Relaxed);
    PAGE.store(page.cast(), Relaxed);
    evidence().expect("just stored")
}

/// `None` until it is collected. Only atomics are used: it may be called anywhere.
pub(crate) fn evidence() -> Option<&'static Evidence> {
    // SAFETY: null, or a page that is never unmapped, made of atomics.
    unsafe { PAGE.load(Relaxed).as_ref() }
}

/// Whether this is another process than the one that collects.
pub(crate) fn is_foreign() -> bool {
    // SAFETY: asks for a number.
    CALLER.load(Relaxed) != unsafe { libc::getpid() }
}

/// Switched on, it tells who allocates.
pub(crate) struct Watched;

pub(crate) static WATCHING: AtomicBool = AtomicBool::new(false);

fn look() {
    if WATCHING.load(Relaxed) && is_foreign() {
        if let Some(evidence) = evidence() {
            evidence.foreign_allocations.fetch_add(1, Relaxed);
        }
    }
}

// SAFETY: the system's, with a look at who calls it.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        look();
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        look();
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        look();
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Tells when it is dropped in another process.
pub(crate) struct Dropped;

impl Drop for Dropped {
    fn drop(&mut self) {
        if is_foreign() {
            if let Some(evidence) = evidence() {
                evidence.foreign_drops.fetch_add(1, Relaxed);
            }
        }
    }
}
