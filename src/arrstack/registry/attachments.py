"""Pure: documents that are attached to an image: a manifest each, whose `subject` is the image, and the list of them.

Sources: OCI image specification 1.1, "Image Manifest Property Descriptions" (artifactType, subject) and "Guidance for an Empty
Descriptor"; distribution specification 1.1, "Referrers Tag Schema".
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from arrstack.registry.documents import INDEX, MANIFEST, Descriptor, decoded, digest_of

EMPTY = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
LARGEST_ATTACHMENT = 64 << 20
"""Bytes of a document: a bill of materials of a thousand packages has one."""
MOST_ATTACHMENTS = 1000
TAG_OF_DIGEST = re.compile(r"sha(?:256|512)-[0-9a-f]{64}(?:\.(?:att|sig|sbom))?")
"""What stands for a digest, and names no image: the referrers tag schema, and cosign's own tags."""


@dataclass(frozen=True)
class Attachment:
    """A document and what it is: `kind` is the artifact's type, `annotations` are readable without fetching it.

    With a `suffix` a tag of its own names it too, `sha256-DIGEST.SUFFIX`, where tools that know no referrers look.
    """

    kind: str
    media_type: str
    data: bytes
    annotations: tuple[tuple[str, str], ...] = ()
    suffix: str = field(default="", compare=False)


class Subject(msgspec.Struct, omit_defaults=True):
    """A descriptor without what only an index says."""

    mediaType: str  # noqa: N815
    digest: str
    size: int


class AttachedManifest(msgspec.Struct, omit_defaults=True):
    """What of an attachment's manifest counts."""

    layers: list[Descriptor]
    subject: Descriptor | None = None
    artifactType: str = ""  # noqa: N815
    annotations: dict[str, str] | None = None


class Referrers(msgspec.Struct):
    """An index of attachments."""

    manifests: list[Descriptor]


def manifest_for(attachment: Attachment, subject: Subject) -> bytes:
    """The manifest that attaches a document to an image: the same bytes for the same document."""
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": attachment.kind,
        "config": {"mediaType": EMPTY_TYPE, "digest": digest_of(EMPTY), "size": len(EMPTY)},
        "layers": [
            {
                "mediaType": attachment.media_type,
                "digest": digest_of(attachment.data),
                "size": len(attachment.data),
                "annotations": dict(attachment.annotations),
            }
        ],
        "subject": msgspec.to_builtins(subject),
        "annotations": dict(attachment.annotations),
    }
    return msgspec.json.encode(document)


def listed(manifest: bytes, attachment: Attachment) -> Descriptor:
    """How an index of referrers names an attachment."""
    return Descriptor(
        digest_of(manifest), len(manifest), MANIFEST, annotations=dict(attachment.annotations), artifactType=attachment.kind
    )


def referrers_tag(digest: str) -> str:
    """The tag under which a registry without the referrers API keeps the list: `sha256:ab...` is `sha256-ab...`."""
    algorithm, _, value = digest.partition(":")
    return f"{algorithm[:32]}-{value[:64]}"


def with_attached(index: Iterable[Descriptor], new: Descriptor) -> bytes:
    """The list with one more; one of the same kind and annotations takes the place of the old one."""

    def same(entry: Descriptor) -> bool:
        return entry.artifactType == new.artifactType and (entry.annotations or {}) == (new.annotations or {})

    entries = [entry for entry in index if entry.digest != new.digest and not same(entry)]
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*entries, new]}
    return msgspec.json.encode(document)


def of_kind(entries: Sequence[Descriptor], kind: str) -> list[Descriptor]:
    """The attachments of a kind in a list. Raises ValueError where it is longer than any image's."""
    if len(entries) > MOST_ATTACHMENTS:
        raise ValueError(f"it lists {len(entries)} attachments")
    return [entry for entry in entries if entry.artifactType == kind]


def document_in(manifest: bytes, subject: str, kind: str) -> Descriptor:
    """The descriptor of the document that a manifest attaches. Raises ValueError where it belongs to another image, or is none."""
    held = decoded(manifest, AttachedManifest)
    if held.subject is None or held.subject.digest != subject:
        raise ValueError("an attachment belongs to another image")
    if held.artifactType != kind or len(held.layers) != 1:
        raise ValueError("it is not an attachment of that kind")
    if held.layers[0].size > LARGEST_ATTACHMENT:
        raise ValueError(f"an attachment of {held.layers[0].size} bytes")
    return held.layers[0]


def is_tag_of_digest(tag: str) -> bool:
    """Whether a tag stands for a digest, and names no image."""
    return bool(TAG_OF_DIGEST.fullmatch(tag))
