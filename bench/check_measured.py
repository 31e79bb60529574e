"""Names the rows of bench/results/*.json that were measured on other inputs: `python bench/check_measured.py [FOLDER]`.

A row's mark says what it was measured on: `arr-trainer@0123456789ab` (the tier's inputs) or `torch@0123456789ab` (the
wheel's compile key). Exit status 1 where a mark is not that of the working tree.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from report import BENCH, Row, results

from arrstack.recipes.config import load
from arrstack.recipes.inputs import key, part
from arrstack.recipes.tiers import read


def current(stack_file: Path) -> dict[str, str]:
    """What each mark's name stands for now: inputs of every tier, compile keys of wheels that stand on no other."""
    recipes = read(load(stack_file), {"COMPILE_PLAN": "auto"})
    marks = {recipe.tier.name: recipe.planned.inputs.digest[:12] for recipe in recipes}
    for recipe in recipes:
        stages = [wheel.stage for wheel in recipe.planned.wheels]
        for wheel in recipe.planned.wheels[:1]:
            marks[wheel.name] = key(part(recipe.planned.inputs, recipe.dockerfile, wheel.stage, stages), [])[:12]
    return marks


def stale(rows: Mapping[str, Sequence[Row]], marks: Mapping[str, str]) -> list[str]:
    """The rows whose mark is not the working tree's, each with its file. A row without a mark is never stale."""
    lines = []
    for file, each in rows.items():
        for row in each:
            name, _, value = row.mark.partition("@")
            if name and marks.get(name) != value:
                lines.append(f"{file}: {row.what}: {row.mark}, {marks.get(name, 'unknown')} now")
    return lines


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if sys.argv[1:] else BENCH / "results"
    marks = current(BENCH.parent / "stack.toml")
    lines = stale(results(folder), marks)
    print("\n".join(lines) if lines else f"{folder}: every mark is the working tree's")
    print("now: " + "  ".join(f"`{name}@{value}`" for name, value in marks.items()))
    sys.exit(1 if lines else 0)
