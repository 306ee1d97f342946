"""Images to order, honest or not: the test image with another configuration and further layers, as an OCI archive."""
import hashlib
import io
import json
import tarfile


def layer(entries):
    """An uncompressed layer: path to bytes (a file of root's, 0644), None (a directory), a TarInfo, or a TarInfo and its bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, content in entries.items():
            info, data = content if isinstance(content, tuple) else (tarfile.TarInfo(path), content)
            if isinstance(data, tarfile.TarInfo):
                info, data = data, None
            elif data is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            else:
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data) if data else None)
    return out.getvalue()


def link(path, target):
    info = tarfile.TarInfo(path)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


class Archive:
    """`configure` gets the `config` object of the image's JSON and may change it; `edit` gets the JSON as bytes and gives others back."""

    def __init__(self, base, name, configure=None, layers=(), edit=None):
        self.blobs = {}
        with tarfile.open(base) as tar:
            for member in tar:
                if member.isfile():
                    self.blobs[member.name.removeprefix("./")] = tar.extractfile(member).read()
        index = json.loads(self.blobs.pop("index.json"))
        manifest = json.loads(self._take(index["manifests"][0]["digest"]))
        config = json.loads(self._take(manifest["config"]["digest"]))
        for content in layers:
            manifest["layers"].append({"mediaType": "application/vnd.oci.image.layer.v1.tar", **self._add(content)})
            config["rootfs"]["diff_ids"].append("sha256:" + hashlib.sha256(content).hexdigest())
        if configure:
            configure(config["config"])
        text = json.dumps(config).encode()
        manifest["config"].update(self._add(edit(text) if edit else text))
        index["manifests"][0].update(self._add(json.dumps(manifest).encode()))
        index["manifests"][0]["annotations"] = {"org.opencontainers.image.ref.name": name.rsplit(":", 1)[1], "io.containerd.image.name": name}
        self.blobs["index.json"] = json.dumps(index).encode()

    def _take(self, digest):
        return self.blobs.pop("blobs/" + digest.replace(":", "/"))

    def _add(self, content):
        digest = hashlib.sha256(content).hexdigest()
        self.blobs[f"blobs/sha256/{digest}"] = content
        return {"digest": f"sha256:{digest}", "size": len(content)}

    def write(self, path):
        with tarfile.open(path, "w") as tar:
            for name, content in self.blobs.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return path


def import_image(client, base, folder, name, **changes):
    """Imports the changed image as `name` and returns the name."""
    path = Archive(base, name, **changes).write(folder / "changed.tar")
    client.ImportImage(path)
    path.unlink()
    return name
