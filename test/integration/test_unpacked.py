"""What other tools have packed is here what umoci makes of it: every entry, by type, mode, owner, size, content, attributes, time and links."""
import json
import os
import shutil
import struct
import subprocess

import pytest

# Of a tree, a line of JSON for each entry; of hard links, the first of the names that a file goes by, since an overlay counts those too that an
# upper layer has removed. Runs in a mount namespace of its own, with the layers (topmost first) mounted over each other.
INVENTORY = """
import hashlib, json, os, stat, subprocess, sys
if sys.argv[2:]:
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", "lowerdir=" + ":".join(sys.argv[2:] + [sys.argv[1]]), sys.argv[1]], check=True)
root = os.fsencode(sys.argv[1])
def attributes(path):
    names = [n for n in os.listxattr(path, follow_symlinks=False) if n.startswith("user.") or n == "security.capability"]
    return {n: os.getxattr(path, n, follow_symlinks=False).hex() for n in names}
first = {}
for folder, folders, files in os.walk(root):
    for name in sorted(folders) + sorted(files) + ([b"."] if folder == root else []):
        path = os.path.normpath(os.path.join(folder, name))
        st = os.lstat(path)
        kind = stat.S_IFMT(st.st_mode)
        entry = {"path": repr(os.path.relpath(path, root)), "mode": oct(st.st_mode), "owner": [st.st_uid, st.st_gid], "mtime": st.st_mtime_ns}
        if kind == stat.S_IFREG:
            entry["size"], entry["sha256"] = st.st_size, hashlib.sha256(open(path, "rb").read()).hexdigest()
            entry["first"] = first.setdefault(st.st_ino, entry["path"])
        if kind == stat.S_IFLNK:
            entry["target"] = repr(os.readlink(path))
        if kind in (stat.S_IFCHR, stat.S_IFBLK):
            entry["device"] = st.st_rdev
        if kind in (stat.S_IFREG, stat.S_IFDIR):
            entry["attributes"] = attributes(path)
        print(json.dumps(entry))
"""


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, **options)
    assert done.returncode == 0, f"{command}: {done.stderr.decode()[-1000:]}"
    return done.stdout.decode()


def inventory(root, layers=()):
    lines = run("unshare", "--mount", "/usr/bin/python3", "-c", INVENTORY, root, *layers).splitlines()
    return {entry["path"]: entry for entry in map(json.loads, lines)}


def write(path, data, mode=0o644, owner=(0, 0), mtime_ns=1_234_567_890_123_456_789):
    path.write_bytes(data)
    os.chown(path, *owner)
    path.chmod(mode)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def first_layer(root):
    """Every kind of file that a tree can hold."""
    (root / "bin").mkdir()
    write(root / "bin/setuid", b"x", 0o4755, (7, 8))
    write(root / "bin/setgid", b"y", 0o2711, (0, 9))
    write(root / "bin/capable", b"z", 0o755)
    os.setxattr(root / "bin/capable", "security.capability", struct.pack("<5I", 0x02000001, 0x3000, 0, 0, 0))  # cap_net_admin, cap_net_raw
    os.setxattr(root / "bin/capable", "user.note", b"\0\xffbinary")
    os.setxattr(root / "bin", "user.of-a-directory", b"1")
    write(root / "far-owner", b"", 0o600, (3_000_000_000, 2_200_000))
    write(root / "old", b"before 1970", mtime_ns=-86_400_000_000_000)
    (root / "linked").write_bytes(b"three names")
    os.link(root / "linked", root / "bin/second")
    os.link(root / "linked", root / "third")
    os.symlink("/absolute/../target", root / "bin/link")
    os.symlink("long/" * 60 + "target", root / "long-link")
    os.mknod(root / "null", 0o020666, os.makedev(1, 3))
    os.mknod(root / "disk", 0o060640, os.makedev(259, 1_000_000))
    os.mkfifo(root / "fifo", 0o622)
    with open(root / "sparse", "wb") as file:
        file.write(b"head")
        file.seek(5 << 20)
        file.write(b"tail")
    deep = root / "/".join(["d" * 60] * 6)
    deep.mkdir(parents=True)
    write(deep / ("f" * 200), b"a path of 560 bytes")
    with open(os.fsencode(root) + b"/not-utf8-\xff\xfe", "wb") as file:
        file.write(b"bytes")
    for name in ("removed", "replaced-by-directory", "kept/inner", "emptied/inner", "emptied/deeper/inner"):
        (root / name).parent.mkdir(exist_ok=True, parents=True)
        (root / name).write_bytes(name.encode())
    (root / "replaced-by-file").mkdir()
    (root / "replaced-by-file/inner").write_bytes(b"hidden")
    (root / "sticky").mkdir()
    (root / "sticky").chmod(0o1777)
    (root / "setgid-directory").mkdir()
    os.chown(root / "setgid-directory", 0, 44)
    (root / "setgid-directory").chmod(0o2775)
    (root / "setgid-directory/of-root").write_bytes(b"the group is not inherited")
    os.chown(root / "setgid-directory/of-root", 0, 0)
    os.utime(root / "bin", ns=(1_000_000_000_000_000_001, 1_000_000_000_000_000_001))


