"""The Docker daemon and its client's buildx: which versions they are, and what that allows."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from arrstack.errors import MachineError
from arrstack.machine.process import Processes

OLDEST = 23
REWRITES = 26
"""The first Docker whose BuildKit (0.13) knows `rewrite-timestamp`."""


@dataclass(frozen=True)
class Daemon:
    """What `docker info` says of the daemon and of its client's buildx (a program's path)."""

    host: str
    """The name of the daemon's machine."""
    version: str
    containerd: bool
    buildx: str
    context: str

    @property
    def rewrites(self) -> bool:
        return self.containerd and int(self.version.split(".")[0]) >= REWRITES


def ask_daemon(processes: Processes) -> Daemon:
    """What `docker info` says. Raises MachineError where there is no daemon, or not one that builds with named contexts."""
    answer = processes.run(["docker", "info", "--format", "{{json .}}"], check=False)
    try:
        info = json.loads(answer.output)
    except ValueError:
        info = {}
    version = str(info.get("ServerVersion") or "")
    if not re.match(r"\d+\.", version):
        why = (answer.errors.strip() or "; ".join(info.get("ServerErrors") or [])).splitlines()[:1]
        raise MachineError(
            f"no Docker daemon answers{f': {why[0]}' if why else ''}",
            "start it, or name it in DOCKER_HOST; or use buildah: --engine buildah",
        )
    if int(version.split(".")[0]) < OLDEST:
        raise MachineError(
            f"the Docker daemon is too old: {version}",
            f"{OLDEST} or later is needed, for named build contexts; or use buildah",
        )
    client = info.get("ClientInfo") or {}
    containerd = ["driver-type", "io.containerd.snapshotter.v1"] in (info.get("DriverStatus") or [])
    return Daemon(str(info.get("Name") or ""), version, containerd, buildx_of(client), client.get("Context") or "default")


def find_buildx(processes: Processes) -> str:
    """The client's buildx, a program's path, whether or not a daemon answers. Raises MachineError where there is none."""
    answer = processes.run(["docker", "info", "--format", "{{json .ClientInfo}}"], check=False)
    try:
        return buildx_of(json.loads(answer.output) or {})
    except ValueError:
        return buildx_of({})


def buildx_of(client: Mapping[str, Any]) -> str:
    """The path of buildx in what `docker info` says of the client. Raises MachineError."""
    for plugin in client.get("Plugins") or []:
        if plugin.get("Name") == "buildx" and plugin.get("Path"):
            return str(plugin["Path"])
    raise MachineError("the Docker client has no buildx", "install docker-buildx (docker-buildx-plugin of Docker's own)")
