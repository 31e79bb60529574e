"""What the agent's lines say of what nothing but a person mends."""

import pytest

from arr_agent.fatal import PASSES, RULES, Rule, fatal

LINES = [(each, line) for each in RULES for line in each.lines]


@pytest.mark.parametrize(("expected", "line"), LINES, ids=[f"{each.name}-{number}" for number, (each, _) in enumerate(LINES)])
def test_a_recorded_line_is_known_for_what_it_is(expected: Rule, line: str) -> None:
    found = fatal(line + "\n")
    assert found is expected


@pytest.mark.parametrize("line", PASSES)
def test_what_may_pass_and_what_is_one_job_s_own_is_not_fatal(line: str) -> None:
    assert fatal(line + "\n") is None


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_condition_has_a_line_and_says_what_to_do(rule: Rule) -> None:
    assert rule.lines and rule.told and rule.remedy


def test_the_conditions_are_those_that_are_documented() -> None:
    assert [rule.name for rule in RULES] == ["key", "queue", "access", "login", "image", "permission", "quota"]
