"""Shared fixtures: an image archive made from busybox, registries filled with it, a daemon per test module."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from harness.cri import ROOT  # noqa: E402
from harness.daemon import Daemon  # noqa: E402
from harness.oci import Oci  # noqa: E402
from harness.registry import Registry  # noqa: E402

IMAGE = "docker.io/library/busybox-test:1"


def pytest_sessionstart(session):
    # A shell that runs us in the background has told us to ignore it, and programs would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.geteuid() != 0:
        pytest.exit("these tests need root: they make namespaces, cgroups and mounts", returncode=1)


@pytest.fixture(scope="session")
def workspace():
    folder = Path(tempfile.mkdtemp(prefix="mptest-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def archive(workspace):
    path = workspace / "busybox.tar"
    subprocess.run([ROOT / "tools" / "mkimage.sh", "--name", IMAGE, path], check=True, capture_output=True)
    return path


@pytest.fixture(scope="session", autouse=True)
def sysctls():
    """The daemon turns forwarding on, as every pod network does; it is put back."""
    forward = Path("/proc/sys/net/ipv4/ip_forward")
    before = forward.read_text()
    yield
    forward.write_text(before)


@pytest.fixture(scope="session")
def registries(workspace, archive):
    plain = Registry(workspace / "registry").start()
    try:
        secure = Registry(workspace / "secure-registry", secure=True).start()
        plain.digest = plain.push(archive, "library/busybox:1.0")
        plain.push(archive, "library/busybox:zstd", "--dest-compress-format=zstd", "--dest-force-compress-format") \
            if _skopeo_forces_format() else None
        plain.push(archive, "library/busybox:docker", "--format=v2s2")
        secure.digest = secure.push(archive, "private/busybox:1.0")
        yield {"http": plain, "https": secure}
        secure.stop()
    finally:
        plain.stop()


def _skopeo_forces_format():
    return "--dest-force-compress-format" in subprocess.run(["skopeo", "copy", "--help"], capture_output=True, text=True).stdout


def _daemon(workspace, registries, name, build):
    folder = workspace / name
    folder.mkdir()
    options = {}
    if registries:
        certs = folder / "certs.d" / registries["https"].host
        certs.mkdir(parents=True)
        shutil.copy(registries["https"].folder / "ca.crt", certs)
        options["image.insecure_registries"] = registries["http"].host
    daemon = Daemon(folder, build=build, options=options)
    try:
        yield daemon.start()
        daemon.remove_all()
        status = daemon.stop()
        assert status == 0, f"the daemon ended with {status}:\n{daemon.tail(80)}"
    finally:
        daemon.wreck()


@pytest.fixture(scope="module")
def daemon(request, workspace, archive):
    for running in _daemon(workspace, None, request.module.__name__, "asan"):
        running.client().ImportImage(archive)
        yield running


@pytest.fixture(scope="module")
def release_daemon(request, workspace, archive):
    for running in _daemon(workspace, None, request.module.__name__ + "-release", "release"):
        running.client().ImportImage(archive)
        yield running


@pytest.fixture(scope="module")
def pulling_daemon(request, workspace, registries):
    yield from _daemon(workspace, registries, request.module.__name__ + "-pull", "asan")


@pytest.fixture
def logs(workspace):
    folder = Path(tempfile.mkdtemp(prefix="logs-", dir=workspace))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def image():
    return IMAGE


@pytest.fixture
def oci(tmp_path):
    """The OCI command with a bundle; nothing of its containers may be left."""
    runtime = Oci(tmp_path)
    yield runtime
    runtime.clean()
    assert runtime.left() == []
