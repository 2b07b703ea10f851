//! openat2(2): paths that are resolved inside a root, and the same by hand where there is no openat2.
//! May run between clone and exec.
//!
//! The kernel follows links as if the root were that of the process, so that none leads out (`RESOLVE_IN_ROOT`). By hand
//! no link is followed at all: a path with one in it is refused with ELOOP, which is the safe side.

use std::ffi::{CStr, CString, c_int};
use std::os::fd::RawFd;

use super::syscall::{Errno, syscall};

const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
const RESOLVE_IN_ROOT: u64 = 0x10;
/// What a path is opened for: to name it. It takes no right to read it.
const NAME_ONLY: c_int = libc::O_PATH | libc::O_CLOEXEC;
/// How often a path with `..` in it is tried that others rename meanwhile.
const TRIES: usize = 128;

/// `struct open_how`.
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// A path inside a root, in the forms in which it may be looked for.
#[derive(Debug)]
pub(crate) struct Target {
    /// As it was given.
    pub(crate) path: CString,
    /// Component by component, with what comes before each.
    parts: Vec<Part>,
    /// The same without `..`, as it is where no component is a link.
    plain: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    name: CString,
    /// The path up to this component.
    upto: CString,
}

/// What to make where nothing is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Make {
    Nothing,
    File,
    Directory,
}

impl Target {
    /// `None` if there is a NUL in it.
    pub(crate) fn new(path: &[u8]) -> Option<Self> {
        let names = path.split(|byte| *byte == b'/');
        let names: Vec<&[u8]> = names.filter(|name| !matches!(*name, b"" | b".")).collect();
        let mut plain: Vec<&[u8]> = Vec::new();
        for name in &names {
            match *name {
                b".." => drop(plain.pop()),
                name => plain.push(name),
            }
        }
        Some(Self { path: CString::new(path).ok()?, parts: parts(&names)?, plain: parts(&plain)? })
    }

    /// Whether it is the root itself.
    pub(crate) fn is_root(&self) -> bool {
        self.plain.is_empty()
    }

    /// Whether it is this one directory of the root, if there are no links.
    pub(crate) fn is(&self, name: &[u8]) -> bool {
        matches!(self.plain.as_slice(), [part] if part.name.to_bytes() == name)
    }
}

fn parts(names: &[&[u8]]) -> Option<Vec<Part>> {
    let mut upto = Vec::new();
    let part = |name: &&[u8]| {
        upto.push(b'/');
        upto.extend_from_slice(name);
        Some(Part { name: CString::new(*name).ok()?, upto: CString::new(upto.clone()).ok()? })
    };
    names.iter().map(part).collect()
}

fn call(number: libc::c_long, args: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: the callers below pass numbers, and addresses of texts and of a struct that live through the call.
    unsafe { syscall(number, args) }
}

pub(super) fn close(fd: RawFd) {
    if fd >= 0 {
        let _ = call(libc::SYS_close, [fd as usize, 0, 0, 0, 0, 0]);
    }
}

/// A second descriptor for the same.
pub(super) fn duplicate(fd: RawFd) -> Result<RawFd, Errno> {
    let how = libc::F_DUPFD_CLOEXEC as usize;
    call(libc::SYS_fcntl, [fd as usize, how, 3, 0, 0, 0]).map(|fd| fd as RawFd)
}

/// openat(2), to name the file, with further flags.
pub(super) fn name(directory: RawFd, path: &CStr, flags: c_int) -> Result<RawFd, Errno> {
    let path = path.as_ptr().expose_provenance();
    let flags = (NAME_ONLY | flags) as usize;
    call(libc::SYS_openat, [directory as usize, path, flags, 0, 0, 0]).map(|fd| fd as RawFd)
}

/// Whether it is a directory, as far as can be told.
pub(super) fn is_directory(fd: RawFd) -> bool {
    match name(fd, c".", libc::O_DIRECTORY) {
        Ok(fd) => {
            close(fd);
            true
        }
        Err(errno) => errno != Errno(libc::ENOTDIR),
    }
}

/// A call that the kernel lacks, or that a filter refuses in its place.
pub(super) fn is_missing(errno: Errno) -> bool {
    matches!(errno.0, libc::ENOSYS | libc::EPERM)
}

