"""Pure: what a recipe reads -> its hash tree, and the differences of two trees.

Only content counts (the list is in docs/guide/keys.md): instructions without comments, the files that COPY, ADD and bind
mounts can read, the build arguments that a stage declares, the platform, the base images' identities, the archive's
state. What only changes how fast or from where a build runs is left out, by name: `UNCOUNTED`.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping

from arrstack.model import Change, Inputs, sha256
from arrstack.recipes.dockerfile import Dockerfile, Instruction, Stage, context_paths, declaration, expand

UNCOUNTED = frozenset(
    "MAX_JOBS http_proxy https_proxy no_proxy ftp_proxy all_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY FTP_PROXY ALL_PROXY SOURCE_DATE_EPOCH".split()
)
SHORT = 200
"""Characters up to which a leaf holds its content itself; beyond, a digest."""

MOST = 100_000
"""Characters of a tree's JSON, of the 131,072 that Linux takes as one word of a command line (execve(2), MAX_ARG_STRLEN)."""
FILE, FOLDED = re.compile(r"(.+?)/file (.*)"), re.compile(r"(.+?)/files (.*)")

ReadFiles = Callable[[str, str], Iterable[tuple[str, str]]]
"""(pattern, where it is written as FILE:LINE) -> (path, value) of what it takes; raises ConfigError where that is nothing."""


def value(text: str) -> str:
    return text if len(text) <= SHORT else f"sha256:{sha256(text)}"


def tree(
    dockerfile: Dockerfile,
    args: Mapping[str, str],
    read: ReadFiles,
    bases: Mapping[str, str],
    surroundings: Mapping[str, str],
    uncounted: Iterable[str] = (),
) -> Inputs:
    """The inputs of a tier: every stage that its image needs.

    `args` are the build arguments passed; `bases` says what an image that FROM names is (its identity); a base that it
    does not name is the image reference itself. `surroundings` are leaves of no stage: the platform.
    """
    skip = UNCOUNTED | set(uncounted)
    leaves = {**surroundings, **{f"directive {d.partition('=')[0]}": d for d in dockerfile.directives}}
    names = {stage.name for stage in dockerfile.stages}
    by_stage: dict[str, dict[str, str]] = {}
    for stage in dockerfile.closure():
        inherited = by_stage.get(stage.base.lower(), {})
        leaves |= stage_leaves(dockerfile, stage, args, read, skip, inherited, by_stage)
        if stage.base.lower() not in names:
            leaves[f"{stage.name}/base"] = bases.get(stage.base, stage.base)
    return Inputs(leaves)


def stage_leaves(
    dockerfile: Dockerfile,
    stage: Stage,
    args: Mapping[str, str],
    read: ReadFiles,
    skip: frozenset[str] | set[str],
    inherited: Mapping[str, str],
    by_stage: dict[str, dict[str, str]],
) -> dict[str, str]:
    """The leaves of one stage. Records the stage's variables in `by_stage`, for the stages that stand on it."""
    leaves: dict[str, str] = {}
    variables = dict(inherited)
    order: list[str] = []
    counts: dict[str, int] = {}
    for instruction in stage.instructions:
        where = f"{dockerfile.path}:{instruction.line}"
        if instruction.name == "ARG":
            for name, default in declaration(instruction):
                variables[name] = argument(name, default, args, dockerfile.meta, variables, where)
                if name not in skip:
                    leaves[f"{stage.name}/arg {name}"] = value(variables[name])
                    order.append(f"ARG {name}")
            continue
        if instruction.name == "ENV":
            variables |= environment(instruction, variables, where)
        counts[instruction.name] = counts.get(instruction.name, 0) + 1
        leaves[f"{stage.name}/{instruction.name} {counts[instruction.name]}"] = value(instruction.text)
        order.append(instruction.name)
        for pattern in context_paths(instruction, variables, where):
            for path, content in read(pattern, where):
                leaves[f"{stage.name}/file {path}"] = content
    # Leaves have no order, instructions have: an ENV that moves behind a RUN changes the image.
    leaves[f"{stage.name}/order"] = value(" ".join(order))
    by_stage[stage.name] = variables
    return leaves


