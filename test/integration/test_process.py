"""What a process finds around it: environment, directory, signals, terminal, standard input, limits, masks, its termination message."""
import os
import signal
import time

import grpc
import pytest

from harness.cri import MASKED, cri
from harness.images import import_image
from harness.pods import log_lines, pod, start, wait_exit


@pytest.fixture(scope="module")
def box(daemon, tmp_path_factory):
    """A pod for all; call with image and command: the lines of its output, once it has ended well."""
    client, folder = daemon.client(), tmp_path_factory.mktemp("process")
    with pod(client, "process", folder) as (pod_id, config):
        count = iter(range(10000))

        def begin(image, command, **fields):
            name = f"c{next(count)}"
            return start(client, pod_id, config, image, command, name=name, **fields), folder / f"{name}.log"

        def run(image, command, lines=1, **fields):
            container_id, log = begin(image, command, **fields)
            status = wait_exit(client, container_id)
            assert status.exit_code == 0, (status, log.read_text())
            client.RemoveContainer(container_id=container_id)
            return [text for _, _, text in log_lines(log, lines)]
        run.client, run.pod_id, run.config, run.begin = client, pod_id, config, begin
        yield run


@pytest.fixture(scope="module")
def changed(daemon, archive, workspace):
    """Imports the image with another configuration."""
    count = iter(range(1000))

    def make(**changes):
        name = f"docker.io/library/changed:{next(count)}"
        return import_image(daemon.client(), archive, workspace, name, **changes)
    return make


def refusal(box, image, command, **fields):
    with pytest.raises(grpc.RpcError) as caught:
        box(image, command, **fields)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT, caught.value
    return caught.value.details()


# ---- environment ----

def environment(box, container_id):
    """As the kernel has it: bytes."""
    done = box.client.ExecSync(container_id=container_id, cmd=["cat", "/proc/1/environ"], timeout=10)
    return done.stdout.rstrip(b"\0").split(b"\0")


def test_environment_is_bytes(box, changed):
    """Of an image and of a request; the last of two wins in the place of the first; '=' and line ends belong to the value."""
    def edit(text):
        return text.replace(b"RAW-BYTES", b"\xff\xfe\x80")

    def configure(config):
        config["Env"] += ["A=of the image", "RAW=RAW-BYTES", "NO-VALUE", "=nameless", "EMPTY=", "B=1", "B=2"]
    envs = [("A", b"of the request"), ("RAW2", b"\xc3(\n\x01"), ("EQUALS", b"a=b=c"), ("TWICE", b"1"), ("TWICE", b"2"), ("weird name-1", b"x"),
            ("\u00fc", b"x")]
    container_id, _ = box.begin(changed(configure=configure, edit=edit), ["sleep", "1000"],
                                envs=[cri.KeyValue(key=key, value=value) for key, value in envs])
    found = environment(box, container_id)
    for wanted in (b"A=of the request", b"RAW=\xff\xfe\x80", b"EMPTY=", b"B=2", b"RAW2=\xc3(\n\x01", b"EQUALS=a=b=c", b"TWICE=2", b"weird name-1=x",
                   "\u00fc=x".encode(), b"HOSTNAME=process", b"HOME=/root"):
        assert found.count(wanted) == 1, wanted
    names = [variable.split(b"=")[0] for variable in found]
    assert len(names) == len(set(names)) and b"NO-VALUE" not in names and b"" not in names
    box.client.StopContainer(container_id=container_id)


@pytest.mark.parametrize("key, value", [("", b"x"), ("A=B", b"x"), ("A", b"x\0y"), ("A", b"x" * (128 << 10))])
def test_variables_that_are_refused(box, image, key, value):
    assert "envs[0]" in refusal(box, image, ["true"], envs=[cri.KeyValue(key=key, value=value)])


def test_thousands_of_variables(box, image):
    """Kubernetes adds several for each service of a namespace."""
    envs = [cri.KeyValue(key=f"SERVICE_{n}_PORT_80_TCP_ADDR", value=b"192.0.2.1") for n in range(5000)]
    assert box(image, ["sh", "-c", "env | grep -c ^SERVICE_"], envs=envs) == ["5000"]


# ---- working directory ----

@pytest.mark.parametrize("image_dir, request_dir, wanted", [
    (None, "", "/"), ("/of/image", "", "/of/image"), ("/of/image", "/of/request", "/of/request"), (None, "//a/./b/", "/a/b")])
