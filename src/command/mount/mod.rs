//! The files that a program finds: mounts, a new root, propagation, `/proc`.
#![forbid(unsafe_code)]

mod explain;
mod plan;

pub(super) use self::plan::{Prepared, default_ops};
use std::ffi::{OsStr, OsString, c_ulong};
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::Command;
use crate::error::{Error, Result};

/// mount(2) takes a page of options, with the NUL at their end.
const MAX_DATA: usize = 4095;

/// How mounts and unmounts spread between this mount namespace and those it was copied from: mount_namespaces(7).
///
/// # References
/// mount_namespaces(7)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// `MS_PRIVATE`: neither way.
    Private,
    /// `MS_SLAVE`: from the outside in.
    Slave,
    /// `MS_SHARED`: to those that are copied from this one, and back. Mounts may leak to the host, except from a new root.
    Shared,
    /// As it was: mounts may leak to the host, except from a new root.
    Unchanged,
}

/// A mount for [`Command::mount`]: what, where, and how.
///
/// # Source and target
/// The source of a bind mount is a path of the caller's: it is looked up before anything is mounted, so that no mount of
/// the command hides it. (`/proc/self` in it is the child that looks it up.) The target is a path inside the root, absolute or not, whatever the working directory. Symbolic
/// links in it are followed as if that root were the process's own: neither they nor `..` lead out of it.
///
/// The target must be there, unless [`create_target`](Self::create_target) is called. A target of `/` covers the root, and
/// becomes the new one, as with [`Command::root`].
///
/// # Examples
/// A container of the host's own `/usr`, on an empty root:
/// ```no_run
/// use linux_namespaces::{Command, Mount, flags::*};
/// # fn main() -> linux_namespaces::Result<()> {
/// Command::new("/usr/bin/sh")
///     .namespaces(USER | PID | MOUNT)
///     .mount(Mount::tmpfs("/").read_only())
///     .mount(Mount::bind("/usr", "/usr").recursive().read_only().create_target())
///     .mount(Mount::bind("/lib", "/lib").recursive().read_only().create_target())
///     .mount(Mount::bind("/lib64", "/lib64").recursive().read_only().create_target())
///     .mount(Mount::tmpfs("/tmp").create_target())
///     .mount(Mount::proc("/proc").create_target())
///     .mount(Mount::dev("/dev").create_target())
///     .status()?;
/// # Ok(())
/// # }
/// ```
///
/// # References
/// mount(2), open_tree(2), move_mount(2), mount_setattr(2), openat2(2)
#[derive(Clone, Debug)]
pub struct Mount {
    what: What,
    target: PathBuf,
    read_only: bool,
    recursive: bool,
    /// mount(2)'s: those that the kind has by itself, and those that were asked for.
    flags: c_ulong,
    data: OsString,
    create_target: bool,
    propagation: Option<Propagation>,
}

#[derive(Clone, Debug)]
enum What {
    Bind(PathBuf),
    Filesystem { fstype: OsString, source: OsString },
    Dev,
}

impl Mount {
    fn with(what: What, target: &Path, flags: c_ulong, data: &str) -> Self {
        Self {
            what,
            target: target.to_owned(),
            read_only: false,
            recursive: false,
            flags,
            data: data.into(),
            create_target: false,
            propagation: None,
        }
    }

    fn of_type(fstype: &str, target: &Path, flags: c_ulong, data: &str) -> Self {
        let what = What::Filesystem { fstype: fstype.into(), source: fstype.into() };
        Self::with(what, target, flags, data)
    }

    /// A bind mount: the directory or file `src`, to be seen at `dst` too. Symbolic links at the end of `src` are followed.
    ///
    /// Mounts below `src` are left out unless it is [`recursive`](Self::recursive). In a new user namespace they may not be,
    /// for they may have been put there to hide something: the kernel answers EINVAL.
    ///
    /// The mount has the flags of the one it is made from, such as nosuid and nodev.
    ///
    /// # References
    /// mount(2), mount_setattr(2)
    #[doc(alias = "MS_BIND")]
    pub fn bind(src: impl AsRef<Path>, dst: impl AsRef<Path>) -> Self {
        Self::with(What::Bind(src.as_ref().to_owned()), dst.as_ref(), 0, "")
    }

    /// A `proc` of the program's pid namespace, nosuid, nodev and noexec. Needs `PID`, except for root.
    ///
    /// One on `/proc` takes the place of the default of [`Command::mount_proc`].
    ///
    /// # References
    /// proc(5), pid_namespaces(7)
    pub fn proc(dst: impl AsRef<Path>) -> Self {
        let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        Self::of_type("proc", dst.as_ref(), flags, "")
    }

