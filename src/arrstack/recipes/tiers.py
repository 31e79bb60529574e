"""A stack's recipes read from disk: everything that planning and building need to know of them."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from arrstack.errors import ConfigError
from arrstack.model import Inputs, sha256
from arrstack.recipes.config import Base, Bootstrap, LoadedStack, Pull, Tier, Wheel
from arrstack.recipes.context import BuildContext
from arrstack.recipes.dockerfile import Dockerfile, parse
from arrstack.recipes.ignore import ignore_file, rules_of
from arrstack.recipes.inputs import part, tree
from arrstack.recipes.leaves import ContextSource, ReadFiles, StageReader
from arrstack.recipes.patterns import PatternError

CHECKS = "checks"
"""The folder of a recipe whose programs run in the finished image."""
CHECK_KINDS = (".py", ".sh")
CACHE_STAGE = "compiler-cache"
"""The stage in whose place a launch puts sccache and its settings, where the profile has it. Of a recipe that has none, nothing uses sccache."""
PARENT_IMAGE = "the-tier-below"
"""Stands for the parent image while inputs are hashed: which image it is belongs to the key, not to the inputs."""


@dataclass(frozen=True)
class Wheels:
    """Wheels that exist, taken in place of a compile: a folder that holds them and their build records."""

    folder: Path

    def files(self, distribution: str) -> list[Path]:
        """The wheel and the record of one distribution. Raises ConfigError where there is none, or more than one."""
        found = sorted(self.folder.glob(f"{distribution}-*.whl"))
        if len(found) != 1:
            raise ConfigError(f"{self.folder} holds {len(found)} wheels of {distribution}, not one")
        record = self.folder / f"{distribution}.json"
        return [found[0], *([record] if record.is_file() else [])]

    def leaf(self, distributions: Sequence[str]) -> str:
        """What the wheels are, as a leaf of the inputs."""
        files = [path for name in distributions for path in self.files(name)]
        return ", ".join(f"{path.name} {digest(path)[:16]}" for path in files)


@dataclass(frozen=True)
class TierInputs:
    """What the plan needs to know of one tier: its recipe and inputs, what it stands on, its published stages."""

    name: str
    parent: str | None
    dockerfile: Dockerfile
    inputs: Inputs
    tag: str
    """The tag under which the last verified image stands (`latest`)."""
    wheels: tuple[Wheel, ...] = ()
    bases: tuple[str, ...] = ()
    """The images of other registries that the profile names and its FROM lines take: without them it cannot be built."""
    checks: str = ""
    """The digest of its checks, which are no input: another check runs on the image that is there. '' where it has none."""


@dataclass(frozen=True)
class Recipe:
    """A tier with its recipe read: what building it takes."""

    tier: Tier
    dockerfile: Dockerfile
    context: BuildContext
    args: Mapping[str, str]
    """The build arguments that count, as the profile sets them; bases and parent are named when they exist."""
    planned: TierInputs

    def write_to(self, folder: Path) -> Path:
        """The context, in a folder of that name, and beside it the recipe, both as they were read: who edits them while
        other tiers are built changes nothing of this launch. Raises ConfigError where the context is another by now."""
        staged = folder / "context"
        self.context.copy_to(staged)
        (folder / "Dockerfile").write_bytes(self.dockerfile.text.encode("utf-8", "surrogateescape"))
        # docker would ask the context's own .dockerignore a second time; an empty file it takes for none.
        (folder / "Dockerfile.dockerignore").write_text("# The context holds nothing but what counts.\n")
        return staged

    @property
    def independent_stages(self) -> dict[str, str]:
        """The stages that do not stand on the tier below, each with the tag under which an engine keeps it: it changes with
        what the stage is made of."""
        if not self.tier.parent:
            return {}
        stages = self.dockerfile.apart_from(PARENT_IMAGE)
        return {stage: f"{stage}-{part(self.planned.inputs, self.dockerfile, stage).digest[:24]}" for stage in stages}

    def uses_shared_cache(self, target: str) -> bool:
        """Whether building `target` ('': the image) reads the stage that sccache may stand in for."""
        return any(stage.name == CACHE_STAGE for stage in self.dockerfile.closure(target or None))

    def stands_on_base(self, argument: str) -> bool:
        """Whether this build argument names a base image of the profile here: in another tier it may be the tier below."""
        return self.args.get(argument) == base_placeholder(argument)

    def mounts(self, args: Mapping[str, str], target: str = "") -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The ids of the cache mounts that a build of `target` (default: the image) with these arguments may use, and where its mounts of
        any kind stand."""
        reader = StageReader(self.dockerfile, args, lambda _: (), ())
        for stage in self.dockerfile.closure(target or None):
            reader.leaves(stage)
        return tuple(reader.cache_mounts), tuple(reader.mount_targets)


