"""What a person may set, from the environment."""

import math
from collections.abc import Mapping
from dataclasses import dataclass


class SettingError(ValueError):
    """A setting that is none. Its message names the variable and what it takes."""


@dataclass(frozen=True)
class Settings:
    """`polls` may fail in a row; after `grace` seconds an agent that was asked to end is killed."""

    polls: int = 30
    """About five minutes at the agent's ten seconds."""
    grace: float = 20.0


def read_settings(environment: Mapping[str, str]) -> Settings:
    """ARR_AGENT_POLLS and ARR_AGENT_GRACE, or their defaults. Raises SettingError.

    read_settings({"ARR_AGENT_POLLS": "5"})    # Settings(polls=5, grace=20.0)
    """
    polls = number(environment, "ARR_AGENT_POLLS", Settings.polls)
    if polls < 1 or polls != int(polls):
        raise SettingError(f"ARR_AGENT_POLLS is {environment['ARR_AGENT_POLLS']!r}: it takes a whole number above 0")
    return Settings(int(polls), number(environment, "ARR_AGENT_GRACE", Settings.grace))


def number(environment: Mapping[str, str], name: str, default: float) -> float:
    """A variable's finite number that is not below 0."""
    text = environment.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise SettingError(f"{name} is {text!r}: it takes a number, not below 0")
    return value
