"""Our daemon under test: own directories, own bridge; stopped by its PID whatever happens."""
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from .cri import CGROUP_DRIVER, CGROUP_PARENT, ROOT, Client
from .inventory import cgroup_parents

# Several runs on one machine get names of their own.
TAG = f"{os.getpid() % 100000}"


class Daemon:
    def __init__(self, folder, build="asan", options=None, environment=None):
        self.folder = Path(folder)
        self.binary = ROOT / "build" / build / "monopod"
        self.socket = self.folder / "monopod.sock"
        self.fault_file = self.folder / "fault"
        self.log = self.folder / "daemon.log"
        # A bridge is one daemon's: a module may have one of each build at a time.
        letter, number = ("t", 213) if build == "asan" else ("r", 214)
        self.options = {
            "server.socket": self.socket, "server.root_dir": self.folder / "root", "server.state_dir": self.folder / "state",
            "server.log_level": "debug", "net.bridge": f"mp{letter}{TAG}", "net.pod_cidr": f"10.{number}.0.0/16",
            "net.cni_conf_dir": self.folder / "net.d",
            "image.certs_dir": self.folder / "certs.d", "runtime.cdi_dirs": f"{self.folder}/no-cdi,{self.folder}/cdi",
            "runtime.careful.privileged_without_host_devices": "true", "runtime.careful.seccomp_default": "unconfined",
            "runtime.cgroup_driver": CGROUP_DRIVER,
            "runtime.cgroup_parent": f"/{CGROUP_PARENT.strip('/').removesuffix('.slice')}", **(options or {})}
        self.bridge = self.options["net.bridge"]
        self.cdi_dir = self.folder / "cdi"
        self.environment = {**os.environ, "MONOPOD_FAULT_FILE": str(self.fault_file), "ASAN_OPTIONS":
                            "quarantine_size_mb=4:abort_on_error=0:exitcode=99:detect_leaks=1:allocator_release_to_os_interval_ms=500",
                            "UBSAN_OPTIONS": "print_stacktrace=1", **(environment or {})}
        self.process = None
        self.clients = []

    def start(self, timeout=20):
        arguments = [str(self.binary), "serve"]
        for name, value in self.options.items():
            arguments += ["--set", f"{name}={value}"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the daemon ended at start:\n{self.tail()}"
            try:
                self.client().Version(deadline=1)
                return self
            except Exception:  # not listening yet
                self.clients.pop().close()
                time.sleep(0.05)
        raise AssertionError(f"the daemon did not answer within {timeout} s:\n{self.tail()}")

    def client(self, version="v1"):
        client = Client(self.socket, version)
        self.clients.append(client)
        return client

    def cli(self, *arguments, check=True):
        done = subprocess.run([str(self.binary), "--socket", str(self.socket), *arguments], capture_output=True, text=True,
                              timeout=60, env=self.environment)
        assert not check or done.returncode == 0, f"monopod {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def stop(self, timeout=20):
        """SIGTERM; the exit status says what the sanitizers found."""
        for client in self.clients:
            client.close()
        self.clients.clear()
        if self.process is None or self.process.poll() is not None:
            return None if self.process is None else self.process.returncode
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the daemon did not end within {timeout} s of SIGTERM:\n{self.tail()}") from None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def tail(self, lines=40):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def arm(self, machine, step):
        self.fault_file.write_text(f"{machine}/{step}\n")

    def disarm(self):
        self.fault_file.unlink(missing_ok=True)

    def remove_all(self):
        """Through the front door: every pod that is left."""
        client = self.client()
        for pod in client.ListPodSandbox().items:
            client.StopPodSandbox(pod_sandbox_id=pod.id)
            client.RemovePodSandbox(pod_sandbox_id=pod.id)

    def wreck(self):
        """What a failed test may have left behind in the kernel, by our names only."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for parent in cgroup_parents():
            for procs in parent.glob("**/cgroup.procs"):
                for pid in procs.read_text().split():
                    try:
                        os.kill(int(pid), signal.SIGKILL)
                    except ProcessLookupError:
                        pass
        for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
            where = line.split()[1]
            if where.startswith(str(self.folder)):
                subprocess.run(["umount", "-l", where], check=False)
        for parent in cgroup_parents():
            for folder in sorted([*parent.glob("**/"), parent], key=lambda path: -len(str(path))):
                try:
                    folder.rmdir()
                except OSError:
                    pass
        subprocess.run(["ip", "link", "del", self.bridge], check=False, capture_output=True)
        subprocess.run(["nft", "delete", "table", "ip", f"monopod-{self.bridge}"], check=False, capture_output=True)
        shutil.rmtree(self.folder / "state", ignore_errors=True)
        shutil.rmtree(self.folder / "root", ignore_errors=True)
