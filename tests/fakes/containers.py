"""Machines of the fake Vertex AI that run the very image of a job on this machine's buildah, and are taken away as spot machines are."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from arrstack.engines import Buildah
from arrstack.engines.containers import end
from arrstack.model import table

NOTICE = 30.0
"""Seconds between the notice and the end of a spot machine (Compute Engine, "Spot VMs": the preemption period)."""
TAKEN = -9


@dataclass
class Preemption:
    """A machine is taken when `when` first says so: with the notice, SIGTERM and up to 30 seconds; without it at once."""

    when: Callable[[], bool]
    notice: bool
    seconds: float = -1.0
    """How long the program took to end after the notice."""


@dataclass
class Containers:
    """Runs the images of jobs. `buckets` is a folder with a folder for each bucket, mounted at /gcs as Vertex AI mounts them; `environment`
    what the machine itself tells a program, as where its login is."""

    engine: Buildah
    buckets: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    preemptions: list[Preemption] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    """Of all programs that ran, in order."""

    def run(self, image: str, arguments: list[str], environment: Mapping[str, str]) -> int:
        reference = f"localhost/arrstack/job:{image.rpartition(':')[2][:12]}"
        if not self.engine.has(reference):
            self.engine.pull(f"docker://{image}", reference)
        config = table(self.engine.config(reference), "config")
        entry, command = (list(map(str, config.get(key) or [])) for key in ("Entrypoint", "Cmd"))  # type: ignore[call-overload]
        words = [*entry, *(arguments or command)]
        log = self.buckets.parent / f"container-{len(self.logs)}.log"
        with self.engine._container(reference) as container, log.open("wb") as file:
            line = container._line(words, {**self.environment, **environment}, {}, None)
            line[2:2] = ["--volume", f"{self.buckets}:/gcs"]
            child = subprocess.Popen(
                [*container.contained, *line],
                env=container.processes.environment,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
            taken = self._watch(child)
        self.logs.append(log.read_text(errors="replace"))
        self.statuses.append(child.returncode)
        return TAKEN if taken else child.returncode

    def _watch(self, child: "subprocess.Popen[bytes]") -> bool:
        """Waits for the program's end. Whether its machine was taken away."""
        while child.poll() is None:
            time.sleep(0.05)
            plan = self.preemptions[0] if self.preemptions else None
            if plan is None or not plan.when():
                continue
            self.preemptions.pop(0)
            began = time.monotonic()
            if plan.notice:
                end(child.pid)
                while child.poll() is None and time.monotonic() - began < NOTICE:
                    time.sleep(0.05)
            plan.seconds = time.monotonic() - began
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait(30)
            return True
        return False
