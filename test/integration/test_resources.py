"""Limits of pods and containers: what reaches the kernel, what changes while they run, what is refused, and who was killed for memory.

The same tests run on cgroup version 1, version 2 and both: they look where the container's group is."""
import json
import os
import resource
from pathlib import Path

import grpc
import pytest

from harness import cri as harness
from harness.cri import cri
from harness.daemon import Daemon
from harness.pods import log_lines, pod, start, wait_exit

MIB = 1 << 20
UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers").exists()
PRECONDITION, INVALID, NOT_FOUND, EXHAUSTED = (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT,
                                               grpc.StatusCode.NOT_FOUND, grpc.StatusCode.RESOURCE_EXHAUSTED)

# (controller and file of version 1, file of version 2)
FILES = {"memory": ("memory/memory.limit_in_bytes", "memory.max"), "shares": ("cpu/cpu.shares", "cpu.weight"),
         "quota": ("cpu/cpu.cfs_quota_us", "cpu.max"), "cpus": ("cpuset/cpuset.cpus", "cpuset.cpus"),
         "pids": ("pids/pids.max", "pids.max"), "swap": ("memory/memory.memsw.limit_in_bytes", "memory.swap.max")}


@pytest.fixture
def client(daemon):
    return daemon.client()


def group_file(client, container_id, name):
    path = json.loads(client.ContainerStatus(container_id=container_id, verbose=True).info["info"])["cgroup"]
    if UNIFIED:
        return Path("/sys/fs/cgroup" + path) / FILES[name][1]
    controller, file = FILES[name][0].split("/")
    return Path("/sys/fs/cgroup") / controller / path[1:] / file


def limit(client, container_id, name):
    file = group_file(client, container_id, name)
    return file.read_text().strip() if file.exists() else None


def update(client, container_id, **fields):
    client.UpdateContainerResources(container_id=container_id, linux=cri.LinuxContainerResources(**fields))


def refused(code, words, call, *arguments, **fields):
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **fields)
    assert caught.value.code() == code, caught.value.details()
    assert words in caught.value.details(), caught.value.details()


def resources_of(client, container_id):
    return client.ContainerStatus(container_id=container_id).status.resources.linux


