"""Each malformed field gets the right code and a sentence that names the field; nothing is made."""
import grpc
import pytest

from harness.cri import container_config, cri, pod_config
from harness.inventory import baseline, settle
from harness.pods import pod

INVALID, UNIMPLEMENTED, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND


def change(config, path, value):
    """Sets config.a.b.c to value; a message or a list replaces what is there."""
    *parents, last = path.split(".")
    for name in parents:
        config = getattr(config, name)
    field = config.DESCRIPTOR.fields_by_name[last]
    if field.label == field.LABEL_REPEATED:
        config.ClearField(last)
        target = getattr(config, last)
        target.update(value) if isinstance(value, dict) else target.extend(value)
    elif field.message_type is not None:
        getattr(config, last).CopyFrom(value)
    else:
        setattr(config, last, value)


POD = [
    ("metadata.name", "", INVALID), ("metadata.uid", "", INVALID), ("metadata.namespace", "", INVALID),
    ("metadata.name", "a/b", INVALID), ("metadata.name", "x" * 5000, INVALID), ("metadata.name", "new\nline", INVALID),
    ("hostname", "-bad-", INVALID), ("hostname", "x" * 65, INVALID), ("hostname", "a b", INVALID),
    ("log_directory", "relative/path", INVALID), ("log_directory", "/up/../and/out", INVALID),
    ("dns_config", cri.DNSConfig(servers=["not an address"]), INVALID),
    ("dns_config", cri.DNSConfig(searches=["x\nnameserver 192.0.2.1"]), INVALID),
    ("port_mappings", [cri.PortMapping(container_port=70000)], INVALID),
    ("port_mappings", [cri.PortMapping(container_port=80, host_port=-1)], INVALID),
    ("port_mappings", [cri.PortMapping(container_port=80, host_port=80, host_ip="localhost")], INVALID),
    ("port_mappings", [cri.PortMapping(container_port=1, host_port=80), cri.PortMapping(container_port=2, host_port=80)], INVALID),
    ("linux.cgroup_parent", "/a/../../b", INVALID),
    ("linux.sysctls", {"kernel.core_pattern": "|/bin/evil"}, INVALID),
    ("linux.sysctls", {"net.ipv4.ip_forward+kernel.core_pattern": "1"}, INVALID),
    ("linux.sysctls", {"net/../kernel/core_pattern": "1"}, INVALID),
    ("linux.security_context.run_as_user", cri.Int64Value(value=1 << 32), INVALID),
    ("linux.security_context.run_as_user", cri.Int64Value(value=-1), INVALID),
    ("labels", {"big": "x" * (512 << 10)}, INVALID),
]

CONTAINER = [
    ("metadata.name", "", INVALID), ("metadata.name", "../x", INVALID), ("image.image", "", INVALID),
    ("image.image", "no-such-image:1", NOT_FOUND),
    ("log_path", "../../etc/passwd", INVALID), ("log_path", "/absolute", INVALID),
    ("working_dir", "relative", INVALID),
    ("envs", [cri.KeyValue(key="", value=b"x")], INVALID), ("envs", [cri.KeyValue(key="A=B", value=b"x")], INVALID),
    ("envs", [cri.KeyValue(key="A", value=b"x\0y")], INVALID),
    ("mounts", [cri.Mount(container_path="relative", host_path="/tmp")], INVALID),
    ("mounts", [cri.Mount(container_path="/x", host_path="relative")], INVALID),
    ("mounts", [cri.Mount(container_path="/x")], INVALID),
    ("mounts", [cri.Mount(container_path="/x", host_path="/tmp", recursive_read_only=True)], INVALID),
    ("mounts", [cri.Mount(container_path="/x", host_path="/tmp", propagation=77)], INVALID),
    ("mounts", [cri.Mount(container_path="/proc/x/y", host_path="/tmp")], INVALID),
    ("devices", [cri.Device(container_path="/dev/x", host_path="/dev/null", permissions="rwx")], INVALID),
    ("linux.resources.cpu_shares", -5, INVALID), ("linux.resources.memory_limit_in_bytes", -5, INVALID),
    ("linux.resources.oom_score_adj", 5000, INVALID), ("linux.resources.cpu_period", 5, INVALID),
    ("linux.security_context.capabilities", cri.Capability(add_capabilities=["NO_SUCH"]), INVALID),
    ("linux.security_context.run_as_group", cri.Int64Value(value=5), INVALID),
    ("linux.security_context.supplemental_groups", [1 << 33], INVALID),
    ("linux.security_context.masked_paths", ["relative"], INVALID),
    ("linux.security_context.seccomp", cri.SecurityProfile(profile_type=cri.SecurityProfile.Localhost, localhost_ref="x"), INVALID),
    ("CDI_devices", [cri.CDIDevice(name="/dev/null")], INVALID), ("CDI_devices", [cri.CDIDevice(name="vendor.com/class=none")], NOT_FOUND),
    ("stop_signal", 99, INVALID),
]


def ids(table):
    return [f"{path}-{number}" for number, (path, _, _) in enumerate(table)]


@pytest.fixture
def client(daemon):
    return daemon.client()


