"""What the agent's lines say about how it goes on. Pure: the time is an argument."""

import re
from dataclasses import dataclass

from arr_agent.fatal import fatal

PAUSE = 60.0
"""Seconds. Polls that fail further apart than this had others between them that did not."""
FAILED_POLL = re.compile(r"^Exception:")


@dataclass
class Polls:
    """The polls that failed in a row, of which `limit` are too many.

    polls = Polls(limit=30)
    polls.verdict("Exception: unauthorized", now=time.monotonic())    # "W&B does not accept the key: Exception: unauthorized; ..."
    """

    limit: int
    failed: int = 0
    last: float = float("-inf")

    def verdict(self, line: str, now: float) -> str:
        """Why the agent cannot go on after this line, with what mends it, or an empty string. `now` is in seconds, of a clock that only
        rises."""
        if found := fatal(line):
            return f"{found.told}: {line.removeprefix('wandb: ERROR ').strip()}; what to do: {found.remedy}"
        if not FAILED_POLL.match(line):
            return ""
        self.failed = self.failed + 1 if now - self.last < PAUSE else 1
        self.last = now
        if self.failed >= self.limit:
            return f"{self.failed} polls of the queue have failed, the last with: {line.strip()}"
        return ""
