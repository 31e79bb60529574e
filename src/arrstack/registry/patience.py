"""How long a registry is waited for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """Seconds: for one answer as a whole, for all tries of one question, for one pause between two tries at most, and until a server
    takes a connection. `nobody`: for all tries where this machine itself refuses every connection, as nothing runs there."""

    answer: float
    question: float
    longest: float = 60.0
    connect: float = 5.0
    nobody: float = 8.0


LOOKING = Patience(answer=6.0, question=1.5, connect=2.0)
"""For a person who waits for a table."""
WORKING = Patience(answer=60.0, question=180.0)
"""For what takes its time anyhow, and tells each pause."""
