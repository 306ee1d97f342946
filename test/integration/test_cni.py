"""CNI plugins by exec: Debian's, with traffic, and one of ours that writes down what it is told and misbehaves on demand."""
import ipaddress
import json
import os
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from harness.cri import cri, pod_config
from harness.daemon import Daemon
from harness.pods import pod, pod_ip, start

REAL = Path("/usr/lib/cni")
OURS = Path(__file__).parent / "plugins"
SUBNET = ipaddress.ip_network("10.221.7.0/24")

needs_plugins = pytest.mark.skipif(not (REAL / "bridge").exists(), reason="Debian's containernetworking-plugins are not installed")


class Net:
    """The configuration directory of a daemon and what its plugins leave."""

    def __init__(self, folder):
        self.conf = folder / "net.d"
        self.journal = folder / "journal"
        self.addresses = folder / "addresses"
        self.records = folder / "root" / "network"

    def write(self, name, document):
        self.conf.mkdir(exist_ok=True)
        partial = self.conf / f".{name}.partial"
        partial.write_text(document if isinstance(document, str) else json.dumps(document))
        partial.rename(self.conf / name)

    def clear(self):
        shutil.rmtree(self.conf, ignore_errors=True)
        self.journal.unlink(missing_ok=True)

    def told(self, *plugins, version="1.0.0", name="told", **fields):
        """A list of plugins of ours, each with fields of its own."""
        return {"cniVersion": version, "name": name,
                "plugins": [{"type": "told", "journal": str(self.journal), **plugin} for plugin in plugins or ({},)], **fields}

    def real(self, version, *more):
        bridge = {"type": "bridge", "bridge": "mpcni0", "isGateway": True, "ipMasq": False,
                  "ipam": {"type": "host-local", "dataDir": str(self.addresses), "subnet": str(SUBNET), "routes": [{"dst": "0.0.0.0/0"}]}}
        return {"cniVersion": version, "name": "real", "plugins": [bridge, *more]}

    def entries(self, command=None):
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return [entry for entry in map(json.loads, lines) if command in (None, entry["command"])]

    def given(self):
        return sorted(path.name for path in (self.addresses / "real").glob("[0-9]*"))

    def recorded(self):
        return sorted(path.name for path in self.records.glob("*"))


@pytest.fixture(scope="module")
def cni_daemon(tmp_path_factory, archive):
    folder = tmp_path_factory.mktemp("cni")
    daemon = Daemon(folder, options={"net.bridge": f"mpn{os.getpid() % 100000}", "net.pod_cidr": "10.220.0.0/16",
                                     "net.cni_bin_dirs": f"{OURS},{REAL}"})
    daemon.net = Net(folder)
    try:
        daemon.start().client().ImportImage(archive)
        yield daemon
        assert daemon.stop() == 0, daemon.tail()
    finally:
        daemon.wreck()
        os.system("ip link del mpcni0 2>/dev/null")


@pytest.fixture
def client(cni_daemon):
    yield cni_daemon.client()
    cni_daemon.net.clear()
    await_network(cni_daemon.client(), "bridge ")
    assert cni_daemon.net.recorded() == []


def network_text(client):
    return json.loads(client.Status(verbose=True).info["info"])["network"]


def await_network(client, start_of_text):
    deadline = time.monotonic() + 10
    while not network_text(client).startswith(start_of_text):
        assert time.monotonic() < deadline, network_text(client)
        time.sleep(0.05)


def condition(client):
    return next(c for c in client.Status().status.conditions if c.type == "NetworkReady")


def await_reason(client, text, timeout=20):
    deadline = time.monotonic() + timeout
    while text not in (condition(client).message or "ready"):
        assert time.monotonic() < deadline, condition(client)
        time.sleep(0.1)
    return condition(client)


def serve(cni_daemon, document, name="10-test.conflist"):
    cni_daemon.net.write(name, document)
    client = cni_daemon.client()
    await_network(client, "CNI")
    return client


def answer_of(address, port, deadline=5):
    with socket.create_connection((address, port), deadline) as connection:
        connection.settimeout(deadline)
        return connection.recv(64)


# ---- Debian's plugins ----

