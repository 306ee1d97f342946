"""Who a container runs as: every spelling of the user, groups by policy, capabilities, no_new_privs, privileged."""
import tarfile
from pathlib import Path

import grpc
import pytest

from harness.cri import cri
from harness.images import import_image, layer
from harness.pods import log_lines, pod, start, wait_exit

ACCOUNTS = layer({
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n500:x:77:77::/seventyseven:/bin/sh\n"
                  b"far:x:4294967294:4294967294::/far:/bin/sh\nbig:x:4294967296:0::/:/bin/sh\nhomeless:x:1001:1002::relative:/bin/sh\n"
                  b"tabbed:x:1003:1003::/with\ttab:/bin/sh\nshort:x:1004\n",
    "etc/group": b"root:x:0:\nuser:x:1000:\nextra:x:2000:user,other\nmore:x:2001:other,user\n600:x:88:\nhuge:x:4294967296:user\nfew\n"})

WHO = ["/bin/sh", "-c", "exec 2>/dev/null; id -u; id -g; echo $(id -G); echo $HOME"]


@pytest.fixture(scope="module")
def accounts(daemon, archive, workspace):
    """Imports the image with a USER; each spelling once."""
    made = {}

    def make(user, edit=None):
        if user not in made:
            name = f"docker.io/library/accounts:{len(made)}"
            made[user] = import_image(daemon.client(), archive, workspace, name, layers=[ACCOUNTS], edit=edit,
                                      configure=lambda config: config.__setitem__("User", user))
        return made[user]
    return make


@pytest.fixture(scope="module")
def box(daemon, tmp_path_factory):
    """A pod for all; call with the image and a security context: (lines of WHO, status.user)."""
    client, folder = daemon.client(), tmp_path_factory.mktemp("identity")
    with pod(client, "identity", folder) as (pod_id, config):
        count = iter(range(10000))

        def run(image, security=None, command=None, lines=4, **fields):
            name = f"c{next(count)}"
            container_id = start(client, pod_id, config, image, command or WHO, name=name, security=security, **fields)
            status = wait_exit(client, container_id)
            assert status.exit_code == 0, status
            user = status.user.linux
            client.RemoveContainer(container_id=container_id)
            texts = [text for _, _, text in log_lines(folder / f"{name}.log", lines)] if lines else []
            return texts, (user.uid, user.gid, list(user.supplemental_groups))
        run.client, run.pod_id, run.config = client, pod_id, config
        yield run


def security(**fields):
    for name in ("run_as_user", "run_as_group"):
        if name in fields:
            fields[name] = cri.Int64Value(value=fields[name])
    return cri.LinuxContainerSecurityContext(**fields)


def refusal(box, image, code=grpc.StatusCode.INVALID_ARGUMENT, **fields):
    """The sentence with which Create or Start refuses."""
    with pytest.raises(grpc.RpcError) as caught:
        box(image, lines=0, **fields)
    assert caught.value.code() == code, caught.value
    return caught.value.details()


# ---- the image's USER ----

@pytest.mark.parametrize("user, wanted, home", [
    ("", (0, 0, {0}), "/root"),
    ("root", (0, 0, {0}), "/root"),
    ("0", (0, 0, {0}), "/root"),
    ("user", (1000, 1000, {1000, 2000, 2001}), "/home/user"),
    ("1000", (1000, 1000, {1000, 2000, 2001}), "/home/user"),
    ("user:", (1000, 1000, {1000, 2000, 2001}), "/home/user"),
    ("user:extra", (1000, 2000, {2000, 2001}), "/home/user"),
    ("user:3000", (1000, 3000, {3000, 2000, 2001}), "/home/user"),
    ("1000:extra", (1000, 2000, {2000, 2001}), "/home/user"),
    ("1234", (1234, 0, {0}), "/"),
    ("1234:5678", (1234, 5678, {5678}), "/"),
    ("001000", (1000, 1000, {1000, 2000, 2001}), "/home/user"),
    ("far", (4294967294, 4294967294, {4294967294}), "/far"),
    ("4294967294", (4294967294, 4294967294, {4294967294}), "/far"),
    ("500", (500, 0, {0}), "/"),              # digits are a number, whatever /etc/passwd calls a name
    ("1000:600", (1000, 600, {600, 2000, 2001}), "/home/user"),
    ("homeless", (1001, 1002, {1002}), "/"),  # a home that is no absolute path is none
    ("tabbed", (1003, 1003, {1003}), "/"),    # nor one that could forge a line of a file
])
def test_image_user(accounts, box, user, wanted, home):
    texts, status = box(accounts(user))
    assert texts[:2] == [str(wanted[0]), str(wanted[1])] and set(map(int, texts[2].split())) == wanted[2] and texts[3] == home
    assert status[:2] == wanted[:2] and set(status[2]) == wanted[2]


