//! How property tests of this crate run: `#![proptest_config(cases::config())]`.
//!
//! `PROPTEST_CASES` is how many cases each has, `PROPTEST_RNG_SEED` which ones. A test that fails says the seed that makes it fail
//! again; nothing is written into the source tree. A text that should be read again and again is put into `tests/corpus`.
#![forbid(unsafe_code)]

use std::hash::{BuildHasher as _, RandomState};

use proptest::test_runner::{Config, RngSeed};

pub(crate) fn config() -> Config {
    let mut config = Config::default();
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => RandomState::new().hash_one(()),
    };
    // The harness shows it for a test that fails.
    println!("PROPTEST_RNG_SEED={seed}");
    config.rng_seed = RngSeed::Fixed(seed);
    config.failure_persistence = None;
    config
}
