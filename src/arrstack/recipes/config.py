"""stack.toml: the only statement of tiers, profiles, versions and pins. Read, checked, and nothing more."""

import re
import stat
import tomllib
from datetime import date
from pathlib import Path
from typing import Any, Literal

import msgspec

from arrstack.errors import ConfigError
from arrstack.recipes.places import Buildx, Cloud, Table, Training
from arrstack.recipes.shape import MOST_PROBLEMS, problems, tiers_hint
from arrstack.recipes.values import (
    Component,
    Day,
    Digest,
    Distribution,
    ImageName,
    MaybeVariable,
    Name,
    NotNegative,
    Package,
    Percent,
    RelativePath,
    Suite,
    Tag,
    Variable,
    Variant,
)
from arrstack.reference import Reference

LARGEST = 4 << 20
"""Bytes of a stack file."""


class Wheel(Table, frozen=True):
    """A published stage: a wheel that has its own compile key, is published by itself and is never compiled twice."""

    name: Name
    stage: Name
    distribution: Distribution
    version_arg: Variable
    key_arg: Variable
    cpu_seconds: NotNegative = 0
    """Estimate for its compile, until one was measured here."""
    milestones: tuple[Percent, ...] = (100.0,)
    record: RelativePath = ""
    """A record of its edges' cost, from stack.toml: it orders the compile and weighs the progress, and is no input."""


class Tier(Table, frozen=True):
    """One image. `recipe` is the folder of its Dockerfile, `context` what the Dockerfile reads, both from stack.toml."""

    name: Name
    recipe: RelativePath
    context: RelativePath
    parent: Name | None = msgspec.field(default=None, name="from")
    base_arg: Variable = "BASE"
    archs_arg: MaybeVariable = ""
    """The build argument that gets the profile's `archs`, as PyTorch lists them: `7.5;8.9`."""
    seconds: NotNegative = 60
    """Estimate for its own build on two cores, until one was measured here."""
    trains: bool = False
    """Whether `launch --run` runs this tier's image."""
    default: bool = True
    """Whether a command that names no tier means this one too; if not, it is built when it is named, or another that stands on it."""
    wheels: tuple[Wheel, ...] = ()


class Bootstrap(Table, frozen=True, tag_field="method", tag="mmdebstrap"):
    """A base image made from a Debian archive. Its identity is this table, never what happened to be fetched."""

    suite: Suite
    components: tuple[Component, ...] = ()
    """Of the archive; main where none is named."""
    variant: Variant = "minbase"
    include: tuple[Package, ...] = ()
    documentation: bool = True
    """Manual pages, changelogs and translations, here and in what is installed on it. Licences stay in any case."""


class Pull(Table, frozen=True, tag_field="method", tag="pull"):
    """A base image from a registry: a tag, and a digest where it is pinned."""

    image: ImageName
    digest: Digest = ""

    def __post_init__(self) -> None:
        Reference.parse(self.reference)

    @property
    def reference(self) -> str:
        return f"{self.image}@{self.digest}" if self.digest else self.image


Base = Bootstrap | Pull


ARCHITECTURE = re.compile(r"sm_(5[023]|6[0-2]|7[025]|8[0679]|90a?|1(0[013]|2[01])[af]?)")
"""NVIDIA's architectures from CUDA 12 on (CUDA compiler driver documentation, "GPU feature list")."""


class Archive(Table, frozen=True):
    """The state of the distribution's archive: a date that a person moves (`launch --refresh`), for all or one tier."""

    suite: Suite
    date: Day
    tiers: dict[Name, Day] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        for day in (self.date, *self.tiers.values()):
            date.fromisoformat(day)

    def state(self, tier: str) -> str:
        return f"{self.suite} {self.tiers.get(tier, self.date)}"