@needs_plugins
@pytest.mark.parametrize("version", ["0.3.0", "0.3.1", "0.4.0", "1.0.0"])
def test_real_plugins_of_every_version(cni_daemon, client, image, logs, version):
    serve(cni_daemon, cni_daemon.net.real(version, {"type": "tuning", "sysctl": {"net.core.somaxconn": "321"}}))
    with pod(client, "one", logs) as (first, config), pod(client, "two", logs) as (second, _):
        address, other = pod_ip(client, first), pod_ip(client, second)
        assert ipaddress.ip_address(address) in SUBNET and address != other
        assert cni_daemon.net.given() == sorted([address, other])
        container = start(client, first, config, image, ["/bin/sh", "-c", "cat /proc/sys/net/core/somaxconn | nc -l -p 7000; sleep 60"])
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                assert answer_of(address, 7000) == b"321\n"
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        else:
            raise AssertionError("nobody listens")
        assert client.ExecSync(container_id=container, cmd=["ping", "-c", "1", "-W", "2", other]).exit_code == 0
    assert cni_daemon.net.given() == []


@needs_plugins
@pytest.mark.skipif(not shutil.which("iptables"), reason="portmap calls iptables, which is not installed")
def test_host_port_through_portmap(cni_daemon, client, image, logs):
    serve(cni_daemon, cni_daemon.net.real("0.4.0", {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}))
    ports = [cri.PortMapping(protocol=cri.TCP, container_port=7000, host_port=17071)]
    with pod(client, "published", logs, port_mappings=ports) as (pod_id, config):
        start(client, pod_id, config, image, ["/bin/sh", "-c", "while :; do echo mapped | nc -l -p 7000; done"])
        host = str(next(SUBNET.hosts()))  # the bridge's own address: the host as others see it
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                assert answer_of(host, 17071) == b"mapped\n"
                return
            except (ConnectionRefusedError, TimeoutError):
                time.sleep(0.05)
        raise AssertionError("the host port does not lead to the pod")


# ---- what plugins are told ----

def test_arguments_and_capabilities(cni_daemon, client, logs):
    capabilities = {"portMappings": True, "bandwidth": True, "dns": True, "mac": True, "unknown": True}
    serve(cni_daemon, cni_daemon.net.told({"capabilities": capabilities}, {"pass": True}))
    config = dict(port_mappings=[cri.PortMapping(protocol=cri.UDP, container_port=53, host_port=5353, host_ip="127.0.0.1"),
                                 cri.PortMapping(protocol=cri.TCP, container_port=80)],
                  dns_config=cri.DNSConfig(servers=["192.0.2.53"], searches=["a.example", "b.example"], options=["ndots:5"]),
                  annotations={"kubernetes.io/ingress-bandwidth": "10M", "kubernetes.io/egress-bandwidth": "1.5Gi", "other": "x"})
    with pod(client, "told", logs, **config) as (pod_id, sent):
        add, second = cni_daemon.net.entries("ADD")
        assert pod_ip(client, pod_id) == "192.0.2.9"
        assert (add["containerid"], add["ifname"], add["path"]) == (pod_id, "eth0", f"{OURS}:{REAL}")
        assert add["netns"] == f"{cni_daemon.folder}/state/pods/{pod_id}/net"
        assert add["args"] == (f"IgnoreUnknown=1;K8S_POD_NAMESPACE={sent.metadata.namespace};K8S_POD_NAME={sent.metadata.name};"
                               f"K8S_POD_INFRA_CONTAINER_ID={pod_id};K8S_POD_UID={sent.metadata.uid}")
        assert (add["conf"]["name"], add["conf"]["cniVersion"]) == ("told", "1.0.0") and "prevResult" not in add["conf"]
        assert add["conf"]["runtimeConfig"] == {
            "portMappings": [{"hostPort": 5353, "containerPort": 53, "protocol": "udp", "hostIP": "127.0.0.1"}],
            "bandwidth": {"ingressRate": 10_000_000, "ingressBurst": 2**32 - 1, "egressRate": 3 * 2**29, "egressBurst": 2**32 - 1},
            "dns": {"servers": ["192.0.2.53"], "searches": ["a.example", "b.example"], "options": ["ndots:5"]}}
        assert "runtimeConfig" not in second["conf"]
        assert second["conf"]["prevResult"]["ips"] == [{"address": "192.0.2.9/24", "interface": 0}]
    last, first = cni_daemon.net.entries("DEL")
    assert "pass" in last["conf"] and "pass" not in first["conf"]
    for entry in (last, first):
        assert entry["args"] == add["args"] and entry["netns"] == add["netns"]
        assert entry["conf"]["prevResult"]["ips"][0]["address"] == "192.0.2.9/24"
    assert first["conf"]["runtimeConfig"] == add["conf"]["runtimeConfig"]


