"""`monopod oci`: every subcommand as an engine calls it, what is left behind, and attempts to get out."""
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from harness.oci import RUNTIME, wait_for


def test_run_passes_output_and_exit_code(oci):
    oci.configure(None, "sh", "-c", "echo out; echo err >&2; exit 7")
    result = oci.make("run", "r1", check=False)
    assert (result.returncode, result.stdout, result.stderr) == (7, "out\n", "err\n")
    assert oci.left() == []


def test_run_says_128_plus_signal(oci):
    oci.configure(lambda c: c["linux"]["namespaces"].remove({"type": "pid"}), "sh", "-c", "kill -9 $$")
    assert oci.make("run", "r2", check=False).returncode == 137


def test_create_waits_and_start_releases(oci, tmp_path):
    oci.configure(None, "sh", "-c", "echo started; sleep 1000")
    assert oci.create("c1", "--pid-file", tmp_path / "pid").returncode == 0
    state = oci.state("c1")
    assert state["status"] == "created" and state["bundle"] == str(oci.bundle) and state["ociVersion"].startswith("1.")
    assert int((tmp_path / "pid").read_text()) == state["pid"]
    assert oci.output("c1") == ""
    oci.call("start", "c1")
    assert oci.state("c1")["status"] == "running"
    wait_for(lambda: oci.output("c1") == "started\n")
    # a second start, a second create, a delete of what runs: refused, and it goes on
    assert oci.call("start", "c1", check=False).returncode == 1
    assert "already exists" in oci.create("c1").out
    assert "is running" in oci.call("delete", "c1", check=False).stderr
    oci.call("kill", "c1", "KILL")
    wait_for(lambda: oci.state("c1")["status"] == "stopped")
    assert "not running" in oci.call("kill", "c1", "KILL", check=False).stderr
    oci.call("delete", "c1")
    assert "does not exist" in oci.call("state", "c1", check=False).stderr
    assert oci.call("delete", "c1", check=False).returncode == 1
    oci.call("delete", "--force", "c1")


def test_a_missing_command_fails_the_creation(oci):
    oci.configure(None, "nosuch")
    result = oci.create("m1")
    assert result.returncode == 1 and "exec nosuch: No such file or directory" in result.out
    assert oci.left() == []


def test_errors_go_to_the_log_as_json(oci, tmp_path):
    oci.configure(None, "nosuch")
    with open(tmp_path / "out", "w") as out:
        oci.call("--log", tmp_path / "log", "--log-format", "json", "create", "--bundle", oci.bundle, "l1", check=False, stdout=out, stderr=out)
    entry = json.loads((tmp_path / "log").read_text())
    assert entry["level"] == "error" and "nosuch" in entry["msg"] and entry["time"].endswith("Z")


def test_exec_joins_and_reports(oci, tmp_path):
    oci.configure(None, "sleep", "1000")
    oci.make("run", "e1", "--detach", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    result = oci.call("exec", "--env", "X=y", "--cwd", "/bin", "--user", "12:34", "e1", "sh", "-c", "id -u; id -g; pwd; echo $X; exit 5", check=False)
    assert (result.returncode, result.stdout) == (5, "12\n34\n/bin\ny\n")
    process = {"args": ["sh", "-c", "cat /proc/self/status"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0, "additionalGids": [77]},
               "capabilities": {k: ["CAP_KILL"] for k in ("bounding", "effective", "permitted")}}
    (tmp_path / "process.json").write_text(json.dumps(process))
    text = oci.call("exec", "--process", tmp_path / "process.json", "e1").stdout
    assert "CapBnd:\t0000000000000020" in text and "Groups:\t77" in text
    first = os.readlink(f"/proc/{oci.state('e1')['pid']}/ns/pid")
    assert oci.call("exec", "e1", "readlink", "/proc/self/ns/pid").stdout.strip() == first
    oci.call("exec", "--detach", "--pid-file", tmp_path / "pid", "e1", "sleep", "1000", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pids = json.loads(oci.call("ps", "--format", "json", "e1").stdout)
    assert int((tmp_path / "pid").read_text()) in pids and oci.state("e1")["pid"] in pids and len(pids) == 2
    assert "sleep 1000" in oci.call("ps", "e1").stdout
    assert oci.call("exec", "e1", "nosuch", check=False).returncode == 1


def test_terminal_goes_through_the_console_socket(oci, tmp_path):
    def terminal(config):
        config["process"].update(terminal=True, consoleSize={"height": 31, "width": 41})
    oci.configure(terminal, "sh", "-c", "sleep 0.3; stty size; echo done")
    assert "--console-socket" in oci.create("t0").out
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "console"))
    listener.listen(1)
    assert oci.create("t1", "--console-socket", tmp_path / "console").returncode == 0
    peer, _ = listener.accept()
    _, fds, _, _ = socket.recv_fds(peer, 16, 1)
    oci.call("start", "t1")
    text = b""
    while b"done" not in text:
        text += os.read(fds[0], 1000)
    assert b"31 41" in text
    os.close(fds[0])


