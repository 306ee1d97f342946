#!/bin/sh
# OCI runtimes side by side: one trivial bundle, `run` to its end, in alternating rounds.
#
#     tools/bench-oci.sh BUILD_DIRECTORY WORK_DIRECTORY
#
# The floor is build/bench/oci_floor: the system calls that the bundle asks for, and nothing else. No runtime can be faster, so the last
# line says how much of the way there is left.
#
# In a mount namespace without the unified hierarchy where version 1 is beside it: crun 1.8 refuses a hybrid host whose version 2 has
# controllers, and all three are to do the same work.
set -eu
build=$(realpath "$1")
dir=$(realpath "$2")
if [ "${MONOPOD_OCI_BENCH_INSIDE:-}" != "$$" ]; then
	MONOPOD_OCI_BENCH_INSIDE=$$ exec unshare --mount "$0" "$build" "$dir"
fi
! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified

bundle=$dir/oci-bundle
mkdir -p "$bundle/rootfs/bin" "$dir/oci-state"
mount -t tmpfs oci-state "$dir/oci-state"
cp /bin/busybox "$bundle/rootfs/bin/true"
"$build/monopod-oci" spec --bundle "$bundle"
sed -i 's/"terminal": true/"terminal": false/; s/"sh"/"true"/; s/"ociVersion": "[^"]*"/"ociVersion": "1.0.2"/' "$bundle/config.json"

exec /usr/bin/python3 - "$build" "$bundle" "$dir/oci-state" "${ROUNDS:-5}" <<'END'
import statistics
import subprocess
import sys
import time

build, bundle, state, rounds = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])


def runtime(program):
    return lambda name: [program, "--root", f"{state}/{program.rpartition('/')[2]}", "run", "--bundle", bundle, name]


commands = {
    "monopod-oci": runtime(f"{build}/monopod-oci"),
    "monopod oci": lambda name: [f"{build}/monopod", "oci", *runtime(f"{build}/monopod-oci")(name)[1:]],
    "crun": runtime("crun"),
    "runc": runtime("runc"),
    "floor": lambda name: [f"{build}/bench/oci_floor", f"{bundle}/rootfs", f"floor-{name}"],
}
times = {name: [] for name in commands}
for _ in range(rounds):
    for name, command in commands.items():
        for i in range(20):
            began = time.perf_counter()
            subprocess.run(command(f"bench{i}"), check=True, stderr=subprocess.DEVNULL)
            times[name].append((time.perf_counter() - began) * 1000)
median = {name: statistics.median(values) for name, values in times.items()}
print("run of a trivial bundle, ms:      p10      p50")
for name, values in times.items():
    print(f"  {name:<24} {statistics.quantiles(values, n=10)[0]:11.2f} {median[name]:8.2f}")
for name in ("monopod-oci", "floor"):
    print(f"{name}: {median['crun'] / median[name]:.1f} times as fast as crun, {median['runc'] / median[name]:.1f} times as runc")
print(f"monopod-oci / floor {median['monopod-oci'] / median['floor']:.2f}")
END
