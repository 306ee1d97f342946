#!/bin/sh
# OCI runtimes side by side: `run` of a bundle to its end.
#
#     tools/bench-oci.sh BUILD_DIRECTORY WORK_DIRECTORY
#
# Two bundles: "spec", which `monopod oci spec` writes, and "least", with no more in it than all three runtimes accept. Their command ends
# at once. Two ways: "in turn", one run of each after a pause, which is how containers are started; and "in a row", twenty runs of the
# same, where what one run leaves in the kernel serves the next: who moves a process into a cgroup from outside waits for an RCU grace
# period first, and not again while the last one is fresh. ROUNDS=5 times 20 runs of each.
#
# The floor is build/bench/oci_floor: the system calls that the bundle asks for, one after the other, and nothing else.
#
# In a mount namespace without the unified hierarchy where version 1 is beside it: crun 1.8 refuses a hybrid host whose version 2 has
# controllers, and all three are to do the same work.
set -eu
build=$(realpath "$1")
dir=$(realpath "$2")
if [ "${MONOPOD_OCI_BENCH_INSIDE:-}" != "$$" ]; then
	MONOPOD_OCI_BENCH_INSIDE=$$ exec unshare --mount "$0" "$build" "$dir"
fi
if mountpoint -q /sys/fs/cgroup/unified; then
	umount /sys/fs/cgroup/unified
	# crun makes its groups here all the same
	mount -t tmpfs oci-unified /sys/fs/cgroup/unified
fi

for bundle in spec least; do
	mkdir -p "$dir/oci-$bundle/rootfs/bin" "$dir/oci-$bundle/rootfs/proc"
	cp "$build/bench/oci_true" "$dir/oci-$bundle/rootfs/bin/true"
done
mkdir -p "$dir/oci-state"
mount -t tmpfs oci-state "$dir/oci-state"
"$build/monopod" oci spec --bundle "$dir/oci-spec"
sed -i 's/"terminal": true/"terminal": false/; s/"sh"/"true"/; s/"ociVersion": "[^"]*"/"ociVersion": "1.0.2"/' "$dir/oci-spec/config.json"
# runc looks into /proc before it execs, and crun wants "mounts"
cat >"$dir/oci-least/config.json" <<'END'
{
	"ociVersion": "1.0.2",
	"process": { "args": ["true"], "cwd": "/", "env": ["PATH=/bin"], "user": { "uid": 0, "gid": 0 } },
	"root": { "path": "rootfs" },
	"mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" }],
	"linux": { "namespaces": [{ "type": "mount" }, { "type": "pid" }] }
}
END

exec /usr/bin/python3 - "$build" "$dir" "${ROUNDS:-5}" <<'END'
import statistics
import subprocess
import sys
import time

build, work, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])

RUNTIMES = {"monopod oci": [f"{build}/monopod", "oci"], "crun": ["crun"], "runc": ["runc"]}
RUNS = 20
PAUSE_S = 0.04


def command(who, bundle, name):
    if who == "floor":
        return [f"{build}/bench/oci_floor", bundle, f"{work}/oci-{bundle}/rootfs", f"floor-{name}"]
    return [*RUNTIMES[who], "--root", f"{work}/oci-state/{who}", "run", "--bundle", f"{work}/oci-{bundle}", name]


def measure(who, bundle, number):
    began = time.perf_counter()
    subprocess.run(command(who, bundle, f"bench{number}"), check=True, stderr=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1000


def in_turn(bundle, times):
    for number in range(RUNS):
        for who, values in times.items():
            time.sleep(PAUSE_S)
            values.append(measure(who, bundle, number))


def in_a_row(bundle, times):
    for who, values in times.items():
        values += [measure(who, bundle, number) for number in range(RUNS)]


def report(title, times):
    median = {who: statistics.median(values) for who, values in times.items()}
    print(f"run of bundle {title + ', ms:':<24} {'p10':>7} {'p50':>7}")
    for who, values in times.items():
        print(f"  {who:<36} {statistics.quantiles(values, n=10)[0]:7.2f} {median[who]:7.2f}")
    for who in ("monopod oci", "floor"):
        print(f"  {who + ':':<13} {median['crun'] / median[who]:4.1f} times as fast as crun, {median['runc'] / median[who]:4.1f} times as runc")


for bundle in ("spec", "least"):
    for way in (in_turn, in_a_row):
        times = {who: [] for who in (*RUNTIMES, "floor")}
        for _ in range(rounds):
            way(bundle, times)
        report(f"'{bundle}' {way.__name__.replace('_', ' ')}", times)
END
