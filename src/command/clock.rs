//! The clocks that a program finds: time_namespaces(7).
#![forbid(unsafe_code)]

use std::ffi::CString;
use std::fmt;
use std::fs;
use std::time::Duration;

use super::Command;
use crate::error::{Error, Result};
use crate::sys::timens;

/// The kernel's `KTIME_SEC_MAX / 2`: no clock may be set beyond it. About 146 years.
const MAX_SECONDS: i64 = 4_611_686_018;
const NANOSECONDS: u32 = 1_000_000_000;

/// How far a clock inside is ahead of the machine's own, or behind it.
///
/// It counts from the clock of the first time namespace, also where the caller is in another one.
///
/// ```
/// use linux_namespaces::TimeOffset;
/// use std::time::Duration;
/// let half_a_second_behind = TimeOffset::new(-1, 500_000_000);
/// assert_eq!(TimeOffset::from(Duration::from_secs(3600)), TimeOffset::from_secs(3600));
/// ```
///
/// # References
/// time_namespaces(7)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOffset {
    seconds: i64,
    nanoseconds: u32,
}

impl TimeOffset {
    /// These seconds, which may be negative, and nanoseconds, which are added to them: 0 to 999,999,999. What is out of range is
    /// refused at spawn.
    ///
    /// # References
    /// time_namespaces(7)
    #[must_use]
    pub const fn new(seconds: i64, nanoseconds: u32) -> Self {
        Self { seconds, nanoseconds }
    }

    /// Whole seconds, ahead or, if negative, behind.
    ///
    /// # References
    /// time_namespaces(7)
    #[must_use]
    pub const fn from_secs(seconds: i64) -> Self {
        Self::new(seconds, 0)
    }
}

impl From<Duration> for TimeOffset {
    /// Ahead by that. A duration beyond every range is refused at spawn as any other.
    fn from(ahead: Duration) -> Self {
        Self::new(i64::try_from(ahead.as_secs()).unwrap_or(i64::MAX), ahead.subsec_nanos())
    }
}

impl fmt::Display for TimeOffset {
    /// Seconds as a decimal number: `-0.5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total =
            i128::from(self.seconds) * i128::from(NANOSECONDS) + i128::from(self.nanoseconds);
        let sign = if total < 0 { "-" } else { "" };
        let (whole, part) =
            (total.unsigned_abs() / 1_000_000_000, total.unsigned_abs() % 1_000_000_000);
        if part == 0 {
            return write!(f, "{sign}{whole}");
        }
        let part = format!("{part:09}");
        write!(f, "{sign}{whole}.{}", part.trim_end_matches('0'))
    }
}

/// The settings of a [`Command`].
#[derive(Debug, Default)]
pub(super) struct Clocks {
    monotonic: Option<TimeOffset>,
    boottime: Option<TimeOffset>,
}

impl Clocks {
    pub(super) fn are_default(&self) -> bool {
        let Self { monotonic, boottime } = self;
        monotonic.is_none() && boottime.is_none()
    }

    fn each(&self) -> impl Iterator<Item = (&'static str, libc::clockid_t, TimeOffset)> {
        let monotonic = self.monotonic.map(|offset| ("monotonic", libc::CLOCK_MONOTONIC, offset));
        let boottime = self.boottime.map(|offset| ("boottime", libc::CLOCK_BOOTTIME, offset));
        monotonic.into_iter().chain(boottime)
    }

    /// What would need a time namespace, in words.
    pub(super) fn need_namespace(&self) -> impl Iterator<Item = String> {
        self.each().map(|(name, _, offset)| format!("the {name} clock is set off by {offset} s"))
    }

    pub(super) fn validate(&self) -> Result<()> {
        for (name, clock, TimeOffset { seconds, nanoseconds }) in self.each() {
            if nanoseconds >= NANOSECONDS {
                return Err(Error::invalid(format!(
                    "the offset of the {name} clock has {nanoseconds} nanoseconds: they are 0 to {}",
                    NANOSECONDS - 1
                )));
            }
            if !(-MAX_SECONDS..=MAX_SECONDS).contains(&seconds) {
                return Err(Error::invalid(format!(
                    "the offset of the {name} clock is {seconds} s: it may be -{MAX_SECONDS} to {MAX_SECONDS}, \
                     and the clock may not go below zero by it"
                )));
            }
            // Roughly first, for the caller may be in a time namespace of its own, and its clock another one.
            let in_range = |now: i64| (0..=MAX_SECONDS).contains(&(now.saturating_add(seconds)));
            let Some(now) = timens::seconds(clock).filter(|now| !in_range(*now)) else { continue };
            let now = now.saturating_sub(own_offset(name));
            if !in_range(now) {
                return Err(Error::invalid(format!(
                    "the offset of the {name} clock is {seconds} s, and the clock is at {now} s: it may be {} to {}, \
                     so that the clock is not below zero, nor above {MAX_SECONDS} s",
                    -now,
                    MAX_SECONDS - now
                )));
            }
        }
        Ok(())
    }

    /// What is written to `timens_offsets`.
    pub(super) fn text(&self) -> Option<String> {
        let line = |(name, _, offset): (&str, _, TimeOffset)| {
            format!("{name} {} {}\n", offset.seconds, offset.nanoseconds)
        };
        Some(self.each().map(line).collect()).filter(|text: &String| !text.is_empty())
    }

    /// For `Debug`: what was set.
    pub(super) fn show(&self, show: &mut dyn FnMut(&str, Option<&dyn fmt::Debug>)) {
        show("monotonic_offset", self.monotonic.as_ref().map(|it| it as &dyn fmt::Debug));
        show("boottime_offset", self.boottime.as_ref().map(|it| it as &dyn fmt::Debug));
    }
}

