//! Subordinate ids: what /etc/subuid and /etc/subgid give to a user. subuid(5), subgid(5).
//!
//! A line is `owner:first:count`; the owner is a user's name or number, in both files. Shadow's own tools pass over lines
//! that they cannot read, and so are the lines of others here, comments and blank lines; but a line of this user that makes no
//! sense is an error, for ids would be missing without a word. Numbers are decimal: other forms are
//! read differently by different versions of those tools.
#![forbid(unsafe_code)]

use std::io;
use std::path::Path;

use crate::error::{At as _, Error, Result, Step};
use crate::{IdRange, sys};

/// One of the two files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum File {
    Users,
    Groups,
}

impl File {
    fn path(self) -> &'static str {
        match self {
            Self::Users => "/etc/subuid",
            Self::Groups => "/etc/subgid",
        }
    }

    /// What gives a user ids where there are none, and takes none from those to whom `text`, that of the file, gives some.
    fn remedy(self, user: &User, text: &[u8]) -> String {
        let option = if self == Self::Users { "--add-subuids" } else { "--add-subgids" };
        let name = user.name.as_deref().map_or("NAME".into(), String::from_utf8_lossy);
        let name = name.escape_debug();
        match free(text) {
            Some((first, last)) => {
                format!("as root, give some with `usermod {option} {first}-{last} {name}`")
            }
            None => format!(
                "as root, give some that are nobody else's with `usermod {option} FIRST-LAST {name}`"
            ),
        }
    }
}

/// As many as useradd(8) gives.
const GIVEN: u64 = 65_536;

/// The first and the last of so many ids past all that are given to anybody.
fn free(text: &[u8]) -> Option<(u64, u64)> {
    // The first that useradd(8) gives, if nobody has set another.
    const FIRST: u64 = 100_000;
    let ends = text.split(|byte| *byte == b'\n').filter_map(end);
    let first = ends.fold(FIRST, u64::max);
    let last = first + GIVEN - 1;
    (last < u64::from(u32::MAX)).then_some((first, last))
}

/// The first id past those that a line gives, in whichever way its numbers are read.
fn end(line: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(line).ok().filter(|line| !line.trim_start().starts_with('#'));
    let mut fields = line?.split(':').skip(1).map(|field| highest(field.trim()));
    let (first, count) = (fields.next()??, fields.next()??);
    Some(first.saturating_add(count).min(u64::from(u32::MAX)))
}

/// The highest that a number may mean: some of shadow's tools know hexadecimal and octal.
fn highest(field: &str) -> Option<u64> {
    let hexadecimal = field.strip_prefix("0x").or_else(|| field.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => field.parse().ok(),
    }
}

/// Whose ids they are.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) name: Option<Vec<u8>>,
}

impl User {
    pub(crate) fn with_uid(uid: u32) -> Self {
        Self { uid, name: sys::passwd::user_name(uid) }
    }

    fn shown(&self) -> String {
        match &self.name {
            Some(name) => {
                format!("{} ({})", String::from_utf8_lossy(name).escape_debug(), self.uid)
            }
            None => self.uid.to_string(),
        }
    }

    fn is(&self, owner: &[u8]) -> bool {
        self.name.as_deref() == Some(owner) || owner == self.uid.to_string().as_bytes()
    }
}

/// Ids from the first on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    first: u32,
    count: u32,
}

/// What keeps a text from giving ids.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Flaw {
    /// Number, counted from 1, and text of the line, and what is wrong with it.
    Line(usize, String, String),
    /// Nothing for this user. A line that is not of the form at all may be what was meant for it.
    Nothing(Option<(usize, String)>),
}

/// The map for `user`, whose own id on this side is `own`: 0 inside is that, and from 1 on there is what the file gives.
pub(crate) fn map(file: File, user: &User, own: u32) -> Result<Vec<IdRange>> {
    let path = Path::new(file.path());
    let text = std::fs::read(path).at(|| Step::Open(path.into())).map_err(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            return error;
        }
        error.because(format!(
            "user {} has no subordinate ids here: {}",
            user.shown(),
            file.remedy(user, b"")
        ))
    })?;
    let runs = runs(&text, user).map_err(|flaw| explain(file, user, flaw, &text))?;
    Ok(ranges(own, &runs))
}

