"""Pods with users of their own (namespace_options.userns_options): who root is, whose the files are, what is refused."""
import ctypes
import json
import os
import subprocess
from pathlib import Path

import grpc
import pytest

from harness.cri import CGROUP_PARENT, container_config, cri, pod_config
from harness.pods import log_lines, pod, pod_ip, start, wait_exit

FIRST, COUNT = 300000, 65536


def users(first=FIRST, count=COUNT, mode=cri.POD):
    mapping = [cri.IDMapping(host_id=first, container_id=0, length=count)] if mode == cri.POD else []
    return cri.UserNamespace(mode=mode, uids=mapping, gids=mapping)


def pod_linux(userns=None, **options):
    namespaces = cri.NamespaceOption(userns_options=userns or users(), **options)
    return cri.LinuxPodSandboxConfig(security_context=cri.LinuxSandboxSecurityContext(namespace_options=namespaces))


def security(userns=None, network=cri.POD, **fields):
    """container_config() adds the PID mode."""
    options = cri.NamespaceOption(network=network, userns_options=userns or users())
    return cri.LinuxContainerSecurityContext(namespace_options=options, **fields)


@pytest.fixture
def client(daemon):
    client = daemon.client()
    handlers = client.Status().runtime_handlers
    if not handlers[0].features.user_namespaces:
        pytest.skip("Status says that this host has no user namespaces for pods: see `monopod check`")
    return client


def run(client, pod_id, config, image, script, count, logs, **fields):
    """The output of a shell script that ends well."""
    fields.setdefault("security", security())
    container_id = start(client, pod_id, config, image, ["/bin/sh", "-ec", script], **fields)
    status = wait_exit(client, container_id)
    log = Path(status.log_path)
    lines = [text for _, _, text in log_lines(log, count)]
    assert status.exit_code == 0, lines
    client.RemoveContainer(container_id=container_id)
    log.unlink()
    return lines


def test_root_is_nobody_of_the_host(client, image, logs):
    with pod(client, "users", logs, linux=pod_linux()) as (pod_id, config):
        lines = run(client, pod_id, config, image, "tr -s ' ' < /proc/self/uid_map; id -u; id -G; touch /made; stat -c %u /made; "
                    "grep CapEff /proc/self/status; cat /proc/self/setgroups; readlink /proc/self/fd/0", 7, logs)
        assert lines[0].split() == ["0", str(FIRST), str(COUNT)]
        assert lines[1] == "0" and lines[2] == "0" and lines[3] == "0"
        assert int(lines[4].split()[1], 16) != 0 and lines[5:] == ["allow", "/dev/null"]


def test_the_image_is_not_copied(client, daemon, image, logs):
    """The writable layer holds what the container wrote, by the host's ids, and nothing else."""
    with pod(client, "layers", logs, linux=pod_linux()) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["/bin/sh", "-ec", "echo x > /new; mkdir /dir; ls -ln /bin/busybox; sleep 60"],
                             security=security())
        assert log_lines(logs / "main.log", 1)[0][2].split()[2:4] == ["0", "0"]
        upper = daemon.folder / "root" / "containers" / container_id / "upper"
        assert upper.stat().st_uid == FIRST and (upper / "new").stat().st_uid == FIRST and (upper / "dir").stat().st_gid == FIRST
        assert not (upper / "bin" / "busybox").exists()
        assert all(path.lstat().st_uid == FIRST for path in upper.rglob("*") if not path.is_char_device())


def test_namespaces_belong_to_the_pods_users(client, daemon, image, logs):
    with pod(client, "owner", logs, linux=pod_linux(), pid=cri.POD) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sleep", "600"], security=security(), pid=cri.POD)
        pid = json.loads(client.ContainerStatus(container_id=container_id, verbose=True).info["info"])["pid"]
        info = json.loads(client.PodSandboxStatus(pod_sandbox_id=pod_id, verbose=True).info["info"])
        assert info["namespaces"]["user"].endswith(f"{pod_id}/user")
        mine = os.stat(f"/proc/{pid}/ns/user").st_ino
        assert os.stat(info["namespaces"]["user"]).st_ino == mine != os.stat("/proc/self/ns/user").st_ino
        for kind in ("net", "ipc", "uts", "pid", "cgroup", "mnt"):
            assert owner_of(f"/proc/{pid}/ns/{kind}") == mine, kind
        options = client.PodSandboxStatus(pod_sandbox_id=pod_id).status.linux.namespaces.options
        assert options.userns_options == users() and options.pid == cri.POD


