"""`[buildx]` in the stack file: when a builder of docker buildx builds, and what is then refused."""

from pathlib import Path

import pytest

from arrstack.cli.buildx import maker
from arrstack.cli.cache import mounted
from arrstack.cli.session import Options, Session
from arrstack.engines import Buildah
from arrstack.engines.buildkit import BuildKit
from arrstack.errors import ConfigError, MachineError
from arrstack.machine.process import Processes

STACK = """default-profile = "p"
[[tiers]]
name = "tier"
recipe = "tier"
context = "tier"
[profiles.p]
description = "a test"
[profiles.p.bases]
BASE = { method = "pull", image = "debian:trixie" }
[profiles.p.archive]
suite = "trixie"
date = "2026-01-01"
[profiles.p.args]
"""
NAMED = '[buildx]\nbuilder = "farm"\nnetwork = "host"\n'


def session(folder: Path, engine: str, more: str = NAMED) -> Session:
    (folder / "stack.toml").write_text(STACK + more)
    return Session(Options(stack=folder / "stack.toml", engine=engine), {"HOME": str(folder)})


@pytest.mark.parametrize(
    ("engine", "more", "by_it"), [("auto", NAMED, True), ("buildx", NAMED, True), ("buildah", NAMED, False), ("auto", "", False)]
)
def test_the_stack_files_builder_builds_unless_another_engine_is_asked_for(
    tmp_path: Path, engine: str, more: str, by_it: bool
) -> None:
    assert session(tmp_path, engine, more).by_buildx is by_it


def test_the_builder_is_the_one_that_the_stack_file_names(tmp_path: Path) -> None:
    made = maker(session(tmp_path, "auto"), Buildah(Processes({}), tmp_path, True))
    assert isinstance(made, BuildKit)
    assert (made.builder, made.network) == ("farm", "host")


def test_without_a_name_the_engine_is_refused_with_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="names no builder") as told:
        session(tmp_path, "buildx", "").by_buildx  # noqa: B018
    assert '[buildx] with builder = "NAME"' in told.value.hint


@pytest.mark.parametrize("name", ["-x", "a b", "a;b"])
def test_a_name_that_is_no_builders_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="builder"):
        session(tmp_path, "auto", f'[buildx]\nbuilder = "{name}"\n').stack  # noqa: B018


def test_the_compiler_cache_of_a_builder_elsewhere_cannot_be_moved(tmp_path: Path) -> None:
    here = session(tmp_path, "auto")
    with pytest.raises(MachineError, match="at buildx's builder farm"):
        mounted(here, here.output())
