//! Which net namespaces sockets belong to. Nothing in `/proc` tells; it takes a duplicate of the descriptor.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use super::collect::{Collector, Entry, Shared, Sighting, gone, out_of_descriptors};
use super::link;
use crate::{NamespaceKind, sys};

/// What is known of sockets. Many processes may share one.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    /// The inode of the namespace by that of the socket. `None`: it could not be told.
    of: HashMap<u64, Option<u64>>,
    /// The inode of the namespace by its cookie.
    by_cookie: HashMap<u64, u64>,
    knows_own: bool,
}

/// The pidfd of a process or thread, once it was needed. `None` inside: it is not to be had.
type Pidfd = Option<Option<OwnedFd>>;

impl Sockets {
    /// How many sockets there are whose namespace could not be told.
    pub(super) fn unknown(&self) -> usize {
        self.of.values().filter(|net| net.is_none()).count()
    }

    /// Finds out which namespace a process holds by a socket. `place` is the directory of the process, or of its thread.
    pub(super) fn look_at(
        &mut self,
        seen: &mut Collector<'_>,
        socket: u64,
        sighting: Sighting,
        place: BorrowedFd<'_>,
        pidfd: &mut Pidfd,
    ) -> io::Result<()> {
        let Sighting::Socket { process, thread, number } = sighting else { return Ok(()) };
        if let Some(known) = self.of.get(&socket) {
            return known.map_or(Ok(()), |net| keep(seen, net, sighting));
        }
        self.know_own(seen);
        let pidfd = pidfd.get_or_insert_with(|| open_thread(seen.shared, process, thread, place));
        let duplicate = match pidfd {
            Some(pidfd) => sys::pidfd::descriptor(pidfd.as_fd(), number),
            None => Err(io::Error::from_raw_os_error(libc::EPERM)),
        };
        let socket_itself = match duplicate {
            Ok(duplicate) => duplicate,
            Err(error) if out_of_descriptors(&error) => return Err(error),
            // Closed since, or the process is gone.
            Err(error) if gone(&error) || error.raw_os_error() == Some(libc::EBADF) => {
                return Ok(());
            }
            Err(_) => {
                self.of.insert(socket, None);
                return Ok(());
            }
        };
        let cookie = match sys::socket::net_cookie(socket_itself.as_fd()) {
            Ok(cookie) => Some(cookie),
            // The number has been given to another file since.
            Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => return Ok(()),
            Err(_) => None,
        };
        if let Some(net) = cookie.and_then(|cookie| self.by_cookie.get(&cookie).copied()) {
            self.of.insert(socket, Some(net));
            return keep(seen, net, sighting);
        }
        let namespace = match sys::socket::net_namespace(socket_itself.as_fd()) {
            Ok(namespace) => namespace,
            Err(error) if out_of_descriptors(&error) => return Err(error),
            Err(_) => {
                self.of.insert(socket, None);
                return Ok(());
            }
        };
        let Some(net) = seen.shared.inode(namespace.as_fd())? else { return Ok(()) };
        self.of.insert(socket, Some(net));
        if let Some(cookie) = cookie {
            self.by_cookie.insert(cookie, net);
        }
        seen.saw(NamespaceKind::Net, net, sighting, || Ok(namespace))
    }

    /// The caller's own namespace is told by its cookie alone, without the right to ask for that of a socket.
    fn know_own(&mut self, seen: &mut Collector<'_>) {
        if std::mem::replace(&mut self.knows_own, true) {
            return;
        }
        let Ok(socket) = UnixDatagram::unbound() else { return };
        let Ok(cookie) = sys::socket::net_cookie(socket.as_fd()) else { return };
        let own = sys::openat::read(seen.shared.proc.as_fd(), c"thread-self/ns/net");
        let Ok(own) = own else { return };
        if let Ok(Some(net)) = seen.shared.inode(own.as_fd()) {
            self.by_cookie.insert(cookie, net);
            seen.discover(NamespaceKind::Net, net, own);
        }
    }
}

/// A socket keeps its namespace, so the inode is still that one's.
fn keep(seen: &mut Collector<'_>, net: u64, sighting: Sighting) -> io::Result<()> {
    match seen.find(NamespaceKind::Net, net) {
        Some(at) => seen.entries[at].add(sighting),
        None => {
            let at = seen.insert(Entry::new(NamespaceKind::Net, net, None));
            seen.entries[at].add(sighting);
        }
    }
    Ok(())
}

/// A pidfd of the process, or else of the thread, whose directory is `place`, and of no other.
fn open_thread(
    shared: &Shared,
    process: u32,
    thread: u32,
    place: BorrowedFd<'_>,
) -> Option<OwnedFd> {
    if !shared.numbers_agree {
        return None;
    }
    let pidfd =
        if thread == process { sys::pidfd::open(process) } else { sys::pidfd::open_thread(thread) };
    let pidfd = pidfd.ok()?;
    // As long as it is there, nobody else has its number.
    sys::stat::links(place, c"ns").ok()?;
    Some(pidfd)
}

/// The namespace of a process's socket, once more.
pub(super) fn namespace(
    shared: &Shared,
    process: u32,
    thread: u32,
    number: u32,
) -> io::Result<OwnedFd> {
    let path = link::path(format_args!("{process}/task/{thread}"));
    let place = sys::openat::place(shared.proc.as_fd(), &path)?;
    let refused = || io::Error::from_raw_os_error(libc::EPERM);
    let pidfd = open_thread(shared, process, thread, place.as_fd()).ok_or_else(refused)?;
    let socket = sys::pidfd::descriptor(pidfd.as_fd(), number)?;
    let cookie = sys::socket::net_cookie(socket.as_fd());
    match (cookie, sys::socket::net_namespace(socket.as_fd())) {
        (_, Ok(namespace)) => Ok(namespace),
        (Ok(cookie), Err(error)) => {
            let own = sys::socket::net_cookie(UnixDatagram::unbound()?.as_fd())?;
            if own != cookie {
                return Err(error);
            }
            sys::openat::read(shared.proc.as_fd(), c"thread-self/ns/net")
        }
        (Err(error), Err(_)) => Err(error),
    }
}
