#!/usr/bin/env python3
"""A registry that serves one OCI layout, and misbehaves in the way that the first part of the repository's name says.

    registry_of_ills.py LAYOUT PORTS LOG [CERTIFICATE KEY]

Writes "MAIN OTHER" ports to the file PORTS when it listens. OTHER is another origin on the same machine: token service, redirect
target, mirror. With a certificate MAIN speaks TLS. LOG gets one line per request: ORIGIN METHOD PATH AUTHORIZATION RANGE X-TEST BODY.
"""
import base64
import http.server
import json
import pathlib
import ssl
import sys
import threading
import time
import urllib.parse

layout, ports_file, log_file = (pathlib.Path(argument) for argument in sys.argv[1:4])
certificate = sys.argv[4:6]
lock = threading.Lock()
seen = {}  # how often a path was asked for
PASSWORD = "Basic " + base64.b64encode(b"puller:s3cret").decode()
TOKEN = "token-of-the-test"


def times(path):
    with lock:
        seen[path] = seen.get(path, 0) + 1
        return seen[path]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    origin = "main"

    def log_message(self, *arguments):
        pass

    def note(self, body="-"):
        with lock, open(log_file, "a") as log:
            log.write(f"{self.origin} {self.command} {self.path} {self.headers.get('Authorization', '-').replace(' ', '_')} "
                      f"{self.headers.get('Range', '-')} {self.headers.get('X-Test', '-')} {body or '-'}\n")

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def fail(self, status, message, **headers):
        self.answer(status, json.dumps({"errors": [{"code": "X", "message": message}]}).encode(), **headers)

    def do_GET(self):
        self.note()
        parts = urllib.parse.urlsplit(self.path)
        words = parts.path.strip("/").removeprefix("prefix/").split("/")
        if words[0] == "token":
            return self.give_token(urllib.parse.parse_qs(parts.query))
        if words[0] == "stolen":
            return self.give_blob(words[1])
        if words[0] == "claim":
            realm = f"http://127.0.0.1:{other_port}/token"
            return self.fail(401, "come in", WWW_Authenticate=f'Bearer realm="{realm}",service="test",scope="repository:x:pull"')
        if words[0] != "v2" or len(words) < 5:
            return self.fail(404, "no such place")
        ill, kind, name = words[1], words[-2], words[-1]
        if not getattr(self, "ill_" + ill.replace("-", "_"), lambda *_: True)(kind, name):
            return None
        return self.give_manifest(name) if kind == "manifests" else self.give_blob(name)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.note(body)
        form = urllib.parse.parse_qs(body)
        if form.get("refresh_token") == ["identity"] and form.get("grant_type") == ["refresh_token"]:
            return self.answer(200, json.dumps({"access_token": TOKEN}).encode())
        return self.fail(401, "bad refresh token")

    # ---- what is served ----

    def blob(self, name):
        if name.startswith("sha256:") and name[7:].isalnum():
            path = layout / "blobs" / "sha256" / name[7:]
            if path.exists():
                return path.read_bytes()
        return None

    def give_manifest(self, name):
        if name == "1":
            name = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
        body = self.blob(name)
        if body is None:
            return self.fail(404, "manifest unknown")
        return self.answer(200, body, Content_Type=json.loads(body).get("mediaType", "application/vnd.oci.image.manifest.v1+json"))

    def give_blob(self, name):
        body = self.blob(name)
        if body is None:
            return self.fail(404, "blob unknown")
        wanted = self.headers.get("Range")
        if wanted:
            first = int(wanted.removeprefix("bytes=").removesuffix("-"))
            return self.answer(206, body[first:], Content_Range=f"bytes {first}-{len(body) - 1}/{len(body)}")
        return self.answer(200, body)

    def give_token(self, query):
        if query.get("service") != ["test"] or not query.get("scope", [""])[0].startswith("repository:"):
            return self.fail(400, "bad question")
        if "anonymous" not in query["scope"][0] and self.headers.get("Authorization") != PASSWORD:
            return self.fail(401, "bad credentials")
        token = TOKEN if "crlf" not in query["scope"][0] else "a\r\nX-Evil: b"
        return self.answer(200, json.dumps({"token": token}).encode())

    # ---- ills: false when the request has been answered ----

    def challenge(self, path, scheme="http"):
        scope = f"repository:{path}:pull"
        realm = f"{scheme}://127.0.0.1:{other_port}/token?x=y"
        self.fail(401, "authenticate", WWW_Authenticate=f'Bearer realm="{realm}",service="test",scope="{scope}"')
        return False

    def ill_bearer(self, kind, name):
        return self.headers.get("Authorization") == "Bearer " + TOKEN or self.challenge("bearer/app")

    def ill_anonymous(self, kind, name):
        return self.headers.get("Authorization") == "Bearer " + TOKEN or self.challenge("anonymous/app")

    def ill_crlf(self, kind, name):
        return self.challenge("crlf-anonymous/app")

    def ill_expiring(self, kind, name):
        """The token is good for one answer."""
        if self.headers.get("Authorization") == "Bearer " + TOKEN and times("expiring " + kind + name) % 2 == 1:
            return True
        return self.challenge("anonymous/app")

    def ill_basic(self, kind, name):
        if self.headers.get("Authorization") == PASSWORD:
            return True
        self.fail(401, "authenticate", WWW_Authenticate='Basic realm="test"')
        return False

    def ill_strange(self, kind, name):
        self.fail(401, "authenticate", WWW_Authenticate="Negotiate")
        return False

    def ill_forbidden(self, kind, name):
        self.fail(403, "not\nyours")
        return False

    def ill_lying(self, kind, name):
        """A blob that is not what its name says."""
        body = self.blob(name)
        if kind == "manifests" or body is None or body[:1] == b"{":
            return True
        self.answer(200, body[:-1] + bytes([body[-1] ^ 1]))
        return False

    def ill_lying_manifest(self, kind, name):
        if kind == "manifests" and name != "1":
            self.answer(200, self.blob(name) + b" ")
            return False
        return True

    def ill_long(self, kind, name):
        body = self.blob(name)
        if kind == "manifests" or body[:1] == b"{":
            return True
        self.answer(200, body + b"more")
        return False

    def ill_short(self, kind, name):
        body = self.blob(name)
        if kind == "manifests" or body[:1] == b"{":
            return True
        self.answer(200, body[:-10])
        return False

    def ill_endless(self, kind, name):
        """A manifest without end."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        except OSError:
            self.close_connection = True
        return False

    def ill_flaky(self, kind, name):
        if times("flaky " + kind + name) <= 2:
            self.fail(503, "busy")
            return False
        return True

    def ill_polite(self, kind, name):
        if times("polite " + kind + name) == 1:
            self.fail(429, "slowly", Retry_After="1")
            return False
        return True

    def ill_down(self, kind, name):
        self.fail(500, "down")
        return False

    def ill_cut(self, kind, name):
        """The connection breaks in the middle of a layer, twice; ranges are understood."""
        body = self.blob(name)
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        if kind == "manifests" or body[:1] == b"{" or times("cut " + name) > 2:
            return True
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - first))
        self.end_headers()
        self.wfile.write(body[first:first + len(body) // 3])
        self.wfile.flush()
        self.close_connection = True
        return False

    def ill_cut_no_range(self, kind, name):
        """As above, but ranges are ignored."""
        body = self.blob(name)
        if kind == "manifests" or body[:1] == b"{":
            return True
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if times("cut-no-range " + name) > 1 else body[:len(body) // 2])
        self.wfile.flush()
        self.close_connection = True
        return False

    def is_layer(self, kind, name):
        return kind == "blobs" and self.blob(name)[:1] != b"{"

    def first(self):
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))

    def cut(self, body, length):
        """`length` bytes of a body, from where the client wants them, and the end of the connection."""
        first = self.first()
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - first))
        self.end_headers()
        self.wfile.write(body[first:first + length])
        self.wfile.flush()
        self.close_connection = True
        return False

    def part(self, kind, name, status, headers):
        """Cuts a layer first, then answers with what headers(first, length) has."""
        if not self.is_layer(kind, name):
            return True
        body = self.blob(name)
        if not self.first():
            return self.cut(body, len(body) // 3)
        self.answer(status, body[self.first():] if status == 206 else b"", **headers(self.first(), len(body)))
        return False

    def ill_range_elsewhere(self, kind, name):
        return self.part(kind, name, 206, lambda first, n: {"Content_Range": f"bytes {first + 5}-{n - 1}/{n}"})

    def ill_range_silent(self, kind, name):
        return self.part(kind, name, 206, lambda first, n: {})

    def ill_range_early(self, kind, name):
        """More than was asked for, and says so."""
        if not self.is_layer(kind, name):
            return True
        body = self.blob(name)
        if not self.first():
            return self.cut(body, len(body) // 3)
        start = self.first() - 10
        self.answer(206, body[start:], Content_Range=f"bytes {start}-{len(body) - 1}/*")
        return False

    def ill_changed(self, kind, name):
        return self.part(kind, name, 206, lambda first, n: {"Content_Range": f"bytes {first}-{n - 1}/{n + 7}"})

    def ill_shrunk(self, kind, name):
        return self.part(kind, name, 416, lambda first, n: {"Content_Range": f"bytes */{first}"})

    def ill_unasked(self, kind, name):
        """A part, though the whole was asked for."""
        if not self.is_layer(kind, name):
            return True
        body = self.blob(name)
        self.answer(206, body[100:], Content_Range=f"bytes 100-{len(body) - 1}/{len(body)}")
        return False

    def ill_often(self, kind, name):
        """Breaks again and again, but gets on."""
        return self.cut(self.blob(name), 1200000) if self.is_layer(kind, name) else True

    def ill_portal(self, kind, name):
        self.answer(200, b"<html>log in first</html>", Content_Type="text/html; charset=utf-8")
        return False

    def ill_portal_blob(self, kind, name):
        return True if kind == "manifests" else self.ill_portal(kind, name)

    def ill_wrong_name(self, kind, name):
        if kind != "manifests":
            return True
        body = self.blob(json.loads((layout / "index.json").read_text())["manifests"][0]["digest"])
        self.answer(200, body, Content_Type="application/vnd.oci.image.manifest.v1+json", Docker_Content_Digest="sha256:" + "0" * 64)
        return False

    def ill_other_name(self, kind, name):
        """A digest that nobody here computes."""
        if kind != "manifests":
            return True
        body = self.blob(json.loads((layout / "index.json").read_text())["manifests"][0]["digest"])
        self.answer(200, body, Content_Type="application/vnd.oci.image.manifest.v1+json", Docker_Content_Digest="sha512:" + "0" * 128)
        return False

    def ill_schema1(self, kind, name):
        self.answer(200, b'{"schemaVersion": 1}', Content_Type="application/vnd.docker.distribution.manifest.v1+prettyjws")
        return False

    def ill_patient(self, kind, name):
        self.fail(429, "tomorrow", Retry_After="3600")
        return False

    def ill_dated(self, kind, name):
        if times("dated " + kind + name) == 1:
            self.fail(503, "soon", Retry_After=self.date_time_string(int(time.time()) + 3))
            return False
        return True

    def ill_claiming(self, kind, name):
        """Blobs are elsewhere, where somebody asks for credentials."""
        if not self.ill_basic(kind, name):
            return False
        if kind == "manifests":
            return True
        self.answer(307, Location=f"http://127.0.0.1:{other_port}/claim/{name}")
        return False

    def ill_mirrorless(self, kind, name):
        if self.origin == "other":
            self.fail(404, "not mirrored")
        return self.origin != "other"

    def ill_cut_mirror(self, kind, name):
        if self.origin == "other" and self.is_layer(kind, name):
            return self.cut(self.blob(name), len(self.blob(name)) // 3 if not self.first() else 0)
        return True

    def ill_lying_mirror(self, kind, name):
        if self.origin == "other" and not self.is_layer(kind, name):
            body = self.blob(name if name != "1" else json.loads((layout / "index.json").read_text())["manifests"][0]["digest"])
            self.answer(200, body + b" ", Content_Type="application/vnd.oci.image.manifest.v1+json")
            return False
        return True

    def ill_basic_everywhere(self, kind, name):
        return self.ill_basic(kind, name)

    def ill_basic_mirror(self, kind, name):
        return True if self.origin == "main" else self.ill_basic(kind, name)

    def ill_stalling(self, kind, name):
        if kind == "manifests" or self.blob(name)[:1] == b"{":
            return True
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.blob(name))))
        self.end_headers()
        self.wfile.write(self.blob(name)[:10])
        self.wfile.flush()
        time.sleep(30)
        self.close_connection = True
        return False

    def ill_moved(self, kind, name):
        """Blobs are at another origin, behind a password that must not go there."""
        if not self.ill_basic(kind, name):
            return False
        if kind == "manifests":
            return True
        self.answer(307, Location=f"http://127.0.0.1:{other_port}/stolen/{name}")
        return False

    def ill_within(self, kind, name):
        """Blobs are elsewhere at the same origin."""
        if not self.ill_basic(kind, name):
            return False
        if kind == "manifests":
            return True
        self.answer(302, Location=f"/stolen/{name}")
        return False

    def ill_loop(self, kind, name):
        self.answer(302, Location=self.path)
        return False

    def ill_file(self, kind, name):
        self.answer(302, Location="file:///etc/passwd")
        return False

    def ill_nowhere(self, kind, name):
        self.answer(302)
        return False


class Other(Handler):
    origin = "other"


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        pass  # clients hang up on purpose


other = Server(("127.0.0.1", 0), Other)
main = Server(("127.0.0.1", 0), Handler)
if certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    main.socket = context.wrap_socket(main.socket, server_side=True)
other_port = other.server_address[1]
threading.Thread(target=other.serve_forever, daemon=True).start()
temporary = ports_file.with_suffix(".tmp")
temporary.write_text(f"{main.server_address[1]} {other_port}\n")
temporary.rename(ports_file)
main.serve_forever()
