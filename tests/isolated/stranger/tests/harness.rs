//! A harness that knows tests that are ignored at run time.
use std::net::TcpListener;
use std::process::ExitCode;

use linux_namespaces::test::{self, Isolated};
use linux_namespaces::{Command, flags::*};

fn port_80() -> std::io::Result<()> {
    TcpListener::bind("127.0.0.1:80").map(drop)
}

fn alone() {
    assert_eq!(std::fs::read_dir("/proc/self/task").unwrap().count(), 1);
    assert_eq!(Command::from_fn(|| 7).status().unwrap().code(), Some(7));
}

fn fails() {
    println!("written to stdout");
    panic!("for a reason");
}

fn main() -> ExitCode {
    let net = Isolated::new(USER | NET);
    let mut tests = vec![
        net.test("port_80", port_80),
        net.test("again", port_80),
        Isolated::new(USER | PID | MOUNT)
            .test("module::process_1", || assert_eq!(std::process::id(), 1)),
        net.test("alone", alone),
    ];
    if std::env::var_os("STRANGER_FAILS").is_some() {
        tests.push(net.test("fails", fails));
        tests.push(net.test("returns_an_error", || Err::<(), _>("no good")));
        tests.push(net.test("exits", || std::process::exit(0)));
    }
    test::main(tests)
}