@pytest.mark.parametrize("path,value,code", POD, ids=ids(POD))
def test_pod_field(client, daemon, path, value, code):
    before = baseline(daemon)
    config = pod_config("bad")
    change(config, path, value)
    with pytest.raises(grpc.RpcError) as caught:
        client.RunPodSandbox(config=config)
    assert caught.value.code() == code, caught.value.details()
    assert path.split(".")[-1] in caught.value.details()
    settle(daemon, before)


@pytest.fixture(scope="module")
def open_pod(daemon):
    with pod(daemon.client(), "open", "") as (pod_id, config):
        yield pod_id, config


@pytest.mark.parametrize("path,value,code", CONTAINER, ids=ids(CONTAINER))
def test_container_field(client, daemon, open_pod, image, path, value, code):
    pod_id, pod_settings = open_pod
    before = baseline(daemon)
    config = container_config(image, ["true"], log_path="")
    change(config, path, value)
    with pytest.raises(grpc.RpcError) as caught:
        client.CreateContainer(pod_sandbox_id=pod_id, config=config, sandbox_config=pod_settings)
    assert caught.value.code() == code, caught.value.details()
    assert path.split(".")[-1] in caught.value.details() or code == NOT_FOUND and str(value) in caught.value.details()
    settle(daemon, before)


def test_missing_messages(client):
    for call in (client.RunPodSandbox, client.CreateContainer, client.PullImage, client.ExecSync):
        with pytest.raises(grpc.RpcError) as caught:
            call()
        assert caught.value.code() == INVALID, call


def test_unknown_objects(client, image):
    unknown = "f" * 64
    expect_not_found = [lambda: client.PodSandboxStatus(pod_sandbox_id=unknown), lambda: client.ContainerStatus(container_id=unknown),
                        lambda: client.StartContainer(container_id=unknown), lambda: client.ReopenContainerLog(container_id=unknown),
                        lambda: client.ExecSync(container_id=unknown, cmd=["true"]),
                        lambda: client.CreateContainer(pod_sandbox_id=unknown, config=container_config(image, ["true"]),
                                                       sandbox_config=pod_config("x"))]
    for call in expect_not_found:
        with pytest.raises(grpc.RpcError) as caught:
            call()
        assert caught.value.code() == NOT_FOUND, caught.value
    client.StopPodSandbox(pod_sandbox_id=unknown)
    client.RemovePodSandbox(pod_sandbox_id=unknown)
    client.RemoveContainer(container_id=unknown)


def test_strings_must_be_utf8(daemon):
    """Field 1 of VersionRequest as raw bytes: a string that is not UTF-8 would poison every list that repeats it."""
    client = daemon.client()
    call = client.channel.unary_unary("/runtime.v1.RuntimeService/Version")
    for raw in (b"\x0a\x02\xff\xfe", b"\x0a\x03a\0b", b"\x0a\x7fshort"):
        with pytest.raises(grpc.RpcError) as caught:
            call(raw, timeout=5)
        assert caught.value.code() == INVALID


def test_every_other_rpc_says_unimplemented(client):
    from harness.cri import methods
    answered = {"Version", "Status", "RuntimeConfig", "RunPodSandbox", "StopPodSandbox", "RemovePodSandbox", "PodSandboxStatus",
                "ListPodSandbox", "CreateContainer", "StartContainer", "StopContainer", "RemoveContainer", "ContainerStatus",
                "ListContainers", "UpdateContainerResources", "UpdatePodSandboxResources", "ExecSync", "ReopenContainerLog", "PullImage", "ListImages",
                "StreamPodSandboxes", "StreamContainers", "StreamImages", "GetContainerEvents", "ImageStatus", "RemoveImage", "ImageFsInfo"}
    seen = set()
    for _, name, _, _, streaming in methods():
        seen.add(name)
        if name in answered:
            continue
        with pytest.raises(grpc.RpcError) as caught:
            reply = getattr(client, name)()
            list(reply) if streaming else None
        assert caught.value.code() == UNIMPLEMENTED, name
    assert len(seen) == 43 and answered <= seen


def test_start_failures_name_step_and_object(client, logs, image):
    with pod(client, "failing", logs) as (pod_id, config):
        cases = [(["/no/such/binary"], {}, "/no/such/binary"), (["true"], {"mounts": [cri.Mount(container_path="/sys/x/y", host_path="/tmp")]}, "/sys/x/y"),
                 (["true"], {"devices": [cri.Device(container_path="/dev/q", host_path="/dev/no-such-device", permissions="r")]}, "no-such-device")]
        for number, (command, fields, named) in enumerate(cases):
            created = client.CreateContainer(pod_sandbox_id=pod_id, sandbox_config=config,
                                             config=container_config(image, command, attempt=number, **fields))
            with pytest.raises(grpc.RpcError) as caught:
                client.StartContainer(container_id=created.container_id)
            assert named in caught.value.details(), caught.value.details()
            status = client.ContainerStatus(container_id=created.container_id).status
            assert status.state == cri.CONTAINER_EXITED and named in status.message and status.exit_code == 128
            client.RemoveContainer(container_id=created.container_id)
