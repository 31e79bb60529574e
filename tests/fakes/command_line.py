"""The command line within the tests' process: what it says, and its status. To start a Python for each call takes a quarter of a second."""

import contextlib
import io
import os
import subprocess
from pathlib import Path

import pytest

from arrstack.cli.main import main
from tests.conftest import ROOT


def arrstack(*words: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """`arrstack WORDS` in a folder, with these variables besides. An error that nobody catches fails the test."""
    out, errors = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    umask = os.umask(0o022)
    os.umask(umask)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        patch.chdir(cwd)
        patch.setattr("sys.argv", ["arrstack", *words])
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            main()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        finally:
            os.umask(umask)
    said = []
    for stream in (out, errors):
        stream.seek(0)
        said.append(stream.read())
    return subprocess.CompletedProcess(["arrstack", *words], status, *said)
