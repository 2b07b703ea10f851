//! Who the program is, and what it may do: groups, group and user id, capabilities, no_new_privs.
#![forbid(unsafe_code)]

use std::fmt;

use super::Command;
use super::plan::Materials;
use crate::diagnose::{Id, Place, Setgroups};
use crate::error::{Cause, Error, Result, Step};
use crate::sys::capset::Change;
use crate::sys::child::Op;
use crate::{Capabilities, Namespaces, diagnose, sys};

/// The kernel's `NGROUPS_MAX`.
const MAX_GROUPS: usize = 65_536;
/// To the kernel "leave it as it is", and so no id.
const NO_ID: u32 = u32::MAX;

#[derive(Default)]
pub(super) struct Credentials {
    uid: Option<u32>,
    gid: Option<u32>,
    groups: Option<Vec<u32>>,
    capabilities: Option<Capabilities>,
    keep_capabilities: bool,
    no_new_privs: bool,
}

impl Command {
    /// The user id to run as: an id inside the user namespace that the program is in. Real, effective and saved.
    ///
    /// As with std, a caller that is root there also gives up its supplementary groups, unless [`groups`](Self::groups) is called.
    /// A root that becomes another user has no capabilities left, unless [`capabilities`](Self::capabilities) or
    /// [`keep_capabilities`](Self::keep_capabilities) is called.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`](crate::Step::Validate) for 4294967295, which is no id; [`Step::Uid`](crate::Step::Uid) with the number:
    /// EINVAL when it has no mapping in the user namespace of the program; EPERM for another than the caller's own without CAP_SETUID.
    /// [`Step::Groups`](crate::Step::Groups) when root's groups cannot be given up.
    ///
    /// # References
    /// setresuid(2), setgroups(2), credentials(7)
    pub fn uid(&mut self, id: u32) -> &mut Self {
        self.credentials.uid = Some(id);
        self
    }

    /// The group id to run as: an id inside the user namespace that the program is in. Real, effective and saved.
    ///
    /// # Errors
    /// At spawn: as [`uid`](Self::uid), with [`Step::Gid`](crate::Step::Gid) and CAP_SETGID.
    ///
    /// # References
    /// setresgid(2), credentials(7)
    pub fn gid(&mut self, id: u32) -> &mut Self {
        self.credentials.gid = Some(id);
        self
    }

    /// The supplementary groups to run with, in place of the caller's.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`](crate::Step::Validate) for more than 65536 of them, for 4294967295, and together with
    /// [`allow_setgroups`](Self::allow_setgroups) of `false`; [`Step::Groups`](crate::Step::Groups): EPERM without CAP_SETGID, and where
    /// setgroups(2) is denied in the user namespace; EINVAL for a group without a mapping in it.
    ///
    /// # References
    /// setgroups(2), user_namespaces(7)
    pub fn groups(&mut self, groups: &[u32]) -> &mut Self {
        self.credentials.groups = Some(groups.to_vec());
        self
    }

