"""`monopod oci`: the options of mounts, file systems of every type, id-mapped mounts, and tmpfs with what the image has."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.oci import RUNTIME, wait_for


def mount(target, fs_type=None, source=None, options=(), **more):
    entry = {"destination": target, "options": list(options), **more}
    if fs_type:
        entry["type"] = fs_type
    if source:
        entry["source"] = str(source)
    return lambda c: c["mounts"].append(entry)


def flags(text, target):
    """The options of the mount on `target`, from the lines of /proc/self/mountinfo."""
    return next(line.split()[5].split(",") for line in text.splitlines() if line.split()[4] == target)


def test_a_bind_loses_what_it_is_not_to_have(oci, tmp_path):
    """`exec` and `suid` of a bind from a file system that has neither."""
    (tmp_path / "place").mkdir()
    script = f'mount -t tmpfs -o nosuid,noexec,nodev,mode=755 none {tmp_path}/place && exec "$@"'
    oci.configure(mount("/a", source=tmp_path / "place", options=["bind", "exec", "suid", "nosymfollow"]), "cat", "/proc/self/mountinfo")
    oci.ids.append("bl1")
    result = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", RUNTIME, "--root", oci.root, "run", "--bundle", oci.bundle, "bl1"],
                            capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert set(flags(result.stdout, "/a")) & {"nosuid", "noexec", "nodev", "nosymfollow"} == {"nodev", "nosymfollow"}


def test_nosymfollow_holds(oci, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "file").write_text("text")
    (tmp_path / "d" / "link").symlink_to("file")
    result = oci.shell("ns1", "cat /d/file && ! cat /d/link", mount("/d", source=tmp_path / "d", options=["bind", "nosymfollow"]))
    assert result == "text"


@pytest.mark.parametrize("option, there", [("rnosuid", "nosuid"), ("rnodev", "nodev"), ("rnoexec", "noexec"), ("rro", "ro"), ("rnoatime", "noatime"),
                                           ("rnodiratime", "nodiratime"), ("rnosymfollow", "nosymfollow")])
def test_attributes_of_the_whole_tree(oci, tmp_path, option, there):
    place = tmp_path / "top"
    (place / "below").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", place / "below"], check=True)
    try:
        oci.configure(mount("/t", source=place, options=["rbind", option]), "cat", "/proc/self/mountinfo")
        text = oci.make("run", "at1").stdout
        assert there in flags(text, "/t") and there in flags(text, "/t/below")
        # and what is said of the top alone stays there, as does what is taken back later
        oci.configure(mount("/t", source=place, options=["rbind", option, there, "r" + (there[2:] if there != "ro" else "rw")]), "cat", "/proc/self/mountinfo")
        text = oci.make("run", "at2").stdout
        assert there in flags(text, "/t") and there not in flags(text, "/t/below")
    finally:
        subprocess.run(["umount", place / "below"], check=True)


def test_any_file_system_that_the_kernel_knows(oci, tmp_path):
    """An overlay of directories of the host, with options longer than fsconfig(2) takes; a disk image by its loop device; a type that is none."""
    lower = []
    for i in range(12):
        folder = tmp_path / f"a-layer-with-a-long-name-{i:02}"
        folder.mkdir()
        (folder / f"file{i}").write_text(str(i))
        lower.append(str(folder))
    (tmp_path / "up").mkdir()
    (tmp_path / "work").mkdir()
    options = [f"lowerdir={':'.join(lower)}", f"upperdir={tmp_path}/up", f"workdir={tmp_path}/work", "nodev"]
    assert len(options[0]) > 256
    text = oci.shell("fs1", "cat /o/file0 /o/file11; touch /o/new; grep ' /o ' /proc/self/mountinfo", mount("/o", "overlay", "overlay", options))
    assert text.startswith("011") and "nodev" in text and (tmp_path / "up" / "new").exists()
    assert "nosuchfs" in oci.refused("fs2", mount("/x", "nosuchfs", "none"))
    image = tmp_path / "disk"
    with open(image, "wb") as f:
        f.truncate(4 << 20)
    if not shutil.which("mkfs.ext4"):
        pytest.skip("no mkfs.ext4")
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    made = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip("no loop devices: " + made.stderr)
    loop = made.stdout.strip()
    try:
        text = oci.shell("fs3", "ls -d /e/lost+found; grep ' /e ' /proc/self/mountinfo; ! touch /e/x", mount("/e", "ext4", loop, ["ro", "noexec"]))
        assert "/e/lost+found" in text and "ext4" in text and "noexec" in text
    finally:
        subprocess.run(["losetup", "--detach", loop], check=True)


def test_a_tmpfs_takes_over_what_it_covers(oci):
    covered = oci.bundle / "rootfs" / "data"
    (covered / "sub").mkdir(parents=True)
    (covered / "file").write_text("text")
    os.chown(covered / "file", 12, 34)
    (covered / "file").chmod(0o4755)
    (covered / "plain").write_text("text")
    (covered / "link").symlink_to("/etc/shadow")
    os.mkfifo(covered / "fifo", 0o640)
    covered.chmod(0o711)
    script = "for f in /data /data/file /data/fifo; do ls -ldn $f; done; readlink /data/link; cat /data/file; echo more >>/data/plain; ls -d /data/sub; grep ' /data ' /proc/self/mountinfo"
    lines = oci.shell("cu1", script, mount("/data", "tmpfs", "tmpfs", ["tmpcopyup", "size=1m", "nodev"])).splitlines()
    assert lines[0].startswith("drwx--x--x") and lines[1].startswith("-rwsr-xr-x") and lines[1].split()[2:4] == ["12", "34"]
    assert lines[2].startswith("prw-r-----") and lines[3] == "/etc/shadow" and lines[4].startswith("text/data/sub") and "tmpfs" in lines[5]
    assert (covered / "plain").read_text() == "text"
    # and without it the directory's mode alone
    assert oci.shell("cu2", "ls -ldn /data; ls /data", mount("/data", "tmpfs", "tmpfs")).startswith("drwx--x--x")
    assert "No space" in oci.refused("cu3", lambda c: (mount("/bin", "tmpfs", "tmpfs", ["tmpcopyup", "size=64k"])(c)))
    assert "tmpcopyup" in oci.refused("cu4", mount("/data", source="/tmp", options=["bind", "tmpcopyup"]))


@pytest.mark.parametrize("target", ["/dev/.", "/./dev", "//dev/./"])
def test_dev_by_another_name(oci, target):
    def renamed(config):
        next(m for m in config["mounts"] if m["destination"] == "/dev")["destination"] = target
    assert oci.shell("dv1", "grep -c ' /dev ' /proc/self/mountinfo", renamed) == "1\n"


def test_copying_up_follows_no_link_out(oci, tmp_path):
    """A place that is a link of the image: looked up in the image, not on the host."""
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "secret").write_text("secret")
    (oci.bundle / "rootfs" / "evil").symlink_to(str(tmp_path / "host"))
    result = oci.shell("cl1", f"ls -a /evil; ls -a {tmp_path}/host; true", mount("/evil", "tmpfs", "tmpfs", ["tmpcopyup"]), check=False)
    assert "secret" not in result.stdout
    assert os.listdir(tmp_path / "host") == ["secret"]


def skip_unless_mappable(result):
    if "does not know id-mapped mounts" in result:
        pytest.skip("the file system of the temporary directory knows no id-mapped mounts")


def test_a_mount_with_maps_of_its_own(oci, tmp_path):
    (tmp_path / "d" / "below").mkdir(parents=True)
    (tmp_path / "d" / "mine").write_text("")
    os.chown(tmp_path / "d" / "mine", 1000, 2000)
    os.chown(tmp_path / "d", 1000, 2000)
    maps = {"uidMappings": [{"containerID": 1000, "hostID": 0, "size": 10}], "gidMappings": [{"containerID": 2000, "hostID": 0, "size": 10}]}
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path / "d" / "below"], check=True)
    try:
        os.mknod(tmp_path / "d" / "below" / "mine", 0o644)
        os.chown(tmp_path / "d" / "below" / "mine", 1001, 2001)
        oci.configure(mount("/d", source=tmp_path / "d", options=["bind", "idmap"], **maps), "true")
        skip_unless_mappable(oci.make("run", "im0", check=False).stderr)
        script = "ls -ln /d/mine /d/below/mine; touch /d/new"
        lines = [line.split() for line in oci.shell("im1", script, mount("/d", source=tmp_path / "d", options=["rbind", "idmap"], **maps)).splitlines()]
        assert {line[-1]: line[2:4] for line in lines} == {"/d/mine": ["0", "0"], "/d/below/mine": ["1001", "2001"]}
        made = os.stat(tmp_path / "d" / "new")
        assert (made.st_uid, made.st_gid) == (1000, 2000)
        # the one below is a tmpfs, which can be mapped since Linux 6.3
        deep = oci.shell("im2", "ls -ln /d/mine /d/below/mine", mount("/d", source=tmp_path / "d", options=["rbind", "ridmap"], **maps), check=False)
        skip_unless_mappable(deep.stderr)
        lines = [line.split() for line in deep.stdout.splitlines()]
        assert {line[-1]: line[2:4] for line in lines} == {"/d/mine": ["0", "0"], "/d/below/mine": ["1", "1"]}
    finally:
        subprocess.run(["umount", tmp_path / "d" / "below"], check=True)
    assert "needs mappings" in oci.refused("im3", mount("/d", source=tmp_path / "d", options=["bind", "idmap"]))
    assert "only a bind" in oci.refused("im4", mount("/d", "tmpfs", options=["idmap"], **maps))
    assert "overlap" in oci.refused("im5", mount("/d", source=tmp_path / "d", options=["bind"], uidMappings=maps["uidMappings"] * 2, gidMappings=maps["gidMappings"]))
    assert "uidMappings" in oci.refused("im6", mount("/d", source=tmp_path / "d", options=["bind", "idmap=uids=0-1-2"]))


def test_a_mount_with_the_maps_of_the_user_namespace(oci, tmp_path):
    (tmp_path / "d").mkdir()

    def mapped(config):
        config["linux"]["namespaces"].append({"type": "user"})
        config["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 70000, "size": 2000}]
        config["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 80000, "size": 2000}]
        mount("/d", source=tmp_path / "d", options=["bind", "idmap"])(config)
    oci.configure(mapped, "sh", "-c", "touch /d/new; ls -ln /d/new; sleep 1000")
    created = oci.create("iu1")
    skip_unless_mappable(created.out)
    assert created.returncode == 0, created.out
    oci.call("start", "iu1")
    wait_for(lambda: "/d/new" in oci.output("iu1"))
    assert oci.output("iu1").split()[2:4] == ["0", "0"]
    assert os.stat(tmp_path / "d" / "new").st_uid == 0


def test_an_image_mounts_nothing_in_the_host(oci, tmp_path):
    before = Path("/proc/self/mountinfo").read_text()
    oci.shell("nh1", "true", lambda c: (mount("/data", "tmpfs", "tmpfs", ["tmpcopyup"])(c), mount("/r", "ramfs", "ramfs")(c)))
    assert Path("/proc/self/mountinfo").read_text() == before
