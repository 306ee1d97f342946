"""Devices of the host and by CDI, in containers that run: nodes, permissions, groups, variables, mounts; the cgroup lets through what was said."""
import json
import os
import stat
import time
import uuid

import grpc
import pytest

from harness.cri import container_config, cri
from harness.pods import log_lines, pod, start, wait_exit

# /dev/loop-control: no container has it by itself, and whoever has it and the cgroup's leave may open it without any capability.
LOOP = os.makedev(10, 237)


@pytest.fixture
def client(daemon):
    return daemon.client()


def node(path, mode=0o600, device=LOOP, kind=stat.S_IFCHR):
    try:
        os.mknod(path, kind | mode, device)
    except PermissionError:
        pytest.skip("device nodes need CAP_MKNOD")
    os.chmod(path, mode)
    if not os.path.exists("/dev/loop-control"):
        pytest.skip("this kernel has no loop devices")
    return path


def run(client, image, logs, script, lines, **fields):
    with pod(client, f"dev-{uuid.uuid4().hex[:8]}", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["/bin/sh", "-c", script], **fields)
        wait_exit(client, container_id)
        return [text for stream, _, text in log_lines(logs / "main.log", lines)]


def test_a_device_with_permissions(client, image, logs, tmp_path):
    path = node(tmp_path / "dev")
    device = cri.Device(container_path="/dev/deep/mine", host_path=str(path), permissions="r")
    out = run(client, image, logs, "stat -c '%t:%T %a' /dev/deep/mine; exec 3</dev/deep/mine && echo read; (exec 3>/dev/deep/mine) 2>&1", 3, devices=[device])
    assert out[:2] == ["a:ed 600", "read"] and "Operation not permitted" in out[2]


def test_a_directory_of_devices(client, image, logs, tmp_path):
    (tmp_path / "d" / "sub").mkdir(parents=True)
    node(tmp_path / "d" / "one")
    node(tmp_path / "d" / "sub" / "two", device=os.makedev(7, 3), kind=stat.S_IFBLK)
    (tmp_path / "d" / "file").write_text("no device")
    out = run(client, image, logs, "cd /dev/many; find . -type b -o -type c -o -type f | sort; exec 3<one && echo read", 3,
              devices=[cri.Device(container_path="/dev/many", host_path=str(tmp_path / "d"), permissions="rwm")])
    assert out == ["./one", "./sub/two", "read"]


def test_without_being_asked_for_it_is_denied(client, image, logs):
    """The right to make any node alone opens nothing."""
    out = run(client, image, logs, "mknod /tmp/k c 10 237 && echo made; (exec 3</tmp/k) 2>&1", 2)
    assert out[0] == "made" and "Operation not permitted" in out[1]


def test_privileged_has_them_all(client, image, logs):
    security = cri.LinuxContainerSecurityContext(privileged=True)
    out = run(client, image, logs, "test -c /dev/null && test -c /dev/loop-control && exec 3</dev/loop-control && echo read; mknod /tmp/k c 10 237 && exec 4</tmp/k && echo all", 2, security=security)
    assert out == ["read", "all"]


# ---- runtime handlers ----

def handler_pod(client, name, handler, logs):
    from harness.cri import pod_config
    config = pod_config(name, logs)
    return client.RunPodSandbox(config=config, runtime_handler=handler).pod_sandbox_id, config


def test_a_handler_selects_options(client, image, logs):
    """The harness configures `careful`: no host devices for privileged containers, and no filter by default."""
    pod_id, config = handler_pod(client, "handler", "careful", logs)
    try:
        assert client.PodSandboxStatus(pod_sandbox_id=pod_id).status.runtime_handler == "careful"
        start(client, pod_id, config, image, ["/bin/sh", "-c", "ls /dev | grep -c loop; grep Seccomp: /proc/self/status; cat /proc/self/status | grep CapEff"],
              security=cri.LinuxContainerSecurityContext(privileged=True))
        out = [text for _, _, text in log_lines(logs / "main.log", 3)]
        assert out[0] == "0" and out[2].split()[1] != "0" * 16
        start(client, pod_id, config, image, ["/bin/sh", "-c", "grep Seccomp: /proc/self/status"], name="plain")
        assert log_lines(logs / "plain.log", 1)[0][2].split() == ["Seccomp:", "0"]
    finally:
        client.StopPodSandbox(pod_sandbox_id=pod_id)
        client.RemovePodSandbox(pod_sandbox_id=pod_id)