    /// Gives the program exactly these capabilities, whoever it runs as, after [`uid`](Self::uid) too. The last call counts.
    ///
    /// They are in each of its five sets: permitted and effective, so it has them; inheritable and ambient, so a user
    /// who is not root has them still after exec, and so do the programs it executes; and no others are in the bounding set, so no
    /// set-user-ID program, nor user 0, comes by more. A program file that is set-user-ID or has capabilities of its own starts without ambient ones,
    /// as the kernel has it.
    ///
    /// They are taken and given after everything that takes rights, mounts for example, and before hooks and exec: the program's file must be one
    /// that can be executed with these.
    ///
    /// # Errors
    /// At spawn [`Step::Validate`](crate::Step::Validate) for bits that have no name, and else [`Step::Capabilities`](crate::Step::Capabilities):
    /// * The caller does not have one of them, or not in its bounding set. The message names it. In a
    ///   user namespace, created or entered, all can be had, over what belongs to that.
    /// * This kernel is older than one of them: [`Cause::Kernel`](crate::Cause::Kernel), and the message names it.
    /// * The caller has more in its bounding set, but no CAP_SETPCAP, which it takes to give those up: add `Namespaces::USER`. Where it is enough that the program
    ///   gains none, [`no_new_privs`](Self::no_new_privs) takes no capability.
    /// * The caller's securebits (`SECBIT_NO_CAP_AMBIENT_RAISE`, `SECBIT_KEEP_CAPS_LOCKED`) stand against it.
    ///
    /// # Requires
    /// CAP_SETPCAP and the capabilities themselves, in the user namespace that the program is in.
    ///
    /// # Examples
    /// ```
    /// use linux_namespaces::{Capabilities, Command, Namespaces};
    /// # fn main() -> linux_namespaces::Result<()> {
    /// let output = Command::new("grep")
    ///     .args(["CapEff", "/proc/self/status"])
    ///     .namespaces(Namespaces::USER | Namespaces::NET)
    ///     .capabilities(Capabilities::NET_ADMIN)
    ///     .output()?;
    /// assert_eq!(output.stdout, b"CapEff:\t0000000000001000\n");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # References
    /// capabilities(7), capset(2), `PR_CAPBSET_DROP` and `PR_CAP_AMBIENT` in prctl(2)
    #[doc(alias = "capset")]
    pub fn capabilities(&mut self, exactly: Capabilities) -> &mut Self {
        self.credentials.capabilities = Some(exactly);
        self
    }

    /// Whether all capabilities that are held when the ids are set outlive exec, as `unshare --keep-caps` has it: the permitted ones
    /// become inheritable and ambient, and [`uid`](Self::uid) does not take them away. Default: false.
    ///
    /// Without it a program that is not user 0 inside loses at exec what a new user namespace gave. With [`capabilities`](Self::capabilities), which says
    /// exactly which the program has, this changes nothing.
    ///
    /// # Errors
    /// At spawn [`Step::Capabilities`](crate::Step::Capabilities): the caller has one that is in neither its bounding nor its inheritable set, and the
    /// message names it; or its securebits stand against it.
    ///
    /// # References
    /// capabilities(7), unshare(1)
    pub fn keep_capabilities(&mut self, on: bool) -> &mut Self {
        self.credentials.keep_capabilities = on;
        self
    }

    /// Whether the program, and all that descend from it, can gain no right by exec: set-user-ID bits and capabilities of files have
    /// no effect. Takes no capability. Default: false; but what the caller itself cannot gain its programs cannot either.
    ///
    /// # Errors
    /// At spawn [`Step::NoNewPrivs`](crate::Step::NoNewPrivs), where a seccomp filter refuses it.
    ///
    /// # References
    /// `PR_SET_NO_NEW_PRIVS` in prctl(2)
    #[doc(alias = "PR_SET_NO_NEW_PRIVS")]
    pub fn no_new_privs(&mut self, on: bool) -> &mut Self {
        self.credentials.no_new_privs = on;
        self
    }
}

impl Credentials {
    pub(super) fn validate(&self) -> Result<()> {
        let uid = self.uid.map(|id| ("user", id));
        let gid = self.gid.map(|id| ("group", id));
        let groups = self.groups.iter().flatten().map(|id| ("supplementary group", *id));
        for (what, id) in uid.into_iter().chain(gid).chain(groups) {
            if id == NO_ID {
                return Err(Error::invalid(format!(
                    "{id} is no {what} id: they are 0 to {}",
                    NO_ID - 1
                )));
            }
        }
        let groups = self.groups.as_ref().map_or(0, Vec::len);
        if groups > MAX_GROUPS {
            return Err(Error::invalid(format!(
                "{groups} supplementary groups are too many: the kernel takes {MAX_GROUPS}"
            )));
        }
        self.capabilities.map_or(Ok(()), Capabilities::validate)
    }

