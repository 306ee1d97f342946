"""What a daemon holds in the kernel and on disk: the numbers that must be the same before the first pod and after the last."""
import json
import os
import sqlite3
import subprocess
import time
from pathlib import Path

from .cri import CGROUP_PARENT, pod_config


def _json(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 and done.stdout.strip() else []


def _nft_elements():
    """Elements of our sets and maps; the table and its static rules may stay."""
    entries = _json("nft", "-j", "list", "ruleset")
    entries = entries.get("nftables", []) if entries else []
    count = 0
    for entry in entries:
        if "rule" in entry:
            count += 1
        for kind in ("set", "map"):
            count += len(entry.get(kind, {}).get("elem", []))
    return count


# The first letters of the bridges in harness/daemon.py and test_limits.py; the links of pods go on with a hexadecimal digit.
BRIDGES = ("mpt", "mpr", "mps")


def _fds(daemon):
    """Open descriptors without the connections of clients, which end when Python feels like it."""
    connections = {f"socket:[{row.split()[6]}]" for row in Path("/proc/net/unix").read_text().splitlines()[1:]
                   if row.endswith(str(daemon.socket)) and row.split()[5] == "03"}
    count = 0
    for fd in Path(f"/proc/{daemon.process.pid}/fd").iterdir():
        try:
            count += os.readlink(fd) not in connections
        except FileNotFoundError:
            pass
    return count


def cgroup_parents():
    """The tests' own parent group, in each hierarchy that has it: version 2 at the top, version 1 below its controllers."""
    roots = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()]
    return [parent for root in roots if (parent := root / CGROUP_PARENT.strip("/")).is_dir()]


def take(daemon):
    pid = daemon.process.pid
    folder = str(daemon.folder)
    mounts = [line for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines() if folder in line]
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for task in Path(f"/proc/{pid}/task").iterdir():
        if task.name != str(pid):
            children += (task / "children").read_text().split()
    cgroups = [path for parent in cgroup_parents() for path in parent.iterdir() if path.is_dir()]
    with sqlite3.connect(f"file:{daemon.folder}/root/store.db?mode=ro", uri=True) as store:
        records = store.execute("select count(*) from object").fetchone()[0]
    return {
        "fds": _fds(daemon),
        "mounts": len(mounts),
        "children": len(children),
        "cgroups": len(cgroups),
        "links": len([link for link in _json("ip", "-j", "link") if link["ifname"] != "lo" and link["ifname"][:3] not in BRIDGES]),
        "nft": _nft_elements(),
        "records": records,
        "pods": sorted(path.name for path in (daemon.folder / "state" / "pods").glob("*")),
        "containers": sorted(path.name for path in (daemon.folder / "state" / "containers").glob("*")),
        "layers": sorted(path.name for path in (daemon.folder / "root" / "containers").glob("*")),
        "addresses": sorted(path.name for path in (daemon.folder / "state" / "network").glob("**/[0-9]*")),
    }


def baseline(daemon, timeout=15):
    """take(), after one pod has made what stays (the bridge, the static rules of the nft table) and once the links of the namespaces
    that ended last are gone: one is left for each address in use."""
    client = daemon.client()
    warm = client.RunPodSandbox(config=pod_config("warm")).pod_sandbox_id
    client.StopPodSandbox(pod_sandbox_id=warm)
    client.RemovePodSandbox(pod_sandbox_id=warm)
    deadline = time.monotonic() + timeout
    while (now := take(daemon))["links"] != len(now["addresses"]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return now


def rss_kib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


def settle(daemon, wanted, timeout=15):
    """Waits for what the kernel does behind our back (namespaces end asynchronously), then compares."""
    deadline = time.monotonic() + timeout
    while (now := take(daemon)) != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    assert now == wanted, f"left behind:\n now    {now}\n before {wanted}\n{daemon.tail(15)}"
