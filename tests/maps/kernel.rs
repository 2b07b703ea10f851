//! What is taken is what the kernel takes, and what it then shows is what was asked for.

use std::fs::{self, File};
use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;

use linux_namespaces::{Child, Command, IdRange, Stdio, Step, flags::*};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

/// Numbers at both ends of all there are, and few different ones, so that ranges meet.
fn range() -> impl Strategy<Value = IdRange> {
    let first = prop_oneof![3 => 0u32..12, 1 => any::<u32>(), 1 => u32::MAX - 8..=u32::MAX];
    let count = prop_oneof![5 => 0u32..6, 1 => any::<u32>(), 1 => u32::MAX - 8..=u32::MAX];
    (first.clone(), first, count).prop_map(|(inside, outside, count)| IdRange {
        inside,
        outside,
        count,
    })
}

/// Many lines, short ones and long ones.
fn many() -> impl Strategy<Value = Vec<IdRange>> {
    let number = prop_oneof![Just(1u32), Just(1_000), Just(1_000_000), Just(1_000_000_000)];
    (number.clone(), number, 120u32..345).prop_map(|(inside, outside, lines)| {
        let line = |n| IdRange { inside: inside + n, outside: outside + n, count: 1 };
        (0..lines).rev().map(line).collect()
    })
}

fn waiting(command: &mut Command) -> linux_namespaces::Result<Child> {
    command.namespaces(USER).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()
}

fn ended(mut child: Child) {
    drop(child.stdin.take());
    child.wait().expect("waited for");
}

/// The lines of the map file, as numbers.
fn shown(child: &Child) -> Vec<[u32; 3]> {
    let text = fs::read_to_string(format!("/proc/{}/uid_map", child.id())).expect("the map");
    let line = |line: &str| {
        let numbers = line.split_whitespace().map(|number| number.parse().expect("a number"));
        numbers.collect::<Vec<_>>().try_into().expect("three numbers")
    };
    let mut lines: Vec<_> = text.lines().map(line).collect();
    lines.sort_unstable();
    lines
}

/// Whether the kernel takes these lines, written without the crate's help.
fn is_taken(ranges: &[IdRange]) -> bool {
    let child = waiting(Command::new("cat").leave_unmapped()).expect("a process without ids");
    let mut file = File::create(format!("/proc/{}/uid_map", child.id())).expect("its map");
    let text: String = ranges.iter().map(|range| format!("{range}\n")).collect();
    let written = file.write(text.as_bytes());
    let taken = !shown(&child).is_empty();
    ended(child);
    match written {
        Ok(length) => assert!(taken && length == text.len(), "{ranges:?}"),
        Err(error) => {
            assert!(!taken, "{ranges:?}");
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{ranges:?}");
        }
    }
    taken
}

pub(super) fn any_ranges() {
    // `PROPTEST_CASES` says how many, `PROPTEST_RNG_SEED` which ones.
    let mut config = Config { failure_persistence: None, ..Config::default() };
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => RandomState::new().hash_one(()),
    };
    config.rng_seed = RngSeed::Fixed(seed);
    let ranges = prop_oneof![9 => prop::collection::vec(range(), 0..5), 1 => many()];
    let outcome = TestRunner::new(config).run(&ranges, |ranges| {
        let kernel = is_taken(&ranges);
        match waiting(Command::new("cat").uid_map(ranges.iter().copied())) {
            Ok(child) => {
                let shown = shown(&child);
                ended(child);
                prop_assert!(kernel, "the kernel refuses what is taken");
                let mut asked: Vec<_> =
                    ranges.iter().map(|range| [range.inside, range.outside, range.count]).collect();
                asked.sort_unstable();
                prop_assert_eq!(shown, asked);
            }
            Err(error) => {
                prop_assert!(!kernel, "the kernel takes what is refused: {}", error);
                prop_assert_eq!(error.step(), &Step::Validate);
            }
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}\nPROPTEST_RNG_SEED={seed}");
    }
    // The kernel is really asked.
    for (ranges, verdict) in
        [(vec![(0, 0, 1), (1, 5, 9)], true), (vec![(0, 0, 2), (1, 5, 9)], false)]
    {
        let range = |(inside, outside, count)| IdRange { inside, outside, count };
        let ranges: Vec<_> = ranges.into_iter().map(range).collect();
        assert_eq!(is_taken(&ranges), verdict);
    }
}
