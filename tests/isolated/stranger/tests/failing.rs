//! Tests that fail, each in a way of its own.
use linux_namespaces::test::{Isolated, isolated, isolated_async};
use linux_namespaces::{Mount, flags::*};

#[test]
fn asserts() {
    println!("written to stdout outside");
    isolated(USER | NET, || {
        println!("written to stdout");
        eprintln!("written to stderr");
        assert_eq!(1 + 1, 3, "sums are wrong");
    });
}

#[test]
fn returns_an_error() -> Result<(), String> {
    isolated(USER | NET, || Err("no good".to_owned()))
}

#[test]
fn exits() {
    isolated(USER | NET, || std::process::exit(0));
}

#[test]
fn aborts() {
    isolated(USER | NET, || std::process::abort());
}

#[test]
fn aborts_as_process_1() {
    isolated(USER | PID, || std::process::abort());
}

#[test]
#[should_panic(expected = "this text")]
fn panics_with_another_text() {
    isolated(USER | NET, || panic!("that text"));
}

#[test]
#[should_panic]
fn does_not_panic() {
    isolated(USER | NET, || ());
}

#[test]
fn wrong_settings() {
    Isolated::new(USER | NET).configure(|command| command.mount(Mount::tmpfs("/mnt"))).run(|| ());
}

#[test]
fn no_such_mount() {
    Isolated::new(USER | MOUNT)
        .configure(|command| command.mount(Mount::bind("/no/such/directory", "/mnt")))
        .run(|| ());
}

#[test]
fn nested() {
    isolated(USER | NET, || isolated(USER | NET, || ()));
}

#[test]
fn wrong_name() {
    Isolated::new(USER | NET).name("no_such_test").run(|| ());
}

#[test]
fn no_name() {
    fn body() {}
    let call: fn() = || isolated(USER | NET, body as fn());
    std::thread::spawn(call).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[test]
fn does_not_come_to_the_call() {
    if std::env::var_os("LINUX_NAMESPACES_TEST_CALL").is_some() {
        println!("gone another way");
        return;
    }
    isolated(USER | NET, || ());
}

#[tokio::test]
async fn asserts_in_a_runtime() {
    isolated_async(USER | NET, async {
        tokio::task::yield_now().await;
        panic!("after an await");
    })
    .await;
}
