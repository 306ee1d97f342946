"""Clients that misbehave: garbage, half frames, deaths in mid-call, idle streams. The daemon serves on, its memory where it was."""
import os
import random
import socket
import time

import grpc
import pytest

from harness.cri import cri, pod_config
from harness.inventory import baseline, rss_kib, settle
from harness.pods import pod

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\x04\0\0\0\0\0"


def connect(daemon):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(5)
    connection.connect(str(daemon.socket))
    return connection


def alive(daemon):
    assert daemon.client().Version(deadline=5).runtime_name == "monopod"


def drop_clients(daemon):
    for client in daemon.clients:
        client.close()
    daemon.clients.clear()


def test_socket_is_for_root_alone(daemon):
    assert os.stat(daemon.socket).st_mode & 0o777 == 0o600


def test_garbage(release_daemon):
    daemon = release_daemon
    alive(daemon)
    chance = random.Random(20261123)
    payloads = [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100, PREFACE[:10], PREFACE + b"\xff" * 1000,
                PREFACE + SETTINGS + b"\xff\xff\xff\0\0\0\0\0\x01", PREFACE + SETTINGS + b"\0\0\x04\x08\0\0\0\0\0\xff\xff\xff\xff"]
    payloads += [PREFACE + SETTINGS + chance.randbytes(chance.randrange(1, 3000)) for _ in range(300)]
    for payload in payloads:
        with connect(daemon) as connection:
            try:
                connection.sendall(payload)
            except OSError:
                pass
    alive(daemon)
    drop_clients(daemon)


def test_half_messages_and_sudden_deaths(daemon, logs):
    before = baseline(daemon)
    config = pod_config("orphan", logs)
    for _ in range(30):
        client = daemon.client()
        call = client.channel.unary_unary("/runtime.v1.RuntimeService/RunPodSandbox",
                                          request_serializer=cri.RunPodSandboxRequest.SerializeToString)
        future = call.future(cri.RunPodSandboxRequest(config=config), timeout=10)
        time.sleep(random.Random(7).random() / 50)
        future.cancel()
        drop_clients(daemon)
    alive(daemon)
    daemon.remove_all()
    drop_clients(daemon)
    settle(daemon, before)


def test_a_thousand_idle_streams(release_daemon):
    daemon = release_daemon
    alive(daemon)
    drop_clients(daemon)
    time.sleep(0.5)
    before = rss_kib(daemon.process.pid)
    for _ in range(3):
        connections = [connect(daemon) for _ in range(10)]
        # HEADERS with END_HEADERS and no END_STREAM: a request whose body never comes. Literal header fields without indexing.
        def literal(name, value):
            return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
        block = (literal(b":method", b"POST") + literal(b":scheme", b"http") + literal(b":authority", b"x")
                 + literal(b":path", b"/runtime.v1.RuntimeService/Version") + literal(b"content-type", b"application/grpc")
                 + literal(b"te", b"trailers"))
        for connection in connections:
            connection.sendall(PREFACE + SETTINGS)
            for number in range(100):
                connection.sendall(len(block).to_bytes(3, "big") + b"\x01\x04" + (2 * number + 1).to_bytes(4, "big") + block)
        alive(daemon)
        for connection in connections:
            connection.close()
        drop_clients(daemon)
    time.sleep(1)
    grown = rss_kib(daemon.process.pid) - before
    assert grown < 2048, f"1,000 idle streams, three times, left {grown} KiB"


def test_message_over_the_limit(daemon):
    client = daemon.client()
    with pytest.raises(grpc.RpcError) as caught:
        client.RunPodSandbox(config=pod_config("big", annotations={"x": "y" * (17 << 20)}), deadline=30)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    alive(daemon)


def test_deadline_is_kept_and_undone(daemon, logs):
    """A start that cannot end within the caller's time is answered in that time, or not answered; nothing of it stays."""
    before = baseline(daemon)
    client = daemon.client()
    for timeout in (0.001, 0.002, 0.004):
        try:
            client.RunPodSandbox(config=pod_config("late", logs), deadline=timeout)
        except grpc.RpcError as error:
            assert error.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)
    time.sleep(0.5)
    daemon.remove_all()
    drop_clients(daemon)
    settle(daemon, before)


def test_unknown_methods(daemon):
    client = daemon.client()
    for path in ("/runtime.v1.RuntimeService/NoSuch", "/runtime.v1.runtimeservice/Version", "/runtime.v9.RuntimeService/Version", "/x/y"):
        with pytest.raises(grpc.RpcError) as caught:
            client.channel.unary_unary(path)(b"", timeout=5)
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED, path


def test_many_calls_at_once(daemon, logs):
    with pod(daemon.client(), "polled", logs):
        client = daemon.client()
        call = client.channel.unary_unary("/runtime.v1.RuntimeService/ListPodSandbox",
                                          request_serializer=cri.ListPodSandboxRequest.SerializeToString,
                                          response_deserializer=cri.ListPodSandboxResponse.FromString)
        futures = [call.future(cri.ListPodSandboxRequest(), timeout=30) for _ in range(500)]
        assert all(len(future.result().items) == 1 for future in futures)
