"""A recipe's instructions, as BuildKit's own parser reads them, arranged by stage."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import dockerfile as buildkit  # the parser of moby/buildkit, bound to Python

from arrstack.errors import ConfigError

INSTRUCTIONS = frozenset(
    "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR".split()
)
# Set by every engine without an ARG (Dockerfile reference, "Predefined ARGs").
PREDEFINED = frozenset(f"{prefix}{name}" for prefix in ("TARGET", "BUILD") for name in ("PLATFORM", "OS", "ARCH", "VARIANT")) | {
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ftp_proxy",
    "FTP_PROXY",
    "all_proxy",
    "ALL_PROXY",
}
VARIABLE = re.compile(r"\\\$|\$(?:(\w+)|\{(\w+)(?:(:?[-+?])((?:[^{}]|\{[^{}]*\})*))?\})")


@dataclass(frozen=True)
class Instruction:
    """One instruction; `text` is its whole source without comments, heredoc bodies included."""

    name: str
    text: str
    line: int
    flags: tuple[str, ...]
    value: tuple[str, ...]
    heredocs: tuple[str, ...] = ()

    def flag(self, name: str) -> str | None:
        """The value of --NAME=VALUE, or None."""
        prefix = f"--{name}="
        return next((flag.removeprefix(prefix) for flag in self.flags if flag.startswith(prefix)), None)

    def mounts(self) -> list[dict[str, str]]:
        """A RUN's --mount flags as key -> value (a key without a value: '')."""
        found = [flag.removeprefix("--mount=") for flag in self.flags if flag.startswith("--mount=")]
        return [dict(part.partition("=")[::2] for part in mount.split(",")) for mount in found]


@dataclass(frozen=True)
class Stage:
    """A build stage: its name (unnamed: `image` for the last, else its number), what it stands on, its instructions after FROM."""

    name: str
    base: str
    line: int
    instructions: tuple[Instruction, ...]
    stages: frozenset[str]
    """Names of the other stages that it reads: by FROM, COPY --from or a mount."""


@dataclass(frozen=True)
class Dockerfile:
    """A parsed Dockerfile. `meta` are the ARGs before the first FROM, with their defaults."""

    path: Path
    text: str
    directives: tuple[str, ...]
    meta: Mapping[str, str]
    stages: tuple[Stage, ...]
    declared: frozenset[str] = field(default=frozenset())

    def stage(self, name: str) -> Stage:
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise ConfigError(
            f"{self.path}: there is no stage '{name}'", f"its stages: {', '.join(s.name for s in self.stages if s.name)}"
        )

    def closure(self, target: str | None = None) -> tuple[Stage, ...]:
        """The stages that building `target` (default: the last) executes, in the file's order."""
        wanted: set[str] = set()
        todo = [self.stage(target) if target is not None else self.stages[-1]]
        while todo:
            stage = todo.pop()
            if stage.name not in wanted:
                wanted.add(stage.name)
                todo += [s for s in self.stages if s.name in stage.stages]
        return tuple(stage for stage in self.stages if stage.name in wanted)

    def apart_from(self, image: str) -> tuple[str, ...]:
        """The stages that can be finished before `image` exists: those that its user reads and that do not stand on it,
        however far down."""
        standing: set[str] = set()
        for stage in self.closure():  # each after those that it reads
            if stage.base == image or stage.stages & standing:
                standing.add(stage.name)
        read = {name for stage in self.stages if stage.name in standing for name in stage.stages}
        return tuple(stage.name for stage in self.stages if stage.name in read - standing)


def expand(text: str, values: Mapping[str, str], where: str) -> str:
    """Replaces $NAME and ${NAME}, ${NAME:-word}, ${NAME:+word} as the Dockerfile reference defines them.

    Raises ConfigError, with `where`, for a name that nothing declares and that has no default.
    """

    def replace(match: re.Match[str]) -> str:
        if match[0] == r"\$":
            return "$"
        name, operator, word = match[1] or match[2], match[3] or "", match[4] or ""
        is_set = name in values and (bool(values[name]) or not operator.startswith(":"))
        if operator.endswith("-"):
            return values[name] if is_set else expand(word, values, where)
        if operator.endswith("+"):
            return expand(word, values, where) if is_set else ""
        if not is_set and name not in values:
            raise ConfigError(
                f"{where}: nothing declares the argument '{name}'", f"add ARG {name} before it, or correct the name"
            )
        return values[name]

    return VARIABLE.sub(replace, text)


def parse(path: Path, args: Mapping[str, str] | None = None) -> Dockerfile:
    """Reads a Dockerfile. `args` are the build arguments; they decide what FROM names.

    Raises ConfigError with FILE:LINE for a file that is missing, empty, or does not parse.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"there is no recipe {path}", "each tier's `recipe` in stack.toml names the folder of its Dockerfile"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    try:
        commands = buildkit.parse_string(text)
    except buildkit.GoParseError as error:
        message = str(error)
        line = re.search(r"line (\d+)", message)
        raise ConfigError(f"{path}:{line[1] if line else 1}: {message}") from None
    instructions = [
        Instruction(
            c.cmd.upper(),
            normalise(c.original, bool(c.heredocs)),
            c.start_line,
            tuple(c.flags),
            tuple(c.value),
            tuple(h.content for h in c.heredocs),
        )
        for c in commands
        if c.cmd  # a line continuation that nothing follows is read as a command without a name
    ]
    for instruction in instructions:
        check(instruction, path)
    if not any(i.name == "FROM" for i in instructions):
        raise ConfigError(f"{path}:1: a recipe begins with FROM, this one has none")
    return arrange(path, text, instructions, args or {})


def normalise(text: str, has_heredoc: bool) -> str:
    """An instruction's text with the white space between its words made one; heredoc bodies stay as they are."""
    if has_heredoc:
        return text
    return re.sub(r"[ \t]+", " ", text).strip()