fn explain(file: File, user: &User, flaw: Flaw, text: &[u8]) -> Error {
    let error = Error::new(Step::Parse).kind_of(io::ErrorKind::InvalidData);
    match flaw {
        Flaw::Line(number, line, why) => {
            error.on(format!("{}, line {number}, \"{line}\"", file.path())).because(why)
        }
        Flaw::Nothing(odd) => {
            let odd = odd.map_or_else(String::new, |(number, line)| {
                format!(" (line {number}, \"{line}\", is none at all)")
            });
            error.kind_of(io::ErrorKind::NotFound).on(file.path()).because(format!(
                "it has no line for user {}{odd}: {}",
                user.shown(),
                file.remedy(user, text)
            ))
        }
    }
}

/// What the lines of `user` give, in their order. They may overlap.
fn runs(text: &[u8], user: &User) -> std::result::Result<Vec<Run>, Flaw> {
    let mut runs = Vec::new();
    let mut odd = None;
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let shown = || String::from_utf8_lossy(line).escape_debug().to_string();
        let blank = line.trim_ascii().is_empty();
        if blank || line.trim_ascii_start().starts_with(b"#") {
            continue;
        }
        let owner = line.split(|byte| *byte == b':').next().unwrap_or_default();
        if user.is(owner.trim_ascii()) {
            runs.push(run(line).map_err(|why| Flaw::Line(number, shown(), why))?);
        } else if odd.is_none() && line.split(|byte| *byte == b':').count() != 3 {
            odd = Some((number, shown()));
        }
    }
    if runs.is_empty() { Err(Flaw::Nothing(odd)) } else { Ok(runs) }
}

/// One line, or what is wrong with it.
fn run(line: &[u8]) -> std::result::Result<Run, String> {
    let fields: Vec<_> = line.split(|byte| *byte == b':').collect();
    let [owner, first, count] = fields[..] else {
        return Err(format!(
            "it must have three fields, owner:first:count, and has {}",
            fields.len()
        ));
    };
    if owner.is_empty() || owner.trim_ascii() != owner {
        return Err("the owner must have no blanks around it".to_owned());
    }
    let (first, count) = (number("first id", first)?, number("count", count)?);
    if count == 0 {
        return Err("the count must be at least 1".to_owned());
    }
    if u64::from(first) + u64::from(count) > u64::from(u32::MAX) {
        return Err("it goes past the last id, 4294967294".to_owned());
    }
    Ok(Run { first, count })
}

fn number(what: &str, field: &[u8]) -> std::result::Result<u32, String> {
    let plain = !field.is_empty() && field.iter().all(u8::is_ascii_digit);
    if !plain || (field.len() > 1 && field[0] == b'0') {
        return Err(format!("the {what} must be a decimal number without blanks or leading zeros"));
    }
    let number = std::str::from_utf8(field).ok().and_then(|field| field.parse().ok());
    number.ok_or_else(|| format!("the {what} is more than the last id, 4294967294"))
}

/// The own id as 0, and then every id of the runs once, in their order, without a gap inside. The own id stays a range by itself,
/// for `newuidmap` knows it only so.
fn ranges(own: u32, runs: &[Run]) -> Vec<IdRange> {
    let mut ranges = vec![IdRange { inside: 0, outside: own, count: 1 }];
    for run in runs {
        let end = u64::from(run.first) + u64::from(run.count);
        let mut next = u64::from(run.first);
        while next < end {
            // What is mapped already is left out, and cuts off what comes before it.
            let covering =
                ranges.iter().find(|range| (u64::from(range.outside)..past(range)).contains(&next));
            if let Some(range) = covering {
                next = past(range);
                continue;
            }
            let ahead = ranges.iter().map(|range| u64::from(range.outside));
            let stop = ahead.filter(|outside| *outside > next).fold(end, u64::min);
            push(&mut ranges, next as u32, (stop - next) as u32);
            next = stop;
        }
    }
    ranges
}

