"""A pod, end to end, by a client that is not ours, under both service names."""
import ipaddress
import json
import socket
import subprocess
import threading
import time
from contextlib import contextmanager

import grpc
import pytest

from harness.cri import container_config, cri, pod_config
from harness.pods import log_lines, pod, pod_ip, start, wait_exit


@pytest.fixture(params=["v1", "v1alpha2"])
def client(request, daemon):
    return daemon.client(request.param)


def test_version_and_status(client):
    version = client.Version(version="v1")
    assert (version.runtime_name, version.runtime_version.count(".")) == ("monopod", 2)
    assert version.runtime_api_version in ("v1", "v1alpha2")
    conditions = {c.type: c for c in client.Status().status.conditions}
    assert conditions["RuntimeReady"].status and conditions["NetworkReady"].status, conditions
    assert client.RuntimeConfig().linux.cgroup_driver == cri.CGROUPFS


def test_container_life(client, image, logs):
    with pod(client, "life", logs) as (pod_id, config):
        command = ["/bin/sh", "-c", "echo hello; echo oops >&2; exit 3"]
        created = client.CreateContainer(pod_sandbox_id=pod_id, config=container_config(image, command), sandbox_config=config)
        status = client.ContainerStatus(container_id=created.container_id).status
        assert status.state == cri.CONTAINER_CREATED and status.created_at > 0
        client.StartContainer(container_id=created.container_id)
        status = wait_exit(client, created.container_id)
        assert (status.exit_code, status.reason) == (3, "Error")
        assert status.created_at <= status.started_at <= status.finished_at
        assert sorted(log_lines(logs / "main.log", 2)) == [("stderr", "F", "oops"), ("stdout", "F", "hello")]
        assert status.log_path == str(logs / "main.log")
        client.RemoveContainer(container_id=created.container_id)
        with pytest.raises(grpc.RpcError) as caught:
            client.ContainerStatus(container_id=created.container_id)
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_environment_arguments_and_directory(client, image, logs):
    with pod(client, "environment", logs) as (pod_id, config):
        envs = [cri.KeyValue(key="GREETING", value=b"hi \xff there"), cri.KeyValue(key="EMPTY", value=b"")]
        start(client, pod_id, config, image, ["/bin/sh", "-c"], args=['echo "$GREETING|$EMPTY|$PWD|$HOSTNAME|$1"', "x", "an argument"],
              envs=envs, working_dir="/made/here")
        text = log_lines(logs / "main.log", 1)[0][2]
        assert text == "hi \ufffd there||/made/here|environment|an argument"


def test_user_and_groups(client, image, logs):
    security = cri.LinuxContainerSecurityContext(run_as_user=cri.Int64Value(value=1000), run_as_group=cri.Int64Value(value=1001),
                                                 supplemental_groups=[2000, 2001])
    with pod(client, "user", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["/bin/sh", "-c", "id -u; id -g; id -G; grep -E '^Cap(Eff|Inh)' /proc/self/status"],
                             security=security)
        lines = [text for _, _, text in log_lines(logs / "main.log", 5)]
        assert lines[:2] == ["1000", "1001"] and set(lines[2].split()) == {"1001", "2000", "2001"}
        assert all(int(line.split()[1], 16) == 0 for line in lines[3:])
        user = client.ContainerStatus(container_id=container_id).status.user.linux
        assert (user.uid, user.gid) == (1000, 1001) and {2000, 2001} <= set(user.supplemental_groups)


def test_mounts(client, image, logs, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "in").write_text("from the host\n")
    mounts = [cri.Mount(container_path="/data", host_path=str(tmp_path / "data")),
              cri.Mount(container_path="/locked", host_path=str(tmp_path / "data"), readonly=True),
              cri.Mount(container_path="/one/file", host_path=str(tmp_path / "data" / "in"), readonly=True)]
    with pod(client, "mounts", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image,
                             ["/bin/sh", "-c", "cat /data/in /one/file; echo back > /data/out; echo no > /locked/x || echo refused"],
                             mounts=mounts)
        assert wait_exit(client, container_id).exit_code == 0
        texts = [text for stream, _, text in log_lines(logs / "main.log", 3) if stream == "stdout"]
        assert texts == ["from the host", "from the host", "refused"]
        assert (tmp_path / "data" / "out").read_text() == "back\n" and not (tmp_path / "data" / "x").exists()


