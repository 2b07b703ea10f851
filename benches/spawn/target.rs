//! The program that is spawned: it ends at once. As small as an executable can be, so that what is measured is the spawn and not a loader.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;

/// `exit_group(0)`.
#[cfg(target_arch = "x86_64")]
const CODE: &[u8] = &[0xb8, 231, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05];
#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
#[cfg(target_arch = "aarch64")]
const CODE: &[u8] = &[0xc8, 0x0b, 0x80, 0xd2, 0x00, 0x00, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4];
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;

const BASE: u64 = 0x40_0000;
const HEADERS: u64 = 64 + 56;

/// A static ELF file of one segment: elf(5).
fn executable() -> Vec<u8> {
    let size = HEADERS + CODE.len() as u64;
    let mut file = Vec::new();
    file.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    for half in [2, MACHINE] {
        file.extend_from_slice(&half.to_le_bytes());
    }
    file.extend_from_slice(&1u32.to_le_bytes());
    for address in [BASE + HEADERS, 64, 0] {
        file.extend_from_slice(&u64::to_le_bytes(address));
    }
    file.extend_from_slice(&0u32.to_le_bytes());
    for half in [64u16, 56, 1, 0, 0, 0] {
        file.extend_from_slice(&half.to_le_bytes());
    }
    // PT_LOAD, readable and executable.
    for word in [1u32, 5] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    for value in [0, BASE, BASE, size, size, 0x1000] {
        file.extend_from_slice(&u64::to_le_bytes(value));
    }
    file.extend_from_slice(CODE);
    file
}

/// The program, in a directory that goes with this.
pub(crate) struct Target {
    _directory: TempDir,
    pub(crate) path: PathBuf,
}

impl Target {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory for the program");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
        let path = directory.path().join("exit");
        fs::write(&path, executable()).expect("the program");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
        Self { _directory: directory, path }
    }
}
