"""A builder without an engine: an image is the hash of what its recipe reads. It reads Dockerfiles of one instruction a line.

`RUN exit N` fails with that status; `RUN sleep` never ends. An image runs `true`, `false` and `echo`, and the programs that
`programs` names by their last path component.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from arrstack.errors import BuildError, RegistryError
from arrstack.model import BuildStep, Image
from arrstack.recipes.config import Base, Pull
from tests.fakes.registry import MemoryRegistry


def digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


@dataclass
class FakeBuilder:
    """A Builder and Runner. `steps` are the names of the steps that were built to their end, in order."""

    registry: MemoryRegistry
    name: str = "fake"
    keeps_stages: bool = True
    store: dict[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)
    """Reference -> content and labels."""
    programs: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    """Program -> exit status and lines."""
    files: dict[str, Path] = field(default_factory=dict)
    """What every image holds for a census: name -> the file that it is a copy of."""
    steps: list[str] = field(default_factory=list)
    offered: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    """Steps whose build was ended before it was finished."""

    def base(self, base: Base, archive: str) -> str | None:
        reference = f"base:{digest(base, archive)[:12]}"
        if isinstance(base, Pull):
            self.store.setdefault(reference, (reference, {}))
        return reference if reference in self.store else None

    def make_base(self, base: Base, archive: str, log: BinaryIO) -> Generator[str, None, str]:
        log.write(b"installing packages\n")
        yield "installing packages"
        reference = f"base:{digest(base, archive)[:12]}"
        self.store[reference] = (reference, {})
        return reference

    def available(self, image: Image) -> str:
        if image not in self.registry.images.values():
            raise RegistryError(f"{self.registry.name} no longer holds {image.repository}@{image.digest}")
        reference = f"{image.repository}:{image.config_digest}"
        self.store[reference] = (image.content_id, image.labels)
        return reference

    def holds(self, reference: str) -> bool:
        return reference in self.store

    def build(self, step: BuildStep, reference: str, log: BinaryIO) -> Generator[str, None, str]:
        used: list[str] = []
        finished = False
        try:
            for line in stage_lines(step):
                log.write(f"{line}\n".encode())
                yield line
                words = line.split()
                if words[:2] == ["RUN", "exit"]:
                    raise BuildError(f"{step.name}: the build failed at: exit {words[2]} (status {words[2]})")
                while words[:2] == ["RUN", "sleep"]:
                    time.sleep(0.01)
                    yield "asleep"
                used.append(self._read(words, line, step))
            finished = True
        finally:
            if not finished:
                self.ended.append(step.name)
        self.store[reference] = (digest(used), dict(step.labels))
        self.steps.append(step.name)
        return reference

    def _read(self, words: Sequence[str], line: str, step: BuildStep) -> str:
        """What an instruction puts into the image."""
        if words[0] == "FROM":
            return self._content(words[1])
        if words[0] == "COPY" and words[1].startswith("--from="):
            stage = words[1].removeprefix("--from=")
            return self._content(step.contexts[stage]) if stage in step.contexts else digest(stage_lines(step, stage))
        if words[0] == "COPY":
            return digest(words[2], (step.context / words[1]).read_text())
        return line

    def _content(self, reference: str) -> str:
        if reference == "scratch" or Path(reference).is_dir():
            return reference
        if reference not in self.store:
            raise BuildError(f"there is no image {reference}")
        return self.store[reference][0]

    def layout(self, reference: str, folder: Path) -> str:
        """A directory with `files`, which `verify` reads as well as a layout."""
        for name, source in self.files.items():
            shutil.copy(source, folder / name)
        return str(folder)

    def publish(self, reference: str, repository: str, tag: str) -> Image:
        if reference not in self.store:
            raise RegistryError(f"{reference} could not be pushed")
        content, labels = self.store[reference]
        identity = f"sha256:{digest(content, labels)}"
        return self.registry.put(repository, tag, Image(repository, identity, identity, content, labels, "", 1))

    def offer(self, reference: str) -> None:
        self.offered.append(reference)

    def tidy(self) -> None:
        pass

    def run(
        self, reference: str, argv: Sequence[str], env: Mapping[str, str], mounts: Mapping[Path, str]
    ) -> Generator[str, None, int]:
        if reference not in self.store:
            raise BuildError(f"there is no image {reference}")
        program = argv[-1].rpartition("/")[2] if argv[-1].rpartition("/")[2] in self.programs else argv[0]
        status, lines = {"true": (0, []), "false": (1, []), "echo": (0, [" ".join(argv[1:])])}.get(program) or self.programs.get(
            program, (0, [])
        )
        yield from lines
        return status


def stage_lines(step: BuildStep, target: str = "") -> list[str]:
    """The instructions of one stage (default: the step's target, or the last), with the arguments' values."""
    stages: list[list[str]] = []
    for line in step.dockerfile.read_text().splitlines():
        for name, value in step.args.items():
            line = line.replace(f"${{{name}}}", value)
        if line.startswith("FROM"):
            stages.append([line])
        elif stages and line.strip():
            stages[-1].append(line)
    wanted = target or step.target
    chosen = [lines for lines in stages if lines[0].split()[-1] == wanted] if wanted else stages[-1:]
    return chosen[0] if chosen else []
