//! Which namespaces a program is in that entered some.

use std::fs;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use linux_namespaces::flags::{IPC, MOUNT, NET, PID, TIME, USER, UTS};
use linux_namespaces::{Child, Command, Namespace, NamespaceKind, Namespaces, PidFd, Stdio, Step};

use crate::common::processes::{
    KINDS, child_ids, difference, end, holder, inode_of_link, inodes, running,
};
use crate::common::{field, inode, is_root, sh, stdout_of, with_user};

/// Checks that a program spawned by this is in these namespaces of that process, and else in the caller's.
#[track_caller]
pub(crate) fn assert_entered(command: &mut Command, there: &Child, kinds: Namespaces) {
    let child = running(command);
    let (own, theirs, inside) = (inodes("self"), inodes(there.id()), inodes(child.id()));
    for kind in KINDS {
        let from = if kinds.contains(kind.flag()) { &theirs } else { &own };
        assert_eq!(inside[&kind], from[&kind], "{kind}: {command:?}");
    }
    assert_eq!(child_ids(), [there.id(), child.id()], "{command:?}");
    end(child);
    assert_eq!(inodes("self"), own, "the caller has not moved");
}

pub(crate) fn cat() -> Command {
    Command::new("/bin/cat")
}

/// All eight, or as many as this user can have.
pub(crate) fn full_holder() -> Child {
    let there = holder(Namespaces::all());
    assert_eq!(difference(&inodes(there.id()), &inodes("self")), Namespaces::all());
    there
}

pub(crate) fn handle(there: &Child, kind: NamespaceKind) -> Namespace {
    let handle = Namespace::of(there.id(), kind);
    handle.unwrap_or_else(|error| panic!("{kind}: {error}"))
}

pub(crate) fn entered_one_by_one() {
    let there = full_holder();
    for kind in KINDS {
        let kinds = with_user(kind.flag());
        for by_handle in [true, false] {
            let mut command = cat();
            if by_handle {
                for kind in kinds.kinds() {
                    command.enter(&handle(&there, kind));
                }
            } else {
                command.enter_process(there.pidfd(), kinds);
            }
            assert_entered(&mut command, &there, kinds);
        }
    }
    end(there);
}

/// Another order each time: a permutation made from its number.
pub(crate) fn shuffled<T>(mut items: Vec<T>, mut number: usize) -> Vec<T> {
    let mut shuffled = Vec::new();
    while !items.is_empty() {
        let place = number % items.len();
        number /= items.len();
        shuffled.push(items.swap_remove(place));
    }
    shuffled
}

pub(crate) fn entered_in_any_order() {
    let there = full_holder();
    // A prime step through all 40320 orders.
    for number in (0..40_320).step_by(1009) {
        let mut command = cat();
        for kind in shuffled(KINDS.to_vec(), number) {
            command.enter(&handle(&there, kind));
        }
        assert_entered(&mut command, &there, Namespaces::all());
    }
    end(there);
}

pub(crate) fn entered_by_process() {
    let there = full_holder();
    for kinds in [
        Namespaces::all(),
        Namespaces::all() - TIME,
        USER | PID,
        USER | MOUNT,
        USER | PID | MOUNT,
        USER | NET | UTS,
        USER | TIME | IPC,
    ] {
        assert_entered(cat().enter_process(there.pidfd(), kinds), &there, kinds);
        let one_by_one = &mut cat();
        for kind in kinds.kinds() {
            one_by_one.enter_process(there.pidfd(), kind.flag());
        }
        assert_entered(one_by_one, &there, kinds);
    }
    end(there);
}

pub(crate) fn entered_by_both() {
    let there = full_holder();
    for kind in KINDS {
        let rest = Namespaces::all() - kind.flag();
        let mut command = cat();
        command.enter(&handle(&there, kind)).enter_process(there.pidfd(), rest);
        assert_entered(&mut command, &there, Namespaces::all());
        let mut command = cat();
        command.enter_process(there.pidfd(), rest).enter(&handle(&there, kind));
        assert_entered(&mut command, &there, Namespaces::all());
    }
    end(there);
}

