"""The machines of Vertex AI's custom training, from the table beside this file. Pure but for reading it."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

from arrstack.errors import ConfigError


@dataclass(frozen=True)
class Machine:
    """A machine type with its GPUs: `gpu` is the model ('' for none), `accelerator` Vertex AI's name of it. Sizes are GB; `dollars` are US dollars an
    hour, None where no page that is known says them."""

    name: str
    processors: int
    memory: int
    gpu: str = ""
    accelerator: str = ""
    gpus: int = 0
    gpu_memory: int = 0
    is_x86: bool = True
    dollars: float | None = None
    spot_dollars: float | None = None

    def __str__(self) -> str:
        with_gpus = f" with {self.gpus} {self.gpu}" if self.gpus else ""
        return f"{self.name}{with_gpus}"

    def price(self, spot: bool) -> float | None:
        return self.spot_dollars if spot else self.dollars


@cache
def table() -> dict[str, Any]:
    return tomllib.loads(resources.files("arrstack.training").joinpath("machines.toml").read_text(encoding="utf-8"))


def machines(known: Mapping[str, Any] | None = None) -> tuple[Machine, ...]:
    """All of the table, in its order; a machine without GPUs stands before the same with some."""
    known = known or table()
    found: list[Machine] = []
    for name, (processors, memory, *attached) in known["machines"].items():
        family = name.partition("-")[0]
        is_x86 = family not in known["families"]["arm"]
        if not attached or family in known["families"]["attachable"]:
            found.append(priced(Machine(name, processors, memory, is_x86=is_x86), name, known))
        for text in attached:
            accelerator, _, count = text.partition(":")
            of = known["accelerators"][accelerator]
            made = Machine(name, processors, memory, of["gpu"], accelerator, int(count), of["gb"], is_x86)
            found.append(priced(made, f"{name} {text}", known))
    return tuple(found)


def priced(machine: Machine, key: str, known: Mapping[str, Any]) -> Machine:
    """The machine with the table's prices, where it has some."""
    price = known["prices"].get(key, {})
    return replace(machine, dollars=price.get("standard"), spot_dollars=price.get("spot"))


def choose(every: Sequence[Machine], name: str, gpu: str, gpus: int) -> Machine:
    """The machine that a person asks for: by its name, by a GPU model and how many, or both. By a GPU alone it is the one with the fewest processors;
    by a name alone the one without GPUs, where that is to be had. Raises ConfigError, before anything is built.

        choose(machines(), "", "L4", 1).name  # "g2-standard-4"
    """
    if not (name or gpu):
        raise ConfigError(
            "no machine is named", "give --machine or --gpu, or set them in [training] of stack.toml; --where lists them"
        )
    named = [each for each in every if name in ("", each.name)]
    if not named:
        raise ConfigError(
            f"--machine {name}: no machine type that this program knows", "`arrstack launch --submit --where` lists them"
        )
    without = [each for each in named if not each.gpus]
    kind = [each for each in named if each.gpu == gpu] if gpu else without or named
    fitting = [each for each in kind if gpus in (0, each.gpus)]
    if not fitting:
        has = sorted({f"{each.gpus} {each.gpu}" if each.gpus else "none" for each in kind or named})
        raise ConfigError(
            f"there is no {name or 'machine'} with {f'{gpus} ' if gpus else ''}{gpu or 'GPUs'}",
            f"it may have: {', '.join(has)}" if name or kind else "",
        )
    return min(fitting, key=lambda each: (each.gpus, each.processors))


def cheapest_first(every: Sequence[Machine], spot: bool) -> list[Machine]:
    """Those whose price is known first, the cheapest of them before all; the others in the table's order."""

    def order(machine: Machine) -> tuple[bool, float]:
        price = machine.price(spot)
        return price is None, price or 0.0

    return sorted(every, key=order)
