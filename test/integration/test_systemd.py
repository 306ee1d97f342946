"""The systemd cgroup driver, with the systemd of the machine: pods are scopes in slices, containers are ours, and what happens while the
bus is dead."""
import json
import subprocess
import time
from pathlib import Path

import grpc
import pytest

from harness import cri as harness
from harness.cri import cri
from harness.daemon import Daemon
from harness.pods import pod, start, wait_exit

MIB = 1 << 20
pytestmark = pytest.mark.skipif(not Path("/run/systemd/system").is_dir() or not Path("/sys/fs/cgroup/cgroup.controllers").exists(),
                                reason="systemd is not the init here, or cgroup version 1 is mounted")
PARENT = "kubepods-burstable-podab12_34.slice"
GROUPS = Path("/sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice") / PARENT


@pytest.fixture(scope="module")
def systemd_daemon(workspace, archive):
    folder = workspace / "systemd"
    folder.mkdir()
    running = Daemon(folder, options={"runtime.cgroup_driver": "systemd"})
    try:
        running.start().client().ImportImage(archive)
        yield running
        running.remove_all()
        assert running.stop() == 0, running.tail()
    finally:
        running.wreck()
        subprocess.run(["systemctl", "stop", "kubepods.slice", f"{running.options['runtime.cgroup_parent'][1:]}.slice"], check=False)


@pytest.fixture
def client(systemd_daemon, monkeypatch):
    monkeypatch.setattr(harness, "CGROUP_PARENT", PARENT)
    return systemd_daemon.client()


def shown(unit, *properties):
    text = subprocess.run(["systemctl", "show", unit, *(f"-p{name}" for name in properties)], capture_output=True, text=True).stdout
    return dict(line.split("=", 1) for line in text.splitlines())


def gone(path, timeout=10):
    deadline = time.monotonic() + timeout
    while path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not path.exists()


def in_scope(pod_id, name):
    return GROUPS / f"monopod-{pod_id}.scope" / name


@pytest.mark.parametrize("pid", [cri.CONTAINER, cri.POD])
def test_a_pod_is_a_scope(client, image, logs, pid):
    assert client.RuntimeConfig().linux.cgroup_driver == cri.SYSTEMD
    limits = cri.LinuxContainerResources(memory_limit_in_bytes=64 * MIB, cpu_shares=1024, cpu_quota=33333, cpu_period=90000,
                                         cpuset_cpus="0", hugepage_limits=[cri.HugepageLimit(page_size="2MB", limit=0)],
                                         unified={"memory.high": str(60 * MIB)})
    with pod(client, f"scope{pid}", logs, pid=pid) as (pod_id, config):
        unit = f"monopod-{pod_id}.scope"
        assert len(in_scope(pod_id, f"{pod_id}/cgroup.procs").read_text().split()) == 1, "what keeps the scope"
        assert in_scope(pod_id, "cgroup.procs").read_text() == "", "what began it is gone"
        assert shown(unit, "Slice", "ActiveState", "Delegate", "TasksMax") == {
            "Slice": PARENT, "ActiveState": "active", "Delegate": "yes", "TasksMax": "infinity"}
        container_id = start(client, pod_id, config, image, ["sleep", "1000"], resources=limits, pid=pid)
        group = in_scope(pod_id, container_id)
        info = json.loads(client.ContainerStatus(container_id=container_id, verbose=True).info["info"])
        assert (group / "cgroup.procs").read_text().split() == [str(info["pid"])]
        files = {"memory.max": str(64 * MIB), "cpu.max": "33333 90000", "cpu.weight": "100", "pids.max": "max", "cpuset.cpus": "0",
                 "memory.high": str(60 * MIB)}
        assert {name: (group / name).read_text().strip() for name in files} == files
        client.UpdateContainerResources(container_id=container_id, linux=cri.LinuxContainerResources(
            memory_limit_in_bytes=96 * MIB, cpu_quota=10000, unified={"memory.high": "max"}))
        files |= {"memory.max": str(96 * MIB), "cpu.max": "10000 90000", "memory.high": "max"}
        subprocess.run(["systemctl", "daemon-reload"], check=True)
        subprocess.run(["systemctl", "set-property", "--runtime", unit, "IOWeight=77"], check=True)
        time.sleep(0.5)
        assert {name: (group / name).read_text().strip() for name in files} == files, "systemd leaves what is below the scope alone"
        client.StopContainer(container_id=container_id, timeout=0)
        assert gone(group) and shown(unit, "ActiveState")["ActiveState"] == "active"
    assert gone(GROUPS / unit), "the scope goes with its last process; the slice is its maker's to stop"
    assert shown(unit, "LoadState")["LoadState"] == "not-found"