    /// An empty file system in memory, nosuid and nodev, whose root has mode 0755: `data("mode=1777")` for a directory like
    /// `/tmp` that several users are to write to, `data("size=64m")` for a limit.
    ///
    /// # References
    /// tmpfs(5)
    pub fn tmpfs(dst: impl AsRef<Path>) -> Self {
        Self::of_type("tmpfs", dst.as_ref(), libc::MS_NOSUID | libc::MS_NODEV, "mode=0755")
    }

    /// A `sysfs` of the program's net namespace, nosuid, nodev and noexec. Needs `NET`, except for root.
    ///
    /// # References
    /// sysfs(5), network_namespaces(7)
    pub fn sysfs(dst: impl AsRef<Path>) -> Self {
        let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        Self::of_type("sysfs", dst.as_ref(), flags, "")
    }

    /// Pseudo-terminals of its own, nosuid and noexec: `newinstance,ptmxmode=0666,mode=620`.
    ///
    /// # References
    /// pts(4)
    pub fn devpts(dst: impl AsRef<Path>) -> Self {
        let flags = libc::MS_NOSUID | libc::MS_NOEXEC;
        Self::of_type("devpts", dst.as_ref(), flags, "newinstance,ptmxmode=0666,mode=620")
    }

    /// A minimal `/dev`: a tmpfs with `null`, `zero`, `full`, `random`, `urandom` and `tty` bound from the caller's `/dev`, since an
    /// ordinary user can make no device; `pts` and `ptmx` of its own; `shm`; and `fd`, `stdin`, `stdout`, `stderr`.
    ///
    /// Flags and options are those of the tmpfs.
    ///
    /// # References
    /// null(4), random(4), tty(4), pts(4)
    pub fn dev(dst: impl AsRef<Path>) -> Self {
        let flags = libc::MS_NOSUID | libc::MS_NOEXEC;
        Self::with(What::Dev, dst.as_ref(), flags, "mode=0755")
    }

    /// Any type of file system that the kernel has, from any source: a device, or any text where the type has none.
    /// Options are given by [`data`](Self::data).
    ///
    /// ```
    /// use linux_namespaces::Mount;
    /// Mount::new("overlay", "overlay", "/").data("lowerdir=/srv/base,upperdir=/srv/changes,workdir=/srv/work");
    /// ```
    ///
    /// In a user namespace other than the first the kernel mounts only types that are known to be safe there: proc,
    /// sysfs, tmpfs, devpts, mqueue, cgroup2, overlay (Linux 5.11), fuse and a few more.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`](crate::Step::Validate) for an empty type or target, or a NUL byte; [`Step::Mount`](crate::Step::Mount)
    /// with the target: ENODEV for a type that the kernel lacks; EPERM for one that may not be mounted in a user namespace.
    ///
    /// # References
    /// mount(2), filesystems(5), user_namespaces(7)
    pub fn new(fstype: impl AsRef<OsStr>, src: impl AsRef<OsStr>, dst: impl AsRef<Path>) -> Self {
        let (fstype, source) = (fstype.as_ref().to_owned(), src.as_ref().to_owned());
        Self::with(What::Filesystem { fstype, source }, dst.as_ref(), 0, "")
    }

    /// Nothing can be written to it. Of a [`recursive`](Self::recursive) bind all mounts are made so, which takes Linux 5.12.
    ///
    /// A [`tmpfs`](Self::tmpfs) or [`dev`](Self::dev) becomes so when all mounts of the command are made, so that
    /// later ones can have targets in it; everything else at once.
    ///
    /// # References
    /// `MS_RDONLY` in mount(2), mount_setattr(2)
    #[doc(alias = "MS_RDONLY")]
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// With all mounts below the source. For [`bind`](Self::bind) only.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`](crate::Step::Validate) for a mount that is no bind mount.
    ///
    /// # References
    /// `MS_REC` in mount(2), open_tree(2)
    #[doc(alias = "MS_REC")]
    #[must_use]
    pub fn recursive(mut self) -> Self {
        self.recursive = true;
        self
    }

    /// No program is executed from it.
    ///
    /// # References
    /// `MS_NOEXEC` in mount(2)
    #[doc(alias = "MS_NOEXEC")]
    #[must_use]
    pub fn no_exec(mut self) -> Self {
        self.flags |= libc::MS_NOEXEC;
        self
    }

    /// Set-user-id and set-group-id bits and file capabilities on it do nothing.
    ///
    /// # References
    /// `MS_NOSUID` in mount(2)
    #[doc(alias = "MS_NOSUID")]
    #[must_use]
    pub fn no_suid(mut self) -> Self {
        self.flags |= libc::MS_NOSUID;
        self
    }

    /// Devices on it are not opened.
    ///
    /// # References
    /// `MS_NODEV` in mount(2)
    #[doc(alias = "MS_NODEV")]
    #[must_use]
    pub fn no_dev(mut self) -> Self {
        self.flags |= libc::MS_NODEV;
        self
    }

