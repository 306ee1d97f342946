"""SELinux, enforced: the labels of processes, files and volumes, what they keep apart, and what is refused.

The policy must have types for containers; the virtual machine's is Debian's with a small module (test/vm/root/container.cil)."""
import json
import os
import tempfile
from pathlib import Path

import grpc
import pytest

from harness.cri import cri
from harness.pods import pod, start

SELINUX = Path("/sys/fs/selinux")


def is_enforced():
    try:
        return (SELINUX / "enforce").read_text() == "1"
    except OSError:
        return False


def knows(label):
    try:
        (SELINUX / "context").write_text(label)
        return True
    except OSError:
        return False


pytestmark = [
    pytest.mark.skipif(not is_enforced(), reason="SELinux is not enforced on this machine"),
    pytest.mark.skipif(is_enforced() and not knows("system_u:system_r:container_t:s0:c1,c2"), reason="the policy has no containers"),
]


@pytest.fixture
def client(daemon):
    return daemon.client()


@pytest.fixture
def volume():
    """On a file system of the host's that has labels."""
    with tempfile.TemporaryDirectory(prefix="mptest-", dir="/var/tmp") as folder:
        (Path(folder) / "file").write_text("content\n")
        yield Path(folder)


def pid_of(client, container_id):
    return json.loads(client.ContainerStatus(container_id=container_id, verbose=True).info["info"])["pid"]


def label_of_process(pid):
    return Path(f"/proc/{pid}/attr/current").read_text().rstrip("\0\n")


def label_of_file(path):
    return os.getxattr(path, "security.selinux", follow_symlinks=False).decode().rstrip("\0")


def level(label):
    return label.split(":", 3)[3]


def security(**options):
    return cri.LinuxContainerSecurityContext(selinux_options=cri.SELinuxOption(**options))


def pod_linux(**options):
    context = cri.LinuxSandboxSecurityContext(selinux_options=cri.SELinuxOption(**options))
    return cri.LinuxPodSandboxConfig(security_context=context)


def idle(client, pod_id, config, image, **fields):
    return start(client, pod_id, config, image, ["sleep", "1000"], log_path="", **fields)


def execute(client, container_id, script):
    done = client.ExecSync(container_id=container_id, cmd=["sh", "-c", script], timeout=60)
    return done.stdout.decode() + done.stderr.decode()


def refusal(client, image, linux=None, **fields):
    with pod(client, "refused", "/tmp", **({"linux": linux} if linux else {})) as (pod_id, config):
        with pytest.raises(grpc.RpcError) as caught:
            idle(client, pod_id, config, image, **fields)
    return caught.value.code(), caught.value.details()


def test_labels_of_processes_and_files(client, image):
    """One pair of categories for all of a pod, another one for the next."""
    with pod(client, "first", "/tmp") as (first, first_config), pod(client, "second", "/tmp") as (second, second_config):
        one = idle(client, first, first_config, image)
        other = idle(client, first, first_config, image, name="other")
        stranger = idle(client, second, second_config, image)
        labels = [label_of_process(pid_of(client, container)) for container in (one, other, stranger)]
        assert all(label.startswith("system_u:system_r:container_t:s0:c") for label in labels)
        assert labels[0] == labels[1] and level(labels[0]) != level(labels[2])
        assert execute(client, one, "cat /proc/self/attr/current").rstrip("\0\n") == labels[0]
        root = f"/proc/{pid_of(client, one)}/root"
        for path in ("/bin/busybox", "/dev", "/dev/null", "/dev/pts", "/dev/shm", "/dev/mqueue", "/etc/hosts"):
            assert label_of_file(root + path) == f"system_u:object_r:container_file_t:{level(labels[0])}", path
        assert execute(client, one, "echo x > /new; echo x > /dev/shm/x; cat /new /dev/shm/x /etc/hosts > /dev/null && echo used") == "used\n"


