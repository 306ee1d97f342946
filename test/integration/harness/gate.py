"""A gate in front of a registry: it relays, notes what is asked for, asks for a password where it is told to, and holds back blobs."""
import base64
import http.client
import http.server
import re
import threading
import time

CHUNK = 64 * 1024


class Gate:
    """`hold` is a predicate on digests: blobs that it is true for get `head` bytes, and the rest when the gate is opened."""

    def __init__(self, registry, user=None, password=None):
        self.registry = registry
        self.expected = user and "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.changed = threading.Condition()
        self.log = []  # (kind, repository, name)
        self.hold = lambda digest: False
        self.head = 1000
        self.pause = 0  # seconds for each chunk
        self.in_flight = self.most_in_flight = 0
        self.broken = 0  # transfers that the client gave up
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.open()
        self.server.shutdown()
        self.server.server_close()

    def open(self):
        with self.changed:
            self.hold = lambda digest: False
            self.changed.notify_all()

    def asked(self, kind, repository=None):
        with self.changed:
            return [entry[2] for entry in self.log if entry[0] == kind and repository in (None, entry[1])]

    def clear(self):
        with self.changed:
            self.log.clear()
            self.most_in_flight = self.in_flight
            self.broken = 0

    def wait(self, condition, timeout=20):
        with self.changed:
            assert self.changed.wait_for(condition, timeout), f"{self.log} {self.in_flight} in flight"

    def _note(self, kind, repository, name, blobs):
        with self.changed:
            self.log.append((kind, repository, name))
            self.in_flight += blobs
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            self.changed.notify_all()

    def _end(self, blobs, broken):
        with self.changed:
            self.in_flight -= blobs
            self.broken += broken
            self.changed.notify_all()

    def _handler(gate):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def do_GET(self):
                found = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/]+)", self.path)
                kind, repository, name = (found[2], found[1], found[3]) if found else ("other", "", self.path)
                if gate.expected and repository.startswith("private/") and self.headers.get("Authorization") != gate.expected:
                    gate._note("refused", repository, name, 0)
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="gate"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                blobs = kind == "blobs"
                gate._note(kind, repository, name, blobs)
                broken = False
                try:
                    self.relay(name)
                except OSError:
                    broken = self.close_connection = True
                gate._end(blobs, broken)

            def relay(self, name):
                upstream = http.client.HTTPConnection(gate.registry.host)
                headers = {key: value for key, value in self.headers.items() if key.lower() in ("accept", "range")}
                upstream.request("GET", self.path, headers=headers)
                answer = upstream.getresponse()
                self.send_response(answer.status)
                for key, value in answer.getheaders():
                    if key.lower() not in ("connection", "transfer-encoding", "date", "server"):
                        self.send_header(key, value)
                self.end_headers()
                if gate.hold(name):
                    self.wfile.write(answer.read(gate.head))
                    self.wait(name)
                while data := answer.read(CHUNK):
                    self.wfile.write(data)
                    time.sleep(gate.pause)
                upstream.close()

            def wait(self, name):
                """Until the gate opens, or the client goes away."""
                self.connection.setblocking(False)
                while gate.hold(name):
                    try:
                        if self.connection.recv(1) == b"":
                            raise ConnectionResetError
                    except BlockingIOError:
                        pass
                    with gate.changed:
                        gate.changed.wait(0.02)
                self.connection.setblocking(True)
        return Handler
