"""Seccomp profiles from files, as pods name them, on the real kernel."""
import json
import os

import grpc
import pytest

from harness.cri import container_config, cri
from harness.pods import log_lines, pod, start, wait_exit

# mkdir(2) fails in a way that no kernel and no builtin profile makes it fail; each file can say with which errno.
def profile(errno="EXDEV", **rule):
    return {"defaultAction": "SCMP_ACT_ALLOW", "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
            "syscalls": [{"names": ["mkdir", "mkdirat", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errno": errno, **rule}]}


def localhost(path):
    return cri.LinuxContainerSecurityContext(seccomp=cri.SecurityProfile(profile_type=cri.SecurityProfile.Localhost, localhost_ref=str(path)))


@pytest.fixture
def client(daemon):
    return daemon.client()


def test_profile_from_a_file_for_start_and_exec(client, image, logs, tmp_path):
    """Both are filtered by what the file said when the container was created, through restarts of the file's author."""
    path = tmp_path / "p.json"
    path.write_text(json.dumps(profile()))
    with pod(client, "seccomp-file", logs) as (pod_id, config):
        container = container_config(image, ["/bin/sh", "-c", "mkdir /a; grep Seccomp: /proc/self/status; sleep 1000"], security=localhost(path))
        container_id = client.CreateContainer(pod_sandbox_id=pod_id, config=container, sandbox_config=config).container_id
        path.write_text("not JSON any more")
        client.StartContainer(container_id=container_id)
        texts = {stream: text for stream, _, text in log_lines(logs / "main.log", 2)}
        assert "cross-device link" in texts["stderr"] and texts["stdout"].split() == ["Seccomp:", "2"]
        os.unlink(path)
        done = client.ExecSync(container_id=container_id, cmd=["mkdir", "/b"], timeout=10)
        assert done.exit_code == 1 and b"cross-device link" in done.stderr.lower()


@pytest.mark.parametrize("caps, refused", [([], True), (["CAP_SYS_ADMIN"], False)])
def test_rules_by_capability(client, image, logs, tmp_path, caps, refused):
    path = tmp_path / "p.json"
    path.write_text(json.dumps(profile(excludes={"caps": ["CAP_SYS_ADMIN"]}, includes={"minKernel": "4.8"})))
    security = localhost(path)
    security.capabilities.CopyFrom(cri.Capability(add_capabilities=caps))
    with pod(client, "seccomp-caps", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["mkdir", "/a"], security=security)
        assert (wait_exit(client, container_id).exit_code != 0) == refused


def test_the_older_field(client, image, logs, tmp_path):
    path = tmp_path / "p.json"
    path.write_text(json.dumps(profile("EOWNERDEAD")))
    with pod(client, "seccomp-old", logs) as (pod_id, config):
        container = container_config(image, ["/bin/sh", "-c", "mkdir /a"])
        container.linux.security_context.ClearField("seccomp")
        container.linux.security_context.seccomp_profile_path = f"localhost/{path}"
        container_id = client.CreateContainer(pod_sandbox_id=pod_id, config=container, sandbox_config=config).container_id
        client.StartContainer(container_id=container_id)
        assert wait_exit(client, container_id).exit_code == 1
        assert "Owner died" in log_lines(logs / "main.log", 1)[0][2]


def refusal_of(client, image, logs, path):
    with pod(client, "seccomp-bad", logs) as (pod_id, config):
        with pytest.raises(grpc.RpcError) as caught:
            client.CreateContainer(pod_sandbox_id=pod_id, config=container_config(image, ["true"], security=localhost(path)), sandbox_config=config)
        assert not client.ListContainers().containers
        return caught.value.code(), caught.value.details()


@pytest.mark.parametrize("text, says", [
    ('{"defaultAction":"SCMP_ACT_ALLOW",\n}', "line 2, column 1: not JSON"),
    ('{"defaultAction":"SCMP_ACT_MAYBE"}', "defaultAction: unknown action 'SCMP_ACT_MAYBE'"),
    ('{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_NOTIFY"}]}', "listeners are not supported"),
    ("too long", "limit"),
])
def test_bad_profiles_are_refused_by_name_and_place(client, image, logs, tmp_path, text, says):
    path = tmp_path / "bad.json"
    path.write_text(text if text != "too long" else " " * (256 * 1024 + 1))
    code, details = refusal_of(client, image, logs, path)
    assert code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED), details
    assert str(path) in details and says in details, details


def test_neither_missing_nor_hanging_files_hold_us(client, image, logs, tmp_path):
    assert str(tmp_path / "none.json") in refusal_of(client, image, logs, tmp_path / "none.json")[1]
    os.mkfifo(tmp_path / "fifo")
    assert "not a regular file" in refusal_of(client, image, logs, tmp_path / "fifo")[1]


def test_apparmor_where_it_is_off(client, image, logs):
    """A named profile that cannot be had is refused when the container is created; the default is nothing there."""
    if os.path.exists("/sys/kernel/security/apparmor"):
        pytest.skip("AppArmor is on: unit/runtime/test_apparmor.c has its turn")
    with pod(client, "apparmor", logs) as (pod_id, config):
        named = cri.LinuxContainerSecurityContext(apparmor=cri.SecurityProfile(profile_type=cri.SecurityProfile.Localhost, localhost_ref="mine"))
        with pytest.raises(grpc.RpcError) as caught:
            client.CreateContainer(pod_sandbox_id=pod_id, config=container_config(image, ["true"], security=named), sandbox_config=config)
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION and "AppArmor profile mine: AppArmor is off" in caught.value.details()
        by_default = cri.LinuxContainerSecurityContext(apparmor=cri.SecurityProfile(profile_type=cri.SecurityProfile.RuntimeDefault))
        assert wait_exit(client, start(client, pod_id, config, image, ["true"], security=by_default)).exit_code == 0