def test_addresses_of_both_families_in_their_order(cni_daemon, client, logs):
    serve(cni_daemon, cni_daemon.net.told({"addresses": ["2001:db8::9/64", "192.0.2.9/24", "2001:db8::a/64"]}))
    with pod(client, "dual", logs) as (pod_id, _):
        network = client.PodSandboxStatus(pod_sandbox_id=pod_id).status.network
        assert (network.ip, [extra.ip for extra in network.additional_ips]) == ("2001:db8::9", ["192.0.2.9", "2001:db8::a"])


@pytest.mark.parametrize("field, value", [("ingress", "fast"), ("egress", "10"), ("ingress", "2P"), ("egress", "0x10k")])
def test_bandwidths_that_are_none(cni_daemon, client, field, value):
    serve(cni_daemon, cni_daemon.net.told())
    config = pod_config("fast")
    config.annotations[f"kubernetes.io/{field}-bandwidth"] = value
    with pytest.raises(grpc.RpcError) as caught:
        client.RunPodSandbox(config=config)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert f"kubernetes.io/{field}-bandwidth" in caught.value.details() and value in caught.value.details()


# ---- plugins that misbehave ----

FAILURES = [
    ("fail", "INTERNAL", "the cable is cut; by a gardener"), ("later", "UNAVAILABLE", "not yet"),
    ("silent", "INTERNAL", "exit code 3, without a word"), ("words", "INTERNAL", "exit code 1: out of cables"),
    ("crash", "INTERNAL", "killed by signal 11"), ("garbage", "UNAVAILABLE", "its answer: line 1, column 1: not JSON"),
    ("flood", "RESOURCE_EXHAUSTED", "limit"),
]


@pytest.mark.parametrize("behaviour, code, text", FAILURES)
def test_plugins_that_fail(cni_daemon, client, behaviour, code, text):
    serve(cni_daemon, cni_daemon.net.told({}, {"behaviour": {"ADD": behaviour}}))
    with pytest.raises(grpc.RpcError) as caught:
        client.RunPodSandbox(config=pod_config("unlucky"))
    details = caught.value.details()
    assert caught.value.code().name == code, details
    assert "plugin told, ADD" in details and text in details and "10-test.conflist" in details, details
    # both plugins were told to take back what they may have made
    assert len(cni_daemon.net.entries("DEL")) == 2 and cni_daemon.net.recorded() == []
    assert not client.ListPodSandbox().items


ANSWERS = [
    ({"ips": []}, "gave eth0 no address"), ({"ips": [{"address": "10.0.0.x/8"}]}, "an address that is none: '10.0.0.x/8'"),
    ({"cniVersion": "9.9.9"}, "CNI version '9.9.9'"), ({"cniVersion": "0.2.0"}, "in CNI version 0.2.0 to a question in 1.0.0"),
    ({"ips": [{"address": "192.0.2.9/24", "interface": 7}]}, "gave eth0 no address"),
]


@pytest.mark.parametrize("answer, text", ANSWERS)
def test_answers_that_are_none(cni_daemon, client, answer, text):
    serve(cni_daemon, cni_daemon.net.told({"answer": answer}))
    with pytest.raises(grpc.RpcError) as caught:
        client.RunPodSandbox(config=pod_config("unlucky"))
    assert text in caught.value.details(), caught.value.details()
    assert [entry["command"] for entry in cni_daemon.net.entries()] == ["ADD", "DEL"]


def test_an_answer_of_another_version_is_rewritten(cni_daemon, client, logs):
    serve(cni_daemon, cni_daemon.net.told({"answer": {"cniVersion": "1.0.0"}}, {"pass": True}, version="0.4.0"))
    with pod(client, "older", logs) as (pod_id, _):
        assert pod_ip(client, pod_id) == "192.0.2.9"
    previous = cni_daemon.net.entries("ADD")[1]["conf"]["prevResult"]
    assert previous["cniVersion"] == "0.4.0" and previous["ips"][0]["version"] == "4"


# ---- configurations ----

BAD = [
    ("{", "line 1, column 1: not JSON"), ({"name": "x"}, "has no plugins"), ({"name": "a b", "plugins": [{"type": "told"}]}, "name 'a b'"),
    ({"name": "x", "plugins": [{"type": "../told"}]}, "is a path"), ({"name": "x", "plugins": [{}]}, "plugin 1 has no type"),
    ({"cniVersion": "2.0.0", "name": "x", "plugins": [{"type": "told"}]}, "CNI version '2.0.0'"),
    ({"cniVersion": "1.0.0", "name": "x", "plugins": [{"type": "nowhere"}]}, "plugin nowhere: no such executable in"),
    ({"cniVersion": "1.0.0", "name": "x", "plugins": [{"type": "told", "ipam": {"type": "gone"}}]}, "plugin gone: no such executable"),
]


