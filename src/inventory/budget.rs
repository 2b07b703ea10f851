//! What all scans that run in this process at a time may take of it: descriptors to keep open, and threads.
#![forbid(unsafe_code)]

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sys;

/// How many namespaces all scans keep open now.
static PINS: AtomicUsize = AtomicUsize::new(0);
/// How many threads all scans have started, and not ended yet.
static HELPERS: AtomicUsize = AtomicUsize::new(0);

fn take_one(from: &AtomicUsize, most: usize) -> bool {
    let more = |taken: usize| (taken < most).then_some(taken + 1);
    from.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

/// How many namespaces may be kept open by all scans together, from the caller's limit on descriptors.
pub(super) fn pins() -> usize {
    let limit = sys::getrlimit::descriptors();
    // Since Linux 6.2 the size is the number of open descriptors.
    let open = fs::metadata("/proc/self/fd").map_or(0, |directory| directory.len());
    let free = limit.saturating_sub(usize::try_from(open).unwrap_or(usize::MAX));
    // The other half is for what else the scans open for a moment, and for the caller's other threads.
    free.saturating_add(PINS.load(Ordering::Relaxed)) / 2
}

/// The namespaces that one scan keeps open.
#[derive(Debug)]
pub(super) struct Pins {
    /// Of all scans.
    most: AtomicUsize,
    own: AtomicUsize,
}

impl Pins {
    pub(super) fn new(most: usize) -> Self {
        Self { most: AtomicUsize::new(most), own: AtomicUsize::new(0) }
    }

    /// Whether one more may be kept open.
    pub(super) fn take(&self) -> bool {
        let taken = take_one(&PINS, self.most.load(Ordering::Relaxed));
        self.own.fetch_add(usize::from(taken), Ordering::Relaxed);
        taken
    }

    /// The last one that was allowed came to nothing.
    pub(super) fn give_back(&self) {
        self.own.fetch_sub(1, Ordering::Relaxed);
        PINS.fetch_sub(1, Ordering::Relaxed);
    }

    /// There are no more, whatever the limit was taken for.
    pub(super) fn exhaust(&self) {
        self.give_back();
        self.most.store(0, Ordering::Relaxed);
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        PINS.fetch_sub(*self.own.get_mut(), Ordering::Relaxed);
    }
}

/// A thread that helps a scan. Each has descriptors of its own, and more threads than processors would only wait for each other.
#[derive(Debug)]
pub(super) struct Helper(());

impl Helper {
    /// `None` when that many help already, be it another scan.
    pub(super) fn hire(most: usize) -> Option<Self> {
        take_one(&HELPERS, most).then_some(Self(()))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        HELPERS.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is() {
        let taken = AtomicUsize::new(0);
        assert!(take_one(&taken, 2) && take_one(&taken, 2));
        assert!(!take_one(&taken, 2) && !take_one(&taken, 0));
        assert_eq!(taken.into_inner(), 2);
    }

    /// Other tests scan meanwhile, so only what one of them counts by itself is looked at.
    #[test]
    fn what_is_taken_is_counted() {
        let pins = Pins::new(usize::MAX);
        assert!(pins.take() && pins.take());
        pins.give_back();
        assert_eq!(pins.own.load(Ordering::Relaxed), 1);
        pins.exhaust();
        assert!(!pins.take());
        assert_eq!(pins.own.load(Ordering::Relaxed), 0);
    }
}
