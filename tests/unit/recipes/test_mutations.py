"""The mutation suite over the four real recipes: what must be rebuilt after each kind of change, exactly.

Every image and wheel of the unchanged tree is claimed to be present. A mutation then changes a copy of the tree; the
expected tiers are those with an action of their own, and the expected wheels those whose compile key changed.
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from arrstack.launch.plan import Facts, Plan, plan
from arrstack.model import LABEL_INPUTS, Action
from arrstack.recipes.config import load
from arrstack.recipes.tiers import read
from tests.conftest import ROOT, ClaimingRegistry

BASE, STACK, TRAINER, AGENT = "arr-pytorch-base", "arr-ml-stack", "arr-trainer", "arr-vertex-launcher"
TIERS = (BASE, STACK, TRAINER, AGENT)
ALL_WHEELS = ("torch", "vision", "audio")
PARTS = ("Stack", "ARR_COC", "stack.toml", "README.md", "src", "docs")


@dataclass(frozen=True)
class Mutation:
    """`rebuilt` is the lowest tier with an action of its own (those on it follow); `compiled` the wheels with new keys."""

    name: str
    apply: Callable[[Path], None]
    rebuilt: str = ""
    compiled: tuple[str, ...] = ()


def edit(path: str, pattern: str, replacement: str) -> Callable[[Path], None]:
    def apply(tree: Path) -> None:
        file = tree / path
        text = file.read_text()
        changed = re.sub(pattern, replacement, text, count=1, flags=re.MULTILINE)
        assert changed != text, f"{path} has nothing that matches {pattern}"
        file.write_text(changed)

    return apply


def append(path: str, text: str = "\n# changed\n") -> Callable[[Path], None]:
    def apply(tree: Path) -> None:
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        with (tree / path).open("a") as file:
            file.write(text)

    return apply


def chmod(path: str, mode: int) -> Callable[[Path], None]:
    return lambda tree: (tree / path).chmod(mode)


def link(path: str, target: str) -> Callable[[Path], None]:
    def apply(tree: Path) -> None:
        (tree / path).unlink(missing_ok=True)
        (tree / path).symlink_to(target)

    return apply


def touch_everything(tree: Path) -> None:
    for path in tree.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)


def close_umask(tree: Path) -> None:
    for path in tree.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o700 if path.is_dir() or path.stat().st_mode & 0o100 else 0o600)


def recipe(tier: str) -> str:
    return f"Stack/{tier}/Dockerfile"


T = "Stack/arr-pytorch-base"
COUNTED = [
    # -- the bottom tier: what makes all three wheels, one of them, or none
    Mutation(
        "an instruction of the toolchain",
        edit(recipe(BASE), r"/build/common/toolchain.sh", "/build/common/toolchain.sh -v"),
        BASE,
        ALL_WHEELS,
    ),
    Mutation("a script that all stages share", append(f"{T}/build/common/lib.sh"), BASE, ALL_WHEELS),
    Mutation("a script's executable bit", chmod(f"{T}/build/common/toolchain.sh", 0o644), BASE, ALL_WHEELS),
    Mutation("a new file that a stage copies", append(f"{T}/build/common/new.sh"), BASE, ALL_WHEELS),
    Mutation("the profile", append(f"{T}/profiles/cpu.env", "USE_X=1\n"), BASE, ALL_WHEELS),
    Mutation("what the profile installs", append(f"{T}/profiles/cpu.packages", "X=1\n"), BASE, ALL_WHEELS),
    Mutation(
        "the archive's date", edit("stack.toml", r'(suite = "trixie"\n  date = )"[^"]*"', r'\1"2030-01-01"'), BASE, ALL_WHEELS
    ),
    Mutation(
        "the devel base",
        edit(
            "stack.toml",
            r'BASE_DEVEL = \{ method = "mmdebstrap", suite = "trixie"',
            r'BASE_DEVEL = { method = "mmdebstrap", suite = "sid"',
        ),
        BASE,
        ALL_WHEELS,
    ),
    Mutation(
        "the runtime base",
        edit(
            "stack.toml",
            r'BASE_RUNTIME = \{ method = "mmdebstrap", suite = "trixie"',
            r'BASE_RUNTIME = { method = "mmdebstrap", suite = "sid"',
        ),
        BASE,
    ),
    Mutation("torch's version", edit("stack.toml", r'TORCH_VERSION = "2.6.0"', 'TORCH_VERSION = "2.6.1"'), BASE, ("torch",)),
    Mutation("torch's pin", edit("stack.toml", r'TORCH_PIN = "2', 'TORCH_PIN = "3'), BASE, ("torch",)),
    Mutation("torch's recipe", append(f"{T}/build/torch/build.sh"), BASE, ("torch",)),
    Mutation("a precompiled header", append(f"{T}/build/torch/headers/cpu.h", "#include <map>\n"), BASE, ("torch",)),
    Mutation(
        "torch's ARG that is passed",
        edit("stack.toml", r'tag = "cpu"', 'tag = "cpu"\narchs = ["sm_90"]'),
        BASE,
        ALL_WHEELS,
    ),
    Mutation("torchvision's pin", edit("stack.toml", r'VISION_PIN = "0', 'VISION_PIN = "1'), BASE, ("vision",)),
    Mutation("torchvision's recipe", append(f"{T}/build/vision/build.sh"), BASE, ("vision",)),
    Mutation("torchaudio's version", edit("stack.toml", r'AUDIO_VERSION = "2.6.0"', 'AUDIO_VERSION = "2.6.1"'), BASE, ("audio",)),
    Mutation("torchaudio's recipe", append(f"{T}/build/audio/check.py"), BASE, ("audio",)),
    Mutation("the runtime stage's script", append(f"{T}/build/runtime/install.sh"), BASE),
    Mutation("the runtime stage's lock", append(f"{T}/locks/cpu.txt"), BASE),
    Mutation("the runtime stage's ENV", edit(recipe(BASE), r"ENV PYTHONUNBUFFERED=1", "ENV PYTHONUNBUFFERED=0"), BASE),
    Mutation("the order of instructions", edit(recipe(BASE), r"(ENV PYTHONUNBUFFERED=1)\n(CMD .*)", r"\2\n\1"), BASE),
    Mutation("a link in place of a file", link(f"{T}/build/runtime/slim.py", "install.sh"), BASE),
    Mutation("a parser directive", edit(recipe(BASE), r"\A", "# escape=\\\\\n"), BASE, ALL_WHEELS),
    # -- the tiers above
    Mutation("the ML stack's lock", append("Stack/arr-ml-stack/locks/cpu.txt"), STACK),
    Mutation("the ML stack's script", append("Stack/arr-ml-stack/build/install.sh"), STACK),
    Mutation(
        "the ML stack's archive date",
        edit("stack.toml", r'(suite = "trixie"\n)', r'\1  tiers.arr-ml-stack = "2030-01-01"\n'),
        STACK,
    ),
    Mutation("the ML stack's instruction", edit(recipe(STACK), r"install\.sh$", "install.sh -x"), STACK),
    Mutation("one line of training code", append("ARR_COC/Training/train.py"), TRAINER),
    Mutation("the training code's requirements", append("ARR_COC/pyproject.toml"), TRAINER),
    Mutation("a new file of training code", append("ARR_COC/Training/new.py"), TRAINER),
    Mutation("the trainer's script", append("Stack/arr-trainer/build/install.sh"), TRAINER),
    Mutation("the trainer's entry point", edit(recipe(TRAINER), r"ENTRYPOINT .*", 'ENTRYPOINT ["other"]'), TRAINER),
    Mutation("the agent's script", append("Stack/arr-vertex-launcher/build/install.sh"), AGENT),
    Mutation("the agent's ENV", edit(recipe(AGENT), r"WANDB_ERROR_REPORTING=false", "WANDB_ERROR_REPORTING=true"), AGENT),
]
NOT_COUNTED = [
    *(
        Mutation(f"a comment and a blank line in {tier}", edit(recipe(tier), r"^(RUN|COPY|ENV)", r"# why\n\n\1"))
        for tier in TIERS
    ),
    *(Mutation(f"a README in {tier}", append(f"Stack/{tier}/README.md")) for tier in TIERS),
    *(Mutation(f"CHANGES.md in {tier}", append(f"Stack/{tier}/CHANGES.md")) for tier in TIERS),
    *(Mutation(f"a check of {tier}", append(f"Stack/{tier}/checks/new.py")) for tier in TIERS),
    Mutation("byte code", append(f"{T}/build/common/__pycache__/launcher.cpython-313.pyc", "x")),
    Mutation("a record of costs", append(f"{T}/records/torch.tsv", "1\t1\tx\n")),
    Mutation("another profile's file", append(f"{T}/profiles/full.env")),
    Mutation("another profile's lock", append(f"{T}/locks/full.txt")),
    Mutation(
        "another profile's pins", edit("stack.toml", r'(\[profiles\.full\.args\]\n  TORCH_VERSION = )"2.6.0"', r'\1"2.7.0"')
    ),
    Mutation("the project's README", append("README.md")),
    Mutation("the documentation", append("docs/guide/keys.md")),
    Mutation("the product's own Python", append("src/arrstack/plan.py")),
    Mutation("the training code's README", append("ARR_COC/README.md")),
    Mutation("a test of the training code", append("ARR_COC/tests/test_new.py")),
    Mutation("estimates", edit("stack.toml", r"cpu-seconds = 4150", "cpu-seconds = 1")),
    Mutation("times", touch_everything),
    Mutation("umask", close_umask),
    Mutation("MAX_JOBS in a recipe", edit(recipe(BASE), r"ARG MAX_JOBS=4", "ARG MAX_JOBS=64")),
    Mutation("white space between words", edit(recipe(TRAINER), r"^COPY ", "COPY     ")),
]


def copy_of_the_tree(destination: Path) -> Path:
    destination.mkdir()
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, destination / name, ignore=ignore, symlinks=True)
        elif source.exists():
            shutil.copy2(source, destination / name)
    return destination


def decide(tree: Path, claims: ClaimingRegistry, overrides: dict[str, str] | None = None) -> Plan:
    recipes = read(load(tree / "stack.toml", "cpu"), {"COMPILE_PLAN": "auto", **(overrides or {})})
    return plan([r.planned for r in recipes], Facts(claims), "cpu", "buildah", "r")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[ClaimingRegistry, Plan]:
    """Everything that the unchanged tree makes, claimed to be present."""
    tree, claims = copy_of_the_tree(tmp_path_factory.mktemp("unchanged") / "tree"), ClaimingRegistry()
    while True:
        decided = decide(tree, claims)
        missing = [(t.name, w.tag) for t in decided.tiers for w in t.wheels if w.key and not w.answer.image]
        for repository, tag in missing:
            claims.claim(repository, tag, f"content of {tag}")
        tier = next((t for t in decided.tiers if t.action is Action.REBUILD), None)
        if tier is None and not missing:
            return claims, decided
        if tier and not missing:
            for tag in (tier.tag, "cpu"):
                claims.claim(tier.name, tag, f"content of {tier.key}", {LABEL_INPUTS: json.dumps(dict(tier.inputs.leaves))})


def outcome(before: Plan, after: Plan) -> tuple[str, tuple[str, ...]]:
    """The lowest tier with an action of its own, and the wheels whose keys are others."""
    rebuilt = [tier.name for tier in after.tiers if tier.action is Action.REBUILD]
    follows = [tier.name for tier in after.tiers if tier.action is Action.FOLLOWS]
    assert len(rebuilt) <= 1
    if rebuilt:
        assert follows == list(TIERS[TIERS.index(rebuilt[0]) + 1 :]), "what stands on a rebuilt tier follows it"
    else:
        assert not follows
    old = {wheel.wheel.name: wheel.key for wheel in before.tiers[0].wheels}
    new = {wheel.wheel.name: wheel.key for wheel in after.tiers[0].wheels}
    changed = {name for name in old if new[name] is not None and new[name] != old[name]}
    # What stands on a wheel whose own key changed is not known before that is built: its leaves decide here.
    unknown = {name for name in old if new[name] is None}
    assert not unknown or "torch" in changed
    return (rebuilt[0] if rebuilt else "", tuple(n for n in ALL_WHEELS if n in changed | unknown))


def test_the_unchanged_tree_needs_nothing(published: tuple[ClaimingRegistry, Plan]) -> None:
    assert all(tier.action is Action.REUSE for tier in published[1].tiers)
    assert all(wheel.key for wheel in published[1].tiers[0].wheels)


@pytest.mark.parametrize("mutation", COUNTED, ids=lambda m: m.name)
def test_what_counts_rebuilds_exactly_its_tier_and_wheels(
    mutation: Mutation, published: tuple[ClaimingRegistry, Plan], tmp_path: Path
) -> None:
    tree = copy_of_the_tree(tmp_path / "tree")
    mutation.apply(tree)
    after = decide(tree, published[0])
    # A new torch leaves the keys of what stands on it open.
    compiled = ALL_WHEELS if "torch" in mutation.compiled else mutation.compiled
    assert outcome(published[1], after) == (mutation.rebuilt, compiled)
    reasons = next(tier for tier in after.tiers if tier.name == mutation.rebuilt).changes
    assert reasons, "a rebuild names its reason"


@pytest.mark.parametrize("mutation", NOT_COUNTED, ids=lambda m: m.name)
def test_what_does_not_count_rebuilds_nothing(
    mutation: Mutation, published: tuple[ClaimingRegistry, Plan], tmp_path: Path
) -> None:
    tree = copy_of_the_tree(tmp_path / "tree")
    mutation.apply(tree)
    assert outcome(published[1], decide(tree, published[0])) == ("", ())


@pytest.mark.parametrize("argument", ["MAX_JOBS", "http_proxy", "HTTPS_PROXY", "SOURCE_DATE_EPOCH", "TORCH_KEY"])
def test_arguments_that_only_change_how_fast_or_from_where_do_not_count(
    argument: str, published: tuple[ClaimingRegistry, Plan], tmp_path: Path
) -> None:
    tree = copy_of_the_tree(tmp_path / "tree")
    assert outcome(published[1], decide(tree, published[0], {argument: "something"})) == ("", ())


def test_a_plain_compile_is_another_compile(published: tuple[ClaimingRegistry, Plan], tmp_path: Path) -> None:
    tree = copy_of_the_tree(tmp_path / "tree")
    assert outcome(published[1], decide(tree, published[0], {"COMPILE_PLAN": "none"})) == (BASE, ALL_WHEELS)


def test_another_path_without_git_and_another_folder_name_need_nothing(
    published: tuple[ClaimingRegistry, Plan], tmp_path: Path
) -> None:
    elsewhere = tmp_path / "a b" / "c"
    elsewhere.mkdir(parents=True)
    tree = copy_of_the_tree(elsewhere / "tree")
    assert not (tree / ".git").exists()
    assert outcome(published[1], decide(tree, published[0])) == ("", ())
