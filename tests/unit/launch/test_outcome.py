"""How a launch went, as the next command says it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from arrstack.errors import BuildError, ConfigError
from arrstack.launch.outcome import last_failed, remembered, sentence
from arrstack.machine.folders import Folders
from arrstack.machine.memory import Launched, Memory

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("raised", "result", "detail"),
    [
        (None, "done", ""),
        (BuildError("torch: no space\nlog: /x"), "failed", "torch: no space"),
        (KeyboardInterrupt(), "interrupted", ""),
    ],
)
def test_whatever_ends_a_launch_is_noted(tmp_path: Path, raised: BaseException | None, result: str, detail: str) -> None:
    memory = Memory(tmp_path)
    try:
        with remembered(memory, lambda: NOW):
            assert memory.launched() == Launched("2026-01-01T00:00:00+00:00"), "meanwhile it counts as one that was killed"
            if raised:
                raise raised
    except (BuildError, KeyboardInterrupt) as error:
        assert error is raised
    assert memory.launched() == Launched("2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00+00:00", result, detail)


def test_each_outcome_is_a_sentence() -> None:
    def said(last: Launched | None, running: str = "") -> str:
        return sentence(last, running, lambda at: "5 min")

    assert said(None) == "no launch yet"
    assert said(Launched("a", "b", "done")) == "the last launch was done 5 min ago"
    assert said(Launched("a", "b", "failed", "torch: no space")) == "the last launch failed 5 min ago: torch: no space"
    assert said(Launched("a", "b", "failed", "torch: no space", "a.log")).endswith(
        "no space; `arrstack diagnose` names the cause"
    )
    assert "was killed" in said(Launched("a"))
    assert said(Launched("a"), "process 7") == "", "it runs: that is said already"


def test_the_log_of_the_last_failure_is_found(tmp_path: Path) -> None:
    memory, folders = Memory(tmp_path / "memory"), Folders(tmp_path, tmp_path, tmp_path)
    with pytest.raises(ConfigError, match="no step of this stack and profile has failed here"):
        last_failed(memory, folders)
    memory.fail("a.log")
    with pytest.raises(ConfigError, match="is gone"):
        last_failed(memory, folders)
    folders.logs.mkdir()
    (folders.logs / "a.log").write_text("")
    assert last_failed(memory, folders) == folders.logs / "a.log"
