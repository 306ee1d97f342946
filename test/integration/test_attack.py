"""Images, requests and containers that try what has worked elsewhere: each test is named after the incident that it imitates.

The canary is a directory of the host's that an attack would reach; it must be as it was. docs/security.md lists every incident."""
import hashlib
import os
import subprocess
import tarfile
from pathlib import Path

import grpc
import pytest

from harness.cri import CGROUP_PARENT, cri
from harness.daemon import Daemon
from harness.images import import_image, layer, link
from harness.inventory import rss_kib
from harness.pods import log_lines, pod, start, wait_exit


@pytest.fixture(scope="module")
def client(daemon):
    return daemon.client()


@pytest.fixture(scope="module")
def evil(client, archive, workspace):
    """Imports the image with one more layer and another configuration."""
    count = iter(range(1000))

    def make(entries=None, configure=None):
        layers = [layer(entries)] if entries else []
        return import_image(client, archive, workspace, f"docker.io/library/evil:{next(count)}", layers=layers, configure=configure)
    return make


@pytest.fixture
def canary(tmp_path):
    folder = tmp_path / "canary"
    folder.mkdir()
    for name in ("file", "hosts", "null", "console"):
        (folder / name).write_text("untouched")
    before = {path.name: (path.read_text(), path.stat().st_mode, path.stat().st_uid) for path in folder.iterdir()}
    yield folder
    assert {path.name: (path.read_text(), path.stat().st_mode, path.stat().st_uid) for path in folder.iterdir()} == before


def spellings(target):
    """Of a link that leads out of the root: plain, relative, and through more parents than there are."""
    return [str(target), f"..{target}", f"../../../../../../..{target}", f"/..{target}", f"/proc/1/root{target}"]


def attempt(client, image, **fields):
    """Starts it: the sentence with which that was refused, or 0 when a command could be executed in it."""
    with pod(client, "attempt", "/tmp") as (pod_id, config):
        try:
            container_id = start(client, pod_id, config, image, ["sleep", "1000"], log_path="", **fields)
        except grpc.RpcError as error:
            return error.details()
        return client.ExecSync(container_id=container_id, cmd=["true"], timeout=10).exit_code


def ask(client, image, script, **fields):
    """What a command says in a container of the image."""
    with pod(client, "ask", "/tmp") as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sleep", "1000"], log_path="", **fields)
        return client.ExecSync(container_id=container_id, cmd=["sh", "-c", script], timeout=20).stdout.decode().splitlines()


# ---- images ----

@pytest.mark.parametrize("place", ["proc", "sys", "dev"])
@pytest.mark.parametrize("which", range(5))
def test_cve_2023_27561_links_where_we_mount(client, evil, canary, place, which):
    """CVE-2023-27561, CVE-2023-28642, CVE-2026-41579, CVE-2026-47766: what must be a directory is one, or nothing starts."""
    image = evil({place: link(place, spellings(canary)[which])})
    assert f" on /{place}" in attempt(client, image)


def test_cve_2026_88264_links_where_devices_are_made(client, evil, canary):
    """CVE-2026-88264, CVE-2026-88265: terminal and null device are those of our own /dev, whatever the image has there."""
    names = ["dev/console", "dev/null", "dev/ptmx", "dev/tty", "dev/zero"]
    image = evil({name: link(name, str(canary / name.removeprefix("dev/"))) for name in names} | {"dev/pts": link("dev/pts", str(canary))})
    with pod(client, "links", "/tmp") as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sh", "-c", "tty > /dev/console; echo x > /dev/null; chmod 777 /dev/null; sleep 1000"],
                             tty=True, log_path="")
        done = client.ExecSync(container_id=container_id, cmd=["sh", "-c", "stat -c %t:%T /dev/null; readlink /proc/1/fd/0"], timeout=10)
        assert done.stdout == b"1:3\n/dev/pts/0\n"


@pytest.mark.parametrize("which", range(5))
def test_cve_2024_5154_files_that_we_mount_on(client, evil, canary, which):
    """CVE-2024-5154, CVE-2024-45310: /etc/mtab is left alone, and what leads out of the root is made inside."""
    target = spellings(canary)[which]
    image = evil({name: link(name, f"{target}/{name[4:]}-made") for name in ("etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab")})
    result = attempt(client, image)
    assert result == 0 or "/etc/" in result
    assert sorted(path.name for path in canary.iterdir()) == ["console", "file", "hosts", "null"]


def test_cve_2021_30465_volumes_on_links(client, evil, canary, tmp_path):
    """CVE-2021-30465, CVE-2019-18837: the target of a volume is followed inside the root."""
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume" / "mine").write_text("mine\n")
    image = evil({"data": link("data", str(canary)), "deep": link("deep", f"../../../..{canary}")})
    for target in ("/data", "/data/made/here", "/deep/made"):
        assert ask(client, image, f"cat {target}/mine", mounts=[cri.Mount(container_path=target, host_path=str(tmp_path / "volume"))]) == ["mine"]


