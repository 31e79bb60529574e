"""stack.toml is checked, and what is wrong with it is said in one sentence."""

import contextlib
import re
import tomllib
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrstack.errors import ConfigError
from arrstack.recipes.config import LoadedStack, Pull, load
from arrstack.recipes.places import Cloud
from arrstack.recipes.refresh import refreshed, refuse_future
from arrstack.recipes.tiers import read
from tests.conftest import ROOT

GOOD = """\
default-profile = "p"
[[tiers]]
name = "a"
recipe = "a"
context = "a"
[profiles.p]
description = "d"
[profiles.p.bases]
BASE = { method = "pull", image = "x" }
[profiles.p.archive]
suite = "trixie"
date = "2026-01-01"
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[[tiers]]", "[[tiers", "stack.toml: "),
        ('recipe = "a"', 'recipes = "a"', "tiers.a: the table contains unknown key `recipes`"),
        ('default-profile = "p"', 'default-profile = "q"', "there is no profile 'q'"),
        ('name = "a"', 'name = "a"\nfrom = "z"', "tier 'a' stands on 'z', which is none of its tiers"),
        ('name = "a"', 'name = "a"\nfrom = "a"', "in a circle: a -> a"),
        ('name = "a"', 'name = "Bad Name"', "tiers.0.name"),
        ('description = "d"', 'description = "d"\narchs = ["sm_89", "sm_89"]', "'sm_89' stands twice in `archs`"),
        ('method = "pull", image', 'method = "magic", image', "profiles.p.bases.BASE"),
        ('image = "x"', 'image = "127.0.0.1:5000/../../admin/x"', "is not an image's name"),
        ('date = "2026-01-01"', 'date = "soon"', "profiles.p.archive"),
        ('description = "d"', 'description = "d"\nplatform = "linux/arm64"', "profiles.p.platform"),
        ('description = "d"', 'description = "d"\narchs = ["sm_75x"]', "'sm_75x' in `archs` is no GPU architecture"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as error:
        load(path)
    assert said in error.value.message
    assert str(path) in error.value.message


def test_a_folder_in_place_of_a_stack_file_is_told_the_file_in_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path)
    assert error.value.hint == "--stack names a file"
    (tmp_path / "stack.toml").write_text(GOOD)
    with pytest.raises(ConfigError) as error:
        load(tmp_path)
    assert error.value.hint == f"--stack {tmp_path}/stack.toml"


def test_a_tier_that_there_is_not_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(GOOD.replace('name = "a"', 'name = "base"\nfrom = "bas"', 1))
    with pytest.raises(ConfigError) as error:
        load(path)
    assert error.value.hint == "its tiers: base (nearest: `base`)"
    path.write_text(GOOD)
    with pytest.raises(ConfigError) as error:
        load(path).tier("z")
    assert error.value.hint == "its tiers: a"


def test_architectures_are_listed_as_pytorch_does(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(GOOD.replace('description = "d"', 'description = "d"\narchs = ["sm_75", "sm_90a", "sm_100"]'))
    assert load(path).profile.capabilities == "7.5;9.0a;10.0"


def test_two_tiers_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(GOOD + '[[tiers]]\nname = "a"\nrecipe = "b"\ncontext = "b"\n')
    with pytest.raises(ConfigError, match="two tiers are named 'a'"):
        load(path)


def test_tiers_are_ordered_by_what_they_stand_on(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    top = '[[tiers]]\nname = "top"\nfrom = "a"\nrecipe = "t"\ncontext = "t"\n'
    path.write_text(GOOD.replace("[[tiers]]", top + "[[tiers]]", 1))
    assert [tier.name for tier in load(path).tiers] == ["a", "top"]
    assert [tier.name for tier in load(path).up_to("a")] == ["a"]


def test_a_tier_that_is_no_default_one_is_meant_when_it_is_named_or_stood_on(tmp_path: Path) -> None:
    def tier(name: str, below: str, more: str = "") -> str:
        return f'[[tiers]]\nname = "{name}"\nfrom = "{below}"\nrecipe = "{name}"\ncontext = "{name}"\n{more}'

    path = tmp_path / "stack.toml"
    path.write_text(
        GOOD + tier("side", "a", "default = false\n") + tier("middle", "a", "default = false\n") + tier("top", "middle")
    )
    stack = load(path)
    assert [each.name for each in stack.up_to(None)] == ["a", "middle", "top"]
    assert [each.name for each in stack.up_to("side")] == ["a", "side"]


def test_a_stack_without_a_default_tier_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(GOOD.replace("[[tiers]]\n", "[[tiers]]\ndefault = false\n"))
    with pytest.raises(ConfigError, match="no tier is a default one"):
        load(path)


@pytest.mark.parametrize("stack", ["stack.toml", "examples/small/stack.toml"])
def test_the_project_s_own_stacks_are_right(stack: str) -> None:
    loaded = load(ROOT / stack)
    assert len(loaded.up_to(None)) == 4
    for name in loaded.stack.profiles:
        assert load(ROOT / stack, name).profile.archive.suite


def test_refresh_moves_one_date_and_changes_nothing_else(tmp_path: Path) -> None:
    today = date(2026, 5, 6)
    assert refreshed(GOOD, "p", None, today) == GOOD.replace("2026-01-01", "2026-05-06")
    one = refreshed(GOOD, "p", "a", today)
    path = tmp_path / "stack.toml"
    path.write_text(one)
    archive = load(path).profile.archive
    assert (archive.state("a"), archive.state("b")) == ("trixie 2026-05-06", "trixie 2026-01-01")
    path.write_text(refreshed(one, "p", None, date(2026, 7, 8)))
    assert load(path).profile.archive.state("a") == "trixie 2026-07-08"


def test_refresh_of_a_real_stack_keeps_its_comments() -> None:
    text = (ROOT / "stack.toml").read_text()
    moved = refreshed(text, "cpu", "arr-ml-stack", date(2030, 1, 1))
    assert moved.replace('  tiers.arr-ml-stack = "2030-01-01"\n', "") == text


@pytest.mark.parametrize(
    "archive",
    [
        "[profiles.p.archive]\nsuite = \"trixie\"\ndate = '2026-01-01'\n",
        '[profiles.p.archive]\nsuite = "trixie"\ndate = "2026-01-01"\ntiers = { a = "2026-02-02" }\n',
        '[profiles.p.archive]\nsuite = "trixie"\ndate = "2026-01-01"\n[profiles.p.archive.tiers]\na = "2026-02-02"\n',
    ],
    ids=["other quotes", "an inline table", "a table of its own"],
)
@pytest.mark.parametrize("tier", [None, "a", "b"])
def test_refresh_changes_what_was_asked_or_nothing(archive: str, tier: str | None) -> None:
    try:
        moved = tomllib.loads(refreshed(archive, "p", tier, date(2026, 5, 6)))["profiles"]["p"]["archive"]
    except ConfigError as error:
        assert "cannot be edited" in error.message
    else:
        assert (moved["date"] if tier is None else moved["tiers"][tier]) == "2026-05-06"


def test_only_the_tiers_asked_for(write_stack: Callable[..., LoadedStack]) -> None:
    stack = write_stack({"one": "ARG BASE\nFROM ${BASE}\n", "two": "ARG BASE\nFROM ${BASE}\n"})
    with pytest.raises(ConfigError, match="there is no tier 'three'"):
        stack.up_to("three")


def test_a_tier_may_stand_on_an_image_of_any_registry(write_stack: Callable[..., LoadedStack]) -> None:
    from_base = "ARG BASE\nFROM ${BASE}\n"
    stack = write_stack({"one": from_base, "two": from_base}).standing_on("two", f"h.example/x:1@sha256:{'a' * 64}")
    assert [tier.name for tier in stack.up_to("two")] == ["two"]
    assert stack.profile.bases["BASE"] == Pull("h.example/x:1", f"sha256:{'a' * 64}")


def test_the_lowest_tier_stands_on_nothing_that_could_be_another(write_stack: Callable[..., LoadedStack]) -> None:
    with pytest.raises(ConfigError, match="one stands on no tier"):
        write_stack({"one": "ARG BASE\nFROM ${BASE}\n"}).standing_on("one", "x")


def test_another_tag_is_of_the_chosen_profile_alone() -> None:
    stack = load(ROOT / "stack.toml", "cpu").tagged("mine")
    assert (stack.profile.tag, stack.stack.profiles["full"].tag) == ("mine", "latest")


def test_a_repository_of_artifact_registry_is_the_persistent_one_for_what_is_built_once() -> None:
    cloud = Cloud(repository="swept", persistent_repository="kept", persistent=("base",))
    assert [cloud.repository_of(name) for name in ("base", "trainer")] == ["kept", "swept"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('recipe = "a"', 'recipes = "a"', "unknown key `recipes` (nearest: `recipe`)"),
        ('recipe = "a"', "", "tiers.a: the table lacks the key `recipe`"),
        (
            'suite = "trixie"',
            'suite = "--setup-hook=id; false"',
            "profiles.p.archive.suite: '--setup-hook=id; false' is not the name of a suite",
        ),
        (
            '"pull", image = "x"',
            '"mmdebstrap", suite = "sid", variant = "minbas"',
            "'minbas' is not one of minbase, .*nearest: `minbase`",
        ),
        ('"pull", image = "x"', '"mmdebstrap", suite = "sid", include = ["a b"]', "bases.BASE.include"),
        ('"pull", image = "x"', '"mmdebstrap", suite = "sid", include = ["--x"]', "bases.BASE.include"),
        ('"pull", image = "x"', '"pul", image = "x"', "`method` is one of mmdebstrap, pull .nearest: `pull`"),
        ('image = "x"', 'image = "127.0.0.1:5000/../../admin/x?y#"', "bases.BASE.image: .* is not the name of an image"),
        ('image = "x"', 'image = "UPPER/x:y:z"', "bases.BASE: "),
        ('date = "2026-01-01"', 'date = "20260101"', "archive.date: '20260101' is not a date: YYYY-MM-DD"),
        ('date = "2026-01-01"', 'date = "2026-02-30"', "profiles.p.archive: "),
        ('context = "a"', 'context = "a\\u0000"', "tiers.a.context: .* is not a path"),
        ('context = "a"', 'context = "a"\nseconds = -1', "tiers.a.seconds"),
        ('context = "a"', 'context = "a"\nseconds = inf', "tiers.a.seconds"),
        ('context = "a"', 'context = "a"\nseconds = nan', "tiers.a.seconds"),
        ('context = "a"', 'context = "a"\nseconds = "1"', "tiers.a.seconds: Expected `float`, got `str`"),
        ('context = "a"', 'context = "a"\nbase-arg = "A B"', "tiers.a.base-arg: 'A B' is not the name of a build argument"),
        ('description = "d"', 'description = "d"\ntag = "-x"', "profiles.p.tag: '-x' is not a tag"),
        ('description = "d"', 'description = "d"\ntag = "key-x"', "profiles.p.tag: 'key-x' is not a tag"),
        ('description = "d"', 'description = "d"\n"platfrom" = "x"', "profiles.p: .* (nearest: `platform`)"),
        ("[profiles.p]", "[profiles.P]", "profiles.P: 'P' is not a name"),
        ('name = "a"', "name = " + "9" * 5000, "stack.toml: "),
        ('name = "a"', "name = " + "[" * 5000 + "]" * 5000, "too deep"),
    ],
)
def test_a_wrong_value_is_named_by_its_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError, match=said.replace("(n", "[(]n").replace("`)", "`[)]")) as error:
        load(path)
    assert str(path) in error.value.message


WHEEL = """
[[tiers.wheels]]
name = "torch"
stage = "s"
distribution = "torch"
version-arg = "V"
key-arg = "K"
"""


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    wheel = WHEEL.replace('"torch"', '"/x"').replace("key-arg", "key-agr")
    path.write_text(GOOD.replace("[profiles.p]\n", f"{wheel}[profiles.p]\ntags = 1\n").replace('"trixie"', '""'))
    with pytest.raises(ConfigError) as error:
        load(path)
    for part in (
        "tiers.a.wheels.0.name",
        "wheels.0.distribution",
        "`key-agr` (nearest: `key-arg`)",
        "lacks the key `key-arg`",
        "`tags` (nearest: `tag`)",
        "archive.suite",
    ):
        assert part in error.value.message


def test_two_wheels_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(GOOD.replace("[profiles.p]\n", f"{WHEEL}{WHEEL}[profiles.p]\n", 1))
    with pytest.raises(ConfigError, match="there are two wheels 'torch'"):
        load(path)


def test_what_is_no_stack_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    path.symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="is no file"):
        load(path)
    path.unlink()
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="no text in UTF-8"):
        load(path)
    path.write_bytes(b"#" * (5 << 20))
    with pytest.raises(ConfigError, match="is larger than"):
        load(path)


def test_a_byte_order_mark_and_a_link_are_no_obstacles(tmp_path: Path) -> None:
    real = tmp_path / "real/stack.toml"
    real.parent.mkdir()
    real.write_text("\ufeff" + GOOD)
    (tmp_path / "stack.toml").symlink_to(real)
    assert load(tmp_path / "stack.toml").root == real.parent


def test_thousands_of_tiers_are_ordered(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    tiers = [f'[[tiers]]\nname = "t{n}"\nfrom = "t{n + 1}"\nrecipe = "a"\ncontext = "a"\n' for n in range(2_999)]
    path.write_text('default-profile = "p"\n' + "".join(tiers) + GOOD.partition("\n")[2].replace('"a"', '"t2999"', 1))
    assert load(path).tiers[0].name == "t2999"


WHOLE = (ROOT / "examples/small/stack.toml").read_text()
PIECES = st.sampled_from(
    ["\n", '"', "'", "[", "]", "[[", "{", "}", "=", ",", "9" * 5000, "inf", "nan", "true", "2026-99-99", "\\u0000", "\x00", "\ud800",
     '"""', "name = 1", "from = 'x'", "../../etc", "/", "[profiles.x]", "[[tiers]]", "{ method = 'pull' }", "\x1b[2J", "a.b.c = 1"]
)  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 60), PIECES), min_size=1, max_size=6))
def test_no_edit_of_a_stack_file_raises_anything_but_our_error(
    tmp_path_factory: pytest.TempPathFactory, edits: "list[tuple[int, int, str]]"
) -> None:
    """Each edit puts a piece in the place of up to 60 characters."""
    text = WHOLE
    for at, length, piece in edits:
        text = text[:at] + piece + text[at + length :]
    path = tmp_path_factory.mktemp("fuzz") / "stack.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(ConfigError):
        assert load(path).tiers


