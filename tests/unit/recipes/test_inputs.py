"""What decides a rebuild: each kind of leaf counts where it should, and nowhere else."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from arrstack.errors import ConfigError
from arrstack.model import Inputs, content_id, sha256
from arrstack.recipes.config import Bootstrap, LoadedStack, load
from arrstack.recipes.inputs import differences, folded, key, part, stands_on
from arrstack.recipes.tiers import Wheels, identity, read

TWO_STAGES = """\
ARG BASE
FROM ${BASE} AS maker
ARG FLAGS=-O2
ARG MAX_JOBS=4
COPY src /src
RUN make
FROM maker AS wheel
COPY --from=maker /out /
FROM ${BASE}
ENV A=1
COPY --from=wheel / /
RUN install
"""


def leaves(stack: LoadedStack, **overrides: str) -> dict[str, str]:
    return dict(read(stack, overrides)[0].planned.inputs.leaves)


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return [change.leaf for change in differences(Inputs(before), Inputs(after))]


@pytest.fixture
def one(write_stack: Callable[..., LoadedStack]) -> Callable[[str], LoadedStack]:
    return lambda text: write_stack({"t": text}, files={"t/src/a.c": "int a;", "t/src/b.c": "int b;"})


def test_every_kind_of_leaf_has_a_name(one: Callable[[str], LoadedStack]) -> None:
    assert sorted(leaves(one(TWO_STAGES))) == sorted(
        [
            "platform",
            "maker/base",
            "maker/arg FLAGS",
            "maker/COPY 1",
            "maker/RUN 1",
            "maker/file src/a.c",
            "maker/file src/b.c",
            "maker/order",
            "wheel/COPY 1",
            "wheel/order",
            "image/base",
            "image/ENV 1",
            "image/COPY 1",
            "image/RUN 1",
            "image/order",
        ]
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("RUN make", "RUN make -s", ["maker/RUN 1"]),
        ("ENV A=1\nCOPY --from=wheel / /", "COPY --from=wheel / /\nENV A=1", ["image/order"]),
        ("ARG FLAGS=-O2", "ARG FLAGS=-O3", ["maker/arg FLAGS"]),
        ("RUN make", "RUN make # no comment: part of the command", ["maker/RUN 1"]),
        ("ARG BASE\n", "# escape=\\\nARG BASE\n", ["directive escape"]),
    ],
)
def test_what_counts(one: Callable[[str], LoadedStack], old: str, new: str, expected: list[str]) -> None:
    before = leaves(one(TWO_STAGES))
    assert changed(before, leaves(one(TWO_STAGES.replace(old, new)))) == expected


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("RUN make", "# why\n\nRUN make"),
        ("RUN install", "RUN \\\n  # inside\n  install"),
        ("ARG MAX_JOBS=4", "ARG MAX_JOBS=8"),
        ("COPY src /src", "COPY   src    /src"),
    ],
)
def test_what_does_not_count(one: Callable[[str], LoadedStack], old: str, new: str) -> None:
    before = leaves(one(TWO_STAGES))
    assert changed(before, leaves(one(TWO_STAGES.replace(old, new)))) == []


def test_an_argument_that_is_passed_counts_by_its_value(one: Callable[[str], LoadedStack]) -> None:
    stack = one(TWO_STAGES)
    assert leaves(stack, FLAGS="-O2") == leaves(stack)
    assert changed(leaves(stack), leaves(stack, FLAGS="-O0")) == ["maker/arg FLAGS"]
    assert leaves(stack, MAX_JOBS="9") == leaves(stack)


def test_a_wheel_has_the_leaves_of_the_stages_that_make_it(one: Callable[[str], LoadedStack]) -> None:
    recipe = read(one(TWO_STAGES), {})[0]
    found = part(recipe.planned.inputs, recipe.dockerfile, "wheel")
    assert {leaf.partition("/")[0] for leaf in found.leaves} == {"platform", "maker", "wheel"}
    assert stands_on(recipe.dockerfile, "image", ["wheel"]) == ("wheel",)
    assert stands_on(recipe.dockerfile, "wheel", ["wheel"]) == ()


def test_a_key_holds_inputs_and_what_they_stand_on() -> None:
    inputs = Inputs({"a": "1"})
    assert key(inputs, ["x"]) != key(inputs, ["y"]) != key(Inputs({"a": "2"}), ["y"])
    assert key(inputs, []) == key(Inputs({"a": "1"}), [])


def test_a_content_id_ignores_dates_history_and_labels() -> None:
    config = {
        "os": "linux",
        "architecture": "amd64",
        "rootfs": {"diff_ids": ["sha256:1"]},
        "config": {"Env": ["A=1"], "Labels": {"x": "1"}},
    }
    same = {**config, "created": "now", "history": [1], "config": {**config["config"], "Labels": {}}}  # type: ignore[dict-item]
    other = {**config, "config": {"Env": ["A=2"]}}
    assert content_id(config) == content_id(same) != content_id(other)
    assert content_id(config) != content_id({**config, "rootfs": {"diff_ids": ["sha256:2"]}})
    for field, value in {"Shell": ["bash"], "OnBuild": ["RUN x"], "StopSignal": "9", "Healthcheck": {"Test": ["NONE"]}}.items():
        assert content_id(config) != content_id({**config, "config": {**config["config"], field: value}}), field  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ARG BASE\nFROM ${BASE}\nCOPY nothing /x\n", "t/Dockerfile:3: nothing in the build context matches 'nothing'"),
        ("ARG BASE\nFROM ${BASE}\nCOPY ${X} /x\n", "t/Dockerfile:3: nothing declares the argument 'X'"),
        ("ARG BASE\nFROM ${BASE}\nCOPY ../../x /x\n", "t/Dockerfile:3: '../../x' lies outside the build context"),
    ],
)
def test_a_plan_finds_what_is_wrong_with_a_recipe(one: Callable[[str], LoadedStack], text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        leaves(one(text))
    assert said in error.value.message


def test_an_ignored_source_is_said_to_be_ignored(write_stack: Callable[..., LoadedStack]) -> None:
    stack = write_stack({"t": "ARG BASE\nFROM ${BASE}\nCOPY a /a\n"}, files={"t/a": "x", "t/Dockerfile.dockerignore": "a\n"})
    with pytest.raises(ConfigError, match="the ignore rules leave it out"):
        leaves(stack)


def test_an_argument_that_no_recipe_declares_is_an_error(write_stack: Callable[..., LoadedStack]) -> None:
    stack = write_stack({"t": "ARG BASE\nFROM ${BASE}\n"}, args={"TYPO": "1"})
    with pytest.raises(ConfigError, match="sets the build argument TYPO, which no recipe declares"):
        read(stack, {})


def test_an_argument_of_a_tier_that_is_no_default_one_is_declared_too(write_stack: Callable[..., LoadedStack]) -> None:
    stack = write_stack({"t": "ARG BASE\nFROM ${BASE}\n", "side": "ARG BASE\nFROM ${BASE}\nARG MORE\n"}, args={"MORE": "1"})
    stack.path.write_text(stack.path.read_text().replace('name = "side"', 'name = "side"\ndefault = false'))
    assert [recipe.tier.name for recipe in read(load(stack.path), {})] == ["t"]


def test_a_base_without_documentation_is_another_base() -> None:
    base = Bootstrap("trixie", include=("python3",))
    assert identity(base, "trixie 2026-01-01") == "mmdebstrap trixie minbase python3 from trixie 2026-01-01"
    assert identity(msgspec.structs.replace(base, documentation=False), "x") != identity(base, "x")


def many(count: int) -> Inputs:
    files = {f"image/file code/part{i % 40}/deep/module{i}.py": f"- {i:064x}" for i in range(count)}
    return Inputs({"platform": "linux/amd64", "image/RUN 1": "make", "image/file top.txt": "- 1", **files})


def test_few_files_have_a_leaf_each() -> None:
    assert folded(many(100)) == many(100)


@pytest.mark.parametrize("count", [2_000, 20_000])
def test_many_files_are_folded_into_their_folders_until_a_label_holds_them(count: int) -> None:
    """The kernel takes 128 KiB as one word of a command line."""
    label = folded(many(count))
    assert len(json.dumps(dict(label.leaves))) < 131_072
    assert label.leaves["image/RUN 1"] == "make"
    assert differences(label, many(count)) == ()
    (changed,) = differences(label, Inputs({**many(count).leaves, "image/file code/part7/deep/module7.py": "- other"}))
    assert changed.leaf == "image/files code/part7/deep/"
    (added,) = differences(label, Inputs({**many(count).leaves, "image/file code/part7/deep/new.py": "- new"}))
    assert added.leaf == "image/files code/part7/deep/"
    assert {c.leaf for c in differences(label, Inputs({**many(count).leaves, "image/RUN 1": "make all"}))} == {"image/RUN 1"}


def test_files_in_one_folder_are_folded_too() -> None:
    flat = Inputs({f"image/file {i}": f"- {i:064x}" for i in range(3_000)})
    assert list(folded(flat).leaves) == ["image/files "]
    assert differences(folded(flat), flat) == ()


def test_given_wheels_are_a_leaf_by_their_names_and_contents(tmp_path: Path) -> None:
    for name in ("b-1-py3.whl", "a-2-py3.whl", "a.json"):
        (tmp_path / name).write_text(name)
    leaf = Wheels(tmp_path).leaf(["b", "a"])
    assert [part.split() for part in leaf.split(", ")] == [
        [name, sha256(name)[:16]] for name in ("b-1-py3.whl", "a-2-py3.whl", "a.json")
    ]
    (tmp_path / "a-2-py3.whl").write_text("changed")
    assert Wheels(tmp_path).leaf(["b", "a"]) != leaf


@pytest.mark.parametrize("others", [(), ("a-1-py3.whl", "a-2-py3.whl")])
def test_of_each_distribution_there_is_one_wheel(tmp_path: Path, others: tuple[str, ...]) -> None:
    for name in others:
        (tmp_path / name).touch()
    with pytest.raises(ConfigError, match=f"holds {len(others)} wheels of a, not one"):
        Wheels(tmp_path).files("a")


def test_inputs_without_files_are_folded_as_they_are() -> None:
    assert folded(Inputs({"image/RUN 1": "make"})) == Inputs({"image/RUN 1": "make"})
