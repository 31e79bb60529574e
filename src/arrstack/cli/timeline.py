"""Pure: the events of a launch -> what ran when."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from arrstack.model import Event, EventKind

SMALLEST = 0.01
"""The share of the whole below which a part of a step is not worth a line."""
SHORTEST = 0.1
"""Seconds that a step has run at least: what was only said of one, as that it is reused, is no run."""
MARKER = re.compile(r"CHONK: \[\d+%\] ([ -~]*[!-~])")
ENDS = (EventKind.PHASE, EventKind.MARKER, EventKind.DONE)


@dataclass(frozen=True)
class Span:
    """A step, or a part of one: seconds since the launch began. A part has the name of what was said at its end."""

    name: str
    begin: float
    end: float
    part: bool = False

    @property
    def seconds(self) -> float:
        return self.end - self.begin


@dataclass
class Timeline:
    """Follows the events of a launch; `now` is seconds since it began."""

    began: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    parts: dict[str, list[Span]] = field(default_factory=dict)

    def feed(self, event: Event, now: float) -> None:
        new = event.step not in self.began
        self.began.setdefault(event.step, now)
        parts = self.parts.setdefault(event.step, [])
        if event.kind in ENDS and not new:
            begin = parts[-1].end if parts else self.began[event.step]
            marker = MARKER.match(event.text)
            parts.append(Span(marker[1] if marker else event.text, begin, now, part=True))
        self.ended[event.step] = now

    @property
    def seconds(self) -> float:
        """How long the launch took, to its last event."""
        return max(self.ended.values(), default=0.0)

    def spans(self, whole: float) -> list[Span]:
        """The steps in the order of their beginning, each followed by its parts where it has several."""
        spans: list[Span] = []
        for name in sorted(self.began, key=lambda name: self.began[name]):
            parts = [part for part in self.parts[name] if part.seconds >= SMALLEST * whole]
            spans += [Span(name, self.began[name], self.ended[name]), *(parts if len(parts) > 1 else [])]
        return [span for span in spans if span.part or span.seconds >= SHORTEST]


def bar(span: Span, whole: float, width: int) -> str:
    """The span's place on a line of `width` characters that stands for the whole."""
    left = min(int(width * span.begin / whole), width - 1)
    right = max(round(width * span.end / whole), left + 1)
    return " " * left + ("░" if span.part else "█") * (right - left) + " " * (width - right)


def covered_seconds(spans: Sequence[Span], names: Sequence[str]) -> float:
    """Seconds during which at least one of the steps ran."""
    total = until = 0.0
    for span in sorted((span for span in spans if span.name in names and not span.part), key=lambda span: span.begin):
        total += max(span.end - max(span.begin, until), 0.0)
        until = max(until, span.end)
    return total
