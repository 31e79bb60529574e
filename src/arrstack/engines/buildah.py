"""The buildah engine, 1.28 or later: no daemon, works as root with chroot isolation inside a plain container."""

import json
import os
import re
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from arrstack.engines.attach import LastWord, RunOptions
from arrstack.engines.command import (
    CERTIFICATE_VARIABLES,
    CERTIFICATES,
    IMAGES,
    PLAIN_NAME,
    TAIL,
    VARIABLES,
    command_line,
    failed_command,
    running_name,
    secret_flags,
    shell_variables,
    still_running,
)
from arrstack.engines.limits import limits, require_user_namespaces
from arrstack.engines.mounts import cache_mounts, folder_name, mount_folders, note
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

EXIT_REPORT = re.compile(r"subprocess exited with status \d+|Error: exit status \d+")
"""What buildah itself says when the command inside fails; the status says it too."""

# A build's processes live in a PID namespace whose first process is a shell that reaps: ending it ends the build's
# script, ninja and compilers too, which would go on writing to a cache mount otherwise. If arrstack itself is killed,
# the kernel ends the outermost process (PR_SET_PDEATHSIG).
CONTAINED = [
    "setpriv",
    "--pdeathsig",
    "KILL",
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "bash",
    "-c",
    '"$@"; exit $?',
    "arrstack",
]
PRIVATE_MOUNTS = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount"]
ROOTLESS = ["setpriv", "--pdeathsig", "KILL"]


def byte_count(text: str) -> int:
    """Bytes of a size as buildah says it, `441 MB`: three digits, in powers of a thousand (go-units, HumanSize)."""
    number, _, unit = text.partition(" ")
    power = ("B", "KB", "MB", "GB", "TB").index(unit.upper()) if unit else 0
    return round(float(number) * 10.0 ** (3 * power))


class Buildah:
    name = "buildah"

    def __init__(self, processes: Processes, cache: Path, root: bool):
        """`cache` holds the store, the cache mounts and temporary files: one folder that can be found and pruned."""
        self.cache, self.contained, self.private = cache, CONTAINED if root else ROOTLESS, PRIVATE_MOUNTS if root else ROOTLESS
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
        graph, run = self.cache / "storage", self.cache / "storage-run"
        text = f'[storage]\ndriver = "overlay"\ngraphroot = "{graph}"\nrunroot = "{run}"\n'
        if self.rootless:  # buildah takes the store of an ordinary user from this key, skopeo from the other
            text += f'rootless_storage_path = "{graph}"\n'
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
        for mount in step.cache_mounts:
            note(self.cache, mount)
        with scratch(self.temporary) as folder:
            argv = [*self.contained, *self._command(step, reference, folder)]
            last: deque[str] = deque(maxlen=TAIL)
            with Outcome(self.processes.stream(argv, log)) as lines:
                for line in lines:
                    last.append(line)
                    yield line
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

    def push(self, reference: str, destination: str, compress: bool) -> str:
        # skopeo, not `buildah push`: that compresses whatever goes to an OCI layout, again at every push.
        options = ["--format", "oci", *([] if compress else ["--dest-oci-accept-uncompressed-layers"])]
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
        container = self._container(reference)
        argv = [*self.contained, *self._run(container, command, env, mounts, certificates)]
        try:
            with Outcome(self.processes.stream(argv)) as lines:
                yield from (line for line in lines if not EXIT_REPORT.fullmatch(line))
            return lines.value
        finally:
            self._remove(container)

    def attach(self, reference: str, argv: Sequence[str], options: RunOptions) -> int:
        if options.gpus:
            raise ConfigError(
                "--gpus: buildah hands no GPU to a container",
                "`arrstack export TIER docker`, then `docker run --gpus`; or --engine docker",
            )
        command = command_line(self.config(reference), argv)
        container = self._container(reference)
        try:
            with scratch(self.temporary) as folder:
                line = self._handed_over(container, command, options, folder)
                return self._attached(line, options)
        finally:
            self._remove(container)

    def _attached(self, line: Sequence[str], options: RunOptions) -> int:
        given = ["--terminal"] if options.terminal else ["--terminal=false"]
        given += ["--workingdir", options.workdir] if options.workdir else []
        given += [word for volume in options.volumes for word in ("--volume", volume)]
        word = LastWord()
        around = self.private if options.terminal else self.contained
        return word.status(self.processes.attached([*around, *line[:2], *given, *line[2:]], word))

    def _handed_over(self, container: str, command: Sequence[str], options: RunOptions, folder: Path) -> list[str]:
        """The command line of a run. Its variables come by a file where the image has a shell that reads them: everybody on this
        machine may read command lines."""
        shell = ["buildah", "run", container, "--", "/bin/sh", "-c", ":"]
        shown = {name: value for name, value in options.env.items() if name == "TERM" or not PLAIN_NAME.fullmatch(name)}
        text = shell_variables({name: value for name, value in options.env.items() if name not in shown})
        if not text or self.processes.run([*self.contained, *shell], check=False).status:
            return self._run(container, command, options.env, {}, options.certificates)
        file = folder / "environment"  # the folder is its user's alone; inside, the program may be another user's
        file.write_text(text)
        reading = ["/bin/sh", "-c", f'. {VARIABLES} && exec "$@"', "sh", *command]
        return self._run(container, reading, shown, {file: VARIABLES}, options.certificates)

    def _container(self, reference: str) -> str:
        # buildah hands the host's proxies to containers unless it is told not to.
        line = ["buildah", "from", "--pull-never", "--http-proxy=false", *self._limits, "--name", running_name(), reference]
        return self._tool(line).output.strip()

    def _remove(self, container: str) -> None:
        self._tool(["buildah", "rm", container], check=False)

    def _run(
        self,
        container: str,
        command: Sequence[str],
        env: Mapping[str, str],
        mounts: Mapping[Path, str],
        certificates: Path | None,
    ) -> list[str]:
        line = ["buildah", "run"]
        seen = dict(env)
        if certificates:
            line += ["--volume", f"{certificates}:{CERTIFICATES}:ro"]
            seen = dict.fromkeys(CERTIFICATE_VARIABLES, CERTIFICATES) | seen
        line += [word for host, inside in mounts.items() for word in ("--volume", f"{host}:{inside}:ro")]
        line += [word for name, value in seen.items() for word in ("--env", f"{name}={value}")]
        return [*line, container, "--", *command]

    def tidy(self) -> None:
        sweep(self.temporary)
        listed = json.loads(self._tool(["buildah", "containers", "--all", "--json"], check=False).output or "[]") or []
        abandoned = [each["id"] for each in listed if not still_running(each["containername"])]
        if abandoned:
            self._tool(["buildah", "rm", *abandoned], check=False)
        if len(abandoned) == len(listed):  # the folders do not say whose they are
            for folder in self.temporary.glob("buildah[0-9]*"):
                self.processes.run(["rm", "-rf", "--one-file-system", str(folder)], check=False)

    def images(self) -> dict[str, int]:
        listed = [(image.get("names") or [], byte_count(str(image.get("size") or "0"))) for image in self._listed()]
        return {name: size for names, size in listed for name in names if name.startswith(IMAGES)}

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
