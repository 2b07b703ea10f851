//! Random numbers that can be had again, and how long the tests are.

/// A number from the environment.
fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// `LINUX_NAMESPACES_STRESS`: the spawns of each test.
pub(crate) fn spawns() -> usize {
    from_environment("LINUX_NAMESPACES_STRESS").map_or(300, |number| number as usize)
}

/// `LINUX_NAMESPACES_SOAK`: the spawns of the test that mixes everything.
pub(crate) fn soak() -> u64 {
    from_environment("LINUX_NAMESPACES_SOAK").unwrap_or(3000)
}

/// `LINUX_NAMESPACES_SEED`: what the numbers begin with.
pub(crate) fn seed() -> u64 {
    from_environment("LINUX_NAMESPACES_SEED").unwrap_or(1)
}

/// splitmix64: the same numbers for the same seed.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Those of one of many things, independent of the others.
    pub(crate) fn of(seed: u64, thing: u64) -> Self {
        Self::new(Self::new(seed).next(u64::MAX) ^ thing)
    }

    pub(crate) fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.next(times) == 0
    }
}
