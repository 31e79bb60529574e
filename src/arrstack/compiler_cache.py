"""The compiler cache on its way to another machine: an image of the registry whose layers are chunks of it.

A chunk is a tar of ccache's files, zstd-compressed (image-spec 1.1, layer.md); a label says what each chunk holds. A push adds
chunks with what the registry lacks and names the old ones again, so nothing is uploaded twice. A pull takes every chunk that
holds something new and checks each by its digest, and ccache checks each file by the sum at its end: what was damaged on the
way is compiled again. Whose entry fits is ccache's decision: it hashes the compiler's content.
"""

import hashlib
import json
import os
import re
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from arrstack.errors import MachineError, RegistryError
from arrstack.model import Image, State
from arrstack.registry import Registry

REPOSITORY = "compiler-cache"
LABEL = "io.arrstack.cache"
"""The image label that lists the chunks."""
LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"
ENTRY = re.compile(r"([0-9a-f]/){1,4}[0-9a-v]{20,40}[A-Z]")
"""A file of ccache 4 below its folder: one to four hex digits of the hash, the rest in base 32, the kind (R, M ...)."""
CHUNK = 64 << 20
"""Bytes of cache files after which a chunk is full."""
BLOCK = 1 << 20
"""Bytes of a tar that are read at once."""
WORKERS = os.cpu_count() or 1

Copy = Callable[[str, str], str]
"""(source, destination) as containers/image references -> the digest of what was written: skopeo's copy."""


@dataclass(frozen=True)
class Chunk:
    """A layer: the digests of the blob and of the tar in it, the blob's bytes, and what is in it: name -> bytes."""

    digest: str
    diff_id: str
    size: int
    entries: Mapping[str, int]


@dataclass(frozen=True)
class Moved:
    """What a push or a pull did. `bytes` are of cache files, `transferred` of blobs."""

    entries: int
    bytes: int
    chunks: int
    transferred: int
    known: int
    """Entries that the other side had already."""


def local(folder: Path) -> dict[str, int]:
    """The cache's entries: name below its folder -> bytes. Empty where there is no cache yet."""
    found = {}
    for path in folder.glob("[0-9a-f]/**/*"):
        name = path.relative_to(folder).as_posix()
        if ENTRY.fullmatch(name):
            try:
                found[name] = path.stat().st_size
            except FileNotFoundError:  # ccache itself replaced or removed it
                continue
    return found


def published(registry: Registry, tag: str) -> list[Chunk]:
    """The chunks that the registry holds, oldest first; none where nothing was pushed. Raises RegistryError."""
    answer = registry.lookup(REPOSITORY, tag)
    if answer.state is State.UNKNOWN:
        raise RegistryError(f"{REPOSITORY}:{tag} cannot be asked for: {answer.reason}")
    if answer.image is None:
        return []
    try:
        return [Chunk(**each) for each in json.loads(answer.image.labels[LABEL])]
    except (KeyError, ValueError, TypeError):
        raise RegistryError(f"{registry.name}: {REPOSITORY}:{tag} is no compiler cache of ours") from None


def held(chunks: Iterable[Chunk]) -> dict[str, int]:
    """What a list of chunks holds; of a name that comes twice the later."""
    return {name: size for chunk in chunks for name, size in chunk.entries.items()}


# -- pushing


def push(folder: Path, registry: Registry, tag: str, copy: Copy, scratch: Path, anew: bool = False) -> Moved:
    """Brings what the registry lacks there. `anew` forgets its old chunks: it then holds what is here and no more.

    Raises MachineError where there is no cache, RegistryError.
    """
    entries = local(folder)
    if not entries:
        raise MachineError(f"there is no compiler cache in {folder} yet", "a launch that compiles makes one")
    old = [] if anew else published(registry, tag)
    known = held(old)
    new = sorted(name for name, size in entries.items() if known.get(name) != size)
    if not new:
        return Moved(0, 0, 0, 0, len(entries))
    blobs = scratch / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    with ThreadPoolExecutor(WORKERS) as pool:
        packed = list(pool.map(lambda names: pack(folder, names, blobs), divided(new, entries)))
    made = [chunk for chunk in packed if chunk.entries]
    write_layout(scratch, [*old, *made])
    registry.publish(REPOSITORY, tag, lambda to, _: deliver(scratch, to, copy))
    sent = held(made)
    return Moved(len(sent), sum(sent.values()), len(made), sum(c.size for c in made), len(entries) - len(new))


