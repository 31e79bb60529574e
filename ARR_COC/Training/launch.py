"""Several training processes on this machine: `python ARR_COC/Training/launch.py PROCESSES [SETTING...]`.

torchrun and accelerate's launcher do it as well. This one is for containers and queues: SIGTERM reaches every process, all end
after the same step, and the status is theirs.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

GRACE = 60.0
"""Seconds for the others, once one has ended by a fault."""


def main(processes: int, words: "list[str]") -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # in a container its own name need not resolve
    command = [sys.executable, str(Path(__file__).with_name("train.py")), *words]
    running: "list[subprocess.Popen[bytes]]" = []

    def hand_on(number: int, frame: "FrameType | None") -> None:
        for child in running:
            child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, hand_on)
    for rank in range(processes):
        own = {"RANK": rank, "LOCAL_RANK": rank} | shared
        # Sessions of their own: Ctrl-C at a terminal reaches them once, through this process.
        running.append(
            subprocess.Popen(command, env=os.environ | {key: str(value) for key, value in own.items()}, start_new_session=True)
        )
    return wait(running)


def wait(running: "list[subprocess.Popen[bytes]]") -> int:
    """The status of the first that ends with one; the others are then ended too."""
    status, until = 0, float("inf")
    while any(child.poll() is None for child in running):
        ended = [code for child in running if (code := child.poll()) is not None and code]
        if ended and not status:
            status, until = ended[0], time.monotonic() + GRACE
            _signal(running, signal.SIGTERM)
        if time.monotonic() > until:
            _signal(running, signal.SIGKILL)
        time.sleep(0.1)
    status = status or next((child.returncode for child in running if child.returncode), 0)
    return status if status >= 0 else 128 - status


def _signal(running: "list[subprocess.Popen[bytes]]", number: signal.Signals) -> None:
    for child in running:
        if child.poll() is None:
            child.send_signal(number)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
