//! What a program finds when nothing but its namespaces is asked for.
mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::ptr;

use common::{
    Need, field, in_own_process, inode, is_root, sh, stdout_of, test, test_with, with_user,
};
use libtest_mimic::Trial;
use linux_namespaces::flags::{MOUNT, NET, PID, USER, UTS};
use linux_namespaces::{Command, IdRange, Namespaces, Propagation, Stdio};

const USERNS: &[Need] = &[Need::UserNamespaces];

fn main() {
    common::run(
        &[
            ("mounts_stay_inside", mounts_stay_inside_case),
            ("slaves_receive", slaves_receive_case),
            ("shared_stays_shared", shared_stays_shared_case),
            ("tell_loopback", tell_loopback),
            ("tell_descriptors", tell_descriptors),
            ("two_standard_numbers", two_standard_numbers_case),
            ("three_standard_numbers", three_standard_numbers_case),
            ("signals", || signals_case(&[Namespaces::empty()])),
            ("signals_inside", || {
                signals_case(&[USER, with_user(PID | MOUNT), common::all_for_functions()]);
            }),
            ("signals_entered", signals_entered_case),
        ],
        tests(),
    );
}

fn tests() -> Vec<Trial> {
    vec![
        test_with("mounts_stay_inside", USERNS, || in_own_process("mounts_stay_inside")),
        test_with("slaves_receive", USERNS, || in_own_process("slaves_receive")),
        test_with("shared_stays_shared", USERNS, || in_own_process("shared_stays_shared")),
        test_with("proc_is_new", &[Need::UserNamespaces, Need::Program("ps")], proc_is_new),
        test_with("proc_is_left_when_asked", USERNS, proc_is_left_when_asked),
        test_with("proc_is_left_without_mount", USERNS, proc_is_left_without_mount),
        test_with("proc_is_mounted_when_asked", USERNS, proc_is_mounted_when_asked),
        test_with("user_keeps_the_callers_ids", USERNS, user_keeps_the_callers_ids),
        test_with("other_ids_overflow", USERNS, other_ids_overflow),
        test_with(
            "foreign_file_of_root",
            &[Need::Root, Need::UserNamespaces],
            foreign_file_of_root,
        ),
        test_with("one_side_given", USERNS, one_side_given),
        test_with("setgroups_is_denied_where_needed", USERNS, setgroups_is_denied_where_needed),
        test_with("loopback_is_up", USERNS, loopback_is_up),
        test_with("loopback_is_left_down_when_asked", USERNS, loopback_is_left_down_when_asked),
        test_with("loopback_of_an_entered_namespace", USERNS, loopback_of_an_entered_namespace),
        test("descriptors_stay_behind", descriptors_stay_behind),
        test_with("descriptors_stay_behind_inside", USERNS, descriptors_stay_behind_inside),
        test("descriptors_are_inherited_when_asked", descriptors_are_inherited_when_asked),
        test("descriptors_are_passed", descriptors_are_passed),
        test("a_passed_stream_beats_a_default", a_passed_stream_beats_a_default),
        test("descriptors_trade_places", descriptors_trade_places),
        test("a_descriptor_in_its_place_is_passed", a_descriptor_in_its_place_is_passed),
        test("two_standard_numbers_trade_places", || in_own_process("two_standard_numbers")),
        test("three_standard_numbers_trade_places", || in_own_process("three_standard_numbers")),
        test("signals_are_the_default", || in_own_process("signals")),
        test_with("signals_are_the_default_inside", USERNS, || in_own_process("signals_inside")),
        test_with("signals_are_the_default_where_entered", USERNS, || {
            in_own_process("signals_entered");
        }),
        test("dropping_the_handle_leaves_the_child", || dropping_the_handle(Namespaces::empty())),
        test_with("dropping_the_handle_leaves_process_1", USERNS, || {
            dropping_the_handle(with_user(PID | MOUNT));
        }),
        test("paths_mean_what_std_has_them_mean", paths_mean_what_std_has_them_mean),
        test_with("the_directory_is_one_inside", USERNS, the_directory_is_one_inside),
        test_with("programs_are_found_inside", USERNS, programs_are_found_inside),
    ]
}

/// This test program again, to run that case inside.
fn here(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the path of this test"));
    command.env("LINUX_NAMESPACES_CASE", name);
    command
}

fn effective_ids() -> (u32, u32) {
    // SAFETY: asks for a number.
    let uid = unsafe { libc::geteuid() };
    // SAFETY: asks for a number.
    let gid = unsafe { libc::getegid() };
    (uid, gid)
}