def owner_of(path):
    """NS_GET_USERNS of ioctl_ns(2)."""
    fd = os.open(path, os.O_RDONLY)
    owner = ctypes.CDLL(None, use_errno=True).ioctl(fd, 0xB701)
    os.close(fd)
    assert owner >= 0, os.strerror(ctypes.get_errno())
    inode = os.fstat(owner).st_ino
    os.close(owner)
    return inode


def test_files_of_the_pod_are_its_roots(client, image, logs):
    with pod(client, "files", logs, linux=pod_linux()) as (pod_id, config):
        lines = run(client, pod_id, config, image, "for f in /etc/hosts /etc/hostname /etc/resolv.conf; do echo >> $f; stat -c '%u:%g' $f; done;"
                    "stat -c '%u:%g %a' /dev/shm /dev /dev/pts /dev/mqueue; touch /dev/shm/x; stat -c %u /dev/shm/x", 8, logs)
        assert lines[:3] == ["0:0"] * 3
        assert [line.split()[0] for line in lines[3:7]] == ["0:0"] * 4 and lines[3].split()[1] == "1777" and lines[7] == "0"


def test_devices(client, image, logs):
    """The standard ones work; a device of the host stays its owner's, however privileged the container is in its own namespace."""
    with pod(client, "devices", logs, linux=pod_linux()) as (pod_id, config):
        script = ("for d in null zero full random urandom; do head -c 1 /dev/$d > /dev/null || test $d = full; done; echo x > /dev/null;"
                  "stat -c '%u' /dev/null; mknod /dev/mine c 1 3 2>/dev/null || echo refused")
        assert run(client, pod_id, config, image, script, 2, logs) == ["0", "refused"]
        if Path("/dev/kmsg").exists():
            script = "stat -c %u /dev/kmsg; head -c 1 /dev/kmsg 2>/dev/null || echo refused"
            lines = run(client, pod_id, config, image, script, 2, logs, security=security(privileged=True))
            assert lines == ["65534", "refused"]


def test_devices_by_cdi(client, daemon, image, logs):
    """The owner that a Spec names, or the container's user, is one "in the container namespace" (CDI specification, deviceNodes)."""
    nodes = [{"path": "/dev/of-spec", "hostPath": "/dev/null", "uid": 7, "gid": 8, "fileMode": 0o600}, {"path": "/dev/of-user", "hostPath": "/dev/null"}]
    spec = {"cdiVersion": "0.7.0", "kind": "test.example/users", "devices": [{"name": "a", "containerEdits": {"deviceNodes": nodes}}]}
    daemon.cdi_dir.mkdir(exist_ok=True)
    (daemon.cdi_dir / "users.json").write_text(json.dumps(spec))
    try:
        with pod(client, "cdi", logs, linux=pod_linux()) as (pod_id, config):
            lines = run(client, pod_id, config, image, "stat -c '%u:%g' /dev/of-spec /dev/of-user; echo x > /dev/of-user && echo writes", 3, logs,
                        security=security(run_as_user=cri.Int64Value(value=1000), run_as_group=cri.Int64Value(value=1001)),
                        CDI_devices=[cri.CDIDevice(name="test.example/users=a")])
            assert lines == ["7:8", "1000:1001", "writes"]
    finally:
        (daemon.cdi_dir / "users.json").unlink()


