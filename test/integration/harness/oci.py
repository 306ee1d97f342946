"""The OCI command, a bundle made from busybox, and a state directory of its own."""
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from harness.cri import ROOT

RUNTIME = ROOT / "build" / "asan" / "monopod-oci"


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.02)


def template():
    """A configuration with the usual parts, without a terminal."""
    namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup"]
    flags = ["nosuid", "noexec", "nodev"]
    caps = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID"]
    return {
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["sleep", "1000"], "env": ["PATH=/bin"], "cwd": "/", "noNewPrivileges": True,
                    "capabilities": {"bounding": caps, "effective": caps, "permitted": caps}},
        "root": {"path": "rootfs"}, "hostname": "ocitest",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*flags, "ro"]}],
        "linux": {"namespaces": [{"type": t} for t in namespaces], "resources": {"devices": [{"allow": False, "access": "rwm"}]},
                  "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"]},
    }


class Oci:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.root = self.folder / "state"
        self.bundle = self.folder / "bundle"
        self.ids = []
        binaries = self.bundle / "rootfs" / "bin"
        binaries.mkdir(parents=True)
        shutil.copy("/bin/busybox", binaries / "busybox")
        for name in ("sh", "sleep", "cat", "id", "ls", "echo", "true", "env", "mount", "readlink", "grep", "stty", "touch", "kill"):
            (binaries / name).symlink_to("busybox")

    def configure(self, change=None, *args):
        config = template()
        if args:
            config["process"]["args"] = list(args)
        if change:
            change(config)
        (self.bundle / "config.json").write_text(json.dumps(config))

    def call(self, *args, check=True, **more):
        more.setdefault("timeout", 60)
        if "stdout" not in more:
            more["stdout"], more["stderr"] = subprocess.PIPE, subprocess.PIPE
        result = subprocess.run([RUNTIME, "--root", self.root, *map(str, args)], text=True, **more)
        if check:
            assert result.returncode == 0, result.stderr
        return result

    def make(self, verb, name, *options, **more):
        self.ids.append(name)
        return self.call(verb, "--bundle", self.bundle, *options, name, **more)

    def create(self, name, *options, **more):
        """The process keeps the streams open: they are files, not pipes that end with it."""
        with open(self.folder / (name + ".out"), "w") as out:
            result = self.make("create", name, *options, stdout=out, stderr=out, check=False, **more)
        result.out = (self.folder / (name + ".out")).read_text()
        return result

    def output(self, name):
        return (self.folder / (name + ".out")).read_text()

    def shell(self, name, script, change=None, check=True):
        """Runs a script in a container that ends with it; what it said."""
        self.configure(change, "sh", "-c", script)
        result = self.make("run", name, check=False)
        assert not check or result.returncode == 0, result.stderr
        return result.stdout if check else result

    def refused(self, name, change):
        """A creation that fails; what it said."""
        self.configure(change, "true")
        result = self.create(name)
        assert result.returncode == 1, result.out
        assert self.left() == []
        return result.out

    def state(self, name):
        return json.loads(self.call("state", name).stdout)

    def clean(self):
        for name in self.ids:
            self.call("delete", "--force", name, check=False)

    def groups(self, name, below="/sys/fs/cgroup"):
        """Of this container; others' come and go meanwhile."""
        return [Path(folder) for folder, _, _ in os.walk(below) if os.path.basename(folder) == f"monopod-oci-{name}"]

    def left(self):
        """What is there of containers: directories, cgroups."""
        groups = [str(p) for name in set(self.ids) for p in self.groups(name)]
        return (sorted(os.listdir(self.root)) if self.root.exists() else []) + groups