/// A line of a map file with one blank between the numbers.
fn plain(map: &str) -> Vec<String> {
    map.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

// ---- mounts

fn mount(source: &Path, target: &Path, fstype: &str, flags: libc::c_ulong) {
    let text = |path: &Path| {
        std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("no NUL in a path")
    };
    let (source, target, fstype) = (text(source), text(target), text(fstype.as_ref()));
    // SAFETY: three texts that end in NUL, and no data.
    let result = unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), fstype.as_ptr(), flags, ptr::null())
    };
    assert_eq!(result, 0, "mount {target:?}: {}", io::Error::last_os_error());
}

fn unmount(target: &Path) {
    let text = std::ffi::CString::new(target.as_os_str().as_encoded_bytes()).expect("no NUL");
    // SAFETY: a text that ends in NUL.
    let result = unsafe { libc::umount2(text.as_ptr(), libc::MNT_DETACH) };
    assert_eq!(result, 0, "umount {target:?}: {}", io::Error::last_os_error());
}

/// Moves this process into a mount namespace where it has the right to mount.
fn own_mounts() {
    let root = is_root();
    let (uid, gid) = effective_ids();
    let flags = if root { libc::CLONE_NEWNS } else { libc::CLONE_NEWNS | libc::CLONE_NEWUSER };
    // SAFETY: takes a number; this process runs one case only.
    let result = unsafe { libc::unshare(flags) };
    assert_eq!(result, 0, "unshare: {}", io::Error::last_os_error());
    if !root {
        fs::write("/proc/self/setgroups", "deny").expect("setgroups");
        fs::write("/proc/self/uid_map", format!("0 {uid} 1")).expect("uid_map");
        fs::write("/proc/self/gid_map", format!("0 {gid} 1")).expect("gid_map");
    }
}

/// As [`own_mounts`], with all mounts shared, and one more than there was: on the directory.
fn shared_mounts(directory: &Path) {
    own_mounts();
    mount("none".as_ref(), "/".as_ref(), "", libc::MS_REC | libc::MS_SHARED);
    mount(directory, directory, "", libc::MS_BIND);
}

fn own_mountinfo() -> String {
    fs::read_to_string("/proc/self/mountinfo").expect("mountinfo")
}

/// The mount point and the optional fields of each mount: "shared:1", "master:2".
fn optional_fields(mountinfo: &str) -> Vec<(&str, Vec<&str>)> {
    mountinfo
        .lines()
        .map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            let optional = words[6..].iter().copied().take_while(|word| *word != "-").collect();
            (words[4], optional)
        })
        .collect()
}

fn mounts_at(mountinfo: &str, point: &Path) -> usize {
    let point = point.to_str().expect("text");
    optional_fields(mountinfo).iter().filter(|(at, _)| *at == point).count()
}

/// Mounts on the directory, and tells of all mounts.
fn mounting(directory: &Path) -> Command {
    sh(&format!("mount -t tmpfs none {} && cat /proc/self/mountinfo", directory.display()))
}

fn mounts_stay_inside_case() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    shared_mounts(path);
    let before = own_mountinfo();
    assert!(
        optional_fields(&before).iter().all(|(_, optional)| !optional.is_empty()),
        "all are shared outside: {before}"
    );
    for set in [MOUNT, MOUNT | USER, MOUNT | PID, MOUNT | USER | PID] {
        for explicit in [false, true] {
            let mut command = mounting(path);
            command.namespaces(set);
            if set.contains(USER) {
                command.map_root_user();
            }
            if explicit {
                command.propagation(Propagation::Private);
            }
            let inside = stdout_of(&mut command);
            assert_eq!(mounts_at(&inside, path), 2, "{set}: {inside}");
            for (point, optional) in optional_fields(&inside) {
                assert_eq!(optional, [""; 0], "{set}: {point} is not private");
            }
            assert_eq!(own_mountinfo(), before, "{set}: something leaked");
        }
    }
    unmount(path);
}

fn slaves_receive_case() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    shared_mounts(path);
    let later = path.join("later");
    fs::create_dir(&later).expect("a directory");
    let before = own_mountinfo();
    let mut command = mounting(path);
    let inside = stdout_of(command.namespaces(MOUNT).propagation(Propagation::Slave));
    assert_eq!(mounts_at(&inside, path), 2, "{inside}");
    assert_eq!(own_mountinfo(), before, "from the inside out nothing goes");
    // The copies come in the order of the originals.
    for ((point, outside), (_, inside)) in
        optional_fields(&before).into_iter().zip(optional_fields(&inside))
    {
        assert_eq!(inside, [outside[0].replace("shared", "master")], "{point} is no slave");
    }

    let mut child = sh("echo up; read line; cat /proc/self/mountinfo")
        .namespaces(MOUNT)
        .propagation(Propagation::Slave)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a slave");
    let mut up = [0; 3];
    child.stdout.as_mut().expect("piped").read_exact(&mut up).expect("a line");
    mount("none".as_ref(), &later, "tmpfs", 0);
    child.stdin.as_mut().expect("piped").write_all(b"go\n").expect("a line");
    let output = child.wait_with_output().expect("output");
    let inside = String::from_utf8(output.stdout).expect("text");
    let outside = mounts_at(&own_mountinfo(), &later);
    assert_ne!(outside, 0);
    assert_eq!(mounts_at(&inside, &later), outside, "what is mounted outside arrives: {inside}");
    unmount(&later);
    unmount(path);
}