def test_users_and_groups(client, image, logs):
    with pod(client, "ids", logs, linux=pod_linux()) as (pod_id, config):
        as_user = security(run_as_user=cri.Int64Value(value=1000), run_as_group=cri.Int64Value(value=1001), supplemental_groups=[2000])
        container_id = start(client, pod_id, config, image, ["/bin/sh", "-ec", "id -u; id -g; id -G; echo x > /dev/stdout; pwd; sleep 60"],
                             security=as_user, working_dir="/made/by/whom")
        lines = [text for _, _, text in log_lines(logs / "main.log", 5)]
        assert lines[:2] == ["1000", "1001"] and set(lines[2].split()) == {"1001", "2000"} and lines[3:] == ["x", "/made/by/whom"]
        pid = json.loads(client.ContainerStatus(container_id=container_id, verbose=True).info["info"])["pid"]
        status = Path(f"/proc/{pid}/status").read_text()
        assert f"Uid:\t{FIRST + 1000}\t" in status and f"Gid:\t{FIRST + 1001}\t" in status
        assert client.ContainerStatus(container_id=container_id).status.user.linux.uid == 1000


def test_a_user_beyond_the_mapping_is_refused(client, image, logs):
    with pod(client, "beyond", logs, linux=pod_linux()) as (pod_id, config):
        for fields in ({"run_as_user": cri.Int64Value(value=COUNT)}, {"supplemental_groups": [COUNT]}):
            with pytest.raises(grpc.RpcError) as caught:
                start(client, pod_id, config, image, ["true"], security=security(**fields), name="c" + str(len(fields)) + next(iter(fields))[:3])
            assert f"{COUNT} is not mapped" in caught.value.details()


def test_exec(client, image, logs):
    for pid in (cri.CONTAINER, cri.POD):
        with pod(client, f"exec{pid}", logs, linux=pod_linux(), pid=pid) as (pod_id, config):
            container_id = start(client, pod_id, config, image, ["sleep", "600"], security=security(), pid=pid, name=f"c{pid}")
            reply = client.ExecSync(container_id=container_id, cmd=[
                "/bin/sh", "-ec", "id -u; tr -s ' ' < /proc/self/uid_map; touch /by-exec; stat -c %u /by-exec; echo x > /dev/stderr;"
                "(readlink /proc/self/ns/user; readlink /proc/1/ns/user) | uniq | wc -l"], timeout=20)
            lines = reply.stdout.decode().splitlines()
            assert (reply.exit_code, reply.stderr) == (0, b"x\n"), reply
            assert lines[0] == "0" and lines[1].split() == ["0", str(FIRST), str(COUNT)] and lines[2] == "0"
            if pid == cri.CONTAINER:
                assert lines[3] == "1"


def test_terminal(client, image, logs):
    with pod(client, "terminal", logs, linux=pod_linux()) as (pod_id, config):
        script = "tty; stat -c '%u:%g' $(tty); stat -c %u /dev/console; stty size > /dev/null && echo yes; echo x > /dev/tty; sleep 1"
        start(client, pod_id, config, image, ["/bin/sh", "-ec", script], security=security(run_as_user=cri.Int64Value(value=77)), tty=True)
        lines = [text.rstrip("\r") for _, _, text in log_lines(logs / "main.log", 4)]
        assert lines[0] == "/dev/pts/0" and lines[1] == "77:5" and lines[2] == "77", lines