def second_layer(root):
    """White-outs, and names that change their kind. The time of bin changes, lest umoci leave it out: a layer that does not name a directory
    it puts something into says nothing of its owner and mode."""
    os.utime(root / "bin", ns=(1_100_000_000_000_000_002, 1_100_000_000_000_000_002))
    (root / "removed").unlink()
    (root / "third").unlink()
    (root / "replaced-by-directory").unlink()
    (root / "replaced-by-directory").mkdir()
    (root / "replaced-by-directory/new").write_bytes(b"new")
    shutil.rmtree(root / "replaced-by-file")
    (root / "replaced-by-file").write_bytes(b"a file now")
    shutil.rmtree(root / "emptied")
    (root / "emptied").mkdir()
    (root / "emptied/new").write_bytes(b"in a directory that was made anew")
    (root / "sticky").chmod(0o755)
    os.chown(root / "far-owner", 5, 6)


def third_layer(root):
    """What was removed comes back."""
    (root / "removed").write_bytes(b"again")
    (root / "replaced-by-file").unlink()
    (root / "replaced-by-file").mkdir()
    (root / "fifo").unlink()
    shutil.rmtree(root / "kept")
    os.utime(root / "bin", ns=(1_200_000_000_000_000_003, 1_200_000_000_000_000_003))


def pack_with_umoci(folder):
    layout = folder / "umoci"
    run("umoci", "init", "--layout", layout)
    run("umoci", "new", "--image", f"{layout}:1")
    for n, change in enumerate((first_layer, second_layer, third_layer)):
        bundle = folder / f"bundle{n}"
        run("umoci", "unpack", "--image", f"{layout}:1", bundle)
        change(bundle / "rootfs")
        run("umoci", "repack", "--refresh-bundle", "--image", f"{layout}:1", bundle)
        shutil.rmtree(bundle)
    return layout, layout


def pack_with_buildah(folder):
    layout = folder / "buildah"
    store = ["buildah", "--root", str(folder / "b"), "--runroot", str(folder / "r"), "--storage-driver", "vfs"]
    name = run(*store, "from", "scratch").strip()
    for change in (first_layer, second_layer, third_layer):
        root = type(folder)(run(*store, "mount", name).strip())
        change(root)
        run(*store, "umount", name)
        run(*store, "commit", "--quiet", "--format", "oci", name, "layered")
        run(*store, "rm", name)
        name = run(*store, "from", "--pull-never", "layered").strip()
    run(*store, "push", "--quiet", "layered", f"oci:{layout}:1")
    run(*store, "rm", "--all")
    return layout, layout


def repack_with_skopeo(folder):
    """The same as docker's archive and back, compressed with zstd, which umoci does not read."""
    layout, archive, (original, _) = folder / "skopeo", folder / "docker.tar", pack_with_umoci(folder)
    run("skopeo", "--insecure-policy", "copy", f"oci:{original}:1", f"docker-archive:{archive}:skopeo:1")
    run("skopeo", "--insecure-policy", "copy", "--dest-compress-format", "zstd", "--dest-compress", f"docker-archive:{archive}", f"oci:{layout}:1")
    return layout, original


def blob(layout, digest):
    return json.loads((layout / "blobs" / digest.replace(":", "/")).read_text())


def layers_of(daemon, layout):
    """The directories that monopod has for the image, topmost first."""
    index = json.loads((layout / "index.json").read_text())
    config = blob(layout, blob(layout, index["manifests"][0]["digest"])["config"]["digest"])
    return [f"{daemon.folder}/root/images/layers/{diff_id.partition(':')[2]}/fs" for diff_id in reversed(config["rootfs"]["diff_ids"])]


@pytest.mark.parametrize("pack", [pack_with_umoci, pack_with_buildah, repack_with_skopeo])
def test_unpacked_as_umoci_does(daemon, tmp_path, pack):
    if pack is pack_with_buildah and not shutil.which("buildah"):
        pytest.skip("buildah is not installed")
    layout, readable = pack(tmp_path)
    run("umoci", "unpack", "--image", f"{readable}:1", tmp_path / "theirs")
    run("tar", "-C", layout, "-cf", tmp_path / "image.tar", ".")
    run(daemon.binary, "--socket", daemon.socket, "import", "--name", f"{pack.__name__.replace('_', '-')}:1", tmp_path / "image.tar")
    (tmp_path / "empty").mkdir()
    ours, theirs = inventory(tmp_path / "empty", layers_of(daemon, layout)), inventory(tmp_path / "theirs/rootfs")
    assert len(theirs) > 30
    ours["b'.'"]["mtime"] = theirs["b'.'"]["mtime"]  # no tool lists the root when it has not changed
    different = {path: (ours.get(path), theirs.get(path)) for path in {*ours, *theirs} if ours.get(path) != theirs.get(path)}
    assert not different, "\n".join(f"{path}\n  ours   {a}\n  theirs {b}" for path, (a, b) in different.items())
