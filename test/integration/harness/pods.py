"""Small scenarios on top of the client."""
import time
from contextlib import contextmanager
from pathlib import Path

from .cri import container_config, cri, pod_config


@contextmanager
def pod(client, name, logs, **fields):
    """A running sandbox; (id, config). Removed whatever happens."""
    config = pod_config(name, logs, **fields)
    pod_id = client.RunPodSandbox(config=config).pod_sandbox_id
    try:
        yield pod_id, config
    finally:
        client.StopPodSandbox(pod_sandbox_id=pod_id)
        client.RemovePodSandbox(pod_sandbox_id=pod_id)


def start(client, pod_id, config, image, command, **fields):
    container = container_config(image, command, **fields)
    created = client.CreateContainer(pod_sandbox_id=pod_id, config=container, sandbox_config=config)
    client.StartContainer(container_id=created.container_id)
    return created.container_id


def wait_exit(client, container_id, timeout=20):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        status = client.ContainerStatus(container_id=container_id).status
        if status.state == cri.CONTAINER_EXITED:
            return status
        time.sleep(0.02)
    raise AssertionError(f"container {container_id} did not end within {timeout} s: {status}")


def log_lines(path, count, timeout=10):
    """The content of the first `count` lines of a CRI log, checked for its form: (stream, tag, text)."""
    deadline = time.monotonic() + timeout
    lines = []
    while time.monotonic() < deadline:
        lines = Path(path).read_bytes().splitlines() if Path(path).exists() else []
        if len(lines) >= count:
            break
        time.sleep(0.02)
    assert len(lines) >= count, f"{len(lines)} log lines instead of {count}: {lines}"
    parsed = []
    for line in lines:
        when, stream, tag, text = line.split(b" ", 3)
        assert len(when) == 30 and when.endswith(b"Z"), line
        parsed.append((stream.decode(), tag.decode(), text.decode(errors="replace")))
    return parsed


def pod_ip(client, pod_id):
    return client.PodSandboxStatus(pod_sandbox_id=pod_id).status.network.ip
