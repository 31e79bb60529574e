"""Who a client proves to be, to whom, over what: challenges, tokens, redirects, certificates. Servers stand at the wire, with real
TLS where the rule is about that: the name `registry.example` leads to this machine for these tests."""

import base64
import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from arrstack.model import State
from arrstack.reference import Place
from arrstack.registry import Patience
from arrstack.registry.distribution import Distribution
from tests.contract.test_registry_answers import CONFIG, CONFIG_PATH, IMAGE, MANIFEST_PATH
from tests.tools.certificates import authority, server_context

ONCE = Patience(answer=5, question=0)
HOST = "registry.example"
BASIC = base64.b64encode(b"me:secret").decode()


def log_in(home: Path, host: str, **entry: str) -> None:
    (home / ".docker").mkdir(exist_ok=True)
    (home / ".docker/config.json").write_text(json.dumps({"auths": {host: entry or {"auth": BASIC}}}))


def lookup(host: str, home: Path, **environment: str) -> tuple[State, str]:
    answer = Distribution(Place(host), {"HOME": str(home), **environment}, ONCE).lookup("tier", "latest")
    return answer.state, answer.reason


class Guarded:
    """A registry that gives the image for a token or a password, and a token server beside it."""

    def __init__(self, server: HTTPServer, challenge: list[str]) -> None:
        self.server, self.url = (
            server,
            f"{'https' if server.ssl_context else 'http'}://{HOST if server.ssl_context else server.host}:{server.port}",
        )
        self.challenge = [each.format(realm=f"{self.url}/token") for each in challenge]
        self.tokens: list[Request] = []
        self.authorizations: list[str | None] = []
        self.token: Any = {"token": "good"}
        server.expect_request("/v2/").respond_with_data("{}")
        for path in (MANIFEST_PATH, CONFIG_PATH):
            server.expect_request(path).respond_with_handler(self.guarded)
        server.expect_request("/token").respond_with_handler(self.give)

    @property
    def host(self) -> str:
        return self.url.partition("://")[2]

    def guarded(self, request: Request) -> Response:
        self.authorizations.append(request.headers.get("Authorization"))
        if self.authorizations[-1] in ("Bearer good", f"Basic {BASIC}"):
            return Response(CONFIG if "blobs" in request.path else IMAGE)
        answer = Response(status=401)
        for each in self.challenge:
            answer.headers.add("WWW-Authenticate", each)
        return answer

    def give(self, request: Request) -> Response:
        request.get_data()
        self.tokens.append(request)
        return Response(json.dumps(self.token))


BEARER = 'Bearer realm="{realm}",service="reg"'


@pytest.mark.parametrize(
    "challenge",
    [
        [BEARER],
        ['Basic realm="x"', BEARER],
        [BEARER, 'Basic realm="x"'],
        [f'Basic realm="x", {BEARER}'],
        [f'{BEARER}, Basic realm="x"'],
        ["Negotiate", BEARER],
        ['BEARER REALM = "{realm}" , SERVICE = reg'],
        ["bearer realm={realm}, service=reg"],
    ],
)
def test_of_several_challenges_the_token_s_is_answered(httpserver: HTTPServer, tmp_path: Path, challenge: list[str]) -> None:
    guarded = Guarded(httpserver, challenge)
    assert lookup(guarded.host, tmp_path) == (State.PRESENT, "")
    assert {each.args["service"] for each in guarded.tokens} == {"reg"}
    assert {each.args["scope"] for each in guarded.tokens} == {"repository:tier:pull"}


def test_the_challenge_s_own_scope_is_asked_for(httpserver: HTTPServer, tmp_path: Path) -> None:
    guarded = Guarded(httpserver, [BEARER + ',scope="repository:project/tier:pull"'])
    assert lookup(guarded.host, tmp_path)[0] is State.PRESENT
    assert guarded.tokens[0].args["scope"] == "repository:project/tier:pull"


