//! Namespaces kept by a file that they are mounted on, as `ip netns` and `unshare --net=FILE` do.
#![forbid(unsafe_code)]

use std::ffi::CString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::create::counts_as_older;
use crate::error::{At as _, Cause, Error, Result, Shown, Step};
use crate::inventory::mountinfo::unescaped;
use crate::{Namespace, NamespaceId, NamespaceKind, sys};

/// A namespace that a file keeps: it lives as long as it is mounted there, with or without processes in it.
///
/// [`Namespace::persist`] makes one. Dropping it undoes nothing; [`unpersist`](Self::unpersist) does.
///
/// # References
/// namespaces(7), mount(2), ip-netns(8)
#[derive(Debug)]
pub struct PersistedNamespace {
    path: PathBuf,
    id: NamespaceId,
    /// The file below was made for it by this process.
    made: bool,
    /// By somebody else, and maybe the file too.
    opened: bool,
}

impl Namespace {
    /// Keeps the namespace by a bind mount of it on a file: it lives until it is unmounted there, by
    /// [`unpersist`](PersistedNamespace::unpersist), `umount FILE`, or with the mount namespace of the caller.
    ///
    /// The file is made if it is missing, or it is an empty or other regular file of the caller's, which
    /// is covered, not changed. Symbolic links are followed, as mount(8) does, but none to a missing file. A path that is
    /// not absolute is taken from the working directory of now.
    ///
    /// Others see it as their own kind: `nsenter --net=FILE`, `lsns` once a process is in it, and for network namespaces in `/run/netns` also `ip netns`, in which case
    /// that directory must exist, as it does after the first `ip netns add`.
    ///
    /// # Errors
    /// [`Step::Persist`] with the path; a file that was made for it is removed again:
    /// * EPERM without CAP_SYS_ADMIN; EACCES, EROFS, ENOENT and others of making the file;
    /// * `AlreadyExists` where a namespace is mounted already;
    /// * `InvalidInput` for a directory, and for what else is no regular file;
    /// * EINVAL for a mount namespace: it cannot be kept by itself, by one newer than it, or on a
    ///   mount that is shared with other mount namespaces. The message says which, and names the mount that `mount --make-private` helps.
    ///
    /// # Requires
    /// CAP_SYS_ADMIN in the user namespace that owns the caller's mount namespace. An ordinary user has it in a user
    /// and mount namespace of its own, where the file is then seen by those who are in there.
    ///
    /// # Examples
    /// ```no_run
    /// use linux_namespaces::{Namespace, NamespaceKind, PersistedNamespace};
    /// Namespace::create(NamespaceKind::Net)?.persist("/run/netns/lab")?;
    /// // Later, and maybe in another process:
    /// PersistedNamespace::open("/run/netns/lab")?.unpersist()?;
    /// # Ok::<(), linux_namespaces::Error>(())
    /// ```
    ///
    /// # References
    /// mount(2), namespaces(7), ip-netns(8), unshare(1)
    pub fn persist(&self, path: impl AsRef<Path>) -> Result<PersistedNamespace> {
        let path = absolute(path.as_ref(), Step::Persist)?;
        let step = || Step::Persist(path.clone());
        let id = self.id()?;
        let _alone = one_at_a_time();
        let target = Target::make_or_open(&path)?;
        if let Err(error) = self.bind(&target.file) {
            let error = Err::<(), _>(error).at(step).expect_err("built as an error");
            let error = self.explain(error, &target.file);
            target.take_back(&path);
            return Err(error);
        }
        Ok(PersistedNamespace { path, id, made: target.made, opened: false })
    }

