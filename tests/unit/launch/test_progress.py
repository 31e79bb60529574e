"""Log lines become events; the bar moves by cost, and never backwards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrstack.launch.progress import Progress, Replay
from arrstack.model import EventKind


def test_a_marker_sets_the_percentage() -> None:
    progress = Progress("t", (10, 15, 70))
    event = progress.feed("🔹CHONK: [15%] CMake patches applied 💎 Diamond ✧ ▰▱ [3s]", 3.0)
    assert (event.kind, event.percent) == (EventKind.MARKER, 15.0)
    assert event.text.startswith("CHONK: [15%] CMake")


def test_between_markers_edges_move_it_by_their_recorded_cost() -> None:
    progress = Progress("t", (15, 70), costs={"a.o": 30.0, "b.o": 10.0})
    progress.feed("CHONK: [15%] x", 0)
    assert progress.feed("[1/2] Building CXX object a.o", 1).percent == pytest.approx(15 + 55 * 0.75)
    assert progress.feed("[2/2] Building CXX object b.o", 2).percent == pytest.approx(70)


def test_an_object_that_the_record_does_not_know_weighs_what_others_do_and_what_is_no_object_nothing() -> None:
    progress = Progress("t", (15, 70), costs={f"{i}.o": 1.0 for i in range(100)})
    progress.feed("CHONK: [15%] x", 0)
    assert progress.feed("[3/4] Generating ATen sources", 1).percent == 15
    assert progress.feed("[5/104] CXX 1.o", 2).percent == pytest.approx(15 + 55 / 100)
    assert progress.feed("[6/104] CXX new.o", 3).percent == pytest.approx(15 + 55 * 2 / 100)


def test_after_a_change_of_the_plan_the_rest_is_not_nothing_while_new_objects_are_compiled() -> None:
    progress = Progress("t", (0, 100), costs={f"{i}.o": 10.0 for i in range(60)})
    for i in range(40):  # the cache answers what the record knows
        progress.feed(f"[{i + 1}/60] CXX {i}.o", i * 0.1)
    told = [progress.feed(f"[{41 + i}/60] CXX new_{i}.o", 4 + 10 * (i + 1)).remaining or 0.0 for i in range(10)]
    assert told[-1] == pytest.approx(100, rel=0.1)


def test_without_a_record_edges_count_alike() -> None:
    progress = Progress("t", (15, 70))
    progress.feed("CHONK: [15%] x", 0)
    assert [progress.feed(f"[{i}/4] CXX {i}.o", i).percent for i in (1, 2, 3, 4)] == pytest.approx([28.75, 42.5, 56.25, 70])


def test_a_resumed_build_ends_at_the_milestone_too() -> None:
    progress = Progress("t", (15, 70), costs={f"{i}.o": 1.0 for i in range(100)})
    progress.feed("CHONK: [15%] x", 0)
    progress.feed("[1/2] CXX 98.o", 1)
    assert progress.feed("[2/2] CXX 99.o", 2).percent == pytest.approx(70)


def test_buildah_s_own_steps_are_no_edges() -> None:
    for line in ("[1/2] STEP 3/9: RUN true", "[8/8] COMMIT localhost/arrstack/small-base:key-1"):
        assert Progress("t").feed(line, 0).kind is EventKind.LOG


def test_without_edges_the_rest_is_what_it_took_before_and_then_by_percent() -> None:
    progress = Progress("t", (50, 100), expected=600)
    assert progress.remaining(60) == 540
    progress.feed("CHONK: [15%] a sixth of the work in a tenth of the time", 60)
    assert progress.remaining(60) == 540
    progress.feed("CHONK: [50%] half", 700)
    assert progress.remaining(700) == pytest.approx(700)
    assert Progress("t").remaining(10) is None


def test_after_the_edges_nothing_tells_how_long_the_rest_takes() -> None:
    """They came from the compiler cache: what the step took before would be hours off."""
    progress = Progress("t", (10, 70, 100), {"a.o": 9.0, "b.o": 9.0}, expected=9000)
    progress.feed("CHONK: [10%] source", 5)
    progress.feed("[1/2] CXX a.o", 6)
    progress.feed("[2/2] CXX b.o", 7)
    assert progress.feed("CHONK: [70%] compiled", 8).remaining is None
    assert progress.feed("running bdist_wheel", 9).remaining is None


def test_the_end_does_not_wait_for_a_dear_object_s_architectures_one_after_the_other() -> None:
    """Five architectures cost 2.2 times one."""
    costs = [220.0, *[10.0] * 38]
    whole = {(jobs, archs): Replay.of(costs, jobs, archs).ends[-1] for jobs in (2, 10) for archs in (0, 1, 5)}
    assert [whole[10, archs] for archs in (0, 1, 5)] == pytest.approx([220, 220, 100])
    assert [whole[2, archs] for archs in (0, 1, 5)] == pytest.approx([300, 300, 300])


def test_the_rest_goes_at_the_speed_since_ninja_began_not_since_its_first_edge_was_finished() -> None:
    """Two jobs, the longest first, on a machine that needs twice the record's seconds."""
    progress = Progress(
        "t", (15, 70), costs={"a.o": 100.0, "b.o": 100.0, **{f"{i}.o": 10.0 for i in range(60)}}, expected=30, jobs=2
    )
    progress.feed("[1/2] Re-running CMake", 20)
    progress.feed("CHONK: [15%] x", 50)
    progress.feed("[1/4] Generating sources", 55)
    progress.feed("[4/4] Generating sources", 58)
    progress.feed("ARRSTACK cache: 0 hits of 2", 200)
    assert progress.feed("[1/62] CXX a.o", 258).remaining == pytest.approx((400 - 100) * 200 / 100)
    assert progress.feed("[2/62] CXX b.o", 258).remaining == pytest.approx((400 - 100) * 200 / 100)
    assert progress.feed("[3/62] CXX 0.o", 278).remaining == pytest.approx((400 - 110) * 220 / 110)


