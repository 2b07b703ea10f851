//! Which descriptor goes where, and what lies between.
#![forbid(unsafe_code)]

use std::mem;
use std::os::fd::RawFd;

use crate::sys::child::Op;

/// Moves in an order in which none overwrites what another still needs. Where they go round in a circle, one is kept aside.
pub(super) fn moves<'a>(
    mut pending: Vec<(RawFd, RawFd)>,
    taken: &'a [RawFd],
    ops: &mut Vec<Op<'a>>,
) {
    let mut aside: Option<RawFd> = None;
    while !pending.is_empty() {
        let needed = |fd: RawFd, place: usize| {
            pending
                .iter()
                .enumerate()
                .any(|(other, (from, _))| other != place && *from == fd && aside != Some(fd))
        };
        let free = (0..pending.len()).find(|place| !needed(pending[*place].1, *place));
        match free {
            Some(place) => {
                let (from, to) = pending.swap_remove(place);
                if aside == Some(from) {
                    aside = None;
                    ops.push(Op::DupSaved { to });
                } else {
                    ops.push(Op::Dup { from, to });
                }
            }
            None => {
                // Every target is the source of exactly one other here, so one place aside is enough.
                let (_, fd) = pending[0];
                let to = pending.iter().find(|(from, _)| *from == fd).map_or(fd, |(_, to)| *to);
                ops.push(Op::Save { fd, to, taken });
                aside = Some(fd);
            }
        }
    }
}

/// The ranges of descriptors from 3 up that are not among `kept`.
pub(super) fn gaps(mut kept: Vec<RawFd>) -> impl Iterator<Item = (u32, u32)> {
    kept.sort_unstable();
    let kept = kept.into_iter().filter(|fd| *fd > 2).map(|fd| fd as u32);
    let around = kept.map(|fd| (fd - 1, fd + 1)).chain([(u32::MAX, u32::MAX)]);
    let mut first = 3;
    around
        .map(move |(last, next)| (mem::replace(&mut first, next), last))
        .filter(|(first, last)| first <= last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn gaps_leave_out_what_is_kept() {
        assert_eq!(gaps(vec![]).collect::<Vec<_>>(), [(3, u32::MAX)]);
        assert_eq!(gaps(vec![7, 0, 1, 4, 3, 4]).collect::<Vec<_>>(), [(5, 6), (8, u32::MAX)]);
    }

    /// What the child would do, on a table that says what each number refers to.
    fn replay(ops: &[Op<'_>], table: &mut BTreeMap<RawFd, RawFd>) {
        let mut saved = None;
        for op in ops {
            match op {
                Op::Dup { from, to } => {
                    let file = table[from];
                    table.insert(*to, file);
                }
                Op::Save { fd, .. } => {
                    assert!(saved.replace(table[fd]).is_none(), "only one place aside");
                }
                Op::DupSaved { to } => {
                    table.insert(*to, saved.take().unwrap());
                }
                _ => unreachable!(),
            }
        }
    }

    proptest! {
        #![proptest_config(crate::cases::config())]

        #[test]
        fn every_descriptor_arrives(moved in proptest::collection::btree_map(0i32..8, 0i32..8, 0..8)) {
            // Targets are unique; a source may serve several.
            let pending: Vec<_> = moved.iter().map(|(to, from)| (*from, *to)).collect();
            let mut ops = Vec::new();
            moves(pending.clone(), &[], &mut ops);
            let mut table: BTreeMap<RawFd, RawFd> = (0..8).map(|fd| (fd, fd)).collect();
            replay(&ops, &mut table);
            for (from, to) in pending {
                prop_assert_eq!(table[&to], from);
            }
        }
    }
}
