"""Makes docs/measured.md of bench/results/*.json: `python bench/report.py >docs/measured.md`.

A result file is a list of rows, one for each figure: the newest that still holds. Earlier ones are in git.

    {"what": "...", "asked": "at most 0.33", "got": "0.313", "reached": true, "date": "2026-11-26",
     "machine": "fourth", "command": "python bench/whole.py ...", "mark": "torch@0123456789ab"}

`asked`, `reached`, `command` and `mark` may be missing. `machine` is a name of bench/machines.toml. `mark` says what the row was
measured on: a tier's inputs, or a wheel's compile key; `make check-measured` compares it with the working tree.
"""

import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

import msgspec

BENCH = Path(__file__).parent
MOST_LINES = 60
HEAD = """\
# Measured

Profile `cpu`, clang 19.1.7 in the image. Made by `bench/report.py` of `bench/results/`; earlier figures are in git.
`make check-measured` names the rows that were measured on other inputs than the working tree's. An edge is one command of ninja.
Ratios of times are of runs on one machine in one hour. `python bench/...` is `.venv/bin/python`; no command: by hand.

| what | asked | got | date | machine | command | mark |
|---|---|---|---|---|---|---|"""
Mark = Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9-]+@[0-9a-f]{12})?$")]


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One figure. `reached` says whether it is what was asked; None where nothing was."""

    what: str
    got: str
    date: date
    machine: str
    asked: str = ""
    reached: bool | None = None
    command: str = ""
    mark: Mark = ""

    def line(self) -> str:
        """The row of the page's table."""
        verdict = {None: "", True: ": reached", False: ": **not reached**"}[self.reached]
        command, mark = self.command and f"`{self.command}`", self.mark and f"`{self.mark}`"
        cells = [self.what, self.asked, self.got + verdict, self.date.isoformat(), self.machine, command, mark]
        return f"| {' | '.join(cells)} |"


def results(folder: Path = BENCH / "results") -> dict[str, list[Row]]:
    """The rows of each file, by its name. Raises ValueError with the file and what is wrong in it."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            found[path.name] = msgspec.json.decode(path.read_bytes(), type=list[Row])
        except msgspec.DecodeError as error:
            raise ValueError(f"{path}: {error}") from None
    return found


def page(rows: Sequence[Row], machines: Mapping[str, str]) -> str:
    """The page. Raises ValueError where a row names no machine of the list, or where the page would be too long."""
    unknown = sorted({row.machine for row in rows} - machines.keys())
    if unknown:
        raise ValueError(f"bench/machines.toml has no machine '{unknown[0]}'")
    legend = [f"- **{name}**: {text}" for name, text in machines.items()]
    text = "\n".join([HEAD, *(row.line() for row in rows), "", *legend, ""])
    if len(text.splitlines()) > MOST_LINES:
        raise ValueError(f"the page has {len(text.splitlines())} lines, more than {MOST_LINES}: keep the newest row of a subject")
    return text


if __name__ == "__main__":
    every = [row for rows in results().values() for row in rows]
    print(page(every, tomllib.loads((BENCH / "machines.toml").read_text(encoding="utf-8"))), end="")
