//! The inventory as text: a tree of lines.
#![forbid(unsafe_code)]

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;

use super::{Inventory, NamespaceInfo, TreeOrder};
use crate::NamespaceId;

pub(super) struct Tree<'i> {
    pub(super) inventory: &'i Inventory,
    pub(super) by: TreeOrder,
}

impl fmt::Display for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let above = |namespace: &NamespaceInfo| match self.by {
            TreeOrder::Owner => namespace.owner,
            TreeOrder::Parent => namespace.parent,
        };
        let mut below: HashMap<NamespaceId, Vec<&NamespaceInfo>> = HashMap::new();
        let mut roots = Vec::new();
        for namespace in &self.inventory.namespaces {
            match above(namespace).filter(|above| self.inventory.get(*above).is_some()) {
                Some(above) => below.entry(above).or_default().push(namespace),
                None => roots.push(namespace),
            }
        }
        // Those with others below them come first; the kinds that do not nest follow as a list.
        roots.sort_by_key(|root| !below.contains_key(&root.id));
        let mut lines = Lines { below, shown: HashSet::new(), separator: "" };
        for root in roots {
            lines.show(f, root, "", "", "")?;
        }
        Ok(())
    }
}

struct Lines<'i> {
    below: HashMap<NamespaceId, Vec<&'i NamespaceInfo>>,
    shown: HashSet<NamespaceId>,
    separator: &'static str,
}

impl Lines<'_> {
    /// One namespace and, indented, what is below it. User and pid namespaces nest 33 deep at most.
    fn show(
        &mut self,
        f: &mut fmt::Formatter<'_>,
        namespace: &NamespaceInfo,
        indent: &str,
        branch: &str,
        next: &str,
    ) -> fmt::Result {
        if !self.shown.insert(namespace.id) {
            return Ok(());
        }
        write!(f, "{}{indent}{branch}{}", self.separator, Line(namespace))?;
        self.separator = "\n";
        let below = self.below.remove(&namespace.id).unwrap_or_default();
        let indent = format!("{indent}{next}");
        for (at, namespace) in below.iter().enumerate() {
            let (branch, next) =
                if at + 1 == below.len() { ("└─", "  ") } else { ("├─", "│ ") };
            self.show(f, namespace, &indent, branch, next)?;
        }
        Ok(())
    }
}

/// What there is to say of one namespace, on one line.
pub(super) struct Line<'i>(pub(super) &'i NamespaceInfo);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.id)?;
        for detail in details(self.0) {
            write!(f, "  {detail}")?;
        }
        Ok(())
    }
}

/// Who is in it, and what else keeps it alive.
pub(super) fn details(namespace: &NamespaceInfo) -> Vec<String> {
    let mut details = Vec::new();
    let is_user = namespace.owner_uid.filter(|_| namespace.parent.is_some());
    details.extend(is_user.map(|uid| format!("made by uid {uid}")));
    let mut numbers = |before: &str, one: &str, many: &str, ids: &[u32]| match ids {
        [] => {}
        [only] => details.push(format!("{before}{one} {only}")),
        several => details.push(format!("{before}{} {many}: {}", several.len(), Few(several))),
    };
    numbers("", "process", "processes", &namespace.processes);
    numbers("", "thread", "threads", &namespace.threads);
    // Whoever waits for the first process of a pid namespace says nothing new once that is there.
    if namespace.processes.is_empty() {
        numbers("for children of ", "process", "processes", &namespace.for_children_of);
    }
    // Who is in it, and has a socket, too, is nobody who keeps it alive.
    let outside: Vec<u32> = namespace
        .held_by
        .iter()
        .copied()
        .filter(|process| !namespace.has_process(*process))
        .collect();
    numbers("held by ", "process", "processes", &outside);
    details.extend(namespace.persisted_at.iter().map(|path| format!("at {}", shown(path))));
    if details.is_empty() || (details.len() == 1 && is_user.is_some()) {
        details.push("no process".to_owned());
    }
    details
}

/// A path on a line, quoted and escaped where it would not be seen as one.
pub(super) fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    let odd = |c: char| c.is_control() || c.is_whitespace() || c == '"';
    if text.is_empty() || text.chars().any(odd) { format!("{path:?}") } else { text.into_owned() }
}

/// The first numbers of a list.
struct Few<'l>(&'l [u32]);

impl fmt::Display for Few<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 6;
        for (at, number) in self.0.iter().take(MOST).enumerate() {
            write!(f, "{}{number}", if at == 0 { "" } else { " " })?;
        }
        if self.0.len() > MOST { f.write_str(" …") } else { Ok(()) }
    }
}
