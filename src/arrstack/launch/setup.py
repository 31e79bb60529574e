"""What this machine needs before a build: an engine, packages, disk, memory. Says what it is going to do; asks first."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from arrstack.engines import Buildah, Docker, Engine
from arrstack.errors import ConfigError, MachineError
from arrstack.machine.folders import Folders
from arrstack.machine.process import Processes
from arrstack.machine.resources import GIB, Machine

PACKAGES = {"buildah": "buildah", "mmdebstrap": "mmdebstrap", "skopeo": "skopeo", "unshare": "util-linux", "newuidmap": "uidmap"}
"""Command -> the Debian package that has it."""
APT = ["apt-get", "install", "-y", "-qq", "--no-install-recommends"]
NEEDED_INODES = 400_000
NEEDED_MEMORY = 3 * GIB

ENGINES = ("auto", "buildah", "docker", "buildx", "cloudbuild")
"""What --engine takes; the last builds elsewhere."""

Ask = Callable[[str], bool]
"""Asks a person yes or no; without a terminal it answers no."""
Say = Callable[[str], None]


def require_engine(name: str) -> None:
    """Raises ConfigError where no engine has that name: said first, whatever else is wrong."""
    if name not in ENGINES:
        raise ConfigError(f"there is no engine '{name}'", f"--engine is one of {', '.join(ENGINES)}")


@dataclass(frozen=True)
class Setup:
    """Prepares the machine. `allowed` is false for --no-setup: then it refuses and says the commands."""

    processes: Processes
    folders: Folders
    ask: Ask
    say: Say
    allowed: bool = True
    user: int = os.geteuid()

    def engine(self, wanted: str) -> tuple[Engine, str]:
        """The engine to use and the reason. `auto`: buildah where it works, else Docker where a daemon of 23 or later
        answers, else buildah is set up. Raises MachineError."""
        require_engine(wanted)
        buildah, docker = Buildah(self.processes, self.folders.cache, self.user == 0), Docker(self.processes, self.folders.cache)
        wanted, reason = (wanted, "as asked") if wanted != "auto" else self._chosen(buildah, docker)
        engine: Engine = docker if wanted == "docker" else buildah
        if engine is docker:
            docker.version()  # a daemon is not ours to install
        self._install((*((wanted,) if engine is buildah else ()), *self._beside_the_engine()))
        if engine is buildah:
            self._install((), buildah.lacks())
        return engine, f"{wanted} {engine.version()}, {reason}"

    def present(self, wanted: str) -> Engine | None:
        """The engine whose store this machine has, for who only looks: nothing is installed, and no store made."""
        require_engine(wanted)
        try:
            if wanted != "docker" and (self.folders.cache / "storage.conf").exists():
                buildah = Buildah(self.processes, self.folders.cache, self.user == 0)
                buildah.version()
                return buildah
            docker = Docker(self.processes, self.folders.cache)
            docker.version()
        except MachineError:
            return None
        return docker if wanted != "buildah" else None

    def _beside_the_engine(self) -> tuple[str, ...]:
        return ("mmdebstrap", "skopeo", "unshare", *(() if self.user == 0 else ("newuidmap",)))

    def _chosen(self, buildah: Buildah, docker: Docker) -> tuple[str, str]:
        """The engine for `auto`, and why."""
        try:
            buildah.version()
            return "buildah", "found here"
        except MachineError as error:
            without = error.message
        try:
            docker.version()
            return "docker", f"found here; {without}"
        except MachineError:
            return "buildah", "installed now"

    def _install(self, commands: tuple[str, ...], packages: tuple[str, ...] = ()) -> None:
        missing = sorted({PACKAGES[command] for command in commands if not self.processes.which(command)} | set(packages))
        if not missing:
            return
        sudo = [] if self.user == 0 else ["sudo"]
        steps = [[*sudo, "apt-get", "update", "-qq"], [*sudo, *APT, *missing]]
        shown = " && ".join(" ".join(step) for step in steps)
        if not self.processes.which("apt-get"):
            raise MachineError(
                f"this machine lacks {', '.join(missing)} and has no apt-get",
                f"install {', '.join(missing)} with its own package manager",
            )
        if not self.allowed:
            raise MachineError(f"this machine lacks {', '.join(missing)}", f"run: {shown}")
        if sudo and not (self.processes.which("sudo") and self.ask(f"Install {', '.join(missing)} with sudo?")):
            raise MachineError(f"this machine lacks {', '.join(missing)}", f"run as root: {shown}")
        self.say(f"installing {', '.join(missing)}: {shown}")
        noninteractive = Processes(self.processes.environment | {"DEBIAN_FRONTEND": "noninteractive"})
        for step in steps:
            done = noninteractive.run(step, check=False)
            if done.status:
                last = (done.errors.strip() or done.output.strip()).splitlines()[-1:]
                raise MachineError(f"{' '.join(step)} failed: {''.join(last)}", "check the network and the machine's apt sources")

    def preflight(self, machine: Machine, compiles: bool, disk_gib: float) -> None:
        """Checks disk, inodes, memory and platform for the whole build before it starts. `disk_gib`: free space that a
        launch from nothing takes. Raises MachineError."""
        if machine.architecture != "x86_64":
            raise MachineError(
                f"this machine is {machine.architecture}; the images are linux/amd64",
                "build on an x86-64 machine: a compile under emulation would take days",
            )
        needed = disk_gib * GIB * (1 if compiles else 0.5)
        for folder in (self.folders.cache, self.folders.data):
            folder.mkdir(parents=True, exist_ok=True)
            free, inodes = shutil.disk_usage(folder).free, os.statvfs(folder).f_favail
            if free < needed:
                raise MachineError(
                    f"{folder} has {free / GIB:.1f} GiB free; this build may need {needed / GIB:.0f} GiB",
                    "`arrstack prune` frees what nothing needs, or set XDG_CACHE_HOME and XDG_DATA_HOME to a larger disk",
                )
            if 0 < inodes < NEEDED_INODES:
                raise MachineError(
                    f"{folder} has {inodes} inodes free; this build may need {NEEDED_INODES}", "use a file system with more"
                )
        if compiles and machine.memory < NEEDED_MEMORY:
            raise MachineError(
                f"{machine.memory / GIB:.1f} GiB of memory are free; a compile needs {NEEDED_MEMORY / GIB:.0f} GiB",
                "end other programs, or add swap",
            )