@pytest.mark.parametrize(
    ("change", "key"),
    [(("date = ", 'date = "2026-03-03" #'), "date"), (("date = ", 'tiers.a = "2026-03-03"\ndate = '), "tiers.a")],
)
def test_an_archive_of_a_day_that_is_to_come_is_refused(tmp_path: Path, change: tuple[str, str], key: str) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(GOOD.replace(*change, 1))
    stack = load(path)
    refuse_future(stack, date(2026, 3, 2))  # it is the third somewhere
    with pytest.raises(ConfigError, match=rf"profiles\.p\.archive\.{key} is 2026-03-03, which is to come; today is 2026-03-01"):
        refuse_future(stack, date(2026, 3, 1))


def test_a_base_of_packages_needs_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    text = GOOD.replace('"pull", image = "x"', '"mmdebstrap", suite = "sid"')
    path.write_text(re.sub(r"\[profiles\.p\.archive\]\n(\w+ = .*\n)+", "", text))
    with pytest.raises(ConfigError, match="the base BASE is made of packages, and the profile has no table `archive`"):
        load(path)


def test_who_takes_packages_needs_an_archive(write_stack: Callable[..., LoadedStack]) -> None:
    path = write_stack({"a": "ARG BASE\nFROM ${BASE}\nARG ARCHIVE\nRUN apt-get update\n"}).path
    path.write_text(path.read_text().replace('[profiles.p.archive]\nsuite = "trixie"\ndate = "2026-01-01"\n', ""))
    with pytest.raises(ConfigError, match="declares ARG ARCHIVE, and profile p has no archive"):
        read(load(path), {})


def test_architectures_that_no_recipe_takes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(GOOD.replace('name = "a"', 'name = "a"\narchs-arg = "CUDA_ARCHS"', 1))
    (tmp_path / "a").mkdir()
    (tmp_path / "a/Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nARG TORCH_CUDA_ARCH_LIST\nRUN true\n")
    with pytest.raises(ConfigError, match="does not declare ARG CUDA_ARCHS"):
        read(load(path), {})
