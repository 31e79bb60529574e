"""wandb's launch imports the whole client of Compute Engine: ten seconds of a processor, in each process that collects these tests, and
nothing of it is used by what is tested here. An empty module stands in its place while wandb is imported."""

import importlib
import sys
from types import ModuleType

import pytest

CLIENT = "google.cloud.compute_v1"

with pytest.MonkeyPatch.context() as patch:
    patch.setitem(sys.modules, CLIENT, sys.modules.get(CLIENT) or ModuleType(CLIENT))
    importlib.import_module("wandb.sdk.launch.environment.gcp_environment")
