//! Lists all namespaces, as lsns(8) does, and those that only a descriptor, a mount or another namespace keeps.
//!
//! ```text
//! cargo run --example lsns                               # a table
//! cargo run --example lsns -- --type net,mnt             # of these kinds
//! cargo run --example lsns -- --task 4711                # that this process is in
//! cargo run --example lsns -- --tree                     # below their owners; or --tree=parent
//! cargo run --example lsns -- --json
//! cargo run --example lsns -- --dot | dot -Tpng >namespaces.png
//! ```
//!
//! `--type` and `--task` go with each form. Trees and pictures show the owners and parents of what is asked for, too.
//! Lines are cut to the terminal, or to `COLUMNS` where that is set.

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::process::ExitCode;

use linux_namespaces::{Inventory, NamespaceId, NamespaceInfo, Namespaces, TreeOrder};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lsns: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    let (mut kinds, mut task, mut form) = (Namespaces::all(), None, String::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--type" | "-t" => kinds = arguments.next().ok_or("--type takes a kind")?.parse()?,
            "--task" | "-p" => {
                let pid = arguments.next().ok_or("--task takes a process id")?;
                task = Some(pid.parse::<u32>().map_err(|_| format!("{pid:?} is no process id"))?);
            }
            "--tree" | "--tree=owner" | "--tree=parent" | "--json" | "--dot" => form = argument,
            _ => {
                eprintln!(
                    "usage: lsns [--type KIND[,KIND]] [--task PID] [--json] | --tree[=owner|parent] | --dot"
                );
                return Ok(ExitCode::from(2));
            }
        }
    }
    let mut inventory = Inventory::scan()?;
    let mut chosen: BTreeSet<NamespaceId> = inventory
        .namespaces()
        .filter(|namespace| {
            kinds.contains(namespace.id().kind().flag())
                && task.is_none_or(|task| namespace.processes().binary_search(&task).is_ok())
        })
        .map(NamespaceInfo::id)
        .collect();
    let found = !chosen.is_empty();
    if form.starts_with("--tree") || form == "--dot" {
        chosen = with_those_above(&inventory, chosen, form == "--tree=parent");
    }
    inventory.retain(|namespace| chosen.contains(&namespace.id()));
    let text = match form.as_str() {
        "--tree=parent" => inventory.tree(TreeOrder::Parent).to_string(),
        "--tree" | "--tree=owner" => inventory.tree(TreeOrder::Owner).to_string(),
        "--dot" => inventory.to_dot(),
        "--json" => serde_json::to_string_pretty(&inventory)?,
        _ => table(&inventory),
    };
    match io::stdout().write_all(cut(&text, &form).as_bytes()) {
        // Whoever reads it has seen enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    for (count, what) in [
        (inventory.unreadable(), "processes could not be looked into"),
        (inventory.unknown_sockets(), "sockets could not be asked for their net namespace"),
        (inventory.unknown_mounts(), "mount namespaces have mounts that could not be read"),
        (inventory.unknown_namespaces(), "listed namespaces could not be opened"),
    ] {
        if count > 0 {
            eprintln!("lsns: {count} {what}");
        }
    }
    match task {
        Some(task) if !found => {
            Err(format!("process {task} is not there, or may not be looked into").into())
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// These with their owners, or only their parents, up to the first ones.
fn with_those_above(
    inventory: &Inventory,
    chosen: BTreeSet<NamespaceId>,
    only_parents: bool,
) -> BTreeSet<NamespaceId> {
    let mut waiting: Vec<NamespaceId> = chosen.into_iter().collect();
    let mut all = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if let Some(namespace) = inventory.get(id).filter(|_| all.insert(id)) {
            waiting.extend(namespace.parent());
            waiting.extend(namespace.owner().filter(|_| !only_parents));
        }
    }
    all
}

fn table(inventory: &Inventory) -> String {
    let users = users();
    let mut rows =
        vec![["NS", "TYPE", "NPROCS", "PID", "USER", "COMMAND"].map(|title| title.to_owned())];
    rows.extend(inventory.namespaces().map(|namespace| row(namespace, &users)));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let [ns, kind, processes, pid, user] = [0, 1, 2, 3, 4].map(|column| width(column).unwrap_or(0));
    let lines = rows.iter().map(|[a, b, c, d, e, f]| {
        format!("{a:>ns$} {b:<kind$} {c:>processes$} {d:>pid$} {e:<user$} {f}")
            .trim_end()
            .to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn row(namespace: &NamespaceInfo, users: &HashMap<u32, String>) -> [String; 6] {
    // Who is in it; if nobody is, the thread or process that keeps it.
    let held = namespace.held_by().first().or(namespace.for_children_of().first());
    let of = namespace.processes().first().or(namespace.threads().first());
    let mut about = of.map(|pid| command(*pid)).unwrap_or_default();
    if of.is_none() {
        about = match (namespace.persisted_at().first(), held) {
            (Some(path), _) => format!("(mounted at {})", path.display()),
            (None, Some(pid)) => format!("(held by {pid}: {})", command(*pid)),
            (None, None) => "(kept by other namespaces)".to_owned(),
        };
    }
    let uid = of.and_then(|pid| fs::metadata(format!("/proc/{pid}")).ok()).map(|file| file.uid());
    let user = uid.map(|uid| users.get(&uid).cloned().unwrap_or_else(|| uid.to_string()));
    [
        namespace.id().ino().to_string(),
        namespace.id().kind().to_string(),
        namespace.processes().len().to_string(),
        of.map(|pid| pid.to_string()).unwrap_or_default(),
        user.unwrap_or_default(),
        about.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
    ]
}

/// The command line, or in brackets the name of what has none.
fn command(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    let name = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    if line.trim().is_empty() { format!("[{}]", name().trim()) } else { line.trim().to_owned() }
}

fn users() -> HashMap<u32, String> {
    let file = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        Some((fields.nth(1)?.parse().ok()?, name))
    };
    file.lines().filter_map(user).collect()
}

/// Ends with a line end; what is for people fits the terminal.
fn cut(text: &str, form: &str) -> String {
    let width = if matches!(form, "--json" | "--dot") { None } else { width() };
    let line = |line: &str| line.chars().take(width.unwrap_or(usize::MAX)).chain(['\n']).collect();
    text.lines().map(line).collect::<Vec<String>>().concat()
}

fn width() -> Option<usize> {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    columns.filter(|columns| *columns > 0).or_else(|| {
        io::stdout().is_terminal().then_some(())?;
        let terminal = File::open("/dev/tty").ok()?;
        let size = std::process::Command::new("stty").arg("size").stdin(terminal).output().ok()?;
        String::from_utf8(size.stdout).ok()?.split_whitespace().nth(1)?.parse().ok()
    })
}
