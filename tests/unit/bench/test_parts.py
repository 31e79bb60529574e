"""What bench/parts.py makes of a record: an architecture more, and PTX that is shared."""

import importlib.util

import pytest

from tests.conftest import ROOT
from tests.unit.image_programs.programs import program

recorded = program("parts")
SPEC = importlib.util.spec_from_file_location("bench_parts", ROOT / "bench/parts.py")  # the image's program has the same name
assert SPEC and SPEC.loader
bench = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(bench)
bench_rows = recorded.read


def lines(*told: tuple[float, str, str]) -> str:
    return "".join(f"{seconds:.2f}\t0.00\t1\t1.00\t0\t{what}\tx.cu.o\t{arch}\t\n" for seconds, what, arch in told)


ONE = (
    (1, "preprocess", ""),
    (2, "cudafe", ""),
    (1, "preprocess", "compute_80"),
    (10, "cicc", "compute_80"),
    (5, "ptxas", "sm_80"),
    (1, "preprocess", "compute_90"),
    (0, "share", "compute_90"),
    (6, "ptxas", "sm_90"),
    (1, "fatbinary", ""),
    (3, "host", ""),
)


def test_what_an_architecture_takes_from_another_counts_as_its_cicc() -> None:
    made = bench.whole(bench_rows(lines(*ONE)))["x.cu.o"]
    assert made["share", "90"] == 10
    assert bench.shared({"x.cu.o": made}) == pytest.approx(30 / 40)


def test_ptx_that_is_anothers_to_the_letter_could_be_made_once() -> None:
    made = [(9, "cicc", "compute_90") if what == "share" else (cost, what, arch) for cost, what, arch in ONE]
    rows = [row._replace(digest="same") if row.what == "cicc" else row for row in bench_rows(lines(*made))]
    assert bench.shared(bench.whole(rows)) == 1
    assert bench.shared(bench.whole(rows), bench.ptx.digests(rows)) == pytest.approx(30 / 39)


def test_an_architecture_more_costs_its_parts_packing_and_the_hosts_code() -> None:
    made = bench.whole(bench_rows(lines(*ONE)))["x.cu.o"]
    assert bench.added(made, "80") == pytest.approx((16 + 4) / (16 + 4 + 3))


def test_parts_of_several_records_are_one_object_and_what_lacks_a_part_counts_nowhere() -> None:
    first = lines(*[each for each in ONE if each[2] != "sm_90"])
    assert bench.whole(bench_rows(lines(*[each for each in ONE if each[1] != "cudafe"]))) == {}
    kept = lines((0, "kept cicc", "compute_80"), (6, "ptxas", "sm_90"))
    assert bench.whole(bench_rows(first + kept)) == bench.whole(bench_rows(lines(*ONE)))


def test_what_one_record_shared_and_another_made_counts_once() -> None:
    rows = bench_rows(lines(*ONE) + lines((9, "cicc", "compute_90")))
    assert bench.shared(bench.whole(rows)) == 1
    assert sum(bench.whole(rows)["x.cu.o"].values()) == 39
