"""`[buildx]` of the stack file: what builds in the place of this machine's engine."""

from typing import TYPE_CHECKING

from arrstack.cli.session import Session

if TYPE_CHECKING:
    from arrstack.engines import Engine
    from arrstack.engines.buildkit import BuildKit


def maker(session: Session, store: "Engine") -> "BuildKit | None":
    """A builder of docker buildx, with `store` as what lies here; None where this machine's engine builds. Raises ConfigError."""
    if not session.by_buildx:
        return None
    from arrstack.engines.buildkit import BuildKit

    wanted = session.stack.stack.buildx
    return BuildKit(session.processes, session.folders.cache, wanted.builder, wanted.network, store)
