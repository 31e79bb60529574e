"""The wheels that a registry holds for a stack, and a folder of them from which pip and uv install.

held = published(stack, recipes, registry)
write([wheel for wheel in held if wheel.current], registry, Path("dist"), processes)
"""

import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from arrstack.errors import ConfigError
from arrstack.launch.plan import Facts, WheelPlan, wheel_plans
from arrstack.launch.prune import WHEEL_TAG
from arrstack.launch.simple_index import IndexedWheel, pages
from arrstack.machine.process import Processes
from arrstack.model import LABEL_ARCHS, LABEL_CREATED, LABEL_VERSION, Image
from arrstack.recipes.config import LoadedStack, Wheel
from arrstack.recipes.tiers import Recipe, digest
from arrstack.registry import Registry, find
from arrstack.wheels import gather

SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class PublishedWheel:
    """A wheel in the registry. `version` and `architectures` are None where the image does not say them: it is of an
    earlier arrstack. `key` is the part of the compile key that its tag has. `current` says that the working tree's key is the same."""

    tier: str
    name: str
    distribution: str
    version: str | None
    architectures: tuple[str, ...] | None
    key: str
    current: bool
    image: Image

    @property
    def created(self) -> str:
        """When it was built, by its label."""
        return self.image.labels.get(LABEL_CREATED, self.image.created)


@dataclass(frozen=True)
class Written:
    """A folder of wheels: the files that were written, and by distribution the distribution's packages that they load."""

    folder: Path
    files: tuple[Path, ...]
    needs: dict[str, tuple[str, ...]]


def published(stack: LoadedStack, recipes: Iterable[Recipe], registry: Registry) -> list[PublishedWheel]:
    """The wheels of the stack's tiers, those of the working tree first, then the newest. Raises RegistryError where the registry does
    not say what it holds."""
    found: list[PublishedWheel] = []
    for recipe in recipes:
        if not recipe.tier.wheels:
            continue
        plans = wheel_plans(recipe.planned, Facts(registry.lookup))
        current = {plan.tag: plan for plan in plans if plan.key}
        known = {wheel.name: wheel for wheel in recipe.tier.wheels}
        for tag in registry.tags(recipe.tier.name):
            match = WHEEL_TAG.fullmatch(tag)
            if match and match["wheel"] in known and (image := find(registry, recipe.tier.name, tag)):
                found.append(_described(stack, recipe, known[match["wheel"]], tag, current.get(tag), image))
    order = {wheel.name: number for recipe in recipes for number, wheel in enumerate(recipe.tier.wheels)}
    newest = sorted(found, key=lambda wheel: wheel.created, reverse=True)
    return sorted(newest, key=lambda wheel: (not wheel.current, order[wheel.name]))


def _described(
    stack: LoadedStack, recipe: Recipe, wheel: Wheel, tag: str, plan: WheelPlan | None, image: Image
) -> PublishedWheel:
    """The same key means the same arguments: what a label does not say, the working tree does."""
    version = image.labels.get(LABEL_VERSION) or (recipe.args.get(wheel.version_arg) if plan else None)
    said = image.labels.get(LABEL_ARCHS)
    archs = tuple(said.split()) if said is not None else stack.profile.archs if plan else None
    key = tag.rpartition("-")[2]
    return PublishedWheel(recipe.tier.name, wheel.name, wheel.distribution, version, archs, key, plan is not None, image)


def wanted(recipes: Iterable[Recipe], held: Sequence[PublishedWheel]) -> list[PublishedWheel]:
    """The working tree's wheels, all of them. Raises ConfigError where the stack compiles none, or one is not there."""
    names = [(recipe.tier.name, wheel.name) for recipe in recipes for wheel in recipe.tier.wheels]
    if not names:
        raise ConfigError("the stack compiles no wheels", "a tier's `wheels` name them (docs/guide/stack.md)")
    current = {(wheel.tier, wheel.name): wheel for wheel in held if wheel.current}
    if missing := [f"{tier}/{name}" for tier, name in names if (tier, name) not in current]:
        raise ConfigError(f"not compiled yet, as the working tree has it: {', '.join(missing)}", "`arrstack launch` compiles it")
    return [current[name] for name in names]


def write(wheels: Sequence[PublishedWheel], registry: Registry, folder: Path, processes: Processes) -> Written:
    """Writes the wheels and their build records into the folder, and an index of all wheels that it then holds.

    A file of the same name is replaced, each in one move; other files stay. Raises RegistryError where a wheel cannot be fetched,
    OSError where the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    needs: dict[str, tuple[str, ...]] = {}
    with tempfile.TemporaryDirectory(prefix=".arrstack-", dir=folder) as scratch:
        for wheel in wheels:
            made, pulled = Path(scratch, wheel.name), Path(scratch, f"{wheel.name}-image")
            made.mkdir()
            pulled.mkdir()
            gather([registry.pinned(wheel.tier, wheel.image.digest, pulled)], made, processes)
            needs[wheel.distribution] = runtime_packages(made / f"{wheel.distribution}.json")
            for path in sorted(made.iterdir()):
                os.replace(path, folder / path.name)
                written.append(folder / path.name)
    _index(folder, [path.name for path in written])
    return Written(folder, tuple(written), needs)


def _index(folder: Path, written: Sequence[str]) -> None:
    """SHA256SUMS of the wheels in the folder and of what was written, and the pages of a package index."""
    wheels = sorted(path for path in folder.glob("*.whl") if path.is_file())
    sums = {path.name: digest(path) for path in [*wheels, *(folder / name for name in written)]}
    (folder / SUMS).write_text("".join(f"{found}  {name}\n" for name, found in sorted(sums.items())))
    indexed = [IndexedWheel(path.name, sums[path.name], path.stat().st_size) for path in wheels]
    for place, text in pages(indexed).items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text, encoding="utf-8")


def runtime_packages(record: Path) -> tuple[str, ...]:
    """The distribution's packages whose libraries a wheel loads, as its build record says; none without a record."""
    try:
        said = json.loads(record.read_text(encoding="utf-8")).get("runtime_packages", [])
    except (OSError, ValueError, AttributeError):
        return ()
    return tuple(str(name) for name in said) if isinstance(said, list) else ()
