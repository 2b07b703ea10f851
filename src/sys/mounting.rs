//! The world of files that a program finds: what a child does for its mounts and its root, step by step. May run between
//! clone and exec.
//!
//! | what is used | where it is missing |
//! | --- | --- |
//! | open_tree(2): sources are taken before anything is mounted | they are opened then, and bound when it is their turn |
//! | move_mount(2) on a descriptor | mount(2) on `/proc/self/fd`, or on the working directory |
//! | mount_setattr(2) | mount(2) with `MS_REMOUNT` and the flags there are; ENOSYS for a whole tree |
//! | openat2(2) with `RESOLVE_IN_ROOT` | component by component, following no link |

use std::ffi::{CString, c_ulong};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};

use super::mount::{self, What as Call};
use super::openat2::{self, Make, Target, is_missing};
use super::syscall::Errno;
use super::{open_tree, openat2::close};

/// A descriptor that one step opens for a later one. It belongs to the process that does the steps.
#[derive(Debug)]
pub(crate) struct Slot(AtomicI32);

impl Default for Slot {
    fn default() -> Self {
        Self(AtomicI32::new(-1))
    }
}

impl Slot {
    fn get(&self) -> RawFd {
        self.0.load(Relaxed)
    }

    /// Puts a descriptor there, and closes the one before.
    fn set(&self, fd: RawFd) {
        close(self.0.swap(fd, Relaxed));
    }

    fn close(&self) {
        self.set(-1);
    }
}

/// A path of the caller's.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: CString,
    pub(crate) recursive: bool,
    /// It is to keep its ties to the mount that it is a copy of.
    pub(crate) keeps_ties: bool,
    mount: Slot,
    /// Whether that is a mount of its own, or only a name of the source.
    is_copy: AtomicBool,
}

/// What to put on a target.
#[derive(Debug)]
pub(crate) enum What {
    Bind(Source),
    Filesystem {
        source: CString,
        fstype: CString,
        data: Option<CString>,
    },
    /// symlink(7) in the target, which is a directory.
    Link {
        text: CString,
        name: CString,
    },
}

/// One thing to be put below the root.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) target: Target,
    pub(crate) what: What,
    /// mount(2)'s: read-only, no setuid, no devices, no programs.
    pub(crate) flags: c_ulong,
    /// Read-only only when all is mounted.
    pub(crate) sealed: bool,
    pub(crate) create: bool,
    /// mount(2)'s, 0 to leave it.
    pub(crate) propagation: c_ulong,
    point: Slot,
    top: Slot,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// The new root, if it is a directory of the caller's.
    pub(crate) root: Option<Source>,
    pub(crate) items: Vec<Item>,
    /// What targets are resolved in, and what becomes the root.
    base: Slot,
    outside: Slot,
    directory: Slot,
}