    /// Bind-mounts it on an open file, not on whatever has its name by now.
    fn bind(&self, target: &File) -> io::Result<()> {
        let by_proc = |fd: i32| {
            CString::new(format!("/proc/thread-self/fd/{fd}")).expect("a number has no NUL byte")
        };
        let source = self.as_fd().as_raw_fd();
        match sys::bind::bind(&by_proc(source), &by_proc(target.as_raw_fd())) {
            // No /proc, or that of another pid namespace.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                sys::bind::bind_descriptor(self.as_fd(), target.as_fd())
            }
            result => result,
        }
    }

    fn explain(&self, error: Error, target: &File) -> Error {
        match error.raw_os_error() {
            Some(libc::EPERM) => without_rights(error),
            Some(libc::EINVAL | libc::ELOOP) if self.kind() == NamespaceKind::Mount => {
                let own = Self::current(NamespaceKind::Mount).and_then(|own| own.id()).ok();
                let by_itself = own.is_some() && own == self.id().ok();
                match mount_of(target) {
                    Some(mount) if mount.shared && !by_itself && !counts_as_older(self) => error.because(format!(
                        "a mount namespace cannot be kept on a mount that is shared with others, as the one at {} is: \
                         `mount --make-private` it, or choose a file elsewhere",
                        mount.point
                    )),
                    _ if by_itself => error.because("a mount namespace cannot be kept by itself: only by one that is older"),
                    _ => error.because(
                        "a mount namespace can be kept only by one that is older; by their unique ids since Linux 6.18, which each \
                         processor takes from a range of its own (those from `Namespace::create` are younger than the caller's)",
                    ),
                }
            }
            Some(libc::ENOSPC) => error.because(
                "the limit on mounts in one mount namespace is reached: raise the sysctl fs.mount-max",
            ),
            Some(libc::ENOENT) => error.because("somebody has removed the file meanwhile"),
            _ => error,
        }
    }
}

/// The file to mount on.
struct Target {
    file: File,
    made: bool,
}

impl Target {
    fn make_or_open(path: &Path) -> Result<Self> {
        let step = || Step::Persist(path.to_path_buf());
        // As `ip netns` makes it: no file of data.
        let new = File::options().write(true).create_new(true).mode(0o000).open(path);
        let error = match new {
            Ok(file) => return Ok(Self { file, made: true }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Self::existing(path);
            }
            Err(error) => error,
        };
        // A directory that cannot be written to may have the file that is wanted, and "directory/" is one.
        match Self::existing(path) {
            Err(nothing) if nothing.kind() == io::ErrorKind::NotFound => {}
            Err(nothing) if nothing.raw_os_error().is_some() => {}
            found => return found,
        }
        let missing = error.kind() == io::ErrorKind::NotFound;
        let error = Err::<(), _>(error).at(step).expect_err("built as an error");
        Err(match path.parent() {
            Some(parent) if missing && !parent.exists() => {
                error.because(format!("there is no directory {}: make it first", Shown(parent)))
            }
            _ => error,
        })
    }

    fn existing(path: &Path) -> Result<Self> {
        let step = || Step::Persist(path.to_path_buf());
        let file = match open_place(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let error = Error::new(step()).errno(libc::ENOENT);
                return Err(error.because("it is a symbolic link to a file that does not exist"));
            }
            opened => opened.at(step)?,
        };
        let metadata = file.metadata().at(step)?;
        let refuse =
            |why: &str| Err(Error::new(step()).kind_of(io::ErrorKind::InvalidInput).because(why));
        if metadata.is_dir() {
            return refuse(
                "it is a directory, and a namespace can be mounted only on a file: name one in it",
            );
        }
        if !metadata.is_file() {
            return refuse(
                "it is no regular file, and would be of no use while it is covered: name another",
            );
        }
        if let Ok(there) = Namespace::open(path) {
            let name = there.id().map_or_else(|_| there.kind().to_string(), |id| id.to_string());
            return Err(Error::new(step()).kind_of(io::ErrorKind::AlreadyExists).because(format!(
                "a namespace is kept there already ({name}): choose another file, or unmount that one"
            )));
        }
        Ok(Self { file, made: false })
    }

    /// Removes the file, if it was made here and still is there.
    fn take_back(&self, path: &Path) {
        if !self.made {
            return;
        }
        let ours = self.file.metadata().ok().zip(fs::symlink_metadata(path).ok());
        if ours.is_some_and(|(ours, there)| is_same(&ours, &there)) {
            let _ = fs::remove_file(path);
        }
    }
}

