"""What a person may set, from the environment; and how this program says something."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from arr_agent.vertex import SECRET

ENDED, BAD_SETTING, NO_PROGRAM = 1, 2, 127
"""Exit statuses of this program's own."""
LEAST_INTERVAL = 1.0
"""Seconds: an agent that asks without a pause is one that W&B shuts out."""


class SettingError(ValueError):
    """A setting that is none. Its message names the variable and what it takes."""


@dataclass(frozen=True)
class Settings:
    """`polls` may fail in a row; after `grace` seconds an agent that was asked to end is killed. `secret` is the version of a secret in Secret
    Manager that holds the W&B key; '' for none. `interval` is seconds between two polls, of the queue and of each job."""

    polls: int = 30
    """About five minutes at the agent's ten seconds."""
    grace: float = 8.0
    """Whoever stops a container kills it ten seconds later (`docker stop`), at the latest after thirty."""
    secret: str = ""
    interval: float = 10.0
    """wandb's own."""


def read_settings(environment: Mapping[str, str]) -> Settings:
    """ARR_AGENT_POLLS, ARR_AGENT_GRACE, ARR_AGENT_KEY_SECRET and ARR_AGENT_INTERVAL, or their defaults. Raises SettingError.

    read_settings({"ARR_AGENT_POLLS": "5"})    # Settings(polls=5, grace=8.0, secret="", interval=10.0)
    """
    polls = number(environment, "ARR_AGENT_POLLS", Settings.polls)
    if polls < 1 or polls != int(polls):
        raise SettingError(f"ARR_AGENT_POLLS is {environment['ARR_AGENT_POLLS']!r}: it takes a whole number above 0")
    secret = environment.get("ARR_AGENT_KEY_SECRET", "")
    if secret and not SECRET.fullmatch(secret):
        raise SettingError(f"ARR_AGENT_KEY_SECRET is {secret!r}: it takes projects/PROJECT/secrets/NAME/versions/VERSION")
    interval = number(environment, "ARR_AGENT_INTERVAL", Settings.interval)
    if interval < LEAST_INTERVAL:
        raise SettingError(f"ARR_AGENT_INTERVAL is {interval:g}: it takes {LEAST_INTERVAL:g} seconds or more")
    return Settings(int(polls), number(environment, "ARR_AGENT_GRACE", Settings.grace), secret, interval)


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


def tell(message: str) -> None:
    print(f"arr-agent: {message}", file=sys.stderr, flush=True)
