"""The programs that the bottom recipe runs inside the image, loaded here."""

import importlib.util
import sys
import types
from pathlib import Path

from tests.conftest import ROOT

RECIPE = ROOT / "Stack/arr-pytorch-base"
COMMON = RECIPE / "build/common"


def program(name: str, folder: Path = COMMON) -> types.ModuleType:
    """A program as a module. Another program that imports it finds this one: load it first."""
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
