"""Real registries behind what stands in front of them on real networks: each kind of trouble, and the sentence that the caller gets."""
import json
import shutil

import grpc
import pytest

from harness.cri import cri
from harness.daemon import Daemon
from harness.front import IDENTITY, Nginx, TokenService
from harness.registry import PASSWORD, USER, Registry, make_certificate

NAME = "library/busybox"


@pytest.fixture(scope="module")
def puller(workspace):
    folder = workspace / "registries"
    folder.mkdir()
    daemon = Daemon(folder, options={"image.auth_file": folder / "config.json", "image.pull_progress_timeout_ms": "3000"})
    (folder / "config.json").write_text('{"auths": {}}')
    try:
        yield daemon.start()
        status = daemon.stop()
        assert status == 0, f"the daemon ended with {status}:\n{daemon.tail(80)}"
    finally:
        daemon.wreck()


@pytest.fixture(autouse=True)
def clean(puller):
    yield
    client = puller.client()
    for image in client.ListImages().images:
        client.RemoveImage(image=cri.ImageSpec(image=image.id))
    shutil.rmtree(puller.folder / "certs.d", ignore_errors=True)
    (puller.folder / "config.json").write_text('{"auths": {}}')


@pytest.fixture(scope="module")
def certificates(workspace):
    folder = workspace / "front-certificates"
    folder.mkdir()
    make_certificate(folder)
    return folder


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "nginx"


def configure(puller, host, text):
    directory = puller.folder / "certs.d" / host
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "hosts.toml").write_text(text)


def pull(puller, reference, **auth):
    request = cri.AuthConfig(**auth) if auth else None
    return puller.client().PullImage(image=cri.ImageSpec(image=reference), auth=request).image_ref


def refused(puller, reference, **auth):
    with pytest.raises(grpc.RpcError) as caught:
        pull(puller, reference, **auth)
    return caught.value


def behind(registry):
    return f"location / {{ proxy_pass http://{registry.host}; proxy_set_header Host $http_host; }}"


# ---- transport ----

@pytest.mark.parametrize("protocol", ["HTTP/2.0", "HTTP/1.1"])
def test_http_2(puller, registries, certificates, folder, protocol):
    with Nginx(folder, behind(registries["http"]), certificates, "http2" if protocol == "HTTP/2.0" else "") as front:
        configure(puller, front.host, f'ca = "{certificates}/ca.crt"\n')
        assert pull(puller, f"{front.host}/{NAME}:1.0")
        assert len(front.seen()) >= 3 and {line[0] for line in front.seen()} == {protocol}


def test_flaky(puller, registries, folder):
    limit = "limit_req_zone $server_port zone=one:1m rate=2r/s; limit_req_status 503;"
    with Nginx(folder, "limit_req zone=one; " + behind(registries["http"]), http=limit) as front:
        assert pull(puller, f"{front.host}/{NAME}:1.0")
        assert {"200", "503"} <= {line[1] for line in front.seen()}


def test_slow(puller, registries, folder):
    """Longer than the progress time-out as a whole, but never without a byte for so long."""
    with Nginx(folder, "limit_rate 200k; " + behind(registries["http"])) as front:
        assert pull(puller, f"{front.host}/{NAME}:1.0")


def test_redirects(puller, registries, folder, certificates, tmp_path):
    """Blobs are elsewhere, and the password is not for there."""
    (tmp_path / "htpasswd").write_text((registries["https"].folder / "htpasswd").read_text())
    with Nginx(tmp_path / "storage", behind(registries["http"])) as storage:
        body = (f'auth_basic "x"; auth_basic_user_file {tmp_path}/htpasswd; '
                f"location ~ /blobs/ {{ return 307 http://{storage.host}$request_uri; }} " + behind(registries["http"]))
        with Nginx(folder, "location ~ /blobs/ { return 307 http://" + storage.host + "$request_uri; }" + behind(registries["http"]),
                   certificates) as front:
            configure(puller, front.host, f'ca = "{certificates}/ca.crt"\n')
            error = refused(puller, f"{front.host}/{NAME}:1.0")
            assert error.code() == grpc.StatusCode.PERMISSION_DENIED and "redirected from https to http" in error.details()
            assert not storage.log.read_text()
        with Nginx(tmp_path / "front", body) as front:
            assert pull(puller, f"{front.host}/{NAME}:1.0", username=USER, password=PASSWORD)
            assert any(line[3].startswith("Basic ") for line in front.seen())
            assert storage.seen() and {line[3] for line in storage.seen()} == {"-"}


LIARS = [
    ("default_type text/html; return 200 '<html>log in</html>';", grpc.StatusCode.UNAVAILABLE,
     "it sent text/html instead of the content: what answers is no registry"),
    ("return 200 '{}';", grpc.StatusCode.DATA_LOSS, "turned out to be sha256:"),
    ("default_type application/vnd.docker.distribution.manifest.v1+prettyjws; return 200 '{\"schemaVersion\": 1}';",
     grpc.StatusCode.UNIMPLEMENTED, "schema 1"),
    ("return 302 $request_uri;", grpc.StatusCode.UNAVAILABLE, "more than 5 redirects"),
    ("return 302 file:///etc/passwd;", grpc.StatusCode.INVALID_ARGUMENT, "is not a URL of http"),
    ("return 403;", grpc.StatusCode.PERMISSION_DENIED, "access is denied"),
    ("return 404;", grpc.StatusCode.NOT_FOUND, "not found"),
    ("return 500;", grpc.StatusCode.UNAVAILABLE, "it answered 500"),
    ("return 444;", grpc.StatusCode.UNAVAILABLE, "Empty reply from server"),
    ("add_header Retry-After 3600 always; return 429;", grpc.StatusCode.UNAVAILABLE, "it asks to wait for 3600 seconds"),
    ("add_header WWW-Authenticate Negotiate always; return 401;", grpc.StatusCode.UNAUTHENTICATED, "nobody knows"),
]