@pytest.mark.parametrize("user", [
    "nobody-here", "-1", "+1", "0x0", " 0", "0 ", "1e3", "4294967295", "4294967296", "18446744073709551616", "9" * 200, "user:nogroup",
    "user:4294967295", "1000:18446744073709551616", ":1000", ":user", "user:-1", "user:extra:more", "big", "short", "root\n", "ro\tot", "x" * 300,
    "\u0660", "../../etc/passwd", "user:\n"])
def test_cve_2024_40635_image_users_that_are_none(accounts, box, user):
    """CVE-2024-40635, CVE-2026-46680, CVE-2026-30892: what is no user is refused, and never becomes root."""
    assert "user" in refusal(box, accounts(user)) or "group" in refusal(box, accounts(user))


@pytest.mark.parametrize("user, uid, username", [
    ("", None, ""), ("1000", 1000, ""), ("1000:1000", 1000, ""), ("user:extra", None, "user"), ("4294967294", 4294967294, ""),
    ("4294967295", None, "4294967295"), ("4294967296", None, "4294967296"), ("99999999999999999999999", None, "9" * 23)])
def test_cve_2024_40635_what_a_kubelet_reads_of_the_user(box, accounts, user, uid, username):
    """A kubelet runs an image that tells neither uid nor username as root: a number that is no uid has to be told as a name."""
    told = box.client.ImageStatus(image=cri.ImageSpec(image=accounts(user))).image
    assert (told.uid.value if told.HasField("uid") else None, told.username) == (uid, username)
    if username.isdigit():
        assert "run_as_username" in refusal(box, accounts(user), security=security(run_as_username=username))


def test_a_user_that_is_no_text(box, accounts):
    """Strings of the wire are UTF-8; an image's user need not be. The reply stays readable, and nobody becomes root."""
    image = accounts("raw-bytes", edit=lambda text: text.replace(b"raw-bytes", b"r\xff\xfet"))
    told = box.client.ImageStatus(image=cri.ImageSpec(image=image), verbose=True)
    assert told.image.username == "r??t" and not told.image.HasField("uid") and told.info
    assert "user" in refusal(box, image)


# ---- the request ----

@pytest.mark.parametrize("fields, wanted", [
    (dict(run_as_user=1000), (1000, 1000, {1000, 2000, 2001})),
    (dict(run_as_user=0), (0, 0, {0})),
    (dict(run_as_user=4000), (4000, 0, {0})),
    (dict(run_as_user=1000, run_as_group=5), (1000, 5, {5, 2000, 2001})),
    (dict(run_as_user=4294967294, run_as_group=4294967294), (4294967294, 4294967294, {4294967294})),
    (dict(run_as_username="user"), (1000, 1000, {1000, 2000, 2001})),
    (dict(run_as_username="user", run_as_group=7), (1000, 7, {7, 2000, 2001})),
    (dict(run_as_user=1000, supplemental_groups=[9, 10, 9]), (1000, 1000, {1000, 2000, 2001, 9, 10})),
    (dict(run_as_user=1000, supplemental_groups=[9], supplemental_groups_policy=cri.Strict), (1000, 1000, {1000, 9})),
    (dict(run_as_user=1000, supplemental_groups_policy=cri.Strict), (1000, 1000, {1000})),
    (dict(supplemental_groups=[9], supplemental_groups_policy=cri.Strict), (1000, 2000, {2000, 9})),
])
def test_requested_user(accounts, box, fields, wanted):
    """The request wins over the image, which asks for user:extra here; Strict leaves out what /etc/group says (CVE-2022-2995)."""
    texts, status = box(accounts("user:extra"), security(**fields))
    assert texts[:2] == [str(wanted[0]), str(wanted[1])] and set(map(int, texts[2].split())) == wanted[2]
    assert status[:2] == wanted[:2] and set(status[2]) == wanted[2]