def check(instruction: Instruction, path: Path) -> None:
    where = f"{path}:{instruction.line}"
    if instruction.name not in INSTRUCTIONS:
        raise ConfigError(
            f"{where}: unknown instruction {instruction.name}", f"the instructions are {', '.join(sorted(INSTRUCTIONS))}"
        )
    # `CMD []` and `ENTRYPOINT []` take away what the base image set.
    least = {"COPY": 2, "ADD": 2, "CMD": 0, "ENTRYPOINT": 0}.get(instruction.name, 1)
    if len(instruction.value) < least:
        raise ConfigError(f"{where}: {instruction.name} needs at least {least} argument{'s' if least > 1 else ''}")


def directives(text: str) -> tuple[str, ...]:
    """Parser directives: comments of the form `# name=value` before anything else (Dockerfile reference)."""
    found = []
    for line in text.splitlines():
        match = re.fullmatch(r"#\s*(syntax|escape|check)\s*=\s*(.+?)\s*", line, re.IGNORECASE)
        if not match:
            break
        found.append(f"{match[1].lower()}={match[2]}")
    return tuple(found)


def declaration(instruction: Instruction) -> Iterable[tuple[str, str | None]]:
    """The (name, default) pairs of an ARG; None where it has no default."""
    for word in instruction.value:
        name, equals, default = word.partition("=")
        yield name, unquote(default) if equals else None


def unquote(word: str) -> str:
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "\"'" else word


def arrange(path: Path, text: str, instructions: list[Instruction], args: Mapping[str, str]) -> Dockerfile:
    meta: dict[str, str] = {}
    declared: set[str] = set()
    groups: list[tuple[Instruction, list[Instruction]]] = []
    for instruction in instructions:
        if instruction.name == "ARG":
            declared |= {name for name, _ in declaration(instruction)}
        if instruction.name == "FROM":
            groups.append((instruction, []))
        elif groups:
            groups[-1][1].append(instruction)
        elif instruction.name == "ARG":
            for name, default in declaration(instruction):
                if name in args or default is not None:
                    meta[name] = args[name] if name in args else expand(default or "", meta, f"{path}:{instruction.line}")
        else:
            raise ConfigError(f"{path}:{instruction.line}: {instruction.name} stands before FROM", "only ARG may")
    names: list[str] = []
    stages: list[Stage] = []
    for start, body in groups:
        words = start.value
        named = len(words) == 3 and words[1].upper() == "AS"
        if len(words) != 1 and not named:
            raise ConfigError(f"{path}:{start.line}: FROM takes IMAGE, or IMAGE AS NAME")
        base = expand(words[0], {**meta}, f"{path}:{start.line}")
        name = words[2].lower() if named else "image" if start is groups[-1][0] else str(len(stages))
        reads = {base.lower()} | {source for i in body for source in sources_of(i)}
        stages.append(Stage(name, base, start.line, tuple(body), frozenset(resolve(reads, names))))
        names.append(name)
    return Dockerfile(path, text, directives(text), meta, tuple(stages), frozenset(declared))


def sources_of(instruction: Instruction) -> list[str]:
    """The names, or numbers, of stages and images that an instruction reads from."""
    copied = [value.lower()] if (value := instruction.flag("from")) else []
    return copied + [mount["from"].lower() for mount in instruction.mounts() if mount.get("from")]


def resolve(names: set[str], earlier: list[str]) -> set[str]:
    """Of the names that a stage reads, those of earlier stages; a number is that stage's place."""
    numbered = {earlier[int(n)] for n in names if n.isdigit() and int(n) < len(earlier)}
    return numbered | {n for n in names if n in earlier}


def context_paths(instruction: Instruction, values: Mapping[str, str], where: str) -> list[str]:
    """The patterns, relative to the context, that an instruction reads from the build context. '' is all of it.

    Raises ConfigError for a path outside the context.
    """
    patterns: list[str] = []
    if instruction.name in ("COPY", "ADD") and not instruction.flag("from"):
        words = [expand(unquote(word), values, where) for word in instruction.value[:-1]]
        patterns = [w for w in words if not w.startswith("<<") and "://" not in w and not w.startswith("git@")]
    elif instruction.name == "RUN":
        binds = [m for m in instruction.mounts() if m.get("type", "bind") == "bind" and not m.get("from")]
        patterns = [expand(m.get("source") or m.get("src") or "", values, where) for m in binds]
    return [inside(pattern, where) for pattern in patterns]


def inside(pattern: str, where: str) -> str:
    depth = 0
    kept: list[str] = []
    for part in PurePosixPath(pattern.lstrip("/")).parts:
        if part == "..":
            depth -= 1
            if depth < 0:
                raise ConfigError(
                    f"{where}: '{pattern}' lies outside the build context",
                    "copy the file into the context, or set `context` in stack.toml",
                )
            kept.pop()
        elif part != ".":
            depth += 1
            kept.append(part)
    return "/".join(kept)
