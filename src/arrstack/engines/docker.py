"""The docker engine: BuildKit in a Docker daemon of 23 or later, which first had named build contexts.

Layers are reproducible where the daemon is 26 or later and keeps images in containerd (`docker info` shows the driver-type
`io.containerd.snapshotter.v1`): BuildKit 0.13 then rewrites the dates inside layers (docs/build-repro.md of moby/buildkit)
on their way into an archive, which is loaded. The classic store takes images from BuildKit in no other way than directly,
with the dates that files got during the build: such an image works, but a rebuild does not come out the same, so what
stands on it is rebuilt too.

A daemon clips a step's log at 2 MiB, and at 200 KiB a second, and says so in the log. `BUILDKIT_STEP_LOG_MAX_SIZE=-1` and
`BUILDKIT_STEP_LOG_MAX_SPEED=-1` in the daemon's environment lift that; a client cannot.
"""

import json
import socket
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from arrstack.engines.attach import RunOptions
from arrstack.engines.buildkit import OUTPUT, into_archive, named_context, reason, step_flags
from arrstack.engines.command import (
    CERTIFICATE_VARIABLES,
    CERTIFICATES,
    DIES_WITH_US,
    IMAGES,
    TAIL,
    command_line,
    keep_last,
    running_name,
    still_running,
    stored_name,
)
from arrstack.engines.compression import GZIP, layer_options
from arrstack.engines.daemon import Daemon, ask_daemon
from arrstack.errors import BuildError, MachineError, RegistryError
from arrstack.machine import skopeo
from arrstack.machine.locks import scratch, sweep
from arrstack.machine.process import Failed, Finished, Processes
from arrstack.model import BuildStep

GPU_DEVICES = ("nvidia[0-9]*", "dxg")
"""Device files of NVIDIA's driver, and of Windows' in a Linux below it (WSL)."""
PROXIES = [name for kind in ("http", "https", "ftp", "no", "all") for name in (f"{kind}_proxy", f"{kind}_proxy".upper())]
"""Build arguments that every Dockerfile has and that neither history nor cache keys show (Dockerfile reference)."""

# A container outlives its client. So a shell waits beside the client, and removes the container when it is told to end,
# or when arrstack is killed and the kernel tells it.
REMOVES = [
    "setpriv",
    "--pdeathsig",
    "TERM",
    "bash",
    "-c",
    'trap \'docker rm --force "$0" >/dev/null 2>&1\' EXIT; trap "exit 143" TERM; "$@" & wait $!',
]


