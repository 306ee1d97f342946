"""Mounts as a pod asks for them: kinds of host paths and targets, propagation, read-only trees, options, images as volumes, hundreds."""
import hashlib
import io
import json
import os
import socket
import subprocess
import tarfile
from pathlib import Path

import grpc
import pytest

from harness.cri import container_config, cri
from harness.pods import log_lines, pod, start, wait_exit

INVALID, PRECONDITION, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND


@pytest.fixture
def client(daemon):
    return daemon.client()


@pytest.fixture
def tmpfs(tmp_path):
    """A mount of the host's, with one below it, whose propagation a test may choose."""
    top = tmp_path / "top"
    top.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "mptest-top", top], check=True)
    (top / "sub").mkdir()
    (top / "later").mkdir()
    subprocess.run(["mount", "--make-private", top], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "mptest-sub", top / "sub"], check=True)
    yield top
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        if line.split()[1].startswith(str(tmp_path)):
            subprocess.run(["umount", "-l", line.split()[1]], check=False)


def outcome(client, logs, image, script, mounts, name="mounts", **fields):
    """The lines that the script prints; it must end with 0."""
    (logs / "main.log").unlink(missing_ok=True)
    with pod(client, name, logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["/bin/sh", "-c", script], mounts=mounts, **fields)
        status = wait_exit(client, container_id)
        lines = [line.split(" ", 3)[3] for line in (logs / "main.log").read_text().splitlines()]
        assert status.exit_code == 0, lines
        return lines


def refusal(client, logs, image, mounts, **fields):
    """Code and sentence of the first call that fails; what a failed start leaves says the same."""
    with pod(client, "refused", logs) as (pod_id, config):
        container = container_config(image, ["true"], mounts=mounts, **fields)
        with pytest.raises(grpc.RpcError) as caught:
            created = client.CreateContainer(pod_sandbox_id=pod_id, config=container, sandbox_config=config)
            client.StartContainer(container_id=created.container_id)
        return caught.value.code(), caught.value.details()


# ---- host paths ----

def test_host_paths_of_every_kind(client, image, logs, tmp_path):
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "file").write_text("through the link\n")
    (tmp_path / "link").symlink_to("dir")
    os.mkfifo(tmp_path / "pipe")
    os.mknod(tmp_path / "device", 0o20666, os.makedev(1, 5))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    mounts = [cri.Mount(container_path=f"/m/{name}", host_path=str(tmp_path / name)) for name in ("link", "pipe", "device", "socket", "missing/deep")]
    lines = outcome(client, logs, image, "cat /m/link/file; for f in pipe device socket missing/deep; do stat -c %F /m/$f; done", mounts)
    assert lines == ["through the link", "fifo", "character special file", "socket", "directory"]
    assert (tmp_path / "missing" / "deep").is_dir() and (tmp_path / "missing").stat().st_mode & 0o777 == 0o755
    listener.close()


def test_host_paths_that_cannot_be(client, image, logs, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "file").write_text("")
    for name, said in (("loop", "Too many levels of symbolic links"), ("file/below", "Not a directory"), ("dangling", "symbolic link to nothing")):
        code, text = refusal(client, logs, image, [cri.Mount(container_path="/data", host_path=str(tmp_path / name))])
        assert code == PRECONDITION and said in text and "mount on /data" in text and str(tmp_path / name) in text, text
    assert not (tmp_path / "nowhere").exists()


# ---- targets ----

def test_targets_everywhere(client, image, logs, tmp_path):
    """Over what every container has: a volume there takes its place, and what lies below it is the volume's."""
    for name in ("run", "etc", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "hosts").write_text("own hosts\n")
    (tmp_path / "etc" / "marker").write_text("own etc\n")
    (tmp_path / "etc" / "resolv.conf").write_text("not this\n")
    mounts = [cri.Mount(container_path="/etc/hosts", host_path=str(tmp_path / "hosts")),
              cri.Mount(container_path="/etc", host_path=str(tmp_path / "etc")),
              cri.Mount(container_path="/run", host_path=str(tmp_path / "run")),
              cri.Mount(container_path="/dev/shm", host_path=str(tmp_path / "tmp")),
              cri.Mount(container_path="/dev/termination-log", host_path=str(tmp_path / "hosts"))]
    lines = outcome(client, logs, image, "cat /etc/marker /etc/hosts /dev/termination-log; echo x > /run/here; echo x > /dev/shm/there; "
                                         "grep -c 'not this' /etc/resolv.conf; cat /etc/hostname", mounts)
    assert lines == ["own etc", "own hosts", "own hosts", "0", "mounts"]
    assert (tmp_path / "run" / "here").exists() and (tmp_path / "tmp" / "there").exists()
    assert (tmp_path / "etc" / "resolv.conf").read_text() == "not this\n"


