"""What is made of the record of CUDA parts."""

from tests.conftest import ROOT
from tests.unit.image_programs.programs import program

parts = program("parts")
ptx = program("ptx", ROOT / "tools/compile-plan")


def row(name: str, arch: str, digest: str, what: str = "cicc", seconds: float = 1.0):  # type: ignore[no-untyped-def]
    return parts.Row(seconds, 0.0, 1, seconds, 0, what, name, arch, digest)


def test_a_line_is_read_as_it_was_written() -> None:
    written = row("a.o", "compute_90", "abc")
    assert parts.read(written.line) == [written]


def test_a_line_without_a_digest_is_one_of_an_older_build() -> None:
    assert parts.read("1.00\t0.50\t9\t2.00\t0\tcicc\ta.o\tcompute_90\n")[0].digest == ""


def test_architectures_with_the_same_code_are_groups_from_the_lowest() -> None:
    found = ptx.same({"compute_90": "x", "compute_80": "x", "compute_75": "y", "compute_86": "y", "compute_100": "z"})
    assert found == [["compute_75", "compute_86"], ["compute_80", "compute_90"]]


def test_an_architectures_own_variant_stands_behind_it() -> None:
    assert ptx.same({"compute_90a": "x", "compute_90": "x"}) == [["compute_90", "compute_90a"]]


def test_what_came_from_the_cache_counts_and_what_failed_does_not() -> None:
    rows = [row("a.o", "compute_80", "x"), row("a.o", "compute_89", "x", "kept cicc"), row("a.o", "ptxas", "", "ptxas")]
    failed = parts.Row(1.0, 0.0, 1, 1.0, 1, "cicc", "a.o", "compute_90", "x")
    assert ptx.digests([*rows, failed]) == {"a.o": {"compute_80": "x", "compute_89": "x"}}
