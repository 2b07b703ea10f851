//! The ids of a new user namespace: the settings, and what is to be written for them. [`write`](self::write) says who writes it.
#![forbid(unsafe_code)]

pub(super) mod helper;
mod write;

pub(super) use self::write::number_in_proc;

use std::ffi::CString;
use std::fmt;
use std::sync::Arc;

use super::Command;
use super::kept::Parts;
use crate::diagnose::{Mapped, Setgroups};
use crate::error::{Cause, Error, Result, Step};
use crate::subid::{self, User};
use crate::sys::id_map::{DENY, Inside, Map, Text, open};
use crate::{IdRange, Namespaces, diagnose, id_map, sys};

/// The most lines of a map that a message shows.
const SHOWN: usize = 5;
/// What comes before a map, or beside it.
const NO_MAP: Mapped = Mapped { own_only: true, root: false };
const CAP_SETGID: u64 = 1 << 6;
const CAP_SETUID: u64 = 1 << 7;

/// What was set.
#[derive(Debug, Default)]
pub(super) struct Settings {
    policy: Option<Policy>,
    uid: Option<Vec<IdRange>>,
    gid: Option<Vec<IdRange>>,
    setgroups: Option<bool>,
}

/// Which ids a new user namespace has, unless ranges are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    /// The caller's own as itself.
    Current,
    /// The caller's own as 0.
    Root,
    /// The caller's own as 0, and from 1 on what /etc/subuid and /etc/subgid give.
    Subordinate,
    /// None.
    Unmapped,
}

impl Command {
    /// Maps the caller's effective user and group id to themselves: the default when `USER` is created. Of the `map_*` calls and
    /// [`leave_unmapped`](Self::leave_unmapped) the last one counts.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`] without `USER`, created; [`Step::UidMap`] or [`Step::GidMap`]: EPERM or EACCES, as where AppArmor
    /// restricts user namespaces.
    ///
    /// # References
    /// user_namespaces(7)
    pub fn map_current_user(&mut self) -> &mut Self {
        self.kept.forget();
        self.maps.policy = Some(Policy::Current);
        self
    }

    /// Maps the caller's effective user and group id to 0 inside.
    ///
    /// # Errors
    /// As [`map_current_user`](Self::map_current_user).
    ///
    /// # References
    /// user_namespaces(7)
    pub fn map_root_user(&mut self) -> &mut Self {
        self.kept.forget();
        self.maps.policy = Some(Policy::Root);
        self
    }

    /// Maps the caller's effective user and group id to 0 inside, and from 1 on, without a gap, the ids that the caller's user has in
    /// /etc/subuid and /etc/subgid.
    ///
    /// The files are read at every spawn. All lines of the user count, by name and by number, in their order. Ids given twice are mapped
    /// once, and the caller's own, should it be among them, stays 0. A side given to [`uid_map`](Self::uid_map) or
    /// [`gid_map`](Self::gid_map) is taken from there, and its file is not read. Ids that come from
    /// elsewhere, such as a `subid` source in nsswitch.conf, are not known here: give them as ranges.
    ///
    /// # Errors
    /// At spawn: [`Step::Open`] with ENOENT for a missing file; [`Step::Parse`] for a file without a line for the user, with the
    /// `usermod` command that adds one, of ids that the file gives to nobody, and for a line of this user that makes no sense, with its number (lines of
    /// others are passed over, as newuidmap does); [`Step::Validate`] for more than the 340 ranges that the
    /// kernel takes; and those of [`uid_map`](Self::uid_map).
    ///
    /// # Requires
    /// As [`uid_map`](Self::uid_map). newuidmap goes by the *real* user and group id, and wants the latter to be the one in /etc/passwd.
    ///
    /// # Examples
    /// ```no_run
    /// use linux_namespaces::{Command, flags::*};
    /// // Root, and somebody else.
    /// let mut command = Command::new("sh");
    /// command.args(["-c", "cat /proc/self/uid_map"]).namespaces(USER).map_subordinate_ids();
    /// command.uid(1000).gid(1000).groups(&[5]).status()?;
    /// # Ok::<(), linux_namespaces::Error>(())
    /// ```
    ///
    /// # References
    /// subuid(5), subgid(5), newuidmap(1), newgidmap(1)
    #[doc(alias = "subuid")]
    #[doc(alias = "newuidmap")]
    pub fn map_subordinate_ids(&mut self) -> &mut Self {
        self.kept.forget();
        self.maps.policy = Some(Policy::Subordinate);
        self
    }

