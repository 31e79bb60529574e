"""A Dockerfile: its instructions arranged by stage, and what each stage reads of the others."""

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from arrstack.errors import ConfigError
from arrstack.recipes.checks import check
from arrstack.recipes.instruction import Instruction, SyntaxProblem
from arrstack.recipes.mounts import stages_of
from arrstack.recipes.reader import Source, read
from arrstack.recipes.substitution import WordError
from arrstack.recipes.variables import Globals, declarations, globals_of
from arrstack.recipes.words import Undecided

LARGEST = 4 << 20
"""Bytes of a Dockerfile."""

Triggers = Mapping[str, tuple[Instruction, ...]]
"""Base image -> what its own recipe says behind ONBUILD."""


@dataclass(frozen=True)
class Stage:
    """A build stage.

    `name` is unlike all others: as written, where that is taken with `#2` behind; unnamed it is `image` for the last stage, else
    its number. `instructions` are those after FROM, behind what its base has for it by ONBUILD. `image` is what FROM names where
    that is no stage; where engines read it otherwise, both.
    """

    name: str
    base: str
    image: str
    platform: str
    line: int
    instructions: tuple[Instruction, ...]
    bases: frozenset[str]
    """Names of the stages that it stands on: more than one only where engines do not agree which."""
    stages: frozenset[str]
    """Names of all stages that it reads: by FROM, COPY --from or a mount."""
    inherited: int = 0
    """How many of its instructions come from its base by ONBUILD, which buildah does not do for a stage."""

    @property
    def triggers(self) -> tuple[Instruction, ...]:
        """What a stage that stands on this one begins with."""
        return tuple(i.trigger for i in self.instructions if i.name == "ONBUILD" and i.trigger)


@dataclass(frozen=True)
class Dockerfile:
    """A parsed Dockerfile. `readings` are the arguments before the first FROM, as BuildKit and as buildah reads them."""

    path: Path
    text: str
    directives: tuple[str, ...]
    escape: str
    readings: tuple[Globals, ...]
    stages: tuple[Stage, ...]
    declared: frozenset[str] = field(default=frozenset())

    def stage(self, name: str) -> Stage:
        """Raises ConfigError where there is none, or more than one, of that name."""
        found = [stage for stage in self.stages if plain(stage.name) == name or stage.name == name]
        if len(found) == 1:
            return found[0]
        there = f"there are {len(found)} stages" if found else "there is no stage"
        raise ConfigError(f"{self.path}: {there} '{name}'", f"its stages: {', '.join(s.name for s in self.stages)}")

    @property
    def starts_something(self) -> bool:
        """Whether the image gets a command here, whatever its base has."""
        by_name = {stage.name: stage for stage in self.stages}
        todo = [self.stages[-1]]
        for stage in todo:
            todo += [by_name[name] for name in sorted(stage.bases) if name in by_name]
        return any(each.name in ("CMD", "ENTRYPOINT") for stage in todo for each in stage.instructions)

    def closure(self, target: str | None = None) -> tuple[Stage, ...]:
        """The stages that building `target` (default: the last) executes, in the file's order. Of one name all: buildah
        tells them apart by nothing else, and builds them."""
        by_name = {stage.name: stage for stage in self.stages}
        wanted: set[str] = set()
        todo = [self.stage(target) if target is not None else self.stages[-1]]
        while todo:
            stage = todo.pop()
            if stage.name not in wanted:
                wanted.add(stage.name)
                todo += [by_name[name] for name in stage.stages]
                todo += [each for each in self.stages if plain(each.name) == plain(stage.name)]
        return tuple(stage for stage in self.stages if stage.name in wanted)

    def apart_from(self, image: str) -> tuple[str, ...]:
        """The stages that can be finished before `image` exists: those that its user reads and that do not stand on it,
        however far down."""
        standing: set[str] = set()
        for stage in self.closure():  # each after those that it reads
            if stage.base == image or stage.stages & standing:
                standing.add(stage.name)
        read = {name for stage in self.stages if stage.name in standing for name in stage.stages}
        alone = [name for name in read - standing if not self._shared(name)]  # an engine builds one by its name
        return tuple(stage.name for stage in self.stages if stage.name in alone)

    def _shared(self, name: str) -> bool:
        return sum(plain(stage.name) == plain(name) for stage in self.stages) > 1


def plain(name: str) -> str:
    """A stage's name as it is written."""
    return name.partition("#")[0]


def parse(path: Path, args: Mapping[str, str] | None = None, triggers: Triggers | None = None) -> Dockerfile:
    """Reads a Dockerfile. `args` are the build arguments; they decide what FROM names.

    Raises ConfigError with FILE:LINE for a file that is missing, empty, or that an engine would not build.
    """
    text = text_of(path)
    try:
        source = read(text)
        for instruction in source.instructions:
            check(instruction)
        return _Arranger(path, text, source, args or {}, triggers or {}).arranged()
    except SyntaxProblem as error:
        raise ConfigError(f"{path}:{error.line}: {error.message}", error.hint) from None


