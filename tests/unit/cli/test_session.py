"""What a call's options come to."""

from pathlib import Path

import pytest

from arrstack.cli.session import Options, Session
from arrstack.registry import LOOKING, WORKING
from arrstack.registry.distribution import Distribution


def test_a_command_that_works_waits_for_a_server_and_tells_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = Session(Options(registry="127.0.0.1:5000/x"), {"HOME": str(tmp_path)})
    looks = session.registry
    assert isinstance(looks, Distribution) and looks.client.patience == LOOKING
    session.be_patient(session.output())
    works = session.registry
    assert isinstance(works, Distribution) and works.client.patience == WORKING
    works.client.say("trying again in 7 s")
    assert "trying again in 7 s" in capsys.readouterr().out
