"""`monopod explain`: the plan of a container that is here, and of a request that is not sent."""
import json

import pytest
from google.protobuf import json_format

from harness.cri import container_config, cri, pod_config
from harness.inventory import baseline, settle
from harness.pods import pod, start


@pytest.fixture
def files(tmp_path):
    """The two files of a request, as crictl has them."""
    def write(container, config, **options):
        for name, message in (("container.json", container), ("pod.json", config)):
            text = message if isinstance(message, str) else json_format.MessageToJson(message, **options)
            (tmp_path / name).write_text(text)
        return str(tmp_path / "container.json"), str(tmp_path / "pod.json")
    return write


def operations(text):
    """The numbered lines, without their numbers."""
    return [line.split(None, 1)[1] for line in text.splitlines() if line.split()[0].isdigit()]


def example(image, **fields):
    security = cri.LinuxContainerSecurityContext(run_as_user=cri.Int64Value(value=1000), readonly_rootfs=True, no_new_privs=True,
                                                 capabilities=cri.Capability(drop_capabilities=["ALL"], add_capabilities=["KILL"]))
    return container_config(image, ["/bin/sh", "-c", "true"], security=security, working_dir="/work", tty=True,
                            resources=cri.LinuxContainerResources(memory_limit_in_bytes=64 << 20, cpu_shares=512),
                            mounts=[cri.Mount(container_path="/data", host_path="/etc", readonly=True),
                                    cri.Mount(container_path="/hosts", host_path="/etc/hosts")], **fields)


def test_a_container_that_runs(daemon, image, logs):
    client = daemon.client()
    with pod(client, "explained", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sleep", "1000"], name="shown")
        text = daemon.cli("explain", "container", container_id[:12]).stdout
        assert "user: 0:0, groups 0" in text and f"log: {logs}/shown.log" in text and f"/{container_id}\n" in text
        found = operations(text)
        assert any(line.startswith("mount") and "proc on /proc" in line for line in found)
        assert found[-1].startswith("exec") and "sleep" in found[-1] and any("load seccomp filter" in line for line in found)
        assert daemon.cli("explain", "container", "shown").stdout == text
        document = json.loads(daemon.cli("-o", "json", "explain", "container", "shown").stdout)
        assert document["prepared"][0].startswith("root: ") and len(document["operations"]) == len(found) + 1


def test_it_is_the_plan_that_was_run(daemon, image, logs):
    """Operation for operation: the timeline of the start has the same kinds."""
    client = daemon.client()
    with pod(client, "same", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sleep", "1000"])
        timeline = json.loads(client.ContainerStatus(container_id=container_id, verbose=True).info["info"])["timeline"]
        ran = {step["name"].removeprefix("plan.") for step in timeline["steps"] if step["name"].startswith("plan.")}
        shown = {line.split()[0] for line in operations(daemon.cli("explain", "container", container_id).stdout)}
        # what enters a cgroup is told as its line of preparation: its descriptors are open while it is started, and not now
        assert shown == ran - {"cgroup"} or shown == ran - {"cgroup", "fork"}


@pytest.mark.parametrize("options", [dict(preserving_proto_field_name=True), dict(), dict(preserving_proto_field_name=True, use_integers_for_enums=True)])
def test_a_request_in_files(daemon, image, files, options):
    """In each spelling of the names; nothing of it is made."""
    before = baseline(daemon)
    container, config = files(example(image), pod_config("unsent", "/var/log/pods"), **options)
    text = daemon.cli("explain", "request", container, config).stdout
    for line in ("user: 1000:1000, groups 1000 2000", "volume: /etc for /data, read-only, private", "volume: /etc/hosts for /hosts, writable, private",
                 "streams: a terminal", "limit: memory 67108864 bytes", "limit: cpu shares 512"):
        assert f"{line}\n" in text, line
    found = "\n".join(operations(text))
    for part in ("join namespace network", "make namespace cgroup", "mount volume on /data", "make directory /work mode 0755 owner 1000:1000",
                 "reduce bounding set to KILL", "become user 1000 group 1000", "set no_new_privs", "mask /proc/kcore", "make terminal"):
        assert part in found, part
    assert "mount volume on /hosts" in found and "[file]" in next(line for line in found.splitlines() if "on /hosts" in line)
    settle(daemon, before)


def test_what_crictl_users_write(daemon, image, files):
    """By hand: numbers for enums and for 64 bits, texts for values of variables, null, and little else."""
    container = {"metadata": {"name": "hand"}, "image": {"image": image}, "command": ["sleep", "1"], "envs": [{"key": "A", "value": "b=c"}],
                 "linux": {"security_context": {"run_as_user": {"value": 7}, "namespace_options": {"network": 2, "pid": 1}}, "resources": None}}
    config = {"metadata": {"name": "hand", "namespace": "default", "uid": "1", "attempt": 1}, "labels": {"a": "b"},
              "linux": {"security_context": {"namespace_options": {"network": 2}}, "sysctls": {"kernel.shm_rmid_forced": "1"}}}
    text = daemon.cli("explain", "request", *files(json.dumps(container), json.dumps(config))).stdout
    assert "user: 7:0, groups 0" in text and "join namespace network" not in text and "become user 7 group 0" in text


@pytest.mark.parametrize("change, says", [
    (lambda c: c["linux"]["security_context"].update(run_as_group={"value": 5}, run_as_user=None), "run_as_group"),
    (lambda c: c["image"].update(image="no/such:image"), "no/such:image is not here"),
    (lambda c: c.update(comand=["x"]), "container.json: comand: there is no such field"),
    (lambda c: c.update(command="x"), "container.json: command: must be a list"),
    (lambda c: c.update(command=["x", 1]), "container.json: command: [1]: must be a text"),
    (lambda c: c.update(labels=["x"]), "container.json: labels: must be an object"),
    (lambda c: c.update(tty="yes"), "container.json: tty: must be true or false"),
    (lambda c: c.update(stop_signal="SIGNAL_SIGNOTHING"), "container.json: stop_signal: 'SIGNAL_SIGNOTHING' is none of its values"),
    (lambda c: c["linux"]["resources"].update(memory_limit_in_bytes=1.5), "memory_limit_in_bytes: must be a whole number"),
    (lambda c: c["linux"]["resources"].update(memory_limit_in_bytes="1x"), "memory_limit_in_bytes: '1x' is no whole number"),
    (lambda c: c["metadata"].update(attempt=-1), "metadata: attempt: must be from 0"),
])
def test_requests_that_are_wrong(daemon, image, files, change, says):
    """Refused as they would be, or told where in the file."""
    container = json_format.MessageToDict(example(image), preserving_proto_field_name=True)
    change(container)
    done = daemon.cli("explain", "request", *files(json.dumps(container), pod_config("unsent")), check=False)
    assert done.returncode == 1 and says in done.stderr, done.stderr


def test_a_profile_in_a_file(daemon, image, files, tmp_path):
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["chmod"], "action": "SCMP_ACT_ERRNO"}]}))
    container = example(image)
    container.linux.security_context.seccomp.CopyFrom(cri.SecurityProfile(profile_type=cri.SecurityProfile.Localhost, localhost_ref=str(profile)))
    before = baseline(daemon)
    assert "load seccomp filter" in daemon.cli("explain", "request", *files(container, pod_config("unsent"))).stdout
    settle(daemon, before)


