//! Linux namespaces behind safe, typed APIs: run a program in new ones, enter existing ones, look at what there is.
//!
//! ```no_run
//! use linux_namespaces::{Command, flags::*};
//! # fn main() -> linux_namespaces::Result<()> {
//! Command::new("ps").namespaces(PID | NS).spawn()?.wait()?;
//! # Ok(())
//! # }
//! ```
//!
//! | To | there is |
//! | --- | --- |
//! | name kinds | [`Namespaces`] (a set), [`flags`], [`NamespaceKind`] |
//! | run a program, or a function, in new or existing namespaces | [`Command`], [`Child`], [`Stdio`] |
//! | say who one is in a new user namespace | [`Command::map_root_user`] and its kin, [`IdRange`] |
//! | give it files and clocks of its own | [`Mount`], [`Propagation`], [`TimeOffset`] |
//! | say what a program may do | [`Capabilities`] |
//! | give a [`std::process::Command`], or tokio's, namespaces | [`CommandExt`] |
//! | await a program | the module `tokio`, of the feature of that name |
//! | set a program up, and run it later | [`Command::spawn_suspended`], [`Suspended`] |
//! | have it end with the caller, or behind a process 1 that reaps | [`Command::parent_death_signal`], [`Command::kill_on_drop`], [`Command::init`] |
//! | look | [`ProcessNamespaces`], [`NamespaceId`], [`Namespace`] (a handle), [`PidFd`] |
//! | have a namespace without a process, and keep it by a file | [`Namespace::create`], [`Namespace::create_user`], [`Namespace::persist`], [`PersistedNamespace`] |
//! | run a closure in other namespaces, on a thread of its own | [`Namespace::run`], [`Scope`] |
//! | look at all there are | [`Inventory`], [`NamespaceInfo`], [`TreeOrder`] |
//! | move the calling thread | [`unshare()`], [`setns()`], [`setns_process`] |
//! | test in namespaces, without root | the module `test`, of the feature of that name |
//! | know what works here | [`Support`], with its [`Interface`]s |
//! | know why not | [`Error`], with its [`Step`], [`Cause`] and hint |
//!
//! What it does not do: seccomp filters, Landlock, resource limits, container images, virtual Ethernet and routing. Those are
//! other crates' business, and can be combined with this one through [`Command::pre_exec`] and handles.
//!
//! # Two pitfalls
//! **Threads.** unshare(2) and setns(2) move one thread of a process, and some kinds only a process that has no other.
//! [`Command`] has neither problem: it sets up the namespaces in the child, from any thread, with any other threads running, and the
//! caller stays where it is. [`Scope`] runs a closure on a thread of its own, which can be moved for all kinds but user and time. Only a function in place of a program ([`Command::from_fn`]) needs a caller with one thread.
//!
//! **PID 1.** The first process of a pid namespace is its init: when it ends, all others are killed; it inherits orphans and should
//! wait for them; and a signal that it has no handler for does nothing to it, Ctrl-C and SIGTERM included. SIGKILL from outside,
//! as by [`Child::kill`], always works. [`Command::init`] puts a small one in front of the program, which does all that.
//!
//! # What happens in the child, in this order
//! 1. enter existing namespaces; be born in new ones, and in the cgroup; wait for the id maps;
//! 2. clock offsets; session or process group; host and domain name; loopback interface;
//! 3. propagation of mounts; mounts, the root among them, and last `/proc`;
//! 4. descriptors; working directory;
//! 5. groups, group id, user id, capabilities, no_new_privs, parent-death signal;
//! 6. signal dispositions and mask; `pre_exec` hooks; exec.
//!
//! Everything is prepared and checked before the clone. From then on the child only replays it, with raw system calls: no
//! allocation, no lock, no panic. It shares the caller's memory meanwhile, so the cost of a spawn does not depend on how much
//! of that there is. What fails is reported as an [`Error`] of the spawn, and then nothing is left.
//!
//! # What is used where the kernel has it
//! Linux 5.4 is the oldest supported kernel. Newer interfaces are tried, and their absence is noticed by the kernel's answer, never by its version.
//!
//! | Interface | since Linux | without it |
//! | --- | --- | --- |
//! | clone3(2) | 5.3, unless a seccomp filter refuses it | clone(2); a new time namespace by unshare(2) in the child, which a function cannot have |
//! | open_tree(2), move_mount(2) | 5.2 | mount(2) on `/proc/self/fd`; a bind mount cannot keep the propagation of its source |
//! | `CLONE_CLEAR_SIGHAND` | 5.5 | handlers are reset one by one |
//! | time namespaces | 5.6 | an error with [`Cause::Kernel`] |
//! | openat2(2) | 5.6 | targets of mounts are walked component by component, and a symbolic link in one is an error |
//! | `CLONE_INTO_CGROUP` | 5.7 | the child writes to `cgroup.procs` before all else |
//! | setns(2) with a pidfd | 5.8 | [`Command::enter_process`] enters one namespace after the other; [`setns_process`] has a child rehearse that first, for it is to do all or none |
//! | close_range(2) | 5.9 | the descriptors in `/proc/self/fd` are closed one by one |
//! | mount_setattr(2) | 5.12 | a remount with the flags there are; a whole tree cannot be made read-only |
//! | `PIDFD_GET_*_NAMESPACE` | 6.11 | `/proc/<pid>/ns` |
//! | listmount(2), statmount(2) of any mount namespace | 6.11 | [`Inventory`] reads the mounts that a process in it sees; [`Inventory::unknown_mounts`] counts where that is not all |
//! | `NS_GET_PID_IN_PIDNS` and its kin | 6.11 | `NSpid` in `/proc/<pid>/status` |
//! | `PIDFD_GET_INFO` | 6.13 | `/proc/self/fdinfo` |
//! | the exit status of a pidfd | 6.15 | no status for a child that somebody else has waited for |
//! | `NS_GET_ID` | 6.18 | [`Namespace::unique_id`] is `None` |
//! | listns(2) | 6.19 | [`Inventory`] has what processes, mounts and other namespaces show |
//!
//! # Features
//! None is on by default. `serde`: [`Inventory`], [`NamespaceInfo`] and [`ProcessNamespaces`] can be serialized, [`NamespaceId`],
//! [`NamespaceKind`] and [`Namespaces`] also deserialized. `test`: tests that run in new namespaces, in the module `test`;
//! `test-harness`: a harness for them that reports as ignored what the machine refuses. `tokio`: a `tokio::Child`, made of a [`Child`],
//! that is awaited.