/// The first id outside after the range.
fn past(range: &IdRange) -> u64 {
    u64::from(range.outside) + u64::from(range.count)
}

/// Behind the last range, or as its end if it goes on there.
fn push(ranges: &mut Vec<IdRange>, outside: u32, count: u32) {
    let several = ranges.len() > 1;
    match ranges.last_mut() {
        Some(last) if several && past(last) == u64::from(outside) => last.count += count,
        Some(IdRange { inside, count: before, .. }) => {
            // There are fewer ids outside than numbers, and each is counted once.
            let inside = *inside + *before;
            ranges.push(IdRange { inside, outside, count });
        }
        None => {}
    }
}

/// What has to hold for the text of such a file, whatever it is.
#[cfg(any(test, fuzzing))]
pub(crate) fn check(text: &[u8]) {
    let named = User { uid: 1000, name: Some(b"ann".to_vec()) };
    for user in [named, User { uid: 0, name: None }] {
        let runs = match runs(text, &user) {
            Ok(runs) => runs,
            Err(flaw) => {
                crate::fuzz::one_line(&explain(File::Users, &user, flaw, text));
                continue;
            }
        };
        // Numbers have one form, so each run is a line, letter by letter.
        let mut lines = text.split(|byte| *byte == b'\n');
        for Run { first, count } in &runs {
            let rest = format!(":{first}:{count}");
            assert!(lines.any(|line| {
                line.strip_suffix(rest.as_bytes()).is_some_and(|owner| user.is(owner))
            }));
        }
        // Every id outside once, and those inside without a gap.
        let ranges = ranges(1000, &runs);
        let mut next = 0;
        let mut outside = Vec::new();
        for range in &ranges {
            assert_eq!(range.inside, next);
            next += range.count;
            outside.push((u64::from(range.outside), past(range)));
        }
        let given = runs
            .iter()
            .map(|run| (u64::from(run.first), u64::from(run.first) + u64::from(run.count)));
        assert_eq!(covered(outside), u64::from(next));
        assert_eq!(covered(given.chain([(1000, 1001)]).collect()), u64::from(next));
    }
}

