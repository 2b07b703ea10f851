//! The system calls, and the only unsafe code of the crate. One file for each manual page; what runs
//! between clone and exec is in `child.rs` and calls only what is marked for it.
//!
//! The functions are safe to call: each takes what its call needs as borrowed descriptors and slices.
//! The ones that are not say what the caller must keep.

pub(crate) mod bind;
mod capget;
pub(crate) mod capset;
pub(crate) mod cgroup;
pub(crate) mod child;
pub(crate) mod clone;
pub(crate) mod close_range;
pub(crate) mod coarse_clock;
pub(crate) mod deadly;
mod discard;
mod family;
pub(crate) mod fcntl;
mod fork;
pub(crate) mod futex;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod getcwd;
pub(crate) mod getdents;
pub(crate) mod getrlimit;
pub(crate) mod id_map;
mod ids;
pub(crate) mod init;
pub(crate) mod ioctl_nsfs;
pub(crate) mod kcmp;
pub(crate) mod keeper;
mod line;
pub(crate) mod listns;
mod mount;
pub(crate) mod mounting;
pub(crate) mod netdevice;
mod open_namespace;
mod open_tree;
pub(crate) mod openat;
pub(crate) mod openat2;
pub(crate) mod parent_death;
pub(crate) mod passwd;
pub(crate) mod pidfd;
pub(crate) mod pipe;
pub(crate) mod poll;
pub(crate) mod prctl;
pub(crate) mod privileged_file;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod readlink;
pub(crate) mod replace;
pub(crate) mod sched;
pub(crate) mod setns;
pub(crate) mod setpgid;
pub(crate) mod shared;
pub(crate) mod signal;
pub(crate) mod single_threaded;
pub(crate) mod socket;
pub(crate) mod spawn;
pub(crate) mod stack;
pub(crate) mod stat;
pub(crate) mod statfs;
pub(crate) mod statmount;
pub(crate) mod std_command;
mod suspend;
pub(crate) mod suspended;
mod syscall;
pub(crate) mod thread_word;
pub(crate) mod timens;
pub(crate) mod unshare;
pub(crate) mod wait;

pub(crate) use capget::{Capabilities, bounding_set, capabilities};
