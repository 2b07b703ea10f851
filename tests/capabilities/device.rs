//! What is looked at inside, and the situations that it is looked at in.

pub(crate) use std::fs;
pub(crate) use std::os::unix::fs::PermissionsExt as _;
pub(crate) use std::path::{Path, PathBuf};
pub(crate) use std::process::Command as StdCommand;
pub(crate) use std::{io, ptr};

pub(crate) use linux_namespaces::{
    Capabilities, Cause, Command, Error, IdRange, NamespaceKind, Namespaces, Stdio, Step,
};

pub(crate) use crate::common::{Footprint, case, field, is_root, stdout_of, with_user};

/// Somebody who is not root.
pub(crate) const OTHER: u32 = 65_534;

/// As /proc/<pid>/status has it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sets {
    pub(crate) inheritable: u64,
    pub(crate) permitted: u64,
    pub(crate) effective: u64,
    pub(crate) bounding: u64,
    pub(crate) ambient: u64,
    pub(crate) no_new_privs: bool,
}

impl std::fmt::Debug for Sets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "inh {:x} prm {:x} eff {:x} bnd {:x} amb {:x} nnp {}",
            self.inheritable,
            self.permitted,
            self.effective,
            self.bounding,
            self.ambient,
            self.no_new_privs
        )
    }
}

impl Sets {
    pub(crate) fn parse(status: &str) -> Self {
        let set = |name| u64::from_str_radix(field(name, status), 16).expect("a set");
        Self {
            inheritable: set("CapInh"),
            permitted: set("CapPrm"),
            effective: set("CapEff"),
            bounding: set("CapBnd"),
            ambient: set("CapAmb"),
            no_new_privs: field("NoNewPrivs", status) == "1",
        }
    }

    pub(crate) fn own() -> Self {
        Self::parse(&fs::read_to_string("/proc/thread-self/status").expect("status"))
    }

    /// Of the program `cat`, with what the command sets.
    pub(crate) fn inside(set: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        Self::parse(&status_inside(set))
    }

    pub(crate) fn exactly(set: Capabilities) -> Self {
        let set = set.bits();
        Self {
            inheritable: set,
            permitted: set,
            effective: set,
            bounding: set,
            ambient: set,
            no_new_privs: false,
        }
    }
}

pub(crate) fn status_inside(set: impl FnOnce(&mut Command) -> &mut Command) -> String {
    let mut command = Command::new("cat");
    command.arg("/proc/self/status");
    stdout_of(set(&mut command))
}

/// Every capability of this kernel that this crate knows.
pub(crate) fn all() -> Capabilities {
    let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap").expect("the last one");
    let last: u32 = last.trim().parse().expect("a number");
    Capabilities::all() & Capabilities::from_bits_retain(u64::MAX >> (63 - last))
}

/// Sets to try, of those that can be had.
pub(crate) fn samples(from: Capabilities) -> Vec<Capabilities> {
    let (a, b, c) = (Capabilities::KILL, Capabilities::NET_ADMIN, Capabilities::SETPCAP);
    let sets = [Capabilities::empty(), a, c, a | b, from - c, from - Capabilities::BPF, from];
    sets.map(|set| set & from).to_vec()
}

pub(crate) fn held() -> Capabilities {
    Capabilities::from_bits_truncate(Sets::own().permitted)
}

pub(crate) fn refusal(command: &mut Command) -> Error {
    let before = Footprint::now();
    let error = command.spawn().expect_err("refused");
    before.assert_unchanged();
    error
}

/// `Operation not permitted` in the step of capabilities, with this in the message.
pub(crate) fn is_refused(command: &mut Command, start: &str, hint: &str) {
    let error = refusal(command);
    assert_eq!(error.step(), &Step::Capabilities, "{error}");
    assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{error}");
    let start = format!("set the capabilities {start}: Operation not permitted (os error 1): ");
    assert!(error.to_string().starts_with(&start), "{error}");
    assert!(error.hint().is_some_and(|text| text.contains(hint)), "{error}");
}

/// This test program under setpriv, to run only that case.
pub(crate) fn under_setpriv(name: &str, options: &[&str]) {
    let mut command = StdCommand::new("setpriv");
    command.args(options).arg(std::env::current_exe().expect("the path of this test"));
    let output = command.env("LINUX_NAMESPACES_CASE", name).output().expect("setpriv runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{options:?}: {}\n{text}", output.status);
}

pub(crate) fn prctl(option: i32, value: u64, more: [u64; 3]) {
    let [a, b, c] = more;
    // SAFETY: of the options used here none takes an address.
    let result = unsafe { libc::prctl(option, value, a, b, c) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

pub(crate) fn bound(set: Capabilities) {
    for number in (0..64).filter(|number| set.bits() >> number & 1 != 0) {
        prctl(libc::PR_CAPBSET_DROP, number, [0; 3]);
    }
}

pub(crate) fn become_other() {
    // SAFETY: an empty list.
    assert_eq!(unsafe { libc::setgroups(0, ptr::null()) }, 0);
    // SAFETY: numbers only.
    assert_eq!(unsafe { libc::setresgid(OTHER, OTHER, OTHER) }, 0);
    // SAFETY: numbers only.
    assert_eq!(unsafe { libc::setresuid(OTHER, OTHER, OTHER) }, 0);
}

/// All that are held, as setpriv is told to set them.
pub(crate) fn all_inherited() -> [String; 2] {
    let names = held().to_string().replace("cap_", "+");
    [format!("--inh-caps={names}"), format!("--ambient-caps={names}")]
}

/// A copy of `cat` in a directory of its own.
pub(crate) fn own_cat() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let cat = directory.path().join("cat");
    let path = std::env::var_os("PATH").expect("PATH");
    let there = std::env::split_paths(&path).map(|it| it.join("cat")).find(|it| it.is_file());
    fs::copy(there.expect("cat is on PATH"), &cat).expect("a copy");
    (directory, cat)
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
}

pub(crate) fn other_tool(program: &str, options: &[&str]) -> Sets {
    let mut command = StdCommand::new(program);
    let output = command.args(options).args(["cat", "/proc/self/status"]).output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Sets::parse(&String::from_utf8(output.stdout).expect("text"))
}

/// Of this thread: its capabilities, its securebits, and of its memory the dumpable flag.
pub(crate) fn own_state() -> (Sets, i32, i32) {
    // SAFETY: asks for a number.
    let securebits = unsafe { libc::prctl(libc::PR_GET_SECUREBITS) };
    // SAFETY: asks for a number.
    (Sets::own(), securebits, unsafe { libc::prctl(libc::PR_GET_DUMPABLE) })
}
