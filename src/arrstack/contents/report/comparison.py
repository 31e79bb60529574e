"""Pure: two inventories -> what the one has more or less than the other."""

from collections.abc import Iterable
from dataclasses import dataclass

from arrstack.contents.inventory import Inventory

MOST_DIFFERENCES = 60


@dataclass(frozen=True)
class Difference:
    """A package that the two do not share as it is. Versions are "" and bytes 0 where one has none of it."""

    name: str
    version: str
    other_version: str
    bytes: int
    other_bytes: int

    @property
    def change(self) -> int:
        """Bytes that ours has more; negative: less."""
        return self.bytes - self.other_bytes


@dataclass(frozen=True)
class Comparison:
    """`inventory` beside `other`; what no package owns is a difference of its own."""

    inventory: Inventory
    other: Inventory
    differences: tuple[Difference, ...]
    left_out: int
    """Differences that are too small for the list."""

    @property
    def fetched(self) -> int:
        """Bytes that a machine which has the other still pulls: of layers that the two do not share."""
        there = {part.name for part in self.other.parts}
        return sum(part.stored for part in self.inventory.parts if part.name not in there)

    @property
    def stored_ratio(self) -> float | None:
        """What a pull of ours fetches, as a share of the other's; None where either is not stored anywhere."""
        return self.inventory.stored / self.other.stored if self.inventory.stored and self.other.stored else None

    @property
    def bytes_ratio(self) -> float | None:
        return self.inventory.bytes / self.other.bytes if self.other.bytes else None

    def code(self) -> dict[str, tuple[int, int]]:
        """Architecture -> bytes of device code in ours and in the other."""
        ours, others = code_bytes(self.inventory), code_bytes(self.other)
        return {name: (ours.get(name, 0), others.get(name, 0)) for name in dict.fromkeys([*ours, *others])}


def code_bytes(inventory: Inventory) -> dict[str, int]:
    """Architecture -> bytes of device code in all libraries."""
    return {
        name: sum(library.code[name].bytes for library in inventory.libraries if name in library.code)
        for name in inventory.architectures
    }


def compare(inventory: Inventory, other: Inventory) -> Comparison:
    """The largest differences first."""
    ours, others = dict(_sizes(inventory)), dict(_sizes(other))
    found = []
    for name in {**ours, **others}:
        (version, size), (other_version, other_size) = ours.get(name, ("", 0)), others.get(name, ("", 0))
        if (version, size) != (other_version, other_size):
            found.append(Difference(name, version, other_version, size, other_size))
    found.sort(key=lambda each: (-abs(each.change), each.name))
    return Comparison(inventory, other, tuple(found[:MOST_DIFFERENCES]), max(0, len(found) - MOST_DIFFERENCES))


def _sizes(inventory: Inventory) -> Iterable[tuple[str, tuple[str, int]]]:
    """Package's kind and name -> its version and bytes: one of another architecture is the same package."""
    for package in inventory.packages:
        yield f"{package.kind.value} {package.name}", (package.version, package.bytes)
    if rest := sum(cell.bytes for cell in inventory.cells if not cell.is_package):
        yield "files of no package", ("", rest)
