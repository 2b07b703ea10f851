//! Looking at one process after the other.
#![forbid(unsafe_code)]

use std::ffi::CStr;
use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use super::collect::{Collector, Shared, Sighting, gone, refused};
use super::link;
use super::sockets::Sockets;
use crate::process::ENTRIES;
use crate::sys::getdents::Buffer;
use crate::{NamespaceKind, sys};

/// The kinds in which a thread may differ from the first one of its process; with the kernel's order of names.
const OF_THREADS: [NamespaceKind; 6] = [
    NamespaceKind::Cgroup,
    NamespaceKind::Ipc,
    NamespaceKind::Mount,
    NamespaceKind::Net,
    NamespaceKind::Time,
    NamespaceKind::Uts,
];

const FOR_CHILDREN: [(NamespaceKind, &CStr); 2] =
    [(NamespaceKind::Pid, c"ns/pid_for_children"), (NamespaceKind::Time, c"ns/time_for_children")];

/// The longest link that matters is that of a namespace or socket. What is cut is none.
type LinkBuffer = [u8; 64];

/// Looks at processes, for one thread of the scan.
pub(super) struct Looker<'s> {
    pub(super) seen: Collector<'s>,
    /// Processes that the caller may not look into.
    pub(super) unreadable: usize,
    sockets: Sockets,
    names: Box<Buffer>,
    /// Reused for each process.
    threads: Vec<u32>,
    descriptors: Vec<(u32, Open)>,
}

impl fmt::Debug for Looker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Looker").field("seen", &self.seen).finish_non_exhaustive()
    }
}

/// A descriptor that matters.
#[derive(Clone, Copy, Debug)]
enum Open {
    Namespace(NamespaceKind, u64),
    Socket(u64),
}

/// What reading a part of a process came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Read {
    Done,
    /// It is gone, or this part of it.
    Gone,
    Refused,
}

/// Sorts the errors that belong to looking at others from those of the caller.
fn outcome(result: io::Result<()>) -> io::Result<Read> {
    match result {
        Ok(()) => Ok(Read::Done),
        Err(error) if gone(&error) => Ok(Read::Gone),
        Err(error) if refused(&error) => Ok(Read::Refused),
        Err(error) => Err(error),
    }
}

impl<'s> Looker<'s> {
    pub(super) fn new(shared: &'s Shared) -> Self {
        Self {
            seen: Collector::new(shared),
            unreadable: 0,
            sockets: Sockets::default(),
            names: Buffer::new(),
            threads: Vec::new(),
            descriptors: Vec::new(),
        }
    }

    /// How many sockets there are whose net namespace could not be told.
    pub(super) fn unknown_sockets(&self) -> usize {
        self.sockets.unknown()
    }

    /// The processes that there are now.
    pub(super) fn list(&mut self) -> io::Result<Vec<u32>> {
        let mut processes = Vec::new();
        let proc = sys::openat::list(self.seen.shared.proc.as_fd(), c".")?;
        sys::getdents::names(proc.as_fd(), &mut self.names, |name| {
            processes.extend(link::id(name))
        })?;
        Ok(processes)
    }

    /// Looks at one process. That it ends meanwhile is no error.
    pub(super) fn look_at(&mut self, process: u32) -> io::Result<()> {
        let place = match sys::openat::place(
            self.seen.shared.proc.as_fd(),
            &link::path(format_args!("{process}")),
        ) {
            Ok(place) => place,
            Err(error) if gone(&error) => return Ok(()),
            Err(error) if refused(&error) => {
                self.unreadable += 1;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        // All is read below this one directory, which stays that of this process when its number is another's.
        let read = outcome(self.look_below(process, place.as_fd()))?;
        // What has just ended may be refused, too.
        let ended = || match sys::stat::links(place.as_fd(), c"task") {
            Ok(_) => false,
            Err(error) => matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)),
        };
        if read == Read::Refused && !ended() {
            self.unreadable += 1;
        }
        Ok(())
    }

    fn look_below(&mut self, process: u32, place: BorrowedFd<'_>) -> io::Result<()> {
        // The descriptors come first: what is opened in looking at the caller itself is not to be among them.
        let descriptors = outcome(self.read_descriptors(place))?;
        let mut own = [None; 8];
        for kind in NamespaceKind::ALL {
            let name = ENTRIES[kind as usize];
            own[kind as usize] =
                self.member(place, kind, name, Sighting::Process(process), None)?;
        }
        self.look_for_children(place, Sighting::Children { process, thread: process }, own)?;
        // The first thread has ended if it is in no mount namespace any more: then it has no descriptors either.
        let ended = own[NamespaceKind::Mount as usize].is_none();
        if descriptors == Read::Refused && !ended {
            return Err(io::Error::from_raw_os_error(libc::EACCES));
        }
        self.keep_descriptors(process, process, place)?;
        if sys::stat::links(place, c"task")? > 3 {
            self.look_at_threads(process, place, own, ended)?;
        }
        Ok(())
    }

