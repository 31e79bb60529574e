"""`arrstack completion`: what makes a shell complete commands, options and tiers."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from arrstack.cli.place import found_stack
from arrstack.errors import ArrstackError

NAME = "arrstack"
VARIABLE = "_ARRSTACK_COMPLETE"
"""Set by the script when a shell asks what may come next."""


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")]) -> None:
    """Print what makes a shell complete arrstack. For bash: source <(arrstack completion bash)"""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    print(get_completion_script(prog_name=NAME, complete_var=VARIABLE, shell=shell.value))


def tiers(context: typer.Context, incomplete: str) -> list[str]:
    """The tiers of the stack that the line works on, as far as it can be read."""
    from arrstack.recipes.config import load

    given = context.find_root().params.get("stack") or context.params.get("stack")
    try:
        stack = load(Path(str(given)) if given else found_stack(Path.cwd()))
    except (ArrstackError, OSError):
        return []
    return [tier.name for tier in stack.tiers if tier.name.startswith(incomplete)]