@pytest.mark.parametrize("document, text", BAD)
def test_configurations_that_are_none(cni_daemon, client, document, text):
    cni_daemon.net.write("10-bad.conflist", document)
    cni_daemon.net.write("20-good.conflist", cni_daemon.net.told())  # the first one counts, be it right or wrong
    ready = await_reason(client, text)
    assert not ready.status and ready.reason == "NetworkNotReady" and "10-bad.conflist" in ready.message
    if "no such executable" not in text:
        with pytest.raises(grpc.RpcError) as caught:
            client.RunPodSandbox(config=pod_config("unlucky"))
        assert text in caught.value.details()


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("nowhere"), lambda path: path.mkdir(), os.mkfifo])
def test_first_files_that_are_none(cni_daemon, client, make):
    """A link to nowhere is a configuration that cannot be read; what is no file is none."""
    cni_daemon.net.conf.mkdir()
    make(cni_daemon.net.conf / "10-odd.conflist")
    if (cni_daemon.net.conf / "10-odd.conflist").is_symlink():
        assert not await_reason(client, "10-odd.conflist").status
        with pytest.raises(grpc.RpcError) as caught:
            client.RunPodSandbox(config=pod_config("unlucky"))
        assert "10-odd.conflist" in caught.value.details()
    else:
        cni_daemon.net.write("20-good.conflist", cni_daemon.net.told())
        await_network(client, "CNI 1.0.0, network told")


def test_what_could_not_be_taken_back_goes_when_plugins_are_well(cni_daemon, client):
    """DEL fails as long as the cable is cut, which is a file here."""
    cut = cni_daemon.folder / "cut"
    cut.touch()
    serve(cni_daemon, cni_daemon.net.told({"cut": str(cut)}, version="1.1.0"))
    with pytest.raises(grpc.RpcError):
        client.RunPodSandbox(config=pod_config("unlucky"))
    await_reason(client, "the cable is cut")
    assert len(cni_daemon.net.recorded()) == 1
    cut.unlink()
    await_reason(client, "ready")
    deadline = time.monotonic() + 10
    while cni_daemon.net.recorded():
        assert time.monotonic() < deadline, cni_daemon.tail()
        time.sleep(0.05)


def test_words_that_are_no_text(cni_daemon, client):
    serve(cni_daemon, cni_daemon.net.told({"behaviour": {"STATUS": "binary"}}, version="1.1.0"))
    assert not await_reason(client, "beep  ??").status


def test_a_single_plugin_in_a_conf_file(cni_daemon, client, logs):
    single = {"cniVersion": "0.4.0", "name": "single", "type": "told", "journal": str(cni_daemon.net.journal)}
    serve(cni_daemon, single, "05-single.conf")
    assert network_text(client) == f"CNI 0.4.0, network single of {cni_daemon.net.conf}/05-single.conf: told"
    with pod(client, "single", logs) as (pod_id, _):
        assert pod_ip(client, pod_id) == "192.0.2.9"


def test_plugins_beside_the_list(cni_daemon, client):
    folder = cni_daemon.net.conf / "told"
    folder.mkdir(parents=True)
    (folder / "20-more.conf").write_text(json.dumps({"type": "told", "journal": str(cni_daemon.net.journal), "pass": True}))
    serve(cni_daemon, cni_daemon.net.told(version="1.1.0"))
    assert network_text(client).endswith(": told told")


def test_the_highest_version_that_is_known(cni_daemon, client):
    serve(cni_daemon, cni_daemon.net.told(version="0.4.0", cniVersions=["0.3.1", "1.0.0", "7.0.0"]))
    assert network_text(client).startswith("CNI 1.0.0, ")


def test_switching_under_living_pods(cni_daemon, client, logs):
    await_network(client, "bridge ")
    with pod(client, "embedded", logs) as (embedded, _):
        assert pod_ip(client, embedded).startswith("10.220.")
        serve(cni_daemon, cni_daemon.net.told())
        plugged = client.RunPodSandbox(config=pod_config("plugged", logs)).pod_sandbox_id
        assert pod_ip(client, plugged) == "192.0.2.9" and pod_ip(client, embedded).startswith("10.220.")
        for path in cni_daemon.net.conf.iterdir():
            path.unlink()
        await_network(client, "bridge ")
        client.StopPodSandbox(pod_sandbox_id=plugged)
        client.RemovePodSandbox(pod_sandbox_id=plugged)
        assert [entry["command"] for entry in cni_daemon.net.entries()] == ["ADD", "DEL"]


