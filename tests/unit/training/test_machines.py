"""The machines of Vertex AI's custom training."""

import copy
from typing import Any

import pytest
from google.cloud.aiplatform_v1.types import AcceleratorType

from arrstack.errors import ConfigError
from arrstack.training.machines import cheapest_first, choose, machines, table
from arrstack.verify.gpus import load_gpus

EVERY = machines()


def test_every_accelerator_is_one_of_vertex_ai_s_and_every_gpu_one_that_verify_knows() -> None:
    for name, of in table()["accelerators"].items():
        assert name in AcceleratorType.__members__
        assert of["gpu"] in load_gpus()


def test_every_machine_has_sizes_and_no_machine_stands_there_twice() -> None:
    assert all(each.processors > 0 and each.memory > 0 for each in EVERY)
    keys = [(each.name, each.accelerator, each.gpus) for each in EVERY]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("name", "gpu", "gpus", "found"),
    [
        ("", "L4", 0, "g2-standard-4 with 1 L4"),
        ("", "L4", 4, "g2-standard-48 with 4 L4"),
        ("", "A100", 1, "a2-highgpu-1g with 1 A100"),
        ("a2-ultragpu-1g", "", 0, "a2-ultragpu-1g with 1 A100"),
        ("a2-ultragpu-1g", "A100", 1, "a2-ultragpu-1g with 1 A100"),
        ("n1-standard-4", "", 0, "n1-standard-4"),
        ("n1-standard-4", "T4", 0, "n1-standard-4 with 1 T4"),
    ],
)
def test_a_machine_is_found_by_what_a_person_says(name: str, gpu: str, gpus: int, found: str) -> None:
    assert str(choose(EVERY, name, gpu, gpus)) == found


@pytest.mark.parametrize(
    ("name", "gpu", "gpus", "told", "hint"),
    [
        ("x9-huge", "", 0, "--machine x9-huge: no machine type that this program knows", "--where"),
        ("", "", 0, "no machine is named", r"\[training\]"),
        ("a2-highgpu-1g", "L4", 0, "there is no a2-highgpu-1g with L4", "it may have: 1 A100"),
        ("", "L4", 3, "there is no machine with 3 L4", "it may have: 1 L4, 2 L4, 4 L4, 8 L4"),
        ("e2-standard-4", "", 2, "there is no e2-standard-4 with 2 GPUs", "it may have: none"),
    ],
)
def test_what_is_no_machine_is_told_with_what_there_is(name: str, gpu: str, gpus: int, told: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=told) as error:
        choose(EVERY, name, gpu, gpus)
    assert hint.replace("\\", "") in error.value.hint


def test_a_machine_with_arm_processors_says_so() -> None:
    assert [each.name for each in EVERY if not each.is_x86] == ["a4x-highgpu-4g"]


def priced(**prices: dict[str, Any]) -> Any:
    known = copy.deepcopy(table())
    known["prices"] = prices
    return machines(known)


def test_the_cheapest_whose_price_is_known_stands_first_and_the_others_keep_their_order() -> None:
    known = priced(
        **{
            "a2-highgpu-1g NVIDIA_TESLA_A100:1": {"standard": 3.0, "spot": 1.5},
            "g2-standard-4 NVIDIA_L4:1": {"standard": 4.0, "spot": 1.0},
        }
    )
    assert [str(each) for each in cheapest_first(known, spot=True)][:3] == [
        "g2-standard-4 with 1 L4",
        "a2-highgpu-1g with 1 A100",
        "e2-standard-4",
    ]
    assert cheapest_first(known, spot=False)[0].name == "a2-highgpu-1g"


def test_no_price_is_known_that_no_page_says() -> None:
    assert table()["prices"] == {}
    assert {each.price(True) for each in EVERY} == {None}