fn shared_stays_shared_case() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    own_mounts();
    mount(path, path, "", libc::MS_BIND);
    mount("none".as_ref(), "/".as_ref(), "", libc::MS_REC | libc::MS_PRIVATE);
    let tell = |propagation| {
        let mut command = Command::new("cat");
        command.arg("/proc/self/mountinfo").namespaces(MOUNT).propagation(propagation);
        stdout_of(&mut command)
    };
    for (propagation, shared) in
        [(Propagation::Shared, true), (Propagation::Unchanged, false), (Propagation::Slave, false)]
    {
        let inside = tell(propagation);
        for (point, optional) in optional_fields(&inside) {
            let is_shared = optional.iter().any(|field| field.starts_with("shared:"));
            assert_eq!(is_shared, shared, "{propagation:?} {point}: {optional:?}");
            assert_eq!(optional.len(), usize::from(shared), "{propagation:?} {point}");
        }
    }
    mount("none".as_ref(), "/".as_ref(), "", libc::MS_REC | libc::MS_SHARED);
    let before = own_mountinfo();
    let inside = tell(Propagation::Unchanged);
    assert_eq!(optional_fields(&inside), optional_fields(&before), "the same peer groups");
    let mut leaking = mounting(path);
    stdout_of(leaking.namespaces(MOUNT).propagation(Propagation::Unchanged));
    assert_eq!(mounts_at(&own_mountinfo(), path), mounts_at(&before, path) + 1);
    unmount(path);
    unmount(path);
}

// ---- /proc

/// What a filesystem is, to stat(2).
fn device(path: &str) -> String {
    fs::metadata(path).expect("metadata").dev().to_string()
}

fn proc_is_new() {
    let set = with_user(PID | MOUNT);
    let listed = stdout_of(Command::new("ps").args(["ax", "-o", "pid="]).namespaces(set));
    assert_eq!(plain(&listed), ["1"]);
    let shell = stdout_of(sh("echo $$; ps ax -o pid=").namespaces(set));
    let mut lines = shell.lines();
    assert_eq!(lines.next(), Some("1"));
    let pids: Vec<u32> = lines.map(|line| line.trim().parse().expect("a number")).collect();
    assert_eq!(pids[0], 1);
    assert!(pids.len() <= 2, "{pids:?}");
    assert_eq!(stdout_of(Command::new("readlink").arg("/proc/self").namespaces(set)), "1");
    let inside = stdout_of(Command::new("stat").args(["-c", "%d", "/proc"]).namespaces(set));
    assert_ne!(inside, device("/proc"));
    let mountinfo = stdout_of(Command::new("cat").arg("/proc/self/mountinfo").namespaces(set));
    let newest = mountinfo.lines().rfind(|line| line.split(' ').nth(4) == Some("/proc"));
    let options = newest.and_then(|line| line.split(' ').nth(5)).expect("options");
    for option in ["nosuid", "nodev", "noexec"] {
        assert!(options.split(',').any(|word| word == option), "{options}");
    }
}

fn proc_is_left_when_asked() {
    let mut command = Command::new("stat");
    command.args(["-c", "%d", "/proc"]).namespaces(with_user(PID | MOUNT)).mount_proc(false);
    assert_eq!(stdout_of(&mut command), device("/proc"));
}

fn proc_is_left_without_mount() {
    let before = own_mountinfo();
    for set in [PID, PID | UTS | NET] {
        let mut command = sh("echo $$; stat -c %d /proc");
        let told = stdout_of(command.namespaces(with_user(set)));
        assert_eq!(told, format!("1\n{}", device("/proc")));
        assert_eq!(own_mountinfo(), before);
    }
    let told = stdout_of(sh("stat -c %d /proc").namespaces(with_user(MOUNT)));
    assert_eq!(told, device("/proc"), "without a pid namespace");
}

fn proc_is_mounted_when_asked() {
    if !is_root() {
        // Without a pid namespace of its own a user namespace may not mount one: proc(5).
        let mut command = Command::new("true");
        let error = command.namespaces(USER | MOUNT).mount_proc(true).spawn().unwrap_err();
        assert_eq!(error.step(), &linux_namespaces::Step::Mount("/proc".into()));
        return;
    }
    let proc = "/proc".as_ref();
    let before = mounts_at(&own_mountinfo(), proc);
    let mut command = Command::new("cat");
    let inside = stdout_of(command.arg("/proc/self/mountinfo").namespaces(MOUNT).mount_proc(true));
    assert_eq!(mounts_at(&inside, proc), before + 1);
}

