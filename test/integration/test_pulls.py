"""Pulls that meet: what they share, what they wait for, what ends them, and what a new daemon finds of them."""
import json
import random
import subprocess
import time
from urllib.request import Request, urlopen

import grpc
import pytest

from harness.cri import cri
from harness.daemon import TAG, Daemon
from harness.gate import Gate
from harness.images import Archive, layer

USER, PASSWORD = "reader", "s3cret-of-the-gate"
OPTIONS = {"image.max_parallel_downloads": 5, "image.max_parallel_downloads_per_image": 3, "image.max_parallel_pulls": 4,
           "image.pinned_images": "pinned.example/*, busybox-pinned:1"}


def noise(seed, size=200_000):
    return random.Random(seed).randbytes(size)


@pytest.fixture(scope="module")
def gate(registries):
    opened = Gate(registries["http"], USER, PASSWORD)
    yield opened
    opened.stop()


@pytest.fixture(autouse=True)
def open_gate(gate):
    gate.clear()
    yield
    gate.open()


def serve(workspace, name, build="asan", **options):
    """A second daemon has a bridge of its own."""
    folder = workspace / name
    folder.mkdir()
    return Daemon(folder, build=build, options={**OPTIONS, "net.bridge": f"mps{TAG}", "net.pod_cidr": "10.216.0.0/16", **options})


@pytest.fixture(scope="module")
def pulls(request, workspace, gate):
    (workspace / "pulls").mkdir()
    daemon = Daemon(workspace / "pulls", options=OPTIONS)
    try:
        yield daemon.start()
        status = daemon.stop()
        assert status == 0, f"the daemon ended with {status}:\n{daemon.tail(80)}"
    finally:
        daemon.wreck()


@pytest.fixture(scope="module")
def push(workspace, archive, registries):
    """push(name, layers) fills a repository of the registry and returns the digests of the blobs of its layers, the base first."""
    def run(repository, layers):
        path = Archive(archive, "x.example/x:1", layers=layers).write(workspace / "pushed.tar")
        registries["http"].push(path, f"{repository}:1")
        path.unlink()
        url = f"http://{registries['http'].host}/v2/{repository}/manifests/1"
        with urlopen(Request(url, headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})) as answer:
            return [entry["digest"] for entry in json.load(answer)["layers"]]
    return run


def pull(client, reference, deadline=60, **auth):
    return client.PullImage(image=cri.ImageSpec(image=reference), auth=cri.AuthConfig(**auth) if auth else None, deadline=deadline).image_ref


def begin(client, reference, **auth):
    call = client.channel.unary_unary("/runtime.v1.ImageService/PullImage", request_serializer=cri.PullImageRequest.SerializeToString,
                                      response_deserializer=cri.PullImageResponse.FromString)
    return call.future(cri.PullImageRequest(image=cri.ImageSpec(image=reference), auth=cri.AuthConfig(**auth)), timeout=60)


def empty(client):
    for image in client.ListImages().images:
        client.RemoveImage(image=cri.ImageSpec(image=image.id))


def store_of(daemon):
    return daemon.folder / "root" / "images"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def wait_for(condition, what, timeout=20):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_one_image_is_fetched_once_for_all(pulls, gate, push):
    client = pulls.client()
    layers = push("joined/app", [layer({"a": noise(1)})])
    gate.hold = lambda digest: digest in layers
    futures = [begin(client, f"{gate.host}/joined/app:1") for _ in range(6)]
    gate.wait(lambda: gate.in_flight == 2)
    time.sleep(0.3)
    gate.open()
    assert len({future.result().image_ref for future in futures}) == 1
    assert len(gate.asked("manifests", "joined/app")) == 1
    assert sorted(digest for digest in gate.asked("blobs", "joined/app") if digest in layers) == sorted(layers)
    empty(client)


def test_credentials_are_not_shared(pulls, gate, push):
    """Who asks for a private image while somebody else pulls it, or when it is here already, needs his own right to it."""
    client = pulls.client()
    layers = push("private/app", [layer({"a": noise(2)})])
    reference = f"{gate.host}/private/app:1"
    gate.hold = lambda digest: digest in layers
    first = begin(client, reference, username=USER, password=PASSWORD)
    gate.wait(lambda: gate.in_flight == 2)
    for auth in ({}, {"username": USER, "password": "wrong"}):
        with pytest.raises(grpc.RpcError) as caught:
            pull(client, reference, **auth)
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    again = begin(client, reference, username=USER, password=PASSWORD)
    gate.open()
    image_id = first.result().image_ref
    assert again.result().image_ref == image_id
    assert len(gate.asked("manifests", "private/app")) == 1
    with pytest.raises(grpc.RpcError) as caught:
        pull(client, reference)
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    gate.clear()
    assert pull(client, reference, username=USER, password=PASSWORD) == image_id
    assert len(gate.asked("manifests")) == 1 and not gate.asked("blobs")
    empty(client)


