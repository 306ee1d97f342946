"""`monopod oci`: limits that engines ask for beside those of Kubernetes. What the host has no controller for is refused by name."""
import json
import os
import subprocess
from pathlib import Path

import pytest

from harness.oci import RUNTIME

CGROUPS = Path("/sys/fs/cgroup")
UNIFIED = (CGROUPS / "cgroup.controllers").exists()


def hierarchy(controller):
    """The version 1 hierarchy of a controller, or None."""
    path = CGROUPS / controller
    return path if path.is_dir() and not UNIFIED else None


def running(oci, name, **resources):
    oci.configure(lambda c: c["linux"]["resources"].update(resources))
    oci.make("run", name, "--detach", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def group(oci, name, controller):
    found = oci.groups(name, hierarchy(controller) or CGROUPS)
    assert found, f"no group in {controller}"
    return found[0]


def a_disk():
    for line in Path("/proc/partitions").read_text().splitlines()[2:]:
        major, minor, _, name = line.split()
        if (Path("/sys/block") / name).exists() and name.startswith(("vd", "sd", "nvme", "xvd")):
            return int(major), int(minor)
    pytest.skip("no disk here")


def test_cpu_burst_idle_and_realtime(oci):
    root = hierarchy("cpu")
    if not root:
        pytest.skip("cpu is not on cgroup version 1")
    running(oci, "cb1", cpu={"quota": 50000, "period": 100000, "burst": 20000, "realtimePeriod": 500000, "realtimeRuntime": 1000})
    here = group(oci, "cb1", "cpu")
    assert (here / "cpu.cfs_burst_us").read_text() == "20000\n"
    if (here / "cpu.rt_runtime_us").exists():
        assert (here / "cpu.rt_period_us").read_text() == "500000\n" and (here / "cpu.rt_runtime_us").read_text() == "1000\n"
    oci.call("update", "--cpu-burst", "0", "--cpu-idle", "1", "cb1")
    assert (here / "cpu.cfs_burst_us").read_text() == "0\n" and (here / "cpu.idle").read_text() == "1\n"
    oci.call("update", "--resources", "-", "cb1", input=json.dumps({"cpu": {"idle": 0, "shares": 77}}))
    assert (here / "cpu.idle").read_text() == "0\n" and (here / "cpu.shares").read_text() == "77\n"


def test_idle_and_burst_on_version_2(oci):
    if not UNIFIED:
        pytest.skip("no cgroup version 2 alone")
    running(oci, "ci2", cpu={"quota": 50000, "period": 100000, "burst": 20000, "idle": 1})
    here = group(oci, "ci2", "cpu")
    assert (here / "cpu.max.burst").read_text() == "20000\n" and (here / "cpu.idle").read_text() == "1\n"
    oci.call("delete", "--force", "ci2")
    assert "realtime" in oci.refused("ci3", lambda c: c["linux"]["resources"].update(cpu={"realtimeRuntime": 5}))
    assert "disableOOMKiller" in oci.refused("ci4", lambda c: c["linux"]["resources"].update(memory={"disableOOMKiller": True}))
    # a wish that does not hold: said, not refused
    assert "swappiness" in oci.shell("ci5", "true", lambda c: c["linux"]["resources"].update(memory={"swappiness": 7}), check=False).stderr


def test_tcp_memory_and_the_oom_killer(oci):
    if not hierarchy("memory"):
        pytest.skip("memory is not on cgroup version 1")
    running(oci, "mt1", memory={"kernelTCP": 20971520, "disableOOMKiller": True, "checkBeforeUpdate": True})
    here = group(oci, "mt1", "memory")
    assert (here / "memory.kmem.tcp.limit_in_bytes").read_text() == "20971520\n"
    assert "oom_kill_disable 1" in (here / "memory.oom_control").read_text()
    oci.call("update", "--resources", "-", "mt1", input='{"memory":{"disableOOMKiller":false}}')
    assert "oom_kill_disable 0" in (here / "memory.oom_control").read_text()


def test_block_throttles(oci):
    """Each device its line; a second update changes one rate and leaves the others, and one that fails leaves all."""
    if not hierarchy("blkio"):
        pytest.skip("blkio is not on cgroup version 1")
    major, minor = a_disk()
    device = {"major": major, "minor": minor}
    running(oci, "bt1", blockIO={"throttleReadBpsDevice": [{**device, "rate": 1048576}], "throttleWriteIOPSDevice": [{**device, "rate": 100}]})
    here = group(oci, "bt1", "blkio")
    assert (here / "blkio.throttle.read_bps_device").read_text() == f"{major}:{minor} 1048576\n"
    assert (here / "blkio.throttle.write_iops_device").read_text() == f"{major}:{minor} 100\n"
    assert oci.state("bt1")["pid"] in map(int, (here / "cgroup.procs").read_text().split())
    oci.call("update", "--resources", "-", "bt1", input=json.dumps({"blockIO": {"throttleReadBpsDevice": [{**device, "rate": 2097152}]}}))
    assert (here / "blkio.throttle.read_bps_device").read_text() == f"{major}:{minor} 2097152\n"
    bad = {"blockIO": {"throttleReadBpsDevice": [{**device, "rate": 7}, {"major": 4000, "minor": 77, "rate": 1}]}}
    assert oci.call("update", "--resources", "-", "bt1", input=json.dumps(bad), check=False).returncode == 1
    assert (here / "blkio.throttle.read_bps_device").read_text() == f"{major}:{minor} 2097152\n"


def test_block_weights(oci):
    root = hierarchy("blkio")
    if not root:
        pytest.skip("blkio is not on cgroup version 1")
    oci.configure(lambda c: c["linux"]["resources"].update(blockIO={"weight": 500}))
    result = oci.create("bw1")
    if result.returncode == 0:
        here = group(oci, "bw1", "blkio")
        text = next((here / f).read_text() for f in ("blkio.weight", "blkio.bfq.weight") if (here / f).exists())
        assert text.split()[-1] == "500"
        oci.call("update", "--blkio-weight", "300", "bw1")
        oci.call("delete", "--force", "bw1")
    else:
        assert "blockIO.weight: this kernel has no such setting" in result.out
    assert "10 and 1000" in oci.refused("bw2", lambda c: c["linux"]["resources"].update(blockIO={"weight": 5}))


def test_block_limits_on_version_2(oci):
    if not UNIFIED or "io" not in (CGROUPS / "cgroup.controllers").read_text().split():
        pytest.skip("no io controller on cgroup version 2")
    major, minor = a_disk()
    running(oci, "bt2", blockIO={"throttleReadBpsDevice": [{"major": major, "minor": minor, "rate": 1048576}]})
    assert f"{major}:{minor} rbps=1048576" in (group(oci, "bt2", "io") / "io.max").read_text()
    oci.call("update", "--resources", "-", "bt2", input=json.dumps({"blockIO": {"throttleReadBpsDevice": [{"major": major, "minor": minor, "rate": 0}]}}))
    assert "rbps=1048576" not in (group(oci, "bt2", "io") / "io.max").read_text()


def test_a_hierarchy_that_it_was_not_made_in(oci):
    if not hierarchy("blkio"):
        pytest.skip("blkio is not on cgroup version 1")
    running(oci, "nh1")
    major, minor = a_disk()
    limit = {"blockIO": {"throttleReadBpsDevice": [{"major": major, "minor": minor, "rate": 1}]}}
    assert "made without a limit of that controller" in oci.call("update", "--resources", "-", "nh1", input=json.dumps(limit), check=False).stderr


@pytest.mark.parametrize("what, limit", [("network.classID", {"network": {"classID": 1048577}}),
                                         ("network.priorities", {"network": {"priorities": [{"name": "lo", "priority": 3}]}}),
                                         ("rdma", {"rdma": {"mlx5_1": {"hcaHandles": 3}}})])
def test_a_controller_that_is_not_there(oci, what, limit):
    if any(os.path.isdir(CGROUPS / c) for c in ("net_cls", "net_prio", "rdma")) or UNIFIED:
        pytest.skip("the controllers are there")
    out = oci.refused("nc1", lambda c: c["linux"]["resources"].update(limit))
    assert what in out and "has no" in out and "controller" in out


NETWORK = r"""
set -e
mkdir "$1/net"
mount -t cgroup -o net_cls,net_prio net "$1/net" || exit 77
# A hierarchy that is unmounted before the kernel has let go of its last group stays, mounted nowhere: it is mounted once more then.
end() {
	umount "$1/net"
	for i in 1 2 3 4 5 6 7 8 9 10; do
		grep -q '^net_cls	0' /proc/cgroups && break
		sleep 0.2
		mount -t cgroup -o net_cls,net_prio net "$1/net" && umount "$1/net"
	done
}
trap 'end "$1"' EXIT
"$2" --root "$1/state" run --bundle "$3" --detach nw1 >/dev/null 2>&1
cat "$1"/net/monopod-oci-nw1/net_cls.classid
grep '^lo ' "$1"/net/monopod-oci-nw1/net_prio.ifpriomap
cat "$1"/net/monopod-oci-nw1/cgroup.procs
"$2" --root "$1/state" state nw1 | grep '"pid"'
"$2" --root "$1/state" delete --force nw1
test ! -e "$1"/net/monopod-oci-nw1
"""


def test_network_class_and_priorities(oci, tmp_path):
    """In a mount namespace that has the hierarchies, which are nowhere else and gone with it."""
    if UNIFIED or "net_cls" not in Path("/proc/cgroups").read_text():
        pytest.skip("this kernel has no net_cls")
    oci.configure(lambda c: c["linux"]["resources"].update(network={"classID": 1048577, "priorities": [{"name": "lo", "priority": 3}]}))
    oci.ids.append("nw1")
    result = subprocess.run(["unshare", "--mount", "sh", "-c", NETWORK, "sh", tmp_path, RUNTIME, oci.bundle], capture_output=True, text=True, timeout=60)
    if result.returncode == 77:
        pytest.skip("net_cls is in use with other controllers")
    assert result.returncode == 0, result.stderr
    class_id, priority, pid, state = result.stdout.splitlines()
    assert (class_id, priority) == ("1048577", "lo 3") and pid in state
