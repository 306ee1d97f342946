"""The whole path again with @grpc/grpc-js, over HTTP and over HTTPS with credentials, under both service names."""
import json
import subprocess
from pathlib import Path

import pytest

from harness.cri import CGROUP_PARENT, ROOT
from harness.inventory import baseline, settle
from harness.registry import PASSWORD, USER

CANCELLED, NOT_FOUND = 1, 5
EVENTS = [["CONTAINER_CREATED_EVENT", "pod", ""], ["CONTAINER_STARTED_EVENT", "pod", ""],
          ["CONTAINER_CREATED_EVENT", "container", "CONTAINER_CREATED"], ["CONTAINER_STARTED_EVENT", "container", "CONTAINER_RUNNING"],
          ["CONTAINER_STOPPED_EVENT", "container", "CONTAINER_EXITED"], ["CONTAINER_DELETED_EVENT", "container", ""],
          ["CONTAINER_STOPPED_EVENT", "pod", ""], ["CONTAINER_DELETED_EVENT", "pod", ""]]


@pytest.mark.parametrize("version", ["v1", "v1alpha2"])
@pytest.mark.parametrize("kind", ["http tag", "https digest"])
def test_whole_path(pulling_daemon, registries, logs, version, kind):
    before = baseline(pulling_daemon)
    scheme, by = kind.split()
    registry = registries[scheme]
    name = "library/busybox" if scheme == "http" else "private/busybox"
    reference = f"{registry.host}/{name}" + (":1.0" if by == "tag" else f"@{registry.digest}")
    credentials = [USER, PASSWORD] if scheme == "https" else ["", ""]
    done = subprocess.run(["node", str(Path(__file__).parent / "client.mjs"), str(pulling_daemon.socket), str(ROOT / "proto" / "cri.proto"),
                           version, reference, *credentials, str(logs), CGROUP_PARENT], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen.pop("ip").startswith("10.213.")
    assert seen == {"log": "stdout F hello from from-js", "exec": ["seen\n", 6], "exit": 137, "state": "CONTAINER_EXITED", "left": 0,
                    "missing": NOT_FOUND, "streamed": [True, True, True], "events": EVENTS, "cancelled": CANCELLED}
    settle(pulling_daemon, before)