def test_what_cmake_took_to_run_again_is_not_the_pace_of_the_compile() -> None:
    progress = Progress("t", (0, 100), costs={f"{i}.o": 10.0 for i in range(20)})
    progress.feed("[0/1] Re-running CMake...", 1)
    progress.feed("-- Build files have been written", 401)
    told = [progress.feed(f"[{i + 1}/20] CXX {i}.o", 401 + 10 * (i + 1)).remaining for i in range(4)]
    assert told[-1] == pytest.approx(160)


def test_while_the_first_header_is_made_the_estimate_waits() -> None:
    """100 s for a precompiled header that all wait for, then objects at the record's speed."""
    progress = Progress("t", (0, 100), costs={f"{i}.o": 10.0 for i in range(100)}, expected=1100)
    assert progress.feed("[1/101] Building CXX object cmake_pch.hxx.pch", 100).remaining == pytest.approx(1000)
    told = [
        100 + 10 * (i + 1) + (progress.feed(f"[{i + 2}/101] CXX {i}.o", 100 + 10 * (i + 1)).remaining or 0) for i in range(20)
    ]
    assert all(total == pytest.approx(1100, rel=0.05) for total in told), told


def test_edges_that_are_not_finished_yet_count_as_far_as_they_are() -> None:
    """A dear one beside cheap ones, at half the record's speed: of 200 s by the record 50 are over, though an eighth of the work is."""
    costs = {"dear.o": 100.0, **{f"{i}.o": 10.0 for i in range(30)}}
    progress = Progress("t", (15, 70), costs=costs, jobs=2)
    progress.feed("CHONK: [15%] x", 7)
    for number in range(1, 6):
        event = progress.feed(f"[{number}/31] CXX {number}.o", 7 + 20 * number)
    assert event.remaining == pytest.approx((200 - 50) * 2)
    assert event.percent == pytest.approx(15 + 55 * 50 / 200)


def test_the_pace_of_what_a_compiler_cache_answers_is_not_taken_for_that_of_the_rest() -> None:
    progress = Progress("t", (15, 70), costs={f"{i}.o": 10.0 for i in range(100)})
    progress.feed("CHONK: [15%] x", 0)
    for i in range(40):
        event = progress.feed(f"[{i + 1}/100] CXX {i}.o", i * 0.5 + 0.5)
    assert event.remaining == pytest.approx(30)  # nothing tells yet
    for i in range(40, 43):
        event = progress.feed(f"[{i + 1}/100] CXX {i}.o", 20 + 10.0 * (i - 39))
    assert event.remaining == pytest.approx(570, rel=0.1)