@pytest.mark.parametrize(
    "token", [{"token": "a\nb"}, {"token": "Ā"}, {"token": "a b"}, {"token": 5}, {"token": ["x"]}, {"token": ""}, [], "[" * 9]
)
def test_a_token_that_no_header_can_hold_is_unknown(httpserver: HTTPServer, tmp_path: Path, token: object) -> None:
    guarded = Guarded(httpserver, [BEARER])
    guarded.token = token
    state, reason = lookup(guarded.host, tmp_path)
    assert (state, "no token" in reason) == (State.UNKNOWN, True)


def test_an_identity_token_is_exchanged(httpserver: HTTPServer, tmp_path: Path) -> None:
    guarded = Guarded(httpserver, [BEARER])
    guarded.token = {"access_token": "good"}
    log_in(tmp_path, guarded.host, identitytoken="refresh")
    assert lookup(guarded.host, tmp_path)[0] is State.PRESENT
    (asked,) = guarded.tokens
    assert asked.method == "POST"
    assert {"grant_type": "refresh_token", "refresh_token": "refresh", "service": "reg"}.items() <= asked.form.to_dict().items()


def test_what_kept_a_helper_from_answering_is_told_with_the_refusal(httpserver: HTTPServer, tmp_path: Path) -> None:
    guarded = Guarded(httpserver, ['Basic realm="x"'])
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(json.dumps({"credsStore": "nowhere"}))
    state, reason = lookup(guarded.host, tmp_path)
    assert state is State.UNKNOWN
    assert f"skopeo login {guarded.host}" in reason and "docker-credential-nowhere is not installed" in reason


