//! Every namespace on the host: who is in it, who owns it, who keeps it alive.
#![forbid(unsafe_code)]

mod again;
mod budget;
mod collect;
mod dot;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(crate) mod link;
mod listed;
mod look;
pub(crate) mod mountinfo;
mod mounts;
mod relate;
mod scan;
mod sockets;
mod tree;
mod views;

use std::fmt;
use std::path::PathBuf;

use crate::error::Result;
use crate::{NamespaceId, NamespaceKind};

/// Every namespace on the host that the caller can see, as one scan of `/proc` has found them: a snapshot, which holds nothing.
///
/// A namespace is found by a process or thread that is in it, by a process whose next children will be in it, by a descriptor or
/// socket that refers to it, by a bind mount, and as owner or parent of another. Where the kernel has a list
/// (listns(2), Linux 6.19), what only that knows is added.
///
/// **What is true of it.** The scan takes a while, and processes come, go and move meanwhile. Each entry was true when it was read, and
/// what is said to be in one namespace was in that one: inodes that the kernel uses again are told apart, by keeping
/// every namespace open while the scan lasts, or by looking twice. Processes that end meanwhile are no error.
///
/// **What is not seen** is counted: [`unreadable`](Self::unreadable), [`unknown_sockets`](Self::unknown_sockets),
/// [`unknown_mounts`](Self::unknown_mounts), [`unknown_namespaces`](Self::unknown_namespaces). Not counted, for nothing tells of
/// them: processes outside the caller's pid namespace, or hidden by the mount option `hidepid`; before Linux 6.19,
/// descriptors on their way from one process to another; and, in a kernel without kcmp(2), those of a thread that has a descriptor
/// table of its own.
///
/// ```
/// use linux_namespaces::{Inventory, NamespaceKind, ProcessNamespaces, TreeOrder};
/// let inventory = Inventory::scan()?;
/// println!("{}", inventory.tree(TreeOrder::Owner));
///
/// let own = ProcessNamespaces::current()?.get(NamespaceKind::Net).expect("every process is in one");
/// let net = inventory.get(own).expect("and can see it");
/// println!("{} processes share my network", net.processes().len());
/// # Ok::<(), linux_namespaces::Error>(())
/// ```
///
/// # References
/// namespaces(7), listns(2), lsns(8)
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Inventory {
    /// In order.
    namespaces: Vec<NamespaceInfo>,
    unreadable: usize,
    unknown_sockets: usize,
    unknown_mounts: usize,
    unknown_namespaces: usize,
}

impl Inventory {
    /// Looks at all processes once, and at what they hold.
    ///
    /// It reads eight to ten links for each process, one more for each of its descriptors, and for each of its sockets
    /// it takes a duplicate for a moment, as nothing else tells a socket's namespace. With many processes it starts
    /// threads for the time it takes. Of the descriptors that the caller may still open, all scans at a time keep half open at
    /// most; to each other they are this process's, as all others. Where that is too few, a scan looks twice.
    ///
    /// Everything takes the right to look into a process: that of its user, or CAP_SYS_PTRACE (see [`ProcessNamespaces::of`](crate::ProcessNamespaces::of)). Root sees almost all.
    ///
    /// # Errors
    /// [`Step::Open`](crate::Step::Open) of `/proc`: ENOENT where no proc is mounted there. [`Step::Inspect`](crate::Step::Inspect): EMFILE or ENFILE, too
    /// many open descriptors; or what else reading `/proc` answers. What may not be read is no error, but counted.
    ///
    /// # Requires
    /// A mounted `/proc`. Sockets are told by pidfd_getfd(2), Linux 5.6; mounts where no process sees all by statmount(2), Linux 6.11.
    ///
    /// # References
    /// namespaces(7), ioctl_nsfs(2), proc_pid_ns(5), proc_pid_mountinfo(5), pidfd_getfd(2), statmount(2), lsns(8)
    pub fn scan() -> Result<Self> {
        scan::scan(scan::Way::usual())
    }

    /// All of them: by kind, in the order of [`NamespaceKind::ALL`], then by inode.
    pub fn namespaces(&self) -> impl Iterator<Item = &NamespaceInfo> {
        self.namespaces.iter()
    }

    /// The one with this identity.
    #[must_use]
    pub fn get(&self, id: NamespaceId) -> Option<&NamespaceInfo> {
        let at = self.namespaces.binary_search_by_key(&id, |namespace| namespace.id).ok()?;
        self.namespaces.get(at)
    }

    /// Those of one kind.
    pub fn of_kind(&self, kind: NamespaceKind) -> impl Iterator<Item = &NamespaceInfo> {
        self.namespaces.iter().filter(move |namespace| namespace.id.kind() == kind)
    }

    /// Those that this process is in: its first thread, that is.
    pub fn of_process(&self, pid: u32) -> impl Iterator<Item = &NamespaceInfo> {
        self.namespaces.iter().filter(move |namespace| namespace.has_process(pid))
    }

    /// The user or pid namespaces whose parent this is.
    pub fn children(&self, parent: NamespaceId) -> impl Iterator<Item = &NamespaceInfo> {
        self.namespaces.iter().filter(move |namespace| namespace.parent == Some(parent))
    }

    /// The namespaces, of all kinds, that this user namespace owns.
    pub fn owned_by(&self, owner: NamespaceId) -> impl Iterator<Item = &NamespaceInfo> {
        self.namespaces.iter().filter(move |namespace| namespace.owner == Some(owner))
    }

