"""The compiler launcher, the groups and the tool that makes them, with the real clang, gcc, CMake, ninja and ccache."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

BOTTOM = ROOT / "Stack/arr-pytorch-base"


@pytest.mark.timeout(1260)
def test_every_trap_of_the_small_tree(tmp_path: Path, own_folders: Path) -> None:
    tree = tmp_path / "grouped"
    shutil.copytree(Path(__file__).parent / "grouped", tree)
    shutil.copytree(BOTTOM / "build/common", tree / "common")
    shutil.copy(BOTTOM / "build/torch/groups.cmake", tree / "torch")
    for tool in ("groups.py", "same.py"):
        shutil.copy(ROOT / "tools/compile-plan" / tool, tree)
    command = [sys.executable, "-m", "arrstack", "--stack", str(tree / "stack.toml"), "launch"]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, timeout=1200
    )
    logs = "".join(path.read_text() for path in Path(own_folders).rglob("*.log"))
    assert done.returncode == 0, logs[-6000:] + done.stderr
    assert "\nall checks of the launcher and its groups hold\n" in logs
    assert "\nno stale hit in 11 mutations\n" in logs
