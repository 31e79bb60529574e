"""CLI/cli.py: the environment that it makes, and what it starts in it."""

import hashlib
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT
from tests.fakes.environments import environment_with_pip as with_pip

ENTRY = ROOT / "CLI/cli.py"


@pytest.fixture
def entry(tmp_path: Path) -> Iterator[ModuleType]:
    """The program in a checkout of its own, with a lock that installs nothing."""
    (tmp_path / "CLI").mkdir()
    shutil.copy(ENTRY, tmp_path / "CLI")
    for name in ("requirements.lock", "requirements-dev.lock"):
        (tmp_path / name).write_text(f"# {name}\n")
    spec = importlib.util.spec_from_file_location("entry", tmp_path / "CLI/cli.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def environment(entry: ModuleType, name: str = "requirements.lock") -> Path:
    """A finished environment whose Python is a shell script that says its arguments."""
    folder = Path(entry.place(f"{entry.ROOT}/{name}"))
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").write_text('#!/bin/sh\n[ -z "$HOLD" ] || { echo ready; read line; }\necho "$@"\n')
    (folder / "bin/python").chmod(0o755)
    (folder / entry.STAMP).write_text("")
    return folder


def called(entry: ModuleType, *arguments: str) -> str:
    done = subprocess.run([sys.executable, f"{entry.ROOT}/CLI/cli.py", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def test_the_product_is_started_isolated(entry: ModuleType) -> None:
    environment(entry)
    assert called(entry, "plan", "--json") == "-I -m arrstack plan --json\n"


def test_the_developer_s_environment_serves_too(entry: ModuleType) -> None:
    environment(entry, "requirements-dev.lock")
    assert called(entry, "status").endswith("arrstack status\n")


def test_another_lock_and_another_checkout_are_other_environments(entry: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = f"{entry.ROOT}/requirements.lock"
    first = entry.place(lock)
    Path(lock).write_text("# changed\n")
    assert entry.place(lock) != first
    second = entry.place(lock)
    monkeypatch.setattr(entry, "ROOT", "/elsewhere")
    assert entry.place(lock) != second


def test_an_unfinished_environment_is_none(entry: ModuleType) -> None:
    folder = environment(entry)
    assert entry.finished(str(folder))
    (folder / entry.STAMP).unlink()
    assert not entry.finished(str(folder))


def test_what_a_process_runs_from_is_not_swept(entry: ModuleType) -> None:
    used = environment(entry)
    running = subprocess.Popen(
        [sys.executable, f"{entry.ROOT}/CLI/cli.py", "launch"],
        env=os.environ | {"HOLD": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout and running.stdout.readline() == "ready\n"
    unused = Path(entry.VENVS) / "of-an-older-lock"
    unused.mkdir()
    entry.sweep(f"{entry.VENVS}/new")
    assert used.is_dir()
    assert not unused.exists()
    running.communicate("\n", timeout=10)
    entry.sweep(f"{entry.VENVS}/new")
    assert not used.exists()


def test_the_link_takes_the_place_of_an_older_version_s_folder(entry: ModuleType) -> None:
    folder = environment(entry)
    (Path(entry.VENV) / "bin").mkdir(parents=True)
    entry.point(str(folder))
    assert os.readlink(entry.VENV) == os.path.relpath(folder, entry.ROOT)
    entry.point(str(folder))


def test_the_files_of_the_current_folder_are_no_modules_of_ours(tmp_path: Path) -> None:
    for name in ("tomllib", "typer", "msgspec", "arrstack", "json", "fcntl", "hashlib"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name} of the current folder ran')\n")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for argv in ([sys.executable, str(ENTRY)], [str(ROOT / ".venv/bin/arrstack")]):
        done = subprocess.run([*argv, "--version"], cwd=tmp_path, capture_output=True, text=True, env=clean)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_source_distribution_is_not_installed_though_its_hash_is_right(
    entry: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An index that hides a wheel would have its source distribution's own program run."""
    index = tmp_path / "index/thing"
    index.mkdir(parents=True)
    ran = tmp_path / "ran"
    with tarfile.open(index / "thing-1.tar.gz", "w:gz") as archive:
        for name, text in (
            ("setup.py", f"open({str(ran)!r}, 'w')\n"),
            ("PKG-INFO", "Metadata-Version: 2.1\nName: thing\nVersion: 1\n"),
        ):
            member = tarfile.TarInfo(f"thing-1/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    digest = hashlib.sha256((index / "thing-1.tar.gz").read_bytes()).hexdigest()
    (index / "index.html").write_text(f'<a href="thing-1.tar.gz#sha256={digest}">thing-1.tar.gz</a>')
    Path(f"{entry.ROOT}/requirements.lock").write_text(f"thing==1 --hash=sha256:{digest}\n")
    for name, value in (("INDEX_URL", (tmp_path / "index").as_uri()), ("CONFIG_FILE", os.devnull), ("NO_INDEX", "0")):
        monkeypatch.setenv(f"PIP_{name}", value)
    run = entry.run
    monkeypatch.setattr(entry, "run", lambda *command: with_pip(Path(command[-1])) if "venv" in command else run(*command))
    with pytest.raises(SystemExit) as ended:
        entry.make(f"{entry.ROOT}/requirements.lock")
    assert ended.value.code == entry.MISSING
    told = capsys.readouterr().err
    assert "thing==1" in told
    assert re.match(r"making \.venvs/\w+ from requirements.lock: once, for a minute or more\n", told)
    assert not ran.exists()


def test_an_old_python_is_told_in_a_sentence(entry: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry.sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 5


@pytest.mark.parametrize("linked", [False, True])
def test_the_product_is_told_how_it_was_called(entry: ModuleType, linked: bool, tmp_path: Path) -> None:
    folder = environment(entry)
    (folder / "bin/python").write_text('#!/bin/sh\necho "$ARRSTACK_COMMAND"\n')
    program = Path(f"{entry.ROOT}/CLI/cli.py")
    called = [sys.executable, str(program)]
    path = os.environ["PATH"]
    if linked:
        program.chmod(0o755)
        (tmp_path / "commands").mkdir()
        (tmp_path / "commands/arr").symlink_to(program)
        called, path = ["arr"], f"{tmp_path}/commands:{path}"
    done = subprocess.run(called, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=True)
    assert done.stdout == ("arr\n" if linked else f"python3 {program}\n")
