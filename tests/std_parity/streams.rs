//! The three standard streams.

use crate::device::*;

pub(crate) fn output_has_an_empty_standard_input() {
    both_say("/dev/null\n", |api| api.sh("readlink /proc/self/fd/0").output());
    both_say("", |api| api.command("cat").output());
}

pub(crate) fn null_reads_nothing_and_takes_anything() {
    both_say("/dev/null\n/dev/null\n", |api| {
        let mut command = api.sh("readlink /proc/self/fd/0; echo x >&2; readlink /proc/self/fd/2");
        command.stdin(To::Null).stderr(To::Null).output()
    });
    both_say("", |api| api.sh("cat; echo x").stdout(To::Null).stdin(To::Null).output());
}

pub(crate) fn output_takes_both_streams_however_full() {
    let script = "i=0; while [ $i -lt 64 ]; do head -c 16384 /dev/zero; head -c 16384 /dev/zero >&2; i=$((i+1)); done; exit 3";
    let lengths = same(|api| {
        let output = api.sh(script).output().expect("it is spawned");
        (output.status, output.stdout.len(), output.stderr.len())
    });
    assert_eq!((lengths.0.code(), lengths.1, lengths.2), (Some(3), 1 << 20, 1 << 20));
    // One after the other: whoever reads them in the wrong order waits for ever.
    for script in ["head -c 1048576 /dev/zero >&2; echo", "head -c 1048576 /dev/zero; echo >&2"] {
        same(|api| api.sh(script).output()).expect("it is spawned");
    }
}

pub(crate) fn output_leaves_streams_that_were_set() {
    let mut file = tempfile::tempfile().expect("a file");
    let output = same(|api| {
        let written = file.try_clone().expect("a descriptor");
        let output = api.sh("echo out; echo err >&2").stdout(written).output();
        output.expect("it is spawned")
    });
    assert_eq!((&*output.stdout, &*output.stderr), (&b""[..], &b"err\n"[..]));
    io::Seek::rewind(&mut file).expect("a file");
    assert_eq!(read_all(file), "out\nout\n");
}

/// Writes where it is told to by its own streams.
pub(crate) fn inherit_case() {
    let api = Api::of_this_case();
    let script = "read line; echo out $line; echo err >&2; exit 7";
    for to in [None, Some(To::Inherit)] {
        let mut command = api.sh(script);
        if let Some(to) = to {
            command.stdin(to).stdout(to).stderr(to);
        }
        let status = command.status().expect("it is spawned");
        assert_eq!(status.code(), Some(7));
        let mut kid = command.spawn().expect("it is spawned");
        let kept = [kid.stdin().is_some(), kid.stdout().is_some(), kid.stderr().is_some()];
        assert_eq!(kept, [false; 3]);
        assert_eq!(kid.wait().expect("it ends").code(), Some(7));
    }
}

pub(crate) fn status_and_spawn_inherit_the_streams() {
    let output = same(|api| {
        let mut child = api
            .case("inherit")
            .stdin(StdStdio::piped())
            .stdout(StdStdio::piped())
            .stderr(StdStdio::piped())
            .spawn()
            .expect("a case can be started");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(b"1\n2\n3\n4\n").expect("somebody reads");
        drop(stdin);
        child.wait_with_output().expect("it ends")
    });
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"out 1\nout 2\nout 3\nout 4\n");
    assert_eq!(output.stderr, b"err\nerr\nerr\nerr\n");
}

pub(crate) fn pipes_to_and_from_the_child() {
    let text = same(|api| {
        let mut command = api.sh("cat; echo err >&2");
        let mut kid =
            command.stdin(To::Piped).stdout(To::Piped).stderr(To::Piped).spawn().expect("spawned");
        let mut stdin = kid.stdin().take().expect("it is piped");
        stdin.write_all(b"through ").expect("somebody reads");
        stdin.write_all(b"the pipe").expect("somebody reads");
        drop(stdin);
        let out = read_all(kid.stdout().take().expect("it is piped"));
        let err = read_all(kid.stderr().take().expect("it is piped"));
        (out, err, kid.wait())
    });
    assert_eq!((&*text.0, &*text.1), ("through the pipe", "err\n"));
}

