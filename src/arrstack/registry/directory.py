"""An OCI image layout on disk as a registry (image-spec 1.1, image-layout.md).

One layout holds all repositories; a reference name is `REPOSITORY:TAG`, so tiers share their parents' layers. Layers
are stored as they are, without compression: a push copies only what is new, and nothing is decompressed to be used.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from arrstack.errors import RegistryError
from arrstack.model import Answer, Image, State
from arrstack.registry.manifest import encoded, image_of, is_descriptor, parts

REF_NAME = "org.opencontainers.image.ref.name"
LAYOUT = {"imageLayoutVersion": "1.0.0"}


class Corrupt(Exception):
    """Something in the directory is not what its name or its digest says."""


class OciDirectory:
    def __init__(self, root: Path):
        self.root = root
        self.name = f"oci:{root}"

    # -- reading

    def lookup(self, repository: str, tag: str) -> Answer:
        try:
            descriptor = self._descriptor(repository, tag)
            if descriptor is None:
                return Answer(State.ABSENT)
            return Answer(State.PRESENT, self._image(repository, descriptor))
        except (Corrupt, OSError) as error:
            return Answer(State.UNKNOWN, reason=f"{self.root}: {error}")

    def _descriptor(self, repository: str, tag: str) -> dict[str, Any] | None:
        """Of a tag or a digest."""
        entries = self._index()
        if ":" not in tag:
            return entries.get(f"{repository}:{tag}")
        return next((d for name, d in entries.items() if d["digest"] == tag and name.startswith(f"{repository}:")), None)

    def tags(self, repository: str) -> list[str]:
        try:
            return sorted(name.partition(":")[2] for name in self._index() if name.startswith(f"{repository}:"))
        except (Corrupt, OSError) as error:
            raise RegistryError(f"{self.root}: {error}") from None

    def reference(self, repository: str, tag: str) -> str:
        return f"oci:{self.root}:{repository}:{tag}"

    def pinned(self, repository: str, digest: str, scratch: Path) -> str:
        try:
            held = self._descriptor(repository, digest)
            if held is None:
                raise RegistryError(f"{self.name} no longer holds {repository}@{digest}")
            # A layout of its own with this image alone: the reference of a tag would be read again when it is pulled.
            layout = Path(tempfile.mkdtemp(prefix="pinned-", dir=scratch))
            (layout / "oci-layout").write_text(json.dumps(LAYOUT))
            (layout / "blobs").symlink_to((self.root / "blobs").absolute())
            (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [bare(held)]}))
        except (Corrupt, OSError) as error:
            raise RegistryError(f"{self.root}: {error}") from None
        return f"oci:{layout}"

    def blob(self, repository: str, digest: str, scratch: Path) -> Path:
        try:
            path = self._path(digest)
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            raise RegistryError(f"{self.root}: blob {digest} is missing") from None
        except (Corrupt, OSError) as error:
            raise RegistryError(f"{self.root}: {error}") from None
        if found != path.name:
            raise RegistryError(f"{self.root}: blob {digest} does not have that digest")
        return path

    def _index(self) -> dict[str, dict[str, Any]]:
        """Reference name -> descriptor; empty for a directory that is empty or not there yet."""
        if not self.root.exists() or not any(self.root.iterdir()):
            return {}
        if not (self.root / "oci-layout").is_file():
            raise Corrupt("is not a registry directory (no oci-layout file): name another with --registry")
        index = self.root / "index.json"
        manifests = read_json(index).get("manifests") if index.exists() else []
        if not isinstance(manifests, list):
            raise Corrupt("index.json has no list of manifests")
        found = {}
        for each in manifests:
            names = (each.get("annotations") or {}) if is_descriptor(each) else None
            if not isinstance(names, dict):
                raise Corrupt("index.json holds something that is not a descriptor")
            found[str(names.get(REF_NAME, ""))] = each
        return found

    def _image(self, repository: str, descriptor: dict[str, Any]) -> Image:
        manifest = self._blob(descriptor)
        try:
            described, layers = parts(manifest)
            for layer in layers:
                path = self._path(layer["digest"])
                if not path.is_file() or path.stat().st_size != layer["size"]:
                    raise Corrupt(f"layer {layer['digest']} of {repository} is missing or incomplete")
            return image_of(repository, descriptor["digest"], manifest, self._blob(described))
        except ValueError as error:
            raise Corrupt(f"{repository}@{descriptor['digest']} {error}") from None

    def _blob(self, descriptor: dict[str, Any]) -> dict[str, Any]:
        """A JSON blob, checked against its digest."""
        path = self._path(descriptor["digest"])
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise Corrupt(f"blob {descriptor['digest']} is missing") from None
        if "sha256:" + hashlib.sha256(data).hexdigest() != descriptor["digest"]:
            raise Corrupt(f"blob {descriptor['digest']} does not have that digest")
        return decode_json(data, path)

    def _path(self, digest: str) -> Path:
        try:
            return self.root / "blobs" / "sha256" / encoded(digest)
        except ValueError as error:
            raise Corrupt(str(error)) from None

    # -- writing

    def publish(self, repository: str, tag: str, send: Any) -> Image:
        with self._writing():
            # The engine writes blobs into the shared store, each by rename, and its index into a folder of its own:
            # nothing refers to the image before all of it is there.
            with tempfile.TemporaryDirectory(prefix=".incoming-", dir=self.root) as folder:
                staging = Path(folder)
                (staging / "oci-layout").write_text(json.dumps(LAYOUT))
                (staging / "blobs").symlink_to("../blobs")
                send(f"oci:{staging}:{repository}:{tag}", False)
                try:
                    (sent,) = read_json(staging / "index.json")["manifests"]
                    descriptor = self._corrected(sent)
                    image = self._image(repository, descriptor)
                except (Corrupt, OSError, KeyError, ValueError) as error:
                    raise RegistryError(f"what the engine sent to {self.root} is not an image: {error}") from None
            self._set(f"{repository}:{tag}", descriptor)
        return image

    def _corrected(self, descriptor: dict[str, Any]) -> dict[str, Any]:
        """The descriptor of the manifest with each layer's media type as the layer is: tools of the age of skopeo 1.9
        call layers that they left uncompressed tar+gzip. A layer whose digest is its diff ID is not compressed."""
        manifest = self._blob(descriptor)
        plain = set((self._blob(manifest["config"]).get("rootfs") or {}).get("diff_ids") or [])
        for layer in manifest["layers"]:
            if layer["digest"] in plain:
                layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar"
        data = json.dumps(manifest, sort_keys=True).encode()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        path.with_suffix(".new").write_bytes(data)
        path.with_suffix(".new").replace(path)
        return {"mediaType": descriptor["mediaType"], "digest": digest, "size": len(data)}

    def move_tag(self, repository: str, tag: str, image: Image) -> None:
        with self._writing():
            held = next((d for d in self._index().values() if d["digest"] == image.digest), None)
            if held is None:
                raise RegistryError(f"{self.root} does not hold {repository}@{image.digest}")
            self._set(f"{repository}:{tag}", held)

    def delete_tag(self, repository: str, tag: str) -> None:
        with self._writing():
            self._set(f"{repository}:{tag}", None)

    def collect(self) -> int:
        if not (self.root / "oci-layout").is_file():
            return 0
        with self._writing():
            needed = set()
            for descriptor in self._index().values():
                try:
                    config, layers = parts(self._blob(descriptor))
                except ValueError as error:
                    raise Corrupt(f"{descriptor['digest']} {error}") from None
                needed |= {d["digest"].partition(":")[2] for d in (descriptor, config, *layers)}
            freed = 0
            for path in [*(self.root / "blobs" / "sha256").iterdir(), *self.root.glob("oci-put-blob*")]:
                if path.name not in needed:
                    freed += path.stat().st_size
                    path.unlink()
            return freed

    def _set(self, name: str, descriptor: dict[str, Any] | None) -> None:
        entries = self._index()
        entries.pop(name, None)
        if descriptor:
            entries[name] = bare(descriptor) | {"annotations": {REF_NAME: name}}
        index = {"schemaVersion": 2, "manifests": [entries[key] for key in sorted(entries)]}
        temporary = self.root / "index.json.new"
        with temporary.open("w") as file:
            json.dump(index, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.root / "index.json")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """The directory made, checked and locked against other writers. Raises RegistryError."""
        try:
            self._index()
            self.root.mkdir(parents=True, exist_ok=True)
            if not (self.root / "oci-layout").exists():  # before all else: who looks meanwhile must see a registry
                (self.root / "oci-layout").write_text(json.dumps(LAYOUT))
            (self.root / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
            with (self.root / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                for left in self.root.glob(".incoming-*"):  # by one that was killed: who works holds the lock
                    shutil.rmtree(left)
                yield
        except (Corrupt, OSError) as error:
            raise RegistryError(
                f"{self.root}: {error}", "check the folder's space and rights, or name another with --registry"
            ) from None


def bare(descriptor: dict[str, Any]) -> dict[str, Any]:
    """A descriptor without the name under which it is listed."""
    return {name: descriptor[name] for name in ("mediaType", "digest", "size")}


def read_json(path: Path) -> dict[str, Any]:
    return decode_json(path.read_bytes(), path)


def decode_json(data: bytes, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        raise Corrupt(f"{path} is not JSON") from None
    if not isinstance(value, dict):
        raise Corrupt(f"{path} is not a JSON object")
    return value
