"""A job's way onto a queue of W&B Launch, by wandb's own client in a process of its own: importing it takes longer than a plan."""

import json
import sys
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from arrstack.errors import BuildError, RegistryError
from arrstack.machine.process import Outcome, Processes

PREFIX = '{"event": '


@dataclass(frozen=True)
class Order:
    """What the client is told: see `client`. `entity` may be empty: the key's own."""

    entity: str
    project: str
    queue: str
    run: str
    name: str
    image: str
    resource_args: dict[str, Any]
    spot: bool
    follow: bool
    poll: float = 5.0
    """Seconds between two looks."""
    mends_itself: float = 900.0
    """Seconds for which a run of a spot job may stand as failed or crashed: its machine was taken, and the next goes on with it."""


@dataclass(frozen=True)
class News:
    """What became of a job. `state` is `submitted`, `queued`, `running`, `finished`, ...; `url` stands in the first."""

    state: str
    item: str = ""
    run: str = ""
    url: str = ""


def submit(order: Order, processes: Processes) -> Generator[News, None, None]:
    """Puts the job on its queue and, where it is followed, says what becomes of it until it has ended. Closing the generator ends the following, not
    the job. Raises RegistryError where W&B refuses or cannot be asked, BuildError where the run failed.

        for news in submit(order, Processes()):
            print(news.state, news.url)
    """
    last, words = "", [""]
    with Outcome(client(order, processes)) as lines:
        for line in lines:
            if not line.startswith(PREFIX):
                words = [*words[-9:], line]  # wandb's own
                continue
            told = json.loads(line)
            if told["event"] == "error":
                raise RegistryError(told["error"], told["hint"])
            last = told.get("state", "submitted")
            yield News(last, told.get("item", ""), told.get("run", ""), told.get("url", ""))
    status = lines.value
    if status and not last:
        raise RegistryError(
            f"wandb ended with status {status}: {' '.join(words[-3:]).strip()}", "set WANDB_API_KEY, or `wandb login`"
        )
    if status:
        raise BuildError(f"the run {order.run} ended as {last}", "its page says why; the queue's page, where it was refused")


def client(order: Order, processes: Processes) -> Generator[str, None, int]:
    """The client's lines."""
    return processes.stream([sys.executable, "-I", "-m", "arrstack.training.client"], text=json.dumps(vars(order)))