pub(crate) fn only_what_is_piped_is_kept() {
    for piped in 0..8u8 {
        let kept = same(|api| {
            let to = |stream: u8| if piped & (1 << stream) != 0 { To::Piped } else { To::Null };
            let mut command = api.command("true");
            let mut kid =
                command.stdin(to(0)).stdout(to(1)).stderr(to(2)).spawn().expect("spawned");
            let kept = [kid.stdin().is_some(), kid.stdout().is_some(), kid.stderr().is_some()];
            (kept, kid.wait())
        });
        assert_eq!(kept.0, [0, 1, 2].map(|stream| piped & (1 << stream) != 0));
    }
}

pub(crate) fn files_as_streams() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("file");
    fs::write(&path, "from a file").expect("a file");
    both_say("from a file", |api| {
        api.command("cat").stdin(File::open(&path).expect("a file")).output()
    });
    let written = same(|api| {
        let file = File::create(&path).expect("a file");
        let both = file.try_clone().expect("a descriptor");
        let status = api.sh("echo out; echo err >&2; echo out").stdout(file).stderr(both).status();
        (status, fs::read_to_string(&path).expect("a file"))
    });
    assert_eq!(written.1, "out\nerr\nout\n");
    // A directory can be a descriptor too, and only reading from it fails.
    same(|api| {
        let status =
            api.sh("cat 2>/dev/null").stdin(File::open("/").expect("a directory")).status();
        status.map(|status| status.success())
    })
    .expect("it is spawned");
}

pub(crate) fn pipe_ends_and_sockets_as_streams() {
    both_say("into a pipe", |api| {
        let (reader, mut writer) = pipe();
        writer.write_all(b"into a pipe").expect("room in the pipe");
        drop(writer);
        api.command("cat").stdin(reader).output()
    });
    let text = same(|api| {
        let (reader, writer) = pipe();
        let mut command = api.sh("echo out of a pipe");
        let status = command.stdout(OwnedFd::from(writer)).status();
        // The command keeps its end, and without it the pipe has one.
        drop(command);
        (status, read_all(reader))
    });
    assert_eq!(text.1, "out of a pipe\n");
    let text = same(|api| {
        let (ours, theirs) = UnixStream::pair().expect("sockets");
        let theirs = OwnedFd::from(theirs);
        let also = theirs.try_clone().expect("a descriptor");
        let mut command = api.sh("read line; echo $line back");
        let mut kid = command.stdin(theirs).stdout(also).spawn().expect("spawned");
        drop(command);
        (&ours).write_all(b"there and\n").expect("somebody reads");
        let text = read_all(&ours);
        (text, kid.wait())
    });
    assert_eq!(text.0, "there and back\n");
}

pub(crate) fn streams_of_another_child() {
    both_say("pipeline\n", |api| {
        let mut echo =
            api.command("echo").arg("pipeline").stdout(To::Piped).spawn().expect("spawned");
        let out = echo.stdout().take().expect("it is piped");
        let output = api.command("cat").stdin(out).output();
        echo.wait().expect("it ends");
        output
    });
    both_say("error\n", |api| {
        let mut sh = api.sh("echo error >&2").stderr(To::Piped).spawn().expect("spawned");
        let err = sh.stderr().take().expect("it is piped");
        let output = api.command("cat").stdin(err).output();
        sh.wait().expect("it ends");
        output
    });
    // From the other side: the second is the one that is there first.
    both_say("backwards\n", |api| {
        let mut command = api.command("cat");
        let mut cat = command.stdin(To::Piped).stdout(To::Piped).spawn().expect("spawned");
        let input = cat.stdin().take().expect("it is piped");
        api.command("echo").arg("backwards").stdout(input).status().expect("it ends");
        cat.wait_with_output()
    });
}

pub(crate) fn streams_that_have_each_other_s_numbers() {
    assert_eq!(same_in_case("exchanged streams"), "out\nerr\n");
}

/// Standard output and error of this process, given to the child the other way round, by the numbers they have.
pub(crate) fn exchanged_streams_case() {
    let api = Api::of_this_case();
    let (out_reader, out) = pipe();
    let (err_reader, err) = pipe();
    let saved = Saved::save();
    for (from, to) in [(&out, 1), (&err, 2)] {
        // SAFETY: this process's standard streams, which `saved` puts back.
        assert_eq!(unsafe { libc::dup2(from.as_raw_fd(), to) }, to);
    }
    let [stdout, stderr] = [2, 1].map(|fd| {
        // SAFETY: nothing in this process uses it before it is put back.
        unsafe { OwnedFd::from_raw_fd(fd) }
    });
    let mut command = api.sh("echo err; echo out >&2");
    let status = command.stdout(stdout).stderr(stderr).status();
    drop((command, out, err));
    saved.restore();
    assert!(status.expect("it is spawned").success());
    print!("{}{}", read_all(out_reader), read_all(err_reader));
}

