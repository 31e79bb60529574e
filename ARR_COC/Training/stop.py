"""SIGTERM and Ctrl-C end a run at the end of its step, on all of its processes at the same one."""

import ctypes
import os
import signal
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)
PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that this process gets when its parent ends."""

LAUNCHED = {"ACCELERATE_MIXED_PRECISION", "LOCAL_RANK"}
"""Environment variables that say that the parent is a launcher, and no shell that a person may leave."""


class Stop:
    """Which signal asked this process to end; 0 while none has. A second one of them ends it at once."""

    def __init__(self) -> None:
        self.asked = 0

    def listen(self) -> None:
        """From now on the signals are noted. As process 1 of a container none of them would do anything otherwise.

        accelerate's launcher does not hand SIGTERM on: it ends, and this process learns of it by its parent's death.
        """
        for number in SIGNALS:
            signal.signal(number, self._note)
        if LAUNCHED & os.environ.keys():
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    def _note(self, number: int, frame: "FrameType | None") -> None:
        if self.asked and number == signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
        self.asked = number


def ignore() -> None:
    """For processes that make batches: they end with the one that trains, and not before."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