class Profile(Table, frozen=True):
    description: str
    bases: dict[Variable, Base] = msgspec.field(default_factory=dict)
    archive: Archive | None = None
    """Of the distribution's packages; None where nothing is made of them."""
    platform: Literal["linux/amd64"] = "linux/amd64"
    tag: Tag = "latest"
    archs: tuple[str, ...] = ()
    """GPU architectures that a library of ours must hold, as `sm_89`; empty where there is none."""
    disk_gib: NotNegative = 3.0
    """Free space that a launch from nothing takes, GiB; what compiles nothing takes half of it."""
    compiler_cache: Literal["ccache", "sccache"] = "ccache"
    """What answers a compiler's calls that were made before; whichever it is, what is made is the same. `sccache` keeps its objects in a
    bucket (`cloud.cache-bucket`)."""
    args: dict[Variable, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.archive is None and (made := [name for name, base in self.bases.items() if isinstance(base, Bootstrap)]):
            raise ValueError(f"the base {made[0]} is made of packages, and the profile has no table `archive`")
        for arch in self.archs:
            if not ARCHITECTURE.fullmatch(arch):
                raise ValueError(f"'{arch}' in `archs` is no GPU architecture; they are written as sm_89")
            if self.archs.count(arch) > 1:
                raise ValueError(f"'{arch}' stands twice in `archs`")

    def archive_state(self, tier: str) -> str:
        """The state of the archive for a tier; '' where the profile has none."""
        return self.archive.state(tier) if self.archive else ""

    @property
    def capabilities(self) -> str:
        """The architectures as PyTorch lists them: `7.5;8.9`."""
        return ";".join(re.sub(r"sm_(\d+)(\d\w?)", r"\1.\2", arch) for arch in self.archs)


class Stack(Table, frozen=True):
    default_profile: Name
    tiers: tuple[Tier, ...]
    profiles: dict[Name, Profile]
    cloud: Cloud = Cloud()
    buildx: Buildx = Buildx()
    training: Training = Training()


class LoadedStack:
    """A checked stack.toml, one profile of it, and where it stands."""

    def __init__(self, path: Path, stack: Stack, profile: str):
        self.path, self.stack = path, stack
        self.root = path.resolve().parent if path.is_symlink() else path.parent
        """What its paths are relative to."""
        self.profile_name, self.profile = profile, stack.profiles[profile]
        self.tiers = in_order(stack.tiers, path)

    def within(self, what: str, path: Path) -> Path:
        """The path without links. Raises ConfigError for one outside the stack's folder: a plan reads no other files."""
        real = path.resolve()
        if not real.is_relative_to(self.root.resolve()):
            raise ConfigError(f"{self.path}: {what} leads out of the folder of the stack")
        return real

    def record(self, wheel: Wheel) -> Path | None:
        """The record of a wheel's edges, where there is one. Raises ConfigError for one outside the stack's folder."""
        path = self.within(f"the record of wheel '{wheel.name}'", self.root / wheel.record)
        return path if path.is_file() else None

    def tagged(self, tag: str) -> "LoadedStack":
        """The same with another tag for what is finished and verified."""
        profiles = {**self.stack.profiles, self.profile_name: msgspec.structs.replace(self.profile, tag=tag)}
        return LoadedStack(self.path, msgspec.structs.replace(self.stack, profiles=profiles), self.profile_name)

    def standing_on(self, tier: str, image: str) -> "LoadedStack":
        """The same with the tier on an image of any registry (`HOST/NAME:TAG`, `...@sha256:...`), not on the tier below."""
        chosen = self.tier(tier)
        if not chosen.parent:
            raise ConfigError(f"{tier} stands on no tier", "its base images are the profile's, in the stack file")
        name, _, digest = image.partition("@")
        bases = {
            **self.profile.bases,
            chosen.base_arg: checked({"method": "pull", "image": name, "digest": digest}, Base, self.path),
        }
        tiers = tuple(msgspec.structs.replace(each, parent=None) if each.name == tier else each for each in self.stack.tiers)
        profiles = {**self.stack.profiles, self.profile_name: msgspec.structs.replace(self.profile, bases=bases)}
        return LoadedStack(self.path, msgspec.structs.replace(self.stack, tiers=tiers, profiles=profiles), self.profile_name)

    def tier(self, name: str) -> Tier:
        """Raises ConfigError where the stack has no such tier."""
        for tier in self.tiers:
            if tier.name == name:
                return tier
        raise ConfigError(f"there is no tier '{name}' in {self.path}", tiers_hint([tier.name for tier in self.tiers], name))

    def parent(self, tier: Tier) -> Tier | None:
        return self.tier(tier.parent) if tier.parent else None

    def up_to(self, name: str | None) -> tuple[Tier, ...]:
        """The tier and those it stands on, bottom first; for None the default tiers and those that they stand on."""
        if name is None:
            meant = {each.name for tier in self.tiers if tier.default for each in self.up_to(tier.name)}
            return tuple(tier for tier in self.tiers if tier.name in meant)
        chain: list[Tier] = []
        tier: Tier | None = self.tier(name)
        while tier:
            chain.insert(0, tier)
            tier = self.parent(tier)
        return tuple(chain)


def load(path: Path, profile: str | None = None) -> LoadedStack:
    """Reads and checks a stack file. Raises ConfigError with the file, and the lines or keys of all that is wrong."""
    stack: Stack = checked(read_toml(path), Stack, path)
    name = profile or stack.default_profile
    if name not in stack.profiles:
        raise ConfigError(f"{path}: there is no profile '{name}'", f"its profiles: {', '.join(stack.profiles)}")
    wheels = [wheel.name for tier in stack.tiers for wheel in tier.wheels]
    if twice := sorted({wheel for wheel in wheels if wheels.count(wheel) > 1}):
        raise ConfigError(f"{path}: there are two wheels '{twice[0]}'", "a wheel's name is its tag's beginning: give one another")
    if not any(tier.default for tier in stack.tiers):
        raise ConfigError(f"{path}: no tier is a default one", "leave `default = false` out of one of them")
    return LoadedStack(path, stack, name)


def checked(value: object, kind: Any, path: Path) -> Any:
    """The value as what it must be. Raises ConfigError with all that is wrong, each by its place in the file."""
    if wrong := problems(value, kind):
        more = f"; and {len(wrong) - MOST_PROBLEMS} more" if len(wrong) > MOST_PROBLEMS else ""
        raise ConfigError(f"{path}: {'; '.join(wrong[:MOST_PROBLEMS])}{more}", "docs/guide/stack.md describes every key")
    return msgspec.convert(value, kind)


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file's content. Raises ConfigError."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            inside = path / "stack.toml"
            raise ConfigError(f"{path} is no file", f"--stack {inside}" if inside.is_file() else "--stack names a file")
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ConfigError(f"{path} is larger than {LARGEST} bytes: that is no stack file")
        return tomllib.loads(data.decode("utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(
            f"there is no stack file {path}",
            "name one with --stack FILE",
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no text in UTF-8") from None
    except RecursionError:
        raise ConfigError(f"{path}: its lists or tables lie too deep in each other") from None
    except ValueError as error:  # of the syntax, and a number of thousands of digits
        raise ConfigError(f"{path}: {error}", "TOML's syntax: https://toml.io/en/v1.0.0") from None


def in_order(tiers: tuple[Tier, ...], path: Path) -> tuple[Tier, ...]:
    """The tiers, each after the one it stands on. Raises ConfigError for a cycle, a name used twice or an unknown parent."""
    by_name = {tier.name: tier for tier in tiers}
    if len(by_name) != len(tiers):
        names = [tier.name for tier in tiers]
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"{path}: two tiers are named '{twice}'", "a tier's name is its image's: give one another")
    if not tiers:
        raise ConfigError(f"{path}: there is no tier")
    ordered: dict[str, Tier] = {}
    for tier in tiers:
        chain: dict[str, Tier] = {}
        name: str | None = tier.name
        while name and name not in ordered:
            if name in chain:
                raise ConfigError(f"{path}: tiers stand on each other in a circle: {' -> '.join([*chain, name][-20:])}")
            if name not in by_name:
                raise ConfigError(
                    f"{path}: tier '{[*chain][-1]}' stands on '{name}', which is none of its tiers", tiers_hint(by_name, name)
                )
            chain[name] = by_name[name]
            name = by_name[name].parent
        ordered |= {each.name: each for each in reversed(chain.values())}
    return tuple(ordered.values())
