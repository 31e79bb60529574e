"""`prune`: removes what this stack and profile made and nothing needs any more, and says what and how much.

What another stack or profile on this machine made is never touched, and what two of them made stays until both are done with it.
"""

import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from arrstack.engines import Engine, cache_mounts, local_name
from arrstack.engines.bases import current_bases
from arrstack.errors import RegistryError
from arrstack.launch.plan import Plan
from arrstack.launch.tier import wanted_stages
from arrstack.machine.folders import Folders
from arrstack.machine.memory import Kind, Memory
from arrstack.model import Image, State
from arrstack.recipes.config import LoadedStack
from arrstack.recipes.tiers import Recipe
from arrstack.registry import Registry

NEWEST = 2
"""Build directories and published wheels of each wheel that stay."""
LOGS = 50
WHEEL_TAG = re.compile(r"(?P<wheel>[a-z0-9._-]+)-wheel-[0-9a-f]{24}")
BUILD_DIRECTORY = re.compile(r"arrstack-(?P<wheel>[a-z0-9._-]+)-(?:[0-9a-f]{24}|by-hand)")


@dataclass(frozen=True)
class Removal:
    """`bytes` is what it holds on disk; 0 where that is not known."""

    what: str
    bytes: int = 0


@dataclass(frozen=True)
class Wanted:
    """What the next launch will want: by tier the tags of its keys, and references in the engine's store."""

    tags: Mapping[str, frozenset[str]]
    references: frozenset[str]


def wanted_by(stack: LoadedStack, recipes: Iterable[Recipe], plan: Plan) -> Wanted:
    """What the working tree's own launch wants, or has."""
    tags = {tier.name: frozenset([tier.tag, *(wheel.tag for wheel in tier.wheels)]) for tier in plan.tiers}
    return Wanted(tags, current_bases(stack) | wanted_stages(recipes))


@dataclass(frozen=True)
class Pruning:
    """Finds and removes, from the registry, the engine's store and this machine's folders."""

    registry: Registry
    engine: Engine
    folders: Folders
    memory: Memory
    wanted: Wanted

    def removals(self) -> list[Removal]:
        """What `remove` would remove. Raises RegistryError where it cannot be told what a tag names that keeps an image."""
        tags = self._tags()
        sizes = self.engine.images()
        return [
            *(Removal(f"build directory {name}", size_of(path)) for name, path in self._build_directories().items()),
            *(Removal(f"{tier}:{tag}") for tier, names in tags.items() for tag in names),
            *(Removal(f"log {path.name}", size_of(path)) for path in self._logs()),
            *(Removal(f"image {name}", sizes[name]) for name in sorted(self._images(tags) & sizes.keys())),
        ]

    def remove(self) -> list[Removal]:
        """Removes; what was removed. Raises RegistryError, before anything is removed where it cannot be told what goes."""
        removed = self.removals()
        tags = self._tags()
        images = self._images(tags)
        directories = self._build_directories()
        for path in directories.values():
            shutil.rmtree(path)
        self.memory.forget(Kind.MOUNT, directories)
        for tier, names in tags.items():
            for tag in names:
                self.registry.delete_tag(tier, tag)
        self.memory.forget(Kind.TAG, {f"{tier}:{tag}" for tier, names in tags.items() for tag in names})
        for path in self._logs():
            path.unlink()
            self.memory.forget(Kind.LOG, [path.name])
        if freed := self.registry.collect():
            removed.append(Removal("blobs that no tag needs", freed))
        self.engine.tidy()
        self.engine.remove(images, unnamed=not self.memory.others())
        self.memory.forget(Kind.IMAGE, images)
        return removed

    def _own(self, kind: Kind) -> frozenset[str]:
        """What this stack and profile made, and no other did."""
        return self.memory.noted(kind).difference(*(other.noted(kind) for other in self.memory.others()))

    def _build_directories(self) -> dict[str, Path]:
        """The superseded ones: cache mounts whose ids are of a compile key. Those of wheels that are wanted stay."""
        mounts = cache_mounts(self.folders.cache)
        keys = tuple(tag[-24:] for tags in self.wanted.tags.values() for tag in tags if WHEEL_TAG.fullmatch(tag))
        own = [name for name in self._own(Kind.MOUNT) if name in mounts and not (keys and name.endswith(keys))]
        return {name: mounts[name] for name in superseded({name: mounts[name].stat().st_mtime for name in own}, BUILD_DIRECTORY)}

    def _tags(self) -> dict[str, list[str]]:
        own = self._own(Kind.TAG)
        return {
            tier: unneeded_tags(
                tier, self.registry, tags, frozenset(n.partition(":")[2] for n in own if n.startswith(f"{tier}:"))
            )
            for tier, tags in self.wanted.tags.items()
        }

    def _images(self, gone: Mapping[str, Iterable[str]]) -> frozenset[str]:
        """References in the engine's store that neither a tag that stays nor the next launch needs."""
        needed = set(self.wanted.references)
        for tier in self.wanted.tags:
            for tag in set(self.registry.tags(tier)) - set(gone.get(tier, ())):
                if image := self.registry.lookup(tier, tag).image:
                    needed.add(local_name(image))
        return self._own(Kind.IMAGE) - needed

    def _logs(self) -> list[Path]:
        own = self._own(Kind.LOG)
        folder = self.folders.logs
        return sorted(path for path in folder.glob("*.log") if path.name in own)[:-LOGS] if folder.is_dir() else []


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


def unneeded_tags(repository: str, registry: Registry, keep: frozenset[str], own: frozenset[str]) -> list[str]:
    """Of the tags in `own` those that go: images by key that no profile's tag names and no current key, and wheels but the
    newest. `keep` are tags that stay whatever they name.

    Raises RegistryError where it cannot be told what a tag names that keeps an image.
    """
    answers = {tag: registry.lookup(repository, tag) for tag in registry.tags(repository)}
    present = {tag: answer.image for tag, answer in answers.items() if answer.state is State.PRESENT and answer.image}
    naming = {tag for tag in answers if tag in keep or not (tag.startswith("key-") or WHEEL_TAG.fullmatch(tag))}
    for tag in sorted(naming):
        if answers[tag].state is State.UNKNOWN:
            raise RegistryError(
                f"{repository}:{tag} cannot be read: {answers[tag].reason}", "what it names might be removed; nothing was"
            )
    named = {image.digest for tag, image in present.items() if tag in naming}
    candidates = {tag: image for tag, image in present.items() if tag in own and tag not in keep}
    images = [tag for tag, image in candidates.items() if tag.startswith("key-") and image.digest not in named]
    wheels = superseded({tag: date(image) for tag, image in candidates.items()}, WHEEL_TAG)
    return sorted([*images, *wheels])


def date(image: Image) -> float:
    """A sortable date: when the image was built, as far as its labels say."""
    digits = re.sub(r"\D", "", image.labels.get("org.opencontainers.image.created", image.created))[:14]
    return float(digits or 0)