def test_a_volume_is_the_containers_when_it_is_relabelled(client, image, volume):
    (volume / "deep" / "er").mkdir(parents=True)
    before = label_of_file(volume / "file")
    with pod(client, "volumes", "/tmp") as (pod_id, config):
        plain = [cri.Mount(container_path="/data", host_path=str(volume))]
        container = idle(client, pod_id, config, image, mounts=plain)
        assert "Permission denied" in execute(client, container, "cat /data/file")
        assert label_of_file(volume / "file") == before
        relabelled = [cri.Mount(container_path="/data", host_path=str(volume), selinux_relabel=True)]
        container = idle(client, pod_id, config, image, name="relabelled", mounts=relabelled)
        assert execute(client, container, "cat /data/file; echo x > /data/deep/er/new && echo written") == "content\nwritten\n"
        wanted = f"system_u:object_r:container_file_t:{level(label_of_process(pid_of(client, container)))}"
        assert {label_of_file(path) for path in (volume, *volume.rglob("*"))} == {wanted}


def test_a_volume_of_another_pod(client, image, volume):
    """Categories keep them apart, even where the user is root in both."""
    mounts = [cri.Mount(container_path="/data", host_path=str(volume), selinux_relabel=True)]
    with pod(client, "owner", "/tmp") as (owner, owner_config), pod(client, "thief", "/tmp") as (thief, thief_config):
        assert execute(client, idle(client, owner, owner_config, image, mounts=mounts), "cat /data/file") == "content\n"
        mounts[0].selinux_relabel = False
        container = idle(client, thief, thief_config, image, mounts=mounts)
        assert "Permission denied" in execute(client, container, "cat /data/file")


def test_cve_2021_43816_neither_links_nor_the_hosts_own(client, image, volume):
    outside = Path(tempfile.mkdtemp(prefix="mptest-outside-", dir="/var/tmp"))
    try:
        before = [label_of_file(path) for path in (outside, "/etc", "/etc/passwd")]
        (volume / "link").symlink_to(outside)
        with pod(client, "links", "/tmp") as (pod_id, config):
            idle(client, pod_id, config, image, mounts=[cri.Mount(container_path="/data", host_path=str(volume), selinux_relabel=True)])
        for path in ("/etc", "/etc/passwd"):
            code, text = refusal(client, image, mounts=[cri.Mount(container_path="/data", host_path=path, selinux_relabel=True)])
            assert code == grpc.StatusCode.INVALID_ARGUMENT and f"{path} is the host's own" in text
        assert [label_of_file(path) for path in (outside, "/etc", "/etc/passwd")] == before
    finally:
        outside.rmdir()


def test_image_volumes(client, image):
    """An image is everybody's and cannot be relabelled: its mount has the label."""
    mounts = [cri.Mount(container_path="/image", image=cri.ImageSpec(image=image)),
              cri.Mount(container_path="/etc2", image=cri.ImageSpec(image=image), image_sub_path="etc")]
    with pod(client, "images", "/tmp") as (pod_id, config):
        container = idle(client, pod_id, config, image, mounts=mounts)
        assert execute(client, container, "cat /image/etc/issue /etc2/issue; touch /image/x 2>/dev/null || echo read-only") == \
            "demo image of monopod\n" * 2 + "read-only\n"


def test_labels_that_are_asked_for(client, image):
    with pod(client, "asked", "/tmp", linux=pod_linux(level="s0:c7,c8")) as (pod_id, config):
        container = idle(client, pod_id, config, image)
        assert label_of_process(pid_of(client, container)) == "system_u:system_r:container_t:s0:c7,c8"
        container = idle(client, pod_id, config, image, name="own", security=security(level="s0:c9"))
        assert label_of_process(pid_of(client, container)) == "system_u:system_r:container_t:s0:c9"
        assert label_of_file(f"/proc/{pid_of(client, container)}/root/bin") == "system_u:object_r:container_file_t:s0:c9"


def test_privileged(client, image, volume):
    linux = cri.LinuxPodSandboxConfig(security_context=cri.LinuxSandboxSecurityContext(privileged=True))
    with pod(client, "privileged", "/tmp", linux=linux) as (pod_id, config):
        container = idle(client, pod_id, config, image, security=cri.LinuxContainerSecurityContext(privileged=True))
        assert label_of_process(pid_of(client, container)).startswith("system_u:system_r:spc_t:s0")
        assert "spc_t" in execute(client, container, "cat /proc/self/attr/current")


@pytest.mark.parametrize("options", [dict(type="no_such_t"), dict(user="no_such_u"), dict(level="s0:c5000")])
def test_labels_that_are_refused(client, image, options):
    code, text = refusal(client, image, security=security(**options))
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "selinux_options" in text
