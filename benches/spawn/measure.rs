//! Ways to do the same, taking turns in an order that is shuffled anew for every round, and what they took.

use std::time::{Duration, Instant};

/// One way. It panics where it does not do what it is measured for.
pub(crate) struct Way<'w> {
    pub(crate) name: String,
    run: Box<dyn FnMut() + 'w>,
    times: Vec<Duration>,
}

impl<'w> Way<'w> {
    pub(crate) fn new(name: impl Into<String>, run: impl FnMut() + 'w) -> Self {
        Self { name: name.into(), run: Box::new(run), times: Vec::new() }
    }
}

/// What one way took, in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Took {
    pub(crate) name: String,
    pub(crate) median: f64,
    /// A tenth of all times are below.
    pub(crate) tenth: f64,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    pub(crate) repeats: usize,
}

/// Each way once in every round. The figures are the medians of all repeats' medians.
pub(crate) fn compare(effort: Effort, mut ways: Vec<Way<'_>>) -> Vec<Took> {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut medians = vec![Vec::new(); ways.len()];
    let mut tenths = vec![Vec::new(); ways.len()];
    for way in &mut ways {
        // What is made once, a stack, a page of code, is not measured.
        (way.run)();
    }
    for _ in 0..effort.repeats {
        let mut order: Vec<usize> = (0..ways.len()).collect();
        for _ in 0..effort.rounds {
            for last in (1..order.len()).rev() {
                order.swap(last, numbers.below(last + 1));
            }
            for &turn in &order {
                let way = &mut ways[turn];
                let start = Instant::now();
                (way.run)();
                way.times.push(start.elapsed());
            }
        }
        for (place, way) in ways.iter_mut().enumerate() {
            way.times.sort_unstable();
            let at = |share: usize| way.times[way.times.len() * share / 10].as_secs_f64() * 1e6;
            medians[place].push(at(5));
            tenths[place].push(at(1));
            way.times.clear();
        }
    }
    let names = ways.into_iter().map(|way| way.name);
    names
        .zip(medians.iter_mut().zip(&mut tenths))
        .map(|(name, (medians, tenths))| Took {
            name,
            median: middle(medians),
            tenth: middle(tenths),
        })
        .collect()
}

fn middle(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// xorshift64.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

pub(crate) fn find<'t>(all: &'t [Took], name: &str) -> &'t Took {
    all.iter().find(|took| took.name == name).unwrap_or_else(|| panic!("{name} was not measured"))
}

/// How many times what `of` took `one` took.
pub(crate) fn ratio(all: &[Took], one: &str, of: &str) -> f64 {
    find(all, one).median / find(all, of).median
}

/// A figure that has a limit, and whether it keeps it.
pub(crate) fn verdict(what: &str, ratio: f64, limit: f64) {
    let word = if ratio <= limit { "" } else { "  OVER" };
    println!("  {what:<58} {ratio:>6.2}  (limit {limit:.2}){word}");
}

/// The same for one that is to be at least so much.
pub(crate) fn at_least(what: &str, ratio: f64, limit: f64) {
    let word = if ratio >= limit { "" } else { "  UNDER" };
    println!("  {what:<58} {ratio:>6.2}  (at least {limit:.2}){word}");
}

pub(crate) fn print(all: &[Took]) {
    println!("  {:<58} {:>9} {:>9}", "", "median µs", "p10 µs");
    for Took { name, median, tenth } in all {
        println!("  {name:<58} {median:>9.1} {tenth:>9.1}");
    }
}
