"""What a distribution server may answer besides the image: refusals, failures, nonsense. A fake stands at the wire."""

import base64
import hashlib
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from arrstack.errors import RegistryError
from arrstack.model import State
from arrstack.reference import Place
from arrstack.registry import LOOKING, WORKING, Patience, ask_for
from arrstack.registry.client import Clock
from arrstack.registry.distribution import Distribution
from arrstack.registry.documents import DOCKER_LIST, LARGEST_JSON, MANIFEST

CONFIG = json.dumps(
    {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": []}, "config": {"Labels": {"a": "b"}}}
).encode()


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


IMAGE = json.dumps(
    {"schemaVersion": 2, "mediaType": MANIFEST, "config": {"digest": digest(CONFIG), "size": len(CONFIG)}, "layers": []}
).encode()
MANIFEST_PATH, CONFIG_PATH = "/v2/tier/manifests/latest", f"/v2/tier/blobs/{digest(CONFIG)}"


class Asked:
    """A registry at a fake server, and how long it waited between tries, on a clock of its own."""

    def __init__(self, server: HTTPServer, home: Path, patience: Patience = WORKING) -> None:
        self.server, self.waited, self.said = server, list[float](), list[str]()
        server.expect_request("/v2/").respond_with_data("{}")
        place = Place(f"{server.host}:{server.port}")
        clock = Clock(lambda: time.monotonic() + sum(self.waited), self.waited.append)
        self.registry = Distribution(place, {"HOME": str(home)}, patience, self.said.append, clock)

    def answers(self, *responses: Response) -> None:
        """What the manifest's address answers, one after the other; the last one again and again."""
        left = list(responses)
        self.server.expect_request(MANIFEST_PATH).respond_with_handler(lambda _: left.pop(0) if len(left) > 1 else left[0])

    def lookup(self) -> tuple[State, str]:
        answer = self.registry.lookup("tier", "latest")
        return answer.state, answer.reason


@pytest.fixture
def asked(httpserver: HTTPServer, tmp_path: Path) -> Asked:
    httpserver.expect_request(CONFIG_PATH).respond_with_data(CONFIG)
    return Asked(httpserver, tmp_path)


def image() -> Response:
    return Response(IMAGE, content_type=MANIFEST)


def test_an_image_is_present(asked: Asked) -> None:
    asked.answers(image())
    assert asked.registry.lookup("tier", "latest").image is not None
    assert asked.waited == []


def test_not_found_is_absent_and_not_asked_again(asked: Asked) -> None:
    asked.answers(Response(status=404))
    assert asked.lookup() == (State.ABSENT, "")
    assert asked.waited == []


def test_an_answer_that_breaks_off_is_unknown(tmp_path: Path) -> None:
    """By a server that promises more bytes than it sends."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def half() -> None:
            connection, _ = server.accept()
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + IMAGE[:50])
            connection.close()

        thread = threading.Thread(target=half)
        thread.start()
        registry = Distribution(Place(f"127.0.0.1:{server.getsockname()[1]}"), {"HOME": str(tmp_path)}, Patience(5, 0))
        answer = registry.lookup("tier", "latest")
        thread.join()
    assert answer.state is State.UNKNOWN
    assert "the answer broke off" in answer.reason


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_unknown_at_once_and_says_how_to_log_in(asked: Asked, status: int) -> None:
    asked.answers(Response(status=status))
    state, reason = asked.lookup()
    assert state is State.UNKNOWN
    assert f"{status}" in reason
    assert "skopeo login" in reason
    assert asked.waited == []


def test_too_many_requests_waits_as_long_as_the_server_says(asked: Asked) -> None:
    asked.answers(Response(status=429, headers={"Retry-After": "7"}), image())
    assert asked.lookup()[0] is State.PRESENT
    assert asked.waited == [7.0]
    (said,) = asked.said
    assert "429" in said and "trying again in 7 s" in said


def test_who_only_looks_is_told_at_once_that_the_server_wants_a_long_pause(httpserver: HTTPServer, tmp_path: Path) -> None:
    asked = Asked(httpserver, tmp_path, LOOKING)
    asked.answers(Response(status=429, headers={"Retry-After": "30"}))
    state, reason = asked.lookup()
    assert state is State.UNKNOWN
    assert "429" in reason and "asks to wait 30 s" in reason
    assert asked.waited == []
    count = len(httpserver.log)
    assert asked.lookup() == (state, reason), "the same again is not asked for"
    assert len(httpserver.log) == count


def test_who_only_looks_waits_for_seconds_at_most(httpserver: HTTPServer, tmp_path: Path) -> None:
    asked = Asked(httpserver, tmp_path, LOOKING)
    asked.answers(Response(status=429))
    assert asked.lookup()[0] is State.UNKNOWN
    assert 0 < sum(asked.waited) <= LOOKING.question


def test_an_unreasonable_wait_is_cut(asked: Asked) -> None:
    asked.answers(Response(status=429, headers={"Retry-After": "86400"}), image())
    assert asked.lookup()[0] is State.PRESENT
    assert asked.waited == [60.0]


def test_a_server_error_is_tried_again_with_growing_jittered_pauses(asked: Asked) -> None:
    asked.answers(Response(status=500), Response(status=502), Response(status=503), image())
    assert asked.lookup()[0] is State.PRESENT
    for waited, longest in zip(asked.waited, (1, 2, 4), strict=True):
        assert longest / 2 <= waited <= longest


def test_a_server_that_keeps_failing_is_unknown_never_absent(asked: Asked) -> None:
    asked.answers(Response(status=500))
    state, reason = asked.lookup()
    assert (state, "500" in reason) == (State.UNKNOWN, True)
    assert 60 < sum(asked.waited) <= WORKING.question


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Response("<html>Welcome to the hotel's network</html>"), "not JSON"),
        (Response(b"\xff\xfe\x00"), "not JSON"),
        (Response("[1, 2]"), "not an image manifest"),
        (Response("{}"), "not an image manifest"),
        (Response('{"config": 3, "layers": []}'), "not an image manifest"),
        (Response('{"config": {"digest": 7}, "layers": []}'), "not an image manifest"),
        (Response('{"manifests": 7}'), "not an image manifest"),
        (Response('{"manifests": []}'), "no linux/amd64"),
        (Response(b"{" + b" " * LARGEST_JSON + b"}"), "larger than 4 MiB"),
        (Response(status=418), "418"),
    ],
)
def test_an_answer_that_is_no_image_is_unknown_at_once(asked: Asked, answer: Response, reason: str) -> None:
    asked.answers(answer)
    state, told = asked.lookup()
    assert state is State.UNKNOWN
    assert reason in told
    assert asked.waited == []


def test_a_config_with_another_digest_is_not_believed(httpserver: HTTPServer, tmp_path: Path) -> None:
    asked = Asked(httpserver, tmp_path)
    asked.answers(image())
    httpserver.expect_request(CONFIG_PATH).respond_with_data(CONFIG.replace(b"b", b"c"))
    state, reason = asked.lookup()
    assert (state, "does not have that digest" in reason) == (State.UNKNOWN, True)


def test_of_an_index_the_amd64_image_is_taken(asked: Asked) -> None:
    arm = entry(b"arm", platform={"architecture": "arm64", "os": "linux"})
    indexed(asked, arm, entry(IMAGE, platform=AMD64))
    found = asked.registry.lookup("tier", "latest").image
    assert found is not None
    assert found.digest == digest(IMAGE)


AMD64 = {"architecture": "amd64", "os": "linux"}


def entry(data: bytes, **fields: Any) -> dict[str, Any]:
    return {"digest": digest(data), "size": len(data), **fields}


def indexed(asked: Asked, *entries: dict[str, Any], child: bytes = IMAGE) -> None:
    """Answers with an index; one of its manifests is there."""
    asked.answers(Response(json.dumps({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": entries})))
    asked.server.expect_request(f"/v2/tier/manifests/{digest(child)}").respond_with_data(child)


OTHERS = [
    entry(b"windows", platform={"architecture": "amd64", "os": "windows"}),
    entry(b"v3", platform=AMD64 | {"variant": "v3"}),
    entry(b"attested", platform=AMD64, annotations={"vnd.docker.reference.type": "attestation-manifest"}),
    entry(b"sbom", platform=AMD64, artifactType="application/spdx+json"),
    entry(b"unknown", platform={"architecture": "unknown", "os": "unknown"}),
    entry(b"none"),
]


@pytest.mark.parametrize("variant", [{}, {"variant": "v1"}, {"variant": ""}])
def test_of_an_index_the_image_is_taken_that_runs_on_every_machine(asked: Asked, variant: dict[str, str]) -> None:
    indexed(asked, *OTHERS, entry(IMAGE, platform=AMD64 | variant))
    found = asked.registry.lookup("tier", "latest").image
    assert found and found.digest == digest(IMAGE)


def test_an_index_without_an_image_for_this_platform_is_unknown(asked: Asked) -> None:
    indexed(asked, *OTHERS)
    state, reason = asked.lookup()
    assert (state, "no linux/amd64 image" in reason) == (State.UNKNOWN, True)


def test_the_only_entry_of_an_index_need_not_say_its_platform(asked: Asked) -> None:
    indexed(asked, entry(IMAGE))
    assert asked.lookup() == (State.PRESENT, "")


def sha512(data: bytes) -> str:
    return f"sha512:{hashlib.sha512(data).hexdigest()}"


@pytest.mark.parametrize("right", [True, False])
def test_a_child_and_a_config_by_sha512_are_verified(asked: Asked, right: bool) -> None:
    manifest = IMAGE.replace(digest(CONFIG).encode(), sha512(CONFIG).encode())
    asked.answers(Response(json.dumps({"manifests": [entry(manifest, platform=AMD64) | {"digest": sha512(manifest)}]})))
    told = manifest if right else manifest.replace(b"2", b"3", 1)
    asked.server.expect_request(f"/v2/tier/manifests/{sha512(manifest)}").respond_with_data(told)
    asked.server.expect_request(f"/v2/tier/blobs/{sha512(CONFIG)}").respond_with_data(CONFIG)
    state, reason = asked.lookup()
    assert state is (State.PRESENT if right else State.UNKNOWN)
    assert right or "does not have that digest" in reason


def test_an_artefact_without_an_image_is_unknown(asked: Asked) -> None:
    manifest = json.dumps({"schemaVersion": 2, "config": entry(b"{}"), "layers": []}).encode()
    asked.answers(Response(manifest))
    asked.server.expect_request(f"/v2/tier/blobs/{digest(b'{}')}").respond_with_data(b"{}")
    state, reason = asked.lookup()
    assert (state, "not an image's config" in reason) == (State.UNKNOWN, True)


# -- what is not there


@pytest.mark.parametrize("missing", ["config", "child"])
def test_a_manifest_that_is_there_without_what_it_names_is_unknown(httpserver: HTTPServer, tmp_path: Path, missing: str) -> None:
    asked = Asked(httpserver, tmp_path)
    if missing == "child":
        asked.answers(Response(json.dumps({"manifests": [entry(IMAGE, platform=AMD64)]})))
        httpserver.expect_request(f"/v2/tier/manifests/{digest(IMAGE)}").respond_with_data(status=404)
    else:
        asked.answers(image())
        httpserver.expect_request(CONFIG_PATH).respond_with_data(status=404)
    state, reason = asked.lookup()
    assert state is State.UNKNOWN
    assert "not all of it" in reason and "404" in reason


def test_a_404_of_what_is_no_registry_is_unknown(httpserver: HTTPServer, tmp_path: Path) -> None:
    registry = Distribution(Place(f"{httpserver.host}:{httpserver.port}"), {"HOME": str(tmp_path)})
    page = Response("<html>no such page</html>", status=404)
    httpserver.expect_request(MANIFEST_PATH).respond_with_response(page)
    httpserver.expect_request("/v2/").respond_with_response(page)
    answer = registry.lookup("tier", "latest")
    assert answer.state is State.UNKNOWN
    assert "no registry" in answer.reason


@pytest.mark.parametrize(
    "answer",
    [
        Response(json.dumps({"errors": [{"code": "MANIFEST_UNKNOWN"}]}), status=404),
        Response(json.dumps({"errors": [{"code": "NAME_UNKNOWN", "detail": {"name": "x"}}]}), status=404),
        Response("", status=404, headers={"Docker-Distribution-Api-Version": "registry/2.0"}),
    ],
)
def test_a_404_in_a_registry_s_own_words_is_absent(httpserver: HTTPServer, tmp_path: Path, answer: Response) -> None:
    registry = Distribution(Place(f"{httpserver.host}:{httpserver.port}"), {"HOME": str(tmp_path)})
    httpserver.expect_request(MANIFEST_PATH).respond_with_response(answer)
    assert registry.lookup("tier", "latest").state is State.ABSENT


# -- pages of tags


@pytest.mark.parametrize("base", ["", "http://{}"])
@pytest.mark.parametrize(
    "form", ['<{}/v2/tier/tags/list?last=b&n=2>; rel="next"', "<x>; rel=prev, <{}/v2/tier/tags/list?last=b&n=2>;rel=next"]
)
def test_every_page_of_tags_is_read(asked: Asked, base: str, form: str) -> None:
    link = form.format(base.format(f"{asked.server.host}:{asked.server.port}"))
    first = Response(json.dumps({"tags": ["a", "b"]}), headers={"Link": link})
    asked.server.expect_ordered_request("/v2/tier/tags/list", query_string="").respond_with_response(first)
    second = Response(json.dumps({"tags": ["latest"]}))
    asked.server.expect_ordered_request("/v2/tier/tags/list", query_string="last=b&n=2").respond_with_response(second)
    assert asked.registry.tags("tier") == ["a", "b", "latest"]


def test_a_page_that_is_gone_is_an_error_and_not_the_end(asked: Asked) -> None:
    first = Response(json.dumps({"tags": ["a"]}), headers={"Link": "</v2/tier/tags/list?last=a>; rel=next"})
    asked.server.expect_request("/v2/tier/tags/list", query_string="").respond_with_response(first)
    asked.server.expect_request("/v2/tier/tags/list", query_string="last=a").respond_with_data(status=404)
    with pytest.raises(RegistryError, match="cannot be read"):
        asked.registry.tags("tier")


# -- logging in


class Guarded:
    """A server that wants a token, by docker's token authentication (distribution, docs/spec/auth/token.md)."""

    def __init__(self, server: HTTPServer, password: str = "") -> None:
        self.server, self.password, self.asked = server, password, list[str]()
        server.expect_request(MANIFEST_PATH).respond_with_handler(self.guarded)
        server.expect_request(CONFIG_PATH).respond_with_handler(self.guarded)
        server.expect_request("/token").respond_with_handler(self.token)

    def guarded(self, request: Request) -> Response:
        if request.headers.get("Authorization") == "Bearer good":
            return Response(CONFIG if "blobs" in request.path else IMAGE)
        challenge = f'Bearer realm="{self.server.url_for("/token")}",service="registry",scope="repository:tier:pull"'
        return Response(status=401, headers={"WWW-Authenticate": challenge})

    def token(self, request: Request) -> Response:
        self.asked.append(request.args["scope"])
        if self.password and request.headers.get("Authorization") != f"Basic {self.password}":
            return Response(status=401)
        return Response(json.dumps({"token": "good"}))


def test_a_token_is_asked_for_once_and_kept(httpserver: HTTPServer, tmp_path: Path) -> None:
    guarded, asked = Guarded(httpserver), Asked(httpserver, tmp_path)
    assert asked.lookup()[0] is State.PRESENT
    assert asked.lookup()[0] is State.PRESENT
    assert guarded.asked == ["repository:tier:pull"]


@pytest.mark.parametrize("file", [".docker/config.json", ".config/containers/auth.json"])
def test_the_token_server_gets_the_password_that_login_wrote(httpserver: HTTPServer, tmp_path: Path, file: str) -> None:
    password = base64.b64encode(b"user:secret").decode()
    Guarded(httpserver, password)
    asked = Asked(httpserver, tmp_path)
    assert asked.lookup()[0] is State.UNKNOWN
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(json.dumps({"auths": {f"{httpserver.host}:{httpserver.port}": {"auth": password}}}))
    assert asked.lookup()[0] is State.PRESENT


def test_the_password_is_given_where_the_server_asks_for_it_directly(httpserver: HTTPServer, tmp_path: Path) -> None:
    password = base64.b64encode(b"user:secret").decode()
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(
        json.dumps({"auths": {f"{httpserver.host}:{httpserver.port}": {"auth": password}}})
    )

    def guarded(request: Request) -> Response:
        if request.headers.get("Authorization") != f"Basic {password}":
            return Response(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        return Response(CONFIG if "blobs" in request.path else IMAGE)

    httpserver.expect_request(MANIFEST_PATH).respond_with_handler(guarded)
    httpserver.expect_request(CONFIG_PATH).respond_with_handler(guarded)
    assert Asked(httpserver, tmp_path).lookup()[0] is State.PRESENT


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ({"response_data": "<html>"}, "no token"),
        ({"response_data": "{}"}, "no token"),
        ({"response_data": "[]"}, "no token"),
        ({"response_data": "", "status": 500}, "token: 500"),
        ({"response_data": "", "status": 403}, "not allowed"),
    ],
)
def test_a_token_server_that_fails_is_unknown(httpserver: HTTPServer, tmp_path: Path, token: dict[str, Any], reason: str) -> None:
    challenge = f'Bearer realm="{httpserver.url_for("/token")}",service="registry"'
    httpserver.expect_request(MANIFEST_PATH).respond_with_data(status=401, headers={"WWW-Authenticate": challenge})
    httpserver.expect_request("/token").respond_with_data(**token)
    state, told = Asked(httpserver, tmp_path).lookup()
    assert state is State.UNKNOWN
    assert reason in told


