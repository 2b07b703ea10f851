//! What can go wrong where a child becomes one of tokio's, and that nothing is lost by it.

use std::fs;
use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;

use libtest_mimic::Trial;
use linux_namespaces::tokio::{Child, RegisterError};
use linux_namespaces::{Command, Error, Stdio, Step};
use tokio::runtime::Builder;

use crate::common::seccomp::{install, statement};
use crate::common::{Case, Footprint, in_own_process, sh, test};
use crate::{current_thread, exists, limit_descriptors, on, on_both, piped, spawned};

pub(crate) const CASES: &[Case] = &[
    ("no_descriptor_left", no_descriptor_left_case),
    ("epoll_refuses_the_pidfd", || epoll_refuses_case("pidfd")),
    ("epoll_refuses_stdin", || epoll_refuses_case("standard input")),
    ("epoll_refuses_stdout", || epoll_refuses_case("standard output")),
    ("epoll_refuses_stderr", || epoll_refuses_case("standard error")),
];

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("outside_of_a_runtime", outside_of_a_runtime),
        test("in_an_entered_runtime", in_an_entered_runtime),
        test("in_a_runtime_without_io", in_a_runtime_without_io),
        test("streams_that_are_no_pipes", || on_both(streams_that_are_no_pipes)),
        test("no_descriptor_left", || in_own_process("no_descriptor_left")),
        test("epoll_refuses_the_pidfd", || in_own_process("epoll_refuses_the_pidfd")),
        test("epoll_refuses_stdin", || in_own_process("epoll_refuses_stdin")),
        test("epoll_refuses_stdout", || in_own_process("epoll_refuses_stdout")),
        test("epoll_refuses_stderr", || in_own_process("epoll_refuses_stderr")),
    ]
}

/// Answers on both streams what it is told, and ends with 5.
const ANSWERER: &str = "read line; echo \"out $line\"; echo \"err $line\" >&2; exit 5";

fn is_blocking(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: asks for flags.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    flags >= 0 && flags & libc::O_NONBLOCK == 0
}

/// The child that comes back is as it was: its streams block, are connected, and its status is to be had.
fn assert_intact(error: RegisterError) -> Error {
    use std::io::Write as _;
    let (mut child, error) = error.into_parts();
    let mut stdin = child.stdin.take().expect("it is back");
    assert!(is_blocking(stdin.as_fd()));
    assert!(is_blocking(child.stdout.as_ref().expect("it is back").as_fd()));
    assert!(is_blocking(child.stderr.as_ref().expect("it is back").as_fd()));
    assert_eq!(child.try_wait().expect("told"), None, "it waits for its line");
    stdin.write_all(b"line\n").expect("it reads");
    let mut text = String::new();
    child.stdout.take().expect("it is back").read_to_string(&mut text).expect("text");
    assert_eq!(text, "out line\n");
    let output = child.wait_with_output().expect("its end");
    assert_eq!((output.status.code(), &*output.stderr), (Some(5), &b"err line\n"[..]));
    error
}

fn outside_of_a_runtime() {
    let before = Footprint::now();
    let child = piped(&mut sh(ANSWERER)).spawn().expect("a shell");
    let start = format!("wait for process {}, registering its pidfd with tokio: ", child.id());
    let error = Child::try_from(child).expect_err("there is no runtime");
    let text = format!(
        "{start}there is no tokio runtime here: convert it inside of one, or after `Runtime::enter`"
    );
    assert_eq!((error.to_string(), format!("{error:?}")), (text.clone(), text));
    assert_eq!((error.error().step(), error.error().raw_os_error()), (&Step::Wait, None));
    assert!(format!("{error:#?}").contains("Child {"), "{error:#?}");
    assert_intact(error);
    before.assert_unchanged();
    // As an error of the crate, or of std, it drops the child.
    let command = || {
        let mut command = Command::new("cat");
        command.kill_on_drop(true).stdin(Stdio::piped());
        command
    };
    let convert = |child| -> linux_namespaces::Result<Child> { Ok(Child::try_from(child)?) };
    let child = command().spawn().expect("cat");
    let pid = child.id();
    assert_eq!(convert(child).expect_err("there is no runtime").step(), &Step::Wait);
    assert!(!exists(pid));
    let convert = |child| -> std::io::Result<Child> { Ok(Child::try_from(child)?) };
    let child = command().spawn().expect("cat");
    let pid = child.id();
    let error = convert(child).expect_err("there is no runtime");
    assert!(error.get_ref().is_some_and(|error| error.is::<Error>()));
    assert!(!exists(pid));
    before.assert_unchanged();
}

fn in_an_entered_runtime() {
    let runtime = current_thread();
    let mut child = {
        let _entered = runtime.enter();
        spawned(&mut sh("exit 17"))
    };
    assert_eq!(on(&runtime, child.wait()).expect("its end").code(), Some(17));
}

/// As all of tokio's own, which say what to enable.
fn in_a_runtime_without_io() {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let child = Command::new("cat").kill_on_drop(true).stdin(Stdio::piped()).spawn().expect("cat");
    let pid = child.id();
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let convert = || runtime.block_on(async { Child::try_from(child) });
    let payload = panic::catch_unwind(AssertUnwindSafe(convert)).expect_err("it has no reactor");
    panic::set_hook(hook);
    let text = payload.downcast_ref::<String>().cloned();
    let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    assert!(text.as_ref().is_some_and(|text| text.contains("enable_io")), "{text:?}");
    assert!(!exists(pid), "dropped");
}

