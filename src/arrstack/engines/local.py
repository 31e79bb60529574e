"""Published images in the store of an engine on this machine."""

from arrstack.engines import Engine, local_name
from arrstack.errors import RegistryError
from arrstack.model import Image
from arrstack.registry import Registry


def bring(image: Image, registry: Registry, engine: Engine) -> str:
    """The reference of a published image in the engine's store, pulled if need be; a child starts from exactly this.

    Raises RegistryError where the registry no longer holds it.
    """
    name = local_name(image)
    if engine.has(name):
        return name
    for tag in registry.tags(image.repository):
        found = registry.lookup(image.repository, tag).image
        if found and found.digest == image.digest:
            return engine.pull(registry.reference(image.repository, tag), name)
    raise RegistryError(f"{registry.name} no longer holds {image.repository}@{image.digest}")