@pytest.mark.parametrize("path", ["/proc", "/proc/", "/proc/self", "/proc/self/attr", "/proc/sys", "/proc/1/fd", "/link", "/dev/fd", "/dev/fd/3"])
def test_cve_2019_16884_volumes_inside_proc(client, evil, canary, path):
    """CVE-2019-16884, CVE-2019-19921, CVE-2025-52881: a mount that would stand in for a file that we, or an LSM, write to."""
    image = evil({"link": link("link", "/proc/self/attr")})
    assert "mount" in attempt(client, image, mounts=[cri.Mount(container_path=path, host_path=str(canary))])


@pytest.mark.parametrize("folder", ["/proc/self/fd", "/proc/1/fd", "/proc/thread-self/fd", "/dev/fd"])
def test_cve_2024_21626_working_directory_in_a_descriptor(client, evil, image, folder):
    """CVE-2024-21626 (Leaky Vessels): neither a request nor an image works in a directory that only a descriptor leads to."""
    for number in range(3, 24):
        assert f"{folder}/{number}" in attempt(client, image, working_dir=f"{folder}/{number}")
    linked = evil({"work": link("work", f"{folder}/8")}, lambda config: config.__setitem__("WorkingDir", "/work"))
    assert "/work" in attempt(client, linked)


@pytest.mark.parametrize("pid", [cri.CONTAINER, cri.NODE])
def test_cve_2024_21626_working_directory_of_a_command(client, image, tmp_path, pid):
    """A command executed later starts where the container did, and that directory may have become something else. Whoever is about to join a
    PID namespace is not in its procfs yet; with the host's, he is."""
    work = tmp_path / "work"
    work.mkdir()
    with pod(client, "moved", "/tmp", pid=pid) as (pod_id, config):
        mounts = [cri.Mount(container_path="/data", host_path=str(tmp_path))]
        container_id = start(client, pod_id, config, image, ["sleep", "1000"], working_dir="/data/work", log_path="", mounts=mounts, pid=pid)
        assert client.ExecSync(container_id=container_id, cmd=["pwd"], timeout=10).stdout == b"/data/work\n"
        work.rmdir()
        for number in range(3, 24):
            work.symlink_to(f"/proc/self/fd/{number}")
            with pytest.raises(grpc.RpcError, match="/data/work"):
                client.ExecSync(container_id=container_id, cmd=["true"], timeout=10)
            work.unlink()


# ---- our own program ----

def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.mark.parametrize("interpreter", ["/proc/self/exe", "/proc/1/exe", "/proc/thread-self/exe"])
def test_cve_2019_5736_a_command_that_is_us(daemon, client, evil, interpreter):
    """CVE-2019-5736: a script whose interpreter is the program that starts it, that is, ours. It is a sealed copy, and of use to nobody."""
    before = digest(daemon.binary)
    program = tarfile.TarInfo("evil")
    program.mode, text = 0o755, f"#!{interpreter}\n".encode()
    program.size = len(text)
    image = evil({"evil": (program, text)})
    # with a right that lets it look into everybody, so that nothing but the seals is left
    context = cri.LinuxContainerSecurityContext(capabilities=cri.Capability(add_capabilities=["SYS_PTRACE"]))
    with pod(client, "sealed", "/tmp") as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sh", "-c", OVERWRITE], log_path="", security=context)
        for _ in range(40):
            try:
                client.ExecSync(container_id=container_id, cmd=["/evil"], timeout=1)
            except grpc.RpcError:
                pass
        assert client.ExecSync(container_id=container_id, cmd=["sh", "-c", "cat /tmp/held | wc -l"], timeout=10).stdout != b"0\n"
        assert client.ExecSync(container_id=container_id, cmd=["cat", "/tmp/written"], timeout=10).stdout == b""
        assert client.ExecSync(container_id=container_id, cmd=["echo", "whole"], timeout=10).stdout == b"whole\n"
    assert digest(daemon.binary) == before


# Holds every program of the PID namespace open but busybox, which is the container's own, and writes to it when nobody runs it any more.
OVERWRITE = ("touch /tmp/written /tmp/held; exec 2>/dev/null; while :; do for exe in /proc/[0-9]*/exe; do [ $exe -ef /bin/busybox ] || "
             "{ [ /proc/self/fd/3 -ef /bin/busybox ] || { echo $exe >> /tmp/held; for i in 1 2 3; do "
             "echo evil >> /proc/self/fd/3 && echo $exe >> /tmp/written; sleep 0.05; done; }; } 3< $exe; done; done")


