//! Clocks of a time namespace, as the program reads them.
mod common;

use std::fs;
use std::io::ErrorKind;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use common::{Need, in_own_process, stdout_of, test, test_with, with_user};
use libtest_mimic::Trial;
use linux_namespaces::flags::{MOUNT, PID, TIME, USER, UTS};
use linux_namespaces::{Cause, Command, Error, Namespaces, Step, TimeOffset};

const USERNS: &[Need] = &[Need::UserNamespaces];
const DAY: i64 = 24 * 60 * 60;

fn main() {
    let cases: &[common::Case] = &[
        ("tell clocks", tell_clocks),
        ("without clone3", without_clone3),
        ("functions", functions),
        ("nested", nested),
        ("exec", exec),
        ("no /proc", no_proc),
        ("beside others", beside_others),
        ("beside a suspended one", beside_a_suspended_one),
        ("closed", closed),
    ];
    common::run(cases, tests());
}

fn tests() -> Vec<Trial> {
    vec![
        test_with("the_program_reads_its_clocks", USERNS, the_program_reads_its_clocks),
        test_with("uptime_is_set_off", USERNS, uptime_is_set_off),
        test_with("hooks_change_nothing", USERNS, hooks_change_nothing),
        test_with("works_without_clone3", USERNS, || in_own_process("without clone3")),
        test_with("functions_have_clocks", USERNS, || in_own_process("functions")),
        test_with("offsets_count_from_the_first_namespace", USERNS, || in_own_process("nested")),
        test_with("exec_sets_clocks", USERNS, || in_own_process("exec")),
        test_with("without_proc_it_is_named", USERNS, || in_own_process("no /proc")),
        test_with("with_everything_else", USERNS, with_everything_else),
        test_with(
            "an_ordinary_user_with_capabilities",
            &[Need::Root, Need::UserNamespaces, Need::Program("setpriv")],
            an_ordinary_user_with_capabilities,
        ),
        test_with("an_ordinary_user_beside_others", USERNS, an_ordinary_user_beside_others),
        test_with("an_ordinary_user_who_is_closed", USERNS, || as_ordinary_user("closed", &[])),
        test_with("it_takes_its_capability", &[Need::Root], it_takes_its_capability),
        test("out_of_range_is_refused", out_of_range_is_refused),
        test("clocks_need_a_new_namespace", clocks_need_a_new_namespace),
    ]
}

/// A clock in nanoseconds.
fn now(clock: libc::clockid_t) -> i128 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the time. Through the vDSO, where there is one.
    assert_eq!(unsafe { libc::clock_gettime(clock, &raw mut time) }, 0);
    let through_vdso = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
    // SAFETY: fills the time, by the system call.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, &raw mut time) };
    assert_eq!(result, 0);
    let through_call = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
    assert!((0..10_000_000_000).contains(&(through_call - through_vdso)), "two clocks");
    through_vdso
}

fn tell_clocks() {
    println!("{} {}", now(libc::CLOCK_MONOTONIC), now(libc::CLOCK_BOOTTIME));
}

/// This test program, to tell its clocks.
fn teller() -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the path of this test"));
    command.env("LINUX_NAMESPACES_CASE", "tell clocks").namespaces(with_user(TIME));
    command
}

/// How far the program's clocks are off the caller's, which is told to within how long the program took.
fn off_by(command: &mut Command) -> [(i128, i128); 2] {
    let clocks = [libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME];
    let before = clocks.map(now);
    let told = stdout_of(command);
    let after = clocks.map(now);
    let told: Vec<i128> = told.split(' ').map(|number| number.parse().expect("a number")).collect();
    [(told[0] - after[0], told[0] - before[0]), (told[1] - after[1], told[1] - before[1])]
}

#[track_caller]
fn assert_off(command: &mut Command, monotonic: i128, boottime: i128) {
    let ranges = off_by(command);
    for ((least, most), expected) in ranges.into_iter().zip([monotonic, boottime]) {
        assert!((least..=most).contains(&expected), "{expected} is not in {least}..={most}");
        assert!(most - least < 60_000_000_000, "it took a minute");
    }
}

fn the_program_reads_its_clocks() {
    assert_off(&mut teller(), 0, 0);
    let second = 1_000_000_000;
    let day = i128::from(DAY) * second;
    assert_off(teller().monotonic_offset(TimeOffset::from_secs(DAY)), day, 0);
    assert_off(teller().boottime_offset(TimeOffset::from_secs(DAY)), 0, day);
    let ahead = Duration::new(1000, 250_000_000);
    let behind = TimeOffset::new(-2, 750_000_000);
    let mut both = teller();
    both.monotonic_offset(behind).boottime_offset(ahead.into());
    for _ in 0..2 {
        assert_off(&mut both, -1_250_000_000, 1000 * second + 250_000_000);
    }
    // The last call counts.
    both.monotonic_offset(TimeOffset::from_secs(0)).boottime_offset(TimeOffset::new(0, 1));
    assert_off(&mut both, 0, 1);
    // Up to the bounds: zero and 146 years. The clock goes on meanwhile.
    let monotonic = now(libc::CLOCK_MONOTONIC) / second;
    let most = 4_611_686_018 - monotonic as i64 - 60;
    assert_off(
        teller().monotonic_offset(TimeOffset::from_secs(most)),
        i128::from(most) * second,
        0,
    );
    let least = -monotonic as i64;
    assert_off(teller().monotonic_offset(TimeOffset::from_secs(least)), -monotonic * second, 0);
}

