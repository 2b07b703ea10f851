//! From mounts to the steps that make them.
#![forbid(unsafe_code)]

use std::ffi::{CString, OsStr, c_ulong};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::{Mount, Mounts, Propagation, What};
use crate::Namespaces;
use crate::error::{Error, Result};
use crate::sys::child::Op;
use crate::sys::mounting::{self, Act, Item, Source, World};
use crate::sys::openat2::Target;

/// What [`Mount::dev`] binds from the caller's `/dev`.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// And the links in it.
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Everything that the steps need.
#[derive(Debug)]
pub(in crate::command) struct Prepared {
    world: World,
    /// Set on all mounts first of all, 0 to leave them.
    propagation: c_ulong,
    /// Set on a new root, 0 to leave it.
    root_propagation: c_ulong,
    /// The mount namespace is that of others.
    entered: bool,
    /// Where the mounts become the root.
    pivots: bool,
    /// `/proc` by itself.
    proc: bool,
}

/// Text without NUL, which was checked.
fn text(text: &OsStr) -> Result<CString> {
    CString::new(text.as_bytes())
        .map_err(|_| Error::invalid(format!("{text:?} has a NUL byte in it")))
}

fn target(path: &Path) -> Result<Target> {
    Target::new(path.as_os_str().as_bytes())
        .ok_or_else(|| Error::invalid(format!("{path:?} has a NUL byte in it")))
}

fn flags_of(propagation: Propagation) -> c_ulong {
    match propagation {
        Propagation::Private => libc::MS_PRIVATE,
        Propagation::Slave => libc::MS_SLAVE,
        Propagation::Shared => libc::MS_SHARED,
        Propagation::Unchanged => 0,
    }
}

impl Mount {
    /// Most are one item; some are several.
    fn prepare(&self, items: &mut Vec<Item>) -> Result<()> {
        let own_ties =
            self.propagation.is_some_and(|propagation| propagation != Propagation::Private);
        let (what, sealed) = match &self.what {
            What::Bind(source) => {
                let source = Source::new(text(source.as_os_str())?, self.recursive, own_ties);
                (mounting::What::Bind(source), false)
            }
            What::Filesystem { fstype, source } => {
                (self.filesystem(fstype, source)?, fstype == "tmpfs")
            }
            What::Dev => (self.filesystem("tmpfs".as_ref(), "tmpfs".as_ref())?, true),
        };
        let mut item = Item::new(target(&self.target)?, what);
        let recursive = if self.recursive { libc::MS_REC } else { 0 };
        item.flags = self.flags | if self.read_only { libc::MS_RDONLY } else { 0 };
        item.sealed = sealed && self.read_only;
        item.create = self.create_target;
        item.propagation = match self.propagation.map_or(0, flags_of) {
            0 => 0,
            flags => flags | recursive,
        };
        items.push(item);
        if let What::Dev = self.what {
            self.devices(items)?;
        }
        Ok(())
    }

    fn filesystem(&self, fstype: &OsStr, source: &OsStr) -> Result<mounting::What> {
        let data = (!self.data.is_empty()).then(|| text(&self.data)).transpose()?;
        Ok(mounting::What::Filesystem { source: text(source)?, fstype: text(fstype)?, data })
    }

    /// What is in the tmpfs of [`Mount::dev`].
    fn devices(&self, items: &mut Vec<Item>) -> Result<()> {
        let place = |name: &str| self.target.join(name);
        for name in DEVICES {
            let bind = Self::bind(Path::new("/dev").join(name), place(name)).no_suid().no_exec();
            bind.create_target().prepare(items)?;
        }
        Self::devpts(place("pts")).create_target().prepare(items)?;
        let shm = Self::tmpfs(place("shm")).data("mode=1777").no_exec();
        shm.create_target().prepare(items)?;
        for (name, leads_to) in DEVICE_LINKS {
            let link =
                mounting::What::Link { text: text(leads_to.as_ref())?, name: text(name.as_ref())? };
            items.push(Item::new(target(&self.target)?, link));
        }
        Ok(())
    }
}

