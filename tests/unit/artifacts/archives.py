"""Layers, made entry by entry."""

import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO

from arrstack.artifacts.files import File, Item, Link, Problem
from arrstack.artifacts.layers import Layer, merge_layers


@dataclass
class Entries:
    """A layer's entries, in order: `Entries().file("a", b"x").link("b", "a").tar()`."""

    members: list[tuple[tarfile.TarInfo, bytes]] = field(default_factory=list)

    def add(self, name: str, kind: bytes, target: str = "", data: bytes = b"") -> "Entries":
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, target, len(data)
        self.members.append((info, data))
        return self

    def file(self, name: str, data: bytes = b"x") -> "Entries":
        return self.add(name, tarfile.REGTYPE, data=data)

    def folder(self, name: str) -> "Entries":
        return self.add(name, tarfile.DIRTYPE)

    def link(self, name: str, target: str) -> "Entries":
        return self.add(name, tarfile.SYMTYPE, target)

    def hard_link(self, name: str, target: str) -> "Entries":
        return self.add(name, tarfile.LNKTYPE, target)

    def device(self, name: str) -> "Entries":
        return self.add(name, tarfile.CHRTYPE)

    def tar(self) -> bytes:
        out = BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for info, data in self.members:
                tar.addfile(info, BytesIO(data))
        return out.getvalue()


def merged(*layers: Entries | bytes) -> list[Item]:
    """What is left of these layers, lowest first."""
    tars = [layer if isinstance(layer, bytes) else layer.tar() for layer in layers]
    return list(merge_layers([Layer(lambda data=data: BytesIO(data)) for data in tars]))


def files(items: Sequence[Item]) -> dict[str, bytes]:
    return {item.path: item.head for item in items if isinstance(item, File)}


def links(items: Sequence[Item]) -> dict[str, str]:
    return {item.path: item.target for item in items if isinstance(item, Link)}


def said(items: Sequence[Item]) -> list[str]:
    return [f"{item.path}: {item.message}" for item in items if isinstance(item, Problem)]
