"""The tags of a stack's profile: the last thing that a launch moves."""

from collections.abc import Mapping

from arrstack.model import Image
from arrstack.recipes.config import LoadedStack
from arrstack.registry import Registry


def misplaced(stack: LoadedStack, registry: Registry, images: Mapping[str, Image]) -> dict[str, Image]:
    """The tiers whose profile's tag does not name their image yet. A tag of which nothing can be told counts: it may name something
    damaged, which moving it mends."""
    published = {name: registry.lookup(name, stack.profile.tag).image for name in images}
    return {name: image for name, image in images.items() if (at := published[name]) is None or at.digest != image.digest}


def move_tags(stack: LoadedStack, registry: Registry, images: Mapping[str, Image]) -> None:
    """Moves the profile's tag of every tier, last of all and only where it is not there yet."""
    for name, image in misplaced(stack, registry, images).items():
        registry.move_tag(name, stack.profile.tag, image)
