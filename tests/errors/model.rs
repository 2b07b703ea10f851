//! The error itself.

use crate::device::*;

pub(crate) fn error_is_a_good_error() {
    pub(crate) fn good<T: Clone + Send + Sync + std::error::Error + 'static>(error: &T) -> T {
        error.clone()
    }
    let error = good(&refusal(&mut missing()));
    keeps_the_laws(&error);
    let plain: io::Error = error.clone().into();
    assert_eq!(plain.to_string(), NOT_THERE);
    assert_eq!(plain.kind(), io::ErrorKind::NotFound);
    let inner = plain.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    assert_eq!(inner.expect("the error itself").step(), error.step());
    // `?` in a function that gives an io::Error.
    let spawn = || -> io::Result<Child> { Ok(missing().spawn()?) };
    assert_eq!(spawn().expect_err("it is missing").kind(), io::ErrorKind::NotFound);
}

pub(crate) fn errno_gives_the_kind() {
    let directory = directory();
    let kind = |command: &mut Command| refusal(command).kind();
    let plain = file(&directory, "plain", b"", 0o644);
    assert_eq!(kind(&mut missing()), io::ErrorKind::NotFound);
    assert_eq!(kind(&mut Command::new(plain)), io::ErrorKind::PermissionDenied);
    assert_eq!(kind(&mut Command::new("/dev/null/x")), io::ErrorKind::NotADirectory);
    let mut long = Command::new("/bin/sh");
    assert_eq!(kind(long.arg("x".repeat(200_000))), io::ErrorKind::ArgumentListTooLong);
    assert_eq!(kind(Command::new("/bin/sh").fd(-1, null())), io::ErrorKind::InvalidInput);
}
