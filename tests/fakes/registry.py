"""A registry in memory, with its faults on demand."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from arrstack.errors import RegistryError
from arrstack.model import Answer, Image, State
from arrstack.registry import Attachment


@dataclass
class MemoryRegistry:
    """Images by (repository, tag). `unknown` names tags of which it cannot tell; `moves` are the tags moved, in order."""

    name: str = "memory"
    images: dict[tuple[str, str], Image] = field(default_factory=dict)
    unknown: set[tuple[str, str]] = field(default_factory=set)
    moves: list[tuple[str, str]] = field(default_factory=list)
    attachments: dict[tuple[str, str], list[Attachment]] = field(default_factory=dict)

    def lookup(self, repository: str, tag: str) -> Answer:
        if (repository, tag) in self.unknown:
            return Answer(State.UNKNOWN, reason="503")
        image = self.images.get((repository, tag))
        return Answer(State.PRESENT, image) if image else Answer(State.ABSENT)

    def put(self, repository: str, tag: str, image: Image) -> Image:
        self.images[repository, tag] = replace(image, repository=repository)
        return self.images[repository, tag]

    def publish(self, repository: str, tag: str, send: Callable[[str, bool], str]) -> Image:
        raise RegistryError("a registry in memory takes no pushes")

    def move_tag(self, repository: str, tag: str, image: Image) -> None:
        self.moves.append((repository, tag))
        self.put(repository, tag, image)

    def reference(self, repository: str, tag: str) -> str:
        return f"memory:{repository}:{tag}"

    def pinned(self, repository: str, digest: str, scratch: Path) -> str:
        return f"memory:{repository}@{digest}"

    def blob(self, repository: str, digest: str, size: int, scratch: Path) -> Path:
        raise RegistryError("a registry in memory holds no blobs")

    def attach(self, repository: str, digest: str, attachment: Attachment) -> str:
        held = self.attachments.setdefault((repository, digest), [])
        held[:] = [each for each in held if (each.kind, each.annotations) != (attachment.kind, attachment.annotations)]
        held.append(attachment)
        return digest

    def attached(self, repository: str, digest: str, kind: str) -> list[Attachment]:
        return [each for each in self.attachments.get((repository, digest), []) if each.kind == kind]

    def tags(self, repository: str) -> list[str]:
        return sorted(tag for name, tag in self.images if name == repository)

    def delete_tag(self, repository: str, tag: str) -> None:
        self.images.pop((repository, tag), None)

    def collect(self) -> int:
        return 0