fn uptime_is_set_off() {
    // In hundredths of a second: a sum of fractions may be above the number that is read.
    let uptime = |text: &str| {
        let seconds = text.split(' ').next().expect("a number").replace('.', "");
        seconds.parse::<i64>().expect("a number")
    };
    let here = uptime(&fs::read_to_string("/proc/uptime").unwrap());
    let mut command = Command::new("cat");
    command.arg("/proc/uptime").namespaces(with_user(TIME | PID | MOUNT));
    let there = uptime(&stdout_of(command.boottime_offset(TimeOffset::from_secs(DAY))));
    let day = here + DAY * 100;
    assert!((day..day + 6000).contains(&there), "{here} {there}");
}

/// A hook has the program begin as a copy, which the kernel treats otherwise.
fn hooks_change_nothing() {
    let mut command = teller();
    // SAFETY: the hook makes no system call.
    unsafe { command.pre_exec(|| Ok(())) };
    command.monotonic_offset(TimeOffset::from_secs(DAY));
    assert_off(&mut command, i128::from(DAY) * 1_000_000_000, 0);
}

fn without_clone3() {
    common::seccomp::answer(&[libc::SYS_clone3], libc::ENOSYS);
    the_program_reads_its_clocks();
    hooks_change_nothing();
    functions();
}

fn functions() {
    let before = now(libc::CLOCK_MONOTONIC);
    let mut command = Command::from_fn(move || {
        let ahead = now(libc::CLOCK_MONOTONIC) - before - i128::from(DAY) * 1_000_000_000;
        i32::from(!(0..60_000_000_000).contains(&ahead))
    });
    command.namespaces(with_user(TIME)).monotonic_offset(TimeOffset::from_secs(DAY));
    assert_eq!(command.status().unwrap().code(), Some(0));
}

/// The program tries it again, in its own namespace.
fn nested() {
    let again = "nested again";
    if std::env::var("LINUX_NAMESPACES_NESTED").is_ok_and(|value| value == again) {
        let own = -i128::from(DAY) * 1_000_000_000;
        // The kernel counts from the first namespace, whose clock is a day behind this one.
        assert_off(&mut teller(), 0, 0);
        assert_off(teller().monotonic_offset(TimeOffset::from_secs(0)), own, 0);
        assert_off(teller().monotonic_offset(TimeOffset::from_secs(2 * DAY)), -own, 0);
        // Not refused too early; and what only the kernel knows to be out of range, by the kernel.
        let here = now(libc::CLOCK_MONOTONIC) / 1_000_000_000;
        let outside = here as i64 - DAY;
        let mut command = teller();
        command.monotonic_offset(TimeOffset::from_secs(-outside - 60));
        let error = command.spawn().expect_err("below zero");
        assert_eq!((error.step(), error.raw_os_error()), (&Step::ClockOffset, Some(libc::ERANGE)));
        assert!(error.to_string().contains("below zero"), "{error}");
        assert_off(
            teller().monotonic_offset(TimeOffset::from_secs(-outside)),
            own - i128::from(outside) * 1_000_000_000,
            0,
        );
        return;
    }
    let mut command = Command::new(std::env::current_exe().expect("the path of this test"));
    command.env("LINUX_NAMESPACES_CASE", "nested").env("LINUX_NAMESPACES_NESTED", again);
    command.namespaces(with_user(TIME)).monotonic_offset(TimeOffset::from_secs(DAY));
    assert!(command.status().unwrap().success());
}

fn exec() {
    let before = now(libc::CLOCK_MONOTONIC);
    let mut command = teller();
    if !common::is_root() {
        // exec maps, as any program does.
        command.namespaces(USER);
    }
    if std::env::var_os("LINUX_NAMESPACES_EXEC").is_some() {
        command.monotonic_offset(TimeOffset::from_secs(DAY));
        if std::env::var_os("LINUX_NAMESPACES_THREAD").is_none() {
            panic!("{}", command.exec());
        }
        // From a thread that is not the first. A user namespace is for processes with one thread.
        let error = std::thread::spawn(move || command.exec()).join().expect("an error");
        panic!("{error}");
    }
    let mut case = common::case("exec");
    let mut outputs = vec![case.env("LINUX_NAMESPACES_EXEC", "").output().unwrap()];
    if common::is_root() {
        outputs.push(case.env("LINUX_NAMESPACES_THREAD", "").output().unwrap());
    }
    for output in outputs {
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let told: i128 = told
            .split(' ')
            .next()
            .and_then(|it| it.parse().ok())
            .unwrap_or_else(|| panic!("{output:?}"));
        let ahead = told - before - i128::from(DAY) * 1_000_000_000;
        assert!((0..60_000_000_000).contains(&ahead), "{ahead}");
    }
}

