//! The inventory as text: trees, graphs, JSON.

use super::*;

pub(super) fn trees_show_each_once() {
    let inside = Inside::new(Namespaces::all());
    let inventory = scan();
    for by in [TreeOrder::Owner, TreeOrder::Parent] {
        let tree = inventory.tree(by).to_string();
        assert!(!tree.ends_with('\n'));
        assert_eq!(tree.lines().count(), inventory.namespaces().count(), "{tree}");
        for info in inventory.namespaces() {
            assert_eq!(tree.matches(&info.id().to_string()).count(), 1, "{}\n{tree}", info.id());
        }
    }
    let by_owner = inventory.tree(TreeOrder::Owner).to_string();
    let indent = |text: &str, id: NamespaceId| {
        let line = text.lines().find(|line| line.contains(&id.to_string())).expect("a line");
        line.chars().take_while(|c| !c.is_ascii_alphabetic()).count()
    };
    let user = inside.id(NamespaceKind::User);
    let net = inside.id(NamespaceKind::Net);
    assert_eq!(indent(&by_owner, own(NamespaceKind::User)), 0, "{by_owner}");
    assert_eq!((indent(&by_owner, user), indent(&by_owner, net)), (2, 4), "{by_owner}");
    let line = by_owner.lines().find(|line| line.contains(&net.to_string())).expect("a line");
    assert!(line.ends_with(&format!("process {}", inside.pid())), "{line}");
    let by_parent = inventory.tree(TreeOrder::Parent).to_string();
    assert_eq!((indent(&by_parent, user), indent(&by_parent, net)), (2, 0), "{by_parent}");
    assert_eq!(indent(&by_parent, inside.id(NamespaceKind::Pid)), 2, "{by_parent}");
}

pub(super) fn a_part_of_it() {
    let inside = Inside::new(Namespaces::all());
    let mut inventory = scan();
    let (user, net) = (inside.id(NamespaceKind::User), inside.id(NamespaceKind::Net));
    let unreadable = inventory.unreadable();
    inventory.retain(|info| [user, net].contains(&info.id()));
    assert_eq!(inventory.namespaces().map(NamespaceInfo::id).collect::<Vec<_>>(), [net, user]);
    assert_eq!(inventory.unreadable(), unreadable);
    assert!(inventory.get(net).is_some() && inventory.get(own(NamespaceKind::Net)).is_none());
    // Whose owner is left out stands at the left.
    let tree = inventory.tree(TreeOrder::Owner).to_string();
    let starts: Vec<&str> = tree.lines().filter_map(|line| line.split(" ").next()).collect();
    assert_eq!(starts, [user.to_string(), format!("└─{net}")], "{tree}");
    inventory.retain(|info| info.id() == net);
    assert!(inventory.tree(TreeOrder::Owner).to_string().starts_with(&net.to_string()));
    let graph = inventory.to_dot();
    assert!(graph.contains(&format!("user_{}", user.ino())), "the box is there\n{graph}");
}

pub(super) fn graphviz_reads_the_graph() {
    let set = Namespaces::USER | Namespaces::PID | Namespaces::NET;
    let inside = unshared(set).map(|()| Inside::new(set));
    let inventory = scan();
    let graph = inventory.to_dot();
    for info in inventory.namespaces() {
        let name = format!("{}_{}", info.id().kind(), info.id().ino());
        assert!(graph.contains(&name), "{name} is missing\n{graph}");
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), &graph).expect("the graph is written");
    let output = StdCommand::new("dot").arg("-Tplain").arg(file.path()).output().expect("dot");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{complaints}\n{graph}");
    if let Some(inside) = inside {
        let plain = String::from_utf8_lossy(&output.stdout).into_owned();
        let edge = format!(
            "edge user_{} user_{} ",
            own(NamespaceKind::User).ino(),
            inside.id(NamespaceKind::User).ino()
        );
        assert!(plain.contains(&edge), "{edge}\n{plain}");
    }
}

/// `Some` where user namespaces are to be had.
fn unshared(set: Namespaces) -> Option<()> {
    Command::new("true").namespaces(set).status().ok().map(|_| ())
}

pub(super) fn as_json() {
    let inside = Inside::new(Namespaces::all());
    let inventory = scan();
    let json = serde_json::to_value(&inventory).expect("JSON");
    assert_eq!(json["unreadable"], inventory.unreadable());
    let listed = json["namespaces"].as_array().expect("a list");
    assert_eq!(listed.len(), inventory.namespaces().count());
    for (value, info) in listed.iter().zip(inventory.namespaces()) {
        let id: NamespaceId = serde_json::from_value(value["id"].clone()).expect("an identity");
        assert_eq!(id, info.id());
        let owner: Option<NamespaceId> =
            serde_json::from_value(value["owner"].clone()).expect("one");
        assert_eq!(owner, info.owner());
        let processes: Vec<u32> = serde_json::from_value(value["processes"].clone()).expect("pids");
        assert_eq!(processes, info.processes());
    }
    let mount = inside.id(NamespaceKind::Mount);
    assert_eq!(serde_json::to_value(mount).expect("JSON")["kind"], "mnt");
    let set = Namespaces::PID | Namespaces::MOUNT;
    assert_eq!(serde_json::to_string(&set).expect("JSON"), "\"mnt,pid\"");
    assert_eq!(serde_json::from_str::<Namespaces>("\"pid,mount\"").expect("a set"), set);
    assert!(serde_json::from_str::<NamespaceKind>("\"nett\"").is_err());
    let snapshot = ProcessNamespaces::of(inside.pid()).expect("its namespaces");
    let snapshot = serde_json::to_value(&snapshot).expect("JSON");
    assert_eq!(snapshot["mnt"], serde_json::to_value(mount).expect("JSON"));
    assert!(snapshot["pid_for_children"].is_object());
}
