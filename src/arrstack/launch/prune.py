"""`prune`: removes what no tag, key or child needs, and says what and how much."""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from arrstack.engines import Engine, cache_mounts, local_name
from arrstack.errors import RegistryError
from arrstack.machine.folders import Folders
from arrstack.model import Image, State
from arrstack.registry import Registry

NEWEST = 2
"""Build directories and published wheels of each wheel that stay."""
LOGS = 50
WHEEL_TAG = re.compile(r"(?P<wheel>[a-z0-9._-]+)-wheel-[0-9a-f]{24}")
BUILD_DIRECTORY = re.compile(r"arrstack-(?P<wheel>[a-z0-9._-]+)-(?:[0-9a-f]{24}|by-hand)")


@dataclass(frozen=True)
class Removal:
    """`bytes` is what it holds on disk; 0 where that is only known afterwards."""

    what: str
    bytes: int = 0


def superseded(names: Mapping[str, float], pattern: re.Pattern[str], newest: int = NEWEST) -> list[str]:
    """Of the names that fit, grouped by wheel, all but the newest. `names` maps each to its date, later ones larger."""
    groups: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: names[name], reverse=True):
        if match := pattern.fullmatch(name):
            groups.setdefault(match["wheel"], []).append(name)
    return sorted(name for group in groups.values() for name in group[newest:])


def size_of(path: Path) -> int:
    """Bytes on disk below a path; links are not followed."""
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_blocks * 512
    return sum(each.lstat().st_blocks * 512 for each in path.rglob("*"))


def build_directories(folders: Folders, keep: frozenset[str]) -> Mapping[str, Path]:
    """The superseded build directories: buildah's cache mounts whose ids are of a compile key. Those of the tags of wheels in
    `keep` stay."""
    found = cache_mounts(folders.cache)
    kept = tuple(tag[-24:] for tag in keep if WHEEL_TAG.fullmatch(tag))
    dates = {name: path.stat().st_mtime for name, path in found.items() if not name.endswith(kept)}
    return {name: found[name] for name in superseded(dates, BUILD_DIRECTORY)}


def unneeded_tags(repository: str, registry: Registry, keep: frozenset[str]) -> list[str]:
    """The tags of a repository that go: images by key that no profile's tag names and no current key, and wheels but
    the newest. `keep` are tags that stay whatever they name.

    Raises RegistryError where it cannot be told what a tag names that keeps an image.
    """
    answers = {tag: registry.lookup(repository, tag) for tag in registry.tags(repository)}
    found = {tag: answer.image for tag, answer in answers.items() if answer.state is State.PRESENT and answer.image}
    naming = {tag for tag in answers if tag in keep or not (tag.startswith("key-") or WHEEL_TAG.fullmatch(tag))}
    for tag in sorted(naming):
        if answers[tag].state is State.UNKNOWN:
            raise RegistryError(
                f"{repository}:{tag} cannot be read: {answers[tag].reason}", "what it names might be removed; nothing was"
            )
    named = {image.digest for tag, image in found.items() if tag in naming}
    images = [tag for tag, image in found.items() if tag.startswith("key-") and tag not in keep and image.digest not in named]
    wheels = superseded({tag: date(image) for tag, image in found.items() if tag not in keep}, WHEEL_TAG)
    return sorted([*images, *wheels])


def date(image: Image) -> float:
    """A sortable date: when the image was built, as far as its labels say."""
    digits = re.sub(r"\D", "", image.labels.get("org.opencontainers.image.created", image.created))[:14]
    return float(digits or 0)


def prune(
    tiers: Sequence[str],
    registry: Registry,
    engine: Engine,
    folders: Folders,
    keep: Mapping[str, frozenset[str]],
    references: frozenset[str],
    dry_run: bool,
) -> list[Removal]:
    """Removes, or with `dry_run` only lists. `keep` maps a tier to the tags that stand for keys of the working tree,
    `references` name what stays in the engine's store besides: base images, finished stages."""
    unneeded = {tier: unneeded_tags(tier, registry, keep.get(tier, frozenset())) for tier in tiers}
    removed: list[Removal] = []
    for name, path in build_directories(folders, frozenset().union(*keep.values())).items():
        removed.append(Removal(f"build directory {name}", size_of(path)))
        if not dry_run:
            shutil.rmtree(path)
    for tier, tags in unneeded.items():
        for tag in tags:
            removed.append(Removal(f"{tier}:{tag}"))
            if not dry_run:
                registry.delete_tag(tier, tag)
    logs = sorted((folders.state / "logs").glob("*.log"))[:-LOGS] if (folders.state / "logs").is_dir() else []
    for log in logs:
        removed.append(Removal(f"log {log.name}", size_of(log)))
        if not dry_run:
            log.unlink()
    if not dry_run:
        removed += swept(tiers, registry, engine, references)
    return removed


def swept(tiers: Sequence[str], registry: Registry, engine: Engine, references: frozenset[str]) -> list[Removal]:
    """What is only known to be unneeded once the tags are gone: blobs, and the engine's copies of images."""
    freed = registry.collect()
    answers = (registry.lookup(tier, tag) for tier in tiers for tag in registry.tags(tier))
    needed = frozenset(local_name(answer.image) for answer in answers if answer.image)
    engine.tidy()
    count = engine.prune(needed | references)
    found = [Removal("blobs that no tag needs", freed)] if freed else []
    return [*found, Removal(f"{count} images of the engine")] if count else found
