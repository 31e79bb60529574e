"""What one registry holds of a stack, copied to another: images under their keys and the profile's tag, and the wheels.

Nothing is built, and the content stays: a launch with the other registry finds nothing to do.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from arrstack.engines.compression import GZIP, layer_options
from arrstack.errors import ConfigError, RegistryError
from arrstack.launch.export import Tell, told
from arrstack.launch.wheelhouse import PublishedWheel
from arrstack.machine import skopeo
from arrstack.machine.process import Failed, Processes
from arrstack.model import LABEL_KEY, Image, State
from arrstack.registry import Registry

LOGIN = "docs/guide/registries.md says how to log in"
AWAY = f"see that it runs, and repair the connection or the login: {LOGIN}"


@dataclass(frozen=True)
class Pushed:
    """One image in the other registry. `copied` is false where it was there already."""

    name: str
    digest: str
    copied: bool


@dataclass(frozen=True)
class Item:
    """An image to copy: `tag` is the one that its content has."""

    image: Image
    tag: str

    @property
    def name(self) -> str:
        return f"{self.image.repository}:{self.tag}"


def items(images: Iterable[Image], wheels: Sequence[PublishedWheel]) -> list[Item]:
    """What is copied, the wheels first. Raises ConfigError for an image without a key: not of a launch."""
    found = [Item(wheel.image, f"{wheel.name}-wheel-{wheel.key}") for wheel in wheels]
    for image in images:
        key = image.labels.get(LABEL_KEY, "")
        if not key:
            raise ConfigError(f"{image.repository}@{image.digest} has no key: no launch made it", "`arrstack launch` builds one")
        found.append(Item(image, f"key-{key[:24]}"))
    return found


def push(
    wanted: Sequence[Item],
    tag: str,
    source: Registry,
    target: Registry,
    processes: Processes,
    scratch: Path,
    tell: Tell,
    layers: str = GZIP,
) -> list[Pushed]:
    """Copies the items that the target lacks; then, last, moves its tag of each image. `layers` is how a server gets layers that are not
    compressed yet. Raises RegistryError."""
    pushed: list[Pushed] = []
    arrived: list[Image] = []
    for item in wanted:
        answer = target.lookup(item.image.repository, item.tag)
        if answer.state is State.UNKNOWN:
            raise RegistryError(f"whether {target.name} holds {item.name} cannot be told: {answer.reason}", AWAY)
        there = answer.image if answer.image and answer.image.config_digest == item.image.config_digest else None
        made = there or _copy(item, source, target, processes, scratch, tell, layers)
        pushed.append(Pushed(item.name, made.digest, there is None))
        if item.tag.startswith("key-"):
            arrived.append(made)
    for image in arrived:
        target.move_tag(image.repository, tag, image)
    return pushed


def _copy(item: Item, source: Registry, target: Registry, processes: Processes, scratch: Path, tell: Tell, layers: str) -> Image:
    reference = source.pinned(item.image.repository, item.image.digest, scratch)

    def send(destination: str, compress: bool) -> str:
        options = ["--format", "oci", *layer_options(compress, layers)]
        try:
            return skopeo.copy(processes, reference, destination, options, tell=told(item.name, item.image, tell))
        except Failed as error:
            raise RegistryError(f"{item.name} could not be copied to {target.name}: {error.message}", LOGIN) from None

    return target.publish(item.image.repository, item.tag, send)
