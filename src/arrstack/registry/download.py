"""A file of an archive by HTTP: bounded in bytes and time, and not from an address that only this machine sees."""

import ipaddress
from collections.abc import Callable, Mapping
from urllib.parse import urljoin, urlsplit

from arrstack.errors import RegistryError
from arrstack.machine.resources import certificates
from arrstack.registry.addresses import Resolve, resolve
from arrstack.registry.transport import WIRE_ERRORS, Transport, cause, read

SECONDS = 30.0
SLOWEST = 64 << 10
"""Bytes a second below which a file is given up."""
REDIRECTS = 5


def downloader(environment: Mapping[str, str], trusted: bool, addresses: Resolve = resolve) -> Callable[[str, int], bytes]:
    """A function (address, most bytes) -> the file's bytes, which raises RegistryError.

    `trusted` says that a person named the addresses. One that an image names may be a mirror in the network around, and is not this
    machine or what only it can ask (a cloud's metadata service): nothing but a fixed path is asked for, and no answer is shown.
    """
    transport = Transport(environment, certificates(environment))

    def fetch(url: str, limit: int) -> bytes:
        try:
            with transport.within(SECONDS + limit / SLOWEST):
                return _fetched(transport, url, limit, trusted, addresses)
        except WIRE_ERRORS as error:
            raise RegistryError(f"{url} could not be fetched: {cause(error)}", "check the network, or leave it out") from None

    return fetch


def _fetched(transport: Transport, url: str, limit: int, trusted: bool, addresses: Resolve) -> bytes:
    for _ in range(REDIRECTS + 1):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("it is no address of an archive")
        if not trusted and is_own(parts.hostname, addresses):
            raise ValueError("it leads to an address that only this machine sees")
        response = transport.request("GET", url, {"Accept-Encoding": "identity"})
        if not response.is_redirect:
            if response.status_code != 200:
                response.close()
                raise ValueError(f"it answers {response.status_code}")
            return read(response, limit)
        url = urljoin(url, response.headers["Location"])
        response.close()
    raise ValueError("its redirects do not end")


def is_own(name: str, addresses: Resolve) -> bool:
    """Whether a host is this machine, or an address that is no host of a network (RFC 6890: loopback, link-local ...)."""
    try:
        found = [ipaddress.ip_address(name)]
    except ValueError:
        found = [ipaddress.ip_address(each.partition("%")[0]) for each in addresses(name)]
    return any(each.is_loopback or each.is_link_local or each.is_multicast or each.is_unspecified for each in found)