def test_volumes_with_mapped_ids(client, image, logs, tmp_path):
    """On the disk the container's root is root of the volume; through a mount without mappings the same files are nobody's."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "in").write_text("by root\n")
    (tmp_path / "data" / "in").chmod(0o600)
    mapping = list(users().uids)
    mounts = [cri.Mount(container_path="/mapped", host_path=str(tmp_path / "data"), uidMappings=mapping, gidMappings=mapping),
              cri.Mount(container_path="/plain", host_path=str(tmp_path / "data")),
              cri.Mount(container_path="/log", host_path=str(tmp_path / "data" / "in"), uidMappings=mapping, gidMappings=mapping)]
    with pod(client, "volumes", logs, linux=pod_linux()) as (pod_id, config):
        lines = run(client, pod_id, config, image, "cat /mapped/in; stat -c %u /mapped/in /plain/in; cat /plain/in 2>/dev/null || echo refused;"
                    "echo y > /mapped/out; touch /plain/no 2>/dev/null || echo refused; echo more >> /log; cat /log", 7, logs, mounts=mounts)
        assert lines == ["by root", "0", "65534", "refused", "refused", "by root", "more"]
        assert (tmp_path / "data" / "out").stat().st_uid == 0


def test_volumes_with_other_mappings(client, image, logs, tmp_path):
    """A mapping of the mount's own: what belongs to 5000 on the disk belongs to the pod's root."""
    tmp_path.chmod(0o755)
    (tmp_path / "file").write_text("x")
    os.chown(tmp_path / "file", 5000, 5000)
    mapping = [cri.IDMapping(host_id=FIRST, container_id=5000, length=10)]
    mounts = [cri.Mount(container_path="/data", host_path=str(tmp_path), uidMappings=mapping, gidMappings=mapping)]
    with pod(client, "other-maps", logs, linux=pod_linux()) as (pod_id, config):
        assert run(client, pod_id, config, image, "stat -c %u:%g /data/file", 1, logs, mounts=mounts) == ["0:0"]


def test_a_volume_that_cannot_be_mapped(client, image, logs):
    mapping = list(users().uids)
    mounts = [cri.Mount(container_path="/data", host_path="/proc/sys", uidMappings=mapping, gidMappings=mapping, readonly=True)]
    with pod(client, "cannot", logs, linux=pod_linux()) as (pod_id, config):
        with pytest.raises(grpc.RpcError) as caught:
            start(client, pod_id, config, image, ["true"], security=security(), mounts=mounts)
        assert "/proc/sys: its file system does not know id-mapped mounts" in caught.value.details()


def test_bidirectional_propagation_is_refused(client, image, logs, tmp_path):
    mount = cri.Mount(container_path="/data", host_path=str(tmp_path), propagation=cri.PROPAGATION_BIDIRECTIONAL)
    with pod(client, "both-ways", logs, linux=pod_linux()) as (pod_id, config):
        with pytest.raises(grpc.RpcError) as caught:
            start(client, pod_id, config, image, ["true"], security=security(privileged=True), mounts=[mount])
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "BIDIRECTIONAL" in caught.value.details()


def test_image_volumes(client, image, logs):
    mounts = [cri.Mount(container_path="/image", image=cri.ImageSpec(image=image)),
              cri.Mount(container_path="/bin2", image=cri.ImageSpec(image=image), image_sub_path="bin")]
    with pod(client, "image-volume", logs, linux=pod_linux()) as (pod_id, config):
        lines = run(client, pod_id, config, image, "stat -c %u:%g /image/bin/busybox /bin2/busybox; touch /image/x 2>/dev/null || echo refused",
                    3, logs, mounts=mounts)
        assert lines == ["0:0", "0:0", "refused"]


def test_network(client, image, logs):
    with pod(client, "net", logs, linux=pod_linux()) as (pod_id, config):
        address = pod_ip(client, pod_id)
        lines = run(client, pod_id, config, image, "ip addr show eth0 2>/dev/null | grep -c . || cat /proc/net/dev | grep -c eth0;"
                    "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; ls /sys/class/net | tr '\\n' ' '", 3, logs)
        assert address and int(lines[0]) > 0 and "eth0" in lines[2]


def test_host_network(client, image, logs):
    """The host's network with users of one's own: sysfs and all, and no right over the host's interfaces."""
    linux = pod_linux(network=cri.NODE)
    with pod(client, "host-net", logs, linux=linux, host_network=True) as (pod_id, config):
        lines = run(client, pod_id, config, image, "readlink /proc/self/ns/net; test -d /sys/class/net/lo && echo sysfs; id -u;"
                    "ip link set lo mtu 1400 2>/dev/null || echo refused", 4, logs,
                    security=security(network=cri.NODE, capabilities=cri.Capability(add_capabilities=["NET_ADMIN"])))
        assert lines == [os.readlink("/proc/self/ns/net"), "sysfs", "0", "refused"]


# ---- PID modes of the host and of another container ----