// ---- ids

fn user_keeps_the_callers_ids() {
    let (uid, gid) = effective_ids();
    for explicit in [false, true] {
        let mut command =
            sh("id -u; id -g; cat /proc/self/uid_map; echo -; cat /proc/self/gid_map");
        command.namespaces(USER);
        if explicit {
            command.map_current_user();
        }
        let told = plain(&stdout_of(&mut command));
        let expected = [
            uid.to_string(),
            gid.to_string(),
            format!("{uid} {uid} 1"),
            "-".to_owned(),
            format!("{gid} {gid} 1"),
        ];
        assert_eq!(told, expected);
    }
}

fn overflow() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/overflowuid").expect("overflowuid");
    id.trim().to_owned()
}

fn other_ids_overflow() {
    let owned = |command: &mut Command| stdout_of(command.args(["-c", "%u %g", "/"]));
    let outside = owned(&mut Command::new("stat"));
    let inside = owned(Command::new("stat").namespaces(USER));
    assert_eq!(outside, "0 0", "/ is root's");
    let expected = if is_root() { "0 0".to_owned() } else { format!("{0} {0}", overflow()) };
    assert_eq!(inside, expected);
}

fn foreign_file_of_root() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    chown(file.path(), Some(12345), Some(54321)).expect("root may give it away");
    let mut command = Command::new("stat");
    let inside = stdout_of(command.args(["-c", "%u %g"]).arg(file.path()).namespaces(USER));
    assert_eq!(inside, format!("{0} {0}", overflow()));
}

fn one_side_given() {
    let (uid, gid) = effective_ids();
    let maps = "cat /proc/self/uid_map; cat /proc/self/gid_map";
    let mut users = sh(maps);
    users.namespaces(USER).uid_map([IdRange { inside: 7, outside: uid, count: 1 }]);
    assert_eq!(plain(&stdout_of(&mut users)), [format!("7 {uid} 1"), format!("{gid} {gid} 1")]);
    let mut groups = sh(maps);
    groups.namespaces(USER).gid_map([IdRange { inside: 7, outside: gid, count: 1 }]);
    assert_eq!(plain(&stdout_of(&mut groups)), [format!("{uid} {uid} 1"), format!("7 {gid} 1")]);
    let mut root = sh(maps);
    root.namespaces(USER).map_root_user();
    root.gid_map([IdRange { inside: 7, outside: gid, count: 1 }]);
    assert_eq!(plain(&stdout_of(&mut root)), [format!("0 {uid} 1"), format!("7 {gid} 1")]);
}

fn setgroups_is_denied_where_needed() {
    let expected = if is_root() { "allow" } else { "deny" };
    let (_, gid) = effective_ids();
    let tell = || {
        let mut command = Command::new("cat");
        command.arg("/proc/self/setgroups").namespaces(USER);
        command
    };
    assert_eq!(stdout_of(&mut tell()), expected);
    assert_eq!(stdout_of(tell().map_root_user()), expected);
    let own = [IdRange { inside: 5, outside: gid, count: 1 }];
    assert_eq!(stdout_of(tell().gid_map(own)), expected);
    assert_eq!(stdout_of(tell().leave_unmapped()), "allow", "there is no group to protect");
}

// ---- loopback

/// Tells whether `lo` is up here, and whether a connection over it can be made.
fn tell_loopback() {
    let connected = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| TcpStream::connect(listener.local_addr()?));
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
    // SAFETY: plain integers and characters, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    // SAFETY: fills the flags of `request`.
    let result =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, &raw mut request) };
    assert_eq!(result, 0, "SIOCGIFFLAGS: {}", io::Error::last_os_error());
    // SAFETY: the request that was just made fills this field.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    let up = i32::from(flags) & libc::IFF_UP != 0;
    println!("{} {}", if up { "up" } else { "down" }, connected.is_ok());
}

fn loopback_is_up() {
    for set in [NET, NET | USER, NET | PID | MOUNT | UTS] {
        assert_eq!(stdout_of(here("tell_loopback").namespaces(with_user(set))), "up true", "{set}");
        let mut command = here("tell_loopback");
        assert_eq!(stdout_of(command.namespaces(with_user(set)).loopback(true)), "up true");
    }
}

fn loopback_is_left_down_when_asked() {
    let mut command = here("tell_loopback");
    assert_eq!(stdout_of(command.namespaces(with_user(NET)).loopback(false)), "down false");
}