def test_a_damaged_login_file_counts_as_none(httpserver: HTTPServer, tmp_path: Path) -> None:
    Guarded(httpserver)
    (tmp_path / ".docker").mkdir()
    damaged = json.dumps({"auths": {f"{httpserver.host}:{httpserver.port}": {"auth": "///"}}})
    for text in ("{", "[]", '{"auths": []}', damaged):
        (tmp_path / ".docker/config.json").write_text(text)
        assert Asked(httpserver, tmp_path).lookup()[0] is State.PRESENT


def test_a_base_image_s_name_leads_to_no_other_address_of_a_server(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/admin/x").respond_with_data("secret")
    for name in ("../../admin/x?y#", "a/../../../admin/x", "a?b", "a#b", "a%2e%2e/b", "a b"):
        answer = ask_for(f"{httpserver.host}:{httpserver.port}/{name}", {})
        assert (answer.state, "not an image's name" in answer.reason) == (State.UNKNOWN, True)
    assert httpserver.log == []


def test_writing_says_what_the_server_refused(httpserver: HTTPServer, tmp_path: Path) -> None:
    asked = Asked(httpserver, tmp_path)
    for method in ("DELETE", "PUT"):
        httpserver.expect_request(MANIFEST_PATH, method=method).respond_with_data(status=405)
    asked.answers(image())
    with pytest.raises(RegistryError, match="tier:latest could not be deleted"):
        asked.registry.delete_tag("tier", "latest")
    httpserver.expect_request(CONFIG_PATH).respond_with_data(CONFIG)
    found = asked.registry.lookup("tier", "latest").image
    assert found
    with pytest.raises(RegistryError, match="tier:moved could not be moved"):
        asked.registry.move_tag("tier", "moved", found)


BLOB = bytes(range(256)) * 8192


def test_a_blob_that_breaks_off_is_asked_for_again(asked: Asked, tmp_path: Path) -> None:
    short = Response(iter([BLOB[:-1]]), headers={"Content-Length": str(len(BLOB))})
    left = [Response(status=503), short, Response(BLOB)]
    asked.server.expect_request(f"/v2/tier/blobs/{digest(BLOB)}").respond_with_handler(lambda _: left.pop(0))
    path = asked.registry.blob("tier", digest(BLOB), len(BLOB), tmp_path)
    assert path.parent == tmp_path and path.read_bytes() == BLOB
    assert len(asked.waited) == 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Response(BLOB[:-1] + b"x"), "does not have that digest"),
        (Response(status=404), "is missing"),
        (Response(status=403), "log in with"),
    ],
)
def test_a_blob_that_is_another_is_refused_at_once(asked: Asked, tmp_path: Path, answer: Response, reason: str) -> None:
    asked.server.expect_request(f"/v2/tier/blobs/{digest(BLOB)}").respond_with_response(answer)
    with pytest.raises(RegistryError, match=reason):
        asked.registry.blob("tier", digest(BLOB), len(BLOB), tmp_path)
    assert asked.waited == []


@pytest.mark.parametrize("given", ["sha256:../../../etc/passwd", "md5:" + "0" * 32, f"sha256:{'0' * 64}/", 5])
def test_what_is_no_digest_is_not_asked_for(asked: Asked, tmp_path: Path, given: Any) -> None:
    with pytest.raises(RegistryError, match="is not a digest"):
        asked.registry.blob("tier", given, 1, tmp_path)
