"""When the W&B agent's output says that it cannot go on."""

from arr_agent.polls import PAUSE, Polls

TIMED_OUT = "Exception: timed out\n"


def after(polls: Polls, *moments: float) -> list[str]:
    return [polls.verdict(TIMED_OUT, moment) for moment in moments]


def test_a_condition_that_waiting_does_not_mend_ends_it_at_once_and_says_what_does() -> None:
    told = Polls(30).verdict("Exception: unauthorized\n", 0.0)
    assert told.startswith("W&B does not accept the key: Exception: unauthorized; what to do: give a valid WANDB_API_KEY")


def test_a_line_that_is_no_failed_poll_says_nothing() -> None:
    assert Polls(1).verdict("wandb: launch: Job finished with ID: 1\n", 0.0) == Polls(1).verdict("\n", 0.0) == ""


def test_a_failure_that_may_pass_is_counted_and_no_more() -> None:
    polls = Polls(2)
    assert (polls.verdict(TIMED_OUT, 0.0), polls.failed) == ("", 1)


def test_the_last_of_too_many_in_a_row_ends_it() -> None:
    assert after(Polls(3), 0, 10, 20) == ["", "", "3 polls of the queue have failed, the last with: Exception: timed out"]


def test_a_pause_between_them_begins_the_count_anew() -> None:
    assert after(Polls(3), 0, 10, 10 + PAUSE, 20 + PAUSE) == [""] * 4


def test_other_lines_between_them_do_not() -> None:
    polls = Polls(2)
    assert polls.verdict(TIMED_OUT, 0.0) == polls.verdict("wandb: agent is polling\n", 5.0) == ""
    assert polls.verdict(TIMED_OUT, 10.0)
