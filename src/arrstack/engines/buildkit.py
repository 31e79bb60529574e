"""BuildKit's command line, `docker buildx build`: what a step is in its words, and what its plain output says.

In a builder that `docker buildx` knows and that is not the local daemon's own (a remote daemon by its context, the drivers `remote`, `kubernetes`,
`docker-container`; docs.docker.com/build/builders), nothing of this machine's store is seen. So the images that a step stands on go there as OCI
layouts (named contexts, docs.docker.com/reference/cli/docker/buildx/build, `oci-layout://`), and what it makes comes back as an archive.
"""

import re
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from arrstack.engines.command import DIES_WITH_US, IMAGES, TAIL, failed_command, keep_last, secret_flags
from arrstack.engines.daemon import find_buildx
from arrstack.engines.protocols import Engine
from arrstack.errors import BuildError, MachineError
from arrstack.machine.locks import scratch
from arrstack.machine.process import Processes
from arrstack.model import EPOCH, BuildStep

OUTPUT = re.compile(r"#\d+ \d+\.\d+ ")
"""What stands before a line of a build step's own output in `--progress=plain`."""
PLATFORM = "linux/amd64"
STARTS_IN = 600.0
"""Seconds that a builder may take to start: one in a cluster fetches its image first."""


def step_flags(step: BuildStep, folder: Path, contexts: Mapping[str, str]) -> list[str]:
    """The flags of a step; its context comes last of all, behind whatever else. `folder` takes files for it; `contexts` are named ones, as
    buildx takes them."""
    argv = ["--progress=plain", "--file", str(step.dockerfile), "--metadata-file", str(folder / "metadata.json")]
    # An attestation would hold dates, and make each image an index of two.
    argv += ["--provenance=false", "--build-arg", f"SOURCE_DATE_EPOCH={EPOCH}"]
    # Steps of published stages, which share their toolchain, come from the cache; the image itself is made anew.
    argv += ["--target", step.target] if step.target else ["--no-cache"]
    argv += secret_flags(step, folder)
    for flag, pairs in (("--build-arg", step.args), ("--label", step.labels), ("--build-context", contexts)):
        argv += [word for name, value in pairs.items() for word in (flag, f"{name}={value}")]
    return argv


def into_archive(archive: Path) -> list[str]:
    """The flags by which an image comes out as a file, with the dates inside its layers rewritten: BuildKit does that to nothing that it also
    unpacks."""
    return ["--output", f"type=oci,dest={archive},compression=uncompressed,rewrite-timestamp=true"]


def named_context(image: str) -> str:
    """A named context as buildx takes it: a folder, or an image by its reference."""
    return image if image.startswith("/") else f"docker-image://{image}"


def fields(told: str) -> dict[str, list[str]]:
    """What `docker buildx inspect` says of a builder and of each of its nodes. A platform that was asked for has a star behind it."""
    found: dict[str, list[str]] = {name: [] for name in ("Driver", "Status", "Error", "Platforms")}
    for name, value in re.findall(r"^(Driver|Status|Error|Platforms): +(.*?) *$", told, re.MULTILINE):
        found[name].append(value)
    return found


def reason(lines: Sequence[str]) -> str:
    """What BuildKit says of a failed build: the command and its status, else the last error."""
    status = next((found[1] for line in reversed(lines) if (found := re.search(r"exit code: (\d+)", line))), "1")
    if command := failed_command(lines):
        return f" at: {command} (status {status})"
    error = next((found[1] for line in reversed(lines) if (found := re.match(r"ERROR: (?:failed to solve: )?(.*)", line))), "")
    return f": {error[:300]}" if error else ""


class BuildKit:
    """Builds in one of buildx's builders, between an engine's store here and what the builder keeps itself."""

    name = "buildx"

    def __init__(self, processes: Processes, cache: Path, builder: str, network: str, store: Engine):
        """`cache` takes what is on its way, `builder` is buildx's name of it, `network` what its RUN steps have (buildx's `--network`)."""
        self.processes, self.cache, self.builder, self.network, self.store = processes, cache, builder, network, store

    def version(self) -> str:
        """The builder's name and kind. Raises MachineError where there is no buildx, it knows no such builder, or that does not answer."""
        return f"buildx {self.builder} ({self._driver})"

    @cached_property
    def _driver(self) -> str:
        asked = [find_buildx(self.processes), "inspect", "--bootstrap", self.builder]
        answer = self.processes.run(asked, check=False, seconds=STARTS_IN)
        told = fields(answer.output)
        if answer.status or "running" not in told["Status"]:
            said = (answer.errors.strip().splitlines() or ["", *told["Status"], *told["Error"]])[-1]
            raise MachineError(
                f"buildx's builder {self.builder} does not answer: {said}",
                "`docker buildx ls` names those there are; `docker buildx create` and `docker context create` make one",
            )
        if PLATFORM not in {each.removesuffix("*") for line in told["Platforms"] for each in re.split("[, ]+", line)}:
            raise MachineError(f"buildx's builder {self.builder} makes no {PLATFORM} images", "choose another one in stack.toml")
        return "".join(told["Driver"])

    @property
    def _client(self) -> Processes:
        """What runs buildx: of the builders that are a context's own it takes the current context's alone."""
        if self._driver != "docker":
            return self.processes
        environment = {name: value for name, value in self.processes.environment.items() if name != "DOCKER_HOST"}
        return Processes(environment | {"DOCKER_CONTEXT": self.builder})

    def build(self, step: BuildStep, reference: str, log: BinaryIO) -> Generator[str, None, str]:
        """As an engine's `build`; the image is in the store afterwards."""
        with scratch(self.cache) as folder:
            archive, last = folder / "image.tar", deque[str](maxlen=TAIL)
            contexts = self._contexts(step, folder)
            argv = [*DIES_WITH_US, find_buildx(self.processes), "--builder", self.builder, "build", "--network", self.network]
            # Not this machine's proxies: the builder's network may not lead to them.
            argv += [*step_flags(step, folder, contexts), *into_archive(archive), str(step.context)]
            status = yield from keep_last(self._client.stream(argv, log), last, OUTPUT)
            if status:
                raise BuildError(f"{step.name}: the build failed{reason(list(last))}")
            self.store.pull(f"oci-archive:{archive}", reference)
        return reference

    def _contexts(self, step: BuildStep, folder: Path) -> dict[str, str]:
        """The step's named contexts, and one for each image of the store that an argument names: FROM finds it by that."""
        layouts: dict[str, str] = {}
        for image in sorted({image for image in (*step.args.values(), *step.contexts.values()) if image.startswith(IMAGES)}):
            layout = folder / f"image{len(layouts)}"
            self.store.push(image, f"oci:{layout}:image", False)
            layouts[image] = f"oci-layout://{layout}:image"
        return layouts | {stage: layouts.get(image) or named_context(image) for stage, image in step.contexts.items()}
