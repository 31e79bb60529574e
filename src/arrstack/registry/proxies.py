"""Pure: by which proxies a host is asked, as requests reads them of the environment (`requests.utils.get_environ_proxies`)."""

import ipaddress
from collections.abc import Mapping

from arrstack.reference import is_local


def proxies(environment: Mapping[str, str], host: str) -> dict[str, str]:
    """Scheme -> proxy for a host with or without its port; none for this machine, and where `no_proxy` names the host."""
    if is_local(host) or any(fits(rule.strip(), host) for rule in either(environment, "no_proxy").split(",")):
        return {}
    found = {scheme: either(environment, f"{scheme}_proxy") for scheme in ("http", "https", "all")}
    return {scheme: proxy for scheme, proxy in found.items() if proxy}


def either(environment: Mapping[str, str], name: str) -> str:
    """A variable in small or in capital letters, as curl has them."""
    return environment.get(name) or environment.get(name.upper()) or ""


def fits(rule: str, host: str) -> bool:
    """Whether a rule of `no_proxy` names a host: `*`, a domain (and what is below it), an address, a network."""
    name, _, port = host.partition(":") if not host.startswith("[") else (host.partition("]")[0][1:], "", "")
    if rule == "*":
        return True
    try:
        return ipaddress.ip_address(name) in ipaddress.ip_network(rule, strict=False)
    except ValueError:
        domain = rule.lstrip(".").lower()
        return bool(domain) and any(
            each == domain or each.endswith(f".{domain}") for each in (name.lower(), f"{name}:{port}".lower())
        )