def test_working_directory_is_made(box, changed, image_dir, request_dir, wanted):
    """It belongs to the user who is to work there."""
    image = changed(configure=lambda config: config.__setitem__("WorkingDir", image_dir)) if image_dir else changed()
    context = cri.LinuxContainerSecurityContext(run_as_user=cri.Int64Value(value=1000))
    texts = box(image, ["sh", "-c", "pwd; stat -c '%a %u %g' ."], lines=2, working_dir=request_dir, security=context)
    assert texts == [wanted, "755 0 0" if wanted == "/" else "755 1000 1000"]


@pytest.mark.parametrize("path", ["relative", "/a/../../b", "/x" * 2100])
def test_working_directories_that_are_refused(box, image, path):
    assert "working" in refusal(box, image, ["true"], working_dir=path)


# ---- signals ----

NAMES = [name for name in cri.Signal.keys() if name != "SIGNAL_RUNTIME_DEFAULT"]


def number(name):
    """Of the kernel of this machine: Python's table, and the two real-time ranges as programs see them."""
    name = name.removeprefix("SIGNAL_")
    for base, sign, first in (("SIGRTMIN", 1, 34), ("SIGRTMAX", -1, 64)):
        if name.startswith(base):
            return first + sign * int(name.removeprefix(base).removeprefix("PLUS").removeprefix("MINUS") or 0)
    return int(signal.Signals[name])


# All but SIGCHLD, which the shell gets from each sleep.
TRAP = "for s in $(seq 1 16) $(seq 18 64); do trap \"echo got $s; exit 7\" $s 2>/dev/null; done; echo ready; while :; do sleep 0.05; done"


def stop_and_ask(box, image, **fields):
    """Which signal a container gets that listens for every one; the status' name for it."""
    container_id, log = box.begin(image, ["sh", "-c", TRAP], **fields)
    log_lines(log, 1)
    told = box.client.ContainerStatus(container_id=container_id).status.stop_signal
    box.client.StopContainer(container_id=container_id, timeout=10)
    texts = [text for _, _, text in log_lines(log, 1)]
    status = wait_exit(box.client, container_id)
    box.client.RemoveContainer(container_id=container_id)
    return int(texts[1].split()[1]) if len(texts) > 1 else 128 - status.exit_code, told


def test_there_are_65_names():
    assert len(NAMES) == 65 and len({number(name) for name in NAMES}) == 62


@pytest.mark.parametrize("name", ["SIGNAL_SIGHUP", "SIGNAL_SIGUSR1", "SIGNAL_SIGQUIT", "SIGNAL_SIGPOLL", "SIGNAL_SIGIOT", "SIGNAL_SIGSTKFLT", "SIGNAL_SIGSYS",
                                  "SIGNAL_SIGRTMIN", "SIGNAL_SIGRTMINPLUS15", "SIGNAL_SIGRTMAXMINUS14", "SIGNAL_SIGRTMAX"])
def test_stop_signal_of_the_request(box, image, name):
    """A signal with two names is told by the first of them."""
    got, told = stop_and_ask(box, image, stop_signal=cri.Signal.Value(name))
    assert got == number(name) and number(cri.Signal.Name(told)) == number(name)


def test_stop_signal_that_nobody_can_catch(box, image):
    assert stop_and_ask(box, image, stop_signal=cri.SIGNAL_SIGKILL) == (-9, cri.SIGNAL_SIGKILL)


@pytest.mark.parametrize("spelling, wanted", [
    ("SIGUSR2", 12), ("usr2", 12), ("sigusr2", 12), ("12", 12), ("SIGRTMIN+3", 37), ("RTMIN+3", 37), ("SIGRTMAX-1", 63), ("64", 64), ("", 15),
    ("SIGNOTHING", 15), ("65", 15), ("-9", 15), ("SIGRTMIN+31", 15), ("RTMAX+1", 15), ("0", 15), ("9 ", 15), ("999999999999", 15)])
def test_stop_signal_of_the_image(box, changed, spelling, wanted):
    """What is none ends the container like one that says nothing: an image cannot make itself unstoppable."""
    got, told = stop_and_ask(box, changed(configure=lambda config: config.__setitem__("StopSignal", spelling)))
    assert (got, number(cri.Signal.Name(told))) == (wanted, wanted)


def test_the_requests_signal_wins(box, changed):
    image = changed(configure=lambda config: config.__setitem__("StopSignal", "SIGUSR1"))
    assert stop_and_ask(box, image, stop_signal=cri.SIGNAL_SIGINT) == (2, cri.SIGNAL_SIGINT)


