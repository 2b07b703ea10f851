//! What a spawn costs: this crate beside a floor of raw system calls and beside std's `Command`, in one run.
//!
//! ```text
//! cargo bench --bench spawn                  # all of it
//! cargo bench --bench spawn -- sets memory   # some parts, which are: sets memory threads descriptors maps joins moving throughput allocations
//! ```
//!
//! The ways take turns in a shuffled order, pinned to one processor; what is printed are medians and their ratios, with the limits that the
//! crate sets itself. Best run as root and with nothing else to do for the machine. Without `--bench`, as in `cargo test --benches`, it
//! only shows that all of it works.

mod ballast;
mod counted;
mod floor;
mod measure;
mod moving;
mod parts;
mod target;

use measure::Effort;

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// For what takes a tenth of a millisecond.
    pub(crate) short: Effort,
    /// For what takes a millisecond or more.
    pub(crate) long: Effort,
    /// Memory that is touched, in MiB.
    pub(crate) memory: &'static [usize],
    pub(crate) descriptors: &'static [usize],
    pub(crate) spawns_for_throughput: usize,
}

const WHOLE: Scale = Scale {
    short: Effort { rounds: 500, repeats: 3 },
    long: Effort { rounds: 100, repeats: 3 },
    memory: &[10, 1024, 8 * 1024],
    descriptors: &[10, 10_000],
    spawns_for_throughput: 4000,
};
const TASTE: Scale = Scale {
    short: Effort { rounds: 2, repeats: 1 },
    long: Effort { rounds: 1, repeats: 1 },
    memory: &[10, 20],
    descriptors: &[10, 100],
    spawns_for_throughput: 20,
};

type Part = (&'static str, fn(&Scale));

const PARTS: [Part; 9] = [
    ("sets", parts::sets),
    ("memory", parts::memory),
    ("threads", parts::threads),
    ("descriptors", parts::descriptors),
    ("maps", parts::maps),
    ("joins", moving::joins),
    ("moving", moving::moving),
    ("throughput", parts::throughput),
    ("allocations", parts::allocations),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let scale = if arguments.iter().any(|argument| argument == "--bench") { WHOLE } else { TASTE };
    let wanted: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    for name in &wanted {
        assert!(PARTS.iter().any(|(part, _)| part == name), "there is no part {name}");
    }
    for (name, part) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|wanted| *wanted == name) {
            println!("\n== {name}");
            part(&scale);
        }
    }
}