impl Mounts {
    pub(in crate::command) fn prepare(&self, created: Namespaces) -> Result<Prepared> {
        let entered = !created.contains(Namespaces::MOUNT);
        let default = if entered { Propagation::Unchanged } else { Propagation::Private };
        let propagation = self.propagation.unwrap_or(default);
        let root = match &self.root {
            Some(root) => Some(Source::new(text(root.as_os_str())?, true, false)),
            None => None,
        };
        let mut items = Vec::new();
        for mount in &self.list {
            mount.prepare(&mut items)?;
        }
        let covers_root = |item: &Item| {
            item.target.is_root() && !matches!(item.what, mounting::What::Link { .. })
        };
        let pivots = root.is_some() || items.iter().any(covers_root);
        let both = Namespaces::PID | Namespaces::MOUNT;
        let proc_is_given = items.iter().any(|item| item.target.is(b"proc"));
        let mut proc = self.proc.unwrap_or(created.contains(both) && !proc_is_given);
        if proc && pivots {
            // As long as the old one is there: in a user namespace the kernel demands that.
            Mount::proc("/proc").prepare(&mut items)?;
            proc = false;
        }
        let (first, root_propagation) = match propagation {
            // Whatever becomes the root may not be shared meanwhile, and may not be mounted on the host.
            _ if entered => (propagation, 0),
            Propagation::Shared if pivots => (Propagation::Slave, libc::MS_SHARED),
            Propagation::Unchanged if pivots => (Propagation::Slave, 0),
            propagation => (propagation, 0),
        };
        let first = match flags_of(first) {
            0 => 0,
            flags => flags | libc::MS_REC,
        };
        let world = World::new(root, items);
        Ok(Prepared { world, propagation: first, root_propagation, entered, pivots, proc })
    }
}

/// Those of a command without any setting about mounts.
pub(in crate::command) fn default_ops<'a>(created: Namespaces) -> impl Iterator<Item = Op<'a>> {
    let both = Namespaces::PID | Namespaces::MOUNT;
    let propagation = created.contains(Namespaces::MOUNT).then_some(Op::Propagation(DEFAULT));
    propagation.into_iter().chain(created.contains(both).then(mount_proc))
}

/// The propagation of all mounts.
const DEFAULT: c_ulong = libc::MS_PRIVATE | libc::MS_REC;

fn mount_proc<'a>() -> Op<'a> {
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    Op::Mount { source: c"proc", target: c"/proc", fstype: c"proc", flags }
}

impl Prepared {
    pub(in crate::command) fn ops<'a>(&'a self, ops: &mut Vec<Op<'a>>) {
        let world = &self.world;
        let propagation = (self.propagation != 0).then_some(Op::Propagation(self.propagation));
        if world.root.is_none() && world.items.is_empty() {
            ops.extend(propagation);
        } else {
            let mut acts = vec![Act::Begin(world)];
            acts.extend(self.sources(true));
            ops.extend(acts.into_iter().map(Op::Mounting).chain(propagation));
            ops.extend(self.acts().into_iter().map(Op::Mounting));
        }
        ops.extend(self.proc.then(mount_proc));
    }

    /// The taking of the sources of bind mounts: of those that keep their ties, or of the others.
    fn sources(&self, keep_ties: bool) -> impl Iterator<Item = Act<'_>> {
        self.world.items.iter().filter_map(move |item| match &item.what {
            mounting::What::Bind(source) if source.keeps_ties == keep_ties => {
                Some(Act::Take(source, item))
            }
            _ => None,
        })
    }

    fn acts(&self) -> Vec<Act<'_>> {
        let (world, entered) = (&self.world, self.entered);
        let mut acts: Vec<Act<'_>> = self.sources(false).collect();
        let mut root_propagation = self.root_propagation;
        let shared = |acts: &mut Vec<_>| {
            if self.root_propagation != 0 {
                acts.push(Act::RootPropagation(world, self.root_propagation | libc::MS_REC));
            }
        };
        if let Some(source) = &world.root {
            if !entered {
                acts.push(Act::TakeRoot(source));
            }
            acts.push(Act::Root { world, source, entered });
            shared(&mut acts);
        }
        for item in &world.items {
            acts.extend([Act::Find(world, item), Act::Put(world, item)]);
            let is_mount = !matches!(item.what, mounting::What::Link { .. });
            if is_mount && item.target.is_root() {
                root_propagation = self.root_propagation;
                if item.propagation == 0 {
                    shared(&mut acts);
                } else {
                    let own = item.propagation & !libc::MS_REC;
                    root_propagation = if own == libc::MS_SHARED { own } else { 0 };
                }
            }
            if item.propagation != 0 {
                acts.push(Act::Propagation(world, item));
            }
        }
        acts.extend(
            world.items.iter().filter(|item| item.sealed).map(|item| Act::Seal(world, item)),
        );
        acts.push(match (self.pivots, entered) {
            (true, false) => Act::Pivot(world, root_propagation),
            (true, true) => Act::Chroot(world),
            (false, _) => Act::Directory,
        });
        acts.push(Act::End(world));
        acts
    }

    /// Whether the paths that the program finds are others than the caller's.
    pub(in crate::command) fn hides_paths(&self) -> bool {
        self.world.root.is_some() || !self.world.items.is_empty()
    }

    /// Whether there is a new root.
    pub(in crate::command) fn has_root(&self) -> bool {
        self.pivots
    }

    /// For a process that did the steps itself, and failed in one.
    pub(in crate::command) fn close(&self) {
        self.world.close();
    }
}
