"""Whatever a server answers, a question ends in time with an answer: unknown, and one sentence why. Never a traceback."""

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from arrstack.errors import RegistryError
from arrstack.model import State
from arrstack.recipes.config import LoadedStack
from arrstack.reference import Place
from arrstack.registry import Patience
from arrstack.registry.distribution import Distribution
from arrstack.registry.documents import LARGEST_JSON, digest_of
from tests.fakes.hostile_registry import Answer, HostileRegistry, dripping, endless, hostile_registry, plain, raw
from tests.unit.cli.test_cli import run

QUICK = Patience(answer=1.5, question=0.5)
SECONDS = 6.0
"""What a question may take here: an answer, and one more try that begins within the time of the question."""
MANIFEST = "/v2/tier/manifests/latest"
DEEP = b"[" * 100_000
CONFIG = {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": []}, "config": {"Labels": {"a": "b"}}}
OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


@pytest.fixture
def server() -> Iterator[HostileRegistry]:
    with hostile_registry() as registry:
        yield registry


@pytest.fixture
def registry(server: HostileRegistry, tmp_path: Path) -> Distribution:
    return Distribution(Place(server.host), {"HOME": str(tmp_path)}, QUICK)


def bounded_lookup(registry: Distribution) -> tuple[State, str]:
    began = time.monotonic()
    answer = registry.lookup("tier", "latest")
    assert time.monotonic() - began < SECONDS
    return answer.state, answer.reason


def image(config: object, layers: object = ()) -> tuple[bytes, bytes]:
    """A manifest and its config blob, whatever that is."""
    data = config if isinstance(config, bytes) else json.dumps(config).encode()
    manifest = {"schemaVersion": 2, "config": {"digest": digest_of(data), "size": len(data)}, "layers": list(layers)}  # type: ignore[call-overload]
    return json.dumps(manifest).encode(), data


def holds(server: HostileRegistry, config: object) -> None:
    manifest, data = image(config)
    server.answers[MANIFEST] = plain(manifest)
    server.answers[f"/v2/tier/blobs/{digest_of(data)}"] = plain(data)


def test_an_ordinary_answer_is_present(server: HostileRegistry, registry: Distribution) -> None:
    holds(server, CONFIG)
    assert bounded_lookup(registry) == (State.PRESENT, "")


def descriptor(**fields: object) -> dict[str, object]:
    return {"digest": f"sha256:{'0' * 64}", "size": 2} | fields


INDEXES: list[object] = [
    [descriptor(platform="linux/amd64")],
    [descriptor(platform=["linux", "amd64"])],
    [descriptor(platform={"os": 5})],
    [descriptor(annotations=[1])],
    [descriptor(digest="sha256:../../x")],
    [descriptor(digest=5)],
    [descriptor(size="2")],
    [descriptor(size=-1)],
    [descriptor(size=10**400)],
    ["nonsense"],
    [None],
    {"a": 1},
    "x",
]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        DEEP,
        b'{"manifests":' + DEEP,
        b'{"x":' * 50_000,
        b"\xff\xfe",
        b"null",
        b"5",
        b'"x"',
        b'{"config": "x", "layers": []}',
        b'{"config": {}, "layers": []}',
        b'{"config": {"digest": "sha256:0", "size": 1}, "layers": []}',
        b'{"layers": {}}',
        *(json.dumps({"manifests": each}).encode() for each in INDEXES),
    ],
)
def test_a_manifest_of_any_shape_is_unknown(server: HostileRegistry, registry: Distribution, body: bytes) -> None:
    server.answers[MANIFEST] = plain(body)
    state, reason = bounded_lookup(registry)
    assert state is State.UNKNOWN
    assert "cannot be read" in reason


