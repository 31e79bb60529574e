"""The leaves of one stage: its instructions, the values of its arguments, and the files that it reads of the context."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

from arrstack.errors import ConfigError
from arrstack.model import sha256
from arrstack.recipes.dockerfile import Dockerfile, Stage
from arrstack.recipes.instruction import Instruction, SyntaxProblem
from arrstack.recipes.mounts import mounts_of
from arrstack.recipes.patterns import has_meta
from arrstack.recipes.reader import heredoc
from arrstack.recipes.substitution import WordError
from arrstack.recipes.variables import Variables, declarations
from arrstack.recipes.words import BYTES, Undecided

UNCOUNTED = frozenset(
    "MAX_JOBS http_proxy https_proxy no_proxy ftp_proxy all_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY FTP_PROXY ALL_PROXY SOURCE_DATE_EPOCH".split()
)
SHORT = 200
"""Characters up to which a leaf holds its content itself; beyond, a digest."""
EXPANDED = frozenset({"EXPOSE", "LABEL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"})
"""What else has its words expanded, besides ADD, ARG, COPY, ENV and the mounts of RUN."""
REMOTE = re.compile(r"https?://", re.ASCII)
GIT = re.compile(r"(?:git|ssh)://|[a-zA-Z0-9_-]+@[a-zA-Z0-9.-]+:", re.ASCII | re.IGNORECASE)
"""What ADD takes for a repository (moby/buildkit, util/gitutil/git_url.go): other schemes are names of files."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class ContextSource:
    """What one source of a COPY, an ADD or a bind mount names in the build context: `paths` are all that an engine may read it
    as, `where` is FILE:LINE. `may_lack`: that there is nothing is no error."""

    paths: tuple[str, ...]
    where: str
    is_mount: bool = False
    may_lack: bool = False


ReadFiles = Callable[[ContextSource], Iterable[tuple[str, str]]]
"""What a source takes, as (path, value); raises ConfigError where that is nothing and may not be."""


def value(text: str) -> str:
    """A leaf's value: the text where it is short and is text, else its digest."""
    return text if len(text) <= SHORT and not BYTES.search(text) else f"sha256:{sha256(text)}"


def leaf_path(path: str) -> str:
    """A path as a leaf's name has it: one that is no UTF-8 as Python writes its bytes."""
    return repr(path.encode("utf-8", "surrogateescape")) if BYTES.search(path) or path[:2] in ("b'", 'b"') else path


