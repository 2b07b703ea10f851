//! Limits, chroots, and what is or is not mounted on /proc.

use linux_namespaces::{Error, Interface, Support};

use crate::common::case;
use crate::device::*;
use crate::{detected, refuses};

pub(crate) fn powerless() {
    become_ordinary();
    let support = detected();
    assert_eq!(support.creatable() - Namespaces::USER, Namespaces::empty());
    assert_eq!(support.joinable() - Namespaces::USER, Namespaces::empty());
    for kind in (ALL - Namespaces::USER).kinds() {
        for result in [support.creating(kind), support.entering(kind)] {
            let error = result.expect_err("it takes a capability");
            assert_eq!(error.cause(), Some(&Cause::MissingCapability), "{error}");
        }
    }
}

pub(crate) fn limits() {
    assert_eq!(detected().creatable(), ALL);
    for kind in NamespaceKind::ALL {
        let file = format!("/proc/sys/user/max_{kind}_namespaces");
        let before = fs::read_to_string(&file).expect("a limit");
        fs::write(&file, "0").expect("the limit is this namespace's own");
        let support = detected();
        let cause = Cause::Limit(kind);
        refuses(&support, kind, &cause);
        assert_eq!(support.creatable(), ALL - kind.flag());
        if kind == NamespaceKind::User {
            assert_eq!(support.creatable_with_user(), Namespaces::empty());
            assert_eq!(support.joinable(), ALL - Namespaces::USER, "{support}");
            let error = support.entering_with_user(NamespaceKind::Net).expect_err("there is none");
            assert_eq!(error.cause(), Some(&cause));
        } else {
            assert_eq!(support.creatable_with_user(), ALL - kind.flag(), "{support}");
            // With none to be created it is tried with the own one. Two of those belong to this world, the others to the outside.
            let own = (Namespaces::MOUNT | Namespaces::PID).contains(kind.flag());
            let lacks = support.entering(kind).err().and_then(Error::cause);
            assert_eq!(lacks, (!own).then_some(&Cause::MissingCapability), "{support}");
        }
        fs::write(&file, before).expect("the limit is this namespace's own");
    }
    assert_eq!(detected().creatable(), ALL);
}

pub(crate) fn nested_users() {
    // SAFETY: asks for a number.
    let uid = unsafe { libc::geteuid() };
    // SAFETY: asks for a number.
    let gid = unsafe { libc::getegid() };
    while unshare(Namespaces::USER).is_ok() {
        let write = |name: &str, text: String| {
            fs::write(format!("/proc/self/{name}"), text).expect("a map of the own id");
        };
        write("setgroups", "deny".to_owned());
        write("uid_map", format!("{uid} {uid} 1"));
        write("gid_map", format!("{gid} {gid} 1"));
    }
    let support = detected();
    refuses(&support, NamespaceKind::User, &Cause::Nesting(NamespaceKind::User));
    // Each has all capabilities in the innermost one.
    assert_eq!(support.creatable(), ALL - Namespaces::USER, "{support}");
}

pub(crate) fn unmapped() {
    let support = detected();
    refuses(&support, NamespaceKind::User, &Cause::UnmappedUser);
    // A program that is executed as nobody has no capability, wherever it is.
    assert_eq!(support.creatable(), Namespaces::empty(), "{support}");
    assert_eq!(support.refusals(Namespaces::USER | Namespaces::NET).count(), 2);
}

pub(crate) fn in_a_chroot() -> Support {
    let support = detected();
    refuses(&support, NamespaceKind::User, &Cause::Chroot);
    assert_eq!(support.creatable(), ALL - Namespaces::USER, "{support}");
    assert_eq!(support.joinable(), ALL - Namespaces::USER, "{support}");
    let error = support.creating(NamespaceKind::User).expect_err("it is a chroot");
    assert!(error.to_string().ends_with(IN_CHROOT), "it can be proved: {error}");
    support
}

pub(crate) fn chroot_to_a_directory() {
    let root = root_to_be();
    bind("/proc", root.join("proc"));
    chroot(&root);
    in_a_chroot();
}

