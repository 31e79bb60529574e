"""Records of compiles: the stack's, and what this machine saw of its own."""

import pytest

from arrstack.launch import record
from arrstack.launch.record import MOST_ROWS, MOST_TEXT, Row, costs, for_archs, known, later, pieces, rows_of, text_of
from tests.unit.image_programs.programs import program

SHIPPED = "4.00\t0.00\t9\t4.00\t0\tpch\ta.cpp.o\n22.00\t0.00\t9\t22.00\t0\tapart\tk.cu.o\n"


def own(*rows: tuple[float, int, str, str]) -> str:
    return "".join(f"{cost:.2f}\t0.00\t9\t1.00\t{status}\t{what}\t{name}\n" for cost, status, what, name in rows)


def known_of(shipped: str, here: str, archs: int) -> dict[str, float]:
    return costs(known(rows_of(shipped), rows_of(here), archs))


def test_the_shipped_record_has_gpu_code_for_five_architectures() -> None:
    assert known_of(SHIPPED, "", 1) == {"a.cpp.o": 4, "k.cu.o": pytest.approx(10)}
    assert known_of(SHIPPED, "", 5) == {"a.cpp.o": 4, "k.cu.o": 22}


def test_what_the_image_s_programs_and_the_launch_hold_for_dear_is_the_same() -> None:
    schedule = program("schedule")
    assert (record.DEAR, record.GPU_CODE) == (schedule.DEAR, schedule.GPU_CODE)


def test_an_object_s_architectures_may_run_beside_each_other() -> None:
    made = pieces({"a.cpp.o": 4, "k.cu.o": 16}, 3)
    assert made == {
        "a.cpp.o": 4,
        "k.cu.o": pytest.approx(10),
        "k.cu.o (architecture 2 of 3)": pytest.approx(3),
        "k.cu.o (architecture 3 of 3)": pytest.approx(3),
    }
    assert pieces({"a.cpp.o": 4}, 0) == {"a.cpp.o": 4}


def test_a_profile_without_architectures_has_no_gpu_code() -> None:
    also = own((3, 0, "pch", "caffe2/CMakeFiles/torch_cuda.dir/b.cpp.o"))
    assert known_of(SHIPPED + also, "", 0) == {"a.cpp.o": 4}


def test_what_was_compiled_here_counts_for_as_many_architectures_as_are_wanted_now() -> None:
    assert known_of(SHIPPED, own((22, 0, "apart", "k.cu.o")), 5)["k.cu.o"] == 22
    assert known_of(SHIPPED, own((22, 0, "apart", "k.cu.o")), 1)["k.cu.o"] == pytest.approx(10)
    assert costs(for_archs(rows_of(own((10, 0, "apart", "k.cu.o"), (4, 0, "pch", "a.o"))), 5, of=1)) == {"k.cu.o": 22, "a.o": 4}


def test_what_stack_toml_states_stretches_all_but_counts_no_gpu_code() -> None:
    assert costs(known(rows_of(SHIPPED), [], 1, stated=8)) == {"a.cpp.o": 8, "k.cu.o": pytest.approx(20)}


def test_this_machine_s_speed_is_that_of_the_objects_that_it_made() -> None:
    shipped = own((4, 0, "pch", "a.o"), (4, 0, "pch", "b.o"), (60, 0, "pch", "c.o"))
    assert costs(known(rows_of(shipped), rows_of(own((8, 0, "pch", "a.o"), (8, 0, "pch", "b.o"))), 0, stated=34)) == {
        "a.o": 8,
        "b.o": 8,
        "c.o": 120,
    }
    few = known(rows_of(shipped), rows_of(own((8, 0, "pch", "a.o"))), 0, stated=34)
    assert costs(few)["c.o"] == 30, "one object of a few seconds tells no speed"


def test_an_object_that_failed_changes_nothing() -> None:
    assert known_of(SHIPPED, own((5, 1, "pch", "a.cpp.o")), 1)["a.cpp.o"] == 4


def test_a_refusal_is_paid_with_what_follows_it() -> None:
    here = own((2, 1, "pch", "a.cpp.o"), (5, 0, "refused", "a.cpp.o"))
    assert known_of(SHIPPED, here, 1)["a.cpp.o"] == 7


def test_an_object_of_two_compiles_counts_once_and_a_damaged_line_never() -> None:
    rows = later(rows_of(own((5, 0, "pch", "b.o"))), rows_of(own((6, 0, "pch", "b.o")) + "no line\n1\t2\n"))
    assert costs(rows) == {"b.o": 6} and len(rows) == 1


def test_questions_of_cmake_and_links_are_not_kept() -> None:
    assert later([], rows_of(own((1, 0, "plain", "CMakeFiles/cmTC_1.dir/x.o"), (9, 0, "plain", "lib/libx.so")))) == []


def test_a_whole_compile_forgets_objects_that_are_no_more() -> None:
    before = rows_of(own((5, 0, "pch", "gone.o"), (5, 0, "pch", "kept.o")))
    after = [Row(1, 0, 0, 1, 0, "pch", "kept.o"), Row(2, 0, 0, 1, 0, "pch", "new.o")]
    assert costs(later(before, after)) == {"gone.o": 5, "kept.o": 1, "new.o": 2}
    assert costs(later(before, after, whole=True)) == {"kept.o": 1, "new.o": 2}


@pytest.mark.parametrize("row", [(1e308, 0), (1e7, 0), (-1, 0), (float("nan"), 0), (1, 1 << 50)])
def test_a_log_s_line_that_no_edge_could_cost_is_none(row: tuple[float, int]) -> None:
    """Else the sums of every later launch would be infinite."""
    assert rows_of(f"{row[0]}\t0\t{row[1]}\t1\t0\tpch\ta.o\n") == []
    assert rows_of(f"1\t0\t0\t1\t0\tpch\t{'a' * 5000}.o\n") == []


def test_a_record_has_an_end() -> None:
    rows = [Row(float(number % 900), 0, 0, 1, 0, "pch", f"{number}.o") for number in range(MOST_ROWS + 5)]
    assert later([], rows)[-1] == rows[-1] and len(later([], rows)) == MOST_ROWS
    text = text_of(rows)
    assert MOST_TEXT - 100 < len(text) <= MOST_TEXT
    assert min(row.seconds for row in rows_of(text)) > 100, "the cheapest are left out"


def test_what_belongs_together_stays_in_its_order() -> None:
    rows = rows_of(own((2, 1, "pch", "a.o"), (9, 0, "refused", "a.o"), (5, 0, "pch", "b.o")))
    assert costs(rows_of(text_of(rows))) == {"a.o": 11, "b.o": 5}
