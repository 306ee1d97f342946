"""What an operator does with images on a node without a registry: import, images, rmi, prune, check."""
import gzip
import json
import os
import re
import signal
import socket
import subprocess
import tarfile
import time

import pytest

from harness.cri import cri
from harness.images import Archive, layer
from harness.pods import pod, start


def import_from(daemon, *arguments, **popen):
    return subprocess.Popen([str(daemon.binary), "--socket", str(daemon.socket), "import", *map(str, arguments)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=daemon.environment, **popen)


def names(daemon):
    return {tag for image in daemon.client().ListImages().images for tag in image.repo_tags}


def store_of(daemon):
    return daemon.folder / "root" / "images"


@pytest.fixture
def made(archive, workspace, daemon):
    """make(NAME, TEXT): the path of an archive with an image of that name, of which one layer is its own; all such images go in the end."""
    paths, named = [], []

    def make(name, text=None):
        path = workspace / f"made-{len(paths)}.tar"
        paths.append(Archive(archive, name, layers=[layer({"made": (text or name).encode()})]).write(path))
        named.append(name)
        return path

    yield make
    for name in named:
        daemon.client().RemoveImage(image=cri.ImageSpec(image=name))
    for path in paths:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize("how", ["file", "gzip", "directory", "pipe", "socket", "relative"])
def test_import_takes_what_it_is_given(daemon, made, tmp_path, how):
    name = f"docker.io/library/imported-{how}:1"
    path = made(name)
    if how == "file":
        running = import_from(daemon, path)
    elif how == "gzip":
        (tmp_path / "a.tar.gz").write_bytes(gzip.compress(path.read_bytes()))
        running = import_from(daemon, tmp_path / "a.tar.gz")
    elif how == "directory":
        with tarfile.open(path) as tar:
            tar.extractall(tmp_path / "layout")
        running = import_from(daemon, tmp_path / "layout")
    elif how == "pipe":
        running = import_from(daemon, "-", stdin=subprocess.PIPE)
        running.stdin.write(path.read_bytes())
        running.stdin.close()
        running.stdin = None
    elif how == "socket":
        ours, theirs = socket.socketpair()
        running = import_from(daemon, "-", stdin=theirs)
        theirs.close()
        ours.sendall(path.read_bytes())
        ours.close()
    else:
        running = import_from(daemon, path.name, cwd=path.parent)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    assert re.fullmatch(rf"sha256:[0-9a-f]{{64}} {name}\n", out.decode()) and name in names(daemon)
    assert os.listdir(store_of(daemon) / "ingest") == []


def test_import_prints_json(daemon, made):
    path = made("docker.io/library/imported-json:1")
    reply = json.loads(daemon.cli("-o", "json", "import", str(path)).stdout)
    assert [image["repoTags"] for image in reply["images"]] == [["docker.io/library/imported-json:1"]]
    renamed = daemon.cli("import", "--name", "other:2", str(path)).stdout
    assert "docker.io/library/other:2" in renamed
    absent = daemon.cli("import", str(path), "nobody:3", check=False)
    assert absent.returncode == 1 and "there is no image 'nobody:3' in it; there is: docker.io/library/imported-json:1" in absent.stderr
    daemon.cli("rmi", "other:2")


def test_an_interrupted_import_leaves_nothing(daemon, made):
    """The client is interrupted while its pipe is silent in the middle of the archive."""
    data = made("docker.io/library/interrupted:1").read_bytes()
    running = import_from(daemon, "-", stdin=subprocess.PIPE)
    running.stdin.write(data[: len(data) // 2])
    running.stdin.flush()
    ingest = store_of(daemon) / "ingest"
    deadline = time.monotonic() + 20
    while not os.listdir(ingest) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert os.listdir(ingest)
    running.send_signal(signal.SIGINT)
    assert running.wait(20) != 0
    running.stdin.close()
    while os.listdir(ingest) and time.monotonic() < deadline + 20:
        time.sleep(0.05)
    assert os.listdir(ingest) == [] and "docker.io/library/interrupted:1" not in names(daemon)


def test_a_descriptor_must_come_with_the_connection(daemon):
    """A request that speaks of one which did not come is refused; the daemon does not take its own descriptor 0 for it."""
    import grpc
    import admin_pb2

    with pytest.raises(grpc.RpcError) as caught:
        daemon.client().channel.unary_unary("/monopod.v1.Admin/ImportImage", request_serializer=admin_pb2.ImportImageRequest.SerializeToString,
                                            response_deserializer=admin_pb2.ImportImageResponse.FromString)(
            admin_pb2.ImportImageRequest(path="/dev/stdin", attached=True), timeout=10)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "no descriptor came" in caught.value.details()


def test_prune_removes_what_nothing_uses(daemon, made, image, logs):
    client = daemon.client()
    daemon.cli("import", str(made("docker.io/library/unused:1")))
    moved = [made("docker.io/library/moves:1", text) for text in ("old", "new")]
    for path in moved:
        daemon.cli("import", str(path))
    with pod(client, "user", logs) as (pod_id, config):
        start(client, pod_id, config, image, ["sleep", "1000"])
        before = names(daemon)
        dry = daemon.cli("prune", "--dry-run").stdout
        assert re.search(r"1 image, [0-9.]+KiB would be freed", dry) and names(daemon) == before
        assert re.search(r"1 image, [0-9.]+KiB freed", daemon.cli("prune").stdout) and names(daemon) == before
        assert "0 images, 0B freed" in daemon.cli("prune", "--all", "--older-than", "10h").stdout
        reply = json.loads(daemon.cli("-o", "json", "prune", "--all", "--dry-run").stdout)
        assert {tag for gone in reply["images"] for tag in gone["repoTags"]} == {"docker.io/library/unused:1", "docker.io/library/moves:1"}
        assert "docker.io/library/unused:1" in daemon.cli("prune", "--all").stdout
        assert names(daemon) == {image}, "the image of a container stays"


def test_check_finds_damage_and_repairs_it(daemon, made, image, logs):
    path = made("docker.io/library/broken:1")
    daemon.cli("import", str(path))
    assert "0 damaged objects" in daemon.cli("check", "--images").stdout
    [file] = store_of(daemon).glob("layers/*/fs/made")
    file.write_bytes(b"X" * file.stat().st_size)
    found = daemon.cli("check", "--images", check=False)
    assert found.returncode == 1
    assert "made: holds something else than was unpacked" in found.stdout and "needed by docker.io/library/broken:1" in found.stdout
    repaired = daemon.cli("-o", "json", "check", "--images", "--repair")
    assert [damage["repaired"] for damage in json.loads(repaired.stdout)["damages"]] == [True]
    assert "docker.io/library/broken:1" not in names(daemon) and image in names(daemon)
    daemon.cli("import", str(path))
    assert file.read_bytes() == b"docker.io/library/broken:1"
    assert "0 damaged objects" in daemon.cli("check", "--images").stdout


def test_check_leaves_what_a_container_runs_on(daemon, made, logs):
    client, name = daemon.client(), "docker.io/library/runs:1"
    path = made(name)
    daemon.cli("import", str(path))
    with pod(client, "runs", logs) as (pod_id, config):
        start(client, pod_id, config, name, ["sleep", "1000"])
        [file] = store_of(daemon).glob("layers/*/fs/made")
        file.unlink()
        found = daemon.cli("check", "--images", "--repair", check=False)
        assert found.returncode == 1 and "made: is missing" in found.stdout and "containers run on it" in found.stdout
        assert name in names(daemon)
    assert daemon.cli("check", "--images", "--repair").returncode == 0 and name not in names(daemon)
    assert daemon.cli("check", "--repair", check=False).returncode == 2


def test_images_and_rmi_say_who_uses_them(daemon, made, logs):
    client, name = daemon.client(), "docker.io/library/busy:1"
    other = "docker.io/library/idle:1"
    for each in (name, other):
        daemon.cli("import", str(made(each)))
    with pod(client, "busy", logs) as (pod_id, config):
        start(client, pod_id, config, name, ["sleep", "1000"])
        rows = {line.split()[0]: line.split()[-1] for line in daemon.cli("images").stdout.splitlines()}
        assert (rows[name], rows[other]) == ("1", "0")
        refused = daemon.cli("rmi", "nobody:1", name, other, check=False)
        assert refused.returncode == 1 and refused.stdout == f"{other}\n"
        assert "there is no image 'nobody:1'" in refused.stderr and f"'{name}' is used by 1 container, main (" in refused.stderr
        assert name in names(daemon) and other not in names(daemon)
        assert daemon.cli("rmi", "--force", name).stdout == f"{name}\n"
        assert name not in names(daemon) and len(list(store_of(daemon).glob("layers/*/fs/made"))) == 1
    deadline = time.monotonic() + 20
    while list(store_of(daemon).glob("layers/*/fs/made")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not list(store_of(daemon).glob("layers/*/fs/made")), "the layers go with the container"