def test_unknown_handlers_are_refused_with_the_known_ones(client, logs):
    with pytest.raises(grpc.RpcError) as caught:
        handler_pod(client, "handler", "unknown", logs)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "runtime_handler: 'unknown'" in caught.value.details() and '"careful"' in caught.value.details()
    handlers = {h.name: h.features for h in client.Status().runtime_handlers}
    assert set(handlers) == {"", "careful"} and handlers[""] == handlers["careful"]


# ---- CDI ----

@pytest.fixture
def cdi_dir(daemon):
    path = daemon.cdi_dir
    path.mkdir(exist_ok=True)
    yield path
    for file in path.iterdir():
        file.unlink()


def spec(kind, edits, device=None):
    return json.dumps({"cdiVersion": "0.7.0", "kind": kind, "containerEdits": edits,
                       "devices": [{"name": "a", "containerEdits": device or {"env": ["DEVICE=a"]}},
                                   {"name": "b", "containerEdits": {"env": ["DEVICE=b"]}}]})


def test_every_edit_reaches_the_container(client, image, logs, tmp_path, cdi_dir):
    path = node(tmp_path / "dev")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "x.so").write_text("from the vendor\n")
    (cdi_dir / "v.yaml").write_text(f"""---
cdiVersion: 0.7.0
kind: test.example/card
containerEdits:
  env: [COMMON=yes, REPLACED=cdi]
  mounts:
  - hostPath: {tmp_path}/lib
    containerPath: /opt/vendor/lib
    options: [ro, nosuid, nodev, rbind, rprivate]
  additionalGids: [4242]
devices:
- name: a
  containerEdits:
    env:
    - DEVICE=a
    deviceNodes:
    - path: /dev/card/a
      hostPath: {path}
      fileMode: 0640
      permissions: r
""")
    security = cri.LinuxContainerSecurityContext(run_as_user=cri.Int64Value(value=1000), run_as_group=cri.Int64Value(value=1000))
    script = ("echo $COMMON $DEVICE $REPLACED; id -G; stat -c '%t:%T %a %u:%g' /dev/card/a; cat /opt/vendor/lib/x.so; "
              "echo no > /opt/vendor/lib/y || echo locked; sleep 1000")
    with pod(client, "cdi", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["/bin/sh", "-c", script], security=security,
                             envs=[cri.KeyValue(key="REPLACED", value=b"pod")], CDI_devices=[cri.CDIDevice(name="test.example/card=a")])
        out = [text for stream, _, text in log_lines(logs / "main.log", 6) if stream == "stdout"]
        assert out[0] == "yes a cdi" and "4242" in out[1].split(), out
        assert out[2:] == ["a:ed 640 1000:1000", "from the vendor", "locked"]
        done = client.ExecSync(container_id=container_id, cmd=["sh", "-c", "id -G; echo $DEVICE; exec 3</dev/card/a && echo read"], timeout=10)
        groups, device, read = done.stdout.decode().splitlines()
        assert "4242" in groups.split() and device == "a" and read == "read", done


def test_the_same_edits_once(client, image, logs, cdi_dir):
    (cdi_dir / "v.json").write_text(spec("test.example/card", {"env": ["COMMON=yes"]}))
    names = [cri.CDIDevice(name=f"test.example/card={name}") for name in ("a", "b")]
    assert run(client, image, logs, "echo $COMMON $DEVICE", 1, CDI_devices=names) == ["yes b"]


def refusal(client, image, logs, name):
    with pod(client, "cdi-bad", logs) as (pod_id, config):
        with pytest.raises(grpc.RpcError) as caught:
            client.CreateContainer(pod_sandbox_id=pod_id, sandbox_config=config,
                                   config=container_config(image, ["true"], CDI_devices=[cri.CDIDevice(name=name)]))
        return caught.value.details()


def test_refusals_name_the_device_and_the_file(client, image, logs, cdi_dir):
    assert "test.example/card=a" in refusal(client, image, logs, "test.example/card=a")
    (cdi_dir / "v.json").write_text(spec("test.example/card", {"envs": []}))
    details = refusal(client, image, logs, "test.example/card=a")
    assert "v.json" in details and "unknown member 'envs'" in details
    (cdi_dir / "v.json").write_text(spec("test.example/card", {}))
    (cdi_dir / "w.json").write_text(spec("test.example/card", {}))
    details = refusal(client, image, logs, "test.example/card=a")
    assert "v.json" in details and "w.json" in details


# ---- hooks ----

def hook(moment, path, *args, **more):
    return {"hookName": moment, "path": str(path), "args": [str(path), *args], **more}


