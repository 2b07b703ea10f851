//! The same reads as a scan's, in one thread, and nothing made of what they say: the least that an inventory can cost.
//!
//! What a scan opens is opened here, too: each namespace once, for its owner, parent and ids, and what is held by a descriptor, a
//! socket or a mount. Only that takes a note of what has been seen.

use std::collections::HashSet;
use std::ffi::{CStr, CString, c_long};
use std::hint::black_box;

const LINKS: [&CStr; 10] = [
    c"ns/cgroup",
    c"ns/ipc",
    c"ns/mnt",
    c"ns/net",
    c"ns/pid",
    c"ns/time",
    c"ns/user",
    c"ns/uts",
    c"ns/pid_for_children",
    c"ns/time_for_children",
];

const NS_GET_USERNS: usize = 0xb701;
const NS_GET_PARENT: usize = 0xb702;
const NS_GET_NSTYPE: usize = 0xb703;
const NS_GET_OWNER_UID: usize = 0xb704;
const NS_GET_MNTNS_ID: usize = 0x8008_b705;
const NS_GET_ID: usize = 0x8008_b70d;
const SIOCGSKNS: usize = 0x894c;
const SO_NETNS_COOKIE: usize = 71;
const SYS_STATMOUNT: c_long = libc::SYS_pidfd_open + 23;
const SYS_LISTMOUNT: c_long = libc::SYS_pidfd_open + 24;
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// Negative when it failed. Nobody asks why: what is gone is passed over.
fn call(number: c_long, arguments: [usize; 5]) -> isize {
    let [a, b, c, d, e] = arguments;
    // SAFETY: the calls below pass descriptors, numbers, and addresses of what lives through the call, with its size.
    unsafe { libc::syscall(number, a, b, c, d, e) as isize }
}

fn open(directory: isize, name: &CStr, flags: i32) -> isize {
    let flags = (flags | libc::O_CLOEXEC) as usize;
    call(libc::SYS_openat, [directory as usize, name.as_ptr() as usize, flags, 0, 0])
}

fn close(file: isize) {
    call(libc::SYS_close, [file as usize, 0, 0, 0, 0]);
}

fn inode(file: isize) -> u64 {
    // SAFETY: plain integers.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    call(libc::SYS_fstat, [file as usize, (&raw mut status) as usize, 0, 0, 0]);
    status.st_ino
}

fn number(file: isize, request: usize) -> u64 {
    let mut number = 0u64;
    call(libc::SYS_ioctl, [file as usize, request, (&raw mut number) as usize, 0, 0]);
    number
}

/// The buffers, and the namespaces that were opened.
struct Loop {
    root: isize,
    names: Vec<u8>,
    link: [u8; 64],
    seen: HashSet<u64>,
    sockets: HashSet<u64>,
    cookies: HashSet<u64>,
    mounts: Vec<isize>,
    pinned: Vec<isize>,
}

/// How many namespaces it has come across.
pub(crate) fn run() -> usize {
    let mut bare = Loop {
        root: open(libc::AT_FDCWD as isize, c"/proc", libc::O_RDONLY | libc::O_DIRECTORY),
        names: vec![0; 32 * 1024],
        link: [0; 64],
        seen: HashSet::new(),
        sockets: HashSet::new(),
        cookies: HashSet::new(),
        mounts: Vec::new(),
        pinned: Vec::new(),
    };
    bare.list(bare.root, vec![0; 32 * 1024], |bare, process| bare.process(process));
    while let Some(namespace) = bare.mounts.pop() {
        bare.mounts_of(namespace);
    }
    for file in bare.pinned.iter().chain([&bare.root]) {
        close(*file);
    }
    black_box(bare.seen.len())
}

impl Loop {
    /// Calls `each` with the names that are numbers. The buffer is this call's until it returns.
    fn list(
        &mut self,
        directory: isize,
        mut buffer: Vec<u8>,
        mut each: impl FnMut(&mut Self, &CStr),
    ) -> Vec<u8> {
        loop {
            let (to, size) = (buffer.as_mut_ptr() as usize, buffer.len());
            let filled = call(libc::SYS_getdents64, [directory as usize, to, size, 0, 0]);
            if filled <= 0 {
                return buffer;
            }
            let mut rest = &buffer[..filled as usize];
            while !rest.is_empty() {
                let length = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
                if rest[19].is_ascii_digit() {
                    let name = CStr::from_bytes_until_nul(&rest[19..length]);
                    each(self, name.expect("a name with its NUL"));
                }
                rest = &rest[length..];
            }
        }
    }

    /// The number in brackets that a link ends with, and whether it is one of a socket, or of a file in the file system.
    fn read(&mut self, directory: isize, name: &CStr) -> Option<(u64, bool)> {
        let (name, buffer) = (name.as_ptr() as usize, self.link.as_mut_ptr() as usize);
        let length = call(libc::SYS_readlinkat, [directory as usize, name, buffer, 64, 0]);
        let link = self.link.get(..usize::try_from(length).ok()?)?;
        let start = link.iter().position(|byte| *byte == b'[')?;
        let digits = link[start + 1..].iter().take_while(|byte| byte.is_ascii_digit());
        let number = digits.fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
        let other = link[0] == b'/' || link.starts_with(b"pipe") || number == 0;
        (!other).then_some((number, link.starts_with(b"socket")))
    }