@pytest.mark.parametrize("fields, part", [
    (dict(run_as_group=5), "run_as_group"),
    (dict(run_as_user=-1), "run_as_user"),
    (dict(run_as_user=4294967295), "run_as_user"),
    (dict(run_as_user=4294967296), "run_as_user"),
    (dict(run_as_user=1, run_as_group=-1), "run_as_group"),
    (dict(run_as_user=1, run_as_group=1 << 40), "run_as_group"),
    (dict(run_as_user=1, run_as_username="user"), "run_as_username"),
    (dict(run_as_username="ghost"), "ghost"),
    (dict(run_as_username="1000"), "run_as_username"),
    (dict(run_as_username="user:extra"), "run_as_username"),
    (dict(run_as_username="user\nroot::0:0"), "run_as_username"),
    (dict(run_as_user=1, supplemental_groups=[-1]), "supplemental_groups[0]"),
    (dict(run_as_user=1, supplemental_groups=[4294967295]), "supplemental_groups[0]"),
    (dict(run_as_user=1, supplemental_groups=list(range(2000))), "groups"),
])
def test_requested_users_that_are_refused(accounts, box, fields, part):
    assert part in refusal(box, accounts("user:extra"), security=security(**fields))


def test_exec_is_the_same_user(accounts, box):
    image = accounts("user:extra")
    container_id = start(box.client, box.pod_id, box.config, image, ["sleep", "1000"], name="exec",
                         security=security(supplemental_groups=[9], supplemental_groups_policy=cri.Strict))
    done = box.client.ExecSync(container_id=container_id, cmd=["sh", "-c", "id -u; id -g; echo $(id -G); echo $HOME"], timeout=10)
    assert done.stdout == b"1000\n2000\n2000 9\n/home/user\n"
    box.client.StopContainer(container_id=container_id)


def test_cve_2022_4318_the_image_keeps_its_files(accounts, box):
    """CVE-2022-4318: neither HOME nor a user without an entry is written into /etc/passwd."""
    script = "wc -l < /etc/passwd; grep -c 4000 /etc/passwd || true"
    texts, _ = box(accounts("user"), security(run_as_user=4000), command=["sh", "-c", script], lines=2,
                   envs=[cri.KeyValue(key="HOME", value=b"/x\nroot2::0:0::/:/bin/sh")])
    assert texts == [str(8), "0"]


# ---- capabilities ----

DEFAULT = {"CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP", "NET_BIND_SERVICE",
           "SYS_CHROOT", "KILL", "AUDIT_WRITE"}
NUMBERS = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7, "SETPCAP": 8, "NET_BIND_SERVICE": 10,
           "NET_ADMIN": 12, "NET_RAW": 13, "SYS_CHROOT": 18, "SYS_PTRACE": 19, "SYS_ADMIN": 21, "SYS_TIME": 25, "MKNOD": 27,
           "AUDIT_WRITE": 29, "SETFCAP": 31}


def held():
    """What this machine can grant at all: the bounding set of the tests, which the daemon has inherited."""
    for line in open("/proc/self/status"):
        if line.startswith("CapBnd"):
            return int(line.split()[1], 16)
    raise AssertionError("no CapBnd")


def mask(names):
    return sum(1 << NUMBERS[name] for name in names) & held()


def capabilities(box, image, **fields):
    lists = {key: fields.pop(key) for key in list(fields) if key.endswith("capabilities")}
    context = security(capabilities=cri.Capability(**lists), **fields)
    texts, _ = box(image, context, command=["sh", "-c", "grep -E '^(Cap|NoNewPrivs)' /proc/self/status"], lines=6)
    return {text.split(":")[0]: int(text.split()[1], 16) for text in texts}


@pytest.mark.parametrize("lists, wanted", [
    ({}, DEFAULT),
    (dict(add_capabilities=["NET_ADMIN"]), DEFAULT | {"NET_ADMIN"}),
    (dict(add_capabilities=["CAP_NET_ADMIN"]), DEFAULT | {"NET_ADMIN"}),
    (dict(add_capabilities=["cap_net_admin"]), DEFAULT | {"NET_ADMIN"}),
    (dict(drop_capabilities=["CHOWN", "CAP_KILL"]), DEFAULT - {"CHOWN", "KILL"}),
    (dict(drop_capabilities=["ALL"]), set()),
    (dict(drop_capabilities=["all"], add_capabilities=["NET_BIND_SERVICE"]), {"NET_BIND_SERVICE"}),
    (dict(add_capabilities=["ALL"], drop_capabilities=["ALL"]), set()),
    (dict(add_capabilities=["KILL"], drop_capabilities=["KILL"]), DEFAULT - {"KILL"}),
])
def test_capabilities_of_root(image, box, lists, wanted):
    found = capabilities(box, image, **lists)
    assert found["CapEff"] == found["CapPrm"] == found["CapBnd"] == mask(wanted) and found["CapInh"] == found["CapAmb"] == 0


