"""`arrstack completion`: what makes a shell complete commands, options and tiers."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arrstack.cli.place import found_stack
from arrstack.errors import ArrstackError

if TYPE_CHECKING:
    from arrstack.recipes.config import LoadedStack

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


def stack_of(context: typer.Context) -> "LoadedStack | None":
    """The stack that the line works on; None where it cannot be read."""
    from arrstack.recipes.config import load

    given = context.find_root().params.get("stack") or context.params.get("stack")
    try:
        return load(Path(str(given)) if given else found_stack(Path.cwd()))
    except (ArrstackError, OSError):
        return None


def tiers(context: typer.Context, incomplete: str) -> list[str]:
    """The tiers of the stack that the line works on."""
    stack = stack_of(context)
    return [tier.name for tier in stack.tiers if tier.name.startswith(incomplete)] if stack else []


def steps(context: typer.Context, incomplete: str) -> list[str]:
    """Tiers, and behind a tier's slash its wheels."""
    tier, slash, _ = incomplete.partition("/")
    stack = stack_of(context)
    if stack is None or not slash:
        return tiers(context, incomplete)
    names = [f"{each.name}/{wheel.name}" for each in stack.tiers if each.name == tier for wheel in each.wheels]
    return [name for name in names if name.startswith(incomplete)]


def destinations(incomplete: str) -> list[str]:
    """The ways of `export` that have a name."""
    from arrstack.launch.export import ARCHIVES, SHORT

    return [each for each in (*SHORT, *ARCHIVES) if each.startswith(incomplete)]


def gpus(incomplete: str) -> list[str]:
    """GPU models as one word each, as a shell would take a blank for an end; small or capital letters as they were begun."""
    from arrstack.verify.gpus import load_gpus

    models = [model.replace(" ", "") for model in load_gpus()]
    return [incomplete + model[len(incomplete) :] for model in models if model.lower().startswith(incomplete.lower())]
