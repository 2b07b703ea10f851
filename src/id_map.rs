//! Maps between the ids of a user namespace and those around it: user_namespaces(7).
#![forbid(unsafe_code)]

use std::fmt::{self, Write as _};

use crate::error::{Error, Result};

/// The most lines that the kernel takes.
const MAX_RANGES: usize = 340;
/// The kernel takes less than one page.
const MAX_BYTES: usize = 4095;

/// A line of a uid_map or gid_map: `count` ids from `inside` on are those from `outside` on.
///
/// Ids are 0 to 4294967294, and `count` is at least 1.
/// `Display` writes it as the kernel reads it: "0 100000 65536".
///
/// # References
/// user_namespaces(7)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first id in the new namespace.
    pub inside: u32,
    /// The id it is in the namespace around.
    pub outside: u32,
    /// How many, counting up on both sides.
    pub count: u32,
}

impl fmt::Display for IdRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.inside, self.outside, self.count)
    }
}

impl IdRange {
    fn end(first: u32, count: u32) -> u64 {
        u64::from(first) + u64::from(count)
    }

    /// Whether the runs of `count` ids from `first` on meet.
    fn meet(first: u32, other_first: u32, count: u32, other_count: u32) -> bool {
        u64::from(first) < Self::end(other_first, other_count)
            && u64::from(other_first) < Self::end(first, count)
    }
}

/// Checks what the kernel would refuse with a bare EINVAL, and names the range that is at fault. `file` is "uid_map" or "gid_map".
pub(crate) fn validate(file: &str, ranges: &[IdRange]) -> Result<()> {
    if ranges.is_empty() {
        return Err(Error::invalid(format!(
            "{file} is empty: give at least one range, or call `leave_unmapped`"
        )));
    }
    if ranges.len() > MAX_RANGES {
        return Err(Error::invalid(format!(
            "{file} has {} ranges: the kernel takes {MAX_RANGES} at most",
            ranges.len()
        )));
    }
    for (place, range) in ranges.iter().enumerate() {
        if range.count == 0 {
            return Err(Error::invalid(format!(
                "{file} range \"{range}\" is empty: its count must be at least 1"
            )));
        }
        for (side, first) in [("inside", range.inside), ("outside", range.outside)] {
            if IdRange::end(first, range.count) > u64::from(u32::MAX) {
                return Err(Error::invalid(format!(
                    "{file} range \"{range}\" goes past the last id on the {side}: 4294967294"
                )));
            }
        }
        for earlier in &ranges[..place] {
            for (side, first, other) in [
                ("inside", range.inside, earlier.inside),
                ("outside", range.outside, earlier.outside),
            ] {
                if IdRange::meet(first, other, range.count, earlier.count) {
                    return Err(Error::invalid(format!(
                        "{file} ranges \"{earlier}\" and \"{range}\" overlap on the {side}: an id may be mapped once"
                    )));
                }
            }
        }
    }
    let bytes = text(ranges).len();
    if bytes > MAX_BYTES {
        return Err(Error::invalid(format!(
            "{file} has {bytes} bytes of text: the kernel takes {MAX_BYTES} at most"
        )));
    }
    Ok(())
}

/// The file's text: a line for each range.
pub(crate) fn text(ranges: &[IdRange]) -> String {
    ranges.iter().fold(String::new(), |mut text, range| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{range}");
        text
    })
}

/// The same from the words of user_namespaces(7): for comparison.
#[cfg(any(test, fuzzing))]
pub(crate) fn is_valid(ranges: &[IdRange]) -> bool {
    let apart = |side: fn(&IdRange) -> u32| {
        let mut runs: Vec<(u64, u64)> =
            ranges.iter().map(|range| (side(range).into(), range.count.into())).collect();
        runs.sort_unstable();
        runs.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0)
            && runs.iter().all(|(first, count)| *count > 0 && first + count <= u64::from(u32::MAX))
    };
    (1..=MAX_RANGES).contains(&ranges.len())
        && apart(|range| range.inside)
        && apart(|range| range.outside)
        && text(ranges).len() <= MAX_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(ranges: &[IdRange]) -> String {
        validate("uid_map", ranges).unwrap_err().to_string()
    }

    const fn range(inside: u32, outside: u32, count: u32) -> IdRange {
        IdRange { inside, outside, count }
    }

    #[test]
    fn what_is_refused_is_named() {
        assert!(refusal(&[]).contains("uid_map is empty"));
        assert!(refusal(&[range(0, 5, 0)]).contains("\"0 5 0\" is empty"));
        assert!(
            refusal(&[range(u32::MAX, 5, 1)])
                .contains("\"4294967295 5 1\" goes past the last id on the inside")
        );
        assert!(
            refusal(&[range(0, u32::MAX - 1, 2)]).contains("goes past the last id on the outside")
        );
        assert!(refusal(&[range(0, 0, 10), range(9, 100, 1)]).contains("overlap on the inside"));
        assert!(
            refusal(&[range(0, 100, 10), range(10, 109, 1)])
                .contains("\"0 100 10\" and \"10 109 1\" overlap on the outside")
        );
        let many: Vec<_> = (0..341).map(|id| range(id, id, 1)).collect();
        assert!(refusal(&many).contains("341 ranges: the kernel takes 340"));
        let wide: Vec<_> =
            (0..340).map(|id| range(id + 1_000_000_000, id + 1_000_000_000, 1)).collect();
        assert!(refusal(&wide).contains("bytes of text"));
    }

    #[test]
    fn what_the_kernel_takes_is_taken() {
        validate("uid_map", &[range(0, 0, u32::MAX)]).unwrap();
        validate("uid_map", &[range(10, 0, 10), range(0, 10, 10)]).unwrap();
        let most: Vec<_> = (0..340).map(|id| range(id, id, 1)).collect();
        validate("uid_map", &most).unwrap();
        assert_eq!(
            text(&[range(0, 1000, 1), range(1, 100_000, 65536)]),
            "0 1000 1\n1 100000 65536\n"
        );
    }

    proptest! {
        #![proptest_config(crate::cases::config())]

        /// Against the definition: every id on its own.
        #[test]
        fn overlap_is_a_shared_id(
            ranges in proptest::collection::vec((0u32..30, 0u32..30, 1u32..6), 1..6)
        ) {
            let ranges: Vec<_> = ranges.into_iter().map(|(i, o, c)| range(i, o, c)).collect();
            let mut seen = std::collections::HashSet::new();
            let twice = ranges.iter().any(|r| (0..r.count).any(|n| {
                let inside = !seen.insert((0, r.inside + n));
                let outside = !seen.insert((1, r.outside + n));
                inside || outside
            }));
            prop_assert_eq!(validate("uid_map", &ranges).is_err(), twice);
        }
    }
}
