"""What builds in Google Cloud cost: minutes times a price of the table beside this file, which says whence and of when it is, or of the
user's. No price is guessed.

    bill([600.0, 30.0], price("c3-standard-176", private=True, given=None))  # Bill(minutes=10.5, dollars=None, ...)
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from arrstack.errors import ConfigError

DEFAULT_MACHINE = "e2-highcpu-8"
"""Of Cloud Build's own machines, the one that every committed cloudbuild.yaml asks for."""


@dataclass(frozen=True)
class Price:
    """US dollars a minute of one machine; None where nobody said. `source` says who did, or that nobody did."""

    machine: str
    dollars: float | None
    source: str


@dataclass(frozen=True)
class Bill:
    """What a launch may cost. `at_least` says that some of its work has no estimate."""

    minutes: float
    price: Price
    at_least: bool = False

    @property
    def dollars(self) -> float | None:
        return None if self.price.dollars is None else self.minutes * self.price.dollars

    def __str__(self) -> str:
        bound = "at least " if self.at_least else "about "
        time = f"{bound}{self.minutes:.0f} machine minutes on {self.price.machine}"
        if self.dollars is None:
            return f"{time}: price not known ({self.price.source})"
        return f"{time}: {bound}${self.dollars:.2f} (${self.price.dollars:g} a minute, {self.price.source})"


@cache
def table() -> dict[str, Any]:
    return tomllib.loads(resources.files("arrstack.gcp").joinpath("prices.toml").read_text(encoding="utf-8"))


def price(machine: str, private: bool, given: float | None) -> Price:
    """The user's price, else the table's for that machine of a private pool or of Cloud Build's own."""
    if given:
        return Price(machine, given, "as given")
    known = table()
    copy = f"{known['source']}, copy of {known['date']}"
    found = known["private-pool" if private else "default-pool"].get(machine)
    return Price(machine, found, copy if found is not None else f"{copy}, has no such machine; --price-per-minute takes one")


def bill(seconds: Sequence[float], of: Price, at_least: bool = False) -> Bill:
    """Of builds that take so many seconds each: every build has a machine of its own."""
    return Bill(sum(seconds) / 60, of, at_least)


def refuse_dearer(expected: Bill, most: float | None) -> None:
    """Raises ConfigError where the bill is over the user's limit in dollars, or cannot be told from it."""
    if not most:
        return
    if expected.dollars is None:
        raise ConfigError(
            f"whether this stays below ${most:g} cannot be told: {expected}", "give --price-per-minute, or no --max-cost"
        )
    if expected.dollars > most:
        raise ConfigError(f"this may cost more than ${most:g}: {expected}", "a higher --max-cost lets it begin")
    if expected.at_least:
        raise ConfigError(f"whether this stays below ${most:g} cannot be told: {expected}", "some of its work was never measured")