def argument(
    name: str, default: str | None, args: Mapping[str, str], meta: Mapping[str, str], known: Mapping[str, str], where: str
) -> str:
    """An ARG's value: what is passed, else its default, else that of the same name before the first FROM."""
    if name in args:
        return args[name]
    if default is not None:
        return expand(default, known, where)
    return meta.get(name, "")


def environment(instruction: Instruction, known: Mapping[str, str], where: str) -> dict[str, str]:
    pairs = zip(instruction.value[::2], instruction.value[1::2], strict=False)
    return {name: expand(text, {**known, name: known.get(name, "")}, where) if "$" in text else text for name, text in pairs}


def part(inputs: Inputs, dockerfile: Dockerfile, target: str, cut: Iterable[str] = ()) -> Inputs:
    """The leaves that decide one stage's content, without those that only the stages in `cut` need.

    Raises ConfigError where the recipe has no stage `target`.
    """
    cut = set(cut) - {target}
    wanted: set[str] = set()
    todo = [dockerfile.stage(target)]
    while todo:
        stage = todo.pop()
        if stage.name not in wanted and stage.name not in cut:
            wanted.add(stage.name)
            todo += [s for s in dockerfile.stages if s.name in stage.stages]
    return Inputs(
        {leaf: v for leaf, v in inputs.leaves.items() if "/" not in leaf.partition(" ")[0] or leaf.partition("/")[0] in wanted}
    )


def stands_on(dockerfile: Dockerfile, target: str, published: Iterable[str]) -> tuple[str, ...]:
    """Those of the published stages that a build of `target` takes finished, in the recipe's order."""
    published = set(published) - {target}
    seen: set[str] = set()
    found: set[str] = set()
    todo = [dockerfile.stage(target)]
    while todo:
        stage = todo.pop()
        for name in stage.stages - seen:
            seen.add(name)
            if name in published:
                found.add(name)
            else:
                todo.append(dockerfile.stage(name))
    return tuple(s.name for s in dockerfile.stages if s.name in found)


def key(inputs: Inputs, stands_on: Iterable[str]) -> str:
    """The name of an image: its inputs and the content ids of what it stands on."""
    return sha256(json.dumps([inputs.digest, list(stands_on)]))


def folded(inputs: Inputs) -> Inputs:
    """The same in at most about MOST characters of JSON: one leaf for all files of a folder, for the deepest folders first,
    where there are too many files for one each. A label goes to engines as one word of a command line."""
    leaves = dict(inputs.leaves)
    files = [found.groups() for found in map(FILE.fullmatch, leaves) if found]
    for depth in range(max((path.count("/") for _, path in files), default=-1), -1, -1):
        if len(json.dumps(leaves)) <= MOST:
            break
        leaves = dict(inputs.leaves)
        for stage, folder in sorted({(stage, above(path, depth)) for stage, path in files if path.count("/") >= depth}):
            leaves = fold(leaves, stage, folder)
    return Inputs(leaves)


def above(path: str, depth: int) -> str:
    """The first folders of a path, as `a/b/`."""
    return "".join(f"{name}/" for name in path.split("/")[:depth])


def fold(leaves: dict[str, str], stage: str, folder: str) -> dict[str, str]:
    """With one leaf for all files of a stage below a folder (`a/b/`, or empty for all of the context)."""
    taken = {leaf: leaves[leaf] for leaf in sorted(leaves) if leaf.startswith(f"{stage}/file {folder}")}
    if not taken:
        return leaves
    rest = {leaf: text for leaf, text in leaves.items() if leaf not in taken}
    return rest | {f"{stage}/files {folder}": f"sha256:{sha256(json.dumps(taken))}"}


def differences(old: Inputs, new: Inputs) -> tuple[Change, ...]:
    """The leaves on which two trees disagree, by name. Where the old one is folded, the new one is compared folded the same way."""
    leaves = dict(new.leaves)
    for stage, folder in (found.groups() for found in map(FOLDED.fullmatch, old.leaves) if found):
        leaves = fold(leaves, stage, folder)
    names = sorted(old.leaves.keys() | leaves.keys())
    changes = (Change(name, old.leaves.get(name), leaves.get(name)) for name in names)
    return tuple(change for change in changes if change.old != change.new)
