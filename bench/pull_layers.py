"""Images of generated files, as blobs for a registry: the layers that tools/bench-pull.sh pulls.

Content is half compressible, as programs and texts are: slices of words and of random bytes, from a pool that is wider than the window
of deflate and of zstd's common levels, so that a slice is never found again. A layer's bytes follow from the name of its folder.
"""
import hashlib
import io
import json
import random
import subprocess
import tarfile

POOL_BYTES = 48 << 20
MEDIA = {"gzip": "application/vnd.oci.image.layer.v1.tar+gzip", "zstd": "application/vnd.oci.image.layer.v1.tar+zstd"}
PACK = {"gzip": ["gzip", "-6nc"], "zstd": ["zstd", "-3qc"]}


def make_pool(rng):
    words = [rng.randbytes(rng.randint(2, 9)) for _ in range(6000)]
    weights = [1 / (rank + 8) for rank in range(len(words))]
    parts, size = [], 0
    while size < POOL_BYTES:
        part = b"".join(rng.choices(words, weights, k=400)) + rng.randbytes(rng.randint(0, 600))
        parts.append(part)
        size += len(part)
    return b"".join(parts)


class Content:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.pool = make_pool(self.rng)

    def take(self, size):
        parts = []
        while size > 0:
            n = min(size, self.rng.randint(2000, 20000))
            at = self.rng.randrange(len(self.pool) - n)
            parts.append(self.pool[at:at + n])
            size -= n
        return b"".join(parts)


def add(tar, name, data=None):
    info = tarfile.TarInfo(name)
    info.mtime = 1700000000
    info.type = tarfile.DIRTYPE if data is None else tarfile.REGTYPE
    info.mode = 0o755 if data is None else 0o644
    info.size = 0 if data is None else len(data)
    tar.addfile(info, None if data is None else io.BytesIO(data))


def big_files(content, folder, total_bytes):
    """Files of 1 to 9 MB, as libraries and programs are."""
    def fill(tar):
        content.rng.seed(folder)
        left, n = total_bytes, 0
        add(tar, folder)
        while left > 0:
            size = min(left, content.rng.randint(1_000_000, 9_000_000))
            add(tar, f"{folder}/file{n}", content.take(size))
            left -= size
            n += 1
    return fill


def small_files(content, folder, count):
    """Files of up to 6 kB, twenty to a directory: a tree of modules of a scripting language."""
    def fill(tar):
        content.rng.seed(folder)
        add(tar, folder)
        for n in range(count):
            if n % 20 == 0:
                add(tar, f"{folder}/module{n // 20}")
            add(tar, f"{folder}/module{n // 20}/source{n % 20}.js", content.take(content.rng.randint(100, 6000)))
    return fill


def gzip_ratio(content):
    """Plain bytes per compressed one."""
    sample = content.take(16 << 20)
    return len(sample) / len(subprocess.run(PACK["gzip"], input=sample, capture_output=True, check=True).stdout)


class Hashing:
    """A file that also digests what is written to it."""
    def __init__(self, file):
        self.file, self.digest = file, hashlib.sha256()

    def write(self, data):
        self.digest.update(data)
        return self.file.write(data)


def pack_layer(fill, compression, path):
    """The diff id."""
    with open(path, "wb") as file:
        packer = subprocess.Popen(PACK[compression], stdin=subprocess.PIPE, stdout=file)
        out = Hashing(packer.stdin)
        with tarfile.open(fileobj=out, mode="w|", bufsize=1 << 20, format=tarfile.GNU_FORMAT) as tar:
            fill(tar)
        packer.stdin.close()
        if packer.wait() != 0:
            raise RuntimeError(f"{PACK[compression][0]} failed")
    return "sha256:" + out.digest.hexdigest()


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def descriptor(media_type, path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return {"mediaType": media_type, "digest": "sha256:" + digest.hexdigest(), "size": path.stat().st_size}


def make_image(fills, compression, folder):
    """(manifest, {digest: path}) of an image whose layers are made by `fills`."""
    blobs, layers, diff_ids = {}, [], []
    for n, fill in enumerate(fills):
        path = folder / f"layer{n}"
        diff_ids.append(pack_layer(fill, compression, path))
        layers.append(descriptor(MEDIA[compression], path))
        blobs[layers[-1]["digest"]] = path
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}})
    path = folder / "config"
    path.write_text(config)
    described = descriptor("application/vnd.oci.image.config.v1+json", path)
    blobs[described["digest"]] = path
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": described, "layers": layers}
    return manifest, blobs
