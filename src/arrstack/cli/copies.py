"""How far a copy is: a bar on a terminal, now and then a line elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

from arrstack.cli.console import Output
from arrstack.cli.units import escape
from arrstack.launch.export import Copy, Tell
from arrstack.text import size

SILENCE = 10.0
"""Seconds after which a log without a terminal says again how far a copy is."""


@contextmanager
def shown(out: Output) -> Iterator[Tell]:
    """What is told how far copies are. It draws nothing on standard output where that is JSON."""
    if not out.console.is_terminal or out.as_json:
        yield Lines(out)
        return
    with Progress(
        TextColumn("{task.description}"), BarColumn(None), DownloadColumn(), console=out.console, transient=True
    ) as bars:
        yield Bars(bars)


class Lines:
    def __init__(self, out: Output):
        self.out, self.said = out, time.monotonic()

    def __call__(self, copy: Copy) -> None:
        if time.monotonic() - self.said >= SILENCE:
            self.said = time.monotonic()
            self.out.say(f"{copy.what}: {size(copy.done)} of {size(copy.size)}")


class Bars:
    """The copy that runs now; one that is finished leaves its bar to the next."""

    def __init__(self, bars: Progress):
        self.bars = bars
        self.now: tuple[str, TaskID] | None = None

    def __call__(self, copy: Copy) -> None:
        if self.now is None or self.now[0] != copy.what:
            if self.now:
                self.bars.remove_task(self.now[1])
            self.now = copy.what, self.bars.add_task(escape(copy.what), total=copy.size)
        self.bars.update(self.now[1], completed=copy.done)
