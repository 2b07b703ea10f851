//! What a body returns, and how the result of a run is told through a pipe.
#![forbid(unsafe_code)]

use std::any::Any;
use std::fmt;

/// What the body of a test may return: `()`, or `Result<(), E>` with any error that has `Debug`, as a `#[test]` function may; or nothing
/// at all, if all it does is panic, for `#[should_panic]`.
///
/// It is implemented for these only.
///
/// # References
/// namespaces(7)
pub trait Outcome: sealed::Sealed {
    /// What the test outside returns for a body that has passed.
    ///
    /// # References
    /// namespaces(7)
    #[doc(hidden)]
    fn passed() -> Self;

    /// The error that it is.
    #[doc(hidden)]
    fn error(&self) -> Option<String>;
}

impl Outcome for () {
    fn passed() -> Self {}

    fn error(&self) -> Option<String> {
        None
    }
}

impl<T: Outcome, E: fmt::Debug> Outcome for Result<T, E> {
    fn passed() -> Self {
        Ok(T::passed())
    }

    fn error(&self) -> Option<String> {
        match self {
            Ok(value) => value.error(),
            Err(error) => Some(format!("{error:?}")),
        }
    }
}

impl Outcome for sealed::Never {
    /// # Panics
    /// Always. It is for a test that the machine refuses; as its body would have done.
    fn passed() -> Self {
        panic!("the body of the test was not run, and it is one that never returns");
    }

    fn error(&self) -> Option<String> {
        match *self {}
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<T, E> Sealed for Result<T, E> {}
    impl Sealed for Never {}

    /// `!`, which is what a closure that only panics returns, has no name of its own in stable Rust.
    pub(in crate::test) type Never = <fn() -> ! as Function>::Output;

    pub trait Function {
        type Output;
    }

    impl<T> Function for fn() -> T {
        type Output = T;
    }
}

/// A payload of a panic that can be sent to whoever goes on with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Message {
    Text(String),
    /// By `panic_any`.
    Other,
}

impl From<&(dyn Any + Send)> for Message {
    fn from(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        match text.or_else(|| payload.downcast_ref::<&str>().copied()) {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Other,
        }
    }
}

impl From<Message> for Box<dyn Any + Send> {
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => Box::new(text),
            Message::Other => Box::new(()),
        }
    }
}

/// What the process inside says about the body, last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Report {
    Passed,
    Panicked(Message),
}

const PASSED: u8 = b'p';
const TEXT: u8 = b't';
const OTHER: u8 = b'o';

impl Report {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Passed => vec![PASSED],
            Self::Panicked(Message::Other) => vec![OTHER],
            Self::Panicked(Message::Text(text)) => [&[TEXT], text.as_bytes()].concat(),
        }
    }

    /// `None`: nothing was said.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&PASSED, []) => Some(Self::Passed),
            (&OTHER, []) => Some(Self::Panicked(Message::Other)),
            (&TEXT, text) => {
                let text = String::from_utf8_lossy(text).into_owned();
                Some(Self::Panicked(Message::Text(text)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read_as_they_were_written() {
        for report in [
            Report::Passed,
            Report::Panicked(Message::Other),
            Report::Panicked(Message::Text(String::new())),
            Report::Panicked(Message::Text("left: 1\nright: 2 ü".to_owned())),
        ] {
            assert_eq!(Report::from_bytes(&report.to_bytes()), Some(report));
        }
        for nothing in ["", "x", "px"] {
            assert_eq!(Report::from_bytes(nothing.as_bytes()), None);
        }
    }

    #[test]
    fn payloads_that_are_text_are_sent() {
        let message = |payload: Box<dyn Any + Send>| Message::from(&*payload);
        assert_eq!(message(Box::new("constant")), Message::Text("constant".to_owned()));
        assert_eq!(message(Box::new("made".to_owned())), Message::Text("made".to_owned()));
        assert_eq!(message(Box::new(7)), Message::Other);
        let sent: Box<dyn Any + Send> = Message::Text("made".to_owned()).into();
        assert_eq!(sent.downcast_ref::<String>().map(String::as_str), Some("made"));
    }

    #[test]
    fn what_a_test_may_return() {
        assert_eq!(<Result<(), String>>::passed(), Ok(()));
        assert_eq!(().error(), None);
        assert_eq!(Err::<(), _>("broken").error().as_deref(), Some("\"broken\""));
    }
}
