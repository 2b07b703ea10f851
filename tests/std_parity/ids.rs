//! User, group and process group.

use crate::device::*;

/// What /proc/<pid>/status says of the ids of a command that shows it.
pub(crate) fn ids_of(command: &mut Cmd) -> String {
    match command.output() {
        Err(failure) => format!("{failure:?}"),
        Ok(output) => {
            let status = said(&output);
            let show = |name: &str| {
                let words: Vec<_> = field(name, status).split_whitespace().collect();
                words.join(" ")
            };
            format!("uid {}, gid {}, groups {}", show("Uid"), show("Gid"), show("Groups"))
        }
    }
}

pub(crate) fn status_text(api: Api) -> Cmd {
    let mut command = api.command("cat");
    command.arg("/proc/self/status");
    command
}

/// Root, with supplementary groups.
pub(crate) fn ids_case() {
    let api = Api::of_this_case();
    let groups = [0, 7, 8, 4242];
    // SAFETY: reads the array.
    assert_eq!(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) }, 0);
    println!("{}", ids_of(&mut status_text(api)));
    println!("{}", ids_of(status_text(api).uid(1234)));
    println!("{}", ids_of(status_text(api).gid(1235)));
    println!("{}", ids_of(status_text(api).uid(1234).gid(1235)));
    println!("{}", ids_of(status_text(api).gid(1235).uid(1234)));
    println!("{}", ids_of(status_text(api).uid(0)));
    println!("{}", ids_of(status_text(api).uid(0).gid(0)));
    println!("{}", ids_of(status_text(api).uid(1).uid(2).gid(3).gid(4)));
    println!("{}", ids_of(status_text(api).uid(u32::MAX - 1).gid(u32::MAX - 1)));
    println!("{}", ids_of(status_text(api).uid(5).idle_hook()));
}

pub(crate) fn ids_of_root() {
    let text = same_in_case("ids");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "uid 0 0 0 0, gid 0 0 0 0, groups 0 7 8 4242");
    // As root it gives up its groups, and only with the user.
    assert_eq!(lines[1], "uid 1234 1234 1234 1234, gid 0 0 0 0, groups ");
    assert_eq!(lines[2], "uid 0 0 0 0, gid 1235 1235 1235 1235, groups 0 7 8 4242");
    // Group before user, in whichever order they are set: after it there would be no right to.
    assert_eq!(lines[3], "uid 1234 1234 1234 1234, gid 1235 1235 1235 1235, groups ");
    assert_eq!(lines[4], lines[3]);
    assert_eq!(lines[5], "uid 0 0 0 0, gid 0 0 0 0, groups ");
}

/// std's `groups` is not stable, so that there is only what it is documented to do.
pub(crate) fn groups_case() {
    let groups = [0, 7, 8];
    // SAFETY: reads the array.
    assert_eq!(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) }, 0);
    let ids = |change: fn(&mut Command) -> &mut Command| {
        let mut command = Command::new("cat");
        change(command.arg("/proc/self/status"));
        ids_of(&mut Cmd::Ours(Box::new(command)))
    };
    let root = "uid 0 0 0 0, gid 0 0 0 0, groups";
    assert_eq!(ids(|c| c.groups(&[5, 6])), format!("{root} 5 6"));
    assert_eq!(ids(|c| c.groups(&[])), format!("{root} "));
    assert_eq!(ids(|c| c.groups(&[1]).groups(&[9])), format!("{root} 9"));
    let user = "uid 1 1 1 1, gid 2 2 2 2, groups";
    assert_eq!(ids(|c| c.uid(1).gid(2).groups(&[5, 6])), format!("{user} 5 6"));
    assert_eq!(ids(|c| c.groups(&[5, 6]).gid(2).uid(1)), format!("{user} 5 6"));
    assert_eq!(ids(|c| c.groups(&[]).gid(2).uid(1)), format!("{user} "));
}

pub(crate) fn supplementary_groups() {
    in_own_process("groups");
}

pub(crate) fn ids_of_an_ordinary_user() {
    let (uid, gid) = own_ids();
    let own = ids_of(&mut status_text(Api::Std));
    for ids in [
        same(|api| ids_of(status_text(api).uid(uid))),
        same(|api| ids_of(status_text(api).gid(gid))),
        same(|api| ids_of(status_text(api).gid(gid).uid(uid))),
    ] {
        assert_eq!(ids, own);
    }
    both_fail(errno(libc::EPERM), |api| status_text(api).uid(0).output());
    both_fail(errno(libc::EPERM), |api| status_text(api).uid(uid + 1).output());
    both_fail(errno(libc::EPERM), |api| status_text(api).gid(gid + 1).output());
    let error = Command::new("true").groups(&[gid]).spawn().expect_err("only root can");
    assert_eq!((error.kind(), error.raw_os_error()), errno(libc::EPERM));
}

/// The number that is no id. This crate refuses it before any system call is made, so that there is no errno.
pub(crate) fn no_id_at_all() {
    let kinds = same(|api| {
        let uid = status_text(api).uid(u32::MAX).output().expect_err("no id");
        let gid = status_text(api).gid(u32::MAX).output().expect_err("no id");
        (uid.0, gid.0)
    });
    assert_eq!(kinds, (io::ErrorKind::InvalidInput, io::ErrorKind::InvalidInput));
}

pub(crate) const SHOW_GROUP: &str =
    "read pid name state parent group rest < /proc/self/stat; echo $group";

pub(crate) fn process_groups() {
    both_say("its own\n", |api| {
        let kid = api.sh(SHOW_GROUP).process_group(0).stdout(To::Piped).spawn()?;
        let id = kid.id();
        let mut output = kid.wait_with_output()?;
        if output.stdout == format!("{id}\n").as_bytes() {
            output.stdout = b"its own\n".to_vec();
        }
        Ok(output)
    });
    both_say("the first one's\n", |api| {
        let mut first = api.command("cat").stdin(To::Piped).process_group(0).spawn()?;
        let group = first.id();
        let mut output = api.sh(SHOW_GROUP).process_group(group as i32).output()?;
        first.wait()?;
        if output.stdout == format!("{group}\n").as_bytes() {
            output.stdout = b"the first one's\n".to_vec();
        }
        Ok(output)
    });
    same(|api| api.sh(SHOW_GROUP).output()).expect("it is spawned");
    both_fail(errno(libc::EPERM), |api| api.sh(SHOW_GROUP).process_group(i32::MAX).output());
    // The last one counts.
    let last = same(|api| api.command("true").process_group(i32::MAX).process_group(0).status());
    assert!(last.expect("it is spawned").success());
}

/// This crate refuses it before any system call is made, so that there is no errno.
pub(crate) fn no_process_group_at_all() {
    let kind = same(|api| {
        let failure = api.command("true").process_group(-1).output().expect_err("no group");
        failure.0
    });
    assert_eq!(kind, io::ErrorKind::InvalidInput);
}