def test_descriptors_are_handed_on_by_number(oci):
    oci.configure(None, "sh", "-c", "readlink /proc/$$/fd/3 >/dev/null && cat <&4")
    here, there = os.pipe()
    os.write(there, b"through four")
    os.close(there)
    os.dup2(here, 40)
    try:
        result = subprocess.run(["bash", "-c", 'exec "$@" 3</dev/null 4<&40', "bash", RUNTIME, "--root", oci.root, "run", "--bundle", oci.bundle,
                                 "--preserve-fds", "2", "p1"], pass_fds=[40], capture_output=True, text=True, timeout=60)
    finally:
        os.close(here)
        os.close(40)
    assert (result.returncode, result.stdout) == (0, "through four"), result.stderr


def test_pause_resume_update_events(oci):
    oci.configure(lambda c: c["linux"]["resources"].update(pids={"limit": 50}), "sleep", "1000")
    oci.make("run", "u1", "--detach", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    oci.call("pause", "u1")
    assert oci.state("u1")["status"] == "paused"
    assert oci.call("exec", "u1", "true", check=False).returncode == 1
    assert oci.call("pause", "u1", check=False).returncode == 1
    oci.call("resume", "u1")
    assert oci.state("u1")["status"] == "running"
    event = json.loads(oci.call("events", "--stats", "u1").stdout)
    assert event["type"] == "stats" and event["id"] == "u1" and event["data"]["pids"] == {"current": 1, "limit": 50}
    oci.call("update", "--resources", "-", "u1", input=json.dumps({"pids": {"limit": 7}}))
    assert json.loads(oci.call("events", "--stats", "u1").stdout)["data"]["pids"]["limit"] == 7
    oci.call("update", "--pids-limit", "9", "u1")
    assert json.loads(oci.call("events", "--stats", "u1").stdout)["data"]["pids"]["limit"] == 9
    # a paused one can be deleted by force
    oci.call("pause", "u1")
    oci.call("delete", "--force", "u1")
    assert oci.left() == []


def test_a_user_namespace_with_mappings(oci):
    """The container's root is nobody on the host; what it makes is that user's, and exec joins it."""
    def mapped(config):
        config["linux"]["namespaces"].append({"type": "user"})
        config["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 70000, "size": 2000}]
        config["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 80000, "size": 2000}]
    oci.configure(mapped, "sh", "-c", "id -u; cat /proc/self/uid_map /proc/self/gid_map; touch /dev/mine; sleep 1000")
    assert oci.create("un1").returncode == 0, oci.output("un1")
    oci.call("start", "un1")
    wait_for(lambda: oci.output("un1").count("\n") >= 3)
    assert oci.output("un1").split() == ["0", "0", "70000", "2000", "0", "80000", "2000"]
    pid = oci.state("un1")["pid"]
    wait_for(lambda: Path(f"/proc/{pid}/root/dev/mine").exists())
    made = os.stat(f"/proc/{pid}/root/dev/mine")
    assert (made.st_uid, made.st_gid) == (70000, 80000)
    for kind in ("user", "net", "uts"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
    result = oci.call("exec", "--user", "5:6", "un1", "sh", "-c", "id -u; cat /proc/self/uid_map; readlink /proc/self/ns/user")
    assert result.stdout.split() == ["5", "0", "70000", "2000", os.readlink(f"/proc/{pid}/ns/user")]


def test_memory_reservation_and_swappiness(oci):
    memory = Path("/sys/fs/cgroup/memory")
    if not memory.is_dir():
        pytest.skip("memory is not on cgroup version 1")
    oci.configure(lambda c: c["linux"]["resources"].update(memory={"reservation": 33554432, "swappiness": 7, "disableOOMKiller": False}))
    oci.make("run", "mr1", "--detach", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    group = oci.groups("mr1", memory)[0]
    assert (group / "memory.soft_limit_in_bytes").read_text() == "33554432\n"
    assert (group / "memory.swappiness").read_text() == "7\n"
    oci.call("update", "--resources", "-", "mr1", input='{"memory":{"reservation":16777216}}')
    assert (group / "memory.soft_limit_in_bytes").read_text() == "16777216\n"


def test_apparmor_profiles_are_looked_for(oci):
    """One that is not there is refused by name; none at all is what "unconfined" asks for, with AppArmor and without."""
    oci.configure(lambda c: c["process"].update(apparmorProfile="monopod-nosuch"), "true")
    result = oci.create("aa1")
    assert result.returncode == 1 and "process.apparmorProfile" in result.out
    assert oci.left() == []
    oci.configure(lambda c: c["process"].update(apparmorProfile="unconfined"), "sh", "-c", "cat /proc/self/attr/current 2>/dev/null; true")
    result = oci.make("run", "aa2", check=False)
    assert result.returncode == 0, result.stderr
    if os.path.exists("/sys/kernel/security/apparmor"):
        assert result.stdout.startswith("unconfined")


def test_a_label_that_would_not_hold_is_refused(oci):
    oci.configure(lambda c: c["process"].update(selinuxLabel="system_u:system_r:nosuch_t:s0"), "true")
    result = oci.create("se1")
    assert result.returncode == 1 and "process.selinuxLabel" in result.out
    assert oci.left() == []


def test_kill_all_reaches_what_the_first_process_left(oci):
    def host_pids(config):
        config["linux"]["namespaces"].remove({"type": "pid"})
    oci.configure(host_pids, "sh", "-c", "sleep 1000 & exit 0")
    oci.make("run", "k1", "--detach", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: oci.state("k1")["status"] == "stopped")
    left = json.loads(oci.call("ps", "-f", "json", "k1").stdout)
    assert len(left) == 1
    oci.call("kill", "--all", "k1", "KILL")
    wait_for(lambda: not Path(f"/proc/{left[0]}").exists() or "Z" in Path(f"/proc/{left[0]}/stat").read_text())


def hook(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return str(path)


def test_hooks_run_in_their_namespaces_and_moments(oci, tmp_path):
    log = tmp_path / "log"
    script = hook(tmp_path / "hook", f'echo "$1 $(readlink /proc/self/ns/mnt) $(cat)" >>{log}\n')
    moments = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"]

    def hooks(config):
        config["hooks"] = {m: [{"path": script, "args": ["hook", m], "env": ["PATH=/usr/bin:/bin"], "timeout": 20}] for m in moments}
        config["hooks"]["startContainer"] = [{"path": "/bin/sh", "args": ["sh", "-c", "echo startContainer; cat; echo"]}]
    oci.configure(hooks, "sh", "-c", "readlink /proc/self/ns/mnt")
    oci.create("h1")
    lines = [line.split(" ", 2) for line in log.read_text().splitlines()]
    assert [line[0] for line in lines] == ["prestart", "createRuntime", "createContainer"]
    pid = oci.state("h1")["pid"]
    ours, theirs = os.readlink("/proc/self/ns/mnt"), os.readlink(f"/proc/{pid}/ns/mnt")
    assert [line[1] for line in lines] == [ours, ours, theirs]
    for _, _, text in lines:
        state = json.loads(text)
        assert (state["id"], state["pid"], state["status"], state["bundle"]) == ("h1", pid, "created", str(oci.bundle))
    oci.call("start", "h1")
    wait_for(lambda: theirs in oci.output("h1"))
    started, text, _ = oci.output("h1").splitlines()
    assert started == "startContainer" and json.loads(text)["pid"] == pid
    wait_for(lambda: oci.state("h1")["status"] == "stopped")
    oci.call("delete", "h1")
    lines = [line.split(" ", 2) for line in log.read_text().splitlines()][3:]
    assert [(line[0], line[1], json.loads(line[2])["status"]) for line in lines] == [("poststart", ours, "running"), ("poststop", ours, "stopped")]


@pytest.mark.parametrize("moment", ["prestart", "createRuntime", "createContainer"])
def test_a_failing_hook_ends_the_creation(oci, tmp_path, moment):
    stopped = tmp_path / "stopped"
    bad = hook(tmp_path / "bad", "echo no such thing >&2; exit 3\n")
    oci.configure(lambda c: c.update(hooks={moment: [{"path": bad}], "poststop": [{"path": hook(tmp_path / "stop", f"touch {stopped}\n")}]}))
    result = oci.create("f1")
    assert result.returncode == 1 and f"run hook {bad}: exit code 3" in result.out
    assert stopped.exists() and oci.left() == []


def test_a_failing_start_hook_stops_the_container(oci):
    oci.configure(lambda c: c.update(hooks={"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "exit 4"]}]}), "echo", "never")
    oci.create("f2")
    assert "run hook /bin/sh: exit code 4" in oci.call("start", "f2", check=False).stderr
    wait_for(lambda: oci.state("f2")["status"] == "stopped")
    assert oci.output("f2") == ""


def test_late_hooks_only_warn(oci, tmp_path):
    bad = hook(tmp_path / "bad", "exit 3\n")
    second = tmp_path / "second"
    both = [{"path": bad}, {"path": hook(tmp_path / "good", f"echo x >>{second}\n")}]
    oci.configure(lambda c: c.update(hooks={"poststart": both, "poststop": both}), "true")
    result = oci.make("run", "f3")
    assert result.stderr.count("warning: run hook") == 2 and second.read_text() == "x\nx\n"


def test_changes_of_the_bundle_have_no_effect(oci):
    oci.configure(None, "echo", "before")
    oci.create("b1")
    oci.configure(None, "echo", "after")
    oci.call("start", "b1")
    wait_for(lambda: oci.output("b1") == "before\n")


def test_features_and_spec(oci, tmp_path):
    features = json.loads(oci.call("features").stdout)
    assert features["ociVersionMin"] == "1.0.0" and "createContainer" in features["hooks"] and "rbind" in features["mountOptions"]
    assert {"pid", "mount"} <= set(features["linux"]["namespaces"]) and "CAP_SYS_ADMIN" in features["linux"]["capabilities"]
    oci.call("spec", "--bundle", tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["process"]["args"] == ["sh"]
    assert "File exists" in oci.call("spec", "--bundle", tmp_path, check=False).stderr
    assert "spec: 1." in oci.call("--version").stdout


def test_what_features_says_is_true(oci, tmp_path):
    """Every mount option that it lists is taken for a bind or a tmpfs, every namespace for a container; what it denies is refused by name."""
    features = json.loads(oci.call("features").stdout)
    linux = features["linux"]
    assert linux["cgroup"] == {"v1": True, "v2": True, "systemd": True, "systemdUser": False, "rdma": True}
    assert linux["mountExtensions"] == {"idmap": {"enabled": True}}
    (tmp_path / "d").mkdir()
    special = {"idmap", "ridmap", "bind", "rbind"}  # test_oci_mounts.py has them
    plain = [o for o in features["mountOptions"] if o not in special and o != "tmpcopyup"]
    assert len(plain) > 40 and special | {"tmpcopyup"} < set(features["mountOptions"])

    def mounts(config):
        for i, option in enumerate(plain):
            config["mounts"].append({"destination": f"/b{i}", "source": str(tmp_path / "d"), "options": ["rbind", option]})
            config["mounts"].append({"destination": f"/t{i}", "type": "tmpfs", "source": "tmpfs", "options": [option]})
        config["linux"]["namespaces"] = [{"type": t} for t in linux["namespaces"] if t != "user" and (t != "time" or os.path.exists("/proc/self/ns/time"))]
    assert oci.shell("ft1", "grep -c '/[bt][0-9]* ' /proc/self/mountinfo", mounts).strip() == str(2 * len(plain))
    for name in ("intelRdt", "netDevices"):
        assert linux[name] == {"enabled": False}
        assert f"linux.{name}" in oci.refused("ft2", lambda c, name=name: c["linux"].update({name: {"x": {"y": "z"}}}))
    assert "listenerPath" in oci.refused("ft3", lambda c: c["linux"].update(seccomp={"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/x"}))
    assert "SCMP_ACT_NOTIFY" not in linux["seccomp"]["actions"]


def test_another_containers_cgroup_is_left_alone(oci, tmp_path):
    """The same id below two roots is the same cgroup: the second creation fails and neither it nor its removal ends the first."""
    def other(*args):
        return subprocess.run([RUNTIME, "--root", tmp_path / "other", *args], capture_output=True, text=True, timeout=60)
    oci.configure(None, "sleep", "1000")
    oci.make("run", "two1", "--detach", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(2):
        result = other("run", "--bundle", oci.bundle, "two1")
        assert result.returncode == 1 and "has processes of somebody else" in result.stderr
        assert other("delete", "--force", "two1").returncode == 0
        assert oci.state("two1")["status"] == "running"
    assert oci.call("exec", "two1", "echo", "alive").stdout == "alive\n"


def test_names_that_are_paths_are_refused(oci):
    oci.configure(None, "true")
    for name in ["../x", "a/b", "..", "", "a\nb", "x" * 300]:
        assert "no container name" in oci.call("create", "--bundle", oci.bundle, name, check=False).stderr


def test_a_create_that_is_killed_leaves_what_delete_removes(oci, tmp_path):
    """At any instant: the process that waits ends with its creator, and the name can be used again."""
    mark = tmp_path / "mark"
    slow = hook(tmp_path / "slow", f"touch {mark}; sleep 1000\n")
    oci.configure(lambda c: c.update(hooks={"createRuntime": [{"path": slow}]}), "true")
    oci.ids.append("x1")
    command = subprocess.Popen([RUNTIME, "--root", oci.root, "create", "--bundle", oci.bundle, "x1"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    wait_for(mark.exists)
    groups = oci.groups("x1")
    assert groups
    command.kill()
    command.wait()
    # the hook is nobody's child now
    for pid in [p.name for p in Path("/proc").iterdir() if p.name.isdigit()]:
        try:
            if str(slow) in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(int(pid), signal.SIGKILL)
        except OSError:
            pass
    wait_for(lambda: not any((g / "cgroup.procs").read_text() for g in groups))
    assert oci.state("x1")["status"] == "creating"
    oci.configure(None, "true")
    assert oci.create("x1").returncode == 0
    assert oci.state("x1")["status"] == "created"


@pytest.mark.parametrize("delay_ms", [0, 2, 5, 10, 20, 40, 80, 160])
def test_kill_at_any_instant_is_cleaned_up(oci, delay_ms):
    oci.configure(None, "sleep", "1000")
    oci.ids.append("y1")
    command = subprocess.Popen([RUNTIME, "--root", oci.root, "create", "--bundle", oci.bundle, "y1"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    time.sleep(delay_ms / 1000)
    command.kill()
    command.wait()
    oci.call("delete", "--force", "y1")
    assert oci.left() == []


def test_cve_2019_5736_our_binary_is_not_reachable(oci):
    """/proc/self/exe of a process that was joined is never a file of the host."""
    oci.configure(None, "sleep", "1000")
    oci.make("run", "a1", "--detach", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shutil.copy("/bin/busybox", oci.bundle / "rootfs" / "bin" / "probe")
    before = RUNTIME.stat().st_mtime_ns
    (oci.bundle / "rootfs" / "bin" / "target").symlink_to("/proc/self/exe")
    # exec of what leads to the running program: the interpreter in its sealed memory, which cannot run a second time without a plan
    result = oci.call("exec", "a1", "/bin/target", check=False)
    assert result.returncode != 0
    text = oci.call("exec", "a1", "sh", "-c", "readlink /proc/1/exe; readlink /proc/self/exe").stdout
    assert "monopod" not in text
    assert RUNTIME.stat().st_mtime_ns == before


def test_cve_2024_21626_working_directory_through_descriptors(oci):
    for number in range(3, 20):
        oci.configure(lambda c, n=number: c["process"].update(cwd=f"/proc/self/fd/{n}"), "ls")
        result = oci.make("run", f"w{number}", check=False)
        assert result.returncode == 1 and "rootfs" not in result.stdout, result.stdout
    oci.configure(None, "sh", "-c", "for i in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$i ] && echo $i; done; :")
    assert oci.make("run", "w20").stdout == "0\n1\n2\n"


def test_links_of_the_image_lead_nowhere(oci, tmp_path):
    """CVE-2023-27561, CVE-2026-41579: /proc and /dev of the image are links."""
    rootfs = oci.bundle / "rootfs"
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ["proc", "dev", "sys"]:
        (rootfs / name).symlink_to(outside)
    oci.configure(None, "true")
    result = oci.make("run", "s1", check=False)
    assert result.returncode == 1 and list(outside.iterdir()) == []


def test_the_host_is_out_of_sight(oci):
    oci.configure(None, "sh", "-c", "cat /proc/self/mountinfo; ls /proc/1/fd")
    text = oci.make("run", "v1").stdout
    assert " / / " not in text.replace(" - ", " ") or text.count("\n") < 40
    assert "/home" not in text and str(oci.root) not in text


def test_monopod_finds_its_oci_command(oci):
    result = subprocess.run([str(RUNTIME)[:-len("-oci")], "oci", "--version"], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0 and result.stdout.startswith("monopod-oci version ")
