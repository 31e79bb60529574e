"""`shell`: which step, and what is no step."""

import os
import subprocess

import pytest

from arrstack.cli.session import Options, Session
from arrstack.cli.shell import failed_step, failed_words, steps_of
from arrstack.errors import ConfigError
from tests.conftest import ROOT
from tests.fakes.command_line import arrstack

STACK = ROOT / "examples/small/stack.toml"


@pytest.fixture
def session() -> Session:
    return Session(Options(stack=STACK), os.environ)


def fail(session: Session, log: str, text: str = "") -> None:
    session.folders.logs.mkdir(parents=True)
    (session.folders.logs / log).write_text(text)
    session.memory.fail(log)


def test_a_shell_and_json_do_not_share_standard_output() -> None:
    done = arrstack("--stack", str(STACK), "launch", "--shell-on-failure", "--json")
    assert (done.returncode, "both want standard output" in done.stderr) == (2, True)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return arrstack("--stack", str(STACK), "shell", *arguments)


def test_the_steps_are_tiers_wheels_and_stages(session: Session) -> None:
    assert steps_of(session)[:3] == ["small-base", "small-base/shapes", "small-tools"]


def test_the_step_that_failed_last_is_known_by_its_log(session: Session) -> None:
    fail(session, "20260101T000000Z-small-base-shapes.log", 'x\nError: building at STEP "RUN make": exit status 2\n')
    assert failed_step(session) == "small-base/shapes"
    assert failed_words(session, "small-base/shapes") == "RUN make"
    assert failed_words(session, "small-base") == ""


def test_a_failure_without_a_recipe_is_said_to_be_one(session: Session) -> None:
    fail(session, "20260101T000000Z-base-base-devel.log")
    with pytest.raises(ConfigError, match="of no step with a recipe"):
        failed_step(session)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "has failed here"),
        ([], "name a step: small-base, small-base/shapes"),
        (["nope"], "there is no step 'nope'"),
        (["small-base", "--before", "999"], "line 999"),
        (["small-base", "--before", "0"], "line 0"),
    ],
)
def test_what_cannot_be_opened_is_said(arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