    pub(super) fn are_default(&self) -> bool {
        let Self { uid, gid, groups, capabilities, keep_capabilities, no_new_privs } = self;
        let ids = uid.is_some() || gid.is_some() || groups.is_some();
        !ids && capabilities.is_none() && !*keep_capabilities && !*no_new_privs
    }

    pub(super) fn changes_ids(&self) -> bool {
        self.uid.is_some() || self.gid.is_some()
    }

    pub(super) fn sets_groups(&self) -> bool {
        self.groups.is_some()
    }

    /// The child will have fewer capabilities than the caller: others of the caller's user, who may not trace the caller, may trace
    /// the child then, and reach through it what memory the two share.
    pub(super) fn exposes_memory(&self) -> bool {
        let lost = |only: Capabilities| sys::capabilities().permitted & !only.bits();
        self.capabilities.is_some_and(|only| lost(only) != 0)
    }

    /// For the `Debug` of [`Command`].
    pub(super) fn show(&self, show: &mut dyn FnMut(&str, Option<&dyn fmt::Debug>)) {
        show("uid", self.uid.as_ref().map(|id| id as _));
        show("gid", self.gid.as_ref().map(|id| id as _));
        show("groups", self.groups.as_ref().map(|groups| groups as _));
        let capabilities = self.capabilities.map(|only| named(only.bits()));
        show("capabilities", capabilities.as_ref().map(|only| only as _));
        show("keep_capabilities", self.keep_capabilities.then_some(&true as _));
        show("no_new_privs", self.no_new_privs.then_some(&true as _));
    }
}

impl<'a> Materials<'a> {
    /// `guard`: the memory is the caller's, and is to be closed before capabilities are given up.
    pub(super) fn credentials(&self, ops: &mut Vec<Op<'a>>, guard: bool) {
        let credentials = &self.command.credentials;
        let Credentials { capabilities, keep_capabilities, .. } = *credentials;
        if let Some(groups) = &credentials.groups {
            ops.push(Op::Groups(groups));
        }
        if let Some(gid) = credentials.gid {
            ops.push(Op::Gid(gid));
        }
        if let Some(uid) = credentials.uid {
            if credentials.groups.is_none() {
                ops.push(Op::DropGroups { may_be_denied: true });
            }
            let concerned = capabilities.is_some() || keep_capabilities;
            // Securebits begin anew in a user namespace.
            let retained = !self.is_in_user_namespace() && sys::prctl::retains_capabilities();
            let retain = concerned && !retained;
            ops.extend(retain.then_some(Op::Capabilities(Change::Retain(true))));
            ops.push(Op::Uid(uid));
            ops.extend(retain.then_some(Op::Capabilities(Change::Retain(false))));
        }
        match capabilities.map(|only| only.bits()) {
            Some(only) => {
                ops.extend(guard.then_some(Op::Dumpable(false)));
                // CAP_SETPCAP, if it is among what is to go, is needed for the bounding set, so that comes first.
                let changes =
                    [Change::Raise(only), Change::Bound(only), Change::Set(only), Change::Ambient];
                ops.extend(changes.map(Op::Capabilities));
            }
            None if keep_capabilities => {
                ops.extend([Change::Inherit, Change::Ambient].map(Op::Capabilities));
            }
            None => {}
        }
        if credentials.no_new_privs {
            ops.push(Op::NoNewPrivs);
        }
    }

    /// The program is in another user namespace than the caller.
    fn is_in_user_namespace(&self) -> bool {
        (self.command.namespaces | self.joins.kinds).contains(Namespaces::USER)
    }

    pub(super) fn of_groups(&self, error: Error) -> Error {
        diagnose::setting_groups(error, self.place())
    }

    pub(super) fn of_ids(&self, error: Error, id: Id) -> Error {
        diagnose::changing_id(error, id, self.place())
    }