/// How many numbers are in these intervals, each counted once.
#[cfg(any(test, fuzzing))]
fn covered(mut intervals: Vec<(u64, u64)>) -> u64 {
    intervals.sort_unstable();
    let (mut covered, mut end) = (0, 0);
    for (from, to) in intervals {
        covered += to.saturating_sub(from.max(end));
        end = end.max(to);
    }
    covered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id_map;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn user() -> User {
        User { uid: 1000, name: Some(b"ann".to_vec()) }
    }

    fn given(text: &str) -> Vec<(u32, u32)> {
        let runs =
            runs(text.as_bytes(), &user()).unwrap_or_else(|flaw| panic!("{text:?}: {flaw:?}"));
        runs.into_iter().map(|run| (run.first, run.count)).collect()
    }

    fn refusal(text: &str) -> String {
        let flaw = runs(text.as_bytes(), &user()).expect_err(text);
        explain(File::Users, &user(), flaw, text.as_bytes()).to_string()
    }

    fn mapped(own: u32, runs: &[(u32, u32)]) -> String {
        let runs: Vec<_> =
            runs.iter().map(|(first, count)| Run { first: *first, count: *count }).collect();
        id_map::text(&ranges(own, &runs)).replace('\n', ";")
    }

    #[test]
    fn lines_by_name_and_by_number() {
        assert_eq!(given("ann:100000:65536\n"), [(100_000, 65_536)]);
        assert_eq!(given("1000:100000:65536"), [(100_000, 65_536)]);
        assert_eq!(
            given("bob:1:2\nann:100000:10\n\n1000:5:1\n# ann:7:7\n  \t\nann:200000:20\n"),
            [(100_000, 10), (5, 1), (200_000, 20)]
        );
        assert_eq!(given("ann:4294967294:1"), [(4_294_967_294, 1)]);
        let nameless = User { uid: 7, name: None };
        assert_eq!(runs(b"7:1:1", &nameless).unwrap(), [Run { first: 1, count: 1 }]);
    }

    #[test]
    fn lines_of_others_may_be_anything() {
        let others = "bob:x:y\n1000000:1:1\nannie:1:1\n:::\nann2:0:0\n01000:1:1\n+ann:1:1\nbob\n";
        assert_eq!(given(&format!("{others}ann:100000:10\n")), [(100_000, 10)]);
        let mut bytes = b"\xff\xfe:\0:1\n".to_vec();
        bytes.extend_from_slice(b"ann:1:1");
        assert_eq!(runs(&bytes, &user()).unwrap(), [Run { first: 1, count: 1 }]);
    }

    #[test]
    fn lines_that_make_no_sense_are_named() {
        for (line, why) in [
            ("ann", "three fields, owner:first:count, and has 1"),
            ("ann:1", "and has 2"),
            ("ann:1:2:3", "and has 4"),
            ("ann::1", "the first id must be a decimal number"),
            ("ann:1:", "the count must be a decimal number"),
            ("ann: 1:1", "the first id must be a decimal number"),
            ("ann:-1:1", "the first id must be a decimal number"),
            ("ann:0x10:1", "the first id must be a decimal number"),
            ("ann:010:1", "leading zeros"),
            ("1000:1:ten", "the count must be a decimal number"),
            ("ann:1:0", "the count must be at least 1"),
            ("ann:4294967295:1", "past the last id"),
            ("ann:4294967294:2", "past the last id"),
            ("ann:99999999999999999999999:1", "more than the last id"),
            (" ann:1:1", "no blanks around"),
        ] {
            let message = refusal(&format!("# ids\nann:5:5\n{line}\nann:9:9\n"));
            assert!(
                message.starts_with(&format!("parse /etc/subuid, line 3, \"{line}\": ")),
                "{message}"
            );
            assert!(message.contains(why), "{message}");
        }
        let message = refusal("ann:1:1\r\n");
        assert!(message.contains(r#"line 1, "ann:1:1\r""#), "{message}");
    }

    #[test]
    fn no_line_is_said_with_the_remedy() {
        let message = "parse /etc/subuid: it has no line for user ann (1000): \
                       as root, give some with `usermod --add-subuids 100000-165535 ann`";
        assert_eq!(refusal(""), message);
        assert_eq!(refusal("bob:1:1\n#ann:1:1\n"), message);
        let message = refusal("bob:100000:65536\n");
        assert!(message.ends_with("`usermod --add-subuids 165536-231071 ann`"), "{message}");
        let message = refusal("bob:1:1\nann;1;1\n");
        assert!(message.contains("(line 2, \"ann;1;1\", is none at all)"), "{message}");
    }

    #[test]
    fn the_remedy_takes_nothing_from_anybody() {
        let remedy = |text: &str| File::Groups.remedy(&user(), text.as_bytes());
        let with =
            |range: &str| format!("as root, give some with `usermod --add-subgids {range} ann`");
        assert_eq!(remedy(""), with("100000-165535"));
        assert_eq!(remedy("bob:1:10\n"), with("100000-165535"));
        assert_eq!(remedy("bob:100000:65536\ncy:165536:65536\n"), with("231072-296607"));
        assert_eq!(remedy("cy:165536:65536\nbob:100000:65536"), with("231072-296607"));
        // Lines that some tool might make something of; and those that none does.
        assert_eq!(remedy("bob:0x30000:0x10\n"), with("196624-262159"));
        assert_eq!(
            remedy(" bob: 0200000 : 5\n#bob:900000:5\nbob:900000\nbob:x:5\n\n"),
            with("200005-265540")
        );
        let last = "bob:4294901758:1\n";
        assert_eq!(remedy(last), with("4294901759-4294967294"));
        for full in
            ["bob:4294901759:1\n", "bob:100000:4294867295\n", "bob:99999999999:99999999999\n"]
        {
            let general = "as root, give some that are nobody else's with `usermod --add-subgids FIRST-LAST ann`";
            assert_eq!(remedy(full), general, "{full}");
        }
    }

    #[test]
    fn no_id_is_wasted() {
        assert_eq!(mapped(1000, &[(100_000, 65_536)]), "0 1000 1;1 100000 65536;");
        // Around the own id.
        assert_eq!(mapped(1000, &[(990, 20)]), "0 1000 1;1 990 10;11 1001 9;");
        assert_eq!(mapped(1000, &[(1000, 20)]), "0 1000 1;1 1001 19;");
        assert_eq!(mapped(1000, &[(990, 11)]), "0 1000 1;1 990 10;");
        assert_eq!(mapped(1000, &[(1000, 1)]), "0 1000 1;");
        // One after the other, twice the same, and into each other.
        assert_eq!(mapped(0, &[(10, 10), (20, 10)]), "0 0 1;1 10 20;");
        assert_eq!(mapped(0, &[(20, 10), (10, 10)]), "0 0 1;1 20 10;11 10 10;");
        assert_eq!(mapped(0, &[(10, 10), (10, 10)]), "0 0 1;1 10 10;");
        assert_eq!(mapped(0, &[(10, 10), (15, 10)]), "0 0 1;1 10 15;");
        assert_eq!(mapped(0, &[(15, 5), (10, 20)]), "0 0 1;1 15 5;6 10 5;11 20 10;");
        // Beside the own id, which newuidmap takes only alone.
        assert_eq!(mapped(9, &[(10, 10)]), "0 9 1;1 10 10;");
        assert_eq!(mapped(0, &[(0, u32::MAX)]), "0 0 1;1 1 4294967294;");
    }

    proptest! {
        #![proptest_config(crate::cases::config())]

        #[test]
        fn no_text_panics(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = runs(&text, &user());
            let _ = free(&text);
        }

        /// What it advises is given to nobody, and is enough for the kernel and the tools.
        #[test]
        fn what_is_advised_is_free(given in proptest::collection::vec((0u32..u32::MAX, 1u32..200_000), 0..7)) {
            let text: String = given.iter().map(|(first, count)| format!("bob:{first}:{count}\n")).collect();
            if let Some((first, last)) = free(text.as_bytes()) {
                prop_assert_eq!(last - first + 1, GIVEN);
                for (from, count) in given {
                    let (from, count) = (u64::from(from), u64::from(count));
                    prop_assert!(from > last || from + count <= first);
                }
            }
        }

        #[test]
        fn no_text_of_such_lines_panics(text in "((ann|1000|bob|#)?[: 0-9a\n]{0,12}\n?){0,8}") {
            if let Ok(runs) = runs(text.as_bytes(), &user()) {
                id_map::validate("uid_map", &ranges(1000, &runs)).expect("what the kernel takes");
            }
        }

        /// Against the definition: every id on its own.
        #[test]
        fn every_id_is_mapped_once_and_without_a_gap(
            own in 0u32..60,
            given in proptest::collection::vec((0u32..50, 1u32..15), 0..7),
        ) {
            let runs: Vec<_> = given.iter().map(|(first, count)| Run { first: *first, count: *count }).collect();
            let ranges = ranges(own, &runs);
            prop_assert_eq!(ranges[0], IdRange { inside: 0, outside: own, count: 1 });
            let mut next = 0;
            let mut seen = BTreeSet::new();
            for range in &ranges {
                prop_assert_eq!(range.inside, next);
                next += range.count;
                for n in 0..range.count {
                    prop_assert!(seen.insert(range.outside + n), "twice: {}", range.outside + n);
                }
            }
            let mut all: BTreeSet<_> = runs.iter().flat_map(|run| run.first..run.first + run.count).collect();
            all.insert(own);
            prop_assert_eq!(seen, all);
            id_map::validate("uid_map", &ranges).expect("what the kernel takes");
        }
    }
}
