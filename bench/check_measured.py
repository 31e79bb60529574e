"""Names the rows of a document that were measured on other inputs: `python bench/check_measured.py docs/measured.md`.

A row says what it was measured on by marks such as `arr-trainer@0123456789ab` (the tier's inputs) or `torch@0123456789ab`
(the wheel's compile key). Exit status 1 where a mark is not that of the working tree.
"""

import re
import sys
from pathlib import Path

from arrstack.recipes.config import load
from arrstack.recipes.inputs import key, part
from arrstack.recipes.tiers import read

ROOT = Path(__file__).parent.parent
MARK = re.compile(r"`([a-z0-9-]+)@([0-9a-f]{12})`")


def current(stack_file: Path) -> dict[str, str]:
    """What each mark's name stands for now: inputs of every tier, compile keys of wheels that stand on no other."""
    recipes = read(load(stack_file), {"COMPILE_PLAN": "auto"})
    marks = {recipe.tier.name: recipe.planned.inputs.digest[:12] for recipe in recipes}
    for recipe in recipes:
        stages = [wheel.stage for wheel in recipe.planned.wheels]
        for wheel in recipe.planned.wheels[:1]:
            marks[wheel.name] = key(part(recipe.planned.inputs, recipe.dockerfile, wheel.stage, stages), [])[:12]
    return marks


def stale(text: str, marks: dict[str, str]) -> list[str]:
    """The lines with a mark that is not the working tree's, each with its number."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        wrong = [f"{name} is {marks.get(name, 'unknown')} now" for name, value in MARK.findall(line) if marks.get(name) != value]
        if wrong:
            found.append(f"line {number}: {', '.join(wrong)}: {line.strip()[:100]}")
    return found


if __name__ == "__main__":
    document = Path(sys.argv[1])
    marks = current(ROOT / "stack.toml")
    lines = stale(document.read_text(encoding="utf-8"), marks)
    print("\n".join(lines) if lines else f"{document}: every mark is the working tree's")
    print("now: " + "  ".join(f"`{name}@{value}`" for name, value in marks.items()))
    sys.exit(1 if lines else 0)
