//! Linux namespaces behind safe, typed APIs.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(any(target_os = "linux", target_os = "android")))]
compile_error!(
    "linux-namespaces works on Linux only: namespaces are a feature of the Linux kernel."
);

mod command;
mod diagnose;
mod error;
mod id_map;
mod kind;
mod namespace;
mod process;
mod setns;
mod sys;
mod unshare;

pub use command::{Child, Command, Propagation, Stdio};
pub use error::{Cause, Error, Result, Step};
pub use id_map::IdRange;
pub use kind::{NamespaceKind, Namespaces, flags};
pub use namespace::{Namespace, NamespaceId};
pub use process::{PidFd, ProcessNamespaces};
pub use setns::{setns, setns_process};
pub use unshare::unshare;
