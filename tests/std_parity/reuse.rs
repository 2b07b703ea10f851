//! Commands that are used again, and from several threads.

use crate::device::*;

pub(crate) fn a_command_can_be_used_again() {
    let all = same(|api| {
        let mut command = api.sh("echo \"$@\" $K; pwd; exit 3");
        command.arg("sh").arg("one").env("K", "v");
        let mut all = vec![command.output()];
        all.push(command.output());
        all.push(command.arg("two").env("K", "w").current_dir("/").output());
        all.push(command.env_clear().arg0("other").output());
        all.push(command.current_dir("/no/such").output());
        all.push(command.current_dir("/").output());
        (all, command.status(), command.spawn().and_then(|mut kid| kid.wait()))
    });
    let first = all.0[0].as_ref().expect("it is spawned");
    assert!(first.stdout.starts_with(b"one v\n"), "{first:?}");
    assert_eq!(all.0[4], Err(errno(libc::ENOENT)));
    assert_eq!(all.0[5], all.0[3]);
}

pub(crate) fn a_command_keeps_the_descriptors_it_was_given() {
    let text = same(|api| {
        let (reader, writer) = pipe();
        let mut command = api.command("echo");
        command.arg("again").stdout(writer);
        for _ in 0..3 {
            assert!(command.status().expect("it is spawned").success());
        }
        // Set anew, the first one is gone.
        command.stdout(To::Null);
        assert!(command.status().expect("it is spawned").success());
        read_all(reader)
    });
    assert_eq!(text, "again\nagain\nagain\n");
}

pub(crate) fn several_children_at_once() {
    same(|api| {
        let mut command = api.command("cat");
        command.stdin(To::Piped).stdout(To::Piped);
        let mut kids: Vec<_> = (0..4).map(|_| command.spawn().expect("spawned")).collect();
        let ids: BTreeSet<_> = kids.iter().map(Kid::id).collect();
        assert_eq!(ids.len(), kids.len());
        for (kid, n) in kids.iter_mut().zip(b'0'..) {
            kid.stdin().as_mut().expect("it is piped").write_all(&[n]).expect("somebody reads");
        }
        // None keeps the streams of another open: that one would not end.
        let all = kids.into_iter().map(|kid| kid.wait_with_output().expect("it ends").stdout);
        all.collect::<Vec<_>>()
    });
}

pub(crate) fn commands_can_be_sent_and_shared() {
    fn check<Std: Send + Sync, Ours: Send + Sync>() {}
    check::<StdCommand, Command>();
    check::<StdChild, Child>();
    check::<StdStdio, Stdio>();
    check::<io::Error, linux_namespaces::Error>();
    fn lasting<T: 'static + Debug>() {}
    lasting::<Command>();
    lasting::<Child>();
    lasting::<Stdio>();
    fn unwinding<T: UnwindSafe + RefUnwindSafe + Unpin>() {}
    unwinding::<StdChild>();
    unwinding::<Child>();
    unwinding::<StdStdio>();
    unwinding::<Stdio>();
}

pub(crate) fn threads_can_spawn_at_the_same_time() {
    for api in [Api::Std, Api::Ours] {
        std::thread::scope(|scope| {
            for thread in 0..6 {
                scope.spawn(move || {
                    for round in 0..20 {
                        let word = format!("{thread}-{round}");
                        let mut command = api.sh("read line; echo $0 $line >&2; exit $line");
                        command.arg(&word).stdin(To::Piped).stderr(To::Piped);
                        let mut kid = command.spawn().expect("spawned");
                        let mut stdin = kid.stdin().take().expect("it is piped");
                        writeln!(stdin, "{round}").expect("somebody reads");
                        drop(stdin);
                        let output = kid.wait_with_output().expect("it ends");
                        assert_eq!(output.status.code(), Some(round));
                        let text = String::from_utf8(output.stderr).expect("text");
                        assert_eq!(text, format!("{word} {round}\n"));
                    }
                });
            }
        });
    }
}

pub(crate) fn a_command_made_here_is_spawned_there() {
    both_say("elsewhere\n", |api| {
        let mut command = api.command("echo");
        command.arg("elsewhere").stdout(To::Piped);
        let spawner = std::thread::spawn(move || command.spawn());
        let kid = spawner.join().expect("no panic")?;
        std::thread::spawn(move || kid.wait_with_output()).join().expect("no panic")
    });
}
