"""How many security updates the distribution has for a published image."""

import re
from pathlib import Path

from arrstack.engines import Engine
from arrstack.errors import RegistryError

SCRIPT = "apt-get -qq update >/dev/null && apt-get -qq --simulate upgrade | grep -ci '^Inst.*security' || true"


def waiting_updates(engine: Engine, reference: str, certificates: Path | None) -> int:
    """Asked of the image's own apt, in a container. Raises RegistryError where the archive cannot be asked."""
    lines = list(engine.run(reference, ["sh", "-c", SCRIPT], {}, {}, certificates))
    counts = [int(line) for line in lines if re.fullmatch("[0-9]{1,9}", line)]
    if not counts:
        raise RegistryError("the distribution's archive could not be asked for updates: " + " ".join(lines[-2:]))
    return counts[-1]