/// Owned by the caller's user namespace, so the rights to them must not be lost by entering the user namespace.
pub(crate) fn entered_without_user() {
    let outer = holder(Namespaces::all() - USER);
    assert_entered(
        cat().enter_process(outer.pidfd(), Namespaces::all() - USER),
        &outer,
        Namespaces::all() - USER,
    );
    let mut inner = Command::new("cat");
    inner.enter_process(outer.pidfd(), Namespaces::all() - USER).namespaces(USER);
    let inner = inner.stdin(Stdio::piped()).spawn().expect("a user namespace inside");
    let expected = inodes(inner.id());
    for number in (0..40_320).step_by(4001) {
        let mut command = cat();
        for kind in shuffled(KINDS.to_vec(), number) {
            command.enter(&handle(&inner, kind));
        }
        let child = running(&mut command);
        assert_eq!(inodes(child.id()), expected, "{command:?}");
        end(child);
    }
    end(inner);
    end(outer);
}

pub(crate) fn the_program_itself_is_inside() {
    let there = holder(with_user(PID | MOUNT | UTS));
    let kinds = with_user(PID);
    let mut command = cat();
    let child = running(command.enter_process(there.pidfd(), kinds));
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("status");
    assert_eq!(field("PPid", &status), std::process::id().to_string());
    let numbers: Vec<&str> = field("NSpid", &status).split_whitespace().collect();
    assert_eq!(numbers.len(), 2, "{numbers:?}");
    assert_eq!(numbers[0], child.id().to_string());
    assert_eq!(
        inode(format!("/proc/{}/ns/pid", child.id())),
        inodes(there.id())[&NamespaceKind::Pid]
    );
    assert_eq!(child_ids(), [there.id(), child.id()]);
    end(child);

    // A pid namespace in the entered one: process 1 there, and still the caller's child.
    let mut command = cat();
    command.enter_process(there.pidfd(), kinds).namespaces(PID);
    let child = running(&mut command);
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("status");
    assert_eq!(field("PPid", &status), std::process::id().to_string());
    let numbers: Vec<&str> = field("NSpid", &status).split_whitespace().collect();
    assert_eq!((numbers.len(), numbers[2]), (3, "1"), "{numbers:?}");
    assert_eq!(numbers[0], child.id().to_string());
    assert_eq!(child_ids(), [there.id(), child.id()]);
    end(child);
    end(there);
}

/// An ordinary user has no right to enter even those that it is in, so they can only have been passed over.
pub(crate) fn own_namespaces_are_passed_over() {
    let own = inodes("self");
    let process = PidFd::open(std::process::id()).expect("a pidfd");
    let mut all = cat();
    for kind in KINDS {
        let here = Namespace::current(kind).expect("a handle");
        let child = running(cat().enter(&here));
        assert_eq!(inodes(child.id()), own, "{kind}");
        end(child);
        all.enter(&here);
    }
    for command in [&mut all, cat().enter_process(&process, Namespaces::all())] {
        let child = running(command);
        assert_eq!(inodes(child.id()), own, "{command:?}");
        end(child);
    }
}

pub(crate) fn created_inside_the_entered() {
    let mut there = Command::new("cat");
    there.namespaces(USER).map_root_user().stdin(Stdio::piped());
    let there = there.spawn().expect("a holder");
    let user = handle(&there, NamespaceKind::User);
    for by_handle in [true, false] {
        let enter = |command: &mut Command| {
            if by_handle {
                command.enter(&user);
            } else {
                command.enter_process(there.pidfd(), USER);
            }
        };
        let mut command =
            sh("echo $$; id -u; readlink /proc/self/ns/user; ls /proc | grep -c '^[0-9]'");
        enter(&mut command);
        let told = stdout_of(command.namespaces(PID | MOUNT));
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines[..2], ["1", "0"], "root there, whoever it is outside");
        assert_eq!(inode_of_link(lines[2]), inodes(there.id())[&NamespaceKind::User]);
        let processes: u32 = lines[3].parse().expect("a number");
        assert!((1..=3).contains(&processes), "a /proc of its own: {told}");

        let mut command = cat();
        enter(&mut command);
        let child = running(command.namespaces(PID | MOUNT | NET));
        let changed = difference(&inodes(child.id()), &inodes("self"));
        assert_eq!(changed, USER | PID | MOUNT | NET);
        for kind in [NamespaceKind::Pid, NamespaceKind::Mount, NamespaceKind::Net] {
            let owner = handle(&child, kind).owner().expect("an owner").expect("in sight");
            assert_eq!(owner.id().expect("an id"), user.id().expect("an id"), "{kind}");
        }
        assert_eq!(child_ids(), [there.id(), child.id()]);
        end(child);
    }
    end(there);
}

