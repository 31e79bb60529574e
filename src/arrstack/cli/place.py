"""Where a call's stack file is: named, in this folder, or in the nearest above it."""

import os
import re
from pathlib import Path

from arrstack.errors import ConfigError
from arrstack.recipes.config import LoadedStack
from arrstack.recipes.values import PERSONS_TAG

CHECKOUT = Path(__file__).resolve().parents[3]
"""The folder that holds `src`."""
STACK = Path("stack.toml")


def found_stack(folder: Path) -> Path:
    """The stack file of a folder, or of the nearest above it; where there is none, the name that it would have."""
    return next((place / STACK for place in (folder, *folder.parents) if (place / STACK).is_file()), STACK)


def works_on(stack: LoadedStack) -> str:
    """What a command says first: the stack file, short where it lies below this folder, and the profile."""
    shown = os.path.relpath(stack.path)
    return f"stack {stack.path if shown.startswith('..') else shown}, profile {stack.profile_name}"


def as_asked(stack: LoadedStack, base_image: str, tag: str) -> LoadedStack:
    """The stack by `--base-image TIER=IMAGE` and `--tag`; one that is empty changes nothing. Raises ConfigError for what is neither."""
    tier, given, image = base_image.partition("=")
    if base_image and not given:
        raise ConfigError(f"--base-image {base_image}: it takes TIER=IMAGE", "for example arr-trainer=HOST/arr-ml-stack:TAG")
    if tag and not re.fullmatch(PERSONS_TAG, tag):  # said before a build of hours, and not when it moves the tag at its end
        raise ConfigError(
            f"--tag '{tag}' is not a tag",
            "at most 128 letters, digits, '_', '.' and '-'; key-... and sha256-... are arrstack's own",
        )
    stack = stack.standing_on(tier, image) if image else stack
    return stack.tagged(tag) if tag else stack


def require_stack(path: Path) -> None:
    """Raises ConfigError where no file was named and none was found: nothing is taken in its place."""
    if path != STACK or path.exists():
        return
    own = CHECKOUT / STACK
    hint = f"; the product's own is --stack {own}" if own.exists() else ""
    raise ConfigError(
        f"there is no {STACK} in {Path.cwd()}, nor above it", f"go to the project's folder, or name one with --stack FILE{hint}"
    )
