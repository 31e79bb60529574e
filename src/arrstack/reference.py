"""How an image is named: host, repository, tag, digest; and what follows from the host's name.

The grammar is that of distribution/reference (`reference.go`); a short name is Docker Hub's (`normalize.go`). A registry is
named as `HOST[:PORT][/PREFIX]`, a part of the same grammar.

    Reference.parse("debian:trixie")           # docker.io/library/debian:trixie
    Place.parse("europe-docker.pkg.dev/p/r")   # host europe-docker.pkg.dev, prefix p/r
"""

import re
from dataclasses import dataclass

HUB = "docker.io"
HUB_NAMES = (HUB, "index.docker.io", "registry-1.docker.io")
"""Docker Hub by its names: as people write it, as docker's own files have it, as its API is reached."""
TRANSPORT = "docker://"
LONGEST_NAME = 255
"""Characters of host and repository together (`NameTotalLengthMax`)."""

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
LOCAL = re.compile(rf"(?:localhost|127(?:\.{_BYTE}){{3}}|\[::1\])(?::[0-9]{{1,5}})?", re.IGNORECASE)


class NotAName(ValueError):
    """A text names no image and no registry; the message says what is wrong with it, and nothing that is secret."""


def is_local(host: str) -> bool:
    """Whether a registry's host is this machine by its whole name, with or without a port: there plain HTTP is spoken, as
    docker treats such hosts too."""
    return LOCAL.fullmatch(host) is not None


def api(host: str) -> str:
    """The address below which a registry's API stands (distribution-spec 1.1, "Endpoints")."""
    return f"{'http' if is_local(host) else 'https'}://{HUB_NAMES[-1] if host == HUB else host}/v2/"


def plain_http(flag: str, reference: str) -> list[str]:
    """skopeo's flag for a reference whose registry is on this machine; nothing for any other."""
    if not reference.startswith(TRANSPORT):
        return []
    first, _ = split_host(reference.removeprefix(TRANSPORT))
    return [f"{flag}=false"] if is_local(first) else []


def split_host(name: str) -> tuple[str, str]:
    """The host of a name and the rest; Docker Hub's where the name has none (`splitDockerDomain`)."""
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        first, rest = HUB, name
    if first in HUB_NAMES:
        return HUB, rest if "/" in rest else f"library/{rest}"
    return first, rest


@dataclass(frozen=True)
class Reference:
    """An image in a registry. `host` is the canonical one, with its port; `tag` and `digest` are '' where the name has none."""

    host: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Of `[docker://][HOST[:PORT]/]NAME[:TAG][@DIGEST]`. Raises NotAName."""
        name, at, digest = text.removeprefix(TRANSPORT).partition("@")
        head, slash, last = name.rpartition("/")
        last, colon, tag = last.partition(":")
        host, repository = split_host(f"{head}{slash}{last}")
        if not HOST.fullmatch(host) or not REPOSITORY.fullmatch(repository) or len(host) + len(repository) >= LONGEST_NAME:
            raise NotAName(f"'{shown(text)}' is not an image's name: [HOST[:PORT]/]NAME[:TAG][@DIGEST], NAME in lower case")
        if colon and not TAG.fullmatch(tag):
            raise NotAName(f"'{shown(text)}' has a tag that is none: at most 128 letters, digits, '_', '.' and '-'")
        if at and not DIGEST.fullmatch(digest):
            raise NotAName(f"'{shown(text)}' has a digest that is none: sha256: and 64 hexadecimal digits")
        return cls(host, repository, tag, digest)

    def __str__(self) -> str:
        return (
            f"{self.host}/{self.repository}" + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")
        )

    @property
    def asked(self) -> str:
        """What the registry's API is asked for: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"


@dataclass(frozen=True)
class Place:
    """Where a registry keeps the repositories of a stack: its host, and what stands before each repository's name."""

    host: str
    prefix: str = ""

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Of `[docker://]HOST[:PORT][/PREFIX]`. Raises NotAName."""
        name = text.removeprefix(TRANSPORT).rstrip("/")
        if "://" in name:
            raise NotAName(f"'{shown(name)}' has a scheme: plain HTTP is spoken to this machine alone, HTTPS to every other host")
        if "@" in name:
            raise NotAName(f"'{shown(name)}' holds a login, or a digest: `skopeo login HOST` keeps a login")
        host, _, prefix = name.partition("/")
        if host in HUB_NAMES:
            host = HUB
        named = "." in host or ":" in host or host == "localhost"
        if not (named and HOST.fullmatch(host)) or (prefix and not REPOSITORY.fullmatch(prefix)):
            capitals = named and HOST.fullmatch(host) and REPOSITORY.fullmatch(prefix.lower())
            raise NotAName(f"'{shown(text)}' names no registry{': a PREFIX is in lower case' if capitals else ''}")
        return cls(host, prefix)

    def __str__(self) -> str:
        return f"{self.host}/{self.prefix}" if self.prefix else self.host

    def repository(self, name: str) -> str:
        """A repository's whole name on the host."""
        return f"{self.prefix}/{name}" if self.prefix else name


def qualified(reference: str) -> str:
    """An image reference with its registry, which not every engine assumes. Raises NotAName.

    `qualified("debian:trixie")` is `docker.io/library/debian:trixie`.
    """
    return str(Reference.parse(reference))


def shown(text: str) -> str:
    """A name in an error: what stands before an '@' may be a password, and is left out where it may."""
    before, at, after = text.rpartition("@")
    return f"...@{after}" if at and (":" in before or "/" not in before) and not DIGEST.fullmatch(after) else text[:200]
