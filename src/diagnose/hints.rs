//! What helps, where it is not what [`Cause`](crate::Cause) says of itself.
#![forbid(unsafe_code)]

use crate::NamespaceKind;
use crate::error::deepest;

pub(super) const PROCESSES: &str =
    "the limit on processes is reached: that of the user (RLIMIT_NPROC), or of a cgroup (pids.max)";

pub(super) const PID_UNSHARED: &str = "the calling thread has unshared its pid namespace before, which can be done once: \
    do it in a child of its own, or use `Command` before";

pub(super) const PID_INIT_ENDED: &str = "process 1 of the pid namespace that this thread's children are in has ended, and no other can be \
    started in there";

pub(super) const LIKELY_CHROOT: &str = "most likely the caller is inside a chroot, which an ordinary user cannot find out and from where the kernel \
    allows no user namespace: change the root with pivot_root(2) instead of chroot(2)";

pub(super) const FILTER_OR_KERNEL: &str = "a seccomp filter on this process answers as if the call were unknown, or this kernel does not have it: \
    allow it in the profile of the container, or use a newer kernel";

pub(super) const ENTERING: &str = "it takes CAP_SYS_ADMIN over that namespace and in the caller's own user namespace: run as root, \
    or enter the user namespace that owns it as well";

pub(super) const ENTERING_MOUNTS: &str = "a mount namespace takes CAP_SYS_CHROOT beside CAP_SYS_ADMIN, in the caller's own user namespace: \
    keep that capability too";

pub(super) const ALREADY_IN_USER: &str =
    "a process cannot enter the user namespace that it is in already";

pub(super) const PID_OUTSIDE: &str =
    "a process can enter its own pid namespace and those inside that, and no other";

pub(super) const ENDED: &str = "that process has ended";

pub(super) const MAPPING_ROOT: &str = "mapping user 0 of the namespace around takes CAP_SETFCAP (since Linux 5.12), which this process has given up: \
    keep it, or leave that id out (`leave_unmapped` maps none)";

pub(super) const MAPPING_OTHERS: &str = "ids other than the caller's own may be mapped only with CAP_SETUID (CAP_SETGID for groups) over the \
    namespace around, and only those that are mapped there: run as root, or map the own id alone";

pub(super) const ID_WITHOUT_MAP: &str =
    "that id has no mapping in the user namespace of the program: give it one";

pub(super) const GROUPS_DENIED: &str = "setgroups(2) is denied in this user namespace for good, as the kernel demands of a gid_map that was \
    written without CAP_SETGID over the namespace around: keep the groups, or have it created by root";

pub(super) const NO_GROUPS: &str = "setgroups(2) works only where groups are mapped, and this user namespace has no gid_map: map groups with \
    `gid_map`, or keep the groups";

pub(super) const PROC_SHOWS_PIDS: &str = "proc shows a pid namespace, and takes CAP_SYS_ADMIN over it: add `Namespaces::PID`, or set `mount_proc(false)`";

pub(super) const NO_DIRECTORY_FOR_PROC: &str =
    "there is no directory for it in the root: make one, or set `mount_proc(false)`";

pub(super) const MOUNTS_IN_CHROOT: &str = "the caller is inside a chroot whose root is no mount point, so its mounts cannot be kept from the host: \
    bind-mount that directory on itself before chroot(2)";

pub(super) const NO_LOADER: &str =
    "the file is there, but the loader that runs it (its ELF interpreter) is not";

pub(super) const NOT_EXECUTABLE: &str = "the file is not executable for this user: set its mode with chmod(1), and look for a mount with noexec";

pub(super) const NO_PROGRAM: &str =
    "the file is neither a program for this machine nor a script with a first line `#!interpreter`";

/// The depth cannot be read from inside, nor can the limits of the user namespaces around.
pub(super) fn nesting_or_limit(kind: NamespaceKind) -> String {
    format!(
        "the kernel nests {kind} namespaces {} deep at most: create this one further out; \
         or the limit user.max_{kind}_namespaces of a user namespace around this one is reached: raise it there",
        deepest(kind)
    )
}

pub(super) fn other_id(capability: &str) -> String {
    format!("an id that is not the caller's own takes {capability}: run as root")
}

/// Nobody can see what an entered user namespace allows.
pub(super) fn groups_denied_or_filtered() -> String {
    format!("{GROUPS_DENIED}; or a seccomp filter on this process refuses the call: allow it there")
}

pub(super) fn profile(name: &str) -> String {
    format!(
        "the AppArmor profile {name}, which confines this program, refuses it: \
         add the rule `userns,` and the capabilities it needs to that profile, or run the program without it"
    )
}

pub(super) fn no_interpreter(path: &str) -> String {
    format!("the file is there, but {path}, which its first line names to run it, is not")
}