def test_edges_that_the_record_has_at_nothing_do_not_end_the_estimate() -> None:
    progress = Progress("t", (15, 70), costs={"a.o": 10.0, "b.o": 10.0} | {f"{i}.o": 0.0 for i in range(9)})
    progress.feed("CHONK: [15%] x", 0)
    progress.feed("[1/11] CXX a.o", 10)
    for i in range(9):
        event = progress.feed(f"[{i + 2}/11] CXX {i}.o", 20.0 + i)
    assert event.remaining == pytest.approx(28)


def test_edges_dearer_than_a_resumed_build_should_have_left_do_not_end_the_estimate() -> None:
    progress = Progress("t", (15, 70), costs={f"dear{i}.o": 100.0 for i in range(9)} | {f"{i}.o": 1.0 for i in range(9)})
    progress.feed("CHONK: [15%] x", 0)
    for i in range(9):
        event = progress.feed(f"[{i + 1}/9] CXX dear{i}.o", 10.0 * (i + 1))
    assert event.remaining == 0


def test_a_resumed_build_has_the_cheapest_edges_left() -> None:
    progress = Progress("t", (15, 70), costs={"dear.o": 1000.0, "a.o": 30.0, "b.o": 10.0, "c.o": 10.0})
    progress.feed("CHONK: [15%] x", 0)
    assert progress.feed("[1/3] CXX a.o", 60).remaining == pytest.approx(40)


@given(
    st.lists(
        st.one_of(
            st.text(max_size=40),
            st.builds("[{}/{}] x {}.o".format, st.integers(0, 99), st.integers(0, 99), st.integers(0, 9)),
            st.builds("CHONK: [{}%] x".format, st.integers(0, 999)),
        )
    )
)
def test_no_log_moves_it_backwards_or_past_the_end(lines: list[str]) -> None:
    progress, before = Progress("t", (15, 70), {"1.o": 5.0}), 0.0
    for second, line in enumerate(lines):
        progress.feed(line, second)
        assert before <= progress.percent <= 100
        before = progress.percent


def test_a_build_that_found_most_of_its_objects_does_not_tell_how_long_one_takes() -> None:
    costs = {f"{i}.o": 10.0 for i in range(100)}
    progress = Progress("t", costs=costs)
    assert progress.ordinary
    progress.feed("ARRSTACK cache: 2 hits of 98", 100)
    assert progress.ordinary
    progress.feed("ARRSTACK cache: 90 hits of 98", 100)  # a wiped build directory
    assert not progress.ordinary
    progress.feed("ARRSTACK cache: 0 hits of 12", 100)  # a resumed build
    assert not progress.ordinary
    assert Progress("without a record", cache=(1, 4)).ordinary
    assert not Progress("without a record", cache=(3, 4)).ordinary


def test_edges_that_end_close_together_do_not_swing_the_estimate() -> None:
    """Two jobs at the record's speed, shifted by half an edge: an edge ends every 5 s, of which the record makes pairs every 10 s."""
    progress = Progress("t", costs={f"{i}.o": 10.0 for i in range(40)}, jobs=2)
    told = [5.0 * (i + 2) + (progress.feed(f"[{i + 1}/40] CXX {i}.o", 5.0 * (i + 2)).remaining or 0.0) for i in range(40)]
    assert all(abs(total - 205) <= 4 for total in told[8:]), told


@pytest.mark.parametrize(
    "line",
    [
        f"[{'9' * 5000}/1] x",
        f"[1/{'9' * 5000}] x",
        f"[1{'0' * 400}/1] x.o",
        f"[1/1{'0' * 9}] x.o",
        f"ARRSTACK cache: {'9' * 5000} hits of 1",
        f"ARRSTACK cache: 1 hits of {'9' * 5000}",
        f"CHONK: [{'9' * 5000}%] x",
    ],
)
def test_a_number_of_more_than_nine_digits_is_no_progress(line: str) -> None:
    progress = Progress("t", costs={"x.o": 1.0})
    assert progress.feed(line, 1.0).kind is EventKind.LOG
    assert (progress.edges, progress.cache, progress.percent) == (None, None, 0.0)


@given(st.text(st.characters(categories=("Nd", "Ps", "Pe", "Po", "Zs", "Lu")), max_size=40))
def test_no_line_ends_a_launch(tail: str) -> None:
    progress = Progress("t", costs={"x.o": 1.0})
    for line in (
        tail,
        f"[{tail}",
        f"[{tail}/1] x",
        f"[1/{tail}] x.o",
        f"ARRSTACK cache: {tail} hits of 1",
        f"CHONK: [{tail}%] x",
    ):
        progress.feed(line, 1.0)