def test_a_volume_on_dev_and_on_sys(client, image, logs, tmp_path):
    """Masks need nothing of /dev; a host's /sys brings its own cgroups."""
    (tmp_path / "null").write_text("no device\n")
    lines = outcome(client, logs, image, "cat /dev/null; wc -c < /proc/timer_list; ls -A /sys/firmware | wc -l",
                    [cri.Mount(container_path="/dev", host_path=str(tmp_path))])
    assert lines == ["no device", "0", "0"]
    lines = outcome(client, logs, image, "ls /sys/kernel | grep -c .; grep -c ' /sys/fs/cgroup' /proc/self/mounts || true; ls -A /sys/firmware | wc -l",
                    [cri.Mount(container_path="/sys", host_path="/sys", readonly=True)])
    assert int(lines[0]) > 0 and lines[2] == "0"


def test_the_hosts_proc_on_proc(client, image, logs, tmp_path):
    security = cri.LinuxContainerSecurityContext(namespace_options=cri.NamespaceOption(pid=cri.NODE))
    lines = outcome(client, logs, image, "test -d /proc/2 && echo host; wc -c < /proc/timer_list",
                    [cri.Mount(container_path="/proc", host_path="/proc")], security=security)
    assert lines == ["host", "0"]
    code, text = refusal(client, logs, image, [cri.Mount(container_path="/proc", host_path=str(tmp_path))])
    assert code == INVALID and "only a procfs may be mounted on /proc" in text


def test_targets_that_are_refused(client, image, logs, tmp_path):
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").write_text("")
    file, folder = str(tmp_path / "file"), str(tmp_path / "dir")
    for target, source, code, said in (
            ("/", folder, INVALID, "root"), ("/proc/sys", folder, INVALID, "inside /proc"), ("/proc/self/attr/current", file, INVALID, "inside /proc"),
            ("/etc", file, PRECONDITION, "mount volume on /etc: Is a directory (a directory stands there"),
            ("/bin/busybox", folder, PRECONDITION, "mount volume on /bin/busybox: Not a directory"),
            ("/bin/busybox/x", file, PRECONDITION, "mount volume on /bin/busybox/x: Not a directory"),
            ("/sys/new", folder, PRECONDITION, "mount volume on /sys/new: Read-only file system (nothing stands there")):
        assert (answer := refusal(client, logs, image, [cri.Mount(container_path=target, host_path=source)]))[0] == code and said in answer[1], (target, answer)
    # a mount that is another's target decides like the image
    code, text = refusal(client, logs, image, [cri.Mount(container_path="/data", host_path=file), cri.Mount(container_path="/data/x", host_path=file)])
    assert code == PRECONDITION and "mount volume on /data/x" in text


def test_two_mounts_on_one_target(client, image, logs, tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "who").write_text(f"{name}\n")
    mounts = [cri.Mount(container_path="/data", host_path=str(tmp_path / name)) for name in ("first", "second")]
    assert outcome(client, logs, image, "cat /data/who", mounts) == ["second"]


def test_hundreds_of_mounts(client, image, logs, tmp_path):
    for number in range(500):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "n").write_text(f"{number}\n")
    mounts = [cri.Mount(container_path=f"/m/{number % 7}/{number}", host_path=str(tmp_path / f"{number}")) for number in range(500)]
    lines = outcome(client, logs, image, "cat /m/*/*/n | sort -n | uniq | wc -l; cat /m/3/444/n", mounts)
    assert lines == ["500", "444"]
    with pod(client, "too-many", logs) as (pod_id, config):
        with pytest.raises(grpc.RpcError) as caught:
            client.CreateContainer(pod_sandbox_id=pod_id, sandbox_config=config, config=container_config(image, ["true"], mounts=mounts * 2))
        assert caught.value.code() == INVALID and "config.mounts: has 1000 items, the limit is 800" in caught.value.details()


# ---- propagation, read-only, options ----

