"""A container with the caller's own terminal or streams: what is asked of it, and what an engine itself says of its end."""

import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MISSING, NOT_A_PROGRAM = 127, 126
"""Statuses of a shell, and of docker, for a program that is not there, and for one that is none."""
NOT_STARTED = b"process failed to start with error: "
REPORT = re.compile(
    rb"(?:process failed to start with error: (?P<reason>[^\n]{1,300}?)process exited with error: exec: not started)?"
    rb"(?:subprocess exited (?:with status \d{1,3}|on (?P<signal>[a-z ]{1,40}))\n?|Error: exit status \d{1,3}\n?)+"
)
"""What buildah itself says when the command inside fails; the status says it too."""
BEGINS = (NOT_STARTED, b"subprocess exited with status ", b"subprocess exited on ", b"Error: exit status ")
SIGNALS = {(signal.strsignal(number) or "").lower().encode(): number for number in signal.valid_signals()}
"""By their names in strsignal(3), which are Go's too."""
LONGEST = 800
"""Bytes that are held back at most, to see whether they are buildah's own last word."""


@dataclass(frozen=True)
class RunOptions:
    """What docker's users know: `env`; `volumes` as HOST:CONTAINER[:OPTIONS], the host's part absolute; the folder to work in; `gpus`
    as docker takes them; whether there is a terminal; the host's certificates."""

    env: Mapping[str, str] = field(default_factory=dict)
    volumes: Sequence[str] = ()
    workdir: str = ""
    gpus: str = ""
    terminal: bool = False
    certificates: Path | None = None


class LastWord:
    """Hands on what a program writes, to the byte and as it comes, but for what buildah says at the end.

    Only bytes that may be the beginning of that are held back.
    """

    def __init__(self) -> None:
        self.held = b""
        self.reason = b""
        """Why the program did not start, as buildah said."""
        self.signal = 0
        """What ended the program, as buildah said."""

    def feed(self, data: bytes) -> bytes:
        self.held += data
        for at in range(max(len(self.held) - LONGEST, 0), len(self.held)):
            if self.held[at] in b"psE" and may_be_last(self.held[at:]):
                return self._release(at)
        return self._release(len(self.held))

    def end(self, status: int) -> bytes:
        """What is left: nothing where the command failed and buildah said so."""
        report = REPORT.fullmatch(self.held) if status else None
        if report is None:
            return self._release(len(self.held))
        self.reason = report["reason"] or b""
        self.signal = SIGNALS.get((report["signal"] or b"").strip(), 0)
        return self.reason + b"\n" if self.reason else b""

    def status(self, status: int) -> int:
        """The status that docker has; buildah's is 1 for a signal and for a program that did not start."""
        if self.signal:
            return 128 + self.signal
        if self.reason:
            return NOT_A_PROGRAM if b"permission denied" in self.reason else MISSING
        return status

    def _release(self, at: int) -> bytes:
        free, self.held = self.held[:at], self.held[at:]
        return free


def may_be_last(text: bytes) -> bool:
    """Whether bytes are buildah's last word, or the beginning of it."""
    if report := REPORT.match(text):
        rest = text[report.end() :]
        return not rest or any(word.startswith(rest) for word in BEGINS)
    if text.startswith(NOT_STARTED):
        return b"\n" not in text
    return any(word.startswith(text) for word in BEGINS)
