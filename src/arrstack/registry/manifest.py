"""Pure: what a registry holds, read with care, as anybody may have put it there (image-spec 1.1, manifest.md)."""

import re
from collections.abc import Mapping
from typing import Any

from arrstack.model import Image, content_id


def is_descriptor(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("digest"), str) and isinstance(value.get("size"), int)


def encoded(digest: object) -> str:
    """The hexadecimal digits of a SHA-256 digest (image-spec 1.1, descriptor.md). Raises ValueError for anything else."""
    match = re.fullmatch(r"sha256:([0-9a-f]{64})", digest) if isinstance(digest, str) else None
    if match is None:
        raise ValueError(f"'{digest}' is not a digest")
    return match[1]


def parts(manifest: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The descriptors of an image manifest's config and layers. Raises ValueError for anything else."""
    config, layers = manifest.get("config"), manifest.get("layers")
    if not isinstance(layers, list) or not all(is_descriptor(each) for each in (config, *layers)):
        raise ValueError("is not an image manifest")
    assert isinstance(config, dict)
    return config, layers


def image_of(repository: str, digest: str, manifest: Mapping[str, Any], config: Mapping[str, Any]) -> Image:
    """The image that a manifest and its config blob describe. Raises ValueError where they describe none."""
    described, layers = parts(manifest)
    run, rootfs = config.get("config") or {}, config.get("rootfs") or {}
    labels = run.get("Labels") or {} if isinstance(run, dict) else None
    if not isinstance(labels, dict) or not isinstance(rootfs, dict):
        raise ValueError("has a config that is not an image's")
    size = sum(layer["size"] for layer in layers)
    return Image(repository, digest, described["digest"], content_id(config), labels, str(config.get("created") or ""), size)