@pytest.mark.parametrize("answer, code, sentence", LIARS, ids=[case[2][:20] for case in LIARS])
def test_liars(puller, registries, folder, answer, code, sentence):
    tag = f"@{registries['http'].digest}" if code == grpc.StatusCode.DATA_LOSS else ":1.0"
    with Nginx(folder, f"location ~ /manifests/ {{ {answer} }} " + behind(registries["http"])) as front:
        error = refused(puller, f"{front.host}/{NAME}{tag}")
    assert error.code() == code and sentence in error.details(), error.details()
    assert error.details().startswith("RegistryUnavailable: ") == (code == grpc.StatusCode.UNAVAILABLE)
    assert front.host in error.details()


def test_lying_digest(puller, registries, folder):
    """The header says one thing, the manifest is another."""
    liar = (f"proxy_pass http://{registries['http'].host}; proxy_hide_header Docker-Content-Digest; "
            f"add_header Docker-Content-Digest sha256:{'0' * 64};")
    with Nginx(folder, f"location ~ /manifests/ {{ {liar} }} " + behind(registries["http"])) as front:
        error = refused(puller, f"{front.host}/{NAME}:1.0")
    assert error.code() == grpc.StatusCode.DATA_LOSS and "it says that the content is sha256:0000" in error.details()


# ---- mirrors ----

def test_mirror(puller, registries, folder):
    """A registry that nobody can reach, by way of its mirror; the image has the name of the registry."""
    with Nginx(folder, behind(registries["http"])) as mirror:
        configure(puller, "_default", f'[host."http://{mirror.host}"]\n  capabilities = ["pull", "resolve"]\n')
        reference = f"registry.invalid/{NAME}:1.0"
        image_id = pull(puller, reference)
        status = puller.client().ImageStatus(image=cri.ImageSpec(image=reference)).image
        assert status.id == image_id and list(status.repo_tags) == [reference]
        assert all(line[2].endswith("?ns=registry.invalid") for line in mirror.seen())
    error = refused(puller, f"registry.invalid/{NAME}:2.0")
    assert error.code() == grpc.StatusCode.UNAVAILABLE and error.details().startswith("RegistryUnavailable: ")
    assert f"before that, mirror http://{mirror.host}: " in error.details() and "registry registry.invalid: " in error.details()


def test_wrong_hosts_file(puller, registries):
    host = registries["http"].host
    configure(puller, host, 'server = "x"\n\n[host."http://y"]\ncapabilities = "pull"\n')
    error = refused(puller, f"{host}/{NAME}:1.0")
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert f"certs.d/{host}/hosts.toml: line 4: 'capabilities' is a string, not a list" in error.details()
    configure(puller, host, f'server = "http://{host}"\nfuture = true\n')
    assert pull(puller, f"{host}/{NAME}:1.0")
    assert f"certs.d/{host}/hosts.toml line 2: unknown setting 'future' is ignored" in puller.log.read_text()


# ---- credentials ----

def test_credentials_of_the_node(puller, registries):
    secure = registries["https"]
    configure(puller, secure.host, f'ca = ["{secure.folder}/ca.crt"]\n')
    reference = f"{secure.host}/private/busybox:1.0"
    assert refused(puller, reference).code() == grpc.StatusCode.UNAUTHENTICATED
    entry = {"username": USER, "password": PASSWORD}
    (puller.folder / "config.json").write_text(json.dumps({"auths": {f"{secure.host}/private": entry, secure.host: {"auth": "eDp5"}}}))
    assert pull(puller, reference)
    assert refused(puller, reference, username=USER, password="wrong").code() == grpc.StatusCode.UNAUTHENTICATED
    (puller.folder / "config.json").write_text(json.dumps({"auths": {}, "credHelpers": {secure.host: "evil"}}))
    assert refused(puller, reference).code() == grpc.StatusCode.UNAUTHENTICATED
    log = puller.log.read_text()
    assert f"names the credential helper 'evil' for 127.0.0.1: helpers are not run" in log and PASSWORD not in log


def test_token_service(puller, registries, certificates, tmp_path):
    service = TokenService(certificates)
    auth = ["auth:", "  token:", f"    realm: {service.realm}", "    service: service-of-the-test", "    issuer: issuer-of-the-test",
            f"    rootcertbundle: {certificates}/ca.crt"]
    registry = Registry(tmp_path / "registry", data=registries["http"].folder / "data", auth=auth).start()
    try:
        reference = f"{registry.host}/{NAME}:1.0"
        nobody = refused(puller, reference)
        assert nobody.code() == grpc.StatusCode.UNAUTHENTICATED and "refused the credentials" in nobody.details()
        assert refused(puller, reference, username=USER, password="wrong").code() == grpc.StatusCode.UNAUTHENTICATED
        service.questions.clear()
        assert pull(puller, reference, username=USER, password=PASSWORD)
        # One token serves the whole pull.
        assert [(q["scope"], q["service"], q["account"]) for q in service.questions] == [
            ([f"repository:{NAME}:pull"], ["service-of-the-test"], [USER])]
        assert pull(puller, reference, identity_token=IDENTITY)
        assert service.questions[-1]["refresh_token"] == [IDENTITY]
        token = service.token({"scope": [f"repository:{NAME}:pull"], "service": ["service-of-the-test"]})
        service.questions.clear()
        assert pull(puller, reference, registry_token=token) and not service.questions
    finally:
        registry.stop()
        service.stop()
