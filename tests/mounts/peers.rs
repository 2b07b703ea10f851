//! bubblewrap on the same job.

use std::collections::BTreeMap;
use std::process::Command as StdCommand;

use crate::device::*;

const LOOK: &str = "cat /proc/self/mountinfo; echo ==; stat -c '%n %a %F' / /tmp /dev /dev/pts /dev/null /proc /usr; \
                    readlink /dev/fd /dev/stdin /dev/stdout /dev/stderr /dev/ptmx; pwd; \
                    touch /usr/x 2>&1; (echo >/etc/passwd) 2>&1";

/// For each target: the type, and the flags that decide what can be done there.
fn flags(told: &str) -> BTreeMap<String, (String, Vec<String>)> {
    let (table, _) = told.split_once("==\n").expect("two parts");
    let kept = ["ro", "nosuid", "nodev", "noexec"];
    let line = |line: Line| {
        let mut flags: Vec<_> =
            line.options.into_iter().filter(|flag| kept.contains(&flag.as_str())).collect();
        flags.sort();
        (line.target, (line.fstype, flags))
    };
    lines(table).into_iter().map(line).collect()
}

pub(crate) fn as_bubblewrap_does() {
    let root = Tree::with(&["usr", "bin", "lib", "lib64", "proc", "dev", "tmp", "etc"]);
    let mut theirs = StdCommand::new("bwrap");
    theirs.args(["--unshare-user", "--unshare-pid", "--as-pid-1"]);
    theirs.arg("--ro-bind").arg(root.path()).arg("/");
    let mut ours = Command::new("/bin/sh");
    ours.namespaces(USER | PID | MOUNT).mount(Mount::bind(root.path(), "/").read_only());
    for path in ["/usr", "/bin", "/lib", "/lib64"] {
        if Path::new(path).exists() {
            theirs.args(["--ro-bind", path, path]);
            ours.mount(Mount::bind(path, path).recursive().read_only());
        }
    }
    theirs.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "/bin/sh", "-c", LOOK]);
    ours.mount(Mount::proc("/proc")).mount(Mount::dev("/dev")).mount(Mount::tmpfs("/tmp"));
    let theirs =
        theirs.current_dir("/").stdin(std::process::Stdio::null()).output().expect("bwrap");
    assert!(theirs.status.success() || !theirs.stdout.is_empty(), "{theirs:?}");
    let theirs = String::from_utf8(theirs.stdout).expect("text");
    let output = ours.args(["-c", LOOK]).output().unwrap_or_else(|error| panic!("{error}"));
    let ours = String::from_utf8(output.stdout).expect("text");
    let (mine, of_bwrap) = (flags(&ours), flags(&theirs));
    for target in ["/", "/usr", "/proc", "/tmp", "/dev/pts"] {
        let (fstype, own) = &mine[target];
        let (other_type, others) = &of_bwrap[target];
        assert_eq!(fstype, other_type, "{target}");
        // bubblewrap gives every mount nosuid, and binds without devices nodev; here that has to be asked for.
        assert!(
            own.iter().all(|flag| others.contains(flag) || flag == "noexec"),
            "{target}: {own:?} {others:?}"
        );
        assert_eq!(own.contains(&"ro".to_owned()), others.contains(&"ro".to_owned()), "{target}");
    }
    for device in ["null", "zero", "full", "random", "urandom", "tty"] {
        let target = format!("/dev/{device}");
        assert!(of_bwrap.contains_key(&target) && mine.contains_key(&target), "{target}");
    }
    // Modes, links, directory, and what is refused, word for word.
    let part = |told: &str| told.split_once("==\n").expect("two parts").1.to_owned();
    assert_eq!(part(&ours), part(&theirs));
}
