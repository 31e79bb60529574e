"""What this machine has: cores, memory, certificates."""

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

GIB = 1 << 30
JOB_BYTES = int(1.5 * GIB)
"""Memory that one C++ job of PyTorch may take: by clang the largest takes 1.1 GiB, by gcc fourteen files take more, up to 2.4."""


@dataclass(frozen=True)
class Machine:
    """Cores that this process may use, bytes of memory that are free, and the architecture as the kernel names it."""

    cores: int
    memory: int
    architecture: str

    @classmethod
    def here(cls) -> "Machine":
        return cls(len(os.sched_getaffinity(0)), available_memory(), platform.machine())

    def jobs(self) -> tuple[int, str]:
        """How many compile jobs cores *and memory* allow, and why that many."""
        jobs = max(min(self.cores, self.memory // JOB_BYTES), 1)
        limit = "cores" if jobs == self.cores else "memory"
        return jobs, f"{self.cores} cores, {self.memory / GIB:.1f} GiB free, {JOB_BYTES / GIB:.1f} GiB a job: limited by {limit}"

    def parallel_builds(self, jobs: int) -> int:
        """How many builds of so many jobs each fit into memory beside each other."""
        return max(self.memory // (jobs * JOB_BYTES), 1)


def available_memory(root: Path = Path("/")) -> int:
    """Bytes: what the kernel says is available, or what is left of a control group's limit where that is less. Cached
    files that nobody uses count as left: a long build fills all memory with them (cgroup-v2.rst, memory.stat)."""
    match = re.search(r"MemAvailable:\s+(\d+) kB", (root / "proc/meminfo").read_text())
    free, group = int(match[1]) * 1024 if match else GIB, root / "sys/fs/cgroup"
    try:
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        used = int((group / "memory.current").read_text()) - int(stat["inactive_file"])
        return min(free, int((group / "memory.max").read_text()) - used)
    except (OSError, ValueError):  # no such limit, or "max"
        return free


def certificates(environment: Mapping[str, str]) -> Path | None:
    """The host's certificate bundle, which build steps get by a mount: named by the environment, else the system's."""
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if (named := environment.get(name)) and Path(named).is_file():
            return Path(named).resolve()
    for path in ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"):
        if Path(path).is_file():
            return Path(path)
    return None