def test_target_pid_namespace(client, image, logs):
    """An ephemeral container sees its target's processes and, having the same users, may look into them."""
    with pod(client, "target", logs, linux=pod_linux()) as (pod_id, config):
        target = start(client, pod_id, config, image, ["sleep", "1234"], security=security(), name="target")
        options = cri.NamespaceOption(userns_options=users(), pid=cri.TARGET, target_id=target)
        context = cri.LinuxContainerSecurityContext(namespace_options=options, capabilities=cri.Capability(add_capabilities=["SYS_PTRACE"]))
        lines = run(client, pod_id, config, image, "tr '\\0' ' ' < /proc/1/cmdline; echo; stat -c %u /proc/1; ls /proc/1/root/bin/busybox;"
                    "readlink /proc/1/ns/user; readlink /proc/self/ns/user", 5, logs, security=context, name="looks")
        assert lines[0].split() == ["sleep", "1234"] and lines[1:3] == ["0", "/proc/1/root/bin/busybox"] and lines[3] == lines[4]


def test_host_pid_namespace(client, image, logs):
    """Everybody of the host is seen, and nobody can be ended, looked into or followed into their namespaces."""
    victim = subprocess.Popen(["sleep", "600"])
    try:
        with pod(client, "host-pid", logs, linux=pod_linux(), pid=cri.NODE) as (pod_id, config):
            script = (f"tr '\\0' ' ' < /proc/{victim.pid}/cmdline; echo; stat -c %u /proc/{victim.pid}; kill -9 {victim.pid} 2>/dev/null || echo refused;"
                      f"ls /proc/{victim.pid}/root/ >/dev/null 2>&1 || echo refused; cat /proc/{victim.pid}/environ >/dev/null 2>&1 || echo refused;"
                      f"nsenter -t {victim.pid} -m true 2>/dev/null || echo refused; nsenter -t {victim.pid} -n true 2>/dev/null || echo refused")
            lines = run(client, pod_id, config, image, script, 7, logs, security=security(privileged=True), pid=cri.NODE)
            assert lines[0].split() == ["sleep", "600"] and lines[1] == "65534" and lines[2:] == ["refused"] * 5
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


# ---- what the container's root, with every capability that its namespace has, cannot do ----

def test_a_privileged_root_is_not_the_hosts(client, image, logs):
    """Settings of the machine are written with the value that they have: an attack that works would leave no damage."""
    pattern = Path("/proc/sys/kernel/core_pattern").read_text()
    attacks = {
        "core_pattern": "cat /proc/sys/kernel/core_pattern > /tmp/p; cat /tmp/p > /proc/sys/kernel/core_pattern",
        "sysctl of the machine": "cat /proc/sys/vm/swappiness > /tmp/s; cat /tmp/s > /proc/sys/vm/swappiness",
        "magic key": "echo h > /proc/sysrq-trigger",
        "device": "mknod /tmp/disk b 7 0",
        "limits": "d=/sys/fs/cgroup; test -d $d/memory && d=$d/memory; echo 1 > $d/cgroup.procs",
        "file system of a device": "mount -t ext4 /dev/loop0 /mnt",
        "debugfs": "mount -t debugfs none /mnt",
        "modules": "insmod /bin/busybox",
        "clock": "! date -s @$(date +%s) 2>&1 | grep -q 'not permitted'",
    }
    script = "mkdir -p /tmp /mnt;" + "".join(f"( {command} ) >/dev/null 2>&1 && echo 'worked: {name}';" for name, command in attacks.items()) + "echo end"
    with pod(client, "privileged", logs, linux=pod_linux()) as (pod_id, config):
        lines = run(client, pod_id, config, image, script, 1, logs, security=security(privileged=True))
        assert lines == ["end"]
    assert Path("/proc/sys/kernel/core_pattern").read_text() == pattern


