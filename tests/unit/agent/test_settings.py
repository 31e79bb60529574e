"""What a person may set of the W&B agent's end."""

import pytest

from arr_agent.settings import SettingError, Settings, read_settings


def test_without_variables_the_defaults_hold() -> None:
    assert read_settings({}) == read_settings({"ARR_AGENT_POLLS": "", "ARR_AGENT_GRACE": ""}) == Settings(30, 20.0)


def test_variables_are_read() -> None:
    assert read_settings({"ARR_AGENT_POLLS": "5", "ARR_AGENT_GRACE": "0.5"}) == Settings(5, 0.5)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", "nan", "inf"])
def test_a_number_of_polls_that_is_none_is_named(text: str) -> None:
    with pytest.raises(SettingError, match=rf"ARR_AGENT_POLLS is '{text}': it takes"):
        read_settings({"ARR_AGENT_POLLS": text})


@pytest.mark.parametrize("text", ["-1", "soon", "nan", "inf"])
def test_a_grace_that_is_none_is_named(text: str) -> None:
    with pytest.raises(SettingError, match=rf"ARR_AGENT_GRACE is '{text}': it takes a number, not below 0"):
        read_settings({"ARR_AGENT_GRACE": text})