fn loopback_of_an_entered_namespace() {
    let set = with_user(NET);
    let mut holder = Command::new("cat")
        .namespaces(set)
        .loopback(false)
        .stdin(Stdio::piped())
        .spawn()
        .expect("a holder");
    let inside = || {
        let mut command = here("tell_loopback");
        command.enter_process(holder.pidfd(), set);
        command
    };
    assert_eq!(stdout_of(&mut inside()), "down false", "what exists is left as it is");
    assert_eq!(stdout_of(inside().loopback(true)), "up true");
    assert_eq!(stdout_of(inside().loopback(false)), "up true", "off changes nothing");
    holder.wait().expect("its end");
}

// ---- descriptors

/// The number of the descriptor that [`tell_descriptors`] writes to in place of standard output.
const TELL_TO: &str = "TELL_TO";

/// Tells what is open here, but for the directory that is read for it.
fn tell_descriptors() {
    let number = std::env::var(TELL_TO).map_or(1, |number| number.parse().expect("a number"));
    let mut told = String::new();
    for entry in fs::read_dir("/proc/self/fd").expect("descriptors").flatten() {
        let target = fs::read_link(entry.path()).expect("a link");
        if !target.ends_with("fd") {
            let name = entry.file_name();
            told += &format!("{} {}\n", name.to_str().expect("a number"), target.display());
        }
    }
    // SAFETY: it was passed for this, and nobody else here uses it.
    let mut file = unsafe { File::from_raw_fd(number) };
    file.write_all(told.as_bytes()).expect("somebody listens");
}

fn read_descriptors(told: &str) -> BTreeMap<RawFd, String> {
    told.lines()
        .map(|line| {
            let (number, target) = line.split_once(' ').expect("number and target");
            (number.parse().expect("a number"), target.to_owned())
        })
        .collect()
}

fn told_descriptors(command: &mut Command) -> BTreeMap<RawFd, String> {
    read_descriptors(&stdout_of(command))
}

/// Those from 3 up.
fn others(mut told: BTreeMap<RawFd, String>) -> BTreeMap<RawFd, String> {
    told.split_off(&3)
}

/// A file of its own, and its path as a link in /proc shows it.
fn files<const N: usize>(directory: &Path) -> [(File, String); N] {
    std::array::from_fn(|number| {
        let path = directory.join(format!("file{number}"));
        let file = File::options().create(true).truncate(true).read(true).write(true).open(&path);
        (file.expect("a file"), path.to_str().expect("text").to_owned())
    })
}

/// Opens that under a number from `least` up, without close-on-exec.
fn without_cloexec(file: &File, least: RawFd) -> OwnedFd {
    // SAFETY: takes numbers.
    let number = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD, least) };
    assert!(number >= least, "fcntl: {}", io::Error::last_os_error());
    // SAFETY: the call just made it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