impl PersistedNamespace {
    /// One that was made earlier: by [`Namespace::persist`], `ip netns add` or `unshare --net=FILE`.
    ///
    /// # Errors
    /// [`Step::Open`] with the path: as [`Namespace::open`]; and `InvalidInput` for a namespace file that is not mounted there, as those below
    /// `/proc/<pid>/ns`.
    ///
    /// # References
    /// namespaces(7), ip-netns(8)
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = absolute(path.as_ref(), Step::Open)?;
        let namespace = Namespace::open(&path)?;
        if sys::stat::is_mount_root(namespace.as_fd()) == Some(false) {
            return Err(Error::new(Step::Open(path))
                .kind_of(io::ErrorKind::InvalidInput)
                .because(
                "it is a namespace file, but no file that the namespace is kept by: use `Namespace::open`",
            ));
        }
        Ok(Self { id: namespace.id()?, path, made: false, opened: true })
    }

    /// The file, as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A handle for it.
    ///
    /// # Errors
    /// [`Step::Open`] with the path: as [`Namespace::open`], when it is not mounted there any more; `NotFound` when
    /// another one is by now.
    ///
    /// # References
    /// open(2), namespaces(7)
    pub fn namespace(&self) -> Result<Namespace> {
        let namespace = Namespace::open(&self.path)?;
        let there = namespace.id()?;
        if there == self.id {
            return Ok(namespace);
        }
        Err(self.replaced(Step::Open(self.path.clone()), there))
    }

    /// Unmounts it from the file. If nothing else holds the namespace, it ends.
    ///
    /// The file is removed if it was made for that: by this handle's [`persist`](Namespace::persist); or, for an
    /// [`open`](Self::open)ed one, if it is empty and without any permission, as this crate and `ip netns` make it.
    /// One that was there before stays.
    ///
    /// # Errors
    /// [`Step::Persist`] with the path: EPERM without CAP_SYS_ADMIN; `NotFound` when it is not mounted there any more, and then nothing is changed; and what unlink(2)
    /// answers.
    ///
    /// # References
    /// umount(2)
    pub fn unpersist(self) -> Result<()> {
        let step = || Step::Persist(self.path.clone());
        let gone = |error: Error| {
            error.kind_of(io::ErrorKind::NotFound).because("no namespace is kept there any more")
        };
        let _alone = one_at_a_time();
        match Namespace::open(&self.path).and_then(|there| there.id()) {
            Ok(there) if there == self.id => {}
            Ok(there) => return Err(self.replaced(step(), there)),
            Err(error) => {
                return Err(match error.kind() {
                    io::ErrorKind::InvalidInput => gone(Error::new(step())),
                    io::ErrorKind::NotFound
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::PermissionDenied => {
                        gone(Error::new(step()).errno(error.raw_os_error().unwrap_or(libc::ENOENT)))
                    }
                    _ => error,
                });
            }
        }
        sys::bind::detach(&c_string(&self.path)?).at(step).map_err(|error| {
            match error.raw_os_error() {
                Some(libc::EPERM) => without_rights(error),
                Some(libc::EINVAL) => error.because(
                    "it is no mount of the caller's, or one that was made in an outer user namespace, where it has to be undone",
                ),
                _ => error,
            }
        })?;
        match fs::symlink_metadata(&self.path) {
            Ok(file) if file.is_file() && (self.made || (self.opened && is_placeholder(&file))) => {
                fs::remove_file(&self.path).at(step)
            }
            _ => Ok(()),
        }
    }

    fn replaced(&self, step: Step, there: NamespaceId) -> Error {
        Error::new(step)
            .kind_of(io::ErrorKind::NotFound)
            .because(format!("{} is not kept there any more, but {there} is", self.id))
    }
}

fn without_rights(error: Error) -> Error {
    error.caused_by(Cause::MissingCapability).because(
        "mounting takes CAP_SYS_ADMIN in the user namespace that owns the caller's mount namespace: run as root, \
         or in a user and mount namespace of one's own",
    )
}