def test_a_pod_that_names_no_parent(client, image, logs, systemd_daemon, monkeypatch):
    monkeypatch.setattr(harness, "CGROUP_PARENT", "")
    slice_name = systemd_daemon.options["runtime.cgroup_parent"].strip("/") + ".slice"
    with pod(client, "none", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sleep", "1000"])
        assert (Path("/sys/fs/cgroup") / slice_name / f"monopod-{pod_id}.scope" / container_id).is_dir()


@pytest.mark.parametrize("parent", ["/kubepods/pod1", "kubepods--x.slice"])
def test_parents_that_are_no_slices(client, logs, monkeypatch, parent):
    monkeypatch.setattr(harness, "CGROUP_PARENT", parent)
    with pytest.raises(grpc.RpcError) as caught:
        client.RunPodSandbox(config=harness.pod_config("bad", logs))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "cgroup_parent" in caught.value.details()


def test_killed_for_memory(client, image, logs):
    with pod(client, "oom", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["tail", "/dev/zero"],
                             resources=cri.LinuxContainerResources(memory_limit_in_bytes=24 * MIB, unified={"memory.oom.group": "1"}))
        assert wait_exit(client, container_id, timeout=60).reason == "OOMKilled"


def test_a_new_daemon_of_the_other_driver_finds_the_pod(client, image, logs, systemd_daemon):
    with pod(client, "switch", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sleep", "1000"])
        group = in_scope(pod_id, container_id)
        systemd_daemon.kill()
        systemd_daemon.options["runtime.cgroup_driver"] = "cgroupfs"
        systemd_daemon.start()
        other = systemd_daemon.client()
        assert other.RuntimeConfig().linux.cgroup_driver == cri.CGROUPFS
        assert other.PodSandboxStatus(pod_sandbox_id=pod_id).status.state == cri.SANDBOX_READY
        assert other.ExecSync(container_id=container_id, cmd=["echo", "here"], timeout=30).stdout == b"here\n"
        other.UpdateContainerResources(container_id=container_id, linux=cri.LinuxContainerResources(memory_limit_in_bytes=32 * MIB))
        assert (group / "memory.max").read_text() == f"{32 * MIB}\n"
        other.StopContainer(container_id=container_id, timeout=0)
        second = start(other, pod_id, config, image, ["sleep", "1000"], name="second")
        assert in_scope(pod_id, second).is_dir()
        systemd_daemon.kill()
        systemd_daemon.options["runtime.cgroup_driver"] = "systemd"
        systemd_daemon.start()
        systemd_daemon.client().StopPodSandbox(pod_sandbox_id=pod_id)
        assert gone(in_scope(pod_id, ""))


def test_a_dead_bus(client, image, logs):
    """Only a new pod needs it: that one says so and leaves nothing; everything else goes on."""
    with pod(client, "bus", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sleep", "1000"])
        subprocess.run(["systemctl", "stop", "dbus.socket", "dbus.service"], check=True, capture_output=True)
        try:
            began = time.monotonic()
            with pytest.raises(grpc.RpcError) as caught:
                client.RunPodSandbox(config=harness.pod_config("nobus", logs))
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE, caught.value.details()
            assert "system bus cannot be reached" in caught.value.details() and time.monotonic() - began < 10
            assert [path.name for path in GROUPS.glob("*.scope")] == [f"monopod-{pod_id}.scope"]
            assert client.ExecSync(container_id=container_id, cmd=["echo", "alive"], timeout=30).stdout == b"alive\n"
            client.UpdateContainerResources(container_id=container_id, linux=cri.LinuxContainerResources(cpu_shares=77))
            second = start(client, pod_id, config, image, ["sleep", "1000"], name="second")
            client.StopContainer(container_id=second, timeout=0)
            client.StopPodSandbox(pod_sandbox_id=pod_id)
            assert gone(in_scope(pod_id, ""))
        finally:
            subprocess.run(["systemctl", "start", "dbus.socket"], check=True)
