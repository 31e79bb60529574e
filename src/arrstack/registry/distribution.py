"""An OCI distribution server as a registry (distribution-spec 1.1)."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urljoin

import msgspec
import requests

from arrstack.errors import UNANSWERED, RegistryError
from arrstack.model import Answer, Image, State
from arrstack.reference import DIGEST, TAG, Place
from arrstack.registry.addresses import origin
from arrstack.registry.attachments import (
    Attachment,
    is_tag_of_digest,
)
from arrstack.registry.challenge import next_link
from arrstack.registry.client import CLOCK, Answered, Client, Clock
from arrstack.registry.documents import (
    Document,
    chosen,
    decoded,
    described,
    digest_of,
    encoded,
    image_of,
    manifest_of,
)
from arrstack.registry.endpoints import Endpoints
from arrstack.registry.errors import NotFound, Unavailable
from arrstack.registry.patience import LOOKING, Patience
from arrstack.registry.server_attachments import ServerAttachments

BLOCK = 1 << 20
"""Bytes of a blob that are read at once."""
SLOWEST = 64 << 10
"""Bytes a second below which a blob is given up."""
PAGES = 1000
PAGES_SECONDS = 120.0
"""How long a list of tags may go on."""


class TagList(msgspec.Struct):
    tags: list[str] | None = None


class Distribution:
    def __init__(
        self,
        place: Place,
        environment: Mapping[str, str],
        patience: Patience = LOOKING,
        say: Callable[[str], None] = lambda _: None,
        clock: Clock = CLOCK,
    ):
        """`say` gets a line for each pause between two tries."""
        self.place, self.host, self.name, self.clock = place, place.host, str(place), clock
        self.client = Client(place.host, environment, patience, say, clock)
        self.api = Endpoints(self.client, place)
        self.attachments = ServerAttachments(self.api)

    # -- reading

    def lookup(self, repository: str, tag: str) -> Answer:
        try:
            digest, document = self._document(repository, tag)
        except NotFound:
            return Answer(State.ABSENT)
        except Unavailable as error:
            return Answer(State.UNKNOWN, reason=f"{self.host}: {error}")
        try:
            return Answer(State.PRESENT, self._image(repository, digest, document))
        except NotFound as error:  # what a manifest names is there, or its registry is damaged
            return Answer(State.UNKNOWN, reason=f"{self.host}: {repository}:{tag} is there, but not all of it: {error}: 404")
        except ValueError as error:
            return Answer(State.UNKNOWN, reason=f"{self.host}: {repository}:{tag} cannot be read: {error}")
        except Unavailable as error:
            return Answer(State.UNKNOWN, reason=f"{self.host}: {error}")

    def _image(self, repository: str, digest: str, document: Document) -> Image:
        """Raises NotFound, Unavailable, and ValueError where it is none."""
        if document.manifests is not None and document.layers is None:
            entry = chosen(document.manifests)
            child = described(entry, self.api.get(repository, "manifests", entry.digest).data)
            digest, document = entry.digest, decoded(child, Document)
        manifest = manifest_of(document)
        config = self.api.get(repository, "blobs", manifest.config.digest).data
        return image_of(repository, digest, manifest, config)

    def _document(self, repository: str, tag: str) -> tuple[str, Document]:
        """A manifest or index and its digest. Raises NotFound and Unavailable."""
        answer = self.api.get(repository, "manifests", tag)
        stated = answer.headers.get("Docker-Content-Digest", "")
        try:
            for wanted in (tag, stated):
                if DIGEST.fullmatch(wanted) and digest_of(answer.data, wanted) != wanted:
                    raise ValueError("it does not have that digest")
            return digest_of(answer.data), decoded(answer.data, Document)
        except ValueError as error:
            raise Unavailable(f"{repository}:{tag} cannot be read: {error}", final=True) from None

    def blob(self, repository: str, digest: str, size: int, scratch: Path) -> Path:
        try:
            path = scratch / encoded(digest)
            url = self.api.path(repository, "blobs", digest)

            def take(response: requests.Response) -> None:
                save(response, path, digest, size)

            self.client.download(url, self.api.whole(repository), take, self.client.patience.answer + size / SLOWEST)
        except NotFound:
            raise RegistryError(f"{self.host}: blob {digest} is missing") from None
        except (ValueError, Unavailable) as error:
            raise RegistryError(f"{self.host}: {error}") from None
        return path

    def tags(self, repository: str) -> list[str]:
        found: set[str] = set()
        seen: set[str] = set()
        url, end = urljoin(self.client.base, self.api.path(repository, "tags", "list")), self.clock.now() + PAGES_SECONDS
        try:
            while url:
                if url in seen or len(seen) >= PAGES or self.clock.now() > end:
                    raise ValueError("its list does not end")
                seen.add(url)
                answer = self.client.ask("GET", url, self.api.whole(repository))
                found.update(decoded(answer.data, TagList).tags or [])
                url = self._next(answer)
            if strange := [tag for tag in found if not TAG.fullmatch(tag)]:
                raise ValueError(f"'{strange[0][:100]}' is none")
        except NotFound as error:
            if len(seen) == 1:
                return []
            raise RegistryError(f"{self.host}: the tags of {repository} cannot be read: {error}: 404") from None
        except (ValueError, Unavailable) as error:
            raise RegistryError(f"{self.host}: the tags of {repository} cannot be read: {error}", UNANSWERED) from None
        return sorted(tag for tag in found if not is_tag_of_digest(tag))

    def _next(self, answer: Answered) -> str:
        """The address of the next page, '' after the last. Raises ValueError for one that leads away."""
        link = next_link(answer.headers.get("Link", ""))
        if not link:
            return ""
        url = urljoin(answer.url, link)
        if origin(url) != origin(self.client.base) or not url.startswith(self.client.base):
            raise ValueError("its next page is somewhere else")
        return url

    def reference(self, repository: str, tag: str) -> str:
        return f"docker://{self.host}/{self.api.whole(repository)}:{tag}"

    def pinned(self, repository: str, digest: str, scratch: Path) -> str:
        return f"docker://{self.host}/{self.api.whole(repository)}@{digest}"

    # -- writing

    def publish(self, repository: str, tag: str, send: Callable[[str, bool], str]) -> Image:
        digest = send(self.reference(repository, tag), True)  # the manifest comes last: before it, nothing is visible
        answer = self.lookup(repository, digest)
        if answer.image is None:
            raise RegistryError(
                f"{self.host} does not show {repository}@{digest} after the push: {answer.reason or answer.state}"
            )
        return answer.image

    def move_tag(self, repository: str, tag: str, image: Image) -> None:
        try:
            held = self.api.get(repository, "manifests", image.digest)
            if digest_of(held.data, image.digest) != image.digest:
                raise ValueError(f"{image.digest} does not have that digest")
            self.api.put(repository, tag, held.data)
        except (NotFound, ValueError, Unavailable) as error:
            raise RegistryError(f"{self.host}: {repository}:{tag} could not be moved: {error}") from None

    def delete_tag(self, repository: str, tag: str) -> None:
        try:
            held = self.api.get(repository, "manifests", tag).data
        except NotFound:
            return
        except Unavailable as error:
            raise RegistryError(f"{self.host}: {error}") from None
        try:
            try:
                self._delete(repository, tag)
            except Unavailable as error:
                if not error.final:
                    raise
                # Some delete by digest alone (distribution 2.8), which takes all tags of an image. So the tag is first
                # moved to a manifest of its own, the same image with a note, and that is deleted.
                noted = with_note(held, tag)
                self.api.put(repository, tag, noted)
                self._delete(repository, digest_of(noted))
        except (NotFound, ValueError, Unavailable) as error:
            raise RegistryError(f"{self.host}: {repository}:{tag} could not be deleted: {error}") from None

    def _delete(self, repository: str, reference: str) -> None:
        self.client.ask("DELETE", self.api.path(repository, "manifests", reference), self.api.whole(repository))

    def collect(self) -> int:
        return 0

    # -- what is attached to an image

    def attach(self, repository: str, digest: str, attachment: Attachment) -> str:
        return self.attachments.attach(repository, digest, attachment)

    def attached(self, repository: str, digest: str, kind: str) -> list[Attachment]:
        return self.attachments.attached(repository, digest, kind)


def with_note(manifest: bytes, tag: str) -> bytes:
    """The same manifest with an annotation, hence with another digest. Raises ValueError where it is none."""
    decoded(manifest, Document)
    try:
        return json.dumps(json.loads(manifest) | {"annotations": {"io.arrstack.deleted": tag}}).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def save(response: requests.Response, path: Path, digest: str, size: int) -> None:
    """A blob's bytes into a file. Raises Unavailable where they are others, more or fewer."""
    hashed, left = hashlib.new(digest.partition(":")[0]), size
    with path.open("wb") as file:
        while block := response.raw.read(BLOCK, decode_content=True):
            left -= len(block)
            if left < 0:
                response.close()
                break
            hashed.update(block)
            file.write(block)
    if left > 0:
        raise Unavailable(f"blob {digest}: the answer broke off")
    if left < 0 or hashed.hexdigest() != path.name:
        raise Unavailable(f"blob {digest} does not have that digest, or not its size of {size} bytes", final=True)
