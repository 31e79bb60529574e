"""What a launch attaches to an image that it published, and what it asks of one that it reuses."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from arrstack.artifacts.open import open_target
from arrstack.contents import attached
from arrstack.contents.collect import take_inventory
from arrstack.model import Image
from arrstack.registry import Registry
from arrstack.verify.header_index import HeaderIndex


@dataclass(frozen=True)
class Describer:
    """The `Description` of `arrstack.launch`: it attaches the bill of materials."""

    registry: Registry
    signs: bool = False
    """Whether the registry signs what is published."""

    def attach(self, tier: str, image: Image, source: str) -> Iterator[str]:
        """A line for each document that was attached. `source` is the image as something on disk (`oci:DIR:TAG`).

        Raises RegistryError, and VerificationError where the image cannot be read whole.
        """
        inventory = replace(take_inventory(open_target(source, HeaderIndex)), digest=image.digest)
        document = attached.make(inventory, tier)
        attached.attach(self.registry, tier, image, document)
        yield f"bill of materials attached: {len(inventory.packages)} packages"
        yield "provenance signed" if self.signs else "unsigned: no --signing-key was given"

    def is_complete(self, tier: str, image: Image) -> bool:
        """Whether an image that is reused has what `attach` would attach. Raises RegistryError."""
        return attached.is_attached(self.registry, tier, image)
