//! The program's environment, as changes to the caller's.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

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

    /// `KEY=value` for each variable. They are copied under std's lock, even if all are the caller's: another thread may change its environment
    /// while the child execs.
    pub(super) fn entries(&self) -> Vec<Vec<u8>> {
        if !self.is_changed() {
            return env::vars_os().map(entry).collect();
        }
        let mut all: BTreeMap<OsString, OsString> = BTreeMap::new();
        if !self.cleared {
            all.extend(env::vars_os());
        }
        for (key, value) in &self.changes {
            match value {
                Some(value) => all.insert(key.clone(), value.clone()),
                None => all.remove(key),
            };
        }
        all.into_iter().map(entry).collect()
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

fn entry((key, value): (OsString, OsString)) -> Vec<u8> {
    let mut entry = key.into_vec();
    entry.push(b'=');
    entry.extend_from_slice(value.as_bytes());
    entry
}
