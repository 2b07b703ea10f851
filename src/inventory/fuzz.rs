//! For `crate::fuzz`: what is drawn.
#![forbid(unsafe_code)]

use super::{dot, mountinfo, tree};

/// A name in a picture or on a line stays a name.
pub(crate) fn escaped(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let escaped = dot::escaped(&text);
    assert!(!escaped.chars().any(|c| matches!(c, '<' | '>' | '"') || c.is_control()));
    let back = escaped.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    let visible = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    assert_eq!(back.replace("&amp;", "&"), text.chars().map(visible).collect::<String>());
    let shown = tree::shown(text.as_ref().as_ref());
    assert!(!shown.is_empty() && !shown.chars().any(char::is_control), "{shown:?}");
}

/// How many mounts of namespaces are read, at most that many.
pub(crate) fn mounted(mountinfo: &[u8], most: usize) -> usize {
    mountinfo::namespaces(mountinfo).take(most).count()
}
