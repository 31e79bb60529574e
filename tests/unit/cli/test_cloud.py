"""`--engine cloudbuild`: what the flags and the stack file come to, before anything is asked of the network."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from arrstack.cli.cloud import ordered, packed, refuse
from arrstack.cli.cost import how_many
from arrstack.cli.session import BuildOptions, Options, Session
from arrstack.errors import ConfigError
from arrstack.recipes.config import LoadedStack
from arrstack.recipes.tiers import Wheels
from tests.conftest import ROOT

OPTIONS = Options(stack=ROOT / "stack.toml", engine="cloudbuild", project="my-project")
SUBSTITUTIONS = {"_MAX_JOBS": "auto", "_PROFILE": "cpu", "_REGION": "r", "_REGISTRY": "google", "_TAG": "", "_UNKNOWN": "x"}


def session(**options: object) -> Session:
    return Session(replace(OPTIONS, **options), {"HOME": "/nonexistent"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "flag"),
    [
        (BuildOptions(wheels=Wheels(Path("folder"))), "--wheels"),
        (BuildOptions(force=True), "--force"),
        (BuildOptions(compile_plan="none"), "--compile-plan"),
        (BuildOptions(only="image"), "--only"),
    ],
)
def test_what_a_build_there_cannot_know_of_is_refused(asked: BuildOptions, flag: str) -> None:
    with pytest.raises(ConfigError, match=f"{flag} with --engine cloudbuild"):
        refuse(session(), asked)


@pytest.mark.parametrize("place", ["oci:/folder", "/folder", "./folder"])
def test_a_registry_of_this_machine_is_refused(place: str) -> None:
    with pytest.raises(ConfigError, match="a build in the cloud cannot publish to"):
        refuse(session(registry=place), BuildOptions())


def test_without_a_word_images_go_to_artifact_registry() -> None:
    refuse(session(), BuildOptions())
    assert session().place_of_registry == "google"
    assert "my-project/arr-coc-registry-persistent" in session().registry.name


def test_a_wheel_is_its_part_of_the_tiers_file() -> None:
    build = ordered(session(), "arr-pytorch-base/vision", SUBSTITUTIONS, "projects/p/locations/r/workerPools/w")
    assert [step["id"] for step in build["steps"]] == ["worker", "vision"]
    assert build["substitutions"]["_MAX_JOBS"] == "auto"
    assert "_UNKNOWN" not in build["substitutions"]
    assert build["options"]["pool"] == {"name": "projects/p/locations/r/workerPools/w"}


def test_a_tier_is_its_image_which_moves_no_tag() -> None:
    build = ordered(session(), "arr-trainer", SUBSTITUTIONS, "")
    assert [step["id"] for step in build["steps"]] == ["worker", "image"]
    assert "pool" not in build["options"]


def test_jobs_are_those_of_the_machines_there() -> None:
    assert how_many(session(), "auto")[0] == 176
    assert how_many(session(), "3")[0] == 3


def test_the_project_is_packed_as_gcloud_would_upload_it(tmp_path: Path) -> None:
    made = Session(OPTIONS, {"XDG_CACHE_HOME": str(tmp_path)})
    first, second = packed(made), packed(made)
    assert first.digest == second.digest
    assert first.path != second.path


def test_a_stack_without_the_product_is_refused(write_stack: Callable[..., LoadedStack]) -> None:
    stack = write_stack({"one": "FROM scratch\n"})
    with pytest.raises(ConfigError, match="is not in a project that can be built elsewhere"):
        packed(session(stack=stack.path))


def test_another_stack_file_of_the_project_is_built_with_its_own_name() -> None:
    example = session(stack=ROOT / "examples/small/stack.toml", profile="debian")
    build = ordered(example, "small-base/shapes", SUBSTITUTIONS, "")
    assert [step["id"] for step in build["steps"]] == ["worker", "shapes"]
    assert "ARRSTACK_STACK=examples/small/stack.toml" in build["options"]["env"]


def test_a_build_file_of_another_stack_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "CLI").mkdir()
    (tmp_path / "CLI/cli.py").touch()
    shutil.copytree(ROOT / "examples/small", tmp_path / "mine")
    with pytest.raises(ConfigError, match=r"builds stack\.toml, not mine/stack\.toml") as told:
        ordered(session(stack=tmp_path / "mine/stack.toml", profile="debian"), "small-base", SUBSTITUTIONS, "")
    assert "ARRSTACK_STACK=mine/stack.toml" in told.value.hint


def test_a_stack_file_that_would_not_be_uploaded_is_refused(tmp_path: Path) -> None:
    (tmp_path / "CLI").mkdir()
    (tmp_path / "CLI/cli.py").touch()
    (tmp_path / ".gcloudignore").write_text("/*\n!/CLI\n")
    shutil.copytree(ROOT / "examples/small", tmp_path / "mine")
    with pytest.raises(ConfigError, match="would not be uploaded"):
        packed(session(stack=tmp_path / "mine/stack.toml", profile="debian"))