# ---- what a container can reach ----

def test_cve_2023_25809_cgroups_are_read_only(client, image):
    """CVE-2023-25809: nothing below /sys/fs/cgroup can be written or made, and only the own group shows."""
    script = ("for f in $(find /sys/fs/cgroup -name cgroup.procs -o -name tasks -o -name release_agent -o -name notify_on_release); do "
              "(echo 0 > $f) 2>/dev/null && echo wrote $f; done; for d in $(find /sys/fs/cgroup -type d); do mkdir $d/evil 2>/dev/null && echo made $d; done; "
              "sed 's/.*://' /proc/self/cgroup | sort -u")
    assert ask(client, image, script) == ["/"]


def test_cve_2022_0492_release_agent(client, image):
    """CVE-2022-0492: without CAP_SYS_ADMIN no cgroup file system is mounted, and no namespace gives that right."""
    script = ("mkdir /tmp/c; for t in cgroup cgroup2; do mount -t $t none /tmp/c 2>/dev/null && echo mounted $t; done; "
              "mount -t cgroup -o memory none /tmp/c 2>/dev/null && echo mounted memory; unshare -U true 2>/dev/null && echo user; "
              "unshare -m true 2>/dev/null && echo unshared; find /sys/fs/cgroup -name release_agent; echo end")
    for context in (cri.LinuxContainerSecurityContext(), cri.LinuxContainerSecurityContext(run_as_user=cri.Int64Value(value=1000))):
        assert ask(client, image, script, security=context) == ["end"]