    /// Where the program gets its ids, and what was made of setgroups(2) there.
    fn place(&self) -> Place {
        if !self.is_in_user_namespace() {
            return Place::Here;
        }
        let created = self.command.namespaces.contains(Namespaces::USER);
        Place::Inside(match &self.prepared.maps {
            _ if !created => Setgroups::Unknown,
            None => Setgroups::NoGroups,
            Some(maps) => maps.setgroups_inside(self.joins.kinds.contains(Namespaces::USER)),
        })
    }

    pub(super) fn changing_capabilities(&self, change: Change) -> Error {
        let error = Error::new(Step::Capabilities);
        match change {
            Change::Raise(only) | Change::Bound(only) | Change::Set(only) => error.on(named(only)),
            Change::Ambient => match self.command.credentials.capabilities {
                Some(only) => error.on(named(only.bits())),
                None => error.on("(keeping them)"),
            },
            Change::Retain(_) | Change::Inherit => error.on("(keeping them)"),
        }
    }

    pub(super) fn of_capabilities(&self, error: Error, change: Change) -> Error {
        if error.raw_os_error() != Some(libc::EPERM) {
            return error;
        }
        let (bounding, known) = sys::bounding_set();
        let own = sys::capabilities();
        // Whoever comes into a user namespace has everything there.
        let has = if self.is_in_user_namespace() {
            Has { known, permitted: known, inheritable: 0, bounding: known }
        } else {
            Has { known, permitted: own.permitted, inheritable: own.inheritable, bounding }
        };
        refused(error, change, has, |error| diagnose::inside(error, self.command.get_namespaces()))
    }
}

/// What a process has to which a change of its capabilities was refused.
#[derive(Clone, Copy)]
struct Has {
    known: u64,
    permitted: u64,
    inheritable: u64,
    bounding: u64,
}

/// "cap_kill,cap_chown", or a word for none.
fn named(set: u64) -> String {
    match set {
        0 => "(none)".to_owned(),
        set => Capabilities::from_bits_retain(set).to_string(),
    }
}

/// The reason for EPERM, which is the kernel's answer to several things.
fn refused(
    error: Error,
    change: Change,
    has: Has,
    otherwise: impl FnOnce(Error) -> Error,
) -> Error {
    let on = |error: Error, set: u64| error.on(named(set)).caused_by(Cause::MissingCapability);
    match change {
        Change::Raise(only) if only & !has.known != 0 => {
            error.on(named(only & !has.known)).caused_by(Cause::Kernel)
        }
        Change::Raise(only) if only & !has.permitted != 0 => {
            on(error, only & !has.permitted).because(
                "the caller does not have it permitted, and gives no more than it has: run as root, leave it out, \
                 or add `Namespaces::USER`, where a program can have all over what is created",
            )
        }
        Change::Bound(only) if only & !has.bounding != 0 => {
            on(error, only & !has.bounding).because(
                "it is not in the bounding set of the caller, to which nothing can be added: leave it out, \
                 or add `Namespaces::USER`, where that set is full",
            )
        }
        Change::Bound(only) if has.permitted & Capabilities::SETPCAP.bits() == 0 => {
            error.caused_by(Cause::MissingCapability).because(format!(
                "it takes CAP_SETPCAP to give up the others in the bounding set ({}): run as root, or add `Namespaces::USER`; \
                 or call `no_new_privs` instead if it is enough that the program gains none",
                number_of(has.bounding & !only),
            ))
        }
        Change::Inherit if has.permitted & !(has.bounding | has.inheritable) != 0 => {
            on(error, has.permitted & !(has.bounding | has.inheritable)).because(
                "it is in neither the bounding nor the inheritable set of the caller, so it cannot outlive exec: \
                 name those to keep with `capabilities`",
            )
        }
        Change::Ambient => error.because(
            "the securebits of the caller allow no ambient capabilities (SECBIT_NO_CAP_AMBIENT_RAISE): \
             run it from a process without that bit, or add `Namespaces::USER`, where securebits begin anew",
        ),
        Change::Retain(_) => error.because(
            "the securebits of the caller allow no capabilities after a change of the user id (SECBIT_KEEP_CAPS_LOCKED): \
             run it from a process without that bit, or add `Namespaces::USER`, where securebits begin anew",
        ),
        _ => otherwise(error),
    }
}

