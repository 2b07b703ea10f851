//! Running programs in namespaces: the builder ([`builder`]), what becomes of it ([`plan`]), and the child.

mod builder;
mod child;
mod create;
mod credentials;
pub(crate) mod dumpable;
mod environment;
mod exec;
mod explain;
mod hook;
mod join;
mod maps;
mod plan;
mod spawn;
mod stdio;
mod validate;

pub use builder::{Command, Propagation};
pub use child::Child;
pub(crate) use create::create;
pub use stdio::Stdio;