def test_images_share_the_download_of_a_layer(pulls, gate, push):
    client = pulls.client()
    base = layer({"base": noise(3)})
    one, two = push("sharing/one", [base, layer({"one": noise(4)})]), push("sharing/two", [base, layer({"two": noise(5)})])
    common = set(one) & set(two)
    assert len(common) == 2
    gate.hold = lambda digest: digest in common
    futures = [begin(client, f"{gate.host}/sharing/{name}:1") for name in ("one", "two")]
    gate.wait(lambda: len(gate.asked("manifests")) == 2 and gate.in_flight >= 2)
    time.sleep(0.3)
    gate.open()
    assert len({future.result().image_ref for future in futures}) == 2
    fetched = gate.asked("blobs")
    assert all(fetched.count(digest) == 1 for digest in {*one, *two}), fetched
    assert len(names(store_of(pulls) / "layers")) == 4
    empty(client)


def test_a_pull_goes_on_for_those_who_stay(pulls, gate, push):
    client = pulls.client()
    layers = push("leaving/app", [layer({"a": noise(6)})])
    gate.hold = lambda digest: digest in layers
    futures = [begin(client, f"{gate.host}/leaving/app:1") for _ in range(3)]
    gate.wait(lambda: gate.in_flight == 2)
    futures[0].cancel()
    futures[2].cancel()
    time.sleep(0.5)
    assert gate.broken == 0
    gate.open()
    assert futures[1].result().image_ref
    assert len(gate.asked("manifests")) == 1
    empty(client)


def test_a_pull_that_nobody_wants_ends_at_once(pulls, gate, push):
    client = pulls.client()
    layers = push("unwanted/app", [layer({"a": noise(7)})])
    gate.hold = lambda digest: digest in layers
    futures = [begin(client, f"{gate.host}/unwanted/app:1") for _ in range(2)]
    gate.wait(lambda: gate.in_flight == 2)
    before = time.monotonic()
    for future in futures:
        future.cancel()
    gate.wait(lambda: gate.broken == 2 and gate.in_flight == 0, timeout=5)
    wait_for(lambda: names(store_of(pulls) / "ingest") == [], "ingest is emptied", 5)
    assert time.monotonic() - before < 5
    # A deadline is as good. A new pull does not join what is ending.
    gate.clear()
    with pytest.raises(grpc.RpcError) as caught:
        pull(client, f"{gate.host}/unwanted/app:1", deadline=1)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    gate.open()
    assert pull(client, f"{gate.host}/unwanted/app:1")
    empty(client)


def test_downloads_are_limited_and_fair(pulls, gate, push):
    """Three layers of an image at a time, five of all; a small image is served while a large one waits."""
    client = pulls.client()
    large = [push(f"limited/large{n}", [layer({f"l{n}-{i}": noise(100 + 10 * n + i, 20_000)}) for i in range(7)]) for n in range(2)]
    small = push("limited/small", [layer({"s": noise(90, 20_000)})])
    held = {digest for layers in large for digest in layers}
    gate.hold = lambda digest: digest in held
    first = begin(client, f"{gate.host}/limited/large0:1")
    gate.wait(lambda: gate.in_flight == 3)
    second = begin(client, f"{gate.host}/limited/large1:1")
    gate.wait(lambda: gate.in_flight == 5)
    third = begin(client, f"{gate.host}/limited/small:1")
    gate.wait(lambda: len(gate.asked("manifests")) == 3)
    time.sleep(0.5)
    assert gate.in_flight == 5 and not third.done()
    # One slot comes free: it is the small one's, though the large ones have waited longer.
    freed = gate.asked("blobs", "limited/large0")
    freed = [digest for digest in freed if digest in held][:1]
    asked = len(gate.asked("blobs"))
    gate.hold = lambda digest: digest in held - set(freed)
    gate.wait(lambda: len(gate.asked("blobs")) > asked)
    assert gate.asked("blobs")[asked] in small
    gate.open()
    assert len({future.result().image_ref for future in (first, second, third)}) == 3
    assert gate.most_in_flight <= 5 + 1  # and a configuration
    empty(client)