pub(crate) fn the_directory_is_the_entered_root() {
    let there = holder(with_user(MOUNT));
    let directory = tempfile::tempdir().expect("a directory");
    let before = std::env::current_dir().expect("a directory");
    std::env::set_current_dir(directory.path()).expect("it is there");
    let child = running(cat().enter_process(there.pidfd(), with_user(MOUNT)));
    std::env::set_current_dir(before).expect("it is there");
    let link = |name: &str| Path::new("/proc").join(child.id().to_string()).join(name);
    assert_eq!(fs::read_link(link("cwd")).expect("a directory"), Path::new("/"));
    let identity = |path: &Path| {
        let metadata = fs::metadata(path).expect("metadata");
        (metadata.dev(), metadata.ino())
    };
    let root = Path::new("/proc").join(there.id().to_string()).join("root");
    assert_eq!(identity(&link("cwd")), identity(&root));
    assert_eq!(identity(&link("root")), identity(&root));
    end(child);
    end(there);
}

pub(crate) fn entered_many_times() {
    let set = USER | NET | UTS;
    let there = holder(set);
    let handles: Vec<_> = set.kinds().map(|kind| handle(&there, kind)).collect();
    let expected: Vec<u64> =
        handles.iter().map(|handle| handle.id().expect("an id").ino()).collect();
    for number in 0..200 {
        let mut command = Command::new("readlink");
        for kind in set.kinds() {
            command.arg(format!("/proc/self/ns/{kind}"));
        }
        for handle in shuffled(handles.iter().collect(), number) {
            command.enter(handle);
        }
        let told: Vec<u64> = stdout_of(&mut command).lines().map(inode_of_link).collect();
        assert_eq!(told, expected, "run {number}");
    }
    end(there);
}

/// By pidfd and by handles in another order each time.
pub(crate) fn every_subset() {
    let there = full_holder();
    for bits in 1..=255usize {
        let kinds: Namespaces = KINDS
            .into_iter()
            .enumerate()
            .filter(|(n, _)| bits >> n & 1 == 1)
            .map(|(_, k)| k)
            .collect();
        if !is_root() && !kinds.contains(USER) {
            continue;
        }
        assert_entered(cat().enter_process(there.pidfd(), kinds), &there, kinds);
        let mut by_handles = cat();
        for kind in shuffled(kinds.kinds().collect(), bits * 157) {
            by_handles.enter(&handle(&there, kind));
        }
        assert_entered(&mut by_handles, &there, kinds);
    }
    end(there);
}

/// All that the caller has open leads back to it. None of that is to be had inside.
pub(crate) fn nothing_leads_back() {
    let there = full_holder();
    let outside = tempfile::tempdir().expect("a directory");
    let directory = fs::File::open(outside.path()).expect("a directory");
    // Neither close-on-exec nor above the standard streams by chance.
    let kept: Vec<_> = (10..14)
        .map(|number| {
            // SAFETY: makes another descriptor for one that is open.
            let fd = unsafe { libc::fcntl(directory.as_raw_fd(), libc::F_DUPFD, number) };
            assert!(fd >= number);
            // SAFETY: it was just made, for nobody else.
            unsafe { OwnedFd::from_raw_fd(fd) }
        })
        .collect();
    let before = std::env::current_dir().expect("a directory");
    std::env::set_current_dir(outside.path()).expect("it is there");
    let script = "for fd in /proc/self/fd/*; do readlink $fd; done; pwd -P; cd ..; pwd -P; readlink /proc/self/cwd";
    let all = Namespaces::all();
    let mut plain = sh(script);
    plain.enter_process(there.pidfd(), all);
    let mut handles = sh(script);
    for kind in KINDS {
        handles.enter(&handle(&there, kind));
    }
    let mut below = sh(script);
    below.enter_process(there.pidfd(), all).namespaces(PID);
    // Who writes the maps of the inner one has to open the program's process to those inside for a moment.
    let mut nested = sh(script);
    nested.enter_process(there.pidfd(), all).namespaces(USER).map_root_user();
    for command in [&mut plain, &mut handles, &mut below, &mut nested] {
        let told = stdout_of(command.stdin(Stdio::null()).stderr(Stdio::null()));
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines[lines.len() - 3..], ["/", "/", "/"], "{command:?}: {told}");
        // The standard streams, and what the shell itself has open to list them.
        for line in &lines[..lines.len() - 3] {
            let known =
                ["/dev/null", "pipe:[", "/proc/"].iter().any(|start| line.starts_with(start));
            assert!(known, "{command:?}: {line} in {told}");
        }
    }
    std::env::set_current_dir(before).expect("it is there");
    drop(kept);
    end(there);
}