/// One step. The error of each is of one thing on one path.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act<'a> {
    /// Opens what is there before.
    Begin(&'a World),
    /// Takes a source.
    Take(&'a Source, &'a Item),
    TakeRoot(&'a Source),
    /// Mounts the new root on itself, and has all else below it; `entered`: as it is, in a namespace of others.
    Root {
        world: &'a World,
        source: &'a Source,
        entered: bool,
    },
    /// Propagation of the new root and all below it.
    RootPropagation(&'a World, c_ulong),
    /// Finds a target, or makes it.
    Find(&'a World, &'a Item),
    /// Mounts on it.
    Put(&'a World, &'a Item),
    /// Propagation of what was mounted.
    Propagation(&'a World, &'a Item),
    /// Read-only, now that all is mounted.
    Seal(&'a World, &'a Item),
    /// pivot_root(2), and the old root gone; then that propagation for the new one.
    Pivot(&'a World, c_ulong),
    /// chroot(2), where the mount namespace is that of others.
    Chroot(&'a World),
    /// A working directory that is not hidden below a mount.
    Directory,
    /// Nothing of it stays open.
    End(&'a World),
}

impl Source {
    pub(crate) fn new(path: CString, recursive: bool, keeps_ties: bool) -> Self {
        let (mount, is_copy) = (Slot::default(), AtomicBool::new(false));
        Self { path, recursive, keeps_ties, mount, is_copy }
    }

    fn take(&self) -> Result<(), Errno> {
        let fd = match open_tree::copy(&self.path, self.recursive) {
            Err(errno) if is_missing(errno) && !self.keeps_ties => {
                self.is_copy.store(false, Relaxed);
                openat2::name(libc::AT_FDCWD, &self.path, 0)?
            }
            result => {
                self.is_copy.store(true, Relaxed);
                result?
            }
        };
        self.mount.set(fd);
        Ok(())
    }

    /// Mounts it on `point`; its descriptor is then that of the mount. `top` opens what is mounted there.
    fn put(
        &self,
        point: RawFd,
        flags: c_ulong,
        back: RawFd,
        top: impl Fn() -> Result<RawFd, Errno>,
    ) -> Result<(), Errno> {
        let own = self.mount.get();
        let attributes = |mount| match flags {
            0 => Ok(true),
            flags => match open_tree::add_attributes(mount, flags, self.recursive) {
                Ok(()) => Ok(true),
                Err(errno) if is_missing(errno) && !self.recursive => Ok(false),
                Err(errno) if is_missing(errno) => Err(Errno(libc::ENOSYS)),
                Err(errno) => Err(errno),
            },
        };
        let is_copy = self.is_copy.load(Relaxed);
        let mut has_attributes = is_copy && attributes(own)?;
        let mounted = if is_copy {
            match open_tree::attach(own, point) {
                Err(errno) if is_missing(errno) => mount::move_to(own, point),
                result => result,
            }
        } else {
            mount::bind(own, point, self.recursive)
        };
        if let Err(errno) = mounted {
            let kinds_differ = openat2::is_directory(own) != openat2::is_directory(point);
            return Err(if kinds_differ { Errno(libc::ENOTDIR) } else { errno });
        }
        if !is_copy {
            self.mount.set(top()?);
            has_attributes = attributes(self.mount.get())?;
        }
        if has_attributes { Ok(()) } else { mount::add_flags(self.mount.get(), flags, back) }
    }
}

impl Item {
    pub(crate) fn new(target: Target, what: What) -> Self {
        let (point, top) = (Slot::default(), Slot::default());
        let (flags, sealed, create, propagation) = (0, false, false, 0);
        Self { target, what, flags, sealed, create, propagation, point, top }
    }

    fn find(&self, world: &World) -> Result<(), Errno> {
        let base = world.base.get();
        if self.target.is_root() {
            self.point.set(openat2::duplicate(base)?);
            return Ok(());
        }
        let make = match &self.what {
            _ if !self.create => Make::Nothing,
            What::Bind(source) if !openat2::is_directory(source.mount.get()) => Make::File,
            _ => Make::Directory,
        };
        self.point.set(openat2::find(base, &self.target, make)?);
        Ok(())
    }

    /// What is mounted on the target.
    fn open_top(&self, world: &World) -> Result<RawFd, Errno> {
        let base = world.base.get();
        if self.target.is_root() {
            return openat2::top(base, world.outside.get(), world.directory.get());
        }
        openat2::find(base, &self.target, Make::Nothing)
    }

    fn put(&self, world: &World) -> Result<(), Errno> {
        let (point, back) = (self.point.get(), world.directory.get());
        let top = || self.open_top(world);
        match &self.what {
            What::Link { text, name } => mount::symlink(text, point, name)?,
            What::Bind(source) => {
                source.put(point, self.flags, back, top)?;
                self.top.set(openat2::duplicate(source.mount.get())?);
                source.mount.close();
            }
            What::Filesystem { source, fstype, data } => {
                let flags = if self.sealed { self.flags & !libc::MS_RDONLY } else { self.flags };
                let (source, fstype) = (Some(source.as_c_str()), Some(fstype.as_c_str()));
                Call { source, fstype, flags, data: data.as_deref() }.on(point, back).map_err(
                    |errno| {
                        if openat2::is_directory(point) { errno } else { Errno(libc::ENOTDIR) }
                    },
                )?;
                if self.sealed || self.propagation != 0 || self.target.is_root() {
                    self.top.set(top()?);
                }
            }
        }
        self.point.close();
        if self.target.is_root() && self.top.get() >= 0 {
            world.base.set(openat2::duplicate(self.top.get())?);
        }
        Ok(())
    }
}

impl World {
    pub(crate) fn new(root: Option<Source>, items: Vec<Item>) -> Self {
        Self { root, items, ..Self::default() }
    }

    /// Closes what a process has open that did not come to [`Act::End`].
    pub(crate) fn close(&self) {
        for slot in [&self.base, &self.outside, &self.directory] {
            slot.close();
        }
        if let Some(source) = &self.root {
            source.mount.close();
        }
        for item in &self.items {
            item.point.close();
            item.top.close();
            if let What::Bind(source) = &item.what {
                source.mount.close();
            }
        }
    }

    fn pivot(&self, propagation: c_ulong) -> Result<(), Errno> {
        mount::fchdir(self.base.get())?;
        // It takes no root that is shared.
        mount::mount(None, c".", None, libc::MS_SLAVE, None)?;
        mount::pivot_root_here()?;
        if propagation != 0 {
            mount::mount(None, c".", None, propagation, None)?;
        }
        mount::fchdir(self.outside.get())?;
        mount::unmount(c".", libc::MNT_DETACH)?;
        mount::chdir(c"/")
    }
}

impl Act<'_> {
    pub(super) fn run(&self) -> Result<(), Errno> {
        match self {
            Self::Begin(world) => {
                world.outside.set(openat2::name(libc::AT_FDCWD, c"/", 0)?);
                world.base.set(openat2::duplicate(world.outside.get())?);
                // It may be one that this process has no right to come back to.
                world.directory.set(openat2::name(libc::AT_FDCWD, c".", 0).unwrap_or(-1));
                Ok(())
            }
            Self::Take(source, _) | Self::TakeRoot(source) => source.take(),
            Self::Root { world, source, entered } => {
                let directory = openat2::name(libc::AT_FDCWD, &source.path, libc::O_DIRECTORY)?;
                if *entered {
                    world.base.set(directory);
                    return Ok(());
                }
                let back = world.directory.get();
                let top = || openat2::top(directory, world.outside.get(), back);
                let result = source.put(directory, 0, back, top);
                close(directory);
                result?;
                world.base.set(openat2::duplicate(source.mount.get())?);
                source.mount.close();
                Ok(())
            }
            Self::RootPropagation(world, flags) => {
                Call::change(*flags).on(world.base.get(), world.directory.get())
            }
            Self::Find(world, item) => item.find(world),
            Self::Put(world, item) => item.put(world),
            Self::Propagation(world, item) => {
                Call::change(item.propagation).on(item.top.get(), world.directory.get())
            }
            Self::Seal(world, item) => {
                let mount = item.top.get();
                match open_tree::add_attributes(mount, libc::MS_RDONLY, false) {
                    Err(errno) if is_missing(errno) => {
                        mount::add_flags(mount, libc::MS_RDONLY, world.directory.get())
                    }
                    result => result,
                }
            }
            Self::Pivot(world, propagation) => world.pivot(*propagation),
            Self::Chroot(world) => {
                mount::fchdir(world.base.get())?;
                mount::chroot(c".")?;
                mount::chdir(c"/")
            }
            Self::Directory => mount::rename_directory(),
            Self::End(world) => {
                world.close();
                Ok(())
            }
        }
    }
}
