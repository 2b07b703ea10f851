//! The inventory as a picture: the language of Graphviz.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::tree::details;
use super::{Inventory, NamespaceInfo};
use crate::{NamespaceId, NamespaceKind};

/// A graph of boxes: a user namespace and what it owns.
pub(super) fn graph(inventory: &Inventory) -> String {
    let mut boxes: BTreeMap<Option<NamespaceId>, Vec<&NamespaceInfo>> = BTreeMap::new();
    for namespace in &inventory.namespaces {
        match namespace.id.kind() {
            NamespaceKind::User => {
                boxes.entry(Some(namespace.id)).or_default();
            }
            _ => boxes.entry(namespace.owner).or_default().push(namespace),
        }
    }
    let mut text = String::from(
        "digraph namespaces {\n  rankdir=LR\n  nodesep=0.3\n  ranksep=0.9\n  \
         node [shape=plain, fontname=\"Helvetica\", fontsize=11]\n  edge [color=\"#555555\", penwidth=1.4]\n",
    );
    for (owner, owned) in &boxes {
        draw(&mut text, inventory, *owner, owned);
    }
    for user in inventory.of_kind(NamespaceKind::User) {
        let parent = user.parent.filter(|parent| boxes.contains_key(&Some(*parent)));
        if let Some(parent) = parent {
            line(
                &mut text,
                format_args!("{}:user:e -> {}:user:w", name(Some(parent)), name(Some(user.id))),
            );
        }
    }
    for pid in inventory.of_kind(NamespaceKind::Pid) {
        // Within one box it stands below the one that it is in.
        let around = pid.parent.and_then(|parent| inventory.get(parent));
        if let Some(parent) = around.filter(|parent| parent.owner != pid.owner) {
            line(
                &mut text,
                format_args!(
                    "{}:{}_out:e -> {}:{}:w [style=dashed, color=\"{}\"]",
                    name(parent.owner),
                    port(parent.id),
                    name(pid.owner),
                    port(pid.id),
                    dark(NamespaceKind::Pid),
                ),
            );
        }
    }
    text.push_str("}\n");
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  {line}");
}

/// A table: the user namespace, then what it owns, by kind.
fn draw(
    text: &mut String,
    inventory: &Inventory,
    owner: Option<NamespaceId>,
    owned: &[&NamespaceInfo],
) {
    let user = owner.and_then(|owner| inventory.get(owner));
    let (title, about) = match (owner, user) {
        (Some(owner), Some(user)) => (owner.to_string(), lines(user)),
        (Some(owner), None) => (owner.to_string(), String::new()),
        (None, _) => ("owner out of sight".to_owned(), String::new()),
    };
    line(text, format_args!("{} [label=<", name(owner)));
    text.push_str("    <table border=\"1\" cellborder=\"0\" cellspacing=\"0\" cellpadding=\"4\" color=\"#777777\">\n");
    let _ = writeln!(
        text,
        "    <tr><td port=\"user\" colspan=\"3\" bgcolor=\"{}\"><font color=\"white\"><b>{title}</b></font>{}</td></tr>",
        dark(NamespaceKind::User),
        if about.is_empty() {
            String::new()
        } else {
            format!("<br/><font color=\"white\" point-size=\"10\">{about}</font>")
        },
    );
    for (namespace, depth) in nested(owned) {
        let kind = namespace.id.kind();
        let inside = match depth {
            0 => String::new(),
            depth => format!("{}└ ", "&#160; ".repeat(depth - 1)),
        };
        let _ = writeln!(
            text,
            "    <tr><td port=\"{}\" bgcolor=\"{}\" align=\"left\">{inside}<b>{kind}</b></td><td bgcolor=\"{1}\">{}</td><td port=\"{0}_out\" align=\"left\" balign=\"left\">{}</td></tr>",
            port(namespace.id),
            light(kind),
            namespace.id.ino(),
            lines(namespace),
        );
    }
    text.push_str("    </table>>]\n");
}

