"""What Cloud Build gets is what gcloud would upload."""

import shutil
import subprocess
from pathlib import Path

import pytest

from arrstack.errors import ConfigError
from arrstack.gcp import upload
from tests.conftest import ROOT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Folders of the project's kind, with what must not go along."""
    shutil.copy(ROOT / ".gcloudignore", tmp_path)
    for name in (
        "CLI/cli.py",
        "src/a/b.py",
        "src/a/__pycache__/b.pyc",
        "src/x.egg-info/PKG",
        "Stack/t/Dockerfile",
        ".venv/bin/x",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    for name in ("stack.toml", "secret.json", "Stack/t/.dockerignore", "Stack/t/CLI.pyc"):
        (tmp_path / name).write_text("x")
    (tmp_path / "Stack/link").symlink_to("t")
    return tmp_path


def test_only_what_is_named_goes_along(project: Path) -> None:
    assert [str(path) for path in upload.files(project)] == [
        "CLI/cli.py",
        "Stack/link",
        "Stack/t/.dockerignore",
        "Stack/t/Dockerfile",
        "src/a/b.py",
        "stack.toml",
    ]


@pytest.mark.skipif(not shutil.which("gcloud"), reason="gcloud is not installed here")
def test_gcloud_uploads_the_same_files(tmp_path: Path) -> None:
    told = subprocess.run(
        ["gcloud", "meta", "list-files-for-upload", str(ROOT)],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "CLOUDSDK_CONFIG": str(tmp_path)},
    )
    assert sorted(Path(line) for line in told.stdout.splitlines()) == upload.files(ROOT)


def test_all_that_a_launch_reads_goes_along() -> None:
    files = {str(path) for path in upload.files(ROOT)}
    for name in ("stack.toml", "requirements.lock", "CLI/cli.py", "src/arrstack/__main__.py", "Stack/cloud-build/part.sh"):
        assert name in files
    assert {str(p.relative_to(ROOT)) for p in ROOT.glob("Stack/*/Dockerfile*")} <= files


@pytest.mark.parametrize("line", ["src/tests", "!src/a/b", "[ab]", "/src"])
def test_a_line_that_both_might_not_read_alike_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / ".gcloudignore").write_text(f"/*\n{line}\n")
    with pytest.raises(ConfigError, match=":2: "):
        upload.files(tmp_path)


def test_a_list_of_what_stays_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".gcloudignore").write_text("!/src\n")
    with pytest.raises(ConfigError, match="/\\* is missing"):
        upload.files(tmp_path)


def test_a_missing_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        upload.files(tmp_path)
