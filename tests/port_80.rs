//! Tests in namespaces, as a user of this crate writes them: each has a network of its own, with port 80 free, and they run at the same time,
//! as root or as anybody else.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use linux_namespaces::flags::{MOUNT, NET, USER, UTS};
use linux_namespaces::test::{Isolated, isolated};
use linux_namespaces::{Command, Mount};

/// A server on port 80, with the whole process in its network: also the client's thread.
fn serve(text: &str) -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:80")?;
    let client = thread::spawn(|| {
        let mut heard = String::new();
        TcpStream::connect("127.0.0.1:80")?.read_to_string(&mut heard)?;
        Ok(heard)
    });
    listener.accept()?.0.write_all(text.as_bytes())?;
    client.join().expect("no panic")
}

#[test]
fn one_server() -> io::Result<()> {
    isolated(USER | NET, || {
        assert_eq!(serve("one")?, "one");
        Ok(())
    })
}

#[test]
fn another_at_the_same_time() -> io::Result<()> {
    isolated(USER | NET, || {
        assert_eq!(serve("another")?, "another");
        Ok(())
    })
}

#[test]
#[should_panic(expected = "ConnectionRefused")]
fn nobody_else_is_there() {
    isolated(USER | NET, || drop(TcpStream::connect("127.0.0.1:80").unwrap()));
}

#[test]
fn a_host_with_its_own_files() {
    Isolated::new(USER | NET | MOUNT | UTS)
        .configure(|command| command.hostname("web").mount(Mount::tmpfs("/mnt")))
        .run(|| {
            std::fs::write("/mnt/index", serve("index").unwrap()).unwrap();
            let output =
                Command::new("sh").args(["-c", "uname -n; cat /mnt/index"]).output().unwrap();
            assert_eq!(output.stdout, b"web\nindex");
        });
}