/// In order, but each pid namespace below the one that it is in, if that is here; and how deep.
fn nested<'i>(owned: &[&'i NamespaceInfo]) -> Vec<(&'i NamespaceInfo, usize)> {
    let here = |id: NamespaceId| owned.iter().any(|namespace| namespace.id == id);
    let mut waiting: Vec<(&NamespaceInfo, usize)> = owned
        .iter()
        .rev()
        .filter(|namespace| !namespace.parent.is_some_and(here))
        .map(|namespace| (*namespace, 0))
        .collect();
    let mut ordered = Vec::with_capacity(owned.len());
    while let Some((namespace, depth)) = waiting.pop() {
        ordered.push((namespace, depth));
        let inside = owned.iter().rev().filter(|other| other.parent == Some(namespace.id));
        waiting.extend(inside.map(|inside| (*inside, depth + 1)));
    }
    ordered
}

/// What there is to say of it, a line for each.
fn lines(namespace: &NamespaceInfo) -> String {
    let lines: Vec<String> = details(namespace).iter().map(|detail| escaped(detail)).collect();
    lines.join("<br/>")
}

/// A name for the box of a user namespace.
fn name(owner: Option<NamespaceId>) -> String {
    owner.map_or("unseen".to_owned(), port)
}

fn port(id: NamespaceId) -> String {
    format!("{}_{}", id.kind(), id.ino())
}

pub(super) fn escaped(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            // XML has no way to write these.
            other if other.is_control() => char::REPLACEMENT_CHARACTER.to_string(),
            other => other.to_string(),
        })
        .collect()
}

fn light(kind: NamespaceKind) -> &'static str {
    match kind {
        NamespaceKind::Cgroup => "#e8e0f5",
        NamespaceKind::Ipc => "#fde3cf",
        NamespaceKind::Mount => "#d6e6f7",
        NamespaceKind::Net => "#d7efd5",
        NamespaceKind::Pid => "#f9d6d9",
        NamespaceKind::Time => "#e5e5e5",
        NamespaceKind::User => "#d9d9f2",
        NamespaceKind::Uts => "#fbf3c4",
    }
}

fn dark(kind: NamespaceKind) -> &'static str {
    match kind {
        NamespaceKind::Pid => "#b3303c",
        _ => "#3b4a6b",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::collect::Entry;

    /// A namespace with what is around it; the owner of all is `user:[1]`, but that of the first is `user:[2]`.
    fn namespace(kind: NamespaceKind, ino: u64, parent: Option<u64>) -> NamespaceInfo {
        let owner = Some(if ino == 10 { 2 } else { 1 }).filter(|_| kind == NamespaceKind::Pid);
        Entry { owner, parent, ..Entry::new(kind, ino, None) }.finish(4)
    }

    #[test]
    fn pid_namespaces_of_one_box_stand_below_each_other() {
        let pids = [(10, None), (11, Some(10)), (12, Some(14)), (13, Some(11)), (14, Some(11))];
        let users = [(1, Some(2)), (2, None)];
        let pids = pids.map(|(ino, parent)| namespace(NamespaceKind::Pid, ino, parent));
        let users = users.map(|(ino, parent)| namespace(NamespaceKind::User, ino, parent));
        let namespaces = pids.into_iter().chain(users).collect();
        let inventory = Inventory {
            namespaces,
            unreadable: 0,
            unknown_sockets: 0,
            unknown_mounts: 0,
            unknown_namespaces: 0,
        };
        let graph = graph(&inventory);
        let rows: Vec<&str> = graph.lines().filter(|line| line.contains("<b>pid</b>")).collect();
        let order: Vec<&str> = rows.iter().map(|row| row.split('"').nth(1).unwrap()).collect();
        assert_eq!(order, ["pid_11", "pid_13", "pid_14", "pid_12", "pid_10"], "{graph}");
        let depths: Vec<usize> = rows.iter().map(|row| row.matches("└ ").count()).collect();
        assert_eq!(depths, [0, 1, 1, 1, 0], "{graph}");
        assert!(rows[3].contains("&#160; └ <b>pid</b>"), "{graph}");
        let arrows: Vec<&str> = graph.lines().filter(|line| line.contains("dashed")).collect();
        assert_eq!(arrows.len(), 1, "only from box to box\n{graph}");
        assert!(arrows[0].contains("user_2:pid_10_out:e -> user_1:pid_11:w"), "{graph}");
    }
}
