"""What a person may set of the W&B agent."""

import pytest

from arr_agent.settings import SettingError, Settings, read_settings

SECRET = "projects/p/secrets/wandb/versions/latest"


def test_without_variables_the_defaults_hold() -> None:
    assert read_settings({}) == read_settings({"ARR_AGENT_POLLS": "", "ARR_AGENT_GRACE": ""}) == Settings(30, 8.0, "", 10.0)


def test_variables_are_read() -> None:
    given = {"ARR_AGENT_POLLS": "5", "ARR_AGENT_GRACE": "0.5", "ARR_AGENT_KEY_SECRET": SECRET, "ARR_AGENT_INTERVAL": "2"}
    assert read_settings(given) == Settings(5, 0.5, SECRET, 2.0)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", "nan", "inf"])
def test_a_number_of_polls_that_is_none_is_named(text: str) -> None:
    with pytest.raises(SettingError, match=rf"ARR_AGENT_POLLS is '{text}': it takes"):
        read_settings({"ARR_AGENT_POLLS": text})


@pytest.mark.parametrize("text", ["-1", "soon", "nan", "inf"])
def test_a_grace_that_is_none_is_named(text: str) -> None:
    with pytest.raises(SettingError, match=rf"ARR_AGENT_GRACE is '{text}': it takes a number, not below 0"):
        read_settings({"ARR_AGENT_GRACE": text})


@pytest.mark.parametrize("text", ["wandb", "projects/p/secrets/wandb", "the-key-itself"])
def test_a_secret_that_is_no_version_s_name_is_named(text: str) -> None:
    with pytest.raises(SettingError, match=r"ARR_AGENT_KEY_SECRET is '.*': it takes projects/PROJECT/secrets"):
        read_settings({"ARR_AGENT_KEY_SECRET": text})


@pytest.mark.parametrize("text", ["0", "0.5"])
def test_an_interval_without_a_pause_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match=rf"ARR_AGENT_INTERVAL is {text}: it takes 1 seconds or more"):
        read_settings({"ARR_AGENT_INTERVAL": text})