/// "cap_kill", "41 capabilities".
fn number_of(set: u64) -> String {
    match set.count_ones() {
        1 => Capabilities::from_bits_retain(set).to_string(),
        many => format!("{many} capabilities"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Has = Has {
        known: (1 << 41) - 1,
        permitted: (1 << 41) - 1,
        inheritable: 0,
        bounding: (1 << 41) - 1,
    };

    fn message(change: Change, has: Has) -> (String, Option<Cause>) {
        let error = Error::new(Step::Capabilities).on("(asked)").errno(libc::EPERM);
        let error = refused(error, change, has, |error| error.because("otherwise"));
        let cause = error.cause().cloned();
        let text = error.to_string();
        (text.strip_prefix("set the capabilities ").expect("the step").to_owned(), cause)
    }

    #[test]
    fn each_refusal_names_what_is_missing() {
        let net = (Capabilities::NET_ADMIN | Capabilities::NET_RAW | Capabilities::BPF).bits();
        let starts = |change, has, cause: Option<Cause>, start: &str| {
            let (text, found) = message(change, has);
            assert!(text.starts_with(start), "{text}");
            assert_eq!(found, cause, "{text}");
        };
        let eperm = "Operation not permitted (os error 1)";
        // Linux 5.4.
        let old = Has { known: (1 << 38) - 1, permitted: (1 << 38) - 1, ..ALL };
        let kernel = format!("cap_bpf: {eperm}: this kernel does not have it");
        starts(Change::Raise(net), old, Some(Cause::Kernel), &kernel);
        let lacks = Some(Cause::MissingCapability);
        let has = Has { permitted: 1 << 12, ..ALL };
        let text = format!("cap_net_raw,cap_bpf: {eperm}: the caller does not have it permitted");
        starts(Change::Raise(net), has, lacks.clone(), &text);
        let has = Has { bounding: !(1 << 13), ..ALL };
        let text = format!("cap_net_raw: {eperm}: it is not in the bounding set of the caller");
        starts(Change::Bound(net), has, lacks.clone(), &text);
        let has = Has { permitted: !(1 << 8), ..ALL };
        let text = format!(
            "(asked): {eperm}: it takes CAP_SETPCAP to give up the others in the bounding set (38 capabilities)"
        );
        starts(Change::Bound(net), has, lacks.clone(), &text);
        let has = Has { permitted: !(1 << 8), bounding: net | 1 << 5, ..ALL };
        let text = format!(
            "(asked): {eperm}: it takes CAP_SETPCAP to give up the others in the bounding set (cap_kill)"
        );
        starts(Change::Bound(net), has, lacks.clone(), &text);
        let has = Has { permitted: 0b111, inheritable: 0b10, bounding: 0b1, ..ALL };
        let text = format!("cap_dac_read_search: {eperm}: it is in neither");
        starts(Change::Inherit, has, lacks, &text);
        for (change, bit) in [
            (Change::Ambient, "SECBIT_NO_CAP_AMBIENT_RAISE"),
            (Change::Retain(true), "SECBIT_KEEP_CAPS_LOCKED"),
        ] {
            assert!(message(change, ALL).0.contains(bit));
        }
        let text = format!("(asked): {eperm}: otherwise");
        for change in [Change::Raise(net), Change::Bound(net), Change::Set(net), Change::Inherit] {
            assert_eq!(message(change, ALL), (text.clone(), None));
        }
    }
}
