"""stack.toml: the only statement of tiers, profiles, versions and pins. Read, checked, and nothing more."""

import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from arrstack.errors import ConfigError

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$")]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """A table of the file: its keys are the fields' names with hyphens, and no others."""


class Wheel(Table, frozen=True):
    """A published stage: a wheel that has its own compile key, is published by itself and is never compiled twice."""

    name: Name
    stage: Name
    distribution: str
    version_arg: str
    key_arg: str
    cpu_seconds: float = 0
    """Estimate for its compile, until one was measured here."""
    milestones: tuple[float, ...] = (100.0,)
    record: str = ""
    """A record of its edges' cost, from stack.toml: it orders the compile and weighs the progress, and is no input."""


class Tier(Table, frozen=True):
    """One image. `recipe` is the folder of its Dockerfile, `context` what the Dockerfile reads, both from stack.toml."""

    name: Name
    recipe: str
    context: str
    parent: Name | None = msgspec.field(default=None, name="from")
    base_arg: str = "BASE"
    archs_arg: str = ""
    """The build argument that gets the profile's `archs`, as PyTorch lists them: `7.5;8.9`."""
    seconds: float = 60
    """Estimate for its own build on two cores, until one was measured here."""
    trains: bool = False
    """Whether `launch --run` runs this tier's image."""
    wheels: tuple[Wheel, ...] = ()


class Bootstrap(Table, frozen=True, tag_field="method", tag="mmdebstrap"):
    """A base image made from a Debian archive. Its identity is this table, never what happened to be fetched."""

    suite: str
    components: tuple[str, ...] = ()
    """Of the archive; main where none is named."""
    variant: str = "minbase"
    include: tuple[str, ...] = ()


class Pull(Table, frozen=True, tag_field="method", tag="pull"):
    """A base image from a registry: a tag, and a digest where it is pinned."""

    image: str
    digest: Annotated[str, msgspec.Meta(pattern=r"^(sha256:[0-9a-f]{64})?$")] = ""

    @property
    def reference(self) -> str:
        return f"{self.image}@{self.digest}" if self.digest else self.image


Base = Bootstrap | Pull


ARCHITECTURE = re.compile(r"sm_(5[023]|6[0-2]|7[025]|8[0679]|90a?|1(0[013]|2[01])[af]?)")
"""NVIDIA's architectures from CUDA 12 on (CUDA compiler driver documentation, "GPU feature list")."""


class Archive(Table, frozen=True):
    """The state of the distribution's archive: a date that a person moves (`launch --refresh`), for all or one tier."""

    suite: str
    date: str
    tiers: dict[Name, str] = {}

    def __post_init__(self) -> None:
        for day in (self.date, *self.tiers.values()):
            date.fromisoformat(day)

    def state(self, tier: str) -> str:
        return f"{self.suite} {self.tiers.get(tier, self.date)}"


class Profile(Table, frozen=True):
    description: str
    bases: dict[str, Base]
    archive: Archive
    platform: Literal["linux/amd64"] = "linux/amd64"
    tag: str = "latest"
    archs: tuple[str, ...] = ()
    """GPU architectures that a library of ours must hold, as `sm_89`; empty where there is none."""
    disk_gib: float = 3.0
    """Free space that a launch from nothing takes, GiB; what compiles nothing takes half of it."""
    args: dict[str, str] = {}

    def __post_init__(self) -> None:
        for arch in self.archs:
            if not ARCHITECTURE.fullmatch(arch):
                raise ValueError(f"'{arch}' in `archs` is no GPU architecture; they are written as sm_89")

    @property
    def capabilities(self) -> str:
        """The architectures as PyTorch lists them: `7.5;8.9`."""
        return ";".join(re.sub(r"sm_(\d+)(\d\w?)", r"\1.\2", arch) for arch in self.archs)


class Cloud(Table, frozen=True):
    """Where Google Cloud builds and keeps the images. What is named here `infra apply` makes."""

    project: str = ""
    region: str = "us-central1"
    repository: Name = "arr-coc-registry"
    """Artifact Registry's repository of what `persistent` does not name: swept daily."""
    persistent_repository: Name = "arr-coc-registry-persistent"
    persistent: tuple[Name, ...] = ()
    """What is built once and kept: tiers, and `compiler-cache`."""
    pool: Name = "arr-coc-pool"
    """The private pool whose machines compile."""
    machine: str = "c3-standard-176"
    disk_gib: int = 500
    log_bucket: str = ""
    """Of the builds' logs; default: PROJECT-arrstack-logs, which the committed cloudbuild.yaml names."""
    staging_bucket: str = ""
    """Of the sources on their way to a build; default: PROJECT-arrstack-staging."""

    def repository_of(self, name: str) -> str:
        """The Artifact Registry repository that holds a tier's image, or the compiler cache.

        Cloud(persistent=("arr-pytorch-base",)).repository_of("arr-trainer")  # 'arr-coc-registry'
        """
        return self.persistent_repository if name in self.persistent else self.repository


