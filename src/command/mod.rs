//! Running programs in namespaces: the builder ([`builder`]), what becomes of it ([`plan`]), and the child.

mod builder;
mod cgroup;
mod child;
mod clock;
mod create;
mod credentials;
mod descriptors;
pub(crate) mod dumpable;
mod environment;
mod exec;
mod explain;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod hook;
mod init;
mod invocation;
mod join;
mod kept;
mod life;
mod maps;
mod mount;
mod plain;
mod plan;
mod spawn;
mod stdio;
mod supplies;
mod suspended;
mod validate;

pub use builder::Command;
pub use child::Child;
#[cfg(feature = "tokio")]
pub(crate) use child::Handle;
pub use clock::TimeOffset;
pub(crate) use create::{create, next_child_is_no_first_process};
pub use mount::{Mount, Propagation};
pub use stdio::Stdio;
pub use suspended::Suspended;
