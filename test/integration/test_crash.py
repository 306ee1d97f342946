"""SIGKILL, and a new daemon on the same directories: what ran still runs and can be stopped and removed."""
import time

from harness.cri import cri
from harness.inventory import baseline, settle, take
from harness.pods import log_lines, start, wait_exit
from harness.cri import pod_config


def test_a_killed_daemon_finds_its_pods_again(daemon, image, logs):
    client = daemon.client()
    before = baseline(daemon)
    pods = {}
    for name in ("one", "two"):
        config = pod_config(name, logs / name, pid=cri.POD if name == "two" else cri.CONTAINER)
        pod_id = client.RunPodSandbox(config=config).pod_sandbox_id
        loop = "n=0; while [ $n -lt 100000 ]; do n=$((n+1)); echo line $n; sleep 0.02; done"
        pods[name] = (pod_id, start(client, pod_id, config, image, ["sh", "-c", loop], pid=cri.POD if name == "two" else cri.CONTAINER))
    ended = start(client, pods["one"][0], pod_config("one", logs / "one"), image, ["sh", "-c", "exit 9"], name="ended")
    wait_exit(client, ended)
    log_lines(logs / "one" / "main.log", 3)
    address = client.PodSandboxStatus(pod_sandbox_id=pods["one"][0]).status.network.ip

    daemon.kill()
    time.sleep(0.5)
    daemon.start()
    client = daemon.client()

    states = {item.id: item.state for item in client.ListPodSandbox().items}
    assert states == {pod_id: cri.SANDBOX_READY for pod_id, _ in pods.values()}
    for name, (pod_id, container_id) in pods.items():
        status = client.ContainerStatus(container_id=container_id).status
        assert status.state == cri.CONTAINER_RUNNING, status
        assert client.ExecSync(container_id=container_id, cmd=["echo", "alive"], timeout=10).stdout == b"alive\n"
        seen = len(log_lines(logs / name / "main.log", 1))
        assert len(log_lines(logs / name / "main.log", seen + 5)) > seen
    assert client.PodSandboxStatus(pod_sandbox_id=pods["one"][0]).status.network.ip == address
    assert client.ContainerStatus(container_id=ended).status.exit_code == 9

    client.StopContainer(container_id=pods["one"][1], timeout=0)
    assert client.ContainerStatus(container_id=pods["one"][1]).status.exit_code == 137
    for pod_id, _ in pods.values():
        client.StopPodSandbox(pod_sandbox_id=pod_id)
        client.RemovePodSandbox(pod_sandbox_id=pod_id)
    assert not client.ListPodSandbox().items and not client.ListContainers().containers
    settle(daemon, {**before, "fds": take(daemon)["fds"]})


def test_half_made_pods_are_undone(daemon, image, logs):
    """Killed at random instants of a start: the next daemon leaves neither a record nor anything in the kernel."""
    before = baseline(daemon)
    for delay_ms in (0, 1, 2, 3, 5, 8, 13, 21, 34):
        client = daemon.client()
        futures = []
        call = client.channel.unary_unary("/runtime.v1.RuntimeService/RunPodSandbox",
                                          request_serializer=cri.RunPodSandboxRequest.SerializeToString)
        for number in range(4):
            request = cri.RunPodSandboxRequest(config=pod_config(f"half-{delay_ms}-{number}", logs))
            futures.append(call.future(request, timeout=10))
        time.sleep(delay_ms / 1000)
        daemon.kill()
        daemon.start()
        daemon.remove_all()
    settle(daemon, {**before, "fds": take(daemon)["fds"]})
