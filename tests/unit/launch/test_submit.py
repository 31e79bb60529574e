"""A job's machine, held against what is in the image."""

import dataclasses

import pytest

from arrstack.errors import ConfigError, UnfitError
from arrstack.launch.submit import judged, modes, places, refuse_unfit, wanted
from arrstack.recipes.places import Training
from arrstack.training.machines import Machine, choose, machines
from arrstack.verify.compat import Choice, Mode
from arrstack.verify.entries import Arch
from arrstack.verify.gpus import load_gpus
from arrstack.verify.policy import load_policy
from arrstack.verify.report import Gpu, Report

FULL = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90")
CODE = {Mode.NATIVE: Arch(89), Mode.LOWER_MINOR: Arch(86), Mode.PTX: Arch(80), Mode.NO: None}
EMPTY = Report("arr-trainer", "image", load_policy(), (), 1, {}, (), (), {"cpu": "x86-64"}, (), ())


def machine(gpu: str, name: str = "") -> Machine:
    return choose(machines(), name, gpu, 0)


def report(**how: Mode) -> Report:
    """Of an image that runs so on these GPUs."""
    gpus = {name: Gpu(load_gpus()[name], Choice(mode, CODE[mode], (8, 4)), {}, 0, 1) for name, mode in how.items()}
    return dataclasses.replace(EMPTY, gpus=gpus)


def test_what_a_person_asks_for_goes_before_the_stack_file() -> None:
    file = Training(machine="a2-highgpu-1g", gpus=1)
    assert wanted(file, "", "", 0).name == "a2-highgpu-1g"
    assert wanted(file, "", "nvidia l4", 0).name == "g2-standard-4"
    assert wanted(file, "e2-standard-4", "", 0).gpus == 0
    assert wanted(Training(gpu="L4", gpus=4), "", "", 0).name == "g2-standard-48"


def test_a_gpu_that_nobody_knows_is_told() -> None:
    with pytest.raises(ConfigError, match="is no GPU that this program knows"):
        wanted(Training(), "", "RTX 9999", 0)


@pytest.mark.parametrize(("gpu", "name"), [("B200", ""), ("V100", ""), ("GB200", "")])
def test_a_gpu_that_no_code_of_the_profile_runs_on_is_refused_before_anything_is_built(gpu: str, name: str) -> None:
    with pytest.raises(UnfitError) as error:
        refuse_unfit(machine(gpu, name), FULL)
    assert error.value.status == 6
    assert "--where" in error.value.hint


def test_a_profile_without_gpu_code_is_refused_a_gpu_and_not_a_processor() -> None:
    with pytest.raises(UnfitError, match=r"L4 \(8.9\) does not run an image with no GPU code"):
        refuse_unfit(machine("L4"), ())
    refuse_unfit(choose(machines(), "e2-standard-4", "", 0), ())


def test_what_the_profile_is_built_for_is_let_through() -> None:
    for gpu in ("T4", "A100", "L4", "H100", "H200"):
        refuse_unfit(machine(gpu), FULL)


def test_an_image_that_runs_natively_is_not_warned_about() -> None:
    assert judged(machine("L4"), report(L4=Mode.NATIVE)) == ""


def test_code_of_a_lower_minor_version_and_ptx_are_warned_about() -> None:
    assert judged(machine("L4"), report(L4=Mode.LOWER_MINOR)) == "L4 (sm_89): runs, by sm_86 code"
    assert "by PTX 8.4 compiled at first use" in judged(machine("L4"), report(L4=Mode.PTX))


@pytest.mark.parametrize("found", [report(L4=Mode.NO), EMPTY], ids=["other code", "no code"])
def test_an_image_that_does_not_run_there_is_refused_by_what_is_in_it(found: Report) -> None:
    with pytest.raises(UnfitError, match=r"arr-trainer: .*nothing was put on the queue"):
        judged(machine("L4"), found)


def test_arm_is_refused_whatever_the_gpu() -> None:
    with pytest.raises(UnfitError):
        judged(machine("GB200"), report(GB200=Mode.NATIVE))


def test_where_lists_what_runs_it_and_nothing_else() -> None:
    found = places(modes(None, FULL), {"NVIDIA_L4": ("europe-west4",)})
    assert {each.machine.gpu for each in found} == {"T4", "L4", "A100", "H100", "H200"}
    assert {each.regions for each in found if each.machine.gpu == "L4"} == {("europe-west4",)}
    assert {each.regions for each in found if each.machine.gpu == "T4"} == {()}


def test_where_takes_the_census_before_the_list() -> None:
    found = places(modes(report(L4=Mode.LOWER_MINOR, T4=Mode.NO), FULL), {})
    assert {(each.machine.gpu, each.mode) for each in found} == {("L4", Mode.LOWER_MINOR)}


def test_where_of_an_image_without_gpu_code_lists_processors() -> None:
    found = places(modes(EMPTY, ()), {})
    assert found and {each.machine.gpus for each in found} == {0}


def test_where_can_be_narrowed() -> None:
    assert [each.machine.name for each in places(modes(None, FULL), {}, gpu="L4", gpus=4)] == ["g2-standard-48"]
    assert [each.machine.name for each in places(modes(None, FULL), {}, name="a3-highgpu-8g")] == ["a3-highgpu-8g"]
