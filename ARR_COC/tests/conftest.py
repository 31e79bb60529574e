"""Real runs of the trainer, each in a process of its own: forked off this one, so that torch is imported once."""

import contextlib
import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
import torch._dynamo
import torch.distributed.fsdp
from safetensors.torch import load_file

from ARR_COC.Training import train
from ARR_COC.Training.loop import Run as _  # noqa: F401 - what a run imports is imported before the forks, not after each
from ARR_COC.Training.progress import Progress

SMALL = (
    "steps=10", "side=32", "images=80", "batch=16", "model.hidden=16", "held_out=0", "save_every=3", "log_every=1", "wandb=off",
)  # fmt: skip
"""A whole run in a second. An epoch has five steps."""


@dataclass
class Started:
    """A running trainer."""

    pids: "list[int]"
    log: Path

    def wait(self) -> int:
        """The first process's status as a shell gives it. Raises TimeoutError after four minutes: a machine may be busy."""
        statuses = [self._status(pid) for pid in self.pids]
        return statuses[0] if statuses[0] >= 0 else 128 - statuses[0]

    def _status(self, pid: int) -> int:
        until = time.monotonic() + 240
        while time.monotonic() < until:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        self.kill()
        raise TimeoutError(self.log.read_text())

    def send(self, number: signal.Signals) -> None:
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)


def signalled(number: signal.Signals, step: int) -> "Callable[[], None]":
    """For `before`: the process sends itself a signal when it reports a step; from outside it would come when it comes."""

    def patch() -> None:
        report = Progress.report

        def reporting(self: Progress, done: int, loss: float, speed: float) -> None:
            report(self, done, loss, speed)
            if done == step:
                os.kill(os.getpid(), number)

        Progress.report = reporting  # type: ignore[method-assign]

    return patch


@dataclass
class Trainer:
    """Runs in the output folder `folder`."""

    folder: Path
    logs: "list[Path]" = field(default_factory=list)
    """One of each start."""

    def start(self, *words: str, processes: int = 1, before: "Callable[[], object]" = lambda: None) -> Started:
        """`before` runs in each of the new processes first."""
        self.logs.append(self.folder.with_name(f"{self.folder.name}-{len(self.logs)}.log"))
        log = self.logs[-1]
        log.touch()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        pids = []
        for rank in range(processes):
            environment = {
                "RANK": rank,
                "LOCAL_RANK": rank,
                "WORLD_SIZE": processes,
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
                "USE_LIBUV": 0,
            }
            pid = os.fork()
            if not pid:
                self._child(log, [*SMALL, f"output={self.folder}", *words], environment if processes > 1 else {}, before)
            pids.append(pid)
        return Started(pids, log)

    def run(self, *words: str, processes: int = 1, before: "Callable[[], object]" = lambda: None) -> int:
        return self.start(*words, processes=processes, before=before).wait()

    @staticmethod
    def _child(log: Path, words: "Sequence[str]", environment: "dict[str, object]", before: "Callable[[], object]") -> None:
        status = 99
        try:
            os.setsid()
            handle = os.open(log, os.O_WRONLY | os.O_APPEND)
            for number in (1, 2):
                os.dup2(handle, number)
            sys.stdout, sys.stderr = (os.fdopen(os.dup(handle), "w", buffering=1) for _ in range(2))
            os.environ.update({key: str(value) for key, value in environment.items()})
            before()
            sys.argv = ["train.py", *words]
            status = train.main()
        except BaseException:  # noqa: BLE001 - the fork must not go on as pytest
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(status)

    @property
    def log(self) -> str:
        """What the last start said."""
        return self.logs[-1].read_text()

    def losses(self, step: int = 10) -> "list[float]":
        about = json.loads((self.folder / f"step-{step:06d}" / "about.json").read_text())
        return [row["loss"] for row in about["history"]]

    def weights(self, step: int = 10) -> "dict[str, torch.Tensor]":
        return load_file(str(self.folder / f"step-{step:06d}" / "model.safetensors"))


def same(left: "dict[str, torch.Tensor]", right: "dict[str, torch.Tensor]") -> bool:
    """Whether both are the same to the bit."""
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[Trainer]:
    return Trainer(tmp_path / "output")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> "Callable[..., dict[str, torch.Tensor]]":
    """The weights of a run that nobody stopped, made once for each kind of run."""
    made: "dict[tuple[object, ...], dict[str, torch.Tensor]]" = {}

    def ask(*words: str, processes: int = 1) -> "dict[str, torch.Tensor]":
        key = (*words, processes)
        if key not in made:
            trainer = Trainer(tmp_path_factory.mktemp("undisturbed") / "output")
            assert trainer.run(*words, processes=processes) == 0, trainer.log
            made[key] = trainer.weights()
        return made[key]

    return ask


def pytest_collection_modifyitems(items: "list[pytest.Item]") -> None:
    """Tests that fork come first: the threads of autograd, which others start, do not get through a fork."""
    items.sort(key=lambda item: "trainer" not in getattr(item, "fixturenames", ()))