fn no_proc() {
    if std::env::var_os("LINUX_NAMESPACES_NO_PROC").is_none() {
        let mut world = Command::new(std::env::current_exe().expect("the path of this test"));
        world.env("LINUX_NAMESPACES_CASE", "no /proc").env("LINUX_NAMESPACES_NO_PROC", "");
        world.namespaces(USER | MOUNT).map_root_user();
        world.mount(linux_namespaces::Mount::tmpfs("/proc"));
        assert!(world.status().unwrap().success());
        return;
    }
    let mut command = Command::new("true");
    let error =
        command.namespaces(TIME).monotonic_offset(TimeOffset::from_secs(1)).spawn().unwrap_err();
    assert_eq!((error.step(), error.raw_os_error()), (&Step::ClockOffset, Some(libc::ENOENT)));
    assert!(error.to_string().contains("mount proc"), "{error}");
}

fn with_everything_else() {
    let mut command = teller();
    command.namespaces(with_user(TIME | PID | MOUNT | UTS)).hostname("later");
    command.mount(linux_namespaces::Mount::tmpfs("/mnt"));
    command.boottime_offset(TimeOffset::from_secs(DAY));
    assert_off(&mut command, 0, i128::from(DAY) * 1_000_000_000);
}

/// This test program as an ordinary user, to run only that case.
fn as_ordinary_user(case: &str, options: &[&str]) {
    if !common::is_root() {
        assert!(options.is_empty());
        return in_own_process(case);
    }
    // The program must be where that user can execute it.
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("clocks");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).args(options);
    let output = command.arg(&program).env("LINUX_NAMESPACES_CASE", case).current_dir("/").output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Whose memory is closed to others of the user, which makes its files root's.
fn an_ordinary_user_with_capabilities() {
    let options =
        ["--inh-caps=+dac_override,+sys_admin", "--ambient-caps=+dac_override,+sys_admin"];
    for case in ["functions", "nested"] {
        as_ordinary_user(case, &options);
    }
    // And one who can do without the files of his children.
    let more = ["--inh-caps=+dac_override,+sys_ptrace", "--ambient-caps=+dac_override,+sys_ptrace"];
    as_ordinary_user("beside a suspended one", &more);
}

fn an_ordinary_user_beside_others() {
    as_ordinary_user("beside others", &[]);
}

/// The memory that a child shares with its caller is closed, and its files are root's, while children of other threads enter a user namespace
/// or change their ids.
fn beside_others() {
    let holder = common::processes::holder(USER);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = OnDrop(|| stop.store(true, SeqCst));
        for _ in 0..2 {
            scope.spawn(|| {
                let mut entering = Command::new("true");
                entering.enter_process(holder.pidfd(), USER);
                while !stop.load(SeqCst) {
                    assert!(entering.status().expect("it is ours").success());
                }
            });
        }
        let clocks: [fn(&mut Command) -> &mut Command; 3] = [
            |command| command,
            Command::leave_unmapped,
            // It closes the memory itself.
            |command| command.map_root_user().uid(0),
        ];
        for (place, with) in clocks.into_iter().enumerate() {
            let mut command = Command::new("cat");
            command.arg("/proc/self/timens_offsets").namespaces(USER | TIME);
            with(&mut command).monotonic_offset(TimeOffset::from_secs(DAY));
            for round in 0..200 {
                let output = command.output();
                let output = output.unwrap_or_else(|error| panic!("{place}, {round}: {error}"));
                let told = String::from_utf8(output.stdout).expect("text");
                let first = told.lines().next().unwrap_or_default().split_whitespace();
                assert_eq!(first.collect::<Vec<_>>(), ["monotonic", "86400", "0"]);
            }
        }
    });
    common::processes::end(holder);
}

/// For whom the memory stays closed, and so a copy of it is.
fn beside_a_suspended_one() {
    // SAFETY: asks for a number.
    let dumpable = || unsafe { libc::prctl(libc::PR_GET_DUMPABLE) };
    let suspended = Command::new("true").namespaces(USER).spawn_suspended().expect("it is set up");
    let shared = !cfg!(linux_namespaces_portable);
    assert_eq!(dumpable(), if shared { 0 } else { 1 }, "this test is of no use");
    functions();
    hooks_change_nothing();
    the_program_reads_its_clocks();
    drop(suspended);
    assert_eq!(dumpable(), 1);
}

