//! The table that `Support` is displayed as.
#![forbid(unsafe_code)]

use std::fmt;

use super::{Interface, Support};
use crate::NamespaceKind;
use crate::error::{Error, Result};

/// The most characters in a line.
const WIDTH: usize = 96;

/// The reasons, each once, in the order in which the table refers to them.
#[derive(Default)]
struct Notes(Vec<String>);

impl Notes {
    /// "yes", or "no" with the number of the reason.
    fn cell(&mut self, result: Result<(), &Error>) -> String {
        let Err(error) = result else { return "yes".to_owned() };
        let text = reason(error);
        let known = self.0.iter().position(|note| *note == text);
        let place = known.unwrap_or_else(|| {
            self.0.push(text);
            self.0.len() - 1
        });
        format!("no [{}]", place + 1)
    }
}

/// What kinds have in common: the reason without the step, if one is known.
fn reason(error: &Error) -> String {
    match (error.cause(), error.hint()) {
        (Some(_), Some(hint)) => hint.to_owned(),
        _ => error.to_string(),
    }
}

pub(super) fn write(support: &Support, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut notes = Notes::default();
    writeln!(f, "{:22} {:9} {:10} {:9} with user", "kind", "create", "with user", "enter")?;
    for kind in NamespaceKind::ALL {
        let cells = [
            notes.cell(support.creating(kind)),
            notes.cell(support.creating_with_user(kind)),
            notes.cell(support.entering(kind)),
            notes.cell(support.entering_with_user(kind)),
        ];
        let [create, with_user, enter, enter_with_user] = &cells;
        let kind = kind.proc_name();
        writeln!(f, "{kind:22} {create:9} {with_user:10} {enter:9} {enter_with_user}")?;
    }
    writeln!(f, "{:22} {}", "new /proc", notes.cell(support.mounting_proc()))?;
    writeln!(f)?;
    write!(f, "interface")?;
    for interface in Interface::ALL {
        write!(f, "\n{interface:22} {}", notes.cell(support.calling(interface)))?;
    }
    for (place, note) in notes.0.iter().enumerate() {
        if place == 0 {
            writeln!(f)?;
        }
        let mark = format!("[{}]", place + 1);
        for (place, line) in wrapped(note, WIDTH - 5).iter().enumerate() {
            write!(f, "\n{:4} {line}", if place == 0 { mark.as_str() } else { "" })?;
        }
    }
    Ok(())
}

/// Lines of at most so many characters, but for words that are longer.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one");
        let used = line.chars().count();
        if used > 0 && used + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if used > 0 {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(crate::cases::config())]

        #[test]
        fn wrapping_keeps_every_word_and_the_width(text in "[a-z]{1,12}( [a-z]{1,12}){0,40}", width in 12usize..60) {
            let lines = wrapped(&text, width);
            prop_assert_eq!(lines.join(" "), text);
            prop_assert!(lines.iter().all(|line| !line.is_empty() && line.len() <= width));
        }
    }
}
