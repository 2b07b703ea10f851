//! Namespaces without a process: what else keeps them.

use super::*;

pub(super) fn held_by_a_descriptor() {
    let set = with_user(Namespaces::NET | Namespaces::UTS | Namespaces::IPC);
    let inside = Inside::new(set);
    let held: Vec<Namespace> =
        set.kinds().map(|kind| inside.0.namespace(kind).expect("a handle")).collect();
    let ids: Vec<NamespaceId> =
        held.iter().map(|handle| handle.id().expect("an identity")).collect();
    drop(inside);
    let inventory = scan();
    for id in &ids {
        let info = inventory.get(*id).unwrap_or_else(|| panic!("{id} is missing"));
        assert!(info.processes().is_empty(), "{info:?}");
        assert_eq!(info.held_by(), [std::process::id()], "{info:?}");
        assert!(info.owner().is_some() || id.kind() == NamespaceKind::User, "{info:?}");
    }
    drop(held);
    let inventory = scan();
    for id in ids {
        let used_again = inventory.get(id).is_some_and(|info| !info.processes().is_empty());
        assert!(inventory.get(id).is_none() || used_again, "{id} is still there");
    }
}

pub(super) fn kept_by_a_bind_mount() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a b\\c\td");
    File::create(&path).expect("a file");
    // A mount in the mount namespace of another process.
    let mut command = Command::new("sh");
    command
        .args(["-c", "unshare --uts=\"$0\" true; echo; exec cat"])
        .arg(&path)
        .namespaces(with_user(Namespaces::MOUNT))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if !is_root() {
        command.map_root_user();
    }
    let mut inside = Inside(command.spawn().expect("a process"));
    let stdout = inside.0.stdout.as_mut().expect("a pipe");
    stdout.read_exact(&mut [0]).expect("a sign of life");
    let seen_there = format!("/proc/{}/root/{}", inside.pid(), path.display());
    let uts = inode(&seen_there);
    assert_ne!(uts, inode(&path), "it is mounted there, and not here");
    let inventory = scan();
    let info = inventory.of_kind(NamespaceKind::Uts).find(|info| info.id().ino() == uts);
    let info = info.expect("a mounted namespace");
    assert!(info.processes().is_empty() && info.held_by().is_empty(), "{info:?}");
    assert_eq!(info.persisted_at(), [path]);
    let owner = if is_root() { own(NamespaceKind::User) } else { inside.id(NamespaceKind::User) };
    assert_eq!(info.owner(), Some(owner));
}

pub(super) fn held_by_a_socket() {
    unshare(with_user(Namespaces::NET)).expect("a net namespace");
    let first = own(NamespaceKind::Net);
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    // Another way of having one: a pair, half of which is in another process.
    let (ours, theirs) = UnixStream::pair().expect("sockets");
    unshare(Namespaces::NET).expect("another");
    let second = own(NamespaceKind::Net);
    assert_ne!(first, second);
    let mut other = {
        // Its end of the pair is closed here with the command.
        let mut command = Command::new("cat");
        command.stdin(theirs).stdout(Stdio::null()).spawn().expect("a process")
    };
    let holders = |inventory: &Inventory| inventory.get(first).map(|info| info.held_by().to_vec());
    let me = std::process::id();
    let mut both = vec![me, other.id()];
    both.sort_unstable();
    let inventory = scan();
    assert_eq!(holders(&inventory), Some(both));
    let info = inventory.get(first).expect("a held namespace");
    assert!(info.processes().is_empty(), "{info:?}");
    assert_eq!(info.owner(), Some(own(NamespaceKind::User)));
    assert_eq!(inventory.get(second).expect("the own one").processes(), {
        let mut both = [me, other.id()];
        both.sort_unstable();
        both
    });
    drop(socket);
    drop(ours);
    other.wait().expect("it ends");
    assert_eq!(holders(&scan()), None);
}