def test_pulls_wait_in_their_order(pulls, gate, push):
    client = pulls.client()
    layers = [push(f"queue/app{n}", [layer({f"q{n}": noise(200 + n, 20_000)})])[1] for n in range(7)]
    gate.hold = lambda digest: digest in layers
    futures = []
    for n in range(7):
        futures.append(begin(client, f"{gate.host}/queue/app{n}:1"))
        gate.wait(lambda n=n: len(gate.asked("manifests")) == min(n + 1, 4))
        time.sleep(0.1)
    assert [entry[1] for entry in gate.log if entry[0] == "manifests"] == [f"queue/app{n}" for n in range(4)]
    futures[5].cancel()
    for n in range(3):  # each that ends lets one in
        gate.hold = lambda digest, opened=set(layers[:n + 1]): digest in layers and digest not in opened
        futures[n].result()
    gate.open()
    for n in (3, 4, 6):
        assert futures[n].result().image_ref
    assert gate.asked("manifests", "queue/app4") and not gate.asked("manifests", "queue/app5")
    empty(client)


def test_a_stop_ends_pulls(workspace, gate, push):
    layers = push("stopped/app", [layer({"a": noise(8)})])
    daemon = serve(workspace, "stopped")
    try:
        client = daemon.start().client()
        gate.hold = lambda digest: digest in layers
        future = begin(client, f"{gate.host}/stopped/app:1")
        gate.wait(lambda: gate.in_flight == 2)
        before = time.monotonic()
        daemon.process.terminate()
        assert daemon.process.wait(20) == 0, daemon.tail()
        assert time.monotonic() - before < 15 and future.code() == grpc.StatusCode.UNAVAILABLE
        assert names(store_of(daemon) / "ingest") == []
    finally:
        daemon.wreck()


def test_a_killed_pull_goes_on_with_its_whole_layers(workspace, gate, push):
    layers = push("killed/app", [layer({"a": noise(9)}), layer({"b": noise(10)})])
    daemon = serve(workspace, "killed")
    try:
        client = daemon.start().client()
        gate.hold = lambda digest: digest == layers[2]
        future = begin(client, f"{gate.host}/killed/app:1")
        wait_for(lambda: len(names(store_of(daemon) / "layers")) == 2, "two layers come")
        daemon.kill()
        gate.open()
        client = daemon.start().client()
        assert future.exception() and not client.ListImages().images
        assert len(names(store_of(daemon) / "layers")) == 2 and names(store_of(daemon) / "ingest") == []
        gate.clear()
        assert pull(client, f"{gate.host}/killed/app:1")
        fetched = gate.asked("blobs")
        assert layers[2] in fetched and layers[0] not in fetched and layers[1] not in fetched
        empty(client)
        assert names(store_of(daemon) / "layers") == names(store_of(daemon) / "images") == []
        assert daemon.stop() == 0
    finally:
        daemon.wreck()


def test_pinned_images_say_so(pulls, archive):
    client = pulls.client()
    names_pinned = {"pinned.example/any:1": True, "busybox-pinned:1": True, "other.example/any:1": False, "busybox-pinned:2": False}
    for number, (name, pinned) in enumerate(names_pinned.items()):
        path = Archive(archive, name, layers=[layer({"n": noise(number, 100)})]).write(pulls.folder / "pinned.tar")
        client.ImportImage(path)
        assert client.ImageStatus(image=cri.ImageSpec(image=name)).image.pinned == pinned, name
    assert sum(image.pinned for image in client.ListImages().images) == 2
    pulls.cli("prune", "--all")
    assert [image.pinned for image in client.ListImages().images] == [True, True]
    # The recommendation is not to collect it; who says so by name is obeyed.
    client.RemoveImage(image=cri.ImageSpec(image="pinned.example/any:1"))
    assert not client.ImageStatus(image=cri.ImageSpec(image="pinned.example/any:1")).HasField("image")
    empty(client)


def test_usage_is_what_du_says(pulls, gate, push):
    """Within one part in fifty, after pulls, removals and a restart; and without walking."""
    client = pulls.client()
    files = {f"d{i // 50}": None for i in range(1000)} | {f"d{i // 50}/f{i}": b"x" * (i * 7) for i in range(1000)}
    push("usage/many", [layer(files)])
    push("usage/few", [layer({"large": noise(11, 3_000_000)})])

    def check():
        told = client.ImageFsInfo().image_filesystems[0]
        assert told.fs_id.mountpoint == str(store_of(pulls)) and told.timestamp > 0
        run = lambda *options: int(subprocess.run(["du", "-s", *options, store_of(pulls)], capture_output=True, check=True).stdout.split()[0])
        real, inodes = run("-B1"), run("--inodes")
        assert abs(told.used_bytes.value - real) <= real / 50, (told.used_bytes.value, real)
        assert abs(told.inodes_used.value - inodes) <= inodes / 50, (told.inodes_used.value, inodes)

    check()
    for name in ("many", "few"):
        pull(client, f"{gate.host}/usage/{name}:1")
        check()
    pulls.kill()
    client = pulls.start().client()
    check()
    client.RemoveImage(image=cri.ImageSpec(image=f"{gate.host}/usage/many:1"))
    check()
    empty(client)
    check()
