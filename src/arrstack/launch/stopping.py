"""A step, stopped before one of its instructions: the state in which a command failed, to look around in."""

import shlex
import string
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import BinaryIO

from arrstack.engines import Builder
from arrstack.errors import ConfigError
from arrstack.model import BuildStep, Image
from arrstack.recipes.config import Base
from arrstack.recipes.dockerfile import Dockerfile, Stage
from arrstack.recipes.instruction import Instruction
from arrstack.recipes.mounts import fields_of
from arrstack.recipes.variables import declarations

STOPPED = "localhost/arrstack/stopped:"
"""The prefix of what is made for a shell."""
UNNAMED = ("image",)
"""What a recipe's last stage is called that has no name (`Stage`)."""


@dataclass(frozen=True)
class Cut:
    """A recipe up to an instruction: its text before that, the stage that it belongs to, and the instruction itself."""

    text: str
    stage: Stage
    instruction: Instruction

    def variables(self, args: Mapping[str, str]) -> dict[str, str]:
        """What a RUN there sees of the build arguments: those that the stage declares before it."""
        found: dict[str, str] = {}
        for each in self.stage.instructions:
            if each.name == "ARG" and each.line < self.instruction.line:
                found |= {name: args.get(name, default or "") for name, default in declarations(each)}
        return found

    def cache_mounts(self, args: Mapping[str, str]) -> dict[str, str]:
        """The cache mounts of the instruction: id -> where they stand."""
        found = {}
        for fields in fields_of(self.instruction):
            pairs = dict(field.partition("=")[::2] for field in fields)
            target = pairs.get("target") or pairs.get("dst") or pairs.get("destination") or ""
            if pairs.get("type") == "cache" and target:
                name = string.Template(pairs.get("id") or target).safe_substitute(self.variables(args))
                found[name] = target
        return found


def cut_before(recipe: Dockerfile, target: str, failed: str = "", line: int | None = None) -> Cut:
    """The recipe of what builds `target` (default: the image) before the instruction at `line`, else before the RUN that `failed`
    names (what an engine says that it was doing), else before the last RUN.

    Raises ConfigError where there is no such instruction.
    """
    here = [(stage, each) for stage in recipe.closure(target or None) for each in stage.instructions if each.line > stage.line]
    chosen = (
        [pair for pair in here if pair[1].line == line] if line is not None else [pair for pair in here if pair[1].name == "RUN"]
    )
    if not chosen:
        lines = ", ".join(str(each.line) for _, each in here)
        raise ConfigError(
            f"{recipe.path}: no instruction to stop before{f' at line {line}' if line is not None else ''}",
            f"they begin at {lines}",
        )
    named = [pair for pair in chosen if failed and _names(failed, pair[1])]
    stage, instruction = (named or chosen)[-1]
    return Cut("".join(recipe.text.splitlines(keepends=True)[: instruction.line - 1]), stage, instruction)


def _names(failed: str, instruction: Instruction) -> bool:
    """Whether an engine's words are about a RUN: buildah repeats it, BuildKit shows the command alone."""
    command = " ".join(" ".join(instruction.value).split())
    said = " ".join(failed.removeprefix("/bin/sh -c ").split())
    return bool(command) and (command in said or said in " ".join(instruction.text.split()))


class Reached(Exception):
    """The step is built as far as it should be: `reference` is its state there, `given` the build arguments."""

    def __init__(self, reference: str, cut: Cut, args: Mapping[str, str]) -> None:
        super().__init__(reference)
        self.reference, self.cut, self.given = reference, cut, args

    def command(self) -> str:
        """What comes next, as one would type it in the shell."""
        instruction = self.cut.instruction
        return shlex.join(instruction.value) if instruction.is_json else " ".join(instruction.value)


@dataclass(frozen=True)
class Stopping:
    """The Builder `inner`, which builds `step` as far as `cut` says and then raises Reached; all else as ever."""

    inner: Builder
    step: str
    cut: Cut

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def keeps_stages(self) -> bool:
        return self.inner.keeps_stages

    def build(self, step: BuildStep, reference: str, log: BinaryIO) -> Generator[str, None, str]:
        if step.name != self.step:
            if "/" not in step.name:  # what comes after the step, which is finished then
                raise self.finished()
            return (yield from self.inner.build(step, reference, log))
        step.dockerfile.write_text(self.cut.text, encoding="utf-8", errors="surrogateescape")
        name = STOPPED + step.name.replace("/", "-")
        # The stage is the last one there is: without a target too it would be built, but its finished instructions not kept.
        target = (
            "" if self.cut.stage.name in UNNAMED or self.cut.stage.name.isdecimal() else self.cut.stage.name.partition("#")[0]
        )
        made = yield from self.inner.build(replace(step, target=target, labels={}), name, log)
        raise Reached(made, self.cut, step.args)

    def base(self, base: Base, archive: str) -> str | None:
        return self.inner.base(base, archive)

    def make_base(self, base: Base, archive: str, log: BinaryIO) -> Generator[str, None, str]:
        return self.inner.make_base(base, archive, log)

    def available(self, image: Image) -> str:
        return self.inner.available(image)

    def holds(self, reference: str) -> bool:
        return self.inner.holds(reference)

    def publish(self, reference: str, repository: str, tag: str) -> Image:
        """Nothing is published on the way to a shell. Raises ConfigError."""
        raise self.finished()

    def finished(self) -> ConfigError:
        return ConfigError(
            f"{self.step} is finished: nothing failed in it", f"`arrstack run {self.step.partition('/')[0]}` runs the image"
        )

    def offer(self, reference: str) -> None:
        self.inner.offer(reference)

    def tidy(self) -> None:
        self.inner.tidy()
