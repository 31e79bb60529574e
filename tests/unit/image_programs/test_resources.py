"""The first gate for another compiler's device code."""

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.unit.image_programs.programs import program

resources = program("resources", ROOT / "tools/compile-plan")

TOLD = """
Resource usage:
 Common:
  GLOBAL:0
 Function _Z1av:
  REG:32 STACK:0 SHARED:1024 LOCAL:0 CONSTANT[0]:888 TEXTURE:0 SURFACE:0 SAMPLER:0
 Function _Z1bv:
  REG:255 STACK:16 SHARED:0 LOCAL:8 CONSTANT[0]:400 TEXTURE:0 SURFACE:0 SAMPLER:0
"""
NVCC = {"a": resources.Usage(32, 0, 1024, 0), "b": resources.Usage(255, 16, 0, 8)}


def test_a_kernels_resources_are_read_from_what_cuobjdump_says() -> None:
    assert resources.read(TOLD) == {f"_Z1{name}v": held for name, held in NVCC.items()}


def test_of_several_architectures_each_kernel_counts_for_each() -> None:
    """Else the last one's would stand for all."""
    told = f"Fatbin elf code:\n================\narch = sm_80\n{TOLD}\nFatbin elf code:\n================\narch = sm_90\n{TOLD}"
    assert resources.read(told) == {f"{arch} _Z1{name}v": held for arch in ("sm_80", "sm_90") for name, held in NVCC.items()}
    assert resources.read(told.replace("sm_80", "sm_90")) == resources.read(TOLD)


@pytest.mark.parametrize(
    ("says", "read"),
    [("Resource usage:", True), ("does not contain device code; false", True), ("", False), ("fatal; false", False)],
)
def test_code_that_cannot_be_read_is_no_object_without_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, read: bool
) -> None:
    (tmp_path / "cuobjdump").write_text(f"#!/bin/sh\necho {says}\n")
    (tmp_path / "cuobjdump").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    if read:
        assert resources.usage(Path("a.o")) == {}
    else:
        with pytest.raises(SystemExit, match=r"error: cuobjdump does not read a\.o: "):
            resources.usage(Path("a.o"))


def test_the_same_or_less_may_stand() -> None:
    assert resources.reasons(NVCC, {"a": resources.Usage(40, 0, 1024, 0), "b": resources.Usage(128, 0, 0, 0)}) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"a": resources.Usage(32, 8, 1024, 0)}, "a: 8 bytes of stack, nvcc 0"),
        ({"b": resources.Usage(255, 16, 0, 16)}, "b: 16 bytes of local, nvcc 8"),
        ({"a": resources.Usage(32, 0, 512, 0)}, "a: 512 bytes of shared memory, nvcc 1024"),
        ({"c": resources.Usage(1, 0, 0, 0)}, "c: nvcc has none such"),
    ],
)
def test_more_memory_or_another_kernel_is_a_reason_against_it(change: dict[str, object], reason: str) -> None:
    assert resources.reasons(NVCC, NVCC | change) == [reason]


def test_a_missing_kernel_is_a_reason_against_it() -> None:
    assert resources.reasons(NVCC, {"a": NVCC["a"]}) == ["b: missing"]


def test_an_anonymous_namespace_has_one_name_whoever_compiled_it() -> None:
    by_nvcc = "_ZN2at4cuda40_GLOBAL__N__e3e1ed28_8_Sleep_cu_088d913f11spin_kernelEl"
    assert resources.common_name(by_nvcc) == "_ZN2at4cuda12_GLOBAL__N_111spin_kernelEl"
    assert resources.common_name("_ZN2at4cuda12_GLOBAL__N_111spin_kernelEl") == "_ZN2at4cuda12_GLOBAL__N_111spin_kernelEl"
