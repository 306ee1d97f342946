#!/bin/sh
# The benchmark: what a pod costs here, and how far that is from what the kernel alone needs.
#
#     tools/bench.sh BUILD_DIRECTORY
#
# ROUNDS=5 rounds of PODS=20 pods per series, WIDE=8 at a time in the parallel one; each round runs the floor too, so that a neighbour
# who wakes up slows both. Results as JSON go to BUILD_DIRECTORY/bench-results. Everything runs in a network
# namespace, directories and a cgroup of its own, and is removed at the end.
set -eu
cd "$(dirname "$0")/.."
build=$(realpath "$1")

if [ "${MONOPOD_BENCH_INSIDE:-}" != "$$" ]; then
	tools/deps.sh bench
	# unshare keeps the process, so the number tells the second life from an inherited variable.
	MONOPOD_BENCH_INSIDE=$$ exec unshare --net "$0" "$build"
fi
ip link set lo up

rounds=${ROUNDS:-5}
pods=${PODS:-20}
wide=${WIDE:-8}
image=docker.io/library/demo:latest
results=$build/bench-results
dir=$(mktemp -d /var/tmp/monopod-bench.XXXXXX)
cgroup=/monopod-bench-$$
daemon=

# shellcheck source=tools/cgroups.sh
. tools/cgroups.sh

clean_up() {
	status=$?
	trap - EXIT HUP INT TERM
	if [ -n "$daemon" ]; then
		"$build/monopod" --socket "$dir/sock" rm --all --force >/dev/null 2>&1 || true
		kill "$daemon" 2>/dev/null || true
		wait "$daemon" 2>/dev/null || true
	fi
	[ $status -eq 0 ] || [ ! -s "$dir/log" ] || tail -n 20 "$dir/log" >&2
	awk -v dir="$dir/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r mount; do umount -l "$mount"; done
	remove_cgroups
	rm -rf "$dir"
	exit $status
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

mkdir -p "$results"
tools/mkimage.sh --name "$image" "$dir/image.tar"
"$build/monopod" serve --set "server.root_dir=$dir/root" --set "server.state_dir=$dir/state" --set "server.socket=$dir/sock" \
	--set "net.cni_conf_dir=$dir/net.d" --set "runtime.cgroup_parent=$cgroup" --set server.log_level=warn >"$dir/log" 2>&1 &
daemon=$!
tries=0
until "$build/monopod" --socket "$dir/sock" version >/dev/null 2>&1; do
	kill -0 "$daemon" 2>/dev/null || exit 1
	tries=$((tries + 1))
	[ $tries -lt 200 ] || exit 1
	sleep 0.02
done
"$build/monopod" --socket "$dir/sock" import --quiet "$dir/image.tar" >/dev/null

echo "$(nproc) CPUs, Linux $(uname -r), daemon $(awk '/^VmRSS/ { print $2 }' "/proc/$daemon/status") KiB resident"
echo

series() { # NAME PARALLEL OPTION...
	name=$1 parallel=$2
	shift 2
	"$build/bench/podstart" --endpoint "monopod=$dir/sock" --image "$image" --rounds "$rounds" --pods "$pods" --parallel "$parallel" \
		--title "$name" --floor "$build/bench/floor" --floor-dir "$dir" --json "$results/$name.json" "$@"
}

series pod-network 1
series host-network 1 --host-network
series pod-network-wide "$wide"
"$build/bench/floor" --dir "$dir" --iterations "$pods"

tools/bench-oci.sh "$build" "$dir" | tee "$results/oci.txt"

echo "daemon afterwards: $(awk '/^VmRSS/ { print $2 }' "/proc/$daemon/status") KiB resident, $(find "/proc/$daemon/fd" -type l | wc -l) descriptors"
echo "written to $results"
