"""CUDA's rules for what runs where, GPU model by GPU model."""

import pytest

from arrstack.verify.compat import Mode, machine_code_runs, ptx_runs
from arrstack.verify.entries import Arch
from arrstack.verify.gpus import load_gpus

GPUS = load_gpus()


@pytest.mark.parametrize(
    ("arch", "model", "mode"),
    [
        (Arch(89), "L4", Mode.NATIVE),
        (Arch(86), "L4", Mode.LOWER_MINOR),
        (Arch(80), "L40S", Mode.LOWER_MINOR),
        (Arch(89), "A6000", Mode.NO),
        (Arch(90), "L4", Mode.NO),
        (Arch(75), "A100", Mode.NO),
        (Arch(70), "T4", Mode.LOWER_MINOR),
        (Arch(90), "H200", Mode.NATIVE),
        (Arch(90, "a"), "H100", Mode.NATIVE),
        (Arch(100, "a"), "B300", Mode.NO),
        (Arch(100, "f"), "B300", Mode.LOWER_MINOR),
        (Arch(100), "B300", Mode.LOWER_MINOR),
        (Arch(100), "RTX 5090", Mode.NO),
        (Arch(120), "RTX 5090", Mode.NATIVE),
    ],
)
def test_machine_code_runs_on_its_own_major_version_from_its_minor_up(arch: Arch, model: str, mode: Mode) -> None:
    assert machine_code_runs(arch, GPUS[model]) is mode


@pytest.mark.parametrize(
    ("arch", "model", "mode"),
    [
        (Arch(50), "B200", Mode.PTX),
        (Arch(90), "H100", Mode.PTX),
        (Arch(90), "L4", Mode.NO),
        (Arch(90, "a"), "H100", Mode.PTX),
        (Arch(90, "a"), "B200", Mode.NO),
        (Arch(100, "f"), "B300", Mode.PTX),
        (Arch(100, "f"), "RTX 5090", Mode.NO),
    ],
)
def test_ptx_is_compiled_for_anything_as_new_but_variants_stay_at_home(arch: Arch, model: str, mode: Mode) -> None:
    assert ptx_runs(arch, GPUS[model]) is mode


def test_the_models_that_people_ask_for_are_known() -> None:
    assert {"T4", "A100", "A6000", "RTX 3090", "L4", "L40S", "H100", "H200", "B200"} <= GPUS.keys()
