"""A file of an archive: where it may come from, and how much of it."""

import os
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from arrstack.errors import RegistryError
from arrstack.registry.download import downloader, is_own


@pytest.mark.parametrize("name", ["127.0.0.1", "::1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "fe80::1"])
def test_an_address_of_this_machine_is_not_asked(name: str) -> None:
    assert is_own(name, lambda _: [])
    assert is_own("rebound.example", lambda _: ["203.0.113.5", name])
    host = f"[{name}]" if ":" in name else name
    with pytest.raises(RegistryError, match="only this machine sees"):
        downloader({}, trusted=False)(f"http://{host}/x", 10)


def test_a_mirror_in_the_network_around_may_be_asked() -> None:
    assert not is_own("mirror.example", lambda _: ["10.0.0.8"])


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a.example/x", "http:///x", "x", ""])
def test_what_is_no_address_of_an_archive_is_not_asked(url: str) -> None:
    with pytest.raises(RegistryError, match="could not be fetched"):
        downloader({}, trusted=False)(url, 10)


def test_a_file_comes_through_redirects_and_no_byte_more_than_it_may(httpserver: HTTPServer, tmp_path: Path) -> None:
    httpserver.expect_request("/a").respond_with_response(Response(status=302, headers={"Location": "/b"}))
    httpserver.expect_request("/b").respond_with_data(b"x" * 100)
    fetch = downloader(dict(os.environ), trusted=True)
    assert fetch(httpserver.url_for("/a"), 100) == b"x" * 100
    with pytest.raises(RegistryError, match="larger than"):
        fetch(httpserver.url_for("/a"), 99)


def test_redirects_without_an_end_and_other_answers_are_errors(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/loop").respond_with_response(Response(status=302, headers={"Location": "/loop"}))
    httpserver.expect_request("/gone").respond_with_handler(lambda request: gone(request))
    fetch = downloader(dict(os.environ), trusted=True)
    with pytest.raises(RegistryError, match="do not end"):
        fetch(httpserver.url_for("/loop"), 10)
    with pytest.raises(RegistryError, match="answers 410"):
        fetch(httpserver.url_for("/gone"), 10)


def gone(request: Request) -> Response:
    return Response(status=410)
