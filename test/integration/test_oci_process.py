"""`monopod oci`: namespaces that others made, clocks, processors, sockets that a service manager opened, and hooks at odd moments."""
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from harness.oci import RUNTIME, wait_for


def start(oci, name):
    oci.make("run", name, "--detach", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def monotonic(text):
    return float(text.split()[0])


def test_a_time_namespace_with_offsets(oci):
    if not os.path.exists("/proc/self/ns/time"):
        pytest.skip("this kernel has no time namespaces")

    def shifted(config):
        config["linux"]["namespaces"].append({"type": "time"})
        config["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000, "nanosecs": 5}, "monotonic": {"secs": 7}}
    oci.configure(shifted, "sh", "-c", "cat /proc/uptime /proc/self/timens_offsets; readlink /proc/self/ns/time; sleep 1000")
    assert oci.create("tn1").returncode == 0, oci.output("tn1")
    oci.call("start", "tn1")
    wait_for(lambda: "time:[" in oci.output("tn1"))
    lines = oci.output("tn1").splitlines()
    host = monotonic(Path("/proc/uptime").read_text())
    assert 0 <= host + 1000000 - monotonic(lines[0]) < 60
    assert lines[1].split() == ["monotonic", "7", "0"] and lines[2].split() == ["boottime", "1000000", "5"]
    assert lines[3] != os.readlink("/proc/self/ns/time")
    # exec joins it; the state is looked up by the host's clock
    assert oci.call("exec", "tn1", "readlink", "/proc/self/ns/time").stdout.strip() == lines[3]
    assert oci.state("tn1")["status"] == "running"
    # and so does another container
    path = f"/proc/{oci.state('tn1')['pid']}/ns/time"
    assert oci.shell("tn2", "readlink /proc/self/ns/time", lambda c: c["linux"]["namespaces"].append({"type": "time", "path": path})).strip() == lines[3]


def test_offsets_that_cannot_be(oci):
    assert "time namespace" in oci.refused("to1", lambda c: c["linux"].update(timeOffsets={"monotonic": {"secs": 1}}))

    def realtime(config):
        config["linux"]["namespaces"].append({"type": "time"})
        config["linux"]["timeOffsets"] = {"realtime": {"secs": 1}}
    assert "realtime" in oci.refused("to2", realtime)


def test_a_user_namespace_by_path(oci):
    """Its maps are found out; others are refused; exec finds them, too."""
    owner = subprocess.Popen(["unshare", "--user", "sleep", "1000"])
    try:
        wait_for(lambda: os.readlink(f"/proc/{owner.pid}/ns/user") != os.readlink("/proc/self/ns/user"))
        Path(f"/proc/{owner.pid}/uid_map").write_text("0 70000 2000")
        Path(f"/proc/{owner.pid}/gid_map").write_text("0 80000 2000")
        path = f"/proc/{owner.pid}/ns/user"

        def joined(config):
            config["linux"]["namespaces"].append({"type": "user", "path": path})
        oci.configure(joined, "sh", "-c", "id -u; touch /dev/mine; sleep 1000")
        assert oci.create("up1").returncode == 0, oci.output("up1")
        oci.call("start", "up1")
        pid = oci.state("up1")["pid"]
        wait_for(lambda: Path(f"/proc/{pid}/root/dev/mine").exists())
        made = os.stat(f"/proc/{pid}/root/dev/mine")
        assert (made.st_uid, made.st_gid, oci.output("up1")) == (70000, 80000, "0\n")
        assert os.readlink(f"/proc/{pid}/ns/user") == os.readlink(path)
        assert oci.call("exec", "--user", "5:6", "up1", "sh", "-c", "id -u; cat /proc/self/uid_map").stdout.split() == ["5", "0", "70000", "2000"]

        def wrong(config):
            joined(config)
            config["linux"]["uidMappings"] = config["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 1, "size": 5}]
        oci.configure(wrong, "true")
        result = oci.create("up2")
        assert result.returncode == 1 and "are not those of user namespace" in result.out
    finally:
        owner.kill()
        owner.wait()


@pytest.mark.parametrize("moments", [["prestart", "createRuntime", "poststart", "poststop"], ["createContainer", "startContainer"]])
def test_hooks_with_a_user_namespace(oci, tmp_path, moments):
    log = tmp_path / "log"
    log.touch(0o666)
    log.chmod(0o666)
    tmp_path.chmod(0o755)

    def hooks(config):
        config["linux"]["namespaces"].append({"type": "user"})
        config["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 70000, "size": 2000}]
        config["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 80000, "size": 2000}]
        config["hooks"] = {m: [{"path": "/bin/sh", "args": ["sh", "-c", f"echo {m} >>{log}; cat >/dev/null"]}] for m in moments if m != "startContainer"}
        if "startContainer" in moments:
            config["hooks"]["startContainer"] = [{"path": "/bin/sh", "args": ["sh", "-c", "echo startContainer; id -u"]}]
    oci.configure(hooks, "sh", "-c", "echo command")
    result = oci.make("run", "hu1", check=False)
    assert result.returncode == 0, result.stderr
    assert log.read_text().split() == [m for m in moments if m != "startContainer"]
    assert result.stdout.split() == (["startContainer", "0"] if "startContainer" in moments else []) + ["command"]


@pytest.mark.parametrize("way", ["force", "killed", "run"])
def test_poststop_hooks_run_once(oci, tmp_path, way):
    """Of a container that is deleted by force, of one whose process and whose `run` were killed, and of one that ends in the foreground."""
    log = tmp_path / "log"
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ncat >>{log}\n")
    hook.chmod(0o755)
    oci.configure(lambda c: c.update(hooks={"poststop": [{"path": str(hook)}]}), "sleep", "0.3" if way == "run" else "1000")
    if way == "force":
        start(oci, "ps1")
        oci.call("delete", "--force", "ps1")
    elif way == "run":
        oci.make("run", "ps1")
    else:
        oci.ids.append("ps1")
        command = subprocess.Popen([RUNTIME, "--root", oci.root, "run", "--bundle", oci.bundle, "ps1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: (oci.root / "ps1" / "state.json").exists() and oci.state("ps1")["status"] == "running")
        command.kill()
        command.wait()
        assert oci.state("ps1")["status"] == "running" and not log.exists()
        oci.call("kill", "ps1", "KILL")
        wait_for(lambda: oci.state("ps1")["status"] == "stopped")
        oci.call("delete", "ps1")
    state = json.loads(log.read_text())
    assert (state["id"], state["status"]) == ("ps1", "stopped")
    assert oci.call("delete", "ps1", check=False).returncode == 1 and json.loads(log.read_text())


def test_affinity_of_exec(oci, tmp_path):
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("one CPU")
    oci.configure(lambda c: c["process"].update(execCPUAffinity={"initial": str(cpus[0]), "final": str(cpus[1])}), "sleep", "1000")
    start(oci, "ca1")
    allowed = ["grep", "Cpus_allowed_list", "/proc/self/status"]
    assert oci.call("exec", "ca1", *allowed).stdout.split()[1] == str(cpus[1])
    # it is exec's alone
    assert os.sched_getaffinity(oci.state("ca1")["pid"]) == set(cpus)
    process = {"args": allowed, "cwd": "/", "env": ["PATH=/bin"], "execCPUAffinity": {"final": f"{cpus[0]}-{cpus[0]}"}}
    (tmp_path / "p.json").write_text(json.dumps(process))
    assert oci.call("exec", "--process", tmp_path / "p.json", "ca1").stdout.split()[1] == str(cpus[0])
    process["execCPUAffinity"]["final"] = "1-"
    (tmp_path / "p.json").write_text(json.dumps(process))
    assert "list of CPUs" in oci.call("exec", "--process", tmp_path / "p.json", "ca1", check=False).stderr


def test_exec_hands_descriptors_on(oci):
    oci.configure(None, "sleep", "1000")
    start(oci, "ed1")
    here, there = os.pipe()
    os.write(there, b"through three")
    os.close(there)
    os.dup2(here, 40)
    try:
        result = subprocess.run(["bash", "-c", 'exec "$@" 3<&40', "bash", RUNTIME, "--root", oci.root, "exec", "--preserve-fds", "1", "ed1", "cat", "/proc/self/fd/3"],
                                pass_fds=[40], capture_output=True, text=True, timeout=60)
    finally:
        os.close(here)
        os.close(40)
    assert (result.returncode, result.stdout) == (0, "through three"), result.stderr
    assert oci.call("exec", "--preserve-fds", "1", "ed1", "true", check=False).returncode == 1


def test_sockets_of_a_service_manager(oci, tmp_path):
    """sd_listen_fds(3): they come first, what --preserve-fds counts after them."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "sock"))
    listener.listen(1)
    os.dup2(listener.fileno(), 40)
    oci.configure(None, "sh", "-c", "echo $LISTEN_FDS $LISTEN_PID $LISTEN_FDNAMES $$; readlink /proc/$$/fd/3; cat <&4")
    script = 'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web exec "$@" 3<&40 4</etc/hostname'
    command = ["bash", "-c", script, "bash", RUNTIME, "--root", oci.root, "run", "--bundle", oci.bundle, "--preserve-fds", "1", "ls1"]
    oci.ids.append("ls1")
    try:
        result = subprocess.run(command, pass_fds=[40], capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stderr
        first, target, rest = result.stdout.split("\n", 2)
        assert first == "1 1 web 1" and target.startswith("socket:[") and rest == Path("/etc/hostname").read_text()
        # those of somebody else are not ours to hand on
        command[2] = 'LISTEN_PID=1 LISTEN_FDS=1 exec "$@" 3</dev/null'
        result = subprocess.run(command, pass_fds=[40], capture_output=True, text=True, timeout=60)
        assert result.stdout.startswith("1\n"), result.stderr
    finally:
        os.close(40)
        listener.close()


def test_events_go_on_until_the_end(oci):
    oci.configure(None, "sleep", "1000")
    start(oci, "ev1")
    with subprocess.Popen([RUNTIME, "--root", oci.root, "events", "--interval", "50ms", "ev1"], stdout=subprocess.PIPE, text=True) as events:
        seen = [json.loads(events.stdout.readline()) for _ in range(3)]
        assert all(e["type"] == "stats" and e["data"]["cpu"]["usage"]["total"] >= 0 for e in seen)
        oci.call("kill", "ev1", "KILL")
        events.communicate(timeout=20)
        assert events.returncode == 0
    assert oci.call("events", "--stats", "ev1", check=False).returncode == 1


def test_ps_as_a_table_and_as_json(oci):
    oci.configure(None, "sleep", "1000")
    start(oci, "pt1")
    lines = oci.call("ps", "ev1", check=False), oci.call("ps", "-f", "table", "pt1").stdout.splitlines()
    assert lines[0].returncode == 1 and lines[1][0].split() == ["PID", "COMMAND"] and lines[1][1].endswith("sleep 1000")
    assert json.loads(oci.call("ps", "-f", "json", "pt1").stdout) == [oci.state("pt1")["pid"]]
    assert "'table' or 'json'" in oci.call("ps", "-f", "xml", "pt1", check=False).stderr
    assert "is not a signal" in oci.call("kill", "pt1", "NOSUCH", check=False).stderr


def test_update_by_a_file(oci, tmp_path):
    oci.configure(lambda c: c["linux"]["resources"].update(pids={"limit": 50}), "sleep", "1000")
    start(oci, "uf1")
    (tmp_path / "r.json").write_text('{"pids": {"limit": 33}}')
    oci.call("update", "-r", tmp_path / "r.json", "uf1")
    assert json.loads(oci.call("events", "--stats", "uf1").stdout)["data"]["pids"]["limit"] == 33
    (tmp_path / "r.json").write_text("[]")
    assert oci.call("update", "-r", tmp_path / "r.json", "uf1", check=False).returncode == 1


def test_rootless_is_refused(oci, tmp_path):
    assert "needs root" in oci.call("spec", "--bundle", tmp_path, "--rootless", check=False).stderr
    assert not (tmp_path / "config.json").exists()
