"""Pure: what a recipe reads -> its hash tree, and the differences of two trees.

Only content counts (the list is in docs/guide/keys.md): instructions without comments, the files that COPY, ADD and bind
mounts can read, the build arguments that a stage declares, the platform, the base images' identities, the archive's
state. What only changes how fast or from where a build runs is left out, by name: `UNCOUNTED`.
"""

import json
import re
from collections.abc import Iterable, Mapping

from arrstack.model import Change, Inputs, sha256
from arrstack.recipes.dockerfile import Dockerfile
from arrstack.recipes.leaves import UNCOUNTED, ReadFiles, StageReader, value

MOST = 100_000
"""Characters of a tree's JSON, of the 131,072 that Linux takes as one word of a command line (execve(2), MAX_ARG_STRLEN)."""
FILE, FOLDED = re.compile(r"(.+?)/file (.*)", re.DOTALL), re.compile(r"(.+?)/files (.*)", re.DOTALL)


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
    leaves = {**surroundings, **{f"directive {d.partition('=')[0]}": value(d) for d in dockerfile.directives}}
    walk = StageReader(dockerfile, args, read, skip)
    for stage in dockerfile.closure():
        leaves |= walk.leaves(stage)
        if stage.image:
            leaves[f"{stage.name}/base"] = bases.get(stage.image, stage.image)
        if stage.platform:
            leaves[f"{stage.name}/platform"] = stage.platform
    return Inputs(leaves)


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
