"""`uninstall`: removes everything that the product keeps on this machine, for all stacks, and says what and how much."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from arrstack.engines import Engine
from arrstack.errors import MachineError
from arrstack.launch.prune import Removal, size_of
from arrstack.machine.folders import Folders
from arrstack.machine.process import Processes

WHAT = {
    "cache": "store of images, build directories and compiler cache",
    "data": "registry directory: all published images and wheels",
    "state": "logs, and what was measured",
}


@dataclass(frozen=True)
class Uninstalling:
    """`daemon` is a Docker daemon that holds images of ours; None where there is none. `root` says whether this user is."""

    folders: Folders
    processes: Processes
    daemon: Engine | None
    root: bool

    def removals(self) -> list[Removal]:
        """What `remove` removes, with bytes on disk."""
        found = [Removal(f"{path}: {WHAT[name]}", size_of(path)) for name, path in self._folders() if path.is_dir()]
        images = sorted(self.daemon.images()) if self.daemon else []
        return [*found, *(Removal(f"image {name} of the Docker daemon") for name in images)]

    def remove(self) -> list[Removal]:
        """Removes it all; what was removed. Raises MachineError where a launch is at work, or something cannot be removed."""
        gone = self.removals()
        if self.folders.cache.is_dir():
            with self.folders.alone("uninstall"):  # nobody else is at work; the lock goes with its folder
                self._remove(path for _, path in self._folders())
        else:
            self._remove(path for _, path in self._folders())
        if self.daemon:
            self.daemon.remove(self.daemon.images(), unnamed=False)
        return gone

    def _folders(self) -> list[tuple[str, Path]]:
        return [("data", self.folders.data), ("state", self.folders.state), ("cache", self.folders.cache)]

    def _remove(self, paths: Iterable[Path]) -> None:
        for path in paths:
            if not path.is_dir():
                continue
            if self.root or not self.processes.which("buildah"):
                shutil.rmtree(path, ignore_errors=True)
            else:  # files of a rootless store belong to users that only its namespace has
                self.processes.run(["buildah", "unshare", "rm", "-rf", "--one-file-system", str(path)], check=False)
            if path.is_dir():
                raise MachineError(f"{path} could not be removed", "remove it as the user who owns its files")
