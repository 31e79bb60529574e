"""The wheels that a registry holds for a stack."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from arrstack.errors import ConfigError, RegistryError
from arrstack.launch.plan import Facts, wheel_plans
from arrstack.launch.wheelhouse import PublishedWheel, published, runtime_packages, wanted
from arrstack.model import LABEL_ARCHS, LABEL_CREATED, LABEL_VERSION, Image
from arrstack.recipes.config import LoadedStack, load
from arrstack.recipes.tiers import Recipe, read
from tests.fakes.registry import MemoryRegistry

DOCKERFILE = (
    "ARG BASE\nFROM ${BASE} AS maker\nARG LIB_VERSION\nARG LIB_KEY\nRUN make ${LIB_VERSION}\n"
    "FROM scratch AS lib-wheel\nCOPY --from=maker /wheels /\nFROM ${BASE}\nCOPY --from=lib-wheel / /wheels/\n"
)
WHEEL = '  [[tiers.wheels]]\n  name = "lib"\n  stage = "lib-wheel"\n  distribution = "Lib"\n  version-arg = "LIB_VERSION"\n  key-arg = "LIB_KEY"\n'


@pytest.fixture
def stack(write_stack: Callable[..., LoadedStack]) -> LoadedStack:
    path = write_stack({"one": DOCKERFILE}, {"LIB_VERSION": "1.5"}).path
    path.write_text(path.read_text().replace("[profiles.p]", WHEEL + "[profiles.p]"))
    return load(path)


@pytest.fixture
def recipes(stack: LoadedStack) -> list[Recipe]:
    return read(stack, {})


def put(registry: MemoryRegistry, tag: str, created: str, **labels: str) -> None:
    image = Image("one", f"sha256:{tag}", f"sha256:{tag}", tag, {LABEL_CREATED: created, **labels}, "", 5)
    registry.put("one", tag, image)


def tag_of(recipes: list[Recipe]) -> str:
    return wheel_plans(recipes[0].planned, Facts(MemoryRegistry().lookup))[0].tag


def test_the_working_tree_s_wheel_comes_first_and_the_others_by_age(stack: LoadedStack, recipes: list[Recipe]) -> None:
    registry = MemoryRegistry()
    put(registry, tag_of(recipes), "2026-01-01T00:00:00+00:00")
    put(registry, f"lib-wheel-{'1' * 24}", "2026-02-01T00:00:00+00:00", **{LABEL_VERSION: "1.4", LABEL_ARCHS: "sm_89 sm_90"})
    put(registry, f"lib-wheel-{'2' * 24}", "2026-03-01T00:00:00+00:00")
    put(registry, f"key-{'3' * 24}", "2026-03-01T00:00:00+00:00")
    held = published(stack, recipes, registry)
    assert [(w.current, w.version, w.architectures, w.key[0]) for w in held][1:] == [
        (False, None, None, "2"),
        (False, "1.4", ("sm_89", "sm_90"), "1"),
    ]
    assert (held[0].current, held[0].version, held[0].architectures) == (True, "1.5", ()), "the same key means the same arguments"


def test_what_a_registry_cannot_tell_is_no_empty_list(stack: LoadedStack, recipes: list[Recipe]) -> None:
    registry = MemoryRegistry()
    put(registry, tag_of(recipes), "")
    registry.unknown.add(("one", tag_of(recipes)))
    with pytest.raises(RegistryError, match="cannot be told: 503"):
        published(stack, recipes, registry)


def test_a_wheel_that_is_not_compiled_is_named_before_anything_is_written(stack: LoadedStack, recipes: list[Recipe]) -> None:
    registry = MemoryRegistry()
    put(registry, tag_of(recipes), "")
    held: list[PublishedWheel] = published(stack, recipes, registry)
    assert wanted(recipes, held) == held
    with pytest.raises(ConfigError, match="not compiled yet, as the working tree has it: one/lib"):
        wanted(recipes, [replace(wheel, current=False) for wheel in held])


@pytest.mark.parametrize(
    ("text", "packages"),
    [
        ('{"runtime_packages": ["libgomp1", "libopenblas0"]}', ("libgomp1", "libopenblas0")),
        ('{"runtime_packages": "libgomp1"}', ()),
        ("[]", ()),
        ("no json", ()),
    ],
)
def test_what_a_wheel_loads_of_the_distribution_is_read_from_its_record(tmp_path: Path, text: str, packages: object) -> None:
    (tmp_path / "record.json").write_text(text)
    assert runtime_packages(tmp_path / "record.json") == packages
    assert runtime_packages(tmp_path / "none.json") == ()
