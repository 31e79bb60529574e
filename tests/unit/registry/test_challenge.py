"""What servers ask a client to prove itself by, in all the forms that RFC 9110 allows, and some that it does not."""

import time

import pytest

from arrstack.registry.challenge import challenges, next_link


def read(header: str) -> list[tuple[str, dict[str, str]]]:
    return [(each.scheme, dict(each.parameters)) for each in challenges(header)]


TOKEN = {"realm": "https://auth.docker.io/token", "service": "registry.docker.io"}


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('Bearer realm="https://auth.docker.io/token",service="registry.docker.io"', [("bearer", TOKEN)]),
        ('BEARER REALM = "https://auth.docker.io/token" , Service="registry.docker.io"', [("bearer", TOKEN)]),
        ("bearer realm=https://auth.docker.io/token, service=registry.docker.io", [("bearer", TOKEN)]),
        ('Bearer scope="repository:a:pull,push"', [("bearer", {"scope": "repository:a:pull,push"})]),
        ('Basic realm="a \\"quoted\\" one"', [("basic", {"realm": 'a "quoted" one'})]),
        (
            'Basic realm="x", Bearer realm="y",service="z"',
            [("basic", {"realm": "x"}), ("bearer", {"realm": "y", "service": "z"})],
        ),
        (
            'Bearer realm="y",service="z", Basic realm="x"',
            [("bearer", {"realm": "y", "service": "z"}), ("basic", {"realm": "x"})],
        ),
        ('Negotiate, Bearer realm="y"', [("negotiate", {}), ("bearer", {"realm": "y"})]),
        ('Negotiate YWJjZA, Bearer realm="y"', [("negotiate", {}), ("bearer", {"realm": "y"})]),
        ('Basic realm="a, Bearer realm=b"', [("basic", {"realm": "a, Bearer realm=b"})]),
        ('Bearer realm="first",realm="second"', [("bearer", {"realm": "first"})]),
        ("Basic", [("basic", {})]),
        (", ,", []),
        ("", []),
        ('realm="x"', []),
        ("\xff\xfe", []),
    ],
)
def test_challenges_are_read(header: str, found: list[tuple[str, dict[str, str]]]) -> None:
    assert read(header) == found


@pytest.mark.parametrize("unit", ['a="', '"', ",", "a ", 'a="\\', "= ", "a=b,"])
def test_a_long_header_is_read_at_once(unit: str) -> None:
    began = time.monotonic()
    challenges(unit * 20_000)
    next_link(unit * 20_000)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("header", "link"),
    [
        ('</v2/a/tags/list?last=x>; rel="next"', "/v2/a/tags/list?last=x"),
        ("</n>;rel=next", "/n"),
        ('</n>; title="a"; REL = "Next"', "/n"),
        ('</p>; rel="prev", </n>; rel="last next"', "/n"),
        ('</p>; rel="nextish"', ""),
        ("</p>", ""),
        ("rel=next", ""),
        ("", ""),
    ],
)
def test_the_next_page_is_read(header: str, link: str) -> None:
    assert next_link(header) == link
