"""What carries a launch out (`Builder`), and what an engine on this machine is (`Engine`: a store that builds and runs)."""

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from arrstack.engines.attach import RunOptions
from arrstack.engines.command import stored_name
from arrstack.engines.compression import GZIP
from arrstack.model import BuildStep, Image
from arrstack.recipes.config import Base


class Builder(Protocol):
    """What builds a launch's steps, here or elsewhere. References are the builder's own: as its methods return them, so its
    steps name them, in build arguments and named contexts."""

    @property
    def name(self) -> str:
        """`buildah`, `docker`, `cloudbuild`."""

    @property
    def keeps_stages(self) -> bool:
        """Whether a stage that does not stand on the tier below can be built by itself, and found again by its reference."""

    def base(self, base: Base, archive: str) -> str | None:
        """A base image by its pin and the archive's state, for a step's FROM; None where it must be made first."""

    def make_base(self, base: Base, archive: str, log: BinaryIO) -> Generator[str, None, str]:
        """Makes such a base and yields its log's lines; `log` gets the very bytes. Returns the reference. Raises ArchiveError."""

    def available(self, image: Image) -> str:
        """A published image, for a step's FROM or a named context. Raises RegistryError where it is there no longer."""

    def holds(self, reference: str) -> bool:
        """Whether what was built under this reference is still at hand."""

    def build(self, step: BuildStep, reference: str, log: BinaryIO) -> Generator[str, None, str]:
        """Builds one step and yields its log's lines; `log` gets the very bytes. Returns the reference.

        Raises BuildError. Closing the generator ends the build and all its processes.
        """

    def publish(self, reference: str, repository: str, tag: str) -> Image:
        """Sends a built image to the launch's registry; visible when all of it is there. Raises RegistryError."""

    def offer(self, reference: str) -> None:
        """Gives a tier's image, once it is verified, the short name by which people ask for it, where there is such."""

    def tidy(self) -> None:
        """Removes what killed builds and runs left behind."""


class Runner(Protocol):
    """What shows a built image on this machine before it is published: its files, and its programs at work."""

    def layout(self, reference: str, folder: Path) -> str:
        """The built image as an OCI layout below `folder`, uncompressed: `oci:DIRECTORY:TAG`, which `verify` reads."""

    def run(
        self, reference: str, argv: Sequence[str], env: Mapping[str, str], mounts: Mapping[Path, str]
    ) -> Generator[str, None, int]:
        """Runs a command in a new container and yields its lines; returns its exit status. `mounts` are read-only, host ->
        container. No variable of the host but those in `env` is seen inside."""


class Maker(Protocol):
    """What builds in place of an engine, between whose store and itself images go to and fro."""

    name: str

    def version(self) -> str:
        """What it is. Raises MachineError where it does not answer."""

    def build(self, step: BuildStep, reference: str, log: BinaryIO) -> Generator[str, None, str]:
        """As an engine's; the image is in the engine's store afterwards. Raises BuildError, RegistryError."""


class Engine(Protocol):
    """Images are named by references of the engine's own store, as its methods return them."""

    name: str
    rights: str
    """With whose rights a recipe's commands run, in words: `as root`."""

    def version(self) -> str:
        """The engine's version. Raises MachineError where it is missing, too old, does not answer or may not
        build for this user."""

    def has(self, reference: str) -> bool:
        """Whether the engine's store holds an image."""

    def import_rootfs(self, archive: Path, reference: str) -> str:
        """Makes a base image of a root file system's tar archive. Raises BuildError."""

    def pull(self, source: str, reference: str) -> str:
        """Brings an image from a containers/image reference into the store, under `reference`. Raises RegistryError."""

    def build(self, step: BuildStep, reference: str, log: BinaryIO) -> Generator[str, None, str]:
        """Builds one step and yields its log's lines; `log` gets the very bytes. Returns the reference.

        Raises BuildError. Closing the generator ends the build and all its processes.
        """

    def offer(self, reference: str) -> None:
        """Gives a tier's image, once it is verified, the short name by which people ask for it, where the engine has such."""

    def push(self, reference: str, destination: str, compress: bool, layers: str = GZIP) -> str:
        """Sends an image to a containers/image reference; returns the digest of the manifest that was written there. Layers that
        are compressed are so by `layers`, one of LAYERS.

        Raises RegistryError."""

    def config(self, reference: str) -> Mapping[str, object]:
        """The image's OCI config (image-spec 1.1, config.md)."""

    def run(
        self, reference: str, argv: Sequence[str], env: Mapping[str, str], mounts: Mapping[Path, str], certificates: Path | None
    ) -> Generator[str, None, int]:
        """Runs a command (empty: the image's own) in a new container and yields its lines; returns its exit status.
        `mounts` are read-only, host -> container. No variable of the host but those in `env` is seen inside."""

    def require_gpu(self) -> None:
        """Raises ConfigError where this engine hands no GPU to containers, MachineError where its machine has none."""

    def attach(self, reference: str, argv: Sequence[str], options: RunOptions) -> int:
        """The same with the caller's own standard input, output and errors: every byte as it comes. A program that is not there is 127,
        a file that is no program 126. Raises as `require_gpu` where GPUs are asked for."""

    def cache_mount(self, name: str) -> Path:
        """Where a build finds the cache mount with this id, whether or not it exists yet. Raises MachineError where only
        the engine itself can reach it."""

    def tidy(self) -> None:
        """Removes what killed builds and runs left behind."""

    def images(self) -> frozenset[str]:
        """References of this product's images in the store."""

    def remove(self, references: frozenset[str], unnamed: bool) -> None:
        """Removes these references, and the images that then have none; with `unnamed` also what was kept only to build from."""


def local_name(image: Image) -> str:
    """The reference under which an engine's store holds a published image: it changes with the content."""
    return stored_name(image.repository, image.config_digest)
