"""The progress markers."""

import subprocess

import pytest

from tests.unit.image_programs.programs import COMMON


@pytest.mark.parametrize(
    ("percent", "gems"),
    [
        ("10", "Sapphire"),
        ("15", "Diamond"),
        ("15", "Aquamarine"),
        ("70", "First Harmonic"),
        ("85", "Double Harmonic"),
        ("100", "Triple Harmonic"),
    ],
)
def test_markers_have_the_gems_of_their_milestone(percent: str, gems: str) -> None:
    told = subprocess.run([COMMON / "chonk", percent, "PyTorch MUHNCHED!"], check=True, capture_output=True, text=True).stdout
    assert told.startswith(f"🔹CHONK: [{percent}%] PyTorch MUHNCHED! ")
    assert gems in told
    assert told.count("▰") == int(percent) // 10