def test_isolation(client, image, logs):
    """Own pid, mount, uts and ipc namespaces; masked and read-only paths; seccomp; nothing of the host in sight."""
    script = ("echo pid=$$; hostname; ls /proc/self/fd | wc -l; grep Seccomp: /proc/self/status; "
              "echo x > /proc/sysrq-trigger || echo readonly; wc -c < /proc/timer_list; mount | grep -c ' on / '; ls -A /sys/firmware | wc -l")
    security = cri.LinuxContainerSecurityContext(masked_paths=["/proc/timer_list", "/sys/firmware"], readonly_paths=["/proc/sysrq-trigger"])
    with pod(client, "isolation", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["/bin/sh", "-c", script], security=security)
        wait_exit(client, container_id)
        texts = [text for stream, _, text in log_lines(logs / "main.log", 8) if stream == "stdout"]
        assert texts[0] == "pid=1" and texts[1] == "isolation"
        assert int(texts[2]) == 4  # 0, 1, 2 and the directory itself
        assert texts[3].split() == ["Seccomp:", "2"]
        assert texts[4:] == ["readonly", "0", "1", "0"]


def test_limits_reach_the_cgroup(client, image, logs):
    resources = cri.LinuxContainerResources(memory_limit_in_bytes=64 << 20, cpu_shares=512, cpu_quota=50000, cpu_period=100000,
                                            oom_score_adj=500, hugepage_limits=[cri.HugepageLimit(page_size="2MB", limit=0)])
    with pod(client, "limits", logs) as (pod_id, config):
        script = ("cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; "
                  "cat /proc/self/oom_score_adj")
        start(client, pod_id, config, image, ["/bin/sh", "-c", script], resources=resources)
        assert [text for _, _, text in log_lines(logs / "main.log", 2)] == [str(64 << 20), "500"]


def test_out_of_memory_is_said_exactly(client, image, logs):
    resources = cri.LinuxContainerResources(memory_limit_in_bytes=16 << 20, memory_swap_limit_in_bytes=16 << 20)
    with pod(client, "oom", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["/bin/sh", "-c", "head -c 100m /dev/zero | tail"], resources=resources)
        status = wait_exit(client, container_id)
        assert status.reason == "OOMKilled" and status.exit_code != 0


