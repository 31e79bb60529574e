"""Pure: hints as the command that a person can paste, however they called the product."""

import re
import shlex
from collections.abc import Mapping, Sequence

NAME = "arrstack"
ENTRY = "ARRSTACK_COMMAND"
"""The variable in which CLI/cli.py says how it was called."""
HINT = re.compile(rf"`{NAME} (?=[a-z-])")
"""How every message names a command of the product."""


def command(environment: Mapping[str, str], options: Sequence[str] = ()) -> str:
    """The product's command with the global options that were given, as words of a shell.

    command({ENTRY: "python3 CLI/cli.py"}, ["--stack", "my stack.toml"])    # python3 CLI/cli.py --stack 'my stack.toml'
    """
    return " ".join([environment.get(ENTRY) or NAME, *(shlex.quote(word) for word in options)])


def pasteable(text: str, typed: str) -> str:
    """A message whose commands are as they were typed.

    pasteable("`arrstack launch` builds it", "python3 CLI/cli.py")    # `python3 CLI/cli.py launch` builds it
    """
    return HINT.sub(lambda _: f"`{typed} ", text)
