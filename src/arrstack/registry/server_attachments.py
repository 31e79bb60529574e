"""What is attached to the images of a distribution server: by its referrers API, or by the tags that stand for it where it has none.

Source: distribution specification 1.1, "Listing Referrers", "Pushing Manifests with Subject", "Referrers Tag Schema".
"""

from dataclasses import dataclass

from arrstack.errors import RegistryError
from arrstack.registry.attachments import (
    EMPTY,
    LARGEST_ATTACHMENT,
    Attachment,
    Referrers,
    Subject,
    document_in,
    listed,
    manifest_for,
    of_kind,
    referrers_tag,
    with_attached,
)
from arrstack.registry.documents import MANIFEST, Descriptor, decoded, described, digest_of
from arrstack.registry.endpoints import Endpoints, Kind
from arrstack.registry.errors import NotFound, Unavailable


@dataclass(frozen=True)
class ServerAttachments:
    """`Registry.attach` and `Registry.attached` of a server."""

    api: Endpoints

    def attach(self, repository: str, digest: str, attachment: Attachment) -> str:
        try:
            subject = self._subject(repository, digest)
            manifest = manifest_for(attachment, subject)
            for data in (EMPTY, attachment.data):
                self.api.upload(repository, data)
            made = self.api.put(repository, digest_of(manifest), manifest)
            if "OCI-Subject" not in made.headers:  # a server that keeps no list of its own: the client does ("Pushing Manifests")
                index = with_attached(self._listed(repository, digest), listed(manifest, attachment))
                self.api.put(repository, referrers_tag(digest), index)
            if attachment.suffix:
                self.api.put(repository, f"{referrers_tag(digest)}.{attachment.suffix}", manifest)
        except (NotFound, ValueError, Unavailable) as error:
            raise RegistryError(f"{self.api.client.host}: nothing could be attached to {repository}@{digest}: {error}") from None
        return digest_of(manifest)

    def attached(self, repository: str, digest: str, kind: str) -> list[Attachment]:
        try:
            entries = of_kind(self._listed(repository, digest), kind)
            return [self._attachment(repository, digest, entry, kind) for entry in entries]
        except NotFound as error:
            raise RegistryError(
                f"{self.api.client.host}: what is attached to {repository}@{digest} is missing: {error}"
            ) from None
        except (ValueError, Unavailable) as error:
            raise RegistryError(
                f"{self.api.client.host}: what is attached to {repository}@{digest} cannot be read: {error}"
            ) from None

    def _subject(self, repository: str, digest: str) -> Subject:
        held = self.api.get(repository, "manifests", digest).data
        if digest_of(held, digest) != digest:
            raise ValueError("its manifest does not have that digest")
        return Subject(decoded(held, Kind).mediaType or MANIFEST, digest, len(held))

    def _listed(self, repository: str, digest: str) -> list[Descriptor]:
        """By the referrers API, else by the tag that stands for it. Raises Unavailable and ValueError."""
        for kind, reference in (("referrers", digest), ("manifests", referrers_tag(digest))):
            try:
                return decoded(self.api.get(repository, kind, reference).data, Referrers).manifests
            except NotFound:
                continue
        return []

    def _attachment(self, repository: str, digest: str, entry: Descriptor, kind: str) -> Attachment:
        manifest = described(entry, self.api.get(repository, "manifests", entry.digest).data)
        document = document_in(manifest, digest, kind)
        data = described(document, self.api.blob(repository, document.digest, LARGEST_ATTACHMENT))
        return Attachment(kind, document.mediaType, data, tuple((entry.annotations or {}).items()))