/// As `ip netns` makes it, and nobody makes by chance.
fn is_placeholder(file: &Metadata) -> bool {
    file.len() == 0 && file.mode() & 0o7777 == 0
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Between the look at a file and the mount on it no other thread is to do the same.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn absolute(path: &Path, step: impl FnOnce(PathBuf) -> Step) -> Result<PathBuf> {
    c_string(path)?;
    if path.as_os_str().is_empty() {
        return Err(Error::invalid("the path of the file to keep a namespace by is empty"));
    }
    std::path::absolute(path).at(|| step(path.to_path_buf())).map_err(|error| {
        error.because("the path is not absolute, and the working directory cannot be told")
    })
}

fn c_string(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| {
        Error::invalid(format!(
            "the path {path:?} has a NUL byte in it, which no text passed to the kernel can have"
        ))
    })
}

/// Without reading or writing it, whatever it is.
fn open_place(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_PATH).open(path)
}

/// The mount that a file is on.
#[derive(PartialEq, Eq, Debug)]
struct Mount {
    /// As a message shows it.
    point: String,
    shared: bool,
}

fn mount_of(file: &File) -> Option<Mount> {
    let info = fs::read_to_string(format!("/proc/thread-self/fdinfo/{}", file.as_raw_fd())).ok()?;
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim();
    find_mount(&fs::read("/proc/thread-self/mountinfo").ok()?, id.as_bytes())
}

/// In the text of a mountinfo: id, parent, device, root, mount point, options, and then propagation up to a dash.
/// Paths may be any bytes.
fn find_mount(mountinfo: &[u8], id: &[u8]) -> Option<Mount> {
    let fields = |line| <[u8]>::split(line, |byte: &u8| *byte == b' ');
    let mut lines = mountinfo.split(|byte| *byte == b'\n');
    let mut fields = fields(lines.find(|line| fields(line).next() == Some(id))?);
    let point = String::from_utf8_lossy(&unescaped(fields.nth(4)?)).escape_debug().to_string();
    let mut optional = fields.skip(1).take_while(|field| *field != b"-");
    Some(Mount { point, shared: optional.any(|field| field.starts_with(b"shared:")) })
}

/// Where that mount is, as a message shows it, and whether it is shared.
#[cfg(any(test, fuzzing))]
pub(crate) fn mount_in(mountinfo: &[u8], id: &[u8]) -> Option<(String, bool)> {
    find_mount(mountinfo, id).map(|mount| (mount.point, mount.shared))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_shared_mount_is_seen() {
        let text = b"27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
                    64 27 254:0 /n /run/n rw master:2 shared:1 - ext4 /dev/vda rw\n\
                    65 27 254:0 /shared: /x rw master:1 - tmpfs shared:1 rw\n\
                    66 27 254:0 / /a\\040b\\134\xff\\012 rw shared:3 - tmpfs tmpfs rw\n";
        let mount = |point: &str, shared| Some(Mount { point: point.to_owned(), shared });
        assert_eq!(find_mount(text, b"27"), mount("/", false));
        assert_eq!(find_mount(text, b"64"), mount("/run/n", true));
        assert_eq!(find_mount(text, b"65"), mount("/x", false));
        assert_eq!(find_mount(text, b"66"), mount("/a b\\\\\u{fffd}\\n", true));
        assert_eq!(find_mount(text, b"6"), None);
    }

    #[test]
    fn the_mount_of_a_file_is_found() {
        let file = open_place(Path::new("/proc/self/status")).unwrap();
        assert_eq!(mount_of(&file).map(|mount| mount.point), Some("/proc".to_owned()));
    }

    proptest! {
        #![proptest_config(crate::cases::config())]

        #[test]
        fn no_text_of_a_mountinfo_panics(text in "[0-9 /:a-z\n-]{0,200}", id in "[0-9]{0,3}") {
            let _ = find_mount(text.as_bytes(), id.as_bytes());
        }
    }
}
