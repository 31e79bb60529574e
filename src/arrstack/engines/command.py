"""What the engines share: a command for a container, from an image's config and what the caller wants."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from arrstack.errors import BuildError

IMAGES = "localhost/arrstack/"
"""The prefix of every reference that this product makes in an engine's store."""
CERTIFICATES = "/run/secrets/ca"
CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO")
TAIL = 30


def command_line(config: Mapping[str, Any], argv: Sequence[str]) -> list[str]:
    """What a container runs: the command given, else the image's entry point and default command.

    Raises BuildError where an image has neither.
    """
    run = config.get("config") or {}
    command = list(argv) or [*(run.get("Entrypoint") or []), *(run.get("Cmd") or [])]
    if not command:
        raise BuildError("the image has no command of its own", "give one after --")
    return command


def failed_command(lines: Sequence[str]) -> str:
    """What a failed build was doing, from its last lines: buildah's and BuildKit's wording."""
    for line in reversed(lines):
        for pattern in (
            r"error building at STEP \"(.*?)\":",
            r"process \"(.*?)\" did not complete",
            r"while running runtime: (.*)",
        ):
            if found := re.search(pattern, line):
                return found[1][:300]
    return ""
