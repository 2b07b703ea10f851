//! The program's environment, as changes to the caller's.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

/// Where execvp(3) looks when there is no `PATH`.
pub(super) const DEFAULT_PATH: &str = "/bin:/usr/bin";

#[derive(Debug, Default)]
pub(super) struct Environment {
    cleared: bool,
    /// `None` for what is removed.
    changes: BTreeMap<OsString, Option<OsString>>,
}

impl Environment {
    pub(super) fn set(&mut self, key: &OsStr, value: &OsStr) {
        self.changes.insert(key.to_owned(), Some(value.to_owned()));
    }

    pub(super) fn remove(&mut self, key: &OsStr) {
        if self.cleared {
            self.changes.remove(key);
        } else {
            self.changes.insert(key.to_owned(), None);
        }
    }

    pub(super) fn clear(&mut self) {
        self.cleared = true;
        self.changes.clear();
    }

    pub(super) fn changes(&self) -> impl ExactSizeIterator<Item = (&OsStr, Option<&OsStr>)> {
        self.changes.iter().map(|(key, value)| (key.as_os_str(), value.as_deref()))
    }

    pub(super) fn is_changed(&self) -> bool {
        self.cleared || !self.changes.is_empty()
    }

    /// Whether any of the caller's variables may be among them.
    pub(super) fn takes_callers(&self) -> bool {
        !self.cleared
    }

    /// `KEY=value` for each variable, where these are the caller's.
    pub(super) fn entries(&self, callers: &[(OsString, OsString)]) -> Vec<Vec<u8>> {
        if self.changes.is_empty() {
            return callers.iter().map(|(key, value)| entry(key, value)).collect();
        }
        let mut all: BTreeMap<&OsStr, &OsStr> =
            callers.iter().map(|(key, value)| (key.as_os_str(), value.as_os_str())).collect();
        for (key, value) in &self.changes {
            match value {
                Some(value) => all.insert(key, value),
                None => all.remove(key.as_os_str()),
            };
        }
        all.into_iter().map(|(key, value)| entry(key, value)).collect()
    }

    /// Where programs are looked for.
    pub(super) fn path(&self) -> OsString {
        let own = match self.changes.get(OsStr::new("PATH")) {
            Some(value) => value.clone(),
            None if self.cleared => None,
            None => env::var_os("PATH"),
        };
        own.unwrap_or_else(|| DEFAULT_PATH.into())
    }
}

fn entry(key: &OsStr, value: &OsStr) -> Vec<u8> {
    [key.as_bytes(), b"=", value.as_bytes()].concat()
}
