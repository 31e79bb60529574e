"""`--record`: what keeps the record of each build beside what it publishes."""

from functools import partial
from typing import TYPE_CHECKING

from arrstack.cli.session import Session

if TYPE_CHECKING:
    from arrstack.launch.recorder import Recorder


def recorder(session: Session, where: str) -> "Recorder | None":
    """None where no record is wanted. `where` is MACHINE or MACHINE@DIGEST: the machine's type, and the image that builds run in."""
    from arrstack.launch.recorder import Recorder
    from arrstack.machine.resources import Machine
    from arrstack.machine.usage import in_use

    if not where:
        return None
    machine, _, builder = where.partition("@")
    folder = session.folders.cache
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Recorder(session.registry, partial(in_use, folder), machine, builder, Machine.here().cores)
