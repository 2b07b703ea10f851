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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(crate::cases::config())]

        #[test]
        fn sets_and_ids_survive_json(bits: u32, kind in 0..8usize, dev: u64, ino: u64) {
            let set = Namespaces::from_bits_truncate(bits);
            let text = serde_json::to_string(&set).unwrap();
            prop_assert_eq!(&text, &format!("\"{set}\""));
            prop_assert_eq!(serde_json::from_str::<Namespaces>(&text).unwrap(), set);
            let kind = NamespaceKind::ALL[kind];
            let text = serde_json::to_string(&kind).unwrap();
            prop_assert_eq!(serde_json::from_str::<NamespaceKind>(&text).unwrap(), kind);
            let id = NamespaceId::new(kind, dev, ino);
            let text = serde_json::to_string(&id).unwrap();
            prop_assert_eq!(serde_json::from_str::<NamespaceId>(&text).unwrap(), id);
        }

        #[test]
        fn any_json_is_read_or_refused(text in "[\\[{]?(\"(mnt|pid|,|kind|dev|ino|x)\"[:,]?|[0-9]{1,3}|null){0,6}[]}]?") {
            let _ = serde_json::from_str::<NamespaceId>(&text);
            if let Ok(set) = serde_json::from_str::<Namespaces>(&text) {
                prop_assert!(set.validate().is_ok());
            }
        }
    }
}