class Stack(Table, frozen=True):
    default_profile: Name
    tiers: tuple[Tier, ...]
    profiles: dict[Name, Profile]
    cloud: Cloud = Cloud()


class LoadedStack:
    """A checked stack.toml, one profile of it, and where it stands."""

    def __init__(self, path: Path, stack: Stack, profile: str):
        self.path, self.root, self.stack = path, path.parent, stack
        self.profile_name, self.profile = profile, stack.profiles[profile]
        self.tiers = in_order(stack.tiers, path)

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
            chosen.base_arg: checked({"method": "pull", "image": name, "digest": digest}, Base, self.path, ""),
        }
        tiers = tuple(msgspec.structs.replace(each, parent=None) if each.name == tier else each for each in self.stack.tiers)
        profiles = {**self.stack.profiles, self.profile_name: msgspec.structs.replace(self.profile, bases=bases)}
        return LoadedStack(self.path, msgspec.structs.replace(self.stack, tiers=tiers, profiles=profiles), self.profile_name)

    def tier(self, name: str) -> Tier:
        """Raises ConfigError where the stack has no such tier."""
        for tier in self.tiers:
            if tier.name == name:
                return tier
        raise ConfigError(f"there is no tier '{name}' in {self.path}", f"its tiers: {', '.join(t.name for t in self.tiers)}")

    def parent(self, tier: Tier) -> Tier | None:
        return self.tier(tier.parent) if tier.parent else None

    def up_to(self, name: str | None) -> tuple[Tier, ...]:
        """The tier and those it stands on, bottom first; all of them for None."""
        if name is None:
            return self.tiers
        chain: list[Tier] = []
        tier: Tier | None = self.tier(name)
        while tier:
            chain.insert(0, tier)
            tier = self.parent(tier)
        return tuple(chain)


def load(path: Path, profile: str | None = None) -> LoadedStack:
    """Reads and checks a stack file. Raises ConfigError with the file, and the line or key, of what is wrong."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"there is no stack file {path}", "run from the project's folder, or name one with --stack FILE"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}", "TOML's syntax: https://toml.io/en/v1.0.0") from None
    for name, table in tables(data.get("profiles")):
        for base, description in tables(table.get("bases")):
            checked(description, Base, path, f"profiles.{name}.bases.{base}")
        checked(table, Profile, path, f"profiles.{name}")
    stack: Stack = checked(data, Stack, path, "")
    name = profile or stack.default_profile
    if name not in stack.profiles:
        raise ConfigError(f"{path}: there is no profile '{name}'", f"its profiles: {', '.join(stack.profiles)}")
    return LoadedStack(path, stack, name)


def tables(value: Any) -> list[tuple[str, dict[str, Any]]]:
    """The tables in a table, by name: an error in one is to name it, which msgspec does for no key of a file's choosing."""
    return [(name, each) for name, each in value.items() if isinstance(each, dict)] if isinstance(value, dict) else []


def checked(value: Any, kind: Any, path: Path, place: str) -> Any:
    """The value as what it must be. Raises ConfigError with the place in the file and what is wrong."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        told, _, below = str(error).replace("Object", "the table").replace(" field ", " key ").partition(" - at `$")
        steps = [place, *re.findall(r"[\w-]+", below)]
        raise ConfigError(f"{path}: {'.'.join(filter(None, steps))}: {told}", "docs/guide/stack.md describes every key") from None


def in_order(tiers: tuple[Tier, ...], path: Path) -> tuple[Tier, ...]:
    """The tiers, each after the one it stands on. Raises ConfigError for a cycle, a name used twice or an unknown parent."""
    by_name = {tier.name: tier for tier in tiers}
    if len(by_name) != len(tiers):
        raise ConfigError(f"{path}: two tiers have one name")
    if not tiers:
        raise ConfigError(f"{path}: there is no tier")
    ordered: list[Tier] = []

    def place(tier: Tier, above: tuple[str, ...]) -> None:
        if tier.name in above:
            raise ConfigError(f"{path}: tiers stand on each other in a circle: {' -> '.join((*above, tier.name))}")
        if tier in ordered:
            return
        if tier.parent:
            if tier.parent not in by_name:
                raise ConfigError(f"{path}: tier '{tier.name}' stands on '{tier.parent}', which is none of its tiers")
            place(by_name[tier.parent], (*above, tier.name))
        ordered.append(tier)

    for tier in tiers:
        place(tier, ())
    return tuple(ordered)