    /// Maps nothing: every id shows as overflow (65534) inside. Needs `USER`, created.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`] without `USER`, created: the program would have the ids that it is to be without.
    ///
    /// # References
    /// user_namespaces(7)
    pub fn leave_unmapped(&mut self) -> &mut Self {
        self.kept.forget();
        self.maps.policy = Some(Policy::Unmapped);
        self
    }

    /// Maps these user ids, in place of what the calls above say of users. At least one range, 340 at most, in any order; they may
    /// not overlap.
    ///
    /// The caller's own id alone anybody may map. Other ids take CAP_SETUID over the namespace around, or the set-user-ID program
    /// `newuidmap`, which is run when the kernel has refused the map to a caller without that capability. It is looked for in the absolute
    /// directories of the caller's `PATH`, and allows what /etc/subuid gives to the user, and the own id as a range by itself.
    ///
    /// In a user namespace created inside one that is entered, ranges speak of the ids of the latter, and must be mapped there;
    /// `newuidmap` is of no use then and is not run. [`exec`](Self::exec) cannot run it either.
    ///
    /// It is waited for without a limit of time: where it asks a directory service for the user's ids, that is as long as the service takes.
    /// Should the caller be killed meanwhile, the child goes with it, and newuidmap fails when it comes to write.
    ///
    /// # Who may look into the caller meanwhile
    /// A process whose memory is closed (`PR_SET_DUMPABLE` is 0, be it after a change of its ids or because it has set that itself) and that lacks
    /// CAP_DAC_OVERRIDE cannot open the map files of its child, which belong to root then, and newuidmap refuses to. So the
    /// memory is open while each of the two or three files is opened, some microseconds each, and while newuidmap and newgidmap run, some milliseconds each; to
    /// others of its user, as it was before it was closed. With CAP_DAC_OVERRIDE it is open only for newuidmap.
    ///
    /// # Errors
    /// At spawn: [`Step::Validate`], with the range that is at fault; [`Step::UidMap`] with
    /// [`Cause::MissingHelper`] if `newuidmap` is needed and not there (install the `uidmap` package); with
    /// [`Cause::MissingCapability`] and what `newuidmap` wrote if it refuses, and whether it has lost the set-user-ID bit that it needs;
    /// with the same for ids that are not mapped in the namespace around, and for user 0 of it without CAP_SETFCAP (since Linux 5.12); with EAGAIN,
    /// EMFILE, ENFILE or ENOMEM where there is no room to run `newuidmap`. [`Step::ParentDeathSignal`] if a seccomp filter refuses what ends
    /// the child with the caller while it waits for its maps.
    ///
    /// # References
    /// user_namespaces(7), newuidmap(1)
    #[doc(alias = "newuidmap")]
    pub fn uid_map(&mut self, ranges: impl IntoIterator<Item = IdRange>) -> &mut Self {
        self.kept.forget();
        self.maps.uid = Some(ranges.into_iter().collect());
        self
    }

    /// Maps these group ids, in place of what the calls above say of groups. Otherwise as [`uid_map`](Self::uid_map), with CAP_SETGID,
    /// `newgidmap`, /etc/subgid and [`Step::GidMap`]. See [`allow_setgroups`](Self::allow_setgroups).
    ///
    /// # References
    /// user_namespaces(7), newgidmap(1)
    #[doc(alias = "newgidmap")]
    pub fn gid_map(&mut self, ranges: impl IntoIterator<Item = IdRange>) -> &mut Self {
        self.kept.forget();
        self.maps.gid = Some(ranges.into_iter().collect());
        self
    }

