"""`prune`: removes what this stack and profile made and nothing needs any more, and says what and how much.

What another stack or profile on this machine made is never touched, and what two of them made stays until both are done with it.
"""

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from arrstack.engines import Engine, cache_mounts, local_name
from arrstack.engines.bases import current_bases
from arrstack.errors import RegistryError
from arrstack.launch.plan import Plan
from arrstack.launch.tier import wanted_stages
from arrstack.machine.folders import Folders
from arrstack.machine.memory import Kind, Memory
from arrstack.model import LABEL_CREATED, Image, State
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
    """`bytes` is what it holds on disk alone; 0 where nobody knows that: a tag and an image share layers with others."""

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
class Going:
    """What a prune removes: build directories by id, (tier, tag) pairs, logs, images of the engine's store."""

    directories: Mapping[str, Path]
    tags: Sequence[tuple[str, str]]
    logs: Sequence[Path]
    images: Sequence[str]

    def listed(self) -> list[Removal]:
        return [
            *(Removal(f"build directory {name}", size_of(path)) for name, path in self.directories.items()),
            *(Removal(f"{tier}:{tag}") for tier, tag in self.tags),
            *(Removal(f"log {path.name}", size_of(path)) for path in self.logs),
            *(Removal(f"image {name}") for name in self.images),
        ]


@dataclass(frozen=True)
class Pruning:
    """Finds and removes, from the registry, the engine's store and this machine's folders."""

    registry: Registry
    engine: Engine | None
    """None where no engine is installed that keeps anything for it."""
    folders: Folders
    memory: Memory
    wanted: Wanted

    def removals(self) -> list[Removal]:
        """What `remove` would remove. Raises RegistryError where it cannot be told what a tag names that keeps an image."""
        return self._going().listed()

    def remove(self) -> list[Removal]:
        """Removes; what was removed. Raises RegistryError, before anything is removed where it cannot be told what goes."""
        going = self._going()
        removed = going.listed()
        for path in going.directories.values():
            shutil.rmtree(path)
        for tier, tag in going.tags:
            self.registry.delete_tag(tier, tag)
        for path in going.logs:
            path.unlink()
        if freed := self.registry.collect():
            removed.append(Removal("blobs that no tag needs", freed))
        if self.engine:
            self.engine.tidy()
            self.engine.remove(frozenset(going.images), unnamed=not self.memory.others())
        self.memory.forget(Kind.MOUNT, going.directories)
        self.memory.forget(Kind.TAG, [f"{tier}:{tag}" for tier, tag in going.tags])
        self.memory.forget(Kind.LOG, [path.name for path in going.logs])
        self.memory.forget(Kind.IMAGE, going.images)
        return removed

    def _going(self) -> "Going":
        tags = self._tags()
        return Going(self._build_directories(), tags, self._logs(), self._images(tags))

    def _own(self, kind: Kind) -> frozenset[str]:
        """What this stack and profile made, and no other did."""
        return self.memory.noted(kind).difference(*(other.noted(kind) for other in self.memory.others()))

    def _build_directories(self) -> dict[str, Path]:
        """The superseded ones: cache mounts whose ids are of a compile key. Those of wheels that are wanted stay."""
        mounts = cache_mounts(self.folders.cache)
        keys = tuple(tag[-24:] for tags in self.wanted.tags.values() for tag in tags if WHEEL_TAG.fullmatch(tag))
        own = [name for name in self._own(Kind.MOUNT) if name in mounts and not (keys and name.endswith(keys))]
        return {name: mounts[name] for name in superseded({name: mounts[name].stat().st_mtime for name in own}, BUILD_DIRECTORY)}

    def _tags(self) -> list[tuple[str, str]]:
        own = [name.partition(":")[::2] for name in self._own(Kind.TAG)]
        found = []
        for tier, wanted in self.wanted.tags.items():
            mine = frozenset(tag for repository, tag in own if repository == tier)
            found += [(tier, tag) for tag in unneeded_tags(tier, self.registry, wanted, mine)]
        return found

    def _images(self, gone: Iterable[tuple[str, str]]) -> list[str]:
        """Images in the engine's store that neither a tag that stays nor the next launch needs."""
        needed = set(self.wanted.references)
        for tier in self.wanted.tags:
            for tag in self.registry.tags(tier):
                if (tier, tag) not in gone and (image := self.registry.lookup(tier, tag).image):
                    needed.add(local_name(image))
        held = self.engine.images() if self.engine else frozenset()
        return sorted((self._own(Kind.IMAGE) - needed) & held)

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
    digits = re.sub(r"\D", "", image.labels.get(LABEL_CREATED, image.created))[:14]
    return float(digits or 0)
