"""Records of compiles: the stack's, and what this machine saw of its own."""

from arrstack.launch.record import costs, known, later, rows_of

SHIPPED = "4.00\t0.00\t9\t4.00\t0\tpch\ta.cpp.o\n10.00\t0.00\t9\t10.00\t0\tapart\tk.cu.o\n"


def own(*rows: tuple[float, int, str, str]) -> str:
    return "".join(f"{cost:.2f}\t0.00\t9\t1.00\t{status}\t{what}\t{name}\n" for cost, status, what, name in rows)


def known_of(shipped: str, here: str, archs: int) -> dict[str, float]:
    return costs(known(rows_of(shipped), rows_of(here), archs))


def test_the_shipped_record_has_gpu_code_for_one_architecture() -> None:
    assert known_of(SHIPPED, "", 1) == {"a.cpp.o": 4, "k.cu.o": 10}
    assert known_of(SHIPPED, "", 5) == {"a.cpp.o": 4, "k.cu.o": 34}


def test_a_profile_without_architectures_has_no_gpu_code() -> None:
    assert known_of(SHIPPED, "", 0) == {"a.cpp.o": 4}


def test_what_was_compiled_here_counts_as_it_is() -> None:
    assert known_of(SHIPPED, own((6, 0, "apart", "k.cu.o")), 5)["k.cu.o"] == 34, "a fifth of what is known came from a cache"
    assert known_of(SHIPPED, own((20, 0, "apart", "k.cu.o")), 5)["k.cu.o"] == 20


def test_an_object_that_failed_or_came_from_a_cache_changes_nothing() -> None:
    assert known_of(SHIPPED, own((5, 1, "pch", "a.cpp.o")), 1)["a.cpp.o"] == 4
    assert known_of(SHIPPED, own((0.05, 0, "pch", "a.cpp.o")), 1)["a.cpp.o"] == 4


def test_a_refusal_is_paid_with_what_follows_it() -> None:
    here = own((2, 1, "pch", "a.cpp.o"), (5, 0, "refused", "a.cpp.o"))
    assert known_of(SHIPPED, here, 1)["a.cpp.o"] == 7


def test_an_object_of_two_compiles_counts_once_and_a_damaged_line_never() -> None:
    rows = later(rows_of(own((5, 0, "pch", "b.o"))), rows_of(own((6, 0, "pch", "b.o")) + "no line\n1\t2\n"))
    assert costs(rows) == {"b.o": 6} and len(rows) == 1
