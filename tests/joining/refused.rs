//! What cannot be entered, and what takes its place.

use std::os::unix::process::CommandExt as _;
use std::process::{Command as StdCommand, Stdio as StdStdio};

use linux_namespaces::flags::{MOUNT, NET, USER, UTS};
use linux_namespaces::{Cause, Command, NamespaceKind, Step};

use crate::common::processes::{end, holder, inode_of_link, inodes};
use crate::common::seccomp::{install, statement};
use crate::common::{Footprint, stdout_of, with_user};
use crate::entering::handle;

/// A net namespace of a user namespace beside the one that is entered: the message says that it is this one.
pub(crate) fn one_of_several_is_refused() {
    let (one, other) = (holder(USER | NET | UTS), holder(USER | NET | UTS));
    let [user, uts] = [NamespaceKind::User, NamespaceKind::Uts].map(|kind| handle(&one, kind));
    let net = handle(&other, NamespaceKind::Net);
    let before = Footprint::now();
    for handles in [[&user, &uts, &net], [&net, &uts, &user], [&uts, &net, &user]] {
        let mut command = Command::new("true");
        for handle in handles {
            command.enter(handle);
        }
        // Root has the right to both, as long as it has not entered the one.
        if crate::common::is_root() {
            assert!(command.status().expect("entered").success());
            continue;
        }
        let error = command.spawn().expect_err("no right to that one");
        assert_eq!(error.step(), &Step::Enter(NamespaceKind::Net), "{error}");
        assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{error}");
        let id = net.id().expect("an identity").to_string();
        assert!(error.to_string().contains(&id), "{error} should name {id}");
    }
    // The same for processes: of those kinds in which they are elsewhere.
    if !crate::common::is_root() {
        let mut command = Command::new("true");
        let error = command.enter_process(one.pidfd(), NET | UTS).spawn().expect_err("no right");
        assert_eq!(error.step(), &Step::EnterProcess(NET | UTS), "{error}");
        let named = [NamespaceKind::Net, NamespaceKind::Uts].map(|kind| {
            format!("{}: {}: ", one.id(), handle(&one, kind).id().expect("an identity"))
        });
        assert!(named.iter().any(|name| error.to_string().contains(name)), "{error}");
    }
    before.assert_unchanged();
    end(one);
    end(other);
}

pub(crate) fn an_ended_process_of_several() {
    let (there, mut ended) = (holder(USER | NET | UTS), holder(USER | NET | UTS));
    let uts = handle(&there, NamespaceKind::Uts);
    let mut alone = Command::new("true");
    alone.enter_process(ended.pidfd(), USER | NET);
    let mut mixed = Command::new("true");
    mixed.enter(&uts).enter_process(ended.pidfd(), USER | NET);
    ended.kill().expect("it runs");
    ended.wait().expect("its end");
    for command in [&mut alone, &mut mixed] {
        let error = command.spawn().expect_err("nothing to enter");
        assert_eq!(error.step(), &Step::EnterProcess(USER | NET), "{error}");
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH), "{error}");
        assert!(error.to_string().ends_with("that process has ended"), "{error}");
    }
    end(there);
}

/// setns(2) with several kinds at once, as only a pidfd takes it, is answered with EINVAL, as before Linux 5.8.
fn refuse_several_at_once() {
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let second = if cfg!(target_endian = "big") { 28 } else { 24 };
    let refused = statement(libc::BPF_RET, libc::SECCOMP_RET_ERRNO | libc::EINVAL as u32, 0, 0);
    install(vec![
        statement(load, 0, 0, 0),
        statement(equal, libc::SYS_setns as u32, 0, 3),
        statement(load, second, 0, 0),
        statement(equal, (USER | NET | UTS).bits(), 0, 1),
        refused,
    ]);
}

pub(crate) fn no_setns_with_a_pidfd() {
    let there = holder(USER | NET | UTS);
    let expected = inodes(there.id());
    refuse_several_at_once();
    let mut command = Command::new("readlink");
    command.args(["/proc/self/ns/user", "/proc/self/ns/net", "/proc/self/ns/uts"]);
    let told = stdout_of(command.enter_process(there.pidfd(), USER | NET | UTS));
    let inside: Vec<u64> = told.lines().map(inode_of_link).collect();
    let kinds = [NamespaceKind::User, NamespaceKind::Net, NamespaceKind::Uts];
    assert_eq!(inside, kinds.map(|kind| expected[&kind]));
    end(there);
}

/// What this process becomes is compared by the one that started it, which has done the same before.
pub(crate) fn exec_by_handles() {
    let there = holder(USER | NET | UTS);
    refuse_several_at_once();
    let expected = inodes(there.id())[&NamespaceKind::Net];
    let mut command = Command::new("sh");
    command.args(["-c", &format!("test \"$(readlink /proc/self/ns/net)\" = 'net:[{expected}]'")]);
    let error = command.enter_process(there.pidfd(), USER | NET | UTS).exec();
    panic!("it came back: {error}");
}

/// The kernel would move the root and directory of all threads before exec can fail.
pub(crate) fn exec_beside_a_thread() {
    let there = holder(with_user(MOUNT | UTS));
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let _ = stopped.recv();
    });
    let own = inodes("self");
    let mut command = Command::new("true");
    let error = command.enter_process(there.pidfd(), MOUNT | UTS).exec();
    assert_eq!(error.step(), &Step::EnterProcess(MOUNT | UTS), "{error}");
    assert_eq!(error.cause(), Some(&Cause::Threads), "{error}");
    assert_eq!(inodes("self"), own, "nothing has moved");
    drop(stop);
    thread.join().expect("it ends");
    end(there);
    // Not only that it refuses: std's own program starts after it as ever.
    let error = StdCommand::new("/no/such/program").stdin(StdStdio::null()).exec();
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
}
