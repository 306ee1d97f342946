"""What a pod is given as a whole: sysctls, host and domain name, name resolution, shared memory."""
import os
from pathlib import Path

import grpc
import pytest

from harness.cri import cri, pod_config
from harness.pods import pod, start


def linux(sysctls=None, **options):
    modes = cri.NamespaceOption(pid=cri.CONTAINER, **options)
    return cri.LinuxPodSandboxConfig(sysctls=sysctls or {}, security_context=cri.LinuxSandboxSecurityContext(namespace_options=modes))


def ask(client, image, name, script, folder="", **fields):
    """What a container of such a pod prints."""
    with pod(client, name, folder, **fields) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sleep", "1000"], log_path="")
        return client.ExecSync(container_id=container_id, cmd=["sh", "-c", script], timeout=10).stdout.decode().splitlines()


def refusal(client, **fields):
    with pytest.raises(grpc.RpcError) as caught:
        created = client.RunPodSandbox(config=pod_config("refused", **fields))
        client.RemovePodSandbox(pod_sandbox_id=created.pod_sandbox_id)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT, caught.value
    return caught.value.details()


@pytest.fixture(scope="module")
def client(daemon):
    return daemon.client()


# ---- sysctls ----

def test_sysctls_of_each_namespace(client, image):
    """Both spellings; the host keeps its own."""
    wanted = {"net.ipv4.ip_local_port_range": "20000 30000", "net/ipv4/ip_unprivileged_port_start": "80", "kernel.shm_rmid_forced": "1",
              "kernel.sem": "250 32000 100 128", "fs.mqueue.msg_max": "11", "kernel.msgmax": "8000", "kernel.domainname": "nis.example",
              "net.ipv4.conf.all.rp_filter": "2"}
    paths = ["/proc/sys/" + name.replace(".", "/") for name in wanted]
    before = [Path(path).read_text() for path in paths]
    texts = ask(client, image, "sysctls", "cat " + " ".join(paths), linux=linux(wanted))
    assert [" ".join(text.split()) for text in texts] == list(wanted.values())
    assert [Path(path).read_text() for path in paths] == before


def of_the_host(name):
    """What the host has already: were it written after all, the machine would not notice."""
    path = "/proc/sys/" + name.partition("=")[0].partition("\0")[0].replace(".", "/")
    return Path(path).read_text().strip() if os.path.isfile(path) else "1"


@pytest.mark.parametrize("name", [
    "kernel.core_pattern", "kernel.hostname", "kernel.modprobe", "kernel.panic", "kernel.shmmaxx", "kernel.shm", "kernel.pid_max", "vm.swappiness",
    "fs.file-max", "fs.mqueue", "fs.mqueue.", "net", "net.", ".net.core", "user.max_user_namespaces", "kernel", "net.ipv4..ip_forward",
    "net.../kernel/core_pattern", "net/../kernel/core_pattern", "net/ipv4/../../kernel/core_pattern", "net..", "net/./core", "/net/core/somaxconn",
    "net.ipv4.ip_forward=1\nkernel.core_pattern", "net.core.somaxconn\0", "kernel/../kernel/core_pattern", "net.core.\u0130", "NET.core.somaxconn",
    "net.no.such.sysctl", "fs/mqueue/../file-max", "net.core.somaxconn kernel.core_pattern"])
def test_cve_2022_0811_names_that_are_smuggled(client, name):
    """CVE-2022-0811 and its kind: nothing that is not the pod's own is written, whatever it looks like."""
    assert "sysctl" in refusal(client, linux=linux({name: of_the_host(name)}))


@pytest.mark.parametrize("value", ["", "0+kernel.core_pattern=|/tmp/x", "1\nkernel.core_pattern=x", "1=2", "1/2", "a;b", "$(id)", "x" * 2000, "not a number"])
def test_cve_2022_0811_values_that_are_smuggled(client, value):
    """CVE-2022-0811 (cr8escape): a '+' in a value made another tool take it for a second setting."""
    assert "sysctl" in refusal(client, linux=linux({"net.core.somaxconn": value}))


@pytest.mark.parametrize("options, name, kind", [
    (dict(network=cri.NODE), "net.core.somaxconn", "network"), (dict(ipc=cri.NODE), "kernel.shm_rmid_forced", "IPC"),
    (dict(ipc=cri.NODE), "fs.mqueue.msg_max", "IPC"), (dict(network=cri.NODE), "kernel.domainname", "UTS")])
def test_cve_2022_0532_not_in_the_hosts_namespace(client, options, name, kind):
    """CVE-2022-0532: with the host's namespace it would be the host's sysctl."""
    assert f"the host's {kind} namespace" in refusal(client, linux=linux({name: of_the_host(name)}, **options))


