//! Propagation: what is mounted on one side, and seen, or not, on the other. Each in a world with `/` shared.

use crate::device::*;

/// Spawned, it mounts a tmpfs on `target`, says so, and waits.
fn mounter(target: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    let text = format!("mount -t tmpfs none {} && cat", target.display());
    command.args(["-c", &text]).namespaces(MOUNT);
    command
}

/// For each mode: whether a mount outside is seen inside, one inside is seen outside, and one inside is seen by a copy of the inside.
pub(crate) fn all_mounts() {
    shared_world();
    let table = [
        (None, false, false),
        (Some(Propagation::Private), false, false),
        (Some(Propagation::Slave), true, false),
        (Some(Propagation::Shared), true, true),
        (Some(Propagation::Unchanged), true, true),
    ];
    for (mode, seen_inside, seen_outside) in table {
        let tree = Tree::with(&["outside", "inside"]);
        let mut command = mounter(&tree.at("inside"));
        if let Some(mode) = mode {
            command.propagation(mode);
        }
        let child = running(&mut command);
        tmpfs(&tree.at("outside"));
        let inside = mounts_of(child.id());
        assert!(is_mounted(&inside, tree.at("inside")), "{mode:?}");
        assert_eq!(is_mounted(&inside, tree.at("outside")), seen_inside, "{mode:?}");
        assert_eq!(is_mounted(&mounts_of("self"), tree.at("inside")), seen_outside, "{mode:?}");
        let root = at(&inside, "/");
        assert_eq!(root.is_tied("shared:"), seen_outside, "{mode:?}: {root:?}");
        assert_eq!(root.is_tied("master:"), seen_inside && !seen_outside, "{mode:?}: {root:?}");
        end(child);
        unmount(&tree.at("outside"));
        if seen_outside {
            unmount(&tree.at("inside"));
        }
    }
}

/// A new root sends nothing out in any mode, and is not itself mounted outside.
pub(crate) fn new_roots() {
    shared_world();
    let modes =
        [Propagation::Private, Propagation::Slave, Propagation::Shared, Propagation::Unchanged];
    for mode in modes {
        for covered in [false, true] {
            let tree = Tree::with(&["root/outside", "root/inside"]);
            let root = tree.at("root");
            let before = mounts_of("self");
            let mut command = mounter(Path::new("/inside"));
            command.propagation(mode).mount_proc(false);
            if covered {
                command.mount(Mount::bind(&root, "/"));
            } else {
                command.root(&root);
            }
            let child = running(system(&mut command));
            assert_eq!(mounts_of("self"), before, "{mode:?}");
            let inside = mounts_of(child.id());
            assert!(is_mounted(&inside, "/inside"));
            assert_eq!(
                at(&inside, "/").is_tied("shared:"),
                mode == Propagation::Shared,
                "{mode:?}"
            );
            tmpfs(&root.join("outside"));
            let arrived = is_mounted(&mounts_of(child.id()), "/outside");
            assert_eq!(arrived, mode != Propagation::Private, "{mode:?} {inside:#?}");
            end(child);
            unmount(&root.join("outside"));
        }
    }
}

pub(crate) fn one_mount() {
    shared_world();
    // For each mode of the one: as above. The others are private.
    let table = [
        (None, false, false),
        (Some(Propagation::Private), false, false),
        (Some(Propagation::Slave), true, false),
        (Some(Propagation::Shared), true, true),
        (Some(Propagation::Unchanged), true, true),
    ];
    for (mode, seen_inside, seen_outside) in table {
        for recursive in [false, true] {
            let tree = Tree::with(&["source/outside", "source/inside", "target", "beside"]);
            let mut bind = Mount::bind(tree.at("source"), tree.at("target"));
            if recursive {
                bind = bind.recursive();
            }
            if let Some(mode) = mode {
                bind = bind.propagation(mode);
            }
            let mut command = mounter(&tree.at("target/inside"));
            let child = running(command.mount(bind));
            let outside = mounts_of("self");
            assert_eq!(is_mounted(&outside, tree.at("source/inside")), seen_outside, "{mode:?}");
            assert!(!is_mounted(&outside, tree.at("target")), "{mode:?}");
            tmpfs(&tree.at("source/outside"));
            tmpfs(&tree.at("beside"));
            let inside = mounts_of(child.id());
            assert_eq!(is_mounted(&inside, tree.at("target/outside")), seen_inside, "{mode:?}");
            assert!(!is_mounted(&inside, tree.at("beside")), "{mode:?}");
            end(child);
            for name in ["source/outside", "beside"] {
                unmount(&tree.at(name));
            }
            if seen_outside {
                unmount(&tree.at("source/inside"));
            }
        }
    }
    // A new user namespace only receives.
    let tree = Tree::with(&["source/outside", "source/inside", "target"]);
    let shared = Mount::bind(tree.at("source"), tree.at("target")).propagation(Propagation::Shared);
    let mut command = mounter(&tree.at("target/inside"));
    let child = running(command.namespaces(USER).mount(shared));
    assert!(!is_mounted(&mounts_of("self"), tree.at("source/inside")));
    tmpfs(&tree.at("source/outside"));
    let inside = mounts_of(child.id());
    assert!(is_mounted(&inside, tree.at("target/outside")));
    let line = at(&inside, tree.at("target"));
    assert!(line.is_tied("shared:") && line.is_tied("master:"), "{line:?}");
    end(child);
}

pub(crate) fn one_mount_of_memory() {
    shared_world();
    let tree = Tree::with(&["a", "b"]);
    let mut command = Command::new("cat");
    command
        .namespaces(MOUNT)
        .mount(Mount::tmpfs(tree.at("a")).propagation(Propagation::Shared))
        .mount(Mount::tmpfs(tree.at("b")));
    let child = running(&mut command);
    let inside = mounts_of(child.id());
    assert!(at(&inside, tree.at("a")).is_tied("shared:"));
    assert!(at(&inside, tree.at("b")).ties.is_empty());
    assert!(!is_mounted(&mounts_of("self"), tree.at("a")));
    end(child);
    // Private among shared ones.
    let mut command = Command::new("cat");
    command
        .namespaces(MOUNT)
        .propagation(Propagation::Shared)
        .root(tree.path())
        .mount(Mount::tmpfs("/a").propagation(Propagation::Private))
        .mount(Mount::tmpfs("/b"));
    let child = running(system(&mut command));
    let inside = mounts_of(child.id());
    assert!(at(&inside, "/a").ties.is_empty(), "{inside:#?}");
    assert!(at(&inside, "/b").is_tied("shared:"), "{inside:#?}");
    end(child);
}
