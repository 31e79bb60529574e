"""How an image is named: registry, repository, tag, digest; and what follows from the registry's name."""

import re


def plain_http(flag: str, reference: str) -> list[str]:
    """skopeo's flag for registries on this machine: they speak plain HTTP, as docker treats them too."""
    host = reference.removeprefix("docker://").partition("/")[0] if reference.startswith("docker://") else ""
    return [f"{flag}=false"] if re.match(r"(localhost|127\.|\[::1\])", host) else []


def qualified(reference: str) -> str:
    """An image reference with its registry: a short name is Docker Hub's, which not every engine assumes
    (distribution/reference, normalize.go)."""
    first, slash, rest = reference.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        first, rest = "docker.io", reference
    if first in ("docker.io", "index.docker.io"):
        return f"docker.io/{rest if '/' in rest else f'library/{rest}'}"
    return f"{first}/{rest}"
