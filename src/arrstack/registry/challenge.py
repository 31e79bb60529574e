"""Pure: what a server asks a client to prove itself by (RFC 9110, 11.6.1), and what a list of links says (RFC 8288)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
ITEM = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
"""What stands between commas outside of quotes."""
PARAMETER = re.compile(rf'(?:({TOKEN})[ \t]+)?({TOKEN})[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^\s"]+)')
SCHEME = re.compile(rf"({TOKEN})(?:[ \t]+[A-Za-z0-9._~+/-]+=*)?")
LINK = re.compile(r"<([^<>]*)>([^<>]*)")
NEXT = re.compile(r';\s*rel\s*=\s*(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|next(?=[\s;,]|$))', re.IGNORECASE)


@dataclass(frozen=True)
class Challenge:
    """One scheme, in small letters, with its parameters, their names in small letters."""

    scheme: str
    parameters: Mapping[str, str]


def challenges(header: str) -> tuple[Challenge, ...]:
    """All challenges of a WWW-Authenticate header's value, in order; what is none is passed over.

    Values without quotes may hold what RFC 9110 allows in quotes only, as realms do in practice.
    """
    found: list[tuple[str, dict[str, str]]] = []
    for item in ITEM.findall(header):
        text = item.strip()
        if match := PARAMETER.fullmatch(text):
            scheme, name, value = match.groups()
            if scheme:
                found.append((scheme.lower(), {}))
            if found:
                found[-1][1].setdefault(name.lower(), unquoted(value))
        elif match := SCHEME.fullmatch(text):
            found.append((match[1].lower(), {}))
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found)


def unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def next_link(header: str) -> str:
    """The target of a Link header's `rel=next`; '' where it has none (distribution-spec 1.1, "Listing Tags")."""
    return next((target for target, rest in LINK.findall(header) if NEXT.search(rest)), "")
