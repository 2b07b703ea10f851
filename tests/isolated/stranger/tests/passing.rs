//! Tests that pass.
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use linux_namespaces::test::{Isolated, Outcome, isolated, isolated_async};
use linux_namespaces::{IdRange, Mount, flags::*};

fn namespace(kind: &str) -> String {
    std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string()
}

/// The other test on port 80 is there, too: each waits for the other in a FIFO that only they know.
fn port_80(own: &str, other: &str) {
    let directory = std::path::PathBuf::from(std::env::var_os("STRANGER_FIFOS").unwrap());
    let (own, other) = (directory.join(own), directory.join(other));
    isolated(USER | NET, move || {
        let listener = TcpListener::bind("127.0.0.1:80").unwrap();
        // Both are bound once both have read. Opening one for reading and writing never blocks.
        let fifo = |path| std::fs::File::options().read(true).write(true).open(path).unwrap();
        let (mut own, mut other) = (fifo(&own), fifo(&other));
        other.write_all(b"x").unwrap();
        own.read_exact(&mut [0]).unwrap();
        let client = std::thread::spawn(|| {
            let mut text = String::new();
            TcpStream::connect("127.0.0.1:80").unwrap().read_to_string(&mut text).unwrap();
            text
        });
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"hello").unwrap();
        drop(stream);
        assert_eq!(client.join().unwrap(), "hello");
    });
}

#[test]
fn port_80_one() {
    port_80("one", "two");
}

#[test]
fn port_80_two() {
    port_80("two", "one");
}

#[test]
fn the_whole_process_is_inside() {
    let (net, mnt) = (namespace("net"), namespace("mnt"));
    // What is outside is told from outside, for all of this runs inside, too.
    let outside = std::env::var("STRANGER_NET").unwrap();
    isolated(USER | NET | UTS, move || {
        assert_eq!(net, namespace("net"), "what stands before the call is done inside as well");
        assert_ne!(outside, net);
        assert_eq!(mnt, namespace("mnt"));
        for task in std::fs::read_dir("/proc/self/task").unwrap() {
            let task = task.unwrap().path().join("ns/net");
            assert_eq!(std::fs::read_link(task).unwrap().display().to_string(), net);
        }
        let thread = std::thread::spawn(|| std::fs::read_link("/proc/thread-self/ns/net").unwrap());
        assert_eq!(thread.join().unwrap().display().to_string(), net);
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap();
        assert_eq!(map.split_whitespace().next(), Some("0"));
    });
}

#[test]
fn process_1() {
    isolated(USER | PID | MOUNT, || {
        assert_eq!(std::process::id(), 1);
        assert_eq!(std::fs::read_link("/proc/self").unwrap().display().to_string(), "1");
        let numbers = std::fs::read_dir("/proc").unwrap().filter(|entry| {
            entry.as_ref().unwrap().file_name().to_string_lossy().parse::<u32>().is_ok()
        });
        assert_eq!(numbers.count(), 1);
        let output = std::process::Command::new("sh").args(["-c", "echo $PPID"]).output().unwrap();
        assert_eq!(output.stdout, b"1\n");
    });
}

#[test]
fn process_2_behind_an_init() {
    Isolated::new(USER | PID).configure(|command| command.init(true)).run(|| {
        assert_eq!(std::process::id(), 2);
    });
}

#[test]
fn settings() {
    Isolated::new(USER | MOUNT | UTS)
        .configure(|command| command.hostname("lab").mount(Mount::tmpfs("/mnt")))
        .configure(|command| command.env("GIVEN", "1").env_remove("PATH"))
        .run(|| {
            let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
            assert_eq!(hostname, "lab\n");
            std::fs::write("/mnt/file", "").unwrap();
            assert_eq!(std::env::var("GIVEN").as_deref(), Ok("1"));
            assert!(std::env::var_os("PATH").is_none());
        });
    assert!(!std::path::Path::new("/mnt/file").exists());
    assert!(std::env::var_os("PATH").is_some());
}

#[test]
fn another_map() {
    Isolated::new(USER)
        .configure(|command| {
            let own = |id| [IdRange { inside: 1234, outside: id, count: 1 }];
            let ids = || std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap());
            command.uid_map(own(ids()))
        })
        .run(|| {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            assert!(status.lines().any(|line| line.starts_with("Uid:\t1234\t")), "{status}");
        });
}

