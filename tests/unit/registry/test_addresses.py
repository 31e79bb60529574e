"""Where a registry may send this client to."""

import pytest

from arrstack.registry.addresses import origin, refusal

NAMES = {
    "registry.example": ["93.184.216.34"],
    "auth.example": ["93.184.216.35"],
    "inside.example": ["93.184.216.36", "10.0.0.7"],
    "registry.corp": ["10.0.0.1"],
    "auth.corp": ["10.0.0.2"],
}


def resolve(name: str) -> list[str]:
    return NAMES.get(name, [])


@pytest.mark.parametrize(
    ("registry", "url"),
    [
        ("registry.example", "https://auth.example/token"),
        ("registry.example", "https://registry.example:444/token"),
        ("registry.example", "https://nobody.knows/token"),
        ("registry.example:5000", "https://registry.example/token"),
        ("registry.corp", "https://auth.corp/token"),
        ("registry.corp", "https://auth.example/token"),
        ("10.0.0.1:5000", "https://10.0.0.2/token"),
        ("127.0.0.1:5000", "http://10.0.0.2/token"),
        ("localhost:5000", "http://127.0.0.1:5001/token"),
    ],
)
def test_where_a_registry_may_send_to(registry: str, url: str) -> None:
    assert refusal(registry, url, resolve) == ""


@pytest.mark.parametrize(
    ("registry", "url", "why"),
    [
        ("registry.example", "http://auth.example/token", "plain HTTP"),
        ("registry.corp", "http://auth.corp/token", "plain HTTP"),
        ("registry.example", "https://127.0.0.1/token", "only this machine sees"),
        ("registry.example", "https://localhost:8080/token", "only this machine sees"),
        ("registry.example", "https://[::1]/token", "only this machine sees"),
        ("registry.example", "https://169.254.169.254/token", "only this machine sees"),
        ("registry.example", "https://10.1.2.3/token", "only this machine sees"),
        ("registry.example", "https://[fe80::1]/token", "only this machine sees"),
        ("registry.example", "https://[::ffff:10.0.0.1]/token", "only this machine sees"),
        ("registry.example", "https://inside.example/token", "only this machine sees"),
        ("localhost.evil.example", "http://127.0.0.1/token", "plain HTTP"),
    ],
)
def test_where_it_may_not(registry: str, url: str, why: str) -> None:
    assert why in refusal(registry, url, resolve)


@pytest.mark.parametrize(
    "url", ["", "x", "/token", "ftp://x/", "file:///etc/passwd", "https://", "https://[::1", "https://x:99999/", "https://x:0/"]
)
@pytest.mark.parametrize("registry", ["registry.example", "127.0.0.1:5000"])
def test_what_is_no_address_is_an_error(registry: str, url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - urllib's own words for some
        refusal(registry, url, resolve)


def test_a_credential_is_good_for_a_scheme_a_host_and_a_port() -> None:
    assert origin("https://a/x") == origin("https://a:443/y")
    assert len({origin(url) for url in ("https://a", "http://a", "https://a:444", "https://b")}) == 4