    /// Reads one link, and says where it leads. `but`: what leads there is known already.
    fn member(
        &mut self,
        place: BorrowedFd<'_>,
        kind: NamespaceKind,
        name: &CStr,
        sighting: Sighting,
        but: Option<u64>,
    ) -> io::Result<Option<u64>> {
        let mut buffer: LinkBuffer = [0; 64];
        let link = match sys::readlink::readlinkat(place, name, &mut buffer) {
            Ok(link) => link,
            // A kind that this kernel lacks, or that a process has no more when it has ended.
            Err(error) if gone(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some((_, ino)) = link::namespace(link) else { return Ok(None) };
        if but != Some(ino) {
            match self.seen.saw(kind, ino, sighting, || sys::openat::read(place, name)) {
                Err(error) if gone(&error) => return Ok(None),
                result => result?,
            }
        }
        Ok(Some(ino))
    }

    fn look_for_children(
        &mut self,
        place: BorrowedFd<'_>,
        sighting: Sighting,
        own: [Option<u64>; 8],
    ) -> io::Result<()> {
        for (kind, name) in FOR_CHILDREN {
            self.member(place, kind, name, sighting, own[kind as usize])?;
        }
        Ok(())
    }

    fn look_at_threads(
        &mut self,
        process: u32,
        place: BorrowedFd<'_>,
        own: [Option<u64>; 8],
        first_ended: bool,
    ) -> io::Result<()> {
        // The thread whose table of descriptors has been read: nearly always the only table.
        let mut read_of = (!first_ended).then_some(process);
        let list = sys::openat::list(place, c"task")?;
        let mut threads = std::mem::take(&mut self.threads);
        threads.clear();
        sys::getdents::names(list.as_fd(), &mut self.names, |name| threads.extend(link::id(name)))?;
        for thread in threads.iter().copied().filter(|thread| *thread != process) {
            let place = link::path(format_args!("{thread}"));
            let table = read_of.is_none_or(|other| self.has_a_table_of_its_own(thread, other));
            let read = self.look_at_thread(process, thread, list.as_fd(), own, table);
            match outcome(read)? {
                Read::Done => read_of = read_of.or(Some(thread)),
                // One thread may end before the others.
                Read::Refused if sys::stat::links(list.as_fd(), &place).is_ok() => {
                    return Err(io::Error::from_raw_os_error(libc::EACCES));
                }
                _ => {}
            }
        }
        self.threads = threads;
        Ok(())
    }

    /// Whether its descriptors are not those of the other thread, as after `unshare(CLONE_FILES)`.
    fn has_a_table_of_its_own(&self, thread: u32, other: u32) -> bool {
        // Where that is not told, it is taken for what is usual.
        self.seen.shared.numbers_agree
            && sys::kcmp::same_descriptors(thread, other).is_ok_and(|same| !same)
    }

    fn look_at_thread(
        &mut self,
        process: u32,
        thread: u32,
        list: BorrowedFd<'_>,
        mut own: [Option<u64>; 8],
        table: bool,
    ) -> io::Result<()> {
        let place = sys::openat::place(list, &link::path(format_args!("{thread}")))?;
        if table {
            self.read_descriptors(place.as_fd())?;
            self.keep_descriptors(process, thread, place.as_fd())?;
        }
        for kind in OF_THREADS {
            let sighting = Sighting::Thread { process, thread };
            let name = ENTRIES[kind as usize];
            let firsts = own[kind as usize];
            own[kind as usize] = self.member(place.as_fd(), kind, name, sighting, firsts)?;
        }
        self.look_for_children(place.as_fd(), Sighting::Children { process, thread }, own)
    }

    /// Notes the descriptors that are namespaces or sockets.
    fn read_descriptors(&mut self, place: BorrowedFd<'_>) -> io::Result<()> {
        self.descriptors.clear();
        let list = sys::openat::list(place, c"fd")?;
        let descriptors = &mut self.descriptors;
        sys::getdents::names(list.as_fd(), &mut self.names, |name| {
            let Some(number) = link::id(name) else { return };
            let mut buffer: LinkBuffer = [0; 64];
            // Closed since, most likely.
            let Ok(link) = sys::readlink::readlinkat(list.as_fd(), name, &mut buffer) else {
                return;
            };
            // What is in the file system starts with a slash.
            if link.first() == Some(&b'/') {
                return;
            }
            if let Some(socket) = link::socket(link) {
                descriptors.push((number, Open::Socket(socket)));
            } else if let Some((kind, ino)) = link::namespace(link) {
                descriptors.push((number, Open::Namespace(kind, ino)));
            }
        })
    }

    fn keep_descriptors(
        &mut self,
        process: u32,
        thread: u32,
        place: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let mut pidfd = None;
        for (number, open) in std::mem::take(&mut self.descriptors) {
            match open {
                Open::Namespace(kind, ino) => {
                    let path = link::path(format_args!("fd/{number}"));
                    let sighting = Sighting::Descriptor { process, thread, number };
                    let shared = self.seen.shared;
                    match self.seen.saw(kind, ino, sighting, || shared.open(place, &path)) {
                        Err(error) if gone(&error) => {}
                        result => result?,
                    }
                }
                Open::Socket(socket) => {
                    let sighting = Sighting::Socket { process, thread, number };
                    self.sockets.look_at(&mut self.seen, socket, sighting, place, &mut pidfd)?;
                }
            }
        }
        Ok(())
    }
}
