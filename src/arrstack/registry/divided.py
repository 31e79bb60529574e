"""A registry whose repositories lie in several places: which, a function of the name says."""

from collections.abc import Callable, Mapping
from pathlib import Path

from arrstack.model import Answer, Image
from arrstack.registry import Attachment, Registry, Send


class Divided:
    """A Registry that hands every call on to the one that holds the repository.

    Divided({"kept": one, "swept": other}, lambda repository: "kept").lookup("arr-pytorch-base", "latest")
    """

    def __init__(self, registries: Mapping[str, Registry], divide: Callable[[str], str]):
        """`divide`: a repository -> the name of the registry that holds it, in `registries`."""
        self.registries, self.divide = registries, divide
        self.name = ", ".join(registry.name for registry in registries.values())

    def _holder(self, repository: str) -> Registry:
        return self.registries[self.divide(repository)]

    def lookup(self, repository: str, tag: str) -> Answer:
        return self._holder(repository).lookup(repository, tag)

    def publish(self, repository: str, tag: str, send: Send) -> Image:
        return self._holder(repository).publish(repository, tag, send)

    def move_tag(self, repository: str, tag: str, image: Image) -> None:
        self._holder(repository).move_tag(repository, tag, image)

    def reference(self, repository: str, tag: str) -> str:
        return self._holder(repository).reference(repository, tag)

    def pinned(self, repository: str, digest: str, scratch: Path) -> str:
        return self._holder(repository).pinned(repository, digest, scratch)

    def blob(self, repository: str, digest: str, size: int, scratch: Path) -> Path:
        return self._holder(repository).blob(repository, digest, size, scratch)

    def attach(self, repository: str, digest: str, attachment: Attachment) -> str:
        return self._holder(repository).attach(repository, digest, attachment)

    def attached(self, repository: str, digest: str, kind: str) -> list[Attachment]:
        return self._holder(repository).attached(repository, digest, kind)

    def tags(self, repository: str) -> list[str]:
        return self._holder(repository).tags(repository)

    def delete_tag(self, repository: str, tag: str) -> None:
        self._holder(repository).delete_tag(repository, tag)

    def collect(self) -> int:
        return sum(registry.collect() for registry in self.registries.values())