def test_propagation(client, image, logs, tmpfs):
    def mount(propagation):
        return cri.Mount(container_path="/data", host_path=str(tmpfs), propagation=propagation)

    for kind in (cri.PROPAGATION_BIDIRECTIONAL, cri.PROPAGATION_HOST_TO_CONTAINER):
        code, text = refusal(client, logs, image, [mount(kind)])
        assert code == PRECONDITION and f"it is on the mount {tmpfs}, which is not a shared" in text, text
    subprocess.run(["mount", "--make-shared", tmpfs], check=True)
    security = cri.LinuxContainerSecurityContext(capabilities=cri.Capability(add_capabilities=["SYS_ADMIN"]))
    script = "mount -t tmpfs inside /data/later && touch /data/later/mark; echo ready; while [ ! -e /data/sub/go ]; do sleep 0.05; done; ls -A /data/seen; true"
    for kind, out, seen in ((cri.PROPAGATION_PRIVATE, False, False), (cri.PROPAGATION_HOST_TO_CONTAINER, False, True),
                            (cri.PROPAGATION_BIDIRECTIONAL, True, True)):
        (tmpfs / "seen").mkdir(exist_ok=True)
        (logs / "main.log").unlink(missing_ok=True)
        with pod(client, "propagation", logs) as (pod_id, config):
            container_id = start(client, pod_id, config, image, ["/bin/sh", "-c", script], mounts=[mount(kind)], security=security)
            log_lines(logs / "main.log", 1)
            assert (tmpfs / "later" / "mark").exists() == out, kind
            subprocess.run(["mount", "-t", "tmpfs", "mptest-seen", tmpfs / "seen"], check=True)
            (tmpfs / "seen" / "new").write_text("")
            (tmpfs / "sub" / "go").write_text("")
            assert wait_exit(client, container_id).exit_code == 0
            texts = [line.split(" ", 3)[3] for line in (logs / "main.log").read_text().splitlines()]
            assert texts == ["ready"] + (["new"] if seen else []), kind
        subprocess.run(["umount", tmpfs / "seen"], check=True)
        (tmpfs / "sub" / "go").unlink()
        if out:
            subprocess.run(["umount", tmpfs / "later"], check=True)


def test_read_only_trees(client, image, logs, tmpfs):
    script = "touch /data/x 2>/dev/null && echo top; touch /data/sub/x 2>/dev/null && echo sub; touch /all/x 2>/dev/null && echo top; touch /all/sub/x 2>/dev/null && echo sub; true"
    mounts = [cri.Mount(container_path="/data", host_path=str(tmpfs), readonly=True),
              cri.Mount(container_path="/all", host_path=str(tmpfs), readonly=True, recursive_read_only=True)]
    assert outcome(client, logs, image, script, mounts) == ["sub"]
    for fields, said in (({}, "needs readonly"), ({"readonly": True, "propagation": cri.PROPAGATION_HOST_TO_CONTAINER}, "needs private propagation")):
        code, text = refusal(client, logs, image, [cri.Mount(container_path="/x", host_path="/tmp", recursive_read_only=True, **fields)])
        assert code == INVALID and f"config.mounts[0].recursive_read_only: {said}" in text
    status = client.Status()
    assert status.runtime_handlers[0].features.recursive_read_only_mounts and status.features.mount_options


def test_mount_options(client, image, logs, tmpfs):
    for folder in (tmpfs, tmpfs / "sub"):
        os.mknod(folder / "zero", 0o20666, os.makedev(1, 5))
        (folder / "run").write_text("#!/bin/sh\necho ran\n")
        (folder / "run").chmod(0o755)
    script = ("/data/run; /data/sub/run; /all/sub/run; head -c 1 /data/zero >/dev/null && echo read; head -c 1 /data/sub/zero > /dev/null && echo read; "
              "grep -o 'nosuid,nodev,noexec' /proc/self/mountinfo | wc -l; true") + " 2>/dev/null"
    mounts = [cri.Mount(container_path="/data", host_path=str(tmpfs), mount_options=["noexec", "nodev", "nosuid"]),
              cri.Mount(container_path="/all", host_path=str(tmpfs), mount_options=["rnoexec"])]
    lines = [line for line in outcome(client, logs, image, script, mounts) if "ermission" not in line and "can't open" not in line]
    assert lines[:2] == ["ran", "read"], lines
    for option in ("suid", "ro", "rbind", "size=1k", ""):
        code, text = refusal(client, logs, image, [cri.Mount(container_path="/x", host_path="/tmp", mount_options=[option])])
        assert code == INVALID and "config.mounts[0]: mount_options:" in text


# ---- images as volumes ----

def layered_archive(path, name):
    """An image of two layers with a tree, links out of it, and a file that the second layer hides."""
    def layer(entries):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            for entry, content in entries.items():
                info = tarfile.TarInfo(entry)
                if content is None:
                    info.type, info.mode = tarfile.DIRTYPE, 0o755
                elif content.startswith("->"):
                    info.type, info.linkname = tarfile.SYMTYPE, content[2:]
                else:
                    info.size, info.mode = len(content), 0o755
                tar.addfile(info, io.BytesIO(content.encode()) if content and not content.startswith("->") else None)
        return data.getvalue()

    layers = [layer({"dir": None, "dir/below": None, "dir/below/file": "lower\n", "dir/gone": "gone\n", "etc": None, "etc/passwd": "the image's\n"}),
              layer({"dir": None, "dir/.wh.gone": "", "dir/below": None, "dir/below/file": "upper\n", "out": "->../../../etc", "abs": "->/dir/below",
                     "proc": "->/proc/self/root", "tool": "#!/bin/sh\necho tool\n"})]
    digests = ["sha256:" + hashlib.sha256(data).hexdigest() for data in layers]
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": digests}}).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["0.tar", "1.tar"]}]).encode()
    with tarfile.open(path, "w") as tar:
        for entry, data in (("config.json", config), ("0.tar", layers[0]), ("1.tar", layers[1]), ("manifest.json", manifest)):
            info = tarfile.TarInfo(entry)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


