"""Base images: bootstrapped or pulled, as the profile says and not as the network allows."""

import os
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

from arrstack.engines.command import IMAGES
from arrstack.engines.protocols import Engine
from arrstack.errors import ArchiveError
from arrstack.machine.folders import Folders
from arrstack.machine.process import Processes
from arrstack.model import EPOCH, sha256
from arrstack.recipes.config import Base, Bootstrap, LoadedStack
from arrstack.recipes.tiers import identity
from arrstack.reference import qualified


def held_base(base: Base, archive_state: str, engine: Engine) -> str | None:
    """The base as a reference that the engine's FROM resolves; None where it must be made first."""
    if not isinstance(base, Bootstrap):
        return qualified(base.reference)
    reference = local_base(base, archive_state)
    return reference if engine.has(reference) else None


def make_base(
    base: Bootstrap, archive_state: str, engine: Engine, processes: Processes, folders: Folders, log: BinaryIO
) -> Generator[str, None, str]:
    """Makes the base, yields what is said of it, and returns its reference. Raises ArchiveError where its archive does not answer."""
    with folders.scratch() as folder:
        archive = folder / "rootfs.tar"
        yield from bootstrap(base, archive, processes, log)
        return engine.import_rootfs(archive, local_base(base, archive_state))


NO_DOCUMENTATION = (
    "path-exclude=/usr/share/doc/*/*",  # not the links beside them, which lead to another package's licence
    "path-include=/usr/share/doc/*/copyright",
    *(f"path-exclude=/usr/share/{folder}/*" for folder in ("info", "lintian", "locale", "man")),
)
"""dpkg's options, which mmdebstrap leaves in the image: what is installed there later follows them too."""


def local_base(base: Bootstrap, archive_state: str) -> str:
    """The reference of a bootstrapped base in an engine's store: it changes with the base's identity."""
    return f"{IMAGES}base:{sha256(identity(base, archive_state))[:24]}"


def bootstrap(base: Bootstrap, archive: Path, processes: Processes, log: BinaryIO) -> Generator[str, None, None]:
    """A Debian root file system as a tar archive. Without a mirror's name mmdebstrap takes the distribution's own
    archive, and that is what the image's apt sources then hold: the same on every machine."""
    argv = ["mmdebstrap", f"--variant={base.variant}", "--", base.suite, str(archive)]
    if base.include:
        argv.insert(2, f"--include={','.join(base.include)}")
    if not base.documentation:
        argv[2:2] = [f"--dpkgopt={option}" for option in NO_DOCUMENTATION]
    if base.components:
        argv.insert(2, f"--components={','.join(base.components)}")
    # Asked to end when arrstack is killed, it removes the root file system that it was making. That stays in the system's
    # own folder: apt works as root below a folder that its user cannot enter, and leaves other owners in the image then.
    # Killed itself, it leaves that: but no mounts in it, which are root's in a namespace of their own.
    around = ["setpriv", "--pdeathsig", "TERM", *(["unshare", "--mount"] if os.geteuid() == 0 else [])]
    settings = {"SOURCE_DATE_EPOCH": str(EPOCH)}
    status = yield from Processes(processes.environment | settings).stream([*around, *argv], log)
    if status:
        raise ArchiveError(
            f"the base image could not be made (mmdebstrap's status {status})",
            "mmdebstrap needs the network and Debian's archive",
        )


def current_bases(stack: LoadedStack) -> frozenset[str]:
    """The references of the bootstrapped bases that the profile's tiers stand on now."""
    bases = stack.profile.bases.values()
    return frozenset(
        local_base(base, stack.profile.archive_state(tier.name))
        for base in bases
        if isinstance(base, Bootstrap)
        for tier in stack.tiers
    )