fn descriptors_stay_behind() {
    let directory = tempfile::tempdir().expect("a directory");
    let [(file, _)] = files(directory.path());
    let _open = [3, 10, 63, 64, 500, 1500].map(|least| without_cloexec(&file, least));
    let told = told_descriptors(&mut here("tell_descriptors"));
    assert_eq!(told.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(told[&0], "/dev/null");
    let mut hooked = here("tell_descriptors");
    // SAFETY: it does nothing.
    unsafe { hooked.pre_exec(|| Ok(())) };
    assert_eq!(others(told_descriptors(&mut hooked)), BTreeMap::new(), "with a hook");
}

fn descriptors_stay_behind_inside() {
    let directory = tempfile::tempdir().expect("a directory");
    let [(file, _)] = files(directory.path());
    let _open = [3, 10, 500].map(|least| without_cloexec(&file, least));
    for set in [USER, with_user(PID | MOUNT), Namespaces::all()] {
        let told = told_descriptors(here("tell_descriptors").namespaces(set));
        assert_eq!(others(told), BTreeMap::new(), "{set}");
    }
    let set = with_user(PID | MOUNT | NET);
    let mut holder =
        Command::new("cat").namespaces(set).stdin(Stdio::piped()).spawn().expect("a holder");
    for created in [Namespaces::empty(), UTS, PID | MOUNT] {
        let mut command = here("tell_descriptors");
        let entered = set - (created - (PID | USER));
        command.enter_process(holder.pidfd(), entered).namespaces(created);
        // The entered /proc is one of the entered pid namespace.
        assert_eq!(others(told_descriptors(&mut command)), BTreeMap::new(), "creating {created}");
    }
    holder.wait().expect("its end");
}

fn descriptors_are_inherited_when_asked() {
    let directory = tempfile::tempdir().expect("a directory");
    let [(kept, _), (file, path), (passed, passed_path)] = files(directory.path());
    let open = [20, 500].map(|least| without_cloexec(&file, least));
    let mut command = here("tell_descriptors");
    let told = others(told_descriptors(command.inherit_fds(true).fd(400, passed)));
    for descriptor in &open {
        assert_eq!(told.get(&descriptor.as_raw_fd()), Some(&path));
    }
    assert_eq!(told.get(&400), Some(&passed_path));
    assert_eq!(told.get(&kept.as_raw_fd()), None, "it is close-on-exec");
    assert_eq!(told.values().filter(|target| **target == passed_path).count(), 1);
}

fn descriptors_are_passed() {
    let directory = tempfile::tempdir().expect("a directory");
    let [(a, a_path), (b, b_path), (c, c_path), (d, d_path)] = files(directory.path());
    let mut command = here("tell_descriptors");
    command.fd(3, a).fd(10, b).fd(200, c).fd(0, d);
    for _ in 0..2 {
        let mut told = told_descriptors(&mut command);
        assert_eq!(told.remove(&0), Some(d_path.clone()));
        let expected = [(3, &a_path), (10, &b_path), (200, &c_path)];
        assert_eq!(others(told), expected.map(|(fd, path)| (fd, path.clone())).into());
    }
    let set = with_user(PID | MOUNT);
    let told = others(told_descriptors(command.namespaces(set)));
    assert_eq!(told.into_keys().collect::<Vec<_>>(), [3, 10, 200], "inside");
}

fn a_passed_stream_beats_a_default() {
    for stream in [1, 2] {
        let directory = tempfile::tempdir().expect("a directory");
        let [(file, path)] = files(directory.path());
        let mut command = sh("echo out; echo err >&2");
        let output = command.fd(stream, file).output().expect("output");
        let in_file = fs::read_to_string(path).expect("text");
        let [stdout, stderr] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("text"));
        let seen = [&stdout, &stderr, &in_file];
        let expected = if stream == 1 { ["", "err\n", "out\n"] } else { ["out\n", "", "err\n"] };
        assert_eq!(seen, expected, "descriptor {stream} was passed");
    }
}

fn descriptors_trade_places() {
    let directory = tempfile::tempdir().expect("a directory");
    let [(a, a_path), (b, b_path)] = files(directory.path());
    let (a_number, b_number) = (a.as_raw_fd(), b.as_raw_fd());
    let mut command = here("tell_descriptors");
    let told = others(told_descriptors(command.fd(a_number, b).fd(b_number, a)));
    assert_eq!(told, BTreeMap::from([(a_number, b_path), (b_number, a_path)]));

    let [(a, a_path), (b, b_path), (c, c_path)] = files(directory.path());
    let [x, y, z] = [&a, &b, &c].map(|file| file.as_raw_fd());
    let mut command = here("tell_descriptors");
    let told = others(told_descriptors(command.fd(x, b).fd(y, c).fd(z, a)));
    assert_eq!(told, BTreeMap::from([(x, b_path), (y, c_path), (z, a_path)]));

    // Two circles, and one that one of them is also wanted by.
    let [(a, a_path), (b, b_path), (c, c_path), (d, d_path)] = files(directory.path());
    let more = a.try_clone().expect("a duplicate");
    let [w, x, y, z] = [&a, &b, &c, &d].map(|file| file.as_raw_fd());
    let mut command = here("tell_descriptors");
    command.fd(w, b).fd(x, a).fd(y, d).fd(z, c).fd(300, more);
    let expected = [(w, b_path), (x, a_path.clone()), (y, d_path), (z, c_path), (300, a_path)];
    assert_eq!(others(told_descriptors(&mut command)), expected.into());
}

fn a_descriptor_in_its_place_is_passed() {
    let directory = tempfile::tempdir().expect("a directory");
    let [(a, a_path), (b, b_path)] = files(directory.path());
    let (a_number, b_number) = (a.as_raw_fd(), b.as_raw_fd());
    let mut command = here("tell_descriptors");
    let told = others(told_descriptors(command.fd(a_number, a).fd(b_number, b)));
    assert_eq!(told, BTreeMap::from([(a_number, a_path), (b_number, b_path)]));
}

/// Gives a file a standard number, in place of what the caller has there.
fn place(file: &File, number: RawFd) -> OwnedFd {
    // SAFETY: takes numbers; nothing relies on the stream that goes.
    let result = unsafe { libc::dup2(file.as_raw_fd(), number) };
    assert_eq!(result, number, "dup2: {}", io::Error::last_os_error());
    // SAFETY: the call just made it, in place of one that nobody owns.
    unsafe { OwnedFd::from_raw_fd(number) }
}

