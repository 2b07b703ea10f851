//! A process that moves itself where it may mount without anybody else seeing it.

use std::fs;

use linux_namespaces::{Namespaces, unshare};

use super::{is_root, with_user};

/// The effective ids, as the process that it came from has them.
pub(crate) fn ids() -> (u32, u32) {
    // SAFETY: asks for a number.
    let user = unsafe { libc::geteuid() };
    // SAFETY: asks for a number.
    let group = unsafe { libc::getegid() };
    (user, group)
}

/// This process, which has one thread, gets mounts of its own, and these kinds too. An ordinary user is root in a user
/// namespace, so that programs have every capability too.
pub(crate) fn enter(more: Namespaces) {
    let (root, (uid, gid)) = (is_root(), ids());
    unshare(with_user(Namespaces::MOUNT | more)).expect("a world of one's own");
    if !root {
        fs::write("/proc/self/setgroups", "deny").unwrap();
        fs::write("/proc/self/gid_map", format!("0 {gid} 1")).unwrap();
        fs::write("/proc/self/uid_map", format!("0 {uid} 1")).unwrap();
    }
    mount("none", "/", "", libc::MS_REC | libc::MS_PRIVATE);
}

pub(crate) fn mount(source: &str, target: &str, fstype: &str, flags: libc::c_ulong) {
    let [source, target, fstype] =
        [source, target, fstype].map(|text| std::ffi::CString::new(text).unwrap());
    let nothing = std::ptr::null();
    // SAFETY: texts that live through the call.
    let result =
        unsafe { libc::mount(source.as_ptr(), target.as_ptr(), fstype.as_ptr(), flags, nothing) };
    assert_eq!(result, 0, "mount on {target:?}: {}", std::io::Error::last_os_error());
}

/// Takes away the mount there.
pub(crate) fn umount(target: &std::path::Path) {
    let text = std::ffi::CString::new(target.to_str().unwrap()).unwrap();
    // SAFETY: a text that lives through the call.
    let result = unsafe { libc::umount2(text.as_ptr(), libc::MNT_DETACH) };
    assert_eq!(result, 0, "umount {target:?}: {}", std::io::Error::last_os_error());
}

/// As `taskset` does: only on these processors.
pub(crate) fn stay_on(processors: &[usize]) {
    // SAFETY: plain integers, for which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for processor in processors {
        // SAFETY: a set on this frame, and one of its numbers.
        unsafe { libc::CPU_SET(*processor, &mut set) };
    }
    // SAFETY: a set of that size.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// Those that this thread may run on.
pub(crate) fn processors() -> Vec<usize> {
    // SAFETY: plain integers, for which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: fills a set of that size.
    assert_eq!(unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) }, 0);
    // SAFETY: a number of the set.
    (0..1024).filter(|number| unsafe { libc::CPU_ISSET(*number, &set) }).collect()
}
