"""What the tests of fetching share."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from tests.unit.image_programs.programs import program

fetch = program("fetch")
EPOCH = 1_735_689_600
Fetch = Callable[..., Path]


def names(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir() and ".git" not in path.parts}


@pytest.fixture
def fetched(tmp_path: Path, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> Fetch:
    """Fetches a source into one folder, with a profile and apt's sources of the test's own."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(EPOCH))
    monkeypatch.delenv("COMPILE_PLAN", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    (tmp_path / "profile.env").write_text("USE_X=1\n")
    (tmp_path / "debian.sources").write_text(f"Types: deb\nURIs: {httpserver.url_for('/debian')}\nSuites: trixie\n")
    directory = tmp_path / "a tree"
    directory.mkdir()
    (directory / ".arrstack-lock").touch()

    def run(pin: str, method: str, *arguments: str) -> Path:
        sources = (str(tmp_path / "sources.list"), str(tmp_path / "*.sources"))
        assert fetch.main(directory, pin, method, list(arguments), tmp_path / "profile.env", sources) == 0
        return directory

    return run