def test_netrc_is_not_read(httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text(f"machine {httpserver.host} login other password other\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    guarded = Guarded(httpserver, [BEARER])
    assert lookup(guarded.host, tmp_path)[0] is State.PRESENT
    assert set(guarded.authorizations) == {None, "Bearer good"}


@pytest.mark.parametrize("realm", ["x://[::1", "/token", "", "ftp://x/y", "http://10.1.2.3/token", "http://evil.example/token"])
def test_a_login_is_not_sent_to_a_realm_that_is_no_good(httpserver: HTTPServer, tmp_path: Path, realm: str) -> None:
    guarded = Guarded(httpserver, [f'Bearer realm="{realm}"'])
    log_in(tmp_path, guarded.host)
    assert lookup(guarded.host, tmp_path)[0] is State.UNKNOWN


# -- redirects


@pytest.fixture
def elsewhere() -> Iterator[HTTPServer]:
    """Another server, at another port of this machine."""
    server = HTTPServer()
    server.start()
    yield server
    server.clear()
    server.stop()


def test_no_credential_goes_with_a_redirect(httpserver: HTTPServer, elsewhere: HTTPServer, tmp_path: Path) -> None:
    seen: list[str | None] = []

    def stored(request: Request) -> Response:
        seen.append(request.headers.get("Authorization"))
        return Response(CONFIG)

    elsewhere.expect_request("/stored").respond_with_handler(stored)
    log_in(tmp_path, f"{httpserver.host}:{httpserver.port}")
    guarded = Guarded(httpserver, ['Basic realm="x"'])
    httpserver.clear_all_handlers()
    httpserver.expect_request(MANIFEST_PATH).respond_with_handler(guarded.guarded)
    to = {"Location": elsewhere.url_for("/stored")}
    httpserver.expect_request(CONFIG_PATH).respond_with_data("", status=307, headers=to)
    assert lookup(guarded.host, tmp_path) == (State.PRESENT, "")
    assert seen == [None]


# -- TLS


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return authority(tmp_path_factory.mktemp("authority"), "tests")


@pytest.fixture
def secure(issuer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPServer]:
    """A server of the name `registry.example`, with a certificate of an authority of its own."""
    ask = socket.getaddrinfo

    def addresses(host: Any, *args: Any, **options: Any) -> Any:
        return ask("127.0.0.1" if host == HOST else host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", addresses)
    server = HTTPServer(ssl_context=server_context(tmp_path, issuer, HOST))
    server.start()
    yield server
    server.clear()
    server.stop()


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_certificates_that_builds_trust_count_for_look_ups(
    secure: HTTPServer, issuer: Path, tmp_path: Path, variable: str
) -> None:
    guarded = Guarded(secure, [BEARER])
    assert lookup(guarded.host, tmp_path, **{variable: str(issuer)}) == (State.PRESENT, "")


def test_a_server_that_nobody_vouches_for_is_unknown_and_said(secure: HTTPServer, tmp_path: Path) -> None:
    guarded = Guarded(secure, [BEARER])
    state, reason = lookup(guarded.host, tmp_path)
    assert (state, "certificate verify failed" in reason) == (State.UNKNOWN, True)
    assert guarded.authorizations == []


def test_a_host_that_begins_like_a_local_one_is_asked_by_https(
    httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *a, **o: ask("127.0.0.1", *a, **o))
    httpserver.expect_request(MANIFEST_PATH).respond_with_data(IMAGE)
    state, reason = lookup(f"localhost.evil.example:{httpserver.port}", tmp_path)
    assert state is State.UNKNOWN and "SSL" in reason.upper()
    assert httpserver.log == []


def test_a_registry_behind_tls_does_not_get_a_login_sent_by_plain_http(
    secure: HTTPServer, httpserver: HTTPServer, issuer: Path, tmp_path: Path
) -> None:
    plain = httpserver.url_for("/token")
    httpserver.expect_request("/token").respond_with_data('{"token": "good"}')
    guarded = Guarded(secure, [f'Bearer realm="{plain}"'])
    log_in(tmp_path, guarded.host)
    state, reason = lookup(guarded.host, tmp_path, SSL_CERT_FILE=str(issuer))
    assert (state, "plain HTTP" in reason) == (State.UNKNOWN, True)
    assert httpserver.log == []


def test_a_registry_behind_tls_does_not_redirect_to_plain_http(
    secure: HTTPServer, httpserver: HTTPServer, issuer: Path, tmp_path: Path
) -> None:
    secure.expect_request(MANIFEST_PATH).respond_with_data("", status=307, headers={"Location": httpserver.url_for("/x")})
    host = f"{HOST}:{secure.port}"
    state, reason = lookup(host, tmp_path, SSL_CERT_FILE=str(issuer))
    assert (state, "plain HTTP" in reason) == (State.UNKNOWN, True)
    assert httpserver.log == []


def test_a_bundle_that_is_none_is_said(secure: HTTPServer, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.crt"
    bundle.write_text("nonsense")
    state, reason = lookup(f"{HOST}:{secure.port}", tmp_path, SSL_CERT_FILE=str(bundle))
    assert state is State.UNKNOWN and reason
    assert isinstance(secure.ssl_context, ssl.SSLContext)


# -- a proxy


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy that leads every name to this machine: its address, and what it was asked for."""
    asked: list[str] = []

    def relay(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def one(client: socket.socket) -> None:
        with client:
            head = client.recv(65536).decode().split(" ")
            asked.append(f"{head[0]} {head[1]}")
            with socket.create_connection(("127.0.0.1", int(head[1].rpartition(":")[2]))) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=relay, args=(server, client), daemon=True)
                back.start()
                relay(client, server)
                back.join(10)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("bypass", [False, True])
def test_a_registry_is_asked_by_the_proxy_of_the_environment(
    secure: HTTPServer, proxy: tuple[str, list[str]], issuer: Path, tmp_path: Path, bypass: bool
) -> None:
    address, asked = proxy
    guarded = Guarded(secure, [BEARER])
    environment = {"HTTPS_PROXY": address, "NO_PROXY": HOST if bypass else "other.example", "SSL_CERT_FILE": str(issuer)}
    assert lookup(guarded.host, tmp_path, **environment) == (State.PRESENT, "")
    assert set(asked) == (set() if bypass else {f"CONNECT {guarded.host}"})


def test_this_machine_s_registry_is_asked_without_a_proxy(httpserver: HTTPServer, tmp_path: Path) -> None:
    guarded = Guarded(httpserver, [BEARER])
    environment = dict.fromkeys(("http_proxy", "HTTPS_PROXY", "all_proxy"), "http://127.0.0.1:1")
    assert lookup(guarded.host, tmp_path, **environment) == (State.PRESENT, "")
