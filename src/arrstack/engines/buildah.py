"""The buildah engine, 1.28 or later: no daemon, works as root with chroot isolation inside a plain container."""

import contextlib
import json
import os
import re
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from arrstack.engines.attach import RunOptions
from arrstack.engines.command import (
    DIES_WITH_US,
    IMAGES,
    TAIL,
    command_line,
    failed_command,
    running_name,
    secret_flags,
    still_running,
)
from arrstack.engines.compression import GZIP, layer_options
from arrstack.engines.containers import Container
from arrstack.engines.limits import limits, require_user_namespaces
from arrstack.engines.mounts import cache_mounts, folder_name, mount_folders, note, removed_with
from arrstack.errors import BuildError, ConfigError, MachineError, RegistryError
from arrstack.machine import skopeo
from arrstack.machine.locks import scratch, sweep
from arrstack.machine.process import Failed, Finished, Outcome, Processes
from arrstack.model import EPOCH, BuildStep

OLDEST = (1, 28)
NETAVARK = (1, 33)
"""From here on buildah looks for netavark before it makes any container, also one that has the host's network."""
DIGESTS = (1, 38)
"""From here on, and in late patches of some versions before, a cache mount's folder is named by a digest of its id (CVE-2024-9675)."""
HELPERS = ("/usr/local/libexec/podman", "/usr/local/lib/podman", "/usr/libexec/podman", "/usr/lib/podman")
"""Where it looks (containers.conf(5), helper_binaries_dir)."""

