//! The commands that are looked at.

use linux_namespaces::flags::{MOUNT, NET, PID, USER};
use linux_namespaces::{Child, Command, IdRange, Namespaces, Stdio};

use crate::common::{is_root, with_user};

/// How it is spawned and waited for.
pub(crate) enum Way {
    Spawn,
    Suspended,
    Output,
}

/// A command, and what has to live as long.
pub(crate) struct Sort {
    pub(crate) name: &'static str,
    pub(crate) make: fn(&mut Command) -> Option<Child>,
    pub(crate) way: Way,
}

const fn sort(name: &'static str, way: Way, make: fn(&mut Command) -> Option<Child>) -> Sort {
    Sort { name, make, way }
}

fn of(command: &mut Command, set: Namespaces) -> Option<Child> {
    command.namespaces(with_user(set));
    None
}

pub(crate) const SORTS: &[Sort] = &[
    sort("none", Way::Spawn, |_| None),
    sort("USER", Way::Spawn, |it| of(it, USER)),
    sort("USER, leave_unmapped", Way::Spawn, |it| of(it.leave_unmapped(), USER)),
    sort("USER, uid_map and gid_map", Way::Spawn, |it| {
        of(it.uid_map([own(true)]).gid_map([own(false)]), USER)
    }),
    sort("PID", Way::Spawn, |it| of(it, PID)),
    sort("USER | PID", Way::Spawn, |it| of(it, USER | PID)),
    sort("USER | PID | MOUNT", Way::Spawn, |it| of(it, USER | PID | MOUNT)),
    sort("NET", Way::Spawn, |it| of(it, NET)),
    sort("all", Way::Spawn, |it| of(it, Namespaces::all())),
    sort("none, suspended", Way::Suspended, |_| None),
    sort("USER, suspended", Way::Suspended, |it| of(it, USER)),
    sort("none, output", Way::Output, |_| None),
    sort("none, inherit_fds", Way::Spawn, |it| {
        it.inherit_fds(true);
        None
    }),
    sort("none, an argument and a variable", Way::Spawn, |it| {
        it.arg("a").env("LINUX_NAMESPACES_AGAIN", "1");
        None
    }),
    sort("enter_process, all but TIME", Way::Spawn, |it| {
        let set = Namespaces::all() - Namespaces::TIME;
        let there = holder(set);
        it.enter_process(there.pidfd(), set);
        Some(there)
    }),
];

/// A range of this user's own id; for root one that takes the right to any.
fn own(user: bool) -> IdRange {
    // SAFETY: asks for a number.
    let id = if user { unsafe { libc::getuid() } } else { unsafe { libc::getgid() } };
    IdRange { inside: 0, outside: id, count: if is_root() { 1000 } else { 1 } }
}

/// A program in these that ends with its standard input.
fn holder(set: Namespaces) -> Child {
    let mut command = Command::new("/bin/cat");
    command.namespaces(set).stdin(Stdio::piped()).spawn().expect("a program to be entered")
}

/// Spawns it and waits for it.
pub(crate) fn once(command: &mut Command, way: &Way) {
    let status = match way {
        Way::Spawn => command.spawn().and_then(|mut child| child.wait()),
        Way::Output => command.output().map(|output| output.status),
        Way::Suspended => {
            command.spawn_suspended().and_then(|it| it.resume()).and_then(|mut it| it.wait())
        }
    };
    assert!(status.unwrap_or_else(|error| panic!("{command:?}: {error}")).success());
}

/// The command that the environment names, after two spawns: what is made or found out once is there.
pub(crate) fn warmed_up() -> (Command, &'static Sort, Option<Child>) {
    let name = std::env::var(WANTED).expect("the name of a sort");
    let sort = SORTS.iter().find(|sort| sort.name == name).expect("one of those");
    let mut command = Command::new("/bin/true");
    let holder = (sort.make)(&mut command);
    for _ in 0..2 {
        once(&mut command, &sort.way);
    }
    (command, sort, holder)
}

/// The variable that tells a case its sort.
pub(crate) const WANTED: &str = "LINUX_NAMESPACES_AGAIN_SORT";
