//! Feature `serde`: what cannot be derived.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{NamespaceId, NamespaceKind, Namespaces, ProcessNamespaces};

/// As `Display` writes it: "mnt".
impl Serialize for NamespaceKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.proc_name())
    }
}

impl<'de> Deserialize<'de> for NamespaceKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// As `Display` writes it: "mnt,pid".
impl Serialize for Namespaces {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Namespaces {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A map with the names of `/proc/<pid>/ns`, without what is not known.
impl Serialize for ProcessNamespaces {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let for_children = |kind: NamespaceKind| {
            self.for_children(kind).map(|id| (format!("{kind}_for_children"), id))
        };
        let own = self.iter().map(|id: NamespaceId| (id.kind().to_string(), id));
        let next = NamespaceKind::ALL.into_iter().filter_map(for_children);
        serializer.collect_map(own.chain(next))
    }
}

/// Paths as text. What is not UTF-8 in them is replaced, for a snapshot should not fail by the name of one file.
pub(crate) fn paths<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}