def check_programs(folder: Path) -> list[Path]:
    """The programs of a tier's checks, by name. Files of other kinds are what they read. Raises ConfigError for a program that none would
    run: a check that never runs passes."""
    found = []
    for path in sorted(folder.glob("*")):
        if path.suffix in CHECK_KINDS and path.is_file():
            found.append(path)
        elif path.is_file() and (os.access(path, os.X_OK) or starts_as_program(path)):
            raise ConfigError(
                f"{path}: a check is a program of Python or bash, named {' or '.join(f'NAME{kind}' for kind in CHECK_KINDS)}",
                "rename it, or call it from a check; a file that a check reads is not executable",
            )
    return found


def starts_as_program(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"#!"


def checks_digest(folder: Path) -> str:
    """Of the names and contents of all files of a tier's checks; '' where it has none."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    listed = "".join(f"{digest(path)} {path.relative_to(folder)}\n" for path in files)
    return sha256(listed) if files else ""


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identity(base: Base, archive: str) -> str:
    """What a base image is: its pin in stack.toml, and for a bootstrapped one the archive's state."""
    if isinstance(base, Bootstrap):
        components = f"({' '.join(base.components)})" if base.components else ""
        bare = [] if base.documentation else ["without documentation"]
        words = [base.suite, *filter(None, [components]), base.variant, *base.include, *bare]
        return " ".join(["mmdebstrap", *words, "from", archive])
    return base.reference


def base_placeholder(argument: str) -> str:
    return f"base-{argument.lower()}"


def read(
    stack: LoadedStack, overrides: Mapping[str, str], wheels: Wheels | None = None, only: Sequence[Tier] | None = None
) -> list[Recipe]:
    """Reads the recipes of the tiers `only`, bottom first; of the stack's default tiers without. `overrides` are build
    arguments that a flag sets.

    Raises ConfigError with FILE:LINE for whatever is wrong with a recipe.
    """
    tiers = only or stack.up_to(None)
    found = [read_tier(stack, tier, overrides, wheels) for tier in tiers]
    if len(found) >= len(stack.up_to(None)):
        others = [dockerfile_of(stack, tier, overrides) for tier in stack.tiers if tier not in tiers]
        declared = {name for each in [*(recipe.dockerfile for recipe in found), *others] for name in each.declared}
        unknown = [name for name in {**stack.profile.args, **stack.profile.bases} if name not in declared]
        if unknown:
            raise ConfigError(
                f"{stack.path}: profiles.{stack.profile_name} sets the build argument {unknown[0]}, which no recipe declares",
                "add ARG to a recipe, or correct the name",
            )
        if stack.profile.compiler_cache == "sccache" and not any(each.uses_shared_cache("") for each in found):
            raise ConfigError(
                f"{stack.path}: profile {stack.profile_name} compiles through sccache, and no recipe has a stage '{CACHE_STAGE}' for it",
                "docs/guide/cache.md says what such a recipe does; or remove `compiler-cache`",
            )
    return found


def given_to(stack: LoadedStack, tier: Tier, overrides: Mapping[str, str]) -> dict[str, str]:
    """The build arguments that a tier's recipe gets, if it declares them; images are named by what stands for them."""
    return {
        **stack.profile.args,
        "PROFILE": stack.profile_name,
        **({"ARCHIVE": stack.profile.archive_state(tier.name)} if stack.profile.archive else {}),
        **({tier.archs_arg: stack.profile.capabilities} if tier.archs_arg else {}),
        **overrides,
        **{name: base_placeholder(name) for name in stack.profile.bases},
        **({tier.base_arg: PARENT_IMAGE} if tier.parent else {}),
    }


def dockerfile_of(stack: LoadedStack, tier: Tier, overrides: Mapping[str, str]) -> Dockerfile:
    """A tier's Dockerfile, with what its parent's says behind ONBUILD."""
    path = stack.root / tier.recipe / "Dockerfile"
    stack.within(f"the recipe of tier '{tier.name}'", path)
    parent = stack.parent(tier)
    triggers = {}
    if parent:
        below = stack.root / parent.recipe / "Dockerfile"
        stack.within(f"the recipe of tier '{parent.name}'", below)
        triggers[PARENT_IMAGE] = parse(below, given_to(stack, parent, overrides)).stages[-1].triggers
    return parse(path, given_to(stack, tier, overrides), triggers)


def read_tier(stack: LoadedStack, tier: Tier, overrides: Mapping[str, str], wheels: Wheels | None) -> Recipe:
    dockerfile = dockerfile_of(stack, tier, overrides)
    check_arguments(stack, tier, dockerfile)
    path = dockerfile.path
    check_programs(path.parent / CHECKS)
    args = {name: value for name, value in given_to(stack, tier, overrides).items() if name in dockerfile.declared}
    context = context_of(stack, tier, path)
    bases = {
        base_placeholder(name): identity(base, stack.profile.archive_state(tier.name))
        for name, base in stack.profile.bases.items()
    } | {PARENT_IMAGE: "the tier below"}
    keys = [wheel.key_arg for wheel in tier.wheels]
    inputs = tree(dockerfile, args, reader(context), bases, {"platform": stack.profile.platform}, keys)
    context.check_links(str(path))
    for wheel in tier.wheels:
        dockerfile.stage(wheel.stage)
    published = tier.wheels
    if wheels and published:
        inputs = part(inputs, dockerfile, dockerfile.stages[-1].name, [w.stage for w in published])
        inputs = Inputs({**inputs.leaves, "wheels": check_wheels(stack, tier, wheels)})
        published = ()
    named = {stage.base for stage in dockerfile.closure()}
    pulled = tuple(
        sorted({b.reference for n, b in stack.profile.bases.items() if isinstance(b, Pull) and base_placeholder(n) in named})
    )
    planned = TierInputs(
        tier.name, tier.parent, dockerfile, inputs, stack.profile.tag, published, pulled, checks_digest(path.parent / CHECKS)
    )
    return Recipe(tier, dockerfile, context, args, planned)


def check_arguments(stack: LoadedStack, tier: Tier, dockerfile: Dockerfile) -> None:
    """Raises ConfigError where the recipe's arguments and the stack file do not fit."""
    if tier.archs_arg in stack.profile.args:
        raise ConfigError(
            f"{stack.path}: profiles.{stack.profile_name}.args sets {tier.archs_arg}, which is made from `archs`",
            "write the architectures in `archs`, as sm_89, and remove the argument",
        )
    if tier.archs_arg and tier.archs_arg not in dockerfile.declared:
        raise ConfigError(
            f"{dockerfile.path}: it does not declare ARG {tier.archs_arg}, which {stack.path} names as archs-arg of {tier.name}",
            "declare it in the stage that compiles, or correct the name",
        )
    if "ARCHIVE" in dockerfile.declared and stack.profile.archive is None:
        raise ConfigError(
            f"{dockerfile.path}: it declares ARG ARCHIVE, and profile {stack.profile_name} has no archive",
            f"write [profiles.{stack.profile_name}.archive] with suite and date (docs/guide/stack.md)",
        )
    if tier.parent and tier.base_arg not in dockerfile.declared:
        raise ConfigError(
            f"{dockerfile.path}: the tier stands on {tier.parent}, but its recipe does not declare ARG {tier.base_arg}"
        )


def context_of(stack: LoadedStack, tier: Tier, dockerfile: Path) -> BuildContext:
    """The tier's build context with its ignore rules. Raises ConfigError for one outside the stack's folder."""
    root = stack.within(f"the context of tier '{tier.name}'", stack.root / tier.context)
    ignored = ignore_file(dockerfile, root)
    if ignored:
        stack.within(f"the ignore file of tier '{tier.name}'", ignored)
    return BuildContext(root, rules_of(ignored))


def check_wheels(stack: LoadedStack, tier: Tier, wheels: Wheels) -> str:
    """The `wheels` leaf. Raises ConfigError where a wheel is not of the version that the profile asks for."""
    for wheel in tier.wheels:
        wanted = stack.profile.args.get(wheel.version_arg, "")
        name = wheels.files(wheel.distribution)[0].name
        version = name.split("-")[1]
        if wanted and version != wanted:
            raise ConfigError(
                f"{wheels.folder / name} is version {version}; profile {stack.profile_name} asks for {wheel.distribution} {wanted}"
            )
    return wheels.leaf([wheel.distribution for wheel in tier.wheels])


def reader(context: BuildContext) -> ReadFiles:
    """A function that reads what a COPY source or a bind mount takes from this context."""

    def read_source(source: ContextSource) -> list[tuple[str, str]]:
        paths: set[str] = set()
        for named in source.paths:
            try:
                paths |= set(context.mounted(named) if source.is_mount else context.matching(named))
            except PatternError as error:
                raise ConfigError(f"{source.where}: no engine can copy '{named}': {error}") from None
        if not paths and not source.may_lack:
            raise ConfigError(
                f"{source.where}: nothing in the build context matches '{source.paths[0]}'"
                + (": the ignore rules leave it out" if (context.root / source.paths[0]).exists() else ""),
                f"the context is {context.root}",
            )
        return [(path, context.entry(path).value) for path in sorted(paths)]

    return read_source