def test_a_running_container_is_changed(client, image, logs):
    first = cri.LinuxContainerResources(memory_limit_in_bytes=64 * MIB, cpu_shares=512, cpu_quota=50000, cpu_period=100000,
                                        oom_score_adj=500, hugepage_limits=[cri.HugepageLimit(page_size="2MB", limit=0)])
    with pod(client, "update", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sleep", "1000"], resources=first)
        update(client, container_id, memory_limit_in_bytes=128 * MIB, cpu_quota=25000)
        assert limit(client, container_id, "memory") == str(128 * MIB)
        assert limit(client, container_id, "quota") == ("25000 100000" if UNIFIED else "25000")
        assert limit(client, container_id, "swap") in (None, "0" if UNIFIED else str(128 * MIB)), "no swap without being asked for"
        update(client, container_id, cpu_shares=1024, cpuset_cpus="0", oom_score_adj=900)
        update(client, container_id, memory_limit_in_bytes=32 * MIB)
        assert limit(client, container_id, "memory") == str(32 * MIB)
        assert limit(client, container_id, "shares") == ("100" if UNIFIED else "1024")
        assert limit(client, container_id, "cpus") == "0"
        now = resources_of(client, container_id)
        assert (now.memory_limit_in_bytes, now.cpu_quota, now.cpu_period, now.cpu_shares) == (32 * MIB, 25000, 100000, 1024)
        assert now.cpuset_cpus == "0" and now.oom_score_adj == 500, "the process keeps the score it was started with"
        assert [h.page_size for h in now.hugepage_limits] == ["2MB"]
        update(client, container_id)
        client.UpdateContainerResources(container_id=container_id, annotations={"vendor.example/x": "y"})
        assert resources_of(client, container_id) == now


def test_all_or_nothing(client, image, logs):
    first = cri.LinuxContainerResources(memory_limit_in_bytes=64 * MIB, cpu_shares=512)
    with pod(client, "atomic", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sleep", "1000"], resources=first)
        before = resources_of(client, container_id)
        names = [name for name in FILES if limit(client, container_id, name) is not None]
        state = [limit(client, container_id, name) for name in names]
        for words, fields in (("cpuset.cpus", {"cpuset_cpus": "4000"}), ("cpuset.mems", {"cpuset_mems": "900"}),
                              ("unified", {"unified": {"memory.nonsense": "1"} if UNIFIED else {"memory.high": "1"}})):
            with pytest.raises(grpc.RpcError) as caught:
                update(client, container_id, memory_limit_in_bytes=128 * MIB, cpu_shares=700, cpu_quota=30000, **fields)
            assert words in caught.value.details() or "memory.nonsense" in caught.value.details(), caught.value.details()
            assert [limit(client, container_id, name) for name in names] == state, fields
        assert resources_of(client, container_id) == before


def test_a_refused_record_puts_the_limits_back(daemon, client, image, logs):
    with pod(client, "fault", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sleep", "1000"],
                             resources=cri.LinuxContainerResources(memory_limit_in_bytes=64 * MIB))
        for step in ("limits", "publish"):
            daemon.arm("update_container", step)
            try:
                with pytest.raises(grpc.RpcError):
                    update(client, container_id, memory_limit_in_bytes=128 * MIB)
            finally:
                daemon.disarm()
            assert limit(client, container_id, "memory") == str(64 * MIB)
            assert resources_of(client, container_id).memory_limit_in_bytes == 64 * MIB
        update(client, container_id, memory_limit_in_bytes=128 * MIB)
        assert limit(client, container_id, "memory") == str(128 * MIB)


def test_what_cannot_be_changed(client, image, logs):
    with pod(client, "refused", logs) as (pod_id, config):
        swap = cri.LinuxContainerResources(memory_limit_in_bytes=64 * MIB, memory_swap_limit_in_bytes=64 * MIB)
        container_id = start(client, pod_id, config, image, ["sleep", "1000"], resources=swap)
        refused(NOT_FOUND, "there is no container", update, client, "0" * 64, cpu_shares=2)
        refused(INVALID, "linux.cpu_period", update, client, container_id, cpu_period=7)
        refused(INVALID, "linux.memory_limit_in_bytes", update, client, container_id, memory_limit_in_bytes=65 * MIB)
        refused(INVALID, "linux.memory_swap_limit_in_bytes", update, client, container_id, memory_limit_in_bytes=65 * MIB,
                memory_swap_limit_in_bytes=64 * MIB)
        refused(INVALID, "linux.unified", update, client, container_id, unified={"../memory.max": "1"})
        refused(INVALID, "windows", client.UpdateContainerResources, container_id=container_id,
                windows=cri.WindowsContainerResources(cpu_shares=1))
        client.StopContainer(container_id=container_id, timeout=0)
        refused(PRECONDITION, "exited", update, client, container_id, cpu_shares=2)


def test_less_memory_than_is_used_is_refused(client, image, logs):
    """Without a kill on the way: version 1 refuses by itself, version 2 would kill."""
    script = "v=$(head -c 24000000 /dev/zero | tr '\\0' x); echo ready; sleep 1000; echo"
    with pod(client, "shrink", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sh", "-c", script],
                             resources=cri.LinuxContainerResources(memory_limit_in_bytes=128 * MIB))
        log_lines(logs / "main.log", 1, timeout=60)
        refused(PRECONDITION, "in use", update, client, container_id, memory_limit_in_bytes=8 * MIB)
        assert limit(client, container_id, "memory") == str(128 * MIB)
        assert client.ContainerStatus(container_id=container_id).status.state == cri.CONTAINER_RUNNING
        update(client, container_id, memory_limit_in_bytes=96 * MIB)


def test_a_created_container_starts_with_the_change(client, image, logs):
    with pod(client, "created", logs) as (pod_id, config):
        container = harness.container_config(image, ["sleep", "1000"], resources=cri.LinuxContainerResources(cpu_shares=512))
        container_id = client.CreateContainer(pod_sandbox_id=pod_id, config=container, sandbox_config=config).container_id
        update(client, container_id, memory_limit_in_bytes=48 * MIB, oom_score_adj=700)
        again = client.CreateContainer(pod_sandbox_id=pod_id, config=container, sandbox_config=config).container_id
        assert again == container_id, "the request it was made from is still the same"
        client.StartContainer(container_id=container_id)
        assert limit(client, container_id, "memory") == str(48 * MIB)
        assert client.ExecSync(container_id=container_id, cmd=["cat", "/proc/self/oom_score_adj"], timeout=20).stdout == b"700\n"
        now = resources_of(client, container_id)
        assert (now.cpu_shares, now.memory_limit_in_bytes, now.oom_score_adj) == (512, 48 * MIB, 700)


def test_a_new_daemon_knows_the_changes(daemon, image, logs):
    client = daemon.client()
    with pod(client, "restart", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sleep", "1000"],
                             resources=cri.LinuxContainerResources(memory_limit_in_bytes=64 * MIB, cpu_shares=99))
        update(client, container_id, memory_limit_in_bytes=96 * MIB)
        client.UpdatePodSandboxResources(pod_sandbox_id=pod_id, overhead=cri.LinuxContainerResources(cpu_shares=5))
        client.UpdatePodSandboxResources(pod_sandbox_id=pod_id, resources=cri.LinuxContainerResources(memory_limit_in_bytes=MIB))
        daemon.kill()
        daemon.start()
        after = daemon.client()
        now = resources_of(after, container_id)
        assert (now.memory_limit_in_bytes, now.cpu_shares) == (96 * MIB, 99)
        info = json.loads(after.PodSandboxStatus(pod_sandbox_id=pod_id, verbose=True).info["info"])
        assert info["overhead"]["cpuShares"] == 5 and info["resources"]["memoryLimitInBytes"] == MIB
        update(after, container_id, memory_limit_in_bytes=128 * MIB)
        assert limit(after, container_id, "memory") == str(128 * MIB)
        client = after
        client.StopPodSandbox(pod_sandbox_id=pod_id)
        refused(PRECONDITION, "not ready", client.UpdatePodSandboxResources, pod_sandbox_id=pod_id)
        refused(NOT_FOUND, "there is no sandbox", client.UpdatePodSandboxResources, pod_sandbox_id="0" * 64)
        client.RemovePodSandbox(pod_sandbox_id=pod_id)


def test_unified_is_for_version_2(client, image, logs):
    with pod(client, "unified", logs) as (pod_id, config):
        unified = cri.LinuxContainerResources(unified={"pids.max": "77", "memory.high": str(40 * MIB)})
        if not UNIFIED:
            refused(PRECONDITION, "version 2", start, client, pod_id, config, image, ["true"], resources=unified)
            return
        container_id = start(client, pod_id, config, image, ["sleep", "1000"], resources=unified)
        assert limit(client, container_id, "pids") == "77"
        update(client, container_id, unified={"memory.high": str(50 * MIB)})
        assert dict(resources_of(client, container_id).unified) == {"pids.max": "77", "memory.high": str(50 * MIB)}
        assert group_file(client, container_id, "memory").with_name("memory.high").read_text() == f"{50 * MIB}\n"


@pytest.mark.skipif(harness.CGROUP_DRIVER != "cgroupfs", reason="test_systemd.py has its counterpart")
def test_a_slice_is_for_the_other_driver(daemon, client, logs, monkeypatch):
    assert client.RuntimeConfig().linux.cgroup_driver == cri.CGROUPFS
    descriptors = sorted(os.listdir(f"/proc/{daemon.process.pid}/fd"))
    monkeypatch.setattr(harness, "CGROUP_PARENT", "kubepods-burstable-podab12_34.slice")
    for number in range(3):
        refused(INVALID, "linux.cgroup_parent: 'kubepods-burstable-podab12_34.slice' is a systemd slice", client.RunPodSandbox,
                config=harness.pod_config(f"slice{number}", logs))
    assert "0" in os.listdir(f"/proc/{daemon.process.pid}/fd") and "0" in descriptors, "what was never opened is not closed"


# ---- who was killed for memory ----

HOG = "head -c 200m /dev/zero | tail >/dev/null"
SMALL = cri.LinuxContainerResources(memory_limit_in_bytes=24 * MIB)


def ended(client, image, logs, name, script, act=None):
    with pod(client, name, logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sh", "-c", script], resources=SMALL)
        if act:
            act(container_id)
        return wait_exit(client, container_id, timeout=60)


def test_the_process_itself(client, image, logs):
    status = ended(client, image, logs, "itself", "exec tail /dev/zero")
    assert (status.reason, status.exit_code) == ("OOMKilled", 137)


def test_a_shell_that_passes_it_on(client, image, logs):
    status = ended(client, image, logs, "shell", HOG)
    assert (status.reason, status.exit_code) == ("OOMKilled", 137)


@pytest.mark.parametrize("code, reason", [(0, "Completed"), (3, "Error"), (143, "Error")])
def test_a_child_while_the_process_goes_on(client, image, logs, code, reason):
    status = ended(client, image, logs, f"child{code}", f"{HOG}; echo $?; exit {code}")
    assert (status.reason, status.exit_code) == (reason, code)
    assert "137" in (logs / "main.log").read_text(), "the child was to be killed"


def test_an_executed_process(client, image, logs):
    """It is killed, the container is not; and the container's own end by SIGKILL, ours or another's, is not taken for it."""
    def act(container_id):
        done = client.ExecSync(container_id=container_id, cmd=["tail", "/dev/zero"], timeout=60)
        assert done.exit_code == 137
        assert client.ContainerStatus(container_id=container_id).status.state == cri.CONTAINER_RUNNING
        pid = json.loads(client.ContainerStatus(container_id=container_id, verbose=True).info["info"])["pid"]
        os.kill(pid, 9)
    status = ended(client, image, logs, "exec", "sleep 1000", act)
    assert (status.reason, status.exit_code) == ("Error", 137)


def test_a_stop_after_a_child_was_killed(client, image, logs):
    def act(container_id):
        log_lines(logs / "main.log", 1, timeout=60)
        client.StopContainer(container_id=container_id, timeout=0)
    status = ended(client, image, logs, "stopped", f"{HOG}; echo $?; sleep 1000", act)
    assert (status.reason, status.exit_code) == ("Error", 137)


def test_a_limit_too_small_to_start(client, image, logs):
    with pod(client, "tiny", logs) as (pod_id, config):
        refused(EXHAUSTED, "memory limit of 4096 bytes", start, client, pod_id, config, image, ["sleep", "1000"],
                resources=cri.LinuxContainerResources(memory_limit_in_bytes=4096))
        left = client.ListContainers().containers[0].id
        status = client.ContainerStatus(container_id=left).status
        assert (status.state, status.exit_code, status.reason) == (cri.CONTAINER_EXITED, 128, "StartError")


def test_an_oom_score_below_the_daemons_own(daemon, client, image, logs):
    """Exact with CAP_SYS_RESOURCE; without it the lowest that is allowed, and one warning for all."""
    caps = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff")][0]
    own = int(Path(f"/proc/{daemon.process.pid}/oom_score_adj").read_text())
    wanted = -500 if int(caps, 16) >> 24 & 1 else max(own, -500)
    with pod(client, "score", logs) as (pod_id, config):
        for name in ("first", "second"):
            container_id = start(client, pod_id, config, image, ["sleep", "1000"], name=name,
                                 resources=cri.LinuxContainerResources(oom_score_adj=-500))
            for command in (["cat", "/proc/1/oom_score_adj"], ["cat", "/proc/self/oom_score_adj"]):
                done = client.ExecSync(container_id=container_id, cmd=command, timeout=20)
                assert done.stdout.decode() == f"{wanted}\n", done.stderr
    warnings = daemon.log.read_text(errors="replace").count("without CAP_SYS_RESOURCE")
    assert warnings == (0 if wanted == -500 else 1)


# ---- limits of processes ----

def test_the_limit_of_open_files_is_the_daemons_own_from_before(daemon, client, image, logs):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = f"{soft} {hard}".replace(str(resource.RLIM_INFINITY), "unlimited")
    raised = [line.split()[3:5] for line in Path(f"/proc/{daemon.process.pid}/limits").read_text().splitlines()
              if line.startswith("Max open files")][0]
    assert raised[0] == raised[1]
    script = "ulimit -Sn; ulimit -Hn"
    with pod(client, "files", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sh", "-c", f"{script}; sleep 1000"])
        assert " ".join(text for _, _, text in log_lines(logs / "main.log", 2)) == wanted
        done = client.ExecSync(container_id=container_id, cmd=["sh", "-c", script], timeout=20)
        assert done.stdout.decode().split() == wanted.split()


def test_the_nodes_limit_of_processes(workspace, archive, image, logs):
    folder = workspace / "pids"
    folder.mkdir()
    daemon = Daemon(folder, options={"runtime.pids_limit": 40, "net.bridge": f"mps{os.getpid() % 100000}",
                                     "net.pod_cidr": "10.215.0.0/16"})
    try:
        client = daemon.start().client()
        client.ImportImage(archive)
        with pod(client, "pids", logs) as (pod_id, config):
            container_id = start(client, pod_id, config, image, ["sleep", "1000"])
            assert limit(client, container_id, "pids") == "40"
            update(client, container_id, cpu_shares=100)
            assert limit(client, container_id, "pids") == "40"
        daemon.remove_all()
        assert daemon.stop() == 0, daemon.tail()
    finally:
        daemon.wreck()