    /// Whether setgroups(2) works inside, for good. Needs `USER`.
    ///
    /// `false`: it is denied in any case. `true`: it is never denied here, and where the kernel or `newgidmap` will not map the groups
    /// without, that is an error. Default: denied only where they demand it, which is where the caller's own group alone is mapped
    /// without CAP_SETGID over the namespace around: otherwise a program could leave a group that denies it something.
    ///
    /// # Errors
    /// At spawn: [`Step::GidMap`] or [`Step::Setgroups`] with [`Cause::MissingCapability`] for `true` where it has to be denied.
    ///
    /// # References
    /// user_namespaces(7)
    #[doc(alias = "setgroups")]
    pub fn allow_setgroups(&mut self, allow: bool) -> &mut Self {
        self.kept.forget();
        self.maps.setgroups = Some(allow);
        self
    }
}

impl Settings {
    /// The fields for `Debug`: those that were set.
    pub(super) fn show(&self, show: &mut dyn FnMut(&str, Option<&dyn fmt::Debug>)) {
        let Self { policy, uid, gid, setgroups } = self;
        show("map", policy.as_ref().map(|value| value as _));
        show("uid_map", uid.as_ref().map(|value| value as _));
        show("gid_map", gid.as_ref().map(|value| value as _));
        show("allow_setgroups", setgroups.as_ref().map(|value| value as _));
    }

    /// What needs a user namespace that is created, in words: the ids of one that exists are mapped already.
    pub(super) fn needs_user(&self) -> Option<&'static str> {
        let unmapped = self.policy == Some(Policy::Unmapped);
        let maps = self.policy.is_some() && !unmapped;
        match self.setgroups {
            _ if maps || self.uid.is_some() || self.gid.is_some() => Some("ids are mapped"),
            // Or the program would have all the ids that it is meant to be without.
            _ if unmapped => Some("ids are left unmapped"),
            Some(true) => Some("setgroups(2) is allowed"),
            Some(false) => Some("setgroups(2) is denied"),
            None => None,
        }
    }

    /// Every id is left unmapped.
    pub(super) fn write_nothing(&self) -> bool {
        self.policy == Some(Policy::Unmapped)
            && self.uid.is_none()
            && self.gid.is_none()
            && self.setgroups != Some(false)
    }

    pub(super) fn validate(&self, has_groups: bool) -> Result<()> {
        for (file, ranges) in [("uid_map", &self.uid), ("gid_map", &self.gid)] {
            if let Some(ranges) = ranges {
                id_map::validate(file, ranges)?;
            }
        }
        if has_groups && self.setgroups == Some(false) {
            return Err(Error::invalid(
                "supplementary groups are set, which `allow_setgroups(false)` denies: leave out one of the two",
            ));
        }
        Ok(())
    }
}

/// What is to be written.
#[derive(Clone, Debug)]
pub(super) struct Maps {
    uid: Side,
    gid: Side,
    setgroups: Option<bool>,
}

/// Users or groups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    User,
    Group,
}

/// One of the two map files.
#[derive(Clone, Debug)]
struct Side {
    kind: Kind,
    /// None for no map.
    ranges: Vec<IdRange>,
    text: String,
    /// The default, for a namespace inside one that is entered: the id has another number there.
    own_inside: Option<Inside>,
    /// It maps the caller's own id and no other.
    own_only: bool,
}

impl Kind {
    fn step(self) -> Step {
        match self {
            Self::User => Step::UidMap,
            Self::Group => Step::GidMap,
        }
    }

    /// What the right to write any map is called, and whether the caller has it in its own namespace.
    fn capability(self) -> (&'static str, bool) {
        let (name, bit) = match self {
            Self::User => ("CAP_SETUID", CAP_SETUID),
            Self::Group => ("CAP_SETGID", CAP_SETGID),
        };
        (name, sys::capabilities().effective & bit != 0)
    }
}

impl Maps {
    /// `joined`: the kinds that whoever writes them has entered. `ids`: the caller's. `None`: there is nothing to write.
    pub(super) fn of(
        command: &Command,
        joined: Namespaces,
        ids: (u32, u32),
        kept: &mut Parts,
    ) -> Result<Option<Arc<Self>>> {
        let settings = &command.maps;
        if settings.write_nothing() {
            return Ok(None);
        }
        let inside_joined = joined.contains(Namespaces::USER);
        // Others are in files, which may change.
        let keeps = !inside_joined && settings.policy != Some(Policy::Subordinate);
        match &kept.maps {
            Some((of, maps)) if keeps && *of == ids => return Ok(Some(Arc::clone(maps))),
            _ => {}
        }
        let maps = Arc::new(Self::new(settings, ids, inside_joined)?);
        if keeps {
            kept.maps = Some((ids, Arc::clone(&maps)));
        }
        Ok(Some(maps))
    }

