"""Server streams with grpcio: events as kubelet's event-driven loop takes them, lists in parts, and clients that do not read."""
import json
import signal
import socket
import subprocess
import threading
import time

import grpc
import pytest

from harness.cri import cri, pod_config
from harness.pods import pod, start, wait_exit

CREATED, STARTED, STOPPED, DELETED = range(4)
MAX_SUBSCRIBERS = 64  # src/task/events.h


class Listener:
    """Collects what a stream brings on a thread of its own; subscribed when the headers are there."""

    def __init__(self, call):
        self.call, self.events, self.end = call, [], None
        call.initial_metadata()
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self):
        try:
            for event in self.call:
                self.events.append(event)
        except grpc.RpcError as error:
            self.end = error
        else:
            self.end = "end"

    def wait(self, count, timeout=20):
        deadline = time.monotonic() + timeout
        while len(self.events) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(self.events) >= count, [(event.container_event_type, event.container_id[:12]) for event in self.events]

    def stop(self):
        self.call.cancel()
        self.thread.join(10)


def subscribe_again(client, timeout=10):
    """When places become free: a reset takes a moment to arrive."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        call = client.GetContainerEvents(deadline=None)
        call.initial_metadata()
        time.sleep(0.05)
        if call.is_active():
            return Listener(call)
    raise AssertionError("all places are still taken")


@pytest.fixture
def client(daemon):
    return daemon.client()


def test_events_tell_a_life(client, logs, image):
    listener = Listener(client.GetContainerEvents(deadline=None))
    with pod(client, "told", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sh", "-c", "exit 5"])
        wait_exit(client, container_id)
        client.RemoveContainer(container_id=container_id)
    listener.wait(8)
    listener.stop()
    told = [(event.container_event_type, event.container_id) for event in listener.events]
    assert told == [(CREATED, pod_id), (STARTED, pod_id), (CREATED, container_id), (STARTED, container_id), (STOPPED, container_id),
                    (DELETED, container_id), (STOPPED, pod_id), (DELETED, pod_id)]
    stamps = [event.created_at for event in listener.events]
    assert stamps == sorted(set(stamps)) and abs(stamps[0] / 1e9 - time.time()) < 60
    assert all(event.pod_sandbox_status.metadata.uid == "uid-told" for event in listener.events)
    states = [[status.state for status in event.containers_statuses] for event in listener.events]
    assert states == [[], [], [cri.CONTAINER_CREATED], [cri.CONTAINER_RUNNING], [cri.CONTAINER_EXITED], [], [], []]
    assert listener.events[4].containers_statuses[0].exit_code == 5
    assert [event.pod_sandbox_status.state for event in listener.events[5:7]] == [cri.SANDBOX_READY, cri.SANDBOX_NOTREADY]
    assert listener.events[1].pod_sandbox_status.network.ip.startswith("10.213.")


def test_nothing_is_lost_between_subscription_and_list(client, logs, image):
    """What a relist and the events after the subscription say together is complete, with pods coming and going meanwhile."""
    busy, names = threading.Event(), []

    def churn():
        other = client
        for number in range(12):
            with pod(other, f"churn-{number}", logs) as (pod_id, _):
                names.append(pod_id)
        busy.set()

    thread = threading.Thread(target=churn)
    thread.start()
    while len(names) < 3:
        time.sleep(0.01)
    listener = Listener(client.GetContainerEvents(deadline=None))
    listed = {item.id for item in client.ListPodSandbox().items}
    thread.join(60)
    assert busy.is_set()
    final = {item.id for item in client.ListPodSandbox().items}
    listener.wait(2)
    time.sleep(0.2)
    listener.stop()
    known = set(listed)
    for event in listener.events:
        if event.container_event_type == CREATED:
            known.add(event.container_id)
        if event.container_event_type == DELETED:
            known.discard(event.container_id)
    assert known == final
    assert {event.container_id for event in listener.events if event.container_event_type == DELETED} >= set(names[4:])


def test_many_subscribers_hear_the_same(client, logs):
    listeners = [Listener(client.GetContainerEvents(deadline=None)) for _ in range(40)]
    with pod(client, "heard", logs):
        pass
    for listener in listeners:
        listener.wait(4)
    assert len({tuple(event.SerializeToString() for event in listener.events) for listener in listeners}) == 1
    listeners += [Listener(client.GetContainerEvents(deadline=None)) for _ in range(MAX_SUBSCRIBERS - 40)]
    with pytest.raises(grpc.RpcError) as refused:
        next(client.GetContainerEvents(deadline=10))
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and "already" in refused.value.details()
    for listener in listeners:
        listener.stop()
    subscribe_again(client).stop()


def test_a_deadline_ends_a_subscription(client):
    with pytest.raises(grpc.RpcError) as ended:
        list(client.GetContainerEvents(deadline=0.5))
    assert ended.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_status_carries_what_event_driven_kubelets_take(client, logs, image):
    with pod(client, "stamped", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sleep", "1000"])
        first = client.PodSandboxStatus(pod_sandbox_id=pod_id)
        second = client.PodSandboxStatus(pod_sandbox_id=pod_id)
    assert second.timestamp > first.timestamp > 0
    assert [(status.id, status.state) for status in first.containers_statuses] == [(container_id, cri.CONTAINER_RUNNING)]


# ---- lists in parts ----

def test_lists_as_streams(client, logs, image):
    """The same as the lists at once, also when it takes several parts: 30 pods of 20 KB each."""
    large = {"large": "x" * 20000}
    made = [client.RunPodSandbox(config=pod_config(f"part-{number}", logs, annotations=large, labels={"number": str(number % 3)}))
            .pod_sandbox_id for number in range(30)]
    start(client, made[0], pod_config("part-0", logs), image, ["sleep", "1000"])
    parts = list(client.StreamPodSandboxes())
    assert len(parts) > 3
    streamed = [item for part in parts for item in part.pod_sandboxes]
    assert sorted(item.id for item in streamed) == sorted(made)
    at_once = {item.id: item for item in client.ListPodSandbox().items}
    assert all(at_once[item.id] == item for item in streamed)
    few = [item for part in client.StreamPodSandboxes(filter=cri.PodSandboxFilter(label_selector={"number": "1"}))
           for item in part.pod_sandboxes]
    assert len(few) == 10
    assert [item for part in client.StreamContainers() for item in part.containers] == list(client.ListContainers().containers)
    assert [item for part in client.StreamImages() for item in part.images] == list(client.ListImages().images)
    assert list(client.StreamContainers(filter=cri.ContainerFilter(id="feedfacefeed"))) == []
    for pod_id in made:
        client.StopPodSandbox(pod_sandbox_id=pod_id)
        client.RemovePodSandbox(pod_sandbox_id=pod_id)


def test_filters_of_streams_are_checked(client):
    for call in (lambda: client.StreamPodSandboxes(filter=cri.PodSandboxFilter(id="x" * 5000)),
                 lambda: client.StreamContainers(filter=cri.ContainerFilter(pod_sandbox_id="x" * 5000)),
                 lambda: client.StreamImages(filter=cri.ImageFilter(image=cri.ImageSpec(image="x" * 5000)))):
        with pytest.raises(grpc.RpcError) as caught:
            list(call())
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "filter" in caught.value.details()


# ---- clients that do not read ----

def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def subscribe_deaf(daemon, streams):
    """HTTP/2 by hand: subscriptions whose window is never opened."""
    path = b"/runtime.v1.RuntimeService/GetContainerEvents"
    block = b"\x83\x86\x41\x01x\x44" + bytes([len(path)]) + path + b"\x5f\x10application/grpc"
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(daemon.socket))
    data = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"\0\4\0\0\0\0")
    for number in range(streams):
        data += frame(1, 4, 2 * number + 1, block) + frame(0, 1, 2 * number + 1, b"\0\0\0\0\0")
    connection.sendall(data)
    return connection


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def test_deaf_subscribers_are_bounded_and_let_go(daemon, client, logs):
    """A thousand subscriptions on one connection that reads none: as many as there may be are taken, calls beside them are answered, and
    when what waits has reached its limit they are let go."""
    deaf = subscribe_deaf(daemon, 1000)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:  # until its requests have been read
        with pytest.raises(grpc.RpcError) as refused:
            next(client.GetContainerEvents(deadline=0.5))
        if refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
            break
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    before = resident_kib(daemon.process.pid)
    large = {"large": "x" * 100000}
    for number in range(8):
        with pod(client, f"deaf-{number}", logs, annotations=large):
            pass
    # 64 subscribers of 8 * 4 events of 100 KB would be 205 MB; the connection's streams have a share of 32 MiB (of 8 messages of 16 MiB).
    assert resident_kib(daemon.process.pid) - before < 80 * 1024
    listener = subscribe_again(client)
    with pod(client, "after", logs):
        pass
    listener.wait(4)
    listener.stop()
    deaf.close()


def test_a_shutdown_ends_streams_at_once(daemon, logs):
    listener = Listener(daemon.client().GetContainerEvents(deadline=None))
    watching = subprocess.Popen([daemon.binary, "--socket", daemon.socket, "events"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, env=daemon.environment)
    assert watching.stdout.readline().startswith("TIME")
    began = time.monotonic()
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(20) == 0
    assert time.monotonic() - began < 4, "it waited for the grace of calls"
    listener.thread.join(10)
    assert listener.end.code() == grpc.StatusCode.UNAVAILABLE and "shutting down" in listener.end.details()
    out, err = watching.communicate(timeout=10)
    assert watching.returncode == 1 and "shutting down" in err
    daemon.start()


# ---- the command ----

def test_the_command_prints_events(daemon, client, logs, image):
    watching = subprocess.Popen([daemon.binary, "--socket", daemon.socket, "events", "--count", "8"], stdout=subprocess.PIPE,
                                text=True, env=daemon.environment)
    assert watching.stdout.readline().startswith("TIME")
    with pod(client, "seen", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sh", "-c", "exit 3"], name="short")
        wait_exit(client, container_id)
        client.RemoveContainer(container_id=container_id)
    out, _ = watching.communicate(timeout=20)
    assert watching.returncode == 0
    lines = [line.split() for line in out.splitlines()]
    assert [line[1:4] for line in lines] == [
        ["created", "pod", pod_id[:12]], ["started", "pod", pod_id[:12]], ["created", "container", container_id[:12]],
        ["started", "container", container_id[:12]], ["stopped", "container", container_id[:12]],
        ["deleted", "container", container_id[:12]], ["stopped", "pod", pod_id[:12]], ["deleted", "pod", pod_id[:12]]]
    assert lines[4][4:] == ["test/seen", "short", "exit", "3", "Error"] and lines[5][5] == "short"


def test_the_command_prints_json(daemon, client, logs):
    watching = subprocess.Popen([daemon.binary, "--socket", daemon.socket, "-o", "json", "events"], stdout=subprocess.PIPE, text=True,
                                env=daemon.environment)
    seen = []
    with pod(client, "json-0", logs):  # the first may come before the subscription
        pass
    thread = threading.Thread(target=lambda: seen.extend(json.loads(watching.stdout.readline()) for _ in range(2)), daemon=True)
    thread.start()
    number = 0
    while thread.is_alive() and number < 20:
        number += 1
        with pod(client, f"json-{number}", logs):
            thread.join(0.2)
    watching.send_signal(signal.SIGINT)
    watching.communicate(timeout=10)
    assert watching.returncode == -signal.SIGINT
    assert seen[0]["podSandboxStatus"]["metadata"]["namespace"] == "test" and seen[0]["containerEventType"].startswith("CONTAINER_")