@pytest.mark.parametrize(
    "change",
    [
        {"rootfs": 5},
        {"rootfs": None},
        {"rootfs": {"diff_ids": [5]}},
        {"rootfs": {"diff_ids": ["sha256:x"]}},
        {"config": [1]},
        {"config": {"Labels": {"a": 5}}},
        {"config": {"Labels": ["a"]}},
        {"config": {"Env": "A=1"}},
        {"config": {"Env": [5]}},
        {"config": {"Volumes": {"/x": [[[]]]}}},
        {"created": 5},
        {"os": None},
    ],
)
def test_a_config_of_any_shape_is_unknown(server: HostileRegistry, registry: Distribution, change: dict[str, object]) -> None:
    holds(server, CONFIG | change)
    assert bounded_lookup(registry)[0] is State.UNKNOWN


@pytest.mark.parametrize("config", [DEEP, b'{"config":' + DEEP, b"{}", b"[]", b"\xff"])
def test_a_config_that_is_none_is_unknown(server: HostileRegistry, registry: Distribution, config: bytes) -> None:
    holds(server, config)
    assert bounded_lookup(registry)[0] is State.UNKNOWN


@pytest.mark.parametrize("label", ["5", "[]", "null", '{"a": 5}', "{", "[" * 100_000, '{"a":' * 10_000])
def test_a_label_of_any_shape_holds_no_inputs(server: HostileRegistry, registry: Distribution, label: str) -> None:
    holds(server, CONFIG | {"config": {"Labels": {"io.arrstack.inputs": label}}})
    found = registry.lookup("tier", "latest").image
    assert found and found.inputs is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/9.9 abc\r\n\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n{}",
        OK + b"Content-Length: 500\r\n\r\n{}",
        OK + b"Content-Length: -5\r\n\r\n{}",
        OK + b"Content-Length: x\r\n\r\n{}",
        OK + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n{}",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}",
        OK + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n{}",
        OK + b"Content-Encoding: gzip\r\n\r\nnot gzip",
        OK + b"Content-Encoding: " + b"gzip, " * 100 + b"\r\n\r\nx",
        OK + b"Docker-Content-Digest: sha256:" + b"0" * 64 + b"\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\x00\xff: \xff\r\n\r\n{}",
    ],
)
def test_malformed_http_is_unknown(server: HostileRegistry, registry: Distribution, data: bytes) -> None:
    server.answers[MANIFEST] = raw(data)
    state, reason = bounded_lookup(registry)
    assert state is State.UNKNOWN
    assert server.host in reason and "\n" not in reason


@pytest.mark.parametrize(
    "location",
    [
        "http://[::1",
        "http://a..b/",
        "http://:99999/",
        "ftp://x/",
        "file:///etc/passwd",
        "//",
        "http://",
        "\xff\xfe",
        "http://\xff.example/",
        "http://" + "a" * 70 + ".example/",
        "",
    ],
)
def test_a_malformed_location_is_unknown(server: HostileRegistry, registry: Distribution, location: str) -> None:
    server.answers[MANIFEST] = plain(b"", "307 Temporary Redirect", f"Location: {location}")
    assert bounded_lookup(registry)[0] is State.UNKNOWN


def test_redirects_in_a_circle_are_unknown(server: HostileRegistry, registry: Distribution) -> None:
    server.answers[MANIFEST] = plain(b"", "307 Temporary Redirect", f"Location: {MANIFEST}")
    state, reason = bounded_lookup(registry)
    assert state is State.UNKNOWN
    assert "redirects do not end" in reason
    assert len(server.requests) <= 7