    fn new(settings: &Settings, (uid, gid): (u32, u32), inside_joined: bool) -> Result<Self> {
        let user_side = Side::new(settings, Kind::User, &settings.uid, uid, inside_joined)?;
        let group_side = Side::new(settings, Kind::Group, &settings.gid, gid, inside_joined)?;
        Ok(Self { uid: user_side, gid: group_side, setgroups: settings.setgroups })
    }

    fn side(&self, step: &Step) -> &Side {
        if *step == Step::UidMap { &self.uid } else { &self.gid }
    }

    /// What is to be written, in order, by a process that has the right or has not.
    pub(super) fn files<'a>(
        &'a self,
        files: &'a MapFiles,
    ) -> impl Iterator<Item = (Step, Map<'a>)> {
        let deny = (self.setgroups == Some(false)).then_some((
            Step::Setgroups,
            Map { path: &files.setgroups, text: Text::Lines(DENY), setgroups: None },
        ));
        let may_deny = self.gid.own_only || self.gid.own_inside.is_some();
        let fallback = self.setgroups.is_none() && may_deny;
        let gid = (!self.gid.is_empty()).then_some((
            Step::GidMap,
            Map {
                path: &files.gid_map,
                text: self.gid.own_inside.map_or(self.gid.lines(), Text::OwnGroup),
                setgroups: fallback.then_some(files.setgroups.as_c_str()),
            },
        ));
        let uid = (!self.uid.is_empty()).then_some((
            Step::UidMap,
            Map {
                path: &files.uid_map,
                text: self.uid.own_inside.map_or(self.uid.lines(), Text::OwnUser),
                setgroups: None,
            },
        ));
        deny.into_iter().chain(gid).chain(uid)
    }

    /// The error of writing one of the files. `inside`: from within a user namespace that was entered.
    pub(super) fn failed(&self, step: Step, errno: i32, inside: bool) -> Error {
        if step == Step::Setgroups {
            return diagnose::mapping(Error::new(step).on("\"deny\"").errno(errno), NO_MAP);
        }
        let side = self.side(&step);
        let error = Error::new(step).on(side.operand()).errno(errno);
        if errno == libc::EPERM && side.kind == Kind::Group && self.lacks_denial(inside) {
            return error.caused_by(Cause::MissingCapability).because(
                "the kernel takes the own group without CAP_SETGID over the namespace around only if setgroups(2) is denied, \
                 and `allow_setgroups(true)` forbids that: leave it out, or map more groups with `map_subordinate_ids`",
            );
        }
        if errno == libc::EPERM && inside && !side.own_only && side.own_inside.is_none() {
            return error.caused_by(Cause::MissingCapability).because(
                "in a user namespace inside an entered one, the ids outside are those of the entered one: \
                 give only ids that are mapped there (newuidmap cannot help)",
            );
        }
        // Whoever has entered the namespace around has every capability there.
        let root = side.maps_root() && !inside;
        diagnose::mapping(error, Mapped { own_only: side.own_only, root })
    }

    /// It was refused because setgroups(2) was not denied.
    fn lacks_denial(&self, inside: bool) -> bool {
        let own = self.gid.own_only || self.gid.own_inside.is_some();
        self.setgroups == Some(true) && own && !inside && !Kind::Group.capability().1
    }

    /// What becomes of setgroups(2) in the new user namespace. `entered`: the one around it is not the caller's.
    pub(in crate::command) fn setgroups_inside(&self, entered: bool) -> Setgroups {
        let has_right = Kind::Group.capability().1;
        match self.setgroups {
            _ if self.gid.is_empty() => Setgroups::NoGroups,
            Some(false) => Setgroups::Denied,
            // A new one has what was denied around it.
            _ if entered => Setgroups::Unknown,
            Some(true) => Setgroups::AsAround,
            None if has_right => Setgroups::AsAround,
            None if self.gid.own_only => Setgroups::Denied,
            // newgidmap has rules of its own.
            None => Setgroups::Unknown,
        }
    }

    /// What would be refused to a process that must write it by itself, as for `exec`, before it has moved.
    pub(super) fn check_without_helper(&self) -> Result<()> {
        for side in [&self.gid, &self.uid] {
            let (name, has) = side.kind.capability();
            if side.is_empty() || side.own_only || has {
                continue;
            }
            return Err(Error::new(side.kind.step())
                .on(side.operand())
                .errno(libc::EPERM)
                .caused_by(Cause::MissingCapability)
                .because(format!(
                    "without {name} it takes {}, which `exec` cannot run, as it moves the process that would: use `spawn`",
                    side.kind.helper()
                )));
        }
        if self.lacks_denial(false) {
            return Err(self.failed(Step::GidMap, libc::EPERM, false));
        }
        Ok(())
    }
}