/// openat2(2) in that root.
fn inside(root: RawFd, path: &CStr) -> Result<RawFd, Errno> {
    let how = OpenHow {
        flags: NAME_ONLY as u64,
        mode: 0,
        resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    let path = path.as_ptr().expose_provenance();
    let address = (&raw const how).expose_provenance();
    for _ in 0..TRIES {
        match call(libc::SYS_openat2, [root as usize, path, address, size_of::<OpenHow>(), 0, 0]) {
            // Somebody renamed or mounted just then, anywhere.
            Err(Errno(libc::EAGAIN)) => {}
            result => return result.map(|fd| fd as RawFd),
        }
    }
    Err(Errno(libc::EAGAIN))
}

/// What is mounted on the root itself, or the root if nothing is.
/// By hand that takes the descriptors of the root there is, `outside`, and of the working directory, if any.
pub(super) fn top(root: RawFd, outside: RawFd, directory: RawFd) -> Result<RawFd, Errno> {
    match inside(root, c"..") {
        Err(errno) if is_missing(errno) => {}
        result => return result,
    }
    // The parent of a root is what is mounted on it; so it is made the root of this process for a moment.
    let change = |fd: RawFd| -> Result<(), Errno> {
        call(libc::SYS_fchdir, [fd as usize, 0, 0, 0, 0, 0])?;
        let here = c".".as_ptr().expose_provenance();
        call(libc::SYS_chroot, [here, 0, 0, 0, 0, 0]).map(drop)
    };
    change(root)?;
    let top = name(libc::AT_FDCWD, c"/..", libc::O_DIRECTORY);
    change(outside)?;
    if directory >= 0 {
        call(libc::SYS_fchdir, [directory as usize, 0, 0, 0, 0, 0])?;
    }
    top
}

/// Opens the target below `root`, to name it, with what is missing made if so asked: directories before the last component.
pub(super) fn find(root: RawFd, target: &Target, make: Make) -> Result<RawFd, Errno> {
    let by_hand = match inside(root, &target.path) {
        Err(Errno(libc::ENOENT)) if make != Make::Nothing => false,
        Err(errno) if is_missing(errno) => true,
        result => return result,
    };
    let parts = if by_hand { &target.plain } else { &target.parts };
    let open = |parent: RawFd, part: &Part| {
        if by_hand { no_link(parent, &part.name) } else { inside(root, &part.upto) }
    };
    let mut parent = duplicate(root)?;
    for (place, part) in parts.iter().enumerate() {
        let next = match open(parent, part) {
            Err(Errno(libc::ENOENT)) if make != Make::Nothing => {
                let file = make == Make::File && place + 1 == parts.len();
                create(parent, &part.name, file).and_then(|()| open(parent, part))
            }
            result => result,
        };
        close(parent);
        parent = next?;
    }
    Ok(parent)
}

/// What has that name in the directory, if it is no symbolic link.
fn no_link(directory: RawFd, component: &CStr) -> Result<RawFd, Errno> {
    let fd = name(directory, component, libc::O_NOFOLLOW)?;
    let mut byte = 0u8;
    let address = (&raw mut byte).expose_provenance();
    let empty = c"".as_ptr().expose_provenance();
    if call(libc::SYS_readlinkat, [fd as usize, empty, address, 1, 0, 0]).is_ok() {
        close(fd);
        return Err(Errno(libc::ELOOP));
    }
    Ok(fd)
}

/// Makes it, without following a link that has that name.
fn create(directory: RawFd, component: &CStr, file: bool) -> Result<(), Errno> {
    let path = component.as_ptr().expose_provenance();
    let result = if file {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
        call(libc::SYS_openat, [directory as usize, path, flags as usize, 0o644, 0, 0])
            .map(|fd| close(fd as RawFd))
    } else {
        call(libc::SYS_mkdirat, [directory as usize, path, 0o755, 0, 0, 0]).map(drop)
    };
    match result {
        // Somebody else was faster, or a link there leads to nothing: who opens it will see.
        Err(Errno(libc::EEXIST)) => Ok(()),
        result => result,
    }
}

/// What has to hold for a path, whatever it is.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(path: &[u8]) {
    let Some(target) = Target::new(path) else {
        assert!(path.contains(&0));
        return;
    };
    assert_eq!(target.path.to_bytes(), path);
    assert_eq!(target.is_root(), target.plain.is_empty());
    let name = |part: &Part| part.name.to_bytes().to_vec();
    assert!(target.parts.iter().map(name).all(|name| !matches!(&name[..], b"" | b".")));
    assert!(target.plain.iter().map(name).all(|name| !matches!(&name[..], b"" | b"." | b"..")));
    for parts in [&target.parts, &target.plain] {
        let mut upto = Vec::new();
        for part in parts {
            upto.push(b'/');
            upto.extend(name(part));
            assert_eq!(part.upto.to_bytes(), upto);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(parts: &[Part]) -> Vec<&str> {
        parts.iter().map(|part| part.name.to_str().unwrap()).collect()
    }

    #[test]
    fn a_target_is_taken_apart() {
        let target = Target::new(b"//a/./b/../c/").unwrap();
        assert_eq!(names(&target.parts), ["a", "b", "..", "c"]);
        assert_eq!(names(&target.plain), ["a", "c"]);
        assert_eq!(target.parts[2].upto.to_str(), Ok("/a/b/.."));
        assert!(!target.is_root());
        for root in ["/", "", ".", "/..", "/a/..", "../../a/../.."] {
            assert!(Target::new(root.as_bytes()).unwrap().is_root(), "{root}");
        }
        assert!(Target::new(b"/proc/").unwrap().is(b"proc"));
        assert!(Target::new(b"/x/../proc").unwrap().is(b"proc"));
        assert!(!Target::new(b"/proc/sys").unwrap().is(b"proc"));
        assert!(Target::new(b"/a\0b").is_none());
    }

    proptest! {
        #![proptest_config(crate::cases::config())]

        #[test]
        fn no_plain_path_leads_up(path in "[a./]{0,24}") {
            let target = Target::new(path.as_bytes()).unwrap();
            prop_assert!(names(&target.plain).iter().all(|name| !matches!(*name, "" | "." | "..")));
            let text = target.plain.last().map_or("", |part| part.upto.to_str().unwrap());
            prop_assert_eq!(text.split('/').skip(1).count(), target.plain.len());
        }
    }
}
