"""SIGKILL at any instant of a pull: the next daemon has a store without a fault in it, and pulls on.

MONOPOD_TEST_KILLS says how often (20); the project's promise is held with 200, in some three minutes.
"""
import os
import random
import time

import pytest

from harness.cri import cri
from harness.daemon import Daemon
from harness.images import Archive, layer

CHECK = ("check", "--images")
KILLS = int(os.environ.get("MONOPOD_TEST_KILLS", "20"))


@pytest.fixture(scope="module")
def references(workspace, archive, registries):
    """Two images that share layers: some files, some bytes, so that a pull takes a few hundred milliseconds."""
    host = registries["http"].host
    common = [layer({f"c{n}/f{i}": random.Random(n * 1000 + i).randbytes(2000) for i in range(150)}) for n in range(3)]
    found = []
    for name in ("one", "two"):
        own = layer({f"{name}-{i}": random.Random(f"{name}{i}").randbytes(20_000) for i in range(60)})
        path = Archive(archive, "x.example/x:1", layers=[*common, own]).write(workspace / "killed.tar")
        registries["http"].push(path, f"kills/{name}:1")
        path.unlink()
        found.append(f"{host}/kills/{name}:1")
    return found


def begin(client, reference):
    call = client.channel.unary_unary("/runtime.v1.ImageService/PullImage", request_serializer=cri.PullImageRequest.SerializeToString,
                                      response_deserializer=cri.PullImageResponse.FromString)
    return call.future(cri.PullImageRequest(image=cri.ImageSpec(image=reference)), timeout=30)


def entries(daemon, folder):
    return sorted(path.name for path in (daemon.folder / "root" / "images" / folder).iterdir())


def remove_all(client):
    for image in client.ListImages().images:
        client.RemoveImage(image=cri.ImageSpec(image=image.id))


def test_a_daemon_that_is_killed_in_pulls(workspace, references):
    folder = workspace / "kills"
    folder.mkdir()
    daemon = Daemon(folder, build="release")
    chance = random.Random(4)
    interrupted = whole = 0
    try:
        client = daemon.start().client()
        began = time.monotonic()
        for reference in references:
            client.PullImage(image=cri.ImageSpec(image=reference))
        takes = time.monotonic() - began
        remove_all(client)
        for round_ in range(KILLS):
            futures = [begin(client, reference) for reference in references]
            time.sleep(chance.uniform(0, 1.2 * takes))
            if round_ % 4 == 3:  # and in the middle of removals
                futures += [client.channel.unary_unary("/runtime.v1.ImageService/RemoveImage",
                                                       request_serializer=cri.RemoveImageRequest.SerializeToString).future(
                    cri.RemoveImageRequest(image=cri.ImageSpec(image=reference))) for reference in references]
                time.sleep(chance.uniform(0, 0.02))
            daemon.kill()
            interrupted += any(future.exception() is not None for future in futures[:2])
            client = daemon.start().client()
            listed = client.ListImages().images
            whole += len(listed)
            assert entries(daemon, "ingest") == [], round_
            assert len(entries(daemon, "images")) == len(listed), round_
            blobs = {digest.split("@sha256:")[1] for image in listed for digest in image.repo_digests}
            blobs |= {image.id.removeprefix("sha256:") for image in listed}
            assert set(entries(daemon, "blobs/sha256")) == blobs, round_
            if round_ % 10 == 0 or round_ == KILLS - 1:
                daemon.cli(*CHECK)
            if round_ % 3 == 0:
                for reference in references:
                    assert client.PullImage(image=cri.ImageSpec(image=reference)).image_ref
                daemon.cli(*CHECK)
            remove_all(client)
        for reference in references:
            client.PullImage(image=cri.ImageSpec(image=reference))
        daemon.cli(*CHECK)
        remove_all(client)
        assert entries(daemon, "images") == entries(daemon, "blobs/sha256") == entries(daemon, "ingest") == []
        assert daemon.stop() == 0
    finally:
        daemon.wreck()
    print(f"{KILLS} kills, {interrupted} of them in a pull, {whole} images were whole after them")
    assert interrupted >= KILLS // 4