def text_of(path: Path) -> str:
    """A recipe's text; bytes that are no UTF-8 are kept (PEP 383)."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(f"{path} is no file")
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            f"there is no recipe {path}", "each tier's `recipe` in stack.toml names the folder of its Dockerfile"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > LARGEST:
        raise ConfigError(f"{path} is larger than {LARGEST} bytes: that is no recipe")
    return data.decode("utf-8", "surrogateescape")


class _Arranger:
    def __init__(self, path: Path, text: str, source: Source, args: Mapping[str, str], triggers: Triggers) -> None:
        self.path, self.text, self.source, self.args, self.triggers = path, text, source, args, triggers
        self.stages: list[Stage] = []
        self.written: list[str] = []
        """The stages' names as the engines know them, in lower case; a number for an unnamed one."""

    def arranged(self) -> Dockerfile:
        heading, groups = self._grouped()
        readings = [globals_of(self.source.escape, plain, self.args) for plain in (False, True)]
        for instruction in heading:
            readings = self._declared(readings, instruction)
        buildah = readings[-1]
        if len(readings) > 1:  # it knows the platform in FROM though no ARG names it
            known = {**globals_of("\\", False, self.args).values, **buildah.values}
            readings[-1] = replace(buildah, values=known)
        for start, body in groups:
            self.stages.append(self._stage(start, body, readings, start is groups[-1][0]))
        instructions = [i.trigger or i for i in self.source.instructions]
        instructions += [trigger for each in self.triggers.values() for trigger in each]
        declared = {name for i in instructions if i.name == "ARG" for name, _ in declarations(i)}
        return Dockerfile(
            self.path,
            self.text,
            self.source.directives,
            self.source.escape,
            tuple(readings),
            tuple(self.stages),
            frozenset(declared),
        )

    def _grouped(self) -> tuple[list[Instruction], list[tuple[Instruction, list[Instruction]]]]:
        heading: list[Instruction] = []
        groups: list[tuple[Instruction, list[Instruction]]] = []
        for instruction in self.source.instructions:
            if instruction.name == "FROM":
                groups.append((instruction, []))
            elif groups:
                groups[-1][1].append(instruction)
            elif instruction.name == "ARG":
                heading.append(instruction)
            else:
                raise SyntaxProblem(instruction.line, f"{instruction.name} stands before FROM", "only ARG may")
        if not groups:
            raise SyntaxProblem(1, "a recipe begins with FROM, this one has none")
        return heading, groups

    def _declared(self, readings: list[Globals], instruction: Instruction) -> list[Globals]:
        """What an engine cannot read ends its reading; BuildKit's, the first, is the one that has to go on."""
        found: list[Globals] = []
        for reading in readings:
            try:
                found.append(reading.declared(instruction, self.args))
            except WordError as error:
                if reading is readings[0]:
                    raise SyntaxProblem(instruction.line, f"ARG: {error}") from None
        return found

    def _stage(self, start: Instruction, body: list[Instruction], readings: list[Globals], is_last: bool) -> Stage:
        number = len(self.stages)
        words = start.value
        bases = self._expanded(words[0], start, readings)
        if not bases[0]:
            names = re.findall(r"\w+", words[0])
            raise SyntaxProblem(
                start.line,
                f"nothing declares the argument '{names[0] if names else words[0]}'",
                "FROM names nothing: add ARG before the first FROM, or correct the name",
            )
        standing = {found for base in bases for found in self._named(base.lower())}
        triggers = [t for base in dict.fromkeys(bases) for t in self.triggers.get(base, ())]
        triggers += [t for stage in self.stages if stage.name in standing for t in stage.triggers]
        triggers = [replace(trigger, line=start.line) for trigger in triggers]
        instructions = (*triggers, *body)
        reads = {found for i in instructions for name in sources_of(i) for found in self._named(name)}
        written = words[2].lower() if len(words) == 3 else ""
        wanted = written or ("image" if is_last else str(number))
        taken = sum(plain(stage.name) == wanted for stage in self.stages)
        self.written.append(written or str(number))
        return Stage(
            f"{wanted}#{taken + 1}" if taken else wanted,
            bases[0],
            " or ".join(dict.fromkeys(base for base in bases if not self._named(base.lower(), number))),
            self._platform(start, readings),
            start.line,
            instructions,
            frozenset(standing),
            frozenset(standing | reads),
            len(triggers),
        )

    def _expanded(self, word: str, start: Instruction, readings: list[Globals]) -> list[str]:
        """A word of FROM as each engine reads it, BuildKit first."""
        found: list[str] = []
        for reading in readings:
            try:
                found.append(reading.expand(word))
            except (WordError, Undecided) as error:
                if reading is readings[0]:
                    raise SyntaxProblem(start.line, f"FROM: {error}") from None
        return found

    def _platform(self, start: Instruction, readings: list[Globals]) -> str:
        """The value of FROM --platform with what is written, where that is another text: buildah expands less."""
        written = start.flag("platform")
        if written is None:
            return ""
        value = self._expanded(written, start, readings[:1])[0]
        if not re.fullmatch(r"[\w.-]+(\([\w.-]+\))?(/[\w.-]+){0,2}", value):
            raise SyntaxProblem(start.line, f"FROM: '{value}' is no platform", "such as linux/amd64")
        return value if value == written else f"{value} by {written}"

    def _named(self, name: str, before: int | None = None) -> list[str]:
        """The stages so far that a name, in lower case, or a number stands for: all of that name, as engines differ."""
        earlier = self.written if before is None else self.written[:before]
        found = [stage.name for stage, written in zip(self.stages, earlier, strict=False) if written == name]
        if re.fullmatch(r"\+?\d{1,9}", name, re.ASCII) and int(name) < len(earlier):
            found.append(self.stages[int(name)].name)
        return found


def sources_of(instruction: Instruction) -> list[str]:
    """The names, or numbers, of stages and images that an instruction reads from, in lower case."""
    copied = [value.lower()] if instruction.name == "COPY" and (value := instruction.flag("from")) else []
    return copied + ([name.lower() for name in stages_of(instruction)] if instruction.name == "RUN" else [])