VOLUME = "docker.io/library/volume-test:1"


@pytest.fixture
def volume_image(client, workspace):
    path = workspace / "volume.tar"
    if not path.exists():
        layered_archive(path, VOLUME)
    client.ImportImage(path)
    yield VOLUME
    client.RemoveImage(image=cri.ImageSpec(image=VOLUME))


def image_mount(target, **fields):
    return cri.Mount(container_path=target, image=cri.ImageSpec(image=fields.pop("image", VOLUME)), readonly=True, **fields)


def test_image_volumes(client, image, logs, volume_image):
    mounts = [image_mount("/vol"), image_mount("/sub/deep", image_sub_path="dir/below"), image_mount("/linked", image_sub_path="abs"),
              image_mount("/out", image_sub_path="out"), image_mount("/quiet", mount_options=["noexec"])]
    script = ("cat /vol/dir/below/file /sub/deep/file /linked/file /out/passwd; ls /vol/dir; sh -c /vol/tool; /vol/tool; "
              "sh -c 'exec /quiet/tool' 2>/dev/null || echo noexec; touch /vol/x 2>/dev/null || echo read-only; touch /sub/deep/x 2>/dev/null || echo read-only")
    lines = outcome(client, logs, image, script, mounts)
    assert lines == ["upper", "upper", "upper", "the image's", "below", "tool", "tool", "noexec", "read-only", "read-only"]


def test_image_volumes_that_fail(client, image, logs, volume_image):
    for mount, code, said in (
            (image_mount("/v", image="docker.io/library/never-pulled:1"), NOT_FOUND, "config.mounts[0].image: image docker.io/library/never-pulled:1 is not here"),
            (image_mount("/v", host_path="/tmp"), INVALID, "contradicts host_path"),
            (image_mount("/v", image_sub_path="dir/gone"), NOT_FOUND, "sub path dir/gone does not exist in the image"),
            (image_mount("/v", image_sub_path="tool"), PRECONDITION, "sub path tool of the image: Not a directory"),
            (image_mount("/v", image_sub_path="proc/etc"), PRECONDITION, "Too many levels of symbolic links"),
            (image_mount("/v", propagation=cri.PROPAGATION_BIDIRECTIONAL), INVALID, "propagation"),
            (image_mount("/bin/busybox"), PRECONDITION, "mount volume on /bin/busybox")):
        answer = refusal(client, logs, image, [mount])
        assert answer[0] == code and said in answer[1], answer
        assert answer[1].startswith("ImageVolumeMountFailed: ") or mount.container_path != "/v", answer
    code, text = refusal(client, logs, image, [image_mount("/v", image_sub_path="../x")])
    assert code == INVALID and "image_sub_path" in text


def test_an_image_stays_while_it_is_a_volume(daemon, image, logs, volume_image):
    """Removed by its name, restarted in between: the files of a container that is there are there."""
    client = daemon.client()
    with pod(client, "kept", logs) as (pod_id, config):
        running = start(client, pod_id, config, image, ["sleep", "1000"], mounts=[image_mount("/vol")])
        created = client.CreateContainer(pod_sandbox_id=pod_id, sandbox_config=config,
                                         config=container_config(image, ["cat", "/vol/dir/below/file"], name="later", mounts=[image_mount("/vol")])).container_id
        assert client.ContainerStatus(container_id=running).status.mounts[0].image.image == VOLUME
        client.RemoveImage(image=cri.ImageSpec(image=VOLUME))
        assert not client.ImageStatus(image=cri.ImageSpec(image=VOLUME)).HasField("image")
        daemon.kill()
        daemon.start()
        client = daemon.client()
        assert client.ExecSync(container_id=running, cmd=["cat", "/vol/dir/below/file"], timeout=10).stdout == b"upper\n"
        client.StartContainer(container_id=created)
        assert wait_exit(client, created).exit_code == 0
        assert log_lines(logs / "later.log", 1)[0][2] == "upper"
        code = None
        try:
            client.CreateContainer(pod_sandbox_id=pod_id, sandbox_config=config,
                                   config=container_config(image, ["true"], name="new", mounts=[image_mount("/vol")]))
        except grpc.RpcError as error:
            code = error.code()
        assert code == NOT_FOUND
