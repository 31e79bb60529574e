"""An OCI image layout on disk as a registry.

One layout holds all repositories; a reference name is `REPOSITORY:TAG`, so tiers share their parents' layers. Layers
are stored as they are, without compression: a push copies only what is new, and nothing is decompressed to be used.
"""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from arrstack.errors import RegistryError
from arrstack.model import Answer, Image, State
from arrstack.registry import health
from arrstack.registry.attachments import (
    EMPTY,
    LARGEST_ATTACHMENT,
    Attachment,
    Referrers,
    Subject,
    document_in,
    is_tag_of_digest,
    listed,
    manifest_for,
    of_kind,
    referrers_tag,
    with_attached,
)
from arrstack.registry.documents import INDEX, MANIFEST, Config, Descriptor, decoded, described, digest_of, encoded
from arrstack.registry.files import read_regular, write_durably
from arrstack.registry.health import Damage
from arrstack.registry.layout import LARGEST_INDEX, MARK, Corrupt, Foreign, Index, Layout, stamp

LAYER = "application/vnd.oci.image.layer.v1.tar"
REPAIR = "`arrstack registry repair` removes what is damaged, and a launch makes it anew"


class OciDirectory:
    def __init__(self, root: Path, say: Callable[[str], None] = lambda _: None):
        """`say` gets a line for each thing that is healed on the way."""
        self.root, self.say = root, say
        self.name = f"oci:{root}"
        self.layout = Layout(root)

    # -- reading

    def lookup(self, repository: str, tag: str) -> Answer:
        try:
            descriptor = self._descriptor(repository, tag)
            if descriptor is None:
                return Answer(State.ABSENT)
            return Answer(State.PRESENT, self.layout.image(repository, descriptor))
        except Corrupt as error:
            hint = "" if isinstance(error, Foreign) else f"; {REPAIR}"
            return Answer(State.UNKNOWN, reason=f"{self.root}: {error}{hint}")
        except OSError as error:
            return Answer(State.UNKNOWN, reason=f"{error.filename or self.root}: {error.strerror or error}")

    def tags(self, repository: str) -> list[str]:
        with self._explained():
            tags = [name.partition(":")[2] for name in self.layout.index() if name.startswith(f"{repository}:")]
        return sorted(tag for tag in tags if not is_tag_of_digest(tag))

    def reference(self, repository: str, tag: str) -> str:
        return f"oci:{self.root}:{repository}:{tag}"

    def pinned(self, repository: str, digest: str, scratch: Path) -> str:
        with self._explained():
            held = self._descriptor(repository, digest)
            if held is None:
                raise RegistryError(f"{self.name} no longer holds {repository}@{digest}")
            # A layout of its own with this image alone, as it is now: the manifest and the config are copied, and skopeo
            # checks each layer against them. A tag, and an index, would be read again when it is pulled.
            made = Path(tempfile.mkdtemp(prefix="pinned-", dir=scratch))
            (made / "blobs/sha256").mkdir(parents=True)
            (made / "oci-layout").write_bytes(MARK)
            manifest = self.layout.manifest(held)
            for part in (held, manifest.config):
                (made / "blobs/sha256" / encoded(part.digest)).write_bytes(self.layout.document(part))
            for layer in manifest.layers:
                path = made / "blobs/sha256" / encoded(layer.digest)
                if not path.is_symlink():  # the same layer may stand twice in an image
                    path.symlink_to(self.layout.path(layer.digest).absolute())
            held.annotations = None
            (made / "index.json").write_bytes(msgspec.json.encode({"schemaVersion": 2, "manifests": [held]}))
        return f"oci:{made}"

    def blob(self, repository: str, digest: str, size: int, scratch: Path) -> Path:
        with self._explained():
            path = self.layout.path(digest)
            if not path.exists():
                raise RegistryError(f"{self.root}: blob {digest} is missing")
            if not self.layout.whole(Descriptor(digest, size)):
                raise RegistryError(f"{self.root}: blob {digest} does not have that digest, or not its size of {size} bytes")
        return path

    def _descriptor(self, repository: str, tag: str) -> Descriptor | None:
        """Of a tag or a digest."""
        entries = self.layout.index()
        if ":" not in tag:
            return entries.get(f"{repository}:{tag}")
        return next((d for name, d in entries.items() if d.digest == tag and name.startswith(f"{repository}:")), None)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """What is wrong with the directory, as RegistryError."""
        try:
            yield
        except Corrupt as error:
            raise RegistryError(f"{self.root}: {error}", "" if isinstance(error, Foreign) else REPAIR) from None
        except OSError as error:
            hint = "check the folder's space and rights, or name another with --registry"
            raise RegistryError(f"{error.filename or self.root}: {error.strerror or error}", hint) from None

    # -- what is attached to an image

    def attach(self, repository: str, digest: str, attachment: Attachment) -> str:
        with self._writing():
            entries, name = self.layout.index(), f"{repository}:{referrers_tag(digest)}"
            image = self._descriptor(repository, digest)
            if image is None:
                raise RegistryError(f"{self.root} does not hold {repository}@{digest}")
            manifest = manifest_for(attachment, Subject(image.mediaType or MANIFEST, image.digest, image.size))
            index = with_attached(self._attachments(entries, name), listed(manifest, attachment))
            blobs = [EMPTY, attachment.data, manifest, index]
            for data in blobs:
                write_durably(self.layout.path(digest_of(data)), data)
            self.layout.note([digest_of(data) for data in blobs])
            named = {name: Descriptor(digest_of(index), len(index), INDEX)}
            if attachment.suffix:
                named[f"{name}.{attachment.suffix}"] = Descriptor(digest_of(manifest), len(manifest), MANIFEST)
            self.layout.write_index(entries | named)
        return digest_of(manifest)

    def attached(self, repository: str, digest: str, kind: str) -> list[Attachment]:
        with self._explained():
            entries = self._attachments(self.layout.index(), f"{repository}:{referrers_tag(digest)}")
            try:
                return [self._attachment(digest, entry, kind) for entry in of_kind(entries, kind)]
            except ValueError as error:
                raise Corrupt(f"what is attached to {repository}@{digest} cannot be read: {error}") from None

    def _attachment(self, digest: str, entry: Descriptor, kind: str) -> Attachment:
        document = document_in(self.layout.document(entry), digest, kind)
        data = described(document, read_regular(self.layout.path(document.digest), LARGEST_ATTACHMENT))
        return Attachment(kind, document.mediaType, data, tuple((entry.annotations or {}).items()))

    def _attachments(self, entries: Mapping[str, Descriptor], name: str) -> list[Descriptor]:
        """Those that the list under a name has. Raises Corrupt and OSError."""
        if name not in entries:
            return []
        try:
            return decoded(self.layout.document(entries[name]), Referrers).manifests
        except ValueError as error:
            raise Corrupt(f"{name} cannot be read: {error}") from None

    # -- health

    def check(self) -> list[Damage]:
        """All that is damaged; every blob is read. Raises RegistryError."""
        with self._explained():
            return health.check(self.layout)

    def repair(self, say: Callable[[str], None]) -> list[Damage]:
        """Forgets damaged images, removes damaged blobs, and returns what was damaged. Raises RegistryError."""
        with self._explained():
            return health.repair(self.layout, say)

    # -- writing

    def publish(self, repository: str, tag: str, send: Callable[[str, bool], str]) -> Image:
        with self._writing():
            for told in health.heal(self.layout):
                self.say(told)
            had = {path.name for path in self.layout.blobs.iterdir()}
            try:
                sent = self._received(repository, tag, send)
                if damaged := self._damaged(sent, had):
                    # What lies there already is not sent: it is removed, and sent after all.
                    for part in damaged:
                        self.layout.path(part.digest).unlink()
                    self.say(f"{self.root}: {len(damaged)} damaged blobs are replaced")
                    sent = self._received(repository, tag, send)
                descriptor = self._corrected(sent)
                image = self.layout.image(repository, descriptor)
                digests = sorted({descriptor.digest, *(part.digest for part in self.layout.parts(descriptor))})
            except (Corrupt, ValueError) as error:
                raise RegistryError(f"what the engine sent to {self.root} is not an image: {error}") from None
            self.layout.keep([digest for digest in digests if encoded(digest) not in had])
            self.layout.note(digests)
            self.layout.write_index(self.layout.index() | {f"{repository}:{tag}": descriptor})
        return image

    def _received(self, repository: str, tag: str, send: Callable[[str, bool], str]) -> Descriptor:
        """The manifest's descriptor of an image that an engine sends. Raises Corrupt, OSError and ValueError.

        The engine writes blobs into the shared store, each by rename, and its index into a folder of its own: nothing
        refers to the image before all of it is there.
        """
        with tempfile.TemporaryDirectory(prefix=".incoming-", dir=self.root) as folder:
            staging = Path(folder)
            (staging / "oci-layout").write_bytes(MARK)
            (staging / "blobs").symlink_to("../blobs")
            send(f"oci:{staging}:{repository}:{tag}", False)
            try:
                (sent,) = decoded(read_regular(staging / "index.json", LARGEST_INDEX), Index).manifests
            except FileNotFoundError:
                raise Corrupt("there is no index") from None
        return sent

    def _damaged(self, sent: Descriptor, had: set[str]) -> list[Descriptor]:
        """The blobs of an image that were there before it was sent, and are not what they should be."""
        return [part for part in self.layout.parts(sent) if encoded(part.digest) in had and not self._is_whole(part)]

    def _is_whole(self, part: Descriptor) -> bool:
        """Whether a blob has its digest: as it was read before, or by reading it now."""
        path = self.layout.path(part.digest)
        return (path.exists() and self.layout.seen().get(path.name) == stamp(path)) or self.layout.whole(part)

    def _corrected(self, sent: Descriptor) -> Descriptor:
        """The descriptor of the manifest with each layer's media type as the layer is: tools of the age of skopeo 1.9
        call layers that they left uncompressed tar+gzip. A layer whose digest is its diff ID is not compressed."""
        config = self.layout.path(self.layout.manifest(sent).config.digest)
        plain = set(decoded(read_regular(config, LARGEST_INDEX), Config).rootfs.diff_ids)
        manifest = json.loads(self.layout.document(sent))
        for layer in manifest["layers"]:
            if layer["digest"] in plain:
                layer["mediaType"] = LAYER
        data = json.dumps(manifest, sort_keys=True).encode()
        made = Descriptor(digest_of(data), len(data), sent.mediaType)
        write_durably(self.layout.path(made.digest), data)
        return made

    def move_tag(self, repository: str, tag: str, image: Image) -> None:
        with self._writing():
            entries = self.layout.index()
            held = next((d for d in entries.values() if d.digest == image.digest), None)
            if held is None:
                raise RegistryError(f"{self.root} does not hold {repository}@{image.digest}")
            self.layout.write_index(entries | {f"{repository}:{tag}": held})

    def delete_tag(self, repository: str, tag: str) -> None:
        with self._writing():
            self.layout.write_index({k: d for k, d in self.layout.index().items() if k != f"{repository}:{tag}"})

    def collect(self) -> int:
        if not (self.root / "oci-layout").is_file():
            return 0
        with self._writing():
            entries = self.layout.index()
            whole = without_orphans(entries)
            if whole != entries:
                self.layout.write_index(whole)
            needed = set()
            for descriptor in whole.values():
                needed |= {encoded(each.digest) for each in (descriptor, *self.layout.parts(descriptor))}
            freed = 0
            for path in [*self.layout.blobs.iterdir(), *self.root.glob("oci-put-blob*")]:
                if path.name not in needed:
                    freed += path.lstat().st_size
                    path.unlink()
            return freed

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """The directory made, checked and locked against other writers. Raises RegistryError."""
        with self._explained():
            self.layout.require_ours()
            with self.layout.writing():
                yield


def without_orphans(entries: Mapping[str, Descriptor]) -> dict[str, Descriptor]:
    """An index without the lists of attachments whose image no tag of the repository names any longer."""
    named = {f"{name.partition(':')[0]}:{referrers_tag(entry.digest)}" for name, entry in entries.items()}
    return {
        name: entry
        for name, entry in entries.items()
        if without_suffix(name) in named or not is_tag_of_digest(name.partition(":")[2])
    }


def without_suffix(name: str) -> str:
    """`REPOSITORY:sha256-DIGEST` of `REPOSITORY:sha256-DIGEST.att`."""
    repository, _, tag = name.partition(":")
    return f"{repository}:{tag.partition('.')[0]}"