def test_signals_start_at_their_defaults(box, image):
    """Nothing is ignored and nothing blocked, whatever the daemon does with its own."""
    texts = box(image, ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"], lines=2)
    assert [int(text.split()[1], 16) for text in texts] == [0, 0]


# ---- terminal and standard input ----

def test_terminal(box, image):
    """A pty of the container's own devpts: it has a name there, is the controlling terminal, and belongs to the user."""
    script = "tty; stat -c '%t:%T' /dev/console; test /dev/pts/0 -ef $(readlink /proc/self/fd/0) && echo same; stat -c %u /dev/pts/0; echo $TERM; ls /dev/pts"
    context = cri.LinuxContainerSecurityContext(run_as_user=cri.Int64Value(value=1000))
    texts = [text.rstrip("\r") for text in box(image, ["sh", "-c", script + "; echo > /dev/tty && echo controlled"], lines=8, tty=True, security=context)]
    assert texts[:5] == ["/dev/pts/0", "88:0", "same", "1000", "xterm"] and "controlled" in texts
    assert set(" ".join(texts[5:]).split()) >= {"0", "ptmx"}


def test_terminal_is_one_stream(box, image):
    container_id, log = box.begin(image, ["sh", "-c", "echo out; echo err >&2"], tty=True)
    wait_exit(box.client, container_id)
    assert [(stream, text.rstrip("\r")) for stream, _, text in log_lines(log, 2)] == [("stdout", "out"), ("stdout", "err")]


def test_standard_input_that_nobody_asked_for(box, image):
    """It is the container's own /dev/null."""
    assert box(image, ["sh", "-c", "cat; test /dev/null -ef /proc/self/fd/0 && echo null"]) == ["null"]


@pytest.mark.parametrize("once", [False, True])
def test_standard_input_stays_open(box, image, once):
    """A reader waits for an attach; `stdin_once` without one changes nothing."""
    container_id, log = box.begin(image, ["sh", "-c", "echo waiting; cat; echo ended"], stdin=True, stdin_once=once)
    log_lines(log, 1)
    time.sleep(0.3)
    assert box.client.ContainerStatus(container_id=container_id).status.state == cri.CONTAINER_RUNNING
    assert len(log.read_text().splitlines()) == 1
    box.client.StopContainer(container_id=container_id, timeout=0)


def test_streams_can_be_opened_again(box, image):
    """Programs write to /dev/stdout, which means opening the pipe through /proc as the container's user."""
    context = cri.LinuxContainerSecurityContext(run_as_user=cri.Int64Value(value=1000))
    assert box(image, ["sh", "-c", "echo again > /dev/stdout; echo error > /dev/stderr"], lines=2, security=context)[0] == "again"


# ---- namespaces ----

def test_target_pid_namespace(box, image):
    """An ephemeral container sees the processes of the one that it is to look into, and nobody else's."""
    target, _ = box.begin(image, ["sleep", "1234"])
    context = cri.LinuxContainerSecurityContext(namespace_options=cri.NamespaceOption(pid=cri.TARGET, target_id=target))
    texts = box(image, ["sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '; echo; ls -d /proc/[0-9]* | wc -l"], lines=2, security=context)
    assert texts[0].startswith("sleep 1234") and int(texts[1]) <= 5
    box.client.StopContainer(container_id=target, timeout=0)


@pytest.mark.parametrize("target_id", ["", "0" * 64])
def test_targets_that_are_refused(box, image, target_id):
    context = cri.LinuxContainerSecurityContext(namespace_options=cri.NamespaceOption(pid=cri.TARGET, target_id=target_id))
    assert "target_id" in refusal(box, image, ["true"], security=context)


def test_a_target_that_has_ended(box, image):
    target, _ = box.begin(image, ["true"])
    wait_exit(box.client, target)
    context = cri.LinuxContainerSecurityContext(namespace_options=cri.NamespaceOption(pid=cri.TARGET, target_id=target))
    with pytest.raises(grpc.RpcError, match="does not run") as caught:
        box(image, ["true"], security=context)
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION


# ---- limits ----

def limits(lines):
    return {line[:26].strip(): line[26:].split()[:2] for line in lines}


def test_resource_limits(workspace, archive, image, tmp_path):
    """Those of runtime.rlimits, for the first process and for others; the rest as the daemon was started, not as it raised its own."""
    from harness.daemon import Daemon
    import resource
    folder = workspace / "rlimits"
    folder.mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    daemon = Daemon(folder, options={"runtime.rlimits": "core=0,nproc=4000:5000", "net.bridge": f"mpl{os.getpid() % 100000}", "net.pod_cidr": "10.215.0.0/16"})
    try:
        client = daemon.start().client()
        client.ImportImage(archive)
        with pod(client, "limits", tmp_path) as (pod_id, config):
            container_id = start(client, pod_id, config, image, ["sh", "-c", "cat /proc/self/limits; sleep 1000"])
            ours = limits(text for _, _, text in log_lines(tmp_path / "main.log", 17))
            done = client.ExecSync(container_id=container_id, cmd=["cat", "/proc/self/limits"], timeout=10)
            assert limits(done.stdout.decode().splitlines()) == ours
        assert ours["Max core file size"] == ["0", "0"] and ours["Max processes"] == ["4000", "5000"]
        assert ours["Max open files"] == [str(soft), str(hard)]
        assert daemon.stop() == 0
    finally:
        daemon.wreck()


def test_resource_limits_that_make_no_sense(workspace, tmp_path):
    from harness.daemon import Daemon
    daemon = Daemon(tmp_path, options={"runtime.rlimits": "nofile=2:1", "net.bridge": f"mpl{os.getpid() % 100000}"})
    try:
        with pytest.raises(AssertionError, match="runtime.rlimits: nofile: the soft limit is above the hard one"):
            daemon.start()
    finally:
        daemon.wreck()


# ---- masks ----



def seen(box, image, **fields):
    """What /proc/self/mountinfo lists below /proc and /sys."""
    texts = box(image, ["sh", "-c", "cut -d ' ' -f 5,6 /proc/self/mountinfo; echo end"], lines=10, **fields)
    return {line.split()[0]: line.split()[1].split(",")[0] for line in texts if line.startswith(("/proc/", "/sys/")) and "cgroup" not in line}


def exists(path):
    return os.path.exists(path)


def test_masks_as_a_kubelet_sends_them(box, image):
    found = seen(box, image)
    assert {path for path in MASKED if exists(path)} <= set(found) and found["/proc/sys"] == "ro"


def test_masks_as_given(box, image):
    context = cri.LinuxContainerSecurityContext(masked_paths=["/proc/uptime", "/proc/no-such-file", "/etc/passwd"], readonly_paths=["/proc/irq", "/tmp"])
    texts = box(image, ["sh", "-c", "wc -c < /proc/uptime; wc -c < /etc/passwd; touch /tmp/x 2>/dev/null || echo readonly; ls /proc/version; "
                        "grep -c ' /proc/sys ' /proc/self/mountinfo; true"], lines=5, security=context)
    assert texts == ["0", "0", "readonly", "/proc/version", "0"]


def test_no_masks_for_proc_mount_unmasked(box, image):
    """Empty lists hide nothing of /proc; the power meter stays hidden where there is one."""
    assert set(seen(box, image, unmasked=True)) <= {"/sys/devices/virtual/powercap"}


def test_masks_of_who_has_not_thought_about_it(box, image, logs):
    """A request without a security context is not unmasked."""
    config = cri.ContainerConfig(metadata=cri.ContainerMetadata(name="plain"), image=cri.ImageSpec(image=image), log_path="plain.log",
                                 command=["sh", "-c", "cut -d ' ' -f 5 /proc/self/mountinfo; echo end"])
    created = box.client.CreateContainer(pod_sandbox_id=box.pod_id, config=config, sandbox_config=box.config)
    box.client.StartContainer(container_id=created.container_id)
    wait_exit(box.client, created.container_id)
    found = {text for _, _, text in log_lines(f"{box.config.log_directory}/plain.log", 10)}
    assert {path for path in MASKED + ["/proc/sys"] if exists(path)} <= found


@pytest.mark.parametrize("field", ["masked_paths", "readonly_paths"])
@pytest.mark.parametrize("path", ["proc/kcore", "/proc/../etc", ""])
def test_masks_that_are_refused(box, image, field, path):
    assert f"{field}[0]" in refusal(box, image, ["true"], security=cri.LinuxContainerSecurityContext(**{field: [path]}))


def test_readonly_root(box, image):
    context = cri.LinuxContainerSecurityContext(readonly_rootfs=True)
    script = "touch /x 2>/dev/null || echo root; touch /etc/hosts 2>/dev/null || echo hosts; touch /dev/shm/x && touch /dev/x && echo dev"
    assert box(image, ["sh", "-c", script], lines=3, security=context) == ["root", "hosts", "dev"]


# ---- termination message ----

def test_termination_message(box, image, tmp_path):
    """A kubelet mounts a file for it, below our fresh /dev by default."""
    message = tmp_path / "message"
    message.touch()
    annotations = {"io.kubernetes.container.terminationMessagePath": "/dev/termination-log"}
    box(image, ["sh", "-c", "echo last words > /dev/termination-log; echo done"], annotations=annotations,
        mounts=[cri.Mount(container_path="/dev/termination-log", host_path=str(message))])
    assert message.read_text() == "last words\n"


