"""Pulls by several engines, in alternating rounds: see tools/bench-pull.sh, which calls this in a network namespace of its own.

    pull.py BUILD_DIRECTORY WORK_DIRECTORY CGROUP

Each pull has a file system, and where there is one a daemon, of its own: nothing of the image is there, in memory or on disk, but in the
registry. The file system is ext4 in a file, which lies in memory, or with STORE=disk on the machine's disk. Time is the client's, from its start to its end: the image is then unpacked and can be mounted. "durable" adds what a
sync of the file system takes after it. CPU seconds and memory are the cgroup's, in which daemon, client and all their children run, and
nothing else. Memory is anonymous pages, sampled: page cache is the kernel's to give and to take.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pull_layers

build, work, cgroup_name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
rounds = int(os.environ.get("ROUNDS", "5"))
chosen = os.environ.get("CASES", "a b c a-zstd b-zstd c-zstd").split()
engines_wanted = os.environ.get("ENGINES", "monopod containerd containerd-cri podman").split()
disk = work / "disk" if os.environ.get("STORE", "memory") == "memory" else work
STORE_BYTES = 4 << 30
PORT = 5000
HOST = f"127.0.0.1:{PORT}"


class Cgroup:
    """CPU time and anonymous memory of what runs in it: version 2, or the two hierarchies of version 1."""
    def __init__(self, name):
        unified = Path("/sys/fs/cgroup/cgroup.controllers")
        top = Path("/sys/fs/cgroup")
        self.v2 = unified.exists()
        self.folders = [top / name] if self.v2 else [top / "cpuacct" / name, top / "memory" / name]
        if self.v2:
            (top / "cgroup.subtree_control").write_text("+cpu +memory")
        for folder in self.folders:
            folder.mkdir(exist_ok=True)

    def enter(self):
        """In a child between fork and exec."""
        for folder in self.folders:
            (folder / "cgroup.procs").write_text("0")

    def cpu_s(self):
        if self.v2:
            fields = dict(line.split() for line in (self.folders[0] / "cpu.stat").read_text().splitlines())
            return int(fields["usage_usec"]) / 1e6
        return int((self.folders[0] / "cpuacct.usage").read_text()) / 1e9

    def anonymous_bytes(self):
        wanted = "anon " if self.v2 else "rss "
        for line in (self.folders[-1] / "memory.stat").read_text().splitlines():
            if line.startswith(wanted):
                return int(line.split()[1])
        return 0


class Peak(threading.Thread):
    def __init__(self, cgroup):
        super().__init__(daemon=True)
        self.cgroup, self.bytes, self.ended = cgroup, 0, threading.Event()

    def run(self):
        while not self.ended.wait(0.01):
            self.bytes = max(self.bytes, self.cgroup.anonymous_bytes())


class Daemon:
    """Started in the cgroup; `ready` is a command that succeeds once it answers."""
    def __init__(self, cgroup, command, ready, log):
        with open(log, "wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, preexec_fn=cgroup.enter)
        for _ in range(400):
            if self.process.poll() is not None:
                raise RuntimeError(f"{command[0]} ended: {Path(log).read_text()[-2000:]}")
            if subprocess.run(ready, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError(f"{command[0]} does not answer")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Monopod:
    name = "monopod"

    def start(self, folder, cgroup):
        self.socket = folder / "sock"
        command = [build / "monopod", "serve"]
        for key, value in {"server.root_dir": folder / "root", "server.state_dir": folder / "state", "server.socket": self.socket,
                           "runtime.cgroup_parent": f"/{cgroup_name}-pods", "server.log_level": "warn",
                           "image.insecure_registries": HOST}.items():
            command += ["--set", f"{key}={value}"]
        self.daemon = Daemon(cgroup, command, [build / "monopod", "--socket", self.socket, "version"], folder / "log")

    def pull(self, image):
        return [build / "bench/pull_image", self.socket, image]

    def stop(self):
        self.daemon.stop()


class Containerd:
    """By its own client, which fetches by itself and hands the blobs to the daemon."""
    name = "containerd"
    disabled = ["io.containerd.grpc.v1.cri"]

    def start(self, folder, cgroup):
        self.socket = folder / "sock"
        config = folder / "config.toml"
        config.write_text(f'version = 2\nroot = "{folder}/root"\nstate = "{folder}/state"\ndisabled_plugins = {json.dumps(self.disabled)}\n'
                          f'[grpc]\n  address = "{self.socket}"\n[plugins."io.containerd.internal.v1.opt"]\n  path = "{folder}/opt"\n'
                          f'[plugins."io.containerd.grpc.v1.cri".registry.mirrors."{HOST}"]\n  endpoint = ["http://{HOST}"]\n')
        self.daemon = Daemon(cgroup, ["containerd", "--config", config, "--log-level", "warn"],
                             ["ctr", "--address", self.socket, "version"], folder / "log")

    def pull(self, image):
        return ["ctr", "--address", self.socket, "images", "pull", "--plain-http", "--snapshotter", "overlayfs", image]

    def stop(self):
        self.daemon.stop()


class ContainerdCri(Containerd):
    """As the kubelet uses it: PullImage. The client is ours, which speaks to any endpoint of the CRI."""
    name = "containerd-cri"
    disabled = []

    def start(self, folder, cgroup):
        super().start(folder, cgroup)
        for _ in range(100):
            if subprocess.run([build / "monopod", "--socket", self.socket, "images"], capture_output=True).returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError("containerd's CRI does not answer")

    def pull(self, image):
        return [build / "bench/pull_image", self.socket, image]


class Podman:
    name = "podman"

    def start(self, folder, cgroup):
        self.options = ["--root", folder / "root", "--runroot", folder / "run", "--tmpdir", folder / "tmp", "--storage-driver", "overlay",
                        "--cgroup-manager", "cgroupfs", "--events-backend", "none"]
        self.folder = folder

    def pull(self, image):
        return ["env", f"TMPDIR={self.folder}", "podman", *self.options, "pull", "--quiet", "--tls-verify=false", image]

    def stop(self):
        pass


ENGINES = {engine.name: engine for engine in (Monopod, Containerd, ContainerdCri, Podman)}


def cases():
    """name: (what, fills, compression)."""
    content = pull_layers.Content(1)
    ratio = pull_layers.gzip_ratio(content)
    make = {
        "a": ("1 layer of 200 MB", [pull_layers.big_files(content, "a", int(200e6 * ratio))]),
        "b": ("20 layers of 10 MB", [pull_layers.big_files(content, f"b{n}", int(10e6 * ratio)) for n in range(20)]),
        "c": ("50000 small files", [pull_layers.small_files(content, "c", 50000)]),
    }
    for name in chosen:
        what, fills = make[name[0]]
        compression = "zstd" if name.endswith("-zstd") else "gzip"
        yield name, f"{what}, {compression}", fills, compression


def request(method, path, data=None, headers=()):
    url = path if path.startswith("http") else f"http://{HOST}{path}"
    return urllib.request.urlopen(urllib.request.Request(url, data=data, method=method, headers=dict(headers)))


def push(name, manifest, blobs):
    for digest, path in blobs.items():
        place = request("POST", f"/v2/{name}/blobs/uploads/").headers["Location"]
        with open(path, "rb") as file:
            request("PUT", f"{place}&digest={digest}", file,
                    {"Content-Length": str(path.stat().st_size), "Content-Type": "application/octet-stream"}.items())
    data = json.dumps(manifest).encode()
    request("PUT", f"/v2/{name}/manifests/latest", data, {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}.items())


ACCEPT = {"Accept": "application/vnd.oci.image.manifest.v1+json"}.items()


def is_there(name):
    try:
        request("HEAD", f"/v2/{name}/manifests/latest", headers=ACCEPT)
        return True
    except urllib.error.HTTPError:
        return False


def fill_registry():
    """{case: description}."""
    titles = {}
    for name, title, fills, compression in cases():
        titles[name] = title
        if is_there(name):
            continue
        folder = work / "layers"
        folder.mkdir()
        manifest, blobs = pull_layers.make_image(fills, compression, folder)
        push(name, manifest, blobs)
        shutil.rmtree(folder)
    return titles


def read_once(name):
    """The registry's files are in the page cache from then on."""
    manifest = json.load(request("GET", f"/v2/{name}/manifests/latest", headers=ACCEPT))
    for blob in [manifest["config"], *manifest["layers"]]:
        with request("GET", f"/v2/{name}/blobs/{blob['digest']}") as answer:
            while answer.read(1 << 20):
                pass


