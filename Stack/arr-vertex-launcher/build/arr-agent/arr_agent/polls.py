"""What the agent's lines say about its polls of the queue. Pure: the time is an argument."""

import re
from dataclasses import dataclass

PAUSE = 60.0
"""Seconds. Polls that fail further apart than this had others between them that did not."""
FAILED_POLL = re.compile(r"^Exception:")
HOPELESS = re.compile(r"\b(401|403|404)\b|unauthorized|forbidden|permission denied|invalid credentials|not found", re.IGNORECASE)


@dataclass
class Polls:
    """The polls that failed in a row, of which `limit` are too many.

    polls = Polls(limit=30)
    polls.verdict("Exception: unauthorized", now=time.monotonic())    # "the queue refuses this agent: ..."
    """

    limit: int
    failed: int = 0
    last: float = float("-inf")

    def verdict(self, line: str, now: float) -> str:
        """Why the agent cannot go on after this line, or an empty string. `now` is in seconds, of a clock that only rises."""
        if not FAILED_POLL.match(line):
            return ""
        self.failed = self.failed + 1 if now - self.last < PAUSE else 1
        self.last = now
        if HOPELESS.search(line):
            return f"the queue refuses this agent: {line.strip()}"
        if self.failed >= self.limit:
            return f"{self.failed} polls of the queue have failed, the last with: {line.strip()}"
        return ""