fn two_standard_numbers_case() {
    let directory = tempfile::tempdir().expect("a directory");
    let [(source, source_path), (target, target_path)] = files(directory.path());
    fs::write(source_path, "input\n").expect("a file");
    let (input, output) = (place(&source, 1), place(&target, 0));
    let status = Command::new("cat").stdin(input).stdout(output).status().expect("cat");
    assert!(status.success(), "{status}");
    assert_eq!(fs::read_to_string(target_path).expect("text"), "input\n");
}

fn three_standard_numbers_case() {
    let directory = tempfile::tempdir().expect("a directory");
    let [(zero, zero_path), (one, one_path), (two, two_path)] = files(directory.path());
    let (mut ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let saved = io::stderr().as_fd().try_clone_to_owned().expect("a duplicate");
    let [zero, one, two] = [place(&zero, 0), place(&one, 1), place(&two, 2)];
    let mut command = here("tell_descriptors");
    command.env(TELL_TO, "7").fd(7, theirs).stdin(one).stdout(two).stderr(zero);
    let status = command.status();
    drop(command);
    // SAFETY: takes numbers; the command's standard error has just been closed.
    unsafe { libc::dup2(saved.as_raw_fd(), 2) };
    assert!(status.as_ref().is_ok_and(|status| status.success()), "{status:?}");
    let mut told = String::new();
    ours.read_to_string(&mut told).expect("text");
    let mut told = read_descriptors(&told);
    assert!(told.remove(&7).is_some_and(|target| target.starts_with("socket:")));
    assert_eq!(told, BTreeMap::from([(0, one_path), (1, two_path), (2, zero_path)]));
}

// ---- signals

fn signal_fields(status: &str) -> [String; 3] {
    ["SigBlk", "SigIgn", "SigCgt"].map(|name| field(name, status).to_owned())
}

extern "C" fn handler(_: libc::c_int) {}

/// rt_sigaction(2) with the raw call, for libc refuses to touch the signals that it uses itself.
fn ignore(signal: libc::c_int) {
    let ignored = [libc::SIG_IGN, 0, 0, 0, 0, 0, 0, 0];
    let nothing = ptr::null_mut::<usize>();
    // SAFETY: on every 64-bit Linux the handler comes first, and the rest may be zero.
    let result = unsafe {
        libc::syscall(libc::SYS_rt_sigaction, signal, ignored.as_ptr(), nothing, 8_usize)
    };
    assert_eq!(result, 0, "signal {signal}: {}", io::Error::last_os_error());
}

const NONE: [&str; 3] = ["0000000000000000"; 3];

fn own_signals() -> [String; 3] {
    signal_fields(&fs::read_to_string("/proc/thread-self/status").expect("status"))
}

/// Blocks all signals, and ignores or handles all that can be. Gives what the kernel says of it.
fn trouble() -> [String; 3] {
    let handled = [libc::SIGHUP, libc::SIGUSR1, libc::SIGTERM, libc::SIGRTMIN() + 3];
    for signal in 1..=64 {
        if signal == libc::SIGKILL || signal == libc::SIGSTOP {
            continue;
        }
        // With SIGCHLD ignored the status of a child would be lost before Linux 6.15.
        if handled.contains(&signal) || signal == libc::SIGCHLD {
            // SAFETY: a handler that does nothing.
            unsafe { libc::signal(signal, handler as *const () as libc::sighandler_t) };
        } else {
            ignore(signal);
        }
    }
    let all = u64::MAX;
    let nothing = ptr::null_mut::<u64>();
    // SAFETY: a set of 64 signals, and no old one.
    let result = unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const all, nothing, 8_usize)
    };
    assert_eq!(result, 0);
    let fields = own_signals();
    // All but SIGKILL and SIGSTOP.
    assert_eq!(fields[0], "fffffffffffbfeff");
    for field in &fields {
        assert_ne!(field, NONE[0]);
    }
    fields
}

fn tell_status() -> Command {
    let mut command = Command::new("cat");
    command.arg("/proc/self/status");
    command
}

fn signals_case(sets: &[Namespaces]) {
    let before = trouble();
    for set in sets {
        let told = stdout_of(tell_status().namespaces(*set));
        assert_eq!(signal_fields(&told), NONE, "{set}");
        let mut hooked = tell_status();
        // SAFETY: it does nothing.
        unsafe { hooked.pre_exec(|| Ok(())) };
        assert_eq!(signal_fields(&stdout_of(hooked.namespaces(*set))), NONE, "{set}, a hook");
        let mut function = Command::from_fn(|| {
            print!("{}", fs::read_to_string("/proc/self/status").expect("status"));
            0
        });
        let told = stdout_of(function.namespaces(*set));
        assert_eq!(signal_fields(&told), NONE, "{set}, a function");
        assert_eq!(own_signals(), before, "{set}: the caller's own");
        tell_status().namespaces(*set).current_dir("/no/such/directory").spawn().unwrap_err();
        assert_eq!(own_signals(), before, "{set}: the caller's own after a failure");
    }
}

