"""Buildah's cache mounts on disk: where they lie, and by which ids. And which mounts it would take a whole image for."""

import hashlib
import os.path
from collections.abc import Iterable
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


TOP = frozenset("bin boot dev etc home lib lib32 lib64 media mnt opt proc root run sbin srv sys tmp usr var".split())
"""What stands at the top of a root file system (hier(7))."""


def removed_with(targets: Iterable[str], store: Path) -> dict[str, str]:
    """Of mounts' targets those with which buildah would remove something else from the image: target -> what.

    After each RUN it removes the mount points, and takes the way to each from the folder in which the image is mounted: of a target
    that has its first folders in common with that one it finds another, at worst `/`.

        removed_with(["/root", "/root/bin", "/root/.cache/pip"], Path("/root/.cache/arrstack/storage"))
        # {"/root": "/", "/root/bin": "/bin"}
    """
    mounted = store / "overlay/IMAGE/merged"
    found = {}
    for target in targets:
        what = os.path.normpath("/" + os.path.relpath(target, mounted))  # no way leads above the image's own root
        if target.startswith("/") and what != os.path.normpath(target) and (what == "/" or what.split("/")[1] in TOP):
            found[target] = what
    return found