SLOW: list[tuple[str, bytes, bytes]] = [
    ("headers", b"HTTP/1.1 200 OK\r\n", b"X"),
    ("continues", b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ("body", OK + b"Content-Length: 100000\r\n\r\n", b" "),
    ("chunks", OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ("silence", b"", b""),
]


@pytest.mark.parametrize(("what", "before", "drop"), SLOW, ids=[each[0] for each in SLOW])
def test_an_answer_that_comes_drop_by_drop_is_given_up(
    server: HostileRegistry, registry: Distribution, what: str, before: bytes, drop: bytes
) -> None:
    server.answers[MANIFEST] = dripping(before, drop, server.stop)
    state, reason = bounded_lookup(registry)
    assert state is State.UNKNOWN
    assert "timed out" in reason or "took too long" in reason


@pytest.mark.parametrize("before", [b"HTTP/1.1 200 OK\r\n", OK + b"\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n"])
def test_an_answer_without_an_end_is_given_up(server: HostileRegistry, registry: Distribution, before: bytes) -> None:
    block = b"8000\r\n" + b" " * 0x8000 + b"\r\n" if b"chunked" in before else b" " * 65536
    server.answers[MANIFEST] = endless(before, block, server.stop)
    assert bounded_lookup(registry)[0] is State.UNKNOWN


def test_a_small_answer_that_unpacks_to_a_large_one_is_given_up(server: HostileRegistry, registry: Distribution) -> None:
    bomb = gzip.compress(b" " * (LARGEST_JSON + 10))
    server.answers[MANIFEST] = plain(bomb, "200 OK", "Content-Encoding: gzip")
    state, reason = bounded_lookup(registry)
    assert state is State.UNKNOWN
    assert "larger than 4 MiB" in reason


def test_a_silent_server_is_not_asked_again_for_each_question(server: HostileRegistry, registry: Distribution) -> None:
    server.answers["/"] = dripping(b"", b"", server.stop)
    began = time.monotonic()
    for _ in range(8):
        assert registry.lookup("tier", "latest").state is State.UNKNOWN
    assert time.monotonic() - began < SECONDS


# -- tags and blobs


@pytest.mark.parametrize(
    "body",
    [
        b'{"tags": 5}',
        b'{"tags": [5]}',
        b'{"tags": {"a": 1}}',
        b"[]",
        DEEP,
        b'{"tags": ["../../x"]}',
        b'{"tags": ["a b"]}',
        b'{"tags": [""]}',
    ],
)
def test_a_list_of_tags_of_any_shape_is_an_error(server: HostileRegistry, registry: Distribution, body: bytes) -> None:
    server.answers["/v2/tier/tags/list"] = plain(body)
    with pytest.raises(RegistryError, match="the tags of tier cannot be read"):
        registry.tags("tier")


def test_no_tags_are_no_error(server: HostileRegistry, registry: Distribution) -> None:
    server.answers["/v2/tier/tags/list"] = plain(b'{"name": "tier", "tags": null}')
    assert registry.tags("tier") == []


@pytest.mark.parametrize(
    "link",
    [
        "</v2/tier/tags/list>; rel=next",
        "<http://127.0.0.1:1/v2/tier/tags/list>; rel=next",
        "<//evil.example/v2/tier/tags/list>; rel=next",
        "</admin?x=y>; rel=next",
        "<http://[::1>; rel=next",
    ],
)
def test_a_next_page_that_is_the_same_or_elsewhere_is_an_error(
    server: HostileRegistry, registry: Distribution, link: str
) -> None:
    server.answers["/v2/tier/tags/list"] = plain(b'{"tags": ["a"]}', "200 OK", f"Link: {link}")
    with pytest.raises(RegistryError, match="the tags of tier cannot be read"):
        registry.tags("tier")
    assert len(server.requests) == 1


def test_pages_without_an_end_are_an_error(
    server: HostileRegistry, registry: Distribution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrstack.registry.distribution.PAGES", 20)

    def page(request: str, connection: object) -> None:
        link = f"Link: </v2/tier/tags/list?last={len(server.requests)}>; rel=next"
        plain(b'{"tags": ["a"]}', "200 OK", link)(request, connection)  # type: ignore[arg-type]

    server.answers["/v2/tier/tags/list"] = page
    with pytest.raises(RegistryError, match="does not end"):
        registry.tags("tier")
    assert len(server.requests) == 20


BLOB = bytes(1000)


def test_a_blob_is_read_to_its_size_and_no_further(server: HostileRegistry, registry: Distribution, tmp_path: Path) -> None:
    server.answers[f"/v2/tier/blobs/{digest_of(BLOB)}"] = endless(OK + b"\r\n", bytes(1 << 20), server.stop)
    with pytest.raises(RegistryError, match="not its size of 1000 bytes"):
        registry.blob("tier", digest_of(BLOB), 1000, tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir() if path.is_file()) <= 1000


@pytest.mark.parametrize("answer", [raw(b""), raw(OK + b"Content-Length: x\r\n\r\n"), plain(b"short")])
def test_a_blob_that_does_not_come_is_an_error(
    server: HostileRegistry, registry: Distribution, tmp_path: Path, answer: Answer
) -> None:
    server.answers[f"/v2/tier/blobs/{digest_of(BLOB)}"] = answer
    with pytest.raises(RegistryError, match=server.host):
        registry.blob("tier", digest_of(BLOB), 1000, tmp_path)


def test_a_blob_that_comes_drop_by_drop_is_given_up(server: HostileRegistry, registry: Distribution, tmp_path: Path) -> None:
    server.answers[f"/v2/tier/blobs/{digest_of(BLOB)}"] = dripping(OK + b"\r\n", b"\0", server.stop)
    began = time.monotonic()
    with pytest.raises(RegistryError, match=r"took too long|timed out"):
        registry.blob("tier", digest_of(BLOB), 1000, tmp_path)
    assert time.monotonic() - began < SECONDS


# -- a person who waits for a table

PATIENCE = 30.0
"""Seconds for a command of four questions, its own start on a busy machine included; a launch would wait for minutes."""
TIERS = dict.fromkeys(("a", "b", "c", "d"), "ARG BASE\nFROM ${BASE}\nRUN true\n")


@pytest.fixture
def stack(write_stack: Callable[..., LoadedStack]) -> Path:
    path = write_stack(TIERS).path
    path.write_text(path.read_text().replace('image = "debian:trixie"', 'image = "localhost/base"'))
    return path


@pytest.mark.parametrize(
    ("command", "answer", "said"),
    [
        ("status", plain(b"", "429 Too Many Requests"), "429"),
        ("status", plain(b"", "429 Too Many Requests", "Retry-After: 30"), "asks to wait 30 s"),
        ("status", dripping(b"", b"", threading.Event()), "timed out"),
        ("plan", plain(b"", "500 Internal Server Error"), "500"),
    ],
    ids=["429", "retry-after", "silent", "500"],
)
def test_a_command_that_looks_ends_in_seconds_and_says_why(
    server: HostileRegistry, stack: Path, command: str, answer: Answer, said: str
) -> None:
    server.answers["/"] = answer
    began = time.monotonic()
    done = run(command, "--stack", str(stack), "--registry", f"{server.host}/x", "--json")
    assert time.monotonic() - began < PATIENCE
    assert done.returncode == 3
    assert {tier["state"] for tier in json.loads(done.stdout)["tiers"]} <= {"unknown", "absent"}
    told = done.stdout + done.stderr
    assert said in told or ("timed out" in said and "took too long" in told)
    assert "Traceback" not in told


@pytest.mark.parametrize(
    "name", ["http://127.0.0.1:5000/x", "https://quay.io/x", "user:hidden@quay.io/x", "docker://user:hidden@quay.io"]
)
@pytest.mark.parametrize("command", ["status", "plan"])
def test_a_registry_s_wrong_name_is_said_without_its_password(stack: Path, name: str, command: str) -> None:
    done = run(command, "--stack", str(stack), "--registry", name, "--json")
    assert done.returncode == 2
    assert "hidden" not in done.stdout + done.stderr
    assert json.loads(done.stdout or done.stderr)["status"] == 2
