"""callgrind's counts become BOLT's profile: who jumped where and how often, and what ran on into the next instruction."""

from pathlib import Path

from tests.conftest import ROOT
from tests.unit.image_programs.programs import program

program("launcher")  # which the other imports
profile = program("compiler_profile", ROOT / "tools/compile-plan")

# Addresses 10 12 14 are a loop that runs 1,000 times and jumps back 999; then a call into the other library, and one within.
CALLGRIND = """# callgrind format
positions: instr
events: Ir

ob=(1) /usr/lib/libLLVM.so.19.1
fl=(1) ???
fn=(1) 0x0000000000000010
0x10 1000
0x12 1000
0x14 1000
jcnd=999/1000 0x10
0x14
0x1a 1
cob=(2) /usr/lib/libclang-cpp.so.19.1
cfi=(1)
cfn=(2) parse
calls=1 0x500
0x1a 70
0x1f 1
cfn=(1)
calls=1 0x10
0x1f 9
0x24 1
jump=1 0x40
0x24
0x40 1

ob=(2)
fn=(2)
0x500 7
cob=(3) /usr/lib/libc.so.6
cfn=(3) malloc
calls=7 0x99
0x500 7
"""


def test_each_library_gets_its_own_jumps_calls_and_stretches(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(CALLGRIND)
    counts = {"libLLVM.so.19.1": profile.Counts(), "libclang-cpp.so.19.1": profile.Counts()}
    profile.read(tmp_path / "a", counts)
    kept = 896  # of 999 and of 1,000: three bits
    assert sorted(counts["libLLVM.so.19.1"].lines()) == sorted(
        [
            f"B 14 10 {kept} 0\n",
            "B 1f 10 1 0\n",
            "B 24 40 1 0\n",
            f"F 10 12 {kept}\n",
            f"F 12 14 {kept}\n",
            "F 14 1a 1\n",
            "F 1a 1f 1\n",
            "F 1f 24 1\n",
        ]
    )
    assert list(counts["libclang-cpp.so.19.1"].lines()) == ["B 0 500 1 0\n"], "a call from another library: from nowhere"


def test_of_several_recordings_the_counts_are_added(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(CALLGRIND)
    counts = {"libLLVM": profile.Counts()}
    for _ in range(2):
        profile.read(tmp_path / "a", counts)
    assert counts["libLLVM"].ran[0x10] == 2000
    assert counts["libLLVM"].branches[(0x24, 0x40)] == 2