/// A container in a container: the maps of the inner one are written by somebody inside the outer.
pub(crate) fn user_in_user_in_user() {
    let there = full_holder();
    let all = Namespaces::all();
    let mut command = sh("cat /proc/self/uid_map; id -u; echo $$; readlink /proc/self/ns/user");
    command.enter_process(there.pidfd(), all - MOUNT).namespaces(USER | PID | MOUNT);
    // SAFETY: asks for a number.
    let dumpable = || unsafe { libc::prctl(libc::PR_GET_DUMPABLE) };
    let before = dumpable();
    let told = stdout_of(command.map_root_user());
    assert_eq!(dumpable(), before);
    let words: Vec<&str> = told.split_whitespace().collect();
    // SAFETY: asks for a number.
    let uid = unsafe { libc::geteuid() }.to_string();
    assert_eq!(words[..5], ["0", &uid, "1", "0", "1"], "{told}");
    assert_ne!(inode_of_link(words[5]), inodes(there.id())[&NamespaceKind::User]);
    assert_eq!(child_ids(), [there.id()]);
    end(there);
}

/// Seen from inside, as all paths are after a mount namespace.
pub(crate) fn the_directory_is_one_inside() {
    let outside = tempfile::tempdir().expect("a directory");
    let inner = outside.path().join("inner");
    fs::create_dir(&inner).expect("a directory");
    let mut holder = sh(&format!(
        "mount -t tmpfs none {0} && mkdir {0}/only-inside && echo x && cat",
        inner.display()
    ));
    holder.namespaces(with_user(MOUNT)).stdin(Stdio::piped()).stdout(Stdio::piped());
    if !is_root() {
        holder.map_root_user();
    }
    let mut there = holder.spawn().expect("a holder");
    let mut ready = [0];
    let out = there.stdout.as_mut().expect("piped");
    std::io::Read::read_exact(out, &mut ready).expect("it is set up");
    let wanted = inner.join("only-inside");
    assert!(!wanted.exists());
    let mut command = Command::new("pwd");
    command.enter_process(there.pidfd(), with_user(MOUNT)).current_dir(&wanted);
    assert_eq!(stdout_of(&mut command), wanted.to_str().expect("text"));
    let mut command = Command::new("./pwd");
    command.enter_process(there.pidfd(), with_user(MOUNT)).current_dir("/bin");
    assert_eq!(Path::new(&stdout_of(&mut command)).file_name(), Some("bin".as_ref()));
    end(there);
}

/// CVE-2024-21626: a link to one of the caller's descriptors, planted where the program is to run.
pub(crate) fn no_directory_through_a_descriptor() {
    let outside = tempfile::tempdir().expect("a directory");
    let planted = tempfile::tempdir().expect("a directory");
    let open = fs::File::open(outside.path()).expect("a directory");
    let link = planted.path().join("link");
    std::os::unix::fs::symlink(format!("/proc/self/fd/{}", open.as_raw_fd()), &link)
        .expect("a link");
    let there = holder(with_user(MOUNT | PID));
    let plain = |command: &mut Command| {
        command.enter_process(there.pidfd(), with_user(MOUNT | PID)).current_dir(&link);
    };
    let mut hooked = Command::new("pwd");
    plain(&mut hooked);
    // SAFETY: it does nothing.
    unsafe { hooked.pre_exec(|| Ok(())) };
    let mut inheriting = Command::new("pwd");
    plain(inheriting.inherit_fds(true));
    let mut closed = Command::new("pwd");
    plain(&mut closed);
    for command in [&mut hooked, &mut inheriting, &mut closed] {
        let error = command.spawn().expect_err("it leads out, or nowhere");
        assert_eq!(error.step(), &Step::Chdir(link.clone()), "{error}");
    }
    drop(open);
    end(there);
}
