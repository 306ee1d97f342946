"""A pull that is watched: from a real registry behind a slow line, by grpcio, on a terminal and without one."""
import fcntl
import json
import os
import pty
import random
import re
import signal
import struct
import subprocess
import termios
import threading
import time

import grpc
import pytest

from harness.images import Archive, layer
from harness.registry import Throttle

LAYERS = 4
LAYER_BYTES = 400_000
WAITING, DOWNLOADING, UNPACKING, DONE, EXISTS = range(5)


@pytest.fixture(scope="module")
def line(registries, archive, workspace):
    """An image of five layers, one of them the test image's, behind a line of 400 KB/s for each connection."""
    noise = random.Random(20261124)
    contents = [layer({f"noise-{number}": noise.randbytes(LAYER_BYTES)}) for number in range(LAYERS)]
    path = workspace / "layers.tar"
    Archive(archive, "docker.io/library/layers:1", layers=contents).write(path)
    registries["http"].push(path, "library/layers:1")
    throttle = Throttle(registries["http"], 400_000)
    yield throttle
    throttle.stop()


@pytest.fixture(scope="module")
def daemon(workspace, line):
    """Of its own, which may speak plain HTTP to the slow line."""
    from harness.daemon import Daemon

    folder = workspace / "progress"
    folder.mkdir()
    running = Daemon(folder, options={"image.insecure_registries": line.host}).start()
    try:
        yield running
        assert running.stop() == 0, running.tail(80)
    finally:
        running.wreck()


