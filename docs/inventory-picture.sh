#!/usr/bin/env bash
# Draws docs/inventory.png: a host with two containers, a container inside the first, a pid namespace inside the second, and a net
# namespace that only a bind mount keeps. Run it as root, with unshare(1) and dot(1). Everything it makes ends with it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo build --quiet --example lsns
lsns=$(realpath "${CARGO_TARGET_DIR:-target}")/debug/examples/lsns
picture=$(mktemp -d)
trap 'rm -rf "$picture"' EXIT

# A pid namespace of its own, so that the picture shows no more of the host than needed; all in it dies with its first process.
# shellcheck disable=SC2016
unshare --mount --pid --fork --kill-child --mount-proc bash -euc '
    lsns=$1 directory=$2
    container=(unshare --user --map-root-user --mount --pid --fork --mount-proc)
    mkfifo "$directory/up"
    exec 3<>"$directory/up"

    "${container[@]}" --net --uts --ipc --cgroup bash -euc "
        unshare --user --map-root-user --pid --fork --net bash -c \"echo up >&3; exec sleep 100 3>&-\" &
        exec sleep 100 3>&-" &
    "${container[@]}" --net --time bash -euc "
        unshare --pid --fork bash -c \"echo up >&3; exec sleep 100 3>&-\" &
        exec sleep 100 3>&-" &
    for _ in 1 2; do read -r _ <&3; done
    exec 3>&-

    touch "$directory/blue"
    unshare --net="$directory/blue" true
    "$lsns" --dot >"$directory/dot"
    umount "$directory/blue"
' picture "$lsns" "$picture"

sed "s,$picture,/run/netns,g" "$picture/dot" | dot -Tpng -Gdpi=80 >docs/inventory.png
