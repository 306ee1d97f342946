#!/bin/sh
# Pulls side by side: this, containerd and podman, from a registry on loopback to a root that can be mounted.
#
#     tools/bench-pull.sh BUILD_DIRECTORY
#
# ROUNDS=5 alternating rounds, CASES="a b c a-zstd b-zstd c-zstd", ENGINES="monopod containerd containerd-cri podman". STORE=disk puts
# the stores on the machine's disk instead of into memory; REGISTRY_DATA=DIR keeps the generated images for the next time. The table's meaning stands in bench/pull.py; its figures go to
# BUILD_DIRECTORY/bench-results/pull.json. Everything runs in namespaces, directories and a cgroup of its own, and is
# removed at the end.
set -eu
cd "$(dirname "$0")/.."
build=$(realpath "$1")

if [ "${MONOPOD_BENCH_INSIDE:-}" != "$$" ]; then
	tools/deps.sh bench-pull
	# Whatever a daemon starts ends with the first process of the PID namespace, which is this script's second life.
	MONOPOD_BENCH_INSIDE=1 exec unshare --net --mount --pid --mount-proc --fork --kill-child "$0" "$build"
fi
ip link set lo up

dir=$(mktemp -d /var/tmp/bench-pull.XXXXXX)
cgroup=monopod-$(basename "$dir")

# shellcheck source=tools/cgroups.sh
. tools/cgroups.sh

clean_up() {
	status=$?
	trap - EXIT HUP INT TERM
	remove_cgroups
	cgroup=$cgroup-pods
	remove_cgroups
	awk -v dir="$dir/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r mount; do umount -l "$mount"; done
	rm -rf "$dir"
	exit $status
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

mkdir -p "$build/bench-results"
/usr/bin/python3 bench/pull.py "$build" "$dir" "$cgroup"
mv "$dir/results.json" "$build/bench-results/pull.json"