    /// Options of the file system, with commas between them, after those that the kind has by itself. They are passed on
    /// as they are, so commas in a value are escaped as the file system wants it: overlay takes `\,`. A bind mount has none.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`](crate::Step::Validate) for more than 4095 bytes, for a NUL byte, and for any of a bind mount;
    /// [`Step::Mount`](crate::Step::Mount) with EINVAL for options that the file system does not know.
    ///
    /// # References
    /// mount(2), tmpfs(5)
    #[must_use]
    pub fn data(mut self, data: impl AsRef<OsStr>) -> Self {
        if !self.data.is_empty() && !data.as_ref().is_empty() {
            self.data.push(",");
        }
        self.data.push(data);
        self
    }

    /// Makes a missing target instead of failing: a file for a bind mount of a file, a directory (mode 0755) for all
    /// else, and the directories before it.
    ///
    /// What is made is real and stays: where the root is a directory of the host, it is made on the host, by the rights that the
    /// program's user has there.
    ///
    /// # References
    /// mkdir(2), openat2(2)
    #[must_use]
    pub fn create_target(mut self) -> Self {
        self.create_target = true;
        self
    }

    /// The propagation of this mount alone, after it is made; of a [`recursive`](Self::recursive) bind, of all its mounts.
    ///
    /// A bind mount with [`Slave`](Propagation::Slave) receives what is mounted below its source outside, and with
    /// [`Shared`](Propagation::Shared) sends back what is mounted below it inside, if the source is on a shared mount, and whatever
    /// [`Command::propagation`] says of all others. In a new user namespace nothing is sent back.
    ///
    /// # References
    /// mount_namespaces(7)
    #[must_use]
    pub fn propagation(mut self, p: Propagation) -> Self {
        self.propagation = Some(p);
        self
    }

    /// What is refused before any system call.
    fn validate(&self) -> Result<()> {
        let target = &self.target;
        let text = |what: &str, text: &OsStr| match text.as_bytes() {
            bytes if bytes.contains(&0) => Err(Error::invalid(format!(
                "the {what} {text:?} of a mount has a NUL byte in it, which no text passed to the kernel can have"
            ))),
            _ => Ok(()),
        };
        let some = |what: &str, value: &OsStr| match value.is_empty() {
            true => Err(Error::invalid(format!("the {what} of a mount is empty: give it one"))),
            false => text(what, value),
        };
        some("target", target.as_os_str())?;
        match &self.what {
            What::Bind(source) => {
                some("source", source.as_os_str())?;
                if !self.data.is_empty() {
                    return Err(Error::invalid(format!(
                        "the bind mount on {target:?} is given the options {:?}: it has none",
                        self.data
                    )));
                }
            }
            What::Filesystem { fstype, source } => {
                some("type", fstype)?;
                text("source", source)?;
            }
            What::Dev => {}
        }
        text("options", &self.data)?;
        if self.recursive && !matches!(self.what, What::Bind(_)) {
            return Err(Error::invalid(format!(
                "the mount on {target:?} is recursive: only a bind mount can be"
            )));
        }
        if self.data.len() > MAX_DATA {
            return Err(Error::invalid(format!(
                "the options of the mount on {target:?} have {} bytes: they may have {MAX_DATA} at most",
                self.data.len()
            )));
        }
        Ok(())
    }
}

/// The settings of a [`Command`].
#[derive(Debug, Default)]
pub(super) struct Mounts {
    propagation: Option<Propagation>,
    proc: Option<bool>,
    list: Vec<Mount>,
    root: Option<PathBuf>,
}

impl Mounts {
    /// What would act on the caller's own mounts if the program had no others.
    pub(super) fn need_namespace(&self) -> impl Iterator<Item = String> {
        let spread = self.propagation.is_some_and(|p| p != Propagation::Unchanged);
        let spread = spread.then(|| "the propagation of all mounts is set".to_owned());
        let proc = (self.proc == Some(true)).then(|| "/proc is mounted".to_owned());
        let root = self.root.as_ref().map(|root| format!("the root {root:?} is set"));
        let mounts = self.list.iter().map(|mount| format!("{:?} is mounted", mount.target));
        spread.into_iter().chain(proc).chain(root).chain(mounts)
    }

    pub(super) fn are_default(&self) -> bool {
        let Self { propagation, proc, list, root } = self;
        propagation.is_none() && proc.is_none() && list.is_empty() && root.is_none()
    }

    pub(super) fn validate(&self) -> Result<()> {
        if let Some(root) = &self.root {
            if root.as_os_str().is_empty() {
                return Err(Error::invalid("the root is an empty path: give it a directory"));
            }
            if root.as_os_str().as_bytes().contains(&0) {
                return Err(Error::invalid(format!(
                    "the root {root:?} has a NUL byte in it, which no text passed to the kernel can have"
                )));
            }
        }
        self.list.iter().try_for_each(Mount::validate)
    }

