"""A builder on this machine: an engine, and the registry that its store is filled from and published to. Its builds may be made elsewhere."""

import tempfile
import threading
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from arrstack.engines.bases import held_base, local_base, make_base
from arrstack.engines.compression import GZIP
from arrstack.engines.protocols import Engine, Maker, local_name
from arrstack.errors import RegistryError
from arrstack.machine.folders import Folders
from arrstack.machine.process import Processes
from arrstack.model import BuildStep, Image
from arrstack.recipes.config import Base, Bootstrap
from arrstack.registry import Registry


@dataclass(frozen=True)
class LocalBuilder:
    """A Builder and Runner over an engine's store; see `engines.protocols` for what each method promises."""

    engine: Engine
    registry: Registry
    processes: Processes
    folders: Folders
    maker: Maker | None = None
    """What builds in the engine's place."""
    shares_bases: bool = False
    """Whether a bootstrapped base is taken from the registry, and kept there once it is made: where each build has a new machine, all then
    stand on the same one."""
    keeps_stages: bool = True
    layers: str = GZIP
    """How layers are compressed that go to a server: one of LAYERS."""
    making_base: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.maker.name if self.maker else self.engine.name

    def base(self, base: Base, archive: str) -> str | None:
        return held_base(base, archive, self.engine)

    def make_base(self, base: Base, archive: str, log: BinaryIO) -> Generator[str, None, str]:
        assert isinstance(base, Bootstrap), "what is pulled is held"
        with self.making_base:  # two steps may want the same one at the same time
            if held := held_base(base, archive, self.engine):
                return held
            if self.shares_bases:
                return (yield from self._shared_base(base, archive, log))
            return (yield from make_base(base, archive, self.engine, self.processes, self.folders, log))

    def _shared_base(self, base: Bootstrap, archive: str, log: BinaryIO) -> Generator[str, None, str]:
        """The base that the registry has, else a new one, which goes there. Without the registry it is made as ever."""
        reference = local_base(base, archive)
        repository, tag = reference.rpartition("/")[2].split(":")
        if image := self.registry.lookup(repository, tag).image:
            yield f"{self.registry.name} has this base: {image.digest}"
            return self.engine.pull(self.registry.pinned(repository, image.digest, self.folders.cache), reference)
        made = yield from make_base(base, archive, self.engine, self.processes, self.folders, log)
        try:
            self.publish(made, repository, tag)
        except RegistryError as error:
            yield f"warning: the base was not kept for other builds: {error.message}"
        return made

    def available(self, image: Image) -> str:
        return bring(image, self.registry, self.engine)

    def holds(self, reference: str) -> bool:
        return self.engine.has(reference)

    def build(self, step: BuildStep, reference: str, log: BinaryIO) -> Generator[str, None, str]:
        return (self.maker or self.engine).build(step, reference, log)

    def run(
        self, reference: str, argv: Sequence[str], env: Mapping[str, str], mounts: Mapping[Path, str]
    ) -> Generator[str, None, int]:
        return self.engine.run(reference, argv, env, mounts, None)

    def layout(self, reference: str, folder: Path) -> str:
        self.engine.push(reference, f"oci:{folder}:image", False)
        return f"oci:{folder}:image"

    def publish(self, reference: str, repository: str, tag: str) -> Image:
        return self.registry.publish(repository, tag, lambda to, compress: self.engine.push(reference, to, compress, self.layers))

    def offer(self, reference: str) -> None:
        self.engine.offer(reference)

    def tidy(self) -> None:
        self.engine.tidy()


def bring(image: Image, registry: Registry, engine: Engine) -> str:
    """The reference of a published image in the engine's store, pulled if need be; a child starts from exactly this.

    Raises RegistryError where the registry no longer holds it.
    """
    name = local_name(image)
    if engine.has(name):
        return name
    with tempfile.TemporaryDirectory(prefix="arrstack-pull-") as scratch:
        # By digest: what a tag names may have changed since it was looked up.
        return engine.pull(registry.pinned(image.repository, image.digest, Path(scratch)), name)
