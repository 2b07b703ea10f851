//! Another crate that uses the module `test`: `stranger/`, built by cargo as its users would build theirs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as StdCommand, Output};
use std::sync::OnceLock;

use tempfile::TempDir;

const FILES: &[(&str, &str)] = &[
    ("src/lib.rs", include_str!("stranger/src/lib.rs")),
    ("tests/passing.rs", include_str!("stranger/tests/passing.rs")),
    ("tests/failing.rs", include_str!("stranger/tests/failing.rs")),
    ("tests/harness.rs", include_str!("stranger/tests/harness.rs")),
];
const MANIFEST: &str = include_str!("stranger/Cargo.toml.template");

/// The example of the README. As a doctest it would compile, but for its tests.
fn readme() -> &'static str {
    let (_, section) = include_str!("../../README.md")
        .split_once("## Tests in namespaces\n")
        .expect("a section on tests");
    let (_, example) = section.split_once("```rust\n").expect("an example");
    example.split_once("```\n").expect("its end").0
}

/// Its directory, its target directory with it, which stays for the next run.
fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stranger");
        let manifest = MANIFEST.replace("@path@", env!("CARGO_MANIFEST_DIR"));
        put(&directory.join("Cargo.toml"), &manifest);
        for (file, text) in FILES {
            put(&directory.join(file), text);
        }
        put(&directory.join("tests/readme.rs"), readme());
        // The same versions, which are here, for there may be no network.
        let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
        fs::copy(lock, directory.join("Cargo.lock")).expect("the versions of this crate");
        directory
    })
}

/// What is as it was is not written, so that it is not built again.
fn put(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    fs::create_dir_all(path.parent().expect("in a directory")).expect("a directory");
    fs::write(path, text).expect("a file");
}

/// Whether cargo can be run and this crate's sources are where they were.
pub(crate) fn missing() -> Option<String> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    (!sources.is_file())
        .then(|| "needs the sources of this crate, to build another one with it".to_owned())
}

/// A program in the stranger's directory, with what its tests expect.
pub(crate) fn program(program: impl AsRef<std::ffi::OsStr>, fifos: &Fifos) -> StdCommand {
    let mut command = StdCommand::new(program);
    command
        .current_dir(directory())
        .env("CARGO_TARGET_DIR", directory().join("target"))
        .env("STRANGER_FIFOS", fifos.0.path())
        .env("STRANGER_NET", fs::read_link("/proc/self/ns/net").expect("a namespace"))
        .env("RUST_BACKTRACE", "0")
        .env_remove("LINUX_NAMESPACES_EXPECT")
        .env_remove("LINUX_NAMESPACES_TEST_REQUIRE")
        .env_remove("RUST_TEST_THREADS");
    // What `.ci/without` has taken away stays so in there; it is not to be taken away once more.
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_TARGET_") && name.ends_with("_RUNNER"))
        {
            command.env_remove(name);
        }
    }
    command
}

/// What two tests wait for each other in.
pub(crate) struct Fifos(pub(crate) TempDir);

impl Fifos {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for name in ["one", "two", "held"] {
            let path = directory.path().join(name);
            let text = std::ffi::CString::new(path.to_str().expect("text")).expect("no NUL");
            // SAFETY: a text that lives through the call.
            assert_eq!(unsafe { libc::mkfifo(text.as_ptr(), 0o600) }, 0);
        }
        Self(directory)
    }
}

pub(crate) fn cargo(arguments: &[&str], fifos: &Fifos) -> StdCommand {
    let mut command = program(std::env::var_os("CARGO").unwrap_or("cargo".into()), fifos);
    command.args(arguments);
    command
}

/// The test programs by their names, built once.
fn programs() -> &'static BTreeMap<String, PathBuf> {
    static PROGRAMS: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let build = ["test", "--offline", "-j2", "--no-run", "--message-format=json"];
        let output = cargo(&build, &Fifos::new()).output().expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let messages = String::from_utf8_lossy(&output.stdout);
        let messages = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
        let programs = messages.filter_map(|message: serde_json::Value| {
            let program = message["executable"].as_str()?;
            Some((message["target"]["name"].as_str()?.to_owned(), program.into()))
        });
        programs.collect()
    })
}

/// One of its test programs.
pub(crate) fn tests(name: &str, fifos: &Fifos) -> StdCommand {
    program(&programs()[name], fifos)
}

/// Both streams, and how it ended.
pub(crate) fn run(command: &mut StdCommand) -> Ended {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ended { code: status.code(), out: text(stdout), err: text(stderr) }
}

pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// "20 passed; 0 failed; 1 ignored", of all the results that libtest has printed.
    #[track_caller]
    pub(crate) fn is(&self, counts: &str) {
        assert!(self.out.contains(&format!(". {counts};")), "no {counts} in\n{self}");
        let failed = !counts.contains(" 0 failed");
        assert_eq!(self.code, Some(if failed { 101 } else { 0 }), "{self}");
    }

    /// What is shown below a failed test.
    #[track_caller]
    pub(crate) fn shown_for(&self, test: &str) -> &str {
        let heads = [format!("---- {test} stdout ----\n"), format!("---- {test} ----\n")];
        let rest = heads.iter().find_map(|head| Some(self.out.split_once(head)?.1));
        let rest = rest.unwrap_or_else(|| panic!("nothing is shown for {test} in\n{self}"));
        let end = [rest.find("\n---- "), rest.find("\nfailures:\n")].into_iter().flatten().min();
        &rest[..end.unwrap_or(rest.len())]
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}\n{}\n{}", self.code, self.out, self.err)
    }
}
