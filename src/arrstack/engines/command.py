"""What the engines share: a command for a container, from an image's config and what the caller wants."""

import os
import re
import shlex
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from arrstack.errors import BuildError
from arrstack.machine.process import Outcome
from arrstack.model import BuildStep, table

IMAGES = "localhost/arrstack/"
"""The prefix of every reference that this product makes in an engine's store."""
CERTIFICATES = "/run/secrets/ca"
CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO")
TAIL = 30
DIES_WITH_US = ["setpriv", "--pdeathsig", "KILL"]
"""The kernel ends a client with arrstack, and a daemon cancels a build whose client is gone."""


def stored_name(repository: str, config_digest: str) -> str:
    """The reference under which an engine's store holds a published image: it changes with the content."""
    return f"{IMAGES}{repository}:{config_digest.removeprefix('sha256:')[:24]}"


def running_name() -> str:
    """A new container's name for `run`: it says whose it is."""
    return f"arrstack-run-{os.getpid()}-{os.urandom(4).hex()}"


def still_running(container: str) -> bool:
    """Whether a container, by its name, belongs to a `run` that goes on: what cleans up lets it be."""
    owner = re.fullmatch(r"arrstack-run-(\d+)-[0-9a-f]+", container)
    return owner is not None and Path("/proc", owner[1]).exists()


def keep_last(lines: Generator[str, None, int], last: deque[str], prefix: re.Pattern[str]) -> Generator[str, None, int]:
    """The lines without a prefix, each kept in `last` on its way; returns what the generator returns."""
    with Outcome(lines) as each:
        for line in each:
            last.append(prefix.sub("", line, count=1) if prefix.match(line) else line)
            yield last[-1]
    return each.value


def command_line(config: Mapping[str, object], argv: Sequence[str]) -> list[str]:
    """What a container runs: the command given, else the image's entry point and default command.

    Raises BuildError where an image has neither.
    """
    run = table(config, "config")
    own = [run.get(key) for key in ("Entrypoint", "Cmd")]
    command = list(argv) or [str(word) for words in own if isinstance(words, list) for word in words]
    if not command:
        raise BuildError("the image has no command of its own", "give one behind the tier: `arrstack run TIER COMMAND`")
    return command


VARIABLES = "/run/arrstack-environment"
"""Where a container finds the variables that a person gave it."""
PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""A name that a shell takes for a variable's."""


def shell_variables(env: Mapping[str, str]) -> str:
    """What a POSIX shell reads to have these variables, whose names are plain."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in env.items())


def secret_flags(step: BuildStep, folder: Path) -> list[str]:
    """The step's secrets; `ca` is always one, empty where the host has no certificates of its own."""
    empty = folder / "ca"
    empty.write_bytes(b"")
    secrets = {"ca": empty} | dict(step.secrets)
    return [word for name, path in secrets.items() for word in ("--secret", f"id={name},src={path}")]


def failed_command(lines: Sequence[str]) -> str:
    """What a failed build was doing, from its last lines: buildah's and BuildKit's wording."""
    for line in reversed(lines):
        for pattern in (
            r"building at STEP \"(.*?)\":",
            r"process \"(.*?)\" did not complete",
            r"while running runtime: (.*)",
        ):
            if found := re.search(pattern, line):
                return found[1][:300]
    return ""
