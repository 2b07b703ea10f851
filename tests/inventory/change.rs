//! Processes that come, go, move and end, and a caller who lacks descriptors.

use super::*;

/// What has ended and was not waited for is still in its user and pid namespace.
pub(super) fn a_zombie() {
    let set = Namespaces::USER | Namespaces::PID | Namespaces::UTS;
    let mut child = Command::new("true").namespaces(set).spawn().expect("a process");
    let state = format!("/proc/{}/stat", child.id());
    while !fs::read_to_string(&state).expect("its state").contains(") Z ") {
        thread::yield_now();
    }
    let inventory = scan();
    let shown: Vec<_> = inventory.of_process(child.id()).map(|info| info.id().kind()).collect();
    assert_eq!(shown, [NamespaceKind::Pid, NamespaceKind::User]);
    assert_eq!(inventory.unreadable(), 0);
    child.wait().expect("its end");
    assert_eq!(scan().of_process(child.id()).count(), 0);
}

/// A process goes on without its first thread, and so does what it is in and has open.
pub(super) fn a_first_thread_that_ended() {
    let mut command = Command::from_fn(|| {
        let held = File::open("/proc/self/ns/uts").expect("a handle");
        thread::spawn(move || {
            unshare(Namespaces::IPC).expect("an ipc namespace for this thread");
            println!("{}", own(NamespaceKind::Ipc).ino());
            let _ = std::io::stdin().read(&mut [0]);
            drop(held);
            std::process::exit(0);
        });
        // SAFETY: ends this thread alone, whose frames own nothing.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
        1
    });
    command.namespaces(Namespaces::UTS).stdout(Stdio::piped());
    let mut inside = Inside::of(&mut command);
    let mut line = String::new();
    let stdout = inside.0.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("an inode");
    let ino: u64 = line.trim().parse().expect("an inode");
    // The first thread may still be on its way out.
    let state = format!("/proc/{}/stat", inside.pid());
    while !fs::read_to_string(&state).expect("its state").contains(") Z ") {
        thread::yield_now();
    }
    let inventory = scan();
    let ipc = inventory.of_kind(NamespaceKind::Ipc).find(|info| info.id().ino() == ino);
    let ipc = ipc.expect("the thread's namespace");
    assert!(ipc.processes().is_empty() && ipc.threads().len() == 1, "{ipc:?}");
    let uts = inventory.of_kind(NamespaceKind::Uts).find(|info| info.threads() == ipc.threads());
    let uts = uts.expect("the namespace that both threads were in");
    assert_ne!(uts.id(), own(NamespaceKind::Uts));
    assert_eq!(uts.held_by(), [inside.pid()], "{uts:?}");
    assert_eq!(inventory.unreadable(), 0);
}

