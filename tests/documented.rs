//! Whether the documentation of every public item says what it has to: rustc only asks that there is one.
//!
//! Read from the sources, where `pub` means reachable, as the lint `unreachable_pub` has it.

use std::fs;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    Function,
    Type,
    Other,
}

#[derive(Debug)]
struct Item {
    place: String,
    what: What,
    /// Up to its body, on one line.
    signature: String,
    docs: String,
}

impl Item {
    /// What comes after the arrow.
    fn returned(&self) -> &str {
        self.signature.split_once(" -> ").map_or("", |(_, returned)| returned)
    }

    fn can_fail(&self) -> bool {
        self.what == What::Function
            && (self.returned().contains("Result<") || self.returned().starts_with("Error"))
    }

    /// It only tells what it holds, or what was said before: no page of the manual has more on it.
    fn only_tells(&self) -> bool {
        let taken = self.signature.split_once('(').map_or("", |(_, taken)| taken);
        !self.can_fail() && (taken.starts_with("&self") || taken.starts_with("self"))
    }

    fn section(&self, name: &str) -> Option<&str> {
        let (_, section) = self.docs.split_once(&format!("# {name}\n"))?;
        Some(section.split_once("\n# ").map_or(section, |(section, _)| section))
    }

    fn faults(&self) -> Vec<&'static str> {
        let mut faults = Vec::new();
        if self.docs.trim().is_empty() {
            faults.push("has no documentation");
        }
        if self.can_fail() && self.section("Errors").is_none_or(|section| section.trim().is_empty())
        {
            faults.push("can fail, and has no section `# Errors`");
        }
        if self.signature.contains("unsafe fn") && self.section("Safety").is_none() {
            faults.push("is unsafe, and has no section `# Safety`");
        }
        let wants_page = match self.what {
            What::Function => !self.only_tells(),
            What::Type => true,
            What::Other => false,
        };
        if wants_page && !self.section("References").is_some_and(names_a_page) {
            faults.push("has no section `# References` that names a page of the manual");
        }
        faults
    }
}

/// "clone(2)", "ip-netns(8)", "PR_SET_PDEATHSIG(2const)".
fn names_a_page(text: &str) -> bool {
    text.match_indices('(').any(|(at, _)| {
        let named = text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '`');
        named && text[at + 1..].starts_with(|c: char| c.is_ascii_digit())
    })
}

/// What a line declares for others to use.
fn declared(line: &str, in_trait: bool) -> Option<What> {
    let line = line.trim_start();
    // A module in a file of its own is documented there.
    if line.starts_with("pub mod ") && line.ends_with(';') {
        return None;
    }
    if in_trait && line.starts_with("fn ") {
        return Some(What::Function);
    }
    let mut words = line.strip_prefix("pub ")?.split_whitespace().peekable();
    let constant = words.next_if_eq(&"const").is_some();
    while words.next_if(|word| ["unsafe", "async"].contains(word)).is_some() {}
    match words.next()? {
        "fn" => Some(What::Function),
        "struct" | "enum" | "union" | "trait" => Some(What::Type),
        "mod" | "type" | "static" => Some(What::Other),
        _ => constant.then_some(What::Other),
    }
}

fn items(path: &Path) -> Vec<Item> {
    let text = fs::read_to_string(path).expect("a source file");
    let mut items = Vec::new();
    let mut docs = String::new();
    let mut in_trait = false;
    let mut in_attribute = false;
    let mut in_private = false;
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let code = line.trim();
        if code == "#[cfg(test)]" {
            break;
        }
        if let Some(doc) = code.strip_prefix("///") {
            docs.push_str(doc.trim());
            docs.push('\n');
            continue;
        }
        // An attribute may stand between an item and its documentation, on several lines.
        if in_attribute || code.starts_with("#[") {
            in_attribute = !code.ends_with(']');
            continue;
        }
        if line == "}" {
            in_trait = false;
            in_private = false;
        }
        in_private |= line.starts_with("mod ") && line.ends_with('{');
        if in_private {
            docs.clear();
            continue;
        }
        if let Some(what) = declared(line, in_trait) {
            let mut signature = code.to_owned();
            while what == What::Function && !signature.contains(['{', ';']) {
                let (_, more) = lines.next().expect("a function has a body");
                signature.push(' ');
                signature.push_str(more.trim());
            }
            in_trait |= line.starts_with("pub trait ");
            let place = format!("{}:{}", path.display(), number + 1);
            items.push(Item { place, what, signature, docs: docs.clone() });
        }
        docs.clear();
    }
    items
}

fn sources(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("the sources").map(|entry| entry.expect("an entry"))
    {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn every_public_item_says_what_it_has_to() {
    let mut paths = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut paths);
    // What only a fuzzer is given is no part of the interface.
    paths.retain(|path| !path.ends_with("src/fuzz.rs"));
    paths.sort();
    // A trait that is there to seal another is in a private module, where nobody can name it.
    let items: Vec<Item> = paths.iter().flat_map(|path| items(path)).collect();
    let items = items.iter().filter(|item| !item.signature.contains("trait Sealed"));
    let (mut looked_at, mut faults) = (0, Vec::new());
    for item in items {
        looked_at += 1;
        for fault in item.faults() {
            faults.push(format!("{}: `{}` {fault}", item.place, item.signature));
        }
    }
    assert!(looked_at > 200, "only {looked_at} public items were found");
    assert!(faults.is_empty(), "{}\n{} faults", faults.join("\n"), faults.len());
}

#[test]
fn what_is_missing_is_noticed() {
    let item = |what, signature: &str, docs: &str| Item {
        place: String::new(),
        what,
        signature: signature.to_owned(),
        docs: docs.to_owned(),
    };
    let whole = "Opens.\n\n# Errors\nENOENT.\n\n# References\nopen(2)\n";
    let open = "pub fn open() -> Result<Self> {";
    assert_eq!(item(What::Function, open, whole).faults(), [""; 0]);
    assert_eq!(item(What::Function, open, "Opens: open(2).").faults().len(), 2);
    assert_eq!(item(What::Function, open, &whole.replace("ENOENT.", "")).faults().len(), 1);
    assert_eq!(item(What::Function, open, &whole.replace("(2)", "")).faults().len(), 1);
    assert_eq!(
        item(What::Function, "pub unsafe fn open() -> Result<()> {", whole).faults().len(),
        1
    );
    assert_eq!(item(What::Function, "pub fn id(&self) -> u32 {", "The id.").faults(), [""; 0]);
    assert_eq!(
        item(What::Function, "pub fn on(&mut self) -> &mut Self {", "On.").faults().len(),
        1
    );
    assert_eq!(item(What::Type, "pub struct Handle {", "A handle.").faults().len(), 1);
    assert_eq!(declared("    pub const fn new() -> Self {", false), Some(What::Function));
    assert_eq!(declared("    pub(crate) fn new() -> Self {", false), None);
    assert_eq!(declared("    fn provided(&self);", true), Some(What::Function));
}