async fn streams_that_are_no_pipes() {
    for place in 0..3 {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let mut child = piped(&mut sh(ANSWERER)).spawn().expect("a shell");
        let theirs = OwnedFd::from(theirs);
        let (what, right) = match place {
            0 => ("input", child.stdin.replace(theirs.into()).map(OwnedFd::from)),
            1 => ("output", child.stdout.replace(theirs.into()).map(OwnedFd::from)),
            _ => ("error", child.stderr.replace(theirs.into()).map(OwnedFd::from)),
        };
        let text = format!(
            "wait for process {}, registering its standard {what} with tokio: not a pipe",
            child.id()
        );
        let error = Child::try_from(child).expect_err("not a pipe");
        assert_eq!(error.to_string(), text);
        assert_eq!(error.error().kind(), std::io::ErrorKind::InvalidInput);
        let (mut child, error) = error.into_parts();
        // What was put there is there, and what belongs there can be put back.
        let right = right.expect("piped");
        let strange = match place {
            0 => child.stdin.replace(right.into()).map(OwnedFd::from),
            1 => child.stdout.replace(right.into()).map(OwnedFd::from),
            _ => child.stderr.replace(right.into()).map(OwnedFd::from),
        };
        let strange = UnixStream::from(strange.expect("it is back"));
        std::io::Write::write_all(&mut &strange, b"x").expect("it is connected");
        (&ours).read_exact(&mut [0]).expect("it is connected");
        let output = on_line(child).await;
        assert_eq!(
            (output.status.code(), &*output.stdout),
            (Some(5), &b"out line\n"[..]),
            "{error}"
        );
        assert_eq!(output.stderr, b"err line\n");
    }
}

/// Tells it its line, and gives what it makes of that.
async fn on_line(child: linux_namespaces::Child) -> std::process::Output {
    use tokio::io::AsyncWriteExt as _;
    let mut child = Child::try_from(child).expect("in a runtime");
    let mut stdin = child.stdin.take().expect("piped");
    let writing = async {
        stdin.write_all(b"line\n").await.expect("it reads");
        drop(stdin);
    };
    let ((), output) = tokio::join!(writing, child.wait_with_output());
    output.expect("its end")
}

/// A conversion takes no descriptor, and neither does waiting; a spawn does, and says so.
fn no_descriptor_left_case() {
    for runtime in [current_thread(), crate::multi_thread()] {
        on(&runtime, async {
            assert!(spawned(&mut sh("true")).wait().await.expect("its end").success());
            let before = Footprint::now();
            let children: Vec<_> =
                (0..8).map(|_| piped(&mut sh(ANSWERER)).spawn().expect("a shell")).collect();
            // 3, for poll(2) may have no more entries than this.
            let limits = limit_descriptors(Some(3));
            std::fs::File::open("/dev/null").expect_err("there is none left");
            let error = piped(&mut sh("true")).spawn().expect_err("there is none left");
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
            let error = sh("true").spawn().expect_err("there is none left");
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
            for child in children {
                let output = on_line(child).await;
                assert_eq!(output.status.code(), Some(5));
                assert_eq!(
                    (&*output.stdout, &*output.stderr),
                    (&b"out line\n"[..], &b"err line\n"[..])
                );
            }
            limit_descriptors(Some(limits.rlim_cur));
            before.assert_unchanged();
        });
    }
}

/// As at the limit of what a user may watch: for this one descriptor.
fn epoll_refuses_case(what: &str) {
    let runtime = current_thread();
    let child = piped(&mut sh(ANSWERER)).spawn().expect("a shell");
    let before = open_files();
    let fd = match what {
        "pidfd" => child.pidfd().as_fd(),
        "standard input" => child.stdin.as_ref().expect("piped").as_fd(),
        "standard output" => child.stdout.as_ref().expect("piped").as_fd(),
        _ => child.stderr.as_ref().expect("piped").as_fd(),
    };
    let (load, equal) = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, libc::BPF_JMP | libc::BPF_JEQ);
    let low_half = if cfg!(target_endian = "little") { 0 } else { 4 };
    // The number of the call, and two of its arguments: to add, and what.
    let argument = |number: u32| statement(load, 16 + 8 * number + low_half, 0, 0);
    install(vec![
        statement(load, 0, 0, 0),
        statement(equal, libc::SYS_epoll_ctl as u32, 0, 5),
        argument(1),
        statement(equal, libc::EPOLL_CTL_ADD as u32, 0, 3),
        argument(2),
        statement(equal, fd.as_raw_fd() as u32, 0, 1),
        statement(libc::BPF_RET, libc::SECCOMP_RET_ERRNO | libc::ENOSPC as u32, 0, 0),
    ]);
    let text = format!(
        "wait for process {}, registering its {what} with tokio: No space left on device (os error 28): \
         this user may watch no more descriptors by epoll: raise the sysctl fs.epoll.max_user_watches",
        child.id()
    );
    let error = on(&runtime, async { Child::try_from(child) }).expect_err("it is refused");
    assert_eq!((error.to_string(), error.error().step()), (text, &Step::Wait));
    assert_eq!(open_files(), before);
    assert_intact(error);
}

/// What is open, under whatever number.
fn open_files() -> Vec<PathBuf> {
    let listed = fs::read_dir("/proc/self/fd").expect("open descriptors").flatten();
    let mut files: Vec<_> = listed.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
    files.sort();
    files
}