    fn process(&mut self, name: &CStr) {
        let place = open(self.root, name, libc::O_PATH | libc::O_DIRECTORY);
        let list = open(place, c"fd", libc::O_RDONLY | libc::O_DIRECTORY);
        let mut pidfd = None;
        let names = std::mem::take(&mut self.names);
        self.names = self.list(list, names, |bare, descriptor| match bare.read(list, descriptor) {
            Some((socket, true)) if bare.sockets.insert(socket) => {
                let pidfd = *pidfd.get_or_insert_with(|| {
                    let pid = name.to_str().ok().and_then(|name| name.parse().ok());
                    let pid: usize = pid.expect("a number");
                    let pidfd = call(libc::SYS_pidfd_open, [pid, 0, 0, 0, 0]);
                    links(place, c"ns");
                    pidfd
                });
                bare.socket(pidfd, descriptor);
            }
            Some((namespace, false)) if bare.seen.insert(namespace) => {
                bare.held(list, descriptor);
            }
            _ => {}
        });
        close(list);
        for name in LINKS {
            if let Some((namespace, _)) = self.read(place, name) {
                if self.seen.insert(namespace) {
                    let file = open(place, name, libc::O_RDONLY);
                    self.namespace(file);
                }
            }
        }
        links(place, c"task");
        if let Some(pidfd) = pidfd {
            close(pidfd);
        }
        close(place);
    }

    /// A file that may be anything is looked at before it is opened.
    fn held(&mut self, directory: isize, name: &CStr) {
        let glance = open(directory, name, libc::O_PATH);
        inode(glance);
        let again = CString::new(format!("thread-self/fd/{glance}")).expect("no NUL");
        let file = open(self.root, &again, libc::O_RDONLY);
        close(glance);
        self.namespace(file);
    }

    fn namespace(&mut self, file: isize) {
        inode(file);
        let kind = call(libc::SYS_ioctl, [file as usize, NS_GET_NSTYPE, 0, 0, 0]) as i32;
        number(file, NS_GET_ID);
        self.related(file, NS_GET_USERNS);
        match kind {
            libc::CLONE_NEWUSER => drop(number(file, NS_GET_OWNER_UID)),
            libc::CLONE_NEWPID => self.related(file, NS_GET_PARENT),
            libc::CLONE_NEWNS => self.mounts.push(file),
            _ => {}
        }
        self.pinned.push(file);
    }

    fn related(&mut self, file: isize, request: usize) {
        let related = call(libc::SYS_ioctl, [file as usize, request, 0, 0, 0]);
        if related < 0 {
            return;
        }
        if self.seen.insert(inode(related)) {
            self.namespace(related);
        } else {
            close(related);
        }
    }

    fn socket(&mut self, pidfd: isize, descriptor: &CStr) {
        let number: usize =
            descriptor.to_str().ok().and_then(|name| name.parse().ok()).expect("one");
        let socket = call(libc::SYS_pidfd_getfd, [pidfd as usize, number, 0, 0, 0]);
        let (mut cookie, mut length) = (0u64, 8u32);
        let (to, size) = ((&raw mut cookie) as usize, (&raw mut length) as usize);
        let level = libc::SOL_SOCKET as usize;
        call(libc::SYS_getsockopt, [socket as usize, level, SO_NETNS_COOKIE, to, size]);
        if self.cookies.insert(cookie) {
            let namespace = call(libc::SYS_ioctl, [socket as usize, SIOCGSKNS, 0, 0, 0]);
            if namespace >= 0 && self.seen.insert(inode(namespace)) {
                self.namespace(namespace);
            } else {
                close(namespace);
            }
        }
        close(socket);
    }

    fn mounts_of(&mut self, namespace: isize) {
        let id = number(namespace, NS_GET_MNTNS_ID);
        let mut ids = [0u64; 256];
        let mut request = [32, u64::MAX, 0, id];
        loop {
            let arguments = [request.as_ptr() as usize, ids.as_mut_ptr() as usize, ids.len(), 0, 0];
            let filled = usize::try_from(call(SYS_LISTMOUNT, arguments)).unwrap_or(0);
            for mount in &ids[..filled] {
                self.mount(id, *mount);
            }
            if filled < ids.len() {
                return;
            }
            request[2] = ids[filled - 1];
        }
    }

    fn mount(&mut self, namespace: u64, mount: u64) {
        let mut status = [0u8; 4096];
        let mut request = [32, mount, 1, namespace];
        let arguments = [request.as_ptr() as usize, status.as_mut_ptr() as usize, 512, 0, 0];
        call(SYS_STATMOUNT, arguments);
        if status[24..32] != NSFS_MAGIC.to_ne_bytes() {
            return;
        }
        request[2] = 0x18;
        let to = status.as_mut_ptr() as usize;
        call(SYS_STATMOUNT, [request.as_ptr() as usize, to, status.len(), 0, 0]);
        let text = |at: usize| {
            let start = u32::from_ne_bytes(status[at..at + 4].try_into().expect("four bytes"));
            CStr::from_bytes_until_nul(&status[512 + start as usize..]).expect("a text")
        };
        let root = text(0x68).to_bytes();
        let digits = root.iter().filter(|byte| byte.is_ascii_digit());
        let ino = digits.fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
        if self.seen.insert(ino) {
            let point = text(0x6c).to_owned();
            self.held(self.root, &point);
        }
    }
}

fn links(directory: isize, name: &CStr) {
    // SAFETY: plain integers.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    let (name, status) = (name.as_ptr() as usize, (&raw mut status) as usize);
    call(libc::SYS_newfstatat, [directory as usize, name, status, 0, 0]);
}