/// Where the offsets are written of the time namespace that this thread has created, of which other threads know nothing. `None` if
/// there is no telling.
pub(super) fn offsets_of_this_thread() -> Option<CString> {
    let thread = fs::read_link("/proc/thread-self").ok()?;
    CString::new(format!("/proc/{}/timens_offsets", thread.file_name()?.to_str()?)).ok()
}

/// By how many seconds the caller's own clock is set off, as far as can be told.
fn own_offset(clock: &str) -> i64 {
    let offsets = fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
    seconds_of(&offsets, clock).unwrap_or(0)
}

pub(crate) fn seconds_of(offsets: &str, clock: &str) -> Option<i64> {
    let mut lines = offsets.lines().map(str::split_ascii_whitespace);
    let mut line = lines.find(|line| line.clone().next() == Some(clock))?;
    line.nth(1)?.parse().ok()
}

impl Command {
    /// Sets `CLOCK_MONOTONIC` inside off by this. Needs `TIME`, created: the clocks of a time namespace are set before its first
    /// process.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`](crate::Step::Validate) for an offset by which the clock would be below zero, or above 4,611,686,018 seconds; the
    /// message says the bounds. [`Step::ClockOffset`](crate::Step::ClockOffset): ERANGE for such an offset that only the kernel can tell, as
    /// where the caller is in a time namespace itself; EPERM without the capability; EACCES for a caller other than root that is not dumpable
    /// (`PR_SET_DUMPABLE` of prctl(2)), or enters a user namespace in that spawn; ENOENT without `/proc`.
    ///
    /// # Requires
    /// Linux 5.6 and CAP_SYS_TIME over the time namespace: root, or `USER` created with it; and `/proc`.
    ///
    /// # Examples
    /// ```no_run
    /// use linux_namespaces::{Command, TimeOffset, flags::*};
    /// # fn main() -> linux_namespaces::Result<()> {
    /// let day = TimeOffset::from_secs(24 * 60 * 60);
    /// Command::new("uptime").namespaces(USER | TIME).boottime_offset(day).monotonic_offset(day).status()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # References
    /// time_namespaces(7), prctl(2)
    pub fn monotonic_offset(&mut self, offset: TimeOffset) -> &mut Self {
        self.clocks.monotonic = Some(offset);
        self
    }

    /// Sets `CLOCK_BOOTTIME` inside off by this: how long the machine seems to run, as in `/proc/uptime`. Otherwise as
    /// [`monotonic_offset`](Self::monotonic_offset).
    ///
    /// # References
    /// time_namespaces(7), proc_uptime(5)
    pub fn boottime_offset(&mut self, offset: TimeOffset) -> &mut Self {
        self.clocks.boottime = Some(offset);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn offsets_are_shown_as_decimal_numbers() {
        for (offset, shown) in [
            (TimeOffset::from_secs(0), "0"),
            (TimeOffset::from_secs(-7), "-7"),
            (TimeOffset::new(-1, 500_000_000), "-0.5"),
            (TimeOffset::new(1, 1), "1.000000001"),
            (TimeOffset::new(-2, 999_999_999), "-1.000000001"),
        ] {
            assert_eq!(offset.to_string(), shown);
        }
    }

    #[test]
    fn offsets_are_found_in_the_kernels_text() {
        let text = "monotonic         -5         0\nboottime         86400         7\n";
        assert_eq!(seconds_of(text, "monotonic"), Some(-5));
        assert_eq!(seconds_of(text, "boottime"), Some(86_400));
        assert_eq!(seconds_of("", "boottime"), None);
    }

    /// From the text to nanoseconds.
    fn read(text: &str) -> i128 {
        let (sign, text) = text.strip_prefix('-').map_or((1, text), |text| (-1, text));
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        assert!(!part.is_empty() && part.len() <= 9 && (part == "0" || !part.ends_with('0')));
        let whole = whole.parse::<i128>().expect("a number") * 1_000_000_000;
        sign * (whole + format!("{part:0<9}").parse::<i128>().expect("a number"))
    }

    proptest! {
        #![proptest_config(crate::cases::config())]

        #[test]
        fn offsets_survive_their_text(seconds: i64, nanoseconds in 0..NANOSECONDS) {
            let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
            prop_assert_eq!(read(&TimeOffset::new(seconds, nanoseconds).to_string()), total);
        }

        /// As the kernel shows what was written for it.
        #[test]
        fn offsets_are_read_back(monotonic: i64, boottime: i64, nanoseconds in 0..NANOSECONDS) {
            let clocks = Clocks {
                monotonic: Some(TimeOffset::new(monotonic, nanoseconds)),
                boottime: Some(TimeOffset::from_secs(boottime)),
            };
            let written = clocks.text().expect("two lines");
            prop_assert_eq!(seconds_of(&written, "monotonic"), Some(monotonic));
            let shown = format!("{:<10} {monotonic:>10} {nanoseconds:>9}\n{:<10} {boottime:>10} {:>9}\n", "monotonic", "boottime", 0);
            prop_assert_eq!(seconds_of(&shown, "monotonic"), Some(monotonic));
            prop_assert_eq!(seconds_of(&shown, "boottime"), Some(boottime));
        }

        #[test]
        fn durations_are_ahead(seconds: u64, nanoseconds in 0u32..NANOSECONDS) {
            let offset = TimeOffset::from(Duration::new(seconds, nanoseconds));
            prop_assert!(offset.seconds >= 0);
            prop_assert_eq!(offset.nanoseconds, nanoseconds);
        }
    }
}