def test_the_other_namespace_does_not_matter(client, image):
    assert ask(client, image, "ipconly", "cat /proc/sys/kernel/shm_rmid_forced", linux=linux({"kernel.shm_rmid_forced": "1"}, network=cri.NODE)) == ["1"]


# ---- names ----

@pytest.mark.parametrize("hostname", ["a", "web-0", "x" * 63, "a.b.example", "0"])
def test_hostname(client, image, hostname):
    assert ask(client, image, "named", "hostname; cat /etc/hostname; echo $HOSTNAME", hostname=hostname) == [hostname] * 3


def test_hostname_of_the_longest_kind(client, image):
    """The kernel's limit is 64 bytes; one label of DNS has 63."""
    longest = "y" * 60 + ".abc"
    assert ask(client, image, "longest", "hostname", hostname=longest) == [longest]


@pytest.mark.parametrize("hostname", ["y" * 60 + ".abcd", "x" * 64, "-a", "a-", "a..b", ".", "a b", "a\nb", "a/b", "a_b", "\u00fc"])
def test_hostnames_that_are_refused(client, hostname):
    assert "hostname" in refusal(client, hostname=hostname)


def test_a_pod_without_a_name_has_the_nodes(client, image):
    node = os.uname().nodename
    assert ask(client, image, "nameless", "hostname; echo $HOSTNAME", hostname="") == [node, node]


def test_the_hosts_network_has_the_hosts_name(client, image):
    """Whatever the request says: there is no UTS namespace to set it in."""
    node = os.uname().nodename
    assert ask(client, image, "hostnamed", "hostname; echo $HOSTNAME; cat /etc/hostname", hostname="other", host_network=True) == [node] * 3
    assert os.uname().nodename == node


# ---- name resolution ----

@pytest.mark.parametrize("dns, wanted", [
    (dict(servers=["192.0.2.1", "2001:db8::1", "fe80::1%eth0"]), ["nameserver 192.0.2.1", "nameserver 2001:db8::1", "nameserver fe80::1%eth0"]),
    (dict(searches=["a.example", "b.example"]), ["search a.example b.example"]),
    (dict(options=["ndots:5", "single-request-reopen"]), ["options ndots:5 single-request-reopen"]),
    (dict(servers=["192.0.2.1"], searches=["x" * 60] * 32), ["search " + " ".join(["x" * 60] * 32), "nameserver 192.0.2.1"])])
def test_resolver(client, image, dns, wanted):
    assert ask(client, image, "resolver", "cat /etc/resolv.conf", dns_config=cri.DNSConfig(**dns)) == wanted


@pytest.mark.parametrize("dns", [None, cri.DNSConfig()])
def test_resolver_of_the_host(client, image, dns):
    """Who asks for nothing gets the host's; behind systemd-resolved, the servers that it asks."""
    host = Path("/etc/resolv.conf").read_text().splitlines()
    if "nameserver 127.0.0.53" in host and Path("/run/systemd/resolve/resolv.conf").exists():
        host = Path("/run/systemd/resolve/resolv.conf").read_text().splitlines()
    assert ask(client, image, "hostresolver", "cat /etc/resolv.conf", dns_config=dns) == host


@pytest.mark.parametrize("dns", [
    dict(servers=["dns.example"]), dict(servers=["192.0.2.1\nnameserver 192.0.2.9"]), dict(searches=["a\nnameserver 192.0.2.9"]), dict(options=["a b"]),
    dict(options=[""]), dict(searches=["x"] * 33), dict(searches=["x" * 100] * 30)])
def test_resolvers_that_are_refused(client, dns):
    """No line of the file can be forged."""
    assert "dns_config" in refusal(client, dns_config=cri.DNSConfig(**dns))


# ---- shared memory ----

def test_shared_memory(client, image):
    """64 MiB, shared by the containers of the pod and by nobody else."""
    with pod(client, "shm", "") as (pod_id, config):
        one, two = (start(client, pod_id, config, image, ["sleep", "1000"], name=name, log_path="") for name in ("one", "two"))

        def run(container_id, script):
            return client.ExecSync(container_id=container_id, cmd=["sh", "-c", script], timeout=10).stdout.decode().strip()
        assert run(one, "df -k /dev/shm | tail -1 | awk '{print $2}'; stat -c %a /dev/shm") == "65536\n1777"
        run(one, "echo shared > /dev/shm/file")
        assert run(two, "cat /dev/shm/file") == "shared"
        assert "nosuid,nodev,noexec" in run(two, "grep ' /dev/shm ' /proc/mounts")
    assert not Path("/dev/shm/file").exists()


def test_shared_memory_of_the_host(client, image):
    mark = Path(f"/dev/shm/mptest-{os.getpid()}")
    mark.write_text("of the host\n")
    try:
        assert ask(client, image, "hostipc", f"cat {mark}", linux=linux(ipc=cri.NODE)) == ["of the host"]
    finally:
        mark.unlink()
