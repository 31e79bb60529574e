"""A registry whose images are signed when they are published, and count only where they are signed by the key that is trusted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from arrstack.contents.provenance import PAYLOAD_TYPE, PREDICATE_TYPE, require_subject, statement
from arrstack.contents.signing import ENVELOPE_TYPE, PublicKey, Signer
from arrstack.errors import RegistryError
from arrstack.model import Answer, Image, State
from arrstack.registry import Attachment, Registry, Send

COSIGN_TAG = "att"
"""Where cosign looks for attestations: `sha256-DIGEST.att`."""
COSIGN_SIGNATURE = "dev.cosignproject.cosign/signature"
"""An annotation that cosign wants to see; of an attestation it is empty."""


@dataclass(frozen=True)
class Origin:
    """Whose an image is: `signed` says that the key vouches for it, `reason` why not."""

    signed: bool
    reason: str = ""


@dataclass
class SignedRegistry:
    """The Registry `inner`. With a `signer` every image that is published gets its provenance, signed. An image without a signature of
    the `trusted` key is *unknown*: it is neither taken nor built anew behind the back of who trusts that key."""

    inner: Registry
    profile: Callable[[], str]
    trusted: PublicKey
    signer: Signer | None = None

    def __post_init__(self) -> None:
        self.name = self.inner.name

    # -- what is added

    def lookup(self, repository: str, tag: str) -> Answer:
        answer = self.inner.lookup(repository, tag)
        if answer.state is not State.PRESENT or answer.image is None:
            return answer
        try:
            origin = origin_of(self.inner, repository, answer.image, self.trusted)
        except RegistryError as error:
            return Answer(State.UNKNOWN, reason=error.message)
        if origin.signed:
            return answer
        return Answer(State.UNKNOWN, reason=f"{repository}:{tag} is there, but {origin.reason}", remedy=signing(repository))

    def publish(self, repository: str, tag: str, send: Send) -> Image:
        image = self.inner.publish(repository, tag, send)
        if self.signer:
            sign(self.inner, repository, image, self.profile(), self.signer)
        return image

    # -- what is handed on

    def move_tag(self, repository: str, tag: str, image: Image) -> None:
        self.inner.move_tag(repository, tag, image)

    def reference(self, repository: str, tag: str) -> str:
        return self.inner.reference(repository, tag)

    def pinned(self, repository: str, digest: str, scratch: Path) -> str:
        return self.inner.pinned(repository, digest, scratch)

    def blob(self, repository: str, digest: str, size: int, scratch: Path) -> Path:
        return self.inner.blob(repository, digest, size, scratch)

    def attach(self, repository: str, digest: str, attachment: Attachment) -> str:
        return self.inner.attach(repository, digest, attachment)

    def attached(self, repository: str, digest: str, kind: str) -> list[Attachment]:
        return self.inner.attached(repository, digest, kind)

    def tags(self, repository: str) -> list[str]:
        return self.inner.tags(repository)

    def delete_tag(self, repository: str, tag: str) -> None:
        self.inner.delete_tag(repository, tag)

    def collect(self) -> int:
        return self.inner.collect()


def signing(tier: str) -> str:
    """How a person signs what is published of a tier."""
    return f"`arrstack provenance {tier} --sign` with --signing-key FILE signs it, if you trust it"


def sign(registry: Registry, repository: str, image: Image, profile: str, signer: Signer) -> str:
    """Attaches an image's provenance, signed; the digest of the attachment. Raises RegistryError."""
    envelope = signer.envelope(statement(repository, image, profile), PAYLOAD_TYPE)
    annotations = (("predicateType", PREDICATE_TYPE), (COSIGN_SIGNATURE, ""))
    return registry.attach(repository, image.digest, Attachment(ENVELOPE_TYPE, ENVELOPE_TYPE, envelope, annotations, COSIGN_TAG))


def origin_of(registry: Registry, repository: str, image: Image, trusted: PublicKey) -> Origin:
    """Whether the key vouches for an image. Raises RegistryError."""
    reasons = []
    for envelope in _envelopes(registry, repository, image):
        try:
            require_subject(trusted.opened(envelope, PAYLOAD_TYPE), image)
        except ValueError as error:
            reasons.append(str(error))
        else:
            return Origin(True)
    return Origin(False, f"its provenance does not count: {reasons[0]}" if reasons else "it is not signed")


def is_signed_at_all(registry: Registry, repository: str, image: Image) -> bool:
    """Whether there is any signature, of whatever key. Raises RegistryError."""
    return any(True for _ in _envelopes(registry, repository, image))


def _envelopes(registry: Registry, repository: str, image: Image) -> Iterator[bytes]:
    return (each.data for each in registry.attached(repository, image.digest, ENVELOPE_TYPE))