/// The file is root's, for one reason or the other. Each message names the way out, which is gone here.
fn closed() {
    let setting = |set: Namespaces| {
        let mut command = Command::new("cat");
        command.arg("/proc/self/timens_offsets").namespaces(set);
        command.monotonic_offset(TimeOffset::from_secs(DAY));
        command
    };
    let message = |result: linux_namespaces::Result<Output>, cause| {
        let error = result.expect_err("the file is root's");
        assert_eq!(error.cause(), cause, "{error}");
        assert_eq!(
            (error.step(), error.raw_os_error()),
            (&Step::ClockOffset, Some(libc::EACCES)),
            "{error}"
        );
        error.to_string()
    };
    let refused = "set the clock offset \"monotonic 86400 0\": Permission denied (os error 13): ";
    let holder = common::processes::holder(USER);
    let mut entering = setting(TIME);
    assert_eq!(
        message(entering.enter_process(holder.pidfd(), USER).output(), None),
        format!(
            "{refused}/proc/self/timens_offsets is root's while the memory, which the caller and the child share, is closed to the \
             user namespace that is entered: spawn it from a process that is in there already, or as root"
        )
    );
    let set_dumpable = |dumpable: std::ffi::c_int| {
        // SAFETY: sets a number.
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, dumpable) }, 0);
    };
    set_dumpable(0);
    assert_eq!(
        message(setting(USER | TIME).output(), Some(&Cause::NotDumpable)),
        format!(
            "{refused}/proc/self/timens_offsets is root's while the caller's memory is closed, as after a change of ids: \
             open it by prctl(2), PR_SET_DUMPABLE, or run as root"
        )
    );
    set_dumpable(1);
    assert!(stdout_of(&mut setting(USER | TIME)).contains("86400"));
    linux_namespaces::setns_process(holder.pidfd(), USER).expect("it is ours");
    assert!(stdout_of(&mut setting(TIME)).contains("86400"));
    common::processes::end(holder);
}

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// As root without CAP_SYS_TIME.
fn it_takes_its_capability() {
    let mut command = std::process::Command::new("setpriv");
    command.args(["--bounding-set=-sys_time", "--inh-caps=-sys_time"]);
    command.arg(std::env::current_exe().unwrap()).env("LINUX_NAMESPACES_CASE", "functions");
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("set the clock offset") && told.contains("CAP_SYS_TIME"), "{told}");
}

#[track_caller]
fn refused(command: &mut Command, says: &[&str]) -> Error {
    let error = command.spawn().expect_err("it is refused");
    assert_eq!((error.step(), error.kind()), (&Step::Validate, ErrorKind::InvalidInput), "{error}");
    assert_eq!(error.cause(), None::<&Cause>);
    let message = error.to_string();
    assert!(says.iter().all(|text| message.contains(text)), "{message}: {says:?}");
    error
}

fn out_of_range_is_refused() {
    let bound = "4611686018";
    for seconds in [i64::MIN, -4_611_686_019, 4_611_686_019, i64::MAX] {
        let offset = TimeOffset::from_secs(seconds);
        refused(teller().monotonic_offset(offset), &["monotonic", &seconds.to_string(), bound]);
        refused(teller().boottime_offset(offset), &["boottime", &seconds.to_string(), bound]);
    }
    refused(teller().boottime_offset(Duration::MAX.into()), &["boottime", bound]);
    for nanoseconds in [1_000_000_000, u32::MAX] {
        let offset = TimeOffset::new(0, nanoseconds);
        let says = ["monotonic", &nanoseconds.to_string(), "999999999"];
        refused(teller().monotonic_offset(offset), &says);
    }
    // Within the range of numbers, but the clock would be below zero, or too far on.
    let seconds = now(libc::CLOCK_BOOTTIME) / 1_000_000_000;
    let offset = TimeOffset::from_secs(-(seconds as i64) - 3600);
    let error = refused(teller().boottime_offset(offset), &["boottime", "below zero"]);
    let bounds = (seconds..seconds + 60)
        .any(|now| error.to_string().contains(&format!("it may be -{now} to ")));
    assert!(bounds, "{error}");
    refused(teller().boottime_offset(TimeOffset::from_secs(4_611_686_018)), &["boottime", bound]);
}

fn clocks_need_a_new_namespace() {
    let mut command = Command::new("true");
    refused(
        command.monotonic_offset(TimeOffset::new(-1, 500_000_000)),
        &["-0.5 s", "Namespaces::TIME"],
    );
    let mut command = Command::new("true");
    command.namespaces(USER | UTS).boottime_offset(TimeOffset::from_secs(0));
    refused(&mut command, &["boottime", "Namespaces::TIME"]);
}
