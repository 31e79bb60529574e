"""What a call's options come to."""

from collections.abc import Callable
from pathlib import Path

import pytest

from arrstack.cli.session import Options, Session
from arrstack.recipes.config import LoadedStack
from arrstack.registry import LOOKING, WORKING
from arrstack.registry.distribution import Distribution
from tests.conftest import ROOT


def test_a_command_that_works_waits_for_a_server_and_tells_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = Session(Options(registry="127.0.0.1:5000/x"), {"HOME": str(tmp_path)})
    looks = session.registry
    assert isinstance(looks, Distribution) and looks.client.patience == LOOKING
    session.be_patient(session.output())
    works = session.registry
    assert isinstance(works, Distribution) and works.client.patience == WORKING
    works.client.say("trying again in 7 s")
    assert "trying again in 7 s" in capsys.readouterr().out


def test_only_a_stack_file_of_this_checkout_is_its_own(write_stack: Callable[..., LoadedStack], tmp_path: Path) -> None:
    other = write_stack({"t": "ARG BASE\nFROM $BASE\n"}).path
    (tmp_path / "elsewhere").symlink_to(ROOT / "stack.toml")
    own = [ROOT / "stack.toml", ROOT / "examples/small/stack.toml", tmp_path / "elsewhere"]
    assert [Session(Options(stack=path), {}).stack_is_own for path in own] == [True, True, True]
    assert not Session(Options(stack=other), {}).stack_is_own
