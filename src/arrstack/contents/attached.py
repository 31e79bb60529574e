"""The bill of materials beside its image in a registry: made from the image, attached to it, found again."""

from enum import StrEnum

import msgspec

from arrstack.artifacts.files import Level
from arrstack.contents.inventory import Inventory
from arrstack.errors import VerificationError
from arrstack.model import LABEL_CREATED, Image
from arrstack.registry import Attachment, Registry
from arrstack.registry.documents import decoded

MEDIA_TYPE = "application/vnd.cyclonedx+json"


class Held(StrEnum):
    """What a registry holds of an image's bill."""

    SAME = "same"
    OTHER = "other"
    NONE = "none"


class Bill(msgspec.Struct):
    """What every bill says of itself."""

    bomFormat: str  # noqa: N815


def attachment_of(document: str, created: str) -> Attachment:
    """As referrers of an image are told apart: by their type and what their annotations say."""
    return Attachment(MEDIA_TYPE, MEDIA_TYPE, document.encode(), ((LABEL_CREATED, created),))


def make(inventory: Inventory, name: str) -> str:
    """The bill of an image. Raises VerificationError where the image could not be read whole: a bill that lacks something lies."""
    # Its libraries take a second to import.
    from arrstack.contents.sbom import bill_of_materials

    errors = [problem for problem in inventory.problems if problem.level is Level.ERROR]
    if errors:
        raise VerificationError(
            f"{inventory.target}: {errors[0].path}: {errors[0].message}; a bill of materials would lack what could not be read",
            "`arrstack report TARGET` shows what can be read",
        )
    try:
        return bill_of_materials(inventory, name)
    except ValueError as error:
        raise VerificationError(f"{inventory.target}: its bill of materials cannot be made: {error}") from None


def held(registry: Registry, repository: str, image: Image, document: str) -> Held:
    """Whether the registry holds exactly this bill of the image. Raises RegistryError."""
    found = registry.attached(repository, image.digest, MEDIA_TYPE)
    if not found:
        return Held.NONE
    return Held.SAME if any(each.data == document.encode() for each in found) else Held.OTHER


def attach(registry: Registry, repository: str, image: Image, document: str) -> str:
    """The digest of the attachment's manifest. Raises RegistryError."""
    return registry.attach(repository, image.digest, attachment_of(document, image.labels.get(LABEL_CREATED) or image.created))


def is_attached(registry: Registry, repository: str, image: Image) -> bool:
    """Whether an image has a document that says of itself that it is a bill. Raises RegistryError."""
    return any(_is_bill(each.data) for each in registry.attached(repository, image.digest, MEDIA_TYPE))


def _is_bill(data: bytes) -> bool:
    try:
        return decoded(data, Bill).bomFormat == "CycloneDX"
    except ValueError:
        return False