/// The three standard streams of this process, for a case that closes them.
struct Saved([OwnedFd; 3]);

impl Saved {
    fn save() -> Self {
        Self([0, 1, 2].map(|fd| {
            // SAFETY: makes a new descriptor.
            let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 100) };
            assert!(copy >= 100, "{}", io::Error::last_os_error());
            // SAFETY: it was just made, and nothing else owns it.
            unsafe { OwnedFd::from_raw_fd(copy) }
        }))
    }

    fn restore(&self) {
        for (copy, fd) in self.0.iter().zip(0..) {
            // SAFETY: a standard stream again, as it was.
            assert_eq!(unsafe { libc::dup2(copy.as_raw_fd(), fd) }, fd);
        }
    }
}

/// Every set of closed standard streams, with every setting of them.
pub(crate) fn closed_streams_case() {
    let api = Api::of_this_case();
    let saved = Saved::save();
    let mut report = String::new();
    let script = "n=0; for fd in 0 1 2; do [ -e /proc/self/fd/$fd ] && n=$((n + (1 << fd))); done
        read line; echo out $line; echo err >&2; exit $n";
    let all = [To::Inherit, To::Null, To::Piped];
    let settings = (0..27).map(|n| (all[n / 9], all[n / 3 % 3], all[n % 3]));
    let settings: Vec<_> = settings.collect();
    for closed in 0..8u32 {
        for (stdin, stdout, stderr) in &settings {
            for fd in (0..3).filter(|fd| closed & (1 << fd) != 0) {
                // SAFETY: nothing in this process uses its standard streams before they are put back.
                unsafe { libc::close(fd) };
            }
            let spawned = api.sh(script).stdin(*stdin).stdout(*stdout).stderr(*stderr).spawn();
            let outcome = spawned.and_then(|mut kid| {
                if let Some(mut stdin) = kid.stdin().take() {
                    // What it is good for is what the child says of it.
                    let _ = stdin.write_all(b"in\n");
                }
                kid.wait_with_output()
            });
            saved.restore();
            report += &format!("closed {closed:03b}, {stdin:?} {stdout:?} {stderr:?}: ");
            report += &match outcome {
                Err(failure) => format!("{failure:?}\n"),
                Ok(Output { status, stdout, stderr }) => format!(
                    "open {:?}, out {:?}, err {:?}\n",
                    status.code().map(|code| format!("{code:03b}")),
                    String::from_utf8_lossy(&stdout),
                    String::from_utf8_lossy(&stderr)
                ),
            };
        }
    }
    println!("{report}");
}

pub(crate) fn a_caller_whose_own_streams_are_closed() {
    let [std, ours] = [Api::Std, Api::Ours].map(|api| {
        let output = api.case("closed streams").output().expect("a case can be started");
        assert!(output.status.success(), "{api:?}: {output:?}");
        (String::from_utf8(output.stdout).expect("text"), output.stderr)
    });
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for (ours, std) in lines(&ours.0).iter().zip(&lines(&std.0)) {
        assert_eq!(ours, std, "left: this crate; right: std");
    }
    assert_eq!(ours, std);
    // What is set is there, whatever the caller has closed.
    let all = r#"closed 111, Piped Piped Piped: open Some("111"), out "out in\n", err "err\n""#;
    assert!(ours.0.lines().any(|line| line == all), "{}", ours.0);
    let none = r#"closed 111, Inherit Inherit Inherit: open Some("000"), out "", err """#;
    assert!(ours.0.lines().any(|line| line == none), "{}", ours.0);
}

pub(crate) fn a_writer_is_told_that_nobody_reads() {
    let status = same(|api| {
        let mut yes = api.command("yes").stdout(To::Piped).spawn().expect("spawned");
        let out = yes.stdout().take().expect("it is piped");
        let head = api.command("head").args(["-n", "1"]).stdin(out).output();
        (head, yes.wait())
    });
    assert_eq!(said(&status.0.expect("it is spawned")), "y\n");
    assert_eq!(status.1.expect("it ends").signal(), Some(libc::SIGPIPE));
}