# ---- detaching, whatever happened ----

def test_a_failed_detach_is_tried_again(cni_daemon, client, logs):
    serve(cni_daemon, cni_daemon.net.told({"behaviour": {"DEL": "fail"}}, {}))
    pod_id = client.RunPodSandbox(config=pod_config("sticky", logs)).pod_sandbox_id
    with pytest.raises(grpc.RpcError) as caught:
        client.StopPodSandbox(pod_sandbox_id=pod_id)
    assert "network told: plugin told, DEL: the cable is cut" in caught.value.details()
    assert len(cni_daemon.net.entries("DEL")) == 2 and cni_daemon.net.recorded() == [pod_id]
    record = cni_daemon.net.records / pod_id
    record.write_text(record.read_text().replace('"fail"', '""'))
    client.StopPodSandbox(pod_sandbox_id=pod_id)
    client.StopPodSandbox(pod_sandbox_id=pod_id)
    client.RemovePodSandbox(pod_sandbox_id=pod_id)
    assert len(cni_daemon.net.entries("DEL")) == 4


@pytest.mark.parametrize("damage", ["", "{", '{"config": {"name": "told"}}'])
def test_a_damaged_record_does_not_hold_the_pod(cni_daemon, client, logs, damage):
    serve(cni_daemon, cni_daemon.net.told())
    with pod(client, "damaged", logs) as (pod_id, _):
        (cni_daemon.net.records / pod_id).write_text(damage)
    entry = cni_daemon.net.entries("DEL")[0]
    assert entry["containerid"] == pod_id and "prevResult" not in entry["conf"]


def test_killed_daemon(cni_daemon, client, logs):
    serve(cni_daemon, cni_daemon.net.told({"behaviour": {"CHECK": "fail"}}))
    pod_id = client.RunPodSandbox(config=pod_config("survivor", logs)).pod_sandbox_id
    cni_daemon.kill()
    gone = "f" * 64
    shutil.copy(cni_daemon.net.records / pod_id, cni_daemon.net.records / gone)  # as a pod that was being made would leave it
    cni_daemon.net.clear()
    cni_daemon.start()
    again = cni_daemon.client()
    assert pod_ip(again, pod_id) == "192.0.2.9"
    deadline = time.monotonic() + 10
    warning = f"pod {pod_id[:12]} is not attached as it was: plugin told, CHECK: the cable is cut"
    while warning not in cni_daemon.tail(60):
        assert time.monotonic() < deadline, cni_daemon.tail()
        time.sleep(0.05)
    assert [(e["command"], e["containerid"], e["netns"] != "") for e in cni_daemon.net.entries()] == \
        [("DEL", gone, False), ("CHECK", pod_id, True)]
    again.StopPodSandbox(pod_sandbox_id=pod_id)
    again.RemovePodSandbox(pod_sandbox_id=pod_id)
    assert cni_daemon.net.recorded() == []


# ---- what came with 1.1 ----

def test_status_and_garbage(cni_daemon, client, logs):
    document = cni_daemon.net.told({"behaviour": {"STATUS": "later"}}, version="1.1.0")
    cni_daemon.net.write("10-test.conflist", document)
    ready = await_reason(client, "plugin told, STATUS: not yet")
    assert not ready.status
    cni_daemon.net.write("10-test.conflist", cni_daemon.net.told(version="1.1.0"))
    await_reason(client, "ready")
    pod_id = client.RunPodSandbox(config=pod_config("kept", logs)).pod_sandbox_id
    cni_daemon.kill()
    cni_daemon.start()
    deadline = time.monotonic() + 10
    while not cni_daemon.net.entries("GC"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert cni_daemon.net.entries("GC")[0]["conf"]["cni.dev/valid-attachments"] == [{"containerID": pod_id, "ifname": "eth0"}]
    again = cni_daemon.client()
    again.StopPodSandbox(pod_sandbox_id=pod_id)
    again.RemovePodSandbox(pod_sandbox_id=pod_id)


def test_plugins_of_many_pods_run_at_the_same_time(cni_daemon, client, logs):
    serve(cni_daemon, cni_daemon.net.told({"behaviour": {"ADD": "meet"}, "meeting": 4}))  # each waits for the others
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda i: cni_daemon.client().RunPodSandbox(config=pod_config(f"many{i}", logs)), range(4)))
    for reply in made:
        client.StopPodSandbox(pod_sandbox_id=reply.pod_sandbox_id)
        client.RemovePodSandbox(pod_sandbox_id=reply.pod_sandbox_id)
