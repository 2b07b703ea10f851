//! Chroots, and what is mounted on /proc.

use crate::device::*;

pub(crate) const NO_USER_IN_CHROOT: &str =
    "clone a process into new namespaces (user): Operation not permitted (os error 1): ";

pub(crate) fn chroot_to_a_directory() {
    let root = root_to_be();
    bind("/proc", root.join("proc"));
    chroot(&root);
    let cause = Some(Cause::Chroot);
    let user = Step::Clone(Namespaces::USER);
    let message = format!("{NO_USER_IN_CHROOT}{IN_CHROOT}");
    fails(missing().namespaces(Namespaces::USER), user, libc::EPERM, cause.clone(), &message);
    let message = "set the propagation of all mounts: Invalid argument (os error 22): \
                   the caller is inside a chroot whose root is no mount point, so its mounts cannot be kept from the host: \
                   bind-mount that directory on itself before chroot(2)";
    let mut mounts = missing();
    mounts.namespaces(Namespaces::MOUNT);
    fails(&mut mounts, Step::Propagation, libc::EINVAL, cause.clone(), message);
    fails(&mut copied(mounts), Step::Propagation, libc::EINVAL, cause, message);
    only_exec_fails(missing().namespaces(Namespaces::MOUNT).propagation(Propagation::Unchanged));
    only_exec_fails(missing().namespaces(Namespaces::PID | Namespaces::UTS));
    let message = "open /dev/null: No such file or directory (os error 2)";
    let step = Step::Open("/dev/null".into());
    fails(missing().stdin(Stdio::null()), step, libc::ENOENT, None, message);
}

pub(crate) fn chroot_to_a_mount() {
    let root = root_to_be();
    bind(&root, &root);
    bind("/proc", root.join("proc"));
    chroot(&root);
    let cause = Some(Cause::Chroot);
    let user = Step::Clone(Namespaces::USER);
    let message = format!("{NO_USER_IN_CHROOT}{IN_CHROOT}");
    fails(missing().namespaces(Namespaces::USER), user, libc::EPERM, cause, &message);
    only_exec_fails(missing().namespaces(ALL - Namespaces::USER));
}

pub(crate) fn chroot_without_proc() {
    let root = root_to_be();
    bind(&root, &root);
    chroot(&root);
    fs::remove_dir("/proc").expect("it is empty");
    let set = Namespaces::PID | Namespaces::MOUNT;
    let message = "mount proc on /proc: No such file or directory (os error 2): \
                   there is no directory for it in the root: make one, or set `mount_proc(false)`";
    let step = Step::Mount("/proc".into());
    fails(missing().namespaces(set), step, libc::ENOENT, None, message);
    only_exec_fails(missing().namespaces(set).mount_proc(false));
    let user = leaves_nothing(|| refusal(missing().namespaces(Namespaces::USER)));
    assert_eq!(user.step(), &Step::Clone(Namespaces::USER));
    assert_eq!(user.raw_os_error(), Some(libc::EPERM));
}

pub(crate) fn masked_proc() {
    let set = Namespaces::USER | Namespaces::PID | Namespaces::MOUNT;
    only_exec_fails(missing().namespaces(set));
    let masks: [fn(); 2] = [
        || bind("/dev/null", "/proc/version"),
        || mount(Path::new("none"), Path::new("/proc/sys"), "tmpfs", 0),
    ];
    for mask in masks {
        mask();
        let message =
            format!("mount proc on /proc: Operation not permitted (os error 1): {MASKED}");
        let mut command = missing();
        command.namespaces(set);
        let step = Step::Mount("/proc".into());
        let cause = Some(Cause::MaskedProc);
        fails(&mut command, step.clone(), libc::EPERM, cause.clone(), &message);
        fails(&mut copied(command), step, libc::EPERM, cause, &message);
        only_exec_fails(missing().namespaces(set).mount_proc(false));
        let path = CString::new("/proc/version").expect("no NUL in it");
        // SAFETY: a path that lives through the call. The second mask is there alone.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    }
    // Not masked, but not the caller's to mount.
    let message = "mount proc on /proc: Operation not permitted (os error 1): proc shows a pid namespace, and takes \
                   CAP_SYS_ADMIN over it: add `Namespaces::PID`, or set `mount_proc(false)`";
    let path = CString::new("/proc/sys").expect("no NUL in it");
    // SAFETY: a path that lives through the call.
    assert_eq!(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) }, 0);
    let mut command = missing();
    command.namespaces(Namespaces::USER | Namespaces::MOUNT).mount_proc(true);
    let cause = Some(Cause::MissingCapability);
    fails(&mut command, Step::Mount("/proc".into()), libc::EPERM, cause, message);
}

/// A map is written below /proc. The error says so, and which map.
#[track_caller]
pub(crate) fn maps_need_proc() {
    let error = leaves_nothing(|| refusal(missing().namespaces(Namespaces::USER)));
    assert!(matches!(error.step(), Step::GidMap | Step::UidMap), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("/proc")), "{error}");
    only_exec_fails(missing().namespaces(Namespaces::USER).leave_unmapped());
}

pub(crate) fn no_proc() {
    mount(Path::new("none"), Path::new("/proc"), "tmpfs", 0);
    maps_need_proc();
}

pub(crate) fn foreign_proc() {
    let mut holder = holder(Namespaces::PID | Namespaces::MOUNT);
    let mounts = holder.namespace(NamespaceKind::Mount).expect("a mount namespace");
    mounts.enter().expect("this world's root may");
    // That /proc is of a pid namespace which this process is not in.
    fs::read_link("/proc/self").expect_err("it is not shown there");
    maps_need_proc();
    holder.wait().expect("cat has ended");
}
