"""Podman, a foreign engine, with our OCI command as its runtime: conmon calls create, start, exec, kill and delete as it calls crun's."""
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from conftest import IMAGE
from harness.oci import RUNTIME

pytestmark = pytest.mark.skipif(not shutil.which("podman"), reason="podman is not installed")

# Podman asks for a million files; a hard limit above one's own takes CAP_SYS_RESOURCE, which CI's machine lacks.
LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000", "--network", "none"]


class Podman:
    def __init__(self, folder):
        self.arguments = ["podman", "--root", f"{folder}/root", "--runroot", f"{folder}/run", "--tmpdir", f"{folder}/tmp", "--storage-driver", "vfs",
                          "--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", str(RUNTIME)]

    def call(self, *args, check=True):
        result = subprocess.run([*self.arguments, *map(str, args)], capture_output=True, text=True, timeout=120)
        if check:
            assert result.returncode == 0, result.stderr
        return result

    def run(self, *args, check=True):
        return self.call("run", *LIMITS, *args, check=check)


def podman_groups():
    return set(Path("/sys/fs/cgroup").glob("*/libpod_parent")) | set(Path("/sys/fs/cgroup").glob("libpod_parent"))


@pytest.fixture(scope="module")
def podman(archive):
    groups_before = podman_groups()
    folder = tempfile.mkdtemp(prefix="mppod-", dir="/var/tmp")
    engine = Podman(folder)
    try:
        engine.call("load", "-i", archive)
        yield engine
    finally:
        engine.call("rm", "--all", "--force", "--time", "0", check=False)
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines() if folder in line.split()[4]]
        for mount in sorted(mounts, reverse=True):
            subprocess.run(["umount", "-l", mount], check=False)
        shutil.rmtree(folder, ignore_errors=True)
        # conmon's own group, which podman leaves behind
        for group in podman_groups() - groups_before:
            subprocess.run(["find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"], check=False)


def test_run_gives_output_and_exit_code(podman):
    result = podman.run("--rm", IMAGE, "sh", "-c", "echo hello; exit 5", check=False)
    assert (result.returncode, result.stdout) == (5, "hello\n"), result.stderr


def test_a_missing_command_is_127(podman):
    result = podman.run("--rm", IMAGE, "/nosuch", check=False)
    assert result.returncode == 127 and "not found" in result.stderr


def test_a_container_is_confined_as_podman_asks(podman):
    text = podman.run("--rm", "--hostname", "inside", "--user", "12:34", "--cap-drop", "all", "--read-only", "--read-only-tmpfs=false", "--pids-limit", "33", IMAGE, "sh", "-c",
                      "cat /proc/sys/kernel/hostname; id -u; id -g; grep -e ^CapBnd -e ^Seccomp: /proc/self/status; touch /x || echo read-only").stdout
    assert text.splitlines() == ["inside", "12", "34", "CapBnd:\t0000000000000000", "Seccomp:\t2", "read-only"]


def test_exec_stop_and_remove(podman):
    podman.run("--detach", "--name", "one", IMAGE, "sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.05; done")
    result = podman.call("exec", "--env", "X=y", "one", "sh", "-c", "echo $X; exit 3", check=False)
    assert (result.returncode, result.stdout) == (3, "y\n"), result.stderr
    assert "one" in podman.call("ps", "--format", "{{.Names}}").stdout
    podman.call("stop", "--time", "20", "one")
    assert podman.call("inspect", "--format", "{{.State.ExitCode}}", "one").stdout == "9\n"
    podman.call("rm", "one")


def test_stop_kills_what_does_not_listen(podman):
    podman.run("--detach", "--name", "deaf", IMAGE, "sleep", "1000")
    podman.call("stop", "--time", "1", "deaf")
    assert podman.call("inspect", "--format", "{{.State.ExitCode}}", "deaf").stdout == "137\n"


def test_pause_and_kill(podman):
    podman.run("--detach", "--name", "held", IMAGE, "sleep", "1000")
    podman.call("pause", "held")
    assert podman.call("inspect", "--format", "{{.State.Status}}", "held").stdout == "paused\n"
    podman.call("unpause", "held")
    podman.call("kill", "held")


def test_a_tmpfs_and_a_root_that_is_read_only(podman):
    """Podman asks for tmpcopyup by itself."""
    script = "ls /etc/passwd; touch /etc/new /run/new /tmp/new && ! touch /bin/new"
    result = podman.run("--rm", "--read-only", "--tmpfs", "/etc", IMAGE, "sh", "-c", script, check=False)
    assert (result.returncode, result.stdout) == (0, "/etc/passwd\n"), result.stderr


def test_a_terminal(podman):
    assert podman.run("--rm", "--tty", IMAGE, "sh", "-c", "test -t 0 && echo terminal").stdout == "terminal\n"


def test_volumes_and_a_shared_pid_namespace(podman, tmp_path):
    (tmp_path / "file").write_text("from the host")
    assert podman.run("--rm", "--volume", f"{tmp_path}:/data:ro", IMAGE, "cat", "/data/file").stdout == "from the host"
    podman.run("--detach", "--name", "host", IMAGE, "sleep", "1000")
    text = podman.run("--rm", "--pid", "container:host", IMAGE, "cat", "/proc/1/cmdline").stdout
    assert "sleep" in text
