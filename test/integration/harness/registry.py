"""A real registry (Debian's docker-registry) on loopback, plain or with TLS and htpasswd, filled by skopeo."""
import socket
import subprocess
import threading
import time
import urllib.request
import ssl
from pathlib import Path

USER, PASSWORD = "puller", "s3cret-of-the-test"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def make_certificate(folder):
    """A private CA and a server certificate for localhost and 127.0.0.1."""
    run = lambda *arguments: subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
    (folder / "san").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=monopod test CA", "-keyout", "ca.key", "-out", "ca.crt")
    run("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
    run("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "san",
        "-out", "server.crt")


class Registry:
    def __init__(self, folder, secure=False, data=None, auth=()):
        """`data`: the content of another one; `auth`: lines of its configuration."""
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.secure = secure
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        config = ["version: 0.1", "log: {level: warn}", "storage:", f"  filesystem: {{rootdirectory: {data or self.folder / 'data'}}}",
                  "  delete: {enabled: true}", "http:", f"  addr: {self.host}"]
        if secure:
            make_certificate(self.folder)
            hashed = subprocess.run(["htpasswd", "-Bbn", USER, PASSWORD], capture_output=True, text=True, check=True).stdout
            (self.folder / "htpasswd").write_text(hashed)
            config += ["  tls:", f"    certificate: {self.folder / 'server.crt'}", f"    key: {self.folder / 'server.key'}",
                       "auth:", "  htpasswd:", "    realm: test", f"    path: {self.folder / 'htpasswd'}"]
        config += auth
        (self.folder / "config.yml").write_text("\n".join(config) + "\n")
        self.process = None

    def start(self):
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", str(self.folder / "config.yml")], stdout=log, stderr=log)
        scheme = "https" if self.secure else "http"
        context = ssl._create_unverified_context()
        for _ in range(100):
            try:
                urllib.request.urlopen(f"{scheme}://{self.host}/v2/", context=context, timeout=1)
                return self
            except urllib.error.HTTPError:
                return self  # 401: it is up
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the registry did not start: " + (self.folder / "log").read_text())

    def push(self, archive, repository, *options):
        """Copies an OCI archive into the registry; returns the manifest's digest."""
        digest = self.folder / "digest"
        arguments = ["--dest-tls-verify=false", *options]
        if self.secure:
            arguments += [f"--dest-creds={USER}:{PASSWORD}"]
        subprocess.run(["skopeo", "--insecure-policy", "copy", "--quiet", f"--digestfile={digest}", *arguments,
                        f"oci-archive:{archive}", f"docker://{self.host}/{repository}"], check=True, capture_output=True)
        return digest.read_text().strip()

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Throttle:
    """A front that lets so many bytes a second through from the registry, on each connection. Plain TCP: it knows nothing of HTTP."""

    def __init__(self, registry, bytes_per_second):
        self.behind, self.rate, self.open, self.bytes = registry.port, bytes_per_second, True, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while self.open:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.behind))
            threading.Thread(target=self._copy, args=(client, server, None), daemon=True).start()
            threading.Thread(target=self._copy, args=(server, client, True), daemon=True).start()

    def _copy(self, source, sink, throttled):
        try:
            while data := source.recv(16384):
                sink.sendall(data)
                self.bytes += len(data) if throttled else 0
                if throttled and self.rate:
                    time.sleep(len(data) / self.rate)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop(self):
        self.open = False
        self.listener.close()