#[test]
#[should_panic(expected = "as expected: 42")]
fn panics() {
    isolated(USER | NET, || panic!("as expected: {}", 42));
}

#[test]
#[should_panic]
fn panics_with_a_number() {
    isolated(USER | NET, || std::panic::panic_any(42));
}

#[test]
fn returns_a_result() -> Result<(), std::num::ParseIntError> {
    isolated(USER | NET, || {
        "42".parse::<u8>()?;
        Ok(())
    })
}

#[test]
fn two_calls_and_a_loop() {
    let marker = std::path::PathBuf::from(std::env::var_os("STRANGER_FIFOS").unwrap());
    let (first, second) = (marker.join("first"), marker.join("second"));
    isolated(USER | NET, || std::fs::write(&first, namespace("net")).unwrap());
    for number in 0..3 {
        let file = second.with_extension(number.to_string());
        isolated(USER | PID, move || std::fs::write(file, std::process::id().to_string()).unwrap());
    }
    assert!(std::fs::read_to_string(first).unwrap().starts_with("net:["));
    for number in 0..3 {
        let file = second.with_extension(number.to_string());
        assert_eq!(std::fs::read_to_string(file).unwrap(), "1");
    }
}

#[tokio::test]
async fn in_a_runtime() {
    isolated_async(USER | NET, async {
        let listener = tokio::task::spawn_blocking(|| TcpListener::bind("127.0.0.1:80"));
        listener.await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[should_panic(expected = "in a task")]
async fn a_task_panics() {
    isolated_async(USER | NET, async {
        let task = tokio::spawn(async { panic!("in a task") });
        std::panic::resume_unwind(task.await.unwrap_err().into_panic());
    })
    .await;
}

#[tokio::test]
async fn in_a_runtime_with_a_result() -> std::io::Result<()> {
    isolated_async(USER | NET, async {
        TcpListener::bind("127.0.0.1:80")?;
        Ok(())
    })
    .await
}

fn with_net<R: Outcome>(body: impl FnOnce() -> R) -> R {
    isolated(USER | NET, body)
}

#[test]
fn by_a_function_that_others_use() {
    with_net(|| drop(TcpListener::bind("127.0.0.1:80").unwrap()));
}

#[test]
fn by_that_function_on_another_thread() {
    std::thread::spawn(|| with_net(|| drop(TcpListener::bind("127.0.0.1:80").unwrap())))
        .join()
        .unwrap();
}

#[test]
fn by_name_on_another_thread() {
    fn body() {
        assert_eq!(std::process::id(), 1);
    }
    let call = || {
        let isolated = Isolated::new(USER | PID).name("by_name_on_another_thread");
        let body: fn() = body;
        isolated.run(body)
    };
    std::thread::spawn(call).join().unwrap();
}

#[test]
#[ignore = "to be asked for"]
fn ignored_by_default() {
    isolated(USER | PID, || assert_eq!(std::process::id(), 1));
}

#[test]
fn a_lot_is_written() {
    isolated(USER | NET, || {
        for number in 0..20_000 {
            println!("{number} {}", "x".repeat(100));
            eprintln!("{number} {}", "y".repeat(100));
        }
    });
}

#[test]
fn what_is_left_running_does_not_hold_the_test_up() {
    isolated(USER | NET, || {
        // It writes for ever; or until it is killed, with what it writes to.
        std::process::Command::new("yes").spawn().unwrap();
    });
}

#[test]
fn a_program_that_the_body_runs_is_outside_of_the_call() {
    isolated(USER | NET, || {
        // Which has the variable, and not the pipe.
        let mut program = std::process::Command::new("/proc/self/exe");
        let output = program.args(["--exact", "process_1"]).output().unwrap();
        let output = String::from_utf8_lossy(&output.stdout);
        assert!(output.contains(". 1 passed; 0 failed; 0 ignored;"), "{output}");
        let fds = std::process::Command::new("ls").arg("/proc/self/fd").output().unwrap();
        assert!(!String::from_utf8_lossy(&fds.stdout).contains("198"));
    });
}

#[test]
#[ignore = "waits until it is killed"]
fn holds_a_fifo_open() {
    let fifo = std::env::var_os("STRANGER_HELD").unwrap();
    isolated(USER | PID, move || {
        let mut fifo = std::fs::File::options().write(true).open(fifo).unwrap();
        fifo.write_all(b"x").unwrap();
        // The other end is open for as long as anybody waits for this one.
        std::thread::sleep(std::time::Duration::MAX);
    });
}