/// Each of the processes that come, go and move is alone in its UTS namespace, whose inode the kernel soon uses again.
pub(super) fn churn() {
    let seconds = std::env::var("LINUX_NAMESPACES_STRESS_SECONDS");
    let length = seconds.ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(2);
    // These move all the time, each to a namespace of its own, with the inode of one that another has just left. Between
    // them are others, for a scan to take a while from one to the next.
    let movers: Vec<Inside> = (0..4)
        .map(|_| {
            Inside::of(&mut Command::from_fn(|| {
                while unshare(Namespaces::UTS).is_ok() {}
                1
            }))
        })
        .flat_map(|mover| {
            [mover].into_iter().chain((0..30).map(|_| Inside::new(Namespaces::empty())))
        })
        .collect();
    let stable: Vec<Inside> = (0..5).map(|_| Inside::new(Namespaces::UTS)).collect();
    let expected: Vec<_> = stable
        .iter()
        .map(|inside| ProcessNamespaces::of_process(inside.0.pidfd()).expect("its namespaces"))
        .collect();
    let end = AtomicBool::new(false);
    let spawned = AtomicUsize::new(0);
    thread::scope(|scope| {
        let churners: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut running = VecDeque::new();
                    while !end.load(Ordering::Relaxed) {
                        running.push_back(Inside::new(Namespaces::UTS));
                        if running.len() > 10 {
                            running.pop_front();
                        }
                        spawned.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let start = Instant::now();
        let looked = std::panic::catch_unwind(|| {
            let (mut scans, mut most) = (0, 0);
            // A busy machine needs longer for what shows that there was a churn, and that the scans have seen it.
            let enough = |scans: usize, most: usize| {
                scans > 5 && most > 12 && spawned.load(Ordering::Relaxed) > 40
            };
            while start.elapsed() < Duration::from_secs(length) || !enough(scans, most) {
                most = most.max(look_into_the_churn(&stable, &expected));
                scans += 1;
                let spawned = spawned.load(Ordering::Relaxed);
                let patient = start.elapsed() < Duration::from_secs(length + 60);
                assert!(patient, "{scans} scans have seen {most} at most of {spawned} processes");
            }
        });
        end.store(true, Ordering::Relaxed);
        churners.into_iter().for_each(|one| one.join().expect("it ends"));
        looked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    drop(movers);
}

/// How many UTS namespaces there were.
fn look_into_the_churn(stable: &[Inside], expected: &[ProcessNamespaces]) -> usize {
    let inventory = scan();
    for (inside, expected) in stable.iter().zip(expected) {
        let found: Vec<_> = inventory.of_process(inside.pid()).map(NamespaceInfo::id).collect();
        assert_eq!(found, expected.iter().collect::<Vec<_>>(), "process {}", inside.pid());
        let uts = inventory.get(inside.id(NamespaceKind::Uts)).expect("its UTS namespace");
        assert_eq!(uts.processes(), [inside.pid()]);
    }
    for info in inventory.of_kind(NamespaceKind::Uts) {
        let here = info.id() == own(NamespaceKind::Uts);
        assert!(here || info.processes().len() <= 1, "two are in one that has one each: {info:?}");
    }
    inventory.of_kind(NamespaceKind::Uts).count()
}

fn descriptors(limit: u64) {
    let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
    // SAFETY: sets a limit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
}

/// More namespaces than may be open at a time.
pub(super) fn few_descriptors() {
    let all: Vec<Inside> =
        (0..10).map(|_| Inside::new(Namespaces::UTS | Namespaces::NET | Namespaces::IPC)).collect();
    let expected: Vec<Vec<NamespaceId>> = all
        .iter()
        .map(|one| {
            let namespaces = ProcessNamespaces::of_process(one.0.pidfd()).expect("namespaces");
            namespaces.iter().collect()
        })
        .collect();
    let many = scan();
    let open = fs::read_dir("/proc/self/fd").expect("descriptors").count() as u64;
    descriptors(open + 12);
    let few = scan();
    for (inside, expected) in all.iter().zip(expected) {
        for inventory in [&many, &few] {
            let found: Vec<_> = inventory.of_process(inside.pid()).map(NamespaceInfo::id).collect();
            assert_eq!(found, expected);
        }
        for id in expected {
            assert_eq!(many.get(id), few.get(id), "nothing is known less of it");
        }
    }
    assert_eq!(many.namespaces().count(), few.namespaces().count());
    let few_pinned: Vec<_> = few.namespaces().collect();
    assert_eq!(many.namespaces().collect::<Vec<_>>(), few_pinned);
}

/// They share what may be open, and none of them is told that there is nothing left.
pub(super) fn scans_at_once() {
    const SCANS: usize = 16;
    let all: Vec<Inside> =
        (0..60).map(|_| Inside::new(Namespaces::UTS | Namespaces::NET | Namespaces::IPC)).collect();
    let expected: Vec<NamespaceInfo> = scan().namespaces().cloned().collect();
    assert!(expected.len() > 180);
    let open = fs::read_dir("/proc/self/fd").expect("descriptors").count() as u64;
    descriptors(open + 256);
    let together = Barrier::new(SCANS);
    thread::scope(|scope| {
        for _ in 0..SCANS {
            scope.spawn(|| {
                together.wait();
                for _ in 0..5 {
                    let inventory = scan();
                    for info in inventory.namespaces() {
                        // The descriptors of the other scans are this process's.
                        let alike = expected.iter().find(|other| other.id() == info.id());
                        let alike = alike.expect("a namespace that was there");
                        assert_eq!(alike.processes(), info.processes(), "{info:?}");
                        assert_eq!(alike.owner(), info.owner(), "{info:?}");
                    }
                    assert_eq!(inventory.namespaces().count(), expected.len());
                }
            });
        }
    });
    drop(all);
}

/// None is left: that is an error, and not an inventory with less in it.
pub(super) fn no_descriptors() {
    let mut all = Vec::new();
    descriptors(64);
    while let Ok(file) = File::open("/dev/null") {
        all.push(file);
    }
    let error = Inventory::scan().expect_err("no descriptor is free");
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
    // One for /proc, and no more.
    all.pop();
    let error = Inventory::scan().expect_err("one descriptor is not enough");
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("RLIMIT_NOFILE")), "{error}");
}
