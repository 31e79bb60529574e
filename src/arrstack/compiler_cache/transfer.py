"""The way of the compiler cache: out by a push, in by a pull, and away by a prune."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from arrstack.compiler_cache import chunks as packing
from arrstack.compiler_cache.chunks import Chunk, pack, unpack
from arrstack.compiler_cache.folder import LARGEST_ENTRY, CacheFolder
from arrstack.compiler_cache.listing import REPOSITORY, Published, held, published, write_layout
from arrstack.errors import MachineError, RegistryError
from arrstack.registry import Registry
from arrstack.registry.documents import decoded
from arrstack.registry.layout import Index

WORKERS = os.cpu_count() or 1

Copy = Callable[[str, str], str]
"""(source, destination) as containers/image references -> the digest of what was written: skopeo's copy."""


@dataclass(frozen=True)
class Moved:
    """What a push or a pull did. `bytes` are of cache files, `transferred` of blobs."""

    entries: int
    bytes: int
    chunks: int
    transferred: int
    known: int
    """Entries that the other side had already."""


# -- pushing


def push(path: Path, registry: Registry, tag: str, copy: Copy, scratch: Path, anew: bool = False) -> Moved:
    """Brings what the registry lacks there. `anew` forgets its old chunks: it then holds what is here and no more.

    Raises MachineError where there is no cache, RegistryError.
    """
    folder = CacheFolder(path)
    entries = {name: size for name, size in folder.entries().items() if size <= LARGEST_ENTRY}
    if not entries:
        raise MachineError(f"there is no compiler cache in {path} yet", "a launch that compiles makes one")
    old = () if anew else published(registry, tag, scratch).chunks
    known = held(old)
    new = sorted(name for name, size in entries.items() if known.get(name) != size)
    if not new:
        return Moved(0, 0, 0, 0, len(entries))
    layout = scratch / "layout"
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    with ThreadPoolExecutor(WORKERS) as pool:
        packed = list(pool.map(lambda names: pack(folder, names, blobs), divided(new, entries)))
    made = [chunk for chunk in packed if chunk.entries]
    write_layout(layout, [*old, *made])
    registry.publish(REPOSITORY, tag, lambda to, _: deliver(layout, to, copy))
    sent = held(made)
    return Moved(len(sent), sum(sent.values()), len(made), sum(c.size for c in made), len(entries) - len(new))


def deliver(layout: Path, to: str, copy: Copy) -> str:
    """The layout to where a registry wants it; returns the digest of the manifest. Into a directory of this machine its
    blobs move, each by rename: they were hashed when they were written, and a copy would read, hash and write them again."""
    if not to.startswith("oci:"):
        return copy(f"oci:{layout}", to)
    directory = Path(to.split(":")[1])
    for made in (layout / "blobs" / "sha256").iterdir():
        target = directory / "blobs" / "sha256" / made.name
        arriving = target.with_name(f".{made.name}")
        shutil.move(made, arriving)  # a copy where that is another file system
        arriving.replace(target)
    index = (layout / "index.json").read_bytes()
    (directory / "index.json").write_bytes(index)
    return decoded(index, Index).manifests[0].digest


def divided(names: Sequence[str], sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """The names in their order, in groups of about CHUNK bytes."""
    group: list[str] = []
    filled = 0
    for name in names:
        group.append(name)
        filled += sizes[name]
        if filled >= packing.CHUNK:
            yield group
            group, filled = [], 0
    if group:
        yield group


# -- pulling


def pull(path: Path, registry: Registry, tag: str, scratch: Path) -> Moved:
    """Brings here what the registry has and this cache lacks. What is here stays as it is.

    Raises RegistryError where nothing was pushed, or what was is not what its list or a digest says.
    """
    folder, there = CacheFolder(path), published(registry, tag, scratch)
    if there.image is None:
        raise RegistryError(f"{registry.name} holds no {REPOSITORY}:{tag}", "`arrstack cache push` brings one there")
    here = folder.entries()
    newest = {name: chunk.digest for chunk in there.chunks for name in chunk.entries if name not in here}
    wanted = [chunk for chunk in there.chunks if chunk.digest in newest.values()]

    def arrive(chunk: Chunk) -> dict[str, int]:
        try:
            blob = registry.blob(REPOSITORY, chunk.digest, chunk.size, scratch)
        except RegistryError as error:
            hint = "what is damaged or missing there, `arrstack cache push --anew` replaces from a machine that has it"
            raise RegistryError(error.message, hint) from None
        return unpack(blob, chunk, folder, newest)

    with ThreadPoolExecutor(WORKERS) as pool:
        found = list(pool.map(arrive, wanted))
    names = {name: size for each in found for name, size in each.items()}
    known = len(there.entries.keys() & here.keys()) if not wanted else len(there.entries) - len(names)
    return Moved(len(names), sum(names.values()), len(wanted), sum(chunk.size for chunk in wanted), known)


# -- pruning


def prune(path: Path, limit: int, dry_run: bool = False) -> Moved:
    """Removes the entries that were used longest ago until the cache has at most `limit` bytes. ccache keeps an entry's
    modification time at its last use."""
    folder = CacheFolder(path)
    used = sorted((found.st_mtime, name, found.st_size) for name, found in folder.found())
    filled, gone = sum(size for _, _, size in used), {}
    for _, name, size in used:
        if filled <= limit:
            break
        if not dry_run:
            folder.remove(name)
        filled, gone[name] = filled - size, size
    return Moved(len(gone), sum(gone.values()), 0, 0, len(used) - len(gone))


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """What the operating system says of the cache's folder, as an error with what to do. Raises MachineError."""
    try:
        yield
    except OSError as error:
        raise MachineError(
            f"{error.filename or folder}: {error.strerror}",
            "the cache belongs to who launches, on a file system with space; XDG_CACHE_HOME names another place",
        ) from None


@dataclass(frozen=True)
class Side:
    """The registry's side of a summary."""

    digest: str
    chunks: int
    bytes: int
    entries: int
    missing_here: int


@dataclass(frozen=True)
class Summary:
    """What `cache stats` says (docs/guide/json.md)."""

    folder: str
    entries: int
    bytes: int
    unpushed: int
    registry: Side | None


def summary(path: Path, there: Published) -> Summary:
    here, known = CacheFolder(path).entries(), there.entries
    side = None
    if there.image:
        size = sum(chunk.size for chunk in there.chunks)
        side = Side(there.image.digest, len(there.chunks), size, len(known), len(known.keys() - here.keys()))
    unpushed = sum(known.get(name) != size for name, size in here.items())
    return Summary(str(path), len(here), sum(here.values()), unpushed, side)
