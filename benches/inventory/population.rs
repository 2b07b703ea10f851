//! Who is looked at: processes that sleep, and namespaces that are kept in each of the ways there are.

use std::io::Read as _;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::time::Duration;

use linux_namespaces::{Command, Namespace, NamespaceId, NamespaceKind, Namespaces, Stdio};

/// Ends with the pid namespace, whose first process this is, and with its mounts.
pub(crate) struct Population {
    processes: usize,
    directory: PathBuf,
    /// Those that no process is in.
    pub(crate) by_descriptor: Vec<u64>,
    pub(crate) by_socket: Vec<u64>,
    pub(crate) by_mount: Vec<NamespaceId>,
}

impl Population {
    pub(crate) fn new(directory: PathBuf) -> Self {
        let (by_descriptor, by_socket, by_mount) = (Vec::new(), Vec::new(), Vec::new());
        Self { processes: 1, directory, by_descriptor, by_socket, by_mount }
    }

    /// Of a hundred processes one is in namespaces of its own, and three keep one that nobody is in: by a descriptor, a
    /// socket and a bind mount.
    pub(crate) fn grow(&mut self, processes: usize) {
        while self.processes < processes {
            match self.processes % 100 {
                5 => {
                    let mut own = Command::from_fn(|| sleep(None));
                    own.namespaces(OWN).mount_proc(false);
                    drop(own.spawn().expect("a process"));
                }
                10 => self.by_descriptor.push(told(|| {
                    let made = Namespace::create(NamespaceKind::Uts).expect("a namespace");
                    println!("{}", made.id().expect("its identity").ino());
                    sleep(Some(made.into()))
                })),
                15 => self.by_socket.push(told(|| {
                    let net = Namespace::create(NamespaceKind::Net).expect("a namespace");
                    let socket = net.run(|| UdpSocket::bind("0.0.0.0:0")).expect("there");
                    println!("{}", net.id().expect("its identity").ino());
                    drop(net);
                    sleep(Some(socket.expect("a socket").into()))
                })),
                kind => {
                    if kind == 20 {
                        self.bind();
                    }
                    drop(Command::from_fn(|| sleep(None)).spawn().expect("a process"));
                }
            }
            self.processes += 1;
        }
    }

    fn bind(&mut self) {
        let made = Namespace::create(NamespaceKind::Ipc).expect("a namespace");
        let path = self.directory.join(self.processes.to_string());
        std::fs::write(&path, "").expect("a file");
        self.by_mount.push(made.id().expect("its identity"));
        let _ = made.persist(&path).expect("a mount");
    }
}

const OWN: Namespaces = Namespaces::UTS.union(Namespaces::IPC).union(Namespaces::MOUNT);

/// Sleeps, with this still open.
fn sleep(_kept: Option<std::os::fd::OwnedFd>) -> i32 {
    loop {
        std::thread::sleep(Duration::MAX);
    }
}

/// The number that such a process tells before it sleeps.
fn told(body: impl FnMut() -> i32 + Send + Sync + 'static) -> u64 {
    let mut child = Command::from_fn(body).stdout(Stdio::piped()).spawn().expect("a process");
    let mut stdout = child.stdout.take().expect("a pipe");
    let mut line = Vec::new();
    let mut byte = [0];
    while stdout.read(&mut byte).expect("a number") == 1 && byte != *b"\n" {
        line.push(byte[0]);
    }
    String::from_utf8(line).expect("text").parse().expect("a number")
}
