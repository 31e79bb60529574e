"""By which proxies a host is asked."""

import pytest

from arrstack.registry.proxies import proxies

PROXY = {"https_proxy": "http://proxy:3128", "HTTP_PROXY": "http://other:3128"}


def test_variables_count_in_small_and_in_capital_letters() -> None:
    assert proxies(PROXY, "quay.io") == {"https": "http://proxy:3128", "http": "http://other:3128"}
    assert proxies({"ALL_PROXY": "socks5://p:1"}, "quay.io") == {"all": "socks5://p:1"}
    assert proxies({}, "quay.io") == {}


@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1:5000", "[::1]:5000"])
def test_this_machine_is_asked_directly(host: str) -> None:
    assert proxies(PROXY, host) == {}


@pytest.mark.parametrize(
    ("rules", "host", "direct"),
    [
        ("quay.io", "quay.io", True),
        ("quay.io", "eu.quay.io", True),
        (".quay.io", "eu.quay.io:443", True),
        ("quay.io:5000", "quay.io:5000", True),
        ("quay.io:5000", "quay.io", False),
        ("quay.io", "notquay.io", False),
        ("a.example, QUAY.io", "quay.io", True),
        ("*", "quay.io", True),
        ("10.0.0.0/8", "10.1.2.3:5000", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3/8", "10.9.9.9", True),
        ("2001:db8::/32", "[2001:db8::1]:5000", True),
        ("2001:db8::/32", "[2001:db9::1]:5000", False),
        ("2001:db8::1", "[2001:db8::1]", True),
        ("", "quay.io", False),
        (",", "quay.io", False),
    ],
)
def test_no_proxy_names_domains_addresses_and_networks(rules: str, host: str, direct: bool) -> None:
    assert (proxies(PROXY | {"NO_PROXY": rules}, host) == {}) is direct