def test_cve_2025_47291_every_process_is_in_the_pods_cgroup(client, image):
    """CVE-2025-47291: of each hierarchy that we use, the first process, a command executed later, and the pod's own."""
    with pod(client, "grouped", "/tmp", pid=cri.POD) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sleep", "1000"], pid=cri.POD, log_path="")
        client.ExecSync(container_id=container_id, cmd=["sh", "-c", "sleep 999 < /dev/null > /dev/null 2>&1 &"], timeout=10)
        inside = [int(line) for path in _groups() for line in path.read_text().split()]
        commands = {Path(f"/proc/{pid}/cmdline").read_bytes() for pid in inside}
        assert {b"sleep\x001000\x00", b"sleep\x00999\x00"} <= commands
        for pid in set(inside):
            groups = [line.split(":", 2)[2] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
            assert any(group.startswith(CGROUP_PARENT + "/") for group in groups), (pid, groups)
    assert not [pid for path in _groups() for pid in path.read_text().split()]


def _groups():
    return [path for root in [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()] for path in (root / CGROUP_PARENT[1:]).glob("**/cgroup.procs")]


def test_cve_2020_8557_the_pods_files_cannot_fill_the_host(daemon, client, image):
    """CVE-2020-8557: what a container can write besides its volumes and its layer lies on a file system of the pod's own, and small."""
    script = "for f in /etc/hosts /etc/hostname /etc/resolv.conf; do head -c 300m /dev/zero > $f 2>/dev/null && echo filled $f; done; echo end"
    with pod(client, "filler", "/tmp") as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sleep", "1000"], log_path="")
        assert client.ExecSync(container_id=container_id, cmd=["sh", "-c", script], timeout=60).stdout == b"end\n"
        assert sum(path.stat().st_blocks * 512 for path in daemon.folder.glob("state/pods/*/fs/*") if path.is_file()) <= 66 << 20


# ---- who a container is ----

def test_cve_2022_2995_groups_are_exactly_those_asked_for(client, image):
    """CVE-2022-2995, CVE-2023-25173: none of the daemon's groups, and of the image's only when the policy is Merge."""
    for policy, wanted in ((cri.Merge, {1000, 2000, 7}), (cri.Strict, {1000, 7})):
        context = cri.LinuxContainerSecurityContext(run_as_user=cri.Int64Value(value=1000), supplemental_groups=[7], supplemental_groups_policy=policy)
        line, = ask(client, image, "grep ^Groups: /proc/1/status", security=context)
        assert set(map(int, line.split()[1:])) == wanted


def test_cve_2026_30892_a_number_is_that_user(client, evil):
    """CVE-2026-30892: a USER of `1` became 0:0."""
    assert ask(client, evil(configure=lambda config: config.__setitem__("User", "1")), "grep -E '^(U|G)id' /proc/1/status | tr '\\t' ' '") == \
        ["Uid: 1 1 1 1", "Gid: 0 0 0 0"]


def test_cve_2023_6476_annotations_change_nothing(client, image, logs):
    """CVE-2023-6476, CVE-2024-3154: what engines have read from annotations, of the pod and of the container."""
    annotations = {"io.kubernetes.cri-o.cgroup2-mount-hierarchy-rw": "true", "cpu-quota.crio.io": "disable", "io.kubernetes.cri-o.userns-mode": "auto",
                   "org.systemd.property.ExecStartPre": "'/bin/touch /tmp/evil'", "io.kubernetes.cri-o.Devices": "/dev/kmsg", "run.oci.hooks.stdout": "/tmp/x",
                   "io.kubernetes.cri-o.ShmSize": "1Gi", "io.kubernetes.cri-o.TrySkipVolumeSELinuxLabel": "true", "run.oci.seccomp_bpf_data": "AAAA",
                   "cdi.k8s.io/evil": "vendor.com/device=0", "io.kubernetes.cri.container-type": "sandbox", "com.docker.runc.x": "y"}
    script = "cat /proc/self/mounts | cut -d ' ' -f 2-4; ls /dev; grep -E '^(Cap|Seccomp|NoNew)' /proc/self/status; df -k /dev/shm | tail -1"

    def look(**fields):
        with pod(client, "annotated", logs, **fields) as (pod_id, config):
            container_id = start(client, pod_id, config, image, ["sleep", "1000"], log_path="", **fields)
            lines = client.ExecSync(container_id=container_id, cmd=["sh", "-c", script], timeout=10).stdout.decode().splitlines()
            return [line for line in lines if "upperdir" not in line]
    assert look(annotations=annotations) == look()


# ---- floods and files of ours ----

def test_cve_2022_1708_output_that_never_ends(daemon, client, image):
    """CVE-2022-1708, CVE-2022-31030, CVE-2022-23471, CVE-2025-64329, GHSA-7jxh: a command's output is cut, and leaves no memory behind."""
    with pod(client, "flood", "/tmp") as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sleep", "1000"], log_path="")

        def flood():
            done = client.ExecSync(container_id=container_id, cmd=["head", "-c", "100m", "/dev/zero"], timeout=60)
            return len(done.stdout)
        assert flood() <= 16 << 20
        before = rss_kib(daemon.process.pid)
        assert all(flood() <= 16 << 20 for _ in range(4))
        assert rss_kib(daemon.process.pid) - before < 32 << 10


@pytest.mark.parametrize("path", ["../escaped.log", "a/../../escaped.log", "/tmp/escaped.log", "..", "a/.."])
def test_cve_2025_0750_logs_outside_of_the_pods_folder(client, image, path, logs):
    """CVE-2025-0750: a log path that leaves the pod's directory."""
    with pod(client, "logger", logs / "inner") as (pod_id, config), pytest.raises(grpc.RpcError) as caught:
        start(client, pod_id, config, image, ["echo", "x"], log_path=path)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "log_path" in caught.value.details()
    assert not (logs / "escaped.log").exists()


@pytest.fixture
def reachable(daemon):
    """The way to the daemon's directories is open to all, as /var/lib and /run are."""
    way = [daemon.folder.parent, daemon.folder]
    modes = [path.stat().st_mode for path in way]
    for path in way:
        path.chmod(0o755)
    yield
    for path, mode in zip(way, modes):
        path.chmod(mode)


def test_cve_2021_41091_others_see_nothing(daemon, client, image, reachable):
    """CVE-2021-41091, CVE-2021-41103, CVE-2024-25621: whoever is not root does not get into our directories."""
    with pod(client, "private", "/tmp") as (pod_id, config):
        start(client, pod_id, config, image, ["sleep", "1000"], log_path="")
        for folder in (daemon.folder / "root", daemon.folder / "state"):
            assert folder.stat().st_mode & 0o777 == 0o700
            found = subprocess.run(["find", str(folder)], user=65534, group=65534, extra_groups=[], capture_output=True, text=True, check=False)
            assert "Permission denied" in found.stderr and len(found.stdout.splitlines()) <= 1


@pytest.mark.parametrize("folder", ["root", "state"])
def test_cve_2024_25621_directories_that_are_open(workspace, tmp_path, folder):
    """CVE-2024-25621: directories that others can enter are refused, not used."""
    (tmp_path / folder).mkdir(mode=0o711)
    os.chmod(tmp_path / folder, 0o711)
    daemon = Daemon(tmp_path, options={"net.bridge": f"mpa{os.getpid() % 100000}"})
    try:
        with pytest.raises(AssertionError, match="mode 0711, open to others"):
            daemon.start()
    finally:
        daemon.wreck()


def test_the_helpers_tell_a_start_from_a_refusal(client, image, logs):
    """The helpers above tell a start from a refusal."""
    assert attempt(client, image) == 0 and "no such" in attempt(client, image, working_dir="/proc/self/fd/no such")
    with pod(client, "itself", logs) as (pod_id, config):
        assert wait_exit(client, start(client, pod_id, config, image, ["echo", "x"])).exit_code == 0
        assert log_lines(logs / "main.log", 1)