def deliver(layout: Path, to: str, copy: Copy) -> str:
    """The layout to where a registry wants it; returns the digest of the manifest. Into a directory of this machine its blobs move, each by rename: they
    were hashed when they were written, and a copy would read, hash and write them again."""
    if not to.startswith("oci:"):
        return copy(f"oci:{layout}", to)
    directory = Path(to.split(":")[1])
    for made in (layout / "blobs" / "sha256").iterdir():
        target = directory / "blobs" / "sha256" / made.name
        arriving = target.with_name(f".{made.name}")
        shutil.move(made, arriving)  # a copy where that is another file system
        arriving.replace(target)
    shutil.copy(layout / "index.json", directory)
    return str(json.loads((layout / "index.json").read_bytes())["manifests"][0]["digest"])


def divided(names: Sequence[str], sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """The names in their order, in groups of about CHUNK bytes."""
    group: list[str] = []
    filled = 0
    for name in names:
        group.append(name)
        filled += sizes[name]
        if filled >= CHUNK:
            yield group
            group, filled = [], 0
    if group:
        yield group


class Hashing:
    """Writes on, and knows the SHA-256 of what went through."""

    def __init__(self, to: BinaryIO):
        self.to, self.sha256, self.size = to, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self.size += len(data)
        self.to.write(data)
        return len(data)

    @property
    def digest(self) -> str:
        return f"sha256:{self.sha256.hexdigest()}"


def pack(folder: Path, names: Iterable[str], blobs: Path) -> Chunk:
    """One chunk, in the folder of blobs under its digest. An entry that is gone meanwhile is left out."""
    entries: dict[str, int] = {}
    temporary = blobs / f".{os.getpid()}-{os.urandom(8).hex()}"
    with temporary.open("wb") as file:
        outer = Hashing(file)
        # Most entries are compressed by ccache: a fast level takes what is left.
        with zstandard.ZstdCompressor(level=1).stream_writer(outer, closefd=False) as packer:  # type: ignore[arg-type]
            inner = Hashing(packer)
            for name in names:
                try:
                    data = (folder / name).read_bytes()
                except FileNotFoundError:
                    continue
                entry = tarfile.TarInfo(name)
                entry.size, entries[name] = len(data), len(data)
                inner.write(entry.tobuf(tarfile.GNU_FORMAT))
                inner.write(data)
                inner.write(bytes(-len(data) % tarfile.BLOCKSIZE))
            inner.write(bytes(2 * tarfile.BLOCKSIZE))
    temporary.rename(blobs / outer.digest.removeprefix("sha256:"))
    return Chunk(outer.digest, inner.digest, outer.size, entries)


def write_layout(root: Path, chunks: Sequence[Chunk]) -> None:
    """An OCI layout of one image with these layers; blobs of old chunks are where it goes, and not here."""
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Labels": {LABEL: json.dumps([asdict(chunk) for chunk in chunks], sort_keys=True)}},
        "rootfs": {"type": "layers", "diff_ids": [chunk.diff_id for chunk in chunks]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(root, config, "application/vnd.oci.image.config.v1+json"),
        "layers": [{"mediaType": LAYER, "digest": chunk.digest, "size": chunk.size} for chunk in chunks],
    }
    index = {"schemaVersion": 2, "manifests": [blob(root, manifest, manifest["mediaType"])]}  # type: ignore[arg-type]
    (root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (root / "index.json").write_text(json.dumps(index))


def blob(root: Path, value: Any, kind: str) -> dict[str, Any]:
    """A JSON blob of a layout, and its descriptor."""
    data = json.dumps(value, sort_keys=True).encode()
    digest = hashlib.sha256(data).hexdigest()
    (root / "blobs" / "sha256" / digest).write_bytes(data)
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}


# -- pulling


def pull(folder: Path, registry: Registry, tag: str, scratch: Path) -> Moved:
    """Brings here what the registry has and this cache lacks. What is here stays as it is.

    Raises RegistryError where nothing was pushed, or what was is not what its label or a digest says.
    """
    chunks = published(registry, tag)
    if not chunks:
        raise RegistryError(f"{registry.name} holds no {REPOSITORY}:{tag}", "`arrstack cache push` brings one there")
    here = local(folder)
    newest = {name: chunk.digest for chunk in chunks for name in chunk.entries if name not in here}
    wanted = [chunk for chunk in chunks if chunk.digest in newest.values()]
    if not wanted:
        return Moved(0, 0, 0, 0, len(here.keys() & held(chunks).keys()))
    folder.mkdir(parents=True, exist_ok=True)

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
    known = len(held(chunks)) - len(names)
    return Moved(len(names), sum(names.values()), len(wanted), sum(chunk.size for chunk in wanted), known)


def unpack(blob: Path, chunk: Chunk, folder: Path, newest: Mapping[str, str]) -> dict[str, int]:
    """The chunk's files into the cache, each by rename, as far as `newest` names this chunk for them; returns those.

    Raises RegistryError where the chunk is not what its list says.
    """
    new: dict[str, int] = {}
    try:
        with (
            blob.open("rb") as file,
            zstandard.ZstdDecompressor().stream_reader(file) as reader,
            tarfile.open(mode="r|", fileobj=reader, bufsize=BLOCK) as tar,
        ):
            for member in tar:
                name = member.name
                if not (member.isfile() and ENTRY.fullmatch(name) and chunk.entries.get(name) == member.size):
                    raise RegistryError(f"chunk {chunk.digest} holds '{name}', which its list does not name")
                content = tar.extractfile(member)
                if content and newest.get(name) == chunk.digest:
                    put(folder, name, content.read())
                    new[name] = member.size
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        raise RegistryError(f"chunk {chunk.digest} cannot be read: {error}") from None
    return new


def put(folder: Path, name: str, data: bytes) -> None:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{os.getpid()}-{os.urandom(8).hex()}")
    temporary.write_bytes(data)
    temporary.replace(target)


# -- pruning


def prune(folder: Path, limit: int, dry_run: bool = False) -> Moved:
    """Removes the entries that were used longest ago until the cache has at most `limit` bytes. ccache keeps an entry's
    modification time at its last use."""
    used: list[tuple[float, str, int]] = []
    for name, size in local(folder).items():
        try:
            used.append(((folder / name).stat().st_mtime, name, size))
        except FileNotFoundError:
            continue
    filled, gone = sum(size for _, _, size in used), {}
    for _, name, size in sorted(used):
        if filled <= limit:
            break
        if not dry_run:
            (folder / name).unlink(missing_ok=True)
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


def summary(folder: Path, image: Image | None, chunks: Sequence[Chunk]) -> dict[str, Any]:
    """The documented form of `cache stats` (docs/guide/json.md)."""
    here, there = local(folder), held(chunks)
    return {
        "folder": str(folder),
        "entries": len(here),
        "bytes": sum(here.values()),
        "unpushed": sum(there.get(name) != size for name, size in here.items()),
        "registry": {
            "digest": image.digest,
            "chunks": len(chunks),
            "bytes": sum(c.size for c in chunks),
            "entries": len(there),
            "missing_here": len(there.keys() - here.keys()),
        }
        if image
        else None,
    }