def test_what_is_hidden_stays_hidden(client, image, logs, tmp_path):
    """Masks, read-only paths and read-only volumes are locked: not even with SYS_ADMIN, nor in a namespace of one's own, are they undone."""
    (tmp_path / "file").write_text("as it was")
    mounts = [cri.Mount(container_path="/fixed", host_path=str(tmp_path), readonly=True, uidMappings=users().uids, gidMappings=users().uids)]
    context = security(capabilities=cri.Capability(add_capabilities=["SYS_ADMIN"]), masked_paths=["/proc/version", "/proc/uptime"], readonly_paths=["/proc/sys"],
                       apparmor=cri.SecurityProfile(profile_type=cri.SecurityProfile.Unconfined))  # the default profile mounts nothing at all
    attacks = ["umount /proc/version", "umount -l /proc/uptime", "umount /proc/sys", "mount -o remount,bind,rw /proc/sys", "umount /fixed",
               "mount -o remount,bind,rw /fixed", "echo x > /fixed/file", "mount -o remount,rw /sys", "mount -o remount,bind,rw /sys"]
    script = "mkdir -p /mnt; mount -t tmpfs none /mnt && umount /mnt && echo may mount;" + "".join(f"( {attack} ) 2>/dev/null && echo 'worked: {attack}';" for attack in attacks)
    inner = " ; ".join(f"( {attack} ) 2>/dev/null && echo inner worked: {attack}" for attack in attacks)
    script += f"unshare -m sh -c '{inner}; true'; unshare -U -r -m sh -c '{inner}; true'; head -c 1 /proc/version | wc -c; echo end"
    with pod(client, "locked", logs, linux=pod_linux()) as (pod_id, config):
        lines = run(client, pod_id, config, image, script, 3, logs, security=context, mounts=mounts)
        assert lines == ["may mount", "0", "end"]
    assert (tmp_path / "file").read_text() == "as it was"


def test_the_mount_points_are_the_containers(client, daemon, image, logs):
    """The layer below the image's belongs to the container's root as the image does; nothing of it is copied for being mounted on."""
    with pod(client, "points", logs, linux=pod_linux()) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["/bin/sh", "-ec", "stat -c %u:%g /etc /dev /proc /sys /; sleep 60"], security=security())
        assert [text for _, _, text in log_lines(logs / "main.log", 5)] == ["0:0"] * 2 + ["65534:65534"] * 2 + ["0:0"]
        upper = daemon.folder / "root" / "containers" / container_id / "upper"
        assert not (upper / "etc" / "hosts").exists()
        layer = daemon.folder / "root" / "mount-points"
        assert all(path.lstat().st_uid == 0 for path in layer.rglob("*"))


def test_restart_of_the_daemon(client, daemon, image, logs):
    with pod(client, "restart", logs, linux=pod_linux(), pid=cri.POD) as (pod_id, config):
        first = start(client, pod_id, config, image, ["sleep", "600"], security=security(), pid=cri.POD)
        daemon.kill()
        daemon.start()
        client = daemon.client()
        assert client.PodSandboxStatus(pod_sandbox_id=pod_id).status.state == cri.SANDBOX_READY
        reply = client.ExecSync(container_id=first, cmd=["/bin/sh", "-c", "tr -s ' ' < /proc/self/uid_map"], timeout=20)
        assert reply.stdout.split()[1] == str(FIRST).encode()
        second = start(client, pod_id, config, image, ["/bin/sh", "-c", "readlink /proc/self/ns/user; sleep 60"], name="second", pid=cri.POD,
                       security=security())
        pids = [json.loads(client.ContainerStatus(container_id=c, verbose=True).info["info"])["pid"] for c in (first, second)]
        assert len({os.readlink(f"/proc/{pid}/ns/user") for pid in pids}) == 1
        client.StopPodSandbox(pod_sandbox_id=pod_id)
        assert not (daemon.folder / "state" / "pods" / pod_id / "user").exists()


def test_mode_node_is_the_hosts(client, image, logs):
    node = users(mode=cri.NODE)
    with pod(client, "node", logs, linux=pod_linux(node)) as (pod_id, config):
        for userns in (node, None):
            context = security(userns=node) if userns else cri.LinuxContainerSecurityContext(namespace_options=cri.NamespaceOption(pid=cri.CONTAINER))
            lines = run(client, pod_id, config, image, "readlink /proc/self/ns/user", 1, logs, security=context, name=f"c{bool(userns)}")
            assert lines == [os.readlink("/proc/self/ns/user")]


