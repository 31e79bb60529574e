"""One grammar of names: images, registries, and which hosts are this machine."""

import pytest

from arrstack.reference import NotAName, Place, Reference, api, is_local, plain_http, qualified

SHA = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("given", "whole"),
    [
        ("debian:trixie", "docker.io/library/debian:trixie"),
        ("nvidia/cuda:12.4.1", "docker.io/nvidia/cuda:12.4.1"),
        ("docker.io/debian", "docker.io/library/debian"),
        ("index.docker.io/nvidia/cuda", "docker.io/nvidia/cuda"),
        ("registry-1.docker.io/library/debian", "docker.io/library/debian"),
        (f"quay.io/x/y@{SHA}", f"quay.io/x/y@{SHA}"),
        (f"quay.io/x/y:1@{SHA}", f"quay.io/x/y:1@{SHA}"),
        ("localhost:5000/x", "localhost:5000/x"),
        ("localhost/arrstack/base:1", "localhost/arrstack/base:1"),
        ("[::1]:5000/x:1", "[::1]:5000/x:1"),
        ("docker://quay.io/a__b/c-d.e", "quay.io/a__b/c-d.e"),
    ],
)
def test_a_name_is_read_as_docker_reads_it(given: str, whole: str) -> None:
    assert qualified(given) == whole
    assert qualified(whole) == whole


@pytest.mark.parametrize(
    "given",
    [
        "127.0.0.1:5000/../../admin/x?y#",
        "127.0.0.1:5000/a?b",
        "quay.io/UPPER",
        "quay.io/a//b",
        "quay.io/a/",
        "quay.io/a:",
        "quay.io/a:" + "t" * 129,
        "quay.io/a:b:c",
        "quay.io/a@sha256:0",
        f"quay.io/a@{SHA}x",
        "quay.io/a@md5:" + "0" * 32,
        "quay.io/a\n",
        "a b",
        "http://quay.io/a",
        "-quay.io/a",
        "quay..io/a",
        "x.y/" + "a" * 300,
        "",
        "ü",
    ],
)
def test_what_is_no_image_s_name_is_refused_with_its_grammar(given: str) -> None:
    with pytest.raises(NotAName, match=r"is not an image.s name|is none"):
        Reference.parse(given)


def test_an_api_is_asked_for_the_digest_before_the_tag() -> None:
    assert Reference.parse(f"quay.io/a:1@{SHA}").asked == SHA
    assert Reference.parse("quay.io/a:1").asked == "1"
    assert Reference.parse("quay.io/a").asked == "latest"


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:5000", "127.0.0.1", "127.8.255.1:80", "[::1]", "[::1]:5000", "LOCALHOST:1"]
)
def test_a_host_of_this_machine_speaks_plain_http(host: str) -> None:
    assert is_local(host)
    assert api(host) == f"http://{host}/v2/"
    assert plain_http("--src-tls-verify", f"docker://{host}/a:1") == ["--src-tls-verify=false"]


@pytest.mark.parametrize(
    "host",
    [
        "localhost.evil.example",
        "localhost.evil.example:5000",
        "127.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.256",
        "127.0.0",
        "localhostess.example",
        "[::1].example",
        "[::10]:5000",
        "10.0.0.1",
        "localhost@evil.example",
        "x.localhost.example",
        "",
    ],
)
def test_a_host_that_only_begins_like_a_local_one_keeps_its_tls(host: str) -> None:
    assert not is_local(host)
    assert api(host).startswith("https://")
    assert plain_http("--dest-tls-verify", f"docker://{host}/a:1") == []


@pytest.mark.parametrize(
    "given", ["oci:localhost/a", "localhost:5000/a", "docker-daemon:localhost/x", "docker://debian", "/localhost"]
)
def test_only_a_registry_s_reference_has_a_flag_for_plain_http(given: str) -> None:
    assert plain_http("--src-tls-verify", given) == []


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ("quay.io", Place("quay.io")),
        ("quay.io/", Place("quay.io")),
        ("docker://127.0.0.1:5000/a/b", Place("127.0.0.1:5000", "a/b")),
        ("registry-1.docker.io/me", Place("docker.io", "me")),
        ("index.docker.io/me", Place("docker.io", "me")),
        ("localhost/x", Place("localhost", "x")),
    ],
)
def test_a_registry_is_a_host_and_a_prefix(given: str, place: Place) -> None:
    assert Place.parse(given) == place
    assert Place.parse(str(place)) == place


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("http://127.0.0.1:5000/x", "has a scheme"),
        ("https://quay.io", "has a scheme"),
        ("docker://https://quay.io", "has a scheme"),
        ("user:secret@quay.io/x", "holds a login"),
        ("nonsense", "names no registry"),
        ("quay.io/../x", "names no registry"),
        ("quay.io/x:tag", "names no registry$"),
        ("quay.io/X", "names no registry: a PREFIX is in lower case"),
        ("quay.io/a?b", "names no registry"),
        ("a..b/x", "names no registry"),
    ],
)
def test_what_is_no_registry_s_name_is_refused_and_no_password_is_told(given: str, reason: str) -> None:
    with pytest.raises(NotAName, match=reason) as told:
        Place.parse(given)
    assert "secret" not in str(told.value)


def test_docker_hub_s_api_has_a_host_of_its_own() -> None:
    assert api("docker.io") == "https://registry-1.docker.io/v2/"
    assert Place.parse("docker.io/me").repository("tier") == "me/tier"
    assert Place.parse("quay.io").repository("tier") == "tier"
