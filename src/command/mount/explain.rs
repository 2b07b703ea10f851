//! From a step of mounting that failed to the error that says so.
#![forbid(unsafe_code)]

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::command::plan::Materials;
use crate::error::{Cause, Error, Step};
use crate::sys::mounting::{Act, Item, Source, What};
use crate::{NamespaceKind, Namespaces, diagnose};

fn path(text: &CStr) -> PathBuf {
    OsStr::from_bytes(text.to_bytes()).into()
}

/// The mount, and what it is one of.
fn mounting(item: &Item) -> Error {
    let step = Error::new(Step::Mount(path(&item.target.path)));
    match &item.what {
        What::Bind(source) => step.on(format!("(a bind of {})", source.path.to_string_lossy())),
        // The step says it.
        What::Filesystem { fstype, .. } if fstype.as_c_str() == c"proc" => step,
        What::Filesystem { fstype, .. } => step.on(format!("({})", fstype.to_string_lossy())),
        What::Link { name, .. } => step.on(format!("(the link {})", name.to_string_lossy())),
    }
}

impl Materials<'_> {
    /// What was being done, and on what.
    pub(in crate::command) fn mounting(&self, act: &Act<'_>) -> Error {
        let root = |source: Option<&Source>| {
            Error::new(Step::PivotRoot(source.map_or("/".into(), |source| path(&source.path))))
        };
        match act {
            Act::Begin(_) => Error::new(Step::Open("/".into())),
            Act::Take(_, item)
            | Act::Find(_, item)
            | Act::Put(_, item)
            | Act::Propagation(_, item)
            | Act::Seal(_, item) => mounting(item),
            Act::TakeRoot(source) | Act::Root { source, .. } => root(Some(source)),
            Act::RootPropagation(..) => Error::new(Step::Propagation).on("below the new root"),
            Act::Pivot(world, _) | Act::Chroot(world) => root(world.root.as_ref()),
            Act::Directory | Act::End(_) => Error::new(Step::Chdir("/".into())),
        }
    }

    /// Why, and what helps.
    pub(in crate::command) fn mounting_failed(&self, act: &Act<'_>, error: Error) -> Error {
        let Some(errno) = error.raw_os_error() else { return error };
        match (act, errno) {
            (Act::Take(..), libc::ENOENT) => error.because(
                "there is no such source: that of a bind mount is a path of the caller's, outside",
            ),
            (Act::Take(source, _), libc::ENOSYS | libc::EPERM) if source.keeps_ties => error.because(
                "it takes open_tree(2) (Linux 5.2), and CAP_SYS_ADMIN, to keep the propagation of its source: leave out `Mount::propagation`",
            ),
            (Act::Take(source, _) | Act::TakeRoot(source), libc::EINVAL) => self.not_copied(source, error),
            (Act::Take(..) | Act::TakeRoot(_) | Act::Root { .. }, libc::EACCES) => error.because(
                "the caller's user, without any capability outside, has no right to search a directory on the way",
            ),
            (Act::Find(_, item), _) => self.not_found(item, errno, error),
            (Act::Put(_, item), _) => self.not_put(item, errno, error),
            (Act::Pivot(..), libc::EINVAL) => {
                let error = diagnose::propagation(error);
                match error.cause() {
                    Some(Cause::Chroot) => error.because(
                        "the caller is inside a chroot whose root is no mount point, which pivot_root(2) cannot move: \
                         bind-mount that directory on itself before chroot(2)",
                    ),
                    _ => error.because(
                        "the caller's root cannot be moved by pivot_root(2), as the initial ramfs cannot",
                    ),
                }
            }
            (Act::Root { .. }, libc::ENOTDIR) => error.because("the root has to be a directory"),
            _ => self.of_mounts(error, |error| diagnose::inside(error, self.command.get_namespaces())),
        }
    }

    fn in_user_namespace(&self) -> bool {
        (self.command.get_namespaces() | self.joins.kinds).contains(Namespaces::USER)
    }

    /// EINVAL for a bind.
    fn not_copied(&self, source: &Source, error: Error) -> Error {
        if !source.recursive && self.in_user_namespace() {
            return error.because(
                "other mounts are below it, and in a user namespace of its own a process may not look under them: \
                 add `Mount::recursive`",
            );
        }
        error.because("it is on an unbindable mount, or on one of another mount namespace")
    }

    fn not_found(&self, item: &Item, errno: i32, error: Error) -> Error {
        match errno {
            libc::ENOENT if item.create => {
                error.because("a symbolic link on the way leads to nothing inside the root")
            }
            libc::ENOENT if item.target.is(b"proc") && matches!(&item.what, What::Filesystem { fstype, .. } if fstype.as_c_str() == c"proc") => {
                error.because("there is no directory for it in the root: make one, or set `mount_proc(false)`")
            }
            libc::ENOENT => error.because(
                "there is no such directory or file inside the root: make it, or add `Mount::create_target`",
            ),
            libc::ELOOP | libc::EXDEV => error.because(
                "there is a symbolic link on the way that is not followed: one that goes round in a circle, one of /proc, \
                 or any, where openat2(2) (Linux 5.6) is not to be had",
            ),
            libc::EROFS => error.because(
                "the target would have to be made on a read-only mount: make it before",
            ),
            libc::EACCES => error.because(
                "the program's user has no right to search a directory on the way, or to make the target there",
            ),
            _ => error,
        }
    }

    fn not_put(&self, item: &Item, errno: i32, error: Error) -> Error {
        let created = self.command.get_namespaces();
        match (&item.what, errno) {
            (What::Bind(source), libc::EINVAL) => self.not_copied(source, error),
            (What::Bind(_), libc::ENOTDIR) => error.because(
                "a directory can be bound on a directory only, and a file on a file",
            ),
            (What::Bind(source), libc::ENOSYS) if source.recursive => error.because(
                "it takes mount_setattr(2) (Linux 5.12) to change all mounts of a tree: leave out `Mount::recursive`, \
                 and bind the mounts below one by one",
            ),
            (What::Filesystem { .. }, libc::ENOTDIR) => {
                error.because("the target is no directory")
            }
            (What::Filesystem { fstype, .. }, libc::ENODEV) => error.caused_by(Cause::Kernel).because(format!(
                "this kernel has no file system of the type {:?}",
                fstype.to_string_lossy()
            )),
            (What::Filesystem { data: Some(data), .. }, libc::EINVAL) => error.because(format!(
                "the file system does not take one of the options {:?}: the kernel's log may say which",
                data.to_string_lossy()
            )),
            (What::Filesystem { .. }, libc::ENOENT) => {
                error.because("there is no such source, or one of the options names a path that is not there, outside")
            }
            (What::Filesystem { fstype, .. }, libc::EPERM) => {
                let needs = match fstype.to_bytes() {
                    b"proc" => return self.of_mounts(error, |error| diagnose::mounting_proc(error, created)),
                    b"sysfs" => Namespaces::NET,
                    b"mqueue" => Namespaces::IPC,
                    _ => Namespaces::empty(),
                };
                match needs.kinds().next() {
                    Some(kind) if self.in_user_namespace() && !created.contains(needs) => {
                        let name = needs.iter_names().next().map_or("", |(name, _)| name);
                        error.caused_by(Cause::MissingCapability).because(format!(
                            "it shows a {kind} namespace, and takes CAP_SYS_ADMIN over that: add `Namespaces::{name}`"
                        ))
                    }
                    _ if self.in_user_namespace() => self.refused(error, NamespaceKind::Mount).because(
                        "a user namespace may mount only what the kernel holds for safe there, and proc and sysfs only where the \
                         caller's own are not covered in part, nor read-only",
                    ),
                    _ => self.refused(error, NamespaceKind::Mount),
                }
            }
            _ => self.of_mounts(error, |error| diagnose::inside(error, created)),
        }
    }
}