@pytest.fixture
def reference(daemon, line):
    """Nothing of it is here."""
    name = f"{line.host}/library/layers:1"
    daemon.client().RemoveImage(image={"image": name})
    deadline = time.monotonic() + 10
    layers = daemon.folder / "root" / "images" / "layers"
    while layers.exists() and any(layers.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return name


def test_layers_as_they_come(daemon, reference):
    client = daemon.client()
    began = time.monotonic()
    messages = [(time.monotonic() - began, message) for message in client.WatchPull(reference)]
    took = messages[-1][0]
    assert [bool(message.image_ref) for _, message in messages] == [False] * (len(messages) - 1) + [True]
    assert messages[-1][1].image_ref == client.ImageStatus(image={"image": reference}).image.id
    assert 4 <= len(messages) <= took * 10 + 3, "more than ten a second"
    first = messages[0][1].layers
    assert [one.index for one in first] == list(range(LAYERS + 1)) and all(one.digest.startswith("sha256:") for one in first)
    by_layer = {}
    for _, message in messages:
        for one in message.layers:
            by_layer.setdefault(one.index, []).append((one.state, one.done_bytes))
            assert one.done_bytes <= one.total_bytes
    for told in by_layer.values():
        assert told == sorted(told) and told[-1][0] == DONE
    assert any(len(told) > 3 for told in by_layer.values()), "no layer was seen in the middle"
    # Again: everything is here.
    again = list(client.WatchPull(reference))
    assert {one.state for message in again for one in message.layers} == {EXISTS}


def test_a_watcher_that_leaves_ends_the_pull(daemon, reference):
    client = daemon.client()
    call = client.WatchPull(reference)
    next(call)
    call.cancel()
    deadline = time.monotonic() + 10
    ingest = daemon.folder / "root" / "images" / "ingest"
    while any(ingest.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(ingest.iterdir())
    assert not client.ImageStatus(image={"image": reference}).image.id
    with pytest.raises(grpc.RpcError) as late:
        list(client.WatchPull(reference, deadline=0.5))
    assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert list(client.WatchPull(reference))[-1].image_ref


def test_watchers_share_a_pull(daemon, reference, line):
    """Two who watch and one who does not: the bytes come once, and who leaves does not end it for the others."""
    before = line.bytes
    first, plain, ids = daemon.client().WatchPull(reference), daemon.client(), []
    next(first)
    waiting = threading.Thread(target=lambda: ids.append(plain.PullImage(image={"image": reference}).image_ref))
    waiting.start()
    second = daemon.client().WatchPull(reference)
    told = [next(second)]
    first.cancel()
    told += list(second)
    waiting.join(60)
    assert ids == [told[-1].image_ref]
    states = {one.index: one.state for message in told for one in message.layers}
    assert set(states) == set(range(LAYERS + 1)) and set(states.values()) <= {DONE, EXISTS}
    whole = daemon.client().ImageStatus(image={"image": reference}).image.size
    assert whole <= line.bytes - before < 1.5 * whole


def test_refusals(daemon, line):
    client = daemon.client()
    for name, code in ((f"{line.host}/library/nothing:1", grpc.StatusCode.NOT_FOUND), ("", grpc.StatusCode.INVALID_ARGUMENT),
                       ("UPPER CASE", grpc.StatusCode.INVALID_ARGUMENT)):
        with pytest.raises(grpc.RpcError) as caught:
            list(client.WatchPull(name))
        assert caught.value.code() == code, caught.value.details()


# ---- the command ----

def command(daemon, *arguments):
    return [str(daemon.binary), "--socket", str(daemon.socket), *arguments]


class Terminal:
    """A pty on which the command runs as on a person's: standard output and error are the same terminal."""

    def __init__(self, daemon, *arguments, columns=100, rows=24):
        self.master, slave = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(slave)
        self.slave, self.text = slave, b""
        self.process = subprocess.Popen(command(daemon, *arguments), stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
                                        env={**daemon.environment, "TERM": "xterm"})
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        try:
            while data := os.read(self.master, 65536):
                self.text += data
        except OSError:
            pass

    def resize(self, columns, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait_for(self, pattern, timeout=20):
        deadline = time.monotonic() + timeout
        while not re.search(pattern, self.text) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert re.search(pattern, self.text), self.text[-2000:]

    def end(self, timeout=30):
        status = self.process.wait(timeout)
        after = termios.tcgetattr(self.slave)
        os.close(self.slave)
        self.reader.join(5)
        os.close(self.master)
        assert after == self.before, "the terminal is not as it was"
        return status

    def widths(self):
        """Of every line that was drawn."""
        return [len(re.sub(rb"\x1b\[\d*[A-Z]", b"", line).strip(b"\r")) for line in self.text.split(b"\n")]


def test_a_terminal_is_redrawn_in_place(daemon, reference):
    terminal = Terminal(daemon, "pull", reference, columns=90)
    terminal.wait_for(rb"downloading  \[=+>")
    assert terminal.end() == 0
    assert b"\x1b[6A" in terminal.text and terminal.text.count(b"of 5 layers") > 3
    drawn = [width for width, line in zip(terminal.widths(), terminal.text.split(b"\n")) if b"pulled" not in line]
    assert max(drawn) < 90
    assert not re.search(rb"\x1b\[[^\dAKJ]|\x1b[^\[]", terminal.text), "an escape that would have to be put back"
    assert re.search(rb"5 of 5 layers.*\n.*pulled .* as sha256:[0-9a-f]{64} in ", terminal.text)


def test_a_narrow_terminal_that_grows(daemon, reference):
    terminal = Terminal(daemon, "pull", reference, columns=30, rows=5)
    terminal.wait_for(rb"of 5 layers")
    drawn = [width for width, line in zip(terminal.widths(), terminal.text.split(b"\n")) if b"pulled" not in line]
    assert max(drawn) < 30
    terminal.resize(100, 30)
    terminal.process.send_signal(signal.SIGWINCH)
    terminal.wait_for(rb"downloading  \[")
    assert terminal.end() == 0


def test_an_interrupt_ends_the_pull(daemon, reference):
    terminal = Terminal(daemon, "pull", reference)
    terminal.wait_for(rb"downloading")
    began = time.monotonic()
    os.write(terminal.master, b"\x03")
    assert terminal.end() == 128 + signal.SIGINT
    assert time.monotonic() - began < 3
    assert b"interrupted" in terminal.text
    assert not daemon.client().ImageStatus(image={"image": reference}).image.id
    deadline = time.monotonic() + 10
    while "PullImage: CANCELLED" not in daemon.log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "PullImage: CANCELLED" in daemon.log.read_text()


def test_lines_without_a_terminal(daemon, reference):
    done = daemon.cli("pull", reference)
    assert re.fullmatch(rf"pulled {re.escape(reference)} as sha256:[0-9a-f]{{64}} in \S+\n", done.stdout)
    lines = done.stderr.splitlines()
    assert len([text for text in lines if "downloading" in text]) == LAYERS + 1
    assert len([text for text in lines if re.fullmatch(r"layer [0-9a-f]{12}: done, \S+ in \S+ \(\S+/s\)", text)]) == LAYERS + 1
    assert "\x1b" not in done.stderr and "\r" not in done.stderr
    again = daemon.cli("pull", reference)
    assert [text.split(": ")[1] for text in again.stderr.splitlines()] == ["exists"] * (LAYERS + 1)


def test_several_images_quietly(daemon, reference, line):
    other = f"{line.host}/library/busybox:1.0"
    done = daemon.cli("pull", "-q", reference, other)
    assert re.fullmatch(r"(sha256:[0-9a-f]{64}\n){2}", done.stdout) and done.stderr == ""
    missing = f"{line.host}/library/nothing:1"
    some = daemon.cli("pull", "-q", missing, other, check=False)
    assert some.returncode == 1 and some.stdout == done.stdout.splitlines(True)[1] and "nothing:1" in some.stderr
    printed = json.loads(daemon.cli("-o", "json", "pull", other).stdout)
    assert printed == {"imageRef": some.stdout.strip()}
    assert daemon.cli("--timeout", "100ms", "pull", missing, check=False).returncode == 1
