"""What GPU code is called: its kind and architecture, an entry of a fat binary, and the container that holds it."""

import enum
from dataclasses import dataclass
from typing import NamedTuple


class FatbinError(Exception):
    """Not a fat binary that this version can read in full; says at which offset of the file, and what was found there.

    `read_to` is the offset behind the last entry that could be read, 0 where not even the container's header could.
    """

    read_to = 0


class Kind(enum.Enum):
    """What an entry holds. LTO_IR is NVVM's intermediate code for link-time optimisation: no GPU runs it as it is."""

    PTX = 1
    SASS = 2
    LTO_IR = 8


class Compression(enum.Enum):
    NONE = "none"
    LZ4 = "lz4"
    ZSTD = "zstd"


class Arch(NamedTuple):
    """A GPU architecture as the compiler names it: 90 and "a" for sm_90a. Variant: "", "a" (this GPU alone), "f" (its family)."""

    number: int
    variant: str = ""

    @property
    def sm(self) -> str:
        return f"sm_{self.number}{self.variant}"

    @property
    def compute(self) -> str:
        return f"compute_{self.number}{self.variant}"

    @property
    def capability(self) -> tuple[int, int]:
        """(major, minor) of the compute capability: 89 is (8, 9), 120 is (12, 0)."""
        return divmod(self.number, 10)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a container.

    `stored` is its size in the file in bytes, headers excluded (its share of the compressed whole in a bundle); `isa` is
    (major, minor); the code is `size` bytes, at `inner` of what the `compressed_size` bytes at `offset` decompress to, which
    are `whole` bytes.
    """

    kind: Kind
    arch: Arch
    stored: int
    compression: Compression
    isa: tuple[int, int]
    offset: int
    compressed_size: int
    size: int
    inner: int
    whole: int


@dataclass(frozen=True, slots=True)
class Container:
    """The entries of one translation unit: the CUDA runtime picks one of them for the GPU at hand.

    `unknown_kinds` are the kinds of entries that this program does not know and left out.
    """

    offset: int
    entries: tuple[Entry, ...]
    unknown_kinds: tuple[int, ...] = ()
