"""`monopod oci --systemd-cgroup`, with the systemd of the machine: a container is a scope, its limits hold, and nothing of it stays."""
import json
import subprocess
from pathlib import Path

import pytest

from harness.oci import RUNTIME, wait_for

pytestmark = pytest.mark.skipif(not Path("/run/systemd/system").is_dir() or not Path("/sys/fs/cgroup/cgroup.controllers").exists(),
                                reason="systemd is not the init here, or cgroup version 1 is mounted")
GROUPS = Path("/sys/fs/cgroup")


def shown(unit, *properties):
    text = subprocess.run(["systemctl", "show", unit, *(f"-p{name}" for name in properties)], capture_output=True, text=True).stdout
    return dict(line.split("=", 1) for line in text.splitlines())


@pytest.fixture
def managed(oci):
    """Every call with the systemd cgroup manager."""
    plain = oci.call
    oci.call = lambda *args, **more: plain("--systemd-cgroup", *args, **more)
    return oci


def start(oci, name):
    oci.make("run", name, "--detach", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_a_container_is_a_scope(managed):
    def change(config):
        config["linux"]["cgroupsPath"] = "mpoci-test.slice:mpoci:sc1"
        config["linux"]["resources"].update(pids={"limit": 50}, memory={"limit": 64 << 20}, cpu={"quota": 50000, "period": 100000})
    scope = GROUPS / "mpoci.slice" / "mpoci-test.slice" / "mpoci-sc1.scope"
    managed.configure(change, "sleep", "1000")
    assert managed.create("sc1").returncode == 0, managed.output("sc1")
    pid = managed.state("sc1")["pid"]
    assert shown("mpoci-sc1.scope", "ActiveState", "Slice", "Delegate") == {"ActiveState": "active", "Slice": "mpoci-test.slice", "Delegate": "yes"}
    assert [p.name for p in scope.iterdir() if p.is_dir()] == ["container"]
    assert (scope / "container" / "cgroup.procs").read_text().split() == [str(pid)]
    assert (scope / "container" / "pids.max").read_text() == "50\n" and (scope / "container" / "memory.max").read_text() == f"{64 << 20}\n"
    # systemd reloads its units and lets our limits stand
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    assert (scope / "container" / "cpu.max").read_text() == "50000 100000\n"
    managed.call("start", "sc1")
    wait_for(lambda: managed.state("sc1")["status"] == "running")
    managed.call("update", "--pids-limit", "7", "sc1")
    assert json.loads(managed.call("events", "--stats", "sc1").stdout)["data"]["pids"] == {"current": 1, "limit": 7}
    managed.call("pause", "sc1")
    assert managed.state("sc1")["status"] == "paused"
    managed.call("resume", "sc1")
    assert len(json.loads(managed.call("ps", "-f", "json", "sc1").stdout)) == 1
    managed.call("delete", "--force", "sc1")
    assert not scope.exists()
    # the name is free at once
    managed.configure(change, "true")
    managed.make("run", "sc1")
    assert not scope.exists()
    subprocess.run(["systemctl", "stop", "mpoci.slice"], check=True)


def test_without_a_path_it_is_in_system_slice(managed):
    managed.configure(None, "sleep", "1000")
    start(managed, "sc2")
    scope = GROUPS / "system.slice" / "monopod-sc2.scope"
    assert (scope / "container" / "cgroup.procs").read_text().split() == [str(managed.state("sc2")["pid"])]
    managed.call("kill", "sc2", "KILL")
    wait_for(lambda: managed.state("sc2")["status"] == "stopped")
    wait_for(lambda: not scope.exists())
    managed.call("delete", "sc2")


def test_what_a_killed_create_leaves(managed, tmp_path):
    """A hook that sleeps: the scope is there, with whatever holds it, and delete takes all of it away."""
    hook = tmp_path / "hook"
    hook.write_text("#!/bin/sh\ntouch %s/there\nexec sleep 1000\n" % tmp_path)
    hook.chmod(0o755)
    managed.configure(lambda c: c.update(hooks={"createRuntime": [{"path": str(hook)}]}), "true")
    managed.ids.append("sc3")

    command = subprocess.Popen([RUNTIME, "--root", managed.root, "--systemd-cgroup", "create", "--bundle", managed.bundle, "sc3"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: (tmp_path / "there").exists())
    command.kill()
    command.wait()
    scope = GROUPS / "system.slice" / "monopod-sc3.scope"
    assert scope.exists()
    managed.call("delete", "--force", "sc3")
    assert not scope.exists()


@pytest.mark.parametrize("path", ["/absolute", "a:b", "noslice:p:n", "a--b.slice:p:n", "a.slice:p:n/../x"])
def test_paths_that_name_no_scope(managed, path):
    assert "linux.cgroupsPath" in managed.refused("sc4", lambda c: c["linux"].update(cgroupsPath=path))
