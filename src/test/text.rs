//! What a process writes, in pieces: from a mark on, and as text.
#![forbid(unsafe_code)]

/// Keeps back what comes before the mark.
#[derive(Debug)]
pub(super) struct Stream {
    mark: Vec<u8>,
    /// What is not shown yet: all that came before the mark, and after that what is no whole character.
    kept: Vec<u8>,
    begun: bool,
}

impl Stream {
    pub(super) fn new(mark: &str) -> Self {
        Self { mark: mark.as_bytes().to_vec(), kept: Vec::new(), begun: false }
    }

    /// What is to be shown now that this was read.
    pub(super) fn push(&mut self, piece: &[u8]) -> String {
        // What was looked through is not looked through again, but for a mark that had only begun.
        let from = (self.kept.len() + 1).saturating_sub(self.mark.len());
        self.kept.extend_from_slice(piece);
        if !self.begun {
            let mut windows = self.kept[from..].windows(self.mark.len());
            let Some(start) = windows.position(|window| window == self.mark) else {
                return String::new();
            };
            self.kept.drain(..from + start + self.mark.len());
            self.begun = true;
        }
        let rest = self.kept.split_off(whole_characters(&self.kept));
        let shown = std::mem::replace(&mut self.kept, rest);
        String::from_utf8_lossy(&shown).into_owned()
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// What was kept to the end: without a mark all of it.
    pub(super) fn finish(self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }
}

/// How many bytes there are before a character that is not complete yet.
fn whole_characters(bytes: &[u8]) -> usize {
    // A character has four bytes at most, and what is wrong before that is wrong for good.
    let tail = bytes.len().saturating_sub(3);
    for start in tail..bytes.len() {
        if std::str::from_utf8(&bytes[start..])
            .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
        {
            return start;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_follows_the_mark_is_shown() {
        let mut stream = Stream::new("MARK");
        assert_eq!(stream.push(b"running 1 test\nMA"), "");
        assert_eq!(stream.push(b"RKbody"), "body");
        assert_eq!(stream.push(b"MARK"), "MARK");
        assert_eq!(stream.finish(), "");
        let mut without = Stream::new("MARK");
        assert_eq!(without.push(b"running 0 tests\n"), "");
        assert_eq!(without.finish(), "running 0 tests\n");
    }

    #[test]
    fn what_is_no_text_is_shown_too() {
        let mut stream = Stream::new("MARK");
        assert_eq!(stream.push(b"MARK\xff\xc3"), "\u{fffd}");
        assert_eq!(stream.finish(), "\u{fffd}");
    }

    proptest! {
        #![proptest_config(crate::cases::config())]

        #[test]
        fn no_character_is_torn(text in ".{0,40}", piece in 1usize..5) {
            let mut stream = Stream::new("MARK");
            let whole = format!("noiseMARK{text}");
            let mut shown: String = whole.as_bytes().chunks(piece).map(|piece| stream.push(piece)).collect();
            shown += &stream.finish();
            prop_assert_eq!(shown, text);
        }
    }
}
