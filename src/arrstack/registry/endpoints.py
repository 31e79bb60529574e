"""A distribution server's endpoints, by repository (distribution-spec 1.1, "Endpoints")."""

from dataclasses import dataclass
from urllib.parse import urljoin

import msgspec

from arrstack.reference import Place
from arrstack.registry.addresses import refusal
from arrstack.registry.client import Answered, Client
from arrstack.registry.documents import ACCEPT, DOCKER_MANIFEST, INDEX, MANIFEST, decoded, digest_of
from arrstack.registry.errors import Unavailable


class Kind(msgspec.Struct):
    """What a manifest says that it is."""

    mediaType: str = ""  # noqa: N815


@dataclass(frozen=True)
class Endpoints:
    """Asks below the repositories of one place. Each method raises NotFound and Unavailable."""

    client: Client
    place: Place

    def whole(self, repository: str) -> str:
        """The repository's name on the server."""
        return self.place.repository(repository)

    def path(self, repository: str, kind: str, reference: str) -> str:
        return f"{self.whole(repository)}/{kind}/{reference}"

    def get(self, repository: str, kind: str, reference: str) -> Answered:
        return self.client.ask("GET", self.path(repository, kind, reference), self.whole(repository), {"Accept": ACCEPT})

    def put(self, repository: str, reference: str, data: bytes) -> Answered:
        """A manifest under a tag or its digest. Its media type is the one that it says of itself."""
        said = decoded(data, Kind).mediaType
        kind = {"Content-Type": said if said in (MANIFEST, DOCKER_MANIFEST, INDEX) else MANIFEST}
        return self.client.ask("PUT", self.path(repository, "manifests", reference), self.whole(repository), kind, data)

    def blob(self, repository: str, digest: str, limit: int) -> bytes:
        """A blob's bytes, at most `limit` of them; they are not checked."""
        return self.client.ask("GET", self.path(repository, "blobs", digest), self.whole(repository), limit=limit).data

    def upload(self, repository: str, data: bytes) -> None:
        """A blob, in one piece ("Pushing a blob monolithically", POST then PUT)."""
        begun = self.client.ask("POST", self.path(repository, "blobs", "uploads/"), self.whole(repository), data=b"")
        url = urljoin(begun.url, begun.headers.get("Location", ""))
        if why := refusal(self.client.host, url, self.client.addresses):
            raise Unavailable(f"an upload is sent nowhere else: {why}", final=True)
        url += f"{'&' if '?' in url else '?'}digest={digest_of(data)}"
        self.client.ask("PUT", url, self.whole(repository), {"Content-Type": "application/octet-stream"}, data)
