"""A git source is pinned by its commit: submodules are those that it names, and a tag that was moved is refused."""

import subprocess
from pathlib import Path

import pytest

from tests.unit.image_programs.conftest import Fetch, names


def git(folder: Path, *words: str) -> str:
    settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *settings, *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", text)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a submodule, which has gone on since, and an annotated tag."""
    for name, value in {"COUNT": "1", "KEY_0": "protocol.file.allow", "VALUE_0": "always"}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    part, whole = tmp_path / "part", tmp_path / "whole"
    for folder in (part, whole):
        folder.mkdir()
        git(folder, "init", "--quiet")
    commit(part, "part.h", "as the whole wants it\n")
    git(whole, "submodule", "--quiet", "add", part.as_uri(), "third_party/part")
    commit(part, "part.h", "newer\n")
    commit(whole, "whole.cpp", "first\n")
    git(whole, "tag", "--annotate", "--message", "release", "v1.0")
    return whole


def test_a_tag_is_cloned_with_the_submodules_that_its_commit_names(fetched: Fetch, repository: Path) -> None:
    pin = git(repository, "rev-parse", "HEAD")
    commit(repository, "whole.cpp", "second\n")
    tree = fetched(pin, "git", repository.as_uri(), "v1.0")
    assert (tree / "whole.cpp").read_text() == "first\n"
    assert (tree / "third_party/part/part.h").read_text() == "as the whole wants it\n"
    assert git(tree, "status", "--porcelain", "--ignore-submodules=none").splitlines() == [
        "?? .arrstack-fetched",
        "?? .arrstack-lock",
    ]
    assert git(tree, "rev-list", "--count", "HEAD") == "1"


def test_a_tag_that_was_moved_is_refused(fetched: Fetch, repository: Path, tmp_path: Path) -> None:
    pin = git(repository, "rev-parse", "HEAD")
    moved = commit(repository, "whole.cpp", "another\n")
    git(repository, "tag", "--force", "v1.0")
    with pytest.raises(SystemExit) as refused:
        fetched(pin, "git", repository.as_uri(), "v1.0")
    text = str(refused.value)
    assert text.startswith(f"error: v1.0 of {repository.as_uri()} is not the commit that stack.toml pins ({pin}): it is {moved}.")
    assert names(tmp_path / "a tree") == {".arrstack-lock"}


def test_a_tag_that_is_not_there_is_named(fetched: Fetch, repository: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: cannot fetch v2\.0 of file://"):
        fetched("a" * 40, "git", repository.as_uri(), "v2.0")
