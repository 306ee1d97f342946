"""What stands in front of a registry, or beside it: nginx that is slow, flaky, redirecting or lying, and a token service."""
import base64
import hashlib
import http.server
import json
import socket
import subprocess
import threading
import time
import urllib.parse
from pathlib import Path

from .registry import PASSWORD, USER, free_port

IDENTITY = "identity-of-the-test"


class Nginx:
    """Debian's nginx with one server; `body` is what stands in its block. The log has PROTOCOL STATUS PATH AUTHORIZATION."""

    def __init__(self, folder, body, certificates=None, listen="", http=""):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.log = self.folder / "access.log"
        tls = f"ssl_certificate {certificates}/server.crt; ssl_certificate_key {certificates}/server.key;" if certificates else ""
        places = " ".join(f"{kind}_temp_path {self.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.folder / "nginx.conf").write_text(f"""
            daemon off; master_process off; pid {self.folder}/pid; error_log {self.folder}/error.log;
            events {{}}
            http {{
                {places}
                log_format seen '$server_protocol $status $request_uri $http_authorization';
                access_log {self.log} seen;
                {http}
                server {{ listen {self.host} {'ssl' if certificates else ''} {listen}; {tls} {body} }}
            }}""")
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen(["nginx", "-p", self.folder, "-e", self.folder / "error.log", "-c", self.folder / "nginx.conf"])
        for _ in range(200):
            assert self.process.poll() is None, (self.folder / "error.log").read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                time.sleep(0.02)
        raise AssertionError("nginx does not listen: " + (self.folder / "error.log").read_text())

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def seen(self):
        return [line.split(" ", 3) for line in self.log.read_text().splitlines()]


def _encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenService:
    """Gives tokens that docker-registry believes, to USER with PASSWORD and for IDENTITY; `questions` has what it was asked."""

    def __init__(self, certificates):
        self.certificates = Path(certificates)
        self.questions = []
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def reply(self, status, answer):
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
                service.questions.append(query)
                if self.headers.get("Authorization") != "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode():
                    return self.reply(401, {"errors": []})
                return self.reply(200, {"token": service.token(query), "expires_in": 60})

            def do_POST(self):
                form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                service.questions.append(form)
                if form.get("grant_type") != ["refresh_token"] or form.get("refresh_token") != [IDENTITY]:
                    return self.reply(401, {"errors": []})
                return self.reply(200, {"access_token": service.token(form), "expires_in": 60})

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.realm = f"http://127.0.0.1:{self.server.server_address[1]}/token"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def token(self, query):
        """A JSON Web Token (RFC 7519) signed with the server's key, which the registry's root certificate has signed."""
        pem = (self.certificates / "server.crt").read_text()
        der = "".join(pem.split("-----BEGIN CERTIFICATE-----")[1].split("-----END")[0].split())
        kind, name, actions = query["scope"][0].split(":")
        now = int(time.time())
        claims = {"iss": "issuer-of-the-test", "sub": USER, "aud": query["service"][0], "exp": now + 60, "nbf": now - 10, "iat": now,
                  "jti": hashlib.sha256(str(time.time()).encode()).hexdigest(),
                  "access": [{"type": kind, "name": name, "actions": actions.split(",")}]}
        text = ".".join(_encode(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "RS256", "x5c": [der]}, claims))
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.certificates / "server.key"], input=text.encode(),
                                   capture_output=True, check=True).stdout
        return f"{text}.{_encode(signature)}"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
