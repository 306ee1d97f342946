"""The CRI through Debian's python3-grpcio: a gRPC implementation that is not ours, with messages from proto/cri.proto."""
import os
import re
import subprocess
import sys
from pathlib import Path

import grpc

ROOT = Path(__file__).resolve().parents[3]
GENERATED = ROOT / "build" / "python"

# Several runs on one machine must not take each other's groups for their own.
# Which driver the daemons under test use; systemd needs it as init and cgroup version 2.
CGROUP_DRIVER = os.environ.get("MONOPOD_TEST_CGROUP_DRIVER", "cgroupfs")
CGROUP_PARENT = f"/mptest{os.getpid()}" if CGROUP_DRIVER == "cgroupfs" else f"mptest{os.getpid()}.slice"


def _generate():
    GENERATED.mkdir(parents=True, exist_ok=True)
    subprocess.run(["protoc", f"-I{ROOT / 'proto'}", f"--python_out={GENERATED}", "cri.proto", "admin.proto"], check=True)
    sys.path.insert(0, str(GENERATED))


_generate()
import admin_pb2  # noqa: E402  (generated above)
import cri_pb2 as cri  # noqa: E402


def methods():
    """(service, method, request type, response type, server streaming) of every `rpc` line of the contract."""
    text = (ROOT / "proto" / "cri.proto").read_text()
    service = None
    for line in text.splitlines():
        if found := re.match(r"service (\w+)", line):
            service = found[1]
        if found := re.match(r"\s*rpc (\w+)\((\w+)\) returns \((stream )?(\w+)\)", line):
            yield service, found[1], getattr(cri, found[2]), getattr(cri, found[4]), bool(found[3])


class Client:
    """One channel; every RPC of the contract is a method: client.RunPodSandbox(config=..., deadline=5)."""

    def __init__(self, socket, version="v1"):
        self.channel = grpc.insecure_channel(f"unix:{socket}", options=[
            ("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20),
            ("grpc.use_local_subchannel_pool", 1)])
        for service, name, request, response, streaming in methods():
            path = f"/runtime.{version}.{service}/{name}"
            make = self.channel.unary_stream if streaming else self.channel.unary_unary
            call = make(path, request_serializer=request.SerializeToString, response_deserializer=response.FromString)
            setattr(self, name, self._caller(call, request))
        machines = self.channel.unary_unary("/monopod.v1.Admin/ListMachines",
                                            request_serializer=admin_pb2.ListMachinesRequest.SerializeToString,
                                            response_deserializer=admin_pb2.ListMachinesResponse.FromString)
        self.ListMachines = lambda timeout=10: machines(admin_pb2.ListMachinesRequest(), timeout=timeout)
        imports = self.channel.unary_unary("/monopod.v1.Admin/ImportImage",
                                           request_serializer=admin_pb2.ImportImageRequest.SerializeToString,
                                           response_deserializer=admin_pb2.ImportImageResponse.FromString)
        self.ImportImage = lambda path, name="": imports(admin_pb2.ImportImageRequest(path=str(path), name=name), timeout=60)

        pulls = self.channel.unary_stream("/monopod.v1.Admin/PullImage",
                                          request_serializer=admin_pb2.PullImageRequest.SerializeToString,
                                          response_deserializer=admin_pb2.PullImageResponse.FromString)
        self.WatchPull = lambda image, deadline=60: pulls(
            admin_pb2.PullImageRequest(pull=cri.PullImageRequest(image=cri.ImageSpec(image=image))), timeout=deadline)

    @staticmethod
    def _caller(call, request):
        def invoke(message=None, deadline=60, **fields):
            return call(message if message is not None else request(**fields), timeout=deadline)
        return invoke

    def close(self):
        self.channel.close()


def pod_config(name, log_directory="", host_network=False, **fields):
    options = cri.NamespaceOption(network=cri.NODE if host_network else cri.POD, pid=fields.pop("pid", cri.CONTAINER), ipc=cri.POD)
    security = cri.LinuxSandboxSecurityContext(namespace_options=options)
    linux = cri.LinuxPodSandboxConfig(cgroup_parent=CGROUP_PARENT, security_context=security)
    linux.MergeFrom(fields.pop("linux", cri.LinuxPodSandboxConfig()))
    return cri.PodSandboxConfig(metadata=cri.PodSandboxMetadata(name=name, uid=f"uid-{name}", namespace="test"),
                                hostname=fields.pop("hostname", "" if host_network else name), log_directory=str(log_directory),
                                linux=linux, **fields)


# What a kubelet sends for procMount Default; for Unmasked it sends nothing.
MASKED = ["/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
          "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"]
READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def container_config(image, command, name="main", attempt=0, security=None, unmasked=False, **fields):
    options = cri.NamespaceOption(network=cri.POD, pid=fields.pop("pid", cri.CONTAINER), ipc=cri.POD)
    context = cri.LinuxContainerSecurityContext(
        namespace_options=options, seccomp=cri.SecurityProfile(profile_type=cri.SecurityProfile.RuntimeDefault))
    if security is not None:
        context.MergeFrom(security)
    if not unmasked and not context.masked_paths and not context.readonly_paths:
        context.masked_paths.extend(MASKED)
        context.readonly_paths.extend(READONLY)
    linux = cri.LinuxContainerConfig(resources=fields.pop("resources", cri.LinuxContainerResources()), security_context=context)
    return cri.ContainerConfig(metadata=cri.ContainerMetadata(name=name, attempt=attempt), image=cri.ImageSpec(image=image),
                               command=command, linux=linux, log_path=fields.pop("log_path", f"{name}.log"), **fields)