# A build's processes live in a PID namespace whose first process is a shell that reaps: ending it ends the build's
# script, ninja and compilers too, which would go on writing to a cache mount otherwise. If arrstack itself is killed,
# the kernel ends the outermost process (PR_SET_PDEATHSIG).
CONTAINED = [*DIES_WITH_US, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
PRIVATE_MOUNTS = [*DIES_WITH_US, "unshare", "--mount"]
STORE = Path("/boot")
"""Where the tools of root find the store, in mounts of their own. After each RUN buildah removes the mount points from the image, by the way
from the store to each: one that begins like the store's path leads it to another folder, or to `/` (`removed_with`). Every Debian has
this folder, and no recipe mounts anything below it."""
WITH_STORE = f'mount --bind "$1" {STORE} || exit 125; shift; '
CUT_TOO_MUCH = "unable to cleanup run mounts"
"""What buildah says, and ends well, when it has removed an image's files."""


class Buildah:
    name = "buildah"

    def __init__(self, processes: Processes, cache: Path, root: bool):
        """`cache` holds the store, the cache mounts and temporary files: one folder that can be found and pruned."""
        self.cache, self.store = cache, STORE if root else cache / "storage"
        self.contained, self.private = DIES_WITH_US, DIES_WITH_US
        if root:
            given = ["arrstack", str(cache / "storage")]
            self.contained = [*CONTAINED, "bash", "-c", WITH_STORE + '"$@"; exit $?', *given]
            self.private = [*PRIVATE_MOUNTS, "bash", "-c", WITH_STORE + 'exec "$@"', *given]
        self.temporary = cache / "buildah"
        # Its own store: another tool's images are neither seen nor pruned.
        settings = {
            "CONTAINERS_STORAGE_CONF": str(cache / "storage.conf"),
            "BUILDAH_ISOLATION": "chroot",
            "TMPDIR": str(self.temporary),
        }
        self.processes = Processes(processes.environment | settings)
        self.rootless = not root
        # Root leaves buildah's chroot by a second chroot().
        self.rights = "as root of this machine, which no container holds back" if root else "with your own rights"

    def _tool(self, argv: Sequence[str], check: bool = True) -> Finished:
        """One of the tools, in a mount namespace of its own: the store would stay mounted for the whole machine else."""
        return self.processes.run([*self.private, *argv], check=check)

    @cached_property
    def _reported(self) -> tuple[str, tuple[int, int]]:
        """What buildah says of itself, and its version in numbers."""
        output = self.processes.run(["buildah", "--version"]).output
        match = re.search(r"version (\d+)\.(\d+)", output)
        return output, (int(match[1]), int(match[2])) if match else (0, 0)

    @cached_property
    def _limits(self) -> list[str]:
        return limits() if self._reported[1] >= NETAVARK else []

    def lacks(self) -> tuple[str, ...]:
        """The Debian packages that this buildah needs, only recommends, and has not."""
        self._prepare()
        needs = self._reported[1] >= NETAVARK and not any(Path(folder, "netavark").exists() for folder in HELPERS)
        return ("netavark",) if needs else ()

    def version(self) -> str:
        self._prepare()
        reported, numbers = self._reported
        if numbers < OLDEST:
            raise MachineError(f"buildah is too old: {reported.strip()}", "1.28 or later is needed: Debian 12 has it")
        if self.rootless:
            require_user_namespaces(self.processes)
        return reported.split()[2]

    def _prepare(self) -> None:
        self.temporary.mkdir(parents=True, exist_ok=True)
        run = self.cache / "storage-run"
        (self.cache / "storage").mkdir(mode=0o700, exist_ok=True)
        text = f'[storage]\ndriver = "overlay"\ngraphroot = "{self.store}"\nrunroot = "{run}"\n'
        if self.rootless:  # buildah takes the store of an ordinary user from this key, skopeo from the other
            text += f'rootless_storage_path = "{self.store}"\n'
        # Without it the kernel's own overlay is used, which has allowed that to ordinary users since Linux 5.13.
        if self.rootless and self.processes.which("fuse-overlayfs") and os.access("/dev/fuse", os.R_OK | os.W_OK):
            text += '[storage.options.overlay]\nmount_program = "/usr/bin/fuse-overlayfs"\n'
        conf = self.cache / "storage.conf"
        if not conf.exists() or conf.read_text() != text:
            conf.write_text(text)

    def cache_mount(self, name: str) -> Path:
        """Where a build finds the cache mount with this id, whether or not it exists yet."""
        if folder := cache_mounts(self.cache).get(name):
            return folder
        folders = mount_folders(self.cache)
        if not folders:
            folders = [self.temporary / "buildah-cache"]
            folders[0].mkdir(parents=True)
            # What a later buildah will look for.
            (self.temporary / f"buildah-cache-{os.geteuid()}").symlink_to(folders[0].name)
        note(self.cache, name)
        return folders[0] / (folder_name(name) if self._reported[1] >= DIGESTS else name)

    def has(self, reference: str) -> bool:
        return self._tool(["buildah", "inspect", "--type", "image", reference], check=False).status == 0

    def import_rootfs(self, archive: Path, reference: str) -> str:
        container = self._tool(["buildah", "from", "scratch"]).output.strip()
        try:
            self._tool(["buildah", "add", "--quiet", container, str(archive), "/"])
            self._tool(["buildah", "config", "--cmd", "bash", container])
            self._tool(["buildah", "commit", "--quiet", "--timestamp", str(EPOCH), container, reference])
        finally:
            self._tool(["buildah", "rm", container], check=False)
        return reference

    def pull(self, source: str, reference: str) -> str:
        # buildah names what it pulls by the source; skopeo into the same store by what we want.
        try:
            skopeo.copy(self.processes, source, f"containers-storage:{reference}", around=self.private)
        except Failed as error:
            raise RegistryError(f"{source} could not be pulled: {error.message}") from None
        return reference

    def build(self, step: BuildStep, reference: str, log: BinaryIO) -> Generator[str, None, str]:
        if found := removed_with(step.mount_targets, self.store):
            target, what = next(iter(found.items()))
            raise BuildError(
                f"{step.name}: of a mount at {target} buildah would remove {what} from the image: it begins as {self.store} does",
                "another target in the recipe, another XDG_CACHE_HOME, or --engine docker",
            )
        for mount in step.cache_mounts:
            note(self.cache, mount)
        with scratch(self.temporary) as folder:
            argv = [*self.contained, *self._command(step, reference, folder)]
            last: deque[str] = deque(maxlen=TAIL)
            emptied = False
            with Outcome(self.processes.stream(argv, log)) as lines:
                for line in lines:
                    last.append(line)
                    emptied |= CUT_TOO_MUCH in line
                    yield line
        if emptied:
            raise BuildError(f"{step.name}: buildah has removed files of the image with a mount point: see the log")
        if lines.value:
            doing = failed_command(list(last))
            raise BuildError(f"{step.name}: the build failed{f' at: {doing}' if doing else ''} (buildah's status {lines.value})")
        return reference

    def _command(self, step: BuildStep, reference: str, folder: Path) -> list[str]:
        argv = [
            "buildah",
            "build",
            "--format",
            "oci",
            "--timestamp",
            str(EPOCH),
            "--pull=false",
            "--tag",
            reference,
            "--file",
            str(step.dockerfile),
        ]
        # The context is staged: its ignore rules were applied already.
        ignore = folder / "ignore"
        ignore.write_text("")
        argv += ["--ignorefile", str(ignore)]
        # Intermediate layers are kept for published stages, which share their toolchain. They would not notice a
        # changed image behind `--mount=from`, so the image itself is built without.
        argv += ["--target", step.target, "--layers"] if step.target else ["--no-cache"]
        argv += [*self._limits, *secret_flags(step, folder)]
        for flag, pairs in (("--build-arg", step.args), ("--label", step.labels)):
            argv += [word for name, value in pairs.items() for word in (flag, f"{name}={value}")]
        for stage, image in step.contexts.items():
            argv += ["--build-context", f"{stage}={image if image.startswith('/') else f'docker-image://{image}'}"]
        return [*argv, str(step.context)]

    def offer(self, reference: str) -> None:
        """Its store is the product's own: people ask `arrstack run`."""

    def push(self, reference: str, destination: str, compress: bool, layers: str = GZIP) -> str:
        # skopeo, not `buildah push`: that compresses whatever goes to an OCI layout, again at every push.
        options = ["--format", "oci", *layer_options(compress, layers)]
        try:
            return skopeo.copy(self.processes, f"containers-storage:{reference}", destination, options, self.private)
        except Failed as error:
            raise RegistryError(f"{reference} could not be pushed to {destination}: {error.message}") from None

    def config(self, reference: str) -> Mapping[str, object]:
        output = self._tool(["buildah", "inspect", "--type", "image", "--format", "{{.Config}}", reference]).output
        config = json.loads(output)
        return config if isinstance(config, dict) else {}

    def run(
        self, reference: str, argv: Sequence[str], env: Mapping[str, str], mounts: Mapping[Path, str], certificates: Path | None
    ) -> Generator[str, None, int]:
        command = command_line(self.config(reference), argv)
        with self._container(reference) as container, Outcome(container.stream(command, env, mounts, certificates)) as lines:
            yield from lines
        return lines.value

    def require_gpu(self) -> None:
        raise ConfigError(
            "--gpus: buildah hands no GPU to a container",
            "`arrstack export TIER docker`, then `docker run --gpus`; or --engine docker, with NVIDIA's Container Toolkit",
        )

    def attach(self, reference: str, argv: Sequence[str], options: RunOptions) -> int:
        if options.gpus:
            self.require_gpu()
        command = command_line(self.config(reference), argv)
        with self._container(reference) as container, scratch(self.temporary) as folder:
            return container.attach(command, options, folder)

    @contextlib.contextmanager
    def _container(self, reference: str) -> Iterator[Container]:
        """A new container of an image, for as long as the block lasts."""
        # buildah hands the host's proxies to containers unless it is told not to.
        line = ["buildah", "from", "--pull-never", "--http-proxy=false", *self._limits, "--name", running_name(), reference]
        made = Container(self._tool(line).output.strip(), self.processes, self.contained, self.private)
        try:
            yield made
        finally:
            self._tool(["buildah", "rm", made.name], check=False)

    def tidy(self) -> None:
        sweep(self.temporary)
        listed = json.loads(self._tool(["buildah", "containers", "--all", "--json"], check=False).output or "[]") or []
        abandoned = [each["id"] for each in listed if not still_running(each["containername"])]
        if abandoned:
            self._tool(["buildah", "rm", *abandoned], check=False)
        if len(abandoned) == len(listed):  # the folders do not say whose they are
            for folder in self.temporary.glob("buildah[0-9]*"):
                self.processes.run(["rm", "-rf", "--one-file-system", str(folder)], check=False)

    def images(self) -> frozenset[str]:
        return frozenset(name for image in self._listed() for name in image.get("names") or [] if name.startswith(IMAGES))

    def remove(self, references: frozenset[str], unnamed: bool) -> None:
        for image in self._listed():
            names = set(image.get("names") or [])
            if names and names <= references:
                self._tool(["buildah", "rmi", "--force", image["id"]], check=False)
            elif gone := sorted(names & references):
                self._tool(["buildah", "rmi", *gone], check=False)
        for image in self._listed() if unnamed else []:
            if not image.get("names"):
                self._tool(["buildah", "rmi", "--force", image["id"]], check=False)

    def _listed(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = json.loads(
            self._tool(["buildah", "images", "--json", "--all"], check=False).output or "[]"
        )
        return listed or []
