"""Which addresses a registry may send this client to: by a redirect, or by the realm of a challenge."""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from arrstack.reference import is_local

Resolve = Callable[[str], Sequence[str]]
"""A host's name -> its addresses; none where it has none."""


def resolve(name: str) -> list[str]:
    """By the system's resolver."""
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        return []


def refusal(registry: str, url: str, addresses: Resolve = resolve) -> str:
    """Why a registry's host may not send this client to an address; '' where it may. Raises ValueError for no address.

    A registry of this machine may name any. Any other is asked by HTTPS, and does not reach into networks that only this
    machine sees, unless it stands in such a network itself.
    """
    parts = urlsplit(url)
    name = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not name or parts.port == 0:
        raise ValueError(f"'{url[:200]}' is not an address")
    if is_local(registry):
        return ""
    if parts.scheme != "https":
        return f"{name} is named by plain HTTP"
    own = urlsplit(f"//{registry}").hostname or ""
    if name != own and is_private(name, addresses) and not is_private(own, addresses):
        return f"{name} is an address that only this machine sees"
    return ""


def is_private(name: str, addresses: Resolve) -> bool:
    try:
        ipaddress.ip_address(name)
        found: Sequence[str] = [name]
    except ValueError:
        found = ["127.0.0.1"] if is_local(name) else addresses(name)
    return any(not ipaddress.ip_address(each.partition("%")[0]).is_global for each in found)


def origin(url: str) -> tuple[str, str, int | None]:
    """What a credential is good for: scheme, host and port (RFC 6454)."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)