    /// For `Debug`: what was set.
    pub(super) fn show(&self, show: &mut dyn FnMut(&str, Option<&dyn fmt::Debug>)) {
        show("propagation", self.propagation.as_ref().map(|it| it as &dyn fmt::Debug));
        show("mount_proc", self.proc.as_ref().map(|it| it as &dyn fmt::Debug));
        show("mounts", (!self.list.is_empty()).then_some(&self.list as &dyn fmt::Debug));
        show("root", self.root.as_ref().map(|it| it as &dyn fmt::Debug));
    }
}

impl Command {
    /// The propagation of all mounts inside. Needs `MOUNT`; default: [`Private`](Propagation::Private) when `MOUNT` is created.
    ///
    /// With a new root nothing that is mounted inside leaks to the host, whatever is set here: what was shared with it only
    /// receives, and with `Shared` what is inside is shared with namespaces that are copied from this one.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`](crate::Step::Validate) without a mount namespace, created or entered, unless it is
    /// [`Unchanged`](Propagation::Unchanged); [`Step::Propagation`](crate::Step::Propagation).
    ///
    /// # References
    /// mount_namespaces(7)
    pub fn propagation(&mut self, p: Propagation) -> &mut Self {
        self.mounts.propagation = Some(p);
        self
    }

    /// Whether to mount a new `/proc` inside. Needs `MOUNT`; default: true when `PID` and `MOUNT` are both created, unless a
    /// [`mount`](Self::mount) has it as its target.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`](crate::Step::Validate) for `true` without a mount namespace; `Step::Mount("/proc")`: EPERM with
    /// [`Cause::MaskedProc`](crate::Cause::MaskedProc) in a user namespace, where parts of the caller's own `/proc` are covered, as in many
    /// containers.
    ///
    /// # References
    /// proc(5), pid_namespaces(7)
    pub fn mount_proc(&mut self, mount: bool) -> &mut Self {
        self.mounts.proc = Some(mount);
        self
    }

    /// Mounts something inside. Calls add up, in the order given: each mount may have its target in one before. Needs `MOUNT`.
    ///
    /// Where the working directory would be hidden below a mount, it is the directory that has its name now; `/` if there is none.
    ///
    /// In a mount namespace that is entered, instead of created, the mounts are there for all its processes, and stay.
    ///
    /// # Errors
    /// At spawn: [`Step::Mount`](crate::Step::Mount) with the target: there is none (ENOENT), or no source, or the kernel
    /// refuses the mount. Mounts that were made before it are gone with their namespace; unless
    /// [`propagation`](Self::propagation) was set to let them leak to the host.
    ///
    /// # Requires
    /// CAP_SYS_ADMIN over the mount namespace: root, or `USER` created with it. Linux 5.12 for a whole tree that is read-only, 5.2 for
    /// [`Mount::propagation`] of a bind mount other than `Private`. Where openat2(2) (5.6) is missing, a target with a symbolic link
    /// in it is refused.
    ///
    /// # References
    /// mount(2), mount_namespaces(7)
    pub fn mount(&mut self, mount: Mount) -> &mut Self {
        self.mounts.list.push(mount);
        self
    }

    /// Makes a directory, given as the caller's path, the program's root: pivot_root(2). The old root is gone, and targets of
    /// [`mount`](Self::mount)s are inside the new one. Needs `MOUNT`.
    ///
    /// The working directory is `/`, unless [`current_dir`](Self::current_dir) is called. With `PID`, a new `/proc` is
    /// mounted, for which the root must have a directory. For a root that cannot be written to, mount the directory on it read-only,
    /// first of all: `.root(dir).mount(Mount::bind(dir, "/").read_only())`.
    ///
    /// In a mount namespace that is entered, instead of created, chroot(2) does it, for the root of that namespace is not
    /// the program's alone.
    ///
    /// # Errors
    /// At spawn: [`Step::PivotRoot`](crate::Step::PivotRoot) with the directory. `Step::Mount("/proc")` if there is no such directory in it.
    ///
    /// # Requires
    /// As [`mount`](Self::mount).
    ///
    /// # Examples
    /// ```no_run
    /// use linux_namespaces::{Command, flags::*};
    /// # fn main() -> linux_namespaces::Result<()> {
    /// Command::new("/bin/sh").namespaces(USER | PID | MOUNT).map_root_user().root("/srv/alpine").status()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # References
    /// pivot_root(2)
    pub fn root(&mut self, dir: impl AsRef<Path>) -> &mut Self {
        self.mounts.root = Some(dir.as_ref().to_owned());
        self
    }
}
