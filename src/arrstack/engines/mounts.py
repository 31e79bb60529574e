"""Buildah's cache mounts on disk: where they lie, and by which ids."""

import hashlib
from pathlib import Path

IDS = "ids"
"""A folder of files, each named by such a digest, with the id in it: what prune goes by."""


def cache_mounts(cache: Path) -> dict[str, Path]:
    """The cache mounts below the engine's `cache`, by their ids."""
    ids = {path.name: path.read_text() for path in (cache / "buildah" / IDS).glob("*")}
    return {ids.get(path.name, path.name): path for folder in mount_folders(cache) for path in folder.iterdir() if path.is_dir()}


def mount_folders(cache: Path) -> list[Path]:
    """The folders that hold cache mounts: from 1.29 on their name ends in the user's id."""
    return [path for path in sorted((cache / "buildah").glob("buildah-cache*")) if path.is_dir() and not path.is_symlink()]


def folder_name(mount: str) -> str:
    """The folder of the cache mount with this id, where its name is a digest (buildah, internal/volumes/volumes.go)."""
    return hashlib.sha256(mount.encode()).hexdigest()[:16]


def note(cache: Path, mount: str) -> None:
    """Remembers the id of a cache mount, which later versions hide."""
    ids = cache / "buildah" / IDS
    ids.mkdir(parents=True, exist_ok=True)
    (ids / folder_name(mount)).write_text(mount)