def start_registry():
    config = work / "registry.yml"
    data = os.environ.get("REGISTRY_DATA", str(work / "registry"))
    config.write_text(f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage:\n  filesystem: {{rootdirectory: {data}}}\n"
                      f"http: {{addr: '{HOST}'}}\n")
    with open(work / "registry.log", "wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", config], stdout=log, stderr=log)
    for _ in range(200):
        try:
            request("GET", "/v2/")
            return process
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the registry does not answer")


def sync_store(folder):
    began = time.perf_counter()
    subprocess.run(["sync", "-f", folder], check=True)
    return time.perf_counter() - began


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def make_store(folder):
    """A new ext4 in a file. Not a new directory of an old one: for a minute that gives no inode again that was just freed, looking at each
    of them every time (EXT4_RECENCY_DIRTY), so an engine would pay for what the one before it had left."""
    image = disk / "image"
    with open(image, "wb") as file:
        file.truncate(STORE_BYTES)
    run("mkfs.ext4", "-q", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1", image)
    folder.mkdir(exist_ok=True)
    run("mount", "-o", "loop,noinit_itable", image, folder)


def remove_store(folder):
    with open("/proc/self/mountinfo") as mounts:
        below = [line.split()[4] for line in mounts if f"{line.split()[4]}/".startswith(f"{folder}/")]
    for mount in sorted(below, reverse=True):
        run("umount", mount)
    (disk / "image").unlink()


def measure(engine, case, cgroup):
    """(seconds, seconds until durable, CPU seconds, peak bytes)."""
    folder = work / "store"
    make_store(folder)
    try:
        engine.start(folder, cgroup)
        try:
            return time_pull(engine, f"{HOST}/{case}:latest", folder, cgroup)
        finally:
            engine.stop()
    finally:
        remove_store(folder)


def time_pull(engine, image, folder, cgroup):
    sync_store(folder)
    peak = Peak(cgroup)
    peak.start()
    cpu = cgroup.cpu_s()
    began = time.perf_counter()
    done = subprocess.run(engine.pull(image), preexec_fn=cgroup.enter, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    seconds = time.perf_counter() - began
    cpu = cgroup.cpu_s() - cpu
    peak.ended.set()
    peak.join()
    if done.returncode != 0:
        raise RuntimeError(f"{engine.name}: {done.stdout.decode()[-2000:]}")
    return seconds, seconds + sync_store(folder), cpu, peak.bytes


def print_case(title, results):
    mean = {name: [statistics.median(column) for column in zip(*rows)] for name, rows in results.items()}
    peers = [values for name, values in mean.items() if name != "monopod"]
    print(f"\n{title}\n  {'':<16}{'wall s':>9}{'durable s':>11}{'CPU s':>9}{'peak MiB':>10}")
    for name, (seconds, durable, cpu, peak) in mean.items():
        print(f"  {name:<16}{seconds:9.2f}{durable:11.2f}{cpu:9.2f}{peak / (1 << 20):10.1f}")
    if peers and "monopod" in mean:
        best = [min(column) for column in zip(*peers)]
        print("  best peer / ours" + "".join(f"{best[i] / mean['monopod'][i]:{width}.2f}" for i, width in enumerate((9, 11, 9, 10))), flush=True)


def main():
    cgroup = Cgroup(cgroup_name)
    (work / "disk").mkdir()
    if disk == work / "disk":
        run("mount", "-t", "tmpfs", "-o", f"size={STORE_BYTES}", "disk", disk)
    registry = start_registry()
    try:
        titles = fill_registry()
        print(f"{os.cpu_count()} CPUs, Linux {os.uname().release}, load {os.getloadavg()[0]:.1f}, {rounds} rounds, medians")
        everything = {}
        for case, title in titles.items():
            read_once(case)
            results = {name: [] for name in engines_wanted}
            for _ in range(rounds):
                for name in engines_wanted:
                    results[name].append(measure(ENGINES[name](), case, cgroup))
            print_case(f"{case}: {title}", results)
            everything[case] = results
        return everything
    finally:
        registry.terminate()
        registry.wait()


(work / "results.json").write_text(json.dumps(main(), indent=1))