def program(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def hooked(cdi_dir, *hooks):
    (cdi_dir / "v.json").write_text(spec("test.example/card", {"hooks": list(hooks)}))
    return [cri.CDIDevice(name="test.example/card=a")]


def lines_of(path, n):
    for _ in range(200):
        lines = path.read_text().splitlines() if path.exists() else []
        if len(lines) >= n:
            return lines
        time.sleep(0.05)
    raise AssertionError(f"{path}: {lines}, not {n} lines")


def test_hooks_of_all_moments(client, image, logs, tmp_path, cdi_dir):
    """Each is told of the container; createContainer's changes its mount namespace before anybody runs in it, and not the host's."""
    told, states = tmp_path / "told", tmp_path / "states"
    states.mkdir()
    outside = program(tmp_path / "outside", f'cat > {states}/$1; echo "$1 $V" >> {told}\n')
    inside = program(tmp_path / "inside", f"""cat > {states}/$1
root=$(python3 -c 'import json, sys
state = json.load(open(sys.argv[1]))
print(json.load(open(state["bundle"] + "/config.json"))["root"]["path"])' {states}/$1) || exit 1
mkdir -p $root/vendor && mount -t tmpfs vendor $root/vendor && echo from the hook > $root/vendor/file || exit 2
echo "$1" >> {told}
""")
    moments = ["prestart", "createRuntime", "poststart", "poststop"]
    devices = hooked(cdi_dir, *[hook(moment, outside, moment, env=["V=x", "PATH=/usr/bin:/bin"]) for moment in moments],
                     hook("createContainer", inside, "createContainer", env=["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], timeout=20),
                     hook("startContainer", "/bin/sh", "-c", "cat > /vendor/state; echo $V >> /vendor/file", env=["V=and inside", "PATH=/bin"]))
    with pod(client, "hooks", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["/bin/sh", "-c", "cat /vendor/file; cat /vendor/state; echo; exit 3"], CDI_devices=devices)
        assert wait_exit(client, container_id).exit_code == 3
        out = [text for stream, _, text in log_lines(logs / "main.log", 3)]
        assert out[:2] == ["from the hook", "and inside"]
        assert lines_of(told, 5) == ["prestart x", "createRuntime x", "createContainer", "poststart x", "poststop x"]
        seen = {moment: json.loads((states / moment).read_text()) for moment in [*moments, "createContainer"]}
        seen["startContainer"] = json.loads(out[2])
        assert {state["id"] for state in seen.values()} == {container_id}
        assert {moment: state["status"] for moment, state in seen.items()} == {
            "prestart": "created", "createRuntime": "created", "createContainer": "created", "startContainer": "created",
            "poststart": "running", "poststop": "stopped"}
        pids = {seen[moment]["pid"] for moment in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"]}
        assert len(pids) == 1 and pids.pop() > 1 and seen["poststop"]["pid"] == 0
        assert "vendor" not in open("/proc/self/mountinfo").read()


@pytest.mark.parametrize("moment", ["prestart", "createRuntime", "createContainer", "startContainer"])
def test_a_hook_that_fails(client, image, logs, tmp_path, cdi_dir, moment):
    told = tmp_path / "told"
    script = "echo first; echo no such card >&2; exit 7"
    path = "/bin/sh"
    devices = hooked(cdi_dir, hook(moment, path, "-c", script, env=["PATH=/bin"]),
                     hook("poststop", program(tmp_path / "stop", f"cat > {told}; echo >> {told}\n"), env=["PATH=/bin"]))
    with pod(client, "hooks-bad", logs) as (pod_id, config):
        with pytest.raises(grpc.RpcError) as caught:
            start(client, pod_id, config, image, ["true"], CDI_devices=devices)
        details = caught.value.details()
        assert "hook" in details and path in details and "exit code 7" in details, details
        if moment != "startContainer":  # what that one says is the container's output
            assert "no such card" in details
        assert json.loads(lines_of(told, 1)[0])["status"] == "stopped"


def test_a_hook_that_takes_too_long(client, image, logs, tmp_path, cdi_dir):
    for moment in ["createRuntime", "createContainer"]:
        devices = hooked(cdi_dir, hook(moment, "/bin/sleep", "1000", timeout=1))
        with pod(client, "hooks-slow", logs) as (pod_id, config):
            with pytest.raises(grpc.RpcError) as caught:
                start(client, pod_id, config, image, ["true"], CDI_devices=devices)
            assert "/bin/sleep" in caught.value.details(), caught.value.details()


def test_annotations_bring_no_device(client, image, logs, cdi_dir):
    """security.md: annotations configure nothing. Kubelets that know CDI fill the field."""
    (cdi_dir / "v.json").write_text(spec("test.example/card", {"env": ["COMMON=yes"]}))
    assert run(client, image, logs, "echo -$DEVICE-", 1, annotations={"cdi.k8s.io/x": "test.example/card=a"}) == ["--"]
