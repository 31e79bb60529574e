"""The machines of Vertex AI's custom training, from the table beside this file. Pure but for reading it."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
        is_x86 = name.partition("-")[0] not in known["arm"]["families"]
        family_has_own = name[0] in "ag"  # accelerator-optimized: never without
        if not family_has_own:
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
    values = {**vars(machine), "dollars": price.get("standard"), "spot_dollars": price.get("spot")}
    return Machine(**values)


def choose(every: Sequence[Machine], name: str, gpu: str, gpus: int) -> Machine:
    """The machine that a person asks for: by its name, by a GPU model and how many, or both. By a GPU alone it is the one with the fewest processors.
    Raises ConfigError, before anything is built.

        choose(machines(), "", "L4", 1).name  # "g2-standard-4"
    """
    named = [each for each in every if not name or each.name == name]
    if not named:
        raise ConfigError(
            f"--machine {name}: no machine type that this program knows", "`arrstack launch --submit --where` lists them"
        )
    if not (name or gpu):
        raise ConfigError(
            "no machine is named", "give --machine or --gpu, or set them in [training] of stack.toml; --where lists them"
        )
    own = {each.gpus > 0 for each in named} == {True}
    wanted = [each for each in named if (each.gpu == gpu if gpu else not each.gpus or own) and gpus in (0, each.gpus)]
    if not wanted:
        has = ", ".join(
            sorted({f"{each.gpus} {each.gpu}" if each.gpus else "none" for each in named if not gpu or name or each.gpu == gpu})
        )
        raise ConfigError(
            f"there is no {name or 'machine'} with {f'{gpus} ' if gpus else ''}{gpu or 'GPUs'}",
            f"it may have: {has}" if has else "",
        )
    return min(wanted, key=lambda each: (each.gpus, each.processors))


def cheapest_first(every: Sequence[Machine], spot: bool) -> list[Machine]:
    """Those whose price is known first, the cheapest of them before all; the others in the table's order."""

    def order(machine: Machine) -> tuple[bool, float]:
        price = machine.price(spot)
        return price is None, price or 0.0

    return sorted(every, key=order)