def test_a_pod_with_users_of_its_own(daemon, image, files, logs):
    """Whose ids are whose, and that the process joins the namespace after its files are made; the same for what is sent."""
    mapping = [cri.IDMapping(host_id=300000, container_id=0, length=65536)]
    namespaces = cri.NamespaceOption(userns_options=cri.UserNamespace(mode=cri.POD, uids=mapping, gids=mapping))
    linux = cri.LinuxPodSandboxConfig(security_context=cri.LinuxSandboxSecurityContext(namespace_options=namespaces))
    security = cri.LinuxContainerSecurityContext(namespace_options=namespaces, run_as_user=cri.Int64Value(value=1000))
    mounts = [cri.Mount(container_path="/data", host_path="/tmp", uidMappings=mapping, gidMappings=mapping),
              cri.Mount(container_path="/plain", host_path="/tmp"), cri.Mount(container_path="/image", image=cri.ImageSpec(image=image))]
    container = container_config(image, ["sleep", "1000"], security=security, mounts=mounts, working_dir="/work")
    text = daemon.cli("explain", "request", *files(container, pod_config("unsent", linux=linux))).stdout
    for line in ("uids: 0 to 65535 are the host's 300000 to 365535", "gids: 0 to 65535 are the host's 300000 to 365535", "user: 1000:1000, groups 1000 2000",
                 "volume: /tmp for /data, writable, private, id-mapped", "volume: /tmp for /plain, writable, private",
                 "volume: an image for /image, read-only, id-mapped"):
        assert f"{line}\n" in text, line
    found = operations(text)
    joined, made = (next(i for i, line in enumerate(found) if part in line) for part in ("join namespace user", "make directory /work"))
    assert made < joined and "owner 301000:301000" in found[made] and "mount volume on /image" in "\n".join(found[:joined])

    client = daemon.client()
    if client.Status().runtime_handlers[0].features.user_namespaces:
        with pod(client, "explained-users", logs, linux=linux) as (pod_id, config):
            container_id = start(client, pod_id, config, image, ["sleep", "1000"], security=security, name="shown-users")
            assert "uids: 0 to 65535 are the host's 300000 to 365535\n" in daemon.cli("explain", "container", container_id).stdout


def test_devices_by_cdi_and_images_as_volumes(daemon, image, files):
    """What comes from elsewhere than the request is part of the plan."""
    folder = daemon.folder / "cdi"
    folder.mkdir(exist_ok=True)
    edits = {"env": ["BY_CDI=1"], "deviceNodes": [{"path": "/dev/shown", "hostPath": "/dev/null"}], "additionalGids": [4242]}
    spec = {"cdiVersion": "0.8.0", "kind": "example.com/shown", "devices": [{"name": "one", "containerEdits": edits}]}
    (folder / "shown.json").write_text(json.dumps(spec))
    try:
        container = example(image, CDI_devices=[cri.CDIDevice(name="example.com/shown=one")])
        container.mounts.append(cri.Mount(container_path="/image", image=cri.ImageSpec(image=image)))
        text = daemon.cli("explain", "request", *files(container, pod_config("unsent"))).stdout
    finally:
        (folder / "shown.json").unlink()
    assert "4242" in next(line for line in text.splitlines() if line.startswith("user: "))
    assert "make device /dev/shown c 1:3" in text and "device rule: c 1:3" in text
    assert "volume: an image for /image, read-only\n" in text and "mount volume on /image" in text


def test_mistakes_on_the_command_line(daemon, tmp_path):
    for arguments in (["explain", "nothing"], ["explain", "request", "one"], ["explain", "container"], ["explain", "machines", "a", "b"]):
        assert daemon.cli(*arguments, check=False).returncode == 2, arguments
    (tmp_path / "bad").write_text("{")
    done = daemon.cli("explain", "request", str(tmp_path / "bad"), "/nonexistent", check=False)
    assert done.returncode == 1 and "is not JSON" in done.stderr