pub(super) fn kept_as_an_ancestor() {
    let arguments = ["--user", "--map-root-user", "unshare", "--user", "cat"];
    let mut inside = Inside::of(Command::new("unshare").args(arguments).stdout(Stdio::piped()));
    answers(&mut inside);
    let inner = inside.id(NamespaceKind::User);
    let middle = inside.0.namespace(NamespaceKind::User).expect("a handle").parent();
    let middle = middle.expect("its parent").expect("in sight").id().expect("an identity");
    assert_ne!(middle, own(NamespaceKind::User));
    let inventory = scan();
    let info = inventory.get(middle).expect("the one in between");
    assert!(info.processes().is_empty() && info.held_by().is_empty(), "{info:?}");
    assert_eq!(info.parent(), Some(own(NamespaceKind::User)));
    assert_eq!(inventory.get(inner).expect("the inner one").parent(), Some(middle));
    assert_eq!(inventory.children(middle).map(NamespaceInfo::id).collect::<Vec<_>>(), [inner]);
}

pub(super) fn a_thread_elsewhere() {
    if !is_root() {
        unshare(Namespaces::USER).expect("a user namespace");
    }
    let (ready, wait) = mpsc::channel();
    let (leave, stay) = mpsc::channel::<()>();
    let other = thread::spawn(move || {
        unshare(Namespaces::UTS | Namespaces::IPC).expect("new ones for this thread");
        let link = fs::read_link("/proc/thread-self").expect("a number");
        let thread = link.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
        ready.send((thread.expect("a number"), own(NamespaceKind::Uts))).expect("a listener");
        let _ = stay.recv();
    });
    let (thread, uts) = wait.recv().expect("a thread");
    let inventory = scan();
    let info = inventory.get(uts).expect("the thread's namespace");
    assert_eq!(info.threads(), [thread]);
    assert!(info.processes().is_empty(), "{info:?}");
    let ours = inventory.get(own(NamespaceKind::Uts)).expect("the own one");
    assert!(ours.processes().contains(&std::process::id()));
    assert!(!ours.threads().contains(&thread));
    drop(leave);
    other.join().expect("it ends");
}

/// What a thread has open since `unshare(CLONE_FILES)`, its process has not.
pub(super) fn a_table_of_its_own() {
    let (ready, wait) = mpsc::channel();
    let (leave, stay) = mpsc::channel::<()>();
    let inside = Inside::new(Namespaces::UTS);
    let uts = inside.id(NamespaceKind::Uts);
    let path = CString::new(format!("/proc/{}/ns/uts", inside.pid())).expect("a path");
    let other = thread::spawn(move || {
        // SAFETY: this thread owns none of the descriptors that its copy is closed with.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_FILES) }, 0);
        // SAFETY: a path that lives through the call. It is closed with the thread's table.
        assert!(unsafe { libc::open(path.as_ptr(), libc::O_RDONLY) } >= 0);
        unshare(Namespaces::NET).expect("a net namespace");
        let net = own(NamespaceKind::Net);
        // SAFETY: numbers. It is closed as the other is.
        assert!(unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0) } >= 0);
        unshare(Namespaces::NET).expect("another");
        ready.send(net).expect("a listener");
        let _ = stay.recv();
    });
    let net = wait.recv().expect("a thread");
    drop(inside);
    let inventory = scan();
    let me = [std::process::id()];
    let info = inventory.get(uts).expect("the namespace that the thread holds");
    assert_eq!((info.processes(), info.held_by()), (&[][..], &me[..]), "{info:?}");
    // That of the socket takes a pidfd of a thread, Linux 6.9.
    let held = inventory.get(net).map_or(&[][..], NamespaceInfo::held_by);
    assert!(held == me || inventory.unknown_sockets() > 0, "{held:?}");
    drop(leave);
    other.join().expect("it ends");
    assert!(scan().get(uts).is_none());
}

pub(super) fn for_children() {
    unshare(with_user(Namespaces::TIME)).expect("a time namespace for children");
    let here = ProcessNamespaces::current().expect("own namespaces");
    let next = here.for_children(NamespaceKind::Time).expect("one for children");
    let inventory = scan();
    let info = inventory.get(next).expect("it is held");
    assert_eq!(info.for_children_of(), [std::process::id()]);
    assert!(info.processes().is_empty(), "{info:?}");
    let own = inventory.get(own(NamespaceKind::Time)).expect("the own one");
    assert!(!own.for_children_of().contains(&std::process::id()));
}
