//! How a program ends, and how that is told.

use crate::device::*;

pub(crate) fn exit_codes() {
    for code in [0, 1, 2, 42, 126, 127, 128, 200, 255] {
        let status = same(|api| api.sh(&format!("exit {code}")).status()).expect("spawned");
        assert_eq!((status.code(), status.success()), (Some(code), code == 0));
        same(|api| {
            let mut kid = api.sh(&format!("exit {code}")).spawn()?;
            kid.wait()
        })
        .expect("it ends");
    }
}

pub(crate) fn deaths_by_signal() {
    for signal in [libc::SIGTERM, libc::SIGKILL, libc::SIGHUP, libc::SIGUSR1, 34, 64] {
        let status = same(|api| api.sh(&format!("kill -{signal} $$")).status()).expect("spawned");
        assert_eq!((status.code(), status.signal()), (None, Some(signal)));
    }
    let status = same(|api| api.sh("ulimit -c 0; kill -ABRT $$").status()).expect("spawned");
    assert_eq!((status.signal(), status.core_dumped()), (Some(libc::SIGABRT), false));
}

pub(crate) fn the_id_is_that_of_the_program() {
    same(|api| {
        let kid = api.sh("echo $$ $PPID").stdout(To::Piped).spawn().expect("spawned");
        let expected = format!("{} {}\n", kid.id(), std::process::id());
        assert_eq!(said(&kid.wait_with_output().expect("it ends")), expected);
    });
    same(|api| {
        let mut kid = api.command("true").spawn().expect("spawned");
        let before = kid.id();
        kid.wait().expect("it ends");
        assert_eq!(kid.id(), before);
    });
}

pub(crate) fn wait_closes_standard_input() {
    let (status, left) = same(|api| {
        let mut kid = api.command("cat").stdin(To::Piped).spawn().expect("spawned");
        assert!(kid.stdin().is_some());
        let status = kid.wait().expect("it ends");
        (status, kid.stdin().is_some())
    });
    assert!(status.success() && !left);
    both_say("", |api| {
        api.command("cat").stdin(To::Piped).stdout(To::Piped).spawn()?.wait_with_output()
    });
}

pub(crate) fn wait_gives_the_same_every_time() {
    agree(|api| {
        let mut kid = api.sh("exit 9").spawn().expect("spawned");
        let all = [kid.wait(), kid.wait(), kid.try_wait().map(Option::unwrap), kid.wait()];
        assert!(all.iter().all(|status| status.unwrap().code() == Some(9)), "{all:?}");
        all
    });
}

pub(crate) fn try_wait_before_and_after_the_end() {
    same(|api| {
        let mut kid = api.command("cat").stdin(To::Piped).spawn().expect("spawned");
        assert_eq!(kid.try_wait(), Ok(None));
        assert_eq!(kid.try_wait(), Ok(None));
        // Unlike wait, it leaves that open.
        assert!(kid.stdin().is_some());
        drop(kid.stdin().take());
        await_end(kid.id());
        let status = kid.try_wait().expect("it was not waited for").expect("it has ended");
        assert!(status.success());
        assert_eq!(kid.try_wait(), Ok(Some(status)));
        assert_eq!(kid.wait(), Ok(status));
        status
    });
}

pub(crate) fn kill_at_any_time() {
    agree(|api| {
        let mut kid = api.command("cat").stdin(To::Piped).spawn().expect("spawned");
        let first = kid.kill();
        let second = kid.kill();
        await_end(kid.id());
        let zombie = kid.kill();
        let status = kid.wait();
        assert_eq!(status.expect("it ends").signal(), Some(libc::SIGKILL));
        let all = [first, second, zombie, kid.kill(), kid.kill()];
        assert_eq!(all, [Ok(()); 5]);
        (all, status, kid.wait())
    });
    // One that ended by itself keeps its status.
    let status = same(|api| {
        let mut kid = api.sh("exit 4").spawn().expect("spawned");
        await_end(kid.id());
        (kid.kill(), kid.wait())
    });
    assert_eq!(status.1.expect("it ends").code(), Some(4));
}

pub(crate) fn wait_with_output_takes_what_is_piped() {
    let script = "echo out; echo err >&2; exit 6";
    let output =
        same(|api| api.sh(script).stdout(To::Piped).stderr(To::Piped).spawn()?.wait_with_output());
    let output = output.expect("it ends");
    assert_eq!((&*output.stdout, &*output.stderr), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!(output.status.code(), Some(6));
    same(|api| api.sh(script).stdout(To::Null).stderr(To::Piped).spawn()?.wait_with_output())
        .expect("it ends");
    same(|api| api.sh(script).stdout(To::Piped).stderr(To::Null).spawn()?.wait_with_output())
        .expect("it ends");
    same(|api| api.sh(script).stdout(To::Null).stderr(To::Null).spawn()?.wait_with_output())
        .expect("it ends");
    // What the caller has taken is not there any more.
    let output = same(|api| {
        let mut kid = api.sh(script).stdout(To::Piped).stderr(To::Piped).spawn()?;
        let out = read_all(kid.stdout().take().expect("it is piped"));
        kid.wait_with_output().map(|output| (out, output))
    });
    let (out, output) = output.expect("it ends");
    assert_eq!((&*out, output.stdout.len()), ("out\n", 0));
    // After its end, and after it was waited for.
    both_say("late\n", |api| {
        let mut kid = api.command("echo").arg("late").stdout(To::Piped).spawn()?;
        kid.wait()?;
        kid.wait_with_output()
    });
}

pub(crate) fn a_dropped_child_runs_on() {
    let text = same(|api| {
        let (gate, mut opens) = pipe();
        let (reader, writer) = pipe();
        let mut command = api.sh("read line; echo $line");
        let mut kid = command.stdin(gate).stdout(writer).spawn().expect("spawned");
        drop(command);
        let id = kid.id();
        assert!(kid.stdout().is_none());
        drop(kid);
        opens.write_all(b"still here\n").expect("somebody reads");
        let text = read_all(reader);
        // Nobody has reaped it, so that it is still there to be.
        let mut status = 0;
        // SAFETY: a child of this process that nothing else waits for.
        let reaped = unsafe { libc::waitpid(id as i32, &mut status, 0) };
        assert_eq!(reaped, id as i32);
        (text, status)
    });
    assert_eq!(text, ("still here\n".to_owned(), 0));
}