impl Side {
    fn new(
        settings: &Settings,
        kind: Kind,
        given: &Option<Vec<IdRange>>,
        id: u32,
        inside_joined: bool,
    ) -> Result<Self> {
        let own = |inside| vec![IdRange { inside, outside: id, count: 1 }];
        let (ranges, own_inside) = match (given, settings.policy.unwrap_or(Policy::Current)) {
            (Some(ranges), _) => (ranges.clone(), None),
            (None, Policy::Current) => (own(id), Some(Inside::Same)),
            (None, Policy::Root) => (own(0), Some(Inside::Root)),
            (None, Policy::Subordinate) => (subordinate(kind, id, inside_joined)?, None),
            (None, Policy::Unmapped) => (Vec::new(), None),
        };
        Ok(Self {
            kind,
            text: id_map::text(&ranges),
            own_inside: own_inside.filter(|_| inside_joined),
            own_only: matches!(ranges[..], [range] if range.outside == id && range.count == 1),
            ranges,
        })
    }

    fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether user 0 of the namespace around is among them.
    fn maps_root(&self) -> bool {
        self.kind == Kind::User && self.ranges.iter().any(|range| range.outside == 0)
    }

    fn lines(&self) -> Text<'_> {
        Text::Lines(self.text.as_bytes())
    }

    /// The map on one line, abbreviated if it is long.
    fn operand(&self) -> String {
        if self.own_inside.is_some() {
            return "(of the own id)".to_owned();
        }
        let Some(more) = self.ranges.len().checked_sub(SHOWN + 1) else {
            return format!("{:?}", self.text.trim_end());
        };
        let first = id_map::text(&self.ranges[..SHOWN]);
        format!("{:?} … {} more", first.trim_end(), more + 1)
    }
}

fn subordinate(kind: Kind, own: u32, inside_joined: bool) -> Result<Vec<IdRange>> {
    if inside_joined {
        return Err(Error::invalid(
            "/etc/subuid and /etc/subgid speak of the caller's ids, which have other numbers in the user namespace that is entered: \
             give the ids as they are there to `uid_map` and `gid_map`",
        ));
    }
    // In both files the owners are users.
    let user = User::with_uid(sys::process::effective_ids().0);
    let (name, file) = match kind {
        Kind::User => ("uid_map", subid::File::Users),
        Kind::Group => ("gid_map", subid::File::Groups),
    };
    let ranges = subid::map(file, &user, own)?;
    id_map::validate(name, &ranges)?;
    Ok(ranges)
}

/// The paths of a process's map files.
pub(super) struct MapFiles {
    uid_map: CString,
    gid_map: CString,
    setgroups: CString,
}

impl MapFiles {
    /// Of the process that /proc shows under this number.
    pub(super) fn of(process: u32) -> Result<Self> {
        let file = |name: &str| {
            CString::new(format!("/proc/{process}/{name}"))
                .map_err(|_| Error::invalid("a path has a NUL byte in it"))
        };
        Ok(Self {
            uid_map: file("uid_map")?,
            gid_map: file("gid_map")?,
            setgroups: file("setgroups")?,
        })
    }

    /// Whether the caller may open those of the process as it is now.
    pub(super) fn can_be_opened(&self) -> bool {
        [&self.uid_map, &self.gid_map, &self.setgroups].iter().all(|path| open(path).is_ok())
    }
}