BAD_PODS = {
    "no mapping": (cri.UserNamespace(mode=cri.POD), "uids"),
    "no gids": (cri.UserNamespace(mode=cri.POD, uids=users().uids), "gids"),
    "two mappings": (cri.UserNamespace(mode=cri.POD, uids=list(users().uids) + [cri.IDMapping(host_id=0, container_id=70000, length=1)],
                                       gids=users().gids), "exactly one"),
    "length 0": (users(count=0), "must not be 0"),
    "beyond the last id": (users(first=4294967290, count=10), "beyond the last id"),
    "no root": (cri.UserNamespace(mode=cri.POD, uids=[cri.IDMapping(host_id=FIRST, container_id=1, length=9)], gids=users().gids), "container_id"),
    "maps of the host's": (cri.UserNamespace(mode=cri.NODE, uids=users().uids, gids=users().gids), "mappings"),
    "mode CONTAINER": (cri.UserNamespace(mode=cri.CONTAINER), "mode"),
    "mode TARGET": (cri.UserNamespace(mode=cri.TARGET), "mode"),
}


@pytest.mark.parametrize("case", BAD_PODS)
def test_refused_pods(client, case):
    userns, says = BAD_PODS[case]
    with pytest.raises(grpc.RpcError) as caught:
        client.RunPodSandbox(config=pod_config("refused", linux=pod_linux(userns)))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "userns_options" in caught.value.details() and says in caught.value.details(), caught.value.details()


@pytest.mark.parametrize("case", ["none", "node", "other", "of a pod without"])
def test_a_container_has_its_pods_users(client, image, logs, case):
    plain = cri.LinuxContainerSecurityContext(namespace_options=cri.NamespaceOption(pid=cri.CONTAINER))
    theirs = {"none": plain, "node": security(userns=users(mode=cri.NODE)), "other": security(userns=users(first=FIRST + 1)),
              "of a pod without": security()}[case]
    fields = {} if case == "of a pod without" else {"linux": pod_linux()}
    with pod(client, "equal", logs, **fields) as (pod_id, config):
        with pytest.raises(grpc.RpcError) as caught:
            client.CreateContainer(pod_sandbox_id=pod_id, config=container_config(image, ["true"], security=theirs), sandbox_config=config)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "userns_options" in caught.value.details()


@pytest.mark.parametrize("maps, says", [
    ([(FIRST, 0, 0)], "must not be 0"),
    ([(FIRST, 0, 10), (FIRST + 5, 20, 10)], "overlaps"),
    ([(FIRST, 0, 10), (FIRST + 50, 9, 10)], "overlaps"),
    ([(4294967295, 0, 1)], "beyond the last id"),
    ([(FIRST + i, i, 1) for i in range(341)], "340"),
])
def test_refused_mappings_of_a_mount(client, image, logs, maps, says):
    mapping = [cri.IDMapping(host_id=host, container_id=inside, length=length) for host, inside, length in maps]
    with pod(client, "maps", logs, linux=pod_linux()) as (pod_id, config):
        mount = cri.Mount(container_path="/d", host_path="/tmp", uidMappings=mapping, gidMappings=mapping)
        with pytest.raises(grpc.RpcError) as caught:
            client.CreateContainer(pod_sandbox_id=pod_id, sandbox_config=config,
                                   config=container_config(image, ["true"], security=security(), mounts=[mount]))
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT and says in caught.value.details(), caught.value.details()


def test_oom_score_limits_and_cgroup_are_set_before_rights_are_lost(client, image, logs):
    resources = cri.LinuxContainerResources(memory_limit_in_bytes=64 << 20, oom_score_adj=500)
    with pod(client, "limits", logs, linux=pod_linux()) as (pod_id, config):
        lines = run(client, pod_id, config, image, "cat /proc/self/oom_score_adj; cat /sys/fs/cgroup/memory/memory.limit_in_bytes "
                    "/sys/fs/cgroup/memory.max 2>/dev/null || true", 2, logs, resources=resources)
        assert lines == ["500", str(64 << 20)]