def test_all_capabilities(image, box):
    assert capabilities(box, image, add_capabilities=["ALL"])["CapEff"] == held() & ((1 << 41) - 1)
    assert capabilities(box, image, add_capabilities=["ALL"], drop_capabilities=["CHOWN"])["CapEff"] == held() & ((1 << 41) - 1) & ~1


def test_capabilities_of_a_user(image, box):
    found = capabilities(box, image, run_as_user=1000)
    assert found["CapEff"] == found["CapPrm"] == found["CapInh"] == found["CapAmb"] == 0 and found["CapBnd"] == mask(DEFAULT)


def test_ambient_capabilities(image, box):
    """They outlive exec for a user without privileges, and are in all five sets."""
    found = capabilities(box, image, run_as_user=1000, drop_capabilities=["ALL"], add_ambient_capabilities=["CAP_NET_BIND_SERVICE"])
    wanted = mask({"NET_BIND_SERVICE"})
    assert {found[name] for name in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd")} == {wanted}


@pytest.mark.parametrize("field", ["add_capabilities", "drop_capabilities", "add_ambient_capabilities"])
@pytest.mark.parametrize("name", ["CAP_EVERYTHING", "SYS_ADMIN,NET_ADMIN", "21", "CAP_CAP_KILL", "ALL "])
def test_unknown_capabilities_are_refused(image, box, field, name):
    assert "capabilities" in refusal(box, image, security=security(capabilities=cri.Capability(**{field: [name]})))


def test_cve_2022_24769_nothing_is_inheritable(image, box):
    """CVE-2022-24769, 27650, 27652, 29162, CVE-2025-27612: neither the first process nor a command executed later inherits rights."""
    context = security(run_as_user=1000, capabilities=cri.Capability(add_capabilities=["NET_ADMIN"]))
    container_id = start(box.client, box.pod_id, box.config, image, ["sleep", "1000"], name="inherit", security=context)
    done = box.client.ExecSync(container_id=container_id, cmd=["grep", "-hE", "^Cap(Inh|Prm|Eff|Amb)", "/proc/1/status", "/proc/self/status"], timeout=10)
    values = [int(line.split()[1], 16) for line in done.stdout.splitlines()]
    assert values == [0] * 8
    box.client.StopContainer(container_id=container_id)


@pytest.mark.parametrize("wanted", [False, True])
def test_no_new_privs(daemon, archive, workspace, box, wanted):
    """It takes effect: a set-uid program gives a user nothing. Busybox's su says when it has not become root."""
    program = tarfile.TarInfo("suid/su")
    content = Path("/bin/busybox").read_bytes()
    program.mode, program.size = 0o4755, len(content)
    image = import_image(daemon.client(), archive, workspace, "docker.io/library/suid:1", layers=[layer({"suid/su": (program, content)})])
    script = "grep NoNewPrivs /proc/self/status; /suid/su root -c true 2>&1 < /dev/null | grep -c 'must be suid'; true"
    texts, _ = box(image, security(run_as_user=1000, no_new_privs=wanted), command=["sh", "-c", script], lines=2)
    assert texts == [f"NoNewPrivs:\t{int(wanted)}", str(int(wanted))]


def test_privileged(image, box):
    """Everything that the machine can give: all capabilities, no filter, nothing masked, a writable /sys."""
    script = ("grep -E '^(CapEff|Seccomp):' /proc/self/status; grep -c /proc/kcore /proc/self/mountinfo; "
              "grep ' /sys ' /proc/self/mountinfo | cut -d ' ' -f 6 | cut -d , -f 1; echo $(id -u)")
    context = security(privileged=True, masked_paths=["/proc/kcore"], readonly_paths=["/proc/sys"])
    with pod(box.client, "privileged", "/tmp", linux=cri.LinuxPodSandboxConfig(
            security_context=cri.LinuxSandboxSecurityContext(privileged=True))) as (pod_id, config):
        container_id = start(box.client, pod_id, config, image, ["sleep", "1000"], security=context, log_path="")
        texts = box.client.ExecSync(container_id=container_id, cmd=["sh", "-c", script], timeout=10).stdout.decode().splitlines()
    assert int(texts[0].split()[1], 16) == held() & ((1 << 41) - 1)
    assert texts[1].split()[1] == "0" and texts[2:] == ["0", "rw", "0"]


