"""What runs out: a reply's size, the disk, a caller's patience."""
import os
import resource
import subprocess
import time
from pathlib import Path

import grpc
import pytest

from conftest import IMAGE
from harness.cri import container_config, cri, pod_config
from harness.daemon import TAG, Daemon
from harness.inventory import baseline, settle
from harness.pods import pod, start, wait_exit


def test_output_over_the_limit_is_cut_and_the_exit_code_kept(daemon, image, logs):
    client = daemon.client()
    with pod(client, "loud", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sleep", "1000"])
        loud = "head -c 20000000 /dev/zero; head -c 20000000 /dev/zero >&2; exit 3"
        done = client.ExecSync(container_id=container_id, cmd=["sh", "-c", loud], timeout=30)
        assert done.exit_code == 3
        assert 16_700_000 < len(done.stdout) + len(done.stderr) <= 16 << 20


@pytest.fixture
def small_disk(workspace, archive):
    """A daemon whose root directory is a file system of 24 MiB."""
    folder = workspace / "small-disk"
    (folder / "root").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "mptest-small", folder / "root"], check=True)
    daemon = Daemon(folder, options={"net.bridge": f"mps{TAG}", "net.pod_cidr": "10.215.0.0/16"})
    try:
        yield daemon.start()
        assert daemon.stop() == 0, daemon.tail(60)
    finally:
        daemon.wreck()


def test_a_full_disk_can_be_emptied_again(small_disk, archive, logs):
    client = small_disk.client()
    client.ImportImage(archive)
    config = pod_config("full", logs)
    pod_id = client.RunPodSandbox(config=config).pod_sandbox_id
    container_id = start(client, pod_id, config, IMAGE, ["sh", "-c", "dd if=/dev/zero of=/fill bs=4k 2>/dev/null; exit 9"])
    assert wait_exit(client, container_id).exit_code == 9
    with pytest.raises(grpc.RpcError) as caught:
        client.CreateContainer(pod_sandbox_id=pod_id, sandbox_config=config, config=container_config(IMAGE, ["true"], name="more"))
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, caught.value.details()
    client.StopContainer(container_id=container_id, timeout=0)
    client.RemoveContainer(container_id=container_id)
    client.StopPodSandbox(pod_sandbox_id=pod_id)
    client.RemovePodSandbox(pod_sandbox_id=pod_id)
    assert not client.ListPodSandbox().items
    with pod(client, "again", logs) as (pod_id, config):
        assert wait_exit(client, start(client, pod_id, config, IMAGE, ["true"])).exit_code == 0
    client.RemoveImage(image=cri.ImageSpec(image=IMAGE))
    assert not client.ListImages().images


def test_an_archive_that_never_comes_holds_nobody(daemon, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    client = daemon.client()
    with pytest.raises(grpc.RpcError) as caught:  # nobody writes: the end of an archive that is none
        client.ImportImage(fifo)
    assert caught.value.code() != grpc.StatusCode.DEADLINE_EXCEEDED
    with open(fifo, "rb+", buffering=0):  # a writer that says nothing
        call = client.channel.unary_unary("/monopod.v1.Admin/ImportImage")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"\x0a" + bytes([len(str(fifo))]) + str(fifo).encode(), timeout=1)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert client.Version().runtime_name == "monopod"


def test_two_daemons_do_not_share_a_bridge(daemon, workspace):
    folder = workspace / "second"
    folder.mkdir()
    second = Daemon(folder)
    with pytest.raises(AssertionError, match=f"bridge {daemon.bridge} .* is in use by another daemon"):
        second.start()
    assert daemon.client().Version().runtime_name == "monopod"


def test_a_second_daemon_on_the_socket_touches_nothing(daemon, workspace):
    """It is refused before it has made a folder, a bridge or anything else of its own, whatever else it was told."""
    folder = workspace / "intruder"
    folder.mkdir()
    second = Daemon(folder, options={"server.socket": daemon.socket, "net.bridge": f"mps{TAG}", "net.pod_cidr": "10.219.0.0/16"})
    done = subprocess.run([str(second.binary), "serve", *[f"--set={name}={value}" for name, value in second.options.items()]],
                          capture_output=True, text=True, timeout=20, env=second.environment)
    assert done.returncode == 1
    assert "another daemon answers on this socket" in done.stderr
    assert not list(folder.iterdir())
    assert subprocess.run(["ip", "link", "show", second.bridge], capture_output=True).returncode != 0
    assert daemon.client().Version().runtime_name == "monopod"


def test_a_start_without_descriptors_leaves_nothing(release_daemon, logs):
    """Wherever in a start the descriptors run out: the undo, which needs some itself, is brought to its end once there are some again."""
    daemon, client = release_daemon, release_daemon.client()
    before = baseline(daemon)
    pid = daemon.process.pid
    used = max(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()) + 1
    run_pod = client.channel.unary_unary("/runtime.v1.RuntimeService/RunPodSandbox",
                                         request_serializer=cri.RunPodSandboxRequest.SerializeToString)
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    failed = 0
    for spare in range(24):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + spare, limits[1]))
        calls = [run_pod.future(cri.RunPodSandboxRequest(config=pod_config(f"poor{spare}-{n}", logs)), timeout=20) for n in range(2)]
        time.sleep(0.3)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        for call in calls:
            try:
                call.result()
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, error.details()
                failed += 1
    assert failed > 5
    daemon.remove_all()
    settle(daemon, before)
    assert 0 < daemon.log.read_text(errors="replace").count("trying again") <= 2 * failed