class Docker:
    name = "docker"
    rights = "in containers of Docker's daemon"

    def __init__(self, processes: Processes, cache: Path, devices: Path = Path("/dev")):
        """`cache` holds archives on their way into and out of the daemon; `devices` this machine's device files."""
        self.processes, self.temporary, self.devices = processes, cache / "docker", devices

    def version(self) -> str:
        return self.daemon.version

    @cached_property
    def daemon(self) -> Daemon:
        return ask_daemon(self.processes)

    @cached_property
    def network(self) -> list[str]:
        """A daemon without its bridge (`--bridge=none`, as inside a container) has only the host's network to give."""
        bridged = self._docker("network", "inspect", "bridge", check=False).status == 0
        return [] if bridged else ["--network", "host"]

    def _docker(self, *argv: str, check: bool = True) -> Finished:
        return self.processes.run(["docker", *argv], check)

    def _folder(self) -> AbstractContextManager[Path]:
        return scratch(self.temporary)

    # -- the store

    def cache_mount(self, name: str) -> Path:
        raise MachineError(f"the cache mount {name} is inside the Docker daemon", "with --engine buildah it can be moved")

    def has(self, reference: str) -> bool:
        return self._docker("image", "inspect", reference, check=False).status == 0

    def config(self, reference: str) -> Mapping[str, object]:
        # The API shows no image's config blob itself; these are its fields, history apart.
        (found,) = json.loads(self._docker("image", "inspect", reference).output)
        return {
            "architecture": found["Architecture"],
            "os": found["Os"],
            "variant": found.get("Variant") or None,
            "created": found.get("Created"),
            "config": {name: value for name, value in (found.get("Config") or {}).items() if value},
            "rootfs": {"type": "layers", "diff_ids": (found.get("RootFS") or {}).get("Layers") or []},
        }

    def import_rootfs(self, archive: Path, reference: str) -> str:
        self._docker("import", "--change", 'CMD ["bash"]', str(archive), reference)
        return reference

    def pull(self, source: str, reference: str) -> str:
        # By an archive: skopeo 1.9 speaks an API to daemons that Docker 25 and later no longer know.
        with self._folder() as folder:
            archive = f"{folder}/image.tar"
            try:
                skopeo.copy(self.processes, source, f"docker-archive:{archive}:{reference}", around=DIES_WITH_US)
                self._docker("load", "--quiet", "--input", archive)
            except Failed as error:
                raise RegistryError(f"{source} could not be pulled: {error.message}") from None
        return reference

    def push(self, reference: str, destination: str, compress: bool, layers: str = GZIP) -> str:
        options = ["--format", "oci", *layer_options(compress, layers)]
        with self._folder() as folder:
            try:
                saved = self._saved(reference, folder)
                return skopeo.copy(self.processes, saved, destination, options, DIES_WITH_US)
            except Failed as error:
                raise RegistryError(f"{reference} could not be pushed to {destination}: {error.message}") from None

    def _saved(self, reference: str, folder: Path) -> str:
        """The image in a folder, as a containers/image reference. From Docker 25 on what is saved is an OCI layout,
        whose config is the image's own to the byte (moby/moby#44598)."""
        pipe = 'set -o pipefail; docker save "$1" | tar --extract --directory "$2"'
        self.processes.run([*DIES_WITH_US, "bash", "-c", pipe, "arrstack", reference, str(folder)])
        if (folder / "oci-layout").exists():
            return f"oci:{folder}"
        archive = folder / "image.tar"
        self._docker("save", "--output", str(archive), reference)
        return f"docker-archive:{archive}"

    # -- building

    def build(self, step: BuildStep, reference: str, log: BinaryIO) -> Generator[str, None, str]:
        with self._folder() as folder:
            last: deque[str] = deque(maxlen=TAIL)
            argv = [*DIES_WITH_US, *self._command(step, reference, folder)]
            status = yield from keep_last(self.processes.stream(argv, log), last, OUTPUT)
            if status:
                raise BuildError(f"{step.name}: the build failed{reason(list(last))}")
            if self.daemon.rewrites:
                self._docker("load", "--quiet", "--input", str(folder / "image.tar"))
            self._name(reference, json.loads((folder / "metadata.json").read_text()))
        return reference

    def _name(self, reference: str, metadata: Mapping[str, object]) -> None:
        """The name by which a published image is asked for, so that it need not be pulled."""
        repository = reference.removeprefix(IMAGES).rpartition(":")[0]
        if digest := metadata.get("containerimage.config.digest"):
            self._docker("tag", reference, stored_name(repository, str(digest)))

    def offer(self, reference: str) -> None:
        self._docker("tag", reference, f"{reference.removeprefix(IMAGES).rpartition(':')[0]}:latest")

    def _command(self, step: BuildStep, reference: str, folder: Path) -> list[str]:
        # The context's own builder, whichever is chosen for everyday use: it alone sees the daemon's images, and finds
        # them before it would ask a registry.
        argv = [self.daemon.buildx, "--builder", self.daemon.context, "build", *self.network, "--tag", reference]
        # The value of a name alone comes from the environment: a proxy's may hold a password.
        argv += [word for name in PROXIES if self.processes.environment.get(name) for word in ("--build-arg", name)]
        argv += step_flags(step, folder, {stage: named_context(image) for stage, image in step.contexts.items()})
        argv += into_archive(folder / "image.tar") if self.daemon.rewrites else ["--output", "type=docker"]
        return [*argv, str(step.context)]

    # -- running

    def run(
        self, reference: str, argv: Sequence[str], env: Mapping[str, str], mounts: Mapping[Path, str], certificates: Path | None
    ) -> Generator[str, None, int]:
        name = running_name()
        lines = self.processes.stream([*REMOVES, name, *self._run(name, reference, argv, env, mounts, certificates)])
        try:
            return (yield from lines)
        finally:
            lines.close()
            self._docker("rm", "--force", name, check=False)

    def require_gpu(self) -> None:
        # A daemon elsewhere, or one in a virtual machine, may have GPUs that this machine has not.
        if self.daemon.host == socket.gethostname() and not any(next(self.devices.glob(name), None) for name in GPU_DEVICES):
            raise MachineError(
                f"--gpus: this machine shows no NVIDIA GPU ({' or '.join(f'{self.devices}/{name}' for name in GPU_DEVICES)})",
                "`nvidia-smi` says whether the driver sees one; leave --gpus out to run on the CPU",
            )

    def attach(self, reference: str, argv: Sequence[str], options: RunOptions) -> int:
        if options.gpus:
            self.require_gpu()
        name, given = running_name(), ["--interactive"]
        for flag, value in (("--workdir", options.workdir), ("--gpus", options.gpus)):
            given += [flag, value] if value else []
        given += ["--tty"] if options.terminal else []
        given += [word for volume in options.volumes for word in ("--volume", volume)]
        # Everybody on this machine may read command lines; a file of variables has one a line.
        lines = {key: value for key, value in options.env.items() if "\n" not in value and "\r" not in value}
        others = {key: value for key, value in options.env.items() if key not in lines}
        try:
            with scratch(self.temporary) as folder:
                (folder / "environment").write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
                given += ["--env-file", str(folder / "environment")]
                line = self._run(name, reference, argv, others, {}, options.certificates, *given)
                return self.processes.attached(line, end=lambda _: self._end(name))
        finally:
            self._docker("rm", "--force", name, check=False)

    def _end(self, name: str) -> None:
        """Asks a container's program to end."""
        self._docker("kill", "--signal", "TERM", name, check=False)

    def _run(
        self,
        name: str,
        reference: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        mounts: Mapping[Path, str],
        certificates: Path | None,
        *options: str,
    ) -> list[str]:
        line = ["docker", "run", "--rm", "--name", name, "--pull", "never"]
        # The client prints the output; the daemon need not keep it as well.
        line += ["--log-driver", "none", *self.network, *options]
        mounted, seen = dict(mounts), dict(env)
        if certificates:
            mounted[certificates] = CERTIFICATES
            seen = dict.fromkeys(CERTIFICATE_VARIABLES, CERTIFICATES) | seen
        for host, inside in mounted.items():
            line += ["--mount", f"type=bind,source={host},target={inside},readonly"]
        line += [word for key, value in seen.items() for word in ("--env", f"{key}={value}")]
        command, *rest = command_line(self.config(reference), argv)
        return [*line, "--entrypoint", command, reference, *rest]

    # -- cleaning

    def tidy(self) -> None:
        listed = self._docker("ps", "--all", "--filter", "name=^arrstack-run-", "--format", "{{.Names}}").output.split()
        for container in listed:
            if not still_running(container):
                self._docker("rm", "--force", container, check=False)
        sweep(self.temporary)

    def images(self) -> frozenset[str]:
        return frozenset(name for name in self._listed() if name.startswith(IMAGES))

    def remove(self, references: frozenset[str], unnamed: bool) -> None:
        """The daemon removes what then has no name; with a tier's last image its short name goes too. BuildKit's cache, which
        holds cache mounts too, is the daemon's and shared with other builds: `docker builder prune`."""
        listed = self._listed()
        for identity in {listed[name] for name in references if name in listed}:
            names = {name for name, each in listed.items() if each == identity}
            ours = {name for name in names if name.startswith(IMAGES)}
            short = {name.removeprefix(IMAGES).rpartition(":")[0] + ":latest" for name in ours} if ours <= references else set()
            self._docker("rmi", *sorted(ours & references | names & short), check=False)

    def _listed(self) -> dict[str, str]:
        """Name -> image id."""
        lines = self._docker("image", "ls", "--no-trunc", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}").output.splitlines()
        return {name: identity for identity, _, name in (line.partition(" ") for line in lines)}
