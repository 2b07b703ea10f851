//! The same beside lsns(8).

use super::*;

/// What lsns says of a namespace.
#[derive(PartialEq, Eq, Debug)]
struct Line {
    processes: u64,
    pid: u64,
    parent: u64,
    owner: u64,
}

fn lsns(arguments: &[&str]) -> BTreeMap<(String, u64), Line> {
    let columns = ["--json", "--list", "--output", "NS,TYPE,NPROCS,PID,PNS,ONS"];
    let text = common::lsns(&[&columns, arguments].concat());
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    // Older ones write numbers as text.
    let number = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.parse().expect("a number"),
        other => other.as_u64().unwrap_or(0),
    };
    let line = |line: &serde_json::Value| {
        let kind = line["type"].as_str().expect("a kind").to_owned();
        let values = ["nprocs", "pid", "pns", "ons"].map(|name| number(&line[name]));
        let [processes, pid, parent, owner] = values;
        ((kind, number(&line["ns"])), Line { processes, pid, parent, owner })
    };
    json["namespaces"].as_array().expect("a list").iter().map(line).collect()
}

/// Where the inventory and lsns differ. `itself`: lsns has seen itself where this process is.
fn differences(inventory: &Inventory, lsns: &BTreeMap<(String, u64), Line>) -> Vec<String> {
    let key = |id: NamespaceId| (id.kind().to_string(), id.ino());
    let ino = |id: Option<NamespaceId>| id.map_or(0, |id| id.ino());
    let mut differences = Vec::new();
    for info in inventory.namespaces() {
        let Some(line) = lsns.get(&key(info.id())) else {
            // What has no process is shown by some versions only.
            if !info.processes().is_empty() {
                differences.push(format!("lsns lacks {info:?}"));
            }
            continue;
        };
        let itself = u64::from(own(info.id().kind()) == info.id());
        let ours = Line {
            processes: info.processes().len() as u64 + itself,
            pid: info.processes().first().map_or(0, |pid| u64::from(*pid)),
            parent: ino(info.parent()),
            owner: ino(info.owner()),
        };
        if ours != *line {
            differences.push(format!("{}: {ours:?}, lsns: {line:?}", info.id()));
        }
    }
    let ours: BTreeSet<_> = inventory.namespaces().map(|info| key(info.id())).collect();
    differences.extend(
        lsns.keys().filter(|key| !ours.contains(key)).map(|key| format!("{key:?} is missing")),
    );
    differences
}

pub(super) fn beside_lsns() {
    let _a = Inside::new(Namespaces::all());
    let _b = Inside::new(Namespaces::UTS | Namespaces::IPC);
    let _c = Inside::new(Namespaces::USER | Namespaces::NET);
    // A user namespace that is only the parent of another.
    let nested = ["--user", "--map-root-user", "unshare", "--user", "--pid", "--fork", "cat"];
    let mut nested = Inside::of(Command::new("unshare").args(nested).stdout(Stdio::piped()));
    answers(&mut nested);
    let inventory = scan();
    let lines = lsns(&[]);
    assert!(lines.len() > 15, "{lines:?}");
    let differences = differences(&inventory, &lines);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    // Member by member.
    let processes: BTreeSet<u32> =
        inventory.namespaces().flat_map(|info| info.processes().to_vec()).collect();
    assert!(processes.len() >= 6, "{processes:?}");
    for pid in processes {
        let ours: BTreeSet<_> = inventory
            .of_process(pid)
            .map(|info| (info.id().kind().to_string(), info.id().ino()))
            .collect();
        let theirs: BTreeSet<_> = lsns(&["--task", &pid.to_string()]).into_keys().collect();
        assert_eq!(ours, theirs, "process {pid}");
    }
}

/// Other processes come and go on a host, so a pair of looks in a row is wanted that has seen the same.
pub(super) fn the_same_as_lsns_on_this_host() {
    let start = Instant::now();
    loop {
        let differences = differences(&scan(), &lsns(&[]));
        if differences.is_empty() {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{}", differences.join("\n"));
    }
}