def test_cve_2025_47291_pods_with_users_are_in_their_cgroup(client, image, logs):
    with pod(client, "grouped", logs, linux=pod_linux(), pid=cri.POD) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sleep", "600"], security=security(), pid=cri.POD)
        init = json.loads(client.PodSandboxStatus(pod_sandbox_id=pod_id, verbose=True).info["info"])["pid"]
        first = json.loads(client.ContainerStatus(container_id=container_id, verbose=True).info["info"])["pid"]
        for pid in (init, first):
            groups = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
            assert any(CGROUP_PARENT in path for _, _, path in groups)
            assert all(CGROUP_PARENT in path for _, names, path in groups if names in ("memory", "pids", "devices")), groups


@pytest.mark.parametrize("users_too", [False, True])
def test_pid_and_ipc_of_the_host(client, image, logs, users_too):
    """NODE mode, also for users of one's own, who see the host's processes and may do nothing to them."""
    linux = pod_linux(pid=cri.NODE, ipc=cri.NODE) if users_too else \
        cri.LinuxPodSandboxConfig(security_context=cri.LinuxSandboxSecurityContext(namespace_options=cri.NamespaceOption(ipc=cri.NODE)))
    context = security() if users_too else cri.LinuxContainerSecurityContext()
    context.namespace_options.ipc = cri.NODE
    with pod(client, f"host-pid-{users_too}", logs, linux=linux, pid=cri.NODE) as (pod_id, config):
        lines = run(client, pod_id, config, image, f"readlink /proc/self/ns/pid; readlink /proc/self/ns/ipc; cat /proc/{os.getpid()}/comm;"
                    f"readlink /proc/{os.getpid()}/exe 2>/dev/null || echo refused; test -d /dev/mqueue && echo mqueue", 5, logs,
                    security=context, pid=cri.NODE)
        assert lines[:2] == [os.readlink("/proc/self/ns/pid"), os.readlink("/proc/self/ns/ipc")]
        assert lines[2] == Path("/proc/self/comm").read_text().strip() and lines[4] == "mqueue"
        assert not users_too or lines[3] == "refused"


def test_target_with_users(client, image, logs):
    """TARGET joins the PID namespace of another container of the pod."""
    with pod(client, "target", logs, linux=pod_linux()) as (pod_id, config):
        target = start(client, pod_id, config, image, ["sleep", "600"], security=security(), name="target")
        context = security()
        context.namespace_options.target_id = target
        lines = run(client, pod_id, config, image, "cat /proc/1/comm; readlink /proc/1/root; kill -9 1; echo after", 2, logs, security=context,
                    pid=cri.TARGET, name="debugger")
        assert lines[0] == "sleep" and lines[1] in ("/", "after")
        reply = client.ContainerStatus(container_id=target).status
        assert reply.state == cri.CONTAINER_RUNNING


def test_two_pods_do_not_share_users(client, image, logs):
    with pod(client, "one", logs, linux=pod_linux()) as (one, config_one), \
            pod(client, "two", logs, linux=pod_linux(users(first=FIRST + COUNT))) as (two, config_two):
        first = start(client, one, config_one, image, ["sleep", "600"], security=security())
        second = start(client, two, config_two, image, ["sleep", "600"], security=security(userns=users(first=FIRST + COUNT)), name="two")
        pids = [json.loads(client.ContainerStatus(container_id=c, verbose=True).info["info"])["pid"] for c in (first, second)]
        owners = [os.stat(f"/proc/{pid}").st_uid for pid in pids]
        assert owners == [FIRST, FIRST + COUNT]


def test_nothing_stays(client, daemon, image, logs):
    def count():
        return Path("/proc/self/mountinfo").read_text().count(str(daemon.folder)), len(os.listdir(f"/proc/{daemon.process.pid}/fd")), \
            subprocess.run(["pgrep", "-P", str(daemon.process.pid)], capture_output=True).stdout
    for turn in range(3):
        with pod(client, "stays", logs, linux=pod_linux(), pid=cri.POD) as (pod_id, config):
            run(client, pod_id, config, image, "true", 0, logs, pid=cri.POD)
        before = before if turn > 1 else count()
    assert count() == before
