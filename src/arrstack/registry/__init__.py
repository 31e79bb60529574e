"""Where images live. One Protocol; an OCI layout directory (the default) and any OCI distribution server.

May not start a build, nor say `absent` of what could not be asked: that is `unknown`. HTTP is spoken here and in `gcp.api` alone.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from arrstack.errors import UNANSWERED, ConfigError, RegistryError
from arrstack.model import Answer, Image, State
from arrstack.reference import NotAName, Place, Reference
from arrstack.registry.attachments import Attachment
from arrstack.registry.directory import OciDirectory
from arrstack.registry.patience import LOOKING, WORKING, Patience

__all__ = ["LOOKING", "WORKING", "Attachment", "OciDirectory", "Patience", "Registry", "ask_for", "connect", "find"]

Send = Callable[[str, bool], str]
"""(destination as a containers/image reference, whether to compress layers) -> the digest of the manifest that was written
there: an engine's push."""


class Registry(Protocol):
    name: str

    def lookup(self, repository: str, tag: str) -> Answer:
        """Present, absent or unknown, of a tag or of a digest. Never raises for what a network or a server does."""

    def publish(self, repository: str, tag: str, send: Send) -> Image:
        """Lets an engine send an image, and makes it visible under the tag when all of it is there. Returns what was
        sent, whatever somebody else pushed to the tag meanwhile.

        Raises RegistryError.
        """

    def move_tag(self, repository: str, tag: str, image: Image) -> None:
        """Points a tag at an image that the registry holds. Raises RegistryError."""

    def reference(self, repository: str, tag: str) -> str:
        """The containers/image reference that skopeo and buildah pull from."""

    def pinned(self, repository: str, digest: str, scratch: Path) -> str:
        """The containers/image reference of exactly that manifest, whatever its tags name by now. It may stand in the
        folder `scratch` and is good as long as that. Raises RegistryError where the registry does not hold it."""

    def blob(self, repository: str, digest: str, size: int, scratch: Path) -> Path:
        """A file with that blob, of that digest and size: the registry's own, or one that is downloaded into the folder
        `scratch`, no byte more than `size`.

        Several threads may ask at once. Raises RegistryError.
        """

    def attach(self, repository: str, digest: str, attachment: Attachment) -> str:
        """Attaches a document to an image, by its manifest's digest; the digest of the attachment's own manifest. One of the same
        kind and annotations takes the place of the old one. Raises RegistryError."""

    def attached(self, repository: str, digest: str, kind: str) -> list[Attachment]:
        """The documents of a kind that are attached to an image; none where it has none. Raises RegistryError."""

    def tags(self, repository: str) -> list[str]:
        """The repository's tags; none where it does not exist. Raises RegistryError."""

    def delete_tag(self, repository: str, tag: str) -> None:
        """Forgets a tag. Raises RegistryError."""

    def collect(self) -> int:
        """Removes what no tag needs; the bytes freed. A server does that itself: 0."""


def find(registry: Registry, repository: str, tag: str) -> Image | None:
    """The image that a tag names; None where there is none. Raises RegistryError where that cannot be told."""
    answer = registry.lookup(repository, tag)
    if answer.state is State.UNKNOWN:
        raise RegistryError(f"whether {repository}:{tag} exists cannot be told: {answer.reason}", answer.remedy or UNANSWERED)
    return answer.image


def ask_for(reference: str, environment: Mapping[str, str]) -> Answer:
    """What its registry says of an image reference as FROM takes it. `localhost/...` is an engine's own image: present."""
    if reference.startswith("localhost/"):
        return Answer(State.PRESENT)
    from arrstack.registry.distribution import Distribution

    try:
        named = Reference.parse(reference)
    except NotAName as error:
        return Answer(State.UNKNOWN, reason=str(error))
    return Distribution(Place(named.host), environment).lookup(named.repository, named.asked)


def connect(
    where: str, environment: Mapping[str, str], patience: Patience = LOOKING, say: Callable[[str], None] = lambda _: None
) -> Registry:
    """The registry that a flag or setting names: `oci:DIRECTORY`, a path, or `[docker://]HOST[:PORT][/PREFIX]`.

    `patience` is how long a server is waited for; `say` gets a line for each wait, and for what a directory heals.
    Raises ConfigError for a name that is neither.
    """
    if where == "oci:":
        raise ConfigError("oci: names no directory", "give oci:DIRECTORY, a path, or HOST[:PORT][/PREFIX]")
    if where.startswith(("oci:", "/", ".", "~")):
        path = Path(where.removeprefix("oci:")).expanduser().absolute()
        if ":" in str(path):
            raise ConfigError(
                f"a registry directory's path may not hold a colon: {path}",
                "containers/image references use it to separate the tag",
            )
        return OciDirectory(path, say)
    try:
        place = Place.parse(where)
    except NotAName as error:
        raise ConfigError(str(error), "give oci:DIRECTORY, a path, or HOST[:PORT][/PREFIX]") from None
    # The HTTP client costs a tenth of a second to import: a directory does without.
    from arrstack.registry.distribution import Distribution

    return Distribution(place, environment, patience, say)
