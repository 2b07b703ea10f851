//! What cannot be had, or cannot be given up.

use crate::device::*;

pub(crate) fn unknown_bits_are_refused() {
    let set = Capabilities::KILL | Capabilities::from_bits_retain(1 << 41 | 1 << 63);
    let error = refusal(Command::new("true").namespaces(Namespaces::USER).capabilities(set));
    assert_eq!((error.step(), error.raw_os_error()), (&Step::Validate, None));
    assert!(error.to_string().contains("0x8000020000000000"), "{error}");
}

pub(crate) fn what_is_lacking_is_named() {
    under_setpriv("lacks", &["--bounding-set=-sys_time,-bpf,-sys_resource"]);
}

/// Root without some.
pub(crate) fn lacks_case() {
    let lacking = Capabilities::SYS_TIME | Capabilities::SYS_RESOURCE | Capabilities::BPF;
    assert!(!held().intersects(lacking));
    let asked = lacking | Capabilities::KILL;
    let names = "cap_sys_resource,cap_sys_time,cap_bpf";
    let hint = "leave it out, or add `Namespaces::USER`";
    is_refused(Command::new("true").capabilities(asked), names, hint);
    is_refused(Command::new("true").capabilities(asked).uid(OTHER), names, hint);
    let mut copied = Command::new("true");
    // SAFETY: does nothing.
    unsafe { copied.pre_exec(|| Ok(())) };
    is_refused(copied.capabilities(asked), names, hint);
    assert_eq!(refusal(&mut copied).cause(), Some(&Cause::MissingCapability));
    let inside = Sets::inside(|it| it.namespaces(Namespaces::USER).capabilities(asked));
    assert_eq!(inside, Sets::exactly(asked));
}

/// Some are permitted, but gone from the bounding set.
pub(crate) fn bounded_case() {
    bound(Capabilities::KILL | Capabilities::CHOWN);
    assert!(held().contains(Capabilities::KILL | Capabilities::CHOWN));
    let asked = Capabilities::KILL | Capabilities::FOWNER;
    let hint = "not in the bounding set of the caller";
    is_refused(Command::new("true").capabilities(asked), "cap_kill", hint);
    let hint = "name those to keep with `capabilities`";
    is_refused(Command::new("true").keep_capabilities(true), "cap_chown,cap_kill", hint);
    let rest = held() - Capabilities::KILL - Capabilities::CHOWN;
    assert_eq!(Sets::inside(|it| it.capabilities(rest).uid(OTHER)), Sets::exactly(rest));
}

pub(crate) fn ordinary_users_have_none_to_give() {
    let hint = "run as root, leave it out, or add `Namespaces::USER`";
    let kill = Capabilities::KILL;
    is_refused(Command::new("true").capabilities(kill), "cap_kill", hint);
    is_refused(Command::new("true").capabilities(kill).no_new_privs(true), "cap_kill", hint);
    if Sets::own().bounding != 0 {
        lacks_setpcap();
    }
}

pub(crate) fn lacks_setpcap() {
    let hint = "or call `no_new_privs` instead";
    is_refused(Command::new("true").capabilities(Capabilities::empty()), "(none)", hint);
}

pub(crate) fn lacks_setpcap_case() {
    become_other();
    lacks_setpcap();
}

pub(crate) fn locked_case() {
    let kill = Capabilities::KILL;
    let inside = |set| Sets::inside(|it| it.namespaces(Namespaces::USER).capabilities(set));
    // SECBIT_KEEP_CAPS_LOCKED.
    prctl(libc::PR_SET_SECUREBITS, 1 << 5, [0; 3]);
    assert_eq!(Sets::inside(|it| it.capabilities(kill)), Sets::exactly(kill));
    let hint = "SECBIT_KEEP_CAPS_LOCKED";
    is_refused(Command::new("true").uid(OTHER).capabilities(kill), "(keeping them)", hint);
    is_refused(Command::new("true").uid(OTHER).keep_capabilities(true), "(keeping them)", hint);
    assert_eq!(inside(kill), Sets::exactly(kill));
    // And SECBIT_NO_CAP_AMBIENT_RAISE.
    prctl(libc::PR_SET_SECUREBITS, 1 << 5 | 1 << 6, [0; 3]);
    let hint = "SECBIT_NO_CAP_AMBIENT_RAISE";
    is_refused(Command::new("true").capabilities(kill), "cap_kill", hint);
    is_refused(Command::new("true").keep_capabilities(true), "(keeping them)", hint);
    assert_eq!(inside(kill), Sets::exactly(kill));
    let none = Capabilities::empty();
    assert_eq!(Sets::inside(|it| it.capabilities(none)), Sets::exactly(none));
}

/// Root without CAP_DAC_OVERRIDE does not get at somebody else's files.
pub(crate) fn the_file_is_executed_with_these() {
    let (directory, cat) = own_cat();
    std::os::unix::fs::chown(directory.path(), Some(OTHER), Some(OTHER)).expect("chown");
    set_mode(directory.path(), 0o700);
    let mut command = Command::new(&cat);
    command.arg("/proc/self/status");
    let set = Capabilities::DAC_OVERRIDE;
    assert_eq!(Sets::parse(&stdout_of(command.capabilities(set))), Sets::exactly(set));
    let error = refusal(command.capabilities(Capabilities::empty()));
    assert_eq!((error.step(), error.raw_os_error()), (&Step::Exec(cat), Some(libc::EACCES)));
}
