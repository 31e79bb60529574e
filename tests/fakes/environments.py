"""Environments of Python for tests in which pip itself is the point."""

import importlib.util
import venv
from pathlib import Path


def environment_with_pip(folder: Path) -> Path:
    """An environment with the pip of the one that the tests run in; its Python. To unpack pip anew takes seconds."""
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    found = importlib.util.find_spec("pip")
    assert found and found.origin, "the environment of the tests has pip: CLI/cli.py made it"
    (packages / "pip").symlink_to(Path(found.origin).parent)
    return folder / "bin/python"
