"""Published images in the store of an engine on this machine."""

import tempfile
from pathlib import Path

from arrstack.engines import Engine, local_name
from arrstack.model import Image
from arrstack.registry import Registry


def bring(image: Image, registry: Registry, engine: Engine) -> str:
    """The reference of a published image in the engine's store, pulled if need be; a child starts from exactly this.

    Raises RegistryError where the registry no longer holds it.
    """
    name = local_name(image)
    if engine.has(name):
        return name
    with tempfile.TemporaryDirectory(prefix="arrstack-pull-") as scratch:
        # By digest: what a tag names may have changed since it was looked up.
        return engine.pull(registry.pinned(image.repository, image.digest, Path(scratch)), name)
