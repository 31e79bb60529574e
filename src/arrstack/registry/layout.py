"""An OCI image layout on disk, as far as a registry needs it (image-spec 1.1, image-layout.md): its index, its blobs, its lock."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from arrstack.model import Image
from arrstack.registry.documents import (
    LARGEST_JSON,
    Descriptor,
    Document,
    Manifest,
    decoded,
    described,
    encoded,
    image_of,
    manifest_of,
)
from arrstack.registry.files import PRIVATE_FOLDER, create, locked, open_regular, read_regular, sync, sync_folder, write_durably

REF_NAME = "org.opencontainers.image.ref.name"
MARK = b'{"imageLayoutVersion": "1.0.0"}'
LARGEST_INDEX = 64 << 20
SEEN = ".verified"
"""The blobs that had their digest, and what the file system said of each then."""


class Corrupt(Exception):
    """Something in the directory is not what its name or its digest says, or what a registry directory is."""


class Foreign(Corrupt):
    """A folder of something else: nothing in it is touched."""


class Index(msgspec.Struct):
    manifests: list[Descriptor]


class Layout:
    def __init__(self, root: Path):
        self.root = root
        self.blobs = root / "blobs" / "sha256"

    # -- reading; each raises Corrupt and OSError

    def index(self) -> dict[str, Descriptor]:
        """Reference name -> descriptor; empty for a directory that is empty or not there yet."""
        if not self.in_use():
            return {}
        if not (self.root / "oci-layout").is_file():
            self.require_ours()
            raise Corrupt("oci-layout is missing")
        try:
            return self.entries()
        except FileNotFoundError:
            if self.blobs.exists():  # a new directory gets its index before it gets blobs
                raise Corrupt("index.json is missing") from None
            return {}
        except ValueError as error:
            raise Corrupt(f"index.json is damaged: {error}") from None

    def entries(self) -> dict[str, Descriptor]:
        """What index.json says. Raises OSError, and ValueError where it is damaged."""
        return named(decoded(read_regular(self.root / "index.json", LARGEST_INDEX), Index).manifests)

    def require_ours(self) -> None:
        """Raises Corrupt for a folder of something else: one without the mark of a layout and without its blobs."""
        if self.in_use() and not (self.root / "oci-layout").is_file() and not self.blobs.is_dir():
            raise Foreign("is not a registry directory (no oci-layout file): name another with --registry")

    def in_use(self) -> bool:
        """Whether there is anything at all."""
        try:
            return bool(os.listdir(self.root))
        except FileNotFoundError:
            return False

    def path(self, digest: str) -> Path:
        try:
            return self.root / "blobs" / digest.partition(":")[0] / encoded(digest)
        except ValueError as error:
            raise Corrupt(str(error)) from None

    def document(self, descriptor: Descriptor) -> bytes:
        """A JSON blob's bytes, checked against the descriptor."""
        try:
            return described(descriptor, read_regular(self.path(descriptor.digest), LARGEST_JSON))
        except FileNotFoundError:
            raise Corrupt(f"blob {descriptor.digest} is missing") from None
        except ValueError as error:
            raise Corrupt(f"blob {error}") from None

    def manifest(self, descriptor: Descriptor) -> Manifest:
        try:
            return manifest_of(decoded(self.document(descriptor), Document))
        except ValueError as error:
            raise Corrupt(f"{descriptor.digest} cannot be read: {error}") from None

    def parts(self, descriptor: Descriptor) -> list[Descriptor]:
        """The blobs that a manifest names, its config and its layers; of a list of attachments all that they name."""
        try:
            document = decoded(self.document(descriptor), Document)
            if document.manifests is not None and document.layers is None:
                return [part for each in document.manifests for part in (each, *self.parts(each))]
            manifest = manifest_of(document)
        except (ValueError, RecursionError) as error:
            raise Corrupt(f"{descriptor.digest} cannot be read: {error}") from None
        return [manifest.config, *manifest.layers]

    def image(self, repository: str, descriptor: Descriptor) -> Image:
        """The image of a descriptor, with all its layers in place; their sizes are compared, their bytes not read."""
        manifest = self.manifest(descriptor)
        for layer in manifest.layers:
            path = self.path(layer.digest)
            if not path.is_file() or path.stat().st_size != layer.size:
                raise Corrupt(f"layer {layer.digest} of {repository} is missing or incomplete")
        try:
            return image_of(repository, descriptor.digest, manifest, self.document(manifest.config))
        except ValueError as error:
            raise Corrupt(f"{repository}@{descriptor.digest} cannot be read: {error}") from None

    def whole(self, descriptor: Descriptor) -> bool:
        """Whether a blob has its size and its digest; all of it is read."""
        try:
            with os.fdopen(open_regular(self.path(descriptor.digest)), "rb") as file:
                if os.fstat(file.fileno()).st_size != descriptor.size:
                    return False
                return hashlib.file_digest(file, descriptor.digest.partition(":")[0]).hexdigest() == encoded(descriptor.digest)
        except (OSError, Corrupt):
            return False

    # -- writing; each raises OSError

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """The directory made and locked against other writers. What is not there yet comes in an order in which who looks
        meanwhile sees a registry without images."""
        self.root.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            create(self.root / "oci-layout", MARK)
        with locked(self.root / ".lock"):
            if not self.blobs.exists():
                if not (self.root / "index.json").exists():
                    self.write_index({})
                self.blobs.mkdir(mode=PRIVATE_FOLDER, parents=True)
            for left in self.root.glob(".incoming-*"):  # by one that was killed: who works holds the lock
                shutil.rmtree(left)
            yield

    def write_index(self, entries: Mapping[str, Descriptor]) -> None:
        listed = [
            {"mediaType": each.mediaType, "digest": each.digest, "size": each.size, "annotations": {REF_NAME: name}}
            for name, each in sorted(entries.items())
        ]
        write_durably(self.root / "index.json", json.dumps({"schemaVersion": 2, "manifests": listed}, indent=1).encode())

    def keep(self, digests: list[str]) -> None:
        """Waits until blobs are on the disk, which an index may name then."""
        for digest in digests:
            sync(self.path(digest))
        sync_folder(self.blobs)

    # -- what was read once

    def seen(self) -> dict[str, str]:
        """Blob -> what the file system said when it had its digest; empty where nothing was noted."""
        try:
            return decoded(read_regular(self.root / SEEN, LARGEST_INDEX), dict[str, str])
        except (OSError, ValueError):
            return {}

    def note(self, digests: list[str]) -> None:
        """Remembers that these blobs have their digests, and forgets those that are gone."""
        held = {name: said for name, said in self.seen().items() if (self.blobs / name).exists()}
        held |= {encoded(digest): stamp(self.path(digest)) for digest in digests}
        write_durably(self.root / SEEN, json.dumps(held, indent=1, sort_keys=True).encode())


def stamp(path: Path) -> str:
    """What changes when a file does: its number, size and times."""
    found = path.lstat()
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def named(entries: list[Descriptor]) -> dict[str, Descriptor]:
    """The entries of an index by their reference names."""
    return {(entry.annotations or {}).get(REF_NAME, ""): entry for entry in entries}