class StageReader:
    """Reads the stages of a Dockerfile, each after those that it stands on."""

    def __init__(self, dockerfile: Dockerfile, args: Mapping[str, str], read: ReadFiles, skip: Iterable[str]) -> None:
        self.dockerfile, self.args, self.read, self.skip = dockerfile, args, read, frozenset(skip)
        self.variables: dict[str, list[Variables]] = {}
        """Of each stage that was read, at its end: as BuildKit reads them, and as buildah does as long as it can."""
        self.cache_mounts: dict[str, None] = {}
        """The ids of the cache mounts that were met, in order."""
        self.mount_targets: dict[str, None] = {}
        """Where mounts of any kind stand that were met, in order."""

    def leaves(self, stage: Stage) -> dict[str, str]:
        """The leaves of one stage. Raises ConfigError with FILE:LINE for what cannot be built or decided."""
        readings = self._beginning(stage)
        leaves: dict[str, str] = {}
        order: list[str] = []
        counts: dict[str, int] = {}
        for number, instruction in enumerate(stage.instructions):
            where = f"{self.dockerfile.path}:{instruction.line}"
            here = readings[:1] if number < stage.inherited else readings  # buildah knows no ONBUILD of a stage
            if instruction.name == "ARG":
                for name, default in declarations(instruction):
                    told = self._argument(name, default, here, where)
                    if name in self.skip:
                        continue
                    order.append(f"ARG {name}")
                    if told is not None:
                        counts[order[-1]] = counts.get(order[-1], 0) + 1
                        again = f"#{counts[order[-1]]}" if counts[order[-1]] > 1 else ""
                        leaves[f"{stage.name}/arg {name}{again}"] = value(told)
                continue
            counts[instruction.name] = counts.get(instruction.name, 0) + 1
            leaves[f"{stage.name}/{instruction.name} {counts[instruction.name]}"] = value(instruction.text)
            order.append(instruction.name)
            if instruction.name == "ENV":
                self._each(here, lambda reading, env=instruction: reading.set_environment(env), where)  # type: ignore[misc]
            self._check_words(instruction, readings[0], where)
            for source in self._sources(instruction, here, where):
                for path, content in self.read(source):
                    leaves[f"{stage.name}/file {leaf_path(path)}"] = content
        # Leaves have no order, instructions have: an ENV that moves behind a RUN changes the image.
        leaves[f"{stage.name}/order"] = value(" ".join(order))
        self.variables[stage.name] = readings
        return leaves

    def _beginning(self, stage: Stage) -> list[Variables]:
        below = [name for name in self.variables if name in stage.bases]
        if below:
            return [reading.inherited() for reading in self.variables[below[-1]]]
        is_open = stage.base != "scratch"
        return [Variables(meta.dialect, meta, is_open=is_open) for meta in self.dockerfile.readings]

    def _each(self, readings: list[Variables], action: Callable[[Variables], Result], where: str) -> list[Result]:
        """What an action finds in each reading. One that an engine could not go on with ends; BuildKit's is the first, and is
        the one that has to. Raises ConfigError."""
        found: list[Result] = []
        for reading in list(readings):
            try:
                found.append(action(reading))
            except Undecided as error:
                raise undecided(error.name, reading is readings[0], where) from None
            except (WordError, SyntaxProblem) as error:
                if reading is readings[0]:
                    raise ConfigError(f"{where}: {error}", getattr(error, "hint", "")) from None
                readings.remove(reading)
        return found

    def _argument(self, name: str, default: str | None, readings: list[Variables], where: str) -> str | None:
        """An ARG's value for its leaf; None where it has none, which is another thing than an empty one."""
        if name in self.skip and default is None:
            default = "by-hand"  # a build is given one; which is nothing that this reader may depend on
        values = self._each(readings, lambda reading: reading.declare(name, default, self.args), where)
        known = [each for each in values if each is not None]
        if not known:
            return default
        return known[0] if len(set(known)) == 1 and len(known) == len(values) else " or ".join([*known, default or "what it was"])

    def _check_words(self, instruction: Instruction, reading: Variables, where: str) -> None:
        """Raises ConfigError for words that decide nothing of what is read, but that BuildKit cannot expand."""
        words = list(instruction.value) if instruction.name in EXPANDED else []
        if instruction.name in ("COPY", "ADD"):
            words = [instruction.value[-1], *(instruction.flag(name) or "" for name in ("chown", "chmod", "checksum"))]
        for word in words:
            try:
                reading.expand(word)
            except Undecided:
                continue
            except WordError as error:
                raise ConfigError(f"{where}: {instruction.name}: {error}") from None

    def _sources(self, instruction: Instruction, readings: list[Variables], where: str) -> Iterable[ContextSource]:
        if instruction.name in ("COPY", "ADD") and instruction.flag("from") is None:
            for word in instruction.value[:-1]:
                if instruction.is_json or not heredoc(word):
                    yield from self._copied(instruction, word, readings, where)
        elif instruction.name == "RUN":
            found = self._each(readings, lambda reading: mounts_of(instruction, reading.expand), where)
            for alike in zip(*found, strict=True):
                self.cache_mounts |= dict.fromkeys(mount.cache_id for mount in alike if mount.kind == "cache")
                self.mount_targets |= dict.fromkeys(mount.target for mount in alike if mount.target)
                paths = dict.fromkeys(mount.source for mount in alike if mount.reads_context)
                if paths:
                    yield ContextSource(tuple(paths), where, is_mount=True)

    def _copied(self, instruction: Instruction, word: str, readings: list[Variables], where: str) -> Iterable[ContextSource]:
        texts = self._each(readings, lambda reading: reading.expand(word), where)
        remote, git = REMOTE.match(texts[0]), GIT.match(texts[0])
        if (remote or git) and instruction.name == "COPY":
            raise ConfigError(f"{where}: COPY takes no address", "ADD fetches what is not in the build context")
        if remote:
            return
        if "parents" in (flag.removeprefix("--").partition("=")[0] for flag in instruction.flags):
            texts = [above_stars(text) for text in texts]
        paths = tuple(dict.fromkeys(inside(text, where) for text in texts))
        yield ContextSource(paths, where, may_lack=bool(git) or any(has_meta(path) for path in paths))


def undecided(name: str, by_all: bool, where: str) -> ConfigError:
    if by_all:
        return ConfigError(
            f"{where}: nothing declares the argument '{name}'",
            f"add ARG {name} with a value before it, or correct the name: what the base image sets is not known here",
        )
    return ConfigError(
        f"{where}: docker and buildah read '${name}' differently: buildah does not hand on the arguments of another stage",
        f"give it a value in this stage too: ARG {name}=...",
    )


def above_stars(pattern: str) -> str:
    """The part of a COPY --parents source that no star has part in: there, two stars stand for any folders."""
    kept: list[str] = []
    for part in pattern.split("/"):
        if has_meta(part):
            break
        kept.append(part)
    return "/".join(kept)


def inside(pattern: str, where: str) -> str:
    """A source without `.` and `..`. Raises ConfigError for one outside the context: docker holds it at the context's root,
    buildah refuses it."""
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