fn signals_entered_case() {
    let before = trouble();
    let set = with_user(PID | UTS);
    let mut holder =
        Command::new("cat").namespaces(set).stdin(Stdio::piped()).spawn().expect("a holder");
    for created in [Namespaces::empty(), NET, PID | MOUNT] {
        let mut command = tell_status();
        command.enter_process(holder.pidfd(), set).namespaces(created);
        assert_eq!(signal_fields(&stdout_of(&mut command)), NONE, "creating {created}");
        assert_eq!(own_signals(), before, "creating {created}: the caller's own");
    }
    holder.wait().expect("its end");
}

// ---- life

/// The letter in /proc/<pid>/stat.
fn state(pid: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it exists");
    let (_, rest) = stat.rsplit_once(") ").expect("a name in parentheses");
    rest.chars().next().expect("a state")
}

fn dropping_the_handle(set: Namespaces) {
    let (mut ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let output = theirs.try_clone().expect("a duplicate");
    let mut command = Command::new("cat");
    let child = command.stdin(theirs).stdout(output).namespaces(set).spawn().expect("cat");
    // It keeps the other end of our socket for further spawns.
    drop(command);
    let pid = child.id();
    drop(child);
    ours.write_all(b"x").expect("it reads");
    let mut echo = [0];
    ours.read_exact(&mut echo).expect("it lives and writes");
    assert_eq!(&echo, b"x");
    assert_ne!(state(pid), 'Z');
    drop(ours);
    // SAFETY: plain integers, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOWAIT;
    // SAFETY: fills `info`.
    let result = unsafe { libc::waitid(libc::P_PID, pid, &raw mut info, flags) };
    assert_eq!(result, 0, "nobody has waited for it: {}", io::Error::last_os_error());
    assert_eq!(state(pid), 'Z');
    let mut status = 0;
    // SAFETY: fills `status`.
    let reaped = unsafe { libc::waitpid(pid as libc::pid_t, &raw mut status, 0) };
    assert_eq!((reaped, status), (pid as libc::pid_t, 0));
}

// ---- paths

/// A script that says that.
fn tool(path: &Path, says: &str) {
    fs::write(path, format!("#!/bin/sh\necho {says}\n")).expect("a script");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("executable");
}

fn paths_mean_what_std_has_them_mean() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().canonicalize().expect("a path");
    tool(&path.join("tool"), "here");
    assert_eq!(
        stdout_of(Command::new("pwd").arg("-P").current_dir(&path)),
        path.to_str().expect("text")
    );
    assert_eq!(stdout_of(Command::new("./tool").current_dir(&path)), "here");
    assert_eq!(stdout_of(Command::new("tool").env("PATH", &path)), "here");
    let path_with_old = format!("{}:/usr/bin:/bin", path.display());
    assert_eq!(stdout_of(Command::new("tool").env("PATH", path_with_old)), "here");
}

fn the_directory_is_one_inside() {
    // Outside, process 1 is another one.
    let mut command = Command::new("cat");
    let inside = command.arg("comm").current_dir("/proc/1").namespaces(with_user(PID | MOUNT));
    assert_eq!(stdout_of(inside), "cat");
}

fn programs_are_found_inside() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("to be looked into");
    tool(&path.join("tool"), "outside");
    let prepared = tempfile::tempdir().expect("a directory");
    tool(&prepared.path().join("tool"), "inside");
    let set = with_user(MOUNT);
    let mut covered = sh(&format!(
        "mount --bind {} {} && echo up && read line",
        prepared.path().display(),
        path.display()
    ));
    covered.namespaces(set).stdin(Stdio::piped()).stdout(Stdio::piped());
    if set.contains(USER) {
        covered.map_root_user();
    }
    let mut holder = covered.spawn().expect("a holder");
    let mut up = [0; 3];
    holder.stdout.as_mut().expect("piped").read_exact(&mut up).expect("it has mounted");
    let entered = |program: &Path| {
        let mut command = Command::new(program);
        command.enter_process(holder.pidfd(), set);
        command
    };
    assert_ne!(
        inode(format!("/proc/{}/ns/mnt", holder.id())),
        inode("/proc/self/ns/mnt"),
        "it has mounts of its own"
    );
    assert_eq!(stdout_of(&mut entered(&path.join("tool"))), "inside");
    assert_eq!(stdout_of(entered("./tool".as_ref()).current_dir(path)), "inside");
    assert_eq!(stdout_of(entered("tool".as_ref()).env("PATH", path)), "inside");
    assert_eq!(stdout_of(&mut Command::new(path.join("tool"))), "outside");
    holder.wait().expect("its end");
}
