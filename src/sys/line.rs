//! Short texts, made without allocation. May run between clone and exec.

use std::ffi::c_char;

const SIZE: usize = 40;

/// A text that is cut where there is no room for more, and always ends with NUL.
pub(super) struct Line {
    buffer: [u8; SIZE],
    used: usize,
}

impl Line {
    pub(super) fn new() -> Self {
        Self { buffer: [0; SIZE], used: 0 }
    }

    pub(super) fn text(&self) -> &[u8] {
        self.buffer.get(..self.used).unwrap_or_default()
    }

    /// The text with its NUL.
    pub(super) fn as_ptr(&self) -> *const c_char {
        self.buffer.as_ptr().cast()
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.byte(*byte);
        }
    }

    fn byte(&mut self, byte: u8) {
        // The last one stays NUL.
        if self.used < SIZE - 1 {
            if let Some(place) = self.buffer.get_mut(self.used) {
                *place = byte;
                self.used += 1;
            }
        }
    }

    pub(super) fn number(&mut self, number: u32) {
        let mut unit = 1_000_000_000;
        while unit > number && unit > 1 {
            unit /= 10;
        }
        while unit > 0 {
            self.byte(b'0' + (number / unit % 10) as u8);
            unit /= 10;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_written_in_full() {
        for number in [0, 7, 10, 65_534, 1_000_000_000, u32::MAX] {
            let mut line = Line::new();
            line.number(number);
            assert_eq!(line.text(), number.to_string().as_bytes());
        }
    }

    proptest! {
        #![proptest_config(crate::cases::config())]

        #[test]
        fn every_number_is_written_in_full(number: u32, bits in 0u32..32) {
            let number = number >> bits;
            let mut line = Line::new();
            line.number(number);
            let text = number.to_string();
            prop_assert_eq!(line.text(), text.as_bytes());
        }

        /// More than the longest line has no room, and is cut without a panic.
        #[test]
        fn a_line_ends_with_its_buffer(numbers in proptest::collection::vec(any::<u32>(), 0..6)) {
            let mut line = Line::new();
            let mut whole = String::new();
            for number in numbers {
                line.number(number);
                line.bytes(b" ");
                whole.push_str(&format!("{number} "));
            }
            prop_assert_eq!(line.text(), &whole.as_bytes()[..whole.len().min(SIZE - 1)]);
            prop_assert_eq!(line.buffer[line.text().len()], 0);
        }
    }
}