// What takes a feature says so on docs.rs; that all of it takes Linux does not have to be said at each item.
#![cfg_attr(docsrs, feature(doc_cfg), doc(auto_cfg(hide(target_os = "linux"))))]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "linux-namespaces works on Linux only: namespaces are a feature of the Linux kernel."
);

// Elsewhere the one sentence above is all there is to say.
#[cfg(target_os = "linux")]
mod capabilities;
#[cfg(all(target_os = "linux", test))]
mod cases;
#[cfg(target_os = "linux")]
mod command;
#[cfg(target_os = "linux")]
mod create;
#[cfg(target_os = "linux")]
mod diagnose;
#[cfg(target_os = "linux")]
mod error;
#[cfg(all(target_os = "linux", any(test, fuzzing)))]
#[doc(hidden)]
pub mod fuzz;
#[cfg(target_os = "linux")]
mod id_map;
#[cfg(target_os = "linux")]
mod inventory;
#[cfg(target_os = "linux")]
mod kind;
#[cfg(target_os = "linux")]
mod namespace;
#[cfg(target_os = "linux")]
mod persist;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod scope;
#[cfg(all(target_os = "linux", feature = "serde"))]
mod serialize;
#[cfg(target_os = "linux")]
mod setns;
#[cfg(target_os = "linux")]
mod setns_each;
#[cfg(target_os = "linux")]
mod std_command;
#[cfg(target_os = "linux")]
mod subid;
#[cfg(target_os = "linux")]
mod support;
#[cfg(target_os = "linux")]
mod sys;
#[cfg(all(target_os = "linux", feature = "test"))]
pub mod test;
#[cfg(target_os = "linux")]
mod text;
#[cfg(target_os = "linux")]
mod threads;
#[cfg(all(target_os = "linux", feature = "tokio"))]
pub mod tokio;
#[cfg(target_os = "linux")]
mod unshare;

#[cfg(target_os = "linux")]
pub use self::{
    capabilities::Capabilities,
    command::{Child, Command, Mount, Propagation, Stdio, Suspended, TimeOffset},
    error::{Cause, Error, Result, Step},
    id_map::IdRange,
    inventory::{Inventory, NamespaceInfo, TreeOrder},
    kind::{NamespaceKind, Namespaces, flags},
    namespace::{Namespace, NamespaceId},
    persist::PersistedNamespace,
    process::{PidFd, ProcessNamespaces},
    scope::Scope,
    setns::{setns, setns_process},
    std_command::CommandExt,
    support::{Interface, Support},
    unshare::unshare,
};

/// The README's examples, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