    /// Leaves out what does not answer `true`, for a tree or graph of a part. The counts stay what they are.
    ///
    /// ```
    /// use linux_namespaces::{Inventory, NamespaceKind};
    /// let mut inventory = Inventory::scan()?;
    /// inventory.retain(|namespace| namespace.id().kind() == NamespaceKind::Net);
    /// assert_eq!(inventory.namespaces().count(), inventory.of_kind(NamespaceKind::Net).count());
    /// # Ok::<(), linux_namespaces::Error>(())
    /// ```
    ///
    /// # References
    /// namespaces(7)
    pub fn retain(&mut self, keep: impl FnMut(&NamespaceInfo) -> bool) {
        self.namespaces.retain(keep);
    }

    /// How many processes the caller may not look into. Their namespaces are here only if others show them, too.
    #[must_use]
    pub fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// How many sockets there are whose net namespace could not be told: that takes the right to trace the process,
    /// and, except for the caller's own namespace, CAP_NET_ADMIN over it.
    #[must_use]
    pub fn unknown_sockets(&self) -> usize {
        self.unknown_sockets
    }

    /// How many mount namespaces there are of which not all mounts could be read: before Linux 6.11, or without CAP_SYS_ADMIN over
    /// them, it takes a process that is in it and in no chroot.
    #[must_use]
    pub fn unknown_mounts(&self) -> usize {
        self.unknown_mounts
    }

    /// How many namespaces the kernel lists beyond those here, which the caller may not open.
    #[must_use]
    pub fn unknown_namespaces(&self) -> usize {
        self.unknown_namespaces
    }

    /// All of them as a tree of text lines, without a line end after the last.
    ///
    /// By owner: below each user namespace what it owns. By parent: user and pid namespaces below the ones
    /// around them, and then all others, which do not nest.
    #[must_use]
    pub fn tree(&self, by: TreeOrder) -> impl fmt::Display {
        tree::Tree { inventory: self, by }
    }

    /// All of them as a directed graph for Graphviz, as in `dot -Tsvg`.
    ///
    /// A box is a user namespace with what it owns; arrows lead from each user namespace to those inside it, and, dashed,
    /// from each pid namespace to those inside it that are in other boxes. Within a box they stand below it.
    #[must_use]
    pub fn to_dot(&self) -> String {
        dot::graph(self)
    }
}

/// One namespace of an [`Inventory`].
///
/// # References
/// namespaces(7), ioctl_nsfs(2)
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct NamespaceInfo {
    id: NamespaceId,
    unique_id: Option<u64>,
    processes: Vec<u32>,
    threads: Vec<u32>,
    for_children_of: Vec<u32>,
    held_by: Vec<u32>,
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serialize::paths"))]
    persisted_at: Vec<PathBuf>,
    owner: Option<NamespaceId>,
    parent: Option<NamespaceId>,
    owner_uid: Option<u32>,
}

impl NamespaceInfo {
    /// Kind, device and inode.
    #[must_use]
    pub fn id(&self) -> NamespaceId {
        self.id
    }

    /// A number that no other namespace gets as long as the machine runs. `None` before Linux 6.18.
    #[must_use]
    pub fn unique_id(&self) -> Option<u64> {
        self.unique_id
    }

    /// The processes that are in it, by their first thread, as `/proc` numbers them. Ascending.
    #[must_use]
    pub fn processes(&self) -> &[u32] {
        &self.processes
    }

    /// The threads that are in it while the first thread of their process is elsewhere. Ascending.
    #[must_use]
    pub fn threads(&self) -> &[u32] {
        &self.threads
    }

    /// The processes that are not in it themselves, but whose next children will be, as after `unshare(PID)` or
    /// `unshare(TIME)`; or those of one of their threads. Ascending; pid and time namespaces only.
    #[must_use]
    pub fn for_children_of(&self) -> &[u32] {
        &self.for_children_of
    }

    /// Whether this process is in it.
    fn has_process(&self, pid: u32) -> bool {
        self.processes.binary_search(&pid).is_ok()
    }

    /// The user namespace that owns it; of a user namespace that is its parent. `None`: out of the caller's sight, as the one that
    /// owns the initial user namespace, which there is none of; or it could not be opened.
    #[must_use]
    pub fn owner(&self) -> Option<NamespaceId> {
        self.owner
    }

    /// The namespace around a user or pid namespace. `None`: out of the caller's sight, or another kind.
    #[must_use]
    pub fn parent(&self) -> Option<NamespaceId> {
        self.parent
    }

    /// The user who created a user namespace, as the caller's user namespace numbers ids. `None` for the other kinds.
    #[must_use]
    pub fn owner_uid(&self) -> Option<u32> {
        self.owner_uid
    }

    /// Where it is bind-mounted: the paths as seen in the mount namespaces that have such a mount, which may not be the caller's.
    #[must_use]
    pub fn persisted_at(&self) -> &[PathBuf] {
        &self.persisted_at
    }

    /// The processes that hold it open by a descriptor or a socket, be they in it or not. Ascending.
    #[must_use]
    pub fn held_by(&self) -> &[u32] {
        &self.held_by
    }
}

/// What a [tree](Inventory::tree) shows.
///
/// # References
/// ioctl_nsfs(2), user_namespaces(7), pid_namespaces(7)
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TreeOrder {
    /// Below each user namespace what it owns.
    Owner,
    /// Below each user or pid namespace those inside it.
    Parent,
}
