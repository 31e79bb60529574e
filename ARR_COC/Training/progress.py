"""What a person sees of a run: a bar at a terminal, lines elsewhere, nothing from all processes but one."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm


class Progress:
    """Loss, tokens a second and time left. `clock` gives seconds."""

    def __init__(
        self,
        start: int,
        steps: int,
        quiet: bool = False,
        stream: "TextIO | None" = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stream = stream or sys.stderr
        self.start, self.steps, self.quiet, self.clock = start, steps, quiet, clock
        self.began = clock()
        terminal = self.stream.isatty() and not quiet
        self.bar = _bar(start, steps, self.stream) if terminal else None

    def step(self) -> None:
        if self.bar is not None:
            self.bar.update()

    def report(self, done: int, loss: float, tokens_a_second: float) -> None:
        """After `done` steps; the loss and the speed are those since the last report."""
        if self.bar is not None:
            self.bar.set_postfix_str(f"loss {loss:.4f}, {tokens_a_second:,.0f} tokens/s")
        elif not self.quiet:
            left = duration((self.clock() - self.began) / (done - self.start) * (self.steps - done))
            line = f"step {done}/{self.steps}  loss {loss:.4f}  {tokens_a_second:,.0f} tokens/s  {left} left"
            print(line, file=self.stream, flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def _bar(start: int, steps: int, stream: TextIO) -> "tqdm[None]":
    from tqdm import tqdm  # a log needs none

    return tqdm(total=steps, initial=start, unit="step", file=stream, dynamic_ncols=True)


def duration(seconds: float) -> str:
    """
    >>> duration(75), duration(3700)
    ('1:15', '1:01:40')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