def test_exec(client, image, logs):
    with pod(client, "exec", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sleep", "1000"])
        done = client.ExecSync(container_id=container_id, cmd=["sh", "-c", "echo out; echo err >&2; exit 42"], timeout=10)
        assert (done.stdout, done.stderr, done.exit_code) == (b"out\n", b"err\n", 42)
        big = client.ExecSync(container_id=container_id, cmd=["sh", "-c", "head -c 3000000 /dev/zero"], timeout=30)
        assert big.stdout == bytes(3000000)
        began = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            client.ExecSync(container_id=container_id, cmd=["sleep", "100"], timeout=1)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED and time.monotonic() - began < 5
        left = client.ExecSync(container_id=container_id, cmd=["sh", "-c", "ps | grep -c '[s]leep 100$'"], timeout=10)
        assert left.stdout == b"0\n"
        missing = pytest.raises(grpc.RpcError, client.ExecSync, container_id=container_id, cmd=["/no/such/program"])
        assert "/no/such/program" in missing.value.details()


def test_exec_does_not_wait_for_background_children(client, image, logs):
    with pod(client, "background", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sleep", "1000"])
        began = time.monotonic()
        done = client.ExecSync(container_id=container_id, cmd=["sh", "-c", "sleep 30 & echo done"], timeout=20)
        assert (done.stdout, done.exit_code) == (b"done\n", 0) and time.monotonic() - began < 5


def test_network(client, image, logs):
    """Pod to pod, host to pod and pod to host, by real connections."""
    with pod(client, "server", logs / "a") as (server_id, server), pod(client, "caller", logs / "b") as (caller_id, caller):
        address = pod_ip(client, server_id)
        assert ipaddress.ip_address(address) in ipaddress.ip_network("10.213.0.0/16") and address != pod_ip(client, caller_id)
        start(client, server_id, server, image, ["sh", "-c", "while :; do echo hello from $HOSTNAME | nc -l -p 7000; done"])
        caller_container = start(client, caller_id, caller, image, ["sleep", "1000"])

        def ask_from_pod():
            return client.ExecSync(container_id=caller_container, cmd=["sh", "-c", f"nc -w 3 {address} 7000 < /dev/null"], timeout=10).stdout

        assert _eventually(ask_from_pod) == b"hello from server\n"
        assert _eventually(lambda: _ask(address, 7000)) == b"hello from server\n"
        gateway = str(ipaddress.ip_network("10.213.0.0/16").network_address + 1)
        with greeter("0.0.0.0") as port:
            reply = client.ExecSync(container_id=caller_container, cmd=["nc", "-w", "3", gateway, str(port)], timeout=10)
            assert reply.stdout == b"reached\n"


def test_a_deleted_bridge_is_put_back(client, daemon, image, logs):
    """Behind the daemon's back, with nobody asking for its status: running pods are on the network again, with their addresses."""
    with pod(client, "server", logs / "a") as (server_id, server), pod(client, "caller", logs / "b") as (caller_id, caller):
        address = pod_ip(client, server_id)
        start(client, server_id, server, image, ["sh", "-c", "while :; do echo still here | nc -l -p 7000; done"])
        container = start(client, caller_id, caller, image, ["sleep", "1000"])
        subprocess.run(["ip", "link", "del", daemon.bridge], check=True)

        def ask_from_pod():
            return client.ExecSync(container_id=container, cmd=["sh", "-c", f"nc -w 3 {address} 7000 < /dev/null"], timeout=10).stdout

        assert _eventually(ask_from_pod) == b"still here\n"
        assert _eventually(lambda: _ask(address, 7000)) == b"still here\n"
        conditions = {condition.type: condition for condition in client.Status().status.conditions}
        assert conditions["NetworkReady"].status


def test_network_ready_is_honest(client, daemon, logs):
    """A link that somebody put in the bridge's place: not ready, and why; ready again once it is gone."""
    def ready():
        return next(condition for condition in client.Status().status.conditions if condition.type == "NetworkReady")

    with pod(client, "one", logs):
        subprocess.run(f"ip link del {daemon.bridge}; ip link add {daemon.bridge} type veth peer name mps0", shell=True, check=True)
        try:
            time.sleep(0.5)
            assert not ready().status and f"link {daemon.bridge} exists and is not a bridge" in ready().message
        finally:
            subprocess.run(["ip", "link", "del", daemon.bridge], check=False)
        assert ready().status


def test_host_port(client, image, logs):
    ports = [cri.PortMapping(protocol=cri.TCP, container_port=7000, host_port=47000)]
    with pod(client, "hostport", logs, port_mappings=ports) as (pod_id, config):
        start(client, pod_id, config, image, ["sh", "-c", "while :; do echo mapped | nc -l -p 7000; done"])
        gateway = "10.213.0.1"
        assert _eventually(lambda: _ask(gateway, 47000)) == b"mapped\n"


def test_host_network(client, image, logs):
    with pod(client, "hostnet", logs, host_network=True) as (pod_id, config):
        with greeter("127.0.0.1") as port:
            container = container_config(image, ["nc", "-w", "3", "127.0.0.1", str(port)])
            container.linux.security_context.namespace_options.network = cri.NODE
            container_id = client.CreateContainer(pod_sandbox_id=pod_id, config=container, sandbox_config=config).container_id
            client.StartContainer(container_id=container_id)
            assert log_lines(logs / "main.log", 1)[0][2] == "reached"
        assert client.PodSandboxStatus(pod_sandbox_id=pod_id).status.network.ip == ""


def test_name_resolution_files(client, image, logs):
    dns = cri.DNSConfig(servers=["192.0.2.53"], searches=["a.example", "b.example"], options=["ndots:5"])
    with pod(client, "names", logs, dns_config=dns) as (pod_id, config):
        start(client, pod_id, config, image, ["sh", "-c", "cat /etc/resolv.conf; cat /etc/hostname; grep -c names /etc/hosts"])
        texts = [text for _, _, text in log_lines(logs / "main.log", 5)]
        assert texts[:3] == ["search a.example b.example", "nameserver 192.0.2.53", "options ndots:5"]
        assert texts[3:] == ["names", "1"]


def test_shared_pid_namespace(client, image, logs):
    """The pod's own init is pid 1 for all of its containers and reaps what they orphan."""
    with pod(client, "shared", logs, pid=cri.POD) as (pod_id, config):
        first = start(client, pod_id, config, image, ["sleep", "1000"], name="first", pid=cri.POD)
        second = start(client, pod_id, config, image, ["sh", "-c", "(sleep 0.2 &) ; sleep 1000"], name="second", pid=cri.POD)
        seen = client.ExecSync(container_id=second, cmd=["ps"], timeout=10).stdout.decode()
        assert seen.count("sleep 1000") == 2, seen
        time.sleep(0.6)
        states = client.ExecSync(container_id=first, timeout=10, cmd=["sh", "-c", "cat /proc/[0-9]*/stat"]).stdout.decode()
        assert " Z " not in states, states


def test_stop_signal_and_grace(client, image, logs):
    with pod(client, "stop", logs) as (pod_id, config):
        polite = start(client, pod_id, config, image, ["sh", "-c", "trap 'echo bye; exit 7' USR1; echo up; while :; do sleep 0.05; done"],
                       name="polite", stop_signal=cri.SIGNAL_SIGUSR1)
        deaf = start(client, pod_id, config, image, ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"], name="deaf")
        log_lines(logs / "polite.log", 1), log_lines(logs / "deaf.log", 1)
        client.StopContainer(container_id=polite, timeout=10)
        assert client.ContainerStatus(container_id=polite).status.exit_code == 7
        assert log_lines(logs / "polite.log", 2)[1][2] == "bye"
        began = time.monotonic()
        client.StopContainer(container_id=deaf, timeout=1)
        assert 0.9 < time.monotonic() - began < 5
        assert client.ContainerStatus(container_id=deaf).status.exit_code == 137
        client.StopContainer(container_id=deaf, timeout=1)  # stopped already: no error


def test_log_lines_are_split_and_rotated(client, image, logs):
    with pod(client, "logs", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image,
                             ["sh", "-c", "head -c 40000 /dev/zero | tr '\\0' x; echo; sleep 1; echo after; sleep 1000"])
        lines = log_lines(logs / "main.log", 3)
        assert [tag for _, tag, _ in lines[:3]] == ["P", "P", "F"]
        assert [len(text) for _, _, text in lines[:2]] == [16384, 16384] and sum(len(text) for _, _, text in lines[:3]) == 40000
        (logs / "main.log").rename(logs / "main.log.1")
        client.ReopenContainerLog(container_id=container_id)
        assert log_lines(logs / "main.log", 1)[0][2] == "after"


def test_lists_and_filters(client, image, logs):
    with pod(client, "listed", logs, labels={"app": "one"}) as (one, config), pod(client, "other", logs, labels={"app": "two"}):
        container_id = start(client, one, config, image, ["sleep", "1000"], labels={"role": "x"})
        by_label = client.ListPodSandbox(filter=cri.PodSandboxFilter(label_selector={"app": "one"})).items
        assert [item.id for item in by_label] == [one]
        ready = cri.PodSandboxStateValue(state=cri.SANDBOX_READY)
        assert len(client.ListPodSandbox(filter=cri.PodSandboxFilter(state=ready)).items) == 2
        running = cri.ContainerStateValue(state=cri.CONTAINER_RUNNING)
        assert [c.id for c in client.ListContainers(filter=cri.ContainerFilter(pod_sandbox_id=one, state=running)).containers] == [container_id]
        assert not client.ListContainers(filter=cri.ContainerFilter(label_selector={"role": "y"})).containers


def test_start_leaves_a_timeline(client, image, logs):
    with pod(client, "timeline", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sleep", "1000"])
        for info in (client.PodSandboxStatus(pod_sandbox_id=pod_id, verbose=True).info,
                     client.ContainerStatus(container_id=container_id, verbose=True).info):
            timeline = json.loads(info["info"])["timeline"]
            assert timeline["totalUs"] > 0 and len(timeline["steps"]) >= 3
            assert all(step["tookUs"] >= 0 and step["name"] for step in timeline["steps"])


def test_operations_are_idempotent(client, image, logs):
    config = pod_config("again", logs)
    pod_id = client.RunPodSandbox(config=config).pod_sandbox_id
    assert client.RunPodSandbox(config=config).pod_sandbox_id == pod_id
    for _ in range(2):
        client.StopPodSandbox(pod_sandbox_id=pod_id)
    assert client.PodSandboxStatus(pod_sandbox_id=pod_id).status.state == cri.SANDBOX_NOTREADY
    for _ in range(2):
        client.RemovePodSandbox(pod_sandbox_id=pod_id)
    client.StopPodSandbox(pod_sandbox_id=pod_id)
    client.RemoveContainer(container_id="0" * 64)
    with pytest.raises(grpc.RpcError) as caught:
        client.PodSandboxStatus(pod_sandbox_id=pod_id)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


@contextmanager
def greeter(address):
    """A server of the host's that says one line to whoever connects; yields its port."""
    with socket.create_server((address, 0)) as listener:
        def serve():
            while True:
                try:
                    with listener.accept()[0] as connection:
                        connection.sendall(b"reached\n")
                except OSError:
                    return
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def _ask(address, port):
    try:
        with socket.create_connection((address, port), timeout=3) as connection:
            return connection.recv(100)
    except OSError:
        return b""


def _eventually(ask, timeout=5):
    deadline = time.monotonic() + timeout
    while not (answer := ask()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return answer