pub(crate) fn chroot_to_a_mount() {
    let root = root_to_be();
    bind(&root, &root);
    bind("/proc", root.join("proc"));
    chroot(&root);
    let support = in_a_chroot();
    // A mount namespace of its own keeps what is mounted in it.
    support.mounting_proc().expect("the chroot is no obstacle to it");
}

pub(crate) fn chroot_without_proc() {
    let root = root_to_be();
    bind(&root, &root);
    chroot(&root);
    fs::remove_dir("/proc").expect("it is empty");
    let support = in_a_chroot();
    assert_eq!(support.missing(Interface::TimeOffsets), Some(&Cause::MissingProc));
}

/// Who has no right to look at the mounts around is told what is likely.
pub(crate) fn chroot_then_ordinary() {
    let root = root_to_be();
    unshare(Namespaces::MOUNT).expect("root may");
    mount(Path::new("none"), Path::new("/"), "", libc::MS_REC | libc::MS_PRIVATE);
    bind(&root, &root);
    bind("/proc", root.join("proc"));
    chroot(&root);
    become_ordinary();
    let support = detected();
    refuses(&support, NamespaceKind::User, &Cause::Chroot);
    let error = support.creating(NamespaceKind::User).expect_err("it is a chroot");
    assert!(error.to_string().contains("most likely"), "it cannot be proved: {error}");
}

pub(crate) fn chroot_of_an_ordinary_user() {
    let root = directory();
    fs::create_dir(root.path().join("proc")).expect("a directory");
    fs::set_permissions(root.path(), Permissions::from_mode(0o755)).expect("its mode");
    let mut case = case("chroot, then an ordinary user");
    let output = case.env("ROOT", root.path()).output().expect("this test program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) fn no_proc() {
    mount(Path::new("none"), Path::new("/proc"), "tmpfs", 0);
    let support = Support::detect().expect("it answers");
    assert_eq!(support.refusal(NamespaceKind::User), Some(&Cause::MissingProc), "{support}");
    assert_eq!(support.creatable(), ALL - Namespaces::USER, "{support}");
    assert_eq!(support.missing(Interface::TimeOffsets), Some(&Cause::MissingProc));
    let unseen = [Interface::TimeOffsets, Interface::ListNamespaces];
    // What can be asked without /proc is answered, and here all of it is there.
    for interface in Interface::ALL.into_iter().filter(|interface| !unseen.contains(interface)) {
        let told = support.calling(interface);
        assert!(told.is_ok(), "{told:?}");
    }
    assert_eq!(ended_child(), 0);
}

pub(crate) fn masked_proc() {
    // A new one in a user namespace further in is what takes an unmasked one.
    give_up_effective(&[21]);
    assert_eq!(detected().mounting_proc().err().and_then(Error::cause), None);
    let world = Command::new(env::current_exe().expect("the path of this test"))
        .env("LINUX_NAMESPACES_CASE", "masked /proc, inside")
        .namespaces(Namespaces::USER | Namespaces::MOUNT)
        .output()
        .expect("a world");
    assert!(world.status.success(), "{}", String::from_utf8_lossy(&world.stderr));
}

pub(crate) fn masked_proc_inside() {
    bind("/dev/null", "/proc/version");
    // Root may, for it can take the mask away.
    detected().mounting_proc().expect("it is root's own mask");
    give_up_effective(&[21]);
    let support = detected();
    assert_eq!(support.creatable_with_user(), ALL, "{support}");
    let error = support.mounting_proc().expect_err("it is masked");
    assert_eq!(error.cause(), Some(&Cause::MaskedProc), "{support}");
}

pub(crate) fn unshared_pid_namespace() {
    unshare(Namespaces::PID).expect("root of a world may");
    for _ in 0..2 {
        let error = Support::detect().expect_err("it would end that namespace");
        assert!(error.to_string().contains("process 1"), "{error}");
    }
    // No child was spent.
    let mut cat = StdCommand::new("cat").stdin(StdStdio::piped()).spawn().expect("process 1");
    let support = Support::detect().expect("there is a process 1 that lives on");
    assert_eq!(support.creatable(), ALL - Namespaces::PID, "{support}");
    let error = support.creating(NamespaceKind::Pid).expect_err("once only");
    assert!(error.to_string().contains("unshared"), "{error}");
    drop(cat.stdin.take());
    assert!(cat.wait().expect("it ends").success());
}
