"""The --mount flags of RUN, as BuildKit reads them (commands_runmount.go); what buildah reads otherwise is kept beside."""

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from arrstack.recipes.instruction import Instruction, SyntaxProblem
from arrstack.recipes.words import Undecided

TYPES = frozenset({"bind", "cache", "tmpfs", "secret", "ssh"})
VALUED = frozenset("type from source src target dst destination size id sharing mode uid gid env".split())
OPTIONAL = frozenset("readonly ro readwrite rw required".split())
OF_BUILDAH = frozenset("z Z U nosuid nodev noexec shared rshared private rprivate slave rslave bind-nonrecursive".split()) | {
    "bind-propagation",
    "consistency",
    "tmpcopyup",
    "tmpfs-mode",
    "tmpfs-size",
}
DECIDING = frozenset({"type", "from", "source", "src", "id"})
"""What decides what is read, and where a cache is."""
CACHE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""One plain word: buildah makes a folder of that name, and of more than a word one elsewhere (CVE-2024-9675)."""


@dataclass(frozen=True)
class Mount:
    """One --mount. `stages` are all that a `from` of it names: BuildKit takes the last, buildah prepares each."""

    kind: str
    stages: tuple[str, ...]
    source: str
    cache_id: str
    """Its id, else its target."""
    target: str = ""
    """Where it stands, as far as that is known."""

    @property
    def reads_context(self) -> bool:
        return self.kind == "bind" and not self.stages


def fields_of(instruction: Instruction) -> list[list[str]]:
    """The comma-separated fields of each --mount. Raises SyntaxProblem for what is no CSV."""
    found = []
    for flag in instruction.flags:
        if not flag.startswith("--mount="):
            continue
        try:
            (fields,) = csv.reader([flag.removeprefix("--mount=")], strict=True)
        except (csv.Error, ValueError):
            raise SyntaxProblem(instruction.line, f"RUN: '{flag}' is no list of KEY=VALUE with commas between") from None
        found.append(fields)
    return found


def stages_of(instruction: Instruction) -> tuple[str, ...]:
    """The stages or images that a RUN's mounts name by `from`, which no variable may stand for."""
    pairs = [field.split("=", 1) for fields in fields_of(instruction) for field in fields if "=" in field]
    names = [value for key, value in pairs if key.lower() == "from" and value]
    for name in names:
        if "$" in name[:-1]:
            raise SyntaxProblem(instruction.line, f"RUN: from={name}: docker expands no variable here", "name a stage")
        if name.isdecimal():
            raise SyntaxProblem(
                instruction.line, f"RUN: from={name}: docker takes it for an image of that name", "name the stage"
            )
    return tuple(names)


def mounts_of(instruction: Instruction, expand: Callable[[str], str]) -> list[Mount]:
    """A RUN's mounts with their variables expanded. Raises SyntaxProblem for what an engine refuses, and what `expand` raises."""
    return [mount_of(fields, instruction, expand) for fields in fields_of(instruction)]


def mount_of(fields: Sequence[str], instruction: Instruction, expand: Callable[[str], str]) -> Mount:
    kind, source, cache_id, target = "bind", "", "", ""
    stages: list[str] = []
    for field in fields:
        key, equals, value = field.partition("=")
        name = key.lower()
        if name not in VALUED | OPTIONAL and key not in OF_BUILDAH:
            raise SyntaxProblem(instruction.line, f"RUN: there is no mount option '{key}'")
        if name in VALUED and not equals:
            raise SyntaxProblem(instruction.line, f"RUN: the mount option '{key}' needs a value")
        if name in DECIDING:
            value = expand(value)
        match name:  # the last of several counts
            case "type":
                kind = value.lower()
            case "source" | "src":
                source = value
            case "target" | "dst" | "destination":
                target = known(value, expand)
            case "from":
                stages += [value] if value else []
            case "id":
                cache_id = value
    if kind not in TYPES:
        raise SyntaxProblem(instruction.line, f"RUN: there is no mount type '{kind}'; the types are {', '.join(sorted(TYPES))}")
    if kind == "cache" and cache_id and not CACHE_ID.fullmatch(cache_id):
        raise SyntaxProblem(
            instruction.line, f"RUN: the id of a cache mount is one word of letters, digits, '.', '_' and '-', not '{cache_id}'"
        )
    if kind != "secret" and kind != "ssh" and not target:
        raise SyntaxProblem(instruction.line, "RUN: a mount needs a target")
    return Mount(kind, tuple(stages), source, cache_id or target, target)


def known(word: str, expand: Callable[[str], str]) -> str:
    """A word expanded, as far as that is known: where a mount is decides nothing of what is read."""
    try:
        return expand(word)
    except Undecided:
        return word
